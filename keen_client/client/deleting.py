"""Administration as the clients have it: deletions are noted in the log, so that no replay brings events back.

See :mod:`keen_client.eventlog.deletions`.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from typing import Final

from keen_client._foundation.clock import MS_PER_HOUR
from keen_client.api.administration import Administration, AioAdministration
from keen_client.api.call import may_have_acted
from keen_client.api.collection import delete_events
from keen_client.errors import ApiError, KeenError
from keen_client.eventlog.deletions import Deletion, Deletions
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.watermarks import watermarks_now
from keen_client.queries.filters import FilterLike
from keen_client.queries.relative import resolve
from keen_client.queries.timeframe import RelativeTimeframe, TimeframeLike, parse_timeframe

#: Around a relative timeframe, whose bounds the server takes from its own clock.
SLACK_MS: Final = MS_PER_HOUR
#: Every time that an event can have, for the deletion of a whole collection.
_ALWAYS: Final = (-(2**62), 2**62)


class Hold:
    """The note of one deletion, in the log before the request leaves."""

    def __init__(
        self, log: EventLog, event_collection: str, span_ms: tuple[int, int], *, takes_all: bool
    ) -> None:
        self._log = log
        self._deletions = Deletions(log.state)
        self._deletion = Deletion(
            event_collection, *span_ms, at_ms=log.clock.wall_ms(), is_accepted=takes_all
        )

    def begin(self) -> None:
        """Note it.

        Raises:
            EventLogError: It could not be noted; nothing was sent.
        """
        self._deletions.note(self._deletion, watermarks_now(self._log.state, self._log.shelf))

    def end(self, failure: BaseException) -> None:
        """It failed: withdraw the note if surely nothing was deleted."""
        if isinstance(failure, KeenError) and not (isinstance(failure, ApiError) and may_have_acted(failure)):
            self._deletions.withdraw(self._deletion)


def hold_for(
    log: EventLog,
    event_collection: str,
    timeframe: TimeframeLike | None,
    timezone: str | int | None,
    filters: Sequence[FilterLike] | None,
) -> Hold:
    """The hold of a deletion whose arguments have been checked.

    Without filters it takes all that lies there, but for a relative timeframe: its bounds are the server's.
    """
    is_exact = not isinstance(parse_timeframe(timeframe), RelativeTimeframe)
    span_ms = _span_ms(timeframe, timezone, log.clock.wall_ms())
    return Hold(log, event_collection, span_ms, takes_all=is_exact and not filters)


def _span_ms(timeframe: TimeframeLike | None, timezone: str | int | None, now_ms: int) -> tuple[int, int]:
    span = parse_timeframe(timeframe)
    if span is None:
        return _ALWAYS
    if isinstance(span, RelativeTimeframe):
        meant = resolve(span, timezone, now_ms)
        return meant.start_ms - SLACK_MS, meant.end_ms + SLACK_MS
    return span.start_ms, span.end_ms


class Deleter(Administration):
    """:class:`Administration`, for a client with a log."""

    @abstractmethod
    def _log_for_deletion(self) -> EventLog:
        """The log, if the client is at work."""

    def delete_events(
        self,
        event_collection: str,
        timeframe: TimeframeLike | None = None,
        timezone: str | int | None = None,
        filters: Sequence[FilterLike] | None = None,
    ) -> bool:
        """Delete the events that match; without timeframe and filters the whole collection (master key).

        True when Keen has taken it: events may be seen for a while yet. At most
        ten deletions a minute; each is sent once. An empty list of filters
        without a timeframe is refused: it would delete everything.

        The log keeps the events, so verification finds them missing. Before
        anything is sent, the log notes what is to be deleted: no replay resends
        an event of the collection and timeframe that was recorded before,
        whether the filters took it or not. Without filters it is written off
        once it is proven absent; with filters the windows go on being *short*
        until :meth:`accept_deletion`. A deletion made elsewhere is not known
        here, and would be undone. Events that wait to be sent are sent
        afterwards: flush before.

        Raises:
            EventLogError: the deletion could not be noted; nothing was sent.
        """
        steps = delete_events(event_collection, timeframe, timezone, filters)
        hold = hold_for(self._log_for_deletion(), event_collection, timeframe, timezone, filters)
        hold.begin()
        try:
            deleted: bool = self.run_steps(steps)
        except KeenError as error:
            hold.end(error)
            raise
        return deleted

    def deletions(self) -> list[Deletion]:
        """The deletions that the log was told of, by collection and time. Asks nothing."""
        return Deletions(self._log_for_deletion().state).all()

    def accept_deletion(self, deletion: Deletion) -> bool:
        """Decide that all that is missing there was deleted on purpose: once proven absent it is expected no more.

        Such events are counted, as ``deleted``. What was truly lost in the same
        timeframe goes with them, so look at the missing first. False when the log
        knows no such deletion.
        """
        return Deletions(self._log_for_deletion().state).accept(deletion)


class AioDeleter(AioAdministration):
    """The async twin of :class:`Deleter`."""

    @abstractmethod
    def _log_for_deletion(self) -> EventLog:
        """The log, if the client is at work."""

    async def delete_events(
        self,
        event_collection: str,
        timeframe: TimeframeLike | None = None,
        timezone: str | int | None = None,
        filters: Sequence[FilterLike] | None = None,
    ) -> bool:
        """See :meth:`Deleter.delete_events`. After a cancellation the outcome is unknown, and the log holds back."""
        steps = delete_events(event_collection, timeframe, timezone, filters)
        hold = hold_for(self._log_for_deletion(), event_collection, timeframe, timezone, filters)
        await asyncio.to_thread(hold.begin)
        try:
            deleted: bool = await self.run_steps(steps)
        except KeenError as error:
            await asyncio.to_thread(hold.end, error)
            raise
        return deleted

    async def deletions(self) -> list[Deletion]:
        """See :meth:`Deleter.deletions`."""
        return await asyncio.to_thread(Deletions(self._log_for_deletion().state).all)

    async def accept_deletion(self, deletion: Deletion) -> bool:
        """See :meth:`Deleter.accept_deletion`."""
        return await asyncio.to_thread(Deletions(self._log_for_deletion().state).accept, deletion)

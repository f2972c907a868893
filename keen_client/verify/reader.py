"""The reader: what a verification asks through.

It counts what the answers cost, and stops where a budget ends or the server is in trouble for long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from keen_client._foundation.clock import MS_PER_HOUR
from keen_client.api.cost import Cost, ServerClock
from keen_client.errors import (
    ApiError,
    NotFoundError,
    NotSentError,
    RateLimitedError,
    TransportError,
    UsageError,
)
from keen_client.eventlog.state import State
from keen_client.queries import Analysis, Timeframe
from keen_client.verify.answer import QueryApi

#: Errors of a server that cannot be asked anything now; each of them has cost minutes of waiting.
_TROUBLE: Final = (TransportError, RateLimitedError)
#: After so many turns in a row that ended by one, the others are not asked for.
TROUBLED_TURNS_MAX: Final = 3
#: Where queries name the properties that they touch.
_NAMING: Final = frozenset({"target_property", "property_name", "group_by"})


@attrs.frozen(kw_only=True)
class Budget:
    """How much may be read: requests, and bytes of answers, repeated attempts included. None: no bound.

    A bound is looked at before each query, so the last answer may exceed the bytes.

    Raises:
        UsageError: a bound is negative. Nothing was asked.
    """

    requests: int | None = None
    bytes: int | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse what bounds nothing sensible."""
        for name, bound in (("requests", self.requests), ("bytes", self.bytes)):
            if bound is not None and bound < 0:
                raise UsageError(f"the budget of {name} is negative; nothing was asked", "give 0 or more")

    def used_up(self, spent: Cost) -> str:
        """Which bound is reached, in words; empty when none is."""
        if self.requests is not None and spent.requests >= self.requests:
            return f"the budget of {self.requests:,} requests is used up"
        if self.bytes is not None and spent.bytes >= self.bytes:
            return f"the budget of {self.bytes:,} bytes is used up"
        return ""


class Reader:
    """Asks an API within a budget. Satisfies :class:`~keen_client.verify.answer.QueryApi`. For one thread at a time.

    ``cost`` is that of its own queries; ``properties`` estimates what they had
    the server scan, the unit in which Keen accounts for queries: events in the
    timeframe times properties touched, the timestamp included. Of the events
    only those of this log are known, so it is a lower bound where others write
    to the same collections.
    """

    def __init__(self, api: QueryApi, state: State, budget: Budget | None = None) -> None:
        self._api = api
        self._state = state
        self._budget = Budget() if budget is None else budget
        self._cost = Cost()
        self._properties = 0
        #: How the last query failed, if the server was in trouble.
        self._trouble: ApiError | None = None
        self._troubled_turns = 0
        #: Whether the server has a collection, as its answers showed.
        self.at_server: Final[dict[str, bool]] = {}

    @property
    def cost(self) -> Cost:
        """Requests and bytes of the queries so far."""
        return self._cost

    @property
    def properties(self) -> int:
        """Properties scanned so far, as far as the log can tell."""
        return self._properties

    @property
    def server_clock(self) -> ServerClock | None:
        """The latest reading of the server's clock."""
        return self._api.server_clock

    @property
    def used_up(self) -> str:
        """Why nothing more is asked; empty while there is budget left and the server is not given up."""
        if self._troubled_turns >= TROUBLED_TURNS_MAX:
            return f"the server could not be asked {TROUBLED_TURNS_MAX} times in a row ({self._trouble})"
        return self._budget.used_up(self._cost)

    def begin(self) -> None:
        """A verification begins: whatever trouble the server was in, it is asked."""
        self._trouble, self._troubled_turns = None, 0

    def end_turn(self) -> None:
        """A turn was taken: where its last query met a server in trouble, it counts towards giving the server up.

        Each such query has waited and was repeated for minutes. Hundreds of
        them would hold a job, and its lock, for days.
        """
        if not self.used_up:
            self._troubled_turns = 0 if self._trouble is None else self._troubled_turns + 1

    def query(self, analysis: Analysis, *, all_keys: bool = False) -> Any:
        """Run one analysis and return its ``result``.

        Raises:
            NotSentError: the budget is used up, or the server is given up; it was not asked.
            ApiError: no usable answer.
        """
        if self.used_up:
            raise NotSentError(
                f"{self.used_up}, so it was not asked for",
                "the next run begins with what was not read; a budget can be larger",
            )
        before = self._api.cost
        try:
            answer = self._api.query(analysis, all_keys=all_keys)
        except ApiError as error:
            self._trouble = error if isinstance(error, _TROUBLE) else None
            if isinstance(error, NotFoundError):
                self.at_server[analysis.event_collection] = False
            raise
        else:
            self._trouble = None
            self.at_server[analysis.event_collection] = True
            return answer
        finally:
            self._cost += self._api.cost - before
            self._properties += len(properties_touched(analysis)) * self._events(analysis)

    def _events(self, analysis: Analysis) -> int:
        timeframe = analysis.timeframe
        if not isinstance(timeframe, Timeframe):
            return 0
        with self._state.reading() as db:
            row = db.execute(
                "SELECT sum(n) FROM totals WHERE collection = ? AND hour >= ? AND hour < ?",
                (
                    analysis.event_collection,
                    timeframe.start_ms // MS_PER_HOUR,
                    -(-timeframe.end_ms // MS_PER_HOUR),
                ),
            ).fetchone()
        return int(row[0] or 0)


def properties_touched(analysis: Analysis) -> set[str]:
    """The distinct properties that a query has the server look at. Pure."""
    found = set(_named(analysis.to_json()))
    if analysis.timeframe is not None:
        found.add("keen.timestamp")
    return found


def _named(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield from _named(member, key)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _named(member, name)
    elif name in _NAMING and isinstance(value, str):
        yield value

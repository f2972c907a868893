"""Wiring: how the floors below become one client."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import Final

import attrs

from keen_client._foundation.clock import Clock, SystemClock
from keen_client._foundation.randomness import Randomness, SystemRandomness
from keen_client.api.keen_api import KeenApi
from keen_client.client.settings import Settings
from keen_client.delivery.config import DeliveryConfig
from keen_client.delivery.courier import Courier
from keen_client.delivery.sender import Sender
from keen_client.errors import EventLogError
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.log import EventLog
from keen_client.observability.hooks import Hook, HookSet
from keen_client.transport.httpx_transport import HttpClient
from keen_client.transport.message import Response
from keen_client.verify.probe import tokens_honoured

#: What closing keeps of its time for requests that end when their connections are closed.
_SETTLE_SECONDS: Final = 0.25


class ApiUploader:
    """Delivery's view of the API: one attempt at a bulk write."""

    def __init__(self, api: KeenApi) -> None:
        self._api = api

    def upload(self, body: bytes, within_seconds: float | None = None) -> Response:
        """See :meth:`keen_client.delivery.uploader.Uploader.upload`. The answer shows no key."""
        answer = self._api.post_batch(body, within_seconds)
        key = self._api.project.write_key
        if key is None or key.reveal().encode() not in answer.body:
            return answer
        # Delivery keeps the server's words with dead letters.
        return attrs.evolve(answer, body=key.redact(answer.body.decode(errors="replace")).encode())


@attrs.frozen
class Seams:
    """Time and chance of one client."""

    clock: Clock = attrs.Factory(SystemClock)
    randomness: Randomness = attrs.Factory(SystemRandomness)


class Machinery:
    """Everything one client needs, made from its settings."""

    def __init__(
        self,
        settings: Settings,
        *,
        log_config: LogConfig,
        delivery_config: DeliveryConfig,
        background: bool,
        hooks: Iterable[Hook] = (),
        http_client: HttpClient | None = None,
        get_timeout: float | None = None,
        post_timeout: float | None = None,
        seams: Seams | None = None,
        make_log: bool = True,
    ) -> None:
        seams = seams or Seams()
        self.settings: Final = settings
        self.clock: Final = seams.clock
        self.randomness: Final = seams.randomness
        self.hooks: Final = HookSet(hooks)
        self.api: Final = KeenApi.open(
            settings.project,
            http_client=http_client,
            get_timeout=get_timeout,
            post_timeout=post_timeout,
            clock=seams.clock,
            randomness=seams.randomness,
        )
        self.log: Final = EventLog(
            settings.log, settings.binding, log_config, seams.clock, seams.randomness, make=make_log
        )
        if settings.read_key is not None:
            with suppress(EventLogError):  # a disk that takes no note takes no event either
                self.log.note_reader()
        self.sender: Final = Sender(
            self.log,
            ApiUploader(self.api),
            delivery_config,
            seams.clock,
            seams.randomness,
            self.hooks,
            self.tokens_honoured,
        )
        self.courier: Final = Courier(self.sender, seams.clock, self.hooks, background=background)

    def tokens_honoured(self) -> bool:
        """Whether the server was seen to honour uniqueness tokens within the last 30 days."""
        return tokens_honoured(self.log.state, self.clock.wall_ms()) is True

    def close(self, timeout_seconds: float) -> None:
        """Stop sending within *timeout_seconds*, then close everything. What is not sent stays in the log.

        Everything is closed also where an error is raised.
        """
        settle_seconds = min(_SETTLE_SECONDS, timeout_seconds / 8)
        with ExitStack() as closing:  # the last comes first
            closing.callback(self.log.close)
            closing.callback(self.courier.settle, settle_seconds)
            closing.callback(self.api.close)
            self.courier.close(timeout_seconds - settle_seconds)

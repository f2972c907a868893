"""The only door to httpx.

One class sends, one is its async twin; what they share (building the request,
reading the answer within bounds, saying what a failure means) stands once.

How the line between *not sent* and *unknown* is drawn: some errors are raised
only while a connection is being made, before a byte of the request leaves
(refused, no such host, TLS failure, a full pool). Besides, httpcore's trace
tells when it begins to write the request's headers; once it has begun,
nothing is called *not sent* any more, whatever the error's class. Every error
not known to be harmless is *unknown*.

Errors of httpx hold the request with its headers, so they are not chained to
ours: a traceback or an error collector must not get at the key.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any, Final

import attrs
import httpx

from keen_client._foundation.clock import Clock, SystemClock
from keen_client.errors import (
    ClientClosedError,
    ConfigurationError,
    NotSentError,
    OutcomeUnknownError,
    TransportError,
)
from keen_client.transport.deadline import Deadline, abound, bound
from keen_client.transport.message import Request, Response

#: The types of a caller's own client, for annotations elsewhere.
HttpClient = httpx.Client
AsyncHttpClient = httpx.AsyncClient

#: Keen's answers are at most 150 MB; more is not an answer.
RESPONSE_BYTES_MAX: Final = 256 * 1024 * 1024
#: An exchange that takes longer is given up, even if bytes keep trickling.
ANSWER_SECONDS_MAX: Final = 900.0
#: Connections of one transport (one path).
CONNECTIONS_MAX: Final = 16
#: An idle connection is dropped after this long: proxies cut older ones, and a
#: request sent into a cut one has an unknown outcome.
KEEPALIVE_SECONDS: Final = 5.0

_ERROR_TEXT_MAX: Final = 200
_SDK: Final = f"keen_client-{metadata.version('keen-client')}"

_NOT_SENT: Final = (
    httpx.ConnectError,  # refused, unreachable, no such host, TLS handshake failed
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,  # the proxy refused to open the tunnel
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,  # refused by our own side before it was written
    httpx.InvalidURL,
)
# The texts of these come from the operating system, TLS or a proxy's status
# line. The others' may quote headers or a server's bytes, and are left out.
_TEXT_IS_SAFE: Final = (httpx.NetworkError, httpx.TimeoutException, httpx.ProxyError, OSError)
#: How httpcore's trace names that a stream is there; TLS makes another of it.
_CONNECTED: Final = ("connect_tcp.complete", "connect_unix_socket.complete", "start_tls.complete")
_EXPECTED: Final = (httpx.HTTPError, httpx.InvalidURL, RuntimeError, OSError)


#: A proxy of the environment is for the way out, not for a server on this very machine.
_NO_PROXY: Final = {"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None}


@attrs.frozen(kw_only=True)
class Timeouts:
    """How long each wait of an exchange may last, in seconds; not the sum of them.

    Keen cuts a query after 300 s, hence the read path's 305. A write waits
    shorter: its event is in the log and will be sent again.
    """

    connect_seconds: float = 10.0
    write_seconds: float = 60.0
    read_seconds: float = 305.0
    pool_seconds: float = 60.0

    @classmethod
    def for_reads(cls, seconds: float | None = None) -> Timeouts:
        """The read path's; *seconds* replaces the wait for an answer."""
        return cls() if seconds is None else cls.of(seconds)

    @classmethod
    def for_writes(cls, seconds: float | None = None) -> Timeouts:
        """The write path's; *seconds* replaces the wait for an answer."""
        return cls.of(60.0 if seconds is None else seconds)

    @classmethod
    def of(cls, seconds: float) -> Timeouts:
        """At most *seconds* for each wait, and never more than the usual for connecting, or than any answer may take.

        Raises:
            ConfigurationError: that is no time to wait; nothing was sent.
        """
        if not seconds > 0:  # nor what is no number
            raise ConfigurationError(
                f"a timeout must be more than 0 seconds, not {seconds}; nothing was sent",
                "leave it out for the usual one",
            )
        seconds = min(seconds, ANSWER_SECONDS_MAX)
        return cls(
            connect_seconds=min(seconds, 10.0),
            write_seconds=seconds,
            read_seconds=seconds,
            pool_seconds=seconds,
        )

    def as_extension(self) -> dict[str, float | None]:
        """The form in which httpx hands them to its connections."""
        return {
            "connect": self.connect_seconds,
            "read": self.read_seconds,
            "write": self.write_seconds,
            "pool": self.pool_seconds,
        }


class _Progress:
    """Learns from httpcore's trace whether the request itself began to leave, and bounds each new connection."""

    def __init__(self) -> None:
        self.began = False

    def note(self, name: str, info: Mapping[str, Any]) -> None:
        if name.endswith(_CONNECTED):
            bound(info["return_value"])
        self._note_request(name, info)

    async def anote(self, name: str, info: Mapping[str, Any]) -> None:
        if name.endswith(_CONNECTED):
            abound(info["return_value"])
        self._note_request(name, info)

    def _note_request(self, name: str, info: Mapping[str, Any]) -> None:
        if name.endswith(".send_request_headers.started"):
            # A CONNECT to a proxy is not the request.
            self.began |= getattr(info.get("request"), "method", b"") != b"CONNECT"
        elif name.endswith(".send_request_headers.failed"):
            # Refused by our own side while the headers were put together: nothing was written.
            self.began &= type(info.get("exception")).__name__ != "LocalProtocolError"


class _Answer:
    """Gathers one answer within the bounds of size and time."""

    def __init__(self, clock: Clock, request: Request, deadline: Deadline) -> None:
        self._clock = clock
        self._request = request
        self._deadline = deadline
        self._chunks: list[bytes] = []
        self._size_bytes = 0

    def take(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._size_bytes += len(chunk)
        if self._size_bytes > RESPONSE_BYTES_MAX:
            raise OutcomeUnknownError(
                f"{self._request.place}: the answer is over {RESPONSE_BYTES_MAX} bytes and was given up",
                "ask for less: a shorter timeframe, fewer properties",
            )
        self._deadline.wait_seconds(None)  # where the connection was made before it could be bounded

    def finish(self, answer: httpx.Response) -> Response:
        return Response(
            status=answer.status_code,
            headers={name.lower(): value for name, value in answer.headers.items()},
            body=b"".join(self._chunks),
            received_wall_ms=self._clock.wall_ms(),
            elapsed_seconds=self._deadline.elapsed_seconds(),
        )


class _ShownUrl(httpx.URL):
    """A URL that is sent as it is, and printed without the secrets in it: httpx logs the URL of every request."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.url)
        self._shown = request.shown_url

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return f"URL({self._shown!r})"


def _build(
    request: Request, client_headers: httpx.Headers, timeout: Mapping[str, float | None], trace: object
) -> httpx.Request:
    # Not client.build_request(): a client's default params would replace the query part.
    headers = httpx.Headers(client_headers)
    headers["Accept"] = "application/json"
    headers["Accept-Encoding"] = "gzip"
    headers["Keen-Sdk"] = _SDK
    headers["Content-Type"] = "application/json"
    if request.key is not None:
        headers["Authorization"] = request.key.reveal()
    built = httpx.Request(
        request.method,
        httpx.URL(request.url),
        headers=headers,
        content=request.body,
        extensions={"timeout": timeout, "trace": trace},
    )
    if request.hidden:
        built.url = _ShownUrl(request)
    return built


class _Within(Mapping[str, float | None]):
    """Timeouts that end with the exchange: httpcore looks each one up when it begins to wait."""

    def __init__(self, usual: Mapping[str, float | None], deadline: Deadline) -> None:
        self._usual = usual
        self._deadline = deadline

    def __getitem__(self, name: str) -> float | None:
        usual = self._usual[name]
        # Nothing would mean to not wait at all, and less is refused.
        left = max(0.001, self._deadline.left_seconds())
        return left if usual is None else min(usual, left)

    def __iter__(self) -> Iterator[str]:
        return iter(self._usual)

    def __len__(self) -> int:
        return len(self._usual)


def _deadline_of(request: Request, clock: Clock) -> Deadline:
    within = request.within_seconds
    return Deadline(clock, ANSWER_SECONDS_MAX if within is None else min(within, ANSWER_SECONDS_MAX))


def _timeouts_of(
    request: Request, own: Timeouts | None, clients: httpx.Timeout, deadline: Deadline
) -> Mapping[str, float | None]:
    usual: Mapping[str, float | None] = clients.as_dict() if own is None else own.as_extension()
    if request.timeout_seconds is not None:
        usual = Timeouts.of(request.timeout_seconds).as_extension()
    return usual if request.within_seconds is None else _Within(usual, deadline)


def translate(
    error: Exception, request: Request, *, began: bool = False, closed: bool = False
) -> TransportError:
    """What *error* says about *request*: not sent, or unknown.

    *began*: the request's first bytes began to leave. *closed*: the HTTP
    client had been closed. The message shows no key and no query part.
    """
    text = str(error) if isinstance(error, _TEXT_IS_SAFE) else ""
    text = request.redact(text)
    reason = type(error).__name__ + (f": {text[:_ERROR_TEXT_MAX]}" if text else "")
    refused_closed = closed and isinstance(error, RuntimeError)
    is_write = request.kind == "write"
    if not began and (isinstance(error, _NOT_SENT) or refused_closed):
        return NotSentError(
            f"{request.place} did not reach the server ({reason}); nothing was {'stored there' if is_write else 'read'}",
            "check the base URL, the network, the proxy settings and the server's certificate",
        )
    if is_write:
        return OutcomeUnknownError(
            f"{request.place} was not answered ({reason}); the server may have acted on it",
            "look whether it did before it is sent again; an event may be resent under its own token",
        )
    return OutcomeUnknownError(
        f"{request.place} was not answered ({reason}); nothing was changed",
        "ask again later, or for less: a shorter timeframe, say; get_timeout says how long is waited",
    )


class _HttpxBase:
    """What the twins share: timeouts, the clock, and the refusal to work after close."""

    def __init__(self, *, timeouts: Timeouts | None, clock: Clock | None) -> None:
        self._timeouts = timeouts
        self._clock = SystemClock() if clock is None else clock
        self._closed = False
        self._pid: int | None = None

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosedError(
                "the client was used after close(); nothing was sent", "make a new client, or close it later"
            )

    def _check_process(self, request: Request) -> None:
        """A given client's connections must not be written to by two processes."""
        pid = os.getpid()
        if self._pid is None:
            self._pid = pid
        if self._pid != pid:
            raise NotSentError(
                f"{request.place} was not sent: the given http_client is in use in the parent process",
                "make the client after the fork, or leave http_client out",
            )


def _limits() -> httpx.Limits:
    return httpx.Limits(
        max_connections=CONNECTIONS_MAX,
        max_keepalive_connections=CONNECTIONS_MAX,
        keepalive_expiry=KEEPALIVE_SECONDS,
    )


class HttpxTransport(_HttpxBase):
    """Sends over httpx. Use one instance per path (read, write): they share nothing then.

    Safe from any thread, and after a fork: a child process gets connections of
    its own. A caller's own *client* is used as it is (proxies, certificates,
    default headers, its timeouts unless *timeouts* is given) but for three
    things: redirects are never followed, its ``auth`` is not applied, and it
    is not closed by us.
    """

    def __init__(
        self,
        client: httpx.Client | None = None,
        *,
        timeouts: Timeouts | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(timeouts=timeouts if client is not None else timeouts or Timeouts(), clock=clock)
        self._given = client
        # By process: a parent's client stays here and is never closed by a
        # child, so that no child says goodbye on connections its parent uses.
        self._own: dict[int, httpx.Client] = {}

    def send(self, request: Request) -> Response:
        """See :meth:`keen_client.transport.protocol.Transport.send`."""
        client = self._client(request)
        progress = _Progress()
        deadline = _deadline_of(request, self._clock)
        answer = _Answer(self._clock, request, deadline)
        failure: TransportError
        try:
            timeouts = _timeouts_of(request, self._timeouts, client.timeout, deadline)
            built = _build(request, client.headers, timeouts, progress.note)
            with deadline.kept():
                got = client.send(built, stream=True, auth=None, follow_redirects=False)
                try:
                    for chunk in got.iter_bytes():
                        answer.take(chunk)
                finally:
                    got.close()
            return answer.finish(got)
        except _EXPECTED as error:
            failure = translate(error, request, began=progress.began, closed=client.is_closed)
        raise failure

    def close(self) -> None:
        """See :meth:`keen_client.transport.protocol.Transport.close`."""
        self._closed = True
        own = self._own.pop(os.getpid(), None)
        if own is not None:
            own.close()

    def _client(self, request: Request) -> httpx.Client:
        self._check_open()
        if self._given is not None:
            self._check_process(request)
            return self._given
        pid = os.getpid()
        own = self._own.get(pid)
        if own is None:
            made = httpx.Client(limits=_limits(), mounts=dict(_NO_PROXY))
            own = self._own.setdefault(pid, made)  # atomic: of two threads one wins
            if own is not made:
                made.close()
        return own


class AsyncHttpxTransport(_HttpxBase):
    """The async twin of :class:`HttpxTransport`.

    Its own connections belong to the running event loop; in another loop it
    opens new ones. When a task is cancelled in :meth:`send`, the outcome is unknown.
    """

    def __init__(
        self,
        client: httpx.AsyncClient | None = None,
        *,
        timeouts: Timeouts | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(timeouts=timeouts if client is not None else timeouts or Timeouts(), clock=clock)
        self._given = client
        self._own: httpx.AsyncClient | None = None
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        self._inherited: list[httpx.AsyncClient] = []

    async def send(self, request: Request) -> Response:
        """See :meth:`keen_client.transport.protocol.AsyncTransport.send`."""
        client = self._client(request)
        progress = _Progress()
        deadline = _deadline_of(request, self._clock)
        answer = _Answer(self._clock, request, deadline)
        failure: TransportError
        try:
            timeouts = _timeouts_of(request, self._timeouts, client.timeout, deadline)
            built = _build(request, client.headers, timeouts, progress.anote)
            with deadline.kept():
                got = await client.send(built, stream=True, auth=None, follow_redirects=False)
                try:
                    async for chunk in got.aiter_bytes():
                        answer.take(chunk)
                finally:
                    await got.aclose()
            return answer.finish(got)
        except _EXPECTED as error:
            failure = translate(error, request, began=progress.began, closed=client.is_closed)
        raise failure

    async def close(self) -> None:
        """See :meth:`keen_client.transport.protocol.Transport.close`."""
        self._closed = True
        if self._own is not None and self._is_ours():
            await self._own.aclose()

    def _client(self, request: Request) -> httpx.AsyncClient:
        self._check_open()
        if self._given is not None:
            self._check_process(request)
            return self._given
        if self._own is None or not self._is_ours():
            if self._own is not None and self._pid != os.getpid():
                self._inherited.append(self._own)
            self._own = httpx.AsyncClient(limits=_limits(), mounts=dict(_NO_PROXY))
            self._pid = os.getpid()
            loop = _running_loop()
            self._loop = None if loop is None else weakref.ref(loop)
        return self._own

    def _is_ours(self) -> bool:
        loop = None if self._loop is None else self._loop()
        return self._pid == os.getpid() and loop is _running_loop()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:  # another async library's loop
        return None

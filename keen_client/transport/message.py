"""What goes to the server and what comes back, as frozen values.

Neither value shows a key, the content of an event or the rows of an answer in
its ``repr``.
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlencode

import attrs

from keen_client.transport.secret import Secret

#: ``write``: it may change what Keen stores, and is never repeated blindly.
#: ``read``: it changes nothing, and may be repeated.
#: ``query``: a read that Keen counts against its rate of queries.
Kind = Literal["query", "read", "write"]


def _masked_body(body: bytes | None) -> str:
    return "None" if body is None else f"<{len(body)} bytes>"


@attrs.frozen(kw_only=True, repr=False)
class Request:
    """One HTTP request, complete but for the headers that the transport adds.

    ``base_url`` is normalised (see :func:`~keen_client.transport.base_url.normalise_base_url`);
    ``path`` starts with ``/`` and is percent-encoded already: a transport
    sends it as it stands, so ``%2F`` in a collection's name stays ``%2F``.
    ``about`` names what the body asks for, a collection say, where the path does not: for messages.
    ``hidden`` are the secrets other than ``key`` that the request holds: an
    access key is part of its own address. No message and no log line shows them.
    ``timeout_seconds`` bounds each wait of the exchange (connecting, each
    write, each read); None means the transport's own timeouts.
    ``within_seconds`` bounds the exchange as a whole, and with it each wait.
    """

    method: str
    base_url: str
    path: str
    kind: Kind
    params: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    key: Secret | None = None
    hidden: tuple[Secret, ...] = ()
    timeout_seconds: float | None = None
    within_seconds: float | None = None
    about: str = ""

    @property
    def url(self) -> str:
        """The URL with its query part. Not for messages: see :attr:`place`."""
        query = f"?{urlencode(self.params)}" if self.params else ""
        return f"{self.base_url}{self.path}{query}"

    @property
    def place(self) -> str:
        """Method and URL without the query part, for messages and logs."""
        return _redacted(f"{self.method} {self.base_url}{self.path}", self.hidden)

    @property
    def call(self) -> str:
        """Method and path, and what it is about, for the error of an answer: which call of this project it was."""
        about = f" of {self.about}" if self.about else ""
        return self.redact(f"{self.method} {self.path}{about}")

    @property
    def shown_url(self) -> str:
        """The URL with its query part, for a log line: what is hidden is masked."""
        return _redacted(self.url, self.hidden)

    def redact(self, text: str) -> str:
        """*text* with every secret of this request masked."""
        return _redacted(text, self.hidden if self.key is None else (self.key, *self.hidden))

    def __repr__(self) -> str:
        """Place, kind, and the parameters by name; no key and no content."""
        names = ", ".join(name for name, _ in self.params)
        return f"Request({self.place}, kind={self.kind!r}, params=({names}), body={_masked_body(self.body)})"


def _redacted(text: str, secrets: tuple[Secret, ...]) -> str:
    for secret in secrets:
        text = secret.redact(text)
    return text


@attrs.frozen(kw_only=True)
class Response:
    """One whole HTTP answer, of any status.

    ``headers`` has lower-case names; ``body`` is decoded (no gzip any more);
    ``received_wall_ms`` is the local wall clock when the last byte had come,
    milliseconds since 1970; ``elapsed_seconds`` the monotonic time from the
    start of the attempt until then. Do not change ``headers``.
    """

    status: int
    headers: dict[str, str] = attrs.field(factory=dict, repr=lambda headers: f"<{len(headers)} headers>")
    body: bytes = attrs.field(default=b"", repr=_masked_body)
    received_wall_ms: int = 0
    elapsed_seconds: float = 0.0

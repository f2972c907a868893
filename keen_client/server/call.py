"""One request: what its URL names, what it was given, and its body, read within bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request

from keen_client.server.credential import NOBODY, Credential
from keen_client.server.ingest import MAX_BODY_BYTES
from keen_client.server.json_input import check_nesting, parse_json
from keen_client.server.query import decode_parameters
from keen_client.server.refusal import (
    INVALID_JSON,
    TOO_LARGE,
    UNSUPPORTED_ENCODING,
    Refusal,
    bad_request,
)

#: A length with more digits is not even read as a number.
_MAX_LENGTH_DIGITS: Final = 15


class Call:
    """A request as the areas see it.

    ``path`` is the raw path, still percent-encoded; ``names`` are what the
    route's placeholders stand for, decoded once; ``credential`` is what the
    presented key permits, which the route's needs were held against; ``parameters`` those of the
    query string, the last one where a name repeats. A HEAD is a GET whose body
    is not sent, so ``method`` says GET.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.is_head = request.method == "HEAD"
        self.method = "GET" if self.is_head else request.method
        raw = request.scope.get("raw_path")
        self.path: str = raw.decode("latin-1") if raw is not None else quote(request.url.path)
        self.names: Mapping[str, str] = {}
        self.credential: Credential = NOBODY
        self.parameters: Mapping[str, str] = request.query_params

    @property
    def presented_key(self) -> str | None:
        """The key that came with the request; the header wins over the query string."""
        return self.request.headers.get("authorization") or self.parameters.get("api_key")

    async def body(self) -> bytes:
        """The body; a 413 as soon as it is known to be too long, a 415 where it is compressed.

        A body that says how long it is is refused before any of it is read.
        """
        headers = self.request.headers
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            text = f"A body must not be compressed ({encoding[:64]}); nothing was stored."
            raise Refusal(415, UNSUPPORTED_ENCODING, text)
        announced = headers.get("content-length", "")
        if announced.isdecimal() and (len(announced) > _MAX_LENGTH_DIGITS or int(announced) > MAX_BODY_BYTES):
            raise _too_large()
        chunks: list[bytes] = []
        size = 0
        async for chunk in self.request.stream():
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                raise _too_large()
            chunks.append(chunk)
        return b"".join(chunks)

    async def document(self) -> Any:
        """The body as JSON, or a 400; whatever the content type says.

        It is nested no deeper than what walks through it can bear. (Events have a bound of their own.)
        """
        return check_nesting(parse_json(await self.body()))

    async def body_object(self) -> dict[str, Any]:
        """The body as a JSON object, or a 400."""
        body = await self.document()
        if not isinstance(body, dict):
            raise bad_request(INVALID_JSON, "The body must be a JSON object.")
        return body

    async def given(self) -> dict[str, Any]:
        """The parameters of the query string, and over them those of a POST's body."""
        given = decode_parameters(self.parameters)
        if self.method == "POST":
            given.update(await self.body_object())
        return given


def _too_large() -> Refusal:
    return Refusal(413, TOO_LARGE, f"A body may have at most {MAX_BODY_BYTES} bytes; nothing was stored.")

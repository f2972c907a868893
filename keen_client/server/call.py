"""One request: what its URL names, what it was given, and its body, read within bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson
from starlette.requests import Request

from keen_client.server.credential import NOBODY, Credential
from keen_client.server.ingest import MAX_BODY_BYTES
from keen_client.server.query import decode_parameters
from keen_client.server.refusal import INVALID_JSON, TOO_LARGE, Refusal, bad_request


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
        """The body, or a 413. An overlong body is read to its end, so that the client can hear the answer."""
        chunks: list[bytes] = []
        size = 0
        async for chunk in self.request.stream():
            size += len(chunk)
            if size <= MAX_BODY_BYTES:
                chunks.append(chunk)
            else:
                chunks.clear()
        if size > MAX_BODY_BYTES:
            text = f"A body may have at most {MAX_BODY_BYTES} bytes; nothing was stored."
            raise Refusal(413, TOO_LARGE, text)
        return b"".join(chunks)

    async def document(self) -> Any:
        """The body as JSON, or a 400; whatever the content type says."""
        return parse_json(await self.body())

    async def given(self) -> dict[str, Any]:
        """The parameters of the query string, and over them those of a POST's body."""
        given = decode_parameters(self.parameters)
        if self.method == "POST":
            body = await self.document()
            if not isinstance(body, dict):
                raise bad_request(INVALID_JSON, "The body must be a JSON object.")
            given.update(body)
        return given


def parse_json(body: bytes) -> Any:
    """*body* as JSON, or a 400."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise bad_request(INVALID_JSON, "The body is not valid JSON; nothing was stored.") from None

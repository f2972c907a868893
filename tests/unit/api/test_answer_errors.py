"""From an HTTP answer to a value, or to the error it stands for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from keen_client.api.answers import error_of, read_json, read_object
from keen_client.errors import (
    ApiError,
    AuthenticationError,
    ForbiddenError,
    InvalidRequestError,
    KeenApiError,
    NotFoundError,
    PaymentRequiredError,
    RateLimitedError,
    RequestTooLargeError,
    ServerError,
    UnreadableResponseError,
)
from keen_client.transport import Response
from keen_client.transport.http_dates import http_date_ms, retry_after_seconds


def _response(status: int, body: Any = b"", **headers: str) -> Response:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status=status, headers=names, body=text, received_wall_ms=1_790_812_800_000)


KEENS = {"message": "You specified: 'x'", "error_code": "SomeError"}
HTML = b"<html>Bad gateway</html>"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (402, PaymentRequiredError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, KeenApiError),
        (413, RequestTooLargeError),
        (414, RequestTooLargeError),
        (429, RateLimitedError),
        (500, ServerError),
        (503, ServerError),
        (599, ServerError),
    ],
)
def test_keens_error_is_typed_by_its_status(status: int, kind: type[KeenApiError]) -> None:
    """Status, Keen's name for it and its words are all there."""
    with pytest.raises(KeenApiError) as caught:
        read_json(_response(status, KEENS))
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.error_code) == (status, "SomeError")
    assert "You specified: 'x'" in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("InvalidApiKeyError", AuthenticationError),
        ("AdminOnlyEndpointError", AuthenticationError),
        ("RequestForbiddenError", ForbiddenError),
        ("ResourceNotFoundError", NotFoundError),
        ("InternalServerError", ServerError),
        ("InvalidJSONError", InvalidRequestError),
    ],
)
def test_error_body_with_status_of_success_is_an_error(code: str, kind: type[KeenApiError]) -> None:
    """Keen has delivered errors with 200; the name in the body decides."""
    with pytest.raises(KeenApiError) as caught:
        read_json(_response(200, {"message": "m", "error_code": code}))
    assert type(caught.value) is kind
    assert caught.value.status == 200


def test_collection_named_error_code_is_no_error() -> None:
    """In a bulk answer the members are collections, and their values lists."""
    body = {"error_code": [{"success": True}]}
    assert read_json(_response(200, body)) == body


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405])
@pytest.mark.parametrize("body", [HTML, b"", b"[]", b'{"detail": "not found"}', b'{"error_code": 5}'])
def test_anothers_refusal_is_not_keens(status: int, body: bytes) -> None:
    """A proxy's 404 page must not be read as *no such collection*."""
    with pytest.raises(UnreadableResponseError) as caught:
        read_json(_response(status, body, content_type="text/html"))
    assert caught.value.status == status
    assert "text/html" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(413, RequestTooLargeError), (414, RequestTooLargeError), (429, RateLimitedError), (502, ServerError)],
)
def test_some_statuses_mean_the_same_whoever_sends_them(status: int, kind: type[KeenApiError]) -> None:
    """A front proxy's page has no error_code, and the status is enough."""
    with pytest.raises(kind) as caught:
        read_json(_response(status, HTML))
    assert (caught.value.status, caught.value.error_code) == (status, None)
    assert "Bad gateway" not in str(caught.value)


@pytest.mark.parametrize(
    "body", [HTML, b"", b"\xff", b"{", b"NaN", b'{"result": Infinity}', b'{"result": 1e999}']
)
def test_success_that_is_no_json_is_unreadable(body: bytes) -> None:
    """A captive portal answers 200 as well."""
    with pytest.raises(UnreadableResponseError) as caught:
        read_json(_response(200, body))
    assert caught.value.status == 200


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://other.example:8443/3.0/projects/P?api_key=SECRET", " to https://other.example:8443;"),
        ("/relative?api_key=SECRET", "a redirect;"),
        ("http://[broken", "a redirect;"),
        ("", "a redirect;"),
    ],
)
def test_redirect_is_refused_clearly(location: str, shown: str) -> None:
    """The message says where to, without what the URL may quote, and why it was not followed."""
    with pytest.raises(UnreadableResponseError, match="must not travel") as caught:
        read_json(_response(302, HTML, location=location))
    assert shown in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert "base URL" in str(caught.value.hint)


def test_members_are_demanded() -> None:
    """An object without them is not the answer to the question asked."""
    assert read_object(_response(200, {"result": None}), "result") == {"result": None}
    others: list[Any] = [{}, [], "text", None]
    for body in others:
        with pytest.raises(UnreadableResponseError):
            read_object(_response(200, body), "result")


def test_error_of_a_success_is_none() -> None:
    """Without raising, for callers to whom a refusal is data."""
    assert error_of(_response(201, {"created": True})) is None
    assert error_of(_response(200, HTML)) is None
    error: ApiError | None = error_of(_response(401, KEENS))
    assert isinstance(error, AuthenticationError)


def test_long_words_are_cut() -> None:
    """A server cannot fill a log with one error."""
    error = error_of(_response(400, {"message": "x" * 10_000, "error_code": "y" * 10_000}))
    assert len(str(error)) < 1_000


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry_after": "120"}, 120.0),
        ({"retry_after": " 1.5 "}, 1.5),
        ({"retry_after": "-5"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "nan"}, None),
        # The local clock at receipt was 2026-10-01T00:00:00Z.
        ({"retry_after": "Thu, 01 Oct 2026 00:01:30 GMT"}, 90.0),
        ({"retry_after": "Thu, 01 Oct 2026 00:01:30 GMT", "date": "Thu, 01 Oct 2026 00:01:00 GMT"}, 30.0),
        ({"retry_after": "Wed, 30 Sep 2026 00:00:00 GMT"}, 0.0),
        ({"retry_after": "Thu, 99 Oct 2026 00:00:00 GMT"}, None),
    ],
)
def test_retry_after_is_read_in_both_forms(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, or a date, measured by the server's own clock where it shows it."""
    response = _response(503, KEENS, **headers)
    assert retry_after_seconds(response) == seconds
    error = error_of(response)
    assert isinstance(error, ServerError)
    assert error.retry_after_seconds == seconds


def test_http_date_is_read_as_utc() -> None:
    """Also when it forgets to say so."""
    assert http_date_ms("Thu, 01 Oct 2026 00:00:00 GMT") == 1_790_812_800_000
    assert http_date_ms("Thu, 01 Oct 2026 00:00:00 -0000") == 1_790_812_800_000
    assert http_date_ms("yesterday") is None

"""One request of the administration, described by its values; and what its failure leaves true.

Reading and changing are told apart here: a read may be repeated, a change is
sent once, and when its outcome is not known the error says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, Literal, TypeVar

import attrs

from keen_client.api.answers import error_of, read_json, unreadable
from keen_client.api.json_text import encode
from keen_client.api.project import KeyClass, Project
from keen_client.api.steps import Steps
from keen_client.errors import (
    ApiError,
    KeenApiError,
    OutcomeUnknownError,
    ServerError,
    UnreadableResponseError,
)
from keen_client.transport.message import Request, Response
from keen_client.transport.secret import Secret

ResultT = TypeVar("ResultT")

_REQUEST_TIMEOUT: Final = 408
_NO_CONTENT: Final = 204


@attrs.frozen(kw_only=True, repr=False)
class Call(Generic[ResultT]):
    """One request and how its answer is read: an :class:`~keen_client.api.operation.Operation`.

    ``path`` stands below the project's own, or with ``is_root`` below the base
    URL; it is percent-encoded. ``GET`` is a read, every other method a write.
    ``hidden`` are secrets within the path.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    key_class: KeyClass
    read: Callable[[Response], ResultT]
    params: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    hidden: tuple[Secret, ...] = ()
    is_root: bool = False

    def request(self, project: Project) -> Request:
        """See :meth:`keen_client.api.operation.Operation.request`."""
        return Request(
            method=self.method,
            base_url=project.base_url,
            path=self.path if self.is_root else f"{project.path}{self.path}",
            kind="read" if self.method == "GET" else "write",
            params=self.params,
            body=self.body,
            key=project.key_for(self.key_class),
            hidden=self.hidden,
        )

    def parse(self, response: Response) -> ResultT:
        """See :meth:`keen_client.api.operation.Operation.parse`."""
        return self.read(response)

    def __repr__(self) -> str:
        """Method and path, secrets masked; no content."""
        path = self.path
        for secret in self.hidden:
            path = secret.redact(path)
        return f"Call({self.method} {path})"


def asking(call: Call[ResultT]) -> Steps[ResultT]:
    """The steps of one read."""
    result: ResultT = yield call
    return result


def changing(call: Call[ResultT], subject: str, participle: str, look: str) -> Steps[ResultT]:
    """The steps of one change. It is sent once, and its errors say whether it was made: surely not, or maybe.

    Args:
        call: The change.
        subject: What is changed, such as ``the access key``.
        participle: What is done to it, such as ``deleted``.
        look: What shows whether it was done, for the hint.
    """
    try:
        result: ResultT = yield call
    except ApiError as error:
        if may_have_acted(error):
            retell(error, f"{error.message}; {subject} may or may not have been {participle}", look)
        else:
            retell(error, f"{error.message}; nothing was {participle}")
        raise
    return result


def may_have_acted(error: ApiError) -> bool:
    """Whether the server may have carried out the write that failed with *error*."""
    if isinstance(error, KeenApiError):
        return isinstance(error, ServerError) or error.status == _REQUEST_TIMEOUT
    return isinstance(error, OutcomeUnknownError | UnreadableResponseError)


def retell(error: ApiError, message: str, hint: str | None = None) -> None:
    """Give *error* other words; its class and figures stay."""
    error.message = message
    error.hint = error.hint if hint is None else hint
    error.args = (error.message, error.hint)


def json_param(value: object) -> str:
    """A member of a query string: a text as it is, anything else as compact JSON."""
    return value if isinstance(value, str) else encode(value).decode()


def read_done(response: Response) -> bool:
    """True: it was done. The server has nothing more to say of it (204), or says it in JSON.

    Raises:
        KeenApiError: Keen refused.
        UnreadableResponseError: A success with a body that is not Keen's.
    """
    if response.status == _NO_CONTENT and not response.body:
        return True
    failure = error_of(response)
    if failure is not None:
        raise failure
    if response.body:
        read_json(response)
    return True


def read_list(response: Response, *members: str) -> list[Any]:
    """A list of objects, each with *members*.

    Raises:
        KeenApiError, UnreadableResponseError: See :func:`~keen_client.api.answers.read_json`.
    """
    value = read_json(response)
    if not isinstance(value, list) or not all(_has(each, members) for each in value):
        raise unreadable(response, "the body is not a list of what was asked for")
    return value


def _has(value: object, members: tuple[str, ...]) -> bool:
    return isinstance(value, Mapping) and all(name in value for name in members)

"""Sending events: one, or a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from keen_client.api.answers import read_object
from keen_client.api.json_text import encode
from keen_client.api.project import Project, collection_segment
from keen_client.errors import InvalidEventError, UnreadableResponseError
from keen_client.transport.message import Request, Response


@attrs.frozen
class RecordEvent:
    """Store one event at once, past the log (Keen API, single write). Never repeated.

    Raises (from :meth:`request`):
        InvalidEventError: The event is not JSON. Nothing was sent.
        InvalidCollectionNameError: The collection has no name, or one that UTF-8 cannot hold. Nothing was sent.
    """

    collection: str
    event: Mapping[str, Any] = attrs.field(repr=False)

    def request(self, project: Project) -> Request:
        """See :meth:`keen_client.api.operation.Operation.request`."""
        return Request(
            method="POST",
            base_url=project.base_url,
            path=f"{project.path}/events/{collection_segment(self.collection)}",
            kind="write",
            body=_encoded(self.event, self.collection),
            key=project.key_for("write"),
        )

    def parse(self, response: Response) -> None:
        """Return when Keen says that the event was created; raise otherwise."""
        if read_object(response).get("created") is not True:
            raise UnreadableResponseError(
                f"the server answered {response.status} without saying that the event was created",
                "look the event up before sending it again",
                status=response.status,
            )


@attrs.frozen
class UploadBatch:
    """Send a bulk body, ``{collection: [event, ...]}`` as JSON text (Keen API, bulk writes). Never repeated.

    The answer has, for each collection, a list of one result per event in the
    same order; a success of the whole says nothing about the single event.
    """

    body: bytes = attrs.field(repr=lambda body: f"<{len(body)} bytes>")

    def request(self, project: Project) -> Request:
        """See :meth:`keen_client.api.operation.Operation.request`."""
        return Request(
            method="POST",
            base_url=project.base_url,
            path=f"{project.path}/events",
            kind="write",
            body=self.body,
            key=project.key_for("write"),
        )

    def parse(self, response: Response) -> dict[str, Any]:
        """The answer as it came: an object. That its lists match the batch is for the caller to check."""
        return read_object(response)


def batch_of(events: Mapping[str, Any]) -> UploadBatch:
    """A batch from plain values.

    Raises:
        InvalidEventError: JSON cannot hold them. Nothing was sent.
    """
    return UploadBatch(_encoded(events, None))


def _encoded(value: Mapping[str, Any], collection: str | None) -> bytes:
    try:
        return encode(dict(value))
    except (TypeError, ValueError) as error:
        raise InvalidEventError(
            f"the events are not JSON ({type(error).__name__}); nothing was sent",
            "use strings, finite numbers, booleans, None, lists and dicts",
            collection=collection,
        ) from None

"""Image beacons: an event as the address of a picture, recorded when somebody loads it."""

from __future__ import annotations

import base64
from typing import Final
from urllib.parse import quote

import orjson

from keen_client._foundation.clock import ms_to_iso
from keen_client.api.project import Project, collection_segment
from keen_client.errors import EventTooLargeError
from keen_client.events.encoding import EncodedEvent

#: A browser's own limit on addresses; a longer one would be cut or refused where nobody sees it.
URL_CHARS_MAX: Final = 16_000


def image_beacon_url(project: Project, event: EncodedEvent) -> str:
    """The address that records *event* whenever it is loaded (Keen API, writes by GET).

    It holds the write key: that is how the wire has it, and whoever sees the
    page sees the key. The data are standard base64, percent-encoded, so that
    no ``+`` is taken for a space on the way.

    Raises:
        InvalidEnvironmentError: The project has no write key.
        EventTooLargeError: The address would be over 16,000 characters.
    """
    key = project.key_for("write").reveal()
    data = base64.b64encode(_event_text(event).encode()).decode()
    url = (
        f"{project.base_url}{project.path}/events/{collection_segment(event.collection)}"
        f"?api_key={quote(key, safe='')}&data={quote(data, safe='')}"
    )
    if len(url) > URL_CHARS_MAX:
        raise EventTooLargeError(
            f"the beacon's address would have {len(url):,} characters, and browsers take {URL_CHARS_MAX:,};"
            " nothing was made",
            "put less into the event",
            collection=event.collection,
        )
    return url


def _event_text(event: EncodedEvent) -> str:
    """The event's JSON text with its ``keen`` object, if it has one."""
    keen = orjson.loads(event.keen) if event.keen else {}
    if event.timestamp_ms is not None:
        keen["timestamp"] = ms_to_iso(event.timestamp_ms)
    if not keen:
        return event.body
    separator = "" if event.body == "{}" else ","
    return f'{event.body[:-1]}{separator}"keen":{orjson.dumps(keen).decode()}}}'

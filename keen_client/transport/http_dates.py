"""Times in HTTP headers: ``Date`` and ``Retry-After``."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from keen_client._foundation.clock import MS_PER_SECOND, datetime_to_ms
from keen_client.transport.message import Response

_SECONDS: Final = re.compile(r"\d{1,9}(?:\.\d{1,9})?")


def retry_after_seconds(response: Response) -> float | None:
    """The server's ``Retry-After``: seconds, or a date measured by the server's own clock if it is given."""
    text = response.headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text) is not None:
        return float(text)
    until_ms = http_date_ms(text)
    if until_ms is None:
        return None
    now_ms = http_date_ms(response.headers.get("date", ""))
    if now_ms is None:
        now_ms = response.received_wall_ms
    return max(0.0, (until_ms - now_ms) / MS_PER_SECOND)


def http_date_ms(text: str) -> int | None:
    """An HTTP date as milliseconds since 1970; None when it is none."""
    if not text:
        return None
    try:
        moment: datetime = parsedate_to_datetime(text)
        return datetime_to_ms(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None

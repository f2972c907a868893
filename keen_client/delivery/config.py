"""How delivery behaves. Every batch, wait and retry has a named limit here."""

from __future__ import annotations

from typing import Final, Literal

import attrs

from keen_client.errors import ConfigurationError
from keen_client.events.limits import BATCH_EVENTS_MAX, BATCH_SIZE_MAX_BYTES

UnknownPolicy = Literal["auto", "query", "resend"]

#: Keen remembers a uniqueness token for 31 days; we trust it for one less.
TOKEN_TRUST_DAYS: Final = 30
#: No setting of delivery is a longer time.
SECONDS_MAX: Final = 7 * 86_400


@attrs.frozen(kw_only=True)
class DeliveryConfig:
    """Settings of delivery. Durations in seconds.

    ``unknown``: what happens to an event that was sent without a usable
    answer. ``auto``: resent under its token where the server was seen to
    honour tokens within 30 days, else a query settles it first; ``query``: a
    query always settles it first; ``resend``: always resent, and the windows
    may hold duplicates. ``linger_seconds``: how long the background sender
    lets events gather. ``requests_max``: requests in flight at once.
    """

    batch_events_max: int = 500
    batch_bytes_max: int = 8_000_000
    requests_max: int = 4
    linger_seconds: float = 0.5
    unknown: UnknownPolicy = "auto"
    backoff_first_seconds: float = 0.5
    backoff_max_seconds: float = 60.0
    rate_limit_seconds: float = 60.0
    refused_wait_seconds: float = 60.0
    close_seconds: float = 2.0

    def __attrs_post_init__(self) -> None:
        """Refuse values that cannot work, by name."""
        if self.unknown not in ("auto", "query", "resend"):
            raise ConfigurationError(
                f"unknown={self.unknown!r} is no policy; nothing was sent", "use 'auto', 'query' or 'resend'"
            )
        if not 1 <= self.batch_events_max <= BATCH_EVENTS_MAX:
            raise ConfigurationError(
                f"batch_events_max must be 1 to {BATCH_EVENTS_MAX:,}; nothing was sent",
                "500 to 1,000 is fast",
            )
        if not 1 <= self.batch_bytes_max < BATCH_SIZE_MAX_BYTES:
            raise ConfigurationError(
                f"batch_bytes_max must be below {BATCH_SIZE_MAX_BYTES:,}; nothing was sent",
                "leave it out to use 8,000,000",
            )
        if self.requests_max < 1:
            raise ConfigurationError(
                "requests_max must be at least 1; nothing was sent", "4 suits a far server"
            )
        for field in attrs.fields(type(self)):
            seconds = getattr(self, field.name)
            if field.name.endswith("_seconds") and not 0 <= seconds <= SECONDS_MAX:  # nor what is no number
                raise ConfigurationError(
                    f"{field.name} must be 0 to {SECONDS_MAX:,}; nothing was sent",
                    f"leave it out to use {field.default:g}",
                )

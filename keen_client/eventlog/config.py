"""How a log is kept: durability, sizes, retention, waits. Every limit has a name and a default here."""

from __future__ import annotations

from typing import Final, Literal

import attrs

from keen_client.errors import ConfigurationError
from keen_client.events.identity import SEQ_MAX

Durability = Literal["full", "normal"]
OnFull = Literal["raise", "block"]

#: Pages of a segment's WAL after which a commit checkpoints it (16 MB at 4 KiB a page).
WAL_PAGES_MAX: Final = 4_000
#: The smallest bound on a segment's size; an empty one takes some tens of kilobytes.
SEGMENT_SIZE_MIN_BYTES: Final = 100_000
#: Rows of one multi-VALUES insert: few statements, each a chance to lose the interpreter lock.
ROWS_PER_STATEMENT: Final = 500
#: Callers' rows that share one group commit.
GROUP_EVENTS_MAX: Final = 2_000
#: How often a writer looks at free space and the log's size.
SPACE_CHECK_SECONDS: Final = 1.0


@attrs.frozen(kw_only=True)
class LogConfig:
    """Settings of the local log.

    ``durability``: ``full`` — a receipt means synced to disk; ``normal`` — it
    means written: it survives kill -9, and a power loss may take the last
    moments. ``retention_days``: how long sent entries are kept.
    ``log_size_max_bytes``: at this size ``on_full`` decides: ``raise`` refuses
    the event, ``block`` waits up to ``block_timeout_seconds`` first.
    ``reserve_bytes`` are kept free for sending and reclaiming on a full disk.
    ``lock_timeout_seconds``: how long a writer waits for others before it
    records in a segment of its own. ``reclaim_unverified``: permit that entries
    go after retention that no query ever verified; they are counted and their
    windows are unverifiable. Without, that is so only in a log that no process
    with a read key ever opened, and is warned of for a day at least.
    """

    durability: Durability = "full"
    retention_days: float = 60.0
    warn_days: float = 7.0
    segment_entries_max: int = SEQ_MAX
    segment_size_max_bytes: int = 1_000_000_000
    log_size_max_bytes: int = 20_000_000_000
    reserve_bytes: int = 4_000_000
    on_full: OnFull = "raise"
    block_timeout_seconds: float = 60.0
    lock_timeout_seconds: float = 5.0
    reclaim_unverified: bool = False
    audit: tuple[str, ...] | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse values that cannot work, by name."""
        if self.durability not in ("full", "normal"):
            raise ConfigurationError(
                f"durability {self.durability!r} is not known; nothing was recorded",
                "use 'full' (synced) or 'normal' (written)",
            )
        if self.on_full not in ("raise", "block"):
            raise ConfigurationError(
                f"on_full {self.on_full!r} is not known; nothing was recorded", "use 'raise' or 'block'"
            )
        if not 1 <= self.segment_entries_max <= SEQ_MAX:
            raise ConfigurationError(
                f"segment_entries_max must be 1 to {SEQ_MAX}; nothing was recorded",
                "leave it out to use the largest",
            )
        if self.segment_size_max_bytes < SEGMENT_SIZE_MIN_BYTES:
            raise ConfigurationError(
                f"segment_size_max_bytes must be at least {SEGMENT_SIZE_MIN_BYTES:,}: an empty segment has a size too; "
                "nothing was recorded",
                "leave it out, or give it some megabytes",
            )
        for name in ("retention_days", "warn_days", "lock_timeout_seconds", "block_timeout_seconds"):
            if not getattr(self, name) >= 0:
                raise ConfigurationError(
                    f"{name} must not be negative; nothing was recorded", "give 0 or more"
                )

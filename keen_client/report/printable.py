"""Text that is safe to print: what came from an event or a server may hold what a terminal obeys."""

from __future__ import annotations

from keen_client._foundation.clock import ms_to_iso


def printable(text: object) -> str:
    r"""*text* as one line of printable characters; all others stand as their escapes (``\x1b``, ``\n``)."""
    text = str(text)
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def counted(count: int, noun: str) -> str:
    """``1 window``, ``2 windows``: *count* of what the singular *noun* names."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def share(part: int, whole: int) -> str:
    """*part* of *whole* in per cent, rounded down: only everything is ``100 %``."""
    if whole <= 0:
        return "-"
    if part >= whole:
        return "100 %"
    thousandths = part * 100_000 // whole
    if thousandths >= 99_000:
        return f"{thousandths / 1000:.3f} %"
    return f"{thousandths // 100 / 10:.1f} %"


def size(count_bytes: int) -> str:
    """A number of bytes in the unit that suits it: ``212 KB``."""
    if count_bytes < 1_000:
        return f"{count_bytes} bytes"
    if count_bytes < 1_000_000:
        return f"{count_bytes / 1e3:.3g} KB"
    if count_bytes < 1_000_000_000:
        return f"{count_bytes / 1e6:.3g} MB"
    return f"{count_bytes / 1e9:.3g} GB"


def span(duration_ms: int) -> str:
    """A duration in its largest whole unit: ``24 h``, ``8 d``, ``90 s``."""
    for unit, unit_ms in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000)):
        if duration_ms and duration_ms % unit_ms == 0 and duration_ms // unit_ms >= (2 if unit == "d" else 1):
            return f"{duration_ms // unit_ms} {unit}"
    return f"{duration_ms / 1000:g} s"


def minute(ms: int) -> str:
    """The minute of a moment in UTC milliseconds since 1970: ``2026-10-01T04:00Z``."""
    return f"{ms_to_iso(ms)[:16]}Z"

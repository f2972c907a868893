"""The stamp: the small ``kc`` object that lets the server's aggregates be checked.

The byte recipe is a contract with other programs and later versions; the
vectors in the tests pin it. Stamps are computed from the stored row when it is
folded and sent, so recording hashes nothing.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from keen_client._foundation.clock import ms_to_iso
from keen_client.events.identity import BLOCK_ENTRIES, base36

STAMP_VERSION: Final = 1
#: The attempt number of a send outside a replay run stops counting here.
ATTEMPT_MAX: Final = 99
#: Attempt numbers of one replay run: run r has those from 100 r to 100 r + 99.
ATTEMPTS_PER_RUN: Final = ATTEMPT_MAX + 1

_HALVES: Final = struct.Struct(">II").unpack
_POWERS: Final = [4**place for place in range(BLOCK_ENTRIES)]


def digest(event_id: str, collection: str, timestamp_ms: int, body: str, keen: str) -> tuple[int, int]:
    """Return ``(h, g)``: two independent 32-bit stamps of one event's identity and content.

    *body* is the stored JSON text of the user's event without ``keen``; *keen*
    the stored JSON object of the user's own ``keen`` members without
    ``timestamp``, or the empty string. *timestamp_ms* is UTC, since 1970.
    """
    text = f"{event_id}\0{collection}\0{timestamp_ms}\0{body}\0{keen}"
    h, g = _HALVES(blake2b(text.encode(), digest_size=8).digest())
    return h, g


def digests(
    origin: str, collection: str, rows: Iterable[tuple[int, int, str, str]]
) -> tuple[array[int], array[int]]:
    """Return all ``h`` and all ``g`` of many events: :func:`digest` of each, in half its time.

    *rows* are (seq, timestamp_ms, body, keen).
    """
    # The recipe of digest spelled out: this runs for every event of a window that differs.
    halves = array(
        "I",
        b"".join(
            [
                blake2b(
                    f"{origin}-{base36(seq)}\0{collection}\0{timestamp_ms}\0{body}\0{keen}".encode(),
                    digest_size=8,
                ).digest()
                for seq, timestamp_ms, body, keen in rows
            ]
        ),
    )
    if sys.byteorder == "little":
        halves.byteswap()
    return halves[0::2], halves[1::2]


def attempt_number(previous: int | None, run: int | None = None) -> int:
    """Return ``a`` for the next send: 0 first, one more each time, at most 99.

    Within replay *run* r (from 1) it is ``100 * r + k``: k is 0 at that run's
    first send of the event. *previous* is the ``a`` of the last send, None
    when there was none.
    """
    base = 0 if run is None else ATTEMPTS_PER_RUN * run
    if previous is None or previous < base:
        return base
    return min(previous + 1, base + ATTEMPT_MAX)


def wire_event(
    origin: str,
    seq: int,
    timestamp_ms: int,
    body: str,
    keen: str,
    stamps: tuple[int, int],
    attempt: int,
    token_tier: int = 0,
) -> str:
    """Return the JSON text of one event as it travels.

    The stored texts are joined, never decoded. *token_tier* 0 sends the id as
    uniqueness token, tier n sends ``id~n``.
    """
    event_id = f"{origin}-{base36(seq)}"
    h, g = stamps
    token = event_id if token_tier == 0 else f"{event_id}~{token_tier}"
    members = body[1:-1]
    comma = "," if members else ""
    tail = f",{keen[1:]}" if keen else "}"
    block, place = divmod(seq, BLOCK_ENTRIES)
    return (
        f'{{{members}{comma}"kc":{{"v":{STAMP_VERSION},"id":"{event_id}","o":"{origin}","b":{block},'
        f'"p":{_POWERS[place]},"h":{h},"g":{g},"a":{attempt}}},'
        f'"keen":{{"timestamp":"{ms_to_iso(timestamp_ms)}","uniqueness_token":"{token}"{tail}}}'
    )

"""Resends: how often replay runs resent an event, under which token, and when they may again.

An event that is lost three times in a row is next to never lost: what reads
it does not see it, or the server refuses it without a word. Resending it night
after night would only make copies, so after the third resend it is *given up*,
and a person decides.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

import attrs

from keen_client.events.identity import EntryId
from keen_client.verify.presets import Preset

#: How often replay runs resend one event.
RESENDS_MAX: Final = 3


@attrs.frozen
class Resends:
    """What replay runs sent of one event. ``tier``: the token tier of the last resend.

    ``since_ms``: when the first run under that tier was made (UTC milliseconds).
    The first, not the last: an event is resent under one tier every few days,
    and a tier's patience would never end if each of them began it anew.
    ``count``: resends under all tiers.
    """

    tier: int
    since_ms: int
    count: int = 1

    @property
    def are_spent(self) -> bool:
        """Whether it was resent as often as runs do by themselves."""
        return self.count >= RESENDS_MAX


def token_tier(earlier: Resends | None, preset: Preset, now_ms: int) -> int:
    """The token tier of the next resend. Pure.

    The same token first: if the server has the event somewhere, it drops the
    copy. Where it registered the token and then lost the event, that resend
    was swallowed; the next tier's token, after the preset's patience, is not.
    """
    if earlier is None:
        return 0
    if now_ms - earlier.since_ms >= preset.second_tier_after_ms:
        return earlier.tier + 1
    return earlier.tier


def may_be_resent(earlier: Resends | None, preset: Preset, now_ms: int) -> bool:
    """Whether a run may resend the event by itself. Pure.

    The last resend waits for a token of the second tier: were all made under
    the first one, a server that had registered it would have swallowed every
    one of them.
    """
    if earlier is None:
        return True
    is_last = earlier.count == RESENDS_MAX - 1
    return not earlier.are_spent and not (is_last and token_tier(earlier, preset, now_ms) == 0)


def resends_between(db: sqlite3.Connection, spans: Iterable[tuple[str, int, int]]) -> dict[EntryId, Resends]:
    """What runs resent of the entries in *spans* of (origin, first seq, last seq).

    What a run was to resend and did not is not on its list any more.
    """
    found: dict[EntryId, Resends] = {}
    for span in spans:
        rows = db.execute(
            "SELECT origin, seq, tier, min(made_ms), count(*) FROM run_entries JOIN runs USING (run)"
            " WHERE origin = ? AND seq BETWEEN ? AND ? GROUP BY origin, seq, tier ORDER BY origin, seq, tier",
            span,
        ).fetchall()
        for origin, seq, tier, since_ms, count in rows:
            before = found.get(EntryId(origin, seq))
            found[EntryId(origin, seq)] = Resends(
                tier, since_ms, count if before is None else before.count + count
            )
    return found

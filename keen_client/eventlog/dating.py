"""Dating: what is done about send attempts that a wrong clock dated.

The rest that a verification waits out is counted from the last attempt. One
that was dated too late would put it off, for a year perhaps; one that was
dated too early would cut it short, and an event that is only late would be
resent. An answer brings the server's time, by which the sender corrects its
own; so only attempts without an answer can be dated too early.

Whether the wall clock leapt is told by the monotonic one, which every process
of a machine shares: the difference of the two is noted in the log. Where it
has grown, the clock was put forward, or the machine slept or was started
anew, which looks alike. Then what has no answer counts as sent only now.
"""

from __future__ import annotations

from typing import Final

import attrs
import orjson

from keen_client._foundation.clock import MS_PER_HOUR, MS_PER_MINUTE, Clock
from keen_client.eventlog.state import State

#: What is dated further ahead of now was dated by a clock that was wrong then, or is wrong now.
AHEAD_MAX_MS: Final = MS_PER_HOUR
#: From so much on the clock leapt.
_LEAP_MS: Final = 5 * MS_PER_MINUTE

_FACT: Final = "clock"
#: Outcomes that nobody knows: sent, as far as can be told, and not answered.
_UNANSWERED: Final = "(state IN ('unknown', 'inflight') OR (unsure = 1 AND state IN ('pending', 'replay')))"


@attrs.frozen
class _Noted:
    """How far the wall clock was ahead of the monotonic one, and until when what is dated was dated right (UTC ms)."""

    ahead_ms: int
    vouched_ms: int = 0


def mind_leap(state: State, clock: Clock) -> int:
    """Where the clock was put forward since anybody last looked, let the rest of what has no answer begin now.

    For whoever sends, before, and for whoever verifies. The number of ranges of entries that are dated anew.
    """
    noted = _noted(state)
    if noted == _minded(noted, clock):
        return 0
    with state.transaction() as db:
        noted = _noted(state)  # another process may have been first
        now_ms, minded = clock.wall_ms(), _minded(noted, clock)
        state.note(_FACT, orjson.dumps(attrs.astuple(minded)).decode())
        if noted is not None and minded.ahead_ms <= noted.ahead_ms:
            return 0
        early = db.execute(
            f"SELECT origin, seq_lo, seq_hi FROM ranges WHERE {_UNANSWERED} AND last_ms > ? AND last_ms < ?",  # noqa: S608
            (minded.vouched_ms, now_ms),
        ).fetchall()
        db.executemany(
            "UPDATE ranges SET last_ms = ? WHERE origin = ? AND seq_lo = ?",
            [(now_ms, origin, first) for origin, first, _ in early],
        )
        db.executemany(
            # Of all hours in which one of them may lie: to wait longer does no harm.
            "UPDATE totals SET attempted_ms = max(attempted_ms, ?) WHERE origin = ? AND seq_lo <= ? AND seq_hi >= ?",
            [(now_ms, origin, last, first) for origin, first, last in early],
        )
    return len(early)


def vouch(state: State, clock: Clock) -> None:
    """The server's clock agrees with this machine's now: what is dated ahead was dated wrong, and counts as sent now.

    So the rest begins at the first look by a clock that is known to be right.
    What is dated since the last leap was dated right: another leap says nothing against it.
    """
    mind_leap(state, clock)
    now_ms, noted = clock.wall_ms(), _noted(state)
    late = (now_ms, now_ms + AHEAD_MAX_MS)
    with state.reading() as db:
        is_open = db.execute(f"SELECT EXISTS (SELECT 1 FROM ranges WHERE {_UNANSWERED})").fetchone()[0]  # noqa: S608
        is_ahead = db.execute(
            "SELECT EXISTS (SELECT 1 FROM totals WHERE attempted_ms > ?)"
            " OR EXISTS (SELECT 1 FROM ranges WHERE max(first_ms, last_ms) > ?)",
            (late[1], late[1]),
        ).fetchone()[0]
    if not (is_open or is_ahead):
        return
    with state.transaction() as db:
        if is_open and noted is not None:
            state.note(_FACT, orjson.dumps((noted.ahead_ms, now_ms)).decode())
        if is_ahead:
            distrust_tokens(state, now_ms)
            db.execute("UPDATE ranges SET first_ms = ? WHERE first_ms > ? AND state <> 'inflight'", late)
            db.execute("UPDATE ranges SET last_ms = ? WHERE last_ms > ? AND state <> 'inflight'", late)
            db.execute("UPDATE totals SET attempted_ms = ? WHERE attempted_ms > ?", late)


def distrust_tokens(state: State, now_ms: int) -> None:
    """Unknown entries first sent in the future were dated by a clock that is wrong, then or now: their tokens may be of any age."""
    ahead = "state = 'unknown' AND first_ms > ?"
    with state.reading() as db:
        found = db.execute(f"SELECT 1 FROM ranges WHERE {ahead} LIMIT 1", (now_ms + AHEAD_MAX_MS,)).fetchone()  # noqa: S608
    if found is None:
        return
    with state.transaction() as db:
        db.execute(f"UPDATE ranges SET first_ms = 1 WHERE {ahead}", (now_ms + AHEAD_MAX_MS,))  # noqa: S608


def _noted(state: State) -> _Noted | None:
    noted = state.fact(_FACT)
    return None if noted is None else _Noted(*orjson.loads(noted))


def _minded(noted: _Noted | None, clock: Clock) -> _Noted:
    """What is to be noted now; the same as *noted* where nothing has happened."""
    now_ms = clock.wall_ms()
    ahead_ms = now_ms - clock.monotonic_ns() // 1_000_000
    if noted is None:
        return _Noted(ahead_ms)
    return _Noted(
        noted.ahead_ms if abs(ahead_ms - noted.ahead_ms) <= _LEAP_MS else ahead_ms,
        # Before a moment that was vouched for it is behind: what it dates then is not vouched for by that.
        noted.vouched_ms if now_ms >= noted.vouched_ms else 0,
    )

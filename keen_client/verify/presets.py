"""Presets: how patient a verification is before it believes what it sees."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, Literal

import attrs

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR
from keen_client.errors import UsageError
from keen_client.transport.base_url import is_loopback

#: How presets are asked for.
PresetName = Literal["immediate", "fast", "standard", "ledger"]


@attrs.frozen(kw_only=True)
class Preset:
    """One row of the table of presets. All durations in milliseconds.

    ``settle_ms``: how long after the last send attempt a window rests before
    its verdict may lead to a replay. ``reads_before_replay`` absences, each at
    least ``reads_apart_ms`` after the one before, make an event eligible for a
    replay. ``second_tier_after_ms``: how long after a replay that did not help
    a new uniqueness token is used; 0: in the next run. A window is final after
    ``final_matches`` matches that lie ``matches_apart_ms`` apart, and one match
    at or after each of ``rechecks_ms``, counted from the last attempt or the
    window's end, whichever is later.
    """

    name: str
    settle_ms: int
    reads_before_replay: int
    reads_apart_ms: int
    second_tier_after_ms: int
    final_matches: int
    matches_apart_ms: int
    rechecks_ms: tuple[int, ...] = ()
    #: Looked at once more where uniqueness tokens may still swallow or release an event; None: not.
    token_recheck_ms: int | None = None


PRESETS: Final = MappingProxyType(
    {
        made.name: made
        for made in (
            Preset(
                name="immediate",
                settle_ms=0,
                reads_before_replay=1,
                reads_apart_ms=0,
                second_tier_after_ms=0,
                final_matches=1,
                matches_apart_ms=0,
            ),
            Preset(
                name="fast",
                settle_ms=6 * MS_PER_HOUR,
                reads_before_replay=2,
                reads_apart_ms=MS_PER_HOUR,
                second_tier_after_ms=8 * MS_PER_DAY,
                final_matches=2,
                matches_apart_ms=MS_PER_HOUR,
                rechecks_ms=(10 * MS_PER_DAY,),
            ),
            Preset(
                name="standard",
                settle_ms=24 * MS_PER_HOUR,
                reads_before_replay=2,
                reads_apart_ms=5 * MS_PER_HOUR,
                second_tier_after_ms=8 * MS_PER_DAY,
                final_matches=2,
                matches_apart_ms=5 * MS_PER_HOUR,
                rechecks_ms=(10 * MS_PER_DAY,),
            ),
            Preset(
                name="ledger",
                settle_ms=8 * MS_PER_DAY,
                reads_before_replay=2,
                reads_apart_ms=5 * MS_PER_HOUR,
                second_tier_after_ms=8 * MS_PER_DAY,
                final_matches=2,
                matches_apart_ms=5 * MS_PER_HOUR,
                rechecks_ms=(10 * MS_PER_DAY,),
                token_recheck_ms=31 * MS_PER_DAY,
            ),
        )
    }
)
DEFAULT_PRESET: Final = "standard"
_LOOK_BACK_MS: Final = 10 * MS_PER_DAY


def preset(name: str = DEFAULT_PRESET, settle_override_ms: int | None = None) -> Preset:
    """The preset called *name*, its settle time replaced where one is given.

    Raises:
        UsageError: there is no such preset, or the settle time is negative. Nothing was asked.
    """
    found = PRESETS.get(name)
    if found is None:
        raise UsageError(f"{name[:40]!r} is not a preset; nothing was asked", "one of " + ", ".join(PRESETS))
    if settle_override_ms is None:
        return found
    if settle_override_ms < 0:
        raise UsageError("the settle time is negative; nothing was asked", "give 0s or more")
    return attrs.evolve(found, settle_ms=settle_override_ms)


def look_back_ms(chosen: Preset) -> int:
    """How long after a window came to rest nights look at it at all; under each preset ten days at least."""
    return max(_LOOK_BACK_MS, *chosen.rechecks_ms, chosen.token_recheck_ms or 0)


def check_preset(chosen: Preset, base_url: str, *, allow_immediate: bool = False) -> None:
    """Refuse ``immediate`` for a server where an event may take its time: it would be resent too early.

    Raises:
        UsageError: nothing was asked and nothing sent.
    """
    if chosen.name == "immediate" and not allow_immediate and not is_loopback(base_url):
        raise UsageError(
            "the preset immediate is for a server on this machine; nothing was asked",
            "use fast or standard, or allow immediate explicitly",
        )

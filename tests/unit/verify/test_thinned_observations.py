"""Of old windows a few observations stay for ever: enough for every look that may come, and never for a better state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR
from keen_client.verify.observations import KEPT_MAX, WHOLE_MS, Observation, Observations, needed
from keen_client.verify.presets import PRESETS, preset
from keen_client.verify.state import WindowFacts, window_state
from keen_client.verify.verdict import ACCOUNTED, Verdict

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World

HOUR = 1_790_812_800_000

READS = st.lists(
    st.builds(
        lambda days, verdict, counted, fingerprint: Observation(
            HOUR + int(days * MS_PER_DAY), verdict, "", 5, counted, fingerprint
        ),
        st.floats(0, 60),
        st.sampled_from([Verdict.MATCH, Verdict.MATCH, Verdict.MATCH, Verdict.SHORT, Verdict.SETTLING]),
        st.integers(3, 5),
        st.sampled_from(["a", "a", "a", "b"]),
    ),
    max_size=12,
).map(lambda reads: sorted(reads, key=lambda read: read.at_ms))


def test_every_look_of_every_preset_lies_within_what_is_kept_whole() -> None:
    """Settling and the last look after it, with as much again to spare."""
    longest = max(p.settle_ms + max([0, *p.rechecks_ms, p.token_recheck_ms or 0]) for p in PRESETS.values())
    assert 2 * longest < WHOLE_MS


@settings(max_examples=300)
@given(reads=READS, name=st.sampled_from(sorted(PRESETS)), sent=st.floats(-1, 40))
def test_the_state_of_an_old_window_stays_or_is_looked_at_again(
    reads: list[Observation], name: str, sent: float
) -> None:
    """Thinning never makes a window final that was not, and changes nothing unless something was sent in between."""
    facts = WindowFacts(
        start_ms=HOUR,
        end_ms=HOUR + MS_PER_HOUR,
        fingerprint="a",
        last_attempt_ms=HOUR + int(sent * MS_PER_DAY),
    )
    now_ms = HOUR + 200 * MS_PER_DAY
    places = needed(reads)
    kept = [read for place, read in enumerate(reads) if place in places]
    whole = window_state(reads, facts, preset(name), now_ms)
    thin = window_state(kept, facts, preset(name), now_ms)
    assert len(kept) <= KEPT_MAX
    assert thin.state is whole.state or (whole.state, thin.state) == (Verdict.FINAL, Verdict.MATCH)
    settled_ms = facts.rests_since_ms(now_ms) + preset(name).settle_ms
    if all(read.at_ms >= settled_ms for read in reads):
        assert (thin.state, thin.due_ms) == (whole.state, whole.due_ms)
    # Whether an event that is missed had been seen: the last read that accounted for all tells.
    seen = [read.at_ms for read in reads if read.verdict in ACCOUNTED]
    assert [read.at_ms for read in kept if read.verdict in ACCOUNTED][-1:] == seen[-1:]


def test_only_old_windows_are_thinned(world: World) -> None:
    """A window read twenty times keeps them all until it is old, then a few; a window with few keeps them."""
    stored = Observations(world.log.state)
    reads = [Observation(HOUR + n * MS_PER_DAY, Verdict.MATCH, "", 5, 5, "a") for n in range(20)]
    stored.add("purchases", MS_PER_HOUR, [(HOUR, read) for read in reads])
    stored.add("purchases", MS_PER_HOUR, [(HOUR + MS_PER_HOUR, read) for read in reads[:3]])
    span = ("purchases", HOUR, HOUR + MS_PER_DAY, MS_PER_HOUR)
    assert stored.thin(HOUR + MS_PER_HOUR - 1) == 0
    assert stored.thin(HOUR + MS_PER_DAY) == 17
    assert stored.read(*span) == {HOUR: [reads[0], *reads[18:]], HOUR + MS_PER_HOUR: reads[:3]}
    assert stored.thin(HOUR + MS_PER_DAY) == 0

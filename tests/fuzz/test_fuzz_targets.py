"""Every fuzz target: what it was given once it still takes, and what is made of its words too. Without atheris."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.target import NAMES, REGRESSIONS
from tests.fuzz.targets import TARGETS

#: Examples of each target, by what one takes: a segment is a file that is damaged, looked at and salvaged.
EXAMPLES = dict.fromkeys(NAMES, 60) | {"segments": 4, "verification": 30, "http": 40}


def test_every_target_has_a_name_and_every_regression_a_target() -> None:
    """The command knows all of them without loading any."""
    assert tuple(TARGETS) == NAMES
    assert {path.name for path in REGRESSIONS.iterdir() if path.is_dir()} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_found_once_stays_mended(name: str) -> None:
    """The seeds, and each input that ever broke the target."""
    target = TARGETS[name]
    for data in target.corpus():
        target.run(data)


@pytest.mark.parametrize("name", NAMES)
def test_no_input_breaks_a_target(name: str) -> None:
    """Bytes of any kind, words of the target, and seeds that were cut and mended with them."""
    target = TARGETS[name]
    word = st.one_of(st.sampled_from(list(target.words)), st.binary(max_size=8))
    spoken = st.lists(word, max_size=12).map(b"".join)
    cut = st.builds(
        lambda seed, place, length, more: seed[:place] + more + seed[place + length :],
        st.sampled_from(list(target.seeds)),
        st.integers(0, 400),
        st.integers(0, 20),
        spoken,
    )

    @settings(
        max_examples=EXAMPLES[name],
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        database=None,
    )
    @given(data=st.one_of(spoken, cut, cut))
    def check(data: bytes) -> None:
        target.run(data)

    check()

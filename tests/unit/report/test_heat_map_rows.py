"""The heat map: the worst state of an hour is what one sees, and what was not checked is never green."""

from __future__ import annotations

from collections import Counter

import pytest

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR
from keen_client.report.heat_map import GLYPHS, GOOD, day_rows, draw, legend, words
from keen_client.verify.report import WindowReport
from keen_client.verify.verdict import EXIT_BITS, Verdict

DAY_MS = 20_727 * MS_PER_DAY  # 2026-10-01


def window(state: Verdict, start_ms: int = DAY_MS, width_ms: int = MS_PER_HOUR) -> WindowReport:
    return WindowReport(collection="things", start_ms=start_ms, end_ms=start_ms + width_ms, state=state)


def test_every_state_has_a_glyph_of_its_own_kind() -> None:
    """A state that sets no bit looks like a match, and no other does, in both character sets."""
    assert set(GLYPHS) == set(Verdict)
    assert {state for state in Verdict if EXIT_BITS[state] == 0} == GOOD
    good = GLYPHS[Verdict.MATCH]
    for state in set(Verdict) - GOOD:
        assert GLYPHS[state].sign != good.sign
        assert GLYPHS[state].ascii != good.ascii
    distinct = set(GLYPHS.values())
    assert (
        len({glyph.ascii for glyph in distinct}) == len({glyph.sign for glyph in distinct}) == len(distinct)
    )
    assert all(glyph.ascii.isascii() for glyph in distinct)


def test_a_day_is_a_row_of_24_hours() -> None:
    """Each window stands in its hour; hours without events are blank."""
    windows = [window(Verdict.MATCH), window(Verdict.SHORT, DAY_MS + 23 * MS_PER_HOUR)]
    (row,) = day_rows(windows)
    assert row.cells == (Verdict.MATCH, *[None] * 22, Verdict.SHORT)
    ruler, line = (text.plain for text in draw([row]))
    assert line.startswith("2026-10-01  \N{BLACK SQUARE} ")
    assert line[12 + 23 + 23 // 6] == GLYPHS[Verdict.SHORT].sign
    assert line.endswith("1 short")
    assert ruler.index("06") == 12 + 6 + 1


def test_an_hour_stands_under_its_number() -> None:
    """Cells are grouped by six hours, and the ruler names the first of each group."""
    rows = day_rows([window(Verdict.SHORT, DAY_MS + hour * MS_PER_HOUR) for hour in (0, 6, 12, 18)])
    ruler, line = (text.plain for text in draw(rows))
    assert [i for i, sign in enumerate(line) if sign == GLYPHS[Verdict.SHORT].sign] == [
        ruler.index(hour) for hour in ("00", "06", "12", "18")
    ]


@pytest.mark.parametrize("state", sorted(set(Verdict) - GOOD))
def test_one_bad_window_colours_its_cell(state: Verdict) -> None:
    """Of several windows in an hour the worst is shown, whatever their order."""
    matches = [window(Verdict.MATCH, DAY_MS + minute * 60_000, 60_000) for minute in range(1, 60)]
    bad = window(state, DAY_MS, 60_000)
    for windows in ([bad, *matches], [*matches, bad]):
        (row,) = day_rows(windows)
        assert row.cells[0] is state
        assert not row.is_good


def test_a_wide_window_covers_its_hours() -> None:
    """A window of a day is seen in every hour of it."""
    (row,) = day_rows([window(Verdict.EXCESS, DAY_MS, MS_PER_DAY)])
    assert set(row.cells) == {Verdict.EXCESS}
    assert row.counts == Counter({Verdict.EXCESS: 1})


def test_many_good_days_are_folded_and_bad_ones_are_not() -> None:
    """Two months fit a screen: stretches that match are one line, each other day keeps its own."""
    windows = [window(Verdict.FINAL, DAY_MS + day * MS_PER_DAY) for day in range(60)]
    windows[30] = window(Verdict.INCOMPLETE, DAY_MS + 30 * MS_PER_DAY)
    lines = [text.plain for text in draw(day_rows(windows))]
    assert len(lines) == 1 + 3
    assert lines[1] == "2026-10-01 to 2026-10-30: 30 days, final"
    assert "1 incomplete" in lines[2]


def test_days_beyond_the_limit_are_counted_with_their_states() -> None:
    """What does not fit is summed up, not left out."""
    windows = [window(Verdict.SHORT, DAY_MS + day * MS_PER_DAY) for day in range(20)]
    lines = [text.plain for text in draw(day_rows(windows), days_max=5)]
    assert lines[1] == "15 earlier days: 15 short"
    assert len(lines) == 2 + 5


def test_the_map_can_be_drawn_in_ascii() -> None:
    """A terminal without the glyphs gets stand-ins."""
    rows = day_rows([window(state, DAY_MS + hour * MS_PER_HOUR) for hour, state in enumerate(Verdict)])
    assert all(line.plain.isascii() for line in draw(rows, ascii_only=True))
    assert legend([window(Verdict.SHORT)], ascii_only=True).plain.strip() == "v short"


def test_the_words_for_a_day_never_hide_a_state() -> None:
    """Only days that match wholly say so; otherwise each other state is counted."""
    assert words(Counter({Verdict.FINAL: 24})) == "final"
    assert words(Counter({Verdict.FINAL: 23, Verdict.MATCH: 1})) == "match"
    told = words(Counter({Verdict.FINAL: 20, Verdict.INCOMPLETE: 3, Verdict.SHORT: 1}))
    assert told == "1 short, 3 incomplete"

"""Folding: no line is wider than the terminal, and nothing is lost, torn or moved."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from keen_client.report.folding import HANGING, WIDTH_MIN, fold

WORDS = st.text("abc-:(", min_size=1, max_size=25)
LINES = st.tuples(
    st.integers(0, 6), st.lists(st.tuples(WORDS, st.sampled_from([" ", "  ", "   "])), max_size=40)
)


def folded(text: str, width: int) -> list[str]:
    return [line.plain for line in fold([Text(text)], width)]


def made(margin: int, pieces: list[tuple[str, str]]) -> str:
    return (" " * margin + "".join(word + gap for word, gap in pieces)).rstrip(" ")


@given(LINES, st.integers(WIDTH_MIN, 120))
def test_no_line_is_wider_than_the_terminal(line: tuple[int, list[tuple[str, str]]], width: int) -> None:
    """Where words are shorter than the width, every line fits into it."""
    assert all(len(part) <= width for part in folded(made(*line), width))


@given(LINES, st.integers(0, 120))
def test_words_stay_whole_and_in_their_order(line: tuple[int, list[tuple[str, str]]], width: int) -> None:
    """Read without its spaces, a folded line is what it was."""
    text = made(*line)
    assert " ".join(folded(text, width)).split() == text.split()


@given(LINES)
def test_what_fits_is_not_touched(line: tuple[int, list[tuple[str, str]]]) -> None:
    """Nor is anything for a terminal that is too narrow to be helped."""
    text = made(*line)
    assert folded(text, max(WIDTH_MIN, len(text))) == [text]
    assert folded(text, WIDTH_MIN - 1) == [text]


def test_a_line_breaks_between_statements_first() -> None:
    """A gap of several spaces parts statements; the rest stands below them, indented."""
    told = "  a statement of some length   another one that is quite long   and a third"
    assert folded(told, 64) == [
        "  a statement of some length   another one that is quite long",
        " " * (2 + HANGING) + "and a third",
    ]


def test_a_word_without_a_space_is_not_torn() -> None:
    """An id that is too long for the terminal stands on a line of its own."""
    assert folded(f"missing {'x' * 60} more", 40) == ["missing", f"    {'x' * 60}", "    more"]


def test_colours_go_with_their_words() -> None:
    """A piece keeps its style wherever it stands."""
    line = Text("plain " * 8)
    line.append("red", style="red")
    *_, last = fold([line], 40)
    (span,) = last.spans
    assert last.plain[span.start : span.end] == "red"

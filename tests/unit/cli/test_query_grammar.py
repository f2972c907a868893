"""The grammar of queries on the command line: what is understood, and what is refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client.cli.query_words import FilterWords, JsonText, OrderWords, TimeframeWords, Zone, read_steps
from keen_client.queries.filters import OPERATORS, Filter
from keen_client.queries.timeframe import RelativeTimeframe, Timeframe
from keen_client.results.text import json_text


def _refused(kind: click.ParamType[Any], text: str) -> str:
    with pytest.raises(click.BadParameter) as raised:
        kind.convert(text, None, None)
    return raised.value.message


@pytest.mark.parametrize(
    ("text", "name", "operator", "value"),
    [
        ("price gt 5", "price", "gt", 5),
        ("price  gt   5", "price", "gt", 5),
        ("price eq -2.5", "price", "eq", -2.5),
        ("item eq book", "item", "eq", "book"),
        ("item eq a long name", "item", "eq", "a long name"),
        ('zip eq "10115"', "zip", "eq", "10115"),
        ("sold eq true", "sold", "eq", True),
        ("item eq null", "item", "eq", None),
        ("item exists false", "item", "exists", False),
        ('user.name in ["a", "b"]', "user.name", "in", ("a", "b")),
        ("n eq 18446744073709551617", "n", "eq", 2**64 + 1),
        ("at gt 2026-10-01T00:00:00Z", "at", "gt", "2026-10-01T00:00:00Z"),
        ("text contains eq 5", "text", "contains", "eq 5"),
    ],
)
def test_a_filter_is_property_operator_value(text: str, name: str, operator: str, value: Any) -> None:
    """The value is JSON where it is JSON, else text."""
    assert FilterWords().convert(text, None, None) == Filter(name, operator, value)


@given(
    st.text(st.characters(exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc"]), min_size=1, max_size=10).filter(
        lambda name: not name.startswith("{") and not any(sign.isspace() for sign in name)
    ),
    st.sampled_from(sorted(OPERATORS - {"exists", "in", "within"})),
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(st.characters(exclude_categories=["Cs"]))),
)
def test_every_value_can_be_written_as_json(name: str, operator: str, value: Any) -> None:
    """A text in quotes is that text, whatever it looks like."""
    found = FilterWords().convert(f"{name} {operator} {json_text(value)}", None, None)
    assert found == Filter(name, operator, value)


def test_a_filter_may_be_keens_json() -> None:
    """With all that the words cannot say."""
    text = '{"operator": "or", "operands": [{"property_name": "a b", "operator": "eq", "property_value": 1}]}'
    found = FilterWords().convert(text, None, None)
    assert found.to_json()["operands"][0]["property_name"] == "a b"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("price", "PROPERTY OPERATOR VALUE"),
        ("price is 5", "PROPERTY OPERATOR VALUE"),
        ("", "PROPERTY OPERATOR VALUE"),
        ("item in a,b", "takes a list"),
        ("item exists maybe", "True or False"),
        ("{not json", "not JSON"),
        ('{"a": 1}', "exactly property_name"),
    ],
)
def test_a_filter_that_is_none_is_refused(text: str, told: str) -> None:
    """With the form, or with what is wrong in it."""
    assert told in _refused(FilterWords(), text)


def test_a_timeframe_is_a_word_or_two_times() -> None:
    """The times are those of all commands: with a zone, or a date."""
    kind = TimeframeWords()
    assert kind.convert("this_7_days", None, None) == RelativeTimeframe("this_7_days")
    assert kind.convert("2026-10-01/2026-10-02", None, None) == Timeframe.between("2026-10-01", "2026-10-02")
    assert kind.convert("2026-10-01T02:00:00+02:00/2026-10-02", None, None) == Timeframe.between(
        "2026-10-01", "2026-10-02"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("7_days", "neither a word of Keen's"),
        ("", "neither a word of Keen's"),
        ("2026-10-01T00:00:00/2026-10-02", "no time zone"),
        ("2026-10-02/2026-10-01", "not after its start"),
        ("2026-10-01/", "not a time"),
        ("2026-02-30/2026-03-01", "day is out of range"),
    ],
)
def test_a_timeframe_that_is_none_is_refused(text: str, told: str) -> None:
    """In words."""
    assert told in _refused(TimeframeWords(), text)


@pytest.mark.parametrize(
    ("text", "expected"), [("-28800", -28800), ("+3600", 3600), ("US/Pacific", "US/Pacific"), ("UTC", "UTC")]
)
def test_a_zone_is_seconds_or_a_name(text: str, expected: str | int) -> None:
    """Whether there is such a name, the server says."""
    assert Zone().convert(text, None, None) == expected


@pytest.mark.parametrize(
    ("text", "name", "direction"),
    [
        ("result", "result", "ASC"),
        ("result desc", "result", "DESC"),
        ("user.name ASC", "user.name", "ASC"),
        ("a name desc", "a name", "DESC"),
        ("desc", "desc", "ASC"),
    ],
)
def test_an_order_is_a_property_and_a_direction(text: str, name: str, direction: str) -> None:
    """Ascending where nothing is said."""
    assert OrderWords().convert(text, None, None) == {"property_name": name, "direction": direction}


def test_an_order_by_nothing_is_refused() -> None:
    """An empty text names nothing."""
    assert "empty" in _refused(OrderWords(), "")


def test_json_is_exact() -> None:
    """Integers of any size; and what is no JSON is told."""
    assert JsonText().convert('{"a": 18446744073709551617}', None, None) == {"a": 2**64 + 1}
    assert "not JSON" in _refused(JsonText(), "{a: 1}")


def test_steps_are_a_list_in_a_file(tmp_path: Path) -> None:
    """By themselves, or as the steps of an object."""
    file = tmp_path / "steps.json"
    file.write_text('[{"event_collection": "visits"}]', encoding="utf-8")
    assert read_steps(file) == [{"event_collection": "visits"}]
    file.write_text('{"steps": [1]}', encoding="utf-8")
    assert read_steps(file) == [1]
    file.write_text("steps", encoding="utf-8")
    with pytest.raises(click.UsageError, match="not JSON"):
        read_steps(file)


@pytest.mark.parametrize("text", ["foo", "2026-10-01", "7 days"])
def test_a_wrong_timeframe_is_told_in_the_words_of_the_command_line(text: str) -> None:
    """START/END is what one types here; the dict of the Python interface is not."""
    told = _refused(TimeframeWords(), text)
    assert repr(text) in told
    assert "START/END, such as 2026-10-01/2026-11-01" in told
    assert "{" not in told

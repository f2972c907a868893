"""Types of columns: whatever the values and their order, the type holds all of them exactly."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client.results.arrow import JSON_METADATA, schema_of, table_of
from keen_client.results.columns import EMPTY, JSON, Columns, ColumnType, Kind, type_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ALL = [
    *(ColumnType(kind) for kind in Kind),
    *(ColumnType(k, is_list=True) for k in Kind if k is not Kind.JSON),
]

moments = st.integers(-(10**13), 10**14).map(lambda ms: EPOCH + timedelta(milliseconds=ms))
integers = st.one_of(
    st.integers(-5, 5),
    st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63, -(2**63), 10**38 - 1, 10**38]),
    st.integers(-(10**40), 10**40),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    integers,
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("ab.", max_size=2), inner, max_size=3)
    ),
    max_leaves=5,
)
#: Columns as they are: mostly of one kind.
columns = st.one_of(
    *(
        st.lists(st.one_of(st.none(), kind), max_size=6)
        for kind in (
            st.booleans(),
            integers,
            st.integers(-5, 5),
            st.one_of(st.integers(-5, 5), st.floats(allow_nan=False, allow_infinity=False)),
            st.text("xyz", max_size=3),
            moments,
            st.lists(st.integers(-5, 5), max_size=3),
            st.lists(st.one_of(st.none(), integers), max_size=3),
            st.lists(st.one_of(st.booleans(), st.integers()), max_size=3),
            values,
        )
    )
)


def _types(column: list[Any]) -> ColumnType:
    found = Columns(["c"])
    for value in column:
        found.observe({"c": value})
    return found.types["c"]


@given(st.sampled_from(ALL), st.sampled_from(ALL), st.sampled_from(ALL))
def test_joining_is_a_lattice(one: ColumnType, two: ColumnType, three: ColumnType) -> None:
    """In any order and any grouping the same, idempotent, with nothing below null and nothing above JSON."""
    assert one.join(two) == two.join(one)
    assert one.join(two).join(three) == one.join(two.join(three))
    assert one.join(one) == one
    assert EMPTY.join(one) == one
    assert JSON.join(one) == JSON


@given(columns)
def test_the_type_does_not_depend_on_the_order(column: list[Any]) -> None:
    """Nor on how the values were divided into pages."""
    assert len({_types(list(order)) for order in permutations(column[:4])}) == 1
    half = len(column) // 2
    assert _types(column[:half]).join(_types(column[half:])) == _types(column)


@given(columns)
def test_a_table_holds_every_value_exactly(column: list[Any]) -> None:
    """What goes in comes out, as what it was: an integer is no float, a boolean no number, null is null."""
    kind = _types(column)
    stored = table_of([{"c": value} for value in column], {"c": kind}).column("c").to_pylist()
    assert len(stored) == len(column)
    for value, out in zip(column, stored, strict=True):
        if value is None:
            assert out is None
        elif kind == JSON:
            if not isinstance(value, datetime):
                assert _same(json.loads(out), value)
        else:
            assert _same(_plain(out), value)


def _plain(out: Any) -> Any:
    if isinstance(out, list):
        return [_plain(member) for member in out]
    return int(out) if isinstance(out, Decimal) else out


def _same(out: Any, value: Any) -> bool:
    """Equal, and of the same kind; where integers stand beside fractions, equal as numbers."""
    if isinstance(value, dict):
        return (
            isinstance(out, dict)
            and out.keys() == value.keys()
            and all(_same(out[k], value[k]) for k in value)
        )
    if isinstance(value, list):
        return isinstance(out, list) and len(out) == len(value) and all(map(_same, out, value))
    return bool(out == value) and isinstance(out, bool) == isinstance(value, bool)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([], EMPTY),
        ([None], EMPTY),
        ([1, None], ColumnType(Kind.SMALL_INTEGER)),
        ([2**53 + 1, 1], ColumnType(Kind.INTEGER)),
        ([2**63], ColumnType(Kind.LARGE_INTEGER)),
        ([10**38], JSON),
        ([1, 2.5], ColumnType(Kind.NUMBER)),
        ([2**53 + 1, 2.5], JSON),
        ([True, 1], JSON),
        (["1", 1], JSON),
        ([True, None, False], ColumnType(Kind.BOOLEAN)),
        ([[1], [], None], ColumnType(Kind.SMALL_INTEGER, is_list=True)),
        ([[1], 1], JSON),
        ([[1, "a"]], JSON),
        ([[[1]]], JSON),
        ([{"a": 1}], JSON),
    ],
)
def test_types_are_the_least_that_hold_the_values(column: list[Any], expected: ColumnType) -> None:
    """No wider than needed, and never at the price of a digit."""
    assert _types(column) == expected


def test_a_column_that_comes_late_is_null_before() -> None:
    """Names stand in order of first appearance, after those given."""
    found = Columns(["z"])
    for row in ({"b": 1}, {"a": 2}, {"b": 3, "z": None}):
        found.observe(row)
    assert list(found) == ["z", "b", "a"]
    table = table_of([{"b": 1}, {"a": 2}], found.types)
    assert table.to_pydict() == {"z": [None, None], "b": [1, None], "a": [None, 2]}


def test_columns_tell_their_types() -> None:
    """In their repr, and of very many only the first."""
    columns = Columns()
    columns.observe({"day": datetime(2026, 10, 1, tzinfo=UTC), "tags": ["a"], "n": 1})
    assert repr(columns) == "Columns(day: timestamp, tags: list of text, n: small integer)"
    assert repr(Columns()) == "Columns()"
    columns.observe({f"p{number}": number for number in range(1_000)})
    assert repr(columns).endswith("p4: small integer, ...)")


def test_json_columns_say_so() -> None:
    """In the metadata of their field; no other column has any."""
    schema = schema_of({"j": JSON, "t": ColumnType(Kind.TEXT)})
    assert schema.field("j").metadata == {k.encode(): v.encode() for k, v in JSON_METADATA.items()}
    assert schema.field("t").metadata is None


def test_rows_without_columns_are_still_rows() -> None:
    """Events without any property are counted all the same."""
    assert table_of([{}, {}, {}], {}).num_rows == 3


def test_values_of_a_list_decide_its_type() -> None:
    """An empty list is a list of anything."""
    assert type_of([]).join(type_of(["a"])) == ColumnType(Kind.TEXT, is_list=True)

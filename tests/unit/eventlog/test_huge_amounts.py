"""Numbers that are legal one by one and whose sum no double can hold stop no event on its way."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client._foundation.clock import MS_PER_HOUR
from keen_client.eventlog.fold import Amount
from keen_client.events.encoding import encode_event
from keen_client.verify.level_zero import choose_audit

HUGE = 1.5e308
HOUR_MS = 1_795_435_200_000


def record(till: Any, *amounts: float, collection: str = "meters") -> None:
    till.log.record_all([encode_event(collection, {"reading": amount}) for amount in amounts])


@pytest.mark.parametrize(
    "batches",
    [
        [(HUGE, HUGE)],
        [(-HUGE, -HUGE)],
        [(HUGE, HUGE, -HUGE, -HUGE)],
        [(HUGE,), (HUGE,), (-HUGE,), (-HUGE,)],
        [(-HUGE,), (-HUGE,), (HUGE, HUGE)],
    ],
    ids=["in_one_batch", "negative", "back_to_nought", "over_batches", "both_signs_over_batches"],
)
def test_a_sum_that_no_double_holds_stops_no_event(
    make_till: Callable[..., Any], batches: list[tuple[float, ...]]
) -> None:
    """Every event is claimed and settled, those of other collections too; the property alone is not compared."""
    till = make_till()
    sent = 0
    for batch in batches:
        record(till, *batch)
        till.record(2)
        sent += till.send()
    record(till, 1.0)
    assert sent + till.send() == sum(map(len, batches)) + 2 * len(batches) + 1
    assert till.log.outbox.backlog().unsent == 0

    windows = till.log.expectation.windows("meters", HOUR_MS, HOUR_MS + MS_PER_HOUR, MS_PER_HOUR)
    assert windows[HOUR_MS].total.n == sum(map(len, batches)) + 1
    audit = choose_audit("meters", windows.values())
    assert (audit.exact, audit.rounded) == ((), ())
    assert audit.left_out == (("reading", "its sum is beyond what a double can hold"),)
    others = till.log.expectation.windows("purchases", HOUR_MS, HOUR_MS + MS_PER_HOUR, MS_PER_HOUR)
    assert choose_audit("purchases", others.values()).exact == ("number", "price")


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)), st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_a_total_is_a_number_or_infinite_and_never_nan(reals: list[float], wholes: list[int]) -> None:
    """SQLite keeps no NaN: a total that became one could never be stored."""
    total = Amount()
    for value in (*reals, *wholes):
        total.add(value)
        total.merge(total)
        total.add(value, -1)
    assert not math.isnan(total.real)
    assert not math.isnan(total.magnitude)
    assert math.isfinite(total.real) or not math.isfinite(total.magnitude)

"""Reports of verify, replay and nightly as their reader uses them: whose event is it, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keen_client import KeenClient
from keen_client.server import LocalServer

if TYPE_CHECKING:
    from tests.unit.client.conftest import MakeClient

DAY = date(2026, 10, 1)
NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def loser() -> Iterator[LocalServer]:
    """A server that says success and stores nothing."""
    with LocalServer(faults=("lose=1",), seed=1) as server:
        yield server


@pytest.fixture
def at_loser(make_client: MakeClient, loser: LocalServer) -> Callable[[], KeenClient]:
    """Makes clients of a server that says success and stores nothing."""
    return lambda: make_client(
        project_id=loser.project_id,
        write_key=loser.write_key,
        read_key=loser.read_key,
        base_url=loser.url,
    )


def test_a_receipt_is_found_in_every_report_that_names_its_event(at_loser: Callable[[], KeenClient]) -> None:
    """What a receipt calls an event is what the log, the windows and the plan call it."""
    client = at_loser()
    lost, other = (client.add_event("invoices", {"number": n}, NOON) for n in (1, 2))
    client.flush()

    report = client.verify(DAY, DAY + timedelta(days=1), preset="immediate")
    plan = client.replay(DAY, DAY + timedelta(days=1), preset="immediate")

    (window,) = report.windows
    assert lost.id in window.missing
    assert lost.id in set(report.eligible)
    assert [lost.id, other.id] == [planned.id for planned in plan.planned]
    assert [lost.id, other.id] == [entry.id for entry in client.log.entries()]
    assert "nobody-1" not in window.missing


def test_a_misspelt_collection_is_green_in_no_job(at_loser: Callable[[], KeenClient]) -> None:
    """Verify, replay (planned and done) and the nightly job warn of it, and their exit status is 32."""
    client = at_loser()
    client.add_event("paid", {"number": 1}, NOON)
    client.flush()
    span = (DAY, DAY + timedelta(days=1))
    given: dict[str, Any] = {"collections": ["payd"], "preset": "immediate"}

    verified = client.verify(*span, **given)
    plan, replayed = (client.replay(*span, yes=yes, **given) for yes in (False, True))
    nights = client.nightly(*span, **given), client.nightly(**given)

    for report in (verified, plan.verification, replayed.verification, *(night.after for night in nights)):
        assert report.unknown_collections == ("payd",)
        assert any("payd" in warning for warning in report.warnings)
    assert {done.exit_status() for done in (verified, plan, replayed, *nights)} == {32}


def test_times_of_a_report_are_aware_and_those_of_its_milliseconds(
    at_loser: Callable[[], KeenClient],
) -> None:
    """As those of receipts and of the log are."""
    client = at_loser()
    client.add_event("invoices", {"number": 1}, NOON)
    client.flush()

    report = client.verify(DAY, DAY + timedelta(days=1), preset="immediate")

    (window,) = report.windows
    assert (window.start, window.end) == (NOON, NOON + timedelta(hours=1))
    assert window.start.tzinfo is window.end.tzinfo is report.as_of.tzinfo is UTC
    assert report.as_of.timestamp() * 1000 == report.as_of_ms
    assert window.due is not None
    assert window.due_ms is not None
    assert window.due.timestamp() * 1000 == window.due_ms

"""A collection that is asked for by name and that nobody ever heard of is no match: it is misspelt, or the job looks elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR
from keen_client.errors import AuthenticationError, ServerError
from keen_client.verify.report import VerifyReport
from keen_client.verify.verdict import Verdict
from keen_client.verify.windows import Scope

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World

HOUR = 1_790_812_800_000
MISSPELT = "purchses"


@pytest.fixture
def shop(world: World) -> World:
    """Three purchases, sent and there."""
    world.record(3)
    world.send()
    return world


def _told(report: VerifyReport) -> list[str]:
    return [warning for warning in report.warnings if MISSPELT in warning]


def test_a_misspelt_collection_is_warned_of_and_not_verified(shop: World) -> None:
    """Exit 32, as where there is no log, and a warning with its name; it costs no question of its own."""
    report = shop.verify(collections=(MISSPELT,))
    assert (report.windows, report.unknown_collections, report.exit_status()) == ((), (MISSPELT,), 32)
    (warning,) = _told(report)
    assert "has none of that name" in warning
    assert report.document()["warnings"] == [warning]
    assert len(shop.server.queries) == 1


def test_beside_others_it_hides_nothing_of_them(shop: World) -> None:
    """The windows of the others stand in the report as before, and their bits beside its own."""
    (lost,) = shop.record(1, at_ms=HOUR + 10)
    shop.send(lose={lost})
    report = shop.verify(collections=("purchases", MISSPELT))
    assert [(window.state, window.missing) for window in report.windows] == [(Verdict.SHORT, (lost,))]
    assert report.exit_status() == 4 | 32


def test_what_was_ever_recorded_is_known(shop: World) -> None:
    """Outside the windows, and in the tail that nobody folded yet: nothing to compare, and nothing to warn of."""
    shop.record(1, collection="refunds", at_ms=HOUR + MS_PER_DAY)
    for _ in range(2):  # the second time it is folded
        report = shop.verify(collections=("refunds",))
        assert (report.windows, report.unknown_collections, report.exit_status()) == ((), (), 0)
        shop.send()


def test_in_an_empty_log_no_name_is_wrong(world: World) -> None:
    """A fresh deployment's job wakes nobody; its warning says that the log has no events."""
    report = world.verify(collections=("purchases",))
    assert (report.unknown_collections, report.exit_status()) == ((), 0)
    assert len(report.warnings) == 1


def test_what_the_server_knows_is_not_misspelt(shop: World) -> None:
    """Another machine may record it: one job for a fleet names the same collections on each."""
    shop.server.store("refunds", {"keen": {"timestamp": "2026-10-20T00:00:00.000Z"}})
    report = shop.verify(collections=("refunds",))
    assert (report.unknown_collections, report.warnings, report.exit_status()) == ((), (), 0)


@pytest.mark.parametrize("is_there", [False, True])
def test_the_job_that_reads_what_is_due_asks_once(shop: World, is_there: bool) -> None:
    """Nothing of it is ever due, so that it would be green for ever; one question tells."""
    if is_there:
        shop.server.store(MISSPELT, {"keen": {"timestamp": "2026-10-20T00:00:00.000Z"}})
    scope = Scope(HOUR, HOUR + 6 * MS_PER_HOUR, collections=(MISSPELT,))
    report = shop.verifier().verify(scope, due_only=True)
    assert (report.unknown_collections, report.exit_status()) == (((), 0) if is_there else ((MISSPELT,), 32))
    assert len(shop.server.queries) == report.cost.requests == 1


def test_without_names_nothing_is_asked_for(shop: World) -> None:
    """Every collection of the log is one that it knows."""
    report = shop.verify()
    assert (report.unknown_collections, report.exit_status()) == ((), 0)
    assert len(shop.server.queries) == 1


def test_a_server_that_does_not_say_leaves_it_unverified(shop: World) -> None:
    """What could not be asked is no match either, and the warning tells which it is."""
    shop.server.before_query = _fail(ServerError("the server answered 503", status=503))
    scope = Scope(HOUR, HOUR + 6 * MS_PER_HOUR, collections=(MISSPELT,))
    report = shop.verifier().verify(scope, due_only=True)
    (warning,) = _told(report)
    assert "did not say" in warning
    assert report.exit_status() == 32


def test_a_refused_key_ends_it(shop: World) -> None:
    """As it ends every verification."""
    shop.server.before_query = _fail(AuthenticationError("the server answered 401", status=401))
    scope = Scope(HOUR, HOUR + 6 * MS_PER_HOUR, collections=(MISSPELT,))
    with pytest.raises(AuthenticationError):
        shop.verifier().verify(scope, due_only=True)


def _fail(error: Exception) -> Any:
    def fail(number: int, query: dict[str, Any]) -> None:
        raise error

    return fail

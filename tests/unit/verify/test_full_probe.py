"""The full probe shows what the server does, and no verdict rests on what it was seen not to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from keen_client._foundation.clock import MS_PER_DAY
from keen_client._foundation.randomness import SeededRandomness
from keen_client.api import KeenApi, Project
from keen_client.errors import InvalidRequestError, UnreadableResponseError
from keen_client.eventlog.state import State
from keen_client.queries import Analysis
from keen_client.server.running import LocalServer
from keen_client.testing.clocks import VirtualClock
from keen_client.transport import Secret
from keen_client.verify import probe
from keen_client.verify.features import Features, features_of, save
from keen_client.verify.full_probe import EVENTS, QUERIES_MAX, FullProbe, probe_events, told
from keen_client.verify.probe import READY_AFTER_MS
from keen_client.verify.verdict import Verdict

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World

Alter = Callable[[dict[str, Any], Any], Any]


class Liar:
    """An API whose answers are altered on their way."""

    def __init__(self, api: KeenApi) -> None:
        self.api = api
        self.alter: Alter = lambda query, result: result
        self.queries = 0

    def query(self, analysis: Analysis, *, all_keys: bool = False) -> Any:
        self.queries += 1
        query = {"analysis_type": analysis.analysis_type, **analysis.to_json()}
        return self.alter(query, self.api.query(analysis))

    def upload(self, events: Any) -> dict[str, Any]:
        return self.api.upload(events)


class Rig:
    """A local server, a state to remember in, and the probe between them."""

    def __init__(self, path: Path, *faults: str) -> None:
        self.clock = VirtualClock()
        self.server = LocalServer(seed=3, clock=self.clock, faults=faults).start()
        self.api = KeenApi.open(
            Project(
                id=self.server.project_id,
                base_url=self.server.url,
                write_key=Secret(self.server.write_key),
                read_key=Secret(self.server.read_key),
            ),
            clock=self.clock,
        )
        self.liar = Liar(self.api)
        self.state = State(path)
        self.probe = FullProbe(self.state, self.liar, self.clock, SeededRandomness(1))

    def run(self) -> Features | None:
        self.probe.send(0)
        return self.probe.read()

    def close(self) -> None:
        self.state.close()
        self.api.close()
        self.server.stop()


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(*faults: str) -> Rig:
        made.append(Rig(tmp_path, *faults))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


def test_an_honest_server_has_every_feature(make_rig: Callable[..., Rig]) -> None:
    """Everything as documented, within the promised number of queries, and remembered for 30 days."""
    rig = make_rig()
    features = rig.run()
    assert features == Features()
    assert all(does for does, _ in told(Features()).values())
    assert rig.liar.queries <= QUERIES_MAX
    assert not rig.probe.is_pending
    assert features_of(rig.state, rig.clock.wall_ms()) == features


def test_both_probes_together_cost_fifty_events_at_most() -> None:
    """The collection holds that many of one probe, and no more."""
    assert len(probe_events("n", 0)) == EVENTS
    assert EVENTS + probe.EVENTS <= 50


def test_a_server_that_prints_few_digits_is_found(make_rig: Callable[..., Rig]) -> None:
    """With twelve digits a sum of 2^40 comes back altered, one of 2^33 does not."""
    features = make_rig("digits=12").run()
    assert features is not None
    assert features.exact_max == 2**33
    assert features.printed_max == 2**33
    assert not told(features)["sums"][0]


def no_null_group(query: dict[str, Any], result: Any) -> Any:
    names = query.get("group_by", [])
    if not names or "interval" in query:
        return result
    return [row for row in result if row[names[0]] is not None]


def no_empty_windows(query: dict[str, Any], result: Any) -> Any:
    return [part for part in result if part["value"]] if "interval" in query else result


def not_a_list(query: dict[str, Any], result: Any) -> Any:
    return {"rows": result} if "interval" in query else result


def end_included(query: dict[str, Any], result: Any) -> Any:
    if query.get("group_by") == ["edge"] and "interval" not in query:
        return [*result, {"edge": "end", "result": 1}]
    return result


def twenty_groups(query: dict[str, Any], result: Any) -> Any:
    return result[:20] if query.get("group_by") else result


def cap_on_windows(query: dict[str, Any], result: Any) -> Any:
    if "interval" in query and len(result) > 1440:
        raise InvalidRequestError("too many sub-timeframes", status=400)
    return result


def lists_of_a_hundred(query: dict[str, Any], result: Any) -> Any:
    for condition in query["filters"]:
        if condition["operator"] == "in" and len(condition["property_value"]) > 100:
            return 15
    return result


@pytest.mark.parametrize(
    ("alter", "name", "expected"),
    [
        (no_null_group, "null_group", Features(null_group=False)),
        (no_empty_windows, "intervals", Features(windows_max=0)),
        (end_included, "timeframes", Features(timeframes=False)),
        (twenty_groups, "groups", Features(groups=False, null_group=False)),
        (not_a_list, "intervals", Features(windows_max=0)),
        (cap_on_windows, "intervals", Features(windows_max=1440)),
        (lists_of_a_hundred, "lists", Features(list_max=100)),
    ],
)
def test_what_a_server_does_not_do_is_found(
    make_rig: Callable[..., Rig], alter: Alter, name: str, expected: Features
) -> None:
    """Each trouble shows under its name."""
    rig = make_rig()
    rig.liar.alter = alter
    found = rig.run()
    assert found is not None
    if name == "groups":
        found = attrs.evolve(found, null_group=False)
    assert found == expected
    assert not told(found)[name][0]


def test_it_waits_until_all_its_events_are_there(make_rig: Callable[..., Rig]) -> None:
    """Early, or with events still under way, nothing is concluded."""
    rig = make_rig("delay=0.5:30m")
    rig.probe.send()
    assert rig.probe.read() is None
    assert rig.liar.queries == 0
    rig.clock.advance(READY_AFTER_MS / 1000)
    assert rig.probe.read() is None
    assert rig.probe.is_pending
    rig.clock.advance(3600)
    assert rig.probe.read() == Features()


def test_a_page_of_a_proxy_shows_nothing(make_rig: Callable[..., Rig]) -> None:
    """It is an error, and the probe stays to be read again."""
    rig = make_rig()

    def page(query: dict[str, Any], result: Any) -> Any:
        if "interval" in query:
            raise UnreadableResponseError("the body is not JSON", status=200)
        return result

    rig.liar.alter = page
    with pytest.raises(UnreadableResponseError):
        rig.run()
    assert rig.probe.is_pending


def test_an_old_answer_is_forgotten(make_rig: Callable[..., Rig]) -> None:
    """After 30 days the documented behaviour is assumed again."""
    rig = make_rig()
    save(rig.state, rig.clock.wall_ms(), attrs.asdict(Features(null_group=False)), None)
    assert not features_of(rig.state, rig.clock.wall_ms() + 29 * MS_PER_DAY).null_group
    assert features_of(rig.state, rig.clock.wall_ms() + 30 * MS_PER_DAY).null_group


def remember(world: World, features: Features) -> None:
    save(world.log.state, world.clock.wall_ms(), attrs.asdict(features), None)


def test_windows_whose_sums_need_more_are_unverifiable(world: World) -> None:
    """With sums exact to 2^33 one event can be compared and twenty cannot; nothing is looked into."""
    world.record(1)
    ids = world.record(20, at_ms=world.clock.wall_ms() + 3_600_000)
    world.send(lose=ids[:3])
    remember(world, Features(exact_max=2**33))
    small, large = world.verify().windows
    assert small.state is Verdict.FINAL
    assert (large.state, large.missing, large.eligible) == (Verdict.UNVERIFIABLE, (), ())
    assert "beyond 8,589,934,592" in large.reason


@pytest.mark.parametrize(
    "features", [Features(null_group=False), Features(groups=False), Features(list_max=0)]
)
def test_a_difference_that_such_a_server_cannot_explain_is_incomplete(
    world: World, features: Features
) -> None:
    """What differs is not judged, not stored as absent, not resent; what matches still matches."""
    world.record(5)
    ids = world.record(5, at_ms=world.clock.wall_ms() + 3_600_000)
    world.send(lose=ids[:1])
    remember(world, features)
    report = world.verify()
    good, bad = report.windows
    assert (good.state, bad.state) == (Verdict.FINAL, Verdict.INCOMPLETE)
    assert bad.reason.startswith("it differs, and the server was seen")
    assert (bad.missing, report.eligible, report.exit_status()) == ((), (), 32)
    with world.log.state.reading() as db:
        assert db.execute("SELECT count(*) FROM evidence").fetchone() == (0,)


def test_a_match_without_the_null_group_says_so(world: World) -> None:
    """The report warns of what it does not cover."""
    world.record(5)
    world.send()
    remember(world, Features(null_group=False))
    assert any("without stamps" in warning for warning in world.verify().warnings)
    assert world.verify().exit_status() == 0


def test_with_other_timeframes_nothing_matches(world: World) -> None:
    """Every window is incomplete, and none becomes final."""
    world.record(5)
    world.send()
    remember(world, Features(timeframes=False))
    (window,) = world.verify().windows
    assert window.state is Verdict.INCOMPLETE
    assert "timeframes" in window.reason


def test_no_query_asks_for_more_windows_than_the_server_takes(world: World) -> None:
    """Two windows a query: six hours are three queries."""
    world.record(5)
    world.send()
    remember(world, Features(windows_max=2))
    assert world.verify().exit_status() == 0
    assert len(world.server.queries) == 3

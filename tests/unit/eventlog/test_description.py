"""log.json is made anew from what the log itself remembers, and never for another project."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from keen_client._foundation.randomness import SeededRandomness
from keen_client.errors import EventLogBoundElsewhereError, EventLogDamagedError, EventLogError
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import Binding, LogDirectory
from keen_client.eventlog.doctor import examine
from keen_client.eventlog.finding import Finding
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.repair import repair

MakeTill = Callable[..., Any]
OURS = Binding("https://api.keen.io", "project-1")
OTHERS = [Binding("https://api.keen.io", "project-2"), Binding("http://127.0.0.1:1", "project-1")]

HARMS: dict[str, Callable[[LogDirectory], object]] = {
    "cut": lambda directory: directory.description.write_text('{"format": 1, "proj'),
    "empty": lambda directory: directory.description.write_bytes(b""),
    "another shape": lambda directory: directory.description.write_text("[1]"),
    "gone": lambda directory: directory.description.unlink(),
}


@pytest.fixture(params=HARMS)
def harmed(request: pytest.FixtureRequest, make_till: MakeTill) -> Any:
    """A closed log with three events, whose log.json was harmed."""
    till = make_till()
    till.record(3)
    till.log.close()
    HARMS[request.param](till.log.directory)
    return till


def mend(till: Any, binding: Binding | None) -> list[Finding]:
    return repair(
        till.log.directory,
        till.log.config,
        till.clock,
        SeededRandomness(1),
        boot_id="boot-1",
        binding=binding,
    )


def about_the_description(till: Any) -> list[Finding]:
    found = examine(till.log.directory, till.log.config, till.clock, boot_id="boot-1")
    return [finding for finding in found if finding.name == "directory" and finding.level != "ok"]


def test_a_harmed_description_is_a_finding_and_stops_no_examination(harmed: Any) -> None:
    """All else is looked at, and the hint asks for nothing that nobody knows."""
    (told,) = about_the_description(harmed)
    assert told.level == "damage"
    assert "doctor --repair" in told.hint
    assert "made" not in told.hint.partition("{")[2]
    found = examine(harmed.log.directory, harmed.log.config, harmed.clock, boot_id="boot-1")
    assert {"state", "segments", "journal"} <= {finding.name for finding in found}
    with pytest.raises(EventLogDamagedError):
        harmed.log.directory.binding()


@pytest.mark.parametrize("binding", [OURS, None])
def test_a_repair_makes_the_description_anew_by_what_the_log_remembers(
    harmed: Any, make_till: MakeTill, binding: Binding | None
) -> None:
    """The former lies in damaged/, and every event waits as before."""
    directory = harmed.log.directory
    former = directory.description.read_bytes() if directory.exists() else None
    assert ("repaired", "directory") in [(f.level, f.name) for f in mend(harmed, binding)]
    assert directory.binding() == OURS
    aside = [path.read_bytes() for path in directory.damaged.iterdir()] if former is not None else []
    assert aside == ([former] if former is not None else [])
    assert about_the_description(harmed) == []
    again = make_till()
    assert [entry.seq for entry in again.log.entries()] == [1, 2, 3]
    assert mend(again, binding) == []


@pytest.mark.parametrize("binding", OTHERS)
def test_no_repair_gives_a_log_to_another_project(harmed: Any, binding: Binding) -> None:
    """What the log remembers is said, and the file is left as it is."""
    before = sorted(path.name for path in harmed.log.directory.path.rglob("*.json*"))
    (told,) = [finding for finding in mend(harmed, binding) if finding.name == "directory"]
    assert told.level == "warning"
    assert OURS.project_id in told.message
    assert OURS.base_url in told.message
    assert sorted(path.name for path in harmed.log.directory.path.rglob("*.json*")) == before
    with pytest.raises(EventLogDamagedError):
        harmed.log.directory.binding()


def test_a_log_that_does_not_remember_its_project_is_given_to_nobody(harmed: Any) -> None:
    """One of an earlier version, or whose state.db is gone too: a person has to say."""
    harmed.log.directory.state.unlink()
    assert [finding for finding in mend(harmed, OURS) if finding.name == "directory"] == []
    with pytest.raises(EventLogError):
        harmed.log.directory.binding()


@pytest.mark.parametrize("binding", OTHERS)
def test_a_log_without_its_description_is_not_taken_over(make_till: MakeTill, binding: Binding) -> None:
    """Where log.json is gone, another project's client gets an error, and the log's own goes on."""
    till = make_till()
    till.record(1)
    till.log.close()
    till.log.directory.description.unlink()
    with pytest.raises(EventLogBoundElsewhereError, match=OURS.project_id):
        EventLog(till.log.directory.path, binding, LogConfig(), till.clock, SeededRandomness(1))
    assert not till.log.directory.exists()
    assert make_till().log.binding == OURS


def test_the_project_is_remembered_in_a_log_that_is_opened(make_till: MakeTill) -> None:
    """Also in one of an earlier version, which did not."""
    till = make_till()
    with till.log.state.transaction() as db:
        db.execute("DELETE FROM facts WHERE name = 'binding'")
    till.log.close()
    assert orjson.loads(make_till().log.state.fact("binding")) == [OURS.base_url, OURS.project_id]

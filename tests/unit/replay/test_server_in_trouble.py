"""A server in trouble does not hold the job: after three turns in a row that it cost, the rest waits for the next one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from keen_client.errors import (
    ApiError,
    InvalidRequestError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    ServerError,
)
from keen_client.queries import Analysis
from keen_client.verify.verdict import Verdict

if TYPE_CHECKING:
    from tests.unit.replay.conftest import Rig

Fails = Callable[[str], ApiError | None]
NAMES = "abcdefg"


@pytest.fixture
def asked(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Callable[[Fails], list[str]]:
    """Makes queries fail as told, on a log with seven collections that are due; the list of those asked for."""
    for name in NAMES:
        rig.record(2, name)
    rig.client.flush()
    rig.advance(hours=26)

    def failing(fails: Fails) -> list[str]:
        names: list[str] = []
        api = rig.client._core.need_machinery().api
        ask = api.query

        def query(analysis: Analysis, **settings: Any) -> Any:
            if analysis.event_collection in NAMES:
                names.append(analysis.event_collection)
                error = fails(analysis.event_collection)
                if error is not None:
                    raise error
            return ask(analysis, **settings)

        monkeypatch.setattr(api, "query", query)
        return names

    return failing


@pytest.mark.parametrize("kind", [RateLimitedError, OutcomeUnknownError, NotSentError])
def test_after_three_turns_in_vain_nobody_is_asked(
    kind: type[ApiError], rig: Rig, asked: Callable[[Fails], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All windows are incomplete, with that reason; and the next night begins with those that were not asked for."""
    names = asked(lambda _: kind("it is over its limit"))
    report = rig.nightly()
    assert "".join(names) == "abc"
    windows = {window.collection: window for window in report.after.windows}
    assert {name: window.state for name, window in windows.items()} == dict.fromkeys(
        NAMES, Verdict.INCOMPLETE
    )
    assert {windows[name].reason for name in "abc"} == {"it is over its limit"}
    assert {windows[name].reason for name in "defg"} == {
        "the server could not be asked 3 times in a row (it is over its limit), so it was not asked for"
    }
    assert report.exit_status() == 32
    monkeypatch.undo()
    names = asked(lambda _: None)
    rig.advance(hours=6)
    assert rig.nightly().exit_status() == 0
    assert "".join(dict.fromkeys(names)) == "defgabc"


@pytest.mark.parametrize("kind", [ServerError, InvalidRequestError])
def test_what_is_about_one_question_stops_no_other(
    kind: type[ApiError], asked: Callable[[Fails], list[str]], rig: Rig
) -> None:
    """A refusal, and a failure that is told at once, may be of one collection: all others are asked for."""
    names = asked(lambda _: kind("no"))
    rig.nightly()
    assert "".join(names) == NAMES


def test_an_answer_in_between_begins_the_count_anew(asked: Callable[[Fails], list[str]], rig: Rig) -> None:
    """Two in vain and one answered: it takes three more until the server is given up."""
    names = asked(lambda name: None if name == "c" else NotSentError("nobody answers"))
    rig.nightly()
    assert "".join(names) == "abcdef"

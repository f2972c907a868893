"""Dead letters at the command line: what is there is not sent, and what was given up is decided by its id alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from keen_client.cli.dead import dead
from keen_client.eventlog.dead_letters import GIVEN_UP, bury
from keen_client.eventlog.entry import DeliveryState
from keen_client.events.identity import EntryId


@pytest.fixture
def letters(world: Any) -> tuple[EntryId, EntryId, EntryId]:
    """Dead letters: one that the server stored all the same, one that it refused, and one that was given up."""
    (there,) = world.record(1)
    world.send(DeliveryState.REJECTED)
    (refused,) = world.record(1)
    world.send(DeliveryState.REJECTED, lose=[refused])
    (given_up, *_) = world.record(3)
    world.send(lose=[given_up])
    with world.log.state.transaction() as db:
        bury(db, world.log.shelf.pick([given_up])[given_up], GIVEN_UP, "resent in vain", "dead", 1)
    world.verify()
    return there, refused, given_up


def run(world: Any, *arguments: str) -> Result:
    log = Path(world.log.directory.path)
    options = ["--log", str(log), "--project-id", "p", "--base-url", "http://127.0.0.1:1"]
    return CliRunner().invoke(dead, [*arguments, *options])


def test_all_that_is_dead_is_what_the_server_refused(world: Any, letters: tuple[EntryId, ...]) -> None:
    """Of what was given up a copy may be there unseen, so no sweep sends it; what is there is told and not sent."""
    there, refused, given_up = letters
    told = orjson.loads(run(world, "retry", "--all", "--json").stdout)
    assert (told["retried"], told["asked"], told["there"]) == (2, 2, [str(there)])
    world.send()
    assert [len(world.server.find(entry_id)) for entry_id in letters] == [1, 1, 0]
    assert [letter.id for letter in world.log.dead_letters.list()] == [given_up]
    assert world.log.dead_letters.find(refused).status == "retried"


def test_it_is_said_in_words_what_was_not_sent(world: Any, letters: tuple[EntryId, ...]) -> None:
    """Standard output has the count, standard error the reason."""
    done = run(world, "retry", str(letters[0]))
    assert "retried 1 of 1" in done.stdout
    assert "not sent: 1 of them" in done.stderr


def test_what_was_given_up_is_retried_and_dropped_by_its_id(world: Any, letters: tuple[EntryId, ...]) -> None:
    """Each decision once."""
    given_up = str(letters[2])
    assert orjson.loads(run(world, "drop", "--all", "--json").stdout)["would_drop"] == [
        str(entry_id) for entry_id in letters[:2]
    ]
    assert orjson.loads(run(world, "retry", given_up, "--json").stdout) == {
        "schema": 1,
        "retried": 1,
        "asked": 1,
        "there": [],
    }
    assert orjson.loads(run(world, "drop", given_up, "--yes", "--json").stdout)["dropped"] == 0

"""A process dies at each named point of an event's life; the next one loses nothing, and nothing is there twice."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.crash.nursery import Nursery
from tests.crash.points import POINTS, Call, Point, outlive

if TYPE_CHECKING:
    from tests.crash.conftest import Served

ROOT = Path(__file__).parents[2]
#: Transactions whose commit has no point of its own in the table, each with its reason.
ELSEWHERE = {
    "State._note": "one fact; in all else it joins the transaction around it",
    "State.count": "joins the transaction around it",
    "Outbox._postpone": "one delay of an entry that cannot be read",
    "Outbox.journal_again": "one time of a batch that is journalled",
    "Evidence.note": "joins Lesson.learn",
    "Evidence.note_seen": "joins Lesson.learn",
    "Evidence.note_absent": "joins Lesson.learn",
    "Evidence.note_disputed": "joins Lesson.learn",
    "Evidence.end_absences": "joins Lesson.learn",
    "acknowledge_seen": "joins Lesson.learn",
    "give_up": "joins Lesson.learn",
    "distrust_tokens": "one time of entries that wait for a query then; found again at the next claim",
    "vouch": "how attempts are dated, after a verification; the next one does the same",
    "take_up": "a person's repair: tests/unit/eventlog/test_recovery.py",
    "bury_absent": "joins Lesson.learn",
    "write_off_deleted": "joins Lesson.learn",
    "lapse_deleted": "joins Deletions.note, or Outbox._settle",
    "lapse_returned": "joins Outbox._settle",
    "Runs.begin": "joins Night._begin",
    "save": "what the server was seen to be able to do: asked again where it is not known",
    "_enter": "into a file that has no name yet: the points of the rebuilding",
    "_rebuild_segment": "the same",
    "_take_over": "the same",
    "State.note_identity": "joins note_restoration",
    "note_restoration": "one transaction when a copy is opened: tests/unit/eventlog/test_restoration.py",
    "_fold_tail": "a page of what a copy had to send: the same",
    "doubt_restored": "the end of that: the same",
    "recover_state": "a line about what was damaged, after it was rebuilt",
    "DeadLetters._decide": "a person's decision, repeatable",
    "Deletions.note": "before the deletion is asked for",
    "Deletions.withdraw": "after it surely was not carried out: held back for longer",
    "Deletions.accept": "a person's decision, repeatable",
    "Salvager._journal": "a person's repair: tests/unit/eventlog/test_damage.py",
    "_Repair._abandoned": "a person's repair: tests/unit/eventlog/test_doctor.py",
}


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_what_a_process_leaves_that_dies_at_a_point_arrives_once(
    nursery: Nursery, served: Served, tmp_path: Path, point: Point
) -> None:
    """SIGKILL there and nowhere else; then every receipt is in the log and at the server, each event once."""
    found = outlive(nursery, served, tmp_path, point)
    print(f"\n{found.receipts} receipts, {found.arrived} arrived")
    assert found.receipts


def test_a_point_that_no_process_comes_by_is_told(nursery: Nursery, served: Served, tmp_path: Path) -> None:
    """A function that was renamed, or that is not called any more, cannot make a point pass."""
    nowhere = Point("nowhere", "record", "one", Call("before", "os:link", within="Nobody.calls_it"))
    with pytest.raises(AssertionError, match="'nowhere', 'one', 0"):
        outlive(nursery, served, tmp_path, nowhere)


def test_every_transaction_has_its_points() -> None:
    """Each function that changes ``state.db`` is killed on both sides of its commit, or it is said why not."""
    owners: set[str] = set()
    for path in (ROOT / "keen_client").rglob("*.py"):
        owners |= set(_owners(ast.parse(path.read_text(encoding="utf-8")), ""))
    sides = {
        (point.at.owner, point.at.when) for point in POINTS if isinstance(point.at, Call) and point.at.owner
    }
    assert owners == {owner for owner, _ in sides} | ELSEWHERE.keys()
    assert sides == {(owner, when) for owner, _ in sides for when in ("before", "after")}


def _owners(tree: ast.AST, prefix: str) -> Iterator[str]:
    """The qualified names of the functions that open a transaction."""
    for node in ast.iter_child_nodes(tree):
        name = prefix
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            name = f"{prefix}.{node.name}" if prefix else node.name
        match node:
            case ast.Call(func=ast.Attribute(attr="transaction")):
                yield prefix
        yield from _owners(node, name)


def test_the_table_and_the_life_of_an_event_on_the_page_are_one() -> None:
    """Each step on the page has points, and each point a step on the page, in the same order and number."""
    page = (ROOT / "docs" / "explanation" / "evidence.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z ]+)` \|.*\| (\d+) \|$", page, flags=re.MULTILINE)
    steps = list(dict.fromkeys(point.step for point in POINTS))
    assert rows == [(step, str(sum(point.step == step for point in POINTS))) for step in steps]
    assert len({point.name for point in POINTS}) == len(POINTS)

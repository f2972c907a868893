"""A segment that was abandoned is neither continued nor read on until it is sealed, whoever learns of it how."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from keen_client.errors import EventLogError, EventLogFullError
from keen_client.eventlog.segment import list_segments

MakeTill = Callable[..., Any]


@pytest.fixture
def marked(make_till: MakeTill, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A log whose disk failed for the segment and for state.db: a mark is all that could be left."""
    till = make_till()
    till.record(3)
    (name,) = list_segments(till.log.directory.segments)

    def fail() -> None:
        raise EventLogFullError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(till.log.state, "transaction", fail)
        till.log._abandon(name)
    assert (till.log.directory.path / f"abandoned-{name.origin}").exists()
    return till, name


def test_mark_is_entered_when_the_log_is_opened(marked: Any, make_till: MakeTill) -> None:
    """Then nothing of it is sent, and nothing recorded into it."""
    till, name = marked
    till.log.close()
    again = make_till()
    assert again.status(name.origin) == "abandoned"
    assert not (till.log.directory.path / f"abandoned-{name.origin}").exists()
    (after,) = again.record()
    assert after.origin != name.origin
    assert again.send() == 1


def test_what_waits_in_it_is_told_and_never_counts_as_nothing(marked: Any, make_till: MakeTill) -> None:
    """Its three entries have receipts and no sender; once none is left, nothing is told."""
    till, name = marked
    till.log.close()
    again = make_till()
    (told,) = again.log.outbox.backlog().unreadable
    assert (told.name, told.is_gone) == (name, False)
    assert "entries that were not sent" in told.reason
    with again.log.state.transaction() as db:
        db.execute("UPDATE origins SET cursor = 3 WHERE origin = ?", (name.origin,))
    assert again.log.outbox.backlog().unreadable == ()


def test_running_sender_enters_the_mark_while_it_tends_the_log(marked: Any) -> None:
    """As soon as state.db can be written again."""
    till, name = marked
    till.log.tend()
    assert till.status(name.origin) == "abandoned"


def test_mark_of_a_segment_that_is_gone_is_taken_away(make_till: MakeTill) -> None:
    """Nothing is left to be careful with."""
    till = make_till()
    mark = till.log.directory.path / "abandoned-zzzzzzzzzz"
    mark.touch()
    till.log.tend()
    assert not mark.exists()


def test_a_disk_that_takes_not_even_the_mark_is_told_of_before_anything_is_sent(
    make_till: MakeTill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Abandoning raises nothing of its own; sending is refused as long as it cannot be noted, and noted as soon as it can."""
    till = make_till()
    till.record(3)
    (name,) = list_segments(till.log.directory.segments)

    def fail(*_: object) -> None:
        raise EventLogFullError("the disk is full")

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "the disk fails")

    with monkeypatch.context() as patch:
        patch.setattr(till.log.state, "transaction", fail)
        patch.setattr(os, "open", refuse)
        till.log._abandon(name)
        with pytest.raises(EventLogError, match="nothing was sent"):
            till.log.mark_abandoned()
    assert till.log._cursor_of(name.origin) is None
    till.log.mark_abandoned()
    assert till.status(name.origin) == "abandoned"

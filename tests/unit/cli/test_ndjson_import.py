"""The import of JSON lines: every good line recorded in order, every bad one named, nothing kept too long."""

from __future__ import annotations

import io
import os
import resource
from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client.cli import ndjson
from keen_client.cli.ndjson import Import
from keen_client.errors import EventLogFullError
from keen_client.events.encoding import EncodedEvent


class Log:
    """Stands for the log: keeps what is committed, transaction by transaction."""

    def __init__(self, full_after: int | None = None) -> None:
        self.commits: list[list[str]] = []
        self.refused: list[tuple[int, str]] = []
        self._full_after = full_after

    def record_all(self, events: Sequence[EncodedEvent]) -> None:
        if self._full_after is not None and len(self.commits) >= self._full_after:
            raise EventLogFullError("the disk is full")
        self.commits.append([event.body for event in events])

    @property
    def bodies(self) -> list[str]:
        return [body for commit in self.commits for body in commit]


def run(content: bytes, log: Log) -> Import:
    work = Import("things", lambda line, why: log.refused.append((line, why)))
    work.run(io.BytesIO(content), log.record_all, lambda progress: None)
    return work


def test_bad_lines_are_named_and_the_rest_is_recorded() -> None:
    """A line that is no JSON object, or no event, costs only itself."""
    log = Log()
    work = run(b'{"a":1}\nnonsense\n[1]\n3\n"x"\n{"kc":1}\n\n  \n{"a":2}', log)
    assert log.bodies == ['{"a":1}', '{"a":2}']
    assert [line for line, _ in log.refused] == [2, 3, 4, 5, 6]
    assert work.progress.recorded == 2
    assert work.progress.refused == 5


def test_reasons_do_not_quote_the_line() -> None:
    """What is refused may hold personal data: the reason names a path or a kind, never the content."""
    log = Log()
    run(b'{"secret": nonsense-content}\n{"a":"x", "b": 99999999999999999999999}\n', log)
    assert len(log.refused) == 2
    assert "nonsense-content" not in str(log.refused)
    assert "9999999999" not in str(log.refused)


def test_integers_beyond_64_bits_are_refused_not_rounded() -> None:
    """A number that could not be kept exactly is not kept as another one."""
    log = Log()
    run(b'{"n":18446744073709551616}\n{"n":9223372036854775807}\n', log)
    assert log.bodies == ['{"n":9223372036854775807}']


def test_a_byte_order_mark_and_carriage_returns_are_no_part_of_an_event() -> None:
    """Files of other systems are read as they are meant."""
    log = Log()
    run(b'\xef\xbb\xbf{"a":1}\r\n{"a":2}\r\n', log)
    assert log.bodies == ['{"a":1}', '{"a":2}']


def test_a_line_that_is_too_long_is_refused_and_its_tail_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an endless line only a bounded part is kept, and the next line is read as one."""
    monkeypatch.setattr(ndjson, "LINE_BYTES_MAX", 1_000)
    log = Log()
    run(b'{"a":1}\n{"a":"' + b"x" * 300_000 + b'"}\n{"a":2}\n', log)
    assert log.bodies == ['{"a":1}', '{"a":2}']
    assert log.refused == [(2, "longer than 1,000 bytes")]


def test_transactions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No transaction holds more events than its limit."""
    monkeypatch.setattr(ndjson, "EVENTS_PER_TRANSACTION", 4)
    log = Log()
    run(b'{"a":1}\n' * 10, log)
    assert [len(commit) for commit in log.commits] == [4, 4, 2]


def test_a_failure_tells_how_far_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error of the log, ``progress.line`` is the last line that need not be given again."""
    monkeypatch.setattr(ndjson, "EVENTS_PER_TRANSACTION", 4)
    log = Log(full_after=2)
    work = Import("things", lambda line, why: None)
    with pytest.raises(EventLogFullError):
        work.run(io.BytesIO(b'{"a":1}\n' * 20), log.record_all, lambda progress: None)
    assert work.progress.line == 8
    assert work.progress.recorded == 8


@pytest.mark.parametrize("descriptor", [None, 2000], ids=["any", "beyond-what-select-knows"])
def test_a_pause_of_the_stream_commits_what_has_come(descriptor: int | None) -> None:
    """Events of a slow producer do not wait in memory for others to come, however many files are open."""
    reading, writing = os.pipe()
    if descriptor is not None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, descriptor + 1), hard))
        os.dup2(reading, descriptor)
        os.close(reading)
        reading = descriptor
    seen_before_end: list[int] = []
    log = Log()

    def record_all(events: Sequence[EncodedEvent]) -> None:
        log.record_all(events)
        if len(log.commits) == 1:  # the pause was noticed while the pipe is still open
            seen_before_end.append(len(events))
            os.write(writing, b'{"a":2}\n')
            os.close(writing)

    os.write(writing, b'{"a":1}\n')
    with os.fdopen(reading, "rb") as stream:
        Import("things", lambda line, why: None).run(stream, record_all, lambda progress: None)
    assert seen_before_end == [1]
    assert log.bodies == ['{"a":1}', '{"a":2}']


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(-(2**63), 2**63 - 1) | st.text())))
def test_every_object_comes_through_unchanged(events: list[dict[str, object]]) -> None:
    """What is recorded is what the lines said, in their order."""
    log = Log()
    run(b"\n".join(orjson.dumps(event) for event in events), log)
    assert [orjson.loads(body) for body in log.bodies] == events
    assert log.refused == []

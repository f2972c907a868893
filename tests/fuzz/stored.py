"""Targets that read what lies on the disk: damaged segments, and what the log's own files say."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path
from typing import Final

import attrs

from keen_client._foundation.randomness import SeededRandomness
from keen_client.delivery.batch import build_batch
from keen_client.errors import EventLogError
from keen_client.eventlog.checkup import check_segment
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.damage import Salvager
from keen_client.eventlog.directory import Binding, LogDirectory
from keen_client.eventlog.doctor import examine
from keen_client.eventlog.entry import DeliveryState, Entry
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.outbox import Settlement
from keen_client.eventlog.salvage import salvage_segment
from keen_client.eventlog.segment import SegmentName, SegmentReader, list_segments
from keen_client.events.encoding import encode_event
from keen_client.events.identity import EntryId
from keen_client.testing.clocks import VirtualClock
from tests.fuzz.target import Target, expect, once, scratch

_EVENTS: Final = 40
_BINDING: Final = Binding("http://127.0.0.1:1", "p")
_PATCH_BYTES: Final = 7


@attrs.frozen
class _Bench:
    """A log with one segment, and what its file holds when nothing is wrong with it."""

    place: Path
    name: SegmentName
    whole: bytes
    entries: dict[int, Entry]


def _clock() -> VirtualClock:
    return VirtualClock(1_795_435_200_000)


def _open(place: Path, clock: VirtualClock) -> EventLog:
    return EventLog(place, _BINDING, LogConfig(durability="normal"), clock, SeededRandomness(1), boot_id="b")


@once
def _bench() -> _Bench:
    place = scratch() / "log"
    log = _open(place, _clock())
    log.record_all([encode_event("c", {"n": n, "text": "x" * (n * 7 % 300)}) for n in range(_EVENTS)])
    log.close()
    (name,) = list_segments(LogDirectory(place).segments)
    path = name.path_in(LogDirectory(place).segments)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    entries = {entry.seq: entry for entry in salvage_segment(path, name.origin, 0).entries}
    expect(len(entries) == _EVENTS, "a whole file is read as a whole")
    return _Bench(place, name, path.read_bytes(), entries)


def segments(data: bytes) -> None:
    """A segment with changed and missing bytes: looked at, set aside and salvaged; what can be read is not lost."""
    bench = _bench()
    damaged = _patched(bench.whole, data)
    directory = LogDirectory(scratch() / "damaged-log")
    shutil.rmtree(directory.path, ignore_errors=True)
    clock = _clock()
    log = _open(directory.path, clock)
    try:
        path = bench.name.path_in(directory.segments)
        path.write_bytes(damaged)
        with contextlib.suppress(sqlite3.Error, EventLogError):
            SegmentReader.checked(directory.segments, bench.name)[0].close()
        _send(log)
        fault = check_segment(directory, bench.name, thorough=True).fault
        findings = examine(directory, log.config, clock, boot_id="b")
        readable = {entry.seq for entry in salvage_segment(path, bench.name.origin, 0).entries}
        if fault:
            expect(any(found.level == "damage" for found in findings), "the doctor tells damage")
        elif damaged == bench.whole:
            expect(readable == set(bench.entries), "nothing is missing where nothing was changed")
        _salvage(log, bench, readable)
    finally:
        log.close()


def _send(log: EventLog) -> None:
    """What a sender and a verification do with the file before anybody knows that it is damaged."""
    with contextlib.suppress(EventLogError):
        for _ in range(3):
            claim = log.outbox.claim(events_max=50, bytes_max=10**6)
            if claim is None:
                break
            build_batch(claim.entries)
            log.outbox.settle(claim, [Settlement(DeliveryState.ACKNOWLEDGED)] * len(claim.entries))
    with contextlib.suppress(EventLogError):
        for entry in log.entries():
            expect(isinstance(entry.body, str), "an entry is what was written")
        log.expectation.windows("c", 1_795_435_200_000, 1_795_438_800_000, 3_600_000)
        for _ in log.expectation.pages(
            "c", 1_795_435_200_000, 1_795_438_800_000, log.origins(), is_stamped=True
        ):
            pass


def _salvage(log: EventLog, bench: _Bench, readable: set[int]) -> None:
    damage = Salvager(log.directory, log.state, log.shelf, log.config, log.clock).set_aside(
        bench.name, "fuzz"
    )
    expect(damage.salvaged == len(readable), "what can be read is saved")
    expect(damage.lost != 0 or len(readable) == len(bench.entries), "what is gone is not called whole")
    kept = log.shelf.pick(EntryId(bench.name.origin, seq) for seq in readable)
    expect(len(kept) == len(readable), "what is saved can be read")


def _patched(whole: bytes, data: bytes) -> bytes:
    """*whole* with a patch for each seven bytes of *data*: where (3), what to do (1), with what (3)."""
    content = bytearray(whole)
    for start in range(0, min(len(data), 20 * _PATCH_BYTES), _PATCH_BYTES):
        patch = data[start : start + _PATCH_BYTES].ljust(_PATCH_BYTES, b"\0")
        place = int.from_bytes(patch[:3], "big") % (len(content) or 1)
        how, what = patch[3] % 4, patch[4:]
        if how == 0:
            content[place : place + 3] = what
        elif how == 1:
            del content[place:]
        elif how == 2:
            size = int.from_bytes(what[:2], "big") % 5_000
            content[place : place + size] = bytes([what[2]]) * len(content[place : place + size])
        else:
            del content[place : place + what[0]]
    return bytes(content)


SEGMENTS: Final = Target(
    "segments",
    segments,
    seeds=[
        b"",
        b"\x00\x00\x10\x00abc",
        b"\x00\x10\x00\x02\x10\x00\xff",
        b"\x00\x30\x00\x01\x00\x00\x00",
        b"\x00\x00\x65\x00\x00\x00\x00\x00\x20\x03\x00\x01\x02\x03",
    ],
    words=[
        b"\x00\x00\x12\x00",
        b"\x00\x10\x05\x00",
        b"\x00\x20\x00\x02\x10\x00\x00",
        b"\xff\xff\xff",
        b"\x00" * 7,
    ],
)


def description(data: bytes) -> None:
    """``log.json`` of any content: the project it names, or an error that says how to restore it."""
    directory = LogDirectory(scratch() / "described")
    directory.path.mkdir(exist_ok=True)
    directory.description.write_bytes(data)
    try:
        binding = directory.binding()
        directory.check_binding(binding)
    except EventLogError as error:
        expect(error.hint, "an error of the log says what to do")
        return
    expect(isinstance(binding.base_url, str) and isinstance(binding.project_id, str), "both are texts")


DESCRIPTION: Final = Target(
    "description",
    description,
    seeds=[
        b'{"format": 1, "project_id": "p", "base_url": "http://127.0.0.1:1", "made": "2026-10-01T00:00:00.000Z"}',
        b"{}",
    ],
    words=[
        b'"format":',
        b'"project_id":',
        b'"base_url":',
        b"{",
        b"}",
        b"null",
        b"1",
        b'"p"',
        b",",
        b"[]",
        b"1e999",
        b"true",
    ],
)

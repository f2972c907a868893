"""``python -m tests.crash.power``: cut the power at every operation of a recorded history, and look at what is left.

A child records, sends, rolls, verifies nothing and reclaims, on the shim: each operation that changes its disk is
noted with all that it wrote, and between them its receipts and what it posts. Then the disk is made again as it may
look when the power goes before the n-th operation: what was synced is there, and of the rest, as the policy says,
nothing, the names, the contents, or what chance leaves of it. Shared memory (``-shm``) is never there.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sqlite3
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs
import httpx

from keen_client import KeenClient
from keen_client.client.wiring import ApiUploader
from keen_client.delivery.config import DeliveryConfig
from keen_client.server import LocalServer
from tests.crash import shim
from tests.crash.nursery import Nursery
from tests.crash.points import an_hour_that_is_over, open_client, say, settings_of

if TYPE_CHECKING:
    from tests.crash.conftest import Served

Policy = Literal["nothing", "names", "contents", "chance"]
POLICIES: Final[tuple[Policy, ...]] = ("nothing", "names", "contents", "chance")
DURABILITIES: Final = ("full", "normal")
_HEAD: Final = struct.Struct("=c3xIIIQQ")
_SECTOR_BYTES: Final = 512
_DIRECTORY: Final = -1


# ---- the history ------------------------------------------------------------------------------


def history(settings: dict[str, str], journal: str, durability: str) -> None:
    """What the child does, with a note of each receipt and of each post before it leaves."""
    uploader: Any = ApiUploader
    segment: Any = importlib.import_module("keen_client.eventlog.segment")
    upload = uploader.upload

    def noted(self: ApiUploader, body: bytes, *rest: Any) -> Any:
        shim.note(f"post {body.decode()}")
        return upload(self, body, *rest)

    uploader.upload = noted
    shim.watch(Path(settings["log"]).parent)
    shim.keep_journal(Path(journal))
    with open_client(settings, durability=durability, entries=9) as client:
        _record(client, range(4))
        _record_call(client, range(4, 9))
        client.flush()
        _record(client, range(10, 13))
        client.flush()
        _record(client, range(13, 21))
    segment.WAL_PAGES_MAX = 5
    with open_client(
        settings, durability=durability, entries=14, retention_days=0.0, reclaim_unverified=True
    ) as client:
        client.flush()
        _record(client, range(30, 46))
        client.flush()
        _record(client, range(50, 54))
    with open_client(
        settings, durability=durability, entries=14, retention_days=0.0, reclaim_unverified=True
    ) as client:
        client.flush()
        _record(client, range(60, 64))
        say("done")


def _record(client: KeenClient, numbers: Iterable[int]) -> None:
    for number in numbers:
        receipt = client.add_event("purchases", {"number": number}, an_hour_that_is_over())
        shim.note(f"receipt {receipt.id} {number}")


def _record_call(client: KeenClient, numbers: Sequence[int]) -> None:
    moment = an_hour_that_is_over().isoformat()
    bodies = [{"number": number, "keen": {"timestamp": moment}} for number in numbers]
    for receipt, number in zip(client.add_events({"purchases": bodies})["purchases"], numbers, strict=True):
        shim.note(f"receipt {receipt.id} {number}")


@attrs.frozen
class Operation:
    """One line of the journal; kinds as in shim.c, and F for a file's sync, D for a directory's, N for a note."""

    kind: str
    inode: int
    offset: int
    path: str
    other: str
    data: bytes


def read_journal(path: Path) -> Iterator[Operation]:
    """The operations in their order."""
    content = path.read_bytes()
    at = 0
    while at < len(content):
        kind, path_bytes, other_bytes, data_bytes, inode, offset = _HEAD.unpack_from(content, at)
        at += _HEAD.size
        pieces = []
        for size in (path_bytes, other_bytes, data_bytes):
            pieces.append(content[at : at + size])
            at += size
        yield Operation(kind.decode(), inode, offset, pieces[0].decode(), pieces[1].decode(), pieces[2])


# ---- the disk ---------------------------------------------------------------------------------


@attrs.define
class _File:
    stable: bytearray = attrs.Factory(bytearray)
    pending: list[Operation] = attrs.Factory(list)
    mode: int = 0o600

    def content(self, surviving: Iterable[Operation]) -> bytearray:
        content = bytearray(self.stable)
        for operation in surviving:
            _apply(content, operation)
        return content


def _apply(content: bytearray, operation: Operation) -> None:
    at = operation.offset
    if operation.kind == "t":
        del content[at:]
    end = at + len(operation.data) if operation.kind == "w" else at
    if len(content) < end or operation.kind in "ta":
        content.extend(bytes(max(0, end - len(content))))
    if operation.kind == "w":
        content[at:end] = operation.data


class Disk:
    """What is synced and what is not, operation by operation."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._of_inode: dict[int, int] = {}
        self._stable: dict[str, int] = {}
        #: (directory, removed name, added name, file), in order.
        self._pending: list[tuple[str, str, str, int]] = []

    def apply(self, operation: Operation) -> None:
        """Take in the next operation."""
        kind, inode = operation.kind, operation.inode
        match kind:
            case "d":
                self._rename("", operation.path, _DIRECTORY)
            case "c":
                number = len(self._files)
                self._files[number] = _File()
                self._of_inode[inode] = number
                self._rename("", operation.path, number)
            case "w" | "t" | "a":
                self._files[self._of_inode[inode]].pending.append(operation)
            case "m":
                self._files[self._of_inode[inode]].mode = operation.offset
            case "F":
                file = self._files[self._of_inode[inode]]
                file.stable = file.content(file.pending)
                file.pending = []
            case "D":
                mine = [change for change in self._pending if change[0] == operation.path]
                self._pending = [change for change in self._pending if change[0] != operation.path]
                _change(self._stable, mine)
            case "l":
                self._rename("", operation.other, self._of_inode[inode])
            case "r":
                self._rename(operation.path, operation.other, self._of_inode[inode])
            case "u":
                self._rename(operation.path, "", 0)

    def _rename(self, removed: str, added: str, number: int) -> None:
        self._pending.append((str(Path(added or removed).parent), removed, added, number))

    def image(self, policy: Policy, chance: random.Random) -> dict[str, tuple[bytes, int] | None]:
        """Content and mode of each file that is left, None for a directory, by its path."""
        names = dict(self._stable)
        survivors = {"nothing": 0, "contents": 0, "names": len(self._pending)}
        count = chance.randint(0, len(self._pending)) if policy == "chance" else survivors[policy]
        _change(names, self._pending[:count])
        found: dict[str, tuple[bytes, int] | None] = {}
        for path, number in sorted(names.items()):
            if number == _DIRECTORY:
                found[path] = None
            elif not path.endswith("-shm"):
                file = self._files[number]
                found[path] = (bytes(file.content(_survivors(file.pending, policy, chance))), file.mode)
        return found


def _change(names: dict[str, int], changes: Iterable[tuple[str, str, str, int]]) -> None:
    for _, removed, added, number in changes:
        names.pop(removed, None)
        if added:
            names[added] = number


def _survivors(pending: list[Operation], policy: Policy, chance: random.Random) -> Iterator[Operation]:
    for operation in pending:
        if policy == "contents":
            yield operation
        elif policy == "chance" and chance.random() < 0.5:
            size = len(operation.data)
            if operation.kind == "w" and size > _SECTOR_BYTES and chance.random() < 0.4:
                # Torn between two sectors of the drive.
                size = chance.randrange(1, size // _SECTOR_BYTES + 1) * _SECTOR_BYTES
            yield attrs.evolve(operation, data=operation.data[:size])


def write_image(image: dict[str, tuple[bytes, int] | None], root: str, target: Path) -> Path:
    """Lay the files of *image* out under *target* as they lay under *root*; the log there."""
    for path, file in image.items():
        place = target / Path(path).relative_to(root)
        if file is None:
            place.mkdir(parents=True, exist_ok=True)
        elif place.parent.is_dir():
            place.write_bytes(file[0])
            place.chmod(file[1])
    return target / "log"


# ---- the judge --------------------------------------------------------------------------------


@attrs.define
class Promises:
    """What the process had told the world by some moment."""

    receipts: dict[str, int] = attrs.Factory(dict)
    sent: dict[str, int] = attrs.Factory(dict)
    posts: list[str] = attrs.Factory(list)

    def hear(self, note: str) -> None:
        """Take in one note."""
        word, _, rest = note.partition(" ")
        if word == "receipt":
            event_id, number = rest.split()
            self.receipts[event_id] = int(number)
        else:
            self.posts.append(rest)
            for event in json.loads(rest)["purchases"]:
                self.sent[event["kc"]["id"]] = event["number"]


def check_image(log: Path, promises: Promises, durability: str) -> int:
    """Hold *log*, found after the power was back, to what had been promised; how many receipts are lost.

    Raises:
        AssertionError: a promise is broken.
    """
    rows: dict[str, int] = {}
    for path in sorted((log / "segments").glob("*.db")):
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",), path.name
            (origin,) = db.execute("SELECT origin FROM header").fetchone()
            found = db.execute("SELECT seq, body FROM entries ORDER BY seq").fetchall()
        assert [seq for seq, _ in found] == list(range(1, len(found) + 1)), f"a hole in {path.name}"
        rows.update((f"{origin}-{_base36(seq)}", json.loads(body)["number"]) for seq, body in found)
    gone: set[str] = set()
    if (log / "state.db").exists() and (log / "state.db").stat().st_size:
        with closing(sqlite3.connect(log / "state.db")) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",), "state.db"
            origins = (
                db.execute("SELECT origin, status, cursor FROM origins").fetchall()
                if _has_origins(db)
                else []
            )
        gone = {origin for origin, status, _ in origins if status == "reclaimed"}
        cursors = {origin: cursor for origin, _, cursor in origins}
    else:
        cursors = {}
    last = Counter(event_id.split("-")[0] for event_id in rows)
    assert [o for o, cursor in cursors.items() if o not in gone and cursor > last[o]] == [], (
        "a cursor past the end"
    )
    for event_id, number in promises.sent.items():
        origin, _, seq = event_id.partition("-")
        assert int(seq, 36) <= cursors.get(origin, 0), f"{event_id} was sent, and is not journalled"
        assert origin in gone or rows.get(event_id) == number, f"{event_id} was sent, and is not in the log"
    order = [i for i in promises.receipts if i.split("-")[0] not in gone]
    lost = [event_id for event_id in order if rows.get(event_id) != promises.receipts[event_id]]
    assert lost == order[len(order) - len(lost) :], f"a hole: {lost}"
    assert durability == "normal" or not lost, f"receipts of durability full are lost: {lost}"
    return len(lost)


def _has_origins(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = 'origins'").fetchone() is not None


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
    return digits


def go_on(log: Path, promises: Promises) -> int:
    """Let a client go on over *log* against a server that has what was posted; events there in the end, each once."""
    left = {i: n for i, n in promises.receipts.items() if i in _ids_in(log)}
    with LocalServer(seed=1) as server:
        url = f"{server.url}/3.0/projects/{server.project_id}/events"
        for body in promises.posts:
            headers = {"Authorization": server.write_key, "Content-Type": "application/json"}
            assert httpx.post(url, content=body, headers=headers).status_code == 200
        described = json.loads((log / "log.json").read_text())
        described |= {"base_url": server.url, "project_id": server.project_id}
        (log / "log.json").write_text(json.dumps(described))
        with KeenClient(
            server.project_id,
            server.write_key,
            server.read_key,
            base_url=server.url,
            log=log,
            background=False,
            delivery_config=DeliveryConfig(unknown="resend"),
        ) as client:
            fresh = {
                client.add_event("purchases", {"number": number}, an_hour_that_is_over()).id or "": number
                for number in range(1_000, 1_005)
            }
            assert fresh.keys().isdisjoint(promises.sent), "a number that the server knows was given again"
            assert client.flush().is_drained
            around = {
                "start": (an_hour_that_is_over() - timedelta(days=1)).isoformat(),
                "end": (an_hour_that_is_over() + timedelta(days=1)).isoformat(),
            }
            events = client.extraction("purchases", timeframe=around, property_names=["kc.id", "number"])
    arrived = {event["kc"]["id"]: event["number"] for event in events}
    assert len(arrived) == len(events), "doubled at the server"
    assert (left | promises.sent | fresh).items() <= arrived.items(), "lost"
    assert max(Counter(arrived.values()).values()) == 1, "one event under two ids"
    return len(arrived)


def _ids_in(log: Path) -> set[str]:
    found: set[str] = set()
    for path in (log / "segments").glob("*.db"):
        with closing(sqlite3.connect(path)) as db:
            (origin,) = db.execute("SELECT origin FROM header").fetchone()
            found |= {f"{origin}-{_base36(seq)}" for (seq,) in db.execute("SELECT seq FROM entries")}
    return found


# ---- the campaign -----------------------------------------------------------------------------


@attrs.define
class Tally:
    """What a campaign found: power cuts, those that cost receipts, the receipts lost at most, logs gone on with."""

    durability: str
    operations: int = 0
    cuts: int = 0
    costly: int = 0
    lost_max: int = 0
    gone_on: int = 0

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{self.durability}: {self.cuts:,} cuts in a history of {self.operations} operations;"
            f" {self.costly:,} cost receipts, at most {self.lost_max}; {self.gone_on} logs gone on with"
        )


def record_history(nursery: Nursery, served: Served, directory: Path, durability: str) -> list[Operation]:
    """Have a child live it in *directory*, against the server."""
    journal, lines = directory / "journal", directory / "lines"
    settings = settings_of(served, directory) | {"collection": "purchases"}
    Path(settings["log"]).parent.mkdir()
    status = nursery.live(
        "tests.crash.power:history", lines, settings=settings, journal=str(journal), durability=durability
    )
    assert status == 0, lines.read_text()
    return list(read_journal(journal))


def cut_often(
    operations: Sequence[Operation],
    directory: Path,
    durability: str,
    cuts: Iterable[tuple[int, Policy]],
    *,
    chance: random.Random,
    gone_on: int = 0,
) -> Tally:
    """Cut the power before each operation that *cuts* names, check what is left, and go on with *gone_on* of them.

    Raises:
        AssertionError: naming the cut, and the promise that was broken.
    """
    root = str(directory / "disk")
    tally = Tally(durability, sum(operation.kind != "N" for operation in operations))
    wanted = sorted(cuts)
    further = set(chance.sample(range(len(wanted)), min(gone_on, len(wanted))))
    disk, promises, done = Disk(), Promises(), 0
    for number, (position, policy) in enumerate(wanted):
        for operation in operations[done:position]:
            if operation.kind == "N":
                promises.hear(operation.data.decode())
            else:
                disk.apply(operation)
        done = position
        with tempfile.TemporaryDirectory(dir=directory) as place:
            log = write_image(disk.image(policy, chance), root, Path(place))
            try:
                if (log / "log.json").exists():
                    lost = check_image(log, promises, durability)
                    if number in further:
                        go_on(log, promises)
                        tally.gone_on += 1
                else:
                    lost = 0
                    assert not promises.receipts, "the log is gone"
            except (AssertionError, sqlite3.Error) as error:
                before = operations[position - 1] if position else None
                told = f"{before.kind} {Path(before.path).name}" if before else "the start"
                raise AssertionError(f"cut {position} ({policy}), after {told}: {error}") from error
        tally.cuts += 1
        tally.costly += lost > 0
        tally.lost_max = max(tally.lost_max, lost)
    return tally


def main(arguments: list[str]) -> int:
    """Cut at every operation under every policy; an AssertionError says what is not as it should be."""
    from tests.crash.conftest import Arena

    parser = argparse.ArgumentParser(prog="python -m tests.crash.power", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="decides what chance leaves")
    parser.add_argument("--draws", type=int, default=4, help="of the policy chance, at each operation")
    parser.add_argument("--gone-on", type=int, default=40, help="logs that a client goes on with")
    chosen = parser.parse_args(arguments)
    for durability in DURABILITIES:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            arena = Arena(directory)
            nursery = Nursery(shim.build(directory))
            try:
                operations = record_history(nursery, arena.serve(), directory, durability)
            finally:
                nursery.end()
                arena.end()
            policies = [*POLICIES[:-1], *[POLICIES[-1]] * chosen.draws]
            cuts = [(position, policy) for position in range(len(operations) + 1) for policy in policies]
            chance = random.Random(chosen.seed)
            tally = cut_often(operations, directory, durability, cuts, chance=chance, gone_on=chosen.gone_on)
        sys.stdout.write(f"{tally} ({time.monotonic() - began:.0f} s)\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

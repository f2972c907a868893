"""``python -m tests.crash.harm``: harm each file of a log under a process that works with it, in each way.

Somebody else deletes a file, cuts it, puts another in its place or writes over some of its bytes. The process may be
refused by errors of the library's own; with its shared memory cut off it may die of SIGBUS. The next one repairs the log
and goes on. Nothing is doubled, whatever was recorded after the repair arrives, and a receipt is missing only where the
file that held it was harmed.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import orjson

from keen_client._foundation.clock import SystemClock
from keen_client._foundation.randomness import SystemRandomness
from keen_client.errors import EventLogDamagedError, KeenError
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import LogDirectory
from keen_client.eventlog.repair import repair
from tests.crash import shim
from tests.crash.nursery import Nursery
from tests.crash.points import an_hour_that_is_over, open_client, record, say, settings_of

if TYPE_CHECKING:
    from tests.crash.conftest import Served

#: Files by name; the open segment is the newer one.
FILES: Final = (
    "open",
    "open-wal",
    "open-shm",
    "sealed",
    "state.db",
    "state-copy.db",
    "log.json",
    "reserve",
    "recorders.lock",
    "sender.lock",
)
#: Ways of harming, as programs that get the path and a number to draw from. Each runs in a process of its own: to open
#: and close a file of SQLite's in the process that uses it would be a harm of another kind.
HARMS: Final = {
    "deleted": "p.unlink()",
    "emptied": "os.truncate(p, 0)",
    "halved": "os.truncate(p, p.stat().st_size // 2)",
    "replaced": "q = p.with_name('.other'); q.write_bytes(r.randbytes(p.stat().st_size)); q.replace(p)",
    "copied": "q = p.with_name('.other'); q.write_bytes(p.read_bytes()); q.replace(p)",
    "overwritten": """
f = p.open('r+b')
for _ in range(8):
    f.seek(r.randrange(max(1, p.stat().st_size)))
    f.write(r.randbytes(16))
f.close()
""",
}
_PROGRAM: Final = (
    "import os, random, sys\nfrom pathlib import Path\np, r = Path(sys.argv[1]), random.Random(sys.argv[2])\n"
)
_SIGBUS: Final = -7


def work(settings: dict[str, str], file: str, harm: str, seed: int) -> None:
    """Record and send, be harmed, and try to go on."""
    with suppress(KeenError), open_client(settings, entries=8) as client:
        record(client, settings, range(12))
        assert client.flush().is_drained
        _night_of(settings)
        record(client, settings, range(20, 23))
        path = _path_of(Path(settings["log"]), file)
        say(f"harm {path.name}")
        command = [sys.executable, "-S", "-E", "-c", _PROGRAM + HARMS[harm], str(path), str(seed)]
        subprocess.run(command, check=True)
        for number in range(30, 36):
            try:
                record(client, settings, range(number, number + 1))
            except KeenError:
                say(f"refused {number}")
        with suppress(KeenError):
            client.flush(5)


def _night_of(settings: dict[str, str]) -> None:
    with open_client(settings, entries=8) as other:
        now, hour = an_hour_that_is_over().replace(minute=0, second=0, microsecond=0), timedelta(hours=1)
        other.nightly(
            now - 2 * hour, now + 2 * hour, collections=[settings["collection"]], preset="immediate"
        )


def _path_of(log: Path, file: str) -> Path:
    if not file.startswith(("open", "sealed")):
        return log / file
    kind, _, suffix = file.partition("-")
    segments = sorted((log / "segments").glob("*.db"), key=lambda path: path.stat().st_mtime_ns)
    sealed = [path for path in segments if path.stat().st_mode & 0o200 == 0]
    found = sealed[0] if kind == "sealed" else next(path for path in reversed(segments) if path not in sealed)
    return Path(f"{found}-{suffix}") if suffix else found


def mend(settings: dict[str, str]) -> None:
    """The next process: ``doctor --repair``, and on with the work."""
    log = Path(settings["log"])
    for _ in range(2):
        try:
            repair(LogDirectory(log), LogConfig(), SystemClock(), SystemRandomness())
            with open_client(settings, entries=8) as client:
                record(client, settings, range(100, 106))
                client.flush()
            return
        except EventLogDamagedError as error:
            # What its hint says: to write the description of the log anew.
            if error.path != log / "log.json":
                raise
            content = {
                "format": 1,
                "project_id": settings["project_id"],
                "base_url": settings["url"],
                "made": "",
            }
            (log / "log.json").write_bytes(orjson.dumps(content))
    raise AssertionError("log.json is damaged though it was written anew")


# ---- the judge --------------------------------------------------------------------------------


@attrs.define
class Tally:
    """What came of some harms: logs harmed, processes that died of it, receipts given, and those that were lost."""

    logs: int = 0
    died: int = 0
    receipts: int = 0
    lost: int = 0

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{self.logs} logs harmed, {self.died} processes died of it; of {self.receipts:,} receipts {self.lost} are"
            " lost, each of them in the file that was harmed; none doubled"
        )


def harmed(
    nursery: Nursery, served: Served, directory: Path, file: str, harm: str, seed: int, tally: Tally
) -> None:
    """Harm *file* in one way, have the next process mend it, and look at what is left; it goes to *tally*.

    Raises:
        AssertionError: something is lost elsewhere, doubled, or not an error of the library's own.
    """
    place = f"{file} {harm} (seed {seed})"
    lines, settings = directory / "lines", settings_of(served, directory)
    Path(settings["log"]).parent.mkdir(parents=True)
    arguments = {"settings": settings, "file": file, "harm": harm, "seed": seed}
    status = nursery.live("tests.crash.harm:work", lines, **arguments)
    may_die = file.endswith("-shm") and harm in {"emptied", "halved"}
    assert status == 0 or (may_die and status == _SIGBUS), (place, status, lines.read_text()[-2500:])
    status_then = nursery.live("tests.crash.harm:mend", lines, settings=settings)
    assert status_then == 0, (place, status_then, lines.read_text()[-2500:])
    told = [line.split() for line in lines.read_text().splitlines() if line]
    receipts = {words[1]: int(words[2]) for words in told if words[0] == "receipt"}
    arrived = _arrived(served, settings)
    assert [i for i, n in Counter(i for i, _ in arrived).items() if n > 1] == [], f"{place}: doubled"
    origin = (
        next(words[1] for words in told if words[0] == "harm")[11:21]
        if "open" in file or file == "sealed"
        else ""
    )
    given = [
        words[1] for words in told if words[0] == "receipt" and not (origin and words[1].startswith(origin))
    ]
    assert len(set(given)) == len(given), f"{place}: one number for two receipts"
    elsewhere = {event_id: receipts[event_id] for event_id in given}
    found = dict(arrived)
    lost = {i: n for i, n in receipts.items() if i not in found}
    assert {i: n for i, n in elsewhere.items() if found.get(i) != n} == {}, f"{place}: lost elsewhere"
    assert set(range(100, 106)) <= {n for _, n in arrived}, (
        f"{place}: what was recorded after the repair is lost"
    )
    assert set(range(12)) <= {n for _, n in arrived}, f"{place}: what had arrived is gone"
    refused = {int(words[1]) for words in told if words[0] == "refused"}
    assert refused.isdisjoint(n for i, n in arrived if i in elsewhere), f"{place}: refused, and there"
    if file in {"open-shm", "sealed"} or not origin:
        assert not lost, f"{place}: {lost}"
    tally.logs += 1
    tally.died += status != 0
    tally.receipts += len(receipts)
    tally.lost += len(lost)


def _arrived(served: Served, settings: dict[str, str]) -> list[tuple[str, int]]:
    day = timedelta(days=1)
    around = {
        "start": (an_hour_that_is_over() - day).isoformat(),
        "end": (an_hour_that_is_over() + day).isoformat(),
    }
    with served.client(Path(settings["log"])) as client:
        # An event that was unknown, and that no token settles, is settled by a query.
        events = client.extraction(
            settings["collection"], timeframe=around, property_names=["kc.id", "number"]
        )
    return [(event["kc"]["id"], event["number"]) for event in events]


def main(arguments: list[str]) -> int:
    """Harm each file in each way; 1 when something was not as it should be."""
    from tests.crash.conftest import Arena

    parser = argparse.ArgumentParser(prog="python -m tests.crash.harm", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="decides what is written over a file")
    parser.add_argument("--rounds", type=int, default=3, help="of each, with another seed")
    chosen = parser.parse_args(arguments)
    began, failed, tally = time.monotonic(), 0, Tally()
    with tempfile.TemporaryDirectory() as base:
        arena = Arena(Path(base))
        nursery = Nursery(shim.build(Path(base)))
        try:
            served = arena.serve()
            for seed, file, harm in itertools.product(range(chosen.rounds), FILES, HARMS):
                with tempfile.TemporaryDirectory(dir=base) as place:
                    try:
                        harmed(nursery, served, Path(place), file, harm, chosen.seed + seed, tally)
                    except AssertionError as error:
                        failed += 1
                        sys.stdout.write(f"FAILED {error}\n")
                        sys.stdout.flush()
        finally:
            nursery.end()
            arena.end()
    sys.stdout.write(f"{tally}; {failed} failed ({time.monotonic() - began:.0f} s)\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

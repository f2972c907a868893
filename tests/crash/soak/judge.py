"""The judge: what the writers wrote down against the rows that the server holds. It asks the client nothing.

It opens the server's database by itself, read-only, once no server runs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import duckdb
import orjson

from keen_client._foundation.clock import ms_to_iso
from tests.crash.soak.ledger import Account, collection_of, event_of, read_account

#: The probe's own collection: no writer records there.
PROBE: Final = "kc_probe"
#: Of each kind of finding so many are kept in full, the others counted.
_KEPT: Final = 20
_FETCHED_ROWS: Final = 10_000


@attrs.frozen
class Stored:
    """One row of the server: an event as it lies there."""

    collection: str
    event: dict[str, Any]

    @property
    def id(self) -> str:
        """The id in its stamp."""
        return str(self.event["kc"]["id"])

    @property
    def send(self) -> tuple[Any, ...]:
        """What tells one send of an event from another: two rows that share it were made of one by the server."""
        keen = self.event["keen"]
        return (self.event["kc"]["a"], keen["uniqueness_token"], keen["created_at"])


@attrs.define
class Finding:
    """How many events have one thing wrong, and some of them."""

    count: int = 0
    some: list[str] = attrs.Factory(list)

    def add(self, what: str) -> None:
        """Count *what*."""
        self.count += 1
        if len(self.some) < _KEPT:
            self.some.append(what)


@attrs.define
class Verdict:
    """What the judge saw.

    ``receipts``: events with a receipt; ``promised``: events that a command
    said it recorded; ``unreceipted``: events that are there though their
    writer was killed before it could write its receipt down. The rest is
    wrong: ``lost`` has no row, ``doubled`` has rows of more than one send, or
    two ids; ``unnamed`` was doubled by the server and not named by any
    night; ``foreign`` was recorded by nobody; ``altered`` is not what was
    recorded. ``server_copies``: doubled by the server, and named.
    """

    receipts: int = 0
    promised: int = 0
    unreceipted: int = 0
    rows: int = 0
    resent: int = 0
    server_copies: int = 0
    lost: Finding = attrs.Factory(Finding)
    doubled: Finding = attrs.Factory(Finding)
    unnamed: Finding = attrs.Factory(Finding)
    foreign: Finding = attrs.Factory(Finding)
    altered: Finding = attrs.Factory(Finding)

    @property
    def faults(self) -> dict[str, Finding]:
        """What is wrong; empty when all is well."""
        names = ("lost", "doubled", "unnamed", "foreign", "altered")
        return {name: getattr(self, name) for name in names if getattr(self, name).count}


def stored_events(data: Path) -> Iterator[Stored]:
    """Every row that a server has in its directory *data*; none may be running there."""
    with duckdb.connect(str(data / "events.duckdb"), read_only=True) as db:
        for number, collection in db.execute("SELECT number, name FROM collections").fetchall():
            if collection == PROBE:
                continue
            rows = db.execute(f"SELECT body FROM events_{number} ORDER BY seq")
            while some := rows.fetchmany(_FETCHED_ROWS):
                yield from (Stored(collection, orjson.loads(body)) for (body,) in some)


def accounts(directory: Path) -> Iterator[Account]:
    """What all lives of all writers wrote down in *directory*."""
    return (read_account(path) for path in sorted(directory.iterdir()))


def judge(written: Iterable[Account], stored: Iterable[Stored], named: Collection[str]) -> Verdict:
    """Hold what was *written* down against what is *stored*; *named* are the ids that the nights call doubled."""
    verdict = Verdict()
    receipts: dict[str, tuple[str, int, int]] = {}
    promised: set[tuple[str, int]] = set()
    intended: dict[str, list[range]] = {}
    for account in written:
        intended[account.by] = account.intended
        promised.update((account.by, n) for numbers in account.promised for n in numbers)
        for told in account.told:
            if told.id in receipts:
                verdict.doubled.add(f"the receipt {told.id} was given twice")
            receipts[told.id] = (account.by, told.n, told.timestamp_ms)
    verdict.receipts, verdict.promised = len(receipts), len(promised)
    sends: dict[str, set[tuple[Any, ...]]] = {}
    copied: set[str] = set()
    ids: dict[tuple[str, int], str] = {}
    for row in stored:
        verdict.rows += 1
        event = row.event
        by, n = event.get("by"), event.get("n")
        if (
            not isinstance(by, str)
            or not isinstance(n, int)
            or not any(n in numbers for numbers in intended.get(by, ()))
        ):
            verdict.foreign.add(f"{row.id}, number {n} of {by}")
            continue
        receipt = receipts.get(row.id)
        timestamp_ms = None if receipt is None else receipt[2]
        if receipt not in (None, (by, n, timestamp_ms)) or not _is_as_recorded(row, by, n, timestamp_ms):
            verdict.altered.add(f"{row.id}, number {n} of {by}")
        if ids.setdefault((by, n), row.id) != row.id:
            verdict.doubled.add(f"number {n} of {by} is there as {ids[by, n]} and as {row.id}")
        earlier = sends.get(row.id)
        if earlier is None:
            sends[row.id] = {row.send}
            verdict.resent += row.event["kc"]["a"] > 0
        elif row.send in earlier:
            copied.add(row.id)
        else:
            earlier.add(row.send)
            verdict.doubled.add(f"{row.id} of {by} was accepted from {len(earlier)} sends")
    for event_id, (by, n, _) in receipts.items():
        if event_id not in sends:
            verdict.lost.add(f"{event_id}, number {n} of {by}")
    for by, n in sorted(promised):
        if (by, n) not in ids:
            verdict.lost.add(f"number {n} of {by}")
    for event_id in sorted(copied.difference(named)):
        verdict.unnamed.add(event_id)
    verdict.server_copies = len(copied.intersection(named))
    known = receipts.keys() | {ids[key] for key in promised if key in ids}
    verdict.unreceipted = len(sends.keys() - known)
    return verdict


def _is_as_recorded(row: Stored, by: str, n: int, timestamp_ms: int | None) -> bool:
    """Whether *row* has exactly the properties, the collection and (where it was told) the time that were recorded."""
    own = {name: value for name, value in row.event.items() if name not in ("keen", "kc")}
    if own != event_of(by, n) or row.collection != collection_of(by, n):
        return False
    return timestamp_ms is None or row.event["keen"]["timestamp"] == ms_to_iso(timestamp_ms)

"""What writers write down of their own recording: the plan of each call before it, its receipts after it.

An event is a pure function of who recorded it and of its number, so the judge
can tell what every event should be without reading the log.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

COLLECTIONS: Final = ("purchases", "visits", "parcels")
_NOTE: Final = "a few words as an event has them, and no more than those "


@attrs.frozen
class Told:
    """A receipt: event number *n* of a writer, its id, and its timestamp in UTC milliseconds since 1970."""

    n: int
    id: str
    timestamp_ms: int


@attrs.define
class Account:
    """What one life of a writer wrote down.

    ``intended``: the numbers that it was about to record. ``promised``: those
    that it was told are recorded, without a receipt for each.
    """

    by: str
    intended: list[range] = attrs.Factory(list)
    promised: list[range] = attrs.Factory(list)
    told: list[Told] = attrs.Factory(list)


def event_of(by: str, n: int) -> dict[str, Any]:
    """The event number *n* of the writer *by*."""
    chance = _chance(by, n)
    return {"by": by, "n": n, "amount_cents": chance % 100_000, "note": _NOTE[: chance % len(_NOTE)]}


def collection_of(by: str, n: int) -> str:
    """Where the event number *n* of the writer *by* is recorded; ``keen-client record`` takes one collection a life."""
    n = 0 if by.startswith("record") else n
    return COLLECTIONS[_chance(by, n) // 100_000 % len(COLLECTIONS)]


def _chance(by: str, n: int) -> int:
    return zlib.crc32(f"{by}/{n}".encode())


class Ledger:
    """The file of one life of one writer. A torn last line was never written: its receipt was never told."""

    def __init__(self, directory: Path, by: str) -> None:
        self._by = by
        self._descriptor = os.open(directory / by, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def intend(self, numbers: range) -> None:
        """Write down that *numbers* are about to be recorded."""
        self._write(f"+ {numbers.start} {len(numbers)}\n")

    def promise(self, numbers: range) -> None:
        """Write down that all of *numbers* were said to be recorded."""
        self._write(f"! {numbers.start} {len(numbers)}\n")

    def tell(self, receipts: Iterable[Told]) -> None:
        """Write down *receipts* that were given."""
        self._write("".join(f"= {told.n} {told.id} {told.timestamp_ms}\n" for told in receipts))

    def _write(self, text: str) -> None:
        data = text.encode()
        while data:
            data = data[os.write(self._descriptor, data) :]


def read_account(path: Path) -> Account:
    """What the life whose file is *path* wrote down."""
    account = Account(path.name)
    for sign, numbers in _lines(path):
        if sign == "=":
            account.told.append(Told(int(numbers[0]), numbers[1], int(numbers[2])))
        else:
            first, count = int(numbers[0]), int(numbers[1])
            (account.intended if sign == "+" else account.promised).append(range(first, first + count))
    return account


def count_told(path: Path) -> int:
    """How many events the life whose file is *path* was told to be recorded; 0 without a file."""
    if not path.exists():
        return 0
    return sum(1 if sign == "=" else int(rest[1]) for sign, rest in _lines(path) if sign in "=!")


def _lines(path: Path) -> Iterator[tuple[str, Sequence[str]]]:
    with path.open() as lines:
        for line in lines:
            if line.endswith("\n"):
                sign, *rest = line.split()
                yield sign, rest

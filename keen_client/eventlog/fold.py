"""Folding: from entries to control totals. Pure.

Per (origin, collection, hour of ``keen.timestamp``): the record count, the two
hash totals, and the sums of numeric properties that are audited.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import attrs
import orjson

from keen_client._foundation.clock import MS_PER_HOUR
from keen_client.errors import EventLogDamagedError
from keen_client.eventlog.entry import Entry
from keen_client.events.identity import base36
from keen_client.events.stamps import digest

#: Numeric properties of one collection whose sums are kept.
AUDITED_PROPERTIES_MAX: Final = 8

Number = int | float


@attrs.frozen(slots=True)
class Stamped:
    """An entry with its stamps and its numeric properties."""

    entry: Entry
    h: int
    g: int
    amounts: Mapping[str, Number] = attrs.field(repr=False)


@attrs.define(slots=True)
class Amount:
    """The total of one audited property.

    ``total`` is the exact sum of the integers among the values, ``real`` the
    sum of the others, ``magnitude`` the sum of all absolute values (it bounds
    the rounding error of any order of summation); ``count`` values in all,
    ``whole`` of them integers, ``taken`` so many that were taken away again.
    ``real`` and ``magnitude`` are infinite, never NaN, once a double could not
    hold them: the property is not audited where that is so.
    """

    count: int = 0
    whole: int = 0
    total: int = 0
    real: float = 0.0
    magnitude: float = 0.0
    taken: int = 0

    def add(self, value: Number, sign: int = 1) -> None:
        """Add one value, or with ``sign=-1`` take it away."""
        self.count += sign
        if isinstance(value, int):
            self.whole += sign
            self.total += sign * value
        else:
            self.real = _sum_of((self.real, sign * value))
        self.magnitude += abs(value)
        self.taken += sign < 0

    def merge(self, other: Amount) -> None:
        """Add another total."""
        self.count += other.count
        self.whole += other.whole
        self.total += other.total
        self.real = _sum_of((self.real, other.real))
        self.magnitude += other.magnitude
        self.taken += other.taken


@attrs.define(slots=True)
class Sums:
    """Control totals of a set of entries: count, hash totals, audited amounts."""

    n: int = 0
    h: int = 0
    g: int = 0
    amounts: dict[str, Amount] = attrs.Factory(dict)

    def add(self, stamped: Stamped, sign: int = 1) -> None:
        """Add one entry, or with ``sign=-1`` take it away."""
        self.n += sign
        self.h += sign * stamped.h
        self.g += sign * stamped.g
        for name, value in stamped.amounts.items():
            self.amount(name).add(value, sign)

    def merge(self, other: Sums) -> None:
        """Add other totals."""
        self.n += other.n
        self.h += other.h
        self.g += other.g
        for name, amount in other.amounts.items():
            self.amount(name).merge(amount)

    def amount(self, name: str) -> Amount:
        """The total of property *name*, made when it is new."""
        found = self.amounts.get(name)
        if found is None:
            found = self.amounts[name] = Amount()
        return found


@attrs.define(slots=True)
class Cell:
    """The totals of one (collection, hour) within a batch, and the seqs it spans."""

    sums: Sums
    seq_lo: int
    seq_hi: int


def stamp_entry(entry: Entry, audited: Collection[str]) -> Stamped:
    """Compute an entry's stamps and pick its *audited* amounts.

    Raises:
        EventLogDamagedError: its body is no event; only looked at where something is audited.
    """
    # Entry.digest spelled out: this runs for every event that is sent.
    body = entry.body
    event_id = f"{entry.origin}-{base36(entry.seq)}"
    h, g = digest(event_id, entry.collection, entry.timestamp_ms, body, entry.keen)
    return Stamped(entry, h, g, amounts_of(body, audited) if audited else {})


def fold_entries(entries: Iterable[Stamped]) -> dict[tuple[str, int], Cell]:
    """Totals of *entries* of one origin by (collection, hour)."""
    members: dict[tuple[str, int], list[Stamped]] = {}
    for stamped in entries:
        entry = stamped.entry
        members.setdefault((entry.collection, entry.timestamp_ms // MS_PER_HOUR), []).append(stamped)
    return {key: _cell_of(batch) for key, batch in members.items()}


def _cell_of(batch: Sequence[Stamped]) -> Cell:
    """The totals of a batch, column by column: this runs for every event that is sent."""
    sums = Sums(len(batch), sum(s.h for s in batch), sum(s.g for s in batch))
    for name, column in _columns([stamped.amounts for stamped in batch]).items():
        kinds = set(map(type, column))
        whole = [value for value in column if isinstance(value, int)] if int in kinds else []
        real = [value for value in column if isinstance(value, float)] if float in kinds else []
        sums.amounts[name] = Amount(
            len(column), len(whole), sum(whole), _sum_of(real), float(sum(map(abs, column)))
        )
    seqs = [stamped.entry.seq for stamped in batch]
    return Cell(sums, min(seqs), max(seqs))


def _sum_of(values: Sequence[float]) -> float:
    """Their sum, rounded once; infinite where it, or a part of it, is beyond what a double can hold.

    Each of a user's numbers is finite, and their sum need not be: it must stop no event on its way.
    """
    try:
        total = math.fsum(values)
    except (OverflowError, ValueError):  # beyond the largest double; infinities of both signs
        return math.inf
    return total if math.isfinite(total) else math.inf


def _columns(rows: Sequence[Mapping[str, Number]]) -> dict[str, list[Number]]:
    """The values of each name in *rows*, in their order; most often all rows have the same names."""
    names = rows[0].keys()
    if all(row.keys() == names for row in rows):
        return {name: [row[name] for row in rows] for name in names}
    columns: dict[str, list[Number]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return columns


def numeric_properties(body: str) -> list[str]:
    """The dotted names of all numbers in an event's JSON text, sorted.

    Raises:
        EventLogDamagedError: it is none.
    """
    found: dict[str, Number] = {}
    _walk(_event(body), "", found)
    return sorted(found)


def amounts_of(body: str, names: Collection[str]) -> dict[str, Number]:
    """The numbers in an event's JSON text under the dotted *names*; booleans are none.

    Raises:
        EventLogDamagedError: it is none.
    """
    event = _event(body)
    found: dict[str, Number] = {}
    for name, first, further in _paths(frozenset(names)):
        value = event.get(first)
        for part in further:
            value = value.get(part) if type(value) is dict else None
        if type(value) is int or type(value) is float:
            found[name] = value
    return found


def _event(body: str) -> dict[str, Any]:
    """The event of a stored text; damage may have made any text of it."""
    try:
        event = orjson.loads(body)
    except ValueError:
        event = None
    if isinstance(event, dict):
        return event
    raise EventLogDamagedError(
        "an entry of the log is not what was written; nothing was concluded from it",
        "run `keen-client doctor`; it names the damaged file",
    )


@lru_cache(maxsize=1024)
def _paths(names: frozenset[str]) -> list[tuple[str, str, list[str]]]:
    """Each dotted name with the first of its parts and the further ones."""
    return [(name, (parts := name.split("."))[0], parts[1:]) for name in sorted(names)]


def _walk(value: Mapping[str, Any], path: str, found: dict[str, Number]) -> None:
    for name, member in value.items():
        full = f"{path}.{name}" if path else name
        if isinstance(member, dict):
            _walk(member, full, found)
        elif type(member) in (int, float):
            found[full] = member

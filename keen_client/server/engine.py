"""DuckDB: one table per collection, with the properties that queries ask for shredded into columns.

A table holds each event's JSON and, for every *shredded* property path, the two
columns of :mod:`keen_client.server.columns`.

Names that users choose (collections, properties, values) are always bound as
parameters; SQL text is built from numbers and constants only.
"""

# ruff: noqa: S608 - statements are built from numbers and constants; all that users name is bound

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import orjson

from keen_client.server.columns import (
    MAX_SHREDDED,
    Column,
    Parameters,
    early_paths,
    json_path,
    typed,
)
from keen_client.server.database import Database
from keen_client.server.tail import Entry

#: Below this many rows, reading the JSON is cheaper than adding columns.
SHRED_FROM_ROWS: Final = 20_000
_FOLD_ROWS: Final = 20_000
#: So many of a new collection's first events tell which properties it has.
_SAMPLED_ROWS: Final = 20


@attrs.frozen
class Source:
    """What a query reads from: ``sql`` for its FROM, ``columns`` by property path, ``parameters`` so far."""

    sql: str
    columns: Mapping[str, Column]
    parameters: Parameters


@attrs.define
class _Table:
    number: int
    name: str
    slots: dict[str, int] = attrs.field(factory=dict)
    rows: int = 0

    @property
    def sql(self) -> str:
        return f"events_{self.number}"


class Engine:
    """The tables. Not thread-safe; the store's lock guards every call."""

    def __init__(self, path: Path | None) -> None:
        self._durable = path is not None
        self._database = Database(path)
        self._connection = self._database.connection
        self._tables: dict[str, _Table] = {}
        self.folded_seq = 0
        self.latest_visible_ms = 0
        #: Whether an event is stored that vanishes, or has vanished.
        self.some_vanish = False
        self._open_tables()

    def _open_tables(self) -> None:
        with self._transaction() as run:
            run("CREATE TABLE IF NOT EXISTS collections (number INTEGER, name VARCHAR)")
            run("CREATE TABLE IF NOT EXISTS shredded (number INTEGER, slot INTEGER, path VARCHAR)")
            run("CREATE TABLE IF NOT EXISTS tokens (collection VARCHAR, token VARCHAR, at_ms BIGINT)")
            run("CREATE TABLE IF NOT EXISTS progress (folded_seq BIGINT)")
            if not self.fetch("SELECT folded_seq FROM progress"):
                run("INSERT INTO progress VALUES (0)")
        self.folded_seq = int(self.fetch("SELECT max(folded_seq) FROM progress")[0][0])
        for number, name in self.fetch("SELECT number, name FROM collections ORDER BY number"):
            table = _Table(number, name)
            slots = self.fetch("SELECT path, slot FROM shredded WHERE number = $1 ORDER BY slot", [number])
            table.slots.update(dict(slots))
            with self._transaction() as run:
                run(f"ALTER TABLE {table.sql} ADD COLUMN IF NOT EXISTS vanish BIGINT DEFAULT 0")
            table.rows, latest, vanish = self.fetch(
                f"SELECT count(*), coalesce(max(visible), 0), coalesce(max(vanish), 0) FROM {table.sql}"
            )[0]
            self.latest_visible_ms = max(self.latest_visible_ms, latest)
            self.some_vanish |= vanish > 0
            self._tables[name] = table

    def close(self) -> None:
        """Close the database; what was folded is on disk where the store has a directory."""
        self._database.close()

    @property
    def collections(self) -> list[str]:
        """The names of the collections that exist, in alphabetical order."""
        return sorted(self._tables)

    def has(self, collection: str) -> bool:
        """Whether *collection* exists."""
        return collection in self._tables

    def fetch(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """All rows of one statement."""
        return self._connection.execute(sql, parameters).fetchall()

    def rows(self, sql: str, parameters: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
        """The rows of one statement, some at a time; to be read before the next statement is run."""
        result = self._connection.execute(sql, parameters)
        while some := result.fetchmany(_FOLD_ROWS):
            yield from some

    def tokens_since(self, at_ms: int) -> list[tuple[str, str, int]]:
        """(collection, token, received at) of the tokens kept on disk, oldest first."""
        return [
            (collection, token, at)
            for collection, token, at in self.fetch(
                "SELECT * FROM tokens WHERE at_ms > $1 ORDER BY at_ms", [at_ms]
            )
        ]

    def insert(self, entries: Sequence[Entry]) -> None:
        """Fold *entries* (in order of seq) into the tables: all or nothing."""
        by_collection: dict[str, list[Entry]] = {}
        for entry in entries:
            if entry.body is not None:
                by_collection.setdefault(entry.collection, []).append(entry)
        for collection, rows in by_collection.items():
            self._ensure_table(collection, rows)
        with self._transaction() as run:
            for collection, rows in by_collection.items():
                for start in range(0, len(rows), _FOLD_ROWS):
                    self._insert_rows(self._tables[collection], rows[start : start + _FOLD_ROWS])
            if self._durable:
                tokens = [entry for entry in entries if entry.token is not None]
                run(
                    "INSERT INTO tokens SELECT unnest($1::VARCHAR[]), unnest($2::VARCHAR[]), unnest($3::BIGINT[])",
                    [
                        [e.collection for e in tokens],
                        [e.token for e in tokens],
                        [e.created_ms for e in tokens],
                    ],
                )
                run("UPDATE progress SET folded_seq = $1", [entries[-1].seq])
        self.folded_seq = entries[-1].seq
        for collection, rows in by_collection.items():
            self._tables[collection].rows += len(rows)
            self.latest_visible_ms = max(self.latest_visible_ms, *(row.visible_ms for row in rows), 0)
            self.some_vanish |= any(row.vanish_ms for row in rows)

    def source(
        self,
        collection: str,
        paths: Iterable[str],
        now_ms: int,
        stale_ms: int = 0,
        parameters: Parameters | None = None,
    ) -> Source:
        """What a query over *collection* reads, with a column for each of *paths*.

        It is what could be seen *stale_ms* ago; what was deleted since stays deleted.
        ``parameters`` are those of the statement, where it has others already.
        """
        table = self._tables[collection]
        wanted = list(dict.fromkeys(paths))
        if table.rows >= SHRED_FROM_ROWS:
            self._shred(table, [path for path in wanted if path not in table.slots])
        parameters = Parameters() if parameters is None else parameters
        columns: dict[str, Column] = {}
        extra_inner: list[str] = []
        extra_outer: list[str] = []
        for path in wanted:
            slot = table.slots.get(path)
            if slot is not None:
                columns[path] = Column(f"t{slot}", f"n{slot}")
                continue
            number = len(extra_inner)
            extra_inner.append(
                f"json_extract(body, {parameters.bind(json_path(path), 'VARCHAR')})::VARCHAR AS y{number}"
            )
            extra_outer.append(typed(f"y{number}", f"xt{number}", f"xn{number}"))
            columns[path] = Column(f"xt{number}", f"xn{number}")
        sql = table.sql
        seen_ms = now_ms - stale_ms
        hidden = []
        if stale_ms:
            hidden.append(f"created <= {parameters.bind(seen_ms, 'BIGINT')}")
        if self.latest_visible_ms > seen_ms:
            hidden.append(f"visible <= {parameters.bind(seen_ms, 'BIGINT')}")
        if self.some_vanish:
            hidden.append(f"(vanish = 0 OR vanish > {parameters.bind(seen_ms, 'BIGINT')})")
        if hidden:
            sql = f"(SELECT * FROM {sql} WHERE {' AND '.join(hidden)})"
        if extra_inner:
            inner = f"(SELECT *, {', '.join(extra_inner)} FROM {sql})"
            sql = f"(SELECT *, {', '.join(extra_outer)} FROM {inner})"
        return Source(sql, columns, parameters)

    def everything(self, collection: str) -> Source:
        """All stored events of *collection*, those too that no query sees now."""
        return Source(self._tables[collection].sql, {}, Parameters())

    def count_between(self, collection: str, start_ms: int, end_ms: int) -> int:
        """How many stored events have a timestamp in [start, end): what a query has to scan."""
        sql = f"SELECT count(*) FROM {self._tables[collection].sql} WHERE ts >= $1 AND ts < $2"
        return int(self.fetch(sql, [start_ms, end_ms])[0][0])

    def newest(self, collection: str, count: int) -> list[str]:
        """The JSON of the *count* events that were stored last, the newest first."""
        sql = f"SELECT body FROM {self._tables[collection].sql} ORDER BY seq DESC LIMIT $1"
        return [body for (body,) in self.fetch(sql, [count])]

    def delete(self, source: Source, collection: str, condition: str) -> int:
        """Delete the events of *source* for which *condition* holds; how many there were."""
        table = self._tables[collection]
        sql = f"DELETE FROM {table.sql} WHERE seq IN (SELECT seq FROM {source.sql} WHERE {condition})"
        with self._transaction():
            deleted = int(self.fetch(sql, source.parameters.values)[0][0])
        table.rows -= deleted
        return deleted

    def change(
        self,
        source: Source,
        collection: str,
        condition: str,
        paths: Sequence[str],
        change: Callable[[dict[str, Any]], str | None],
    ) -> int:
        """Give the events of *source* for which *condition* holds the body that *change* makes: all or none.

        *change* is told of each event once and answers None for one that stays as it is. It touches only *paths*,
        what is below them, and what they are below. How many were changed.
        """
        table = self._tables[collection]
        touched = {
            other: slot
            for other, slot in table.slots.items()
            if any(f"{other}.".startswith(f"{path}.") or path.startswith(f"{other}.") for path in paths)
        }
        changed, last_seq = 0, -1
        sql = (
            f"SELECT seq, body FROM {source.sql} WHERE seq > $last_seq::BIGINT AND {condition}"
            f" ORDER BY seq LIMIT {_FOLD_ROWS}"
        )
        with self._transaction():
            while rows := self.fetch(sql, {**source.parameters.values, "last_seq": last_seq}):
                made = [(seq, change(orjson.loads(body))) for seq, body in rows]
                bodies = {seq: body for seq, body in made if body is not None}
                if bodies:
                    self._rewrite(table, touched, list(bodies), list(bodies.values()))
                changed, last_seq = changed + len(bodies), rows[-1][0]
        return changed

    def drop(self, collection: str) -> None:
        """Delete *collection* as a whole."""
        table = self._tables[collection]
        with self._transaction() as run:
            run(f"DROP TABLE {table.sql}")
            run("DELETE FROM collections WHERE number = $1", [table.number])
            run("DELETE FROM shredded WHERE number = $1", [table.number])
        del self._tables[collection]

    def forget(self, start_ms: int, end_ms: int) -> list[tuple[str, str]]:
        """Delete the events with a timestamp in [start, end); their (collection, token), tokens too."""
        gone: list[tuple[str, str]] = []
        with self._transaction() as run:
            for table in self._tables.values():
                rows = self.fetch(
                    f"DELETE FROM {table.sql} WHERE ts >= $1 AND ts < $2"
                    " RETURNING json_extract_string(body, '$.keen.uniqueness_token')",
                    [start_ms, end_ms],
                )
                table.rows -= len(rows)
                tokens = [token for (token,) in rows if token is not None]
                gone.extend((table.name, token) for token in tokens)
                if self._durable:
                    run(
                        "DELETE FROM tokens WHERE collection = $1 AND token IN (SELECT unnest($2::VARCHAR[]))",
                        [table.name, tokens],
                    )
        return gone

    def release(self, now_ms: int) -> int:
        """Make all delayed events visible from *now_ms* on; how many there were."""
        released = 0
        if self.latest_visible_ms > now_ms:
            with self._transaction():
                for table in self._tables.values():
                    rows = self.fetch(f"UPDATE {table.sql} SET visible = $1 WHERE visible > $1", [now_ms])
                    released += int(rows[0][0])
            # A stale read looks at a moment before.
            self.latest_visible_ms = now_ms
        return released

    def resurrect(self, now_ms: int) -> int:
        """Make the events that have vanished visible again, for good; how many there were."""
        returned = 0
        if self.some_vanish:
            with self._transaction():
                for table in self._tables.values():
                    sql = f"UPDATE {table.sql} SET vanish = 0 WHERE vanish > 0 AND vanish <= $1"
                    returned += int(self.fetch(sql, [now_ms])[0][0])
        return returned

    @contextmanager
    def _transaction(self) -> Iterator[Callable[..., object]]:
        """Run statements, all or none of which have an effect."""
        run = self._connection.execute
        self._database.expect_write()
        run("BEGIN")
        try:
            yield run
            run("COMMIT")
        except BaseException:
            run("ROLLBACK")
            raise

    def _ensure_table(self, collection: str, rows: Sequence[Entry]) -> None:
        """Make the table of *collection*, which begins with *rows*, unless there is one."""
        if collection in self._tables:
            return
        number = 1 + max((other.number for other in self._tables.values()), default=0)
        paths = early_paths(row.body for row in rows[:_SAMPLED_ROWS] if row.body is not None)
        table = _Table(number, collection, dict(zip(paths, range(len(paths)), strict=True)))
        slots = ", ".join(f"t{slot} VARCHAR, n{slot} DOUBLE" for slot in table.slots.values())
        with self._transaction() as run:
            run(
                f"CREATE TABLE {table.sql} (seq BIGINT, ts BIGINT, created BIGINT, visible BIGINT,"
                f" vanish BIGINT, body VARCHAR, {slots})"
            )
            run("INSERT INTO collections VALUES ($1, $2)", [number, collection])
            for path, slot in table.slots.items():
                run("INSERT INTO shredded VALUES ($1, $2, $3)", [number, slot, path])
        self._tables[collection] = table

    def _insert_rows(self, table: _Table, rows: Sequence[Entry]) -> None:
        slots = list(table.slots.values())
        extracted = ", ".join(f"x[{index + 1}]::VARCHAR AS y{slot}" for index, slot in enumerate(slots))
        values = ", ".join(typed(f"y{slot}", f"t{slot}", f"n{slot}") for slot in slots)
        names = ", ".join(f"t{slot}, n{slot}" for slot in slots)
        self._connection.execute(
            f"INSERT INTO {table.sql} (seq, ts, created, visible, vanish, body, {names})"
            f" SELECT seq, ts, created, visible, vanish, body, {values} FROM (SELECT *, {extracted}"
            " FROM (SELECT *, json_extract(body, $paths::VARCHAR[]) AS x FROM (SELECT"
            " unnest($seq::BIGINT[]) AS seq, unnest($ts::BIGINT[]) AS ts, unnest($created::BIGINT[]) AS created,"
            " unnest($visible::BIGINT[]) AS visible, unnest($vanish::BIGINT[]) AS vanish,"
            " unnest($body::VARCHAR[]) AS body)))",
            {
                "paths": [json_path(path) for path in table.slots],
                "seq": [row.seq for row in rows],
                "ts": [row.timestamp_ms for row in rows],
                "created": [row.created_ms for row in rows],
                "visible": [row.visible_ms for row in rows],
                "vanish": [row.vanish_ms for row in rows],
                "body": [row.body for row in rows],
            },
        )

    def _rewrite(
        self, table: _Table, slots: Mapping[str, int], seqs: Sequence[int], bodies: Sequence[str]
    ) -> None:
        """Give the events *seqs* new *bodies*, and fill the columns of *slots* from them."""
        taken = "".join(f", x[{index + 1}]::VARCHAR AS y{slot}" for index, slot in enumerate(slots.values()))
        names = "".join(f", {typed(f'y{slot}', f't{slot}', f'n{slot}')}" for slot in slots.values())
        settings = "".join(f", t{slot} = v.t{slot}, n{slot} = v.n{slot}" for slot in slots.values())
        self._connection.execute(
            f"UPDATE {table.sql} AS e SET body = v.body{settings} FROM (SELECT seq, body{names} FROM"
            f" (SELECT seq, body{taken} FROM (SELECT *, json_extract(body, $paths::VARCHAR[]) AS x FROM"
            " (SELECT unnest($seq::BIGINT[]) AS seq, unnest($body::VARCHAR[]) AS body)))) AS v WHERE e.seq = v.seq",
            {"paths": [json_path(path) for path in slots], "seq": list(seqs), "body": list(bodies)},
        )

    def _shred(self, table: _Table, paths: Sequence[str]) -> None:
        paths = paths[: MAX_SHREDDED - len(table.slots)]
        if not paths:
            return
        first = len(table.slots)
        slots = {path: first + index for index, path in enumerate(paths)}
        names = ", ".join(typed(f"y{slot}", f"t{slot}", f"n{slot}") for slot in slots.values())
        extracted = ", ".join(
            f"x[{index + 1}]::VARCHAR AS y{slot}" for index, slot in enumerate(slots.values())
        )
        settings = ", ".join(f"t{slot} = v.t{slot}, n{slot} = v.n{slot}" for slot in slots.values())
        with self._transaction() as run:
            for path, slot in slots.items():
                run(f"ALTER TABLE {table.sql} ADD COLUMN t{slot} VARCHAR")
                run(f"ALTER TABLE {table.sql} ADD COLUMN n{slot} DOUBLE")
                run("INSERT INTO shredded VALUES ($1, $2, $3)", [table.number, slot, path])
            run(
                f"UPDATE {table.sql} AS e SET {settings} FROM (SELECT seq, {names} FROM (SELECT seq, {extracted}"
                f" FROM (SELECT seq, json_extract(body, $1::VARCHAR[]) AS x FROM {table.sql}))) AS v"
                " WHERE e.seq = v.seq",
                [[json_path(path) for path in paths]],
            )
        table.slots.update(slots)

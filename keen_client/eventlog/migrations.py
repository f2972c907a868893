"""The schema of ``state.db`` and how it grew, by sqlite-utils.

Imported only by whoever makes or migrates a file: sqlite-utils loads pandas
where that is installed, and opening a log should not take that long.
"""

from __future__ import annotations

import sqlite3
from importlib import resources
from typing import Final

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

_migrations: Final = Migrations("keen_client")


@_migrations(name="0001_initial")
def _initial(db: Database) -> None:
    schema = resources.files("keen_client.eventlog").joinpath("sql/state.sql").read_text("utf-8")
    # Statement by statement: executescript would commit the migration's transaction.
    statement = ""
    for line in schema.splitlines():
        statement += line.split("--", 1)[0] + "\n"
        if sqlite3.complete_statement(statement):
            db.execute(statement)
            statement = ""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file up to date, inside the caller's transaction. What was applied before is left alone."""
    _migrations.apply(Database(connection, recursive_triggers=False, strict=True))

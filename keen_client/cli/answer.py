"""Answers on stdout: as a table for people, as CSV, NDJSON or one JSON document for programs."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from keen_client._foundation.clock import datetime_to_ms, ms_to_iso
from keen_client.cli.output import emit, json_line, note
from keen_client.report.printable import printable
from keen_client.results.columns import Kind
from keen_client.results.text import cell_text

if TYPE_CHECKING:
    from keen_client.results.query_result import QueryResult

FORMATS: Final = ("table", "csv", "json", "ndjson")

_NUMBERS: Final = frozenset({Kind.SMALL_INTEGER, Kind.INTEGER, Kind.LARGE_INTEGER, Kind.NUMBER})
#: Wider than any table: only a terminal has an edge to break lines at.
_NO_EDGE: Final = 1_000_000


def show_answer(result: QueryResult, form: str) -> None:
    """Print *result* in one of :data:`FORMATS`. Nothing that a terminal obeys reaches a terminal."""
    if form == "json":
        emit(
            {
                "analysis_type": result.query.analysis_type,
                "result": result.value,
                "metadata": result.metadata,
            }
        )
        return
    {"csv": _csv, "ndjson": _ndjson, "table": _table}[form](result)
    if result.metadata is not None:
        note(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in result.metadata.items()))


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """*row* as JSON holds it."""
    return {
        name: ms_to_iso(datetime_to_ms(value)) if isinstance(value, datetime) else value
        for name, value in row.items()
    }


def _ndjson(result: QueryResult) -> None:
    for row in result.rows:
        click.echo(json_line(plain(row)), nl=False)


def _csv(result: QueryResult) -> None:
    # A file gets the cells as they are; a terminal would obey some.
    cell: Callable[[Any], str] = (lambda value: printable(cell_text(value))) if _is_terminal() else cell_text
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(cell(name) for name in result.columns)
    writer.writerows([cell(row.get(name)) for name in result.columns] for row in result.rows)
    click.echo(text.getvalue().encode(), nl=False)


def _table(result: QueryResult) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(
        file=sys.stdout,
        highlight=False,
        markup=False,
        emoji=False,
        width=None if _is_terminal() else _NO_EDGE,
    )
    table = Table(box=box.SIMPLE_HEAD if console.encoding.startswith("utf") else box.ASCII, show_edge=False)
    for name, of in result.columns.types.items():
        is_number = of.kind in _NUMBERS and not of.is_list
        table.add_column(
            Text(printable(name)),
            justify="right" if is_number else "left",
            overflow="fold",
            no_wrap=is_number,
        )
    for row in result.rows:
        table.add_row(*(_cell(row.get(name)) for name in result.columns))
    console.print(table)
    if not result.rows:
        note("no rows")


def _cell(value: Any) -> Any:
    from rich.text import Text

    return Text("null", style="dim") if value is None else Text(printable(cell_text(value)))


def _is_terminal() -> bool:
    return sys.stdout.isatty()

"""Extractions: the events themselves, newest first, in the reply or in a file.

Keen mails a file to who gives an address. This server mails nothing: it writes
the file into the folder ``extractions`` of its directory.
"""

# ruff: noqa: S608 - statements are built from numbers and constants; all that users name is bound

from __future__ import annotations

import csv
import gzip
import io
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import orjson

from keen_client._foundation.clock import ms_to_iso
from keen_client.server.engine import Engine, Source
from keen_client.server.query import Query
from keen_client.server.refusal import INVALID_PARAMETER, bad_request
from keen_client.server.response import picked

MAX_EXTRACTED: Final = 100_000
MAX_EXTRACTED_TO_FILE: Final = 10_000_000
MAX_SCANNED: Final = 1_000_000
EMAIL_REPLY: Final = "Processing. Check the specified email for the extraction results."


def extract(engine: Engine, query: Query, source: Source, where: str) -> Iterator[bytes]:
    """The JSON of each event that the reply holds. Raises a 400 refusal where there are too many."""
    if query.latest is None:
        check_scan(engine, query, MAX_SCANNED)
    return (
        map(orjson.dumps, _events(engine, query, source, where, MAX_EXTRACTED))
        if query.property_names
        else (body.encode() for body in _bodies(engine, query, source, where, MAX_EXTRACTED))
    )


def extract_to_file(
    engine: Engine, query: Query, source: Source, where: str, directory: Path, now_ms: int
) -> Path:
    """Write the events to a new file in *directory*, as JSON or CSV, and say where.

    The file appears whole or not at all, and only its owner may read it.
    Raises a 400 refusal where there are too many events, :class:`OSError` where the disk fails.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    kind = "csv" if query.content_type == "text/csv" else "json"
    moment = ms_to_iso(now_ms).replace(":", "").replace("-", "").replace(".", "")
    name = f"{moment}-{secrets.token_hex(4)}.{kind}{'.gz' if query.gzipped else ''}"
    path, unfinished = directory / name, directory / f".{name}"

    def events() -> Iterator[dict[str, Any]]:
        return _events(engine, query, source, where, MAX_EXTRACTED_TO_FILE)

    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as raw:
            file = cast("BinaryIO", gzip.GzipFile("", "wb", fileobj=raw, mtime=0)) if query.gzipped else raw
            with file:
                (_write_csv if kind == "csv" else _write_json)(file, events)
                file.flush()
                os.fsync(descriptor)
        unfinished.rename(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return path


def check_scan(engine: Engine, query: Query, cap: int, struck: Callable[[str], None] | None = None) -> None:
    """Refuse (400) a query whose timeframe holds more than *cap* events."""
    scanned = engine.count_between(query.collection, query.timeframe.start_ms, query.timeframe.end_ms)
    if scanned > cap:
        if struck is not None:
            struck("scan-cap")
        text = f"A query of this kind scans at most {cap} events; the timeframe holds {scanned}."
        raise bad_request(INVALID_PARAMETER, text)


def _bodies(engine: Engine, query: Query, source: Source, where: str, cap: int) -> Iterator[str]:
    parameters = source.parameters.values
    limit = query.latest
    if limit is None or limit > cap:
        found = int(engine.fetch(f"SELECT count(*) FROM {source.sql} WHERE {where}", parameters)[0][0])
        if min(found, limit or found) > cap:
            text = f"An extraction returns at most {cap} events; this one has {found}."
            raise bad_request(INVALID_PARAMETER, text)
        limit = cap
    sql = f"SELECT body FROM {source.sql} WHERE {where} ORDER BY ts DESC, seq DESC LIMIT {limit}"
    return (body for (body,) in engine.rows(sql, parameters))


def _events(engine: Engine, query: Query, source: Source, where: str, cap: int) -> Iterator[dict[str, Any]]:
    events = map(orjson.loads, _bodies(engine, query, source, where, cap))
    return (picked(event, query.property_names) for event in events) if query.property_names else events


def _write_json(file: BinaryIO, events: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
    separator = b'{"result":['
    for event in events():
        file.write(separator + orjson.dumps(event))
        separator = b",\n"
    file.write(b"]}\n" if separator == b",\n" else separator + b"]}\n")


def _write_csv(file: BinaryIO, events: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
    """One column a property path, in order of first appearance; so the events are read twice."""
    columns = dict.fromkeys(path for event in events() for path, _ in _flat(event))
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.DictWriter(text, list(columns), restval="")
    writer.writeheader()
    writer.writerows(dict(_flat(event)) for event in events())
    text.detach()


def _flat(event: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in event.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{path}.")
        elif value is None:
            yield path, ""
        else:
            yield path, value if isinstance(value, str) else orjson.dumps(value).decode()

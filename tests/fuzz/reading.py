"""Targets that read texts: settings, events from a stream, times, keys, ids."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from keen_client.cli.ndjson import Import
from keen_client.cli.sizes import parse_size
from keen_client.cli.times import parse_duration, parse_time
from keen_client.client.settings import ENVIRONMENT, read_settings
from keen_client.errors import ConfigurationError, InvalidEventError, InvalidQueryError, UsageError
from keen_client.events.encoding import EncodedEvent, parse_timestamp
from keen_client.events.identity import EntryId
from keen_client.queries import Timeframe
from keen_client.queries.interval import parse_interval
from keen_client.queries.timeframe import parse_timeframe
from keen_client.results.flat import as_moment
from keen_client.scoped_keys import decrypt, encrypt
from keen_client.server.moment import parse_moment
from keen_client.server.refusal import Refusal
from keen_client.server.scoped_key import read_scoped_key
from keen_client.server.timeframe import divide, parse_zone
from keen_client.server.timeframe import parse_interval as server_interval
from keen_client.server.timeframe import parse_timeframe as server_timeframe
from keen_client.transport.base_url import normalise_base_url
from keen_client.transport.http_dates import http_date_ms
from keen_client.verify.moments import duration_ms, moment_ms, width_ms
from tests.fuzz.target import Target, expect, scratch

MASTER_KEYS: Final = ("0123456789abcdef" * 4, "A" * 32)
_NOW_MS: Final = 1_795_435_200_000


# ---- settings -----------------------------------------------------------------------------


def config(data: bytes) -> None:
    """A settings file and an environment: settings, or an error that says which one is wrong."""
    text, _, variables = data.partition(b"\n\0\n")
    path = scratch() / "keen-client.toml"
    path.write_bytes(text)
    environment: dict[str, str] = {}
    for line in variables.decode("utf-8", "replace").replace("\0", "").splitlines():
        name, _, value = line.partition("=")
        if name in ENVIRONMENT.values():
            environment[name] = value
    try:
        settings = read_settings({}, environment, path, reads_file=True)
    except ConfigurationError as error:
        expect(error.hint, "an error of the settings says what to do")
        return
    expect(settings.log.is_absolute(), "the log's place is absolute")
    expect(normalise_base_url(settings.base_url) == settings.base_url, "a base URL has one form")
    for secret in (settings.write_key, settings.read_key, settings.master_key):
        if secret is not None and len(secret.reveal()) > 8:
            expect(secret.reveal() not in repr(secret), "no key in a repr")


CONFIG: Final = Target(
    "config",
    config,
    seeds=[
        b'project_id = "p"\nwrite_key = "0123456789abcdef"\nbase_url = "https://api.keen.io/3.0/"\nlog = "/tmp/x"\n',
        (
            b'project_id = "p"\ndisabled = true\n[log_settings]\nretention_days = 60\naudit = ["price"]\n'
            b"[delivery]\nbackoff_max_seconds = 30\n"
        ),
        b"\n\0\nKEEN_PROJECT_ID=p\nKEEN_BASE_URL=http://[::1]:8200/x\nKEEN_WRITE_KEY=k\nKEEN_DISABLED=no",
    ],
    words=[
        *(f"{name} = ".encode() for name in ENVIRONMENT),
        *(f"{variable}=".encode() for variable in ENVIRONMENT.values()),
        *(b"[log_settings]\n", b"[delivery]\n", b"\n", b'"', b"'", b"[", b"]", b"{", b"}", b"=", b".", b","),
        *(
            b"true",
            b"-1",
            b"1e999",
            b"nan",
            b"1979-05-27T07:32:00Z",
            b"https://",
            b"u:p@h",
            b"/3.0",
            b"\n\0\n",
            b"~",
        ),
        *(b"durability = ", b"unknown = ", b"audit = ", b"retention_days = ", b"batch_events_max = "),
    ],
)


# ---- events from a stream -----------------------------------------------------------------


def ndjson(data: bytes) -> None:
    """Lines of JSON: each one is an event or is refused by its number; none is lost, none becomes two."""
    taken: list[EncodedEvent] = []
    refused: list[int] = []

    def record_all(events: Sequence[EncodedEvent]) -> None:
        taken.extend(events)

    work = Import("things", lambda line, why: refused.append(line))
    work.run(io.BytesIO(data), record_all, lambda progress: None)
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    wanted = [number for number, line in enumerate(lines, 1) if line.strip()]
    expect(len(taken) + len(refused) == len(wanted), "each line is an event or refused")
    expect(set(refused) <= set(wanted), "what is refused is a line with something on it")
    expect(refused == sorted(set(refused)), "each is refused once, in order")
    good = [line for number, line in enumerate(lines, 1) if number in wanted and number not in set(refused)]
    for line, event in zip(good, taken, strict=True):
        body = orjson.loads(event.body)
        expect("kc" not in body and "keen" not in body, "what is ours is not in the body")
        given = _loads(line)
        if isinstance(given, dict) and len(given) == line.count(b'":') and "keen" not in given:
            expect(body == given, "the event that is recorded is the one that was given")


def _loads(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


NDJSON: Final = Target(
    "ndjson",
    ndjson,
    seeds=[
        b'{"a":1}\n{"b":[1,2.5,null,true,"x"]}\n\n{"keen":{"timestamp":"2026-10-01T00:00:00Z"}}\n',
        b'\xef\xbb\xbf{"a":{"b":{"c":"\\ud83d\\ude00"}}}\r\n[1]\n"x"\nnull\n{"kc":1}\n{"$a":1}\n{"a.b":1}\n',
        b'{"n":18446744073709551616}\n{"n":1e400}\n{"n":-0.0}\n{"n":NaN}\n{"a":1,"a":2}',
    ],
    words=[
        *(
            b'{"',
            b'":',
            b'"}',
            b"}",
            b"{",
            b"[",
            b"]",
            b",",
            b"\n",
            b"\r\n",
            b'"',
            b"\\u0000",
            b"\\ud800",
            b"null",
        ),
        *(
            b"1e999",
            b"-0",
            b"0.1",
            b"123456789012345678901",
            b"true",
            b'"keen":{"timestamp":"',
            b"2026-10-01T00:00:00Z",
        ),
        *(
            b'"kc":{}',
            b'"uniqueness_token"',
            b'"location"',
            b'"addons":[]',
            b"\xef\xbb\xbf",
            b"\xff",
            b"\xed\xa0\x80",
        ),
    ],
)


# ---- times --------------------------------------------------------------------------------

#: What reads a time, and the errors that it documents for what is none.
_TIMES: Final[tuple[tuple[Callable[[str], object], tuple[type[Exception], ...]], ...]] = (
    (parse_time, (ValueError, OverflowError)),
    (parse_duration, (ValueError,)),
    (parse_size, (ValueError,)),
    (moment_ms, (UsageError,)),
    (duration_ms, (UsageError,)),
    (width_ms, (UsageError,)),
    (parse_timestamp, (InvalidEventError,)),
    (lambda text: parse_timestamp(text, "utc"), (InvalidEventError,)),
    (parse_timeframe, (InvalidQueryError,)),
    (lambda text: Timeframe.between(text, "2100-01-01"), (InvalidQueryError,)),
    (parse_interval, (InvalidQueryError,)),
    (parse_moment, (ValueError, OverflowError)),
    (parse_zone, (Refusal,)),
    (server_interval, (Refusal,)),
    (as_moment, ()),
    (http_date_ms, ()),
)


def timestamps(data: bytes) -> None:
    """Every reader of times, durations, timeframes, intervals and zones: a value, or its documented error."""
    text = data.decode("utf-8", "replace")
    for read, errors in _TIMES:
        try:
            read(text)
        except errors:
            continue
    _one_instant(text)
    first, _, rest = text.partition("\n")
    zone, _, interval = rest.partition("\n")
    try:
        frame = server_timeframe(first, parse_zone(zone), _NOW_MS)
        expect(frame.start_ms <= frame.end_ms, "a timeframe does not end before it starts")
        wanted = server_interval(interval)
        bounds = divide(frame, wanted).bounds if wanted is not None and frame.start_ms < frame.end_ms else ()
    except Refusal:
        return
    expect(list(bounds) == sorted(bounds), "sub-timeframes follow each other")


def _one_instant(text: str) -> None:
    """Where the command line, the verification and the events read a time, they read the same."""
    try:
        told = parse_time(text)
    except (ValueError, OverflowError):
        return
    moment = (told - datetime(1970, 1, 1, tzinfo=UTC)) // (
        datetime(1970, 1, 1, 0, 0, 0, 1000) - datetime(1970, 1, 1)
    )
    expect(moment_ms(text) == moment, "the command line and the verification read one instant")


TIMESTAMPS: Final = Target(
    "timestamps",
    timestamps,
    seeds=[
        b"2026-10-01T00:00:00.123Z",
        b"2026-10-01",
        b"2026-10-01T23:59:59.999999999+14:00",
        b"this_7_days\nAmerica/Sao_Paulo\ndaily",
        b"previous_12_months\n-28800\nevery_3_hours",
        b"90s",
        b"Sun, 06 Nov 1994 08:49:37 GMT",
    ],
    words=[
        *(
            b"2026-10-01",
            b"T",
            b"00:00:00",
            b".123456789",
            b"Z",
            b"+14:00",
            b"-00:00",
            b"0001-01-01",
            b"9999-12-31",
        ),
        *(
            b"this_",
            b"previous_",
            b"999999_",
            b"days",
            b"minute",
            b"months",
            b"years",
            b"weeks",
            b"every_",
            b"daily",
        ),
        *(
            b"\nPacific/Apia",
            b"\nUTC",
            b"\n-86399",
            b"\n",
            b"24h",
            b"999999999d",
            b"\xd9\xa2",
            b"23:59:60",
            b"../",
            b"W40",
        ),
        *(b"today", b"Sun, ", b"GMT", b"1994", b"e9", b"inf", b"500kB", b" "),
    ],
)


# ---- keys and ids -------------------------------------------------------------------------


def keys(data: bytes) -> None:
    """Scoped keys, whole and broken: options or an error, the same for client and server; what is made opens again."""
    for master in MASTER_KEYS:
        for presented in (data.decode("latin-1"), data.hex()):
            opened: object = None
            try:
                opened = decrypt(master, presented)
            except UsageError:
                opened = None
            try:
                credential = read_scoped_key(presented, master)
            except Refusal:
                credential = None
            if credential is not None:
                expect(isinstance(opened, dict), "what the server takes the client reads")
        options = {"allowed_operations": ["read"], "note": data.decode("latin-1")}
        expect(decrypt(master, encrypt(master, options)) == options, "what is made opens again")


KEYS: Final = Target(
    "keys",
    keys,
    seeds=[
        encrypt(MASTER_KEYS[0], {"allowed_operations": ["read", "write"], "filters": []}).encode(),
        encrypt(MASTER_KEYS[1], {"allowed_operations": ["read"]}).encode(),
        b"0" * 64,
    ],
    words=[b"0" * 32, b"f" * 32, b"\x00", b"\x10" * 16, b"{}", b"zz", b"A", b"0x"],
)

_ID: Final = re.compile(r"[0123456789abcdefghjkmnpqrstvwxyz]{10}-[1-9a-z][0-9a-z]{0,4}")


def receipts(data: bytes) -> None:
    """Ids as receipts show them: a text is one id at most, and an id has one text."""
    text = data.decode("utf-8", "replace")
    try:
        parsed = EntryId.parse(text)
    except ValueError:
        expect(_ID.fullmatch(text) is None, "what has the form of an id is one")
        return
    expect(str(parsed) == text, "an id has one text")
    expect(parsed.seq > 0, "numbers begin with 1")


RECEIPTS: Final = Target(
    "receipts",
    receipts,
    seeds=[b"4kq7x2m9pz-qglj", b"0000000000-1", b"zzzzzzzzzz-zzzzz"],
    words=[b"4kq7x2m9pz", b"-", b"qglj", b"0", b"~1", b"\n", b"\xd9\xa3", b"i", b"l", b"A"],
)

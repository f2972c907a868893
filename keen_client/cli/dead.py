"""``keen-client dead``: events that the server refused for good, and what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from keen_client._foundation.clock import ms_to_iso
from keen_client.cli import exit_codes
from keen_client.cli.options import Connection, connection_options, json_option
from keen_client.cli.output import emit, json_line, note, say

if TYPE_CHECKING:
    from keen_client.eventlog.dead_letters import DeadLetter
    from keen_client.eventlog.log import EventLog
    from keen_client.events.identity import EntryId


@click.group()
def dead() -> None:
    """Look at dead letters, send them once more, or give them up.

    A dead letter is an event that the server refused for good. It stays in the
    log, with the server's words, until you decide. So does an event that was
    given up: three replays resent it, and it is absent all the same.
    """


_collection = click.option("--collection", metavar="NAME", help="Only those of this event collection.")
_status = click.option(
    "--status",
    type=click.Choice(["dead", "unsure", "retried", "dropped"]),
    default="dead",
    show_default=True,
    help="unsure: an earlier attempt's outcome is not known, so a query has to settle it first.",
)


@dead.command("list")
@_collection
@_status
@connection_options
@json_option
def list_(collection: str | None, status: str, connection: Connection, as_json: bool) -> int:
    """List dead letters, oldest first, with the server's words."""
    from keen_client.cli.session import look_at_log

    with look_at_log(connection) as log:
        letters = log.dead_letters.list(status, collection)
    if as_json:
        emit({"dead_letters": [_document(letter) for letter in letters]})
        return exit_codes.OK
    for letter in letters:
        say(
            f"{letter.id}  {letter.collection}  {ms_to_iso(letter.timestamp_ms)}  {letter.name}: {letter.message}"
        )
    note(f"{len(letters):,} dead letters ({status})")
    return exit_codes.OK


@dead.command()
@click.argument("event_id", metavar="ID")
@connection_options
@json_option
def show(event_id: str, connection: Connection, as_json: bool) -> int:
    """Show one dead letter with its event."""
    from keen_client.cli.session import look_at_log

    entry_id = _parse([event_id])[0]
    with look_at_log(connection) as log:
        letter = log.dead_letters.find(entry_id)
        if letter is None:
            raise click.UsageError(f"{event_id} is no dead letter; see `keen-client dead list`")
        found = {**_document(letter), "event": _event(log, entry_id)}
    if as_json:
        emit(found)
        return exit_codes.OK
    for name, value in found.items():
        say(f"{name:11} {json_line(value).decode().rstrip() if name == 'event' else value}")
    return exit_codes.OK


@dead.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="All that the server refused; what was given up is named one by one.",
)
@connection_options
@json_option
def retry(ids: tuple[str, ...], everything: bool, connection: Connection, as_json: bool) -> int:
    """Let dead letters be sent once more, with identity and timestamp unchanged.

    What a query showed at the server all the same is not sent: it is expected
    there from now on.
    """
    return _decide("retried", ids, everything=everything, connection=connection, as_json=as_json)


@dead.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="All that the server refused; what was given up is named one by one.",
)
@click.option("--yes", is_flag=True, help="Do it. Without, it is only said what would be dropped.")
@connection_options
@json_option
def drop(ids: tuple[str, ...], everything: bool, yes: bool, connection: Connection, as_json: bool) -> int:
    """Give dead letters up for good: they are no longer expected at the server, and never sent again."""
    if yes:
        return _decide("dropped", ids, everything=everything, connection=connection, as_json=as_json)
    from keen_client.cli.session import look_at_log

    named = _named(ids, everything=everything)
    with look_at_log(connection) as log:
        chosen = _chosen(log, named)
    if as_json:
        emit({"dropped": 0, "would_drop": [str(entry_id) for entry_id in chosen]})
    else:
        say(f"{len(chosen):,} dead letters would be dropped; nothing was done, add --yes")
    return exit_codes.OK


@dead.command()
@_collection
@_status
@connection_options
@json_option
def export(collection: str | None, status: str, connection: Connection, as_json: bool) -> int:
    """Print dead letters with their events, one JSON object a line (with --json all in one document)."""
    from keen_client.cli.session import look_at_log

    with look_at_log(connection) as log:
        letters = log.dead_letters.list(status, collection)
        rows = ({**_document(letter), "event": _event(log, letter.id)} for letter in letters)
        if as_json:
            emit({"dead_letters": list(rows)})
        else:
            for row in rows:
                click.echo(json_line(row), nl=False)
    return exit_codes.OK


def _decide(
    verb: str, ids: tuple[str, ...], *, everything: bool, connection: Connection, as_json: bool
) -> int:
    from keen_client.cli.session import look_at_log

    named = _named(ids, everything=everything)
    with look_at_log(connection) as log:
        chosen = _chosen(log, named)
        there = log.dead_letters.there(chosen) if verb == "retried" else ()
        done = log.dead_letters.retry(chosen) if verb == "retried" else log.dead_letters.drop(chosen)
    if as_json:
        shown = {"there": [str(entry_id) for entry_id in there]} if verb == "retried" else {}
        emit({verb: done, "asked": len(chosen), **shown})
    else:
        say(f"{verb} {done:,} of {len(chosen):,}")
    if there:
        note(
            f"not sent: {len(there):,} of them; a query showed them at the server, and there they are expected from now on"
        )
    if done < len(chosen):
        note(f"{len(chosen) - done:,} are no dead letters (any more); nothing was changed about them")
        return exit_codes.ERROR
    return exit_codes.OK


def _named(ids: tuple[str, ...], *, everything: bool) -> list[EntryId] | None:
    """The ids of the command line; None for all that are dead."""
    if bool(ids) == everything:
        raise click.UsageError("name the events by their ids, or all of them by --all")
    return None if everything else _parse(ids)


def _chosen(log: EventLog, named: list[EntryId] | None) -> list[EntryId]:
    """Those named; else all that the server refused: what was given up is decided one by one."""
    from keen_client.eventlog.dead_letters import GIVEN_UP

    if named is not None:
        return named
    return [letter.id for letter in log.dead_letters.list() if letter.name != GIVEN_UP]


def _parse(ids: tuple[str, ...] | list[str]) -> list[EntryId]:
    from keen_client.events.identity import EntryId

    try:
        return [EntryId.parse(text) for text in dict.fromkeys(ids)]
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _document(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": str(letter.id),
        "collection": letter.collection,
        "timestamp": ms_to_iso(letter.timestamp_ms),
        "refused": ms_to_iso(letter.at_ms),
        "name": letter.name,
        "message": letter.message,
        "status": letter.status,
    }


def _event(log: EventLog, entry_id: EntryId) -> dict[str, Any] | None:
    """The event as the user gave it; None when its file is gone."""
    import orjson

    entry = log.shelf.pick([entry_id]).get(entry_id)
    if entry is None:
        return None
    keen = {"timestamp": ms_to_iso(entry.timestamp_ms), **(orjson.loads(entry.keen) if entry.keen else {})}
    return {**orjson.loads(entry.body), "keen": keen}

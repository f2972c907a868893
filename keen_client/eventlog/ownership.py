"""Ownership: whose a log is, who may use it, and who writes to it, as findings. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keen_client._foundation.clock import ms_to_iso
from keen_client.errors import EventLogError
from keen_client.eventlog.checkup import SegmentCheck, is_copy, unsafe_files
from keen_client.eventlog.directory import LogDirectory
from keen_client.eventlog.finding import REPAIR, Finding
from keen_client.eventlog.restoration import awaits_sender, is_set_apart
from keen_client.eventlog.rights import barriers, denials, told
from keen_client.eventlog.state import State


def closure(directory: LogDirectory) -> Finding | None:
    """Why nothing of the log may, or can, be looked at: files made here would lock its owner out. None: it may."""
    try:
        directory.check_owner()
    except EventLogError as error:
        return Finding("warning", "permissions", error.message, error.hint or "")
    denied = barriers(directory)
    if not denied:
        return None
    message, hint = told(denied)
    return Finding("warning", "permissions", f"{message}: nothing of the log was examined", hint)


def permissions(directory: LogDirectory) -> Iterator[Finding]:
    """What this user may not do with the log's files, and what others may."""
    if denied := denials(directory):
        message, hint = told(denied)
        yield Finding(
            "warning",
            "permissions",
            f"{message}: nothing is lost, but not all can be recorded, sent and verified",
            hint,
        )
    foreign, wide = unsafe_files(directory)
    if foreign:
        yield Finding(
            "damage",
            "permissions",
            f"{len(foreign)} files belong to another user, {foreign[0].name} among them: "
            "the log's owner may be locked out",
            f"chown them to user {directory.path.stat().st_uid}",
        )
    if wide:
        yield Finding(
            "warning",
            "permissions",
            f"others than the owner may use {len(wide)} files, {wide[0].name} among them",
            REPAIR,
        )


def identities(
    directory: LogDirectory, checks: Sequence[SegmentCheck], state: State | None, boot_id: str
) -> Iterator[Finding]:
    """Which segments were written by another machine, or are not the files that were made here.

    A log that was put back is told until a sender has seen to it, a single
    segment until it is sealed.
    """
    ours = [check.header for check in checks if check.header is not None and check.header.boot_id == boot_id]
    since_ms = min((header.made_ms for header in ours), default=None)
    is_put_back = state is not None and awaits_sender(state)
    if is_put_back:
        yield Finding(
            "warning",
            "identity",
            "the log was put back from a backup, or copied: what it had to send is unknown until a query settles it",
            "run `keen-client nightly`",
        )
    for check in checks:
        if check.header is None or check.fault:
            continue
        file = check.name.path_in(directory.segments).name
        if check.header.boot_id != boot_id and since_ms is not None and check.newest_ms > since_ms:
            yield Finding(
                "damage",
                "identity",
                f"{file} was written by another machine, or another boot of it, at "
                f"{ms_to_iso(check.newest_ms)}, while this one wrote too",
                "let one machine only write to this log; give the other one a log of its own",
            )
        if is_put_back or not is_copy(directory, check.name, check.header, boot_id):
            continue
        if state is None or not is_set_apart(state, check.name.origin):
            yield Finding(
                "warning",
                "identity",
                f"{file} is a copy of the file that was made under this name: nothing is recorded in it",
                f"if you put it back, {REPAIR}: it is sealed",
            )

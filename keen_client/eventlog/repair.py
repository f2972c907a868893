"""What ``doctor --repair`` does: only what is safe, each step on its own, each told.

Nothing is deleted but what a journal says may go; a damaged file is set aside;
what cannot be done now (another process is at work) is told and left.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Final

from keen_client._foundation.clock import Clock
from keen_client._foundation.files import (
    PRIVATE_DIRECTORY_MODE,
    SEALED_FILE_MODE,
    allocate,
    free_bytes,
)
from keen_client._foundation.files import boot_id as machine_boot_id
from keen_client._foundation.randomness import Randomness
from keen_client.errors import EventLogError, EventLogPermissionError
from keen_client.eventlog.checkup import (
    ABANDONED_MARK,
    abandoned_origins,
    check_segment,
    check_state,
    is_copy,
    unsafe_files,
)
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.damage import Damage, Salvager
from keen_client.eventlog.description import restored
from keen_client.eventlog.directory import Binding, LogDirectory
from keen_client.eventlog.finding import Finding
from keen_client.eventlog.reclaim import Reclaimer
from keen_client.eventlog.recovery import rebuild_state, recover_state, state_is_missing
from keen_client.eventlog.restoration import take_up
from keen_client.eventlog.rights import hindrances, told
from keen_client.eventlog.segment import SegmentName, SegmentReader, finish_sealed, list_segments
from keen_client.eventlog.shelf import Shelf
from keen_client.eventlog.state import State
from keen_client.eventlog.succession import CursorOf, Succession
from keen_client.eventlog.totals import Totals
from keen_client.eventlog.unreadable import gone_segments, misjudged_origins

#: Runs of lost events that one finding names.
_RUNS_TOLD_MAX: Final = 5


def repair(
    directory: LogDirectory,
    config: LogConfig,
    clock: Clock,
    randomness: Randomness,
    *,
    boot_id: str | None = None,
    binding: Binding | None = None,
) -> list[Finding]:
    """Repair what can be repaired without a decision; one finding for each thing that was done or could not be.

    *binding*: whose log it is taken for, if anybody's. Examine the log afterwards for what is left. Needs the sender's and the
    nightly job's locks for everything but permissions and the reserve.
    """
    try:
        if directory.is_unmade():
            return [
                Finding(
                    "warning", "directory", f"there is no log at {directory.path}", "name the log with --log"
                )
            ]
        directory.check_owner()
    except EventLogPermissionError as error:
        return [Finding("warning", "permissions", error.message, error.hint or "")]
    found = list(_permissions(directory))
    if denied := hindrances(directory):
        # What cannot be opened may be sound: nothing is set aside or rebuilt for want of a right.
        message, hint = told(denied)
        return [*found, Finding("warning", "permissions", f"{message}: the log was left as it is", hint)]
    found.extend(restored(directory, binding, clock))
    found.extend(_reserve(directory, config))
    with ExitStack() as held:
        locks = (directory.nightly_lock(), directory.sender_lock())
        if any(lock.holds() or not held.enter_context(lock.held()) for lock in locks):
            holder = next((pid for lock in locks if (pid := lock.holder()) is not None), os.getpid())
            found.append(
                Finding(
                    "warning",
                    "sender",
                    f"process {holder} is sending or verifying; the log's content was left as it is",
                    "stop it, then run `keen-client doctor --repair` again",
                )
            )
            return found
        found.extend(_Repair(directory, config, clock, randomness, boot_id or machine_boot_id()).steps())
    return found


def _permissions(directory: LogDirectory) -> Iterator[Finding]:
    _, wide = unsafe_files(directory)
    for path in wide:
        try:
            if path.is_dir():
                path.chmod(PRIVATE_DIRECTORY_MODE)
            else:
                path.chmod(stat.S_IMODE(path.stat().st_mode) & stat.S_IRWXU)
        except OSError as error:
            yield Finding(
                "warning", "permissions", f"{path.name} cannot be closed to others ({error.strerror})"
            )
        else:
            yield Finding("repaired", "permissions", f"{path.name} is closed to others now")


def _reserve(directory: LogDirectory, config: LogConfig) -> Iterator[Finding]:
    if directory.reserve.exists() or not list_segments(directory.segments):
        return
    try:
        if free_bytes(directory.path) >= 2 * config.reserve_bytes:
            allocate(directory.reserve, config.reserve_bytes)
            yield Finding("repaired", "space", f"a reserve of {config.reserve_bytes:,} bytes is kept again")
    except OSError as error:
        yield Finding(
            "warning",
            "space",
            f"the reserve cannot be made ({error.strerror}); recording waits",
            "free space",
        )


class _Repair:
    """The steps that need the locks, in their order: state first, since the others write into it."""

    def __init__(
        self,
        directory: LogDirectory,
        config: LogConfig,
        clock: Clock,
        randomness: Randomness,
        boot_id: str,
    ) -> None:
        self._directory = directory
        self._config = config
        self._clock = clock
        self._randomness = randomness
        self._boot_id = boot_id

    def steps(self) -> Iterator[Finding]:
        try:
            yield from self._state()
            state = State(self._directory.path)
        except EventLogPermissionError as error:
            yield Finding("warning", "permissions", error.message, error.hint or "")
            return
        except EventLogError as error:
            yield Finding("damage", "state", error.message, error.hint or "")
            return
        shelf = Shelf(self._directory, state)
        succession = Succession(
            self._directory, self._config, self._clock, self._randomness, self._boot_id, _cursor_of(state)
        )
        try:
            for step in (
                self._damages,
                self._segments,
                self._abandoned,
                self._older,
                self._finished,
                self._reclaims,
            ):
                try:
                    yield from step(state, shelf, succession)
                except EventLogError as error:
                    yield Finding("warning", step.__name__.strip("_"), error.message, error.hint or "")
        finally:
            shelf.close()
            state.close()

    def _state(self) -> Iterator[Finding]:
        if state_is_missing(self._directory):
            rebuild_state(self._directory, self._config, self._clock)
            yield Finding(
                "repaired",
                "state",
                "state.db was rebuilt from the segments; every event is unknown until a query settles it",
                "run `keen-client nightly`",
            )
        elif self._directory.state.exists() and (fault := check_state(self._directory)):
            moved = recover_state(self._directory, self._config, self._clock)
            yield Finding(
                "repaired",
                "state",
                f"state.db was damaged ({fault}); it lies in damaged/{moved.name} now, and was rebuilt: "
                "every event is unknown until a query settles it",
                "run `keen-client nightly`",
            )

    def _damages(self, state: State, shelf: Shelf, succession: Succession) -> Iterator[Finding]:
        salvager = Salvager(self._directory, state, shelf, self._config, self._clock)
        for damage in salvager.finish():
            yield _told(damage)
        misjudged = misjudged_origins(state)
        for name in list_segments(self._directory.segments):
            check = check_segment(self._directory, name)
            if check.denied:
                yield Finding(
                    "warning",
                    "permissions",
                    f"segment {name.origin} cannot be opened by user {os.geteuid()} ({check.denied});"
                    " it was left as it is",
                    "check its owner, its mode and the mount",
                )
            if check.fault:
                yield _told(salvager.set_aside(name, check.fault))
            elif name.origin in misjudged and not check.denied:
                taken = take_up(state, shelf, Totals(state, self._config), name.origin, self._clock.wall_ms())
                yield Finding(
                    "repaired",
                    "segments",
                    f"segment {name.origin} can be read again: {taken:,} events of it are unknown until a query"
                    " settles them",
                    "run `keen-client nightly`",
                )

    def _segments(self, state: State, shelf: Shelf, succession: Succession) -> Iterator[Finding]:
        """Give up those whose files are gone: it is journalled what that costs."""
        salvager = Salvager(self._directory, state, shelf, self._config, self._clock)
        for segment in gone_segments(self._directory, state):
            damage = salvager.give_up(segment.name) if segment.is_gone else None
            if damage is not None:
                yield _told(damage)

    def _abandoned(self, state: State, shelf: Shelf, succession: Succession) -> Iterator[Finding]:
        """Seal what was abandoned: a committed seal overwrites whatever WAL recovery could revive."""
        by_origin = {name.origin: name for name in list_segments(self._directory.segments)}
        for origin in abandoned_origins(self._directory, state):
            name = by_origin[origin]
            shelf.release(origin)
            succession.shunned.add(origin)
            succession.seal(name, self._successor(succession))
            if not shelf.is_sealed(origin):
                yield Finding(
                    "warning", "abandoned", f"segment {origin} cannot be sealed; nothing of it was changed"
                )
                continue
            last = shelf.last_seq(origin)
            if last is None:
                yield Finding(
                    "warning", "abandoned", f"segment {origin} cannot be read; nothing was given up"
                )
                continue
            with state.transaction() as db:
                row = db.execute("SELECT cursor FROM origins WHERE origin = ?", (origin,)).fetchone()
                cursor = int(row[0]) if row else 0
                is_whole = last >= cursor
                db.execute(
                    "UPDATE origins SET status = ?, changed_ms = ? WHERE origin = ?",
                    ("sealed" if is_whole else "damaged", self._clock.wall_ms(), origin),
                )
                if not is_whole:
                    db.execute(
                        "INSERT INTO damages (at_ms, origin, file, reason, salvaged, lost) VALUES (?, ?, ?, ?, ?, ?)",
                        (
                            self._clock.wall_ms(),
                            origin,
                            name.path_in(self._directory.segments).name,
                            "it ends before its cursor: an older copy was put in its place",
                            last,
                            cursor - last,
                        ),
                    )
            (self._directory.path / f"{ABANDONED_MARK}{origin}").unlink(missing_ok=True)
            what = (
                "its events can be sent"
                if is_whole
                else f"{cursor - last:,} events that it had are not in it any more"
            )
            yield Finding("repaired", "abandoned", f"segment {origin} was sealed and read again; {what}")

    def _older(self, state: State, shelf: Shelf, succession: Succession) -> Iterator[Finding]:
        for name in list_segments(self._directory.segments):
            if shelf.is_sealed(name.origin) is not False:
                continue
            if succession.fits_today(name) and not self._is_copy(name):
                continue
            shelf.release(name.origin)
            if succession.seal(name, self._successor(succession)):
                yield Finding("repaired", "sealing", f"segment {name.origin} of {name.day} was sealed")
            else:
                yield Finding(
                    "warning", "sealing", f"segment {name.origin} of {name.day} is held by a process"
                )

    def _is_copy(self, name: SegmentName) -> bool:
        try:
            reader, header = SegmentReader.checked(self._directory.segments, name)
        except (sqlite3.Error, EventLogError):
            return False
        reader.close()
        return is_copy(self._directory, name, header, self._boot_id)

    def _finished(self, state: State, shelf: Shelf, succession: Succession) -> Iterator[Finding]:
        locks = self._directory.recorders_lock()
        for name in list_segments(self._directory.segments):
            path = name.path_in(self._directory.segments)
            if not shelf.is_sealed(name.origin) or stat.S_IMODE(path.stat().st_mode) == SEALED_FILE_MODE:
                continue
            shelf.release(name.origin)
            with locks.held(self._directory.segment_byte(name.origin)) as alone, suppress(OSError):
                if alone and finish_sealed(self._directory.segments, name):
                    yield Finding("repaired", "sealing", f"segment {name.origin} is one read-only file now")

    def _reclaims(self, state: State, shelf: Shelf, succession: Succession) -> Iterator[Finding]:
        done = Reclaimer(self._directory, state, shelf, self._config, self._clock).finish()
        if done:
            yield Finding("repaired", "journal", f"{done} reclaims that had been begun were completed")

    @staticmethod
    def _successor(succession: Succession) -> SegmentName:
        """Who takes over: the open segment of today, made when there is none."""
        writer = succession.find()
        writer.close()
        return writer.name


def _told(damage: Damage) -> Finding:
    lost = (
        "it is not known how many more there were"
        if damage.lost is None
        else f"{damage.lost:,} could not be read"
    )
    what = "was given up" if damage.is_gone else f"was set aside as damaged/{damage.file}"
    return Finding(
        "repaired",
        "segments",
        f"segment {damage.origin} {what} ({damage.reason}): {damage.salvaged:,} events were saved, {lost}"
        + _told_given_up(damage),
        "run `keen-client nightly`; the windows of what was lost are unverifiable"
        if damage.lost != 0
        else "",
    )


def _told_given_up(damage: Damage) -> str:
    """By name, which of the events that the server has not acknowledged are lost."""
    if not damage.given_up:
        return ""
    runs = [str(first) if first == last else f"{first} to {last}" for first, last in damage.given_up]
    named = ", ".join(runs[:_RUNS_TOLD_MAX]) + (" and others" if len(runs) > _RUNS_TOLD_MAX else "")
    count = sum(last.seq - first.seq + 1 for first, last in damage.given_up)
    may_be = f", {damage.uncertain:,} of which the server may have" if damage.uncertain else ""
    return f"; {count:,} of them were not acknowledged{may_be}: {named}"


def _cursor_of(state: State) -> CursorOf:
    def cursor_of(origin: str) -> tuple[str, int] | None:
        with state.reading() as db:
            row = db.execute("SELECT status, cursor FROM origins WHERE origin = ?", (origin,)).fetchone()
        return None if row is None else (row[0], row[1])

    return cursor_of

"""state.db: made once, changed whole or not at all, refused when it is of a later version."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from keen_client.errors import EventLogDamagedError, EventLogTooNewError
from keen_client.eventlog.directory import LogDirectory
from keen_client.eventlog.state import MIGRATIONS, State


def test_state_is_private_and_fully_synchronous(directory: LogDirectory, state: State) -> None:
    """Owner only; EXTRA syncs the directory after the journal goes."""
    assert stat.S_IMODE(directory.state.stat().st_mode) == 0o600
    with state.reading() as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (3,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_two_processes_that_make_it_at_once_both_get_it(directory: LogDirectory) -> None:
    """One applies the schema, the other waits and finds it applied."""
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from keen_client.eventlog.state import MIGRATIONS, State
        print("ready", flush=True)
        sys.stdin.readline()
        State(Path(sys.argv[1])).count("opened", 1)
    """)
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(directory.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for maker in makers:
        assert maker.stdout is not None
        assert maker.stdout.readline() == "ready\n"
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.write("\n")
        maker.stdin.flush()
    for maker in makers:
        maker.communicate()
    assert [maker.returncode for maker in makers] == [0] * 4
    opened = State(directory.path)
    assert opened.counter("opened") == 4
    opened.close()


def test_transaction_that_fails_changes_nothing(state: State) -> None:
    """Nested ones are part of the outer one."""

    def change_and_fail() -> None:
        with state.transaction() as db:
            state.note("fact", "value")
            db.execute("INSERT INTO counters VALUES ('n', 1)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change_and_fail()
    assert state.fact("fact") is None
    assert state.counter("n") == 0


def test_counters_add_up_and_facts_are_replaced(state: State) -> None:
    """A counter that never counted is 0, a fact never noted is None."""
    assert (state.counter("n"), state.fact("f")) == (0, None)
    state.count("n", 2)
    state.count("n", 3)
    state.count("n", 0)
    state.note("f", "old")
    state.note("f", "new")
    assert (state.counter("n"), state.fact("f")) == (5, "new")


def test_threads_share_the_connection(state: State) -> None:
    """Each transaction is whole."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: state.count("n", 1), range(40)))
    assert state.counter("n") == 40


def test_every_migration_is_known_by_name(state: State) -> None:
    """A file is up to date when it has seen those that are named, and no other is there."""
    with state.reading() as db:
        applied = db.execute("SELECT name FROM _sqlite_migrations ORDER BY id").fetchall()
    assert tuple(name for (name,) in applied) == MIGRATIONS


def test_opening_a_file_that_is_up_to_date_loads_no_sqlite_utils(
    directory: LogDirectory, state: State
) -> None:
    """It brings pandas with it, where that is installed: half a second for nothing."""
    program = (
        "import sys; from pathlib import Path; from keen_client.eventlog.state import State;"
        "State(Path(sys.argv[1])).counter('n'); sys.exit('sqlite_utils' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(directory.path)], check=False).returncode == 0


def test_later_version_s_state_is_refused_unchanged(directory: LogDirectory, state: State) -> None:
    """Whoever downgrades is told to upgrade again."""
    with state.transaction() as db:
        db.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " VALUES ('keen_client', '9999_later', '2030-01-01')"
        )
    with pytest.raises(EventLogTooNewError, match="9999_later"):
        State(directory.path)


def test_damaged_state_is_told(directory: LogDirectory) -> None:
    """Not overwritten: recovery sets it aside."""
    directory.state.write_bytes(b"no database " * 500)
    with pytest.raises(EventLogDamagedError, match="nothing was recorded or changed") as caught:
        State(directory.path)
    assert "doctor --repair" in str(caught.value.hint)
    assert directory.state.read_bytes() == b"no database " * 500


def test_read_only_state_refuses_changes(directory: LogDirectory, state: State) -> None:
    """`status` and friends open it so."""
    state.note("fact", "value")
    reader = State(directory.path, read_only=True)
    assert reader.fact("fact") == "value"
    with reader.reading() as db:
        assert db.execute("SELECT count(*) FROM origins").fetchone() == (0,)
    with pytest.raises(Exception, match="undone"):
        reader.note("fact", "other")
    reader.close()
    assert state.fact("fact") == "value"


def test_path_with_uri_characters_is_opened_as_it_is_named(tmp_path: Path) -> None:
    """``?`` and ``%`` in a directory's name are no query."""
    odd = tmp_path / "a?mode=ro&b%20#c"
    odd.mkdir()
    opened = State(odd)
    opened.note("fact", "value")
    opened.close()
    with closing(sqlite3.connect(odd / "state.db")) as db:
        assert db.execute("SELECT value FROM facts").fetchone() == ("value",)


def test_reader_waits_for_no_thread_that_is_gone(directory: LogDirectory) -> None:
    """A fork in the middle of another thread's transaction leaves the child a state it can use."""
    script = textwrap.dedent("""
        import os, sys, threading, warnings
        from pathlib import Path
        from keen_client.eventlog.state import MIGRATIONS, State
        warnings.simplefilter("ignore")
        state = State(Path(sys.argv[1]))
        began, stop = threading.Event(), threading.Event()
        def change():
            while not stop.is_set():
                with state.transaction() as db:
                    state.count("parent", 1)
                    began.set()
                    stop.wait(0.02)
                stop.wait(0.05)
        thread = threading.Thread(target=change)
        thread.start()
        for _ in range(3):
            began.clear()
            began.wait()
            pid = os.fork()
            if pid == 0:
                state.count("child", 1)
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        stop.set()
        thread.join()
        assert state.counter("child") == 3
    """)
    subprocess.run([sys.executable, "-c", script, str(directory.path)], check=True)


def test_thread_keeps_no_other_from_reading_its_own_transaction(state: State) -> None:
    """Readers wait for the transaction's end and then see all of it."""
    seen: list[int] = []
    with state.transaction():
        state.count("n", 1)
        reader = threading.Thread(target=lambda: seen.append(state.counter("n")))
        reader.start()
        state.count("n", 1)
    reader.join()
    assert seen == [2]


def test_a_file_system_that_was_read_only_for_a_while_is_written_again(
    directory: LogDirectory, state: State
) -> None:
    """SQLite opens a file read-only where it cannot be written, and for ever: a transaction opens it anew."""
    state._connection.close()
    state._connection = sqlite3.connect(f"file:{directory.state}?mode=ro", uri=True, isolation_level=None)
    state.count("n", 1)
    assert state.counter("n") == 1


def test_a_damaged_file_in_its_place_is_told_of_each_time(directory: LogDirectory, state: State) -> None:
    """Whoever has it open gets the same error at every try, and goes on as soon as a sound one is there."""
    sound = directory.state.read_bytes()
    other = directory.path / "other"
    for content in (b"\x81" * len(sound), sound.replace(b"CREATE TABLE", b"CREAT\xed TABLE")):
        other.write_bytes(content)
        other.replace(directory.state)
        for _ in range(2):
            with pytest.raises(EventLogDamagedError, match="nothing was recorded or changed"):
                state.count("n", 1)
    other.write_bytes(sound)
    other.replace(directory.state)
    state.count("n", 1)
    assert state.counter("n") == 1

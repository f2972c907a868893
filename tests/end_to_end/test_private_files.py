"""Whatever is written is for its owner alone, under the most careless umask there is."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from keen_client import EventLogPermissionError, KeenClient

#: Records, sends, runs a night, extracts to files, and ends without closing.
PROGRAM = textwrap.dedent(
    """
    import json, os, sys
    from datetime import datetime, timedelta, UTC
    from pathlib import Path
    os.umask(0)
    from keen_client import KeenClient
    from keen_client.results import event_file
    ready, place = json.loads(sys.argv[1]), Path(sys.argv[2])
    keen = KeenClient(ready["project_id"], ready["write_key"], ready["read_key"],
                      base_url=ready["url"], log=place / "state" / "log", background=False)
    keen.add_events({"purchases": [{"n": n} for n in range(50)]})
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    night = keen.nightly(start, start + timedelta(hours=3), preset="immediate")
    assert night.sent.acknowledged == 50, night
    times = {"start": start.isoformat(), "end": (start + timedelta(hours=3)).isoformat()}
    for kind in ("ndjson", "csv"):
        with event_file(place / f"purchases.{kind}") as file:
            for event in keen.extract("purchases", timeframe=times):
                file.write(event)
    os._exit(0)
    """
)


def others_may(path: Path) -> int:
    """The rights of group and others."""
    return stat.S_IMODE(path.lstat().st_mode) & 0o077


def test_nothing_that_is_written_is_for_others(tmp_path: Path) -> None:
    """The log, its state, its locks, exported files, the server's database: no right for group or others."""
    place, data = tmp_path / "place", tmp_path / "data"
    for open_to_all in (place, data):
        open_to_all.mkdir()
        open_to_all.chmod(0o777)
    serve = [sys.executable, "-m", "keen_client", "serve", "--json", "--port", "0", "--data", str(data)]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, umask=0, text=True) as server:
        try:
            assert server.stdout is not None
            ready = server.stdout.readline()
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM, ready, str(place)],
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
                umask=0,
            )
            assert done.returncode == 0, done.stderr
            written = [*place.rglob("*"), *data.rglob("*")]
            assert {"state.db", "log.json", "purchases.csv", "events.duckdb"} <= {p.name for p in written}
            assert json.loads(ready)["write_key"] not in "".join(str(path) for path in written)
            assert [f"{others_may(path):o} {path}" for path in written if others_may(path)] == []
        finally:
            server.terminate()
    assert [str(path) for path in data.rglob("*") if others_may(path)] == []


def test_a_directory_that_somebody_else_put_up_is_refused_untouched(tmp_path: Path) -> None:
    """Who waits with an empty directory where a log will be made gets nothing into it."""
    log = tmp_path / "log"
    if os.geteuid() == 0:
        log.mkdir()
        os.chown(log, 12_345, 12_345)
    else:  # without the right to give a directory away, root's own stands in for another's
        log = Path("/")
    before = sorted(log.iterdir())
    with pytest.raises(EventLogPermissionError):
        KeenClient("p", "w" * 64, log=log, background=False)
    assert sorted(log.iterdir()) == before

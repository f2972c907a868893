"""docs/how_to/operate.md does what it says: keys change without a gap, a later log is left alone, its sizes are the log's."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from keen_client import KeenClient
from keen_client.cli.app import app
from keen_client.eventlog.state import MIGRATIONS
from keen_client.server import LocalServer

PAGE = "docs/how_to/operate.md"


@pytest.fixture
def programs(page: Callable[[str], Any]) -> list[str]:
    text = page(PAGE).section("Rotate keys")
    return [
        textwrap.dedent(found)
        for found in re.findall(r"^ *```python\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)
    ]


def test_keys_change_under_a_running_client(
    programs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the page's programs: what the old key no longer sends waits with its reason, and goes under the new one."""
    make, revoke = programs
    with LocalServer() as server:
        monkeypatch.setenv("KEEN_PROJECT_ID", server.project_id)
        monkeypatch.setenv("KEEN_BASE_URL", server.url)
        monkeypatch.setenv("KEEN_MASTER_KEY", server.master_key)
        monkeypatch.setenv("KEEN_LOG", str(tmp_path / "log"))
        keys = []
        for _ in range(2):
            exec(make, {})
            keys.append(capsys.readouterr().out.strip())
        old, new = keys
        with KeenClient(write_key=old, background=False) as running:
            running.add_event("things", {"n": 1})
            assert running.flush(60).is_drained
            monkeypatch.setattr("builtins.input", lambda _: old)
            exec(revoke, {})
            running.add_event("things", {"n": 2})
            assert "401" in running.flush().reason
            shown = CliRunner().invoke(app, ["status", "--json"]).stdout
            assert "401" in orjson.loads(shown)["delivery_waits"]["reason"]
            with KeenClient(write_key=new, background=False) as restarted:
                assert restarted.flush(60).acknowledged == 1
        shown = CliRunner().invoke(app, ["status", "--json"]).stdout
        assert orjson.loads(shown)["delivery_waits"] is None


def test_a_log_of_a_later_version_is_neither_read_nor_changed(tmp_path: Path) -> None:
    """Recording into it is refused, with a name that a program can tell; a log of its own beside it works."""
    log = tmp_path / "log"
    options = ["record", "things", "--json", "--project-id", "p", "--log"]
    assert CliRunner().invoke(app, [*options, str(log)], input='{"n":1}\n').exit_code == 0
    about = log / "log.json"
    about.chmod(0o600)
    about.write_bytes(orjson.dumps(orjson.loads(about.read_bytes()) | {"format": 2}))
    before = {path: path.read_bytes() for path in log.rglob("*") if path.is_file()}
    refused = CliRunner().invoke(app, [*options, str(log)], input='{"n":2}\n')
    assert refused.exit_code == 1
    assert orjson.loads(refused.stdout)["error"]["code"] == "log_too_new"
    assert {path: path.read_bytes() for path in log.rglob("*") if path.is_file()} == before
    assert CliRunner().invoke(app, [*options, str(tmp_path / "log-2")], input='{"n":2}\n').exit_code == 0


def test_there_is_nothing_to_migrate_from_yet(page: Callable[[str], Any]) -> None:
    """The page says so for as long as there is one migration, the first."""
    assert ("there is nothing\nto migrate from" in page(PAGE).text) == (len(MIGRATIONS) == 1)


def test_an_event_takes_as_much_of_the_disk_as_the_page_says(
    page: Callable[[str], Any], tmp_path: Path
) -> None:
    """Within a twentieth, for the page's own events; a million is a million times as much."""
    opened = page(PAGE)
    text = opened.section("Size the disk")
    widths = re.search(r"where (\d+), (\d+) and (\d+) stand for the rows", text)
    rows = re.findall(r"^\| ([\d,]+) \| ([\d,]+) \| ([\d,]+) MB \|$", text, flags=re.MULTILINE)
    assert widths is not None
    assert len(rows) == 3
    count = 5_000
    for width, row in zip(map(int, widths.groups()), rows, strict=True):
        json_bytes, log_bytes, million = (int(cell.replace(",", "")) for cell in row)
        assert million == log_bytes
        lines = "".join(f'{{"order":{n + 100_000},"text":"{n:0{width}}"}}\n' for n in range(count))
        assert abs(len(lines) / count - 1 - json_bytes) <= 1
        place = tmp_path / f"log-{width}"
        recorded = CliRunner().invoke(
            app, ["record", "orders", "--project-id", "p", "--log", str(place)], input=lines
        )
        assert recorded.exit_code == 0
        size = sum(path.stat().st_size for path in (place / "segments").glob("*.db"))
        assert abs(size / count - log_bytes) < log_bytes / 20

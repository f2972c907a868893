"""`doctor --probe` tells a read key that does not see everything, where a master key can say so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from keen_client import KeenClient
from keen_client.cli.app import app
from keen_client.server import LocalServer

FILTERS = [{"property_name": "customer", "operator": "ne", "property_value": "c7"}]


@pytest.fixture
def server() -> Iterator[LocalServer]:
    server = LocalServer(seed=5).start()
    try:
        yield server
    finally:
        server.stop()


def findings(server: LocalServer, log: Path, read_key: str, master_key: str) -> tuple[dict[str, Any], int]:
    """The findings by name, and the exit status."""
    environment = {
        "KEEN_PROJECT_ID": server.project_id,
        "KEEN_BASE_URL": server.url,
        "KEEN_WRITE_KEY": server.write_key,
        "KEEN_READ_KEY": read_key,
        "KEEN_MASTER_KEY": master_key,
        "KEEN_LOG": str(log),
    }
    done = CliRunner().invoke(app, ["doctor", "--probe", "--json"], env=environment)
    assert not {read_key, master_key or "none"} & set(done.output.split())
    return {found["name"]: found for found in orjson.loads(done.stdout)["findings"]}, done.exit_code


def test_a_filtered_read_key_is_a_warning_of_the_doctor(server: LocalServer, tmp_path: Path) -> None:
    """Named by its name and never by itself; other keys are well, and without a master key nothing is said."""
    log = tmp_path / "log"
    with KeenClient(
        server.project_id,
        server.write_key,
        server.read_key,
        master_key=server.master_key,
        base_url=server.url,
        log=log,
        background=False,
    ) as client:
        client.add_event("purchases", {"customer": "c7"})
        whole = client.create_access_key("nightly", permitted=["queries"], options={"queries": {}})
        dashboard = client.create_access_key(
            "dashboard", permitted=["queries"], options={"queries": {"filters": FILTERS}}
        )
    for read_key, level in ((server.read_key, "ok"), (whole["key"], "ok"), (dashboard["key"], "warning")):
        found, status = findings(server, log, read_key, server.master_key)
        assert found["read_key"]["level"] == level
        assert level == "ok" or status & 32
        assert ("'dashboard'" in found["read_key"]["message"]) is (level == "warning")
        assert read_key not in orjson.dumps(found).decode()
    assert "read_key" not in findings(server, log, dashboard["key"], "")[0]


def test_a_master_key_that_is_refused_is_a_warning(server: LocalServer, tmp_path: Path) -> None:
    """What could not be looked at is not called well."""
    with KeenClient(
        server.project_id, server.write_key, base_url=server.url, log=tmp_path / "log", background=False
    ) as client:
        client.add_event("purchases", {"n": 1})
    found, _ = findings(server, tmp_path / "log", server.read_key, "not-the-master-key")
    assert found["read_key"]["level"] == "warning"

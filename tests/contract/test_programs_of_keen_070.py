"""Programs written for keen 0.7.0 run with its import and with ours, each on a server of its own: the same comes out."""

from __future__ import annotations

import ast
import base64
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from keen_client import KeenClient
from keen_client.server import LocalServer
from tests.contract.official import CachedDatasetsInterface, SavedQueriesInterface, keen

PROGRAMS: Final = Path(__file__).parent / "programs"
PHASES: Final = ("write", "ask", "administer")
#: Made by the server or by the clock, and another one each time.
VARYING: Final = {
    "key",
    "created_date",
    "last_modified_date",
    "milliseconds_behind",
    "user_last_modified_date",
}
#: The same, in an event's ``keen`` object; the token and ``kc`` are what our client adds to each event.
VARYING_IN_KEEN: Final = {"created_at", "id", "uniqueness_token"}


def moved(program: str) -> str:
    """*program* with its imports changed, and nothing else."""
    program = re.sub(r"^import keen$", "import keen_client.compat as keen", program, flags=re.MULTILINE)
    return re.sub(r"^from keen(?=[. ])", "from keen_client.compat", program, flags=re.MULTILINE)


@pytest.fixture(scope="module", params=["by_functions", "by_clients"])
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What each phase of one program printed, under the official client and under ours."""
    text = (PROGRAMS / f"{request.param}.py").read_text(encoding="utf-8")
    assert moved(text).count("keen_client.compat") == len(
        re.findall(r"^(?:import|from) keen\b", text, re.MULTILINE)
    )
    folder = tmp_path_factory.mktemp(request.param)
    made = []
    for name, program in {"before": text, "after": moved(text)}.items():
        path = folder / f"{name}.py"
        path.write_text(program, encoding="utf-8")
        made.append(_outcome(path, folder / f"log-{name}"))
    return made[0], made[1]


def _outcome(program: Path, log: Path) -> dict[str, Any]:
    with LocalServer(seed=7) as server:
        names = {"PROJECT": server.project_id, "WRITE": server.write_key, "READ": server.read_key}
        names |= {"MASTER": server.master_key, "URL": server.url}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KEEN_")}
        environment |= {f"MY_{name}": value for name, value in names.items()}
        environment["KEEN_LOG"] = str(log)
        if program.parent.name.startswith("by_functions"):
            environment |= {
                "KEEN_PROJECT_ID": server.project_id,
                "KEEN_WRITE_KEY": server.write_key,
                "KEEN_READ_KEY": server.read_key,
                "KEEN_MASTER_KEY": server.master_key,
                "KEEN_BASE_URL": server.url,
            }
        results = {}
        for phase in PHASES:
            done = subprocess.run(
                [sys.executable, "-W", "ignore", str(program), phase],
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            results[phase] = json.loads(done.stdout)
            if log.exists():
                _send_what_is_left(server, log)
        return {"url": server.url, "project": server.project_id, **results}


def _send_what_is_left(server: LocalServer, log: Path) -> None:
    # A program that ends on a busy machine may leave a batch of which it is unknown whether it arrived.
    with KeenClient(
        server.project_id,
        server.write_key,
        base_url=server.url,
        log=log,
        background=False,
        unknown="resend",
    ) as client:
        assert client.flush(60).is_drained


@pytest.mark.parametrize("phase", PHASES)
def test_a_program_gives_the_same_with_its_import_changed(
    outcomes: tuple[dict[str, Any], dict[str, Any]], phase: str
) -> None:
    """Value for value, once what was recorded has been sent; without our stamps and what is made anew each time."""
    before, after = (_settled(outcome[phase], outcome) for outcome in outcomes)
    assert before.keys() == after.keys()
    assert {name: after[name] for name in before} == before


def _settled(value: Any, outcome: dict[str, Any], name: str = "") -> Any:
    """*value* with rows in one order, beacons taken apart, and nothing that varies."""
    if name == "beacon":
        return _settled(_beacon(value), outcome)
    if isinstance(value, dict):
        varying = VARYING_IN_KEEN if name == "keen" else VARYING
        return {
            key: _settled(member, outcome, key)
            for key, member in value.items()
            if key not in varying and key != "keen.uniqueness_token" and key.split(".")[0] != "kc"
        }
    if isinstance(value, list):
        return sorted((_settled(member, outcome) for member in value), key=repr)
    if isinstance(value, str):
        return value.replace(outcome["url"], "URL").replace(outcome["project"], "PROJECT")
    return value


def _beacon(address: str) -> dict[str, Any]:
    """What an image beacon says; times to the second, and a ``+`` that was left unescaped as what it is."""
    parts = urlsplit(address.replace("+", "%2B"))
    given = parse_qs(parts.query)
    event = json.loads(base64.b64decode(given.pop("data")[0]))
    if "keen" in event:
        event["keen"]["timestamp"] = event["keen"]["timestamp"][:19]
    return {"path": parts.path, "event": event, "others": sorted(given)}


def test_the_programs_leave_no_call_out() -> None:
    """Every function of the module, and every method of saved queries and datasets, is called in one of them."""
    called = {
        node.func.attr
        for path in PROGRAMS.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    for thing in (keen, SavedQueriesInterface, CachedDatasetsInterface):
        names = {
            name for name, _ in inspect.getmembers(thing, inspect.isfunction) if not name.startswith("_")
        }
        assert names - called == set()

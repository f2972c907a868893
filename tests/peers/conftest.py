"""What the peers run in: a server as a process, node with Keen's clients, Chromium. What is missing fails loudly."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HERE = Path(__file__).parent
ROOT = str(HERE.parents[1])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from tests.peers.served import Served  # noqa: E402 - found by the path set above

#: The folder that `tests/peers/install` filled, and the browser's program where it has another name.
FOLDER_VARIABLE: Final = "PEERS"
CHROMIUM_VARIABLE: Final = "PEERS_CHROMIUM"
NODE_SECONDS: Final = 120
#: A browser that runs as root, in a container, and speaks to nobody but us.
CHROMIUM_OPTIONS: Final = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

RunNode = Callable[..., Any]


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Keen's JavaScript clients, as `npm ci` installed them; a failure where they are not there."""
    folder = os.environ.get(FOLDER_VARIABLE)
    modules = Path(folder or "", "node_modules").resolve()
    if not folder or not (modules / "keen-tracking").is_dir():
        pytest.fail(
            f"{FOLDER_VARIABLE} must name the folder that tests/peers/install has filled: "
            "see docs/contributing.md, section 'Peers'"
        )
    return modules


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Chromium, headless. One a module: while it runs, this thread has an event loop that others would trip over."""
    program = shutil.which(os.environ.get(CHROMIUM_VARIABLE, "chromium"))
    assert program is not None, "Chromium is missing: see docs/contributing.md, section 'Peers'"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A tab of its own, with nothing remembered. A script's error that nobody caught fails the test."""
    context = chromium.new_context(locale="en-GB", timezone_id="America/New_York")
    tab = context.new_page()
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    yield tab
    context.close()
    assert errors == []


@pytest.fixture(scope="session")
def site(node_modules: Path) -> Iterator[str]:
    """The origin of somebody's web site: `/keen-tracking` and `/keen-analysis` load that client and have one link."""
    files: dict[str, tuple[bytes, str]] = {}
    for name in ("keen-tracking", "keen-analysis"):
        script = f"/{name}.min.js"
        html = f"<!doctype html><title>Shop</title><a href='#buy'>Buy</a><script src='{script}'></script>"
        files[f"/{name}"] = (html.encode(), "text/html")
        files[script] = ((node_modules / name / "dist" / script[1:]).read_bytes(), "text/javascript")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, kind = files.get(self.path.partition("?")[0], (b"", ""))
            self.send_response(200 if kind else 404)
            self.send_header("content-type", f"{kind or 'text/plain'}; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def run_node(node_modules: Path) -> RunNode:
    """Runs a program of this folder in node with JSON on its stdin; returns the JSON of its last line."""
    node = shutil.which("node")
    assert node is not None, "node is missing: see docs/contributing.md, section 'Peers'"

    def run(program: str, given: dict[str, Any], **environment: str) -> Any:
        done = subprocess.run(
            [node, str(HERE / program)],
            input=orjson.dumps(given),
            capture_output=True,
            env={"PATH": os.environ["PATH"], "NODE_PATH": str(node_modules), **environment},
            timeout=NODE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return orjson.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """One server a module; tests use collections of their own, and leave no fault behind."""
    with Served() as server:
        yield server

"""Running the server: in a thread of this process, or for ever for the command line."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, Self, TypeVar

import attrs
import orjson
import uvicorn

from keen_client._foundation.clock import Clock, SystemClock
from keen_client.server.app import create_app
from keen_client.server.exposure import Certificate, warn_when_exposed
from keen_client.server.faults import Faults, parse_faults
from keen_client.server.geography import Geography
from keen_client.server.misbehaviour import FaultEngine
from keen_client.server.project import Project
from keen_client.server.protocol import LocalProtocol
from keen_client.server.rate_limit import PLATFORM_LIMITS
from keen_client.server.store import Store

STOP_SECONDS: Final = 5.0
#: A bulk write makes tens of thousands of objects of which none is garbage; Python would look for it every 700.
_OBJECTS_BETWEEN_COLLECTIONS: Final = 50_000
PROJECT_FILE: Final = "project.json"
_Part = TypeVar("_Part")


class _Uvicorn(uvicorn.Server):
    """uvicorn that leaves signals to the process, and says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


class LocalServer:
    """A Keen server on loopback, in a thread of this process.

    ::

        with LocalServer(faults=["lose=0.02"], seed=7) as server:
            client = KeenClient(server.project_id, server.write_key, server.read_key, base_url=server.url)

    ``directory`` keeps events, tokens and the made-up project across restarts;
    without one everything is in memory. ``faults`` is a :class:`Faults` or texts
    like ``"lose=0.02"``; ``seed`` makes their decisions repeatable. ``clock``
    may be simulated. ``geo_database`` is a file of MaxMind's format, which ``keen:ip_to_geo``
    looks addresses up in. ``rate_limits`` refuses what the platform refuses (200 queries a minute).
    ``tls_cert`` and ``tls_key`` are PEM files; with them it speaks HTTPS only. Without them a ``host``
    that is not loopback is warned about on stderr.
    """

    def __init__(
        self,
        project: Project | None = None,
        *,
        directory: Path | str | None = None,
        faults: Faults | Iterable[str] | None = None,
        seed: int | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock | None = None,
        geo_database: Path | str | None = None,
        rate_limits: bool = False,
        tls_cert: Path | str | None = None,
        tls_key: Path | str | None = None,
    ) -> None:
        self._directory = None if directory is None else Path(directory)
        self._given_project = project
        given = faults if isinstance(faults, Faults) else parse_faults(faults or ())
        #: The faults and their counters; ``change`` works while the server runs.
        self.faults = FaultEngine(given, seed)
        self._host = host
        self._port = port
        self._geography = None if geo_database is None else Geography(Path(geo_database))
        self._rate_limits = PLATFORM_LIMITS if rate_limits else None
        self._tls = None if tls_cert is None and tls_key is None else Certificate.load(tls_cert, tls_key)
        self._clock = clock or SystemClock()
        self._store: Store | None = None
        self._server: _Uvicorn | None = None
        self._thread: threading.Thread | None = None
        self._project: Project | None = None
        self._socket: socket.socket | None = None

    def start(self) -> Self:
        """Listen. On return the server answers. Raises :class:`OSError` when the port is taken."""
        if self._tls is None:
            warn_when_exposed(self._host)
        self._bind()
        self._open_store()
        ready = threading.Event()
        self._server = self._make_server(ready.set)
        self._thread = threading.Thread(target=self._run, name="keen-local-server", daemon=True)
        self._thread.start()
        while not ready.wait(0.05):
            if not self._thread.is_alive():
                self.stop()
                raise RuntimeError("the local server did not start; nothing was stored")
        return self

    def stop(self) -> None:
        """Stop listening, close the store. Bounded by about ten seconds; idempotent."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)
            if self._thread.is_alive() and self._server is not None:
                self._server.force_exit = True
                self._thread.join(STOP_SECONDS)
            self._thread = None
        self._close()

    def serve_forever(self, ready: Callable[[LocalServer], None]) -> None:
        """Serve in this (the main) thread until SIGINT or SIGTERM; *ready* is called once it answers."""
        if self._tls is None:
            warn_when_exposed(self._host)
        self._bind()
        self._open_store()
        self._server = server = self._make_server(lambda: ready(self))

        def leave(_number: int, _frame: FrameType | None) -> None:
            server.should_exit = True

        # uvicorn would raise the signal again once it has stopped, and so kill the process before
        # the store is closed.
        before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._run()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._close()

    def __enter__(self) -> Self:
        """Start, unless it runs already."""
        return self if self._thread is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def url(self) -> str:
        """The base URL, without ``/3.0``."""
        scheme = "http" if self._tls is None else "https"
        host, port = self._bound.getsockname()[:2]
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    @property
    def project(self) -> Project:
        """The project that is served."""
        return _started(self._project)

    @property
    def project_id(self) -> str:
        """The project's id."""
        return self.project.id

    @property
    def write_key(self) -> str:
        """The key for writes."""
        return self.project.write_key

    @property
    def read_key(self) -> str:
        """The key for queries."""
        return self.project.read_key

    @property
    def master_key(self) -> str:
        """The key for everything, the control endpoint included."""
        return self.project.master_key

    @property
    def store(self) -> Store:
        """The store, for tests that look behind the API."""
        return _started(self._store)

    def ready_document(self) -> dict[str, Any]:
        """What ``serve --json`` prints once the server answers."""
        return {
            "url": self.url,
            "project_id": self.project_id,
            "write_key": self.write_key,
            "read_key": self.read_key,
            "master_key": self.master_key,
        }

    @property
    def _bound(self) -> socket.socket:
        return _started(self._socket)

    def _bind(self) -> None:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # asyncio turns Nagle off (and so 40 ms a reply) only where the protocol is named.
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((self._host, self._port))
        except OSError:
            bound.close()
            raise
        self._socket = bound

    def _open_store(self) -> None:
        try:
            self._store = Store(self._directory, clock=self._clock)
            self._project = self._given_project or _project_of(self._directory)
        except BaseException:
            self._close()
            raise

    def _make_server(self, ready: Callable[[], None]) -> _Uvicorn:
        app = create_app(
            self.project, self.store, self.faults, self._clock, self._geography, self._rate_limits
        )
        config = uvicorn.Config(
            app,
            http=LocalProtocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="critical",
            server_header=False,
            # The application sets Date itself, from its own clock.
            date_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
            proxy_headers=False,
            ssl_certfile=None if self._tls is None else self._tls.cert,
            ssl_keyfile=None if self._tls is None else self._tls.key,
        )
        return _Uvicorn(config, ready)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(_started(self._server)._serve([self._bound]))  # noqa: SLF001 - serve() would take the signals

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._store is not None:
            self._store.close()


def serve_forever(
    ready: Callable[[LocalServer], None],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    directory: Path | str | None = None,
    faults: Iterable[str] = (),
    seed: int | None = None,
    geo_database: Path | str | None = None,
    rate_limits: bool = False,
    tls_cert: Path | str | None = None,
    tls_key: Path | str | None = None,
) -> None:
    """Serve until a signal stops it, with the project of the environment or a made-up one. The process is the server's.

    Raises :class:`ValueError` for a wrong fault, or a certificate that cannot be used, and
    :class:`OSError` when the port is taken.
    """
    server = LocalServer(
        directory=directory,
        faults=faults,
        seed=seed,
        host=host,
        port=port,
        geo_database=geo_database,
        rate_limits=rate_limits,
        tls_cert=tls_cert,
        tls_key=tls_key,
    )
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    server.serve_forever(ready)


def _started(part: _Part | None) -> _Part:
    if part is None:
        raise RuntimeError("the local server was not started: use it in a with statement, or call start()")
    return part


def _project_of(directory: Path | None) -> Project:
    """The environment's project, completed by the one kept in *directory*, else by a made-up one."""
    if directory is None:
        return Project.from_environment(os.environ)
    path = directory / PROJECT_FILE
    if path.exists():
        kept = Project(**orjson.loads(path.read_bytes()))
        return Project.from_environment(os.environ, kept)
    project = Project.made_up()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(orjson.dumps(attrs.asdict(project)))
    return Project.from_environment(os.environ, project)

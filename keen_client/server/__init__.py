"""The local Keen server: Keen's 3.0 API on an embedded store, on loopback.

It is the development server, the demo's and the tests' counterpart, and it is
honest: it imports nothing of the client but the ground floor, and it can be
told to misbehave in every way the platform really did (see
:mod:`keen_client.server.faults`). Needs the extra ``server``.
"""

from __future__ import annotations

from keen_client.errors import MissingExtraError

try:
    from keen_client.server.app import create_app
    from keen_client.server.faults import Faults, parse_faults
    from keen_client.server.misbehaviour import FaultEngine
    from keen_client.server.project import Project
    from keen_client.server.running import LocalServer, serve_forever
    from keen_client.server.store import Store
except ModuleNotFoundError as error:
    package = (error.name or "").partition(".")[0]
    if package not in {"anyio", "duckdb", "starlette", "ua_parser", "uvicorn"}:
        raise
    raise MissingExtraError(
        f"the local server needs the package {package}, which is not installed; nothing was started",
        "pip install 'keen-client[server]'",
    ) from error

__all__ = [
    "FaultEngine",
    "Faults",
    "LocalServer",
    "Project",
    "Store",
    "create_app",
    "parse_faults",
    "serve_forever",
]

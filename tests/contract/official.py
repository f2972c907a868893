"""PyPI keen 0.7.0, unchanged, as a client of a local server: as an object, and as its module of functions."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from keen_client.server import LocalServer

with warnings.catch_warnings():
    # The client of 2021 and what it imports warn about today's Python; the tests are about the wire.
    warnings.simplefilter("ignore")
    import keen
    from keen.cached_datasets import CachedDatasetsInterface
    from keen.client import KeenClient
    from keen.exceptions import KeenApiError
    from keen.saved_queries import SavedQueriesInterface
    from keen.scoped_keys import decrypt, encrypt

__all__ = [
    "CachedDatasetsInterface",
    "KeenApiError",
    "KeenClient",
    "SavedQueriesInterface",
    "decrypt",
    "encrypt",
    "keen",
    "official_client",
    "official_module",
]


@contextmanager
def official_client(server: LocalServer, **keys: Any) -> Iterator[Any]:
    """A client with all keys of *server*, or those given; its connections are closed at the end."""
    given = {
        "write_key": server.write_key,
        "read_key": server.read_key,
        "master_key": server.master_key,
        **keys,
    }
    client = KeenClient(project_id=server.project_id, base_url=server.url, **given)
    try:
        yield client
    finally:
        client.api.session.close()


@contextmanager
def official_module(server: LocalServer) -> Iterator[Any]:
    """The module ``keen``, which makes its client out of the environment at the first call."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_client", "project_id", "write_key", "read_key", "master_key", "base_url"):
            patch.setattr(keen, name, None)
        patch.setenv("KEEN_PROJECT_ID", server.project_id)
        patch.setenv("KEEN_WRITE_KEY", server.write_key)
        patch.setenv("KEEN_READ_KEY", server.read_key)
        patch.setenv("KEEN_MASTER_KEY", server.master_key)
        patch.setenv("KEEN_BASE_URL", server.url)
        yield keen
        if keen._client is not None:
            keen._client.api.session.close()

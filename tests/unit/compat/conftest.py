"""The tests of compat run without a thread: its clients have no argument that says so."""

from __future__ import annotations

from typing import Any

import pytest

from keen_client.client import wiring
from keen_client.delivery.courier import Courier


@pytest.fixture(autouse=True)
def _no_background(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is recorded stays in the log, until a test flushes."""

    def courier(*args: Any, **kwargs: Any) -> Courier:
        return Courier(*args, **{**kwargs, "background": False})

    monkeypatch.setattr(wiring, "Courier", courier)

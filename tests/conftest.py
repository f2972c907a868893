"""What holds for every test: one printed seed, a clean environment, no network but loopback."""

from __future__ import annotations

import ipaddress
import itertools
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Tests import what they share by its name, also where the checkout is not on the path.
ROOT = str(Path(__file__).parents[1])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

SEED_VARIABLE = "KEEN_TEST_SEED"
_seed_key = pytest.StashKey[int]()

# In CI the same seed and the same examples every time, so that a red run is about the change;
# elsewhere new ones every time, so that somebody finds what CI does not.
CI_SEED = 20_261_124
# No deadline: a busy machine is no failure.
settings.register_profile("dev", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)


def pytest_configure(config: pytest.Config) -> None:
    """Take the run's seed from the environment, or CI's, or draw one; and choose the hypothesis profile."""
    given = os.environ.get(SEED_VARIABLE)
    in_ci = bool(os.environ.get("CI"))
    config.stash[_seed_key] = int(given) if given else CI_SEED if in_ci else secrets.randbelow(2**32)
    settings.load_profile("ci" if in_ci else "dev")
    # A shell starts what runs in its background deaf to Ctrl-C, and deafness is inherited by what tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header(config: pytest.Config) -> str:
    """How to run the same again."""
    return f"seed: {SEED_VARIABLE}={config.stash[_seed_key]}"


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """The run's seed, in [0, 2**32) unless given; the header prints it."""
    return pytestconfig.stash[_seed_key]


@pytest.fixture(scope="session")
def _state_homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Paths nobody has used, one a test; made by whoever writes there."""
    base = tmp_path_factory.mktemp("state-homes")
    return (base / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _clean_environment(_state_homes: Iterator[Path]) -> Iterator[None]:
    """No KEEN_* variable of the developer's reaches a test, and no test the developer's own log."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("KEEN_")]:
            patch.delenv(name)
        patch.setenv("XDG_STATE_HOME", str(next(_state_homes)))
        yield


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Iterator[None]:
    """A connection to any other machine fails the test.

    As an AssertionError: an OSError would be taken for a network failure, which
    is just what much of the package is made to survive.
    """
    real_connect, real_connect_ex = socket.socket.connect, socket.socket.connect_ex

    def connect(self: socket.socket, address: Any) -> None:
        _refuse_other_machines(self, address)
        real_connect(self, address)

    def connect_ex(self: socket.socket, address: Any) -> int:
        _refuse_other_machines(self, address)
        return real_connect_ex(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        patch.setattr(socket.socket, "connect_ex", connect_ex)
        yield


def _refuse_other_machines(sock: socket.socket, address: Any) -> None:
    if sock.family in {socket.AF_INET, socket.AF_INET6} and not _is_loopback(str(address[0])):
        raise AssertionError(f"a test tried to reach {address[0]}; only loopback is allowed")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name; looking it up would already leave the machine
        return host == "localhost"

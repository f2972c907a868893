"""The guards of tests/conftest.py hold: other tests rely on them without looking."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize("host", ["192.0.2.1", "198.51.100.7"])
def test_another_machine_cannot_be_reached(host: str) -> None:
    """A connection out of the machine is the test's error, not a network failure to be survived."""
    with socket.socket() as sock:
        with pytest.raises(AssertionError, match="only loopback"):
            sock.connect((host, 80))
        with pytest.raises(AssertionError, match="only loopback"):
            sock.connect_ex((host, 80))


def test_a_host_name_is_refused_before_it_is_looked_up() -> None:
    """What is no address is not asked about."""
    with socket.socket() as sock, pytest.raises(AssertionError, match="only loopback"):
        sock.connect(("api.keen.io", 443))


def test_loopback_can_be_reached() -> None:
    """A server in the test's own machine is an ordinary thing."""
    with socket.socket() as server, socket.socket() as sock:
        server.bind(("127.0.0.1", 0))
        server.listen()
        sock.connect(server.getsockname())


@given(st.integers())
def test_no_setting_of_the_developer_reaches_a_test(number: int) -> None:
    """No KEEN_* variable is set, in property-based tests as elsewhere."""
    assert not [name for name in os.environ if name.startswith("KEEN_")]


def test_state_home_is_the_test_s_own() -> None:
    """The default place of a log is empty and not the developer's."""
    home = Path(os.environ["XDG_STATE_HOME"])
    assert not home.exists()
    assert not home.is_relative_to(Path.home() / ".local")


def test_seed_is_one_for_the_whole_run(seed: int, pytestconfig: pytest.Config) -> None:
    """The fixture hands out the seed that the header prints."""
    headers = pytestconfig.hook.pytest_report_header(config=pytestconfig, start_path=Path())
    assert any(str(header).endswith(f"={seed}") for header in headers)

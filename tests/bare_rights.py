"""Taking root's privilege over rights away, so that what a file's mode forbids is forbidden in a container too.

Where the tests do not run as root nothing has to be taken away.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, as Linux's <linux/capability.h> numbers them.
_OVERRIDES = (1 << 1) | (1 << 2)
_VERSION_3 = 0x20080522

#: The command line, by a process whose user has the rights of the files' modes and no more.
_PROGRAM = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from tests.bare_rights import give_up
from keen_client.cli.app import main
give_up()
main()
"""
COMMAND = (sys.executable, "-c", _PROGRAM, str(Path(__file__).parents[1]))


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _exchange(change: int) -> int:
    """Set the effective set of this thread to what it has, less the overrides and more *change*; what it was."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = _Header(_VERSION_3, 0), (_Sets * 2)()
    if libc.capget(ctypes.byref(header), ctypes.byref(sets)):
        raise OSError(ctypes.get_errno(), "capget")
    before = int(sets[0].effective)
    sets[0].effective = (before & ~_OVERRIDES) | change
    if libc.capset(ctypes.byref(header), ctypes.byref(sets)):
        raise OSError(ctypes.get_errno(), "capset")
    return before


def give_up() -> None:
    """This thread, and those that it starts, have the rights of the files' modes and no more."""
    if os.geteuid() == 0:
        _exchange(0)


@contextmanager
def bare_rights() -> Iterator[None]:
    """This thread has the rights of the files' modes and no more, until the block ends."""
    if os.geteuid() != 0:
        yield
        return
    before = _exchange(0)
    try:
        yield
    finally:
        _exchange(before & _OVERRIDES)

"""What a fuzz target is: a function of bytes that ends quietly, whatever the bytes are."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import attrs

REGRESSIONS: Final = Path(__file__).parent / "regressions"
#: All targets; :mod:`tests.fuzz.targets` has them.
NAMES: Final = (
    "responses",
    "verification",
    "config",
    "ndjson",
    "timestamps",
    "keys",
    "receipts",
    "segments",
    "description",
    "http",
)
Made = TypeVar("Made")


@attrs.frozen
class Target:
    """One parser, or several that read the same kind of thing.

    ``run`` raises nothing but for a defect: errors that the documentation names
    for bad input end within it. ``seeds`` are inputs that get far; ``words`` are what inputs are made of.
    """

    name: str
    run: Callable[[bytes], None]
    seeds: Sequence[bytes]
    words: Sequence[bytes] = ()

    @property
    def regressions(self) -> Path:
        """Where inputs lie that showed a defect once, and those that reach far."""
        return REGRESSIONS / self.name

    def corpus(self) -> list[bytes]:
        """The seeds and the regressions."""
        kept = sorted(self.regressions.glob("*")) if self.regressions.is_dir() else []
        return [*self.seeds, *(path.read_bytes() for path in kept)]


def once(make: Callable[[], Made]) -> Callable[[], Made]:
    """Make what a target works with at its first input, and keep it."""
    return functools.cache(make)


@once
def scratch() -> Path:
    """A directory of this process that goes with it."""
    memory = Path("/dev/shm")  # what is synced there takes no time
    place = memory if os.access(memory, os.W_OK) else None
    kept = tempfile.TemporaryDirectory(prefix="keen-fuzz-", dir=place, ignore_cleanup_errors=True)
    _KEPT.append(kept)
    return Path(kept.name)


_KEPT: Final[list[tempfile.TemporaryDirectory[str]]] = []


def expect(condition: object, claim: str) -> None:
    """Raise where a law does not hold; unlike an assertion under every option of the interpreter."""
    if not condition:
        raise AssertionError(claim)

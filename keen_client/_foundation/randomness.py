"""Chance, behind one seam.

Identities come from the operating system (two machines cloned from one image
must not draw the same origin); jitter may come from a seeded source.
"""

from __future__ import annotations

import random
import secrets
from typing import Protocol


class Randomness(Protocol):
    """What the rest of the package may ask of chance."""

    def token(self, alphabet: str, length: int) -> str:
        """*length* independent characters of *alphabet*."""

    def uniform(self, low: float, high: float) -> float:
        """A float in [low, high]."""


class SystemRandomness:
    """The operating system's randomness. Thread-safe."""

    def token(self, alphabet: str, length: int) -> str:
        """See :meth:`Randomness.token`."""
        return "".join(secrets.choice(alphabet) for _ in range(length))

    def uniform(self, low: float, high: float) -> float:
        """See :meth:`Randomness.uniform`."""
        return secrets.SystemRandom().uniform(low, high)


class SeededRandomness:
    """One seed, one run: for simulations and tests. Not for identities of real logs."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def token(self, alphabet: str, length: int) -> str:
        """See :meth:`Randomness.token`."""
        return "".join(self._random.choice(alphabet) for _ in range(length))

    def uniform(self, low: float, high: float) -> float:
        """See :meth:`Randomness.uniform`."""
        return self._random.uniform(low, high)

"""Faults by name: what the server may do wrong on command, as values and as text.

Each is something the platform really did. :func:`parse_faults` reads the
command line's ``NAME=VALUE``; :meth:`Faults.changed` reads the JSON of the
control endpoint. The decisions themselves are drawn in
:mod:`keen_client.server.misbehaviour`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, cast

import attrs

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, MS_PER_SECOND, ms_to_iso
from keen_client.server.moment import parse_moment

TokenMode = Literal["edge", "visible", "off"]

PROBABILITIES: Final = (
    "lose",
    "lose-keep-token",
    "duplicate",
    "null-properties",
    "null-timestamp",
    "reject",
    "cut-after-store",
    "partial-reads",
    "http-500",
    "html-502",
    "lie-count",
    "lie-sum",
    "missing-interval",
    "reordered-rows",
    "strings",
    "truncated",
    "shuffled-sums",
)
SPREADS: Final = ("delay", "shift", "vanish")
DURATIONS: Final = ("slow", "stale-reads")
NUMBERS: Final = ("rate-limit", "scan-cap", "group-cap", "digits")
OTHERS: Final = ("forget", "tokens")
NAMES: Final = (*PROBABILITIES, *SPREADS, *DURATIONS, *NUMBERS, *OTHERS)
#: More significant digits than this, and every double is printed exactly.
MAX_DIGITS: Final = 17

_DURATION: Final = re.compile(r"(\d+)(ms|s|m|h|d)")
_EXAMPLES: Final = MappingProxyType(
    {
        "forget": "2026-10-01T00:00:00Z/2026-10-01T06:00:00Z",
        "slow": "500ms",
        "stale-reads": "1h",
        "rate-limit": "200",
        "scan-cap": "1000000",
        "group-cap": "50000",
        "digits": "15",
        "tokens": "edge",
    }
)
_UNIT_MS: Final = {"ms": 1, "s": MS_PER_SECOND, "m": MS_PER_MINUTE, "h": MS_PER_HOUR, "d": MS_PER_DAY}


@attrs.frozen
class Chance:
    """How often: with *probability* each time, or for exactly the next *times* (then never again)."""

    probability: float = 0.0
    times: int | None = None

    def __str__(self) -> str:
        """The text of the command line; a counted chance has only its JSON form."""
        return f"{self.probability:g}" if self.times is None else f"times:{self.times}"


@attrs.frozen
class Spread:
    """With *probability*, by *duration_ms* (``delay``: by a uniform draw up to it; ``vanish``: after it)."""

    probability: float
    duration_ms: int

    def __str__(self) -> str:
        """The text of the command line."""
        return f"{self.probability:g}:{format_duration(self.duration_ms)}"


@attrs.frozen
class Window:
    """[start, end) of ``keen.timestamp``, in milliseconds since 1970."""

    start_ms: int
    end_ms: int

    def __contains__(self, timestamp_ms: object) -> bool:
        """Whether a timestamp lies in the window."""
        return isinstance(timestamp_ms, int) and self.start_ms <= timestamp_ms < self.end_ms

    def __str__(self) -> str:
        """The text of the command line."""
        return f"{ms_to_iso(self.start_ms)}/{ms_to_iso(self.end_ms)}"


@attrs.frozen
class Faults:
    """A set of faults; the default has none, and honours uniqueness tokens at the edge.

    ``active`` maps the names of the contract to :class:`Chance`,
    :class:`Spread`, :class:`Window` or a plain number (``rate-limit``: queries a
    minute; ``slow`` and ``stale-reads``: milliseconds; ``scan-cap`` and
    ``group-cap``: events and groups a query; ``digits``: significant digits of
    a printed number). Absent means off.
    """

    active: Mapping[str, Chance | Spread | Window | int] = attrs.field(factory=dict)
    tokens: TokenMode = "edge"

    def chance(self, name: str) -> Chance | None:
        """The chance of the fault *name*, if it is on."""
        return cast("Chance | None", self.active.get(name))

    def spread(self, name: str) -> Spread | None:
        """The spread of ``delay``, ``shift`` or ``vanish``, if it is on."""
        return cast("Spread | None", self.active.get(name))

    @property
    def forget(self) -> Window | None:
        """The window that storage forgets, if one does."""
        return cast("Window | None", self.active.get("forget"))

    @property
    def rate_limit(self) -> int | None:
        """Queries a minute over which 429 is answered, if limited."""
        return cast("int | None", self.active.get("rate-limit"))

    def number(self, name: str) -> int | None:
        """The value of a fault that is one plain number, if it is on."""
        return cast("int | None", self.active.get(name))

    @property
    def slow_ms(self) -> int:
        """By how much every answer is held back."""
        return cast("int", self.active.get("slow", 0))

    def changed(self, changes: Mapping[str, Any]) -> Faults:
        """These faults with *changes* applied; None, 0 and false remove a fault.

        Values are what the command line takes (as text), a bare number for a
        probability, or ``{"times": n}`` for exactly the next n occasions.
        Raises :class:`ValueError`, and then nothing is changed.
        """
        active = dict(self.active)
        tokens = self.tokens
        for name, value in changes.items():
            _check_name(name)
            if name == "tokens":
                tokens = _parse_tokens("edge" if value is None else value)
            elif value is None or value is False or value == 0:
                active.pop(name, None)
            else:
                active[name] = _parse_value(name, value)
        return Faults(active, tokens)

    def document(self) -> dict[str, Any]:
        """The faults that are on, as the control endpoint shows them."""
        shown: dict[str, Any] = {}
        for name, value in self.active.items():
            if isinstance(value, Chance):
                shown[name] = value.probability if value.times is None else {"times": value.times}
            elif name in DURATIONS:
                shown[name] = format_duration(cast("int", value))
            else:
                shown[name] = value if isinstance(value, int) else str(value)
        return {**shown, "tokens": self.tokens}


def parse_faults(texts: Iterable[str]) -> Faults:
    """The faults of a command line: ``["lose=0.02", "delay=0.05:2s"]``. Raises :class:`ValueError`."""
    changes: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        _check_name(name)
        if not equals:
            message = f"fault {name!r} needs a value: {name}={_example(name)}"
            raise ValueError(message)
        # A probability of 0 is valid on the command line and means: off.
        changes[name] = _parse_value(name, value) if name != "tokens" else _parse_tokens(value)
    faults = Faults()
    active = {name: value for name, value in changes.items() if name != "tokens" and value != Chance(0.0)}
    return attrs.evolve(faults, active=active, tokens=changes.get("tokens", "edge"))


def parse_duration(text: str) -> int:
    """Milliseconds of ``500ms``, ``2s``, ``5m``, ``6h`` or ``10d``. Raises :class:`ValueError`."""
    found = _DURATION.fullmatch(text)
    if found is None:
        message = f"not a duration: {text!r} (write 500ms, 2s, 5m, 6h or 10d)"
        raise ValueError(message)
    return int(found[1]) * _UNIT_MS[found[2]]


def format_duration(duration_ms: int) -> str:
    """The shortest text that :func:`parse_duration` reads as *duration_ms*."""
    for unit in ("d", "h", "m", "s"):
        if duration_ms and duration_ms % _UNIT_MS[unit] == 0:
            return f"{duration_ms // _UNIT_MS[unit]}{unit}"
    return f"{duration_ms}ms"


def _check_name(name: str) -> None:
    if name not in NAMES:
        message = f"no such fault: {name!r} (there are: {', '.join(NAMES)})"
        raise ValueError(message)


def _parse_value(name: str, value: Any) -> Chance | Spread | Window | int:
    if isinstance(value, (Chance, Spread, Window)):
        return value
    try:
        if name in PROBABILITIES:
            if isinstance(value, Mapping):
                return Chance(times=_times(value))
            return Chance(_probability(value))
        if name in SPREADS:
            probability, _, duration = str(value).partition(":")
            return Spread(_probability(probability), parse_duration(duration))
        if name == "forget":
            start, _, end = str(value).partition("/")
            window = Window(parse_moment(start), parse_moment(end))
            if window.end_ms <= window.start_ms:
                message = "the window ends before it starts"
                raise ValueError(message)
            return window
        if name in DURATIONS:
            return parse_duration(str(value))
        limit = int(str(value))
    except ValueError as error:
        message = f"fault {name!r} cannot take {value!r}: {error} (example: {name}={_example(name)})"
        raise ValueError(message) from None
    if limit < 1:
        message = f"fault {name!r} needs a whole number of at least 1"
        raise ValueError(message)
    if name == "digits" and limit > MAX_DIGITS:
        message = f"fault 'digits' takes at most {MAX_DIGITS}: a double has no more"
        raise ValueError(message)
    return limit


def _probability(value: Any) -> float:
    if not isinstance(value, (str, int, float)):
        message = "a probability is a number"
        raise ValueError(message)  # noqa: TRY004 - the caller tells every wrong value alike
    probability = float(value)
    if math.isnan(probability) or not 0 <= probability <= 1:
        message = "a probability lies between 0 and 1"
        raise ValueError(message)
    return probability


def _times(value: Mapping[str, Any]) -> int:
    times = value.get("times")
    if set(value) != {"times"} or not isinstance(times, int) or isinstance(times, bool) or times < 1:
        message = 'the counted form is {"times": n} with n of at least 1'
        raise ValueError(message)
    return times


def _parse_tokens(value: Any) -> TokenMode:
    if value not in ("edge", "visible", "off"):
        message = f"fault 'tokens' cannot take {value!r} (edge, visible or off)"
        raise ValueError(message)
    return cast("TokenMode", value)


def _example(name: str) -> str:
    return _EXAMPLES.get(name, "0.05:2h" if name in SPREADS else "0.02")

"""The grammar of sizes on the command line: digits, and a unit of a thousand if wanted."""

from __future__ import annotations

import re
from typing import Any, Final

import click

_SIZE: Final = re.compile(r"(\d{1,15})\s?(B|kB|MB|GB)?", re.ASCII | re.IGNORECASE)
_UNITS: Final = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def parse_size(text: str) -> int:
    """The bytes of ``500kB``, ``20MB`` or ``1048576``. ValueError when it is none."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:60]!r} is not a size: write 500kB, 20MB or a number of bytes")
    return int(found[1]) * _UNITS[(found[2] or "").lower()]


class Size(click.ParamType[int]):
    """An option that takes a size; the command gets bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See :func:`parse_size`."""
        try:
            return parse_size(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)

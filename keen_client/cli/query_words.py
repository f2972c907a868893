"""The grammar of queries on the command line: timeframes, time zones, filters, orders, and JSON."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import click

from keen_client.api.json_text import decode
from keen_client.cli.times import parse_time
from keen_client.errors import InvalidQueryError
from keen_client.queries.filters import OPERATORS, AnyFilter, parse_filter
from keen_client.queries.timeframe import RelativeTimeframe, Timeframe, parse_timeframe

_FILTER: Final = re.compile(rf"(\S+)\s+({'|'.join(sorted(OPERATORS))})\s+(.*)", re.DOTALL)
_ORDER: Final = re.compile(r"(\S.*?)(?:\s+(asc|desc))?\s*", re.IGNORECASE)
_SECONDS: Final = re.compile(r"[+-]?\d{1,6}", re.ASCII)


class TimeframeWords(click.ParamType[Timeframe | RelativeTimeframe]):
    """An option that takes a timeframe: Keen's word for it, or ``START/END``."""

    name = "timeframe"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Timeframe | RelativeTimeframe:
        """A word goes to Keen as it is; times are those of every other command."""
        start, slash, end = str(value).partition("/")
        try:
            if slash:
                return Timeframe.between(parse_time(start), parse_time(end))
        except (ValueError, OverflowError) as error:
            self.fail(_told(error), param, ctx)
        try:
            found = parse_timeframe(start)
        except InvalidQueryError:
            self.fail(
                f"{start[:60]!r} is neither a word of Keen's, such as this_7_days, previous_2_hours, this_month or"
                " today, nor START/END, such as 2026-10-01/2026-11-01",
                param,
                ctx,
            )
        if found is None:
            raise AssertionError("a text was read as no timeframe")
        return found


class Zone(click.ParamType[str | int]):
    """An option that takes a time zone: a name, or seconds east of UTC."""

    name = "zone"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        """A number, or a name that the server judges."""
        text = str(value)
        return int(text) if _SECONDS.fullmatch(text) else text


class FilterWords(click.ParamType[AnyFilter]):
    """An option that takes a filter: ``PROPERTY OPERATOR VALUE``, or Keen's JSON form."""

    name = "filter"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> AnyFilter:
        """The value is JSON where it can be read as JSON, else text: ``zip eq 10115`` is a number, ``zip eq '"10115"'`` text."""
        text = str(value).strip()
        try:
            if text.startswith("{"):
                return parse_filter(_json(text))
            found = _FILTER.fullmatch(text)
            if found is None:
                self.fail(
                    f"{text[:60]!r} is not PROPERTY OPERATOR VALUE, such as 'price gt 5'; operators are"
                    f" {', '.join(sorted(OPERATORS))}",
                    param,
                    ctx,
                )
            return parse_filter(
                {
                    "property_name": found[1],
                    "operator": found[2],
                    "property_value": _json_or_text(found[3]),
                }
            )
        except ValueError as error:
            self.fail(_told(error), param, ctx)


class OrderWords(click.ParamType[dict[str, str]]):
    """An option that takes ``PROPERTY``, or ``PROPERTY desc``."""

    name = "order"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, str]:
        """Keen's form; ascending where nothing is said."""
        found = _ORDER.fullmatch(str(value))
        if found is None:
            self.fail("an order is empty: write a property or result, and desc where wanted", param, ctx)
        return {"property_name": found[1], "direction": (found[2] or "asc").upper()}


class JsonText(click.ParamType[Any]):
    """An option that takes JSON."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value."""
        try:
            return _json(str(value))
        except ValueError as error:
            self.fail(_told(error), param, ctx)


def read_steps(file: Path) -> Any:
    """A funnel's steps from a file of JSON (``-``: stdin): their list, or an object with it as ``steps``.

    Raises:
        click.UsageError: It is not JSON. Nothing was sent.
    """
    with click.open_file(str(file), "rb") as stream:
        text = stream.read()
    try:
        value = decode(text)
    except ValueError as error:
        raise click.UsageError(f"--steps: {file} is not JSON: {_told(error)}") from error
    return value["steps"] if isinstance(value, dict) and "steps" in value else value


def _json(text: str) -> Any:
    try:
        return decode(text.encode())
    except ValueError as error:
        raise ValueError(f"{text[:60]!r} is not JSON: {str(error).split(': line')[0]}") from None


def _json_or_text(text: str) -> Any:
    try:
        return decode(text.encode())
    except ValueError:
        return text


def _told(error: Exception) -> str:
    """Our own message and hint in one line; a usage error has room for no more."""
    if isinstance(error, InvalidQueryError):
        return f"{error.message}: {error.hint}"
    return str(error).split(": line")[0]

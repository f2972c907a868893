"""Add-ons: what an event asks to be enriched with when it is stored.

``keen.addons`` is a list of ``{"name": ..., "input": {<parameter>: <property
path>}, "output": <property path>}``, carried out in order, so that one may read
what another wrote; the list itself is not stored. An input that is missing, or
of which nothing can be made, gives no output and is no error; a list that is
not of this form refuses its event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final

import attrs

from keen_client.server.date_parts import date_parts
from keen_client.server.geography import Geography
from keen_client.server.referrers import referrer
from keen_client.server.refusal import INVALID_KEEN, bad_request
from keen_client.server.url_parts import url_parts
from keen_client.server.user_agents import user_agent

#: The whole value of a string property, and what of the connection takes its place.
IP_PLACEHOLDER: Final = "${keen.ip}"
USER_AGENT_PLACEHOLDER: Final = "${keen.user_agent}"
MAX_ADDONS: Final = 100

#: What an add-on makes of the texts of its inputs, in the order of :data:`_INPUTS`; None for no output.
_Parser = Callable[..., Mapping[str, Any] | None]
_INPUTS: Final[Mapping[str, tuple[str, ...]]] = {
    "keen:date_time_parser": ("date_time",),
    "keen:ip_to_geo": ("ip",),
    "keen:referrer_parser": ("referrer_url", "page_url"),
    "keen:ua_parser": ("ua_string",),
    "keen:url_parser": ("url",),
}


@attrs.frozen
class Origin:
    """Where a write came from, for the placeholders. A part that is not known leaves its placeholder as it is."""

    ip: str | None = None
    user_agent: str | None = None

    def fill_in(self, event: MutableMapping[str, Any]) -> None:
        """Replace every placeholder in *event*, however deep, in place."""
        known = {IP_PLACEHOLDER: self.ip, USER_AGENT_PLACEHOLDER: self.user_agent}
        waiting: list[Any] = [event]
        while waiting:
            node = waiting.pop()
            for place, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
                if isinstance(value, dict | list):
                    waiting.append(value)
                elif isinstance(value, str) and known.get(value) is not None:
                    node[place] = known[value]


class Addons:
    """Carries out add-ons. Thread-safe. ``geography`` None: ``keen:ip_to_geo`` has no output."""

    def __init__(self, geography: Geography | None = None) -> None:
        self._parsers: Mapping[str, _Parser] = {
            "keen:date_time_parser": date_parts,
            "keen:ip_to_geo": (lambda _ip: None) if geography is None else geography.locate,
            "keen:referrer_parser": referrer,
            "keen:ua_parser": user_agent,
            "keen:url_parser": url_parts,
        }

    def apply(self, event: MutableMapping[str, Any], addons: object) -> None:
        """Enrich *event* in place. Raises a 400 refusal where *addons* is not what it should be."""
        if not isinstance(addons, list) or len(addons) > MAX_ADDONS:
            raise bad_request(INVALID_KEEN, f"keen.addons must be a list of at most {MAX_ADDONS} add-ons.")
        for addon in addons:
            self._apply_one(event, addon)

    def _apply_one(self, event: MutableMapping[str, Any], addon: object) -> None:
        given = addon if isinstance(addon, Mapping) else {}
        name, inputs, output = given.get("name"), given.get("input"), given.get("output")
        if not isinstance(name, str) or name not in self._parsers:
            raise bad_request(INVALID_KEEN, f"There is no such add-on. You specified: '{str(name)[:64]}'.")
        if not isinstance(inputs, Mapping) or not all(
            isinstance(inputs.get(one), str) for one in _INPUTS[name]
        ):
            text = f"The add-on {name} needs an input of the form {{parameter: property}} with {', '.join(_INPUTS[name])}."
            raise bad_request(INVALID_KEEN, text)
        if not isinstance(output, str) or not _may_be_written(output):
            text = f"The add-on {name} needs an output that names a property, outside 'keen' but for keen.location."
            raise bad_request(INVALID_KEEN, text)
        values = [_read(event, inputs[one]) for one in _INPUTS[name]]
        if all(isinstance(value, str) for value in values):
            found = self._parsers[name](*values)
            if found is not None:
                _write(event, output, dict(found))
        if name == "keen:ip_to_geo" and inputs.get("remove_ip_property") is True:
            _remove(event, inputs["ip"])


def _may_be_written(path: str) -> bool:
    names = path.split(".")
    if not all(name and not name.startswith("$") and len(name) <= 256 for name in names):
        return False
    return names[0] != "keen" or names[1:] == ["location"]


def _read(event: Mapping[str, Any], path: str) -> Any:
    node: Any = event
    for name in path.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    return node


def _write(event: MutableMapping[str, Any], path: str, value: Mapping[str, Any]) -> None:
    """Set *path*, unless something on the way to it is no object: that is the sender's, and stays."""
    *parents, last = path.split(".")
    node: Any = event
    for name in parents:
        node = node.setdefault(name, {})
        if not isinstance(node, dict):
            return
    node[last] = value


def _remove(event: MutableMapping[str, Any], path: str) -> None:
    *parents, last = path.split(".")
    node = _read(event, ".".join(parents)) if parents else event
    if isinstance(node, dict):
        node.pop(last, None)

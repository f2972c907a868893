"""The add-on ``keen:ua_parser``: device, browser and system of a User-Agent."""

from __future__ import annotations

from typing import Any

from ua_parser import parse


def user_agent(ua_string: str) -> dict[str, Any]:
    """``device``, ``browser`` and ``os``, as objects; a part that is not recognised is of the family ``Other``."""
    found = parse(ua_string).with_defaults()
    browser, system, device = found.user_agent, found.os, found.device
    return {
        "device": {"family": device.family},
        "browser": {
            "family": browser.family,
            "major": browser.major,
            "minor": browser.minor,
            "patch": browser.patch,
        },
        "os": {
            "family": system.family,
            "major": system.major,
            "minor": system.minor,
            "patch": system.patch,
            "patch_minor": system.patch_minor,
        },
    }

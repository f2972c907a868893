"""The add-on ``keen:ip_to_geo``: where an address is, by a database that the user provides.

No database comes with the server. Any file of MaxMind's format with the
members of GeoLite2-City will do.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from keen_client.errors import MissingExtraError


class Geography:
    """An open database. Thread-safe."""

    def __init__(self, path: Path) -> None:
        """Open *path*. Raises :class:`OSError` where it cannot be read, :class:`ValueError` where it is no database."""
        # Only who has a database needs what reads it.
        try:
            import maxminddb
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "a geographic database needs the package maxminddb, which is not installed; nothing was started",
                "pip install 'keen-client[server]'",
            ) from error

        try:
            self._reader = maxminddb.open_database(path, maxminddb.MODE_MEMORY)
        except maxminddb.InvalidDatabaseError as error:
            raise ValueError(f"{path} is not a database of MaxMind's format; nothing was started") from error

    def locate(self, ip: str) -> dict[str, Any] | None:
        """What is known of the place of *ip*; None where nothing is, or where it is no address."""
        try:
            found = self._reader.get(ip_address(ip.strip()))
        except ValueError:
            return None
        if not isinstance(found, Mapping):
            return None
        location = _object(found.get("location"))
        subdivisions = found.get("subdivisions")
        province = subdivisions[0] if isinstance(subdivisions, list) and subdivisions else None
        place = {
            "city": _name(found.get("city")),
            "province": _name(province),
            "country": _name(found.get("country")),
            "country_code": _object(found.get("country")).get("iso_code"),
            "continent": _name(found.get("continent")),
            "postal_code": _object(found.get("postal")).get("code"),
        }
        if "longitude" in location and "latitude" in location:
            place["coordinates"] = [location["longitude"], location["latitude"]]
        return {name: value for name, value in place.items() if value is not None}


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _name(value: object) -> Any:
    return _object(_object(value).get("names")).get("en")

"""One way to write a base URL, so that one server has one name.

The log is bound to the (base URL, project) it was made for, so two spellings
of one address must come out the same.
"""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from keen_client.errors import ConfigurationError

#: The hosted service.
DEFAULT_BASE_URL: Final = "https://api.keen.io"

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HINT: Final = f"give the part before /3.0, such as {DEFAULT_BASE_URL} or http://127.0.0.1:8200"


def normalise_base_url(text: str) -> str:
    """Bring a base URL into its one form: scheme, host, port unless it is the usual one, path prefix.

    A trailing ``/`` or ``/3.0`` is dropped; scheme and host become lower-case.
    A path prefix (a gateway's) is kept.

    Raises:
        ConfigurationError: Not an http or https URL with a host, or one that carries
            credentials, a query or a fragment. Nothing was sent. The message
            repeats no credentials.
    """
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError("the base URL cannot be read; nothing was sent", _HINT) from None
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            "the base URL holds credentials; nothing was sent",
            "take them out of the URL: keys are given apart, and a proxy by HTTPS_PROXY or http_client=",
        )
    if parts.scheme not in _DEFAULT_PORTS:
        raise ConfigurationError("the base URL is not an http or https URL; nothing was sent", _HINT)
    if not host or any(character.isspace() for character in text.strip()):
        raise ConfigurationError("the base URL names no host; nothing was sent", _HINT)
    if parts.query or parts.fragment:
        raise ConfigurationError("the base URL has a query or a fragment; nothing was sent", _HINT)
    path = parts.path.rstrip("/").removesuffix("/3.0").rstrip("/")
    if "/3.0/" in path:
        raise ConfigurationError(
            "the base URL goes on after /3.0, where the client adds the project and the call; nothing was sent",
            f"give {_origin(parts.scheme, host, port)}{path.partition('/3.0/')[0]}, and the project as the project id",
        )
    return f"{_origin(parts.scheme, host, port)}{path}"


def _origin(scheme: str, host: str, port: int | None) -> str:
    shown_host = f"[{host}]" if ":" in host else host
    shown_port = "" if port is None or port == _DEFAULT_PORTS[scheme] else f":{port}"
    return f"{scheme}://{shown_host}{shown_port}"


def is_loopback(base_url: str) -> bool:
    """Whether *base_url* names this very machine."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

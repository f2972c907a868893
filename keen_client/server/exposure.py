"""How far the server is open: the certificate that it shows, and the warning where it needs one and has none."""

from __future__ import annotations

import ipaddress
import ssl
import sys
from pathlib import Path
from typing import Self

import attrs


@attrs.frozen
class Certificate:
    """PEM files: the certificate (and its chain), and its private key, which has no passphrase."""

    cert: Path
    key: Path

    @classmethod
    def load(cls, cert: Path | str | None, key: Path | str | None) -> Self:
        """The two files, tried out. Raises :class:`ValueError` where they cannot serve, before anything is opened."""
        if cert is None or key is None:
            message = "TLS needs both, a certificate and its key"
            raise ValueError(message)
        found = cls(Path(cert), Path(key))
        try:
            # An empty passphrase is wrong for every encrypted key; without one OpenSSL would ask for it.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(found.cert, found.key, password="")
        except OSError as error:
            problem = error.strerror or str(error) or "they are no PEM files that belong together"
            message = f"the certificate {found.cert} and the key {found.key} cannot be used: {problem}"
            raise ValueError(message) from None
        return found


def warn_when_exposed(host: str) -> None:
    """Say on stderr that *host* is not loopback: the server has no TLS and keeps its keys in the open."""
    try:
        exposed = not ipaddress.ip_address(host).is_loopback
    except ValueError:
        exposed = host != "localhost"
    if exposed:
        sys.stderr.write(
            f"warning: {host} is not a loopback address; keys and events travel unencrypted, and"
            " whoever has the master key can make this server lose events\n"
        )

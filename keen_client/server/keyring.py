"""The keyring: from a presented key to what it permits. The one place that decides about keys.

Keys are compared by their SHA-256, each in constant time or as the index of a
table, so that no time taken tells how much of a guess was right.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from keen_client.server.access_key import AccessKey
from keen_client.server.credential import Credential, Holder
from keen_client.server.documents import Documents
from keen_client.server.permission import Permission
from keen_client.server.project import Project
from keen_client.server.refusal import INVALID_KEY, INVALID_PARAMETER, Refusal, bad_request, not_found
from keen_client.server.scoped_key import read_scoped_key

ACCESS_KEYS_FILE: Final = "access_keys.json"
MAX_ACCESS_KEYS: Final = 10_000

_logger: Final = logging.getLogger("keen_client.server")
_MASTER: Final = Credential(Holder.MASTER, frozenset(Permission))
_WRITE: Final = Credential(Holder.WRITE, frozenset({Permission.WRITES}))
_READ: Final = Credential(Holder.READ, frozenset(Permission) - {Permission.WRITES})


class Keyring:
    """A project's keys: its own three, its access keys, and the scoped keys of its master key.

    Thread-safe. With a ``directory`` access keys are kept in a private file
    there; a change that was returned from survives a crash.
    """

    def __init__(self, project: Project, directory: Path | None = None) -> None:
        self._project = project
        self._own = (
            (_fingerprint(project.master_key), _MASTER),
            (_fingerprint(project.write_key), _WRITE),
            (_fingerprint(project.read_key), _READ),
        )
        self._documents = Documents(None if directory is None else directory / ACCESS_KEYS_FILE)
        self._lock = threading.Lock()
        self._access_keys: dict[bytes, AccessKey] = {}
        self._credentials: dict[bytes, Credential] = {}
        for key in self._documents.names():
            self._hold(AccessKey.parse(key, self._documents.get(key)))

    def identify(self, presented: str | None) -> Credential:
        """What *presented* permits; a 401 :class:`Refusal` for an unknown, revoked, unreadable or absent key."""
        given = (presented or "").strip()
        fingerprint = _fingerprint(given)
        # All three are compared, whatever the first ones said.
        own = [held for known, held in self._own if hmac.compare_digest(known, fingerprint)]
        found = own[0] if own else self._credentials.get(fingerprint)
        if found is None and fingerprint not in self._access_keys:
            found = self._scoped(given)
        if found is None:
            raise Refusal(401, INVALID_KEY, "API key missing or invalid.")
        return found

    def access_keys(self, name: str | None = None) -> list[AccessKey]:
        """The access keys (with exactly this *name*), in alphabetical order of names and then of keys."""
        found = [key for key in list(self._access_keys.values()) if name in (None, key.name)]
        return sorted(found, key=lambda key: (key.name, key.key))

    def access_key(self, key: str) -> AccessKey:
        """The access key *key*; a 404 refusal when there is none."""
        held = self._access_keys.get(_fingerprint(key))
        if held is None:
            raise not_found("There is no such access key.")
        return held

    def create(self, given: object) -> AccessKey:
        """A new access key as *given* describes it. Raises a 400 refusal."""
        with self._lock:
            if len(self._access_keys) >= MAX_ACCESS_KEYS:
                text = f"A project has at most {MAX_ACCESS_KEYS} access keys; nothing was changed."
                raise bad_request(INVALID_PARAMETER, text)
            return self._keep(AccessKey.parse(secrets.token_hex(32).upper(), given))

    def update(self, key: str, given: object) -> AccessKey:
        """Replace the access key *key* by what *given* describes. Raises a 400 or 404 refusal."""
        with self._lock:
            return self._keep(AccessKey.parse(self.access_key(key).key, given))

    def set_active(self, key: str, *, active: bool) -> AccessKey:
        """Revoke *key*, or take that back. Raises a 404 refusal."""
        with self._lock:
            return self._keep(attrs.evolve(self.access_key(key), is_active=active))

    def delete(self, key: str) -> None:
        """Remove *key* for good. Raises a 404 refusal."""
        with self._lock:
            held = self.access_key(key)
            self._documents.change({held.key: None})
            fingerprint = _fingerprint(held.key)
            self._credentials.pop(fingerprint, None)
            del self._access_keys[fingerprint]

    def _keep(self, access_key: AccessKey) -> AccessKey:
        self._documents.change({access_key.key: _kept(access_key.document(self._project.id))})
        self._hold(access_key)
        return access_key

    def _hold(self, access_key: AccessKey) -> None:
        fingerprint = _fingerprint(access_key.key)
        self._access_keys[fingerprint] = access_key
        if access_key.is_active:
            self._credentials[fingerprint] = access_key.credential()
        else:
            self._credentials.pop(fingerprint, None)

    def _scoped(self, given: str) -> Credential | None:
        try:
            return read_scoped_key(given, self._project.master_key)
        except ModuleNotFoundError:
            _logger.warning(
                "a key was refused that may be a scoped key: reading those needs the package"
                " cryptography (pip install 'keen-client[server]')"
            )
            return None


def _kept(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in ("name", "is_active", "permitted", "options")}


def _fingerprint(key: str) -> bytes:
    """A digest that equal keys share; keys in hex are equal whatever the case of their letters."""
    try:
        bytes.fromhex(key)
    except ValueError:
        return hashlib.sha256(key.encode()).digest()
    return hashlib.sha256(key.upper().encode()).digest()

"""Which project, at which server, with which keys."""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import quote

import attrs

from keen_client.errors import ConfigurationError, InvalidCollectionNameError, InvalidEnvironmentError
from keen_client.transport.base_url import DEFAULT_BASE_URL, normalise_base_url
from keen_client.transport.secret import Secret

#: The class of key that a call needs.
KeyClass = Literal["write", "read", "master"]

_VARIABLES: Final[dict[KeyClass, str]] = {
    "write": "KEEN_WRITE_KEY",
    "read": "KEEN_READ_KEY",
    "master": "KEEN_MASTER_KEY",
}
_PURPOSES: Final[dict[KeyClass, str]] = {
    "write": "sending events",
    "read": "asking queries",
    "master": "administration",
}


def encode_segment(name: str) -> str:
    """*name* as one segment of a URL's path: everything that is not plain is percent-encoded.

    A slash becomes ``%2F``, so that it cannot be taken for a path, and the
    names ``.`` and ``..`` are encoded too, which URL libraries would resolve.
    """
    if name in {".", ".."}:
        return name.replace(".", "%2E")
    return quote(name, safe="")


def collection_segment(name: object) -> str:
    """A collection's name as one segment of a path. Old collections may have names that are refused for new ones.

    Raises:
        InvalidCollectionNameError: It is empty, no string, or one that UTF-8 cannot hold. Nothing was sent.
    """
    if not isinstance(name, str) or not name:
        raise InvalidCollectionNameError("the collection has no name; nothing was sent", "give one")
    try:
        return encode_segment(name)
    except UnicodeEncodeError:
        raise InvalidCollectionNameError(
            "the collection's name holds half of a surrogate pair; nothing was sent", "repair the text"
        ) from None


@attrs.frozen(kw_only=True)
class Project:
    """A project of one server and the keys at hand. Its ``repr`` shows no key.

    ``base_url`` is the part before ``/3.0`` and is brought into its one form.

    Raises:
        ConfigurationError: The id is empty or no plain text, or the base URL is none. Nothing was sent.
    """

    id: str
    base_url: str = attrs.field(default=DEFAULT_BASE_URL, converter=normalise_base_url)
    write_key: Secret | None = None
    read_key: Secret | None = None
    master_key: Secret | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse an id that could name nothing."""
        if not isinstance(self.id, str) or not self.id.strip() or not self.id.isprintable():
            raise ConfigurationError(
                "the project id is empty or holds control characters; nothing was sent",
                "give project_id=, or set KEEN_PROJECT_ID",
            )

    @property
    def path(self) -> str:
        """``/3.0/projects/<id>``, percent-encoded."""
        return f"/3.0/projects/{encode_segment(self.id)}"

    def key_for(self, key_class: KeyClass) -> Secret:
        """The key for a class of call. Another class's key is never used in its place.

        Raises:
            InvalidEnvironmentError: It was not given; the message names the
                environment variable. Nothing was sent.
        """
        keys = {"write": self.write_key, "read": self.read_key, "master": self.master_key}
        key = keys[key_class]
        if key is None:
            variable = _VARIABLES[key_class]
            raise InvalidEnvironmentError(
                f"{_PURPOSES[key_class]} needs the {key_class} key, and {variable} is not set; nothing was sent",
                f"give {key_class}_key=, or set {variable} or {variable}_FILE",
            )
        return key

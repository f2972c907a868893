"""The module ``keen`` of keen 0.7, over this package: a program changes its import and works.

::

    import keen_client.compat as keen  # was: import keen

    keen.project_id = "..."  # or KEEN_PROJECT_ID; so write_key, read_key, master_key, base_url
    keen.add_event("purchases", {"item": "book"})

The first call makes one client out of these settings, where they are empty out
of the environment, and every call uses it: from any thread, and after a fork
in the child. :func:`close` gives it up, and the next call makes a new one.

What differs from keen 0.7 on purpose is listed in the documentation, under
*Move from keen 0.7*. Only this package keeps such a client; programs that are
written anew make a :class:`keen_client.KeenClient`.
"""

from __future__ import annotations

import functools
import inspect
import os
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Concatenate, Final, ParamSpec, TypeVar

from keen_client.client.receipt import Receipt
from keen_client.client.settings import read_settings
from keen_client.compat import cached_datasets, client, direction, exceptions, saved_queries, scoped_keys
from keen_client.compat.client import KeenClient, text_of
from keen_client.compat.exceptions import InvalidEnvironmentError
from keen_client.events.encoding import EventBody
from keen_client.transport.secret import Secret

__all__ = [
    "InvalidEnvironmentError",
    "KeenClient",
    "add_access_key_permissions",
    "add_event",
    "add_events",
    "average",
    "base_url",
    "cached_datasets",
    "client",
    "close",
    "count",
    "count_unique",
    "create_access_key",
    "delete_access_key",
    "delete_events",
    "direction",
    "exceptions",
    "extraction",
    "flush",
    "funnel",
    "generate_image_beacon",
    "get_access_key",
    "get_all_collections",
    "get_collection",
    "list_access_keys",
    "master_key",
    "maximum",
    "median",
    "minimum",
    "multi_analysis",
    "percentile",
    "project_id",
    "read_key",
    "remove_access_key_permissions",
    "revoke_access_key",
    "saved_queries",
    "scoped_keys",
    "select_unique",
    "sum",
    "unrevoke_access_key",
    "update_access_key_full",
    "update_access_key_name",
    "update_access_key_options",
    "update_access_key_permissions",
    "write_key",
]

#: The project. Read at the first call, as all settings are; from the environment where empty.
project_id: str | None = None
#: For adding events and image beacons.
write_key: str | bytes | None = None
#: For queries.
read_key: str | bytes | None = None
#: For administration.
master_key: str | bytes | None = None
#: The part before ``/3.0``; Keen's own where it is given nowhere.
base_url: str | None = None

#: The client that every call uses, once there is one.
_client: KeenClient | None = None
#: What the environment filled in when it was made.
_from_environment: Final[dict[str, str]] = {}
_making: Final = threading.RLock()

_SETTINGS: Final = ("project_id", "write_key", "read_key", "master_key", "base_url")

P = ParamSpec("P")
R = TypeVar("R")


def close(timeout: float | None = None) -> None:
    """Send for at most *timeout* seconds (2 by default), then give the client up; what is left stays in the log.

    The next call makes a new client, of the settings as they are then. A
    program that ends need not call this.
    """
    module = globals()
    with _making:
        made, module["_client"] = _client, None
        for name, value in _from_environment.items():
            if module[name] == value:
                module[name] = None
        _from_environment.clear()
    if made is not None:
        made.close(timeout)


def _the_client() -> KeenClient:
    """The client, made at the first call.

    Raises:
        InvalidEnvironmentError: There is no project id. Nothing was recorded and nothing was sent.
        ConfigurationError, EventLogError: As for :class:`KeenClient`.
    """
    made = _client
    if made is None:
        with _making:
            made = _client
            if made is None:
                made = globals()["_client"] = _new_client()
    return made


def _new_client() -> KeenClient:
    module = globals()
    settings = read_settings({name: text_of(module[name]) or None for name in _SETTINGS})
    new = KeenClient(
        settings.project_id,
        _revealed(settings.write_key),
        _revealed(settings.read_key),
        master_key=_revealed(settings.master_key),
        base_url=settings.base_url,
    )
    for name in _SETTINGS:
        if not module[name]:
            value = getattr(settings, name)
            filled = _revealed(value) if isinstance(value, Secret) else value
            if filled:
                module[name] = _from_environment[name] = filled
    return new


def _revealed(key: Secret | None) -> str | None:
    return None if key is None else key.reveal()


def _shared(method: Callable[Concatenate[KeenClient, P], R]) -> Callable[P, R]:
    """*method* of the client that all calls share, as a function of this module."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return method(_the_client(), *args, **kwargs)

    signature = inspect.signature(method)
    own = list(signature.parameters.values())[1:]
    call.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]
    call.__module__, call.__qualname__ = __name__, method.__name__
    return call


def add_event(event_collection: str, body: EventBody, timestamp: datetime | str | None = None) -> Receipt:
    """See :meth:`KeenClient.add_event`."""
    return _the_client().add_event(event_collection, body, timestamp)


def generate_image_beacon(
    event_collection: str, body: EventBody, timestamp: datetime | str | None = None
) -> str:
    """See :meth:`KeenClient.generate_image_beacon`."""
    return _the_client().generate_image_beacon(event_collection, body, timestamp)


add_events = _shared(KeenClient.add_events)
flush = _shared(KeenClient.flush)

count = _shared(KeenClient.count)
sum = _shared(KeenClient.sum)  # noqa: A001 - keen 0.7's name, and Keen's
minimum = _shared(KeenClient.minimum)
maximum = _shared(KeenClient.maximum)
average = _shared(KeenClient.average)
median = _shared(KeenClient.median)
percentile = _shared(KeenClient.percentile)
count_unique = _shared(KeenClient.count_unique)
select_unique = _shared(KeenClient.select_unique)
extraction = _shared(KeenClient.extraction)
multi_analysis = _shared(KeenClient.multi_analysis)
funnel = _shared(KeenClient.funnel)

get_collection = _shared(KeenClient.get_collection)
get_all_collections = _shared(KeenClient.get_all_collections)
delete_events = _shared(KeenClient.delete_events)

create_access_key = _shared(KeenClient.create_access_key)
list_access_keys = _shared(KeenClient.list_access_keys)
get_access_key = _shared(KeenClient.get_access_key)
update_access_key_name = _shared(KeenClient.update_access_key_name)
update_access_key_permissions = _shared(KeenClient.update_access_key_permissions)
update_access_key_options = _shared(KeenClient.update_access_key_options)
update_access_key_full = _shared(KeenClient.update_access_key_full)
add_access_key_permissions = _shared(KeenClient.add_access_key_permissions)
remove_access_key_permissions = _shared(KeenClient.remove_access_key_permissions)
revoke_access_key = _shared(KeenClient.revoke_access_key)
unrevoke_access_key = _shared(KeenClient.unrevoke_access_key)
delete_access_key = _shared(KeenClient.delete_access_key)

if hasattr(os, "register_at_fork"):
    # The child has the client or none: never one that another thread of its parent was making.
    os.register_at_fork(
        before=_making.acquire, after_in_parent=_making.release, after_in_child=_making.release
    )

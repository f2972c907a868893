"""The read key: whether it sees all that a verification has to see.

What an access key's filters hide looks lost: Keen answers as if there were no
such events. Only the master key can tell what a key is.
"""

from __future__ import annotations

from collections.abc import Iterable

from keen_client.api.access_key import AccessKey


def restricted_name(keys: Iterable[AccessKey], read_key: str) -> str | None:
    """The name of the access key *read_key* where its queries are filtered; None: they are not, or it is none of *keys*.

    Pure.
    """
    for key in keys:
        if key["key"] == read_key and ((key["options"] or {}).get("queries") or {}).get("filters"):
            return key["name"]
    return None

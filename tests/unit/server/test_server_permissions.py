"""Which key may make which call: the whole table, each cell by a request."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, Final

import pytest

from keen_client.server.app import Api
from keen_client.server.credential import NOBODY
from keen_client.server.keyring import Keyring
from keen_client.server.permission import Permission
from keen_client.server.project import Project
from keen_client.server.refusal import Refusal
from keen_client.server.services import Services

if TYPE_CHECKING:
    from tests.unit.server.conftest import Desk

#: Made with the master key of the desk, by another implementation.
SCOPED_READ: Final = (
    "000102030405060708090a0b0c0d0e0f8c23729f3d84768dc0c91b48f20661bff96596b110a16b76d139a08a6bd44110"
    "4a781fc99b4db8b1df986ac6cb2e7ee8"
)
SCOPED_WRITE: Final = (
    "000102030405060708090a0b0c0d0e0f8c23729f3d84768dc0c91b48f20661bf8bac8a1c5600b745051f26c932cd6ff8"
    "ce67c59ec24f3af6fd28d9a50e2fdf16"
)

WRITES: Final = {"master", "write", "scoped write", "writes"}
SCHEMA: Final = {"master", "read", "schema"}
QUERIES: Final = {"master", "read", "scoped read", "queries"}
RESULTS: Final = {"master", "read", "saved_queries", "cached_queries"}
DATASETS: Final = {"master", "read", "datasets"}
MASTER: Final = {"master"}
EVERYBODY: Final = {
    *(permission.value for permission in Permission),
    *("master", "read", "write", "scoped read", "scoped write", "nothing", "no key", "unknown", "revoked"),
}
#: Method, path (of the project, unless it begins with a version), and who may call it.
TABLE: Final[list[tuple[str, str, set[str]]]] = [
    ("GET", "/", MASTER),
    ("GET", "/3.0", MASTER),
    ("GET", "/3.0/openapi.json", EVERYBODY),
    ("GET", "/3.0/projects", MASTER),
    ("GET", "", MASTER),
    ("POST", "/events", WRITES),
    ("POST", "/events/c", WRITES),
    ("GET", "/events/c?data=e30=", WRITES),
    ("GET", "/events", SCHEMA),
    ("GET", "/events/c", SCHEMA),
    ("GET", "/events/c/properties/item", SCHEMA),
    ("DELETE", "/events/c/properties/item", MASTER),
    ("PUT", "/events/c", MASTER),
    ("DELETE", "/events/c", MASTER),
    ("GET", "/queries", MASTER),
    ("GET", "/queries/count", QUERIES),
    ("POST", "/queries/count", QUERIES),
    ("GET", "/queries/saved", MASTER),
    ("GET", "/queries/saved/s", MASTER),
    ("PUT", "/queries/saved/s", MASTER),
    ("DELETE", "/queries/saved/s", MASTER),
    ("GET", "/queries/saved/s/result", RESULTS),
    ("GET", "/datasets", DATASETS),
    ("GET", "/datasets/d", DATASETS),
    ("GET", "/datasets/d/results", DATASETS),
    ("PUT", "/datasets/d", MASTER),
    ("DELETE", "/datasets/d", MASTER),
    ("GET", "/keys", MASTER),
    ("POST", "/keys", MASTER),
    ("GET", "/keys/k", MASTER),
    ("POST", "/keys/k", MASTER),
    ("DELETE", "/keys/k", MASTER),
    ("POST", "/keys/k/revoke", MASTER),
    ("POST", "/keys/k/unrevoke", MASTER),
    ("GET", "/_control/faults", MASTER),
    ("POST", "/_control/faults", MASTER),
    ("POST", "/_control/release", MASTER),
    ("POST", "/_control/resurrect", MASTER),
]


def _keys(desk: Desk) -> dict[str, str]:
    """One key of each class, by its name in the table."""
    keys = {
        "master": desk.project.master_key,
        "write": desk.project.write_key,
        "read": desk.project.read_key,
        "scoped read": SCOPED_READ,
        "scoped write": SCOPED_WRITE,
        "nothing": desk.access_key(),
        "no key": "",
        "unknown": "0123456789abcdef" * 4,
        "revoked": desk.access_key(*(permission.value for permission in Permission)),
    }
    desk.call("POST", f"/keys/{keys['revoked']}/revoke")
    return keys | {permission.value: desk.access_key(permission.value) for permission in Permission}


def _refused_as(who: str, allowed: set[str]) -> tuple[int, str]:
    """How *who* is refused a call that only *allowed* may make."""
    if who in ("no key", "unknown", "revoked"):
        return 401, "InvalidApiKeyError"
    if allowed == MASTER:
        return 401, "AdminOnlyEndpointError"
    if who in ("write", "read"):
        return 401, "InvalidApiKeyError"
    return 403, "RequestForbiddenError"


@pytest.mark.parametrize(("method", "path", "allowed"), TABLE, ids=[f"{row[0]} {row[1]}" for row in TABLE])
def test_each_key_makes_the_calls_of_its_class_and_no_others(
    desk: Desk, method: str, path: str, allowed: set[str]
) -> None:
    """Of every class of keys exactly those of the table get past the door; the others hear why not."""
    desk.write({"item": "book"})
    for who, key in sorted(_keys(desk).items()):
        reply = desk.call(method, path, key=key, json={} if method in ("POST", "PUT") else None)
        if who in allowed:
            assert reply.status_code not in (401, 403), who
        else:
            got = (reply.status_code, reply.json()["error_code"])
            assert got == _refused_as(who, allowed), who
            assert reply.json()["message"]
            assert not key or key not in reply.text


def test_the_table_has_every_route(desk: Desk) -> None:
    """A call that the server answers and the table does not name would be a call nobody decided about."""
    keyring = Keyring(desk.project)
    api = Api(Services(desk.project, keyring, desk.store, desk.faults, desk.clock))
    # The page's own call is tested with the page.
    routes = [route for route in api.router.routes if not route.path.startswith("/_page/")]
    patterns = {(route.method, re.sub(r"\{\w+\}", "*", route.path)) for route in routes}
    named = set()
    for method, path, _ in TABLE:
        bare = path.partition("?")[0]
        absolute = bare if bare.startswith(("/3.0", "/_control")) else f"/3.0/projects/*{bare}"
        absolute = "" if path == "/" else absolute
        named.add((method, re.sub(r"(?<=/)(c|item|count|s|d|k)(?=/|$)", "*", absolute)))
    assert named == patterns


def test_nobody_may_do_anything() -> None:
    """Before its key was looked at, a request may do nothing."""
    assert not any(NOBODY.may(permission) for permission in Permission)


def test_the_header_wins_over_the_query_string(desk: Desk) -> None:
    """Both may be given; where they differ the header counts, and surrounding blanks do not."""
    url = "/events/c"
    assert (
        desk.call("POST", url, key="", params={"api_key": desk.project.write_key}, json={}).status_code == 201
    )
    both = {"api_key": desk.project.write_key}
    assert desk.call("POST", url, key="wrong", params=both, json={}).status_code == 401
    assert (
        desk.call(
            "POST", url, key=f" {desk.project.write_key} ", params={"api_key": "x"}, json={}
        ).status_code
        == 201
    )


def test_hex_keys_are_read_in_either_case(desk: Desk) -> None:
    """A hex key is the same key in small letters; any other key is compared to the letter."""
    assert desk.call("GET", "", key=desk.project.master_key.lower()).status_code == 200
    assert desk.query(key=desk.project.read_key.lower()).status_code == 401


def test_the_parameter_of_a_beacon_opens_no_other_call(desk: Desk) -> None:
    """``data`` turns GET of a collection into a write: a read key is refused there, and HEAD never writes."""
    desk.write({"a": 1})
    assert desk.call("GET", "/events/c?data=e30=", key=desk.project.read_key).status_code == 401
    assert desk.call("HEAD", "/events/c?data=e30=", key=desk.project.write_key).status_code == 401
    assert desk.call("HEAD", "/events/c?data=e30=").status_code == 200
    assert desk.query().json() == {"result": 1}


def test_no_key_is_in_a_repr(desk: Desk) -> None:
    """Neither a project nor an access key nor a credential shows a key, nor what it fills in."""
    key = desk.access_key("writes", writes={"autofill": {"secret": "s3cret"}})
    keyring = Keyring(desk.project)
    made = keyring.create({"name": "n", "options": {"writes": {"autofill": {"secret": "s3cret"}}}})
    shown = repr([desk.project, made, keyring.identify(made.key), Project.made_up()])
    for secret in (desk.project.master_key, desk.project.write_key, made.key, key, "s3cret"):
        assert secret not in shown


def test_keys_are_compared_as_digests(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every comparison is of two digests of one length: its time tells nothing about a key."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: Any, other: Any) -> bool:
        compared.append((one, other))
        return bool(one == other)

    keyring = Keyring(desk.project)
    monkeypatch.setattr("keen_client.server.keyring.hmac.compare_digest", compare)
    for given in (desk.project.master_key, desk.project.read_key, "x"):
        with contextlib.suppress(Refusal):
            keyring.identify(given)
    assert len(compared) == 9
    assert {len(digest) for pair in compared for digest in pair} == {32}

"""Access keys: made, read, replaced, revoked and deleted; and what each option of theirs does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from keen_client.server.credential import Limit
from keen_client.server.keyring import ACCESS_KEYS_FILE, MAX_ACCESS_KEYS
from keen_client.server.permission import Permission

if TYPE_CHECKING:
    from tests.unit.server.conftest import Desk

NO_OPTIONS = dict.fromkeys(("saved_queries", "writes", "datasets", "cached_queries", "queries"))
BOOKS = [{"property_name": "item", "operator": "eq", "property_value": "book"}]


def _refusal(reply: httpx.Response) -> tuple[int, str]:
    assert reply.json()["message"]
    return reply.status_code, reply.json()["error_code"]


def _made(desk: Desk, **body: Any) -> dict[str, Any]:
    reply = desk.call("POST", "/keys", json={"name": "one", **body})
    assert reply.status_code == 201, reply.text
    document: dict[str, Any] = reply.json()
    return document


def test_a_new_key_permits_nothing_and_shows_every_option_group(desk: Desk) -> None:
    """What is absent has its default: active, nothing permitted, every option group null."""
    made = _made(desk)
    key = made.pop("key")
    assert (len(key), key) == (64, key.upper())
    int(key, 16)
    assert made == {
        "name": "one",
        "is_active": True,
        "permitted": [],
        "project_id": desk.project.id,
        "options": NO_OPTIONS,
    }
    assert _refusal(desk.query(key=key)) == (403, "RequestForbiddenError")


def test_a_key_is_read_back_as_it_was_made(desk: Desk) -> None:
    """GET of one key, in either case of its letters, and of all, shows the same object."""
    options = {"queries": {"filters": BOOKS}, "writes": {"autofill": {"a": {"b": 1}}}}
    made = _made(desk, permitted=["queries", "writes"], options=options)
    assert made["options"] == {**NO_OPTIONS, **options}
    assert desk.call("GET", f"/keys/{made['key']}").json() == made
    assert desk.call("GET", f"/keys/{made['key'].lower()}").json() == made
    assert desk.call("GET", "/keys").json() == [made]


def test_the_list_is_filtered_by_the_exact_name(desk: Desk) -> None:
    """``?name=`` gives the keys with that name and no others; several may share one."""
    for name in ("b", "a", "ab", "a"):
        _made(desk, name=name)
    listed = desk.call("GET", "/keys").json()
    assert [key["name"] for key in listed] == ["a", "a", "ab", "b"]
    found = desk.call("GET", "/keys", params={"name": "a"}).json()
    assert [key["name"] for key in found] == ["a", "a"]
    assert desk.call("GET", "/keys", params={"name": "A"}).json() == []


def test_an_update_replaces_the_whole_key(desk: Desk) -> None:
    """Members that an update leaves out fall back to their defaults; the key itself stays."""
    made = _made(desk, permitted=["queries"], options={"queries": {"filters": BOOKS}}, is_active=False)
    reply = desk.call("POST", f"/keys/{made['key']}", json={"name": "two"})
    assert reply.status_code == 200
    expected = {**made, "name": "two", "permitted": [], "options": NO_OPTIONS, "is_active": True}
    assert reply.json() == expected
    assert desk.call("GET", f"/keys/{made['key']}").json() == expected


def test_a_revoked_key_is_unknown_until_it_is_unrevoked(desk: Desk) -> None:
    """Revoking and its contrary answer 200 with the key object; between them the key answers 401."""
    desk.write({"a": 1})
    made = _made(desk, permitted=["queries"])
    key = made["key"]
    assert desk.query(key=key).json() == {"result": 1}
    revoked = desk.call("POST", f"/keys/{key}/revoke")
    assert (revoked.status_code, revoked.json()) == (200, {**made, "is_active": False})
    assert _refusal(desk.query(key=key)) == (401, "InvalidApiKeyError")
    unknown = desk.query(key="F" * 64)
    assert desk.query(key=key).json() == unknown.json()
    restored = desk.call("POST", f"/keys/{key}/unrevoke")
    assert (restored.status_code, restored.json()) == (200, made)
    assert desk.query(key=key).json() == {"result": 1}


def test_a_deleted_key_is_gone(desk: Desk) -> None:
    """DELETE answers 204 without a body; from then on the key is unknown everywhere."""
    key = desk.access_key("queries")
    reply = desk.call("DELETE", f"/keys/{key}")
    assert (reply.status_code, reply.content) == (204, b"")
    assert _refusal(desk.query(key=key)) == (401, "InvalidApiKeyError")
    for method, path in (
        ("GET", ""),
        ("POST", ""),
        ("DELETE", ""),
        ("POST", "/revoke"),
        ("POST", "/unrevoke"),
    ):
        reply = desk.call(method, f"/keys/{key}{path}", json={"name": "x"} if path == "" else None)
        assert _refusal(reply) == (404, "ResourceNotFoundError"), (method, path)
    assert desk.call("GET", "/keys").json() == []


def test_keys_survive_a_restart_in_a_private_file(durable_desk: Desk, tmp_path: Path) -> None:
    """Made, changed, revoked and deleted keys are afterwards what they were before; others cannot read the file."""
    kept = _made(durable_desk, name="kept", permitted=["queries"], options={"queries": {"filters": BOOKS}})
    revoked = durable_desk.access_key("queries")
    durable_desk.call("POST", f"/keys/{revoked}/revoke")
    deleted = durable_desk.access_key("queries")
    durable_desk.call("DELETE", f"/keys/{deleted}")
    durable_desk.write({"item": "book"}, {"item": "pen"})
    durable_desk.restart()
    assert durable_desk.call("GET", "/keys", params={"name": "kept"}).json() == [kept]
    assert durable_desk.query(key=kept["key"]).json() == {"result": 1}
    for key in (revoked, deleted):
        assert _refusal(durable_desk.query(key=key)) == (401, "InvalidApiKeyError")
    assert (tmp_path / "data" / ACCESS_KEYS_FILE).stat().st_mode & 0o077 == 0


def test_what_could_not_be_kept_is_not_there(
    durable_desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk refuses the file, the key was neither made nor changed."""
    made = _made(durable_desk, permitted=["queries"])

    def full(*_arguments: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("keen_client._foundation.files.sync_descriptor", full)
        assert durable_desk.call("POST", "/keys", json={"name": "two"}).status_code == 500
        assert durable_desk.call("POST", f"/keys/{made['key']}/revoke").status_code == 500
    assert durable_desk.call("GET", "/keys").json() == [made]
    durable_desk.restart()
    assert durable_desk.call("GET", "/keys").json() == [made]


@pytest.mark.parametrize(
    "body",
    [
        [],
        "name",
        {},
        {"name": None},
        {"name": ""},
        {"name": 5},
        {"name": "x" * 257},
        {"name": "x", "is_active": "yes"},
        {"name": "x", "is_active": None},
        {"name": "x", "permitted": "queries"},
        {"name": "x", "permitted": ["everything"]},
        {"name": "x", "permitted": [["queries"]]},
        {"name": "x", "options": []},
        {"name": "x", "options": {"reads": {}}},
        {"name": "x", "options": {"queries": []}},
        {"name": "x", "options": {"queries": {"filter": []}}},
        {"name": "x", "options": {"queries": {"filters": [{"operator": "eq"}]}}},
        {"name": "x", "options": {"saved_queries": {"filters": {}}}},
        {"name": "x", "options": {"saved_queries": {"allowed": {"a": {}}}}},
        {"name": "x", "options": {"saved_queries": {"allowed": "a"}}},
        {"name": "x", "options": {"cached_queries": {"blocked": [1]}}},
        {"name": "x", "options": {"datasets": {"operations": ["write"]}}},
        {"name": "x", "options": {"datasets": {"allowed": {"d": {"index": {}}}}}},
        {"name": "x", "options": {"datasets": {"allowed": {"d": {"index_by": {"a": 1}}}}}},
        {"name": "x", "options": {"writes": {"autofill": []}}},
        {"name": "x", "options": {"writes": {"autofill": {"a.b": 1}}}},
        {"name": "x", "options": {"writes": {"autofill": {"keen": {"nonsense": 1}}}}},
    ],
)
def test_a_key_that_says_nothing_sensible_is_refused_and_changes_nothing(desk: Desk, body: object) -> None:
    """Wrong types, unknown permissions and options that are not understood: 400, for making and for replacing."""
    held = _made(desk, name="held")
    for path in ("/keys", f"/keys/{held['key']}"):
        reply = desk.call("POST", path, json=body)
        assert reply.status_code == 400
        assert reply.json()["error_code"] in ("InvalidParameterError", "MissingParameterError")
    assert desk.call("GET", "/keys").json() == [held]


def test_autofill_is_nested_only_so_deep(desk: Desk) -> None:
    """50 objects in each other are merged, 51 are refused when the key is made."""
    nested: dict[str, Any] = {}
    for _ in range(49):
        nested = {"a": nested}
    key = desk.access_key("writes", writes={"autofill": nested})
    desk.write({"a": {"b": 1}}, key=key)
    body = {"name": "x", "options": {"writes": {"autofill": {"a": nested}}}}
    assert _refusal(desk.call("POST", "/keys", json=body)) == (400, "InvalidParameterError")


def test_a_body_that_is_no_json_is_refused(desk: Desk) -> None:
    """An empty body and a broken one answer 400, as for every other call."""
    for content in (b"", b"{", b"\xff"):
        assert _refusal(desk.call("POST", "/keys", content=content)) == (400, "InvalidJSONError")


def test_there_are_only_so_many_keys(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than the bound is refused; replacing and deleting go on, and make room."""
    assert MAX_ACCESS_KEYS == 10_000
    monkeypatch.setattr("keen_client.server.keyring.MAX_ACCESS_KEYS", 2)
    first = desk.access_key()
    desk.access_key()
    assert _refusal(desk.call("POST", "/keys", json={"name": "x"})) == (400, "InvalidParameterError")
    assert desk.call("POST", f"/keys/{first}", json={"name": "x"}).status_code == 200
    assert desk.call("DELETE", f"/keys/{first}").status_code == 204
    desk.access_key()


def test_filters_of_a_key_are_added_to_every_query(desk: Desk) -> None:
    """No query of a filtered key counts, lists or extracts an event outside its filters, whatever it asks for."""
    desk.write({"item": "book", "n": 1}, {"item": "book", "n": 2}, {"item": "pen", "n": 4})
    key = desk.access_key("queries", queries={"filters": BOOKS})
    assert desk.query(key=key).json() == {"result": 2}
    assert desk.query("sum", key=key, target_property="n").json() == {"result": 3}
    assert desk.query("select_unique", key=key, target_property="item").json() == {"result": ["book"]}
    extracted = desk.query("extraction", key=key, property_names=["n"]).json()["result"]
    assert sorted(event["n"] for event in extracted) == [1, 2]
    pens = [{"property_name": "item", "operator": "eq", "property_value": "pen"}]
    assert desk.query(key=key, filters=pens).json() == {"result": 0}
    either = [{"operator": "or", "operands": [*BOOKS, *pens]}]
    assert desk.query(key=key, filters=either).json() == {"result": 2}
    analyses = {"n": {"analysis_type": "count"}, "s": {"analysis_type": "sum", "target_property": "n"}}
    assert desk.query("multi_analysis", key=key, analyses=analyses).json() == {"result": {"n": 2, "s": 3}}
    grouped = desk.query(key=key, group_by="item").json()
    assert grouped == {"result": [{"item": "book", "result": 2}]}
    parameters = {"event_collection": "c", "timeframe": "this_2_days", "api_key": key}
    assert desk.call("GET", "/queries/count", key="", params=parameters).json() == {"result": 2}


def test_filters_of_a_key_hold_for_each_step_of_a_funnel(desk: Desk) -> None:
    """A funnel counts an actor only for events that the key may see, in every step."""
    desk.write({"item": "book", "u": 1}, {"item": "pen", "u": 1}, {"item": "pen", "u": 2})
    key = desk.access_key("queries", queries={"filters": BOOKS})
    step = {"event_collection": "c", "actor_property": "u"}
    assert desk.query("funnel", steps=[step, step]).json()["result"] == [2, 2]
    assert desk.query("funnel", key=key, steps=[step, step]).json()["result"] == [1, 1]


def test_autofill_is_merged_into_each_event_and_wins(desk: Desk) -> None:
    """Objects merge member by member; every other value of the sender is replaced; single, bulk and by GET."""
    autofill = {"customer": {"id": 7}, "list": [1, {"a": 1}], "flat": {"x": 1}}
    key = desk.access_key("writes", writes={"autofill": autofill})
    sent = {"customer": {"id": 1, "name": "n"}, "list": "mine", "flat": 3, "own": True}
    full = {"customer": {"id": 7, "name": "n"}, "list": [1, {"a": 1}], "flat": {"x": 1}, "own": True}
    desk.write(sent, {}, key=key)
    assert desk.call("POST", "/events/c", key=key, json=sent).json() == {"created": True}
    reply = desk.call("GET", "/events/c", key=key, params={"data": "e30="})
    assert reply.json() == {"created": True}
    assert sorted(map(repr, desk.events())) == sorted(map(repr, [full, autofill, full, autofill]))


def test_autofill_of_keen_members_is_not_shared_between_events(desk: Desk) -> None:
    """Each event gets its own copy: what one is given (its id) does not show in the next one."""
    key = desk.access_key("writes", writes={"autofill": {"keen": {"timestamp": "2026-01-01T00:00:00Z"}}})
    desk.write({"a": 1}, {"a": 2}, key=key)
    keen = [event["keen"] for event in desk.query("extraction").json()["result"]]
    assert {item["timestamp"] for item in keen} == {"2026-01-01T00:00:00.000Z"}
    assert len({item["id"] for item in keen}) == 2


@pytest.mark.parametrize("event", [1, [], "text", None])
def test_what_is_no_event_stays_none_under_autofill(desk: Desk, event: object) -> None:
    """Autofill makes no event out of something that is none."""
    key = desk.access_key("writes", writes={"autofill": {"a": 1}})
    assert desk.call("POST", "/events/c", key=key, json=event).status_code == 400
    batch = desk.call("POST", "/events", key=key, json={"c": [event]})
    assert batch.json()["c"][0]["error"]["name"] == "InvalidEventError"


def test_a_key_without_the_permission_writes_nothing(desk: Desk) -> None:
    """403 for single, bulk and beacon; and nothing is stored."""
    key = desk.access_key("queries", "schema", writes={"autofill": {"a": 1}})
    assert _refusal(desk.call("POST", "/events/c", key=key, json={})) == (403, "RequestForbiddenError")
    assert desk.call("POST", "/events", key=key, json={"c": [{}]}).status_code == 403
    assert desk.call("GET", "/events/c", key=key, params={"data": "e30="}).status_code == 403
    assert desk.call("GET", "/events", key=key).json() == []


def test_a_limit_admits_what_is_allowed_and_not_blocked() -> None:
    """Without lists every name is admitted; a blocked name never is, not even an allowed one."""
    limit = Limit(frozenset({"a", "b"}), frozenset({"b", "c"}), frozenset({"read"}))
    assert [name for name in "abcd" if limit.admits(name, None)] == ["a"]
    assert limit.admits("a", "read")
    assert not limit.admits("a", "list")
    assert limit.admits(None, "read")
    assert Limit().admits("anything", "list")
    assert not Limit(frozenset()).admits("anything", None)


def test_a_dataset_option_limits_names_operations_and_index_values(desk: Desk) -> None:
    """The object form of ``allowed`` names the index values that may be read; an empty object allows all."""
    options = {
        "operations": ["read", "retrieve"],
        "allowed": {"narrow": {"index_by": {"customer.id": ["a", 2, 1]}}, "wide": {}},
        "blocked": ["wide2"],
    }
    key = desk.access_key("datasets", datasets=options)
    assert desk.call("GET", f"/keys/{key}").json()["options"]["datasets"] == options
    services = desk.app.services
    credential = services.keyring.identify(key)
    assert credential.may(Permission.DATASETS, "narrow", "read")
    assert not credential.may(Permission.DATASETS, "narrow", "list")
    assert not credential.may(Permission.DATASETS, "other", "read")
    assert not credential.may(Permission.QUERIES)
    assert credential.may_read_index("narrow", {"customer.id": "a"})
    assert credential.may_read_index("narrow", {"customer.id": 2})
    assert not credential.may_read_index("narrow", {"customer.id": "b"})
    assert not credential.may_read_index("narrow", {"customer.id": True})
    assert not credential.may_read_index("narrow", {"other": "a"})
    assert credential.may_read_index("wide", {"customer.id": "b"})

"""The cases of keen 0.7.0's own tests, put to ``keen_client.compat``.

Which cases there are is theirs; the tests are written anew, because those replace
the library that sends. Queries go by POST here, with their parameters in the body.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import respx

import keen_client.compat as keen
from keen_client.compat import exceptions, scoped_keys
from keen_client.compat.client import KeenClient

OLD_MASTER_KEY: Final = "2e79c6ec1d0145be8891bf668599c79a"
NEW_MASTER_KEY: Final = "24077ACBCB198BAAA2110EDDB673282F8E34909FD823A15C55A6253A664BE368"
PROJECT: Final = "https://api.keen.io/3.0/projects/5004ded1163d66114f000000"
FILTERS: Final = [{"property_name": "username", "operator": "eq", "property_value": "Bob"}]
KEY_ID: Final = "320104AEFFC569EEE60BCAC9BB064DFF9897E391AB8C59608AC0869AFD291B4E"
ACCESS_KEY: Final[dict[str, Any]] = {
    "name": "Bob_Key",
    "is_active": True,
    "permitted": ["queries"],
    "key": KEY_ID,
    "project_id": "55777979e085574e8ad3523c",
    "options": {
        "saved_queries": None,
        "writes": None,
        "datasets": None,
        "cached_queries": None,
        "queries": {"filters": [{"property_name": "customer.id", "operator": "eq", "property_value": "a1"}]},
    },
}
SAVED: Final[dict[str, Any]] = {
    "query_name": "saved-query-name",
    "refresh_rate": 14_400,
    "query": {
        "analysis_type": "average",
        "event_collection": "TheCollection",
        "target_property": "TheProperty",
        "timeframe": "this_2_weeks",
    },
    "metadata": {"foo": "bar"},
}
DATASET: Final[dict[str, Any]] = {
    "project_id": "xxxx1234",
    "organization_id": "1234xxxx5678",
    "dataset_name": "DATASET_NAME_1",
    "display_name": "a first dataset wee",
    "query": {
        "analysis_type": "count",
        "event_collection": "best collection",
        "filters": [{"property_name": "request.foo", "operator": "lt", "property_value": 300}],
        "timeframe": "this_500_hours",
        "timezone": "US/Pacific",
        "interval": "hourly",
        "group_by": ["exception.name"],
    },
    "index_by": ["project.id"],
    "last_scheduled_date": "2016-11-04T18:03:38.430Z",
    "latest_subtimeframe_available": "2016-11-04T19:00:00.000Z",
    "milliseconds_behind": 3_600_000,
}
RESULTS: Final[dict[str, Any]] = {
    "result": [
        {
            "timeframe": {"start": "2016-11-02T00:00:00.000Z", "end": "2016-11-02T01:00:00.000Z"},
            "value": [
                {"exception.name": "ValueError", "result": 20},
                {"exception.name": "KeyError", "result": 18},
            ],
        }
    ]
}


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keys as theirs: scoped ones, in bytes, and a master key."""
    monkeypatch.setenv("KEEN_LOG", str(tmp_path / "log"))
    monkeypatch.setattr(keen, "project_id", "5004ded1163d66114f000000")
    for name, operation in {"write_key": "write", "read_key": "read"}.items():
        monkeypatch.setattr(
            keen, name, scoped_keys.encrypt(OLD_MASTER_KEY, {"allowed_operations": [operation]})
        )
    monkeypatch.setattr(keen, "master_key", "BADHORSE")
    monkeypatch.setattr(keen, "base_url", None)
    yield
    keen.close(0)


def _answering(method: str, path: str, answer: Any, status: int = 200) -> respx.Route:
    reply = httpx.Response(status) if answer is None else httpx.Response(status, json=answer)
    return respx.route(method=method, url__startswith=f"{PROJECT}{path}").mock(reply)


def _sent(route: respx.Route) -> tuple[str, Any]:
    """The key and the body of the last request."""
    request = route.calls.last.request
    return request.headers["Authorization"], json.loads(request.content) if request.content else None


def _text(key: str | bytes | None) -> str:
    return key.decode() if isinstance(key, bytes) else str(key)


# ---- events -----------------------------------------------------------------------------


def test_events_are_taken_one_by_one_and_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same shape of results as the server's: a list for each collection."""
    monkeypatch.setattr(keen, "base_url", "http://127.0.0.1:9")
    keen.add_event("python_test", {"hello": "goodbye"})
    keen.add_event("python_test", {"hello": "goodbye"})
    result = keen.add_events(
        {
            "sign_ups": [{"username": "timmy", "referred_by": "steve", "son_of": "my_mom"}],
            "purchases": [{"price": 5}, {"price": 6}, {"price": 7}],
        }
    )
    assert result == {"sign_ups": [{"success": True}], "purchases": [{"success": True}] * 3}


def test_a_server_that_is_not_there_keeps_no_event_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """There a timeout reached the program; here the log has the event, and the network no say."""
    monkeypatch.setattr(keen, "base_url", "http://127.0.0.1:9")
    client = KeenClient(
        "5004ded1163d66114f000000", keen.write_key, post_timeout=0.0001, base_url=keen.base_url
    )
    with client:
        assert client.add_event("python_test", {"hello": "goodbye"}).id
        assert client.add_events({"python_test": [{"hello": "goodbye"}]}) == {
            "python_test": [{"success": True}]
        }
        assert client.flush(0.1).acknowledged == 0
        assert len(list(client.log.entries())) == 2


def test_without_project_or_key_events_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """First no project, then no write key; each named in the error."""
    for name in ("project_id", "write_key", "read_key", "master_key"):
        monkeypatch.setattr(keen, name, None)
    with pytest.raises(exceptions.InvalidEnvironmentError, match="project"):
        keen.add_event("python_test", {"hello": "goodbye"})
    monkeypatch.setenv("KEEN_PROJECT_ID", "12345")
    with pytest.raises(exceptions.InvalidEnvironmentError, match="write key"):
        keen.add_event("python_test", {"hello": "goodbye"})
    with (
        KeenClient(project_id="12345", read_key=None, write_key=None) as client,
        pytest.raises(exceptions.InvalidEnvironmentError),
    ):
        client.add_event("python_test", {"hello": "goodbye"})


def test_addons_of_an_event_stay_beside_its_timestamp(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ``keen`` object is the event's own, and the timestamp joins it."""
    monkeypatch.setattr(keen, "base_url", "http://127.0.0.1:9")
    keen.add_event("c", {"keen": {"addons": [{"name": "asdf"}]}}, timestamp=datetime(2024, 1, 1))
    assert keen._client is not None
    (entry,) = keen._client.log.entries()
    assert entry.event["keen"]["addons"] == [{"name": "asdf"}]
    assert entry.event["keen"]["timestamp"] == "2024-01-01T00:00:00.000Z"


@pytest.mark.parametrize("timestamp", [None, datetime(2024, 5, 6, 7, 8, 9)])
def test_an_image_beacon_has_the_event_and_the_key(timestamp: datetime | None) -> None:
    """From the module and from a client; a strange name of a collection is escaped."""
    with KeenClient("5004ded1163d66114f000000", write_key=keen.write_key, read_key=None) as client:
        urls = [
            keen.generate_image_beacon("python_test hello!?", {"a": "b"}, timestamp=timestamp),
            client.generate_image_beacon("python_test hello!?", {"a": "b"}, timestamp=timestamp),
        ]
    assert urls[0] == urls[1]
    parts = urlsplit(urls[0])
    assert f"{parts.scheme}://{parts.netloc}{parts.path}".startswith(f"{PROJECT}/events/python_test%20hello")
    query = parse_qs(parts.query)
    assert query["api_key"] == [_text(keen.write_key)]
    event = json.loads(base64.b64decode(query["data"][0]))
    assert event.pop("keen", {}) == ({"timestamp": "2024-05-06T07:08:09.000Z"} if timestamp else {})
    assert event == {"a": "b"}


# ---- queries ----------------------------------------------------------------------------

LIST: Final = [{"value": {"total": 1}}, {"value": {"total": 2}}]
QUERIES: Final[dict[str, tuple[Callable[[], Any], Any]]] = {
    "count": (lambda: keen.count("query test", timeframe="today", filters=FILTERS), 2),
    "sum": (lambda: keen.sum("query test", target_property="number", timeframe="today"), 2),
    "minimum": (lambda: keen.minimum("query test", target_property="number", timeframe="today"), 2),
    "maximum": (lambda: keen.maximum("query test", target_property="number", timeframe="today"), 2),
    "average": (lambda: keen.average("query test", target_property="number", timeframe="today"), 2),
    "median": (lambda: keen.median("query test", target_property="number", timeframe="today"), 2),
    "percentile": (
        lambda: keen.percentile("query test", target_property="number", percentile=80, timeframe="today"),
        2,
    ),
    "count_unique": (lambda: keen.count_unique("query test", target_property="number", timeframe="today"), 2),
    "select_unique": (
        lambda: keen.select_unique("query test", target_property="number", timeframe="today"),
        [1, 2],
    ),
    "extraction": (
        lambda: keen.extraction("query test", timeframe="today", property_names=["number"]),
        [{"number": 5}],
    ),
    "multi_analysis": (
        lambda: keen.multi_analysis(
            "query test",
            analyses={"total": {"analysis_type": "sum", "target_property": "number"}},
            timeframe="today",
            interval="hourly",
        ),
        LIST,
    ),
    "funnel": (
        lambda: keen.funnel(
            [
                {"event_collection": "signed up", "actor_property": "visitor.guid", "timeframe": "today"},
                {
                    "event_collection": "completed profile",
                    "actor_property": "user.guid",
                    "timeframe": "today",
                },
            ]
        ),
        [3, 1],
    ),
}


@respx.mock
@pytest.mark.parametrize("kind", QUERIES)
def test_each_analysis_asks_with_the_read_key_and_returns_the_result(kind: str) -> None:
    """To its own address, with what was given, and nothing that was not."""
    ask, result = QUERIES[kind]
    route = _answering("POST", f"/queries/{kind}", {"result": result})
    assert ask() == result
    key, body = _sent(route)
    assert key == _text(keen.read_key)
    assert None not in body.values()
    assert {"filters", "property_names", "analyses", "steps"} & set(body) == {
        "count": {"filters"},
        "extraction": {"property_names"},
        "multi_analysis": {"analyses"},
        "funnel": {"steps"},
    }.get(kind, set())


@respx.mock
@pytest.mark.parametrize(
    "given",
    [
        {"group_by": "number"},
        {"group_by": ["number", "string"]},
        {"interval": "daily"},
        {"timezone": 3600},
        {"max_age": 300},
        {"timeframe": {"start": "2024-01-01T00:00:00.000Z", "end": "2024-01-02T00:00:00.000Z"}},
    ],
    ids=" ".join,
)
def test_each_parameter_reaches_the_wire(given: dict[str, Any]) -> None:
    """Under its own name, with the value that was given."""
    route = _answering("POST", "/queries/count", {"result": LIST})
    assert keen.count("query test", **{"timeframe": "today", **given}) == LIST
    _, body = _sent(route)
    assert {name: body[name] for name in given} == given


@respx.mock
@pytest.mark.parametrize("is_list", [True, False])
def test_order_by_is_always_a_list(is_list: bool) -> None:
    """One direction may be given without; ``limit`` goes beside it."""
    order = {"property_name": "result", "direction": keen.direction.DESCENDING}
    route = _answering("POST", "/queries/count", {"result": LIST})
    given: dict[str, Any] = {"group_by": "number", "order_by": [order] if is_list else order, "limit": 2}
    assert keen.count("query_test", timeframe="today", **given) == LIST
    key, body = _sent(route)
    assert key == _text(keen.read_key)
    assert (body["order_by"], body["limit"], body["event_collection"]) == ([order], 2, "query_test")


@pytest.mark.parametrize(
    "given",
    [
        {"group_by": "number", "order_by": {"property_name": "result", "direction": "DESC"}, "limit": -1},
        {"group_by": "number", "order_by": {"property_name": "result", "direction": "INVALID"}, "limit": 2},
        {"group_by": "number", "order_by": {"direction": "DESC"}},
        {"group_by": "number", "order_by": {"property_name": "result", "more": 1}},
        {"order_by": {"property_name": "result", "direction": "DESC"}, "limit": 2},
        {"group_by": "number", "limit": 2},
    ],
)
def test_an_order_or_limit_that_makes_no_sense_is_a_value_error(given: dict[str, Any]) -> None:
    """Before anything is sent."""
    with respx.mock, pytest.raises(ValueError):
        keen.count("query_test", timeframe="today", **given)


@respx.mock
def test_a_funnel_can_return_all_keys() -> None:
    """Those that nobody knows too."""
    body: dict[str, Any] = {"result": [], "actors": [], "random_key": [], "steps": []}
    _answering("POST", "/queries/funnel", body)
    steps = [{"event_collection": "c", "actor_property": "a", "timeframe": "today"}]
    assert keen.funnel(steps, all_keys=True) == body


@respx.mock
def test_a_query_that_takes_too_long_is_no_answer() -> None:
    """``get_timeout`` goes down to the request; there an error of ``requests``, here a TransportError."""
    route = _answering("POST", "/queries/count", None)
    route.side_effect = httpx.ReadTimeout
    with (
        KeenClient("5004ded1163d66114f000000", read_key=keen.read_key, get_timeout=0.0001) as client,
        pytest.raises(exceptions.TransportError),
    ):
        client.count("query test", timeframe="today", filters=FILTERS)
    assert {call.request.extensions["timeout"]["read"] for call in respx.calls} == {0.0001}


# ---- collections ------------------------------------------------------------------------


@respx.mock
def test_deletion_asks_with_the_master_key() -> None:
    """With its filters as JSON in the address."""
    route = _answering("DELETE", "/events/foo", None, 204)
    assert keen.delete_events("foo", filters=FILTERS) is True
    assert _sent(route)[0] == keen.master_key
    assert json.loads(route.calls.last.request.url.params["filters"]) == FILTERS


@respx.mock
def test_schemas_ask_with_the_read_key() -> None:
    """Of one collection, and of all."""
    schema = {"name": "foo", "properties": {"a": "num"}, "url": "/3.0/projects/p/events/foo"}
    one = _answering("GET", "/events/foo", schema)
    every = _answering("GET", "/events", [schema])
    assert (keen.get_collection("foo"), keen.get_all_collections()) == (schema, [schema])
    assert _sent(one)[0] == _sent(every)[0] == _text(keen.read_key)


# ---- access keys ------------------------------------------------------------------------


@respx.mock
def test_an_access_key_is_made() -> None:
    """By the name alone; all four members are sent."""
    route = _answering("POST", "/keys", ACCESS_KEY, 201)
    assert keen.create_access_key("Bob_Key") == ACCESS_KEY
    assert _sent(route) == (
        keen.master_key,
        {"name": "Bob_Key", "is_active": True, "permitted": [], "options": {}},
    )


@respx.mock
def test_access_keys_are_listed_and_shown() -> None:
    """All, and one."""
    one = _answering("GET", f"/keys/{KEY_ID}", ACCESS_KEY)
    every = _answering("GET", "/keys", [ACCESS_KEY])
    assert keen.get_access_key(KEY_ID) == ACCESS_KEY
    assert keen.list_access_keys() == [ACCESS_KEY]
    assert _sent(one)[0] == _sent(every)[0] == keen.master_key


@respx.mock
@pytest.mark.parametrize("what", ["revoke", "unrevoke"])
def test_access_keys_are_revoked_and_unrevoked(what: str) -> None:
    """Whether the server answers with the key or with nothing, its definition comes back."""
    switched = {**ACCESS_KEY, "is_active": what == "unrevoke"}
    route = _answering("POST", f"/keys/{KEY_ID}/{what}", None, 204)
    _answering("GET", f"/keys/{KEY_ID}", switched)
    assert getattr(keen, f"{what}_access_key")(KEY_ID) == switched
    assert _sent(route)[0] == keen.master_key


@respx.mock
def test_an_access_key_is_deleted() -> None:
    """True, as there."""
    route = _answering("DELETE", f"/keys/{KEY_ID}", None, 204)
    assert keen.delete_access_key(KEY_ID) is True
    assert _sent(route)[0] == keen.master_key


UPDATES: Final[dict[str, tuple[Callable[[], Any], dict[str, Any]]]] = {
    "name": (lambda: keen.update_access_key_name(KEY_ID, name="Marzipan"), {"name": "Marzipan"}),
    "add": (
        lambda: keen.add_access_key_permissions(KEY_ID, ["writes"]),
        {"permitted": ["queries", "writes"]},
    ),
    "remove": (lambda: keen.remove_access_key_permissions(KEY_ID, ["queries"]), {"permitted": []}),
    "remove what is not there": (lambda: keen.remove_access_key_permissions(KEY_ID, ["writes"]), {}),
    "permissions": (
        lambda: keen.update_access_key_permissions(KEY_ID, ["writes", "cached_queries"]),
        {"permitted": ["writes", "cached_queries"]},
    ),
    "options": (lambda: keen.update_access_key_options(KEY_ID, options={}), {"options": {}}),
}


@respx.mock
@pytest.mark.parametrize("part", UPDATES)
def test_an_update_of_a_part_sends_the_whole_key(part: str) -> None:
    """The rest as it was read, and nothing that Keen makes itself. Their test only asked that nothing crashes."""
    update, changes = UPDATES[part]
    _answering("GET", f"/keys/{KEY_ID}", ACCESS_KEY)
    route = _answering("POST", f"/keys/{KEY_ID}", ACCESS_KEY)
    assert update() == ACCESS_KEY
    whole = {name: ACCESS_KEY[name] for name in ("name", "is_active", "permitted", "options")}
    assert _sent(route) == (keen.master_key, whole | changes)


@respx.mock
def test_a_full_update_of_an_access_key_reads_nothing() -> None:
    """One request, with what was given."""
    route = _answering("POST", f"/keys/{KEY_ID}", ACCESS_KEY)
    options = {"queries": {"filters": FILTERS}}
    given = {"name": "Jim_Key", "is_active": False, "permitted": ["queries"], "options": options}
    assert keen.update_access_key_full(KEY_ID, "Jim_Key", False, ["queries"], options) == ACCESS_KEY
    assert _sent(route) == (keen.master_key, given)
    assert respx.calls.call_count == 1


# ---- saved queries and cached datasets --------------------------------------------------


@pytest.fixture
def client() -> Iterator[KeenClient]:
    """A client that may read and administer."""
    with KeenClient("5004ded1163d66114f000000", read_key="efgh7890", master_key="abcd3456") as made:
        yield made


NEEDS_A_KEY: Final[dict[str, Callable[[KeenClient], Any]]] = {
    "saved all": lambda client: client.saved_queries.all(),
    "saved get": lambda client: client.saved_queries.get("saved-query-name"),
    "saved create": lambda client: client.saved_queries.create("saved-query-name", SAVED),
    "saved delete": lambda client: client.saved_queries.delete("saved-query-name"),
    "dataset create": lambda client: client.cached_datasets.create(
        "N", DATASET["query"], "product.id", "My new"
    ),
    "dataset delete": lambda client: client.cached_datasets.delete("MY_DATASET_NAME"),
    "datasets all": lambda client: client.cached_datasets.all(),
}


@pytest.mark.parametrize("call", NEEDS_A_KEY)
@pytest.mark.parametrize("read_key", [None, "abcd5678read"])
def test_without_the_master_key_nothing_is_asked(call: str, read_key: str | None) -> None:
    """No other key is taken in its place."""
    with (
        respx.mock,
        KeenClient("5004ded1163d66114f000000", read_key=read_key) as client,
        pytest.raises(exceptions.InvalidEnvironmentError, match="master key"),
    ):
        NEEDS_A_KEY[call](client)


@respx.mock
def test_saved_queries_are_read(client: KeenClient) -> None:
    """All, one, and one with its result, each with its key."""
    result = {**SAVED, "result": {}}
    asked = {
        "result": _answering("GET", "/queries/saved/saved-query-name/result", result, 209),
        "one": _answering("GET", "/queries/saved/saved-query-name", SAVED),
        "all": _answering("GET", "/queries/saved", [SAVED]),
    }
    assert client.saved_queries.results("saved-query-name") == result
    assert client.saved_queries.get("saved-query-name") == SAVED
    assert client.saved_queries.all() == [SAVED]
    keys = {name: _sent(route)[0] for name, route in asked.items()}
    assert keys == {"result": "efgh7890", "one": "abcd3456", "all": "abcd3456"}


@respx.mock
@pytest.mark.parametrize("method", ["create", "update_full"])
@pytest.mark.parametrize("is_text", [False, True])
def test_a_saved_query_is_written_whole(client: KeenClient, method: str, is_text: bool) -> None:
    """Just what was given, as a dict or as JSON text; and nothing is read before."""
    route = _answering("PUT", "/queries/saved/saved-query-name", SAVED, 201)
    write = getattr(client.saved_queries, method)
    assert write("saved-query-name", json.dumps(SAVED) if is_text else SAVED) == SAVED
    assert _sent(route) == ("abcd3456", SAVED)
    assert respx.calls.call_count == 1


@respx.mock
def test_an_update_of_a_saved_query_merges_and_leaves_out_what_keen_makes(client: KeenClient) -> None:
    """Metadata go round, ``run_information`` does not, and a member deep within is replaced alone."""
    _answering("GET", "/queries/saved/saved-query-name", {**SAVED, "run_information": {"foo": "bar"}})
    route = _answering("PUT", "/queries/saved/saved-query-name", SAVED)
    assert client.saved_queries.update("saved-query-name", {"query": {"analysis_type": "sum"}}) == SAVED
    _, body = _sent(route)
    assert body == {**SAVED, "query": SAVED["query"] | {"analysis_type": "sum"}}


@respx.mock
def test_a_saved_query_is_deleted(client: KeenClient) -> None:
    """True, as there."""
    _answering("DELETE", "/queries/saved/saved-query-name", None, 204)
    assert client.saved_queries.delete("saved-query-name") is True


@respx.mock
def test_datasets_are_read(client: KeenClient) -> None:
    """A page of them with the link to the next, and one; all with the master key, one with the read key."""
    page = {
        "datasets": [DATASET],
        "next_page_url": f"{PROJECT}/datasets?limit=LIMIT&after_name=DATASET_NAME_1",
    }
    one = _answering("GET", "/datasets/DATASET_NAME_1", DATASET)
    every = _answering("GET", "/datasets", page)
    assert client.cached_datasets.get("DATASET_NAME_1") == DATASET
    assert client.cached_datasets.all() == page
    assert (_sent(one)[0], _sent(every)[0]) == ("efgh7890", "abcd3456")


@respx.mock
def test_a_dataset_is_made_and_deleted(client: KeenClient) -> None:
    """With query, index and name as they were given."""
    made = _answering("PUT", "/datasets/NEW_DATASET", DATASET, 201)
    gone = _answering("DELETE", "/datasets/NEW_DATASET", None, 204)
    query: Any = DATASET["query"]
    assert client.cached_datasets.create("NEW_DATASET", query, "product.id", "My new dataset") == DATASET
    key, body = _sent(made)
    assert key == "abcd3456"
    assert body == {"query": query, "index_by": "product.id", "display_name": "My new dataset"}
    assert client.cached_datasets.delete("NEW_DATASET") is True
    assert _sent(gone)[0] == "abcd3456"


@respx.mock
@pytest.mark.parametrize("index_by", ["xxxx1234", ["xxxx1234", "another_id"], {"project.id": "xxxx1234"}])
@pytest.mark.parametrize(
    "timeframe", ["this_2_hours", {"start": "2016-11-02T00:00:00.000Z", "end": "2016-11-02T02:00:00.000Z"}]
)
def test_results_of_a_dataset_are_asked_by_index_and_timeframe(
    client: KeenClient, index_by: Any, timeframe: Any
) -> None:
    """Texts as they are, everything else as JSON."""
    route = _answering("GET", "/datasets/DATASET_NAME_1/results", RESULTS)
    assert client.cached_datasets.results("DATASET_NAME_1", index_by, timeframe) == RESULTS
    params = route.calls.last.request.url.params
    for name, given in {"index_by": index_by, "timeframe": timeframe}.items():
        assert (params[name] if isinstance(given, str) else json.loads(params[name])) == given


# ---- scoped keys ------------------------------------------------------------------------


@pytest.mark.parametrize("key", [NEW_MASTER_KEY, "ab428324dbdbcfe744"], ids=["new", "old"])
def test_a_scoped_key_opens_with_its_master_key_alone(key: str) -> None:
    """What was put in comes out; with another key there is a ValueError."""
    options = {"filters": [{"property_name": "accountId", "operator": "eq", "property_value": "123456"}]}
    scoped = scoped_keys.encrypt(key, options)
    assert scoped_keys.decrypt(key, scoped) == options
    other = f"{key[:-1]}9" if len(key) == 64 else "badbadbadbad"
    with pytest.raises(ValueError):
        scoped_keys.decrypt(other, scoped)

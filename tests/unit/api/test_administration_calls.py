"""What each call of the administration checks, sends and makes of its answer, sync and async alike."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from keen_client.api import AsyncKeenApi, KeenApi, Project
from keen_client.api.access_key import OPTION_GROUPS, PERMISSIONS
from keen_client.errors import (
    AuthenticationError,
    InvalidCollectionNameError,
    InvalidEnvironmentError,
    InvalidQueryError,
    KeenError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    ServerError,
    UnreadableResponseError,
    UsageError,
)
from keen_client.queries import Analysis, Funnel
from keen_client.transport import Request, Response, RetryPolicy, Secret

KEY = "320104AEFFC569EEE60BCAC9BB064DFF9897E391AB8C59608AC0869AFD291B4E"
PROJECT = Project(id="P", write_key=Secret("wwww"), read_key=Secret("rrrr"), master_key=Secret("mmmm"))
DONE = Response(status=204)
GONE = Response(status=404, body=b'{"message": "Resource not found", "error_code": "ResourceNotFoundError"}')
ACCESS_KEY = {
    "key": KEY,
    "name": "n",
    "is_active": True,
    "permitted": ["queries"],
    "options": dict.fromkeys(OPTION_GROUPS),
    "project_id": "P",
}
COUNT = {"analysis_type": "count", "event_collection": "c"}
SAVED = {
    "query_name": "q",
    "refresh_rate": 0,
    "query": {
        "analysis_type": "percentile",
        "event_collection": "c",
        "target_property": "x",
        "percentile": 0,
        "timeframe": "today",
        "timezone": None,
        "filters": [],
        "group_by": "",
    },
    "metadata": {"display_name": "D", "tags": ["a"]},
    "created_date": "2024-01-01T00:00:00.000Z",
    "run_information": None,
    "urls": {"cached_query_url": "u"},
}

Step = Response | Exception
Ask = Callable[[Any], Any]


def answer(value: Any, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(status=status, body=orjson.dumps(value))


class Stage:
    """Plays answers in turn, and keeps what was asked."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.requests: list[Request] = []

    def send(self, request: Request) -> Response:
        self.requests.append(request)
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def close(self) -> None:
        """Nothing is held."""


class AioStage:
    """Its async twin."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def send(self, request: Request) -> Response:
        return self._stage.send(request)

    async def close(self) -> None:
        """Nothing is held."""


class Bench:
    """One of the twins over a stage."""

    def __init__(self, asynchronous: bool, *steps: Step, project: Project = PROJECT) -> None:
        self.stage = Stage(*steps)
        self._asynchronous = asynchronous
        self._project = project

    def ask(self, call: Ask) -> Any:
        """Make one call; an async iterator is read to its end."""
        never = RetryPolicy(attempts_max=1)
        if not self._asynchronous:
            api = KeenApi(self._project, write_transport=self.stage, read_transport=self.stage, retry=never)
            found = call(api)
            return list(found) if inspect.isgenerator(found) else found
        wire = AioStage(self.stage)

        async def run() -> Any:
            api = AsyncKeenApi(self._project, write_transport=wire, read_transport=wire, retry=never)
            found = call(api)
            if inspect.isasyncgen(found):
                return [each async for each in found]
            return await found

        return asyncio.run(run())

    @property
    def said(self) -> list[tuple[str, str, Any]]:
        """Method, path and body of each request."""
        return [
            (each.method, each.path, None if each.body is None else orjson.loads(each.body))
            for each in self.stage.requests
        ]


Make = Callable[..., Bench]


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def bench(request: pytest.FixtureRequest) -> Make:
    """Both twins."""
    return lambda *steps, **changes: Bench(request.param, *steps, **changes)


# ---- what a failed change leaves true -----------------------------------------------------

CHANGES: dict[str, tuple[Ask, str]] = {
    "delete-collection": (lambda api: api.delete_events("c"), "deleted"),
    "delete-events": (lambda api: api.delete_events("c", "today"), "deleted"),
    "delete-property": (lambda api: api.delete_property("c", "x"), "deleted"),
    "update-events": (lambda api: api.update_events("c", {"x": 1}), "updated"),
    "create-key": (lambda api: api.create_access_key("n"), "created"),
    "update-key": (lambda api: api.update_access_key_full(KEY, "n", True, [], {}), "changed"),
    "revoke-key": (lambda api: api.revoke_access_key(KEY), "revoked"),
    "unrevoke-key": (lambda api: api.unrevoke_access_key(KEY), "unrevoked"),
    "delete-key": (lambda api: api.delete_access_key(KEY), "deleted"),
    "save-query": (lambda api: api.saved_queries.create("q", {"query": COUNT}), "written"),
    "delete-query": (lambda api: api.saved_queries.delete("q"), "deleted"),
    "create-dataset": (
        lambda api: api.cached_datasets.create(
            "d",
            {"analysis_type": "count", "event_collection": "c", "timeframe": "today", "interval": "hourly"},
            "user.id",
            "D",
        ),
        "created",
    ),
    "delete-dataset": (lambda api: api.cached_datasets.delete("d"), "deleted"),
}
LIMITED = Response(status=429, body=b"slow down")


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (OutcomeUnknownError("cut"), OutcomeUnknownError),
        (Response(status=503, body=b"<html>"), ServerError),
        (Response(status=200, body=b"<html>portal"), UnreadableResponseError),
        (Response(status=302, headers={"location": "https://elsewhere"}), UnreadableResponseError),
    ],
    ids=["unanswered", "5xx", "portal", "redirect"],
)
@pytest.mark.parametrize("name", sorted(CHANGES))
def test_a_change_that_may_have_happened_says_so(
    name: str, step: Step, kind: type[KeenError], bench: Make
) -> None:
    """It is sent once, the error says that it may or may not be done, and the hint how to look."""
    call, participle = CHANGES[name]
    it = bench(step)
    with pytest.raises(kind, match=f"may or may not have been {participle}") as caught:
        it.ask(call)
    assert caught.value.hint
    assert caught.value.args == (caught.value.message, caught.value.hint)
    assert [request.kind for request in it.stage.requests] == ["write"]


@pytest.mark.parametrize(
    ("step", "kind"),
    [(GONE, NotFoundError), (LIMITED, RateLimitedError), (NotSentError("refused"), NotSentError)],
    ids=["404", "429", "not-sent"],
)
@pytest.mark.parametrize("name", sorted(CHANGES))
def test_a_change_that_surely_did_not_happen_says_so(
    name: str, step: Step, kind: type[KeenError], bench: Make
) -> None:
    """It is not repeated either: who asked decides."""
    call, participle = CHANGES[name]
    it = bench(step)
    with pytest.raises(kind, match=f"nothing was {participle}"):
        it.ask(call)
    assert len(it.stage.requests) == 1


@pytest.mark.parametrize(
    ("call", "missing"),
    [
        (lambda api: api.get_collection("c"), "READ"),
        (lambda api: api.get_all_collections(), "READ"),
        (lambda api: api.get_property("c", "x"), "MASTER"),
        (lambda api: api.delete_events("c"), "MASTER"),
        (lambda api: api.update_events("c", {"x": 1}), "MASTER"),
        (lambda api: api.list_access_keys(), "MASTER"),
        (lambda api: api.get_project(), "MASTER"),
        (lambda api: api.saved_queries.all(), "MASTER"),
        (lambda api: api.saved_queries.results("q"), "READ"),
        (lambda api: api.cached_datasets.all(), "MASTER"),
        (lambda api: api.cached_datasets.get("d"), "READ"),
        (lambda api: api.funnel([{"event_collection": "c", "actor_property": "x"}]), "READ"),
    ],
)
def test_no_other_keys_are_used_in_the_place_of_the_right_one(call: Ask, missing: str, bench: Make) -> None:
    """Even the master key is not used for what needs another: the error names the variable, and nothing is sent."""
    all_keys: dict[str, Any] = {
        "write_key": Secret("wwww"),
        "read_key": Secret("rrrr"),
        "master_key": Secret("mmmm"),
    }
    del all_keys[f"{missing.lower()}_key"]
    it = bench(project=Project(id="P", **all_keys))
    with pytest.raises(InvalidEnvironmentError, match=f"KEEN_{missing}_KEY"):
        it.ask(call)
    assert it.stage.requests == []


# ---- access keys --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "changed"),
    [
        (lambda api: api.update_access_key_name(KEY, "new"), {"name": "new"}),
        (lambda api: api.update_access_key_permissions(KEY, ["schema"]), {"permitted": ["schema"]}),
        (lambda api: api.update_access_key_options(KEY, {"queries": {}}), {"options": {"queries": {}}}),
        (
            lambda api: api.add_access_key_permissions(KEY, ["writes", "queries", "writes"]),
            {"permitted": ["queries", "writes"]},
        ),
        (lambda api: api.remove_access_key_permissions(KEY, ["queries", "schema"]), {"permitted": []}),
    ],
    ids=["name", "permissions", "options", "add", "remove"],
)
def test_a_part_is_changed_by_a_read_and_a_write(call: Ask, changed: dict[str, Any], bench: Make) -> None:
    """What is written back is the definition as it was, with the one change; not what Keen makes itself."""
    it = bench(answer(ACCESS_KEY), answer(ACCESS_KEY | changed))
    assert it.ask(call) == ACCESS_KEY | changed
    before = {name: ACCESS_KEY[name] for name in ("name", "is_active", "permitted", "options")}
    assert it.said == [
        ("GET", f"/3.0/projects/P/keys/{KEY}", None),
        ("POST", f"/3.0/projects/P/keys/{KEY}", before | changed),
    ]


def test_a_key_that_is_not_there_is_not_written(bench: Make) -> None:
    """The read fails, and that is the end."""
    it = bench(GONE)
    with pytest.raises(NotFoundError):
        it.ask(lambda api: api.update_access_key_name(KEY, "new"))
    assert len(it.stage.requests) == 1


def test_revoking_reads_the_definition_back_where_the_answer_has_none(bench: Make) -> None:
    """A 204 says that it is done; the caller gets the key all the same."""
    it = bench(DONE, answer(ACCESS_KEY | {"is_active": False}))
    assert it.ask(lambda api: api.revoke_access_key(KEY))["is_active"] is False
    assert [method for method, *_ in it.said] == ["POST", "GET"]
    failed = bench(DONE, OutcomeUnknownError("cut"))
    with pytest.raises(OutcomeUnknownError, match="the access key was revoked; reading it back failed: cut"):
        failed.ask(lambda api: api.revoke_access_key(KEY))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda api: api.create_access_key(""), "1 to 256 characters"),
        (lambda api: api.create_access_key("n" * 257), "1 to 256 characters"),
        (lambda api: api.create_access_key("\ud800"), "1 to 256 characters"),
        (lambda api: api.create_access_key("n", "yes"), "is_active is not True or False"),
        (lambda api: api.create_access_key("n", permitted="queries"), "a list of texts"),
        (lambda api: api.create_access_key("n", permitted=["read"]), "'read' is nothing that"),
        (lambda api: api.create_access_key("n", options=[]), "not a dict"),
        (lambda api: api.create_access_key("n", options={"query": {}}), "would restrict nothing"),
        (
            lambda api: api.create_access_key("n", options={"queries": []}),
            "options of queries are not a dict",
        ),
        (
            lambda api: api.create_access_key("n", options={"queries": {"filters": [{"a": 1}]}}),
            "a filter has exactly",
        ),
        (
            lambda api: api.create_access_key("n", options={"writes": {"autofill": {"x": float("nan")}}}),
            "not a finite number",
        ),
        (lambda api: api.get_access_key("../projects"), "that is no access key"),
        (lambda api: api.delete_access_key(""), "that is no access key"),
        (lambda api: api.add_access_key_permissions(KEY, [1]), "'1' is nothing that"),
        (lambda api: api.list_access_keys(name=5), "1 to 256 characters"),
    ],
)
def test_a_bad_access_key_is_refused_at_the_call(call: Ask, words: str, bench: Make) -> None:
    """With the reason; also by the async twin before anything is awaited. Nothing is sent."""
    it = bench()
    with pytest.raises(UsageError, match=words) as caught:
        it.ask(call)
    assert "nothing was sent" in str(caught.value)
    assert it.stage.requests == []


def test_every_documented_permission_is_taken(bench: Make) -> None:
    """One by one and together, in the order given."""
    it = bench(answer(ACCESS_KEY, 201))
    it.ask(lambda api: api.create_access_key("n", False, PERMISSIONS, dict.fromkeys(OPTION_GROUPS)))
    assert it.said[0][2] == {
        "name": "n",
        "is_active": False,
        "permitted": list(PERMISSIONS),
        "options": dict.fromkeys(OPTION_GROUPS),
    }


@pytest.mark.parametrize(
    "step",
    [
        OutcomeUnknownError("cut"),
        Response(status=404, body=b'{"message": "no key %s", "error_code": "X"}' % KEY.encode()),
    ],
    ids=["unanswered", "repeated-by-the-server"],
)
def test_no_error_and_no_repr_shows_the_access_key(step: Step, bench: Make) -> None:
    """It is part of the address, and masked wherever that is shown."""
    it = bench(step)
    with pytest.raises(KeenError) as caught:
        it.ask(lambda api: api.delete_access_key(KEY))
    (request,) = it.stage.requests
    shown = (
        f"{caught.value} {caught.value!r} {caught.value.hint} {request!r} {request.place} {request.shown_url}"
    )
    assert KEY not in shown
    assert request.url.endswith(f"/keys/{KEY}")


# ---- saved queries ------------------------------------------------------------------------


def test_an_update_sends_what_was_there_with_the_changes_in_it(bench: Make) -> None:
    """Dates, addresses and empty members stay out, 0 is a value, metadata are merged in depth, None clears."""
    it = bench(answer(SAVED), answer(SAVED))
    changes = {
        "refresh_rate": 14_400,
        "query": {"timeframe": "this_7_days", "target_property": "y", "event_collection": None},
        "metadata": {"tags": ["b"]},
    }
    it.ask(lambda api: api.saved_queries.update("q", changes))
    assert it.said == [
        ("GET", "/3.0/projects/P/queries/saved/q", None),
        (
            "PUT",
            "/3.0/projects/P/queries/saved/q",
            {
                "query_name": "q",
                "refresh_rate": 14_400,
                "query": {
                    "analysis_type": "percentile",
                    "target_property": "y",
                    "percentile": 0,
                    "timeframe": "this_7_days",
                },
                "metadata": {"display_name": "D", "tags": ["b"]},
            },
        ),
    ]


def test_a_definition_may_be_a_json_text(bench: Make) -> None:
    """The official client takes one."""
    it = bench(answer(SAVED, 201))
    it.ask(
        lambda api: api.saved_queries.create(
            "q", '{"query": {"analysis_type": "count", "event_collection": "c"}}'
        )
    )
    assert it.said[0][2] == {"query": {"analysis_type": "count", "event_collection": "c"}}


def test_a_query_may_be_given_as_a_value(bench: Make) -> None:
    """What is asked at once can be saved as it is, and made a dataset of."""
    analysis = Analysis(
        analysis_type="count", event_collection="c", timeframe="this_7_days", interval="daily"
    )
    funnel = Funnel(steps=[{"event_collection": "c", "actor_property": "x"}])
    expected = COUNT | {"timeframe": "this_7_days", "interval": "daily"}
    it = bench(
        answer(SAVED, 201), answer(SAVED, 201), answer(SAVED), answer(SAVED), answer(_dataset("d"), 201)
    )
    it.ask(lambda api: api.saved_queries.create("q", {"query": analysis}))
    it.ask(lambda api: api.saved_queries.create("q", {"query": funnel}))
    it.ask(lambda api: api.saved_queries.update("q", {"query": analysis}))
    it.ask(lambda api: api.cached_datasets.create("d", analysis, "x", "D"))
    queries = [body["query"] for _, _, body in it.said if body is not None]
    assert queries[0] == expected
    assert queries[1] == {"analysis_type": "funnel", **funnel.to_json()}
    assert queries[2].items() >= expected.items()
    assert queries[3] == expected


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda api: api.saved_queries.get("a b"), "no name of a saved query"),
        (lambda api: api.saved_queries.get(""), "no name of a saved query"),
        (lambda api: api.saved_queries.delete("x/../y"), "no name of a saved query"),
        (lambda api: api.saved_queries.create("q", "{no json"), "no JSON"),
        (lambda api: api.saved_queries.create("q", ["a"]), "is a dict, not list"),
        (lambda api: api.saved_queries.create("q", {}), "a query is a dict"),
        (lambda api: api.saved_queries.create("q", {"query": {"analysis_type": "mode"}}), "'mode'"),
        (
            lambda api: api.saved_queries.create("q", {"query": {"analysis_type": "count"}}),
            "no event_collection",
        ),
        (lambda api: api.saved_queries.create("q", {"query": COUNT | {"limit": 3}}), "limit needs order_by"),
        (
            lambda api: api.saved_queries.create("q", {"query": {"analysis_type": "funnel"}}),
            "the funnel has no steps",
        ),
        (lambda api: api.saved_queries.create("q", {"query": COUNT, "refresh_rate": 60}), "refresh_rate"),
        (lambda api: api.saved_queries.create("q", {"query": COUNT, "refresh_rate": True}), "refresh_rate"),
        (lambda api: api.saved_queries.create("q", SAVED), "created_date, run_information, urls itself"),
        (lambda api: api.saved_queries.update("q", {"refresh_rate": "daily"}), "refresh_rate"),
        (lambda api: api.saved_queries.update("q", {"query_name": "a b"}), "no name of a saved query"),
        (lambda api: api.saved_queries.update("q", {"query": None}), "query is not a dict"),
        (lambda api: api.saved_queries.update("q", {"metadata": {"x": object()}}), "JSON cannot hold"),
    ],
)
def test_a_bad_saved_query_is_refused_at_the_call(call: Ask, words: str, bench: Make) -> None:
    """With the reason, and nothing is sent."""
    it = bench()
    with pytest.raises(InvalidQueryError, match=words):
        it.ask(call)
    assert it.stage.requests == []


# ---- cached datasets ----------------------------------------------------------------------

DATASET = COUNT | {"timeframe": "this_30_days", "interval": "daily"}


def _dataset(name: str) -> dict[str, Any]:
    return {"dataset_name": name, "query": {}, "index_by": ["x"]}


def _page(*names: str, more: bool) -> Response:
    return answer(
        {"datasets": [_dataset(name) for name in names], "next_page_url": "u" if more else None, "count": 3}
    )


def test_pages_are_turned_to_the_last(bench: Make) -> None:
    """Each next page comes after the last name of the one before; every definition once."""
    it = bench(_page("a", "b", more=True), _page("c", more=False))
    found = it.ask(lambda api: api.cached_datasets.iterate(limit=2))
    assert [each["dataset_name"] for each in found] == ["a", "b", "c"]
    assert [request.params for request in it.stage.requests] == [
        (("limit", "2"),),
        (("limit", "2"), ("after_name", "b")),
    ]


@pytest.mark.parametrize("pages", [[_page("a", more=True), _page("a", more=True)]])
def test_a_server_that_goes_in_a_circle_is_not_followed(pages: list[Response], bench: Make) -> None:
    """The same page twice is an error, not an endless loop."""
    with pytest.raises(UnreadableResponseError, match="same page"):
        bench(*pages).ask(lambda api: api.cached_datasets.iterate())


def test_an_empty_page_is_the_last(bench: Make) -> None:
    """Whatever it says of a next one."""
    assert bench(_page(more=True)).ask(lambda api: api.cached_datasets.iterate()) == []


def test_one_page_is_given_as_it_is(bench: Make) -> None:
    """With the cursor, for who turns pages himself."""
    it = bench(_page("a", more=True))
    page = it.ask(lambda api: api.cached_datasets.all(limit=1, after_name="Z"))
    assert (page["count"], page["next_page_url"]) == (3, "u")
    assert it.stage.requests[0].params == (("limit", "1"), ("after_name", "Z"))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda api: api.cached_datasets.get(""), "dataset_name is empty"),
        (lambda api: api.cached_datasets.create("d", COUNT, "x", "D"), "needs an interval"),
        (
            lambda api: api.cached_datasets.create("d", DATASET | {"interval": "often"}, "x", "D"),
            "not an interval",
        ),
        (
            lambda api: api.cached_datasets.create("d", DATASET | {"analysis_type": "extraction"}, "x", "D"),
            "extraction",
        ),
        (lambda api: api.cached_datasets.create("d", DATASET, [], "D"), "index_by is not"),
        (
            lambda api: api.cached_datasets.create("d", DATASET | {"group_by": ["a", "x"]}, ["x"], "D"),
            "both in index_by and in group_by",
        ),
        (lambda api: api.cached_datasets.create("d", DATASET, "x", ""), "display_name is empty"),
        (lambda api: api.cached_datasets.results("d", "v", None), "need a timeframe"),
        (lambda api: api.cached_datasets.results("d", "v", "some_day"), "not a relative timeframe"),
        (lambda api: api.cached_datasets.results("d", None, "today"), "need index_by"),
        (lambda api: api.cached_datasets.all(limit=101), "limit is over 100"),
        (lambda api: api.cached_datasets.all(limit=0), "at least 1"),
    ],
)
def test_a_bad_dataset_is_refused_at_the_call(call: Ask, words: str, bench: Make) -> None:
    """With the reason, and nothing is sent."""
    it = bench()
    with pytest.raises(InvalidQueryError, match=words):
        it.ask(call)
    assert it.stage.requests == []


def test_a_dataset_is_sent_whole_and_asked_by_value(bench: Make) -> None:
    """Definition in the body; index values and timeframes in the query, as JSON where they are no texts."""
    it = bench(answer(_dataset("d"), 201), answer({"result": []}), answer({"result": []}))
    it.ask(lambda api: api.cached_datasets.create("d", DATASET, ("user.id", "x"), "D"))
    assert it.said == [
        (
            "PUT",
            "/3.0/projects/P/datasets/d",
            {"query": DATASET, "index_by": ["user.id", "x"], "display_name": "D"},
        )
    ]
    it.ask(lambda api: api.cached_datasets.results("d", 5, "this_2_days"))
    it.ask(lambda api: api.cached_datasets.results("d", {"user.id": "ö", "x": True}, "this_2_days"))
    assert [dict(request.params)["index_by"] for request in it.stage.requests[1:]] == [
        "5",
        '{"user.id":"ö","x":true}',
    ]


# ---- collections, projects ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["", None, "\ud800"])
def test_a_collection_needs_a_name(name: Any, bench: Make) -> None:
    """An empty one would address all of them."""
    it = bench()
    for call in (
        lambda api: api.get_collection(name),
        lambda api: api.delete_events(name),
        lambda api: api.update_events(name, {"x": 1}),
        lambda api: api.get_property(name, "x"),
    ):
        with pytest.raises(InvalidCollectionNameError):
            it.ask(call)
    assert it.stage.requests == []


@pytest.mark.parametrize("name", ["kc", "kc.h"])
def test_the_stamp_is_not_deleted(name: str, bench: Make) -> None:
    """Without it no event of the collection could be verified."""
    it = bench(DONE)
    with pytest.raises(InvalidQueryError, match="stamps that verification compares"):
        it.ask(lambda api: api.delete_property("c", name))
    assert it.stage.requests == []
    assert it.ask(lambda api: api.delete_property("c", "kcal")) is True


def test_the_key_within_a_project_is_masked(bench: Make) -> None:
    """Keen shows the master key there; printing the project does not."""
    project = {"id": "P", "name": "N", "api_key": "top-secret"}
    for call, value in (
        (lambda api: api.get_project(), project),
        (lambda api: api.get_projects(), [project]),
    ):
        found = bench(answer(value)).ask(call)
        first = found[0] if isinstance(found, list) else found
        assert "top-secret" not in repr(found)
        assert first["api_key"].reveal() == "top-secret"


def test_links_of_queries_come_as_they_are(bench: Make) -> None:
    """Kind to path."""
    links = {"count_url": "/3.0/projects/P/queries/count"}
    it = bench(answer(links))
    assert it.ask(lambda api: api.get_query_links()) == links
    assert it.said == [("GET", "/3.0/projects/P/queries", None)]


@pytest.mark.parametrize(
    ("call", "body"),
    [
        (lambda api: api.get_collection("c"), []),
        (lambda api: api.get_all_collections(), {}),
        (lambda api: api.list_access_keys(), [{"key": "K"}]),
        (lambda api: api.get_access_key(KEY), {"key": "K"}),
        (lambda api: api.saved_queries.all(), [5]),
        (lambda api: api.cached_datasets.all(), {"datasets": {}}),
        (lambda api: api.cached_datasets.results("d", "v", "today"), {}),
        (lambda api: api.get_project(), {"name": "N"}),
    ],
)
def test_an_answer_of_another_shape_is_unreadable(call: Ask, body: Any, bench: Make) -> None:
    """What has not the documented members is not handed out as if it had."""
    with pytest.raises(UnreadableResponseError):
        bench(answer(body)).ask(call)


def test_a_refused_read_is_the_servers_word(bench: Make) -> None:
    """A read changes nothing, and its error says nothing of changes."""
    refused = Response(status=401, body=b'{"message": "m", "error_code": "AdminOnlyEndpointError"}')
    with pytest.raises(AuthenticationError) as caught:
        bench(refused).ask(lambda api: api.list_access_keys())
    assert "nothing was" not in str(caught.value)

"""Saved and cached queries, and datasets: definitions that last, and results that are right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.unit.server.turned_clock import NOON_MS
from tests.unit.server.workbench import PROJECT, WIDE, Workbench

COUNT: Final[dict[str, Any]] = {"analysis_type": "count", "event_collection": "c", "timeframe": "this_7_days"}
DAILY: Final[dict[str, Any]] = {**COUNT, "interval": "daily"}
HOUR_MS: Final = 3_600_000


@pytest.fixture
def bench() -> Iterator[Workbench]:
    """A server in memory with two events."""
    made = Workbench()
    made.write({"who": "a", "n": 5}, {"who": "b", "n": "5"})
    yield made
    made.store.close()


def _put(bench: Workbench, name: str, **body: Any) -> Any:
    return bench.call("PUT", f"/queries/saved/{name}", json={"query": COUNT, **body})


def _result(bench: Workbench, name: str) -> Any:
    reply = bench.call("GET", f"/queries/saved/{name}/result", key="R")
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_a_saved_query_is_computed_on_each_read(bench: Workbench) -> None:
    """Without a refresh rate nothing is stored of its result."""
    assert _put(bench, "q").status_code == 201
    assert _result(bench, "q")["result"] == 2
    bench.write({})
    found = _result(bench, "q")
    assert found["result"] == 3
    assert found["run_information"] is None


def test_a_cached_result_is_served_until_its_time_is_over(bench: Workbench) -> None:
    """By the server's clock: a new event shows only then. The run information is of the run that is served."""
    assert _put(bench, "q", refresh_rate=14_400).json()["run_information"] is None
    first = _result(bench, "q")
    assert first["result"] == 2
    bench.write({})
    bench.clock.now_ms += 4 * HOUR_MS - 1
    assert _result(bench, "q") == first
    bench.clock.now_ms += 1
    again = _result(bench, "q")
    assert again["result"] == 3
    assert again["run_information"]["last_run_date"] == "2026-10-01T16:00:00.000Z"
    assert again["run_information"]["events_scanned"] == 3
    assert bench.call("GET", "/queries/saved/q").json()["run_information"] == again["run_information"]


def test_a_clock_that_is_set_back_does_not_keep_a_result_for_ever(bench: Workbench) -> None:
    """A result from the future is no fresher than none."""
    _put(bench, "q", refresh_rate=3_600)
    _result(bench, "q")
    bench.write({})
    bench.clock.now_ms -= HOUR_MS
    assert _result(bench, "q")["result"] == 3


def test_a_replaced_query_does_not_serve_the_result_of_the_old_one(bench: Workbench) -> None:
    """Nor does one that was deleted and made again."""
    _put(bench, "q", refresh_rate=14_400)
    assert _result(bench, "q")["result"] == 2
    unique = {**COUNT, "analysis_type": "sum", "target_property": "n"}
    assert _put(bench, "q", refresh_rate=14_400, query=unique).status_code == 200
    assert _result(bench, "q")["result"] == 5
    assert bench.call("DELETE", "/queries/saved/q").status_code == 204
    _put(bench, "q", refresh_rate=14_400)
    assert _result(bench, "q")["result"] == 2


def test_an_update_replaces_everything_but_the_date_of_creation(bench: Workbench) -> None:
    """Members that are absent are cleared; those that a reply adds are ignored when they come back."""
    first = _put(bench, "q", refresh_rate=14_400, metadata={"display_name": "Q"}).json()
    bench.clock.now_ms += 1_000
    second = bench.call("PUT", "/queries/saved/q", json={**first, "refresh_rate": 0, "metadata": None}).json()
    assert second["metadata"] == {}
    assert second["refresh_rate"] == 0
    assert second["query"] == first["query"]
    assert second["created_date"] == first["created_date"]
    assert second["last_modified_date"] == "2026-10-01T12:00:01.000Z"


def test_another_name_in_the_body_renames(bench: Workbench) -> None:
    """The old name is gone; a name that is taken is refused, and nothing changes."""
    first = _put(bench, "old").json()
    renamed = _put(bench, "old", query_name="new")
    assert renamed.status_code == 200
    assert renamed.json()["created_date"] == first["created_date"]
    assert renamed.json()["urls"]["cached_query_url"] == f"/3.0/projects/{PROJECT.id}/queries/saved/new"
    assert bench.refused("GET", "/queries/saved/old") == (404, "ResourceNotFoundError")
    _put(bench, "third")
    taken = bench.refused("PUT", "/queries/saved/third", json={"query": COUNT, "query_name": "new"})
    assert taken[0] == 400
    assert [item["query_name"] for item in bench.call("GET", "/queries/saved").json()] == ["new", "third"]


def test_a_funnel_and_a_multi_analysis_have_their_own_shapes(bench: Workbench) -> None:
    """Of a funnel the whole body, of a multi-analysis its labels."""
    step = {"event_collection": "c", "actor_property": "who", "timeframe": "this_7_days", "with_actors": True}
    _put(bench, "f", query={"analysis_type": "funnel", "steps": [step]}, refresh_rate=3_600)
    assert _result(bench, "f")["result"] == {"result": [2], "steps": [step], "actors": [["a", "b"]]}
    analyses = {"n": {"analysis_type": "count"}}
    _put(bench, "m", query={**COUNT, "analysis_type": "multi_analysis", "analyses": analyses})
    assert _result(bench, "m")["result"] == {"n": 2}


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"query": {"event_collection": "c", "timeframe": "today"}},
        {"query": {**COUNT, "analysis_type": "guess"}},
        {"query": {**COUNT, "analysis_type": ["count"]}},
        {"query": {**COUNT, "timeframe": "someday"}},
        {"query": COUNT, "refresh_rate": 3_599},
        {"query": COUNT, "refresh_rate": 172_801},
        {"query": COUNT, "refresh_rate": True},
        {"query": COUNT, "refresh_rate": "14400"},
        {"query": COUNT, "refresh_rate": 4_000.0},
        {"query": {**COUNT, "timeframe": WIDE}, "refresh_rate": 14_400},
        {"query": COUNT, "query_name": "with space"},
        {"query": COUNT, "metadata": "text"},
    ],
)
def test_what_could_not_be_run_is_not_saved(bench: Workbench, body: Any) -> None:
    """400, and there is no such query then."""
    assert bench.refused("PUT", "/queries/saved/q", json=body)[0] == 400
    assert bench.refused("GET", "/queries/saved/q")[0] == 404


@pytest.mark.parametrize("name", ["a%20b", "a.b", "%C3%A9", "a" * 257])
def test_names_are_letters_digits_underscores_and_hyphens(bench: Workbench, name: str) -> None:
    """Also for datasets; what begins with a digit or a hyphen is fine."""
    assert _put(bench, name).status_code == 400
    assert _dataset(bench, name).status_code == 400
    assert _put(bench, "-0_Z").status_code == 201


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/result"), ("DELETE", "")])
def test_an_unknown_query_is_a_404(bench: Workbench, method: str, path: str) -> None:
    """Whatever is asked of it."""
    assert bench.refused(method, f"/queries/saved/none{path}") == (404, "ResourceNotFoundError")


def test_a_result_over_a_missing_collection_is_that_querys_404(bench: Workbench) -> None:
    """The definition may come first; its result cannot."""
    _put(bench, "q", query={**COUNT, "event_collection": "later"}, refresh_rate=3_600)
    assert bench.refused("GET", "/queries/saved/q/result", key="R")[0] == 404
    bench.write({}, collection="later")
    assert _result(bench, "q")["result"] == 1


def _dataset(bench: Workbench, name: str = "d", **body: Any) -> Any:
    query = {**COUNT, "timeframe": "this_2_days", "interval": "daily"}
    return bench.call("PUT", f"/datasets/{name}", json={"query": query, "index_by": "who", **body})


def _results(bench: Workbench, name: str = "d", **parameters: str) -> list[Any]:
    reply = bench.call("GET", f"/datasets/{name}/results", key="R", params=parameters)
    assert reply.status_code == 200, reply.text
    return [part["value"] for part in reply.json()["result"]]


def test_a_dataset_is_its_query_for_one_index_value(bench: Workbench) -> None:
    """The value bare, as a JSON text, in an object or in a list; the timeframe its own or the one that is asked."""
    assert _dataset(bench).status_code == 201
    for value in ("a", '"a"', '{"who":"a"}', '["a"]'):
        assert _results(bench, index_by=value) == [0, 1]
    assert _results(bench, index_by="nobody") == [0, 0]
    assert _results(bench, index_by="a", timeframe="this_1_days") == [1]
    assert _results(bench, index_by="a", timeframe='{"start":"2026-09-30","end":"2026-10-01"}') == [0]


def test_a_bare_number_means_the_number_or_its_text(bench: Workbench) -> None:
    """In a query string the two look alike; in JSON they do not."""
    _dataset(bench, index_by=["n"])
    assert _results(bench, index_by="5") == [0, 2]
    assert _results(bench, index_by='{"n":5}') == [0, 1]
    assert _results(bench, index_by='"5"') == [0, 1]


def test_several_indexes_are_given_by_name_or_in_order(bench: Workbench) -> None:
    """All of them, and nothing else."""
    _dataset(bench, index_by=["who", "n"])
    assert _results(bench, index_by='{"n":5,"who":"a"}') == [0, 1]
    assert _results(bench, index_by='["a",5]') == [0, 1]
    for wrong in ("a", '["a"]', '{"who":"a"}', '{"who":"a","n":5,"x":1}', ""):
        assert bench.refused("GET", "/datasets/d/results", key="R", params={"index_by": wrong})[0] == 400


def test_results_tell_what_was_asked(bench: Workbench) -> None:
    """The metadata hold the definition and the request."""
    definition = _dataset(bench).json()
    reply = bench.call("GET", "/datasets/d/results", params={"index_by": "a", "timeframe": "this_1_days"})
    request = {"index_by": {"who": "a"}, "timeframe": "this_1_days"}
    assert reply.json()["metadata"] == {"dataset": definition, "request": request}


def test_a_definition_shows_what_was_filled_in(bench: Workbench) -> None:
    """Lists as lists, and each analysis with both of its parameters."""
    shown = _dataset(bench, query={**COUNT, "interval": "daily", "group_by": "n"}).json()
    assert (shown["index_by"], shown["query"]["group_by"], shown["query"]["filters"]) == (["who"], ["n"], [])
    multi = {
        **COUNT,
        "analysis_type": "multi_analysis",
        "interval": "daily",
        "analyses": {"x": {"analysis_type": "count"}},
    }
    shown = _dataset(bench, "e", query=multi).json()
    assert shown["query"]["analyses"] == {
        "x": {"analysis_type": "count", "target_property": None, "percentile": None}
    }
    assert _results(bench, "e", index_by="a")[-1] == {"x": 1}


def test_a_dataset_cannot_be_changed(bench: Workbench) -> None:
    """It can be deleted and made again."""
    _dataset(bench)
    assert _dataset(bench, index_by="n").status_code == 400
    assert bench.call("GET", "/datasets/d").json()["index_by"] == ["who"]
    assert bench.call("DELETE", "/datasets/d").status_code == 204
    assert _dataset(bench, index_by="n").status_code == 201


def test_datasets_are_listed_by_name_in_pages(bench: Workbench) -> None:
    """Following ``next_page_url`` to its end gives each exactly once."""
    for name in ("c", "a", "e", "b", "d"):
        _dataset(bench, name)
    url = "/datasets?limit=2"
    seen: list[str] = []
    while url:
        page = bench.call("GET", url).json()
        assert page["count"] == 5
        seen += [item["dataset_name"] for item in page["datasets"]]
        url = (page["next_page_url"] or "").removeprefix(f"/3.0/projects/{PROJECT.id}")
    assert seen == ["a", "b", "c", "d", "e"]
    for wrong in ("0", "101", "x"):
        assert bench.refused("GET", f"/datasets?limit={wrong}")[0] == 400


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"index_by": "who"},
        {"query": {**COUNT, "interval": "daily"}},
        {"query": COUNT, "index_by": "who"},
        {"query": {**COUNT, "interval": "daily", "group_by": "who"}, "index_by": "who"},
        {"query": {**COUNT, "interval": "daily", "analysis_type": "extraction"}, "index_by": "who"},
        {"query": {**COUNT, "interval": "daily", "analysis_type": "funnel"}, "index_by": "who"},
        {"query": {**COUNT, "interval": "often"}, "index_by": "who"},
        {"query": DAILY, "index_by": [7]},
    ],
)
def test_a_malformed_dataset_is_refused(bench: Workbench, body: Any) -> None:
    """With 400, and there is none then."""
    assert bench.refused("PUT", "/datasets/d", json=body)[0] == 400
    assert bench.refused("GET", "/datasets/d") == (404, "ResourceNotFoundError")


def test_definitions_and_cached_results_survive_a_crash(tmp_path: Path) -> None:
    """What was answered 2xx is there afterwards, what was deleted is not."""
    bench = Workbench(tmp_path / "data")
    bench.write({"who": "a"})
    _put(bench, "q", refresh_rate=14_400)
    _put(bench, "gone")
    _dataset(bench)
    before = _result(bench, "q")
    bench.call("DELETE", "/queries/saved/gone")
    bench.write({"who": "a"})
    bench.restart()
    assert bench.clock.now_ms == NOON_MS
    assert _result(bench, "q") == before
    assert _results(bench, index_by="a") == [0, 2]
    assert [item["query_name"] for item in bench.call("GET", "/queries/saved").json()] == ["q"]
    assert (tmp_path / "data" / "saved_queries.json").stat().st_mode & 0o077 == 0
    bench.store.close()


def _key(bench: Workbench, permission: str, options: dict[str, Any]) -> str:
    body = {"name": "restricted", "permitted": [permission], "options": {permission: options}}
    key: str = bench.call("POST", "/keys", json=body).json()["key"]
    return key


def test_a_restricted_key_reads_no_result_that_was_stored_for_others(bench: Workbench) -> None:
    """Its filters are added to the query, which is computed for it alone."""
    _put(bench, "q", refresh_rate=14_400)
    assert _result(bench, "q")["result"] == 2
    who = {"property_name": "who", "operator": "eq", "property_value": "a"}
    key = _key(bench, "saved_queries", {"filters": [who], "blocked": ["secret"]})
    assert bench.call("GET", "/queries/saved/q/result", key=key).json()["result"] == 1
    assert _result(bench, "q")["result"] == 2
    _put(bench, "secret")
    assert bench.refused("GET", "/queries/saved/secret/result", key=key) == (403, "RequestForbiddenError")


def test_a_key_for_cached_queries_reads_no_uncached_one(bench: Workbench) -> None:
    """A cached query is a saved one, and not the other way round."""
    _put(bench, "cached", refresh_rate=14_400)
    _put(bench, "plain")
    key = _key(bench, "cached_queries", {})
    assert bench.call("GET", "/queries/saved/cached/result", key=key).json()["result"] == 2
    assert bench.refused("GET", "/queries/saved/plain/result", key=key) == (404, "ResourceNotFoundError")
    saved = _key(bench, "saved_queries", {})
    for name in ("cached", "plain"):
        assert bench.call("GET", f"/queries/saved/{name}/result", key=saved).status_code == 200


@pytest.mark.parametrize("blocking", ["saved_queries", "cached_queries"])
@pytest.mark.parametrize(
    "permitted", [["saved_queries"], ["cached_queries"], ["saved_queries", "cached_queries"]]
)
def test_a_name_that_is_blocked_is_opened_by_no_permission(
    bench: Workbench, blocking: str, permitted: list[str]
) -> None:
    """A cached query is read under either permission, and what is blocked under one stays blocked under the other."""
    for name in ("secret", "open"):
        _put(bench, name, refresh_rate=14_400)
    body = {"name": "restricted", "permitted": permitted, "options": {blocking: {"blocked": ["secret"]}}}
    key = bench.call("POST", "/keys", json=body).json()["key"]
    assert bench.refused("GET", "/queries/saved/secret/result", key=key) == (403, "RequestForbiddenError")
    assert bench.call("GET", "/queries/saved/open/result", key=key).json()["result"] == 2


@pytest.mark.parametrize(
    ("permission", "options", "refusal"),
    [
        ("saved_queries", {"allowed": ["mine"]}, (403, "RequestForbiddenError")),
        ("saved_queries", {"blocked": ["q"]}, (403, "RequestForbiddenError")),
        ("cached_queries", {"allowed": ["mine"]}, (403, "RequestForbiddenError")),
        ("cached_queries", {"blocked": ["q"]}, (403, "RequestForbiddenError")),
        ("cached_queries", {}, (404, "ResourceNotFoundError")),
        ("queries", {}, (403, "RequestForbiddenError")),
    ],
)
def test_a_key_learns_nothing_of_a_query_that_it_may_not_read(
    bench: Workbench, permission: str, options: dict[str, Any], refusal: tuple[int, str]
) -> None:
    """The refusal is the same, word for word, whether a saved query of that name exists or not."""
    key = _key(bench, permission, options)
    absent = bench.call("GET", "/queries/saved/q/result", key=key)
    _put(bench, "q")
    present = bench.call("GET", "/queries/saved/q/result", key=key)
    assert (present.status_code, present.json()["error_code"]) == refusal
    assert present.content == absent.content


def test_a_key_for_some_index_values_reads_just_these(bench: Workbench) -> None:
    """A bare number is then a number, and not its text too."""
    _dataset(bench, index_by=["n"])
    key = _key(bench, "datasets", {"allowed": {"d": {"index_by": {"n": [5]}}}})
    reply = bench.call("GET", "/datasets/d/results", key=key, params={"index_by": "5"})
    assert [part["value"] for part in reply.json()["result"]] == [0, 1]
    text = bench.refused("GET", "/datasets/d/results", key=key, params={"index_by": '"5"'})
    assert text == (403, "RequestForbiddenError")

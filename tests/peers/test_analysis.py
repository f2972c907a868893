"""npm keen-analysis 3.7.0, unchanged: in node over HTTPS, and in Chromium from another origin.

The same calls in both. What is answered is held against plain Python over the
events that were sent.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from tests.contract.reckoning import TIMEFRAME, Reckoning, orders
from tests.peers.conftest import RunNode
from tests.peers.served import Served

pytestmark = pytest.mark.peers

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parents[1] / "docs" / "reference" / "local_server.md"
ORDERS: Final = orders(seed=31, count=260)
WITHIN: Final = Reckoning(ORDERS).within(TIMEFRAME["start"], TIMEFRAME["end"])
BOOKS: Final = [{"propertyName": "item", "operator": "eq", "propertyValue": "book"}]
BOOKS_SOLD: Final = WITHIN.where(lambda event: event.get("item") == "book")
#: What every query of the orders has, in the client's spelling; it writes it as the API does.
OVER: Final = {"eventCollection": "orders", "timeframe": TIMEFRAME}

Outcomes = list[dict[str, Any]]


@attrs.frozen
class Analyst:
    """Makes calls with the client in one of its two forms."""

    form: str
    make: Callable[[dict[str, Any], list[list[Any]]], Outcomes]

    def calls(self, *calls: list[Any], **config: Any) -> Outcomes:
        """What came of each call; *config* stands above the client's usual configuration."""
        return self.make(config, list(calls))

    def query(self, *arguments: Any) -> Any:
        """The ``result`` of one query."""
        (outcome,) = self.calls(["query", *arguments])
        assert "resolved" in outcome, outcome
        return outcome["resolved"]["result"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with a certificate and its key, made by the command that the documentation shows."""
    (command,) = re.findall(r"^\$ (openssl .*)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(shlex.split(command), cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module", params=["node", "browser"])
def served(request: pytest.FixtureRequest, certificate: Path) -> Iterator[Served]:
    """A server with the orders in it: over HTTPS for node, where the client knows nothing else."""
    files = ("--tls-cert", str(certificate / "cert.pem"), "--tls-key", str(certificate / "key.pem"))
    options, trusted = (files, certificate / "cert.pem") if request.param == "node" else ((), None)
    with Served(*options, trusted=trusted) as server:
        server.write({"orders": ORDERS})
        yield server


@pytest.fixture
def analyst(request: pytest.FixtureRequest, served: Served, certificate: Path) -> Analyst:
    """The client with the read key and the master key, in node or in a tab of the site."""
    is_secure = served.url.startswith("https:")
    usual = {
        "projectId": served.ready["project_id"],
        "readKey": served.ready["read_key"],
        "masterKey": served.ready["master_key"],
        "protocol": "https" if is_secure else "http",
        "host": "127.0.0.1" if is_secure else f"127.0.0.1:{served.port}",
    }
    if is_secure:
        run_node: RunNode = request.getfixturevalue("run_node")

        def in_node(config: dict[str, Any], calls: list[list[Any]]) -> Any:
            given = {"config": {**usual, **config}, "port": served.port, "calls": calls}
            return run_node("analysis.js", given, NODE_EXTRA_CA_CERTS=str(certificate / "cert.pem"))

        return Analyst("node", in_node)

    page = request.getfixturevalue("page")
    page.goto(f"{request.getfixturevalue('site')}/keen-analysis")
    page.add_script_tag(path=HERE / "analysis.js")

    def in_browser(config: dict[str, Any], calls: list[list[Any]]) -> Any:
        program = "([config, calls]) => perform(new KeenAnalysis(config), calls)"
        return page.evaluate(program, [{**usual, **config}, calls])

    return Analyst("browser", in_browser)


def test_each_analysis_answers_as_plain_python_does(analyst: Analyst) -> None:
    """Every type, asked in the form with one object and in the older one with two arguments."""
    asked: list[tuple[str, dict[str, Any], Any]] = [("count", {}, WITHIN.answer("count"))]
    for kind in ("sum", "minimum", "maximum", "average", "median", "standard_deviation"):
        expected = pytest.approx(WITHIN.answer(kind, "price_cents"), rel=1e-9)
        asked.append((kind, {"targetProperty": "price_cents"}, expected))
    percentile = {"targetProperty": "user.age", "percentile": 90}
    asked.append(("percentile", percentile, WITHIN.answer("percentile", "user.age", 90)))
    asked.append(("count_unique", {"targetProperty": "user.id"}, WITHIN.answer("count_unique", "user.id")))
    asked.append(("sum", {"targetProperty": "number", "filters": BOOKS}, BOOKS_SOLD.answer("sum", "number")))
    outcomes = analyst.calls(
        *(["query", {"analysisType": kind, **OVER, **given}] for kind, given, _ in asked),
        *(["query", kind, {**OVER, **given}] for kind, given, _ in asked),
    )
    assert [outcome["resolved"]["result"] for outcome in outcomes] == [expected for *_, expected in asked] * 2
    unique = analyst.query("select_unique", {**OVER, "targetProperty": "user.id"})
    assert sorted(unique) == WITHIN.answer("select_unique", "user.id")


def test_groups_and_intervals_come_in_their_shapes(analyst: Analyst) -> None:
    """By group, by day and by both; ordered and limited."""
    rows = analyst.query("sum", {**OVER, "targetProperty": "number", "groupBy": ["item", "paid"]})
    assert {(row["item"], row["paid"]): row["result"] for row in rows} == {
        key: group.answer("sum", "number") for key, group in WITHIN.by("item", "paid").items()
    }
    days = analyst.query("count", {**OVER, "interval": "daily", "timezone": "UTC"})
    assert [(day["timeframe"], day["value"]) for day in days] == [
        (timeframe, day.answer("count")) for timeframe, day in WITHIN.daily()
    ]
    days = analyst.query("count", {**OVER, "interval": "daily", "timezone": "UTC", "groupBy": "item"})
    for part, (_, day) in zip(days, WITHIN.daily(), strict=True):
        assert {row["item"]: row["result"] for row in part["value"]} == {
            item: day.by("item").get((item,), Reckoning([])).answer("count") for (item,) in WITHIN.by("item")
        }
    order = {"propertyName": "result", "direction": "DESC"}
    rows = analyst.query("count", {**OVER, "groupBy": "user.id", "orderBy": order, "limit": 3})
    counts = sorted((group.answer("count") for group in WITHIN.by("user.id").values()), reverse=True)
    assert [row["result"] for row in rows] == counts[:3]


def test_without_a_timezone_the_machines_own_is_meant(analyst: Analyst, served: Served) -> None:
    """The client sends its offset from UTC: days end where they do on the machine that asks."""
    (outcome,) = analyst.calls(["query", {"analysisType": "count", **OVER, "interval": "daily"}])
    days = outcome["resolved"]["result"]
    hours = 0 if analyst.form == "node" else 5  # the tab's clock is New York's
    assert [day["value"] for day in days] == [
        WITHIN.within(f"2024-01-{first}", f"2024-01-{last}").answer("count")
        for first, last in (
            [("01T00", "02T00"), ("02T00", "03T00"), ("03T00", "04T00")]
            if hours == 0
            else [("01T00", "01T05"), ("01T05", "02T05"), ("02T05", "03T05"), ("03T05", "04T00")]
        )
    ]


def test_a_multi_analysis_names_its_values(analyst: Analyst) -> None:
    """The labels come back, as the client spells them."""
    analyses = {
        "how_many": {"analysisType": "count"},
        "numbers": {"analysisType": "sum", "targetProperty": "number"},
    }
    expected = {"how_many": WITHIN.answer("count"), "numbers": WITHIN.answer("sum", "number")}
    assert analyst.query("multi_analysis", {**OVER, "analyses": analyses}) == expected


def test_an_extraction_gives_the_events(analyst: Analyst) -> None:
    """Newest first, as many as asked for, only the properties that were named."""
    rows = analyst.query("extraction", {**OVER, "latest": 10, "propertyNames": ["number", "keen.timestamp"]})
    times = [row["keen"]["timestamp"] for row in rows]
    newest = sorted((event["keen"]["timestamp"] for event in WITHIN.events), reverse=True)[:10]
    assert times == newest
    assert all(ORDERS[row["number"]]["keen"]["timestamp"] == row["keen"]["timestamp"] for row in rows)


def test_a_funnel_counts_the_actors_that_are_left(analyst: Analyst) -> None:
    """Who bought a book, and of them who paid something."""
    step = {"eventCollection": "orders", "actorProperty": "user.id", "timeframe": TIMEFRAME}
    paid = [{"propertyName": "paid", "operator": "eq", "propertyValue": True}]
    steps = [{**step, "filters": BOOKS, "withActors": True}, {**step, "filters": paid}]
    (outcome,) = analyst.calls(["query", {"analysisType": "funnel", "steps": steps}])
    bought = BOOKS_SOLD.actors("user.id")
    payers = WITHIN.where(lambda event: event["paid"]).actors("user.id")
    assert outcome["resolved"]["result"] == [len(bought), len(bought & payers)]
    assert set(outcome["resolved"]["actors"][0]) == bought


def test_saved_queries_are_made_read_and_deleted(analyst: Analyst, served: Served) -> None:
    """Put with the master key, read by name in each of the client's ways, listed, deleted; then unknown."""
    master = {"api_key": served.ready["master_key"]}
    query = {"analysisType": "count", **OVER}
    params = {"refreshRate": 0, "query": query, "metadata": {"displayName": "Orders"}}
    address = {"url": {"$url": ["queries", "saved", "all-orders"]}, **master}
    made, *results, several, listed, deleted, gone = analyst.calls(
        ["put", {**address, "params": params}],
        ["query", {"savedQueryName": "all-orders"}],
        ["query", "saved", "all-orders"],
        ["run", "all-orders"],
        ["run", ["all-orders", "all-orders"]],
        ["get", {"url": {"$url": ["queries", "saved"]}, **master}],
        ["del", address],
        ["query", {"savedQueryName": "all-orders"}],
    )
    assert made["resolved"]["query_name"] == "all-orders"
    expected = WITHIN.answer("count")
    assert [result["resolved"]["result"] for result in results] == [expected] * 3
    assert [result["result"] for result in several["resolved"]] == [expected] * 2
    assert "all-orders" in str(listed["resolved"])
    assert deleted == {"resolved": {}}
    assert gone == {"rejected": "ResourceNotFoundError"}


def test_datasets_answer_for_one_index_value(analyst: Analyst, served: Served) -> None:
    """Put with the master key, read in the newer and in the older form, deleted."""
    master = {"api_key": served.ready["master_key"]}
    query = {"analysisType": "count", **OVER, "interval": "daily"}
    address = {"url": {"$url": ["datasets", "by-user"]}, **master}
    params = {"displayName": "By user", "query": query, "indexBy": "user.id"}
    user = min(WITHIN.actors("user.id"))
    asked = {"indexBy": user, "timeframe": TIMEFRAME}
    made, newer, older, deleted = analyst.calls(
        ["put", {**address, "params": params}],
        ["query", {"datasetName": "by-user", **asked}],
        ["query", "dataset", {"name": "by-user", **asked}],
        ["del", address],
    )
    assert made["resolved"]["dataset_name"] == "by-user"
    own = WITHIN.by("user.id")[user,]
    expected = [(timeframe, day.answer("count")) for timeframe, day in own.daily()]
    for told in (newer, older):
        days = told["resolved"]["result"]
        assert [(day["timeframe"], day["value"]) for day in days] == expected
    assert deleted == {"resolved": {}}


def test_events_are_deleted_by_filter_and_timeframe(analyst: Analyst, served: Served) -> None:
    """DELETE with the client's quoted JSON in its address: exactly the matching events go, then the collection."""
    served.write({"doomed": ORDERS})
    address = {"url": {"$url": ["events", "doomed"]}, "api_key": served.ready["master_key"]}
    (deleted,) = analyst.calls(["del", {**address, "filters": BOOKS, "timeframe": TIMEFRAME, "timezone": 0}])
    assert deleted == {"resolved": {}}
    gone = {event["number"] for event in BOOKS_SOLD.events}
    assert {event["number"] for event in served.stored("doomed")} == {
        event["number"] for event in ORDERS
    } - gone
    (deleted,) = analyst.calls(["del", address])
    assert deleted == {"resolved": {}}
    assert "doomed" not in served.collections()


def test_what_the_server_refuses_is_an_error_with_its_name(analyst: Analyst) -> None:
    """An unknown collection, a query without what it needs, a key that is none, and one that may not."""
    refused = analyst.calls(
        ["query", {"analysisType": "count", "eventCollection": "nowhere", "timeframe": "today"}],
        ["query", {"analysisType": "sum", **OVER}],
        ["get", {"url": {"$url": ["queries", "saved"]}, "api_key": "nobody"}],
    )
    assert [outcome["rejected"] for outcome in refused] == [
        "ResourceNotFoundError",
        "MissingParameterError",
        "InvalidApiKeyError",
    ]
    (stranger,) = analyst.calls(["query", {"analysisType": "count", **OVER}], readKey="nobody")
    assert stranger == {"rejected": "InvalidApiKeyError"}

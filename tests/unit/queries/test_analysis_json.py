"""Analyses: the official client's parameters become the request's JSON, or are refused here."""

from __future__ import annotations

import inspect
from typing import Any

import keen.client
import pytest

from keen_client.errors import InvalidQueryError
from keen_client.queries import Analysis, AnalysisMethods, Filter, Query, Timeframe
from keen_client.queries.analysis import ANALYSIS_TYPES

DAY = {"start": "2026-10-01T00:00:00.000Z", "end": "2026-10-02T00:00:00.000Z"}
ENTRY = {"analysis_type": "count"}


class Recorder(AnalysisMethods[Any]):
    """Hands back the analysis that a method made."""

    def query(self, analysis: Query, *, all_keys: bool = False) -> Query:
        return analysis


METHODS = sorted((ANALYSIS_TYPES | {"funnel"}) - {"standard_deviation"})


@pytest.mark.parametrize("name", METHODS)
def test_signature_is_the_official_clients(name: str) -> None:
    """Names and order of the parameters are those of keen 0.7.0, so positional calls move over too.

    What is new can be given by keyword only.
    """
    ours = {
        each: parameter
        for each, parameter in inspect.signature(getattr(AnalysisMethods, name)).parameters.items()
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY
    }
    theirs = inspect.signature(getattr(keen.client.KeenClient, name)).parameters
    assert list(ours) == list(theirs)
    assert [ours[each].default for each in ours] == [theirs[each].default for each in theirs]


def test_standard_deviation_is_like_the_others() -> None:
    """The one analysis that keen 0.7.0 lacks takes what sum takes."""
    names = list(inspect.signature(AnalysisMethods.standard_deviation).parameters)
    assert names == list(inspect.signature(AnalysisMethods.sum).parameters)


def test_every_parameter_reaches_the_body() -> None:
    """What is given is sent, under Keen's name."""
    analysis = Recorder().percentile(
        "purchases",
        "price",
        "99.5",
        timeframe=Timeframe.between(DAY["start"], DAY["end"]),
        timezone=-28_800,
        interval="hourly",
        filters=[Filter("item", "eq", "book")],
        group_by=["item", {"property_name": "score", "buckets": {"size": 10}}],
        order_by={"property_name": "result", "direction": "DESC"},
        max_age=300,
        limit=5,
    )
    assert analysis.to_json() == {
        "event_collection": "purchases",
        "target_property": "price",
        "percentile": 99.5,
        "timeframe": DAY,
        "timezone": -28_800,
        "interval": "hourly",
        "filters": [{"property_name": "item", "operator": "eq", "property_value": "book"}],
        "group_by": ["item", {"property_name": "score", "buckets": {"size": 10}}],
        "order_by": [{"property_name": "result", "direction": "DESC"}],
        "max_age": 300,
        "limit": 5,
    }


def test_what_is_not_given_is_not_sent() -> None:
    """Empty lists count as not given, as in the official client."""
    assert Recorder().count("c", filters=[], group_by=[], order_by=[]).to_json() == {"event_collection": "c"}


def test_extraction_and_multi_analysis_have_their_own_parameters() -> None:
    """The first has latest and property_names, the second labels."""
    assert Recorder().extraction("c", "today", latest=5, property_names="a").to_json() == {
        "event_collection": "c",
        "timeframe": "today",
        "latest": 5,
        "property_names": ["a"],
    }
    analyses: dict[str, dict[str, Any]] = {
        "n": ENTRY,
        "p": {"analysis_type": "percentile", "target_property": "x", "percentile": 90},
    }
    assert Recorder().multi_analysis("c", analyses, "today").to_json() == {
        "event_collection": "c",
        "timeframe": "today",
        "analyses": analyses,
    }


def test_analysis_keeps_nothing_of_the_callers() -> None:
    """Values changed later do not change the query."""
    analyses = {"n": dict(ENTRY)}
    groups = ["a"]
    analysis = Recorder().multi_analysis("c", analyses, group_by=groups)
    analyses["n"]["analysis_type"] = "sum"
    groups.append("b")
    body = analysis.to_json()
    assert (body["analyses"], body["group_by"]) == ({"n": ENTRY}, ["a"])
    body["analyses"]["n"]["analysis_type"] = "sum"
    assert analysis.to_json()["analyses"] == {"n": ENTRY}


ORDER = {"property_name": "result"}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"event_collection": ""}, "event_collection is empty"),
        ({"event_collection": 7}, "event_collection is int"),
        ({"analysis_type": "mode"}, "'mode' is not an analysis"),
        ({"analysis_type": "sum"}, "sum needs a target_property"),
        ({"analysis_type": "sum", "target_property": ""}, "target_property is empty"),
        ({"target_property": "x"}, "count takes no target_property"),
        ({"analysis_type": "percentile", "target_property": "x"}, "needs to know which percentile"),
        ({"analysis_type": "percentile", "target_property": "x", "percentile": 101}, "from 0 to 100"),
        ({"analysis_type": "percentile", "target_property": "x", "percentile": 9.123}, "two decimals"),
        ({"analysis_type": "percentile", "target_property": "x", "percentile": "NaN"}, "from 0 to 100"),
        ({"analysis_type": "percentile", "target_property": "x", "percentile": True}, "from 0 to 100"),
        ({"analysis_type": "sum", "target_property": "x", "percentile": 5}, "sum takes no percentile"),
        ({"limit": 5}, "limit needs order_by"),
        ({"limit": 0, "group_by": "a", "order_by": ORDER}, "limit is not an integer of at least 1"),
        ({"limit": True, "group_by": "a", "order_by": ORDER}, "limit is not an integer"),
        ({"order_by": ORDER}, "order_by needs group_by"),
        ({"order_by": {**ORDER, "direction": "down"}, "group_by": "a"}, "not ASC or DESC"),
        ({"order_by": {"direction": "ASC"}, "group_by": "a"}, "property_name"),
        ({"order_by": {**ORDER, "extra": 1}, "group_by": "a"}, "order_by is not a dict"),
        ({"order_by": "result", "group_by": "a"}, "order_by is not a dict"),
        ({"group_by": ""}, "group_by is empty"),
        ({"group_by": [{"buckets": {}}]}, "property_name"),
        ({"max_age": "5"}, "max_age is not an integer"),
        ({"timezone": 1.5}, "timezone is not"),
        ({"timezone": True}, "timezone is not"),
        ({"timezone": ""}, "timezone is empty"),
        ({"latest": 5}, "count takes no latest"),
        ({"analysis_type": "extraction", "interval": "daily"}, "extraction takes no interval"),
        ({"analysis_type": "extraction", "property_names": 5}, "property_names"),
        ({"analysis_type": "extraction", "latest": 0}, "latest is not an integer of at least 1"),
        ({"analyses": {"n": ENTRY}}, "analyses are for multi_analysis"),
        ({"analysis_type": "multi_analysis"}, "which needs them"),
        ({"analysis_type": "multi_analysis", "analyses": {}}, "not a dict of label"),
        ({"analysis_type": "multi_analysis", "analyses": {"": ENTRY}}, "label of analyses is empty"),
        (
            {"analysis_type": "multi_analysis", "analyses": {"x": {"analysis_type": "extraction"}}},
            "labelled 'x'",
        ),
        ({"analysis_type": "multi_analysis", "analyses": {"x": {"analysis_type": "sum"}}}, "target_property"),
        ({"analysis_type": "multi_analysis", "analyses": {"x": {**ENTRY, "filters": []}}}, "other members"),
    ],
)
def test_bad_query_is_refused_with_its_reason(bad: dict[str, Any], reason: str) -> None:
    """Nothing is sent that Keen would refuse, and the message says why."""
    parameters: dict[str, Any] = {"analysis_type": "count", "event_collection": "c", **bad}
    with pytest.raises(InvalidQueryError, match="nothing was sent") as caught:
        Analysis(**parameters)
    assert reason in str(caught.value)
    assert caught.value.hint


def test_bad_query_is_a_value_error() -> None:
    """Callers of the official client catch ValueError."""
    with pytest.raises(ValueError, match="limit needs order_by"):
        Recorder().count("c", limit=3)


def test_metadata_and_files_are_asked_for() -> None:
    """`include_metadata` with any analysis; `content_type` and `content_encoding` with an extraction that is mailed."""
    analysis = Analysis(analysis_type="count", event_collection="c", include_metadata=True)
    assert analysis.to_json() == {"event_collection": "c", "include_metadata": True}
    mailed = Recorder().extraction(
        "c", "today", email="a@example.org", content_type="text/csv", content_encoding="gzip"
    )
    assert mailed.to_json() == {
        "event_collection": "c",
        "timeframe": "today",
        "email": "a@example.org",
        "content_type": "text/csv",
        "content_encoding": "gzip",
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"content_type": "text/csv"}, "there is no email"),
        ({"email": "a@example.org", "content_type": "text/html"}, "no content_type"),
        ({"email": "a@example.org", "content_encoding": "zip"}, "no content_encoding"),
    ],
)
def test_files_that_nobody_would_get_are_refused(given: dict[str, Any], words: str) -> None:
    """An extraction that is answered at once is JSON."""
    with pytest.raises(InvalidQueryError, match=words):
        Recorder().extraction("c", "today", **given)


def test_files_are_an_extractions_and_metadata_a_flag() -> None:
    """Other analyses make no files; what is not True or False is no flag."""
    with pytest.raises(InvalidQueryError, match="count takes no content_type"):
        Analysis(analysis_type="count", event_collection="c", content_type="text/csv")
    with pytest.raises(InvalidQueryError, match="include_metadata is not True or False"):
        Analysis(analysis_type="count", event_collection="c", include_metadata="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, -1, True, "ten", None])
def test_buckets_have_a_size(size: object) -> None:
    """A number over 0; other forms of buckets are the server's to judge."""
    with pytest.raises(InvalidQueryError, match="buckets"):
        Recorder().count("c", group_by={"property_name": "score", "buckets": {"size": size}})
    buckets: Any
    for buckets in ({"size": 2.5}, {"ranges": []}, [1, 2]):
        groups = {"property_name": "score", "buckets": buckets}
        assert Recorder().count("c", group_by=groups).to_json()["group_by"] == groups

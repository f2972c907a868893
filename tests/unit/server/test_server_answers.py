"""Answers: buckets and ranges, order and limit, metadata, extractions in the reply and in files."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from keen_client.server import extraction
from tests.unit.server.workbench import WIDE, Workbench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    """A server in a directory, with scores over three days."""
    made = Workbench(tmp_path / "data")
    scores: list[Any] = [5, 10, 19.5, 100, -1, "10", None, True, 0.3]
    made.write(
        *(
            {"score": score, "who": {"id": index % 2}, "keen": {"timestamp": f"2026-09-0{index % 3 + 1}"}}
            for index, score in enumerate(scores)
        ),
        {"who": {"id": 7}, "keen": {"timestamp": "2026-09-01"}},
    )
    yield made
    made.store.close()


def _groups(bench: Workbench, group_by: Any, **more: Any) -> list[tuple[Any, Any]]:
    rows = bench.query("count", group_by=group_by, **more)
    return [(row["score"], row["result"]) for row in rows]


def test_buckets_are_equally_wide_and_labelled_by_their_bounds(bench: Workbench) -> None:
    """The lower bound belongs to a bucket, the upper one does not; what is no number is in the group null."""
    found = _groups(bench, {"property_name": "score", "buckets": {"size": 10}})
    assert dict(found) == {"[-10, 0)": 1, "[0, 10)": 2, "[10, 20)": 2, "[100, 110)": 1, None: 4}
    tenths = _groups(bench, [{"property_name": "score", "buckets": {"size": 0.1}}])
    assert dict(tenths)["[0.3, 0.4)"] == 1


def test_ranges_are_taken_in_their_order(bench: Workbench) -> None:
    """An open end is infinite; of overlapping ranges the first one counts."""
    ranges = [{"from": 0, "to": 10}, {"from": 5, "to": 50}, {"from": 50}, {"to": 0}]
    found = _groups(bench, {"property_name": "score", "ranges": ranges})
    assert dict(found) == {"[0, 10)": 2, "[5, 50)": 2, "[50, inf)": 1, "[-inf, 0)": 1, None: 4}


def test_buckets_are_ordered_by_their_bounds_and_limited(bench: Workbench) -> None:
    """Not by their labels: 100 comes after 10."""
    group = {"property_name": "score", "buckets": {"size": 10}}
    order = {"property_name": "score", "direction": "DESC"}
    found = _groups(bench, group, order_by=order, limit=3)
    assert [label for label, _ in found] == ["[100, 110)", "[10, 20)", "[0, 10)"]


def test_order_and_limit_hold_in_each_sub_timeframe(bench: Workbench) -> None:
    """Each has its own largest groups."""
    parts = bench.query(
        "sum",
        target_property="score",
        group_by="who.id",
        interval="daily",
        timeframe={"start": "2026-09-01", "end": "2026-09-04"},
        order_by=[{"property_name": "result", "direction": "DESC"}],
        limit=1,
    )
    assert [part["value"] for part in parts] == [
        [{"who.id": 1, "result": 100}],
        [{"who.id": 1, "result": 10}],
        [{"who.id": 0, "result": 19.8}],
    ]


@pytest.mark.parametrize(
    "group_by",
    [
        7,
        [7],
        {},
        {"property_name": ""},
        {"property_name": "score", "buckets": 10},
        {"property_name": "score", "buckets": {"size": 0}},
        {"property_name": "score", "buckets": {"size": "10"}},
        {"property_name": "score", "buckets": {"size": True}},
        {"property_name": "score", "buckets": {"size": 1}, "ranges": [{"to": 1}]},
        {"property_name": "score", "ranges": []},
        {"property_name": "score", "ranges": [{}]},
        {"property_name": "score", "ranges": [{"from": 2, "to": 2}]},
        {"property_name": "score", "ranges": [{"from": "a"}]},
        {"property_name": "score", "ranges": "all"},
        ["score", {"property_name": "score", "buckets": {"size": 1}}],
    ],
)
def test_a_malformed_group_is_refused(bench: Workbench, group_by: Any) -> None:
    """With 400."""
    body = {"event_collection": "c", "timeframe": WIDE, "group_by": group_by}
    assert bench.refused("POST", "/queries/count", key="R", json=body) == (400, "InvalidParameterError")


def test_an_interval_as_an_object_is_refused_where_an_interval_counts(bench: Workbench) -> None:
    """An extraction has none, and ignores it."""
    body = {"event_collection": "c", "timeframe": WIDE, "interval": {"every": 1}}
    assert bench.refused("POST", "/queries/count", key="R", json=body) == (400, "InvalidParameterError")
    assert bench.call("POST", "/queries/extraction", key="R", json=body).status_code == 200


@pytest.mark.parametrize("kind", ["count", "sum", "select_unique", "extraction"])
def test_every_analysis_has_metadata_on_request(bench: Workbench, kind: str) -> None:
    """Beside the result, which does not change."""
    plain = bench.answer(kind, target_property="score")
    found = bench.answer(kind, target_property="score", include_metadata=True)
    metadata = found.pop("execution_metadata")
    assert sorted(map(repr, found)) == sorted(map(repr, plain))
    touched = 2 if kind in ("sum", "select_unique") else 1
    assert metadata["events_scanned"] == 10
    assert (metadata["properties_per_event"], metadata["total_properties_scanned"]) == (touched, 10 * touched)


def _extracted(bench: Workbench, **parameters: Any) -> tuple[str, bytes]:
    reply = bench.query("extraction", email="a@example.org", **parameters)
    assert reply == extraction.EMAIL_REPLY
    assert bench.directory is not None
    (file,) = (bench.directory / "extractions").iterdir()
    assert file.stat().st_mode & 0o077 == 0
    name, content = file.name, file.read_bytes()
    file.unlink()
    return name, content


def test_an_extraction_by_mail_becomes_a_file(bench: Workbench) -> None:
    """It holds what the reply would have held."""
    name, content = _extracted(bench)
    assert name.endswith(".json")
    assert orjson.loads(content) == bench.answer("extraction")
    _, nothing = _extracted(bench, timeframe={"start": "1970-01-01", "end": "1970-01-02"})
    assert orjson.loads(nothing) == {"result": []}


def test_a_file_may_be_csv_and_compressed(bench: Workbench) -> None:
    """One column a property path; null and missing are empty."""
    name, content = _extracted(bench, content_type="text/csv", content_encoding="gzip", latest=9)
    assert name.endswith(".csv.gz")
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(content).decode())))
    events = bench.query("extraction", latest=9)
    assert [row["keen.id"] for row in rows] == [event["keen"]["id"] for event in events]
    assert {row["score"] for row in rows} >= {"10", "true", "", "0.3"}
    _, content = _extracted(bench, content_type="text/csv", property_names=["who.id"])
    assert content.splitlines()[0] == b"who.id"


def test_without_a_directory_only_the_text_is_answered() -> None:
    """There is nowhere to put a file."""
    bench = Workbench()
    bench.write({})
    assert bench.query("extraction", email="a@example.org") == extraction.EMAIL_REPLY
    bench.store.close()


def test_an_unfinished_file_is_not_left(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is whole under its name, or not there."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(extraction, "_write_json", fail)
    body = {"event_collection": "c", "timeframe": WIDE, "email": "a@example.org"}
    assert bench.refused("POST", "/queries/extraction", key="R", json=body)[0] == 500
    assert bench.directory is not None
    assert list((bench.directory / "extractions").iterdir()) == []


@pytest.mark.parametrize(
    "parameters", [{"content_type": "text/html"}, {"content_encoding": "br"}, {"latest": 0}]
)
def test_a_malformed_extraction_is_refused(bench: Workbench, parameters: dict[str, Any]) -> None:
    """With 400."""
    body = {"event_collection": "c", "timeframe": WIDE, **parameters}
    assert bench.refused("POST", "/queries/extraction", key="R", json=body) == (400, "InvalidParameterError")


def test_caps_refuse_a_reply_and_spare_what_keeps_within(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many events in a reply, so many scanned; ``latest`` keeps both within bounds, a file has its own."""
    body = {"event_collection": "c", "timeframe": WIDE}
    monkeypatch.setattr(extraction, "MAX_EXTRACTED", 9)
    assert bench.refused("POST", "/queries/extraction", key="R", json=body)[0] == 400
    assert len(bench.query("extraction", latest=9)) == 9
    assert len(orjson.loads(_extracted(bench)[1])["result"]) == 10
    monkeypatch.setattr(extraction, "MAX_EXTRACTED", 10)
    assert len(bench.query("extraction")) == 10
    monkeypatch.setattr(extraction, "MAX_SCANNED", 9)
    assert bench.refused("POST", "/queries/extraction", key="R", json=body)[0] == 400
    monkeypatch.setattr(extraction, "MAX_EXTRACTED_TO_FILE", 9)
    assert bench.refused("POST", "/queries/extraction", key="R", json={**body, "email": "a@b"})[0] == 400

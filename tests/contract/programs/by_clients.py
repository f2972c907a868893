"""A program written for keen 0.7.0, with a client for each project. It knows of no other client.

Run as ``by_clients.py write|ask|administer``, with the project in variables of
its own; prints what it got as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

from keen import direction
from keen.client import KeenClient
from keen.exceptions import (
    BaseKeenClientError,
    InvalidEnvironmentError,
    InvalidPersistenceStrategyError,
    InvalidProjectIdError,
    KeenApiError,
)
from keen.scoped_keys import encrypt

TIMEFRAME = {"start": "2024-01-01T00:00:00.000Z", "end": "2024-01-04T00:00:00.000Z"}
COUNT = {"analysis_type": "count", "event_collection": "visits", "timeframe": "this_10_years"}
ORDER = [{"property_name": "result", "direction": direction.ASCENDING}]

PROJECT, WRITE, READ, MASTER, URL = (
    os.environ[f"MY_{name}"] for name in ("PROJECT", "WRITE", "READ", "MASTER", "URL")
)


def writer() -> KeenClient:
    return KeenClient(PROJECT, WRITE.encode(), None, None, post_timeout=20, base_url=URL)


def reader() -> KeenClient:
    return KeenClient(project_id=PROJECT, read_key=READ, base_url=URL, get_timeout=30)


def master() -> KeenClient:
    return KeenClient(PROJECT, read_key=READ, persistence_strategy=None, master_key=MASTER, base_url=URL)


def caught(call: Callable[[], Any]) -> list[str]:
    """The most general name that the call's error goes by, of those that a program of then catches first."""
    try:
        call()
    except (InvalidProjectIdError, InvalidPersistenceStrategyError, InvalidEnvironmentError) as error:
        return [next(kind.__name__ for kind in type(error).__mro__ if kind.__name__.startswith("Invalid"))]
    except KeenApiError as error:
        return ["KeenApiError", error.api_error["error_code"]]
    except BaseKeenClientError:
        return ["BaseKeenClientError"]
    return []


def write() -> dict[str, Any]:
    client = writer()
    for hour in range(3):
        at = datetime(2024, 1, 2, hour)
        client.add_event("visits", {"page": "/" * hour, "user": {"id": hour % 2}}, timestamp=at)
    told = client.add_events({"visits": [], "empty": [{}]})
    return {
        "told": told,
        "beacon": client.generate_image_beacon("visits", {"page": "?>é"}),
        "timeouts": [client.get_timeout, client.post_timeout],
        "project": client.project_id,
        "refusals": [
            caught(lambda: KeenClient("")),
            caught(lambda: KeenClient(5)),
            caught(lambda: KeenClient(PROJECT, persistence_strategy="file")),
            caught(lambda: KeenClient(PROJECT, base_url=URL).add_event("visits", {})),
            caught(lambda: KeenClient(PROJECT, base_url=URL).add_events({"visits": [{}]})),
            caught(lambda: client.count("visits")),
            caught(client.saved_queries.all),
            caught(lambda: client.cached_datasets.get("nothing")),
        ],
    }


def ask() -> dict[str, Any]:
    client = reader()
    scoped = KeenClient(PROJECT, read_key=encrypt(MASTER, {"allowed_operations": ["read"]}), base_url=URL)
    return {
        "count": client.count("visits", timeframe=TIMEFRAME, interval="daily"),
        "grouped": client.count("visits", TIMEFRAME, group_by="user.id", order_by=ORDER, limit=5),
        "unique": client.select_unique("visits", "page", TIMEFRAME),
        "extraction": client.extraction("visits", TIMEFRAME, property_names="page"),
        "schema": client.get_collection("visits"),
        "scoped": scoped.count("visits", TIMEFRAME),
        "refusals": [
            caught(lambda: client.get_collection("nowhere")),
            caught(lambda: KeenClient(PROJECT, read_key="wrong", base_url=URL).count("visits", TIMEFRAME)),
            caught(lambda: client.delete_events("visits")),
        ],
    }


def administer() -> dict[str, Any]:
    client = master()
    queries, datasets = client.saved_queries, client.cached_datasets
    return {
        "create": queries.create(
            "visits-in-all", {"query": COUNT, "refresh_rate": 0, "metadata": {"a": {"b": 1}}}
        ),
        "create of text": queries.create("text", json.dumps({"query": COUNT, "refresh_rate": 0})),
        "all": queries.all(),
        "get": queries.get("visits-in-all"),
        "results": queries.results("visits-in-all"),
        "update": queries.update(
            "visits-in-all", {"query": {"interval": "monthly"}, "metadata": {"a": {"c": 2}}}
        ),
        "update_full": queries.update_full("visits-in-all", {"query": COUNT, "refresh_rate": 14400}),
        "delete": queries.delete("visits-in-all"),
        "gone": caught(lambda: queries.get("visits-in-all")),
        "dataset": datasets.create("by-user", {**COUNT, "interval": "yearly"}, "user.id", "By user"),
        "datasets": datasets.all(),
        "dataset again": datasets.get("by-user"),
        "dataset results": datasets.results("by-user", "u1", "this_2_years"),
        "dataset results, of several": datasets.results(
            "by-user", {"user.id": "u1"}, timeframe="this_2_years"
        ),
        "dataset deleted": datasets.delete("by-user"),
        "dataset gone": caught(lambda: datasets.get("by-user")),
        "access key": client.create_access_key("Reader", permitted=["queries"]),
        "events deleted": client.delete_events(
            "visits", filters=[{"property_name": "page", "operator": "eq", "property_value": "/"}]
        ),
    }


if __name__ == "__main__":
    json.dump({"write": write, "ask": ask, "administer": administer}[sys.argv[1]](), sys.stdout)

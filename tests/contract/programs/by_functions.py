"""A program written for keen 0.7.0, with the functions of its module. It knows of no other client.

Run as ``by_functions.py write|ask|administer``; prints what it got as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import keen
from keen import scoped_keys

TIMEFRAME = {"start": "2024-01-01T00:00:00.000Z", "end": "2024-01-04T00:00:00.000Z"}
BOOKS = [{"property_name": "item", "operator": "eq", "property_value": "book"}]
ORDER = {"property_name": "result", "direction": keen.direction.DESCENDING}
STEPS = [
    {"event_collection": "purchases", "actor_property": "user.id", "filters": BOOKS},
    {"event_collection": "purchases", "actor_property": "user.id"},
]


def write() -> dict[str, Any]:
    keen.write_key = os.environ["KEEN_WRITE_KEY"].encode()  # an image beacon needs it as bytes
    event = {"item": "book", "price": 10, "user": {"id": "u1"}, "by_hour": {0: 1, 13: 2}}
    keen.add_event("purchases", event, timestamp=datetime(2024, 1, 1, 0, 30))
    keen.add_event(
        "purchases", {"item": "pen", "price": 5, "user": {"id": "u2"}}, datetime(2024, 1, 2, tzinfo=UTC)
    )
    addons = {"keen": {"timestamp": "2024-01-03T12:00:00", "addons": []}}
    keen.add_event(
        event_collection="purchases", body={"item": "book", "price": 2.5, "user": {"id": "u1"}, **addons}
    )
    results = keen.add_events(
        {
            "purchases": [
                {
                    "item": "mug",
                    "price": 7,
                    "user": {"id": "u3"},
                    "keen": {"timestamp": "2024-01-02T10:00:00+02:00"},
                },
                {"$item": "no name for a property"},
                {
                    "item": "book",
                    "price": None,
                    "user": {"id": "u2"},
                    "keen": {"timestamp": "2024-01-03T00:00:00.000Z"},
                },
            ],
            "sign ups": [{"user": {"id": "u1"}, "keen": {"timestamp": "2024-01-01T00:00:00.000Z"}}],
        }
    )
    told = {name: [result["success"] for result in made] for name, made in results.items()}
    refusals = []
    try:
        keen.add_event("purchases", {"user.id": "a dot"})
    except keen.exceptions.KeenApiError as error:
        refusals.append(["KeenApiError", sorted({"message", "error_code"} & set(error.api_error))])
    beacon = keen.generate_image_beacon("sign ups", {"user": {"id": "u9"}}, timestamp=datetime(2024, 1, 2))
    return {"told": told, "refusals": refusals, "beacon": beacon}


def ask() -> dict[str, Any]:
    invalid: list[Callable[[], Any]] = [
        lambda: keen.count("purchases", TIMEFRAME, order_by=ORDER),
        lambda: keen.count("purchases", TIMEFRAME, group_by="item", limit=2),
    ]
    refused: list[Callable[[], Any]] = [
        lambda: keen.count("purchases", "no timeframe"),
        lambda: keen.count("nowhere", TIMEFRAME),
        lambda: keen.count("purchases"),
        lambda: keen.count("purchases", TIMEFRAME, filters=[{"operator": "near"}]),
    ]
    refusals = []
    for question in invalid:
        try:
            question()
        except ValueError:
            refusals.append("ValueError")
    for question in refused:
        try:
            question()
        except keen.exceptions.KeenApiError as error:
            refusals.append(type(error.api_error["error_code"]).__name__)
    return {
        "refusals": refusals,
        "count": keen.count("purchases", timeframe=TIMEFRAME),
        "count by day": keen.count("purchases", TIMEFRAME, None, "daily", BOOKS, ["item", "user.id"]),
        "empty is not given": keen.count("purchases", TIMEFRAME, "", "", [], "", [], 0, 0),
        "sum": keen.sum("purchases", "price", TIMEFRAME, None, None, None, "item", ORDER, None, 2),
        "minimum": keen.minimum("purchases", "price", timeframe=TIMEFRAME, max_age=300),
        "maximum": keen.maximum("purchases", target_property="price", timeframe=TIMEFRAME, timezone=3600),
        "average": keen.average("purchases", "price", timeframe=TIMEFRAME, timezone="Europe/Berlin"),
        "median": keen.median("purchases", "price", timeframe=TIMEFRAME, group_by="user.id"),
        "percentile": keen.percentile("purchases", "price", 50, TIMEFRAME),
        "count_unique": keen.count_unique("purchases", "user.id", TIMEFRAME),
        "select_unique": keen.select_unique("purchases", "user.id", timeframe=TIMEFRAME),
        "extraction": keen.extraction("purchases", TIMEFRAME, latest=10),
        "extraction of some": keen.extraction("purchases", TIMEFRAME, property_names=["item", "by_hour"]),
        "multi_analysis": keen.multi_analysis(
            "purchases", {"n": {"analysis_type": "count"}}, timeframe=TIMEFRAME, interval="daily"
        ),
        "funnel": keen.funnel(STEPS, timeframe=TIMEFRAME),
        "funnel, all keys": keen.funnel(STEPS, TIMEFRAME, all_keys=True),
        "get_collection": keen.get_collection("purchases"),
        "get_all_collections": keen.get_all_collections(),
        "settings": [keen.project_id, keen.base_url, bool(keen.read_key), bool(keen.write_key)],
    }


def administer() -> dict[str, Any]:
    made = keen.create_access_key("Bob", is_active=True, permitted=["queries"], options={})
    key = made["key"]
    got = {
        "create_access_key": made,
        "get_access_key": keen.get_access_key(key),
        "update_access_key_name": keen.update_access_key_name(key, "Jim"),
        "add_access_key_permissions": keen.add_access_key_permissions(key, ["queries", "schema"]),
        "remove_access_key_permissions": keen.remove_access_key_permissions(key, ["queries"]),
        "update_access_key_permissions": keen.update_access_key_permissions(key, permissions=["writes"]),
        "update_access_key_options": keen.update_access_key_options(key, {"queries": {"filters": BOOKS}}),
        "update_access_key_full": keen.update_access_key_full(key, "Ann", True, ["schema"], {}),
        "revoke_access_key": keen.revoke_access_key(key),
        "unrevoke_access_key": keen.unrevoke_access_key(key),
        "list_access_keys": keen.list_access_keys(),
        "delete_access_key": keen.delete_access_key(key),
        "delete_events": keen.delete_events("purchases", timeframe=TIMEFRAME, filters=BOOKS),
        "left": keen.count("purchases", timeframe=TIMEFRAME),
    }
    try:
        keen.get_access_key(key)
    except keen.exceptions.KeenApiError as error:
        got["gone"] = error.api_error["error_code"]
    scoped = scoped_keys.encrypt(keen.master_key, {"allowed_operations": ["read"], "filters": BOOKS})
    got["scoped key"] = [type(scoped).__name__, scoped_keys.decrypt(keen.master_key, scoped)]
    return got


if __name__ == "__main__":
    json.dump({"write": write, "ask": ask, "administer": administer}[sys.argv[1]](), sys.stdout)

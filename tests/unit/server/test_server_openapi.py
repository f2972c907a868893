"""The OpenAPI document: true of every route, and what is made from it breaks nothing."""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import TYPE_CHECKING, Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from keen_client.server.app import Api
from keen_client.server.keyring import Keyring
from keen_client.server.openapi import OPERATIONS
from keen_client.server.query import TYPES
from keen_client.server.services import Services

if TYPE_CHECKING:
    from tests.unit.server.conftest import Desk

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
Operation = APIOperation[Any, Any, Any, Any]
METHODS: Final = ("get", "post", "put", "delete")


@pytest.fixture
def document(desk: Desk) -> dict[str, Any]:
    """The document as it is served, without a key."""
    reply = desk.call("GET", "/3.0/openapi.json", key="")
    assert reply.status_code == 200
    found: dict[str, Any] = reply.json()
    return found


def _references(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(_references(value) for value in node.values()))
    return set().union(*(_references(value) for value in node)) if isinstance(node, list) else set()


def test_the_document_names_every_route_and_nothing_else(desk: Desk, document: dict[str, Any]) -> None:
    """Whatever the server answers is described, but for the page's own call; and nothing is promised beside."""
    services = Services(desk.project, Keyring(desk.project), desk.store, desk.faults, desk.clock)
    routes = {(route.method, route.path) for route in Api(services).router.routes}
    public = {(method, path) for method, path in routes if not path.startswith("/_page/")}
    described = {
        (method.upper(), "" if path == "/" else path)
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    }
    assert described == public
    assert set(OPERATIONS) == public


def test_each_reference_leads_somewhere_and_each_schema_is_used(document: dict[str, Any]) -> None:
    """No dangling reference, no schema that nothing has."""
    prefix = "#/components/schemas/"
    assert _references(document) == {prefix + name for name in document["components"]["schemas"]}


def test_each_placeholder_of_a_path_is_described(document: dict[str, Any]) -> None:
    """Path parameters are those of the path; operations have a summary and an answer for errors."""
    for path, item in document["paths"].items():
        named = [parameter["name"] for parameter in item["parameters"]]
        assert named == re.findall(r"\{(\w+)\}", path)
        for method in set(METHODS) & set(item):
            assert item[method]["summary"].endswith(".")
            assert item[method]["responses"]["default"]["content"]["application/json"]["schema"] == {
                "$ref": "#/components/schemas/Error"
            }


def test_the_document_tells_nothing_of_the_project(desk: Desk) -> None:
    """It needs no key, so it has none, nor the project's id."""
    text = desk.call("GET", "/3.0/openapi.json", key="").text
    project = desk.project
    for secret in (project.id, project.master_key, project.read_key, project.write_key):
        assert secret not in text


#: Examples an operation and kind of values; a long run by hand takes more.
EXAMPLES: Final = int(os.environ.get("OPENAPI_EXAMPLES", "2"))
#: Names of what is there, so that what lies behind the first checks is reached too.
PLACES: Final = {
    "collection": ["c"],
    "property": ["a", "user.id", "keen.id"],
    "type": sorted(TYPES),
    "name": ["s", "d"],
}
MEMBERS: Final = {
    "event_collection": {"enum": ["c"]},
    "property_name": {"enum": ["a", "b", "user.id", "tags", "keen.timestamp", "keen.location.coordinates"]},
    "target_property": {"enum": ["a", "b", "user.id"]},
    "analysis_type": {"enum": sorted(TYPES)},
}


def _narrowed(node: Any) -> Any:
    """A schema in which names are names of what is there."""
    if isinstance(node, list):
        return [_narrowed(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        name: {key: MEMBERS.get(key, _narrowed(value)) for key, value in inner.items()}
        if name == "properties"
        else _narrowed(inner)
        for name, inner in node.items()
    }


@pytest.fixture
def operations(desk: Desk, document: dict[str, Any]) -> list[Operation]:
    """Every operation, on a server that holds some events, a saved query and a dataset."""
    desk.write(
        {"a": 1, "b": "x", "tags": [1, "a"], "user": {"id": "u1"}},
        {"a": 2.5, "b": None, "keen": {"location": {"coordinates": [1, 2]}}},
    )
    query = {
        "analysis_type": "count",
        "event_collection": "c",
        "timeframe": "this_2_days",
        "interval": "daily",
    }
    desk.call("PUT", "/queries/saved/s", json={"query": query})
    desk.call("PUT", "/datasets/d", json={"query": query, "index_by": "user.id"})
    # Answers are free to name whatever there is.
    answered = {"Property": document["components"]["schemas"]["Property"]}
    document = _narrowed(document)
    document["components"]["schemas"] |= answered
    # Faults are wrong on purpose; what is no fault is refused: a test of its own.
    del document["paths"]["/_control/faults"]["post"]
    places = {**PLACES, "project": [desk.project.id], "key": [desk.access_key(), "F" * 64]}
    for item in document["paths"].values():
        for parameter in item["parameters"]:
            parameter["schema"] = {"enum": places[parameter["name"]]}
    schema = schemathesis.openapi.from_dict(document)
    schema.app = desk.app
    return [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
def test_no_request_that_the_document_gives_rise_to_breaks_the_server(
    desk: Desk, operations: list[Operation], mode: schemathesis.GenerationMode
) -> None:
    """Right and wrong values in every parameter and body: never a 5xx, and each answer is as the document says."""
    made = sum(_asked(desk, operation, mode) for operation in operations)
    assert made >= EXAMPLES * len(operations) // 2


def _asked(desk: Desk, operation: Operation, mode: schemathesis.GenerationMode) -> int:
    """How many requests were made for *operation*, each answered as it should be."""
    made = 0

    @settings(
        max_examples=EXAMPLES, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None
    )
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case[Any]) -> None:
        nonlocal made
        made += 1
        reply = case.call(headers={"Authorization": desk.master_key})
        case.validate_response(reply, checks=CHECKS)

    # Where nothing can be wrong, nothing wrong can be made.
    with contextlib.suppress(Unsatisfiable):
        ask()
    return made


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@given(
    st.dictionaries(
        st.sampled_from(["lose", "delay", "forget", "rate-limit", "tokens", "digits", "x"]), JSON, max_size=3
    )
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_no_fault_is_refused(desk: Desk, changes: dict[str, Any]) -> None:
    """Faults with any value: taken or 400; and what was refused has changed nothing."""
    before = desk.faults.faults
    reply = desk.call("POST", "/_control/faults", content=json.dumps(changes))
    assert reply.status_code in (200, 400)
    if reply.status_code == 400:
        assert desk.faults.faults == before
    desk.faults.change(dict.fromkeys(["lose", "delay", "forget", "rate-limit", "tokens", "digits"]))

"""The OpenAPI document: true of every route, and what is made from it breaks nothing."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from keen_client.server.app import Api
from keen_client.server.filters import OPERATORS
from keen_client.server.keyring import Keyring
from keen_client.server.openapi import OPERATIONS
from keen_client.server.query import TYPES
from keen_client.server.services import Services

if TYPE_CHECKING:
    from tests.unit.server.conftest import Desk

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


# What is made from the document. Values are mostly of the right type and sometimes not; names are mostly
# those of things that are there, so that what lies behind the first checks is reached too.
SCALARS: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(
        [
            "a",
            "b",
            "user.id",
            "keen.timestamp",
            "keen.location.coordinates",
            "tags",
            "",
            ".",
            "a..b",
            '"',
            "\\",
        ]
    ),
)
JSON: Final = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
KNOWN: Final = {
    "event_collection": st.just("c"),
    "timeframe": st.sampled_from(
        ["this_3_days", {"start": "2026-09-30T00:00:00Z", "end": "2026-10-02T00:00:00Z"}]
    ),
    "timezone": st.sampled_from(["US/Pacific", 3600, "UTC", -86_399]),
    "interval": st.sampled_from(["hourly", "every_2_days", "weekly", "monthly"]),
    "property_name": st.sampled_from(
        ["a", "b", "user.id", "tags", "keen.timestamp", "keen.location.coordinates"]
    ),
    "target_property": st.sampled_from(["a", "b", "user.id"]),
    "actor_property": st.sampled_from(["user.id", ["a", "b"]]),
    "operator": st.sampled_from(sorted(OPERATORS)),
    "analysis_type": st.sampled_from(sorted(TYPES)),
    "index_by": st.sampled_from(["user.id", ["a", "b"]]),
}
PLACES: Final = {
    "collection": st.sampled_from(["c", "c", "none"]),
    "property": st.sampled_from(["a", "user.id", "keen.id"]),
    "type": st.sampled_from(sorted(TYPES)),
    "name": st.sampled_from(["s", "d"]),
    "key": st.sampled_from(["F" * 64, "k"]),
}


def _made(
    document: dict[str, Any], schema: dict[str, Any], name: str = "", depth: int = 0
) -> st.SearchStrategy[Any]:
    """Values of *schema*; a member *name* that is known has a value that means something, and any at times."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if depth > 6:
        return SCALARS
    right: st.SearchStrategy[Any]
    if name in KNOWN:
        right = KNOWN[name]
    elif "enum" in schema:
        right = st.sampled_from(schema["enum"])
    elif "anyOf" in schema:
        right = st.one_of([_made(document, one, "", depth + 1) for one in schema["anyOf"]])
    else:
        right = _typed(document, schema, depth)
    # One value in sixteen may be anything.
    return st.integers(0, 15).flatmap(lambda number: JSON if number == 0 else right)


def _typed(document: dict[str, Any], schema: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
    kind = schema.get("type")
    if kind == "array":
        return st.lists(
            _made(document, schema["items"], "", depth + 1), min_size=schema.get("minItems", 0), max_size=3
        )
    if kind == "object" and "properties" in schema:
        members = {name: _made(document, one, name, depth + 1) for name, one in schema["properties"].items()}
        required = {
            name: made
            for name, made in members.items()
            if name in schema.get("required", ()) or name in KNOWN
        }
        return st.fixed_dictionaries(
            required, optional={n: m for n, m in members.items() if n not in required}
        )
    if kind == "object":
        inner = schema.get("additionalProperties")
        values = _made(document, inner, "", depth + 1) if isinstance(inner, dict) else JSON
        return st.dictionaries(st.sampled_from(["c", "a", "x y", "$", ""]), values, max_size=3)
    simple = {"string": st.text(max_size=12), "boolean": st.booleans(), "integer": st.integers(-1, 10**6)}
    return simple.get(str(kind), JSON)


def _requests(document: dict[str, Any], path: str, method: str) -> st.SearchStrategy[dict[str, Any]]:
    """Requests for one operation: names in the path, parameters as text, and a body where it takes one."""
    operation = document["paths"][path][method]
    names = re.findall(r"\{(\w+)\}", path)
    texts = {
        parameter["name"]: _made(
            document,
            document["components"]["schemas"]["Query"]["properties"].get(
                parameter["name"], {"type": "string"}
            ),
            parameter["name"],
        ).map(lambda value: value if isinstance(value, str) else json.dumps(value))
        for parameter in operation.get("parameters", [])
    }
    if "data" in texts:
        encoded = (
            _made(document, {"$ref": "#/components/schemas/Event"})
            .map(json.dumps)
            .map(str.encode)
            .map(base64.b64encode)
        )
        texts["data"] = encoded.map(bytes.decode) | texts["data"]
    # Of all parameters a query has, these make it one.
    needed = {name: texts.pop(name) for name in ("event_collection", "timeframe") if name in texts}
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    return st.fixed_dictionaries(
        {
            "names": st.fixed_dictionaries({name: PLACES.get(name, st.just("")) for name in names}),
            "params": st.fixed_dictionaries(needed, optional=texts),
            "content": st.none() if body is None else _made(document, body).map(json.dumps),
        }
    )


def _operations() -> list[tuple[str, str]]:
    # Faults are wrong on purpose; what is no fault is refused: a test of its own.
    return sorted(
        (path or "/", method.lower())
        for method, path in OPERATIONS
        if (method, path) != ("POST", "/_control/faults")
    )


@pytest.mark.parametrize(("path", "method"), _operations(), ids=str)
def test_no_request_that_the_document_gives_rise_to_breaks_the_server(
    desk: Desk, document: dict[str, Any], path: str, method: str
) -> None:
    """Right and wrong values in every parameter and body: refused or answered, never a 5xx; errors say what they are."""
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

    @settings(max_examples=EXAMPLES, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(_requests(document, path, method))
    def ask(request: dict[str, Any]) -> None:
        url = path.format(
            project=desk.project.id, **{k: v for k, v in request["names"].items() if k != "project"}
        )
        reply = desk.call(method.upper(), url, params=request["params"], content=request["content"])
        assert reply.status_code < 500, reply.text
        if reply.status_code >= 400:
            assert reply.json().keys() == {"message", "error_code"}
        elif reply.status_code not in (204, 302):
            assert reply.content

    ask()


#: Examples an operation; a long run by hand takes more.
EXAMPLES: Final = 12


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

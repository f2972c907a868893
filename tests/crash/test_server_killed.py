"""A server with a directory is killed at any moment: what it answered 2xx is there when it runs again."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx

KILLS = 5
OPERATIONS = 12
#: The process is killed within so many seconds of its first request.
LATEST_SECONDS = 0.6
QUERY = {"analysis_type": "count", "event_collection": "c", "timeframe": "this_7_days", "interval": "daily"}
WIDE = '{"start":"2000-01-01T00:00:00Z","end":"2100-01-01T00:00:00Z"}'


@attrs.frozen
class State:
    """What the server must hold: events by number (with or without the property p), saved queries, datasets."""

    events: frozenset[tuple[int, bool]] = frozenset()
    saved: frozenset[tuple[str, int]] = frozenset()
    datasets: frozenset[str] = frozenset()


@attrs.frozen
class Operation:
    """One request, and the state that it makes of another one."""

    method: str
    path: str
    after: State
    json: Any = None
    #: A write of many may be cut in the middle: its events are each there or not.
    is_divisible: bool = False


class Server:
    """The process, and a client of it."""

    def __init__(self, directory: Path) -> None:
        command = [sys.executable, "-m", "keen_client", "serve", "--json", "--data", str(directory)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        ready = json.loads(self._process.stdout.readline())
        self._base = f"{ready['url']}/3.0/projects/{ready['project_id']}"
        self._client = httpx.Client(headers={"Authorization": ready["master_key"]}, timeout=60)

    def request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self._client.request(method, self._base + path, json=body)

    def kill_within(self, seconds: float) -> threading.Timer:
        """SIGKILL, later, while requests are under way."""
        timer = threading.Timer(seconds, self._process.send_signal, [signal.SIGKILL])
        timer.start()
        return timer

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._client.close()

    def state(self) -> State:
        """What it holds, as its API tells."""
        reply = self.request("GET", f"/queries/extraction?event_collection=c&timeframe={WIDE}")
        events = reply.json()["result"] if reply.status_code == 200 else []
        assert len({event["n"] for event in events}) == len(events)
        saved = self.request("GET", "/queries/saved").json()
        datasets = self.request("GET", "/datasets?limit=100").json()["datasets"]
        return State(
            frozenset((event["n"], "p" in event) for event in events),
            frozenset((item["query_name"], item["refresh_rate"]) for item in saved),
            frozenset(item["dataset_name"] for item in datasets),
        )


def _operations(chance: random.Random, state: State, first: int) -> Iterator[Operation]:
    """Random requests that succeed, each from the state that the one before it made."""
    for number in range(first, first + OPERATIONS * 100, 100):
        kind = chance.choice(["one", "many", "filter", "property", "save", "unsave", "dataset", "undataset"])
        made = None
        if kind == "one":
            events = state.events | {(number, True)}
            made = Operation("POST", "/events/c", attrs.evolve(state, events=events), {"n": number, "p": 1})
        elif kind == "many":
            bodies = [{"n": number + at, "p": "x" * 200} for at in range(100)]
            events = state.events | {(number + at, True) for at in range(100)}
            after = attrs.evolve(state, events=events)
            made = Operation("POST", "/events", after, {"c": bodies}, is_divisible=True)
        elif kind == "filter" and state.events:
            border = chance.choice(sorted(state.events))[0]
            item = {"property_name": "n", "operator": "lt", "property_value": border}
            left = frozenset(event for event in state.events if event[0] >= border)
            path = f"/events/c?filters={json.dumps([item])}"
            made = Operation("DELETE", path, attrs.evolve(state, events=left))
        elif kind == "property" and any(has_it for _, has_it in state.events):
            bare = frozenset((n, False) for n, _ in state.events)
            made = Operation("DELETE", "/events/c/properties/p", attrs.evolve(state, events=bare))
        elif kind == "save":
            name, rate = chance.choice("abc"), chance.choice([0, 14_400])
            saved = frozenset(item for item in state.saved if item[0] != name) | {(name, rate)}
            body = {"query": QUERY, "refresh_rate": rate}
            made = Operation("PUT", f"/queries/saved/{name}", attrs.evolve(state, saved=saved), body)
        elif kind == "unsave" and state.saved:
            gone = chance.choice(sorted(state.saved))
            after = attrs.evolve(state, saved=state.saved - {gone})
            made = Operation("DELETE", f"/queries/saved/{gone[0]}", after)
        elif kind == "dataset" and len(state.datasets) < 50:
            name = f"d{number}"
            body = {"query": QUERY, "index_by": "n"}
            after = attrs.evolve(state, datasets=state.datasets | {name})
            made = Operation("PUT", f"/datasets/{name}", after, body)
        elif kind == "undataset" and state.datasets:
            name = chance.choice(sorted(state.datasets))
            after = attrs.evolve(state, datasets=state.datasets - {name})
            made = Operation("DELETE", f"/datasets/{name}", after)
        if made is not None:
            yield made
            state = made.after


def _check(found: State, before: State, cut: Operation | None) -> None:
    """Everything that was answered is there; of the request that was cut off all, nothing, or some events."""
    if cut is None or found in (before, cut.after):
        assert cut is not None or found == before
        return
    assert cut.is_divisible
    assert attrs.evolve(found, events=frozenset()) == attrs.evolve(before, events=frozenset())
    assert before.events < found.events < cut.after.events


def test_what_was_answered_is_there_after_each_of_several_kills(tmp_path: Path, seed: int) -> None:
    """Events, deletions, saved queries and datasets, over one directory; the next process goes on from there."""
    chance = random.Random(seed)
    state, first, answered = State(), 0, 0
    server = Server(tmp_path / "data")
    for _ in range(KILLS):
        timer = server.kill_within(chance.uniform(0.01, LATEST_SECONDS))
        cut = None
        try:
            while cut is None:
                for operation in _operations(chance, state, first):
                    cut = operation
                    reply = server.request(operation.method, operation.path, operation.json)
                    assert 200 <= reply.status_code < 300, reply.text
                    state, cut = operation.after, None
                    answered += 1
                first += OPERATIONS * 100
        except httpx.TransportError:
            first += OPERATIONS * 100
        timer.join()
        server.end()
        server = Server(tmp_path / "data")
        found = server.state()
        _check(found, state, cut)
        state = found
    server.end()
    assert answered > 0

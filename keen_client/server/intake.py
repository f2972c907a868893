"""The intake: from parsed JSON to stored entries, through validation, tokens and faults."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from keen_client._foundation.clock import Clock, ms_to_iso
from keen_client.server.addons import Addons, Origin
from keen_client.server.ingest import (
    MAX_EVENT_BYTES,
    Admitted,
    admit,
    check_collection_name,
    encode,
    nulled,
    reidentified,
    retimed,
)
from keen_client.server.misbehaviour import Fate, FaultEngine
from keen_client.server.refusal import (
    DUPLICATE_EVENT,
    INVALID_BATCH,
    INVALID_PROPERTY_VALUE,
    TOO_LARGE,
    Refusal,
    bad_request,
)
from keen_client.server.store import Store
from keen_client.server.tail import Entry

_SUCCESS: Final[Mapping[str, Any]] = {"success": True}


class Intake:
    """Takes writes. Thread-safe; writes are handled one after the other, in order of arrival."""

    def __init__(self, store: Store, faults: FaultEngine, clock: Clock, addons: Addons | None = None) -> None:
        self._addons = addons or Addons()
        self._store = store
        self._faults = faults
        self._clock = clock
        self._lock = threading.Lock()
        # Part of every keen.id, so that two runs on one directory never give the same one twice.
        self._run = secrets.token_hex(3)

    def write_one(self, collection: str, event: object, size: int, origin: Origin | None = None) -> None:
        """Store one event, or raise the refusal that answers it. *size* is the body's, in bytes.

        *origin* fills in the event's placeholders; None where it has none.
        """
        check_collection_name(collection)
        if size > MAX_EVENT_BYTES:
            raise Refusal(413, TOO_LARGE, f"An event may have at most {MAX_EVENT_BYTES} bytes.")
        (result,) = self._write({collection: [event]}, origin)[collection]
        if isinstance(result, Refusal):
            raise result

    def write_many(
        self, batch: object, size: int, origin: Origin | None = None
    ) -> dict[str, list[Mapping[str, Any]]]:
        """Store a bulk body and mirror it: one result per event, in order.

        Raises a refusal only where the whole batch is refused, and then nothing of it was stored.
        """
        if not isinstance(batch, dict) or not all(isinstance(events, list) for events in batch.values()):
            raise bad_request(INVALID_BATCH, "The batch must map collection names to lists of events.")
        if size > MAX_EVENT_BYTES:
            _check_sizes(batch)
        return {
            collection: [_SUCCESS if result is None else _failure(result) for result in results]
            for collection, results in self._write(batch, origin).items()
        }

    def _write(
        self, batch: Mapping[str, Sequence[object]], origin: Origin | None
    ) -> dict[str, list[Refusal | None]]:
        if origin is not None:
            for event in (event for events in batch.values() for event in events):
                if isinstance(event, dict):
                    origin.fill_in(event)
        with self._lock:
            now_ms = self._clock.wall_ms()
            writing = _Writing(self._store, self._faults, now_ms, self._run, self._addons)
            results = {collection: writing.take(collection, events) for collection, events in batch.items()}
            writing.commit()
            return results


class _Writing:
    """One write request at work."""

    def __init__(self, store: Store, faults: FaultEngine, now_ms: int, run: str, addons: Addons) -> None:
        self._addons = addons
        self._store = store
        self._faults = faults
        self._now_ms = now_ms
        self._now_iso = ms_to_iso(now_ms)
        self._id_prefix = f"{now_ms // 1000 & 0xFFFFFFFF:08x}{run}"
        self._repeats = faults.faults.tokens
        self._may_strike = bool(faults.faults.active)
        self._entries: list[Entry] = []

    def take(self, collection: str, events: Sequence[object]) -> list[Refusal | None]:
        """Decide about each of *events*: None for success, else why not."""
        try:
            check_collection_name(collection)
        except Refusal as refusal:
            return [refusal] * len(events)
        # Twice as many as events: each may be duplicated.
        seq = self._store.reserve(2 * len(events))
        seen = self._store.tokens.current(collection, self._now_ms)
        results: list[Refusal | None] = []
        for event in events:
            try:
                admitted = admit(event, self._now_ms, self._now_iso, self._keen_id(seq))
                if admitted.addons is not None:
                    self._addons.apply(admitted.event, admitted.addons)
                self._keep(collection, admitted, seq, seen)
                results.append(None)
            except Refusal as refusal:
                results.append(refusal)
            seq += 2
        return results

    def commit(self) -> None:
        """Make everything durable. Where that fails nothing was stored, and no token was used up."""
        try:
            self._store.append(self._entries)
        except BaseException:
            for entry in self._entries:
                if entry.token is not None:
                    self._store.tokens.unregister(entry.collection, entry.token)
            raise

    def _keen_id(self, seq: int) -> str:
        return f"{self._id_prefix}{seq & 0xFFFFFFFFFF:010x}"

    def _keep(self, collection: str, admitted: Admitted, seq: int, seen: dict[str, int]) -> None:
        timestamp_ms, token, event, _ = admitted
        if self._repeats == "off":
            token = None
        elif token in seen:
            if self._repeats == "visible":
                raise bad_request(
                    DUPLICATE_EVENT, "An event with this uniqueness_token was already received."
                )
            return
        body = encode(event)
        if not self._may_strike:
            if token is not None:
                seen[token] = self._now_ms
            self._entries.append(Entry(seq, collection, timestamp_ms, self._now_ms, 0, token, body))
            return
        # A lost event is known by its token even where tokens are not honoured.
        fate = self._faults.fate(collection, admitted.token, timestamp_ms)
        if fate.rejected:
            raise bad_request(INVALID_PROPERTY_VALUE, "The event was refused (fault 'reject').")
        if fate.forgotten or (fate.lost and not fate.token_kept):
            return
        if token is not None:
            seen[token] = self._now_ms
        if fate.lost:
            if token is not None:
                self._entries.append(Entry(seq, collection, None, self._now_ms, 0, token, None))
            return
        self._alter(Entry(seq, collection, timestamp_ms, self._now_ms, 0, token, body), event, fate)

    def _alter(self, entry: Entry, event: dict[str, Any], fate: Fate) -> None:
        """Keep *event*, altered as *fate* has it."""
        timestamp_ms = entry.timestamp_ms
        if fate.properties_nulled:
            event = nulled(event)
        if fate.shift_ms and timestamp_ms is not None:
            timestamp_ms += fate.shift_ms
            event = retimed(event, timestamp_ms)
        if fate.timestamp_nulled:
            timestamp_ms = None
            event = retimed(event, None)
        body = orjson.dumps(event).decode()
        visible_ms = self._now_ms + fate.delay_ms if fate.delay_ms else 0
        vanish_ms = self._now_ms + fate.delay_ms + fate.vanish_ms if fate.vanish_ms else 0
        kept = entry._replace(
            timestamp_ms=timestamp_ms, visible_ms=visible_ms, body=body, vanish_ms=vanish_ms
        )
        self._entries.append(kept)
        if fate.duplicated:
            seq = entry.seq + 1
            copy = orjson.dumps(reidentified(event, self._keen_id(seq))).decode()
            self._entries.append(kept._replace(seq=seq, token=None, body=copy))


def _check_sizes(batch: Mapping[str, Sequence[object]]) -> None:
    for collection, events in batch.items():
        for index, event in enumerate(events):
            if len(orjson.dumps(event)) > MAX_EVENT_BYTES:
                text = f"An event may have at most {MAX_EVENT_BYTES} bytes; number {index} of '{collection[:64]}' has more."
                raise Refusal(413, TOO_LARGE, text)


def _failure(refusal: Refusal) -> Mapping[str, Any]:
    return {"success": False, "error": {"name": refusal.error_code, "description": refusal.message}}

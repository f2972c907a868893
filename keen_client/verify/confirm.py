"""Confirming: suspects are asked for one by one before anything is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from keen_client.eventlog.entry import Entry
from keen_client.eventlog.log import EventLog
from keen_client.events.identity import EntryId
from keen_client.verify.answer import QueryApi
from keen_client.verify.locate import Findings, kind_of
from keen_client.verify.patch import Patch, sort_suspect
from keen_client.verify.sightings import HORIZON, Sighting, days_around, sight_ids
from keen_client.verify.tokens import tokens_of
from keen_client.verify.verdict import CONTRADICTION


@attrs.frozen
class Confirmed:
    """The findings of each patch that was confirmed, and the patches whose suspects do not explain the totals."""

    findings: Mapping[Patch, Findings] = attrs.Factory(dict)
    refuted: Sequence[Patch] = ()


def confirm(
    log: EventLog, api: QueryApi, collection: str, patches: Sequence[Patch], names_max: int
) -> Confirmed:
    """Ask for the suspects of *patches* by id and token: who seems to be gone over the widest timeframe at once.

    The others are asked for around their days, and further away only where
    they are not found. A patch is confirmed when what is found of its suspects, with all its other
    events once and whole, adds up to what was counted: count and both hash totals.

    Raises:
        ApiError: no answer, or not what was asked for; nothing was found out.
    """
    entries = log.shelf.pick(entry_id for patch in patches for entry_id in patch.ids)
    if not entries:
        return Confirmed(refuted=patches)
    control = _control(log, patches)
    gone = {entry_id for patch in patches for entry_id in patch.gone}
    found: dict[EntryId, list[Sighting]] = {}
    for is_gone in (True, False):
        asked = {entry_id: entry for entry_id, entry in entries.items() if (entry_id in gone) is is_gone}
        shown = _ask(log, api, collection, asked, control, names_max, anywhere=is_gone) if asked else {}
        if shown is None:
            return Confirmed(refuted=patches)
        found.update(shown)
    kept = [patch for patch in patches if entries.keys() >= set(patch.ids) and patch.adds_up(entries, found)]
    absent = {
        entry_id: entries[entry_id]
        for patch in kept
        for entry_id in patch.ids
        if not found[entry_id] and entry_id not in gone
    }
    late = _ask(log, api, collection, absent, control, names_max, anywhere=True) if absent else {}
    if late is None:
        return Confirmed(refuted=patches)
    findings: dict[Patch, Findings] = {}
    for patch in kept:
        mine = findings[patch] = Findings()
        patch.sort_in(mine, entries, found)
        for entry_id in patch.ids:
            if not found[entry_id]:
                _sort_absentee(mine, entries[entry_id], late.get(entry_id, ()))
    return Confirmed(findings, [patch for patch in patches if patch not in findings])


def _ask(
    log: EventLog,
    api: QueryApi,
    collection: str,
    entries: Mapping[EntryId, Entry],
    control: Entry | None,
    names_max: int,
    *,
    anywhere: bool,
) -> dict[EntryId, list[Sighting]] | None:
    """The sightings; None when the control is not found as it should be."""
    timeframe = HORIZON if anywhere else days_around(entries.values())
    tokens = tokens_of(log.state, entries)
    found = sight_ids(api, collection, timeframe, tokens, None if control is None else control.id, names_max)
    if control is not None and all(kind_of(control, shown) != "present" for shown in found[control.id]):
        return None
    return found


def _control(log: EventLog, patches: Sequence[Patch]) -> Entry | None:
    """An event of the patches that is believed to be there once and whole; None when all are suspects."""
    for patch in patches:
        suspects = set(patch.ids)
        control = next((entry_id for entry_id in patch.expected if entry_id not in suspects), None)
        if control is not None:
            return log.shelf.pick([control]).get(control)
    return None


def _sort_absentee(findings: Findings, entry: Entry, sightings: Sequence[Sighting]) -> None:
    """Sort an event that the days around did not show."""
    if not sightings:
        findings.missing.add(entry.id)
        return
    sort_suspect(findings, entry, sightings)
    if entry.id in findings.seen:
        # Its own window did not show it a moment ago.
        findings.trouble = CONTRADICTION

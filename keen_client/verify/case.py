"""A case: one window under examination, with all that is known of it so far."""

from __future__ import annotations

import attrs

from keen_client.eventlog.expectation import Window
from keen_client.events.identity import EntryId
from keen_client.verify.compare import Comparison
from keen_client.verify.level_zero import EMPTY, ServerWindow
from keen_client.verify.locate import Findings
from keen_client.verify.state import WindowFacts


@attrs.define
class Case:
    """One window under examination: both sides, what was found, and what follows."""

    local: Window
    server: ServerWindow = EMPTY
    failure: str = ""
    comparison: Comparison = attrs.Factory(lambda: Comparison("match"))
    findings: Findings | None = None
    facts: WindowFacts | None = None
    eligible: frozenset[EntryId] = frozenset()
    vanished: frozenset[EntryId] = frozenset()
    held_back: frozenset[EntryId] = frozenset()
    given_up: frozenset[EntryId] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is expected, open or there."""
        local = self.local
        is_expected = local.total.n or local.unsent or local.unknown or local.has_unreadable
        return not (self.failure or is_expected or self.server.count)

    @property
    def is_dateless(self) -> bool:
        """Whether nobody can say when it was read: the clocks disagree."""
        return self.facts is not None and self.facts.clocks_apart

    @property
    def is_looked_into(self) -> bool:
        """Whether this read tells of each event whether it is there: it matched, or they were looked for."""
        if self.failure or self.comparison.verdict == "match":
            return not self.failure
        return self.findings is not None and not self.findings.trouble

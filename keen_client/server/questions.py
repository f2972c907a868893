"""Questions: what can be asked of the events, ad hoc or saved; parsed alike, and answered alike.

A question is a :class:`~keen_client.server.query.Query` or a
:class:`~keen_client.server.funnel.Funnel`. Lies and limits (faults of reads)
strike queries only: no verification rests on a funnel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keen_client.server.analysis import answer
from keen_client.server.funnel import Funnel, answer_funnel, parse_funnel
from keen_client.server.query import Query, parse_query
from keen_client.server.services import Services

Question = Query | Funnel


def parse_question(kind: str, given: Mapping[str, Any], now_ms: int) -> Question:
    """The question of type *kind* that *given* asks. Raises a refusal: 404 for an unknown type, else 400."""
    return parse_funnel(given, now_ms) if kind == "funnel" else parse_query(kind, given, now_ms)


def answer_question(services: Services, question: Question, now_ms: int) -> bytes:
    """The JSON body that answers *question*. It takes its time: call it in a thread."""
    monotonic_ns = services.clock.monotonic_ns
    if isinstance(question, Funnel):
        with services.store.reading() as engine:
            return answer_funnel(engine, question, now_ms=now_ms, monotonic_ns=monotonic_ns)
    reading = services.faults.reading(question)
    with services.store.reading() as engine:
        return answer(
            engine,
            question,
            now_ms=now_ms,
            reading=reading,
            monotonic_ns=monotonic_ns,
            extractions=services.store.extractions,
        )

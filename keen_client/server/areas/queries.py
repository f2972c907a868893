"""Ad-hoc queries, by GET and by POST."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from keen_client.server.call import Call
from keen_client.server.permission import Permission
from keen_client.server.questions import answer_question, parse_question
from keen_client.server.rate_limit import RateClass
from keen_client.server.refusal import RATE_LIMITED, Refusal
from keen_client.server.reply import padded, raw_json_reply
from keen_client.server.routing import PROJECT, Route
from keen_client.server.services import Services

_NEEDS: Final = frozenset({Permission.QUERIES})


class QueriesArea:
    """``/queries/<type>``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        path = f"{PROJECT}/queries/{{type}}"
        self.routes = (Route("GET", path, _NEEDS, self._query), Route("POST", path, _NEEDS, self._query))

    async def _query(self, call: Call) -> Response:
        services = self._services
        if services.faults.over_rate_limit(services.clock.monotonic_ns()):
            raise Refusal(429, RATE_LIMITED, "Too many requests; queries are refused for the next minute.")
        extracts = call.names["type"] == "extraction"
        services.rates.take(
            RateClass.EXTRACTIONS if extracts else RateClass.QUERIES, services.clock.monotonic_ns()
        )
        given = await call.given()
        now_ms = services.clock.wall_ms()
        question = parse_question(call.names["type"], given, now_ms)
        question = question.filtered(call.credential.filters)
        body = await services.in_thread(answer_question, services, question, now_ms)
        return padded(call, raw_json_reply(body))

"""Asking a query."""

from __future__ import annotations

from typing import Any

import attrs

from keen_client.api.answers import read_object
from keen_client.api.json_text import encode
from keen_client.api.project import Project
from keen_client.queries.analysis import Analysis
from keen_client.queries.definition import Query
from keen_client.transport.message import Request, Response


@attrs.frozen
class RunAnalysis:
    """Run one analysis or funnel, by POST with a JSON body (no length limit of a URL, nothing in access logs).

    A read: it changes nothing, and may be repeated. ``all_keys`` asks for the
    whole body of the answer in the place of its ``result`` member.
    """

    analysis: Query
    all_keys: bool = False

    def request(self, project: Project) -> Request:
        """See :meth:`keen_client.api.operation.Operation.request`."""
        return Request(
            method="POST",
            base_url=project.base_url,
            path=f"{project.path}/queries/{self.analysis.analysis_type}",
            kind="query",
            body=encode(self.analysis.to_json()),
            key=project.key_for("read"),
            about=", ".join(_collections(self.analysis)),
        )

    def parse(self, response: Response) -> Any:
        """The ``result`` member, or the whole object. Its shape is that of Keen's answer."""
        body = read_object(response, "result")
        return body if self.all_keys else body["result"]


def _collections(query: Query) -> list[str]:
    """The collections that *query* reads, each once."""
    asked = [query] if isinstance(query, Analysis) else query.steps
    return list(dict.fromkeys(part.event_collection for part in asked))

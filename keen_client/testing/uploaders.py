"""Uploaders that follow a script instead of a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from keen_client.transport.message import Response

#: What a script's step makes of a bulk body: an answer, or an exception to raise.
Step = Callable[[dict[str, list[dict[str, Any]]]], "Response | BaseException"]


class ScriptedUploader:
    """Plays *steps* one after another, the last one for ever, and keeps what was uploaded.

    ``accepted`` holds each event that a step's answer acknowledged, in order of
    arrival; ``bounds`` how many seconds each upload was given (None: no bound).
    """

    def __init__(self, *steps: Step) -> None:
        self._steps: Final = list(steps) or [accept]
        self.bodies: Final[list[dict[str, list[dict[str, Any]]]]] = []
        self.accepted: Final[list[dict[str, Any]]] = []
        self.bounds: Final[list[float | None]] = []

    def upload(self, body: bytes, within_seconds: float | None = None) -> Response:
        """See :meth:`keen_client.delivery.uploader.Uploader.upload`."""
        parsed = orjson.loads(body)
        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        self.bodies.append(parsed)
        self.bounds.append(within_seconds)
        answer = step(parsed)
        if isinstance(answer, BaseException):
            raise answer
        self._keep(parsed, answer)
        return answer

    def _keep(self, parsed: dict[str, list[dict[str, Any]]], answer: Response) -> None:
        try:
            results = orjson.loads(answer.body)
        except ValueError:
            return
        for collection, events in parsed.items():
            listed = results.get(collection) if isinstance(results, dict) else None
            for event, result in zip(events, listed or [], strict=False):
                if result.get("success"):
                    self.accepted.append(event)


def accept(parsed: dict[str, list[dict[str, Any]]]) -> Response:
    """Answer success for each event."""
    return results_of({c: [{"success": True}] * len(events) for c, events in parsed.items()})


def results_of(results: Any) -> Response:
    """A 200 with *results* as its body."""
    return Response(status=200, body=orjson.dumps(results))


def refuse(status: int, error_code: str = "", message: str = "", **headers: str) -> Step:
    """A step that answers *status* with Keen's error body, or with HTML when there is no *error_code*."""
    body = orjson.dumps({"error_code": error_code, "message": message}) if error_code else b"<html>no</html>"

    def step(_: dict[str, list[dict[str, Any]]]) -> Response:
        return Response(
            status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    return step


def fail(error: BaseException) -> Step:
    """A step that brings no answer."""
    return lambda _: error

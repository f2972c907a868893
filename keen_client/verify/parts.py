"""Parts: what one question may name, show or look at is bounded, by us and by what the server takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from keen_client._foundation.clock import MS_PER_HOUR
from keen_client.errors import InvalidRequestError, RequestTooLargeError
from keen_client.queries import Timeframe

Item = TypeVar("Item")
Answer = TypeVar("Answer")

#: How a server refuses what names, or would show, too much. Other errors would meet a smaller question as well.
REFUSALS: Final = (InvalidRequestError, RequestTooLargeError)
#: A timeframe that is refused is not cut into shorter ones than this.
SPAN_MIN_MS: Final = MS_PER_HOUR


def _one(_: object) -> int:
    return 1


def ask_in_parts(
    items: Sequence[Item],
    most: int,
    ask: Callable[[Sequence[Item]], Answer],
    weigh: Callable[[Item], int] = _one,
) -> Iterator[Answer]:
    """The answers to *ask* for all *items*, in order, a part at a time; each weighs at most *most*, or is one item.

    A part that is refused is halved, and so are those after it. A refusal that
    has nothing to do with the size costs as many questions as there are halvings.

    Raises:
        ApiError: no answer, or a single item was refused.
    """
    first = 0
    while first < len(items):
        last, weight = first + 1, weigh(items[first])
        while last < len(items) and weight + weigh(items[last]) <= most:
            weight += weigh(items[last])
            last += 1
        try:
            answer = ask(items[first:last])
        except REFUSALS:
            if last - first == 1:
                raise
            most = weight // 2
            continue
        yield answer
        first = last


class Spans:
    """One timeframe, cut as far as the server refuses to look at more at once; what it took once is not cut again.

    With *is_cut* false it stays whole.
    """

    def __init__(self, whole: Timeframe, *, is_cut: bool = True) -> None:
        self._spans = [whole]
        self._is_cut = is_cut

    def ask(self, ask: Callable[[Timeframe], Sequence[Item]]) -> list[Item]:
        """The answers to *ask* for all spans, in order of time, as one. A span that is refused is halved.

        Raises:
            ApiError: no answer, or a span that is not cut further was refused.
        """
        found: list[Item] = []
        place = 0
        while place < len(self._spans):
            span = self._spans[place]
            try:
                found += ask(span)
            except REFUSALS:
                length_ms = span.end_ms - span.start_ms
                if not self._is_cut or length_ms < 2 * SPAN_MIN_MS:
                    raise
                middle_ms = span.start_ms + length_ms // 2
                halves = (Timeframe(span.start_ms, middle_ms), Timeframe(middle_ms, span.end_ms))
                self._spans[place : place + 1] = halves
            else:
                place += 1
        return found

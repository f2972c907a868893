"""Parts: what one question may name or show is bounded, by us and by what the server takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from keen_client.errors import InvalidRequestError, RequestTooLargeError

Item = TypeVar("Item")
Answer = TypeVar("Answer")

#: How a server refuses what names, or would show, too much. Other errors would meet a smaller question as well.
REFUSALS: Final = (InvalidRequestError, RequestTooLargeError)


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

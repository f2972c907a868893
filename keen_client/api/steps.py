"""Calls that take several requests, told once for sync and async.

Such a call is a generator without I/O: it yields an
:class:`~keen_client.api.operation.Operation`, is sent its result, and returns
its own. What carries the operations out, and whether it waits or awaits, is
not its business::

    def rename(key: str, name: str) -> Steps[AccessKey]:
        before = yield GetAccessKey(key)
        return (yield UpdateAccessKey(key, {**before, "name": name}))

An :class:`~keen_client.errors.ApiError` of an operation is thrown into the
generator where it yielded, so that it can be caught there; one that it does
not catch is the caller's. After any other error (no key, a closed client) the
generator is closed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator
from contextlib import closing
from typing import Any, TypeAlias, TypeVar

from keen_client.api.operation import Operation
from keen_client.errors import ApiError

ResultT = TypeVar("ResultT")

#: Yields operations, is sent their results, returns the whole call's result.
Steps: TypeAlias = Generator[Operation[Any], Any, ResultT]


class StepMethods(ABC):
    """What the methods of a client stand on: they build steps, and the client carries them out.

    So each method is written once. What it returns, a result or an awaitable
    of one, is what :meth:`run_steps` makes of it, and the type parameters of
    its class say which.
    """

    @abstractmethod
    def run_steps(self, steps: Steps[Any]) -> Any:
        """Carry out all operations of *steps* and return what it returns; or an awaitable of that."""


def carry_out(steps: Steps[ResultT], run: Callable[[Operation[Any]], Any]) -> ResultT:
    """Run each operation of *steps* with *run*, one after the other, and return what *steps* returns.

    Raises:
        ApiError: An operation's, which *steps* did not catch. What the operations before it did stays done.
    """
    with closing(steps):
        try:
            operation = next(steps)
            while True:
                try:
                    result = run(operation)
                except ApiError as error:
                    operation = steps.throw(error)
                else:
                    operation = steps.send(result)
        except StopIteration as end:
            returned: ResultT = end.value
            return returned


async def carry_out_awaiting(
    steps: Steps[ResultT], run: Callable[[Operation[Any]], Awaitable[Any]]
) -> ResultT:
    """The async twin of :func:`carry_out`. A cancellation closes *steps*."""
    with closing(steps):
        try:
            operation = next(steps)
            while True:
                try:
                    result = await run(operation)
                except ApiError as error:
                    operation = steps.throw(error)
                else:
                    operation = steps.send(result)
        except StopIteration as end:
            returned: ResultT = end.value
            return returned

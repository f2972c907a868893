"""What makes a call of ours behave as keen 0.7's: its errors, and its way with empty arguments."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from keen_client.compat.exceptions import as_before
from keen_client.errors import KeenError

ClassT = TypeVar("ClassT", bound=type)


def raising_as_before(kind: ClassT) -> ClassT:
    """Have every public method of the class *kind* raise the errors that keen 0.7 raised."""
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_") and not _is_static(kind, name):
            setattr(kind, name, _translated(method))
    return kind


def leaving_out_empty_arguments(queries: type) -> Callable[[ClassT], ClassT]:
    """Have a class take an empty optional argument of the methods of *queries* as one that was not given.

    keen 0.7 left out of a query whatever was empty or 0.
    """

    def decorate(kind: ClassT) -> ClassT:
        for name in vars(queries):
            method = getattr(kind, name)
            if inspect.isfunction(method) and not name.startswith("_"):
                setattr(kind, name, _without_empty(method))
        return kind

    return decorate


def _is_static(kind: type, name: str) -> bool:
    return isinstance(inspect.getattr_static(kind, name), staticmethod)


def _translated(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except KeenError as error:
            meant = as_before(error)
            if meant is error:
                raise
            raise meant from error

    return call


def _without_empty(method: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(method)
    optional = {name for name, parameter in signature.parameters.items() if parameter.default is None}

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        for name in optional & bound.arguments.keys():
            if not bound.arguments[name]:
                del bound.arguments[name]
        return method(*bound.args, **bound.kwargs)

    return call

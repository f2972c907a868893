"""The errors as a tree, and as values that can travel between processes."""

from __future__ import annotations

import copy
import pickle
import re
import traceback
from collections.abc import Iterator

import pytest

from keen_client import errors


def _tree(root: type[BaseException], depth: int = 0) -> Iterator[tuple[int, str]]:
    yield depth, root.__name__
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _tree(child, depth + 1)


def _drawn() -> list[tuple[int, str]]:
    lines = re.findall(r"^    ([│├└─ ]*)(\w+Error)\b", errors.__doc__ or "", flags=re.MULTILINE)
    return [(len(branch) // 4, name) for branch, name in lines]


CLASSES = [getattr(errors, name) for _, name in _tree(errors.KeenError)]


def test_drawn_tree_is_the_real_one() -> None:
    """The picture at the head of the module shows every class where it stands."""
    assert sorted(_drawn()) == sorted(_tree(errors.KeenError))
    assert _edges(_drawn()) == _edges(list(_tree(errors.KeenError)))


def _edges(tree: list[tuple[int, str]]) -> set[tuple[str, str]]:
    path: list[str] = []
    edges = set()
    for depth, name in tree:
        path = [*path[:depth], name]
        if depth:
            edges.add((path[depth - 1], name))
    return edges


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_error_survives_pickling_and_copying(kind: type[errors.KeenError]) -> None:
    """A job queue or a process pool hands the error on whole."""
    error = kind("what happened", "what to do")
    for name in [name for name in vars(error) if name not in {"message", "_hint", "__notes__"}]:
        setattr(error, name, f"the {name}")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is kind
        assert vars(twin) == vars(error)
        assert str(twin) == "what happened"
        assert twin.hint == "what to do"


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_hint_ends_the_traceback_once(kind: type[errors.KeenError]) -> None:
    """Whoever logs the exception sees what to do: once, after a pickling, a copy and another raise too."""
    raised: errors.KeenError = kind("what happened", "what to do")
    for error in (raised, pickle.loads(pickle.dumps(raised)), copy.copy(raised), copy.deepcopy(raised)):
        for _ in range(2):
            with pytest.raises(kind) as caught:
                raise error
        shown = traceback.format_exception(caught.value)
        assert "".join(shown).count("what to do") == 1
        assert shown[-1] == "hint: what to do\n"


def test_hint_that_is_given_later_takes_the_place_of_the_former() -> None:
    """A copy of the error keeps its own, and so do the notes of others."""
    error = errors.KeenError("what happened", "what to do")
    error.add_note("a note of the caller's")
    twin = copy.copy(error)
    error.hint = "something else"
    assert error.__notes__ == ["hint: something else", "a note of the caller's"]
    assert twin.__notes__ == ["hint: what to do", "a note of the caller's"]
    error.hint = None
    assert error.__notes__ == ["a note of the caller's"]


def test_error_without_a_hint_has_no_note() -> None:
    """Nothing is said where nothing is to be done."""
    assert errors.KeenError("what happened").__notes__ == []


def test_codes_are_unique() -> None:
    """A machine-readable code names one class."""
    codes = [kind.code for kind in CLASSES]
    assert len(codes) == len(set(codes))


def test_keyword_details_survive_pickling() -> None:
    """What was given by keyword only is there on the other side."""
    error = errors.RateLimitedError("m", "h", status=429, error_code="X", retry_after_seconds=1.5)
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.status, twin.error_code, twin.retry_after_seconds) == (429, "X", 1.5)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_docstring_says_what_is_true_of_the_data(kind: type[errors.KeenError]) -> None:
    """Each class says something of its own."""
    assert kind.__doc__
    assert kind.__doc__ != errors.KeenError.__doc__ or kind is errors.KeenError

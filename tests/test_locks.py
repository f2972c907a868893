"""What CI installs is pinned, with hashes, and is what pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.version import Version

ROOT: Final = Path(__file__).parents[1]
LOCK: Final = ROOT / ".ci" / "requirements.txt"
BUILD_LOCK: Final = ROOT / ".ci" / "requirements-build.txt"
#: The extras that CI tests with.
EXTRAS: Final = ("test", "peers")
_PIN: Final = re.compile(r"(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>[^ ;]+)(?: ; (?P<marker>.+?))? \\")
_HASH: Final = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")


def _entries(lock: Path) -> Iterator[tuple[re.Match[str], int]]:
    """Each pin, and how many hashes follow it; anything else in the file fails."""
    pin, hashes = None, 0
    for line in lock.read_text(encoding="utf-8").splitlines():
        if _HASH.fullmatch(line):
            hashes += 1
            continue
        if pin is not None:
            yield pin, hashes
        pin, hashes = _PIN.fullmatch(line), 0
        assert pin is not None, line
    assert pin is not None
    yield pin, hashes


def _pinned(lock: Path, python: str) -> dict[str, Version]:
    """What the lock installs on this platform under *python*, by name."""
    environment = {**default_environment(), "python_version": python, "python_full_version": f"{python}.0"}
    found: dict[str, Version] = {}
    for pin, _ in _entries(lock):
        requirement = Requirement(
            f"{pin['name']}=={pin['version']}" + (f"; {pin['marker']}" if pin["marker"] else "")
        )
        if requirement.marker is None or requirement.marker.evaluate(
            {k: str(v) for k, v in environment.items()}
        ):
            assert pin["name"] not in found, pin["name"]
            found[pin["name"]] = Version(pin["version"])
    return found


def _asked_for() -> Iterator[Requirement]:
    """The project's own requirements and those of the extras, with the extras that they name in turn."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras, waiting = project["optional-dependencies"], list(EXTRAS)
    texts = list(project["dependencies"])
    while waiting:
        texts += extras[waiting.pop()]
    for requirement in map(Requirement, texts):
        if requirement.name != project["name"]:
            yield requirement
            continue
        for extra in requirement.extras:
            yield from map(Requirement, extras[extra])


def _unmet(asked: Iterable[Requirement], pinned: Mapping[str, Version]) -> list[str]:
    """Those of *asked* that are not pinned, or in a version that they do not allow."""
    found = ((one, pinned.get(re.sub(r"[-_.]+", "-", one.name).lower())) for one in asked)
    return [str(one) for one, version in found if version is None or version not in one.specifier]


@pytest.mark.parametrize("lock", [LOCK, BUILD_LOCK], ids=lambda lock: lock.name)
def test_every_pin_has_hashes_and_no_line_says_where_from(lock: Path) -> None:
    """A package that somebody exchanged is refused; where packages come from is each machine's own affair."""
    entries = list(_entries(lock))
    assert all(hashes for _, hashes in entries)
    assert "://" not in lock.read_text(encoding="utf-8")
    names = [pin["name"] for pin, _ in entries]
    assert names == sorted(names)


@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_the_lock_has_what_the_project_asks_for(python: str) -> None:
    """In versions that pyproject.toml allows; `bash .ci/lock` makes it anew where this fails."""
    pinned = _pinned(LOCK, python)
    assert _unmet(_asked_for(), pinned) == []


def test_the_lock_has_what_builds_the_project() -> None:
    """Nothing is fetched while it is built; what both locks have they have in one version."""
    build = _pinned(BUILD_LOCK, "3.11")
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    assert _unmet(map(Requirement, asked), build) == []
    both = _pinned(LOCK, "3.11")
    assert {name: version for name, version in build.items() if both.get(name, version) != version} == {}

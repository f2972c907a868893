"""The power goes before any operation on the disk: what was promised by then is there when it is back."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.crash import shim
from tests.crash.nursery import Nursery
from tests.crash.power import (
    DURABILITIES,
    POLICIES,
    Disk,
    Operation,
    cut_often,
    record_history,
)

#: Drawn by the run's seed. All of them: ``python -m tests.crash.power``.
CUTS = 100
GONE_ON = 1


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[Operation]]]:
    """What a child did to its disk, by durability."""
    from tests.crash.conftest import Arena

    base = tmp_path_factory.mktemp("histories")
    arena, nursery = Arena(base), Nursery(shim.build(base))
    found = {}
    try:
        server = arena.serve()
        for durability in DURABILITIES:
            directory = base / durability
            directory.mkdir()
            found[durability] = directory, record_history(nursery, server, directory, durability)
    finally:
        nursery.end()
        arena.end()
    return found


@pytest.mark.parametrize("durability", DURABILITIES)
def test_power_that_goes_at_any_operation_breaks_no_promise(
    histories: dict[str, tuple[Path, list[Operation]]], durability: str, seed: int
) -> None:
    """``full`` loses no receipt; ``normal`` only the newest, never a hole, and neither an event that was sent."""
    directory, operations = histories[durability]
    chance = random.Random(seed)
    cuts = [(chance.randrange(len(operations) + 1), chance.choice(POLICIES)) for _ in range(CUTS)]
    tally = cut_often(operations, directory, durability, cuts, chance=chance, gone_on=GONE_ON)
    print(f"\n{tally}")
    assert tally.cuts == CUTS
    assert tally.gone_on
    assert bool(tally.costly) == (durability == "normal"), "normal is to cost something: else nothing was cut"


@pytest.mark.parametrize(
    ("durability", "kind", "part", "broken"),
    [
        ("full", "F", ".db-wal", "receipts of durability full are lost|the log is gone"),
        ("normal", "F", ".db-wal", "was sent, and is not in the log|a hole|past the end"),
        ("full", "D", "segments", "are lost"),
        ("full", "F", "state.db", "is not journalled|state.db"),
    ],
)
def test_a_sync_that_is_left_out_is_found(
    histories: dict[str, tuple[Path, list[Operation]]], durability: str, kind: str, part: str, broken: str
) -> None:
    """The same history without one kind of sync breaks a promise: the cuts above can fail."""
    directory, operations = histories[durability]
    lazy = [op for op in operations if not (op.kind == kind and part in op.path)]
    assert len(lazy) < len(operations)
    cuts = [(position, "nothing") for position in range(0, len(lazy) + 1, 40)]
    with pytest.raises(AssertionError, match=broken):
        cut_often(lazy, directory, durability, cuts, chance=random.Random(1))  # type: ignore[arg-type]


def test_what_the_model_of_the_disk_keeps() -> None:
    """A file's sync keeps its content and not its name; a directory's sync keeps its names and not their content."""
    disk = Disk()
    made = Operation("c", 7, 0, "/d/a", "", b"")
    written = Operation("w", 7, 2, "/d/a", "", b"xyz")
    for operation in (made, written, Operation("F", 7, 0, "/d/a", "", b"")):
        disk.apply(operation)
    chance = random.Random(1)
    assert disk.image("nothing", chance) == {}
    assert disk.image("names", chance) == {"/d/a": (b"\0\0xyz", 0o600)}
    for operation in (
        Operation("D", 1, 0, "/d", "", b""),
        Operation("t", 7, 3, "/d/a", "", b""),
        Operation("r", 7, 0, "/d/a", "/d/b", b""),
    ):
        disk.apply(operation)
    assert disk.image("nothing", chance) == {"/d/a": (b"\0\0xyz", 0o600)}
    assert disk.image("contents", chance) == {"/d/a": (b"\0\0x", 0o600)}
    assert disk.image("names", chance) == {"/d/b": (b"\0\0xyz", 0o600)}

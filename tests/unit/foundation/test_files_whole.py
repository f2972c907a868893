"""Files: replaced whole or not at all, private, and the kind of disk they lie on."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from keen_client._foundation import files


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_written_file_is_new_whole_and_private(tmp_path: Path) -> None:
    """The content is there, only the owner may read it, and no temporary file is left."""
    path = tmp_path / "f"
    files.write_whole(path, b"one")
    files.write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fdopen", "sync_descriptor", "replace"])
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Whichever step fails, a reader finds the old content whole, and no temporary file lies about."""
    path = tmp_path / "f"
    files.write_whole(path, b"old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    if step == "fdopen":
        real = os.fdopen

        def closing(descriptor: int, *rest: object) -> None:
            real(descriptor, "wb").close()
            fail()

        monkeypatch.setattr(os, "fdopen", closing)
    elif step == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    else:
        monkeypatch.setattr(files, step, fail)
    with pytest.raises(OSError, match="No space"):
        files.write_whole(path, b"new")

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_new_content_is_synced_before_it_takes_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order survives a power loss: data, then the name, then the directory."""
    steps: list[str] = []

    def noting(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*given: Any) -> Any:
            steps.append(name)
            return real(*given)

        return noted

    monkeypatch.setattr(files, "sync_descriptor", noting("data", files.sync_descriptor))
    monkeypatch.setattr(Path, "replace", noting("name", Path.replace))
    monkeypatch.setattr(files, "sync_directory", noting("directory", files.sync_directory))
    files.write_whole(tmp_path / "f", b"x")
    assert steps == ["data", "name", "directory"]


def test_a_private_directory_and_its_parents(tmp_path: Path) -> None:
    """Each that is new is its owner's only, whatever the umask; True when it is new, False when it was there."""
    path = tmp_path / "a" / "b"
    usual = os.umask(0)
    try:
        assert files.make_private_directory(path)
    finally:
        os.umask(usual)
    assert (mode(path), mode(path.parent)) == (0o700, 0o700)
    assert not files.make_private_directory(path)


def test_a_file_is_not_written_through_what_others_laid_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each writing has a temporary name of its own, which no link and no file of others can have taken."""
    names: list[str] = []

    def noting(self: Path, target: Path) -> Path:
        names.append(self.name)
        assert not self.is_symlink()
        assert mode(self) == 0o600
        return rename(self, target)

    rename = Path.replace
    monkeypatch.setattr(Path, "replace", noting)
    for _ in range(3):
        files.write_whole(tmp_path / "f", b"x")
    assert len(set(names)) == 3


def test_a_link_under_the_name_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """Whoever put a link there does not choose which file is overwritten."""
    other = tmp_path / "other"
    other.write_bytes(b"untouched")
    (tmp_path / "f").symlink_to(other)
    files.write_whole(tmp_path / "f", b"new")
    assert other.read_bytes() == b"untouched"
    assert not (tmp_path / "f").is_symlink()


def test_allocated_space_is_really_taken(tmp_path: Path) -> None:
    """A reserve that is sparse would be none."""
    path = tmp_path / "reserve"
    files.allocate(path, 100_000)
    status = path.stat()
    assert status.st_size == 100_000
    assert status.st_blocks * 512 >= 100_000
    assert mode(path) == 0o600


def test_no_file_is_left_where_there_is_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reserve that could not be had does not pretend to be one."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", fail)
    with pytest.raises(OSError, match="No space"):
        files.allocate(tmp_path / "reserve", 1000)
    assert list(tmp_path.iterdir()) == []


def test_identity_follows_the_file_and_not_its_name(tmp_path: Path) -> None:
    """Another file under the same name is another; none is None; syncing none is False."""
    path = tmp_path / "f"
    assert files.file_identity(path) is None
    assert not files.sync_file(path)
    path.write_bytes(b"1")
    first = files.file_identity(path)
    (tmp_path / "g").write_bytes(b"2")
    (tmp_path / "g").replace(path)
    assert first is not None
    assert files.file_identity(path) not in (None, first)
    assert files.sync_file(path)


MOUNTS = """\
proc /proc proc rw 0 0
/dev/sda1 / ext4 rw 0 0
tmpfs /mnt tmpfs rw 0 0
server:/x /mnt/with\\040space nfs4 rw 0 0
/dev/sdb1 /mnt/data ext4 rw 0 0
server:/y /mnt/data nfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/etc/x", "ext4"),
        ("/mnt/elsewhere", "tmpfs"),
        ("/mnt", "tmpfs"),
        ("/mnt/with space/log", "nfs4"),
        ("/mnt/data/log", "nfs"),  # the later mount lies over the earlier one
        ("/mnt/database/log", "tmpfs"),  # a prefix of letters is no parent
    ],
)
def test_the_nearest_mount_tells_the_kind_of_disk(
    monkeypatch: pytest.MonkeyPatch, path: str, kind: str
) -> None:
    """The deepest mount point that holds the path, and of several on one point the last."""
    real = Path.read_text

    def read_text(self: Path, *given: str, **named: str) -> str:
        return MOUNTS if str(self) == "/proc/self/mounts" else real(self, *given, **named)

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(Path, "resolve", lambda self: self)
    assert files.filesystem_type(Path(path)) == kind


def test_the_kind_of_disk_may_be_untold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system does not list its mounts nothing is guessed, and nothing called a network."""

    def fail(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", fail)
    assert files.filesystem_type(Path("/x")) is None
    assert not files.is_network_filesystem(None)
    assert not files.is_memory_filesystem(None)


def test_networks_and_memory_are_told_apart() -> None:
    """NFS, SMB and their like cannot be trusted with locks; tmpfs forgets."""
    assert [k for k in ("nfs4", "cifs", "ext4", "tmpfs") if files.is_network_filesystem(k)] == [
        "nfs4",
        "cifs",
    ]
    assert [k for k in ("nfs4", "ramfs", "ext4", "tmpfs") if files.is_memory_filesystem(k)] == [
        "ramfs",
        "tmpfs",
    ]


def test_the_boot_is_named_the_same_twice() -> None:
    """It changes with the machine's start and not in between."""
    assert files.boot_id()
    assert files.boot_id() == files.boot_id()


def test_a_file_is_born_once_and_its_copy_later(tmp_path: Path) -> None:
    """Whatever is done to it; the number of its inode may be given again, its birth is not."""
    path = tmp_path / "f"
    path.write_bytes(b"one")
    born_ns = files.birth_ns(path)
    assert born_ns is not None
    path.chmod(0o400)
    path.rename(tmp_path / "g")
    assert files.birth_ns(tmp_path / "g") == born_ns
    while files.birth_ns(path.with_name("h")) in (None, born_ns):  # clocks of file systems tick slowly
        path.with_name("h").unlink(missing_ok=True)
        shutil.copy2(tmp_path / "g", path.with_name("h"))
    assert files.birth_ns(path.with_name("h")) > born_ns  # type: ignore[operator]


@pytest.mark.parametrize("libc", [object(), SimpleNamespace(statx=lambda *_: -1)], ids=["old", "refused"])
def test_a_birth_that_cannot_be_told_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, libc: object
) -> None:
    """With a C library that has no statx, and where the call is refused."""
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: libc)
    assert files._linux_birth_ns(tmp_path) is None


def test_a_python_without_ctypes_tells_no_birth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was built without libffi works, and goes by the number of the inode."""
    monkeypatch.setitem(sys.modules, "ctypes", None)
    assert files._linux_birth_ns(tmp_path) is None

"""Files and directories: private, synced, replaced whole or not at all."""

from __future__ import annotations

import functools
import os
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

#: Only the owner reads and writes.
PRIVATE_FILE_MODE: Final = 0o600
PRIVATE_DIRECTORY_MODE: Final = 0o700
#: A sealed file: only the owner reads.
SEALED_FILE_MODE: Final = 0o400

_F_FULLFSYNC: Final = 51  # macOS: fsync alone leaves data in the drive's cache
#: Linux's <linux/stat.h>, the same on every architecture.
_AT_FDCWD: Final = -100
_STATX_BTIME: Final = 0x800
_STATX_BTIME_OFFSET: Final = 80
_STATX_SIZE: Final = 256
_NETWORK_FILESYSTEMS: Final = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "afs",
        "ceph",
        "glusterfs",
        "9p",
        "fuse.sshfs",
        "lustre",
        "beegfs",
    }
)
_MEMORY_FILESYSTEMS: Final = frozenset({"tmpfs", "ramfs"})


def sync_descriptor(descriptor: int) -> None:
    """Return only when the file's data is on stable storage."""
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(descriptor, _F_FULLFSYNC)
    else:
        os.fdatasync(descriptor)


def sync_file(path: Path) -> bool:
    """Sync *path*; False when there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        sync_descriptor(descriptor)
    finally:
        os.close(descriptor)
    return True


def sync_directory(path: Path) -> None:
    """Make the names in directory *path* survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private_directory(path: Path) -> bool:
    """Make *path* and its missing parents, for their owner only, and sync every new name; True when it is new."""
    if path.is_dir():
        return False
    new = [path, *(parent for parent in path.parents if not parent.exists())]
    for directory in reversed(new):
        # Not by parents=True: whoever may write to a parent can put another directory in the place of *path*.
        directory.mkdir(mode=PRIVATE_DIRECTORY_MODE, exist_ok=True)
        sync_directory(directory.parent)
    return True


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Write *path* anew, privately: a reader sees the old file or the new one, whole.

    Under its name it stands only once the block has ended without an error.
    """
    # A new file under a name that nobody can guess: in a directory that others may write to, a file or
    # a link of theirs would be written to instead.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            sync_descriptor(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_whole(path: Path, content: bytes) -> None:
    """Replace *path* by *content*; see :func:`whole_file`."""
    with whole_file(path) as file:
        file.write(content)


def allocate(path: Path, size_bytes: int) -> None:
    """Make *path* hold *size_bytes* of really allocated space. OSError when there is no room."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, PRIVATE_FILE_MODE)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size_bytes)
        else:
            os.write(descriptor, bytes(size_bytes))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def free_bytes(path: Path) -> int:
    """What an ordinary user may still write on the file system of *path*."""
    return shutil.disk_usage(path).free


def file_identity(path: Path) -> tuple[int, int] | None:
    """(device, inode) of *path* by stat, never by open; None when there is no such file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def birth_ns(path: Path) -> int | None:
    """When the inode of *path* was made, in nanoseconds since 1970; None where that cannot be told.

    The number of an inode is given again, to the next file that is made, say.
    By stat, never by open, like :func:`file_identity`.
    """
    if sys.platform == "darwin":
        return int(path.stat().st_birthtime * 1e9)
    return _linux_birth_ns(path)


def _linux_birth_ns(path: Path) -> int | None:
    """By statx(2), which :mod:`os` does not have yet; nor has every Python ctypes."""
    try:
        import ctypes

        answer = ctypes.create_string_buffer(_STATX_SIZE)
        failed = ctypes.CDLL(None).statx(_AT_FDCWD, os.fsencode(path), 0, _STATX_BTIME, answer)
    except (ImportError, AttributeError, OSError):
        return None  # or an old libc
    (known,) = struct.unpack_from("=I", answer, 0)
    if failed or not known & _STATX_BTIME:
        return None
    seconds, nanoseconds = struct.unpack_from("=qI", answer, _STATX_BTIME_OFFSET)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def boot_id() -> str:
    """A text that changes with every start of the machine; where the system tells none, with every process."""
    if sys.platform == "darwin":
        import subprocess

        done = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (
        OSError
    ):  # a sandbox without it: each process has segments of its own then, and no number is given twice
        return _own_boot_id()


@functools.cache
def _own_boot_id() -> str:
    return os.urandom(16).hex()


def filesystem_type(path: Path) -> str | None:
    """The type of the file system that holds *path* (``ext4``, ``nfs4``); None where it cannot be told."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    resolved = str(path.resolve())
    best, kind = "", None
    for line in mounts.splitlines():
        fields = line.split(" ")
        mount = fields[1].replace("\\040", " ")
        inside = resolved == mount or resolved.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, fields[2]
    return kind


def is_network_filesystem(kind: str | None) -> bool:
    """Whether locks and syncs of this file system type cannot be trusted."""
    return kind in _NETWORK_FILESYSTEMS


def is_memory_filesystem(kind: str | None) -> bool:
    """Whether this file system type forgets everything at a reboot."""
    return kind in _MEMORY_FILESYSTEMS

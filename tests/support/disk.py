"""A disk that a test can fill: a small file system in memory, or, where none may be mounted, a limit on file sizes."""

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

_SIZE_MIB = 96
_CHUNK = bytes(64 * 1024)


class SmallDisk:
    """A folder on a file system of its own."""

    is_mounted = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, _pid: int, *, spare_bytes: int = 0) -> None:
        """Take all the room there is but `spare_bytes`."""
        descriptor = os.open(self.folder / "filler", os.O_WRONLY | os.O_CREAT)
        try:
            with contextlib.suppress(OSError):
                while True:
                    os.write(descriptor, _CHUNK)
            with contextlib.suppress(OSError):
                while True:
                    os.write(descriptor, b"0")
            os.ftruncate(descriptor, os.fstat(descriptor).st_size - spare_bytes)
        finally:
            os.close(descriptor)

    def free(self, _pid: int) -> None:
        """Give the room back."""
        (self.folder / "filler").unlink()


class LimitedFiles:
    """A folder like any other, and a process that may not let its files grow."""

    is_mounted = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, pid: int, *, spare_bytes: int = 0) -> None:
        """Let the process write no file beyond `spare_bytes`."""
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (spare_bytes + 1, hard))

    def free(self, pid: int) -> None:
        """Lift the limit."""
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


@contextlib.contextmanager
def small_disk(folder: Path, size_mib: int = _SIZE_MIB) -> Iterator[SmallDisk | LimitedFiles]:
    """Yield a disk below `folder`."""
    place = folder / "disk"
    place.mkdir(mode=0o711)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=711", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        yield LimitedFiles(place)
        return
    try:
        yield SmallDisk(place)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)

"""Data folders: created, locked, measured and checked before a server uses them."""

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import msgspec

from marketplace.core.errors import Corrupt, Refusal
from marketplace.embedded.process import Account

FREE_BYTES_MIN = 256 * 1024 * 1024
CLAIM_SECONDS_MAX = 10.0
_PASSWORD_BYTES = 24
_PRIVATE_FILE = 0o600


@contextlib.contextmanager
def temporary_folder(prefix: str = "marketplace-") -> Iterator[Path]:
    """Yield a new folder in which both servers can work, as any user, and remove it afterwards.

    Others may pass through it but not list it (mode 711), because PostgreSQL under root runs as another user.
    """
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        folder.chmod(0o711)
        yield folder


@contextlib.asynccontextmanager
async def claim(folder: Path, free_bytes_min: int = FREE_BYTES_MIN) -> AsyncIterator[int]:
    """Create the folder if it is missing, lock it, and yield the lock's file descriptor.

    A child that inherits the descriptor keeps the lock. A server that is still stopping, or that was left behind,
    therefore never shares its files with a second one.

    Raises:
        Refusal: ``data_folder_in_use`` when another process holds it for more than ten seconds.
        Corrupt: The disk is full, read-only or not writable for us.
    """
    descriptor = _open_lock(folder)
    try:
        await _lock(descriptor, folder)
        _check_space(folder, free_bytes_min)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _open_lock(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / "lock", os.O_RDWR | os.O_CREAT, _PRIVATE_FILE)
    except OSError as error:
        raise Corrupt(
            f"the data folder {folder} cannot be written: {error}; choose a folder on another disk"
        ) from error


def _check_space(folder: Path, free_bytes_min: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < free_bytes_min:
        raise Corrupt(
            f"the disk of the data folder {folder} is full: {free_bytes} bytes are free and {free_bytes_min} are "
            "needed to start; free some space or choose a folder on another disk"
        )


async def _lock(descriptor: int, folder: Path) -> None:
    deadline = time.monotonic() + CLAIM_SECONDS_MAX
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                holder = os.pread(descriptor, 32, 0).decode(errors="replace")
                raise Refusal(
                    "data_folder_in_use",
                    f"the data folder {folder} is in use by process {holder} or by a server that it started; "
                    "stop that one first, or choose another folder",
                    folder=str(folder),
                    process=holder,
                ) from None
            await asyncio.sleep(0.05)
        else:
            return


def load_passwords(path: Path, names: Sequence[str], *, may_grow: bool = False) -> dict[str, str]:
    """Return one password per name from a file of mode 600, which is created if it is missing.

    Args:
        path: The file.
        names: The users.
        may_grow: Whether missing names get a password now. A server that reads its users at every start can have new
            ones; a database that stores its users cannot.

    Raises:
        Corrupt: The file does not contain them.
    """
    is_new = not path.exists()
    try:
        passwords = {} if is_new else msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except msgspec.DecodeError as error:
        raise Corrupt(f"{path} does not contain the passwords of {', '.join(names)}: {error!r}; restore it") from error
    missing = [name for name in names if name not in passwords]
    if missing and not (is_new or may_grow):
        raise Corrupt(f"{path} does not contain the passwords of {', '.join(missing)}; restore it")
    if missing:
        passwords |= {name: secrets.token_urlsafe(_PASSWORD_BYTES) for name in missing}
        write_private(path, json.dumps(passwords))
    return {name: passwords[name] for name in names}


def write_private(path: Path, text: str, account: Account | None = None) -> None:
    """Write a file that only its owner can read, completely or not at all.

    Args:
        path: The file. An existing one is replaced.
        text: Its content.
        account: Its owner; None: the user of this process.
    """
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
        if account is not None:
            os.fchown(descriptor, account.uid, account.gid)
    draft.rename(path)


def find_closed_parent(path: Path, account: Account) -> Path | None:
    """Return the first folder on the way to `path`, `path` included, that the account may not enter; else None."""
    for folder in reversed([path, *path.parents]):
        if folder.exists() and not _may_enter(folder.stat(), account):
            return folder
    return None


def _may_enter(status: os.stat_result, account: Account) -> bool:
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)

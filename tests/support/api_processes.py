"""API processes on running servers, as an operator starts them, each printing into a file."""

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from marketplace.embedded.nats import NatsServers
from marketplace.embedded.process import find_free_port
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.migrate import migrate
from marketplace.runtime.process.secrets import new_admin_key
from tests.support.patience import PATIENCE_SECONDS

READY_SECONDS_MAX = 120


@dataclass
class Processes:
    urls: list[str]
    admin_key: str
    folder: Path

    def read_log(self, number: int) -> str:
        return (self.folder / f"api-{number}.log").read_text()

    def open_client(self, number: int, token: str | None = None, **options) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token or self.admin_key}"}
        return httpx.AsyncClient(base_url=self.urls[number], headers=headers, timeout=PATIENCE_SECONDS, **options)


@asynccontextmanager
async def running_apis(
    folder: Path, nats: NatsServers, database_url: str, count: int = 1, **settings: str
) -> AsyncIterator[Processes]:
    """Yield API processes on a migrated database; `settings` are MARKETPLACE_… without the prefix."""
    engine = build_engine(database_url)
    await migrate(engine)
    await engine.dispose()
    environment = {
        "PATH": os.environ["PATH"],
        "MARKETPLACE_NATS_URL": nats.url,
        "MARKETPLACE_NATS_ADMIN_URL": nats.admin_url,
        "MARKETPLACE_DATABASE_URL": database_url,
        "MARKETPLACE_API_KEY_SECRET": secrets.token_hex(32),
        "MARKETPLACE_ADMIN_KEY": new_admin_key(),
    } | {f"MARKETPLACE_{name.upper()}": value for name, value in settings.items()}
    processes = Processes([], environment["MARKETPLACE_ADMIN_KEY"], folder)
    async with AsyncExitStack() as stack:
        for number in range(count):
            port = find_free_port()
            process = _start(folder / f"api-{number}.log", port, environment)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            processes.urls.append(f"http://127.0.0.1:{port}")
        for number in range(count):
            await _wait_until_live(processes, number)
        yield processes


def _start(output: Path, port: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "marketplace", "serve", "--role", "api", "--port", str(port)]
    with output.open("wb") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


async def _wait_until_live(processes: Processes, number: int) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    async with processes.open_client(number) as client:
        while time.monotonic() < deadline:
            try:
                if (await client.get("/health/ready")).is_success:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.1)
    raise AssertionError(processes.read_log(number))

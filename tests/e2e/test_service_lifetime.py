"""A worker and an API wait for servers that are away as they start, and a worker ends at once when it is told to."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import httpx
import pytest

from marketplace.embedded.folder import temporary_folder
from marketplace.embedded.nats import embedded_nats
from marketplace.embedded.postgres import embedded_postgres
from marketplace.embedded.process import find_free_port
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.migrate import migrate
from marketplace.runtime.process.secrets import new_admin_key, new_secret
from tests.support.patience import PATIENCE_SECONDS

STOP_SECONDS_MAX = 10.0
"""A stop takes two seconds at most; a loaded machine may take some longer to run it at all."""

HEAVY = """
import os, sys
from marketplace.cli import main

class Kept:
    def __del__(self):
        os.close(os.open(os.environ["TAKEN_APART"], os.O_CREAT))

kept = [Kept(), *([number] for number in range(2_000_000))]
kept.append(kept)
sys.argv = ["marketplace", "serve", "--role", "worker"]
main()
"""
"""A worker that holds two million objects in a cycle, of which one tells when it is taken apart."""


class Services:
    """Processes of the command line on servers that may be away."""

    def __init__(self, folder, nats_url, admin_url, database_url):
        self.folder = folder
        self.stack = ExitStack()
        self.environment = os.environ | {
            "MARKETPLACE_NATS_URL": nats_url,
            "MARKETPLACE_NATS_ADMIN_URL": admin_url,
            "MARKETPLACE_DATABASE_URL": database_url,
            "MARKETPLACE_API_KEY_SECRET": new_secret(),
            "MARKETPLACE_ADMIN_KEY": new_admin_key(),
        }

    def start(self, role, *options, command=("-m", "marketplace", "serve", "--role")):
        arguments = [sys.executable, *command, *([role] if command[0] == "-m" else []), *options]
        sink = self.stack.enter_context((self.folder / f"{role}.log").open("w"))
        process = subprocess.Popen(arguments, env=self.environment, stdout=sink, stderr=sink)
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return process

    def read_events(self, role):
        lines = (self.folder / f"{role}.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def wait_for_event(self, role, name, text=""):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            for event in self.read_events(role):
                if event["event"] == name and text in event.get("reason", ""):
                    return event
            time.sleep(0.1)
        raise AssertionError((self.folder / f"{role}.log").read_text())


def stop(process):
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code = process.wait(timeout=PATIENCE_SECONDS)
    return code, time.monotonic() - begun


@pytest.mark.timeout(300)
async def test_what_starts_while_its_servers_are_away_waits_and_says_so(tmp_path):
    with temporary_folder() as folder, ExitStack() as stack:
        nats_port, postgres_port, port = (find_free_port() for _ in range(3))
        async with embedded_nats(folder / "nats", port=nats_port) as servers:
            urls = servers.url, servers.admin_url
        async with embedded_postgres(folder / "postgres", port=postgres_port) as server:
            engine = build_engine(server.url)
            await migrate(engine)
            await engine.dispose()
        services = Services(tmp_path, *urls, server.url)
        stack.callback(services.stack.close)
        worker = services.start("worker")
        api = services.start("api", "--port", str(port))
        for role in ("worker", "api"):
            services.wait_for_event(role, "start_waits", f"127.0.0.1:{nats_port}")
        assert [process.poll() for process in (worker, api)] == [None, None]
        async with (
            embedded_nats(folder / "nats", port=nats_port),
            embedded_postgres(folder / "postgres", port=postgres_port),
        ):
            await has_projected(services, port)
            assert stop(worker)[0] == 0
            assert stop(api)[0] == 0


async def has_projected(services, port):
    """Wait until a command that the API takes is projected by the worker."""
    headers = {"Authorization": f"Bearer {services.environment['MARKETPLACE_ADMIN_KEY']}", "Idempotency-Key": "1"}
    body = {"name": "First", "roles": ["startup"], "jurisdiction": "US"}
    deadline = time.monotonic() + PATIENCE_SECONDS
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS) as client:
        while time.monotonic() < deadline:
            try:
                answer = await client.post("/v1/parties", json=body, headers=headers)
                if answer.status_code == 201:
                    party = answer.json()
                    least = headers | {"Min-Seq": str(party["sequence"])}
                    read = await client.get(f"/v1/parties/{party['id']}", headers=least)
                    if read.is_success:
                        return
            except httpx.TransportError:
                time.sleep(0.1)  # noqa: ASYNC251 - nothing else runs in this loop
    raise AssertionError([path.read_text()[-2_000:] for path in services.folder.glob("*.log")])


@pytest.mark.timeout(120)
def test_a_worker_that_waits_for_its_servers_ends_when_it_is_told_to(tmp_path):
    url = f"nats://app:secret@127.0.0.1:{find_free_port()}"
    services = Services(tmp_path, url, url, "postgresql://nobody@127.0.0.1:1/none")
    with services.stack:
        worker = services.start("worker")
        services.wait_for_event("worker", "start_waits")
        code, seconds = stop(worker)
        assert (code, seconds < STOP_SECONDS_MAX) == (0, True)


@pytest.mark.timeout(120)
async def test_a_worker_leaves_its_state_to_the_system_when_it_is_told_to_end(
    jetstream_log, nats_server, database_url, tmp_path
):
    engine = build_engine(database_url)
    await migrate(engine)
    await engine.dispose()
    services = Services(tmp_path, nats_server.url, nats_server.admin_url, database_url)
    taken_apart = tmp_path / "taken apart"
    services.environment["TAKEN_APART"] = str(taken_apart)
    with services.stack:
        worker = services.start("worker", command=("-c", HEAVY))
        services.wait_for_event("worker", "worker_works")
        code, seconds = stop(worker)
    assert (code, seconds < STOP_SECONDS_MAX) == (0, True)
    assert not taken_apart.exists()


@pytest.mark.timeout(120)
async def test_a_worker_ends_while_its_servers_stand_still(database_url, tmp_path):
    engine = build_engine(database_url)
    await migrate(engine)
    await engine.dispose()
    async with embedded_nats(tmp_path / "nats") as servers:
        services = Services(tmp_path, servers.url, servers.admin_url, database_url)
        child = servers.members[0].child
        with services.stack:
            worker = services.start("worker")
            services.wait_for_event("worker", "worker_works")
            os.kill(child.pid, signal.SIGSTOP)
            try:
                code, seconds = stop(worker)
            finally:
                os.kill(child.pid, signal.SIGCONT)
    assert (code, seconds < STOP_SECONDS_MAX) == (0, True)

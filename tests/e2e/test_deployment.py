"""The topology of `docker-compose.yml` without Docker: its commands and its environment on real servers."""

import json
import os
import re
import secrets
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import yaml

from marketplace.embedded.process import find_free_port
from marketplace.runtime.process.secrets import new_admin_key
from tests.support.deployment import Cluster
from tests.support.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
READY_SECONDS_MAX = 120


class Deployment:
    """Processes of the compose file, with its host names replaced by those of this machine."""

    def __init__(self, stack, folder, cluster, database_url):
        self.stack = stack
        self.folder = folder
        self.services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        self.key = new_admin_key()
        values = {
            "NATS_APP_PASSWORD": "papp",
            "NATS_WATCH_PASSWORD": "pwatch",
            "POSTGRES_PASSWORD": "unused",
            "MARKETPLACE_API_KEY_SECRET": secrets.token_hex(32),
            "MARKETPLACE_ADMIN_KEY": self.key,
        }
        written = self.services["api-1"]["environment"]

        def fill(found):
            name, default = found[1], found[2]
            return values[name] if default is None else values.get(name, default)

        filled = {name: re.sub(r"\$\{([A-Z_]+)(?::-([^}]*)|[^}]*)\}", fill, text) for name, text in written.items()}
        for name, port in cluster.client_ports.items():
            for url in ("MARKETPLACE_NATS_URL", "MARKETPLACE_NATS_SYSTEM_URL"):
                filled[url] = filled[url].replace(f"{name}:4222", f"127.0.0.1:{port}")
        filled["MARKETPLACE_DATABASE_URL"] = database_url
        self.environment = {"PATH": os.environ["PATH"], **filled}

    def start(self, service, name, port=None):
        command = list(self.services[service]["command"])
        if port is not None:
            command[command.index("--host") + 1] = "127.0.0.1"
            command[command.index("--port") + 1] = str(port)
        program = Path(sys.executable).parent / command[0]
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [program, *command[1:]], env=self.environment, cwd=self.folder, stdout=log, stderr=log
            )
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return process

    def wait_until_ready(self, url):
        for _ in range(READY_SECONDS_MAX * 10):
            try:
                if httpx.get(f"{url}/health/ready", timeout=PATIENCE_SECONDS).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise AssertionError([(log.name, log.read_text()[-800:]) for log in self.folder.glob("*.log")])

    def register(self, url, name):
        headers = {"Authorization": f"Bearer {self.key}", "Idempotency-Key": name}
        body = {"name": name, "roles": ["startup"], "jurisdiction": "US"}
        answer = httpx.post(f"{url}/v1/parties", json=body, headers=headers, timeout=PATIENCE_SECONDS)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def read(self, url, party):
        headers = {"Authorization": f"Bearer {self.key}", "Min-Seq": str(party["sequence"])}
        for _ in range(20):
            answer = httpx.get(f"{url}/v1/parties/{party['id']}", headers=headers, timeout=PATIENCE_SECONDS)
            if answer.status_code != 503:
                return answer.json()["name"]
        raise AssertionError(answer.text)


@pytest.mark.timeout(240)
@pytest.mark.xdist_group("stack")
async def test_two_apis_and_two_workers_share_one_market_and_one_worker_may_die(tmp_path, database_url):
    cluster = Cluster(tmp_path)
    with ExitStack() as stack:
        stack.callback(cluster.stop)
        cluster.start()
        await cluster.wait()
        deployment = Deployment(stack, tmp_path, cluster, database_url)
        assert deployment.start("migrate", "migrate").wait(timeout=PATIENCE_SECONDS) == 0
        ports = [find_free_port(), find_free_port()]
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        workers = [deployment.start(role, role) for role in ("projector", "auctioneer")]
        for service, port in zip(("api-1", "api-2"), ports, strict=True):
            deployment.start(service, service, port)
        for url in urls:
            deployment.wait_until_ready(url)
        first = deployment.register(urls[0], "first")
        assert deployment.read(urls[1], first) == "first"
        assert deployment.register(urls[1], "first")["id"] == first["id"]
        workers[0].kill()
        second = deployment.register(urls[1], "second")
        assert deployment.read(urls[0], second) == "second"
        assert workers[1].poll() is None


def test_an_api_without_its_secrets_says_which_one(tmp_path):
    environment = {"PATH": os.environ["PATH"], "MARKETPLACE_NATS_URL": "nats://127.0.0.1:1"}
    command = [sys.executable, "-m", "marketplace", "serve", "--role", "api"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 2
    told = json.loads(done.stderr)
    assert (told["event"], told["level"], told["code"]) == ("process_ended", "error", "setting_missing")
    assert told["timestamp"].endswith("Z")
    assert "MARKETPLACE_API_KEY_SECRET" in told["reason"]


def test_the_new_admin_key_is_one_that_the_api_takes():
    command = [sys.executable, "-m", "marketplace", "serve", "new-admin-key"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert re.fullmatch(r"mkp_[0-9a-z]{26}_[0-9a-f]{64}\n", done.stdout)


def run_serve(role: str, folder, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        **{f"MARKETPLACE_{name.upper()}": text for name, text in settings.items()},
    }
    command = [sys.executable, "-m", "marketplace", "serve", "--role", role, "--port", str(find_free_port())]
    return subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


@pytest.mark.parametrize("role", ["api", "worker"])
def test_a_process_refuses_a_database_that_was_not_migrated(role, tmp_path, empty_database_url, nats_server):
    secrets_ = {"api_key_secret": secrets.token_hex(32), "admin_key": new_admin_key()}
    done = run_serve(role, tmp_path, nats_url=nats_server.url, database_url=empty_database_url, **secrets_)
    assert done.returncode == 2, done.stderr
    assert "database_not_migrated" in done.stderr
    assert "marketplace migrate" in done.stderr
    assert "Traceback" not in done.stderr


def test_migrate_works_from_any_folder_and_twice(tmp_path, empty_database_url):
    command = [sys.executable, "-m", "marketplace", "migrate"]
    environment = {"PATH": os.environ["PATH"], "MARKETPLACE_DATABASE_URL": empty_database_url}
    for _ in range(2):
        done = subprocess.run(
            command,
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "tables of this release" in done.stdout
    done = subprocess.run(
        command, env={"PATH": os.environ["PATH"]}, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "MARKETPLACE_DATABASE_URL" in done.stderr) == (2, True)

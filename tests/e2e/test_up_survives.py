"""`marketplace up` starts again what is killed under it, and outlives a full disk."""

import os
import re
import signal
import time
from pathlib import Path

import httpx
import pytest

from marketplace.embedded.folder import temporary_folder
from tests.e2e.test_commands import PARTY, Up
from tests.support.disk import SmallDisk, small_disk
from tests.support.patience import PATIENCE_SECONDS

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("stack")]
ANSWER_SECONDS_MAX = 15.0
"""Far below the 20 s after which an append is given up."""


def find_child(parent: int, pattern: str) -> int:
    """Return the process started by another whose command line has a pattern in it."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if int(stat[1]) == parent and stat[0] != "Z" and re.search(pattern, command):
            return int(folder.name)
    raise AssertionError(f"no child of {parent} is {pattern}")


def wait_until(condition, said):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError(said())


def is_ready(up):
    try:
        answer = httpx.get(f"{up.url}/health/ready", timeout=PATIENCE_SECONDS)
    except httpx.TransportError:
        return False
    return answer.is_success and answer.json()["reads"]


def store(up, name):
    """Store a command, again and again with one key where it is refused for now, and read it back."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            answer = up.post("/v1/parties", PARTY | {"name": name}, name)
            if answer.status_code == 201:
                party = answer.json()
                read = up.get(f"/v1/parties/{party['id']}", party["sequence"])
                if read.status_code == 200:
                    assert read.json()["name"] == name
                    return party
            else:
                assert answer.status_code in {409, 503}, answer.text
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError(up.log.read_text())


def test_what_is_killed_is_started_again_on_the_same_ports_and_data(tmp_path):
    with temporary_folder("marketplace-up-") as folder:
        up = Up(folder / "data", tmp_path / "up.log")
        try:
            first = store(up, "first")
            told = up.read_all()
            names = {
                "nats-server marketplace-1": "nats-server",
                "PostgreSQL": r"bin/postgres",
                "worker": r"serve .*--role worker",
                "api": r"serve .*--role api",
            }
            for number, (name, pattern) in enumerate(names.items()):
                os.kill(find_child(up.process.pid, pattern), signal.SIGKILL)
                up.read_until(rf"({name} was ended by SIGKILL; it restarts in 0\.5 s)")
                pid = int(up.read_until(rf"{name} runs again \(process (\d+)\)"))
                assert pid == find_child(up.process.pid, pattern)
                wait_until(lambda: is_ready(up), up.log.read_text)
                store(up, f"after-{number}")
            again = up.post("/v1/parties", PARTY | {"name": "first"}, "first").json()
            assert again == first
            assert up.read_all().startswith(told)
            assert up.process.poll() is None
        finally:
            assert up.stop() == 0


def test_a_full_disk_is_told_and_the_market_goes_on_once_there_is_room(tmp_path):
    with temporary_folder("marketplace-disk-") as folder, small_disk(folder, size_mib=900) as disk:
        if isinstance(disk, SmallDisk):
            run_on_full_disk(disk, tmp_path)
        else:
            run_with_limited_files(disk, tmp_path)


def run_on_full_disk(disk, tmp_path):
    up = Up(disk.folder / "data", tmp_path / "up.log")
    try:
        up.read_until(r"(is nearly full: \d+ bytes are free)")
        check_refused(up, disk)
        check_goes_on(up, disk)
    finally:
        assert up.stop() == 0


def run_with_limited_files(disk, tmp_path):
    """Where nothing may be mounted, the server alone has no room, and is restarted at once since the disk has."""
    up = Up(disk.folder / "data", tmp_path / "up.log")
    try:
        disk.fill(find_child(up.process.pid, "nats-server"))
        store(up, "kept")
        up.read_until(r"(there is room again; nats-server marketplace-1 is restarted)")
    finally:
        assert up.stop() == 0


def check_refused(up, disk):
    store(up, "before")
    disk.fill(0)
    for number in range(200):
        begun = time.monotonic()
        answer = up.post("/v1/parties", PARTY | {"name": f"full-{number}"}, f"full-{number}")
        assert time.monotonic() - begun < ANSWER_SECONDS_MAX
        if answer.status_code != 201:
            break
    assert answer.status_code == 503, answer.text
    assert answer.json()["code"] == "storage_full"
    assert "nats-server marketplace-1" in answer.text
    assert str(disk.folder / "data" / "nats" / "server-1") in answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    ready = up.get("/health/ready", 0)
    assert (ready.status_code, ready.json()["commands"]) == (503, False)
    assert "bytes are free" in ready.json()["reason"]
    up.read_until(r"(disk of nats-server marketplace-1 is full|nats-server marketplace-1 cannot write to)")
    up.refused = number


def check_goes_on(up, disk):
    disk.free(0)
    up.read_until(r"(nats-server marketplace-1 stores again)")
    store(up, "after")
    name = f"full-{up.refused}"
    stored = store(up, name)
    wait_until(lambda: is_ready(up), up.log.read_text)
    repeated = up.post("/v1/parties", PARTY | {"name": name}, name)
    assert repeated.headers["Idempotent-Replayed"] == "true"
    assert repeated.json() == stored
    names = [party["name"] for party in up.get("/v1/parties?limit=500", stored["sequence"]).json()["items"]]
    assert names.count(name) == 1

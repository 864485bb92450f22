"""The command line as a user runs it: the real stack on real servers, in processes of its own."""

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import httpx
import nats
import pytest

from marketplace.api.metering.meter_subject import SUBJECT
from marketplace.embedded.folder import temporary_folder
from marketplace.log.inboxes import METER_INBOX
from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import delete_streams

MARKETPLACE = (sys.executable, "-m", "marketplace")
START_SECONDS_MAX = 150


class Up:
    """`marketplace up` on a folder, until it is stopped."""

    def __init__(self, data, log, *options, program=MARKETPLACE, **process):
        self.log = log
        with log.open("w") as sink:
            self.process = subprocess.Popen(
                [*program, "up", "--data", str(data), "--port", "0", *options],
                stdout=sink,
                stderr=subprocess.STDOUT,
                **process,
            )
        self.url = self.read_until(r"API\s+(http://\S+)")
        self.key = json.loads((data / "secrets.json").read_text())["admin_key"]

    def read_until(self, pattern):
        for _ in range(START_SECONDS_MAX * 10):
            found = re.search(pattern, self.log.read_text())
            if found:
                return found[1]
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def read_all(self):
        self.read_until(r"(Ctrl-C stops it)")
        return self.log.read_text()

    def post(self, path, body, key):
        headers = {"Authorization": f"Bearer {self.key}", "Idempotency-Key": key}
        return httpx.post(self.url + path, json=body, headers=headers, timeout=PATIENCE_SECONDS)

    def get(self, path, sequence):
        headers = {"Authorization": f"Bearer {self.key}", "Min-Seq": str(sequence)}
        return httpx.get(self.url + path, headers=headers, timeout=PATIENCE_SECONDS)

    def stop(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE_SECONDS)


PARTY = {"name": "Kept", "roles": ["startup"], "jurisdiction": "US"}


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("stack")
def test_up_keeps_everything_over_a_stop_and_a_kill(tmp_path):
    with temporary_folder("marketplace-up-") as folder:
        stop_and_kill(folder / "data", tmp_path)


def stop_and_kill(data, tmp_path):
    up = Up(data, tmp_path / "first.log")
    first = up.post("/v1/parties", PARTY, "key-1")
    assert first.status_code == 201, first.text
    party = first.json()
    assert asyncio.run(ask_as_meter(up)) == "grant_unknown"
    assert up.stop() == 0
    again = Up(data, tmp_path / "second.log")
    address = r"NATS\s+(nats://\S+)"
    assert again.read_until(address) == up.read_until(address)
    repeated = again.post("/v1/parties", PARTY, "key-1")
    assert repeated.json() == party
    assert repeated.headers["Idempotent-Replayed"] == "true"
    assert again.post("/v1/parties", PARTY | {"name": "Other"}, "key-1").status_code == 422
    assert again.get(f"/v1/parties/{party['id']}", party["sequence"]).json()["name"] == "Kept"
    again.stop(signal.SIGKILL)
    third = Up(data, tmp_path / "third.log")
    try:
        assert third.post("/v1/parties", PARTY, "key-1").json() == party
        assert third.get(f"/v1/parties/{party['id']}", party["sequence"]).json()["name"] == "Kept"
        next_ones = re.findall(r"^  uv run marketplace (.+)$", third.read_all(), re.MULTILINE)
        assert [run_command(*shlex.split(line)) != "" for line in next_ones] == [True, True]
    finally:
        assert third.stop() == 0


async def ask_as_meter(up):
    """Send a reading over the connection that is printed for meters, and return why it does not count."""
    url = up.read_until(r"Meters\s+(nats://\S+)")
    span = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z", "nodes": 1}
    names = {"source": "urn:meter:1", "id": "r1", "subject": f"grt_{'0' * 26}"}
    event = {"specversion": "1.0", "type": "marketplace.meter.reading.v1", **names, "data": span}
    headers = {"Authorization": f"Bearer {up.key}", "Content-Type": "application/cloudevents+json"}
    meter = await nats.connect(url, inbox_prefix=METER_INBOX)
    try:
        body = json.dumps(event).encode()
        answer = await meter.request(SUBJECT, body, headers=headers, timeout=PATIENCE_SECONDS)
    finally:
        await meter.close()
    return json.loads(answer.data)["readings"][0]["code"]


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("stack")
async def test_up_and_its_commands_run_on_servers_that_exist_already(nats_server, empty_database_url, tmp_path):
    await delete_streams(nats_server)
    urls = ("--nats-url", nats_server.admin_url, "--database-url", empty_database_url)
    up = Up(tmp_path / "data", tmp_path / "up.log", *urls, "--calendar")
    try:
        wait_for_calls(up)
        party = up.post("/v1/parties", PARTY, "key-1").json()
        assert up.get(f"/v1/parties/{party['id']}", party["sequence"]).json()["name"] == "Kept"
        assert up.post("/v1/test/clock", {"seconds": 60}, "key-2").status_code == 403
        assert not (tmp_path / "data" / "nats").exists()
        assert not (tmp_path / "data" / "postgres").exists()
        for command in (("log", "tail"), ("log", "show", "party", party["id"])):
            told = run_command(*command, *urls[:2])
            assert party["id"] in told, told
        assert "equal parties" in run_command("projections", "verify", "parties", *urls)
        address = ("--api-url", up.url, "--api-key", up.key)
        told = [run_command("prices", "import", *address) for _ in range(2)]
        assert "the market has them as prl_" in told[0]
        assert told[1] == told[0]
        assert "H100_SXM" in run_command("prices", "show", "H100_SXM", *urls)
    finally:
        assert up.stop() == 0


def wait_for_calls(up):
    """Wait until the calendar has opened an auction of each rhythm."""
    for _ in range(START_SECONDS_MAX * 10):
        periods = {auction["period_hours"] for auction in up.get("/v1/auctions", 0).json()["items"]}
        if periods == {1, 24, 120}:
            return
        time.sleep(0.1)
    raise AssertionError(up.get("/v1/auctions", 0).text)


def run_command(*arguments):
    done = subprocess.run([*MARKETPLACE, *arguments], capture_output=True, text=True, timeout=570, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("stack")
def test_a_demonstration_that_is_not_kept_leaves_nothing(tmp_path):
    with temporary_folder("marketplace-demo-") as folder, (tmp_path / "demo.log").open("w+") as log:
        environment = {**os.environ, "TMPDIR": str(folder)}
        demonstration = subprocess.Popen([*MARKETPLACE, "demo"], env=environment, stdout=log, stderr=log)
        while "the stack is up" not in (tmp_path / "demo.log").read_text():
            assert demonstration.poll() is None, (tmp_path / "demo.log").read_text()
            time.sleep(0.1)
        assert [path.name for path in folder.glob("marketplace-demo-*/nats")] == ["nats"]
        demonstration.send_signal(signal.SIGINT)
        assert demonstration.wait() != 0
        assert list(folder.iterdir()) == []

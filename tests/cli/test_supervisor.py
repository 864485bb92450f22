"""The supervisor of `marketplace up`: who ends is started again, and who ends again and again ends the market."""

import asyncio
import time
from dataclasses import dataclass, field

import pytest

from marketplace.cli.supervisor import Supervisor
from marketplace.core.errors import Corrupt
from marketplace.embedded.process import Child
from tests.support.patience import PATIENCE_SECONDS


@dataclass
class Shell:
    """A service that runs a line of shell."""

    name: str
    line: str
    folder: object
    restarts_max: int | None = 3
    starts: list[float] = field(default_factory=list)
    fails: str = ""
    child: Child = field(init=False)

    def __post_init__(self):
        self.start()

    def start(self):
        self.starts.append(time.monotonic())
        self.child = Child(["sh", "-c", self.line], output=self.folder / f"{self.name}.log")

    async def restart(self):
        if self.fails:
            self.starts.append(time.monotonic())
            raise Corrupt(self.fails)
        self.start()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("marketplace.cli.supervisor.WATCH_SECONDS", 0.02)


def supervise(tmp_path, *services, **settings):
    told: list[str] = []
    chosen = {"free_bytes_min": 0, "backoff_seconds_min": 0.05} | settings
    return Supervisor(tmp_path, services, None, tell=told.append, **chosen), told


async def test_a_server_that_ends_again_and_again_ends_the_market_with_its_last_words(tmp_path):
    server = Shell("server", "echo the files are damaged; exit 7", tmp_path)
    supervisor, told = supervise(tmp_path, server)
    reason = await asyncio.wait_for(supervisor.run(), PATIENCE_SECONDS)
    assert "server ended with code 7 and was restarted 3 times in a row without success" in reason
    assert "the files are damaged" in reason
    assert len(server.starts) == 4
    assert any("it restarts in 0.2 s (restart 3)" in line for line in told)
    pauses = [after - before for before, after in zip(server.starts, server.starts[1:], strict=False)]
    assert pauses[0] >= 0.05
    assert pauses[2] >= 0.2


async def test_a_start_that_fails_counts_and_is_told(tmp_path):
    server = Shell("server", "kill -9 $$", tmp_path, fails="the port is taken")
    supervisor, told = supervise(tmp_path, server)
    reason = await asyncio.wait_for(supervisor.run(), PATIENCE_SECONDS)
    assert "server was ended by SIGKILL" in reason
    assert told.count("server does not start: the port is taken") == 3


async def test_the_market_goes_on_without_a_worker_that_ends_again_and_again(tmp_path):
    worker = Shell("worker", "exit 1", tmp_path, restarts_max=None)
    other = Shell("api", "sleep 60", tmp_path)
    supervisor, told = supervise(tmp_path, worker, other, backoff_seconds_min=0.001)
    watching = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(worker.starts) < 8:  # noqa: ASYNC110 - processes end, and no event loop sees it
            await asyncio.sleep(0.02)
    assert not watching.done()
    assert other.child.running
    assert len(other.starts) == 1
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    other.child.kill()
    assert all(line.startswith(("worker", "the disk")) for line in told)


async def test_nothing_is_started_on_a_full_disk(tmp_path, monkeypatch):
    free = [0]
    monkeypatch.setattr("marketplace.cli.supervisor._measure_free", lambda _: free[0])
    server = Shell(
        "server", "[ -e ran ] && sleep 60; touch ran; exit 1".replace("ran", str(tmp_path / "ran")), tmp_path
    )
    supervisor, told = supervise(tmp_path, server, free_bytes_min=1_000)
    watching = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not any("waits for room: 0 bytes are free" in line for line in told):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert len(server.starts) == 1
    free[0] = 2_000
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not any("runs again" in line for line in told):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)
    assert len(server.starts) == 2
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    server.child.kill()

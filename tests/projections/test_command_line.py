"""`marketplace projections` and `marketplace log` as processes, on a real NATS and a real PostgreSQL."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.cli import explain as explain_commands
from marketplace.cli import log as log_commands
from marketplace.cli import projections as projection_commands
from marketplace.embedded.nats import NatsServers
from marketplace.log.jetstream import JetStreamLog
from marketplace.projections.engine.runner import Projector
from marketplace.projections.registry import PROJECTIONS
from tests.projections.story import Heads, Story, make_id
from tests.projections.tales import tell_everything
from tests.support.commands import run_command
from tests.support.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]


class Shell:
    """Runs our command line against the servers of a test."""

    def __init__(self, nats_url: str, database_url: str) -> None:
        self._environment = {"MARKETPLACE_NATS_URL": nats_url, "MARKETPLACE_DATABASE_URL": database_url}

    async def run(self, *arguments: str) -> tuple[int, str]:
        return await run_command(*arguments, environment=self._environment)


@pytest.fixture(scope="module")
def story() -> Story:
    return tell_everything()


@pytest_asyncio.fixture
async def shell(
    story: Story, engine: AsyncEngine, jetstream_log: JetStreamLog, nats_server: NatsServers, database_url: str
) -> AsyncIterator[Shell]:
    heads = Heads()
    for begin in range(0, len(story.recorded), 200):
        await jetstream_log.append(heads.writes(story.recorded[begin : begin + 200]))
    await Projector(jetstream_log, engine, PROJECTIONS).catch_up()
    yield Shell(nats_server.url, database_url)


@pytest.mark.timeout(300)
async def test_verify_finds_a_row_changed_by_hand_and_a_rebuild_mends_it(
    shell: Shell, engine: AsyncEngine, story: Story
):
    code, output = await shell.run("projections", "list")
    assert code == 0, output
    for projection in PROJECTIONS:
        (line,) = [line for line in output.splitlines() if f" {projection.name} " in line]
        assert "live" in line
        assert f" {len(story.recorded)} " in line
    code, output = await shell.run("projections", "verify")
    assert code == 0, output
    assert output.count("equal") == len(PROJECTIONS)
    account = f"{make_id('acc', 1)}/held"
    async with engine.begin() as connection:
        changed = "UPDATE balances SET amount = amount + 5 WHERE account = :account"
        await connection.execute(text(changed), {"account": account})
    code, output = await shell.run("projections", "verify", "accounts")
    assert code == 3, output
    assert f"balances account={account}" in output
    assert "the log makes" in output
    assert "account.hold_placed.v1" in output
    code, output = await shell.run("projections", "rebuild", "accounts")
    assert code == 0, output
    assert f"swapped in accounts at event {len(story.recorded)}: {len(story.recorded)} events" in output
    code, output = await shell.run("projections", "verify", "accounts")
    assert code == 0, output


class Commands:
    """Runs our commands in a thread of this process, which saves the start of an interpreter."""

    def __init__(self, nats_url: str, database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._nats = {"nats_url": nats_url}
        self._both = self._nats | {"database_url": database_url}
        self._capsys = capsys

    async def log(self, command: Callable[..., int], *arguments: str, **options: Any) -> tuple[int, str]:
        code = await asyncio.to_thread(lambda: command(*arguments, **options, **self._nats))
        return code, "".join(self._capsys.readouterr())

    async def projections(self, command: Callable[..., int], *arguments: str, **options: Any) -> tuple[int, str]:
        code = await asyncio.to_thread(lambda: command(*arguments, **options, **self._both))
        return code, "".join(self._capsys.readouterr())


@pytest.fixture
def commands(
    monkeypatch: pytest.MonkeyPatch,
    nats_server: NatsServers,
    database_url: str,
    capsys: pytest.CaptureFixture[str],
) -> Commands:
    for module in (log_commands, projection_commands, explain_commands):
        monkeypatch.setattr(module, "configure_logging", lambda: None)
    return Commands(nats_server.url, database_url, capsys)


async def test_the_log_is_shown_and_walked(shell: Shell, commands: Commands, story: Story):
    code, output = await commands.log(log_commands.tail, count=3)
    assert code == 0, output
    assert len(output.splitlines()) == 3
    assert all(recorded.envelope.type in output for recorded in story.recorded[-3:])
    code, output = await commands.log(log_commands.show, "order", make_id("ord", 7))
    assert code == 0, output
    assert output.index("order.placed.v1") < output.index("order.cancelled.v1")
    assert '"reason": "budget"' in output
    code, output = await commands.log(log_commands.verify)
    assert code == 0, output
    assert f"whole: {len(story.recorded)} events" in output


async def test_a_balance_is_explained_down_to_readings(shell: Shell, commands: Commands):
    account_id = make_id("acc", 1)
    code, output = await commands.projections(explain_commands.balance, account_id, limit=60)
    assert code == 0, output
    assert output.index("account.deposited.v1") < output.index("account.hold_captured.v1")
    assert f"for {make_id('stm', 1)}:" in output
    assert "GPU-seconds, event" in output
    code, first = await commands.projections(explain_commands.balance, account_id, at="1", limit=1)
    assert (code, "account_unknown" in first) == (2, True)
    code, wrong = await commands.projections(explain_commands.balance, account_id, occurred_until="noon")
    assert (code, "instant_invalid" in wrong) == (2, True)


async def test_what_is_not_there_is_refused(engine: AsyncEngine, jetstream_log: JetStreamLog, commands: Commands):
    code, output = await commands.projections(projection_commands.rebuild, "horoscopes")
    assert code == 2
    assert "projection_unknown: there is no projection 'horoscopes'" in output
    code, output = await commands.log(log_commands.show, "unicorn", "uni_1")
    assert code == 2
    assert "aggregate_unknown: there is no aggregate 'unicorn'" in output
    code, output = await commands.log(log_commands.show, "order", make_id("ord", 99))
    assert code == 2
    assert "aggregate_not_found" in output


async def test_rows_of_a_newer_release_are_named_and_replaced_on_demand_only(
    shell: Shell, commands: Commands, engine: AsyncEngine
):
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE projection_positions SET version = 9 WHERE name = 'holds'"))
        await connection.execute(text("UPDATE projection_positions SET version = 0 WHERE name = 'quotes'"))
    code, output = await shell.run("projections", "list")
    assert code == 0, output
    (newer,) = [line for line in output.splitlines() if " holds " in line]
    (older,) = [line for line in output.splitlines() if " quotes " in line]
    assert " 9 " in newer
    assert "a newer release" in newer
    assert "an older release" in older
    assert output.count("this release") == len(PROJECTIONS) - 2
    for command in (projection_commands.rebuild, projection_commands.verify):
        code, output = await commands.projections(command, "holds")
        assert code != 0
        assert "rows of projection holds are of version 9" in output
        assert "rebuild holds --replace-newer" in output
    code, output = await commands.projections(projection_commands.rebuild, "holds", replace_newer=True)
    assert code == 0, output
    code, output = await commands.projections(projection_commands.verify, "holds")
    assert code == 0, output


async def test_a_database_without_tables_is_refused(
    jetstream_log: JetStreamLog, commands: Commands, nats_server: NatsServers, empty_database_url: str, capsys
):
    commands = Commands(nats_server.url, empty_database_url, capsys)
    code, output = await commands.projections(projection_commands.verify)
    assert code == 2
    assert "database_not_migrated" in output


async def test_tail_follows_until_it_is_told_to_stop(
    nats_server: NatsServers, jetstream_log: JetStreamLog, story: Story
):
    heads = Heads()
    await jetstream_log.append(heads.writes(story.until(5)))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "marketplace", "log", "tail", "--follow", "--nats-url", nats_server.url),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
    )
    assert process.stdout is not None
    for _ in range(5):
        await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)
    await jetstream_log.append(heads.writes(story.recorded[5:6]))
    line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)
    assert line.split()[0] == b"6"
    process.terminate()
    assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == 0

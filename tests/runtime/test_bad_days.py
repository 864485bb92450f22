"""Processes killed and servers away: nothing acknowledged is lost, nothing happens twice or by half."""

import asyncio
import contextlib
import sys
import time
from collections import Counter
from decimal import Decimal

import msgspec
import pytest

from marketplace.core.errors import Unavailable
from marketplace.embedded.nats import embedded_nats
from marketplace.log.port import Limits
from tests.support.market.invariants import check_log
from tests.support.market.market import Market
from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import open_log

COUNT, AT_ONCE, KILLED_AFTER = 600, 64, 150


async def run_placing(servers, startup, *, killed_after=None):
    """Run the process to its end, or kill it, and return what it acknowledged by number."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.market.placing",
        servers.url,
        startup,
        str(COUNT),
        str(AT_ONCE),
        stdout=asyncio.subprocess.PIPE,
    )
    answers = {}
    try:
        async for line in process.stdout:
            answer = msgspec.json.decode(line)
            answers[answer["number"]] = answer["receipt"]
            if killed_after is not None and len(answers) == killed_after:
                process.kill()
        await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    assert (process.returncode == 0) == (killed_after is None)
    return answers


async def until_reachable(log):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with contextlib.suppress(Unavailable):
                await log.health()
                return
            await asyncio.sleep(0.05)


async def test_a_process_killed_under_load_loses_no_acknowledged_order_and_doubles_none(nats_server):
    async with open_log(nats_server) as log:
        market = Market(log)
        startup = await market.party("Startup", "startup", usd=10_000_000)
        before = await run_placing(nats_server, startup, killed_after=KILLED_AFTER)
        assert KILLED_AFTER <= len(before) < COUNT
        after = await run_placing(nats_server, startup)
        assert sorted(after) == list(range(COUNT))
        for number, receipt in before.items():
            assert after[number] == {**receipt, "repeated": True}
        events = [event async for page in log.read() for event in page]
        placed = Counter(event.subject for event in events if event.envelope.type == "marketplace.order.placed.v1")
        assert len(placed) == COUNT
        assert set(placed.values()) == {1}
        account = await market.account(startup)
        assert len(account.holds) == COUNT
        assert account.held_usd == COUNT * Decimal(2 * 8 * 48 * 3)
        await check_log(log)


@pytest.mark.parametrize("orders", [1, 40])
async def test_commands_say_unavailable_in_time_while_nats_is_away_and_go_on_when_it_is_back(tmp_path, orders):
    limits = Limits(append_seconds_max=3.0, ack_seconds_max=1.0)
    async with embedded_nats(tmp_path / "nats") as servers, open_log(servers, limits) as log:
        market = Market(log)
        startup = await market.party("Startup", "startup", usd=1_000_000)
        await market.order(startup)
        servers.kill(0)
        began = time.monotonic()
        answers = await asyncio.gather(
            *(market.place(startup, key=f"k{number}") for number in range(orders)), return_exceptions=True
        )
        assert time.monotonic() - began < PATIENCE_SECONDS / 3
        assert all(isinstance(answer, Unavailable) for answer in answers)
        assert all(answer.retry_after_seconds >= 1 for answer in answers)
        await servers.start(0)
        await until_reachable(log)
        assert len((await market.account(startup)).holds) == 1
        receipts = await asyncio.gather(*(market.place(startup, key=f"k{number}") for number in range(orders)))
        assert len({receipt.id for receipt in receipts}) == orders
        assert len((await market.account(startup)).holds) == 1 + orders
        await check_log(log)


async def test_a_worker_waits_while_nats_is_away_and_then_goes_on(tmp_path):
    limits = Limits(append_seconds_max=3.0, ack_seconds_max=1.0)
    async with embedded_nats(tmp_path / "nats") as servers, open_log(servers, limits) as log:
        market = Market(log)
        trade = await market.trade(days=10)
        async with market.worker():
            await asyncio.sleep(0.2)
            servers.kill(0)
            market.clock.at = market.day(0.5)
            await asyncio.sleep(1.5)
            await servers.start(0)
            await until_reachable(log)
            await market.until_carried_out(trade.auction)
        await check_log(log)


async def test_a_worker_that_starts_while_nats_is_away_begins_when_it_is_back(tmp_path):
    limits = Limits(append_seconds_max=3.0, ack_seconds_max=1.0)
    async with embedded_nats(tmp_path / "nats") as servers, open_log(servers, limits) as log:
        market = Market(log)
        trade = await market.trade(days=10)
        servers.kill(0)
        market.clock.at = market.day(0.5)
        async with market.worker():
            await asyncio.sleep(0.5)
            await servers.start(0)
            await until_reachable(log)
            await market.until_carried_out(trade.auction)

"""Decisions that build on one another while their appends are in flight, and what becomes of them when one fails."""

import asyncio
from decimal import Decimal

import pytest

from marketplace.application.access import parties
from marketplace.application.billing import accounts
from marketplace.application.supply import inventory
from marketplace.core.errors import Refusal, Unavailable
from marketplace.core.ids import rename_id
from marketplace.log.codec import verify_chain
from tests.support.market.market import Market
from tests.support.market.meddling import Meddling

HOLD_USD = Decimal(2 * 8 * 48 * 3)


async def read_all(log):
    return [event async for page in log.read() for event in page]


async def start(log, orders=8, usd=100_000):
    """Return a market, a startup, and tasks that place so many orders at once while no append is answered."""
    held = Meddling(log)
    market = Market(held)
    startup = await market.party("Startup", "startup", usd=usd)
    await market.order(startup)
    held.appends.clear()
    held.hold()
    tasks = [asyncio.create_task(market.place(startup, key=f"k{number}")) for number in range(orders)]
    await held.until_appends(orders)
    return held, market, startup, tasks


class GroupCommitCases:
    async def test_decisions_on_one_account_do_not_wait_for_one_another(self, log):
        held, market, startup, tasks = await start(log)
        assert held.appends == [False] + [True] * 7
        assert not any(task.done() for task in tasks)
        held.let_go()
        receipts = await asyncio.gather(*tasks)
        account = await market.account(startup)
        assert (len(account.holds), account.held_usd) == (9, 9 * HOLD_USD)
        assert len({receipt.sequence for receipt in receipts}) == 8
        verify_chain(await read_all(log))

    @pytest.mark.parametrize("number", [0, 3, 7])
    async def test_one_conflict_is_decided_again_with_all_that_was_built_on_it(self, log, number):
        held, market, startup, tasks = await start(log)
        held.faults[number] = "conflict"
        held.let_go()
        await asyncio.gather(*tasks)
        account = await market.account(startup)
        assert (len(account.holds), account.held_usd) == (9, 9 * HOLD_USD)
        verify_chain(await read_all(log))

    @pytest.mark.parametrize("number", [0, 3, 7])
    async def test_a_lost_append_fails_its_own_caller_only(self, log, number):
        held, market, startup, tasks = await start(log)
        held.faults[number] = "lost"
        held.let_go()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(answer, Unavailable) for answer in answers] == [n == number for n in range(8)]
        account = await market.account(startup)
        assert (len(account.holds), account.held_usd) == (8, 8 * HOLD_USD)
        again = await market.place(startup, key=f"k{number}")
        assert not again.repeated
        assert (await market.account(startup)).held_usd == 9 * HOLD_USD
        verify_chain(await read_all(log))

    @pytest.mark.parametrize("number", [0, 3, 7])
    async def test_an_append_that_was_stored_unanswered_is_found_by_the_repeat(self, log, number):
        held, market, startup, tasks = await start(log)
        held.faults[number] = "unanswered"
        held.let_go()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(answer, Unavailable) for answer in answers] == [n == number for n in range(8)]
        again = await market.place(startup, key=f"k{number}")
        assert again.repeated
        account = await market.account(startup)
        assert (len(account.holds), account.held_usd) == (9, 9 * HOLD_USD)
        verify_chain(await read_all(log))

    async def test_a_refusal_that_rests_on_a_failed_append_is_decided_again(self, log):
        held, market, startup, tasks = await start(log, orders=1, usd=2 * HOLD_USD)
        refused = asyncio.create_task(market.place(startup, key="late"))
        await asyncio.sleep(0)
        held.faults[0] = "lost"
        held.let_go()
        with pytest.raises(Unavailable):
            await tasks[0]
        await refused
        assert (await market.account(startup)).available_usd == 0

    async def test_what_rests_on_an_append_in_flight_without_guarding_it_waits_for_it(self, log):
        held = Meddling(log)
        market = Market(held)
        context = market.context()
        party = await parties.register_party(
            market.handler, context, name="Startup", roles=("startup",), jurisdiction="US"
        )
        held.appends.clear()
        held.faults[0] = "lost"
        held.hold()
        clear = asyncio.create_task(
            parties.clear_party(market.handler, market.context(), party.id, checks=("sanctions",))
        )
        await held.until_appends(1)
        placed = asyncio.create_task(market.issuer(party.id))
        await asyncio.sleep(0.02)
        assert len(held.appends) == 1
        held.let_go()
        with pytest.raises(Unavailable):
            await clear
        with pytest.raises(Refusal) as caught:
            await placed
        assert caught.value.code == "party_not_cleared"

    async def test_a_caller_who_leaves_takes_nothing_with_him(self, log):
        held, market, startup, tasks = await start(log)
        tasks[3].cancel()
        await asyncio.sleep(0)
        held.let_go()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(answer).__name__ for answer in answers].count("CancelledError") == 1
        await market.place(startup, key="k3")
        account = await market.account(startup)
        assert (len(account.holds), account.held_usd) == (9, 9 * HOLD_USD)

    async def test_a_lot_and_its_pool_change_together_or_not_at_all(self, log):
        held = Meddling(log)
        market = Market(held)
        provider = await market.party("Provider", "provider")
        _, pool = await market.pool(provider)
        held.faults[len(held.appends)] = "lost"
        with pytest.raises(Unavailable):
            await market.lot(provider, pool)
        assert not (await market.state("pool", pool)).offers
        lot = await market.lot(provider, pool)
        await inventory.withdraw_lot(market.handler, market.context(provider), lot, reason="sold elsewhere")
        assert not (await market.state("pool", pool)).offers


class TestOnMemory(GroupCommitCases):
    @pytest.fixture
    def log(self, memory_log):
        return memory_log


class TestOnJetStream(GroupCommitCases):
    @pytest.fixture
    def log(self, jetstream_log):
        return jetstream_log

    async def test_a_caller_who_leaves_while_its_append_is_stored_is_answered_when_it_comes_back(
        self, log, monkeypatch
    ):
        market = Market(log)
        account = rename_id("acc", await market.party("Startup", "startup", usd=1))
        send, stored, go_on = log._appender._send, asyncio.Event(), asyncio.Event()

        async def send_slowly(group):
            answer = await send(group)
            stored.set()
            await go_on.wait()
            return answer

        def deposit(key):
            context = market.context(key=key)
            return accounts.deposit(market.handler, context, account, amount_usd=Decimal(2), reference=key)

        monkeypatch.setattr(log._appender, "_send", send_slowly)
        left, stayed = asyncio.create_task(deposit("one")), asyncio.create_task(deposit("two"))
        await stored.wait()
        left.cancel()
        go_on.set()
        second = await stayed
        again = await deposit("one")
        assert (again.repeated, again.sequence) == (True, second.sequence - 2), "a deposit is two events"

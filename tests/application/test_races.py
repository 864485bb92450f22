"""Several processes on one log, each with a cache of its own: money, budget and capacity are never spent twice."""

import asyncio
from decimal import Decimal

import pytest

from events.stages import CreditTerms, StageTerms
from marketplace.application.billing import accounts
from marketplace.application.billing.credits import limit_credit
from marketplace.application.trading import auctions
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.execution.scheduled_context import build_context
from marketplace.log.codec import verify_chain
from tests.application.billing.test_alone import Buyer
from tests.application.test_rule_races import list_codes, race
from tests.support.market.market import Market
from tests.support.market.meddling import Meddling

HOLD_USD = Decimal(2 * 8 * 48 * 3)
MONTH = StageTerms(hours=720, security_hours=240)


def count_codes(answers):
    """Return how many were accepted, and the codes of the others."""
    codes = [answer.code for answer in answers if isinstance(answer, Refusal)]
    unexpected = [answer for answer in answers if isinstance(answer, BaseException) and not isinstance(answer, Refusal)]
    assert unexpected == []
    return len(answers) - len(codes), set(codes)


class RaceCases:
    async def test_cash_for_ten_orders_buys_ten_of_sixty_four(self, log):
        one = Market(log)
        two = one.process("two")
        startup = await one.party("Startup", "startup", usd=10 * HOLD_USD + 1)
        answers = await asyncio.gather(
            *((one, two)[number % 2].place(startup) for number in range(64)), return_exceptions=True
        )
        assert count_codes(answers) == (10, {"funds_insufficient"})
        account = await one.account(startup)
        assert (account.available_usd, account.held_usd, len(account.holds)) == (1, 10 * HOLD_USD, 10)
        verify_chain([event async for page in log.read() for event in page])

    async def test_a_budget_for_ten_orders_serves_ten_of_sixty_four(self, log):
        one = Market(log)
        two = one.process("two")
        fund = await one.party("Fund", "fund", usd=1_000_000)
        mandate = await one.mandate(fund, budget=10 * 2 * 8 * 48 + 5, credit="1")
        startups = []
        for _ in range(4):
            startup = await one.party("Startup", "startup", sector="robotics")
            await one.issuer(startup)
            startups.append(startup)
        offer = {"cash": "0", "equity": "1", "mandate_ids": (mandate,)}
        answers = await asyncio.gather(
            *((one, two)[number % 2].place(startups[number // 2 % 4], **offer) for number in range(64)),
            return_exceptions=True,
        )
        accepted, codes = count_codes(answers)
        assert (accepted, codes) == (10, {"budget_exhausted"})
        state = await one.state("mandate", mandate)
        assert (state.used_usd, len(state.holds)) == (10 * 2 * 8 * 48, 10)

    async def test_withdrawals_and_orders_race_for_the_same_cash(self, log):
        one = Market(log)
        two = one.process("two")
        startup = await one.party("Startup", "startup", usd=6 * HOLD_USD)
        withdrawals = (
            accounts.withdraw(
                two.handler,
                two.context(startup),
                rename_id("acc", startup),
                amount_usd=HOLD_USD,
                reference=f"w{number}",
            )
            for number in range(8)
        )
        answers = await asyncio.gather(*withdrawals, *(one.place(startup) for _ in range(8)), return_exceptions=True)
        assert count_codes(answers) == (6, {"funds_insufficient"})
        assert (await one.account(startup)).available_usd == 0

    async def test_nodes_are_listed_once_whoever_lists_them(self, log):
        one = Market(log)
        two = one.process("two")
        provider = await one.party("Provider", "provider")
        _, pool = await one.pool(provider, nodes=4)
        answers = await asyncio.gather(
            *((one, two)[number % 2].lot(provider, pool, nodes=1) for number in range(12)), return_exceptions=True
        )
        assert count_codes(answers) == (4, {"pool_full"})
        assert len((await one.state("pool", pool)).offers) == 4

    @pytest.mark.parametrize("first", ["cancel", "lock"])
    async def test_of_a_cancel_and_a_lock_the_one_that_is_stored_first_wins(self, log, first):
        """The other one decided on the state before, and its append comes second."""
        slow = Meddling(log)
        market, late = Market(log), Market(slow, "late")
        late.clock = market.clock
        startup = await market.party("Startup", "startup", usd=100_000)
        order = await market.order(startup)
        auction = await market.auction()
        slow.hold()
        if first == "cancel":
            second = asyncio.create_task(self.lock(late, order, auction))
            await slow.until_appends(1)
            await market.cancel(startup, order)
        else:
            second = asyncio.create_task(late.cancel(startup, order))
            await slow.until_appends(1)
            await self.lock(market, order, auction)
        slow.let_go()
        with pytest.raises(Refusal) as caught:
            await second
        assert caught.value.code == ("order_cancelled" if first == "cancel" else "order_locked")
        state, account = await market.state("order", order), await market.account(startup)
        if first == "cancel":
            assert (state.status, account.held_usd) == ("cancelled", 0)
        else:
            assert (state.status, account.held_usd) == ("locked", HOLD_USD)

    async def test_cancels_and_locks_of_many_orders_at_once_leave_no_order_in_between(self, log):
        one = Market(log)
        two = one.process("two")
        startup = await one.party("Startup", "startup", usd=100_000)
        ids = [await one.order(startup) for _ in range(24)]
        auction = await one.auction()
        steps = [step for order in ids for step in (one.cancel(startup, order), self.lock(two, order, auction))]
        answers = await asyncio.gather(*steps, return_exceptions=True)
        accepted, codes = count_codes(answers)
        assert accepted == 24
        assert codes <= {"order_cancelled", "order_locked"}
        statuses = [(await one.state("order", order)).status for order in ids]
        assert set(statuses) <= {"cancelled", "locked"}
        assert (await one.account(startup)).held_usd == statuses.count("locked") * HOLD_USD

    async def lock(self, market, order, auction):
        context = build_context(market.handler, "auctioneer", auction, f"lock/{order}")
        return await auctions.lock_order(market.handler, context, order, auction)


class TestOnMemory(RaceCases):
    @pytest.fixture
    def log(self, memory_log):
        return memory_log

    async def test_of_two_orders_on_credit_for_one_the_second_is_refused(self, log):
        market = Market(log)
        provider = await market.party("Provider", "provider")
        startup = await market.party("Startup", "startup", usd=1_000_000)
        credit = CreditTerms(provider_id=provider, amount_usd=Decimal(10_000))
        context = market.context(provider)
        await limit_credit(market.handler, context, provider, startup_id=startup, limit_usd=credit.amount_usd)

        def buy(process):
            return process.order(startup, cash="2", days=80, latest=1, stages=MONTH, credit=credit)

        assert list_codes(await race(market, buy, buy)) == ["credit_exhausted"]
        assert (await market.account(startup)).sum_credit(provider) == credit.amount_usd

    async def test_of_two_orders_of_one_person_in_a_week_the_second_waits_for_another_person(self, log):
        market, hours = Market(log), 2 * 8 * 48
        startup = await market.party("Startup", "startup", usd=1_000_000)
        await Buyer(market, startup).limit(hours)

        def buy(process):
            return Buyer(process, startup).order(2)

        [(_, at_once), (_, waits)] = await race(market, buy, buy)
        assert (at_once, waits is None) == (None, False), "two of 2 USD an hour, where a person may spend 3 in a week"
        assert list((await market.account(startup)).approvals) == [waits]

    async def test_of_two_orders_for_a_vendors_share_of_a_budget_the_second_is_refused(self, log):
        market = Market(log)
        fund = await market.party("Fund", "fund", usd=10_000)
        mandate = await market.mandate(fund, budget=10_000, credit="1", vendor_share_max=Decimal("0.1"))
        startups = [await market.party("Startup", "startup", sector="robotics") for _ in range(2)]
        for startup in startups:
            await market.issuer(startup)

        def buy_as(startup):
            return lambda process: process.order(startup, cash="0", equity="1", mandate_ids=(mandate,))

        assert list_codes(await race(market, *map(buy_as, startups))) == ["vendor_maximum_reached"]
        assert (await market.state("mandate", mandate)).used_usd == 2 * 8 * 48


class TestOnJetStream(RaceCases):
    @pytest.fixture
    def log(self, jetstream_log):
        return jetstream_log

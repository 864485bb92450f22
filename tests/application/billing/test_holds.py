"""Holds of one account under many hands: nothing is spent twice, everything is answered by name, expiry is on time."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.application.access import parties
from marketplace.application.billing import accounts, holds
from marketplace.application.billing.credits import limit_credit
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.log.codec import verify_chain
from marketplace.log.memory import MemoryLog
from tests.support.market.invariants import check_log
from tests.support.market.market import Market
from tests.support.patience import PATIENCE_SECONDS

USD = 100
AT_ONCE = 64


class Till:
    """One account that pays another, and commands on it from two processes in turn."""

    def __init__(self, log):
        self.one = Market(log)
        self.processes = [self.one, self.one.process("two")]
        self.count = 0

    async def open(self, usd=USD):
        self.payer = await self.one.party("Payer", "startup", usd=usd)
        self.payee = await self.one.party("Payee", "provider")
        self.account_id, self.payee_id = rename_id("acc", self.payer), rename_id("acc", self.payee)
        return self

    def next(self):
        self.count += 1
        return self.processes[self.count % 2]

    async def place(self, usd, days=2):
        market = self.next()
        context = market.context(self.payer)
        await holds.place_hold(
            market.handler,
            context,
            self.account_id,
            payee_account_id=self.payee_id,
            amount_usd=Decimal(usd),
            expires_at=market.clock.now() + timedelta(days=days),
        )
        return derive_id("hld", context.command_id)

    async def capture(self, hold_id, usd, by=None):
        market = self.next()
        context = market.context(by or self.payee)
        await holds.capture_hold(market.handler, context, self.account_id, hold_id, amount_usd=Decimal(usd))

    async def release(self, hold_id, by=None):
        market = self.next()
        await holds.release_hold(
            market.handler, market.context(by or self.payee), self.account_id, hold_id, reason="not needed"
        )

    async def withdraw(self, usd):
        market = self.next()
        await accounts.withdraw(
            market.handler,
            market.context(self.payer),
            self.account_id,
            amount_usd=Decimal(usd),
            reference=f"w{self.count}",
        )

    async def until_expired(self, hold_id):
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for page in self.one.log.read(0, follow=True):
                if any(b"hold_expired" in event.body and hold_id.encode() in event.body for event in page):
                    return

    async def close(self):
        market = self.next()
        await accounts.close_account(market.handler, market.context(self.payer), self.account_id, reason="wound up")

    async def balances(self):
        return await self.one.account(self.payer), await self.one.account(self.payee)


async def refused(work, code):
    with pytest.raises(Refusal) as caught:
        await work
    assert caught.value.code == code


amounts = st.integers(1, 60)
commands = st.lists(
    st.one_of(
        st.tuples(st.just("place"), amounts),
        st.tuples(st.just("capture"), amounts),
        st.tuples(st.just("release"), amounts),
        st.tuples(st.just("withdraw"), amounts),
    ),
    min_size=AT_ONCE,
    max_size=AT_ONCE,
)


@settings(max_examples=12, deadline=None)
@given(commands)
def test_available_is_balance_less_held_and_never_negative_whatever_races(chosen):
    asyncio.run(_race(chosen))


async def _race(chosen):
    log = MemoryLog()
    till = await Till(log).open()
    placed = [await till.place(10) for _ in range(4)]
    works = []
    for number, (word, usd) in enumerate(chosen):
        arguments = {"place": (usd,), "withdraw": (usd,)}.get(word, (placed[number % 4], usd))
        works.append(getattr(till, word)(*arguments[: 1 if word == "release" else 2]))
    answers = await asyncio.gather(*works, return_exceptions=True)
    assert {type(answer) for answer in answers} <= {type(None), str, Refusal}
    codes = {answer.code for answer in answers if isinstance(answer, Refusal)}
    assert codes <= {"funds_insufficient", "capture_above_hold"}
    payer, payee = await till.balances()
    assert payer.available_usd >= 0
    assert all(hold.left_usd >= 0 for hold in payer.holds.values())
    taken = -sum(amount for amount in payer.references.values() if amount < 0)
    assert payer.available_usd + payer.held_usd + payee.available_usd + taken == USD
    await check_log(log)
    verify_chain([event async for page in log.read() for event in page])


class HoldCases:
    async def test_sixty_four_holds_at_once_spend_what_is_there_and_no_more(self, log):
        till = await Till(log).open()
        answers = await asyncio.gather(*(till.place(10) for _ in range(AT_ONCE)), return_exceptions=True)
        assert sum(isinstance(answer, str) for answer in answers) == USD // 10
        assert {answer.code for answer in answers if isinstance(answer, Refusal)} == {"funds_insufficient"}
        payer, _ = await till.balances()
        assert (payer.available_usd, payer.held_usd) == (0, USD)

    async def test_of_two_captures_that_race_for_one_hold_one_is_paid(self, log):
        till = await Till(log).open()
        hold_id = await till.place(10)
        answers = await asyncio.gather(*(till.capture(hold_id, 8) for _ in range(2)), return_exceptions=True)
        assert [answer.code for answer in answers if isinstance(answer, Refusal)] == ["capture_above_hold"]
        payer, payee = await till.balances()
        assert (payer.holds[hold_id].left_usd, payer.holds[hold_id].captured_usd, payee.available_usd) == (2, 8, 8)


class TestOnMemory(HoldCases):
    @pytest.fixture
    def log(self, memory_log):
        return memory_log


class TestOnJetStream(HoldCases):
    @pytest.fixture
    def log(self, jetstream_log):
        return jetstream_log


async def test_a_hold_is_captured_in_part_and_the_rest_expires_on_time_also_after_a_restart(memory_log):
    till = await Till(memory_log).open()
    hold_id = await till.place(60, days=2)
    async with till.one.worker():
        await till.capture(hold_id, 25)
        till.one.clock.at += timedelta(days=1)
        later = await till.place(5, days=9)
    till.one.clock.at += timedelta(days=1)
    async with till.one.worker():
        await till.until_expired(hold_id)
    payer, payee = await till.balances()
    assert (payer.available_usd, payer.held_usd, payee.available_usd) == (70, 5, 25)
    assert not payer.holds[later].expired
    await refused(till.capture(hold_id, 1), "hold_expired")
    await check_log(memory_log)


async def test_a_hold_whose_time_is_over_pays_nothing_though_no_worker_has_said_so_yet(memory_log):
    till = await Till(memory_log).open()
    hold_id = await till.place(10, days=2)
    till.one.clock.at += timedelta(days=2)
    await refused(till.capture(hold_id, 1), "hold_expired")


async def test_bad_holds_are_refused_by_name(memory_log):
    till = await Till(memory_log).open()
    hold_id = await till.place(10)
    await refused(till.capture(hold_id, 11), "capture_above_hold")
    await refused(till.capture(derive_id("hld", till.payer), 1, by=till.payer), "hold_unknown")
    await refused(till.release(hold_id, by=till.payer), "payee_only")
    stranger = await till.one.party("Stranger", "startup")
    await refused(till.capture(hold_id, 1, by=stranger), "account_unknown")
    await refused(till.place(1, days=-1), "expiry_passed")
    await refused(till.close(), "holds_left")
    await till.release(hold_id)
    await till.close()
    await refused(till.place(1), "account_closed")
    till.payee_id = till.account_id
    await refused(till.place(1), "payee_is_payer")


async def test_the_hold_of_an_order_follows_its_order_alone(memory_log):
    market = Market(memory_log)
    till = Till(memory_log)
    till.one, till.processes = market, [market, market]
    await till.open(10_000)
    order = await market.state("order", await market.order(till.payer))
    await refused(till.release(order.hold_id, by=till.payer), "hold_reserved")
    await refused(till.capture(order.hold_id, 1, by=till.payer), "hold_reserved")


async def test_the_operator_records_transfers_by_hand_once_per_reference(memory_log):
    till = await Till(memory_log).open()
    market, account_id = till.one, till.account_id
    booked = market.clock.now() - timedelta(days=1)
    wire = {"amount_usd": Decimal(7), "reference": "wire-9"}
    for _ in range(2):
        await accounts.deposit(market.handler, market.context(), account_id, **wire, booked_at=booked)
    payer, _ = await till.balances()
    assert payer.available_usd == USD + 7
    deposited = [event async for page in memory_log.read() for event in page if b"wire-9" in event.body]
    assert len(deposited) == 1
    assert b'"provider":"manual"' in deposited[0].body
    again = wire | {"amount_usd": Decimal(8)}
    await refused(accounts.deposit(market.handler, market.context(), account_id, **again), "reference_exists")
    soon = market.clock.now() + timedelta(seconds=1)
    await refused(
        accounts.deposit(market.handler, market.context(), account_id, **wire, booked_at=soon), "booked_in_future"
    )
    await refused(accounts.deposit(market.handler, market.context(till.payer), account_id, **wire), "platform_only")


async def test_who_is_paid_from_an_account_or_gives_it_credit_reads_neither_its_version_nor_who_is_suspended(
    memory_log,
):
    till = await Till(memory_log).open()
    market, hold_id = till.one, await till.place(9)

    def lend(startup_id, if_match=None):
        context, usd = market.context(till.payee, if_match=if_match), Decimal(0)
        return limit_credit(market.handler, context, till.payee, startup_id=startup_id, limit_usd=usd)

    def capture(if_match):
        context = market.context(till.payee, if_match=if_match)
        return holds.capture_hold(market.handler, context, till.account_id, hold_id, amount_usd=Decimal(1))

    def release(if_match):
        context = market.context(till.payee, if_match=if_match)
        return holds.release_hold(market.handler, context, till.account_id, hold_id, reason="not needed")

    last = (await memory_log.health()).last_sequence
    own = (await lend(till.payer)).version
    assert own < last, "the version is that of the payee's account; the last event is the payer's hold"
    for act in (lambda version: lend(till.payer, version), capture, release):
        with pytest.raises(Refusal) as caught:
            await act(1)
        assert (caught.value.code, caught.value.facts["version"]) == ("version_stale", own)
    captured = await capture(own)
    assert captured.id == till.account_id
    assert (await release(captured.version)).id == till.account_id
    with pytest.raises(Refusal, match="there is no party"):
        await lend(await market.party("Fund", "fund"))
    await parties.suspend_party(market.handler, market.context(), till.payer, reason="fraud report")
    assert (await lend(till.payer)).id == till.account_id, "nobody learns that it is suspended"

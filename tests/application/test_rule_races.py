"""Rules that span aggregates, raced by two processes on one log.

Each case lets one process decide and holds its append back until the other one has stored. Both orders are played. The
rule holds in each, whatever either process had looked at. `marketplace/domain/README.md` lists the rules.
"""

import asyncio
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from events.auction import MatchTerms
from events.financing import Approval
from events.types import LotShare
from events.vesting import DeliveryMilestone, PriceMilestone, WarrantTranche
from marketplace.application.access.relations import declare_relation
from marketplace.application.billing.adjustments import adjust_statement
from marketplace.application.billing.statements import accept_statement, issue_statement
from marketplace.application.delivery import grants
from marketplace.application.delivery.substitution import substitute_grant
from marketplace.application.equity import instruments, issuers, warrants
from marketplace.application.equity.dilution import limit_dilution
from marketplace.application.metering.usage import report_usage
from marketplace.application.steps.dilution import track_instrument
from marketplace.application.supply import sites
from marketplace.application.trading import auctions
from marketplace.application.trading.quotes import hold_quote
from marketplace.auditor.fees import Fees
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.billing.statement import STATEMENT
from marketplace.domain.billing.statement_chain import name_adjustment
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.equity.instrument.commands import LapseInstrument
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.issuer.commands import AddStakeholder, RecordValuation
from marketplace.domain.equity.issuer.dilution import measure_dilution
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.programme_commands import OpenProgramme, StatePurchases
from marketplace.domain.equity.issuer.rights_commands import IssueWarrant
from marketplace.domain.equity.issuer.stock_commands import IssueStock
from marketplace.domain.metering.usage_commands import Measurement
from marketplace.domain.trading.book.book import build_book
from marketplace.domain.trading.book.market_snapshot import Supply
from marketplace.domain.trading.order import ORDER
from marketplace.runtime.auctions.clearing import compute_book_hash
from tests.application.equity.test_equity import act, build_round, found, invest, pay_in
from tests.application.equity.test_note_orders import offer_equity
from tests.application.equity.test_stock_orders import STOCK
from tests.support.market.auditing import find_faults
from tests.support.market.desk import open_desk
from tests.support.market.invariants import check_log
from tests.support.market.looks import EVERYWHERE, LOOKS, WHY
from tests.support.market.market import SAFE, Market, for_cash
from tests.support.market.meddling import Meddling
from tests.support.patience import PATIENCE_SECONDS

WORKER_SECONDS = 0.3
"""A worker does at once what has become due; where it takes longer, a race ends as if it had read later."""


async def race(market, first, second, between=None):
    """Return what two commands were answered of which the second decides before the first stores.

    Args:
        market: The process of the first.
        first: The command that is stored first, given its process.
        second: The one that is stored after it, given its own.
        between: What to await once the first is stored.
    """
    slow = Meddling(market.log)
    late = Market(slow, "late", market.clock)
    slow.hold()
    waiting = asyncio.create_task(second(late))
    await slow.until_appends(1)
    answers = [*await asyncio.gather(first(market), return_exceptions=True)]
    if between is not None:
        await between()
    slow.let_go()
    return [*answers, *await asyncio.gather(waiting, return_exceptions=True)]


async def until_read(market, worker):
    """Wait until a worker has read all of the log, and a moment more for what it does then."""
    last = (await market.log.health()).last_sequence
    async with asyncio.timeout(PATIENCE_SECONDS):
        while worker.market.position < last:
            await market.tick()
    await asyncio.sleep(WORKER_SECONDS)


def list_codes(answers):
    """Return the codes of what was refused; anything else that was raised fails the test."""
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, Refusal):
            raise answer
    return [answer.code for answer in answers if isinstance(answer, Refusal)]


class DilutionCases:
    """A limit is set while an instrument that it counts is amended."""

    async def begin(self, log):
        market = Market(log)
        trade = await market.trade(days=10)
        await found(market, trade.startup)
        await market.cancel(trade.startup, trade.order)
        invested = await invest(market, trade, 50_000)
        return market, trade, invested.id

    def limit(self, trade, most):
        def command(process):
            return limit_dilution(
                process.handler, process.context(), trade.issuer, dilution_max=most, valuation_usd=None
            )

        return command

    def amend(self, instrument_id, cap_usd):
        terms = msgspec.structs.replace(SAFE, valuation_cap_usd=Decimal(cap_usd))

        def command(process):
            return instruments.amend_instrument(
                process.handler, process.context(), instrument_id, terms=terms, applies_to_earlier=True
            )

        return command

    @pytest.mark.parametrize("first", ["limit", "amend"])
    async def test_a_limit_counts_an_instrument_as_it_is_amended(self, log, first):
        """At a cap of a million the 50,000 are 5 %; at ten millions, which is what was looked at, half a percent."""
        market, trade, instrument_id = await self.begin(log)
        steps = [self.limit(trade, Decimal("0.01")), self.amend(instrument_id, 1_000_000)]
        answers = await race(market, *(steps if first == "limit" else steps[::-1]))
        assert list_codes(answers) == ["dilution_exceeded"]
        issuer, instrument = await market.state("issuer", trade.issuer), await market.state("instrument", instrument_id)
        assert (issuer.limit is not None) is (first == "limit")
        if issuer.limit is not None:
            assert measure_dilution(issuer).part <= Decimal("0.01")
        assert issuer.exposures[instrument_id] == instrument.list_exposures(market.clock.now().date())
        await check_log(log)

    @pytest.mark.parametrize("first", ["worse", "back"])
    async def test_the_issuer_counts_what_the_instrument_says_whoever_amends_it_last(self, log, first):
        market, trade, instrument_id = await self.begin(log)
        steps = [self.amend(instrument_id, 1_000_000), self.amend(instrument_id, 10_000_000)]
        other = market.process("other")
        await other.handler.cache.load(ISSUER, trade.issuer)
        for step in steps if first == "worse" else steps[::-1]:
            await step(market)
        await self.amend(instrument_id, 10_000_000 if first == "back" else 1_000_000)(other)
        issuer, instrument = await market.state("issuer", trade.issuer), await market.state("instrument", instrument_id)
        assert issuer.exposures[instrument_id] == instrument.list_exposures(market.clock.now().date())


class TestDilutionOnMemory(DilutionCases):
    @pytest.fixture
    def log(self, memory_log):
        return memory_log


class TestDilutionOnJetStream(DilutionCases):
    @pytest.fixture
    def log(self, jetstream_log):
        return jetstream_log


class GroupCases:
    """Two auctions match two orders of one group."""

    @pytest.mark.parametrize("first", [0, 1])
    async def test_of_a_group_one_order_is_matched_whichever_auction_is_first(self, log, first):
        market = Market(log)
        provider = await market.party("Provider", "provider")
        _, pool = await market.pool(provider)
        lot = await market.lot(provider, pool)
        startup = await market.party("Startup", "startup", usd=100_000)
        pairs = []
        for _ in range(2):
            order, auction = await market.order(startup, group="either"), await market.auction()
            await auctions.lock_order(market.handler, market.context(), order, auction)
            pairs.append((order, auction))
        commands = [self.match(market, pool, lot, *pair) for pair in pairs]
        answers = await race(market, commands[first], commands[1 - first])
        assert list_codes(answers) == ["group_served"]
        statuses = [(await market.state("order", order)).status for order, _ in pairs]
        assert statuses == ["matched", "locked"][:: 1 if first == 0 else -1]
        assert len((await market.state("pool", pool)).reservations) == 1

    def match(self, market, pool, lot, order, auction):
        start, end = market.day(1), market.day(3)
        terms = MatchTerms(
            grant_id=rename_id("grt", order),
            pool_id=pool,
            nodes=2,
            start=start,
            end=end,
            lots=(LotShare(lot_id=lot, nodes=2, start=start, end=end),),
            value_usd_per_gpu_hour=Decimal(3),
            price_usd_per_gpu_hour="2/1",
        )

        def command(process):
            return auctions.carry_out_match(process.handler, process.context(), auction, order, terms)

        return command


class TestGroupsOnMemory(GroupCases):
    @pytest.fixture
    def log(self, memory_log):
        return memory_log


class TestGroupsOnJetStream(GroupCases):
    @pytest.fixture
    def log(self, jetstream_log):
        return jetstream_log


DELIVERED = 40 * 86_400 * 2 * 8


class VestingCases:
    """Two processes accept the two statements that a milestone of a warrant needs both of."""

    async def begin(self, log, *, more=0, price_usd=None):
        market = Market(log)
        trade = await market.trade(days=40, cash="3", equity="0")
        await found(market, trade.startup)
        await act(market, trade.startup, AddStakeholder, holder_id=trade.fund, name="Fund", kind="investor")
        async with market.worker():
            grant = await market.award(trade)
        await market.deliver(grant, 40)
        market.clock.at = grant.end + timedelta(days=1)
        async with market.worker():
            statements = [period.statement_id for period in list_periods(grant)]
            assert len(statements) == 2
            for statement_id in statements:
                await market.until("statement", statement_id, "issued")
        warrant = derive_id("wrt", trade.issuer)
        programme = derive_id("prg", trade.issuer)
        sides = {"customer_ids": (trade.startup,), "vendor_ids": (trade.provider,)}
        opened = {"programme_id": programme, "name": "Purchases", "counts_outside": True, **sides}
        await act(market, trade.startup, OpenProgramme, **opened)
        whole = DeliveryMilestone(gpu_seconds=DELIVERED + more)
        price = () if price_usd is None else ((PriceMilestone(price_usd_per_share=Decimal(price_usd)),),)
        terms = IssueWarrant(
            issuer_id=trade.issuer,
            warrant_id=warrant,
            holder_id=trade.fund,
            class_id="common",
            shares=1_000,
            exercise_price_usd=Decimal(1),
            expires_at=grant.end + timedelta(days=90),
            settlement="cash",
            tranches=(WarrantTranche(shares=1_000, conditions=((whole,), *price)),),
            programme_id=programme,
            grant_ids=(grant.issued.grant_id,),
        )
        await warrants.issue_warrant(market.handler, market.context(), terms)
        return market, trade, statements, warrant

    def accept(self, trade, statement_id):
        def command(process):
            return accept_statement(process.handler, process.context(trade.startup), statement_id)

        return command

    async def until_vested(self, market, trade, warrant):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (await market.state("issuer", trade.issuer)).warrants[warrant].vested:
                await market.tick()
        await check_log(market.log)

    @pytest.mark.parametrize("first", [0, 1])
    async def test_it_vests_when_both_are_accepted_at_once(self, log, first):
        market, trade, statements, warrant = await self.begin(log)
        steps = [self.accept(trade, statement_id) for statement_id in statements]
        async with market.worker() as worker:
            await until_read(market, worker)  # so that it has looked at the warrant for the last time
            assert list_codes(await race(market, steps[first], steps[1 - first])) == []
            await self.until_vested(market, trade, warrant)

    @pytest.mark.parametrize("first", [0, 1])
    async def test_it_vests_though_the_second_process_does_not_know_of_the_first_acceptance(self, log, first):
        market, trade, statements, warrant = await self.begin(log)
        late = market.process("late")
        await late.handler.cache.load(STATEMENT, statements[first])
        async with market.worker() as worker:
            await until_read(market, worker)
            await self.accept(trade, statements[first])(market)
            await until_read(market, worker)
            await self.accept(trade, statements[1 - first])(late)
            await self.until_vested(market, trade, warrant)


class TestVestingOnMemory(VestingCases):
    @pytest.fixture
    def log(self, memory_log):
        return memory_log

    def state_outside(self, trade):
        """Purchases outside this market, which both sides agreed to."""

        def command(process):
            context = process.context()
            stated = StatePurchases(
                issuer_id=trade.issuer,
                purchases_id=derive_id("pur", context.command_id),
                programme_id=derive_id("prg", trade.issuer),
                customer_id=trade.startup,
                vendor_id=trade.provider,
                starts_on=context.at.date(),
                ends_on=context.at.date(),
                gpu_seconds=1,
                kilowatts=0,
                purchased_usd=Decimal(0),
                paid_usd=Decimal(0),
                document="statement signed by both",
                excludes_market=True,
                at=context.at,
            )
            return warrants.state_purchases(process.handler, context, stated)

        return command

    def record_value(self, trade):
        """A valuation that the platform records."""

        def command(process):
            context = process.context()
            value = RecordValuation(
                issuer_id=trade.issuer,
                price_usd_per_share=Decimal(2),
                method="409A",
                effective_on=context.at.date(),
            )
            return issuers.record_valuation(process.handler, context, value)

        return command

    @pytest.mark.parametrize("other", ["purchases", "valuation"])
    async def test_it_vests_when_one_process_accepts_and_another_one_records_what_was_missing(self, log, other):
        terms = {"more": 1} if other == "purchases" else {"price_usd": 2}
        market, trade, statements, warrant = await self.begin(log, **terms)
        record = (self.state_outside if other == "purchases" else self.record_value)(trade)
        await self.accept(trade, statements[0])(market)
        async with market.worker() as worker:
            await until_read(market, worker)
            steps = self.accept(trade, statements[1]), record
            assert list_codes(await race(market, *steps, between=lambda: until_read(market, worker))) == []
            await self.until_vested(market, trade, warrant)


class TestVestingOnJetStream(VestingCases):
    @pytest.fixture
    def log(self, jetstream_log):
        return jetstream_log


class StatementCases:
    """A period is stated and an earlier one is adjusted at once; each is priced after what the other one states."""

    @pytest.mark.parametrize("first", ["issue", "adjust"])
    async def test_statements_of_two_periods_are_priced_one_after_the_other(self, log, first):
        market = Market(log)
        trade = await market.trade(days=40)
        async with market.worker():
            grant = await market.award(trade)
            settled, later = list_periods(grant)
            await market.deliver(grant, 10)
            market.clock.at = settled.end + timedelta(hours=25)
            await market.until("statement", settled.statement_id, "issued")
            market.clock.at += timedelta(days=7)
            await market.until("statement", settled.statement_id, "accepted")
        grant_id, start = grant.issued.grant_id, grant.issued.start
        days = [(f"late-{day}", start + timedelta(days=day)) for day in (20, 32)]
        measured = [
            Measurement(reading_id=name, start=begin, end=begin + timedelta(days=1), nodes=2) for name, begin in days
        ]
        market.clock.at = max(market.clock.at, later.end)
        await report_usage(
            market.handler, market.context(trade.provider), grant_id, source="dcgm", measurements=measured
        )

        def issue(process):
            return issue_statement(process.handler, process.context(), grant_id, 1)

        def adjust(process):
            return adjust_statement(process.handler, process.context(), grant_id, 0)

        steps = [issue, adjust] if first == "issue" else [adjust, issue]
        assert list_codes(await race(market, *steps)) == []
        ids = [later.statement_id, name_adjustment(settled.statement_id, 0)]
        stated = [await market.state("statement", statement_id) for statement_id in ids]
        before = [each.issued.gpu_seconds_before for each in (stated if first == "issue" else stated[::-1])]
        day = 2 * 8 * 86_400
        assert before == [10 * day, 11 * day]


class TestStatementsOnMemory(StatementCases):
    @pytest.fixture
    def log(self, memory_log):
        return memory_log


class TestStatementsOnJetStream(StatementCases):
    @pytest.fixture
    def log(self, jetstream_log):
        return jetstream_log


class BookCases:
    """A quote is held, or a lot of resale is withdrawn, while an auction freezes its book."""

    @pytest.mark.parametrize("first", ["hold", "lock"])
    async def test_no_hold_takes_what_a_frozen_book_has(self, log, first):
        market = Market(log)
        provider = await market.party("Provider", "provider")
        _, pool = await market.pool(provider)
        await market.lot(provider, pool)
        startup = await market.party("Startup", "startup", usd=1_000_000)
        auction = await market.auction()
        opened = (await market.state("auction", auction)).opened

        def lock(process):
            book = build_book(opened, Supply({}, {}, {}), [])
            named = {"book": book, "book_hash": compute_book_hash(book)}
            return auctions.lock_auction(process.handler, process.context(), auction, **named, changes=0)

        async def hold(process):
            async with open_desk(process) as desk:
                terms = process.terms(nodes=4, days=20, latest=1)
                named = {"startup_id": startup, "terms": terms, "hold_seconds": 600}
                return await hold_quote(process.handler, process.context(startup), desk.quoter, **named)

        answers = await race(market, *((hold, lock) if first == "hold" else (lock, hold)))
        assert list_codes(answers) == (["supply_changed"] if first == "hold" else ["market_deciding"])
        state = await market.state("auction", auction)
        assert (state.status, state.changes) == (("collecting", 1) if first == "hold" else ("locked", 0))
        assert len((await market.state("pool", pool)).reservations) == (first == "hold")

    async def test_from_the_lock_on_no_hold_keeps_an_auction_from_its_book(self, log):
        market = Market(log)
        provider = await market.party("Provider", "provider")
        _, pool = await market.pool(provider)
        await market.lot(provider, pool)
        startup = await market.party("Startup", "startup", usd=1_000_000)
        await market.auction(locks_at=0.5)
        market.clock.at = market.day(0.5)
        async with open_desk(market) as desk:
            terms = market.terms(nodes=4, days=20, latest=1)
            named = {"startup_id": startup, "terms": terms, "hold_seconds": 600}
            with pytest.raises(Refusal) as caught:
                await hold_quote(market.handler, market.context(startup), desk.quoter, **named)
        assert caught.value.code == "market_deciding"


class TestBooksOnMemory(BookCases):
    @pytest.fixture
    def log(self, memory_log):
        return memory_log


class TestBooksOnJetStream(BookCases):
    @pytest.fixture
    def log(self, jetstream_log):
        return jetstream_log


class BoundOfferCases:
    """A company is sold, or grows, while an auction locks its order, which pays in its equity."""

    async def begin(self, log):
        market = Market(log)
        trade = await market.trade(days=10)
        await found(market, trade.startup)
        await market.cancel(trade.startup, trade.order)
        rules = {"valuation_cap_usd_max": Decimal(1_000_000_000)}
        order = await offer_equity(market, trade, "stock", STOCK, **rules)

        def lock(process):
            return auctions.lock_order(process.handler, process.context(), order, trade.auction)

        return market, trade, order, lock

    def sell(self, trade):
        def command(process):
            sale = {"proceeds_usd": Decimal(1_000_000), "safe_seniority": 1, "auction_ids": (trade.auction,)}
            context = process.context(trade.startup)
            return issuers.declare_liquidity(process.handler, context, trade.issuer, **sale)

        return command

    @pytest.mark.parametrize("first", ["sale", "lock"])
    async def test_no_order_is_locked_beside_a_sale_whichever_is_first(self, log, first):
        market, trade, order, lock = await self.begin(log)
        sell = self.sell(trade)
        answers = await race(market, *((sell, lock) if first == "sale" else (lock, sell)))
        assert list_codes(answers) == (["sale_declared"] if first == "sale" else ["market_deciding"])
        assert (await market.state("order", order)).status == ("open" if first == "sale" else "locked")
        assert ((await market.state("issuer", trade.issuer)).find_sale() is None) is (first == "lock")
        await check_log(log)

    async def test_a_process_that_has_not_heard_of_a_lock_sells_no_company(self, log):
        """It has read the company since, and not the order."""
        market, trade, order, lock = await self.begin(log)
        other = market.process("other")
        await other.handler.cache.load(ORDER, order)
        await lock(market)
        with pytest.raises(Refusal) as caught:
            await self.sell(trade)(other)
        assert caught.value.code == "market_deciding"

    @pytest.mark.parametrize("first", ["growth", "lock"])
    async def test_no_company_outgrows_the_price_of_an_order_that_is_locked(self, log, first):
        market, trade, order, lock = await self.begin(log)
        shares = {"holder_id": trade.startup, "class_id": "common", "shares": 900_000}
        stock = IssueStock(
            issuer_id=trade.issuer,
            security_id=derive_id("sec", trade.issuer, "more"),
            price_usd_per_share=Decimal("0.0001"),
            **shares,
        )

        def grow(process):
            return issuers.act(process.handler, process.context(trade.startup), stock)

        answers = await race(market, *((grow, lock) if first == "growth" else (lock, grow)))
        assert list_codes(answers) == ([] if first == "growth" else ["market_deciding"])
        assert (await market.state("order", order)).status == ("cancelled" if first == "growth" else "locked")
        held = (await market.state("issuer", trade.issuer)).holdings[trade.startup, "common"]
        assert held == (8_900_000 if first == "growth" else 8_000_000)
        await check_log(log)


class TestBoundOffersOnMemory(BoundOfferCases):
    @pytest.fixture
    def log(self, memory_log):
        return memory_log


class TestBoundOffersOnJetStream(BoundOfferCases):
    @pytest.fixture
    def log(self, jetstream_log):
        return jetstream_log


LATER = {
    "sign": ("9", []),
    "amend": ("1", []),
    "keep": (None, ["election_made"]),
}
"""What happens to the later SAFE or to the clause: the cap in millions elected after it, and what is refused."""


@pytest.mark.parametrize("first", ["elect", "other"])
@pytest.mark.parametrize("other", LATER)
async def test_an_election_adopts_the_terms_that_its_holder_was_notified_of_last(memory_log, other, first):
    market = Market(memory_log)
    trade = await market.trade(days=10)
    await pay_in(market, trade.fund, 10_000)
    trade.mandate = await market.mandate(trade.fund, uncapped=True, **for_cash(10_000))
    clause = {"most_favoured_nation": True, "valuation_cap_usd": None, "discount": None}
    favoured = (await invest(market, trade, 1_000, msgspec.structs.replace(SAFE, **clause))).id
    nine = msgspec.structs.replace(SAFE, valuation_cap_usd=Decimal(9_000_000))
    later = (await invest(market, trade, 1_000, nine)).id

    def elect(process):
        return instruments.elect_mfn(process.handler, process.context(trade.fund), favoured, later_instrument_id=later)

    def change(process):
        terms = msgspec.structs.replace(SAFE, valuation_cap_usd=Decimal(1_000_000))
        match other:
            case "sign":
                return invest(process, trade, 1_000, terms)
            case "amend":
                return instruments.amend_instrument(
                    process.handler, process.context(), later, terms=terms, applies_to_earlier=True
                )
            case _:
                return instruments.elect_mfn(
                    process.handler, process.context(trade.fund), favoured, later_instrument_id=None
                )

    cap, codes = LATER[other]
    answers = await race(market, *((elect, change) if first == "elect" else (change, elect)))
    assert list_codes(answers) == codes
    elected = (await market.state("instrument", favoured)).election
    adopted = elected.terms.valuation_cap_usd
    expected = "9" if first == "elect" else cap
    assert adopted == (None if expected is None else Decimal(expected) * 1_000_000)
    await check_log(memory_log)


CLAUSE = {"most_favoured_nation": True, "valuation_cap_usd": None, "discount": None}
NINE = msgspec.structs.replace(SAFE, valuation_cap_usd=Decimal(9_000_000))


async def begin_election(market, ending):
    """Return a trade, a most-favoured SAFE that was notified of a later one, that one, and which of them was awarded.

    It is the one whose draw can end: the other one is paid in cash.
    """
    is_favoured = ending.startswith("favoured")
    market.instrument = msgspec.structs.replace(SAFE, **CLAUSE) if is_favoured else NINE
    trade = await market.trade(days=10, uncapped=True)
    await found(market, trade.startup)
    await pay_in(market, trade.fund, 10_000)
    trade.mandate = await market.mandate(trade.fund, uncapped=True, **for_cash(10_000))
    clause = None if is_favoured else (await invest(market, trade, 1_000, msgspec.structs.replace(SAFE, **CLAUSE))).id
    async with market.worker():
        grant = await market.award(trade)
    awarded = rename_id("ins", grant.issued.grant_id)
    if clause is not None:
        return trade, clause, awarded, awarded
    return trade, awarded, (await invest(market, trade, 1_000, NINE)).id, awarded


ENDINGS = ["favoured cancelled", "favoured lapses", "later cancelled", "later lapses"]


@pytest.mark.parametrize(
    ("ending", "first"),
    [*((ending, first) for ending in ENDINGS for first in ("elect", "other")), ("round", "other")],
)
async def test_an_election_is_taken_whichever_instrument_ends_meanwhile(memory_log, ending, first):
    """The terms are those of the notice, also where the later SAFE ended; what ended itself becomes nothing by them.

    No round is priced before the holder elects or its time is over.
    """
    market = Market(memory_log)
    trade, favoured, later, awarded = await begin_election(market, ending)
    opened = market.context(trade.startup)
    if ending == "round":
        market.clock.at = (await market.state("instrument", favoured)).notices[later].elect_until
        opened = market.context(trade.startup)
        await issuers.open_financing(market.handler, opened, trade.issuer, name="A", terms=build_round(trade.fund))
    financing = derive_id("fin", opened.command_id)

    def elect(process):
        return instruments.elect_mfn(process.handler, process.context(trade.fund), favoured, later_instrument_id=later)

    def end(process):
        if ending == "round":
            return issuers.price_financing(process.handler, process.context(trade.startup), trade.issuer, financing)
        if ending.endswith("cancelled"):
            named = {"reason": "both agreed", "at": market.clock.now()}
            return instruments.cancel_instrument(process.handler, process.context(), awarded, **named)

        async def lapse(unit):
            await unit.decide(INSTRUMENT, awarded, LapseInstrument(instrument_id=awarded, reason="the grant ended"))
            await track_instrument(unit, awarded)

        return process.handler.run(process.context(), INSTRUMENT, awarded, lapse)

    answers = await race(market, *((elect, end) if first == "elect" else (end, elect)))
    assert list_codes(answers) == (["mfn_election_missing"] if ending == "round" else [])
    known, issuer = await market.state("instrument", favoured), await market.state("issuer", trade.issuer)
    assert known.election.terms.valuation_cap_usd == 9_000_000
    exposed = [each.terms.valuation_cap_usd for each in issuer.exposures.get(favoured, ())]
    assert exposed == ([] if ending.startswith("favoured") else [9_000_000])
    if ending == "round":
        await end(market)
        (converted,) = (await market.state("issuer", trade.issuer)).financings[financing].pricing.conversions[:1]
        assert (converted.instrument_id, converted.branch) == (favoured, "cap"), "at the elected terms"
    await check_log(memory_log)


class RoundCases:
    """A statement is accepted, which adds principal to an instrument, while a priced round closes that converts it.

    What has no principal yet is not written by the closing: the first statement of it may come before in the log, and
    its principal is that of the next round, as if it had been accepted a moment later.
    """

    @pytest.mark.parametrize("first", ["accept", "close"])
    async def test_a_round_closes_on_the_principal_that_it_was_priced_on(self, log, first):
        market = Market(log)
        trade = await market.trade(days=40)
        await found(market, trade.startup)
        async with market.worker():
            grant = await market.award(trade)
        await market.deliver(grant, 40)  # without a worker, which could issue the first statement before the report
        market.clock.at = grant.end + timedelta(days=1)
        async with market.worker():
            earlier, later = [period.statement_id for period in list_periods(grant)]
            await market.until("statement", later, "issued")
        await accept_statement(market.handler, market.context(trade.startup), earlier)
        opened = market.context(trade.startup)
        terms = build_round(trade.fund)
        await issuers.open_financing(market.handler, opened, trade.issuer, name="Series A", terms=terms)
        financing = derive_id("fin", opened.command_id)
        await issuers.price_financing(market.handler, market.context(trade.startup), trade.issuer, financing)
        await pay_in(market, trade.fund)

        def accept(process):
            return accept_statement(process.handler, process.context(trade.startup), later)

        def close(process):
            approval = Approval(document="consent 7")
            context = process.context()
            return issuers.close_financing(process.handler, context, trade.issuer, financing, approval=approval)

        answers = await race(market, *((accept, close) if first == "accept" else (close, accept)))
        assert list_codes(answers) == (["financing_stale"] if first == "accept" else [])
        instrument = await market.state("instrument", rename_id("ins", grant.issued.grant_id))
        converted = [tranche.outstanding_usd == 0 for tranche in instrument.tranches]
        assert converted == ([False, False] if first == "accept" else [True, False])
        await check_log(log)


class TestRoundsOnMemory(RoundCases):
    @pytest.fixture
    def log(self, memory_log):
        return memory_log


class TestRoundsOnJetStream(RoundCases):
    @pytest.fixture
    def log(self, jetstream_log):
        return jetstream_log


class SlipCases:
    """A lot is listed while its site slips, under a worker that reads the log as it grows."""

    @pytest.mark.parametrize("first", ["slip", "list"])
    async def test_a_lot_begins_no_earlier_than_its_site(self, log, first):
        market = Market(log)
        provider = await market.party("Provider", "provider")
        site, pool = await market.pool(provider, status="planned")
        await sites.schedule_conversion(
            market.handler, market.context(provider), site, former_use="bitcoin mining", ready_at=market.day(1)
        )

        def slip(process):
            context = process.context(provider)
            return sites.slip_conversion(
                process.handler, context, site, ready_at=market.day(20), reason="the transformer is late"
            )

        def list_lot(process):
            return process.lot(provider, pool)

        async with market.worker() as worker:
            steps = (slip, list_lot) if first == "slip" else (list_lot, slip)
            answers = await race(market, *steps, between=lambda: until_read(market, worker))
            assert list_codes(answers) == []
            (lot,) = [answer for answer in answers if isinstance(answer, str)]
            async with asyncio.timeout(PATIENCE_SECONDS):
                while (await market.state("lot", lot)).start < market.day(20):
                    await market.tick()
        await check_log(log)


class TestSlipsOnMemory(SlipCases):
    @pytest.fixture
    def log(self, memory_log):
        return memory_log


class TestSlipsOnJetStream(SlipCases):
    @pytest.fixture
    def log(self, jetstream_log):
        return jetstream_log


@pytest.mark.parametrize("first", ["move", "end", "announced"])
async def test_of_a_move_and_an_early_end_no_node_stays_reserved(memory_log, first):
    market = Market(memory_log)
    trade = await market.trade(equity="0", cash="3")
    await market.deposit(trade.provider, 100_000)
    _, other = await market.pool(trade.provider)
    await market.lot(trade.provider, other)
    async with market.worker():
        grant_id = (await market.award(trade)).issued.grant_id

    def move(process):
        context = process.context(trade.provider)
        return substitute_grant(process.handler, context, grant_id, pool_id=other, reason="works on the hall")

    def end(process):
        at = market.day(20 if first == "announced" else 1)
        act = {"at": at, "reason": "sold to another", "by": "provider"}
        return grants.terminate_grant(process.handler, process.context(), grant_id, **act)

    answers = await race(market, *((move, end) if first == "move" else (end, move)))
    assert list_codes(answers) == (["grant_over"] if first == "end" else [])
    grant = await market.state("grant", grant_id)
    assert (grant.status, grant.pool_id) == ("terminated", trade.pool if first == "end" else other)
    loads = [(await market.state("pool", pool_id)).reserved() for pool_id in (trade.pool, other)]
    left = [(load.start, load.end) for load in loads[1]]
    assert loads[0] == [], "no node stays reserved where the grant is not"
    assert left == ([(grant.issued.start, market.day(20))] if first == "announced" else [])
    await check_log(memory_log)


async def test_an_award_is_marked_though_its_process_has_not_read_the_relation_of_its_parties(memory_log):
    market = Market(memory_log)
    provider = await market.party("Provider", "provider")
    _, pool = await market.pool(provider)
    lot = await market.lot(provider, pool)
    startup = await market.party("Startup", "startup", usd=100_000)
    order, auction = await market.order(startup), await market.auction()
    await auctions.lock_order(market.handler, market.context(), order, auction)

    def relate(process):
        found = {"kind": "affiliate", "reason": "one founder", "related_id": provider}
        return declare_relation(process.handler, process.context(), startup, **found)

    async with market.worker() as worker:
        steps = relate, GroupCases().match(market, pool, lot, order, auction)
        assert list_codes(await race(market, *steps, between=lambda: until_read(market, worker))) == []
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await market.state("grant", rename_id("grt", order))).mark != "related":
                await market.tick()


@pytest.mark.parametrize("first", ["accept", "fail"])
async def test_an_outage_is_credited_though_its_period_is_accepted_by_a_process_that_has_not_read_it(memory_log, first):
    market = Market(memory_log)
    trade = await market.trade(cash="3", equity="0")
    async with market.worker() as worker:
        grant = await market.award(trade)
        settled = list_periods(grant)[0]
        await market.deliver(grant, 30)
        market.clock.at = settled.end + timedelta(hours=25)
        await market.until("statement", settled.statement_id, "issued")

        def accept(process):
            return accept_statement(process.handler, process.context(trade.startup), settled.statement_id)

        def fail(process):
            at = grant.issued.start + timedelta(days=10)
            outage = {"nodes_available": 0, "at": at, "until": at + timedelta(days=9), "reason": "cooling"}
            return grants.degrade_grant(
                process.handler, process.context(trade.provider), grant.issued.grant_id, **outage
            )

        steps = (accept, fail) if first == "accept" else (fail, accept)
        assert list_codes(await race(market, *steps, between=lambda: until_read(market, worker))) == []
        credit = await market.until("statement", name_adjustment(settled.statement_id, 0), "accepted")
        assert credit.charges.gpu_seconds == 9 * 2 * 8 * 86_400
        await check_log(memory_log)


@pytest.mark.parametrize("first", ["startup", "provider"])
@pytest.mark.parametrize("grants_ended", [1, 2])
async def test_of_two_ends_in_one_deal_each_grant_ends_once_for_one_fee(memory_log, first, grants_ended):
    """Both sides end at once: the same grant, or each another one. Each fee follows from the stored end."""
    market = Market(memory_log)
    trade = await market.trade(equity="0", cash="3")
    await market.deposit(trade.provider, 100_000)
    other = await market.order(trade.startup, cash="3", nodes=2, days=40, latest=1)
    async with market.worker():
        ids = [(await market.award(trade)).issued.grant_id, (await market.state("order", other)).grant_id][
            :grants_ended
        ]
    before = (await market.account(trade.provider)).available_usd

    def end(party, grant_id):
        def command(process):
            act = {"at": market.day(20), "reason": "the other side ends too"}
            return grants.terminate_grant(process.handler, process.context(party), grant_id, **act)

        return command

    ends = [end(trade.startup, ids[0]), end(trade.provider, ids[-1])]
    assert list_codes(await race(market, *(ends if first == "startup" else ends[::-1]))) == []
    ended = [await market.state("grant", grant_id) for grant_id in ids]
    assert all(grant.end == market.day(20) and grant.end_fee_usd > 0 for grant in ended)
    by = ["startup", "provider"] if grants_ended == 2 else [first]
    paid = sum(grant.end_fee_usd * (1 if side == "startup" else -1) for grant, side in zip(ended, by, strict=True))
    provider = await market.account(trade.provider)
    assert provider.available_usd == before + paid
    assert await find_faults(Fees, memory_log) == []
    await check_log(memory_log)


async def test_a_look_that_is_not_listed_is_found(memory_log, unlisted_looks, monkeypatch):
    monkeypatch.delitem(LOOKS, "inventory:open_pool")
    market = Market(memory_log)
    await market.pool(await market.party("Provider", "provider"))
    assert unlisted_looks == {"inventory:open_pool site"}
    unlisted_looks.clear()


def test_every_listed_look_has_a_reason_that_is_explained():
    reasons = {reason for looks in LOOKS.values() for reason in looks.values()} | set(EVERYWHERE.values())
    assert reasons == WHY

"""Related parties: an auction never matches them, and what they trade sets no price and is paid by no mandate."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import permutations

import msgspec
import pytest

from marketplace.application.access.relations import declare_relation, end_relation
from marketplace.application.billing import approvals
from marketplace.application.delivery import grants
from marketplace.application.trading.quotes import hold_quote, take_quote
from marketplace.auditor.market import Market as Audit
from marketplace.auditor.persons import Persons
from marketplace.auditor.relations import Relations
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.money import parse_ratio
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.register import REGISTER_ID
from tests.application.trading.test_resale import buy, resell
from tests.support.market.auditing import find_faults
from tests.support.market.deciding import decide
from tests.support.market.desk import open_desk
from tests.support.market.invariants import check_log
from tests.support.market.market import Market
from tests.support.patience import PATIENCE_SECONDS

OWNER = "lei:5493001kjtiigc8y1r12"


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


async def relate(market, party_id, *, by=None, **other):
    """State a relation as a party, or find it as the platform."""
    told = {"kind": "owner" if "owner" in other else "affiliate", "reason": "the same founder", **other}
    return (await declare_relation(market.handler, market.context(by), party_id, **told)).id


async def state_both(market, one, two):
    for party_id in (one, two):
        await relate(market, party_id, by=party_id, owner=OWNER)


async def state_each_other(market, one, two):
    await relate(market, one, by=one, related_id=two)
    await relate(market, two, by=two, related_id=one)


async def state_alone(market, one, two):
    await relate(market, one, by=one, related_id=two)


async def find_chain(market, one, two):
    middle = await market.party("Holding", "fund")
    await relate(market, one, owner=OWNER)
    await relate(market, middle, owner=OWNER)
    await relate(market, two, related_id=middle)


async def test_a_clerk_that_may_not_agree_states_no_relation(market):
    """One of a fund named the founder of a company as its affiliate, and the fund had no say there any more."""
    fund, founder = await market.party("Fund", "fund"), await market.party("Founder", "fund")
    clerk = msgspec.structs.replace(market.context(fund), agrees=False)
    with pytest.raises(Refusal) as caught:
        await declare_relation(market.handler, clerk, fund, kind="affiliate", reason="x", related_id=founder)
    assert (caught.value.code, caught.value.facts["scope"]) == ("scope_missing", "proposals:agree")


async def test_a_clerk_of_the_platform_finds_and_ends_no_relation(market):
    """One related a fund to a founder, and the founder alone decided; or ended what its sister could not end."""
    fund, founder = await market.party("Fund", "fund"), await market.party("Founder", "fund")
    clerk, told = msgspec.structs.replace(market.context(), decides=False), {"kind": "affiliate", "reason": "x"}
    found = await declare_relation(market.handler, market.context(), fund, related_id=founder, **told)
    for sent in (
        declare_relation(market.handler, clerk, fund, owner="lei:one", **told),
        end_relation(market.handler, clerk, fund, found.id, reason="x"),
    ):
        with pytest.raises(Refusal) as caught:
            await sent
        assert (caught.value.code, caught.value.facts["scope"]) == ("scope_missing", "rights:decide")


async def test_a_limit_of_one_person_lets_two_state_a_relation(market):
    """One person gave up a fund's vote for ever, though its account let one person alone let go next to nothing."""
    fund, founder = await market.party("Fund", "fund"), await market.party("Founder", "fund")
    await relate(market, founder, by=founder, related_id=fund)
    account_id, told = rename_id("acc", fund), {"kind": "affiliate", "reason": "x", "related_id": founder}
    clerk, chief = (msgspec.structs.replace(market.context(fund), actor_person=name) for name in ("clerk", "chief"))
    await approvals.set_limit(market.handler, clerk, account_id, limit_usd=Decimal(5))
    clerk = msgspec.structs.replace(market.context(fund), actor_person="clerk")
    await declare_relation(market.handler, clerk, fund, **told)
    asked = await approvals.find_approval(market.handler, clerk, account_id)
    assert founder not in (await market.state("register", REGISTER_ID)).list_group(fund)
    with pytest.raises(Refusal, match="another person"):
        await approvals.approve(market.handler, msgspec.structs.replace(clerk, command_id="c2"), account_id, asked)
    await approvals.approve(market.handler, chief, account_id, asked)
    assert founder in (await market.state("register", REGISTER_ID)).list_group(fund)
    again = msgspec.structs.replace(market.context(fund), actor_person="clerk")
    await declare_relation(market.handler, again, fund, **told)
    assert await approvals.find_approval(market.handler, again, account_id) is None, "it is stated already"
    await check_log(market.log)
    assert not await find_faults(Persons, market.log)
    assert await find_faults(Persons, market.log, drop="account.approval_given.v1"), "one person alone stated it"


@pytest.mark.parametrize("connect", [state_both, state_each_other, state_alone, find_chain])
async def test_own_startup_and_own_provider_get_nothing_from_a_funds_mandate(market, connect):
    trade = await market.trade(cash="1", equity="24", days=10)
    await connect(market, trade.startup, trade.provider)
    market.clock.at = market.day(0.5)
    async with market.worker():
        await market.until_carried_out(trade.auction)
    order = await market.state("order", trade.order)
    assert order.status == "unmatched"
    assert (await market.state("mandate", trade.mandate)).used_usd == 0
    assert (await market.account(trade.fund)).held_usd == 1_000_000
    await check_log(market.log)


@pytest.mark.parametrize("named", ["startup", "fund"])
async def test_a_sellers_word_alone_bars_nobody_sets_no_price_and_is_firm_once_it_is_confirmed(market, named):
    trade = await market.trade(cash="1", equity="3.75", nodes=4, days=10)
    rival = await market.party("Rival", "startup", usd=100_000)
    order = await market.order(rival, cash="2.10", nodes=4, days=10, latest=1)
    victim = getattr(trade, named)
    relation_id = await relate(market, trade.provider, by=trade.provider, related_id=victim)
    async with market.worker():
        grant = await market.award(trade)
        assert (await market.state("order", order)).status == "unmatched", "the honest bidder wins at its own offer"
        assert (grant.mark, grant.issued.equity.holder_id) == ("named", trade.fund)
        assert (await market.state("mandate", trade.mandate)).used_usd > 0
        await market.deliver(grant, 10)
        statement_id = list_periods(grant)[0].statement_id
        market.clock.at = grant.end + timedelta(hours=25)
        stated = await market.until("statement", statement_id, "issued")
        market.clock.at = stated.issued.accept_until
        paid = await market.until("statement", statement_id, "accepted")
        assert paid.net.holder_usd > 0, "the mandate pays, since nobody confirmed what the provider says"
        assert await relate(market, victim, by=victim, related_id=trade.provider) == relation_id
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await market.state("grant", grant.issued.grant_id)).mark == "named":
                await market.tick()
    mark = (await market.state("grant", grant.issued.grant_id)).mark
    assert mark == {"startup": "related", "fund": "own_capacity"}[named]
    assert await find_faults(Relations, market.log) == []
    await check_log(market.log)


async def test_a_relation_that_is_stored_after_the_lock_stops_the_award(market):
    trade = await market.trade()
    auction = await market.state("auction", trade.auction)
    async with market.worker() as worker:
        clear = worker._auctioneer._engine.clear

        async def relate_then_clear(opened, book):
            await find_chain(market, trade.startup, trade.provider)
            return await clear(opened, book)

        worker._auctioneer._engine.clear = relate_then_clear
        market.clock.at = auction.opened.locks_at
        await market.until_carried_out(trade.auction)
    assert (await market.state("order", trade.order)).status == "unmatched"
    assert (await market.state("mandate", trade.mandate)).used_usd == 0


async def test_no_party_undoes_a_bound_order_by_a_relation_that_it_states(market):
    trade = await market.trade()
    auction = await market.auction(no_cancel_at=0.4)
    await relate(market, trade.provider, by=trade.provider, owner=OWNER)
    async with market.worker():
        market.clock.at = market.day(0.4)
        await market.until("order", trade.order, "locked")
        for one, other in permutations((trade.provider, trade.startup)):
            with pytest.raises(Refusal) as caught:
                await relate(market, one, by=one, related_id=other, auction_ids=[trade.auction, auction])
            assert caught.value.code == "market_deciding"
        await relate(market, trade.provider, by=trade.provider, owner=OWNER, auction_ids=[auction])
        market.clock.at = market.day(0.5)
        for auction_id in (trade.auction, auction):
            await market.until_carried_out(auction_id)
    assert (await market.state("order", trade.order)).status == "matched"
    await relate(market, trade.startup, by=trade.startup, owner=OWNER, auction_ids=[trade.auction, auction])


@pytest.mark.parametrize("funding", ["cash", "own_capacity"])
async def test_shills_neither_win_nor_set_the_price_of_an_honest_buyer(market, funding):
    trade = await market.trade(cash="1", equity="8.5", funding=funding, nodes=3, days=20)
    loser = await market.party("Shill loser", "startup", usd=100_000, sector="robotics")
    await market.issuer(loser)
    shill = {"cash": "1", "equity": "8.5", "mandate_ids": (trade.mandate,), "nodes": 3, "days": 20, "latest": 1}
    await market.order(loser, **shill)
    honest = await market.party("Honest", "startup", usd=1_000_000)
    order = await market.order(honest, cash="5", nodes=3, days=20, latest=1)
    for party_id in (trade.startup, loser, trade.provider):
        await relate(market, party_id, owner=OWNER)
    market.clock.at = market.day(0.5)
    async with market.worker():
        await market.until_carried_out(trade.auction)
    grant = await market.state("grant", (await market.state("order", order)).grant_id)
    assert parse_ratio(grant.issued.price_usd_per_gpu_hour) <= Fraction("2.01")
    assert (await market.state("order", trade.order)).status == "unmatched"


@pytest.mark.parametrize("related", [False, True])
async def test_undeclared_shells_raise_no_price_under_the_own_capacity_of_a_provider_or_its_affiliate(market, related):
    trade = await market.trade(cash="1", equity="8.5", funding="cash" if related else "own_capacity", nodes=2, days=20)
    if related:
        await relate(market, trade.provider, related_id=trade.fund)
    loser = await market.party("Shill loser", "startup", usd=100_000, sector="robotics")
    await market.issuer(loser)
    shill = {"cash": "1", "equity": "8.5", "mandate_ids": (trade.mandate,), "nodes": 2, "days": 20, "latest": 1}
    await market.order(loser, **shill)
    honest = await market.party("Honest", "startup", usd=1_000_000)
    order = await market.order(honest, cash="9.60", nodes=2, days=20, latest=1)
    market.clock.at = market.day(0.5)
    async with market.worker():
        await market.until_carried_out(trade.auction)
    grant = await market.state("grant", (await market.state("order", order)).grant_id)
    assert parse_ratio(grant.issued.price_usd_per_gpu_hour) <= Fraction("2.000001")
    await check_log(market.log)


@pytest.mark.parametrize(
    ("others", "offer", "expected"),
    [
        ((), {}, ["2.000001"]),
        ((), {"equity": "0.5"}, ["1.4"]),
        ((("1.9", 9, 11, False),), {}, ["2.000001"]),
        ((("1.9", 1, 11, False),), {}, []),
        ((("1.9", 10, 20, False),), {}, ["2.000001"]),
        ((("2.5", 1, 10, True),), {}, ["2.000001"]),
        ((("2.5", 10, 20, True),), {}, ["2.000001", "2.500001"]),
    ],
    ids=[
        "at the ask",
        "below the ask",
        "beside a cheaper lot at its end",
        "beside a cheaper lot",
        "before it",
        "only the cheaper",
        "one after the other",
    ],
)
async def test_own_capacity_bids_the_ask_of_lots_beside_which_nothing_asks_less(market, others, offer, expected):
    trade = await market.trade(**{"cash": "1", "equity": "8", "funding": "own_capacity"} | offer)
    _, pool = await market.pool(trade.provider)
    for ask, start, end, own in (("2", 1, 10, True), *others):
        mandate_ids = (trade.mandate,) if own else ()
        await market.lot(trade.provider, pool, nodes=2, ask=ask, start=start, end=end, mandate_ids=mandate_ids)
    market.clock.at = market.day(0.5)
    async with market.worker():
        await market.until_carried_out(trade.auction)
    (row,) = (await market.state("auction", trade.auction)).locked.book.orders
    assert [str(bid.value_usd_per_gpu_hour.normalize()) for bid in row.bids if bid.pool_id == pool] == expected
    await check_log(market.log)


@pytest.mark.parametrize(
    ("lots", "latest", "expected"),
    [
        ([("1.5", 1, 1, 3), ("2", 3, 1, 91)], 50, "matched"),
        ([("1.5", 1, 1, 30), ("2", 3, 1, 91)], 50, "matched"),
        ([("1.5", 1, 1, 91), ("2", 3, 1, 91)], 50, "open"),
        ([("2", 2, 1, 5), ("2", 2, 5, 91)], 1, "matched"),
        ([("2", 2, 1, 5), ("2.5", 2, 5, 91)], 50, "matched"),
        ([("2", 2, 1, 5), ("2.5", 2, 5, 91)], 1, "open"),
    ],
    ids=["cheaper before", "cheaper for a month", "cheaper always", "one ask", "later", "two asks"],
)
async def test_own_capacity_runs_beside_cheaper_nodes_never_and_waits_if_only_they_are_in_its_way(
    market, lots, latest, expected
):
    """It runs in the periods without them. Where there are none, a standing order is told why, and stays open."""
    provider, startup = (
        await market.party("Provider", "provider"),
        await market.party("Startup", "startup", usd=100_000),
    )
    await market.issuer(startup)
    mandate = await market.mandate(provider, "own_capacity")
    _, pool = await market.pool(provider)
    lot_ids = [
        await market.lot(provider, pool, ask=ask, nodes=nodes, start=start, end=end, mandate_ids=(mandate,))
        for ask, nodes, start, end in lots
    ]
    terms = {"cash": "1", "equity": "8", "mandate_ids": (mandate,), "nodes": 2, "days": 8, "latest": latest}
    order_id = await market.order(startup, standing=True, **terms)
    auction = await market.auction()
    market.clock.at = market.day(0.5)
    async with market.worker():
        await market.until_carried_out(auction)
    order = await market.state("order", order_id)
    assert order.status == expected
    (row,) = (await market.state("auction", auction)).locked.book.orders
    assert row.conflict == (("own_capacity",) if expected == "open" else ())
    if expected == "matched":
        shares = (await market.state("grant", order.grant_id)).issued.lots
        assert {share.lot_id for share in shares} <= set(lot_ids)
    else:
        other = [{"code": "never_feasible", "text": "x", "facts": {"conflict": "nodes"}}]
        assert [fault[0] for fault in await find_faults(Audit, market.log, reasons=other)] == ["budget"]
    await check_log(market.log)


async def test_own_capacity_is_marked_and_so_is_nothing_else(market):
    trade = await market.trade(funding="own_capacity")
    async with market.worker():
        assert (await market.award(trade)).mark == "own_capacity"


async def test_a_shell_does_not_buy_what_its_sister_resells_under_the_mandate(market):
    trade = await market.trade(days=10, nodes=4)
    async with market.worker():
        grant = await market.award(trade)
        await resell(market, trade, grant)
        shell = await market.party("Shell", "startup", usd=100_000)
        await market.issuer(shell)
        await relate(market, shell, by=shell, related_id=trade.startup)
        order = await market.order(shell, cash="9.01", days=3, nodes=1, earliest=6, latest=6)
        auction = await market.auction(locks_at=2, horizon=2)
        market.clock.at = market.day(2)
        await market.until_carried_out(auction)
        assert (await market.state("order", order)).status == "unmatched"
        stranger = await buy(market, cash="9.01")
    bought = await market.state("grant", (await market.state("order", stranger.order)).grant_id)
    assert bought.mark is None


async def hold(desk, startup, **terms):
    market, wanted = desk.market, {"nodes": 2, "days": 10, "latest": 1, **terms}
    context, asked = market.context(startup), market.terms(**wanted)
    return await hold_quote(market.handler, context, desk.quoter, startup_id=startup, terms=asked, hold_seconds=60)


@pytest.mark.parametrize("pays", [False, True])
async def test_related_parties_trade_by_a_quote_that_is_marked_and_a_mandate_pays_only_if_it_says_so(market, pays):
    trade = await market.trade(related_parties=pays)
    await market.cancel(trade.startup, trade.order)
    await relate(market, trade.startup, by=trade.startup, related_id=trade.provider)
    equity = {"cash": "1", "equity": "3", "mandate_ids": (trade.mandate,)}
    async with open_desk(market) as desk:
        if not pays:
            with pytest.raises(Refusal):
                await hold(desk, trade.startup, **equity)
        receipt = await hold(desk, trade.startup, **(equity if pays else {"cash": "3"}))
        await take_quote(market.handler, market.context(trade.startup), receipt.id)
    grant = await market.state("grant", rename_id("grt", receipt.id))
    assert (grant.mark, grant.issued.equity is not None) == ("related", pays)
    await check_log(market.log)


async def test_a_quote_that_was_held_before_the_relation_is_not_paid_by_the_mandate(market):
    trade = await market.trade()
    await market.cancel(trade.startup, trade.order)
    async with open_desk(market) as desk:
        receipt = await hold(desk, trade.startup, cash="1", equity="3", mandate_ids=(trade.mandate,))
    await find_chain(market, trade.startup, trade.provider)
    with pytest.raises(Refusal) as caught:
        await take_quote(market.handler, market.context(trade.startup), receipt.id)
    assert caught.value.code == "related_unwelcome"


@pytest.mark.parametrize("relates", [True, False])
async def test_the_maximum_of_an_issuer_counts_those_that_became_related_to_it_since_the_order(market, relates):
    """Two subsidiaries placed an order each, stated that they are one, and drew twice the maximum."""
    trade = await market.trade(issuer_usd_max=Decimal(37_500))
    sister = await market.party("Sister", "startup", usd=100_000, sector="robotics")
    await market.issuer(sister)
    second = await market.order(sister, cash="1", equity="3", mandate_ids=(trade.mandate,))
    if relates:
        await state_each_other(market, trade.startup, sister)
    async with market.worker():
        market.clock.at = market.day(0.5)
        await market.until_carried_out(trade.auction)
    won = [(await market.state("order", each)).status == "matched" for each in (trade.order, second)]
    assert sum(won) == (1 if relates else 2)
    await check_log(market.log)


async def test_capacity_is_not_handed_to_a_party_related_to_its_provider(market):
    trade = await market.trade()
    shell = await market.party("Shell", "startup")
    await relate(market, trade.provider, related_id=shell)
    async with market.worker():
        grant = await market.award(trade)
    with pytest.raises(Refusal) as caught:
        await grants.transfer_grant(
            market.handler, market.context(trade.startup), grant.issued.grant_id, startup_id=shell
        )
    assert caught.value.code == "parties_related"


async def until_marked(market, grant_id):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await market.state("grant", grant_id)).mark is None:
            await market.tick()


async def test_a_relation_found_after_the_trade_marks_it_ends_the_mandates_part_and_asks_for_a_second_meter(market):
    trade = await market.trade()
    async with market.worker():
        grant = await market.award(trade)
        grant_id = grant.issued.grant_id
        await relate(market, trade.startup, by=trade.startup, related_id=trade.provider)
        await market.deliver(grant, 10)
        assert (await market.state("grant", grant_id)).mark is None, "one side alone marks nothing that was traded"
        await relate(market, trade.provider, related_id=trade.startup)
        await until_marked(market, grant_id)
        first = list_periods(grant)[0]
        market.clock.at = first.end + timedelta(hours=25)
        stated = await market.until("statement", first.statement_id, "disputed")
        assert (stated.disputed.by, stated.disputed.gpu_seconds_counted) == ("meters", 0)
        await decide(market, trade, first.statement_id, stated.issued.charges.gpu_seconds)
    paid = await market.state("statement", first.statement_id)
    assert (paid.status, paid.net.holder_usd, paid.net.principal_usd) == ("accepted", 0, 0)
    assert paid.net.cash_usd > 0
    assert (await market.state("instrument", grant.issued.equity.instrument_id)).principal_usd == 0
    await check_log(market.log)


async def test_a_relation_that_began_after_the_trade_does_not_mark_it(market):
    trade = await market.trade(nodes=2, days=10)
    later = await market.order(trade.startup, cash="3", nodes=1, days=5, earliest=20, latest=20)
    async with market.worker():
        grant = await market.award(trade)
        market.clock.at += timedelta(days=1)
        await relate(market, trade.startup, related_id=trade.provider, since=market.clock.now() - timedelta(hours=1))
        earlier = await market.state("order", later)
        assert earlier.status == "matched"
        await market.tick()
    assert (await market.state("grant", grant.issued.grant_id)).mark is None


async def test_a_relation_is_taken_back_by_who_states_it_and_a_firm_one_by_the_platform(market):
    one, two = await market.party("One", "startup"), await market.party("Two", "provider")
    relation_id = await relate(market, one, by=one, related_id=two)

    def end(party_id, by):
        return end_relation(market.handler, market.context(by), party_id, relation_id, reason="sold")

    with pytest.raises(Refusal, match="takes it back"):
        await end(two, two)
    await end(one, one)
    relation_id = await relate(market, one, by=one, related_id=two)
    await relate(market, two, by=two, related_id=one)
    with pytest.raises(Refusal) as caught:
        await end(one, one)
    assert caught.value.code == "relation_firm"
    await end(two, None)
    for nobody in ("acc_01jdm5v5tze1xa6a4sbz1gk3c4", "pty_01jdm5v5tze1xa6a4sbz1gk3c4"):
        with pytest.raises(Refusal) as caught:
            await relate(market, one, by=one, related_id=nobody)
        assert caught.value.code == "party_unknown"


async def test_an_idempotency_key_names_one_relation_for_ever(market):
    one, two = await market.party("One", "startup"), await market.party("Two", "provider")

    async def state(by, other, key):
        context = market.context(by, key)
        told = {"kind": "affiliate", "reason": "the same founder", "related_id": other}
        return (await declare_relation(market.handler, context, by, **told)).id

    first = await state(one, two, "first")
    answers = {(one, two, "first"): first, (two, one, "joins"): first, (one, two, "said before"): first}
    assert {sent: await state(*sent) for sent in answers} == answers
    await end_relation(market.handler, market.context(), one, first, reason="sold")
    assert {sent: await state(*sent) for sent in answers} == answers, "what was answered, though it ended"
    assert await state(one, two, "bought back") != first
    assert {sent: await state(*sent) for sent in answers} == answers, "what was answered, though another one holds"
    market = market.process(market.name)
    assert {sent: await state(*sent) for sent in answers} == answers, "what was answered, by another process"

"""A mandate is a policy: which lots may name it, at which price, and for which issuers."""

import asyncio
from datetime import date, timedelta
from decimal import Decimal

import pytest
from msgspec import structs

from events.pricelist import ListPrice
from marketplace.application.access import parties
from marketplace.application.billing import accounts, approvals
from marketplace.application.delivery import grants
from marketplace.application.delivery.substitution import substitute_grant
from marketplace.application.equity import consents, instruments
from marketplace.application.supply import inventory, pricelists
from marketplace.application.trading import mandates
from marketplace.auditor import market as audit
from marketplace.auditor.caps import Caps
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.instants import render_instant
from tests.application.trading.test_resale import resell
from tests.support.market.auditing import find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import INCIDENTS, SAFE, Market


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


async def refused(work, code):
    with pytest.raises(Refusal) as caught:
        await work
    assert caught.value.code == code
    return caught.value.message


async def pay_in(market, party_id):
    account_id = rename_id("acc", party_id)
    await accounts.deposit(
        market.handler, market.context(), account_id, amount_usd=Decimal(100_000), reference="more for mandates"
    )


async def test_lots_name_a_mandate_only_of_its_providers_and_sites(market):
    fund = await market.party("Fund", "fund", usd=1_000)
    provider, other = await market.party("North", "provider"), await market.party("South", "provider")
    site, pool = await market.pool(provider)
    _, foreign = await market.pool(other)
    _, second = await market.pool(provider)
    mandate = await market.mandate(fund, budget=100, provider_ids=(provider,), site_ids=(site,))
    await market.lot(provider, pool, mandate_ids=(mandate,))
    told = await refused(market.lot(other, foreign, mandate_ids=(mandate,)), "provider_unwelcome")
    assert provider not in told, "whom a holder chose is its own"
    assert site not in await refused(market.lot(provider, second, mandate_ids=(mandate,)), "site_unwelcome")


async def test_resold_capacity_is_paid_only_by_a_mandate_that_says_so(market):
    trade = await market.trade()
    await pay_in(market, trade.fund)
    plain = await market.mandate(trade.fund, budget=100, resale=False)
    async with market.worker():
        grant = await market.award(trade)
    await refused(resell(market, trade, grant, mandate_ids=(plain,)), "resale_unwelcome")
    await resell(market, trade, grant, mandate_ids=(trade.mandate,))


async def test_capacity_that_a_mandate_pays_for_stays_with_its_startup_and_where_the_mandate_and_the_order_allow(
    market,
):
    trade = await market.trade(resale=False, startup_accepts_alone=True)
    friend = await market.party("Friend", "startup")
    site, home = await market.pool(trade.provider)
    _, far = await market.pool(trade.provider)
    await market.lot(trade.provider, home)
    await market.lot(trade.provider, far)
    mandate = await market.state("mandate", trade.mandate)
    rules = structs.replace(mandate.terms, site_ids=(site,))
    await mandates.amend_mandate(market.handler, market.context(trade.fund), trade.mandate, terms=rules)
    async with market.worker():
        grant_id = (await market.award(trade)).issued.grant_id

    def move(pool_id, party_id=trade.provider):
        context = market.context(party_id)
        return substitute_grant(market.handler, context, grant_id, pool_id=pool_id, reason="cheaper")

    await refused(
        grants.transfer_grant(market.handler, market.context(trade.startup), grant_id, startup_id=friend),
        "transfer_unwelcome",
    )
    await refused(move(far), "site_unwelcome")
    await refused(move(far, None), "site_unwelcome")
    await move(home)
    assert (await market.state("grant", grant_id)).pool_id == home
    await check_log(market.log)


@pytest.mark.parametrize(
    ("worse", "code", "unmet"),
    [
        ({"gpu_class": "A100_SXM"}, "pool_unlike", None),
        ({"interconnect": "ethernet"}, "pool_unwelcome", ["interconnect"]),
        ({"region": "sa-brazil"}, "pool_unwelcome", ["region"]),
        ({"power_usage_effectiveness": "1.6"}, "pool_unwelcome", ["power_usage_effectiveness"]),
        ({"renewable_share": "0"}, "pool_unwelcome", ["renewable_share"]),
        (
            {"service": structs.replace(INCIDENTS, availability_min=Decimal("0.98"), credits=())},
            "pool_unwelcome",
            ["availability"],
        ),
        ({"service": structs.replace(INCIDENTS, notice_hours_min=71)}, "pool_unwelcome", ["notice"]),
        ({}, None, None),
    ],
)
async def test_a_grant_moves_only_to_a_pool_that_its_order_accepts(market, worse, code, unmet):
    trade = await market.trade(equity="0", cash="3")
    await market.cancel(trade.startup, trade.order)
    wishes = {
        "regions": ("us-east",),
        "interconnect": "infiniband",
        "power_usage_effectiveness_max": Decimal("1.2"),
        "provider_reliability_min": Decimal("0.9"),
        "renewable_share_min": Decimal("0.5"),
        "availability_min": Decimal("0.99"),
        "notice_hours_min": 72,
    }
    trade.order = await market.order(trade.startup, cash="3", nodes=2, days=40, latest=1, **wishes)
    async with market.worker():
        grant_id = (await market.award(trade)).issued.grant_id
    _, other = await market.pool(trade.provider, **{name: worse[name] for name in worse if name != "service"})
    await market.lot(trade.provider, other, service=worse.get("service"))

    def move(party_id):
        context = market.context(party_id)
        return substitute_grant(market.handler, context, grant_id, pool_id=other, reason="cheaper")

    if code is None:
        await move(trade.provider)
    else:
        for party_id in (trade.provider, None):
            with pytest.raises(Refusal) as caught:
                await move(party_id)
            assert (caught.value.code, caught.value.facts.get("unmet")) == (code, unmet)
    assert (await market.state("grant", grant_id)).pool_id == (trade.pool if code else other)


async def test_an_order_above_the_price_or_of_another_issuer_is_refused(market):
    trade = await market.trade()
    await pay_in(market, trade.fund)
    cheap = await market.mandate(trade.fund, budget=10_000, usd_per_gpu_hour_max=Decimal("3.39"))
    order = {"cash": "1", "equity": "3", "nodes": 1, "days": 1}
    await refused(market.order(trade.startup, **order, mandate_ids=(cheap,)), "price_above_mandate")
    await market.order(trade.startup, **order | {"cash": "0.99"}, mandate_ids=(cheap,))
    others = ("iss_01jdm5v5tze1xa6a4sbz1gk3c4",)
    chosen = await market.mandate(trade.fund, budget=10_000, issuer_ids=others)
    told = await refused(market.order(trade.startup, **order, mandate_ids=(chosen,)), "issuer_unwelcome")
    assert others[0] not in told, "whom a holder chose is its own"


async def _read_events(market, name):
    events = [event async for page in market.log.read() for event in page]
    return [event for event in events if event.envelope.type == f"marketplace.{name}.v1"]


async def test_a_revocation_ends_the_holds_of_open_orders_at_once_and_tells_each(market):
    trade = await market.trade()
    spare = await market.party("Spare", "fund", usd=100_000)
    other = await market.mandate(spare, budget=100_000)
    both = await market.order(trade.startup, cash="1", equity="3", mandate_ids=(trade.mandate, other), days=2)
    context = market.context(trade.fund)
    await mandates.revoke_mandate(market.handler, context, trade.mandate, reason="the fund closes")
    mandate, account = await market.state("mandate", trade.mandate), await market.account(trade.fund)
    assert (mandate.owed_usd, account.available_usd) == (0, 1_000_000)
    async with market.worker():
        ended = await market.until("order", trade.order, "cancelled")
        async with asyncio.timeout(20):
            while len((await market.state("order", both)).budget_holds) != 1:
                await market.tick()
    assert ended.budget_holds == ()
    left = await market.state("order", both)
    assert (left.status, [hold.mandate_id for hold in left.budget_holds]) == ("open", [other])
    told = [event.subject.rpartition(".")[2] for event in await _read_events(market, "order.mandate_ended")]
    assert sorted(told) == sorted([trade.order, both])
    assert (await market.account(trade.startup)).holds[ended.hold_id].left_usd == 0
    await check_log(market.log)


async def test_a_mandate_that_is_revoked_while_an_order_is_locked_pays_nothing(market):
    trade = await market.trade()
    async with market.worker():
        market.clock.at = max(market.clock.at, market.day(0.5))
        await market.until("auction", trade.auction, "locked", "cleared")
        await mandates.revoke_mandate(market.handler, market.context(trade.fund), trade.mandate, reason="no more")
        await market.until_carried_out(trade.auction)
        order = await market.until("order", trade.order, "matched", "unmatched")
    mandate = await market.state("mandate", trade.mandate)
    committed = sum(hold.committed_usd for hold in mandate.holds.values())
    assert mandate.owed_usd == committed
    assert (order.status == "matched") == (committed > 0)
    await check_log(market.log)


async def test_an_order_that_no_pool_can_serve_keeps_no_budget_although_it_stands(market):
    trade = await market.trade()
    terms = {"cash": "1", "equity": "3", "mandate_ids": (trade.mandate,), "standing": True, "regions": ("zz-north",)}
    order = await market.order(trade.startup, **terms)
    async with market.worker():
        await market.award(trade)
        ended = await market.until("order", order, "unmatched")
    assert ended.status == "unmatched"
    assert (await market.state("mandate", trade.mandate)).holds[ended.hold_id].held_usd == 0
    await check_log(market.log)


async def test_budget_that_waits_for_a_far_auction_is_free_after_two_weeks(market):
    trade = await market.trade()
    order = await market.order(
        trade.startup, cash="1", equity="3", mandate_ids=(trade.mandate,), earliest=900, latest=1_000
    )
    hold = (await market.state("order", order)).budget_holds[0]
    assert hold.until == market.clock.now() + timedelta(days=14)
    async with market.worker():
        market.clock.at = hold.until
        await market.until("order", order, "cancelled")
    assert (await market.state("mandate", trade.mandate)).holds[rename_id("hld", order)].held_usd == 0


async def _grant_careful(market, trade, **rules):
    fund = await market.party("Careful", "fund", usd=1_000_000)
    mandate = await market.mandate(fund, budget=800_000, approval_above_usd=Decimal(1_000), **rules)
    await _list_anew(market, trade, mandate)
    return fund, mandate


async def _list_anew(market, trade, *mandates):
    """List the lot of a trade again, for some mandates."""
    await inventory.withdraw_lot(market.handler, market.context(trade.provider), trade.lot, reason="listed anew")
    trade.lot = await market.lot(trade.provider, trade.pool, mandate_ids=mandates)


async def test_an_order_above_an_amount_takes_part_once_the_holder_approves_it(market):
    trade = await market.trade()
    await market.cancel(trade.startup, trade.order)
    fund, mandate = await _grant_careful(market, trade)
    terms = {"cash": "1", "equity": "3", "mandate_ids": (mandate,), "days": 20, "latest": 40, "standing": True}
    order = await market.order(trade.startup, **terms)
    hold_id = rename_id("hld", order)
    assert (await market.state("order", order)).waits_for_approval
    second = await market.auction(locks_at=1.5, horizon=2)
    async with market.worker():
        market.clock.at = market.day(0.5)
        await market.until_carried_out(trade.auction)
        assert (await market.state("order", order)).status == "open"
        deferred = (await _read_events(market, "auction.orders_deferred"))[0]
        assert b"approval_missing" in deferred.body
        with pytest.raises(Refusal) as caught:
            await mandates.approve_order(market.handler, market.context(trade.fund), mandate, hold_id)
        assert caught.value.code == "mandate_unknown"
        await mandates.approve_order(market.handler, market.context(fund), mandate, hold_id)
        await mandates.approve_order(market.handler, market.context(fund), mandate, hold_id)
        assert len(await _read_events(market, "mandate.order_approved")) == 1
        market.clock.at = market.day(1.5)
        await market.until_carried_out(second)
    assert (await market.state("order", order)).status == "matched"
    with pytest.raises(Refusal) as caught:
        await mandates.refuse_order(market.handler, market.context(fund), mandate, hold_id, reason="too late")
    assert caught.value.code == "hold_committed"
    await check_log(market.log)


async def test_an_order_that_its_holder_refuses_is_cancelled_and_frees_its_budget(market):
    trade = await market.trade()
    fund, mandate = await _grant_careful(market, trade)
    order = await market.order(trade.startup, cash="1", equity="3", mandate_ids=(mandate,), days=20)
    context = market.context(fund)
    await mandates.refuse_order(market.handler, context, mandate, rename_id("hld", order), reason="not this one")
    assert (await market.state("mandate", mandate)).owed_usd == 0
    async with market.worker():
        ended = await market.until("order", order, "cancelled")
    assert ended.budget_holds == ()
    await check_log(market.log)


async def test_cash_above_an_amount_waits_for_the_holder_as_a_proposal(market):
    trade = await market.trade()
    fund, mandate = await _grant_careful(market, trade, direct_budget_usd=Decimal(50_000))
    context = market.context(trade.startup)
    terms = {"startup_id": trade.startup, "mandate_id": mandate, "terms": SAFE}
    small = await instruments.invest(market.handler, context, amount_usd=Decimal(1_000), **terms)
    assert (await market.state("instrument", small.id)).principal_usd == 1_000
    context = market.context(trade.startup)
    large = await instruments.invest(market.handler, context, amount_usd=Decimal(1_001), **terms)
    assert await market.state("instrument", large.id) is None
    proposal_id = await consents.find_proposal(market.handler, context)
    made = (await market.state("proposal", proposal_id)).made
    assert made.consents[0].electorate == f"holder/{fund}"
    assert {voter.party_id for consent in made.consents for voter in consent.voters} == {fund}
    await consents.agree(market.handler, market.context(fund), proposal_id)
    assert (await market.state("instrument", large.id)).principal_usd == 1_001
    assert (await market.state("mandate", mandate)).used_directly_usd == 2_001
    await check_log(market.log)


async def test_rules_of_issuer_vendor_and_list_price_are_asked_when_an_order_is_placed_and_at_its_match(market):
    trade = await market.trade()
    await market.cancel(trade.startup, trade.order)
    row = ListPrice(
        gpu_class="H100_SXM", provider="Cloud", usd_per_gpu_hour=Decimal(2), listed_on=date(2026, 1, 1), source="web"
    )
    listed = await pricelists.publish_pricelist(market.handler, market.context(), name="January", prices=(row,))
    fund = await market.party("Choosy", "fund", usd=1_000_000)
    bound = {"pricelist_id": listed.id, "list_price_multiple_max": Decimal("1.75")}

    async def place(**rules):
        mandate = await market.mandate(fund, budget=100_000, **rules)
        return await market.order(trade.startup, cash="1", equity="3", mandate_ids=(mandate,), days=2)

    for rules, code in (
        ({"stages": ("series_a",)}, None),
        ({"gpu_vendors": ("amd",)}, "vendor_unwelcome"),
        ({"pricelist_id": rename_id("prl", trade.pool), "list_price_multiple_max": Decimal(2)}, "pricelist_unknown"),
        ({**bound, "list_price_multiple_max": Decimal("1.69")}, "price_above_mandate"),
        (bound, None),
    ):
        if "stages" in rules:
            with pytest.raises(Refusal) as caught:
                await place(**rules)
            assert caught.value.code == "stage_unwelcome"
            await parties.record_stage(market.handler, market.context(), trade.startup, stage="series_a")
        if code is None:
            order = await place(**rules)
            await market.cancel(trade.startup, order)
            continue
        with pytest.raises(Refusal) as caught:
            await place(**rules)
        assert caught.value.code == code
    mandate = await market.mandate(fund, budget=100_000, stages=("series_a",))
    other = await market.mandate(fund, budget=100_000, credit="0.5")
    careful = await market.mandate(fund, budget=100_000, approval_above_usd=Decimal(1))
    await _list_anew(market, trade, mandate, other, careful)
    both = await market.order(trade.startup, cash="1", equity="3", mandate_ids=(mandate, other), days=2)
    waiting = await market.order(trade.startup, cash="1", equity="3", mandate_ids=(mandate, careful), days=2)
    trade.order = await market.order(trade.startup, cash="1", equity="3", mandate_ids=(mandate,), days=2)
    await parties.record_stage(market.handler, market.context(), trade.startup, stage="growth")
    async with market.worker():
        market.clock.at = max(market.clock.at, market.day(0.5))
        await market.until("order", trade.order, "cancelled")
        grant_id = (await market.until("order", both, "matched", "unmatched")).grant_id
    assert (await market.state("grant", grant_id)).issued.equity.mandate_id == other, "the mandate that still pays"
    assert (await market.state("order", waiting)).status == "open", "the mandate that is left may still approve"
    assert b"stages series_a, not growth" in (await _read_events(market, "order.cancelled"))[-1].body
    await check_log(market.log)


async def test_a_startup_whose_order_is_refused_for_some_days_holds_no_budget_in_them(market):
    trade = await market.trade()
    asked = {"cash": "1", "equity": "3", "mandate_ids": (trade.mandate,), "days": 20}
    refuse = {"hold_id": rename_id("hld", trade.order), "reason": "not this one", "barred_days": 7}
    await mandates.refuse_order(market.handler, market.context(trade.fund), trade.mandate, **refuse)
    await refused(market.order(trade.startup, **asked), "issuer_unwelcome")
    market.clock.at += timedelta(days=7)
    await market.order(trade.startup, **asked, earliest=8)
    assert await find_faults(Caps, market.log) == []
    late = render_instant(market.clock.at + timedelta(seconds=1))
    assert [rule for rule, _, _ in await find_faults(Caps, market.log, barred_until=late)] == ["cap"]
    await check_log(market.log)


async def test_an_order_below_every_ask_keeps_a_budget_from_others_until_the_auction_that_could_serve_it(market):
    """A startup without a cent stands in line with an order that no lot serves, for the whole budget of a mandate."""
    fund, provider = await market.party("Fund", "fund", usd=100_000), await market.party("North", "provider")
    mandate = await market.mandate(fund, budget=100_000)
    _, pool = await market.pool(provider)
    await market.lot(provider, pool, mandate_ids=(mandate,))
    poor, honest = [await market.party(name, "startup", usd=usd) for name, usd in (("Poor", 0), ("Honest", 9_000))]
    for startup in (poor, honest):
        await market.issuer(startup)
    whole = {"cash": "0", "mandate_ids": (mandate,), "nodes": 4, "days": 70, "latest": 2, "standing": True}
    order = await market.order(poor, equity="2.30", **whole)
    await refused(market.order(honest, equity="3", **whole | {"days": 7}), "budget_exhausted")
    auction = await market.auction()
    async with market.worker():
        market.clock.at = market.day(0.5)
        await market.until_carried_out(auction)
    assert (await market.state("order", order)).status == "unmatched"
    assert (await market.state("mandate", mandate)).used_usd == 0
    await market.order(honest, equity="3", **whole | {"days": 7})
    assert await find_faults(audit.Market, market.log) == []
    kept = await find_faults(audit.Market, market.log, open_again=True)
    assert [rule for rule, _, _ in kept] == ["budget"]
    await check_log(market.log)


@pytest.mark.parametrize("funding", ["cash", "own_capacity"])
async def test_a_mandate_that_would_have_ended_is_neither_granted_nor_made_by_an_amendment(market, funding):
    """One with an end in 2001 was granted, and its budget was set aside for nothing."""
    holder = await market.party("Fund", "fund", "provider", usd=1_000)
    now = market.clock.now()
    await refused(market.mandate(holder, funding, budget=100, expires_at=now), "expiry_past")
    end = now + timedelta(days=2)
    mandate = await market.mandate(holder, funding, budget=100, expires_at=end)

    async def amend(**changes):
        terms = structs.replace((await market.state("mandate", mandate)).terms, **changes)
        return await mandates.amend_mandate(market.handler, market.context(holder), mandate, terms=terms)

    await refused(amend(expires_at=now - timedelta(days=1)), "expiry_past")
    market.clock.at = end + timedelta(days=1)
    await amend(budget_usd=Decimal(50), issuer_usd_max=Decimal(50))
    await check_log(market.log)


async def test_one_person_changes_the_rules_of_no_more_mandates_than_its_limit_covers(market):
    """A clerk let four funded mandates draw uncapped, each within the limit, and together far above it."""
    holder = await market.party("Fund", "fund", usd=10_000)
    budgets = {"budget": 900, "valuation_cap_usd_max": Decimal(1_000)}
    granted = [await market.mandate(holder, "cash", **budgets) for _ in range(2)]

    async def amend(mandate, **changes):
        terms = structs.replace((await market.state("mandate", mandate)).terms, **changes)
        context = structs.replace(market.context(holder), actor_person="clerk")
        await mandates.amend_mandate(market.handler, context, mandate, terms=terms)
        return await approvals.find_approval(market.handler, context, rename_id("acc", holder))

    context = structs.replace(market.context(holder), actor_person="clerk")
    await approvals.set_limit(market.handler, context, rename_id("acc", holder), limit_usd=Decimal(1_000))
    changes = {"valuation_cap_usd_max": None, "uncapped": True}
    assert await amend(granted[0], **changes) is None
    assert await amend(granted[1], **changes) is not None, "a second person approves it"
    assert not (await market.state("mandate", granted[1])).terms.uncapped
    assert await amend(granted[0]) is None, "the same rules change nothing"
    market.clock.at += timedelta(days=2)
    assert await amend(granted[1], **changes, budget_usd=Decimal(950)) is None
    assert [use.amount_usd for use in (await market.account(holder)).used][-2:] == [50, 900]
    await check_log(market.log)

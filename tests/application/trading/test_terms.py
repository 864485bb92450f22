"""What an order may ask beyond nodes and prices: sizes, sites, groups, parents and limits, through whole auctions."""

import dataclasses
from decimal import Decimal
from fractions import Fraction

import pytest
from msgspec.structs import replace

from events.order import OrderCancelled
from marketplace.application.supply import inventory, sites
from marketplace.application.trading import auctions, orders
from marketplace.clearing.verify.verifier import find_violations
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id
from marketplace.domain.trading.book.book import build_book
from marketplace.domain.trading.book.market_snapshot import Supply
from marketplace.log.events import parse_event
from marketplace.log.memory import MemoryLog
from marketplace.runtime.auctions.clearing import parse_book, parse_result
from tests.support.market.desk import open_desk
from tests.support.market.invariants import check_log
from tests.support.market.market import INCIDENTS, Market


class World:
    """A market with one provider's pool of four nodes and one lot of all of them."""

    async def build(self, *, ask="2", nodes=4):
        self.market = Market(MemoryLog())
        self.provider = await self.market.party("Provider", "provider")
        self.site, self.pool = await self.market.pool(self.provider, nodes=nodes)
        self.lot = await self.market.lot(self.provider, self.pool, ask=ask, nodes=nodes)
        self.startup = await self.market.party("Startup", "startup", usd=1_000_000)
        return self

    async def order(self, startup=None, **terms):
        return await self.market.order(startup or self.startup, **{"latest": 1, **terms})

    async def clear(self, locks_at=0.5):
        """Run one auction and return what became of each order."""
        auction = await self.market.auction(locks_at)
        async with self.market.worker():
            self.market.clock.at = max(self.market.clock.at, self.market.day(locks_at))
            await self.market.until_carried_out(auction)
        states = (await check_log(self.market.log)).states
        self.auction = states["auction"][auction]
        return states

    async def grant(self, order_id):
        return (await self.market.state("grant", (await self.market.state("order", order_id)).grant_id)).issued

    def reasons(self, order_id):
        decisions = {decision.order_id: decision for decision in self.auction.cleared.decisions}
        return [reason.code for reason in decisions[order_id].reasons]


@pytest.fixture
async def world():
    return await World().build()


async def test_an_order_with_a_range_gets_the_size_that_is_left(world):
    ranged = await world.order(cash="3", nodes=4, nodes_min=1)
    fixed = await world.order(cash="9", nodes=1)
    await world.clear()
    assert (await world.grant(fixed)).nodes == 1
    assert (await world.grant(ranged)).nodes == 3
    assert (await world.market.account(world.startup)).held_usd < Decimal(9 * 8 * 48 + 3 * 4 * 8 * 48)


async def test_a_size_that_a_lot_is_too_large_for_is_not_served_from_it(world):
    await inventory.withdraw_lot(
        world.market.handler, world.market.context(world.provider), world.lot, reason="new terms"
    )
    await inventory.list_lot(
        world.market.handler,
        world.market.context(world.provider),
        pool_id=world.pool,
        nodes=4,
        start=world.market.day(1),
        end=world.market.day(90),
        ask_usd_per_gpu_hour=Decimal(2),
        nodes_min=3,
    )
    fixed = await world.order(cash="9", nodes=1)
    ranged = await world.order(cash="3", nodes=4, nodes_min=1)
    await world.clear()
    assert (await world.grant(ranged)).nodes == 4
    assert world.reasons(fixed) == ["no_eligible_pool"]


async def test_of_a_group_one_order_is_matched_and_the_others_end(world):
    small = await world.order(cash="3", nodes=1, group="run", standing=True, latest=30)
    large = await world.order(cash="3", nodes=4, group="run")
    late = await world.order(cash="9", nodes=1, earliest=200, latest=210, group="run")
    other = await world.market.party("Other", "startup", usd=100_000)
    same_name = await world.order(other, cash="3", nodes=4, group="run", earliest=3, latest=3)
    states = await world.clear()
    assert {order: states["order"][order].status for order in (small, large, late, same_name)} == {
        small: "cancelled",
        large: "matched",
        late: "cancelled",
        same_name: "matched",
    }
    assert world.reasons(small)[0] == "group_served"
    assert world.auction.cleared.certificate.gap == 0


async def test_a_child_is_matched_only_with_its_parent_or_after_it(world):
    parent = await world.order(cash="3", nodes=4)
    child = await world.order(cash="9", nodes=1, earliest=3, latest=3, parent_order_id=parent)
    late = await world.order(cash="9", nodes=1, earliest=120, latest=125, parent_order_id=parent)
    states = await world.clear()
    assert [states["order"][order].status for order in (parent, child, late)] == ["matched", "matched", "open"]
    assert await world.market.lot(world.provider, world.pool, start=91, end=200)
    auction = await world.market.auction(locks_at=2, horizon=100)
    async with world.market.worker():
        world.market.clock.at = world.market.day(2)
        await world.market.until_carried_out(auction)
    assert (await world.market.state("order", late)).status == "matched"


async def test_a_child_without_its_parent_takes_no_part(world):
    parent = await world.order(cash="1", nodes=4)
    child = await world.order(cash="9", nodes=1, earliest=3, latest=3, parent_order_id=parent)
    waiting = await world.order(cash="9", nodes=1, earliest=200, latest=210)
    patient = await world.order(cash="9", nodes=1, parent_order_id=waiting)
    states = await world.clear()
    assert states["order"][child].status == states["order"][parent].status == "unmatched"
    assert world.reasons(child)[0] == "parent_unmatched"
    assert states["order"][patient].status == "open"


async def test_what_depends_on_an_order_that_ended_ends_with_it_and_holds_nothing(world):
    gone = await world.order(cash="9", nodes=1)
    orphan = await world.order(cash="9", nodes=1, parent_order_id=gone)
    grandchild = await world.order(cash="9", nodes=1, parent_order_id=orphan)
    await world.market.cancel(world.startup, gone)
    states = await world.clear()
    assert {states["order"][order].status for order in (gone, orphan, grandchild)} == {"cancelled"}
    assert (await world.market.account(world.startup)).held_usd == 0
    recorded = await world.market.log.load(f"marketplace.order.{grandchild}")
    told = next(event.reason for event in map(parse_event, recorded) if isinstance(event, OrderCancelled))
    assert told == f"its parent order {orphan} must be matched first and is cancelled"
    with pytest.raises(Refusal) as refused:
        await world.order(cash="9", nodes=1, parent_order_id=gone)
    assert (refused.value.code, refused.value.facts["status"]) == ("order_cancelled", "cancelled")


async def test_a_chain_that_could_never_be_matched_is_refused(world):
    top = await world.order(cash="3", nodes=1, group="run")
    middle = await world.order(cash="3", nodes=1, parent_order_id=top)
    for parent in (top, middle):
        with pytest.raises(Refusal) as refused:
            await world.order(cash="3", nodes=1, group="run", parent_order_id=parent)
        assert (refused.value.code, refused.value.pointer) == ("parent_in_group", "/terms/parent_order_id")
    last = await world.order(cash="3", nodes=1, group="another", parent_order_id=middle)
    for _ in range(29):
        last = await world.order(cash="3", nodes=1, parent_order_id=last)
    with pytest.raises(Refusal) as refused:
        await world.order(cash="3", nodes=1, parent_order_id=await world.order(cash="3", nodes=1, parent_order_id=last))
    assert refused.value.code == "parents_too_many"


async def test_an_order_is_not_its_own_parent(world):
    context = world.market.context(world.startup)
    own = derive_id("ord", context.command_id)
    with pytest.raises(Refusal) as refused:
        await orders.place_order(
            world.market.handler,
            context,
            startup_id=world.startup,
            terms=world.market.terms(nodes=1, parent_order_id=own),
        )
    assert refused.value.code == "order_unknown"


async def test_a_parent_is_an_order_of_the_same_startup(world):
    other = await world.market.party("Other", "startup", usd=100_000)
    parent = await world.order(cash="3", nodes=1)
    with pytest.raises(Refusal, match="order"):
        await world.order(other, cash="3", nodes=1, parent_order_id=parent)
    market = world.market
    for_other = market.terms(cash="3", nodes=1, parent_order_id=parent)
    with pytest.raises(Refusal) as refused:
        await orders.place_order(market.handler, market.context(), startup_id=other, terms=for_other)
    assert refused.value.code == "order_unknown"


async def test_what_binds_orders_together_is_not_amended(world):
    order = await world.order(cash="3", nodes=1)
    for name, value in (("group", "run"), ("parent_order_id", order)):
        terms = world.market.terms(nodes=1, latest=1, **{name: value})
        with pytest.raises(Refusal) as refused:
            await orders.amend_order(world.market.handler, world.market.context(world.startup), order, terms=terms)
        assert refused.value.code == "bundle_fixed"


@pytest.mark.parametrize(
    ("wish", "bound", "met"),
    [
        ("power_usage_effectiveness_max", "1.2", True),
        ("power_usage_effectiveness_max", "1.19", False),
        ("renewable_share_min", "0.5", True),
        ("renewable_share_min", "0.51", False),
        ("provider_reliability_min", "1", True),
        ("availability_min", "0.99", True),
        ("availability_min", "0.991", False),
    ],
)
async def test_an_order_runs_only_where_the_site_is_good_enough(world, wish, bound, met):
    order = await world.order(cash="3", nodes=1, **{wish: Decimal(bound)})
    states = await world.clear()
    assert states["order"][order].status == ("matched" if met else "unmatched")
    assert met or world.reasons(order) == ["no_eligible_pool"]


async def test_an_order_that_asks_for_standing_bids_on_no_provider_below_it(world):
    order = await world.market.state(
        "order", await world.order(cash="3", nodes=1, provider_reliability_min=Decimal("0.9"))
    )
    opened = (await world.market.state("auction", await world.market.auction())).opened
    pool, lot = await world.market.state("pool", world.pool), await world.market.state("lot", world.lot)
    site = await world.market.state("site", world.site)
    for score, bids in ((Fraction(9, 10), 1), (Fraction(89, 100), 0)):
        sale = Supply({world.pool: pool}, {world.lot: lot}, {}, {world.provider: score}, {world.site: site})
        assert len(build_book(opened, sale, [order]).orders[0].bids) == bids


async def test_an_order_bids_on_no_lot_that_promises_less_than_it_asks(world):
    order = await world.market.state("order", await world.order(cash="3", nodes=1, availability_min=Decimal("0.99")))
    opened = (await world.market.state("auction", await world.market.auction())).opened
    pool, lot = await world.market.state("pool", world.pool), await world.market.state("lot", world.lot)
    site = await world.market.state("site", world.site)
    weak = replace(INCIDENTS, availability_min=Decimal("0.989"), credits=())
    for service, bids in ((None, 1), (INCIDENTS, 1), (weak, 0)):
        listed = dataclasses.replace(lot, listed=replace(lot.listed, service=service))
        sale = Supply({world.pool: pool}, {world.lot: listed}, {}, {}, {world.site: site})
        assert len(build_book(opened, sale, [order]).orders[0].bids) == bids


async def test_a_quote_heeds_sizes_sites_and_limits(world):
    await sites.derate_site(
        world.market.handler,
        world.market.context(world.provider),
        world.site,
        power_energised_kw=33,
        at=world.market.day(0),
        reason="a transformer is out",
    )
    async with open_desk(world.market) as desk:
        ranged = (await desk.ask(world.startup, nodes=4, nodes_min=2, cash="3", latest=1)).estimate
        assert {placement.nodes for placement in ranged.placements} == {2, 3}
        assert ranged.price_to_win_usd_per_gpu_hour == Decimal("2.01")
        four = (await desk.ask(world.startup, nodes=4, cash="3", latest=1)).estimate
        assert four.price_to_win_usd_per_gpu_hour is None
        assert four.reason.code == "limit_reached"
        desk.scores = {world.provider: Fraction(1, 2)}
        await world.order(cash="3", nodes=1)
        wary = (await desk.ask(world.startup, nodes=1, provider_reliability_min=Decimal(1), latest=1)).estimate
        assert wary.reason.code == "no_eligible_pool"
        desk.scores = {}
        unpromised = (await desk.ask(world.startup, nodes=1, notice_hours_min=73, latest=1)).estimate
        assert unpromised.reason.code == "no_eligible_pool"


async def test_a_site_sells_no_more_than_its_power_carries(world):
    await sites.derate_site(
        world.market.handler,
        world.market.context(world.provider),
        world.site,
        power_energised_kw=33,
        at=world.market.day(5),
        reason="a transformer is out",
    )
    before = [await world.order(cash=cash, nodes=2, days=2, earliest=1, latest=1) for cash in ("3", "4")]
    after = [await world.order(cash=cash, nodes=2, days=2, earliest=6, latest=6) for cash in ("3", "4")]
    states = await world.clear()
    assert [states["order"][order].status for order in before] == ["matched", "matched"]
    assert [states["order"][order].status for order in after] == ["unmatched", "matched"]
    assert world.reasons(after[0])[0] == "limit_reached"
    assert {limit.limit_id for limit in world.auction.locked.book.limits} == {f"power/{world.site}"}
    again = await world.market.auction(locks_at=0.6)
    small = await world.order(cash="3", nodes=2, nodes_min=1, days=2, earliest=6, latest=6)
    async with world.market.worker():
        world.market.clock.at = world.market.day(0.6)
        await world.market.until_carried_out(again)
    assert (await world.grant(small)).nodes == 1, "what a grant draws is off the power that is left"


async def test_a_startup_owes_no_more_principal_than_it_set_as_its_limit():
    world = await World().build()
    fund = await world.market.party("Fund", "fund", usd=1_000_000)
    await world.market.issuer(world.startup)
    mandate = await world.market.mandate(fund)
    await inventory.withdraw_lot(world.market.handler, world.market.context(world.provider), world.lot, reason="equity")
    await world.market.lot(world.provider, world.pool, mandate_ids=(mandate,))
    equity = {"cash": "1", "equity": "3", "mandate_ids": (mandate,), "nodes": 1, "days": 2}
    limit = Decimal(3 * 8 * 48 * 2)
    placed = [await world.order(**equity, principal_usd_max=limit if not at else None) for at in range(3)]
    cash = await world.order(cash="3", nodes=1)
    states = await world.clear()
    statuses = sorted(states["order"][order].status for order in placed)
    assert statuses == ["matched", "matched", "unmatched"]
    assert states["order"][cash].status == "matched"
    owed = sum(instrument.issued.commitment_usd for instrument in states["instrument"].values())
    assert owed <= limit


async def test_a_published_result_with_limits_is_verified_from_what_the_log_holds(world):
    await sites.derate_site(
        world.market.handler,
        world.market.context(world.provider),
        world.site,
        power_energised_kw=22,
        at=world.market.day(0),
        reason="a transformer is out",
    )
    for cash in ("3", "4"):
        await world.order(cash=cash, nodes=2)
    await world.clear()
    locked, cleared = world.auction.locked, world.auction.cleared
    assert [price.rule for price in cleared.rule_prices] == ["limit"]
    assert cleared.certificate.gap == 0
    assert find_violations(parse_book(locked.book), parse_result(world.auction.opened, cleared, backstops=0)) == ()


async def test_lots_of_rising_asks_carry_an_order_together_at_the_dearest_in_use():
    world = await World().build(ask="2", nodes=4)
    await inventory.withdraw_lot(world.market.handler, world.market.context(world.provider), world.lot, reason="steps")
    steps = [
        await world.market.lot(world.provider, world.pool, ask=ask, nodes=nodes)
        for ask, nodes in (("2", 2), ("2.5", 1), ("6", 1))
    ]
    order = await world.order(cash="3", nodes=4, nodes_min=1)
    await world.clear()
    grant = await world.grant(order)
    assert (grant.nodes, {share.lot_id for share in grant.lots}) == (3, set(steps[:2]))
    assert Fraction(grant.price_usd_per_gpu_hour) >= Fraction("2.5")


async def test_the_longest_horizon_of_hours_is_cleared(world):
    opened = await auctions.open_auction(
        world.market.handler,
        world.market.context(),
        locks_at=world.market.day(0.5),
        horizon_start=world.market.day(1),
        period_hours=1,
        periods=182 * 24,
        seed=1,
    )
    order = await world.order(cash="3", nodes=2, latest=80)
    async with world.market.worker():
        world.market.clock.at = world.market.day(0.5)
        await world.market.until_carried_out(opened.id, seconds=60)
    assert (await world.grant(order)).start == world.market.day(1)


async def test_a_group_is_in_one_auction_at_a_time(world):
    first = await world.order(cash="3", nodes=1, group="run")
    second = await world.order(cash="4", nodes=1, group="run")
    other = await world.order(cash="3", nodes=1)
    later = await world.market.auction(locks_at=0.9)
    await auctions.lock_order(world.market.handler, world.market.context(), first, later)
    states = await world.clear()
    assert [states["order"][order].status for order in (first, second, other)] == ["locked", "open", "matched"]
    async with world.market.worker():
        world.market.clock.at = world.market.day(0.9)
        await world.market.until_carried_out(later)
    assert (await world.market.state("order", first)).status == "unmatched"
    assert (await world.market.state("order", second)).status == "matched", "it offers more, in the group's own auction"

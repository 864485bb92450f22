"""Resale in a pool: whatever is offered, sold, recalled and given back, no node is ever reserved twice."""

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from events.instants import FOREVER
from marketplace.core.errors import Refusal
from marketplace.core.intervals import Load, build_steps, find_peak
from marketplace.domain.supply.pool import POOL
from marketplace.domain.supply.pool_commands import RecallCapacity, ReturnCapacity
from tests.domain import build
from tests.domain.build import hold_capacity, hour, id_of, offer, release, resell_capacity, reserve, share
from tests.domain.walk import WALK

LOTS = (build.LOT, id_of("lot", 2))
hours = st.integers(0, 24)
spans = st.tuples(hours, hours).map(sorted).filter(lambda span: span[0] < span[1])
nodes = st.integers(1, 5)
acts = st.one_of(
    st.tuples(st.just("offer"), spans, nodes, st.integers(0, 5)),
    st.tuples(st.just("sell"), spans, nodes, st.integers(0, 5)),
    st.tuples(st.just("hold"), spans, nodes, st.integers(0, 5)),
    st.tuples(st.just("take"), spans, nodes, st.integers(0, 9)),
    st.tuples(st.just("recall"), spans, nodes, st.integers(0, 5)),
    st.tuples(st.just("release"), spans, nodes, st.integers(0, 9)),
    st.tuples(st.just("return"), spans, nodes, st.integers(0, 9)),
)


def begin():
    """Return a pool of ten nodes where one grant has six, over two lots, for a day."""
    pool = POOL.fold([build.pool_opened()])
    whole = {"start": hour(0), "end": hour(24)}
    lots = tuple(share(lot_id=lot_id, nodes=amount, **whole) for lot_id, amount in zip(LOTS, (4, 2), strict=True))
    for command in (
        offer(nodes=5),
        offer(lot_id=LOTS[1], nodes=5),
        reserve(nodes=6, lots=lots, **whole),
    ):
        pool = POOL.fold(POOL.decide(command, pool), pool)
    return pool


def build_command(act, numbers, pool):
    kind, (first, last), amount, which = act
    lot_id, span = id_of("lot", 10 + which), {"start": hour(first), "end": hour(last)}
    match kind:
        case "offer":
            return offer(lot_id=id_of("lot", 10 + next(numbers)), nodes=amount, grant_id=build.GRANT, **span)
        case "sell":
            return resell_capacity(grant_id=id_of("grt", 10 + next(numbers)), lot_id=lot_id, nodes=amount, **span)
        case "hold":
            return hold_capacity(grant_id=id_of("grt", 10 + next(numbers)), lot_id=lot_id, nodes=amount, **span)
        case "take":
            grant_id = id_of("grt", 10 + which)
            held = pool.resales[pool.find_held(grant_id)].held[grant_id] if pool.find_held(grant_id) else None
            load = held or Load(span["start"], span["end"], amount)
            of = {"grant_id": grant_id, "lot_id": pool.find_held(grant_id) or lot_id}
            return resell_capacity(**of, nodes=load.amount, start=load.start, end=load.end)
        case "recall":
            return RecallCapacity(pool_id=build.POOL, lot_id=lot_id)
        case "return":
            bought = {"grant_id": id_of("grt", 10 + which), "to_grant_id": id_of("grt", 20 + which)}
            return ReturnCapacity(pool_id=build.POOL, nodes=amount, at=hour(first), **bought)
        case _:
            grant_id = build.GRANT if which < 3 else id_of("grt", 10 + which)
            return release(grant_id=grant_id, at=hour(first))


@WALK
@given(st.lists(acts, max_size=25))
def test_no_node_is_reserved_twice_however_it_is_sold_on(steps):
    pool, numbers = begin(), count()
    for act in steps:
        before = build_steps(pool.reserved(), hour(0), hour(24))
        try:
            events = POOL.decide(build_command(act, numbers, pool), pool)
        except Refusal:
            continue
        pool = POOL.fold(events, pool)
        after = build_steps(pool.reserved(), hour(0), hour(24))
        assert act[0] == "release" or after == before, "a sale moves nodes, and makes none"
        assert max(run.amount for run in after) <= 6
        for lot_id in LOTS:
            assert find_peak(pool.sold(lot_id), hour(0), FOREVER)[0] <= pool.offers[lot_id].amount
        for lot_id, resale in pool.resales.items():
            assert all(run.amount >= 0 for run in build_steps(resale.unsold(), resale.offer.start, resale.offer.end))
            assert resale.held or not resale.recalled
            assert all(run.amount >= 0 for run in pool.unsold(lot_id, hour(0), hour(24)))
        check_shares(pool)
        check_promises(pool)


def check_shares(pool):
    """What a buyer bought is carried in full by the provider's lots."""
    for grant_id, held in pool.reservations.items():
        if grant_id != build.GRANT and held.start < held.end:
            shares = [load for load in pool.reserved() if load.start >= held.start]
            assert shares
            assert {each.lot_id for each in held.lots} <= set(LOTS)


def check_promises(pool):
    """What is offered or held of a grant is its own, unless it gave that back."""
    seller = pool.reservations[build.GRANT]
    mine = [resale for resale in pool.resales.values() if resale.grant_id == build.GRANT]
    promised = [load for resale in mine for load in resale.promised()]
    kept = [Load(share.start, share.end, -share.nodes) for share in seller.lots]
    assert find_peak([*promised, *kept], hour(0), hour(24))[0] <= 0

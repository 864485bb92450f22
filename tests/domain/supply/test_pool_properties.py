"""Capacity is never oversold at any instant, whatever is offered, reserved, released, recalled and fails."""

from hypothesis import given, settings
from hypothesis import strategies as st

from events.pool import PoolCapacityReserved
from events.types import LotShare
from marketplace.domain.supply.pool import POOL
from marketplace.domain.supply.pool_commands import RecallCapacity
from tests.domain import build
from tests.domain.build import hour, id_of
from tests.domain.walk import WALK, step

HOURS, NODES = 6, 10
LOTS = [id_of("lot", number) for number in range(1, 3)]
GRANTS = [id_of("grt", number) for number in range(1, 7)]
lots, grants = st.sampled_from(LOTS), st.sampled_from(GRANTS)
spans = st.integers(0, HOURS - 1).flatmap(lambda start: st.tuples(st.just(start), st.integers(start + 1, HOURS)))
nodes = st.integers(1, NODES)


@st.composite
def offers(draw):
    start, end = draw(spans)
    return build.offer(lot_id=draw(lots), nodes=draw(nodes), start=hour(start), end=hour(end))


@st.composite
def reservations(draw):
    """Return a reservation carried by one lot, or by one lot and then another."""
    start, end = draw(spans)
    turn, wanted = draw(st.sampled_from([end, end, (start + end) // 2])), draw(st.integers(1, 6))
    parts = [(draw(lots), start, turn), (draw(lots), turn, end)]
    shares = [
        LotShare(lot_id=lot, nodes=wanted, start=hour(begin), end=hour(stop))
        for lot, begin, stop in parts
        if begin < stop
    ]
    return build.reserve(grant_id=draw(grants), nodes=wanted, start=hour(start), end=hour(end), lots=tuple(shares))


hours = st.integers(-1, HOURS).map(hour)
incidents = st.sampled_from(["a", "b"])
recalls = lots.map(lambda lot: RecallCapacity(pool_id=build.POOL, lot_id=lot))
commands = st.one_of(
    offers(),
    offers(),
    reservations(),
    reservations(),
    st.builds(build.release, grant_id=grants, at=hours),
    recalls,
    recalls,
    st.builds(build.fail_nodes, incident_id=incidents, nodes=st.integers(1, 6), at=hours),
    st.builds(build.restore_nodes, incident_id=incidents, at=hours),
)


def count_offered(pool, lot, at):
    load = pool.offers.get(lot)
    return load.amount if load is not None and load.start <= at < load.end else 0


def count_reserved(pool, lot, at):
    return sum(
        share.nodes
        for reservation in pool.reservations.values()
        for share in reservation.lots
        if share.lot_id == lot and share.start <= at < min(share.end, reservation.end)
    )


def count_failed(pool, at):
    return sum(incident.nodes for incident in pool.incidents.values() if incident.start <= at < incident.end)


def check_capacity(pool):
    for number in range(HOURS):
        at = hour(number)
        claimed = sum(max(count_offered(pool, lot, at), count_reserved(pool, lot, at)) for lot in LOTS)
        assert claimed <= NODES, f"{claimed} nodes are offered or reserved at hour {number}"
        for lot in LOTS:
            unsold = sum(run.amount for run in pool.unsold(lot, hour(0), hour(HOURS)) if run.start <= at < run.end)
            assert unsold == max(count_offered(pool, lot, at) - count_reserved(pool, lot, at), 0)


def check_reserved(pool, event):
    """Check that the reservation was of nodes that were offered, free and working."""
    for number in range(HOURS):
        at = hour(number)
        if event.start <= at < event.end:
            assert sum(share.nodes for share in event.lots if share.start <= at < share.end) == event.nodes
            reserved = {lot: count_reserved(pool, lot, at) for lot in LOTS}
            assert sum(reserved.values()) + count_failed(pool, at) <= NODES
            for share in event.lots:
                if share.start <= at < share.end:
                    assert reserved[share.lot_id] <= count_offered(pool, share.lot_id, at)


def is_feasible(pool, command):
    """Tell by brute force whether a new reservation fits."""
    for number in range(HOURS):
        at = hour(number)
        if command.start <= at < command.end:
            carried = {share.lot_id: share.nodes for share in command.lots if share.start <= at < share.end}
            total = sum(count_reserved(pool, lot, at) for lot in LOTS) + count_failed(pool, at) + command.nodes
            if total > NODES or any(
                count_reserved(pool, lot, at) + wanted > count_offered(pool, lot, at) for lot, wanted in carried.items()
            ):
                return False
    return True


@settings(WALK, max_examples=200)
@given(st.lists(commands, min_size=5, max_size=40))
def test_capacity_is_never_oversold_and_never_refused_while_it_is_free(walk):
    pool, _, _ = step(POOL, None, build.open_pool(nodes=NODES))
    for lot, offered in zip(LOTS, (6, 4), strict=True):
        pool, _, _ = step(POOL, pool, build.offer(lot_id=lot, nodes=offered, start=hour(0), end=hour(HOURS)))
    held = build.reserve(start=hour(0), end=hour(HOURS), lots=(build.share(start=hour(0), end=hour(HOURS)),))
    pool, _, _ = step(POOL, pool, held)
    for command in walk:
        new_grant = isinstance(command, type(build.reserve())) and command.grant_id not in pool.reservations
        fits = new_grant and is_feasible(pool, command)
        pool, events, code = step(POOL, pool, command)
        check_capacity(pool)
        for event in events:
            if isinstance(event, PoolCapacityReserved):
                check_reserved(pool, event)
        if new_grant:
            assert (code is None) == fits, code

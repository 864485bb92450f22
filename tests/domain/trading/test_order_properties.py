"""An order is decided at most once, and a lock and a cancel exclude each other, in any interleaving."""

from hypothesis import given, settings
from hypothesis import strategies as st

from events.order import (
    OrderAmended,
    OrderCancelled,
    OrderExpired,
    OrderLocked,
    OrderMatched,
    OrderUnmatched,
)
from marketplace.domain.trading.order import (
    ORDER,
    AmendOrder,
    CancelOrder,
    ExpireOrder,
    LockOrder,
    MatchOrder,
    UnmatchOrder,
)
from tests.domain import build
from tests.domain.build import hour, id_of, order_terms
from tests.domain.walk import WALK, step

MINE = {"order_id": st.just(build.ORDER)}
auctions = st.sampled_from([id_of("auc", 1), id_of("auc", 2)])
grants = st.sampled_from([id_of("grt", 1), id_of("grt", 2)])
hours = st.integers(0, 24).map(hour)
commands = st.one_of(
    st.just(CancelOrder(order_id=build.ORDER, reason="raised money")),
    st.builds(LockOrder, **MINE, auction_id=auctions),
    st.builds(LockOrder, **MINE, auction_id=auctions),
    st.builds(MatchOrder, **MINE, auction_id=auctions, grant_id=grants),
    st.builds(
        UnmatchOrder,
        **MINE,
        auction_id=auctions,
        reasons=st.just(()),
        price_to_win_usd_per_gpu_hour=st.none(),
        at=hours,
    ),
    st.builds(ExpireOrder, **MINE, at=hours),
    st.builds(
        AmendOrder,
        **MINE,
        hold_id=st.sampled_from([id_of("hld", 2), id_of("hld", 3)]),
        terms=st.builds(order_terms, nodes=st.integers(1, 3), standing=st.booleans()),
        cash_hold_usd=st.just(build.usd(1)),
        budget_holds=st.just(()),
        at=st.just(build.NOW),
    ),
)
FINAL = (OrderMatched, OrderCancelled, OrderExpired)


def is_final(event):
    return isinstance(event, FINAL) or (isinstance(event, OrderUnmatched) and not event.open_again)


@settings(WALK, max_examples=200)
@given(st.booleans(), st.lists(commands, min_size=1, max_size=25))
def test_an_order_ends_once_and_is_not_touched_while_it_is_locked(standing, walk):
    order, _, _ = step(ORDER, None, build.place_order(terms=order_terms(standing=standing)))
    locked_by, ended = None, False
    for command in walk:
        order, events, _ = step(ORDER, order, command)
        for event in events:
            assert not ended, "nothing happens to an order that has ended"
            if isinstance(event, (OrderCancelled, OrderAmended, OrderExpired, OrderLocked)):
                assert locked_by is None, f"{type(event).__name__} while it is locked"
            if isinstance(event, (OrderMatched, OrderUnmatched)):
                assert event.auction_id == locked_by, "only the auction that locked it decides it"
            locked_by = event.auction_id if isinstance(event, OrderLocked) else None
            ended = is_final(event)


@WALK
@given(st.permutations(["cancel", "lock", "expire"]))
def test_of_a_cancel_a_lock_and_an_expiry_the_first_wins(race):
    order, _, _ = step(ORDER, None, build.place_order())
    racers = {
        "cancel": CancelOrder(order_id=build.ORDER, reason="raised money"),
        "lock": LockOrder(order_id=build.ORDER, auction_id=build.AUCTION),
        "expire": ExpireOrder(order_id=build.ORDER, at=hour(20)),
    }
    won = []
    for name in race:
        order, events, code = step(ORDER, order, racers[name])
        won += [name] * len(events)
        assert bool(events) == (code is None)
    assert won == race[:1]

"""The auditor computes the standing of providers by code of its own, and comes to what the market shows."""

from datetime import timedelta
from itertools import chain

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.grant import GrantCompleted, GrantRescheduled, GrantResold, GrantTerminated
from events.order import LostMatch, OrderUnmatched
from events.registry import get_tag, render_body
from events.statement import Adjustment, StatementCredited, StatementResolved
from marketplace.auditor.standing import SUMS, Standing
from marketplace.auditor.stream import Message
from marketplace.domain.delivery.reliability import ReliabilityState, evolve
from tests.domain.build import LOT, hour, id_of, usd
from tests.domain.delivery.test_reliability import (
    ACTIVE,
    GRANT,
    ISSUED,
    MOMENTS,
    ON_CREDIT,
    PROMISED,
    PROVIDER,
    TURNS,
    accepted,
    came_to,
    charges,
    degraded,
    marked,
    state_until,
)

SECONDS = st.integers(0, 10**6)
LOST = LostMatch(provider_id=PROVIDER, pool_id=id_of("pol"), gpu_seconds=900, price_usd=usd("7.25"), cause="pool_full")
COMPLETED = GrantCompleted(grant_id=GRANT, gpu_seconds_accepted=0)


def end(at, by, for_cause):
    return GrantTerminated(grant_id=GRANT, at=at, by=by, noticed_at=hour(0), reason="fire", for_cause=for_cause)


def reschedule(start, span, cut):
    return GrantRescheduled(
        grant_id=GRANT,
        choice="shortened",
        start_before=hour(0),
        end_before=hour(10),
        start=start,
        end=start + timedelta(hours=span),
        lots=(),
        gpu_seconds_cut=cut,
        cash_commitment_usd=usd(1),
        principal_commitment_usd=usd(1),
        budget_commitment_usd=usd(1),
        at=hour(0),
        reason="late",
    )


def resell(start, span, gpu_seconds):
    return GrantResold(
        grant_id=GRANT,
        resale_grant_id=id_of("grt", 9),
        lot_id=LOT,
        nodes=1,
        start=start,
        end=start + timedelta(hours=span),
        gpu_seconds=gpu_seconds,
        price_usd_per_gpu_hour="2",
        cash_commitment_usd=usd(1),
        principal_commitment_usd=usd(1),
        budget_commitment_usd=usd(1),
    )


def adjust(before, after):
    return Adjustment(
        statement_id=id_of("stm", 1),
        gpu_seconds_before=1,
        gpu_seconds_after=2,
        unavailable_before=before,
        unavailable_after=after,
    )


def credit(gpu_seconds, before, after):
    return StatementCredited(
        statement_id=id_of("stm", 2),
        grant_id=GRANT,
        startup_id=ISSUED.startup_id,
        provider_id=PROVIDER,
        period_start=hour(0),
        period_end=hour(10),
        charges=charges(gpu_seconds),
        adjustment=adjust(before, after),
    )


def resolve(before, after):
    return StatementResolved(
        statement_id=id_of("stm", 1),
        grant_id=GRANT,
        charges_before=charges(max(before, after)),
        charges=charges(min(before, after)),
        reason="logs",
        by="concession",
    )


def late(at, before, after, charged, *, is_accepted):
    """Return an adjustment, and the acceptance of what it charges as `billing/statement.py` makes it."""
    adjustment = adjust(before, after)
    issued = msgspec.structs.replace(state_until(at), adjustment=adjustment, charges=charges(charged))
    change = -min(max(before - after, 0), charged)
    taken = msgspec.structs.replace(accepted(charged), unavailable_change=change)
    return (issued, taken) if is_accepted else (issued,)


MORE = st.one_of(
    TURNS,
    st.builds(end, MOMENTS, st.sampled_from(["startup", "provider", "platform"]), st.booleans()),
    st.builds(reschedule, MOMENTS, st.integers(1, 9), SECONDS),
    st.builds(resell, MOMENTS, st.integers(1, 9), SECONDS),
    st.builds(credit, SECONDS, SECONDS, SECONDS),
    st.builds(resolve, SECONDS, SECONDS),
    st.builds(lambda at: msgspec.structs.replace(degraded(0, at), until=hour(12), reported_at=hour(12)), MOMENTS),
    st.builds(
        lambda: OrderUnmatched(order_id=id_of("ord"), auction_id=id_of("auc"), reasons=(), open_again=False, lost=LOST)
    ),
    st.sampled_from([ACTIVE, COMPLETED]),
)


def tell(events):
    return [
        Message(number, "", {"ce-type": f"marketplace.{get_tag(event)}"}, render_body(event))
        for number, event in enumerate(events, 1)
    ]


def compute(events):
    """Return the sums of the provider by the auditor, and by the market."""
    standing, state = Standing(), ReliabilityState()
    for message in tell(events):
        standing.take([message])
    for event in events:
        state = evolve(state, event)
    record = state.records.get(PROVIDER)
    shown = None if record is None else tuple(getattr(record, name) for name in SUMS)
    return standing.list_sums().get(PROVIDER), shown


LATE = st.builds(late, MOMENTS, SECONDS, SECONDS, SECONDS, is_accepted=st.booleans())


@given(
    st.lists(st.one_of(MORE.map(lambda event: (event,)), LATE), max_size=20),
    st.sampled_from([ISSUED, PROMISED, ON_CREDIT]),
)
def test_the_auditors_sums_are_the_markets_in_any_order_of_events(turns, issued):
    computed, shown = compute([issued, ACTIVE, *chain.from_iterable(turns)])
    assert computed == shown


LIFE = [ISSUED, ACTIVE, degraded(1, hour(2)), state_until(hour(10)), accepted(900), COMPLETED]
KEPT = [PROMISED, *LIFE[1:3], state_until(hour(10), came_to(1_000, 100)), *LIFE[4:]]


@pytest.mark.parametrize(
    ("log", "planted"),
    [
        (LIFE, [*LIFE[:2], *LIFE[3:]]),
        (LIFE, [*LIFE[:4], accepted(899), COMPLETED]),
        (LIFE, [*LIFE[:5], end(hour(9), "provider", for_cause=False)]),
        (LIFE, [*LIFE, marked("related")]),
        (KEPT, [*KEPT[:3], state_until(hour(10), came_to(1_000, 99)), *KEPT[4:]]),
    ],
)
def test_a_log_with_a_planted_event_comes_to_other_sums_than_the_market_shows(log, planted):
    assert compute(planted)[0] != compute(log)[1] == compute(log)[0]

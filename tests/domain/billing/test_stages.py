"""Stages: what is set aside always covers what was delivered, and what withheld hours cost."""

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from events.grant import GrantActivated, GrantStageMissed, GrantStagePaid, GrantSuspended, GrantWithheld
from events.schedule import NoticeStep
from events.stages import StageTerms
from marketplace.domain.billing.settlement import build_tariff, compute_totals
from marketplace.domain.billing.stages import build_collection, compute_funding, find_spare
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.delivery.grant_commands import TerminateGrant
from marketplace.domain.delivery.grant_notice import find_notice
from marketplace.domain.delivery.service_level import assess, count_promised
from marketplace.domain.supply.stages import CURE, accepts_stages, find_due
from tests.domain import build
from tests.domain.build import grant_issued, hour, service_terms, usd
from tests.domain.walk import WALK

SHORT = StageTerms(hours=24, security_hours=72)


def stage(hours, security, duration=200, notice=48, credit=0):
    return grant_issued(
        credit_usd=usd(credit),
        start=hour(0),
        end=hour(duration),
        stages=StageTerms(hours=hours, security_hours=security),
        service=service_terms(notice_hours_min=notice),
    )


def ask(state, at, set_aside=None, *, rich, kept=False, asked=False, due=0, deal=0):
    """Return the events of asking for what a grant needs by now.

    `rich` is whether its startup has it, `kept` whether its account has it and keeps it for other statements.
    """
    if set_aside is None:
        set_aside = compute_funding(state.issued, state.stages_paid, state.end)
    withheld = sum((load.end - load.start for load in state.list_withheld(at)), timedelta())
    delivered = min(at, state.end) - state.issued.start - withheld
    command = build_collection(
        state,
        at,
        available_usd=usd(10**9 if rich or kept else 0),
        free_usd=usd(10**9 if rich else 0),
        set_aside_usd=set_aside,
        spare_usd=find_spare(state.issued, set_aside, delivered, state.damages_usd),
        due_usd=usd(due),
        deal_usd=Fraction(deal),
        is_asked=asked,
    )
    return GRANT.decide(command, state)


@WALK
@given(
    st.integers(1, 90),
    st.integers(72, 150),
    st.integers(1, 400),
    st.integers(0, 72),
    st.lists(st.booleans(), max_size=9),
    st.integers(0, 9_000),
)
def test_what_is_set_aside_covers_what_was_delivered_and_withheld_whenever_a_startup_stops_paying(
    hours, security, duration, notice, pays, credit
):
    issued = stage(hours, security, duration, notice, credit)
    state = GRANT.fold([issued, GrantActivated(grant_id=build.GRANT, at=hour(0))])
    tariff, gpus = build_tariff(issued), issued.nodes * issued.gpus_per_node
    paying, set_aside = iter(pays), compute_funding(issued, 1, issued.end)
    while True:
        at = find_due(issued.start, issued.stages, state.stages_paid)
        if state.missed is not None:
            at = state.missed.cure_until if state.withheld is None else state.withheld.ends_at
        at = min(at, state.end)
        before, rich = state, next(paying, False)
        events = ask(state, at, set_aside, rich=rich)
        for event in events:
            state = GRANT.evolve(state, event)
            set_aside += event.amount_usd if isinstance(event, GrantStagePaid) else 0
            assert not isinstance(event, GrantWithheld) or before.missed.cure_until <= event.at
        withheld = sum((load.end - load.start for load in state.list_withheld(at)), timedelta())
        delivered = gpus * int((at - issued.start - withheld).total_seconds())
        owed = compute_totals(tariff, delivered).startup_usd + state.damages_usd
        whole = compute_totals(tariff, gpus * 3_600 * duration).startup_usd
        assert owed - credit <= set_aside <= whole, "what is owed and not set aside is within the credit"
        assert set_aside <= max(whole - credit, 0)
        if not events or at == state.end or (before.withheld is not None and not rich and state.withheld is None):
            break


def test_a_stage_is_missed_withheld_after_its_cure_time_and_ends_with_the_notice_unless_it_is_paid():
    issued = stage(48, 72)
    state = GRANT.fold([issued, GrantActivated(grant_id=build.GRANT, at=hour(0))])
    assert ask(state, hour(47), rich=False) == []
    (missed,) = ask(state, hour(48), rich=False, kept=True)
    assert (type(missed), missed.stage, missed.cure_until) == (GrantStageMissed, 2, hour(48) + CURE)
    late = GRANT.evolve(state, missed)
    assert ask(late, hour(60), rich=False) == []
    (withheld,) = ask(late, hour(120), rich=False)
    assert withheld.ends_at == hour(120) + find_notice(issued.service, issued.ends) == hour(168)
    large = structs.replace(issued, end=hour(900), notices=(NoticeStep(value_usd_min=usd(9), notice_hours_min=300),))
    (longer,) = ask(replace(late, issued=large, end=large.end), hour(120), rich=False, deal=9)
    assert longer.ends_at == hour(420), "a larger deal takes the notice of its size"
    stopped = GRANT.evolve(late, withheld)
    over = TerminateGrant(
        grant_id=build.GRANT, at=hour(121), by="provider", noticed_at=hour(121), reason="unpaid", for_cause=True
    )
    assert GRANT.decide(over, stopped), "a provider has cause while it is not paid"
    assert count_promised(stopped, hour(100), hour(150)) == 20 * 16 * 3_600, "nothing is promised while it is withheld"
    assert assess(stopped, hour(120), hour(150), 0).met
    ended, paid = ask(stopped, hour(140), rich=False, asked=True)
    assert (ended.gpu_seconds, ended.is_paid, paid.stages_paid) == (20 * 16 * 3_600, True, 3)
    assert isinstance(paid, GrantStagePaid)
    assert GRANT.evolve(GRANT.evolve(stopped, ended), paid).withheld is None


def test_credit_covers_stages_until_a_statement_is_due_which_is_then_asked_for_like_a_stage():
    issued = stage(48, 72, credit=10**6)
    state = GRANT.fold([issued, GrantActivated(grant_id=build.GRANT, at=hour(0))])
    assert compute_funding(issued, 9, issued.end) == 0
    (covered,) = ask(state, hour(48), rich=False)
    assert (covered.stages_paid, covered.amount_usd, covered.set_aside_usd) == (2, 0, 0)
    state = GRANT.evolve(state, covered)
    assert ask(state, hour(50), rich=False) == []
    (missed,) = ask(state, hour(50), rich=False, due=70)
    assert (missed.stage, missed.amount_usd, missed.cure_until) == (2, 70, hour(50) + CURE)
    (due,) = ask(state, hour(50), rich=False, kept=True, due=70)
    assert due.amount_usd == 70, "one statement that is due is as good as another"
    late = GRANT.evolve(state, missed)
    (withheld,) = ask(late, missed.cure_until, rich=False, due=70)
    (ended, paid) = ask(GRANT.evolve(late, withheld), hour(130), 70, rich=False, due=70)
    assert (ended.is_paid, ended.damages_usd) == (True, 0), "hours withheld on credit are at the provider's risk"
    assert GRANT.evolve(late, paid).missed is None, "the statement was paid meanwhile"


def test_no_stage_is_asked_for_while_no_node_works():
    failed = GrantSuspended(grant_id=build.GRANT, at=hour(40), reason="fire", reported_at=hour(40))
    state = GRANT.fold([stage(48, 72), GrantActivated(grant_id=build.GRANT, at=hour(0)), failed])
    assert ask(state, hour(48), rich=False) == []


@pytest.mark.parametrize(
    ("accepted", "asked", "served"),
    [
        (None, SHORT, False),
        (SHORT, SHORT, True),
        (SHORT, StageTerms(hours=23, security_hours=72), False),
        (StageTerms(hours=24, security_hours=73), SHORT, False),
    ],
)
def test_a_lot_serves_stages_and_a_security_as_long_as_its_own(accepted, asked, served):
    assert accepts_stages(accepted, asked) is served

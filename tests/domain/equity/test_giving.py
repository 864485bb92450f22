"""What a party gives up by an act counts at its value: rights at their own prices, after splits."""

import json
from datetime import timedelta

import pytest
from msgspec import structs

from events import issuer as events
from events.registry import get_tag, render_body
from events.vesting import WarrantTranche
from marketplace.auditor.given import Given
from marketplace.domain.equity.giving import find_given, is_given, measure_stake
from marketplace.domain.equity.issuer.issuer import ISSUER
from tests.domain.build import NOW, id_of, usd
from tests.domain.equity.test_rights import COMPANY, FUND, GIVEN, ISSUER_ID, VALUED, repurchase

OF = {"issuer_id": ISSUER_ID}
PLAN = events.IssuerStockPlanAdjusted(**OF, shares_reserved=500)
OPTION = events.IssuerOptionGranted(
    **OF, option_id=id_of("opt", 1), holder_id=FUND, shares=40, exercise_price_usd=usd(1)
)
WARRANT = events.IssuerWarrantIssued(
    **OF,
    warrant_id=id_of("wrt", 1),
    holder_id=FUND,
    class_id="common",
    shares=50,
    exercise_price_usd=usd(900),
    expires_at=NOW + timedelta(days=900),
    settlement="either",
    transfer="affiliates",
    tranches=(WarrantTranche(shares=30, exercise_price_usd=usd(1)), WarrantTranche(shares=20)),
)
PROMISE = events.IssuerOptionPromised(**OF, promise_id=id_of("prm", 1), holder_id=FUND, shares=30)
SPLIT = events.IssuerStockSplit(**OF, split_id=id_of("spl", 1), numerator=2, denominator=1)


def cancel(kind):
    named = {"cancellation_id": id_of("can", 1), "option_id": id_of("opt", 1), "holder_id": FUND}
    return events.IssuerOptionCancelled(**OF, **named, shares=40, kind=kind, reason="agreed")


def transfer(shares):
    named = {"transfer_id": id_of("trf", 1), "warrant_id": id_of("wrt", 1), "holder_id": FUND}
    return events.IssuerWarrantTransferred(**OF, **named, holder_id_after=id_of("pty", 9), shares=shares)


def pass_on(shares):
    named = {"transfer_id": id_of("trf", 1), "option_id": id_of("opt", 1), "holder_id": FUND}
    return events.IssuerOptionTransferred(**OF, **named, holder_id_after=id_of("pty", 9), shares=shares)


@pytest.mark.parametrize(
    ("event", "later", "given"),
    [
        (pass_on(40), (), 80),
        (pass_on(80), (SPLIT,), 80),
        (cancel("cancelled"), (), 80),
        (cancel("expired"), (), 80),
        (cancel("forfeited"), (), 80),
        (events.IssuerOptionPromiseWithdrawn(**OF, promise_id=id_of("prm", 1), reason="agreed"), (), 90),
        (transfer(50), (), 60),
        (transfer(100), (SPLIT,), 60),
        (repurchase(FUND, 10, 1, cause=SPLIT.split_id), (), 20),
    ],
)
def test_a_right_counts_at_the_value_of_its_share_less_its_own_price(event, later, given):
    """A share is worth 3. The option and 30 of the warrant's shares cost 1, the other 20 cost 900; fractions pay 1."""
    state = ISSUER.fold((*GIVEN, PLAN, OPTION, PROMISE, WARRANT, VALUED, *later))
    assert is_given(event, FUND, state)
    assert find_given(event, state, frozenset({FUND, COMPANY}), NOW.date()) == given
    assert not is_given(repurchase(FUND, cause=id_of("ins", 1)), FUND, state), "the reversal counts"


DEAR = events.IssuerStockIssued(
    **OF, security_id=id_of("sec", 9), holder_id=FUND, class_id="common", shares=100, price_usd_per_share=usd(9)
)
HANDED = events.IssuerStockTransferred(
    **OF, transfer_id=id_of("trf", 1), holder_id=FUND, holder_id_after=id_of("pty", 9), class_id="common", shares=10
)


@pytest.mark.parametrize(
    ("event", "later", "given"),
    [(HANDED, (), 50), (repurchase(FUND, 10, 1), (), 40), (structs.replace(HANDED, shares=20), (SPLIT,), 50)],
)
def test_stock_counts_at_what_its_holder_paid_if_a_straws_round_is_cheaper(event, later, given):
    """It has 100 for 1 and 100 for 9, and a share is worth 3: by the price of a straw one clerk gave a fund's away."""
    state = ISSUER.fold((*GIVEN, DEAR, VALUED, *later))
    assert find_given(event, state, frozenset({FUND, COMPANY}), NOW.date()) == given
    audited = Given()
    for each in (*GIVEN, DEAR, VALUED, *later):
        audited.take(get_tag(each), json.loads(render_body(each)))
    body = json.loads(render_body(event))
    assert audited.find_least(get_tag(event), body, FUND, NOW.date()) == given


STOCK = events.IssuerStockClassCreated(
    **OF,
    class_id="series-x",
    kind="preferred",
    shares_authorised=100,
    price_per_share_usd=usd(5),
    liquidation_multiple=usd(2),
    seniority=1,
)
SEED = events.IssuerStockIssued(
    **OF, security_id=id_of("sec", 9), holder_id=FUND, class_id="series-x", shares=4, price_usd_per_share=usd(12)
)


@pytest.mark.parametrize(
    ("more", "stake"),
    [
        ((), 0),
        ((VALUED,), 0),
        ((PLAN, OPTION), 0),
        ((PLAN, OPTION, VALUED), 80),
        ((WARRANT, VALUED), 60),
        ((STOCK, SEED), 48),
        ((STOCK, SEED, VALUED), 48),
        ((STOCK, SEED, SPLIT), 48),
        ((STOCK, structs.replace(SEED, price_usd_per_share=usd(1))), 40),
    ],
)
def test_a_stake_is_what_a_holder_paid_its_preference_or_what_its_rights_are_worth(more, stake):
    """Its common stock is left out; a share is worth 3, where that is known."""
    with_common, without = [
        measure_stake(ISSUER.fold(events), FUND, frozenset({FUND, COMPANY}), NOW)
        for events in ((*GIVEN, *more), (*GIVEN, *(each for each in more if each is VALUED)))
    ]
    assert with_common - without == stake
    assert measure_stake(ISSUER.fold((*GIVEN, *more)), id_of("pty", 8), frozenset(), NOW) == 0

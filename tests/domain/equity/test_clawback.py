"""Principal that is taken back after it became shares or money: what is cancelled, what is owed."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.instrument import InstrumentConverted, InstrumentDebtPaid, InstrumentPrincipalReversed, TakenShares
from events.types import NoteTerms
from marketplace.core.money import render_ratio
from marketplace.domain.equity.instrument.clawback import is_late, needs_holder
from marketplace.domain.equity.instrument.commands import ImportInstrument, PayDebt
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from tests.domain.equity.test_instrument import (
    INS,
    ISSUED,
    OF_INS,
    ROUND,
    accrued,
    make_id,
    repaid,
    reversal,
    take_back,
)
from tests.support.spec import Given

PAYMENT = make_id("pay", 1)


def converted(principal, price, shares, **changes):
    amount = changes.pop("amount", Fraction(principal))
    return InstrumentConverted(
        **OF_INS,
        cause=ROUND,
        principal_usd=Decimal(principal),
        amount_exact=render_ratio(amount),
        branch="cap",
        price_usd_per_share=render_ratio(Fraction(price)),
        class_id="series-a",
        shares_exact=render_ratio(amount / Fraction(price)),
        shares=shares,
        **changes,
    )


def taken(number, principal, *, due, shares, price="7/3", amount=None, reduction="cancel_shares", debt=0, **changes):
    """Return the clawback of a tranche that became shares."""
    amount = Fraction(principal) if amount is None else amount
    return InstrumentPrincipalReversed(
        **OF_INS,
        tranche_id=make_id("trn", number),
        principal_usd=Decimal(principal),
        reason=changes.get("reason", "clawback"),
        became="shares",
        reduction=reduction,
        taken=TakenShares(
            cause=ROUND,
            class_id="series-a",
            amount_exact=render_ratio(amount),
            price_usd_per_share=render_ratio(Fraction(price)),
            shares_exact=render_ratio(amount / Fraction(price)),
            shares_due=due,
            shares=shares,
        ),
        debt_exact=render_ratio(Fraction(debt)),
        debt_usd=Decimal(int(Fraction(debt) * 100)).scaleb(-2),
    )


def cancel(number, principal, held=1_000, **settled):
    return take_back(number, principal, reduction="cancel_shares", shares_held=held, **settled)


DRAWN = [ISSUED, accrued(1, 400), accrued(2, 300)]
CONVERTED = [*DRAWN, converted(700, "7/3", 300)]
"""700 dollars at 7/3 a share are 300 shares; the first tranche bought 171 3/7 of them, the second 128 4/7."""

DECIDED = {
    "outstanding principal is only less": (DRAWN, take_back(1, 150), [reversal(1, 150)]),
    "shares go back at the conversion's price, rounded down": (
        CONVERTED,
        cancel(1, 100),
        [taken(1, 100, due=42, shares=42)],
    ),
    "the fraction waits for the next clawback of the conversion": (
        [*CONVERTED, taken(1, 100, due=42, shares=42)],
        cancel(2, 100),
        [taken(2, 100, due=43, shares=43)],
    ),
    "the last clawback takes every share that is left": (
        [*CONVERTED, taken(1, 400, due=171, shares=171)],
        cancel(2, 300),
        [taken(2, 300, due=129, shares=129)],
    ),
    "shares that are not held any more are owed at the conversion's price": (
        CONVERTED,
        cancel(1, 100, held=40),
        [taken(1, 100, due=42, shares=40, debt="14/3")],
    ),
    "a debt in their place is every dollar": (
        CONVERTED,
        take_back(1, 100, reduction="debt", shares_held=1_000),
        [taken(1, 100, due=0, shares=0, reduction="debt", debt=100)],
    ),
    "after a split the shares are more and their price is less": (
        CONVERTED,
        cancel(1, 100, split=Fraction(3)),
        [taken(1, 100, price="7/9", due=128, shares=128)],
    ),
    "of money its part is owed": (
        [*DRAWN, repaid(700, 350)],
        take_back(1, "100.01"),
        [
            InstrumentPrincipalReversed(
                **OF_INS,
                tranche_id=make_id("trn", 1),
                principal_usd=Decimal("100.01"),
                reason="clawback",
                became="money",
                debt_exact="10001/200",
                debt_usd=Decimal("50.00"),
            )
        ],
    ),
    "a debt is paid in parts": (
        [*CONVERTED, taken(1, 100, due=0, shares=0, reduction="debt", debt=100)],
        PayDebt(instrument_id=INS, cause=PAYMENT, amount_usd=Decimal(40)),
        [InstrumentDebtPaid(**OF_INS, cause=PAYMENT, amount_usd=Decimal(40))],
    ),
}


@pytest.mark.parametrize(("events", "command", "expected"), DECIDED.values(), ids=DECIDED)
def test_decided(events, command, expected):
    Given(INSTRUMENT, *events).when(command).then(*expected)


OWING = [*CONVERTED, taken(1, 100, due=0, shares=0, reduction="debt", debt=100)]
PAID = InstrumentDebtPaid(**OF_INS, cause=PAYMENT, amount_usd=Decimal(40))


def pay(amount, cause=PAYMENT):
    return PayDebt(instrument_id=INS, cause=cause, amount_usd=Decimal(amount))


REFUSED = [
    ("instrument_unknown", [], pay(1)),
    ("amount_not_positive", OWING, pay(0)),
    ("payment_exists", [*OWING, PAID], pay(41)),
    ("debt_exceeded", CONVERTED, pay(1)),
    ("debt_exceeded", [*OWING, PAID], pay("60.01", make_id("pay", 2))),
    ("missing_convention", CONVERTED, take_back(1, 100)),
    ("tranche_exceeded", [*CONVERTED, taken(1, 100, due=42, shares=42)], cancel(1, 301, reason="again")),
]


@pytest.mark.parametrize(("code", "events", "command"), REFUSED, ids=[f"{n}-{row[0]}" for n, row in enumerate(REFUSED)])
def test_refused(code, events, command):
    Given(INSTRUMENT, *events).when(command).refused(code)


def test_of_a_note_its_interest_goes_back_with_it():
    terms = NoteTerms(
        annual_rate=Decimal("0.10"), interest="simple", day_count="actual_365", matures_on=date(2028, 3, 1)
    )
    issued = msgspec.structs.replace(ISSUED, terms=terms)
    later = msgspec.structs.replace(accrued(2, 300), interest_from=date(2026, 5, 13))
    amount = 400 * (1 + Fraction(146, 365) / 10) + 300 * (1 + Fraction(73, 365) / 10)
    conversion = converted(700, 2, 361, amount=amount, interest_until=date(2026, 7, 25))
    events = [issued, accrued(1, 400), later, conversion]
    expected = taken(2, 100, price=2, amount=Fraction(102), due=51, shares=51)
    Given(INSTRUMENT, *events).when(cancel(2, 100)).then(expected)


def test_what_was_taken_back_may_be_drawn_again():
    state = INSTRUMENT.fold([*CONVERTED, taken(1, 100, due=42, shares=42)])
    assert (state.principal_usd, state.converted_usd, state.outstanding_usd) == (600, 600, 0)
    assert state.undrawn_usd == 400


def test_an_import_takes_clawbacks_as_they_were_decided():
    acts = (
        *CONVERTED,
        taken(1, 100, price="7/9", due=128, shares=120, debt="56/9"),
        taken(2, 50, due=0, shares=0, reduction="debt", debt=50),
        PAID,
    )
    Given(INSTRUMENT).when(ImportInstrument(instrument_id=INS, acts=acts)).then(*acts)
    wrong = (*CONVERTED, taken(1, 100, due=43, shares=43))
    Given(INSTRUMENT).when(ImportInstrument(instrument_id=INS, acts=wrong)).refused("act_repeated")


CENTS = st.integers(1, 20_000).map(lambda cents: Decimal(cents).scaleb(-2))


@given(
    st.lists(CENTS, min_size=1, max_size=4),
    st.fractions(Fraction(1, 50), 50, max_denominator=60),
    st.lists(st.tuples(st.integers(0, 3), st.fractions(0, 1, max_denominator=20), st.integers(0, 9_999)), max_size=12),
)
def test_what_goes_back_is_shares_and_dollars_and_less_than_a_share_waits(tranches, price, clawbacks):
    """Cancelled shares at the price, what is owed, and a waiting fraction are the dollars that were taken back."""
    total = sum(tranches)
    shares = int(Fraction(total) / price)
    issued = msgspec.structs.replace(ISSUED, commitment_usd=total)
    events = [issued, *(accrued(number, amount) for number, amount in enumerate(tranches, start=1))]
    state = INSTRUMENT.fold([*events, converted(total, price, shares)])
    log = []
    wanted = [(1 + place % len(tranches), part, held) for place, part, held in clawbacks]
    wanted += [(number, Fraction(1), 9_999) for number in range(1, len(tranches) + 1)]
    for step, (number, part, held) in enumerate(wanted):
        left = state.find_tranche(make_id("trn", number)).principal_usd
        amount = Decimal(int(Fraction(left) * 100 * part)).scaleb(-2) if part < 1 else left
        if not amount:
            continue
        new = INSTRUMENT.decide(cancel(number, amount, held=held, reason=f"step {step}"), state)
        log.extend(new)
        state = INSTRUMENT.fold(new, state)
        dollars = sum(Fraction(event.principal_usd) for event in log)
        value = sum(event.taken.shares * price + Fraction(event.debt_exact) for event in log)
        assert 0 <= dollars - value < price
        assert all(event.taken.shares <= event.taken.shares_due for event in log)
        assert state.debt_usd == sum(event.debt_usd for event in log)
    assert state.principal_usd == 0
    assert sum(event.taken.shares_due for event in log) == shares


@given(st.sampled_from(["outstanding", "shares", "money"]), st.integers(0, 400), st.booleans(), st.booleans())
def test_what_principal_became_falls_only_as_its_holder_agrees_and_not_after_half_a_year(
    became, days, pending, accepts
):
    became_by = {"outstanding": [], "shares": [converted(700, "7/3", 300)], "money": [repaid(700, 900)]}
    tranche = INSTRUMENT.fold([*DRAWN, *became_by[became]]).find_tranche(make_id("trn", 1))
    day = tranche.interest_from + timedelta(days=days)
    asks = became != "outstanding" or pending or accepts or days > 30
    assert needs_holder(tranche, day, is_pending=pending, accepts=accepts) == asks
    assert is_late(tranche, day) == (became != "outstanding" and days > 180)

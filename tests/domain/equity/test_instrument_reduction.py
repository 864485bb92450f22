"""Commitments: what was sold on is taken off, once for a cause, and never more than is undrawn."""

from decimal import Decimal

import pytest

from events.instrument import InstrumentCommitmentReduced, InstrumentLapsed
from marketplace.domain.equity.instrument.commands import ReduceCommitment
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from tests.domain.equity.test_instrument import INS, ISSUED, LAPSE, LAPSED, OF_INS, SUSPENDED, accrue, accrued
from tests.support.spec import Given

CAUSE = "grant 2"


def reduced(amount, cause=CAUSE):
    return InstrumentCommitmentReduced(**OF_INS, amount_usd=Decimal(amount), cause=cause)


def reduce(amount, cause=CAUSE):
    return ReduceCommitment(instrument_id=INS, amount_usd=Decimal(amount), cause=cause)


def test_a_commitment_is_reduced_by_what_was_sold_on():
    Given(INSTRUMENT, ISSUED, accrued(1, 400)).when(reduce(300)).then(reduced(300))
    Given(INSTRUMENT, ISSUED, SUSPENDED).when(reduce(1000)).then(reduced(1000))
    state = INSTRUMENT.fold([ISSUED, accrued(1, 400), reduced(300)])
    assert (state.commitment_usd, state.undrawn_usd, state.principal_usd) == (700, 300, 400)


def test_it_is_reduced_for_a_cause_once():
    Given(INSTRUMENT, ISSUED, reduced(300)).when(reduce(300)).then_nothing()
    Given(INSTRUMENT, ISSUED, reduced(300)).when(reduce(300, "grant 3")).then(reduced(300, "grant 3"))


def test_it_lapses_with_what_was_not_drawn_after_a_reduction():
    lapsed = InstrumentLapsed(**OF_INS, undrawn_usd=Decimal(300), reason="grant completed")
    Given(INSTRUMENT, ISSUED, accrued(1, 400), reduced(300)).when(LAPSE).then(lapsed)


@pytest.mark.parametrize(
    ("code", "events", "command"),
    [
        ("reduction_exists", [ISSUED, reduced(300)], reduce(200)),
        ("amount_not_positive", [ISSUED], reduce(0)),
        ("instrument_lapsed", [ISSUED, LAPSED], reduce(10)),
        ("reduction_above_undrawn", [ISSUED, accrued(1, 400)], reduce(601)),
        ("commitment_exceeded", [ISSUED, accrued(1, 400), reduced(300)], accrue(2, 301)),
    ],
)
def test_refused(code, events, command):
    Given(INSTRUMENT, *events).when(command).refused(code)

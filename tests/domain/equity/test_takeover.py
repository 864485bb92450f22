"""Imports of whole lives: rounds, sales and instruments are taken over where their certificates hold."""

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal

import msgspec
import pytest

from events.financing import Investment
from events.instrument import InstrumentEvent, InstrumentPrincipalAccrued
from events.issuer import (
    IssuerDistributionPaid,
    IssuerFinancingClosed,
    IssuerFinancingOpened,
    IssuerFinancingPriced,
    IssuerLiquidityDeclared,
    IssuerValuationRecorded,
)
from marketplace.core.errors import Refusal
from marketplace.domain.equity.instrument.commands import ImportInstrument
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.instrument.takeover import COMMANDS
from marketplace.domain.equity.issuer.commands import ImportIssuer
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.takeover import require_own_holders
from tests.captable.company import DRAWDOWN, ISS, ROUND, SERIES_A, live, make_id
from tests.support.spec import Given

SALE = make_id("liq", 1)


@pytest.fixture(scope="module")
def sold():
    life = live()
    life.sell(SALE, 90_000_000)
    return life


def list_acts(life, aggregate=ISS):
    return tuple(act.event for act in life.acts if act.aggregate == aggregate)


def bring_in(acts):
    return ImportIssuer(issuer_id=ISS, source="x", package_hash="ab", acts=tuple(acts))


def test_a_whole_life_is_taken_over_as_it_was(sold):
    acts = list_acts(sold)
    events = ISSUER.decide(bring_in(acts), None)
    assert tuple(events[1:]) == acts
    state = ISSUER.fold(events)
    assert replace(state, imported=None) == sold.issuer
    assert state.is_ended


def test_an_instrument_is_taken_over_as_it_was(sold):
    for instrument_id, state in sold.instruments.items():
        acts = list_acts(sold, instrument_id)
        command = ImportInstrument(instrument_id=instrument_id, acts=acts)
        assert INSTRUMENT.fold(INSTRUMENT.decide(command, None)) == state
        Given(INSTRUMENT).when(command).then(*acts)


def test_every_act_of_an_instrument_can_be_taken_over():
    assert set(COMMANDS) == set(InstrumentEvent.__args__)


def test_a_company_imports_nothing_in_the_name_of_parties_or_of_the_platform():
    """An imported round of a fund, or a valuation of the platform, made a price that counts as nobody's own."""
    company, fund = make_id("pty", 1), make_id("pty", 2)
    valuation = {"issuer_id": ISS, "price_usd_per_share": Decimal("0.01"), "method": "409A"}
    own = IssuerValuationRecorded(**valuation, effective_on=date(2025, 1, 1), recorded_by="company")
    require_own_holders([own], company)
    terms = msgspec.structs.replace(
        ROUND, investments=(Investment(holder_id=fund, amount_usd=Decimal(1)),), pay_to_play=None
    )
    opened = IssuerFinancingOpened(issuer_id=ISS, financing_id=make_id("fin", 1), name="A", terms=terms)
    for act, code in (
        (opened, "parties_unconfirmed"),
        (msgspec.structs.replace(own, recorded_by="platform"), "platform_unconfirmed"),
    ):
        with pytest.raises(Refusal) as caught:
            require_own_holders([act], company)
        assert caught.value.code == code


def change(acts, kind, **members):
    return [msgspec.structs.replace(act, **members) if isinstance(act, kind) else act for act in acts]


def break_certificate(acts, kind, part):
    act = next(act for act in acts if isinstance(act, kind))
    value = getattr(act, part)
    certificate = json.loads(value.certificate_json)
    certificate["version"] = 2
    return change(acts, kind, **{part: msgspec.structs.replace(value, certificate_json=json.dumps(certificate))})


def test_a_round_or_sale_whose_certificate_fails_is_refused(sold):
    acts = list_acts(sold)
    Given(ISSUER).when(bring_in(break_certificate(acts, IssuerFinancingPriced, "pricing"))).refused("certificate_fails")
    Given(ISSUER).when(bring_in(break_certificate(acts, IssuerLiquidityDeclared, "waterfall"))).refused(
        "certificate_fails"
    )


def test_a_payment_that_is_not_the_waterfalls_is_refused(sold):
    paid = next(act for act in list_acts(sold) if isinstance(act, IssuerDistributionPaid))
    acts = change(list_acts(sold), IssuerDistributionPaid, amount_usd=paid.amount_usd + 1)
    Given(ISSUER).when(bring_in(acts)).refused("payment_differs")


def test_a_round_that_is_closed_unpriced_or_twice_is_refused(sold):
    acts = list_acts(sold)
    unpriced = [act for act in acts if not isinstance(act, IssuerFinancingPriced)]
    Given(ISSUER).when(bring_in(unpriced)).refused("financing_unpriced")
    closed = next(act for act in acts if isinstance(act, IssuerFinancingClosed))
    Given(ISSUER).when(bring_in([*acts[: acts.index(closed) + 1], closed])).refused("financing_closed")
    other = msgspec.structs.replace(closed, financing_id=make_id("fin", 9))
    Given(ISSUER).when(bring_in([*acts[:-3], other])).refused("financing_unknown")
    assert closed.financing_id == SERIES_A


def test_an_instrument_is_refused_at_the_act_that_breaks_a_rule(sold):
    acts = list_acts(sold, DRAWDOWN)
    greedy = change(acts, InstrumentPrincipalAccrued, principal_usd=acts[0].commitment_usd)
    refusal = Given(INSTRUMENT).when(ImportInstrument(instrument_id=DRAWDOWN, acts=tuple(greedy)))
    assert refusal.refused("commitment_exceeded").pointer == "/acts/2"
    twice = ImportInstrument(instrument_id=DRAWDOWN, acts=(*acts[:2], acts[1]))
    Given(INSTRUMENT).when(twice).refused("act_repeated", "/acts/2")
    wrong = ImportInstrument(instrument_id=make_id("ins", 8), acts=acts)
    Given(INSTRUMENT).when(wrong).refused("instrument_differs", "/acts/0")


def test_an_instrument_that_is_there_is_not_taken_over_again(sold):
    acts = list_acts(sold, DRAWDOWN)
    other = ImportInstrument(instrument_id=DRAWDOWN, acts=())
    Given(INSTRUMENT, *acts).when(other).refused("instrument_exists")

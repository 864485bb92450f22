"""Terms of a draw: what a grant states of window, unit and prices, kept by the instrument from its signing on."""

import msgspec
import pytest

from events.draw import PriceSource
from events.instrument import InstrumentIssued
from marketplace.domain.billing.draw import build_draw
from marketplace.domain.equity.instrument.commands import AmendInstrument, ImportInstrument
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from tests.domain import build
from tests.domain.build import NAIVE, draw, hour, id_of
from tests.domain.equity.test_instrument import CAP_12M, INS, ISSUED, accrued, issue
from tests.support.spec import Given

GRANTED = build.issue_grant().issued
SOLD_ON = build.resale_part(grant_id=id_of("grt", 7))
SOURCES = {
    "an auction": ({"auction_id": build.AUCTION}, None, PriceSource(kind="auction", id=build.AUCTION)),
    "a held quote": ({"auction_id": None}, build.QUOTE, PriceSource(kind="quote", id=build.QUOTE)),
    "a resale": (
        {"auction_id": build.AUCTION, "resale": SOLD_ON},
        None,
        PriceSource(kind="resale", id=build.AUCTION, seller_grant_id=id_of("grt", 7)),
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_what_set_the_prices_is_named(name):
    changes, quote_id, source = SOURCES[name]
    assert build_draw(msgspec.structs.replace(GRANTED, **changes), quote_id).source == source


def test_cash_and_principal_are_their_shares_of_the_price():
    equity = msgspec.structs.replace(GRANTED.equity, principal_share="2/3")
    grant = msgspec.structs.replace(GRANTED, price_usd_per_gpu_hour="12/5", cash_share="5/9", equity=equity)
    terms = build_draw(grant, None)
    assert (terms.price_usd_per_gpu_hour, terms.cash_usd_per_gpu_hour) == ("12/5", "4/3")
    assert terms.principal_usd_per_gpu_hour == "8/5"
    assert (terms.start, terms.end, terms.gpu_class) == (grant.start, grant.end, grant.gpu_class)
    assert (terms.unit, terms.acceptance_hours) == ("gpu_hour", 7 * 24)


def test_what_was_signed_stands_whatever_accrues_or_is_amended():
    state = INSTRUMENT.fold([ISSUED, accrued(1, 400)])
    amend = AmendInstrument(instrument_id=INS, terms=CAP_12M, applies_to_earlier=True)
    after = INSTRUMENT.fold(INSTRUMENT.decide(amend, state), state)
    assert after.issued.draw == draw()


def test_signing_again_at_another_price_is_another_agreement():
    changed = issue(draw=draw(price_usd_per_gpu_hour="3/1"))
    Given(INSTRUMENT, ISSUED).when(changed).refused("instrument_exists")


AT_ONCE = {"funding": "paid_at_once", "grant_id": None}
REFUSED = {
    "a drawdown without": ("draw_missing", issue(draw=None), "/draw"),
    "one paid at once with": ("draw_unexpected", issue(**AT_ONCE), "/draw"),
    "no offset": ("time_naive", issue(draw=draw(start=NAIVE)), "/draw/end"),
    "an empty window": ("span_empty", issue(draw=draw(end=hour(0))), "/draw/end"),
    "a grant is asked for first": ("grant_missing", issue(grant_id=None, draw=None), "/grant_id"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    code, command, pointer = REFUSED[name]
    Given(INSTRUMENT).when(command).refused(code, pointer)


def test_an_import_keeps_what_was_signed_and_refuses_a_drawdown_without():
    Given(INSTRUMENT).when(ImportInstrument(instrument_id=INS, acts=(ISSUED,))).then(ISSUED)
    bare: InstrumentIssued = msgspec.structs.replace(ISSUED, draw=None)
    Given(INSTRUMENT).when(ImportInstrument(instrument_id=INS, acts=(bare,))).refused("draw_missing", "/acts/0")

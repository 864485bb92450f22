"""An issuer's limit of dilution in a package: OCF has no word for it, and the sidecar brings it back."""

from decimal import Decimal

import pytest

from events.issuer import IssuerDilutionLimited, IssuerExposureRecorded
from events.issuer_dilution import CountedInstrument, Exposure
from events.types import SafeTerms
from marketplace.core.errors import Refusal
from marketplace.domain.equity.issuer.commands import LimitDilution, RecordExposure
from marketplace.domain.equity.issuer.dilution import measure_dilution
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.ocf.importing import check_files
from marketplace.ocf.package import render_package
from tests.captable.company import FUND, Life, found, make_id
from tests.ocf.package_tools import strip_sidecar, take_in

SAFE, ORDER = make_id("ins", 21), make_id("ord", 21)
CAPPED = SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal(10_000_000))


def expose(amount_usd):
    return (Exposure(terms=CAPPED, amount_usd=Decimal(amount_usd)),)


@pytest.fixture(scope="module")
def life():
    """Let a company limit its dilution with a SAFE signed, an order placed and ended, and the limit raised."""
    life = Life()
    found(life)
    life.sign(SAFE, FUND, CAPPED, 500_000)
    counted = (CountedInstrument(instrument_id=SAFE, exposures=expose(500_000)),)
    limit = {"valuation_usd": None, "instruments": counted}
    life.act(LimitDilution, **limit, dilution_max=Decimal("0.90"))
    life.act(RecordExposure, subject_id=ORDER, exposures=expose(250_000))
    life.act(RecordExposure, subject_id=ORDER, exposures=())
    life.act(LimitDilution, **limit, dilution_max=Decimal("0.95"))
    return life


def test_the_limit_and_what_it_counts_come_back_byte_for_byte(life):
    files = render_package(life.history)
    assert check_files(files) == ()
    taken = take_in(files)
    assert render_package(taken) == files
    assert sum(isinstance(act.event, IssuerDilutionLimited) for act in taken.acts) == 2
    assert not any(isinstance(act.event, IssuerExposureRecorded) for act in taken.acts), "orders are no part of it"
    before, after = life.history.get_issuer(), taken.get_issuer()
    assert after.limit.dilution_max == before.limit.dilution_max == Decimal("0.95")
    assert [*after.exposures.values()] == [*before.exposures.values()] == [expose(500_000)]
    assert measure_dilution(after) == measure_dilution(before)


def test_the_limit_that_came_back_refuses_as_before(life):
    taken = take_in(render_package(life.history)).get_issuer()
    dear = RecordExposure(issuer_id=taken.formed.issuer_id, subject_id=ORDER, exposures=expose(9_400_000), owed=False)
    with pytest.raises(Refusal) as caught:
        ISSUER.decide(dear, taken)
    assert caught.value.code == "dilution_exceeded"


def test_without_the_sidecar_the_company_has_no_limit(life):
    taken = take_in(strip_sidecar(render_package(life.history)))
    assert taken.get_issuer().limit is None

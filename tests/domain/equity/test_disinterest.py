"""Who is disinterested in a round that insiders buy: warrants count only where a higher price gives them something."""

from decimal import Decimal

import pytest

from events.issuer import IssuerStockIssued, IssuerValuationRecorded
from events.vesting import DateMilestone, PriceMilestone, WarrantTranche
from marketplace.domain.equity.disinterest import Prices, list_round_gain
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.register import Register
from tests.domain.issuer_samples import (
    COMPANY,
    FIN,
    FOUNDER,
    FOUNDERS_STOCK,
    FUND,
    NOON,
    OF_ISS,
    PROVIDER,
    make_id,
    open_round,
    price,
    stakeholder,
    warrant,
)

INSIDER = IssuerStockIssued(
    **{**FOUNDERS_STOCK, "security_id": make_id("sec", 2), "holder_id": FUND, "shares": 1_000_000}
)


def when(milestone):
    return (WarrantTranche(shares=100_000, conditions=((milestone,),)),)


BY_DATE = when(DateMilestone(day=NOON.date()))
BY_PRICE = when(PriceMilestone(price_usd_per_share=Decimal(2)))


def list_gaining(fair_usd, **terms):
    """Return who gains by a round of an insider at about two dollars a share, with a warrant of the provider."""
    events = [*COMPANY, stakeholder(FUND, "Fund", "investor"), INSIDER]
    if fair_usd is not None:
        events.append(
            IssuerValuationRecorded(
                **OF_ISS,
                price_usd_per_share=Decimal(fair_usd),
                method="409a",
                effective_on=NOON.date(),
                recorded_by="platform",
            )
        )
    for command in (warrant(**terms), open_round(), price()):
        events += ISSUER.decide(command, ISSUER.fold(events))
    issuer = ISSUER.fold(events)
    financing = issuer.financings[FIN]
    prices = Prices(issuer, frozenset({FUND, FOUNDER}), NOON.date())
    return set(list_round_gain(financing, financing.pricing, prices, frozenset({FOUNDER}), Register()))


@pytest.mark.parametrize(
    ("fair_usd", "terms", "gains"),
    [
        ("1", {"settlement": "cash"}, set()),
        ("1", {"settlement": "cash", "tranches": BY_DATE}, set()),
        ("1", {"settlement": "cash", "tranches": BY_PRICE}, {PROVIDER}),
        ("1", {"settlement": "net"}, {PROVIDER}),
        ("9", {"settlement": "net"}, {FUND}),
        ("9", {"settlement": "cash", "tranches": BY_PRICE}, {FUND}),
        (None, {"settlement": "cash"}, {FUND}),
        (None, {"settlement": "either"}, {FUND, PROVIDER}),
    ],
)
def test_a_warrant_makes_its_holder_interested_only_where_a_higher_price_gives_it_something(fair_usd, terms, gains):
    assert list_gaining(fair_usd, **terms) == gains

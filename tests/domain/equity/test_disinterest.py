"""Who is disinterested in a round that insiders buy: warrants count only where a higher price gives them something."""

from decimal import Decimal

import pytest

from events.financing import Investment
from events.issuer import IssuerStockClassCreated, IssuerStockIssued, IssuerValuationRecorded
from events.vesting import DateMilestone, PriceMilestone, WarrantTranche
from marketplace.domain.equity.disinterest import ANYONE, Prices, list_round_gain
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
    SEED,
    make_id,
    open_round,
    price,
    stakeholder,
    waive,
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
    return list_round(INSIDER, fair_usd=fair_usd, commands=(warrant(**terms),), pool_post_money=Decimal(0))


def list_round(*before, fair_usd=None, commands=(), **terms):
    """Return who gains by a round of the fund at about two dollars a share, after these events."""
    events = [*COMPANY, stakeholder(FUND, "Fund", "investor"), *before]
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
    for command in (*commands, open_round(**terms), price()):
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


GUARD = [
    IssuerStockClassCreated(**{**SEED, "class_id": "guard"}, price_protection="full_ratchet"),
    IssuerStockIssued(
        **{**FOUNDERS_STOCK, "security_id": make_id("sec", 3), "holder_id": PROVIDER, "class_id": "guard"}
        | {"shares": 100_000, "price_usd_per_share": Decimal("0.01")}
    ),
    waive(PROVIDER),
]
CHEAP = {"pre_money_usd": Decimal(135_000), "investments": (Investment(holder_id=FUND, amount_usd=Decimal(8_000)),)}
CHEAP |= {"pool_post_money": Decimal(0), "price_places": 8}
BEYOND = {
    "a single preference and a pool of a tenth": ([], {}, set()),
    "a broad-based protection": (
        [],
        {"price_protection": "weighted_average", "protection_basis": "existing_fully_diluted"},
        set(),
    ),
    "a preference of more than the money": ([], {"liquidation_multiple": Decimal("1.1")}, {ANYONE}),
    "participation": ([], {"participation": "full"}, {ANYONE}),
    "a full ratchet": ([], {"price_protection": "full_ratchet"}, {ANYONE}),
    "a pool of more than a tenth": ([], {"pool_post_money": Decimal("0.4")}, {ANYONE}),
    "a low price beside a ratchet": (GUARD, CHEAP, {ANYONE, PROVIDER}),
    "a low price without one": ([], CHEAP, set()),
}


@pytest.mark.parametrize(("before", "terms", "gains"), BEYOND.values(), ids=BEYOND)
def test_outsiders_money_binds_nobody_to_what_a_round_gives_beyond_it(before, terms, gains):
    """Eighty dollars of a straw bought a preference of eight million, half of the company for a pool, or a ratchet."""
    assert list_round(*before, **terms) == gains


@pytest.mark.parametrize(("pool", "gains"), [("0.20", {ANYONE, FUND}), ("0", {FUND})])
def test_a_pool_that_grows_in_a_round_of_insiders_may_be_anybodys(pool, gains):
    assert list_round(INSIDER, pool_post_money=Decimal(pool)) == gains

"""Who is disinterested in a round that insiders buy: warrants count only where a higher price gives them something."""

from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec import structs

from events.financing import Investment
from events.issuer import (
    IssuerFinancingClosed,
    IssuerInstrumentSigned,
    IssuerStockClassCreated,
    IssuerStockIssued,
    IssuerValuationRecorded,
)
from events.issuer_holders import HolderTerms
from events.types import SafeTerms
from events.vesting import DateMilestone, PriceMilestone, WarrantTranche
from marketplace.domain.equity.disinterest import (
    ANYONE,
    Prices,
    is_fair_investment,
    is_fair_stock,
    list_round_gain,
)
from marketplace.domain.equity.issuer.as_converted import measure_company
from marketplace.domain.equity.issuer.dilution import measure_paid
from marketplace.domain.equity.issuer.holder_commands import AgreeHolderTerms
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.rights import Setting, list_consents
from marketplace.domain.register import Register
from tests.domain.issuer_samples import (
    APPROVAL,
    COMPANY,
    FIN,
    FOUNDER,
    FOUNDERS_STOCK,
    FUND,
    NOON,
    OF_ISS,
    PROVIDER,
    SEED,
    close,
    converting,
    make_id,
    open_round,
    price,
    signed,
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


def bought(holder_id, price_usd):
    row = {"security_id": make_id("sec", 4), "holder_id": holder_id, "shares": 100_000}
    return IssuerStockIssued(**FOUNDERS_STOCK | row | {"price_usd_per_share": Decimal(price_usd)})


def test_a_round_of_insiders_is_fair_only_at_what_other_holders_paid():
    """It costs about two dollars a share, and the platform's valuation is one."""
    by_cap = [stakeholder(PROVIDER, "Provider", "investor"), sign(PROVIDER, 30_000_000)]
    gains = [
        list_round(INSIDER, *paid, waive(PROVIDER), fair_usd=1, pool_post_money=Decimal(0))
        for paid in ([bought(PROVIDER, "1.5")], [bought(PROVIDER, 3)], [bought(FUND, 3)], by_cap)
    ]
    assert gains == [set(), {FUND}, set(), set()], "it paid 3 itself; a cap converts at the lower price"


def sign(holder_id, cap_usd):
    terms = SafeTerms(conversion_timing="pre_money", valuation_cap_usd=Decimal(cap_usd))
    named = {"instrument_id": make_id("ins", 1), "holder_id": holder_id, "commitment_usd": Decimal(900_000)}
    return IssuerInstrumentSigned(**OF_ISS, **named, terms=terms)


VALUED = IssuerValuationRecorded(
    **OF_ISS,
    price_usd_per_share=Decimal("0.08"),
    method="409a",
    effective_on=NOON.date(),
    recorded_by="platform",
)
PAID = {"stock": bought(PROVIDER, "1.25"), "a cap": sign(PROVIDER, 12_500_000)}


@pytest.mark.parametrize("paid", PAID.values(), ids=PAID)
def test_a_founders_safe_or_stock_at_a_straws_price_is_not_fair_beside_what_others_paid(paid):
    """A straw's round of 70,000 circular dollars let 850,000 of the founder's buy the company, and asked nobody."""
    issuer = ISSUER.fold([*COMPANY, VALUED, paid])
    least = measure_paid(issuer)
    prices, own = (Prices(issuer, frozenset(each), NOON.date()) for each in ({FOUNDER}, {FOUNDER, PROVIDER}))
    for cap, fair in ((900_000, False), (least - 1, False), (least, True)):
        terms = SafeTerms(conversion_timing="pre_money", valuation_cap_usd=Decimal(int(cap)))
        assert is_fair_investment(prices, terms) is fair
        assert is_fair_investment(own, terms), "who paid it is not harmed by itself"
    price = Decimal(int(least)) / int(measure_company(issuer))
    assert is_fair_stock(prices, "common", Decimal("0.0803")) is False
    assert is_fair_stock(own, "common", Decimal("0.0803")) is True
    assert is_fair_stock(prices, "common", price) is True


@pytest.mark.parametrize(("multiple", "asked"), [("1", False), ("0.99", True), ("0", True)])
def test_whose_instrument_gets_less_preference_than_its_dollars_agrees_to_the_round_itself(multiple, asked):
    """A straw bought a round without a preference, which a friend's instrument carried, and took its money back."""
    safe = converting(1, 900_000)
    events = [*COMPANY, stakeholder(FUND, "Fund", "investor"), *signed(safe)]
    for command in (open_round(liquidation_multiple=Decimal(multiple)), price(safe)):
        events += ISSUER.decide(command, ISSUER.fold(events))
    closed = IssuerFinancingClosed(**OF_ISS, financing_id=FIN, approval=APPROVAL)
    consents = list_consents(Setting(ISSUER.fold(events), FOUNDER, (closed,), NOON), FOUNDER)
    assert (f"holder/{PROVIDER}" in {each.electorate for each in consents}) is asked


EARLIER = make_id("fin", 2)


def raise_earlier(days_ago, pool):
    """Return the commands of a round of the provider, so long ago, with such a part of the company as pool."""
    at = NOON - timedelta(days=days_ago)
    paid = (Investment(holder_id=PROVIDER, amount_usd=Decimal(5_000_000)),)
    terms = {"class_id": "earlier", "investments": paid, "pool_post_money": Decimal(pool)}
    opened = structs.replace(open_round(EARLIER, **terms), at=at)
    return opened, price(at=at, financing_id=EARLIER), close(at=at, financing_id=EARLIER)


ROWS = {
    "a row of pools": (366, "0.14", {"pool_post_money": Decimal("0.17")}, {ANYONE}),
    "a pool after a year": (367, "0.14", {"pool_post_money": Decimal("0.17")}, set()),
    "a first pool": (366, "0", {"pool_post_money": Decimal("0.14")}, set()),
    "no other pool": (366, "0.14", {"pool_post_money": Decimal(0)}, set()),
}


@pytest.mark.parametrize(("days_ago", "pool", "terms", "gains"), ROWS.values(), ids=ROWS)
def test_pools_of_twelve_months_count_together(days_ago, pool, terms, gains):
    """A pool of just under a tenth, round after round, took half of a fund's part with the same straw's money."""
    waived = AgreeHolderTerms(**OF_ISS, terms=HolderTerms(pro_rata_waived=(PROVIDER,)), approval=APPROVAL)
    assert list_round(commands=(*raise_earlier(days_ago, pool), waived), **terms) == gains

"""What a company is worth at a price of its stock: shares, what converts into them, and what ranks before them."""

from datetime import date
from decimal import Decimal

import pytest
from msgspec import structs

from events.issuer import (
    IssuerExposureRecorded,
    IssuerInstrumentSigned,
    IssuerStockClassCreated,
    IssuerStockIssued,
    IssuerStockRepurchased,
    IssuerStockSplit,
    IssuerWarrantIssued,
)
from events.issuer_dilution import Exposure
from events.types import MaturityConversion, NoteTerms, SafeTerms, StockTerms, WarrantTerms
from marketplace.core.errors import Refusal
from marketplace.domain.equity.issuer.as_converted import measure_company
from marketplace.domain.equity.issuer.implied_value import find_implied_cap
from marketplace.domain.equity.issuer.issuer import ISSUER
from tests.domain.issuer_samples import (
    CAPPED,
    COMPANY,
    EXPIRY,
    FOUNDER,
    OF_ISS,
    PROVIDER,
    SEED,
    UNCAPPED,
    WARRANT_TERMS,
    make_id,
)

BOSS = IssuerStockClassCreated(
    **{**SEED, "class_id": "boss", "shares_authorised": 100, "price_per_share_usd": Decimal(1_000_000), "seniority": 9},
    participation="full",
)
"""Ten shares rank before everybody with 10 million dollars."""
NOTE = NoteTerms(
    annual_rate=Decimal("0.10"),
    interest="simple",
    day_count="thirty_360",
    matures_on=date(2028, 3, 1),
    valuation_cap_usd=Decimal(9_000_000),
)
MATURING = structs.replace(
    NOTE,
    at_maturity=MaturityConversion(
        class_id="common", capitalization_definition="existing_fully_diluted", share_rounding="floor"
    ),
)
ALL_USD = Decimal(10**15)


def issued(class_id, shares, number=9):
    return IssuerStockIssued(
        **OF_ISS,
        security_id=make_id("sec", number),
        holder_id=PROVIDER,
        class_id=class_id,
        shares=shares,
        price_usd_per_share=Decimal("0.0001"),
    )


def owed(amount, terms=CAPPED, number=1, since=None, **offered):
    """Return the events by which principal may still become equity."""
    named = {**OF_ISS, "instrument_id": make_id("ins", number)}
    exposure = Exposure(terms=terms, amount_usd=Decimal(amount), interest_from=since, **offered)
    return (
        IssuerInstrumentSigned(**named, holder_id=PROVIDER, commitment_usd=Decimal(amount), terms=terms),
        IssuerExposureRecorded(**OF_ISS, subject_id=make_id("ins", number), exposures=(exposure,)),
    )


def buy(usd=1, class_id="common"):
    return StockTerms(class_id=class_id, price_usd_per_share=Decimal(usd))


def become(class_id):
    return structs.replace(MATURING, at_maturity=structs.replace(MATURING.at_maturity, class_id=class_id))


BACK = IssuerStockRepurchased(
    **OF_ISS,
    repurchase_id=make_id("rep", 1),
    holder_id=FOUNDER,
    class_id="common",
    shares=7_000_000,
    price_usd_per_share=Decimal(0),
)
WORTH = {
    "nine million shares and rights": ([], buy(), 9_000_000),
    "a preference before it": ([BOSS, issued("boss", 10)], buy(), 9_000_010 + 10_000_000),
    "a preference that a warrant may still buy": (
        [BOSS, IssuerWarrantIssued(**{**WARRANT_TERMS, "class_id": "boss", "shares": 10})],
        buy(),
        9_000_010 + 10_000_000,
    ),
    "a preference that an instrument buys": (
        [BOSS, *owed(5, buy("0.5", "boss"))],
        buy(),
        9_000_000 + 10 + 10_000_000,
    ),
    "a preference that a note becomes": ([BOSS, *owed(10, become("boss"))], buy(), 9_000_000 + 10 + 10_000_000),
    "a preference that ranks behind": (
        [BOSS, issued("boss", 10), issued("seed", 100, 8)],
        buy(1, "boss"),
        9_000_110,
    ),
    "a preference before it, of preferred stock": (
        [BOSS, issued("boss", 10), issued("seed", 100, 8)],
        buy(1, "seed"),
        9_000_110 + 10_000_000,
    ),
    "a warrant's two prices": (
        [BOSS, issued("boss", 10)],
        WarrantTerms(
            class_id="common",
            price_usd_per_share=Decimal("0.25"),
            exercise_price_usd=Decimal("0.75"),
            expires_at=EXPIRY,
            settlement="cash",
        ),
        9_000_010 + 10_000_000,
    ),
    "a note that becomes stock by itself": ([BOSS, issued("boss", 10)], MATURING, 9_000_000 + 10_000_000),
    "a note that becomes stock, beside a SAFE of 99%": (owed(9_900_000), MATURING, 900_000_000),
    "a SAFE of 99% of the company": (owed(9_900_000), buy(), 900_000_000),
    "a SAFE of 99%, at a price just above its cap": (owed(9_900_000), buy("1.2"), 1_080_000_000),
    "a SAFE whose cap is above the price": (owed(9_000_000, structs.replace(CAPPED, valuation_cap_usd=Decimal(10**9))),
        buy(), 18_000_000),
    "a SAFE at a discount of 0.9": (
        owed(9_900_000, structs.replace(UNCAPPED, discount=Decimal("0.9"))),
        buy(),
        9_000_000 + 99_000_000,
    ),
    "a SAFE without a price": (owed(1_000_000, UNCAPPED), buy(), 10_000_000),
    "a pre-money SAFE": (
        owed(900_000, SafeTerms(conversion_timing="pre_money", valuation_cap_usd=Decimal(900_000))),
        buy(),
        18_000_000,
    ),
    "a most-favoured SAFE, at a cap of which it got notice": (
        owed(9_900_000, structs.replace(UNCAPPED, most_favoured_nation=True), offered_cap_usd=Decimal(10_000_000)),
        buy(),
        900_000_000,
    ),
    "a most-favoured SAFE, at a discount of which it got notice": (
        owed(900_000, structs.replace(UNCAPPED, most_favoured_nation=True), offered_discount=Decimal("0.9")),
        buy(),
        18_000_000,
    ),
    "a most-favoured SAFE, at a pre-money cap of which it got notice": (
        owed(900_000, structs.replace(CAPPED, most_favoured_nation=True), offered_pre_money_cap_usd=Decimal(900_000)),
        buy(),
        18_000_000,
    ),
    "SAFEs of all of it": ([*owed(6_000_000), *owed(6_000_000, number=2)], buy(), ALL_USD),
    "a note with its interest": (owed(9_000_000, NOTE, since=date(2026, 3, 1)), buy(), 9_000_000 + 10_800_000),
    "a note that is repaid tenfold": (
        owed(1_000_000, structs.replace(NOTE, repayment_multiple=Decimal(10), valuation_cap_usd=None)),
        buy(),
        19_000_000,
    ),
    "a note whose cap is divided by the shares of its signing": (
        [*owed(9_000_000, MATURING), BACK],
        buy(),
        2_000_000 + 9_000_000,
    ),
    "rights and stock that others may still buy": (owed(900_000, buy("0.1")), buy(), 18_000_000),
    "a SAFE, whose cap counts what converts": (owed(9_900_000), CAPPED, 10_000_000),
    "a SAFE that a sale pays beside a preference or after it": ([BOSS, issued("boss", 10)], CAPPED, 20_000_000),
    "a note that stays a debt": (owed(9_900_000), NOTE, None),
    "more than any amount": ([BOSS, issued("boss", 10)], buy(10**9), ALL_USD),
}  # fmt: skip


def guard(protection="full_ratchet", class_id="guard", price="1.00", **terms):
    """Return the events of a million shares of a class with price protection."""
    created = IssuerStockClassCreated(
        **{**SEED, "class_id": class_id, "price_per_share_usd": Decimal(price), "seniority": 1},
        price_protection=protection,
        **terms,
    )
    return [structs.replace(created, shares_authorised=1_000_000), issued(class_id, 1_000_000, int(Decimal(price)))]


AVERAGE = guard("weighted_average", protection_basis="fully_diluted")
NARROW = guard("weighted_average", protection_basis="outstanding")
PROTECTED = {
    "a full ratchet takes its dollars of the lowest value": (guard(), 5_000_000, "12250000"),
    "a full ratchet of all of the lowest value": (guard(), 1_000_000, "1000000000000000"),
    "a full ratchet that no price is below": (guard(), 50_000_000, "11000000"),
    "a full ratchet without a lowest value": (guard(), None, "11000000"),
    "a dearer ratchet lowers the price below a cheaper one": (
        [*guard(), *guard("full_ratchet", "dear", "3.00")],
        11_000_000,
        "18142857.14",
    ),
    "a weighted average counts a round of a fifth": (AVERAGE, 5_000_000, "11111111.11"),
    "a weighted average of the outstanding shares": (NARROW, 5_000_000, "11121951.21"),
    "a weighted average at no value": (AVERAGE, 0, "11250000"),
}
"""Events, the lowest value that a mandate accepts, and what the company is worth to it."""


@pytest.mark.parametrize(("events", "least", "usd"), PROTECTED.values(), ids=PROTECTED)
def test_earlier_classes_count_with_what_price_protection_gives_them_at_the_lowest_value(events, least, usd):
    """A friend's full ratchet took the company in a round inside the range of the fund that had paid 10 M for it."""
    state, least_usd = ISSUER.fold([*COMPANY, *events]), None if least is None else Decimal(least)
    assert find_implied_cap(state, buy(), pending=True, least_usd=least_usd) == Decimal(usd)
    preferences = sum(each.shares_outstanding * (each.price_usd or 0) for each in state.classes.values())
    assert find_implied_cap(state, buy()) == measure_company(state) + preferences, "what it is worth today is the same"


@pytest.mark.parametrize(("events", "terms", "usd"), WORTH.values(), ids=WORTH)
def test_a_company_is_worth_its_shares_what_converts_and_what_ranks_before_the_stock(events, terms, usd):
    found = find_implied_cap(ISSUER.fold([*COMPANY, *events]), terms)
    assert found == (None if usd is None else Decimal(usd))


def test_the_own_instrument_does_not_count_and_a_split_since_the_price_does():
    state = ISSUER.fold([*COMPANY, *owed(900_000, buy())])
    assert find_implied_cap(state, buy()) == 9_900_000
    assert find_implied_cap(state, buy(), own_id=make_id("ins", 1)) == 9_000_000
    split = IssuerStockSplit(**OF_ISS, split_id=make_id("spl", 1), numerator=100, denominator=1)
    state = ISSUER.fold([BOSS, issued("boss", 10), split, *owed(1_000_000, UNCAPPED)], ISSUER.fold(COMPANY))
    assert find_implied_cap(state, buy(), "1") == 9_000_010 + 10_000_000 + 1_000_000


def test_a_class_that_does_not_exist_has_no_price():
    with pytest.raises(Refusal, match="gold") as caught:
        find_implied_cap(ISSUER.fold(COMPANY), buy(1, "gold"))
    assert caught.value.code == "stock_class_unknown"
    later = find_implied_cap(ISSUER.fold([*COMPANY, BOSS, issued("boss", 10)]), become("gold"))
    assert later == 9_000_000 + 10_000_000, "a class that is created later may rank behind everybody"

"""What holders without a key lose by an act of their company: their part of what others get for less than its worth."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from msgspec import structs

from events import issuer as events
from events.financing import Payout
from events.types import NoteTerms, SafeTerms
from events.vesting import LaterPrice, PriceAverage, WarrantTranche
from marketplace.core.money import ceil_cents
from marketplace.domain.equity.answering import find_lost, find_share_worth
from marketplace.domain.equity.giving import find_given
from marketplace.domain.equity.issuer.issuer import ISSUER
from tests.domain.build import NOW, id_of, usd
from tests.domain.equity.test_giving import OF, OPTION, WARRANT
from tests.domain.equity.test_ground import HOLDERS, declare
from tests.domain.equity.test_rights import COMPANY, FOUNDER, FUND, GIVEN

STOCK = events.IssuerStockIssued(
    **OF, security_id=id_of("sec", 9), holder_id=FUND, class_id="common", shares=100, price_usd_per_share=usd(1)
)
LATER = LaterPrice(tranche=0, multiple=usd("0.9"), average=PriceAverage(source_id=id_of("src", 1), days=30))
WORTH = Fraction(100_000, 1_110)
"""The founder, who has no key, has 900 of 1,110 shares that cost a dollar. All count at 100,000 dollars."""


def lose(shares, gift):
    """Return what the founder loses if new shares get so much, in USD, beyond what is paid for them."""
    return ceil_cents(Fraction(900) / (1_110 + shares) * gift)


def sign(cap, principal=1_000, **more):
    capped = {"valuation_cap_usd": None if cap is None else usd(cap), **more}
    if "matures_on" in more:
        terms = NoteTerms(annual_rate=usd("0.08"), interest="simple", day_count="actual_365", **capped)
    else:
        terms = SafeTerms(conversion_timing="post_money", **capped)
    named = {"instrument_id": id_of("ins", 1), "holder_id": FUND, "commitment_usd": usd(principal)}
    return events.IssuerInstrumentSigned(**OF, **named, terms=terms)


LOST = {
    "stock at a dollar": (STOCK, (), lose(100, 100 * (WORTH - 1))),
    "stock at its worth": (structs.replace(STOCK, price_usd_per_share=usd(91)), (), 0),
    "stock at its worth, for which no money moves here": (
        structs.replace(STOCK, holder_id=FOUNDER, price_usd_per_share=usd(91)),
        (),
        lose(100, 100 * WORTH),
    ),
    "an exercise for which no money moves here": (
        events.IssuerOptionExercised(
            **OF,
            exercise_id=id_of("exr", 1),
            option_id=OPTION.option_id,
            holder_id=FOUNDER,
            class_id="common",
            shares=40,
        ),
        (structs.replace(OPTION, holder_id=FOUNDER, exercise_price_usd=usd(50)),),
        ceil_cents(Fraction(940, 1_110) * 40 * 50),
    ),
    "stock by another act": (structs.replace(STOCK, cause=id_of("spl", 1)), (), 0),
    "stock beside what cost more": (
        STOCK,
        (structs.replace(STOCK, shares=1, price_usd_per_share=usd(999)),),
        ceil_cents(Fraction(900, 1_211) * 100 * 998),
    ),
    "an option": (OPTION, (), lose(40, 40 * (WORTH - 1))),
    "a warrant by its tranches": (WARRANT, (), lose(50, 30 * (WORTH - 1))),
    "a dear warrant": (structs.replace(WARRANT, tranches=()), (), 0),
    "a warrant whose price is fixed later": (
        structs.replace(WARRANT, tranches=(WARRANT.tranches[1], WarrantTranche(shares=30, later_price=LATER))),
        (),
        lose(50, 30 * WORTH),
    ),
    "a SAFE at a tenth": (sign(10_000), (), lose(111, 9_000)),
    "a SAFE at its worth": (sign(100_000), (), 0),
    "a SAFE without a cap": (sign(None), (), 0),
    "a SAFE at a usual discount": (sign(None, discount=usd("0.2")), (), 0),
    "a SAFE at half the price": (sign(None, discount=usd("0.5")), (), lose(2_000 / WORTH, 1_000)),
    "a SAFE at its worth and half the price": (sign(100_000, discount=usd("0.5")), (), lose(Fraction(111, 10), 1_000)),
    "a note that repays five times": (
        sign(None, matures_on=date(2028, 1, 1), repayment_multiple=usd(5)),
        (),
        lose(5_400 / WORTH, 4_400),
    ),
}


@pytest.mark.parametrize(("event", "given", "lost"), LOST.values(), ids=LOST)
def test_who_has_no_key_loses_its_part_of_what_others_get_for_less(event, given, lost):
    """One clerk issued a billion shares at 0.000001 to a mule: the founder's whole company, below any limit."""
    issuer = ISSUER.fold((*GIVEN, *given))
    assert find_lost(event, issuer, {FOUNDER}) == lost
    assert find_lost(event, issuer, set()) == 0


def test_its_own_stock_counts_at_what_it_is_worth_for_the_company():
    issuer = ISSUER.fold(GIVEN)
    named = {"transfer_id": id_of("trf", 1), "holder_id": FOUNDER, "holder_id_after": FUND, "class_id": "common"}
    handed = events.IssuerStockTransferred(**OF, **named, shares=900)
    given = find_given(handed, issuer, frozenset({COMPANY}), NOW.date(), least=find_share_worth(issuer))
    assert given == ceil_cents(900 * WORTH)
    assert find_given(handed, issuer, frozenset({COMPANY}), NOW.date()) is None


def test_what_a_sale_does_not_pay_it_of_its_worth_is_lost():
    sale, paid = (
        declare([Fraction(0)] * len(HOLDERS)),
        {"security": "common", "amount_exact": "9/10", "as_converted": False},
    )
    payouts = (
        Payout(holder_id=FOUNDER, amount_usd=Decimal("0.9"), cash_usd=Decimal("0.9"), **paid),
        Payout(holder_id=FUND, amount_usd=Decimal("0.1"), cash_usd=Decimal("0.1"), **paid),
    )
    sale = structs.replace(sale, waterfall=structs.replace(sale.waterfall, payouts=payouts))
    assert find_lost(sale, ISSUER.fold(GIVEN), {FOUNDER}) == ceil_cents(900 * WORTH - Fraction("0.9"))


def test_a_buyers_stock_pays_it_nothing_because_the_company_alone_says_what_that_is_worth():
    """One clerk sold a founder's company for stock of a buyer that nobody knows, at a price that it made up."""
    sale = declare([Fraction(0)] * len(HOLDERS))
    row = {"security": "common", "amount_exact": "900000/1", "as_converted": False, "buyer_shares": 900}
    payout = Payout(holder_id=FOUNDER, amount_usd=Decimal(900_000), cash_usd=Decimal(0), **row)
    sale = structs.replace(sale, waterfall=structs.replace(sale.waterfall, payouts=(payout,)))
    assert find_lost(sale, ISSUER.fold(GIVEN), {FOUNDER}) == ceil_cents(900 * WORTH)

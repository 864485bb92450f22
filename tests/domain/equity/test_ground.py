"""An agreement to a sale covers what comes close to it, and nothing that takes more from who gave it."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from events.financing import AssumedGrant, AssumedGrants, Payout, StockConsideration, Waterfall
from events.issuer import IssuerLiquidityDeclared
from marketplace.core.money import parse_ratio, render_ratio
from marketplace.domain.equity.ground import TOLERANCE, keep_agreements
from marketplace.domain.equity.issuer.issuer import ISSUER
from tests.domain.build import NOW, id_of
from tests.domain.issuer_samples import FORMED

HOLDERS = [id_of("pty", number) for number in range(1, 5)]
BUYER = id_of("pty", 9)
COMPANY = ISSUER.fold([FORMED])
AMOUNTS = st.lists(st.fractions(0, 10_000, max_denominator=1_000), min_size=4, max_size=4)
STOCK = StockConsideration(
    buyer="Buyer",
    price_usd_per_share=Decimal(1),
    exchange_ratio="1",
    buyer_shares=10_000,
    buyer_principal_usd=Decimal(0),
)


def declare(amounts, *, stock=None, cost=1_000, proceeds=50_000):
    payouts = tuple(
        Payout(
            holder_id=holder_id,
            security="common",
            amount_exact=render_ratio(amount),
            amount_usd=Decimal(0),
            as_converted=False,
            cash_usd=Decimal(0),
        )
        for holder_id, amount in zip(HOLDERS, amounts, strict=True)
    )
    waterfall = Waterfall(
        engine_version="1",
        proceeds_usd=Decimal(proceeds),
        instruments=(),
        price_per_common_share_exact="1",
        payouts=payouts,
        certificate_json="",
        stock=stock,
    )
    grants = (AssumedGrant(grant_id=id_of("grt", 1), cash_usd_max=Decimal(cost)),)
    return IssuerLiquidityDeclared(
        issuer_id=id_of("iss", 1),
        liquidity_id=id_of("liq", 1),
        kind="acquisition",
        waterfall=waterfall,
        pay_until=NOW,
        assumed=AssumedGrants(issuer_id=BUYER.replace("pty", "iss"), grants=grants),
    )


@given(AMOUNTS, AMOUNTS, st.fractions(0, Fraction(1, 400), max_denominator=10_000))
def test_an_agreement_covers_no_sale_that_pays_its_party_less_beyond_the_tolerance(before, other, less):
    after = [old * (1 - less) if index % 2 else new for index, (old, new) in enumerate(zip(before, other, strict=True))]
    agreed = frozenset({*HOLDERS[:3], BUYER})
    kept = keep_agreements([declare(before)], [declare(after)], agreed, COMPANY)
    assert kept <= agreed
    for holder_id, old, new in zip(HOLDERS, before, after, strict=True):
        assert (holder_id in kept) == (holder_id in agreed and new >= old * Fraction(999, 1_000))
    assert parse_ratio("1/1000") == TOLERANCE


def test_no_agreement_covers_other_terms_a_diluted_buyer_or_a_dearer_takeover():
    before, agreed = [Fraction(1)] * 4, frozenset({*HOLDERS, BUYER})
    diluted = structs.replace(STOCK, buyer_shares=10_011)
    assert keep_agreements([declare(before)], [declare(before, cost=1_002)], agreed, COMPANY) == agreed - {BUYER}
    assert keep_agreements([declare(before)], [declare(before, proceeds=49_999)], agreed, COMPANY) == frozenset()
    assert (
        keep_agreements([declare(before, stock=STOCK)], [declare(before, stock=diluted)], agreed, COMPANY)
        == frozenset()
    )
    assert keep_agreements([declare(before)], [declare(before)] * 2, agreed, COMPANY) == frozenset()
    assert keep_agreements([], [], agreed, COMPANY) == frozenset()

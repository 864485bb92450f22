"""No convention of a round is silent, and protections are applied in it as events; sales paid in stock."""

from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest

from events.financing import Investment, PayToPlay, PayToPlayDuty
from events.issuer import (
    IssuerConversionPriceAdjusted,
    IssuerDistributionPaid,
    IssuerProRataAnswered,
    IssuerStockClassCreated,
    IssuerStockConverted,
    IssuerStockIssued,
    IssuerStockTransferred,
)
from events.types import SafeTerms
from marketplace.domain.equity.issuer.commands import BuyerStock, PayDistribution
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.state import capitalization_of
from marketplace.equity.checker import verify
from tests.domain.issuer_samples import (
    ANGEL,
    COMPANY,
    FIN,
    FOUNDED,
    FOUNDERS_STOCK,
    FUND,
    LIQ,
    NOON,
    OF_ISS,
    SEED,
    close,
    converting,
    declare,
    list_owed,
    make_id,
    open_round,
    price,
    signed,
    stakeholder,
)
from tests.support.spec import Given

CONVENTIONS = (
    "pool_timing",
    "pricing_convention",
    "capitalization_definition",
    "share_rounding",
    "price_places",
    "price_rounding",
    "participation",
)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_missing_convention_is_refused_by_name(convention):
    refusal = (
        Given(ISSUER, *COMPANY)
        .when(open_round(**{convention: None}))
        .refused("missing_convention", f"/terms/{convention}")
    )
    assert refusal.facts["convention"] == convention
    assert convention in refusal.message


CONDITIONAL = [
    ("missing_convention", {"participation": "capped"}, "/terms/participation_cap_multiple"),
    ("missing_convention", {"price_protection": "weighted_average"}, "/terms/protection_basis"),
    ("participation_cap_unexpected", {"participation_cap_multiple": Decimal(3)}, "/terms/participation_cap_multiple"),
    (
        "protection_basis_unexpected",
        {"price_protection": "full_ratchet", "protection_basis": "outstanding"},
        "/terms/protection_basis",
    ),
    (
        "rounding_needs_percent_ownership",
        {"share_rounding": "floor_fixed_point", "pricing_convention": "dollars_invested"},
        "/terms/share_rounding",
    ),
    ("missing_convention", {"share_rounding": "floor_after_price"}, "/terms/conversion_price_places"),
    ("conversion_price_places_unexpected", {"conversion_price_places": 4}, "/terms/conversion_price_places"),
    (
        "price_places_out_of_range",
        {"share_rounding": "floor_after_price", "conversion_price_places": 1},
        "/terms/conversion_price_places",
    ),
]


@pytest.mark.parametrize(("code", "changes", "pointer"), CONDITIONAL)
def test_a_convention_that_another_calls_for_is_refused_by_name(code, changes, pointer):
    Given(ISSUER, *COMPANY).when(open_round(**changes)).refused(code, pointer)


def test_every_convention_changes_the_round_that_is_recorded():
    """The price depends on each: the same company and money, one convention at a time.

    What a cap is measured against is an instrument's own, and not a convention of the round.
    """
    prices = set()
    for changes in (
        {},
        {"pool_timing": "post_money"},
        {"pricing_convention": "dollars_invested"},
        {"pricing_convention": "pre_money_method"},
    ):
        instrument = converting(1, 1_000_000)
        opened = [*COMPANY, *signed(instrument)]
        opened += ISSUER.decide(open_round(pool_post_money=Decimal("0.2"), **changes), ISSUER.fold(opened))
        (event,) = ISSUER.decide(price(instrument), ISSUER.fold(opened))
        assert verify(msgspec.json.decode(event.pricing.certificate_json)) == []
        prices.add(event.pricing.price_exact)
    assert len(prices) == 4


def protected(protection, basis=None):
    """A company with 1,000,000 shares of a seed class at 0.50 dollars, under a price protection."""
    seed = {**SEED, "price_protection": protection, "protection_basis": basis}
    return [
        *COMPANY[:5],
        IssuerStockClassCreated(**seed),
        *COMPANY[6:],
        stakeholder(FUND, "Fund", "investor"),
        IssuerStockIssued(
            **{
                **FOUNDERS_STOCK,
                "security_id": make_id("sec", 2),
                "holder_id": FUND,
                "class_id": "seed",
                "shares": 1_000_000,
                "price_usd_per_share": Decimal("0.5"),
            }
        ),
    ]


def price_after(opened):
    return price(at=opened.pro_rata_until or NOON)


def finance(events, **changes):
    """Return the events of a round that was priced and closed on a company, and its pricing.

    Who may join it by right or by duty is silent until its time is over.
    """
    opened = [*events, *ISSUER.decide(open_round(**changes), ISSUER.fold(events))]
    pricing_at = price_after(opened[-1])
    opened += ISSUER.decide(pricing_at, ISSUER.fold(opened))
    pricing = opened[-1].pricing
    assert verify(msgspec.json.decode(pricing.certificate_json)) == []
    return pricing, list(ISSUER.decide(close(at=pricing_at.at), ISSUER.fold(opened))), opened


DOWN = {"pre_money_usd": Decimal(2_000_000), "investments": (Investment(holder_id=ANGEL, amount_usd=Decimal(500_000)),)}


def test_a_full_ratchet_lowers_the_conversion_price_to_the_price_of_the_round():
    pricing, closing, opened = finance(protected("full_ratchet"), **DOWN)
    (adjusted,) = [event for event in closing if isinstance(event, IssuerConversionPriceAdjusted)]
    assert adjusted.conversion_price_usd_before == "1/2"
    assert adjusted.conversion_price_usd == pricing.price_exact
    state = ISSUER.fold([*opened, *closing])
    assert capitalization_of(state).preferred[0].class_id == "seed"
    ratio = Fraction(1, 2) / Fraction(pricing.price_exact)
    assert capitalization_of(state).outstanding_as_converted == 8_000_000 + 1_000_000 * ratio + sum(
        allotment.shares for allotment in pricing.allotments
    )
    assert capitalization_of(state).fully_diluted.__floor__() == pricing.post_money_shares


def test_a_broad_base_protects_less_than_a_narrow_one():
    prices = {}
    for basis in ("outstanding", "outstanding_and_options", "fully_diluted"):
        _, closing, _ = finance(protected("weighted_average", basis), **DOWN)
        (adjusted,) = [event for event in closing if isinstance(event, IssuerConversionPriceAdjusted)]
        prices[basis] = Fraction(adjusted.conversion_price_usd)
    assert prices["outstanding"] < prices["outstanding_and_options"] < prices["fully_diluted"] < Fraction(1, 2)


def test_a_dearer_round_adjusts_nothing():
    pricing, closing, _ = finance(protected("full_ratchet"))
    assert [each.triggered for each in pricing.adjustments] == [False]
    assert not [event for event in closing if isinstance(event, IssuerConversionPriceAdjusted)]


def play(obligation, common="1", holder_id=FUND, paid_by=(), **changes):
    duty = PayToPlayDuty(holder_id=holder_id, class_id="seed", obligation_usd=Decimal(obligation), paid_by=paid_by)
    return {"pay_to_play": PayToPlay(duties=(duty,), class_id_after="common", common_per_preferred=Decimal(common))} | (
        changes
    )


def test_who_pays_half_keeps_half_of_its_preferred_stock():
    invested = (Investment(holder_id=FUND, amount_usd=Decimal(1_000_000)),)
    pricing, closing, opened = finance(protected(None), **play(2_000_000, "0.1", investments=invested))
    (forfeit,) = pricing.forfeits
    assert (forfeit.shares, forfeit.shares_exact, forfeit.shares_after) == (500_000, "50000/1", 50_000)
    (converted,) = [event for event in closing if isinstance(event, IssuerStockConverted)]
    assert (converted.reason, converted.shares, converted.shares_after) == ("pay_to_play", 500_000, 50_000)
    state = ISSUER.fold([*opened, *closing])
    assert state.holdings[FUND, "seed"] == 500_000
    assert state.holdings[FUND, "common"] == 50_000
    assert Fraction(pricing.capitalization_exact) == 10_000_000 - 450_000
    assert capitalization_of(state).fully_diluted == pricing.post_money_shares


def test_who_pays_all_keeps_all():
    invested = (Investment(holder_id=FUND, amount_usd=Decimal(2_000_000)),)
    pricing, closing, _ = finance(protected(None), **play(2_000_000, investments=invested))
    assert pricing.forfeits == ()
    assert not [event for event in closing if isinstance(event, IssuerStockConverted)]


def test_a_duty_whose_money_buys_no_whole_share_is_met():
    """A duty of 1.00 was paid in full, bought no share at 1.61, and cost the payer its preferred stock."""
    events = protected(None)
    lead = (Investment(holder_id=ANGEL, amount_usd=Decimal(1_000_000)),)
    terms = play(1, "0.01", share_rounding="floor", investments=lead)
    opened = [*events, *ISSUER.decide(open_round(**terms), ISSUER.fold(events))]
    answer = IssuerProRataAnswered(**OF_ISS, financing_id=FIN, holder_id=FUND, amount_usd=Decimal(1))
    opened += [answer]
    priced = ISSUER.decide(price_after(opened[-2]), ISSUER.fold(opened))
    pricing = priced[0].pricing
    assert FUND not in {each.holder_id for each in pricing.allotments}, "its money buys no share, and does not move"
    assert pricing.forfeits == ()
    closing = ISSUER.decide(close(at=price_after(opened[-2]).at), ISSUER.fold([*opened, *priced]))
    assert not [event for event in closing if isinstance(event, IssuerStockConverted)]


@pytest.mark.parametrize(
    ("paid", "paid_by", "forfeited"),
    [
        ({ANGEL: 2_000_000}, (), 1_000_000),
        ({ANGEL: 2_000_000}, (ANGEL,), 0),
        ({ANGEL: 500_000, FUND: 1_000_000}, (ANGEL,), 250_000),
    ],
)
def test_money_of_an_affiliate_counts_for_a_duty_that_names_it(paid, paid_by, forfeited):
    invested = tuple(Investment(holder_id=name, amount_usd=Decimal(usd)) for name, usd in paid.items())
    pricing, _, _ = finance(protected(None), **play(2_000_000, paid_by=paid_by, investments=invested))
    assert sum(each.shares for each in pricing.forfeits) == forfeited


def test_stock_that_its_holder_hands_on_leaves_the_duty_and_the_round_is_priced_again():
    invested = (Investment(holder_id=ANGEL, amount_usd=Decimal(2_000_000)),)
    _, _, opened = finance(protected(None), **play(2_000_000, investments=invested))
    handed = IssuerStockTransferred(
        **OF_ISS,
        transfer_id=make_id("trf", 1),
        holder_id=FUND,
        holder_id_after=ANGEL,
        class_id="seed",
        shares=400_000,
    )
    later = opened[-1].close_until
    Given(ISSUER, *opened, handed).when(close(at=later)).refused("financing_stale")
    again = ISSUER.decide(price(at=later), ISSUER.fold([*opened, handed]))[-1].pricing
    assert [(each.holder_id, each.shares) for each in again.forfeits] == [(FUND, 600_000)]


PLAY_REFUSED = [
    (
        "duties_out_of_range",
        {"pay_to_play": PayToPlay(duties=(), class_id_after="common", common_per_preferred=Decimal(1))},
    ),
    ("amount_not_positive", play(0)),
    ("duty_repeated", play(1, paid_by=(ANGEL, ANGEL))),
    ("amount_not_positive", play(1, "0")),
    (
        "duty_repeated",
        {
            "pay_to_play": PayToPlay(
                duties=(PayToPlayDuty(holder_id=FUND, class_id="seed", obligation_usd=Decimal(1)),) * 2,
                class_id_after="common",
                common_per_preferred=Decimal(1),
            )
        },
    ),
]


@pytest.mark.parametrize("name", ["class_id", "class_id_after"])
def test_pay_to_play_on_a_class_that_does_not_exist_opens_no_round(name):
    """The round was opened, and could never be priced."""
    known = play(1)["pay_to_play"]
    (duty,) = known.duties
    if name == "class_id":
        terms = msgspec.structs.replace(known, duties=(msgspec.structs.replace(duty, class_id="gold"),))
    else:
        terms = msgspec.structs.replace(known, class_id_after="gold")
    Given(ISSUER, *COMPANY).when(open_round(pay_to_play=terms)).refused("stock_class_unknown")


@pytest.mark.parametrize(("code", "changes"), PLAY_REFUSED)
def test_pay_to_play_refused(code, changes):
    Given(ISSUER, *COMPANY).when(open_round(**changes)).refused(code)


def test_pay_to_play_on_a_class_that_is_not_preferred_is_refused_when_priced():
    events = protected(None)
    wrong = PayToPlayDuty(holder_id=FUND, class_id="common", obligation_usd=Decimal(1))
    terms = {"pay_to_play": PayToPlay(duties=(wrong,), class_id_after="common", common_per_preferred=Decimal(1))}
    opened = [*events, *ISSUER.decide(open_round(**terms), ISSUER.fold(events))]
    Given(ISSUER, *opened).when(price()).refused("stock_class_not_preferred")


BUYER = BuyerStock(buyer="Meridian Compute plc", price_usd_per_share=Decimal("12.50"))
SAFE = converting(1, 1_000_000)


def test_a_sale_for_stock_states_the_exchange_ratio_and_pays_fractions_in_cash():
    events = [*COMPANY, *signed(SAFE)]
    command = declare(40_000_000, SAFE)
    command = msgspec.structs.replace(command, stock=BUYER)
    (declared,) = ISSUER.decide(command, ISSUER.fold(events))
    waterfall = declared.waterfall
    assert declared.kind == "stock_acquisition"
    assert verify(msgspec.json.decode(waterfall.certificate_json)) == []
    per_share = Fraction(waterfall.price_per_common_share_exact)
    assert Fraction(waterfall.stock.exchange_ratio) == per_share / Fraction("12.5")
    for payout in waterfall.payouts:
        value = payout.buyer_shares * Fraction("12.5") + Fraction(payout.cash_usd)
        assert 0 <= Fraction(payout.amount_exact) - value < Fraction(1, 100)
        assert payout.cash_usd < BUYER.price_usd_per_share
    (paid,) = ISSUER.decide(
        PayDistribution(**OF_ISS, liquidity_id=LIQ, outstanding=list_owed(SAFE), at=NOON),
        ISSUER.fold([*events, declared]),
    )
    assert isinstance(paid, IssuerDistributionPaid)
    assert paid.amount_usd == sum(payout.cash_usd for payout in waterfall.payouts)


def test_a_worthless_share_of_the_buyer_is_refused():
    command = msgspec.structs.replace(declare(1), stock=BuyerStock(buyer="x", price_usd_per_share=Decimal(0)))
    Given(ISSUER, *COMPANY).when(command).refused("amount_not_positive", "/stock/price_usd_per_share")


@pytest.mark.parametrize(
    ("terms", "principal", "pre_money", "shares", "price_usd", "converted"),
    [
        ({"valuation_cap_usd": Decimal(10_000_000)}, 2_500_000, 20_000_000, 9_500_000, "1.0526", 2_375_071),
        ({"discount": Decimal("0.2")}, 20_000, 1_900_000, 10_000_000, "0.1520", 131_578),
    ],
)
def test_both_published_tables_are_reached_by_the_terms_of_a_round(
    terms, principal, pre_money, shares, price_usd, converted
):
    """Two places, as the round's price has, would give 1.05 and 0.15."""
    instrument = converting(1, principal, SafeTerms(conversion_timing="pre_money", **terms))
    stock = IssuerStockIssued(**{**FOUNDERS_STOCK, "shares": shares})
    conventions = {
        "pre_money_usd": Decimal(pre_money),
        "pricing_convention": "pre_money_method",
        "capitalization_definition": "existing_fully_diluted",
        "pool_post_money": Decimal(0),
        "share_rounding": "floor_after_price",
        "price_places": 2,
        "price_rounding": "half_up",
        "conversion_price_places": 4,
    }
    events = [*FOUNDED, stock, *signed(instrument)]
    events += ISSUER.decide(open_round(**conventions), ISSUER.fold(events))
    [conversion] = ISSUER.decide(price(instrument), ISSUER.fold(events))[-1].pricing.conversions
    assert (str(conversion.price_rounded_usd), conversion.shares) == (price_usd, converted)


def test_a_rounded_conversion_price_divides_the_principal_and_is_the_price_of_its_class():
    instrument = converting(1, 1_000_000)
    events = [*COMPANY, *signed(instrument)]
    rounding = {"share_rounding": "floor_after_price", "price_places": 2, "conversion_price_places": 3}
    events += ISSUER.decide(open_round(**rounding), ISSUER.fold(events))
    events += ISSUER.decide(price(instrument), ISSUER.fold(events))
    pricing = events[-1].pricing
    assert verify(msgspec.json.decode(pricing.certificate_json)) == []
    [conversion] = pricing.conversions
    rounded = conversion.price_rounded_usd
    assert (rounded.as_tuple().exponent, pricing.price_usd_per_share.as_tuple().exponent) == (-3, -2)
    assert conversion.shares == Fraction(1_000_000) // Fraction(rounded)
    closing = ISSUER.decide(close(instrument), ISSUER.fold(events))
    [issued] = [e for e in closing if isinstance(e, IssuerStockIssued) and e.holder_id == instrument.holder_id]
    [created] = [e for e in closing if isinstance(e, IssuerStockClassCreated) and e.class_id == issued.class_id]
    assert created.price_per_share_usd == rounded == issued.price_usd_per_share
    assert issued.shares * rounded <= 1_000_000, "no preference above the principal"

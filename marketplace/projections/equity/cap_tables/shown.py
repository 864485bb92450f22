"""Rounds and sales as views show them: decimals, and exact fractions in members that end in ``_exact``."""

from decimal import Decimal

from events.financing import Conversion, PriceAdjustment, RoundPricing, StockConsideration, Waterfall
from marketplace.core.money import parse_ratio, round_ratio, round_shares
from marketplace.projections.engine.decimals import show_decimals
from marketplace.projections.views.equity import (
    ConsiderationView,
    PriceAdjustmentView,
    PricingView,
    RoundConversionView,
    WaterfallView,
)


def show_pricing(pricing: RoundPricing) -> PricingView:
    """Return the view of a priced round."""
    return show_decimals(
        PricingView,
        pricing,
        capitalization_shares=round_shares(parse_ratio(pricing.capitalization_exact)),
        conversions=tuple(_show_conversion(each) for each in pricing.conversions),
        adjustments=tuple(_show_adjustment(each) for each in pricing.adjustments),
    )


def _show_conversion(conversion: Conversion) -> RoundConversionView:
    return show_decimals(
        RoundConversionView,
        conversion,
        "price_usd_per_share",
        amount_usd=_show(conversion.amount_exact),
        price_exact=conversion.price_usd_per_share,
        alternatives={branch: _show(price) for branch, price in conversion.alternatives.items()},
    )


def _show_adjustment(adjustment: PriceAdjustment) -> PriceAdjustmentView:
    return show_decimals(
        PriceAdjustmentView,
        adjustment,
        "conversion_price_usd_before",
        "conversion_price_usd",
        conversion_price_exact=adjustment.conversion_price_usd,
        as_converted_before=round_shares(parse_ratio(adjustment.as_converted_before)),
        as_converted=round_shares(parse_ratio(adjustment.as_converted)),
    )


def show_waterfall(waterfall: Waterfall) -> WaterfallView:
    """Return the view of a sale's waterfall."""
    return show_decimals(
        WaterfallView,
        waterfall,
        price_per_common_share_usd=_show(waterfall.price_per_common_share_exact),
        stock=None if waterfall.stock is None else _show_stock(waterfall.stock),
    )


def _show_stock(stock: StockConsideration) -> ConsiderationView:
    preference = stock.buyer_preference_exact
    return show_decimals(
        ConsiderationView,
        stock,
        "exchange_ratio",
        exchange_ratio_exact=stock.exchange_ratio,
        buyer_preference_usd=None if preference is None else _show(preference),
    )


def _show(ratio: str) -> Decimal:
    return round_ratio(parse_ratio(ratio))

"""Splits, consolidations and a sale that is paid in stock: share counts change, ownership does not."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from marketplace.core.rounding import RoundingMode, round_places, round_whole
from marketplace.equity.exact import Exact, positive
from marketplace.equity.model import Capitalization
from marketplace.equity.waterfall import Payout


@dataclass(frozen=True, slots=True)
class StockPayout:
    """What one holder gets in a sale for stock: whole shares of the buyer, and cash for the fraction."""

    holder_id: str
    item_id: str
    shares_exact: Fraction
    shares: int
    cash_usd: Decimal


def split_shares(capitalization: Capitalization, ratio: Exact, fractions: RoundingMode) -> Capitalization:
    """Multiply every share count and divide every price: 10 splits each share into ten, 1/5 joins five into one.

    Ownership and preferences do not move, except by the fractions of a share that the rounding takes or gives.

    Args:
        capitalization: Before the split.
        ratio: New shares for each old one; above zero.
        fractions: What becomes of a fraction of a share, in each holding; a charter states it.
    """
    factor = positive(ratio, "ratio")

    def counted(shares: Exact) -> int:
        return round_whole(Fraction(shares) * factor, fractions)

    def priced(price: Exact | None) -> Fraction | None:
        return None if price is None else Fraction(price) / factor

    preferred = (
        replace(
            series,
            issue_price_usd=Fraction(series.issue_price_usd) / factor,
            conversion_price_usd=priced(series.conversion_price_usd),
            accrued_dividend_usd=Fraction(series.accrued_dividend_usd) / factor,
        )
        for series in capitalization.preferred
    )
    return Capitalization(
        holdings=tuple(replace(holding, shares=counted(holding.shares)) for holding in capitalization.holdings),
        preferred=tuple(preferred),
        options_granted=counted(capitalization.options_granted),
        options_promised=counted(capitalization.options_promised),
        options_available=counted(capitalization.options_available),
        warrants=counted(capitalization.warrants),
    )


def exchange_ratio(price_per_share_usd: Exact, buyer_price_usd: Exact) -> Fraction:
    """Compute the buyer's shares for one share sold, exact."""
    return positive(price_per_share_usd, "price_per_share_usd") / positive(buyer_price_usd, "buyer_price_usd")


def paid_in_stock(payouts: Sequence[Payout], buyer_price_usd: Exact) -> tuple[StockPayout, ...]:
    """Turn a sale's payouts into the buyer's stock at an agreed price; cash pays fractions, floored to the cent."""
    price = positive(buyer_price_usd, "buyer_price_usd")
    rows: list[StockPayout] = []
    for payout in payouts:
        shares = payout.amount_usd_exact / price
        whole = round_whole(shares, "floor")
        cash = round_places((shares - whole) * price, 2, "floor")
        rows.append(StockPayout(payout.holder_id, payout.item_id, shares, whole, cash))
    return tuple(rows)

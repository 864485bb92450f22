"""Price protection of preferred stock outside a round: the effect of one issue on each protected series.

Shares are counted once, before everything that the issue triggers. The adjustments therefore do not depend on each
other or on their order (NVCA model certificate of incorporation, October 2025, 4.4.4).
"""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from marketplace.core.errors import Refusal
from marketplace.core.rounding import round_places
from marketplace.equity.capitalization import check_capitalization, protection_basis_shares
from marketplace.equity.exact import Exact, not_negative, positive
from marketplace.equity.model import Capitalization, PreferredClass, PriceAdjustment

NVCA_PRICE_PLACES = 4


def adjusted_conversion_price(
    conversion_price_usd: Fraction, issue_shares: Fraction, consideration_usd: Fraction, basis_shares: Fraction | None
) -> Fraction:
    """Compute a conversion price after an issue; it never rises.

    Args:
        conversion_price_usd: The series' price before the issue, ``CP1``.
        issue_shares: Shares issued, as converted, ``C``.
        consideration_usd: What the company received for all of them.
        basis_shares: What a weighted average counts before the issue, ``A``; None for a full ratchet.

    Raises:
        Refusal: ``ratchet_without_price`` for a full ratchet if the company received nothing.
    """
    issue_price = consideration_usd / issue_shares
    if issue_price >= conversion_price_usd:
        return conversion_price_usd
    if basis_shares is None:
        if issue_price == 0:
            raise Refusal(
                "ratchet_without_price",
                "the shares were issued for nothing, so a full ratchet has no price to lower to; state the price paid",
            )
        return issue_price
    would_have_bought = consideration_usd / conversion_price_usd
    return conversion_price_usd * (basis_shares + would_have_bought) / (basis_shares + issue_shares)


def price_after_nvca(conversion_price_usd: Fraction) -> Decimal:
    """Round a conversion price to the nearest one-hundredth of a cent, as the NVCA model charter prints it."""
    return round_places(conversion_price_usd, NVCA_PRICE_PLACES, "half_up")


def protect(
    capitalization: Capitalization, issue_shares: Exact, consideration_usd: Exact, *, exempted: bool
) -> tuple[PriceAdjustment, ...]:
    """Compute the adjustment of every protected series after an issue.

    Args:
        capitalization: The company immediately before the issue.
        issue_shares: Shares issued, as converted.
        consideration_usd: What the company received for them.
        exempted: The charter's decision on this issue; an exempted one triggers nothing.

    Returns:
        One adjustment for each series with `price_protection`, in order.

    Raises:
        Refusal: Those of `check_capitalization`; ``not_positive``, ``negative``; ``missing_convention`` for a weighted
            average without its basis; ``ratchet_without_price``.
    """
    check_capitalization(capitalization)
    shares = positive(issue_shares, "issue_shares")
    received = not_negative(consideration_usd, "consideration_usd")
    return tuple(
        _adjust(capitalization, series, shares, received, exempted=exempted)
        for series in capitalization.preferred
        if series.price_protection is not None
    )


def after_adjustment(capitalization: Capitalization, adjustments: tuple[PriceAdjustment, ...]) -> Capitalization:
    """Return the capitalization with adjusted conversion prices; preferences do not change."""
    prices = {each.class_id: each.conversion_price_after_usd for each in adjustments}
    preferred = (
        replace(series, conversion_price_usd=prices.get(series.class_id, series.conversion_price_usd))
        for series in capitalization.preferred
    )
    return replace(capitalization, preferred=tuple(preferred))


def _adjust(
    capitalization: Capitalization, series: PreferredClass, shares: Fraction, received: Fraction, *, exempted: bool
) -> PriceAdjustment:
    stated = series.issue_price_usd if series.conversion_price_usd is None else series.conversion_price_usd
    before = Fraction(stated)
    basis = None
    if series.price_protection == "weighted_average":
        if series.protection_basis is None:
            raise Refusal(
                "missing_convention",
                f"{series.class_id} has a weighted average without protection_basis; state what it counts",
                pointer="/protection_basis",
                convention="protection_basis",
            )
        basis = protection_basis_shares(capitalization, series.protection_basis)
    after = before if exempted else adjusted_conversion_price(before, shares, received, basis)
    held = capitalization.shares_of(series.class_id) * series.conversion_ratio
    return PriceAdjustment(
        class_id=series.class_id,
        triggered=after < before,
        conversion_price_before_usd=before,
        conversion_price_after_usd=after,
        as_converted_before=held,
        as_converted_after=held * before / after,
    )

"""Split proceeds once every election is known: tiers by seniority first, then one price per common share.

The price of a common share is the one at which all claims on the residual sum to the residual. That sum is a piecewise
linear function of the price (options start at their strike, capped participation stops at its limit), so the price
follows exactly from its breakpoints.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from marketplace.equity.exact import ZERO
from marketplace.equity.liquidation import Choice, ExitClaim, Sale


class Split(NamedTuple):
    """The split of a sale's proceeds, in exact dollars.

    Attributes:
        claims: Dollars of each claim.
        shares: Common shares that each claim has or converts into.
        options: Dollars of each option grant, net of its strike.
        common: Dollars of the common stock that was outstanding before.
        price_usd: Price of a common share.
        unclaimed: Dollars that nobody has a right to.
    """

    claims: tuple[Fraction, ...]
    shares: tuple[Fraction, ...]
    options: tuple[Fraction, ...]
    common: Fraction
    price_usd: Fraction
    unclaimed: Fraction


class _Segment(NamedTuple):
    """Shares that receive the price above `start`, up to `limit`."""

    shares: Fraction
    start: Fraction
    limit: Fraction | None

    def asks(self, price: Fraction) -> Fraction:
        asked = self.shares * max(ZERO, price - self.start)
        return asked if self.limit is None else min(asked, self.limit)

    def breaks(self) -> Iterable[Fraction]:
        yield self.start
        if self.limit is not None and self.shares:
            yield self.start + self.limit / self.shares


def split(sale: Sale, choices: Sequence[Choice]) -> Split:
    """Split the proceeds of a sale under given elections, exactly; payments and `unclaimed` sum to the proceeds."""
    held = _pay_tiers(sale, choices)
    residual = sale.proceeds_usd - sum(held, ZERO)
    shares = conversion_shares(sale, choices)
    discounted, residual = _pay_discounted(sale, choices, residual)
    segments = [
        _segment(claim, choice, count, paid) for claim, choice, count, paid in _zip(sale, choices, shares, held)
    ]
    options = [_Segment(Fraction(grant.shares), Fraction(grant.strike_usd), None) for grant in sale.options]
    common = _Segment(sale.common_shares, ZERO, None)
    price = _clearing_price([*segments, *options, common], residual)
    paid = [
        before + dollars + segment.asks(price)
        for before, dollars, segment in zip(held, discounted, segments, strict=True)
    ]
    paid_options = [segment.asks(price) for segment in options]
    paid_common = common.asks(price)
    unclaimed = sale.proceeds_usd - sum(paid, ZERO) - sum(paid_options, ZERO) - paid_common
    return Split(tuple(paid), tuple(shares), tuple(paid_options), paid_common, price, unclaimed)


def conversion_shares(sale: Sale, choices: Sequence[Choice]) -> list[Fraction]:
    """Count the common shares that each claim has under given elections.

    The cap of a post-money SAFE is divided by the liquidity capitalization of Y Combinator's form v1.2: common stock,
    options, and converting securities that do not take their preference. Other caps are divided by all stock as
    converted and options.
    """
    base = sale.common_shares + sale.option_shares
    every = base + sum((claim.shares for claim in sale.claims), ZERO)
    fixed: list[Fraction] = []
    inside = ZERO
    for claim, choice in zip(sale.claims, choices, strict=True):
        counted = claim.shares if claim.kind == "preferred" and (choice == "convert" or claim.participates) else ZERO
        if choice == "convert" and claim.cap_part is not None:
            if claim.counts_conversions:
                inside += claim.cap_part
            else:
                counted = claim.cap_part * every
        fixed.append(counted)
    capitalization = (base + sum(fixed, ZERO)) / (1 - inside)
    return [
        (claim.cap_part or ZERO) * capitalization if choice == "convert" and claim.counts_conversions else counted
        for claim, choice, counted in zip(sale.claims, choices, fixed, strict=True)
    ]


def _pay_tiers(sale: Sale, choices: Sequence[Choice]) -> list[Fraction]:
    paid = [ZERO for _ in sale.claims]
    left = sale.proceeds_usd
    for rank in sorted({claim.seniority for claim in sale.claims}):
        tier = [
            index
            for index, claim in enumerate(sale.claims)
            if claim.seniority == rank and choices[index] == "hold" and claim.hold_usd
        ]
        owed = sum((sale.claims[index].hold_usd for index in tier), ZERO)
        for index in tier:
            paid[index] = sale.claims[index].hold_usd * min(Fraction(1), left / owed)
        left -= sum((paid[index] for index in tier), ZERO)
    return paid


def _pay_discounted(sale: Sale, choices: Sequence[Choice], residual: Fraction) -> tuple[list[Fraction], Fraction]:
    """Pay those who take common stock at a discount to the sale's price. Their stock is worth a fixed amount."""
    owed = [
        (claim.discounted_usd or ZERO) if choice == "convert_at_discount" else ZERO
        for claim, choice in zip(sale.claims, choices, strict=True)
    ]
    total = sum(owed, ZERO)
    if total == 0:
        return owed, residual
    part = min(Fraction(1), residual / total)
    return [part * each for each in owed], residual - part * total


def _segment(claim: ExitClaim, choice: Choice, shares: Fraction, paid: Fraction) -> _Segment:
    if choice == "hold" and not claim.participates:
        return _Segment(ZERO, ZERO, None)
    limit = None
    if choice == "hold" and claim.participation_limit_usd is not None:
        limit = max(ZERO, claim.participation_limit_usd - paid)
    return _Segment(shares, ZERO, limit)


def _clearing_price(segments: Sequence[_Segment], residual: Fraction) -> Fraction:
    breaks = sorted({price for segment in segments for price in segment.breaks()})
    price, asked = ZERO, ZERO
    for upper in breaks[1:]:
        at_upper = sum((segment.asks(upper) for segment in segments), ZERO)
        if at_upper >= residual:
            if at_upper == asked:
                return price
            return price + (residual - asked) * (upper - price) / (at_upper - asked)
        price, asked = upper, at_upper
    slope = sum((segment.asks(price + 1) - segment.asks(price) for segment in segments), ZERO)
    return price + (residual - asked) / slope if slope else price


def _zip(
    sale: Sale, choices: Sequence[Choice], shares: Sequence[Fraction], held: Sequence[Fraction]
) -> Iterable[tuple[ExitClaim, Choice, Fraction, Fraction]]:
    return zip(sale.claims, choices, shares, held, strict=True)

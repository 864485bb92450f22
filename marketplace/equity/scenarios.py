"""What if: the same company priced or sold over a range, as points ready to plot; nothing here is a fact of the ledger.

A point that the engine refuses (a stack that asks for more than the whole company at a low price, say) stays in the
series with its reason, so that a plot shows where the range ends.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from marketplace.core.errors import Refusal
from marketplace.equity.exact import ZERO, Exact
from marketplace.equity.model import Capitalization, Note, RoundResult, RoundTerms, Safe
from marketplace.equity.rounds import price_round
from marketplace.equity.waterfall import Distribution

POINTS_MIN = 2
POINTS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class RoundPoint:
    """One pre-money: the price, who owns what after the round, and how far each holder was diluted.

    Attributes:
        ownership: By holder, of the fully diluted company after the round; the available pool is ``pool``, options and
            warrants outstanding or promised are ``options``.
        dilution: By holder with stock before the round: the part of its former ownership that is gone.
        refused: Code of the refusal, and then nothing else is set.
    """

    pre_money_usd: Fraction
    price_usd: Fraction | None = None
    ownership: tuple[tuple[str, Fraction], ...] = ()
    dilution: tuple[tuple[str, Fraction], ...] = ()
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class ExitPoint:
    """One sale: payouts by holder, the common price, and who converted."""

    proceeds_usd: Fraction
    price_per_common_share_usd: Fraction | None = None
    payouts: tuple[tuple[str, Fraction], ...] = ()
    converted: tuple[str, ...] = ()
    refused: str | None = None


def price_range(low: Exact, high: Exact, points: int) -> tuple[Fraction, ...]:
    """Spread points evenly from low to high, both included.

    Raises:
        Refusal: ``range_impossible`` unless low is below high and points are from 2 to 1,000.
    """
    first, last = Fraction(low), Fraction(high)
    if not first < last or not POINTS_MIN <= points <= POINTS_MAX:
        raise Refusal(
            "range_impossible",
            f"{points} points from {low} to {high}; give low below high, and {POINTS_MIN} to {POINTS_MAX} points",
        )
    return tuple(first + (last - first) * step / (points - 1) for step in range(points))


def round_scenarios(
    capitalization: Capitalization,
    safes: Sequence[Safe],
    terms: RoundTerms,
    pre_money_usd: Sequence[Exact],
    notes: Sequence[Note] = (),
) -> tuple[RoundPoint, ...]:
    """Price the same round at each pre-money.

    Raises:
        Refusal: ``too_many_points`` above 1,000; a refusal at a single point is in the point.
    """
    _limit(pre_money_usd)
    points: list[RoundPoint] = []
    for value in pre_money_usd:
        try:
            result = price_round(capitalization, safes, replace(terms, pre_money_usd=value), notes)
        except Refusal as refusal:
            points.append(RoundPoint(Fraction(value), refused=refusal.code))
            continue
        after = ownership_after(capitalization, result)
        points.append(
            RoundPoint(
                Fraction(value),
                result.price_usd,
                tuple(sorted(after.items())),
                tuple(sorted(_dilution(capitalization, after).items())),
            )
        )
    return tuple(points)


def exit_scenarios(sell: Callable[[Fraction], Distribution], proceeds_usd: Sequence[Exact]) -> tuple[ExitPoint, ...]:
    """Sell the same company at each price.

    Args:
        sell: `waterfall.distribute` with everything but the proceeds filled in.
        proceeds_usd: At most 1,000 prices.

    Raises:
        Refusal: ``too_many_points``; a refusal at a single point is in the point.
    """
    _limit(proceeds_usd)
    points: list[ExitPoint] = []
    for value in proceeds_usd:
        try:
            result = sell(Fraction(value))
        except Refusal as refusal:
            points.append(ExitPoint(Fraction(value), refused=refusal.code))
            continue
        payouts: dict[str, Fraction] = {}
        for each in result.payouts:
            payouts[each.holder_id] = payouts.get(each.holder_id, ZERO) + each.amount_usd_exact
        converted = tuple(item for each in result.elections if each.choice != "hold" for item in each.item_ids)
        points.append(
            ExitPoint(Fraction(value), result.price_per_common_share_usd, tuple(sorted(payouts.items())), converted)
        )
    return tuple(points)


def ownership_after(capitalization: Capitalization, result: RoundResult) -> dict[str, Fraction]:
    """Work out each holder's part of the fully diluted company after a round; the parts sum to one."""
    ratios = {
        each.class_id: each.as_converted_after / capitalization.shares_of(each.class_id)
        for each in result.adjustments
        if each.as_converted_before
    }
    ratios = {series.class_id: series.conversion_ratio for series in capitalization.preferred} | ratios
    shares: dict[str, Fraction] = {}

    def add(holder: str, count: Fraction) -> None:
        if count:
            shares[holder] = shares.get(holder, ZERO) + count

    for holding in capitalization.holdings:
        add(holding.holder_id, Fraction(holding.shares) * ratios.get(holding.class_id, Fraction(1)))
    for conversion in result.conversions:
        add(conversion.holder_id, conversion.shares_exact)
    for bought in result.new_money:
        add(bought.holder_id, bought.shares_exact)
    options = capitalization.options_granted, capitalization.options_promised, capitalization.warrants
    add("options", sum(map(Fraction, options), ZERO))
    add("pool", Fraction(capitalization.options_available) + result.pool_increase_exact)
    return {holder: count / result.fully_diluted_exact for holder, count in shares.items()}


def _dilution(capitalization: Capitalization, after: dict[str, Fraction]) -> dict[str, Fraction]:
    ratios = {series.class_id: series.conversion_ratio for series in capitalization.preferred}
    before: dict[str, Fraction] = {}
    for holding in capitalization.holdings:
        count = Fraction(holding.shares) * ratios.get(holding.class_id, Fraction(1))
        before[holding.holder_id] = before.get(holding.holder_id, ZERO) + count / capitalization.fully_diluted
    return {holder: 1 - after.get(holder, ZERO) / part for holder, part in before.items() if part}


def _limit(values: Sequence[Exact]) -> None:
    if len(values) > POINTS_MAX:
        raise Refusal("too_many_points", f"{len(values)} points exceed the limit of {POINTS_MAX}")

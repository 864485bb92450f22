"""Points of what-if rounds and sales, ready to plot; see `branch`."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final, TypeVar

import msgspec

from events.financing import RoundPricing, RoundTerms
from events.plain_json import render_decimal
from marketplace.captable.branch import Branch
from marketplace.core.errors import Refusal
from marketplace.core.rounding import round_places
from marketplace.domain.equity.issuer.as_converted import convert_row
from marketplace.domain.equity.issuer.state import list_rows

_NO_PART = Fraction(0)
ROUNDS_MAX: Final = 5
POINTS_MIN: Final = 2
POINTS_MAX: Final = 200
_PLACES: Final = 6
POOL: Final = "pool"
_ROUND_COLUMNS: Final = (
    "pre_money_usd",
    "price_usd_per_share",
    "holder_id",
    "holder",
    "shares_before",
    "shares",
    "part_before",
    "part",
    "dilution",
    "refused",
)
_EXIT_COLUMNS: Final = ("proceeds_usd", "holder_id", "holder", "amount_usd", "part", "refused")
P = TypeVar("P")


class RoundHolder(msgspec.Struct, frozen=True, kw_only=True):
    """One holder at one price.

    Attributes:
        holder_id: The holder; ``pool`` for the unissued pool.
        name: Its name in the cap table.
        shares_before: Its fully diluted shares before the round.
        shares_converted: Shares that its instruments converted into.
        shares_bought: Shares bought with its investment.
        shares_after: Its fully diluted shares after the round.
        part_before: Its part of the company as converted, to six places; 0.25 is a quarter.
        part_after: The same after the round.
        dilution: The part of its former part that it lost; negative if it gained, None if it had none.
    """

    holder_id: str
    name: str
    shares_before: int
    shares_converted: int
    shares_bought: int
    shares_after: int
    part_before: Decimal
    part_after: Decimal
    dilution: Decimal | None


class RoundPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A round at one pre-money valuation: the price and every holder, or why it is refused.

    Attributes:
        pre_money_usd: The valuation.
        price_usd_per_share: The price of a new share; None if the round is refused.
        post_money_shares: All shares after the round, as its pricing counts them; None if it is refused.
        holders: By id; empty if it is refused.
        refused: The code of the refusal; None if the round is possible.
        reason: The text of the refusal.
    """

    pre_money_usd: Decimal
    price_usd_per_share: Decimal | None = None
    post_money_shares: int | None = None
    holders: tuple[RoundHolder, ...] = ()
    refused: str | None = None
    reason: str | None = None


class ExitHolder(msgspec.Struct, frozen=True, kw_only=True):
    """What one holder is paid in a sale for one amount.

    Attributes:
        holder_id: The holder.
        name: Its name in the cap table.
        amount_usd: What it is paid, to the cent.
        part: Its part of the proceeds, to six places; 0.25 is a quarter.
    """

    holder_id: str
    name: str
    amount_usd: Decimal
    part: Decimal


class ExitPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A sale for one amount: payouts by holder, or why it is refused.

    Attributes:
        proceeds_usd: The amount.
        holders: By id; empty if the sale is refused.
        converted: Securities that are paid as converted.
        refused: The code of the refusal; None if the sale is possible.
        reason: The text of the refusal.
    """

    proceeds_usd: Decimal
    holders: tuple[ExitHolder, ...] = ()
    converted: tuple[str, ...] = ()
    refused: str | None = None
    reason: str | None = None


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """Evenly spaced amounts in dollars from low to high, both included, to the cent.

    Attributes:
        low_usd: The lowest amount.
        high_usd: The highest amount.
        points: How many amounts, from 2 to 200.
    """

    low_usd: Decimal
    high_usd: Decimal
    points: int


def list_prices(of: Range) -> tuple[Decimal, ...]:
    """Return the amounts of a range.

    Raises:
        Refusal: ``too_many_points`` above 200; ``range_impossible`` below two points, or if low is not below high.
    """
    if of.points > POINTS_MAX:
        raise Refusal(
            "too_many_points",
            f"{of.points} points exceed the limit of {POINTS_MAX}; ask for fewer",
            pointer="/range/points",
        )
    if not of.low_usd < of.high_usd or of.points < POINTS_MIN:
        raise Refusal(
            "range_impossible",
            f"{of.points} points from {of.low_usd} to {of.high_usd}; give low below high, and at least {POINTS_MIN}",
            pointer="/range",
        )
    low, width = Fraction(of.low_usd), Fraction(of.high_usd) - Fraction(of.low_usd)
    steps = (Fraction(step, of.points - 1) for step in range(of.points))
    return tuple(round_places(low + width * step, 2, "half_even") for step in steps)


def play_rounds(branch: Branch, terms: RoundTerms, prices: Sequence[Decimal]) -> tuple[RoundPoint, ...]:
    """Return the same round at each pre-money valuation. A refusal at one point is stated in that point."""
    return tuple(
        _catch(RoundPoint, "pre_money_usd", price, lambda p: _play_round(branch, terms, p)) for price in prices
    )


def _play_round(branch: Branch, terms: RoundTerms, pre_money_usd: Decimal) -> RoundPoint:
    after, pricing = branch.close_round(msgspec.structs.replace(terms, pre_money_usd=pre_money_usd))
    return RoundPoint(
        pre_money_usd=pre_money_usd,
        price_usd_per_share=pricing.price_usd_per_share,
        post_money_shares=pricing.post_money_shares,
        holders=_compare(branch, after, pricing),
    )


def _compare(branch: Branch, after: Branch, pricing: RoundPricing) -> tuple[RoundHolder, ...]:
    before_shares, after_shares = _sum_rows(branch), _sum_rows(after)
    before, whole_before = _sum_converted(branch)
    after_converted, whole_after = _sum_converted(after)
    converted, bought = dict[str, int](), dict[str, int]()
    for conversion in pricing.conversions:
        converted[conversion.holder_id] = converted.get(conversion.holder_id, 0) + conversion.shares
    for allotment in pricing.allotments:
        bought[allotment.holder_id] = bought.get(allotment.holder_id, 0) + allotment.shares
    holders = []
    for holder_id in sorted(before_shares.keys() | after_shares.keys()):
        had, has = before_shares.get(holder_id, 0), after_shares.get(holder_id, 0)
        part_before, part_after = before.get(holder_id, _NO_PART), after_converted.get(holder_id, _NO_PART)
        kept = None if not had else 1 - part_after / whole_after / (part_before / whole_before)
        holders.append(
            RoundHolder(
                holder_id=holder_id,
                name=_name(after, holder_id),
                shares_before=had,
                shares_converted=converted.get(holder_id, 0),
                shares_bought=bought.get(holder_id, 0),
                shares_after=has,
                part_before=_round(part_before / (whole_before or 1)),
                part_after=_round(part_after / whole_after),
                dilution=None if kept is None else _round(kept),
            )
        )
    return tuple(holders)


def _sum_rows(branch: Branch) -> dict[str, int]:
    shares: dict[str, int] = {}
    for row in list_rows(branch.issuer, branch.at):
        if row.shares:
            holder_id = row.holder_id or POOL
            shares[holder_id] = shares.get(holder_id, 0) + row.shares
    return shares


def _sum_converted(branch: Branch) -> tuple[dict[str, Fraction], Fraction]:
    """Return the common shares that each holder has or may convert into, and all of them, exact."""
    shares: dict[str, Fraction] = {}
    for row in list_rows(branch.issuer, branch.at):
        holder_id = row.holder_id or POOL
        shares[holder_id] = shares.get(holder_id, _NO_PART) + convert_row(branch.issuer, row)
    return shares, sum(shares.values(), _NO_PART)


def play_exits(
    branch: Branch, prices: Sequence[Decimal], rounds: Sequence[RoundTerms] = (), safe_seniority: int | None = None
) -> tuple[ExitPoint, ...]:
    """Return the payouts of a sale for each amount, after rounds that are closed on the branch first.

    Raises:
        Refusal: ``too_many_rounds`` above 5; those of a round. A refusal at one amount is stated in that point.
    """
    if len(rounds) > ROUNDS_MAX:
        text = f"{len(rounds)} rounds exceed the limit of {ROUNDS_MAX}; state fewer"
        raise Refusal("too_many_rounds", text, pointer="/rounds")
    for terms in rounds:
        branch, _ = branch.close_round(terms)

    def play(proceeds_usd: Decimal) -> ExitPoint:
        waterfall = branch.sell(proceeds_usd, safe_seniority)
        exact: dict[str, tuple[Decimal, Fraction]] = {}
        for payout in waterfall.payouts:
            cents, part = exact.get(payout.holder_id, (Decimal(0), Fraction(0)))
            exact[payout.holder_id] = (cents + payout.amount_usd, part + Fraction(payout.amount_exact))
        return ExitPoint(
            proceeds_usd=proceeds_usd,
            holders=tuple(
                _render_exit(branch, holder_id, cents, part / Fraction(proceeds_usd))
                for holder_id, (cents, part) in sorted(exact.items())
            ),
            converted=tuple(sorted({each.security for each in waterfall.payouts if each.as_converted})),
        )

    return tuple(_catch(ExitPoint, "proceeds_usd", price, play) for price in prices)


def _render_exit(branch: Branch, holder_id: str, amount_usd: Decimal, part: Fraction) -> ExitHolder:
    return ExitHolder(
        holder_id=holder_id,
        name=_name(branch, holder_id),
        amount_usd=amount_usd,
        part=_round(part),
    )


def _name(branch: Branch, holder_id: str) -> str:
    holder = branch.issuer.stakeholders.get(holder_id)
    if holder is not None:
        return holder.name
    return "not granted" if holder_id == POOL else holder_id


def _round(part: Fraction) -> Decimal:
    return round_places(part, _PLACES, "half_even")


def _catch(kind: Callable[..., P], name: str, price: Decimal, play: Callable[[Decimal], P]) -> P:
    try:
        return play(price)
    except Refusal as refusal:
        return kind(**{name: price}, refused=refusal.code, reason=refusal.message)


def list_round_lines(points: Sequence[RoundPoint]) -> list[tuple[str, ...]]:
    """Return a table: a line with the names of its columns, then a line per valuation and holder.

    A valuation at which the round is refused has one line, with the code in the last column.
    """
    lines: list[tuple[str, ...]] = [_ROUND_COLUMNS]
    for point in points:
        price = (_show_usd(point.pre_money_usd), _show_usd(point.price_usd_per_share))
        lines.extend(
            (
                *price,
                holder.holder_id,
                holder.name,
                str(holder.shares_before),
                str(holder.shares_after),
                _show(holder.part_before),
                _show(holder.part_after),
                _show(holder.dilution),
                "",
            )
            for holder in point.holders
        )
        if point.refused is not None:
            lines.append((*price, *[""] * (len(_ROUND_COLUMNS) - 3), point.refused))
    return lines


def list_exit_lines(points: Sequence[ExitPoint]) -> list[tuple[str, ...]]:
    """Return a table: a line with the names of its columns, then a line per amount and holder.

    An amount at which the sale is refused has one line, with the code in the last column.
    """
    lines: list[tuple[str, ...]] = [_EXIT_COLUMNS]
    for point in points:
        lines.extend(
            (_show_usd(point.proceeds_usd), each.holder_id, each.name, _show_usd(each.amount_usd), _show(each.part), "")
            for each in point.holders
        )
        if point.refused is not None:
            lines.append((_show_usd(point.proceeds_usd), *[""] * (len(_EXIT_COLUMNS) - 2), point.refused))
    return lines


def _show(value: Decimal | None) -> str:
    return "" if value is None else render_decimal(value)


def _show_usd(value: Decimal | None) -> str:
    return "" if value is None else render_decimal(value, dollars=True)

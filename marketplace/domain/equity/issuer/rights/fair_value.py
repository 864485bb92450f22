"""The fair value of a share, from a stated source.

It is the latest *independent* price of the last 12 months: that of a round that parties of this market bought enough of
which are neither the holder nor the company, nor firmly related to them, or a valuation that the platform recorded.
Enough is a twentieth of the company, and a twentieth of all dollars that were paid in and not paid back; see
`is_enough`. Stock that the company bought back from them does not count, so that nobody states a price with a few
dollars, or with money that it gets back. If there is none, it is the latest price of any origin, and those whom it
dilutes vote on the act. A warrant may state a mean of recorded prices instead, whose last price is at most 30 days old.
"""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from events.issuer import IssuerStockConverted
from marketplace.core.errors import Refusal
from marketplace.core.ids import is_id
from marketplace.core.money import SHARE_PRICE_PLACES
from marketplace.core.rounding import round_half_even
from marketplace.domain.equity.issuer.as_converted import find_preference
from marketplace.domain.equity.issuer.rights.averages import find_average
from marketplace.domain.equity.issuer.state import Issuer, PriceMark, StockClass, Warrant
from marketplace.domain.register import Register

BOUGHT_MIN: Final = Fraction(1, 20)
"""The part of the company, and of all dollars paid in, that others must buy in a round so that their money counts."""
VALID: Final = timedelta(days=366)
"""How long after its day a valuation, or the price of a round, counts as independent."""
FRESH: Final = timedelta(days=30)
"""How old the last price of a mean may be."""
MEAN_MAX: Final = 4
"""How many times the highest independent price a mean of recorded prices may be to count as independent."""


class FairValue(NamedTuple):
    """The value of a share.

    Attributes:
        price_usd: Dollars per share, to 12 places.
        source: The round, the valuation or the mean, in words.
        is_independent: Whether the price is independent; see the module.
    """

    price_usd: Decimal
    source: str
    is_independent: bool


def find_fair_value(state: Issuer, interested: frozenset[str], on_day: date) -> FairValue | None:
    """Return the value of a share for an act between the company and a holder; None if no price is known.

    It is the latest independent price. Without one it is the latest price of any origin, with `is_independent` false.

    Args:
        state: The issuer.
        interested: The holder and its affiliates; of a warrant, see `find_interested`.
        on_day: The day of the act.
    """
    marks = state.price_marks
    independent = _find_independent(state, interested, on_day)
    mark = independent or next(reversed(marks), None)
    if mark is None:
        return None
    return FairValue(
        round_half_even(mark.price_usd, SHARE_PRICE_PLACES).normalize(), mark.source, independent is not None
    )


def _find_independent(state: Issuer, interested: frozenset[str], on_day: date) -> PriceMark | None:
    """Return the latest price that is independent of these parties; None if there is none."""
    for mark in reversed(state.price_marks):
        if _is_independent(state, mark, interested, on_day):
            return mark
    return None


def _is_independent(state: Issuer, mark: PriceMark, interested: frozenset[str], on_day: date) -> bool:
    if mark.effective_on is not None and on_day - mark.effective_on > VALID:
        return False
    if mark.makers is None:
        return True
    bought = sum((shares for maker, shares in mark.makers.items() if maker not in interested), Fraction(0))
    return is_enough(state, bought, mark.company_shares, mark.price_usd)


def is_enough(state: Issuer, shares: Fraction, company_shares: Fraction, price_usd: Fraction) -> bool:
    """Return whether shares that some bought in a round make its price count for all.

    Args:
        state: The issuer.
        shares: What they bought.
        company_shares: The company's shares after the round, fully diluted.
        price_usd: What a share cost them.
    """
    if not shares or shares < company_shares * BOUGHT_MIN:
        return False
    return shares * price_usd >= sum(list_paid(state).values(), Fraction(0)) * BOUGHT_MIN


def list_paid(state: Issuer) -> dict[str, Fraction]:
    """Return the dollars that each party here paid for stock, also by a right, and for what may become equity.

    What the company paid a holder for its stock is taken off what that holder paid, down to 0.
    """
    bought = [
        *((each.holder_id, each.shares * Fraction(each.price_usd_per_share)) for each in state.securities.values()),
        *((each.holder_id, each.usd) for each in state.purchases.values()),
    ]
    paid: dict[str, Fraction] = {}
    for holder_id, usd in bought:
        if is_id(holder_id, "pty"):
            paid[holder_id] = paid.get(holder_id, Fraction(0)) + usd
    paid = {each: max(usd - state.paid_back.get(each, Fraction(0)), Fraction(0)) for each, usd in paid.items()}
    for name, signed in state.instruments.items():
        for exposure in state.exposures.get(name, ()):
            paid[signed.holder_id] = paid.get(signed.holder_id, Fraction(0)) + Fraction(exposure.amount_usd)
    return paid


def find_independent_price(state: Issuer, interested: frozenset[str], on_day: date) -> Fraction | None:
    """Return the latest price of a share, in USD, that is independent of these parties; None if there is none."""
    mark = _find_independent(state, interested, on_day)
    return None if mark is None else mark.price_usd


def find_highest_price(state: Issuer, interested: frozenset[str], on_day: date) -> Fraction | None:
    """Return the highest of the valid prices, in USD, that are independent of these parties; None if there is none."""
    prices = (mark.price_usd for mark in state.price_marks if _is_independent(state, mark, interested, on_day))
    return max(prices, default=None)


def find_interested(warrant: Warrant, company_id: str, register: Register) -> frozenset[str]:
    """Return whose prices alone do not count for a warrant: holders, affiliates, company, and all firmly related."""
    return frozenset().union(*(register.list_group(each) for each in {*warrant.interested, company_id}))


def find_buyout_price(
    state: Issuer, holder_id: str, class_id: str, related: frozenset[str], on_day: date
) -> Fraction | None:
    """Return the least USD per share at which a consolidation may buy out a holder's fraction of a share.

    It is the highest of the fair price of the class (`find_class_price`) and the prices at which the holder got stock
    of it. None if no independent price is valid.

    Args:
        state: The issuer.
        holder_id: Who is bought out.
        class_id: The class of its stock.
        related: The company, and who is related to it.
        on_day: The day of the act.
    """
    fair = find_class_price(state, class_id, related | {holder_id}, on_day)
    return (
        None
        if fair is None
        else max([fair, *(each.price_usd for each in list_got(state, holder_id, class_id, by_rights=True))])
    )


def find_class_price(state: Issuer, class_id: str, interested: frozenset[str], on_day: date) -> Fraction | None:
    """Return a fair price of a share of a class: the highest independent one as converted, or its preference if higher.

    Stock that participates is worth both. In USD; None if no price that is independent of these parties is valid.
    """
    highest = find_highest_price(state, interested, on_day)
    return None if highest is None else price_class(state.classes[class_id], highest)


def price_class(stock_class: StockClass, common_usd: Fraction) -> Fraction:
    """Return the USD of a share of a class where a common share is worth so much: as converted, or its preference."""
    preference = find_preference(stock_class)
    converted = common_usd * max(Fraction(1), stock_class.conversion_ratio)
    return add_preference(converted, preference, participates=stock_class.created.participation != "none")


def add_preference(converted: Fraction, preference: Fraction, *, participates: bool) -> Fraction:
    """Return the USD of a preferred share, from what it is worth as common stock and its preference."""
    return converted + preference if participates else max(converted, preference)


def find_mean_price(state: Issuer, holder_id: str, class_id: str, *, by_rights: bool = False) -> Fraction:
    """Return the mean USD per share, after all splits, at which a holder got its stock of a class; 0 if none.

    `by_rights`: also what it bought by warrants and options in cash.
    """
    got = list_got(state, holder_id, class_id, by_rights=by_rights)
    shares = sum((each.shares for each in got), Fraction(0))
    return sum((each.shares * each.price_usd for each in got), Fraction(0)) / shares if shares else Fraction(0)


class Got(NamedTuple):
    """Stock that a holder got from the company: its shares and USD per share as they are now, and its cause."""

    shares: Fraction
    price_usd: Fraction
    cause: str | None


def list_got(state: Issuer, holder_id: str, class_id: str, *, by_rights: bool) -> list[Got]:
    """Return the stock that was issued to a holder and is of a class, also what the holder converted into it.

    `by_rights`: also what it bought by warrants and options in cash.
    """
    turned = {
        act.class_id
        for act in state.acts.values()
        if isinstance(act, IssuerStockConverted) and (act.holder_id, act.class_id_after) == (holder_id, class_id)
    }
    lots = [
        (each, state.split_at_issue[name], Got(Fraction(each.shares), Fraction(each.price_usd_per_share), each.cause))
        for name, each in state.securities.items()
    ]
    bought = [(each, Fraction(1), Got(each.shares, each.price_usd, None)) for each in state.purchases.values()]
    found = []
    for each, split, got in (*lots, *(bought if by_rights else ())):
        if each.holder_id == holder_id and each.class_id in {class_id, *turned}:
            ratio = state.split_ratio / split
            if each.class_id != class_id:
                ratio *= state.classes[each.class_id].conversion_ratio
            found.append(Got(got.shares * ratio, got.price_usd / ratio, got.cause))
    return found


def find_value_for_warrant(
    state: Issuer, warrant: Warrant, interested: frozenset[str], on_day: date
) -> FairValue | None:
    """Return the value of a share for a net exercise of a warrant.

    None if no price is known, or the warrant's own mean is not recorded or its last price is older than `FRESH`. A mean
    of more than `MEAN_MAX` times the highest independent price is not independent: nothing bounds a source's first
    price.
    """
    terms = warrant.issued.fair_value
    if terms is None:
        return find_fair_value(state, interested, on_day)
    average, source = find_average(state, terms), state.price_sources[terms.source_id]
    if average is None or source.latest is None or on_day - source.latest.day > FRESH:
        return None
    text = f"mean of {terms.days} days to {source.latest.day}, {terms.source_id}"
    highest = find_highest_price(state, interested, on_day)
    near = highest is None or average <= highest * MEAN_MAX
    return FairValue(round_half_even(average, SHARE_PRICE_PLACES).normalize(), text, is_independent=near)


def require_fair_value(state: Issuer, warrant: Warrant, interested: frozenset[str], on_day: date) -> FairValue:
    """Return the value of a share for a net exercise of a warrant.

    Raises:
        Refusal: ``fair_value_missing``, where `find_value_for_warrant` returns None.
    """
    found = find_value_for_warrant(state, warrant, interested, on_day)
    if found is None:
        raise Refusal(
            "fair_value_missing",
            f"no round of {state.formed.issuer_id} has closed and no valuation or recent mean that the warrant counts"
            " with is recorded, so a net exercise has no value of a share; record one, or exercise for cash, which is"
            " allowed meanwhile",
            pointer="/settlement",
        )
    return found

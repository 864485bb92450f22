"""What a company is worth at a price of its stock: the value that a mandate's range of caps is compared with.

It is what a sale would have to bring, so that a share of the stock, and of all that stands beside it, is worth its
price. It adds up:

1. The price of a share, as converted, times all shares and rights with the pool.
2. The same price times the shares that unconverted SAFEs and notes would become in a round at this price. Each counts
   at its cap, its discount or the price, whichever gives it most, a note also at what a sale would repay of it. A
   most-favoured SAFE counts at the best of each term of which it got notice, until it has elected. Undrawn
   principal counts, and so does stock, and rights to stock, that principal may still buy at a price of its own.
   With `pending`, open orders and held quotes count too, and the shares that price protection gives other classes in
   a round at the lowest value that the mandate accepts.
3. The preferences of other classes that rank before the stock or beside it, also of shares that warrants and
   instruments may still buy.

It is known for stock, for a warrant, and for a note that becomes stock at its maturity, since their holders get stock
without being asked again. A SAFE counts at its cap and the preferences of all classes, which a sale pays beside its
principal or before it. Another note counts at its cap: a sale pays it before stock, and otherwise its holder is asked.
"""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from events.issuer_dilution import Exposure
from events.types import NoteTerms, PricedTerms, PrincipalTerms, SafeTerms
from marketplace.core.money import USD_MAX, ZERO, floor_cents
from marketplace.domain.equity.issuer.as_converted import find_preference, measure_company
from marketplace.domain.equity.issuer.dilution import find_price, find_priced_part, find_safe_cap, measure_balance
from marketplace.domain.equity.issuer.rules import get_class
from marketplace.domain.equity.issuer.state import Issuer, StockClass, capitalization_of, list_live_warrants
from marketplace.equity.capitalization import protection_basis_shares
from marketplace.equity.price_protection import adjusted_conversion_price

ROUND_PART: Final = Fraction(1, 4)
"""The part of the shares before it that a round sells, by which a weighted average is counted: a fifth of the whole."""


class _Way(NamedTuple):
    """A way in which principal becomes stock: the part of the company that it asks for.

    Attributes:
        part: The part, exact.
        is_within: Whether it is a part of the company after all conversions; otherwise of the shares before them.
    """

    part: Fraction
    is_within: bool = False


def find_implied_cap(
    state: Issuer,
    terms: PrincipalTerms,
    split_ratio: str | None = None,
    *,
    own_id: str | None = None,
    pending: bool = False,
    least_usd: Decimal | None = None,
) -> Decimal | None:
    """Return what the company is worth in USD at the price of an instrument, or a SAFE's cap; None for another one.

    At most `USD_MAX`, also where instruments ask for the whole company.

    Args:
        state: The company.
        terms: The terms. The price of a share under a warrant is the price of the right and the exercise price.
        split_ratio: The split factor when the price was agreed; None: now. Splits since then lower the price.
        own_id: The instrument or order with these terms, which does not count beside itself.
        pending: Whether what open orders and held quotes offer counts as if it was signed, and price protection as if
            it was used.
        least_usd: The lowest value at which price protection is used then; None: the value at the price.

    Raises:
        Refusal: ``stock_class_unknown`` for stock and warrants.
    """
    if isinstance(terms, PricedTerms):
        company = measure_company(state)
        class_id = get_class(state, terms.class_id).created.class_id
        price = find_price(state, terms, split_ratio) / state.classes[class_id].conversion_ratio
    elif isinstance(terms, NoteTerms) and terms.at_maturity is not None and terms.valuation_cap_usd is not None:
        company = measure_company(state)
        class_id, price = terms.at_maturity.class_id, Fraction(terms.valuation_cap_usd) / max(company, Fraction(1))
    elif isinstance(terms, SafeTerms) and terms.valuation_cap_usd is not None:
        ranking = _sum_preferences(state, None, _list_beside(state, own_id, pending=pending))
        return floor_cents(min(Fraction(terms.valuation_cap_usd) + ranking, Fraction(USD_MAX)))
    else:
        return None
    beside = _list_beside(state, own_id, pending=pending)
    if pending:
        low_usd = price * company if least_usd is None else min(price * company, Fraction(least_usd))
        protected = _measure_protection(state, class_id, low_usd, company)
        if protected is None:
            return USD_MAX
        company += protected
    whole = _measure_whole([_list_ways(state, *each, price * company) for each in beside], company)
    if whole is None:
        return USD_MAX
    return floor_cents(min(price * whole + _sum_preferences(state, class_id, beside), Fraction(USD_MAX)))


def measure_ranking(state: Issuer) -> Fraction:
    """Return the dollars that stock gets before common stock, exact, with what warrants and principal may still buy."""
    return _sum_preferences(state, None, _list_beside(state))


def _list_beside(state: Issuer, own_id: str | None = None, *, pending: bool = False) -> list[tuple[str, Exposure]]:
    return [
        (name, exposure)
        for name, exposures in sorted(state.exposures.items())
        if name != own_id and (pending or name in state.instruments)
        for exposure in exposures
        if exposure.amount_usd
    ]


def _measure_protection(state: Issuer, class_id: str, low_usd: Fraction, company: Fraction) -> Fraction | None:
    """Return the shares that price protection gives other classes in a round at `low_usd`; None: all of the company.

    A full ratchet takes as many dollars of `low_usd` as it paid. A weighted average counts a round that sells
    `ROUND_PART` of the shares before it.
    """
    protected = [
        (count, state.classes[name])
        for name, count in _sum_shares(state, []).items()
        if count and name != class_id and state.classes[name].created.price_protection is not None
    ]
    price = _find_round_price([each for each in protected if _is_ratchet(each[1])], low_usd, company)
    if price is None:
        return None
    gained = Fraction(0)
    for count, each in protected:
        issue_price, before = each.price_usd, each.conversion_price_usd
        assert issue_price is not None, "preferred stock has an issue price"
        assert before is not None, "preferred stock has a conversion price"
        basis, sold = None, company * ROUND_PART
        if each.created.protection_basis is not None:
            basis = protection_basis_shares(capitalization_of(state), each.created.protection_basis)
        after = adjusted_conversion_price(before, sold, sold * price, basis)
        gained += count * (issue_price / after - each.conversion_ratio)
    return gained


def _is_ratchet(stock_class: StockClass) -> bool:
    return stock_class.created.price_protection == "full_ratchet"


def _find_round_price(
    ratchets: list[tuple[Fraction, StockClass]], low_usd: Fraction, company: Fraction
) -> Fraction | None:
    """Return the price of a share in a round at `low_usd` after all full ratchets above it; None if nothing is left."""
    price = low_usd / max(company, Fraction(1))
    while True:
        used = [(count, each) for count, each in ratchets if (each.conversion_price_usd or 0) > price]
        if not used:
            return price
        left_usd = low_usd - sum((count * (each.price_usd or 0) for count, each in used), Fraction(0))
        others = company - sum((count * each.conversion_ratio for count, each in used), Fraction(0))
        if left_usd <= 0 or others <= 0:
            return None
        if left_usd / others >= price:
            return price
        price = left_usd / others


def _measure_whole(ways: list[list[_Way]], company: Fraction) -> Fraction | None:
    """Return all shares, if each instrument takes the way that gives it most; None if they ask for the whole company.

    At first each takes its first way, a part of the shares before. A change only adds shares, so this ends.
    """
    taken = [each[0] for each in ways]
    while True:
        within = sum((way.part for way in taken if way.is_within), Fraction(0))
        if within >= 1:
            return None
        ahead = sum((way.part for way in taken if not way.is_within), Fraction(0))
        whole = company * (1 + ahead) / (1 - within)
        bases = {False: company, True: whole}
        better = [max(each, key=lambda way: way.part * bases[way.is_within]) for each in ways]
        if better == taken:
            return whole
        taken = better


def _list_ways(state: Issuer, name: str, exposure: Exposure, value_usd: Fraction) -> list[_Way]:
    """Return the ways of an instrument, where all shares and rights are worth `value_usd`."""
    terms, amount = exposure.terms, measure_balance(name, exposure)
    if isinstance(terms, PricedTerms):
        return [_Way(find_priced_part(state, name, exposure))]
    value = max(value_usd, Fraction(1, 100))
    discount = max(terms.discount or ZERO, exposure.offered_discount or ZERO)
    ways = [_Way(amount / (1 - Fraction(discount)) / value)]
    if isinstance(terms, NoteTerms):
        ways.append(_Way((amount + Fraction(exposure.amount_usd) * (Fraction(terms.repayment_multiple) - 1)) / value))
    if terms.valuation_cap_usd is not None:
        is_within = isinstance(terms, SafeTerms) and terms.conversion_timing == "post_money"
        base = 1 if is_within else _measure_divisor(state, name) / max(measure_company(state), Fraction(1))
        ways.append(_Way(amount / Fraction(terms.valuation_cap_usd) * base, is_within))
    if (elected := find_safe_cap(exposure)) is not None:
        ways.append(_Way(amount / Fraction(elected), is_within=True))
    if exposure.offered_pre_money_cap_usd is not None:
        ways.append(_Way(amount / Fraction(exposure.offered_pre_money_cap_usd)))
    return ways


def _measure_divisor(state: Issuer, name: str) -> Fraction:
    """Return the shares that the cap of an instrument is divided by: no fewer than at its signing."""
    signed = (shares for (each, _), shares in state.shares_at_signing.items() if each == name)
    return max(measure_company(state), max(signed, default=Fraction(0)) * state.split_ratio)


def _sum_preferences(state: Issuer, class_id: str | None, beside: list[tuple[str, Exposure]]) -> Fraction:
    """Return the dollars that other classes get before a class of stock or with it, exact; None: that all get."""
    known = None if class_id is None else state.classes.get(class_id)
    rank = 0 if known is None or known.price_usd is None else known.created.seniority
    return sum(
        (
            count * find_preference(state.classes[name])
            for name, count in _sum_shares(state, beside).items()
            if name != class_id and name in state.classes and state.classes[name].created.seniority >= rank
        ),
        Fraction(0),
    )


def _sum_shares(state: Issuer, beside: list[tuple[str, Exposure]]) -> dict[str, Fraction]:
    """Return the shares that `_list_shares` yields, by class."""
    shares: dict[str, Fraction] = {}
    for name, count in _list_shares(state, beside):
        shares[name] = shares.get(name, Fraction(0)) + count
    return shares


def _list_shares(state: Issuer, beside: list[tuple[str, Exposure]]) -> Iterator[tuple[str, Fraction]]:
    """Yield the shares of a class that are outstanding, and those that warrants and instruments may still buy."""
    yield from ((class_id, Fraction(each.shares_outstanding)) for class_id, each in state.classes.items())
    yield from ((each.issued.class_id, Fraction(each.shares_outstanding)) for _, each in list_live_warrants(state))
    for name, exposure in beside:
        terms = exposure.terms
        if isinstance(terms, PricedTerms):
            since = state.split_ratio / state.split_at_issue.get(name, state.split_ratio)
            yield terms.class_id, Fraction(exposure.amount_usd) / Fraction(terms.price_usd_per_share) * since
        elif isinstance(terms, NoteTerms) and terms.at_maturity is not None and terms.valuation_cap_usd is not None:
            amount = measure_balance(name, exposure)
            yield terms.at_maturity.class_id, amount / Fraction(terms.valuation_cap_usd) * _measure_divisor(state, name)

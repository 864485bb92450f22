"""What holders without a key lose by an act of their company, so that it counts toward the limit of one person.

Nobody but the company speaks for them, so that one person of it could give away all that they have. What counts, in
dollars:

- stock, warrants and options that the company issues, also in a round, and SAFEs, notes and better terms of them: their
  part of what these give beyond what is paid. So count a discount, interest of a year, and what a note repays beyond
  its principal, if they are above what is usual. A warrant whose price is fixed later counts as free.
  So does stock of a holder without a key, also in a round, and an exercise of its rights, because no money moves here;
- their own stock and rights that the company hands on, buys back, converts or cancels, as for a party; see `giving`;
- a sale: what their stock is worth beyond its proceeds in cash, because the company alone states what a buyer's stock
  is worth. So count, for the holders of a buyer, the shares that it pays with.

A share is worth the highest price at which anybody bought stock, signed a cap or recorded a valuation, and no less than
`FOUNDERS_USD_MAX` over all stock: nobody knows that founders' stock is worth less.
"""

from collections.abc import Collection
from decimal import Decimal
from fractions import Fraction

from events.issuer import (
    IssuerFinancingClosed,
    IssuerInstrumentSigned,
    IssuerLiquidityDeclared,
    IssuerOptionExercised,
    IssuerOptionGranted,
    IssuerStockIssued,
    IssuerWarrantExercised,
    IssuerWarrantIssued,
)
from events.types import Event, PricedTerms, PrincipalTerms
from marketplace.core.ids import is_id
from marketplace.core.money import ZERO, ceil_cents, parse_ratio
from marketplace.domain.equity.issuer.as_converted import convert_row, measure_company, measure_stock
from marketplace.domain.equity.issuer.dilution import (
    find_price,
    measure_bonus,
    measure_known,
    value_offer,
)
from marketplace.domain.equity.issuer.financing.pro_rata import FOUNDERS_USD_MAX
from marketplace.domain.equity.issuer.rights.fair_value import add_preference, price_class
from marketplace.domain.equity.issuer.state import Financing, Issuer, list_rows


def find_share_worth(issuer: Issuer) -> Fraction:
    """Return the USD at which a common share counts for holders without a key."""
    known = measure_known(issuer) / max(measure_company(issuer), Fraction(1))
    stated = max((mark.price_usd for mark in issuer.price_marks), default=Fraction(0))
    return max(known, stated, FOUNDERS_USD_MAX / max(measure_stock(issuer), Fraction(1)))


def find_lost(event: Event, issuer: Issuer, absent: Collection[str]) -> Decimal:
    """Return the USD that holders without a key lose by an event, to a cent, beside their own stock that it moves.

    Args:
        event: The event.
        issuer: The company before it.
        absent: The holders without a key.
    """
    if isinstance(event, IssuerLiquidityDeclared):
        return _find_unpaid(event, issuer, absent)
    shares, worth = _find_issued(event, issuer, absent)
    return _share(issuer, absent, shares, worth)


def find_lost_by_buyer(event: IssuerLiquidityDeclared, buyer: Issuer, absent: Collection[str]) -> Decimal:
    """Return the USD that a buyer's holders without a key lose by the stock that it pays for another company with.

    The stock counts in full, because nobody knows what the other company is worth.
    """
    stock = event.waterfall.stock
    if stock is None:
        return ZERO
    shares = sum(each.buyer_shares or 0 for each in event.waterfall.payouts)
    return _share(buyer, absent, *_count(buyer, stock.class_id, [(shares, ZERO)]))


def _share(issuer: Issuer, absent: Collection[str], shares: Fraction, gift_usd: Fraction) -> Decimal:
    """Return the part of absent holders in what new shares, as converted, get beyond what is paid for them."""
    held = sum((convert_row(issuer, row) for row in list_rows(issuer) if row.holder_id in absent), Fraction(0))
    whole = measure_company(issuer) + shares
    return ceil_cents(max(gift_usd, Fraction(0)) * held / whole) if whole else ZERO


def _find_issued(event: Event, issuer: Issuer, absent: Collection[str]) -> tuple[Fraction, Fraction]:
    """Return the shares, as converted, that an event gives or promises, and the USD of them that nobody pays here."""
    match event:
        case IssuerStockIssued(cause=None):
            price = event.price_usd_per_share if _is_payer(event.holder_id, absent) else ZERO
            return _count(issuer, event.class_id, [(event.shares, price)])
        case IssuerOptionExercised() | IssuerWarrantExercised() if not is_id(event.holder_id, "pty"):
            return Fraction(0), event.shares * min(_find_strike(event, issuer), find_share_worth(issuer))
        case IssuerWarrantIssued(cause=None):
            stated = [
                (each.shares, each.exercise_price_usd if each.later_price is None else ZERO) for each in event.tranches
            ]
            priced = [(shares, event.exercise_price_usd if price is None else price) for shares, price in stated]
            return _count(issuer, event.class_id, priced or [(event.shares, event.exercise_price_usd)])
        case IssuerOptionGranted():
            return _count(issuer, None, [(event.shares, event.exercise_price_usd)])
        case IssuerFinancingClosed():
            return _count_round(issuer, issuer.financings[event.financing_id], absent)
        case IssuerInstrumentSigned():
            return _find_bought(event.terms, Fraction(event.commitment_usd), issuer)
        case _:
            return Fraction(0), Fraction(0)


def _is_payer(holder_id: str, absent: Collection[str]) -> bool:
    """Return whether a holder pays for new stock here: it is a party with a key."""
    return is_id(holder_id, "pty") and holder_id not in absent


def _find_strike(event: IssuerOptionExercised | IssuerWarrantExercised, issuer: Issuer) -> Fraction:
    """Return the USD per share that a holder without a key pays by the company's word alone; 0 if it pays in rights."""
    if isinstance(event, IssuerOptionExercised):
        return issuer.options[event.option_id].exercise_price_usd
    if event.fair_value_usd is not None:
        return Fraction(0)
    stated = event.exercise_price_usd
    return issuer.warrants[event.warrant_id].exercise_price_usd if stated is None else parse_ratio(stated)


def _count(issuer: Issuer, class_id: str | None, sold: list[tuple[int, Decimal]]) -> tuple[Fraction, Fraction]:
    worth, stock_class = find_share_worth(issuer), issuer.classes.get(class_id or "")
    each = worth if stock_class is None else price_class(stock_class, worth)
    ratio = Fraction(1) if stock_class is None else stock_class.conversion_ratio
    gift = sum((max(each - Fraction(price), Fraction(0)) * shares for shares, price in sold), Fraction(0))
    return sum((shares for shares, _ in sold), 0) * ratio, gift


def _count_round(issuer: Issuer, financing: Financing, absent: Collection[str]) -> tuple[Fraction, Fraction]:
    pricing, terms = financing.pricing, financing.terms
    assert pricing is not None, "a round is closed at a price"
    worth, price = find_share_worth(issuer), Fraction(pricing.price_usd_per_share)
    each = add_preference(
        worth, price * Fraction(terms.liquidation_multiple), participates=terms.participation != "none"
    )
    shares, gift = Fraction(0), Fraction(0)
    for allotment in pricing.allotments:
        paid = price if _is_payer(allotment.holder_id, absent) else Fraction(0)
        shares += allotment.shares
        gift += max(each - paid, Fraction(0)) * allotment.shares
    return shares, gift


def _find_bought(terms: PrincipalTerms, amount: Fraction, issuer: Issuer) -> tuple[Fraction, Fraction]:
    value, worth, added = value_offer(issuer, terms), find_share_worth(issuer), measure_bonus(terms, amount)
    if not value:
        return (amount + added) / worth, added
    if isinstance(terms, PricedTerms) and terms.class_id in issuer.classes:
        stock_class = issuer.classes[terms.class_id]
        shares = amount / Fraction(terms.price_usd_per_share)
        return shares * stock_class.conversion_ratio, shares * (
            price_class(stock_class, worth) - find_price(issuer, terms)
        )
    shares = amount / value * measure_company(issuer)
    return shares, max(shares * worth - amount, added)


def _find_unpaid(event: IssuerLiquidityDeclared, issuer: Issuer, absent: Collection[str]) -> Decimal:
    worth, left = find_share_worth(issuer), Fraction(0)
    for (holder_id, class_id), shares in issuer.holdings.items():
        if holder_id in absent:
            left += shares * price_class(issuer.classes[class_id], worth)
    paid = (Fraction(each.cash_usd) for each in event.waterfall.payouts if each.holder_id in absent)
    return ceil_cents(max(left - sum(paid, Fraction(0)), Fraction(0)))

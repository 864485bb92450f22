"""Who is disinterested in a vote, so that a majority does not bind the rest of its group in its own favour.

Not disinterested are, with all whom firm relations connect with them:

- who gets stock, a right to stock or better terms by the act. Where that is a holder without a key, or the pool for
  employees grows, anybody may stand behind it: then also who has more than half of a group, in its group. So it is in
  a round that gives more than its money buys; see `_list_beyond_money`;
- in a sale to a buyer that is here, and pays in its stock or takes over capacity: who owns a greater part of the other
  side than of its own.

Everybody is disinterested in an act at a *fair price*: no lower than the independent prices of the last 12 months, than
the preference of a share, and than what other holders paid, because a straw may get back the money that made a price.
The price of a round is fair in two ways: its stock has a single preference and nothing beside it; or, outsiders pay it
for at least a twentieth of the company, and a twentieth of all dollars paid in. In the first case those are still not
disinterested whose warrants gain by a higher price; a price that is known to be too low gives them nothing. A party
that may buy its part of the round by right loses nothing by its price, and has no say on it.
"""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from events.financing import RoundPricing
from events.types import NoteTerms, PricedTerms, PrincipalTerms, SafeTerms, StockTerms, WarrantTerms
from events.vesting import PriceMilestone
from marketplace.core.errors import Refusal
from marketplace.core.ids import is_id
from marketplace.core.money import ZERO, floor_cents, parse_ratio
from marketplace.domain.equity.instrument.state import compute_balance
from marketplace.domain.equity.issuer.as_converted import convert_row, measure_company, measure_stock
from marketplace.domain.equity.issuer.dilution import (
    chooses_class,
    list_claims,
    measure_dilution,
    measure_invested,
    value_offer,
)
from marketplace.domain.equity.issuer.rights.fair_value import VALID, find_class_price, find_highest_price, is_enough
from marketplace.domain.equity.issuer.state import (
    Financing,
    Issuer,
    Warrant,
    list_holders,
    list_live_warrants,
    list_rows,
    measure_ownership,
)
from marketplace.domain.register import Register

ANYONE: Final = ""
"""Gains by an act, where it is not known who does."""
POOL_MAX: Final = Fraction(1, 10)
"""The part of the company by which a round that outsiders pay may let the pool grow, without those who do not lead."""
PROTECTED_MAX: Final = Fraction(1, 20)
"""The part of the company that protected classes may get by a cheaper round, without those who do not lead."""


class Prices(NamedTuple):
    """What is known of the price of a share.

    Attributes:
        issuer: The issuer.
        interested: The parties whose own prices do not count.
        on_day: The day of the act.
    """

    issuer: Issuer
    interested: frozenset[str]
    on_day: date

    def find_independent(self) -> Fraction | None:
        """Return the highest independent price of a common share, in USD; None if none is known."""
        return find_highest_price(self.issuer, self.interested, self.on_day)

    def undercuts(self, terms: PrincipalTerms) -> bool:
        """Return whether a price or cap values the company below what other holders paid."""
        value = value_offer(self.issuer, terms)
        return value is not None and value < measure_invested(self.issuer, self.interested)


def is_fair_stock(prices: Prices, class_id: str, price_usd: Decimal) -> bool:
    """Return whether stock of a class costs a fair price, in USD per share."""
    fair = find_class_price(prices.issuer, class_id, prices.interested, prices.on_day)
    terms = StockTerms(class_id=class_id, price_usd_per_share=price_usd)
    return fair is not None and price_usd >= fair and not prices.undercuts(terms)


def is_fair_investment(prices: Prices, terms: PrincipalTerms) -> bool:
    """Return whether stock costs a fair price, or a cap without a discount values the company no lower.

    False for a warrant, and for a note that repays more than its principal in a sale or chooses its class of stock. A
    post-money cap values the company with all that its instruments become. A note counts with interest to maturity.
    """
    if isinstance(terms, WarrantTerms):
        return False
    if isinstance(terms, PricedTerms):
        return is_fair_stock(prices, terms.class_id, terms.price_usd_per_share)
    fair, cap = prices.find_independent(), terms.valuation_cap_usd
    if fair is None or cap is None or terms.discount or prices.undercuts(terms):
        return False
    shares = measure_company(prices.issuer)
    if isinstance(terms, NoteTerms):
        if terms.repayment_multiple > 1 or chooses_class(terms, prices.issuer):
            return False
        shares *= compute_balance("", Decimal(1), prices.on_day, terms, max(prices.on_day, terms.matures_on))
    if isinstance(terms, SafeTerms) and terms.conversion_timing == "post_money":
        try:
            diluted = measure_dilution(prices.issuer)
        except Refusal:  # what an instrument without a cap becomes is not known
            return False
        if diluted.part == 1:  # its instruments ask for the whole company, and no number of shares is enough
            return False
        shares = diluted.whole
    return cap >= fair * shares


def list_round_gain(
    financing: Financing, pricing: RoundPricing, prices: Prices, related: frozenset[str], register: Register
) -> tuple[str, ...]:
    """Return who is not disinterested in the closing of a round.

    If outsiders pay its price, nobody but who gains beyond that; see `_list_beyond_money`. Otherwise a pool that grows
    is beyond it too.

    Holders of warrants are not whose price may vest them, fix their price, or be the value of a share when they are
    exercised, unless the round's price is below a known fair one.
    Its buyers are not, unless they pay a fair price for stock with a single preference, and nothing beside it.

    Args:
        financing: The round.
        pricing: Its price and what is bought at it.
        prices: The prices that its buyers, and those related to the company, did not make.
        related: The company, and who is related to it.
        register: Who is related to whom.
    """
    inside = related | list_holders(prices.issuer)
    unknown = _list_beyond_money(financing, pricing, prices)
    buyers = {each.holder_id: each.shares for each in pricing.allotments}
    here = {buyer: shares for buyer, shares in buyers.items() if is_id(buyer, "pty")}
    outside = sum(shares for buyer, shares in here.items() if inside.isdisjoint(register.list_group(buyer)))
    if is_bought(prices.issuer, pricing, outside):
        return unknown
    unknown += (ANYONE,) if pricing.pool_increase_shares else ()
    fair, terms = prices.find_independent(), financing.terms
    value = Fraction(pricing.price_usd_per_share) * measure_company(prices.issuer)
    is_usual = terms.liquidation_multiple <= 1 and terms.participation == "none" and terms.price_protection is None
    live = (warrant for _, warrant in list_live_warrants(prices.issuer) if is_id(warrant.holder_id, "pty"))
    waiting = tuple(warrant.holder_id for warrant in live if _gains_by_price(warrant))
    if fair is not None and pricing.price_usd_per_share < fair:
        waiting = ()
    is_fair = fair is not None and pricing.price_usd_per_share >= fair
    if is_usual and is_fair and value >= measure_invested(prices.issuer, prices.interested, with_caps=False):
        return (*waiting, *unknown)
    return (*buyers, *_list_offered_all(financing, prices.issuer), *waiting, *unknown)


def _list_beyond_money(financing: Financing, pricing: RoundPricing, prices: Prices) -> tuple[str, ...]:
    """Return who gains by a round beyond what its money buys at its price, however much outsiders pay.

    Anybody may, by a preference of more than the money, by participation or a full ratchet, which are worth more than
    the price shows, and by a pool that grows by more than `POOL_MAX`. Where protected classes get more than
    `PROTECTED_MAX`, so do their holders. Pools and protection count with those of other rounds of the last 12 months,
    so that the same money does not carry several rounds.
    """
    terms, issuer = financing.terms, prices.issuer
    recent = [
        each.pricing
        for each in issuer.financings.values()
        if each.status == "closed" and each.pricing is not None and each.priced_on is not None
        if prices.on_day - each.priced_on <= VALID
    ]
    rounds = [pricing, *recent]
    lowered = {each.class_id for one in rounds for each in one.adjustments if each.triggered}
    is_harsh = (
        terms.liquidation_multiple > 1 or terms.participation != "none" or terms.price_protection == "full_ratchet"
    )
    if _gains_protected(pricing) and sum(map(_gains_protected, rounds)) > PROTECTED_MAX:
        return (ANYONE, *(holder_id for holder_id, class_id in issuer.holdings if class_id in lowered))
    grown = sum(Fraction(each.pool_increase_shares, each.post_money_shares) for each in rounds)
    is_pool = bool(pricing.pool_increase_shares) and grown > POOL_MAX
    return (ANYONE,) if is_harsh or is_pool else ()


def _gains_protected(pricing: RoundPricing) -> Fraction:
    """Return the part of the company that protected classes get by a round."""
    gained = (parse_ratio(each.as_converted) - parse_ratio(each.as_converted_before) for each in pricing.adjustments)
    return sum(gained, Fraction(0)) / pricing.post_money_shares


def is_bought(issuer: Issuer, pricing: RoundPricing, shares: int) -> bool:
    """Return whether shares of a round are enough of it, so that the money of those who buy them counts for all."""
    whole = Fraction(pricing.post_money_shares)
    return is_enough(issuer, Fraction(shares), whole, Fraction(pricing.price_usd_per_share))


def _gains_by_price(warrant: Warrant) -> bool:
    """Return whether a price of a share may vest a warrant, fix its price or count in its exercise."""
    return warrant.issued.settlement != "cash" or any(
        tranche.later_price is not None
        or any(
            isinstance(milestone, PriceMilestone)
            for condition in (*tranche.conditions, *tranche.exercise_conditions)
            for milestone in condition
        )
        for tranche in warrant.issued.tranches
    )


def _list_offered_all(financing: Financing, issuer: Issuer) -> Iterable[str]:
    """Yield who may buy its whole part of the round as an investor, or by a right that holder terms name, or a duty.

    The right that investors have by default takes no say from them.
    """
    owned, terms = measure_ownership(issuer), financing.opened.terms
    money = sum((Fraction(each.amount_usd) for each in terms.investments), Fraction(0))
    invested = {each.holder_id: each.amount_usd for each in terms.investments}
    for offer in financing.offers:
        part = floor_cents(owned.get(offer.holder_id, Fraction(0)) * money)
        if offer.holder_id in issuer.holder_terms.pro_rata:
            is_whole = offer.amount_max_usd + invested.get(offer.holder_id, ZERO) >= part
        else:
            is_whole = offer.duty is not None and offer.duty.obligation_usd >= part
        if is_whole:
            yield offer.holder_id


def list_leaning(own: Issuer, other: Issuer, register: Register) -> frozenset[str]:
    """Return who owns a greater part of the other side of a sale than of its own, and all related to them.

    Parts are of all stock as converted, and of instruments at their caps. Without a cap an instrument counts as the
    whole of the other side, and as nothing of its own. So do rights count, as they may cost more than they are worth.
    """
    parts, others = list_parts(own, Fraction(0)), list_parts(other, Fraction(1), with_rights=True)
    leaning = (holder for holder, part in others.items() if part > parts.get(holder, 0))
    return frozenset().union(*(register.list_group(holder) for holder in leaning))


def list_parts(issuer: Issuer, uncapped: Fraction, *, with_rights: bool = False) -> dict[str, Fraction]:
    """Return each holder's part of the stock, as converted, and what its instruments ask for.

    `uncapped` is the part of an instrument without a cap or price. `with_rights` counts them as if they were stock of
    their holder, beside all other stock.
    """
    whole, parts = max(measure_stock(issuer), Fraction(1)), dict[str, Fraction]()
    for row in list_rows(issuer):
        if row.holder_id is not None and row.shares and (with_rights or row.kind == "stock"):
            parts[row.holder_id] = parts.get(row.holder_id, Fraction(0)) + convert_row(issuer, row) / whole
    for holder_id, part in list_claims(issuer, uncapped):
        parts[holder_id] = parts.get(holder_id, Fraction(0)) + part
    return parts

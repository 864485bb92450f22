"""Which investors may refuse an issue without a round, and whose refusal the others overcome.

An investor that the terms undercut is heard by itself: they value the company below what it paid, or rank before it for
less. Any refusal of such an issue ends it, because a round can offer everybody its part. No round issues a warrant. So
for a warrant of at most `SMALL` of the stock that costs no less than its preference, as for an issue that undercuts
nobody, a refusal ends it only if those who refuse bear more than a tenth: each counts by its part of what all of them
paid, or of what they hold in stock and instruments, whichever is more. Otherwise anybody with one share could refuse
every customer's warrant. Who is related to the company, or to who gets it, counts next to nothing. Any refusal ends a
buyback from one investor alone: the money with which it made a price, carried a round or voted would otherwise do so
again.

An instrument for cash takes from an investor, also if it undercuts nobody, once it is *large* to it: together with
others of the last year, and with the most-favoured SAFEs that may elect its terms, its principal is more than `SMALL`
of what the company is worth. That is the highest value at which the investor itself invested, or that of an independent
price, whichever is more. Otherwise a friend's principal, whose money leaves the company again in the same minute, would
take a sale at a cap that is nobody's loss. With it counts what its taker, and who is related to it, has for compute. So
does an order for compute, with what its taker has and all other open orders: many small ones add up. Nobody votes on an
order, so that those to whom it is large must have agreed to a dilution limit. Who bears no more than a tenth of what it
and earlier investors paid or hold is not asked for this alone: nobody stops usual SAFEs by a small part of an early
year.

So that nobody has to refuse the same again and again, and small warrants do not add up, a refusal stands for
`REFUSED_FOR`: the silence of who refused agrees to nothing meanwhile, where it is undercut or a warrant is issued, or
those whose refusals stand bear more than a tenth.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Final, NamedTuple

from events.issuer_dilution import Exposure
from events.types import PricedTerms, PrincipalTerms
from marketplace.domain.equity.disinterest import list_parts
from marketplace.domain.equity.issuer.as_converted import measure_stock
from marketplace.domain.equity.issuer.dilution import (
    list_principal,
    measure_balance,
    measure_invested_by,
    undercuts_paid,
)
from marketplace.domain.equity.issuer.financing.pro_rata import list_entitled
from marketplace.domain.equity.issuer.rights.fair_value import find_highest_price, list_paid
from marketplace.domain.equity.issuer.state import Issuer

OVERCOME: Final = Decimal("0.9")
"""The part of the weight of all investors asked that overcomes a refusal."""
SMALL: Final = Fraction(1, 10)
"""The largest part of the stock, counted with its shares, that a warrant may buy if others overcome a refusal."""
REFUSED_FOR: Final = timedelta(days=180)
"""How long a refusal stands."""
_SCALE: Final = 1_000_000


class Issue(NamedTuple):
    """What somebody would get without a round, or have back.

    Attributes:
        terms: Its price or cap; None for a warrant, and for money that the company pays back.
        shares: The shares that a warrant buys, as converted; None without one, and if a share gets more before common
            stock than it costs: then few of them may take all of a sale.
        takers: The company, who gets it, and all who are related to them.
        outweighed: The investors to whom it is large.
        fulfils: Whether nobody who bears little stops it: by it only warrants vest that investors could refuse before,
            at no less than the preference; or the pool for employees grows.
    """

    terms: PrincipalTerms | None
    takers: frozenset[str]
    shares: Fraction | None = None
    outweighed: frozenset[str] = frozenset()
    fulfils: bool = False


class Hearing(NamedTuple):
    """Whom an issue asks besides the vote.

    Attributes:
        apart: Whose own agreement it needs, because its refusal stands.
        weights: The weight of each of the others. Its silence agrees.
        share: The least share of their weight that does not refuse.
    """

    apart: tuple[str, ...]
    weights: Mapping[str, int]
    share: Decimal


def hear(issuer: Issuer, issue: Issue, investors: Collection[str], at: datetime) -> Hearing:
    """Return which investors are asked about an issue, and how many of them overcome a refusal."""
    harmed = list_harmed(issuer, issue, investors)
    weights = weigh_investors(issuer, investors, issue.takers)
    refused = {each for each in investors if is_standing(issuer, each, at)}
    if not bear_enough(refused, weights):
        refused &= harmed
    left = {each: weight for each, weight in weights.items() if each not in refused}
    is_small = (
        issue.terms is None
        and issue.shares is not None
        and issue.shares <= (measure_stock(issuer) + issue.shares) * SMALL
    )
    if harmed and not is_small:
        return Hearing(tuple(sorted(refused)), dict.fromkeys(left, 1), Decimal(1))
    return Hearing(tuple(sorted(refused)), left, OVERCOME)


def list_harmed(issuer: Issuer, issue: Issue, investors: Collection[str]) -> set[str]:
    """Return the investors that an issue may take from: all if it has no price, else whom it undercuts or outweighs.

    None where it fulfils what they agreed to: then nobody who bears little stops what a customer has paid for.
    """
    if issue.fulfils:
        return set()
    undercut = {each for each in investors if issue.terms is None or undercuts_paid(issuer, issue.terms, each)}
    return undercut | issue.outweighed.intersection(investors)


def list_outweighed(
    issuer: Issuer,
    principal: Mapping[str, tuple[str, Fraction]],
    investors: Collection[str],
    takers: frozenset[str],
    price: Fraction | None,
) -> frozenset[str]:
    """Return the investors to whom the principal of others is large; see the module.

    Args:
        issuer: The company before.
        principal: Holder and USD of each instrument that counts.
        investors: Who might refuse.
        takers: As of the issue.
        price: The highest independent price of a common share, in USD; None: none is known.
    """
    worth, found = (price or Fraction(0)) * measure_stock(issuer), set()
    counted = {holder_id for holder_id, _ in principal.values()}
    for each in investors:
        paid = measure_invested_by(issuer, each)
        usd = sum((amount for holder_id, amount in principal.values() if holder_id != each), Fraction(0))
        if paid is not None and usd > max(paid, worth) * SMALL:
            weights = weigh_investors(issuer, {each, *investors} - (counted - {each}), takers)
            found |= {each} if bear_enough({each}, weights) else set()
    return frozenset(found)


def list_outweighed_by_order(
    issuer: Issuer,
    order_id: str,
    offered: Exposure,
    takers: Iterable[frozenset[str]],
    *,
    related: frozenset[str],
    on_day: date,
) -> frozenset[str]:
    """Return the investors to whom the SAFE or note that an order offers is large; see the module.

    Args:
        issuer: The company.
        order_id: The order or quote.
        offered: What it offers at most.
        takers: The holders that may take it, each with the parties related to it.
        related: The company, and who is related to it.
        on_day: The day.
    """
    if isinstance(offered.terms, PricedTerms) or not offered.amount_usd:
        return frozenset()
    agreed = frozenset[str]() if issuer.limit is None else issuer.limited
    entitled, found = frozenset(list_entitled(issuer)), frozenset[str]()
    if entitled <= agreed:
        return found
    pending = {
        name: ("", sum((measure_balance(name, each) for each in exposures), Fraction(0)))
        for name, exposures in issuer.exposures.items()
        if name not in issuer.instruments and not any(isinstance(each.terms, PricedTerms) for each in exposures)
    }
    for group in takers:
        known = {name: (each, usd) for name, each, usd in list_principal(issuer, date.max, group)}
        own = {order_id: (min(group), measure_balance(order_id, offered))}
        price = find_highest_price(issuer, related | group, on_day)
        found |= list_outweighed(issuer, known | pending | own, entitled - group, related | group, price)
    return found


def bear_enough(parties: Collection[str], weights: Mapping[str, int]) -> bool:
    """Return whether some of the investors bear more than a tenth, so that nobody overcomes their refusal."""
    return sum(weights[each] for each in parties) > sum(weights.values()) * (1 - Fraction(OVERCOME))


def is_standing(issuer: Issuer, party_id: str, at: datetime) -> bool:
    """Return whether a party refused an issue within `REFUSED_FOR`, and did not take that back."""
    own = issuer.refusals.get(party_id)
    return own is not None and any(at < refused_at + REFUSED_FOR for refused_at in own.values())


def weigh_investors(issuer: Issuer, investors: Collection[str], takers: frozenset[str]) -> dict[str, int]:
    """Return the weight of investors in millionths; see the module. 1 for who is among the takers."""
    counted = [each for each in investors if each not in takers]
    bears = dict.fromkeys(investors, Fraction(0))
    for amounts in (list_paid(issuer), list_parts(issuer, Fraction(0))):
        whole = sum((amounts.get(each, Fraction(0)) for each in counted), Fraction(0))
        for each in counted if whole else ():
            bears[each] = max(bears[each], amounts.get(each, Fraction(0)) / whole)
    return {each: max(ceil(part * _SCALE), 1) for each, part in bears.items()}

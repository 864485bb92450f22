"""Which investors may refuse an issue without a round, and whose refusal the others overcome.

An investor that the terms undercut is heard by itself: they value the company below what it paid, or rank before it for
less. Any refusal of such an issue ends it, because a round can offer everybody its part. No round issues a warrant. So
for a warrant of at most `SMALL` of the company that costs no less than its preference, as for an issue that undercuts
nobody, a refusal ends it only if those who refuse bear more than a tenth: each counts by its part of what all of them
paid, or of what they hold, whichever is more. Otherwise anybody with one share could refuse every customer's warrant.
Who is related to the company, or to who gets it, counts next to nothing. Any refusal ends a buyback from one investor
alone: the money with which it made a price, carried a round or voted would otherwise do so again.

So that nobody has to refuse the same again and again, and small warrants do not add up, a refusal stands for
`REFUSED_FOR`: the silence of who refused agrees to nothing meanwhile, where it is undercut or a warrant is issued, or
those whose refusals stand bear more than a tenth.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Final, NamedTuple

from events.types import PrincipalTerms
from marketplace.domain.equity.disinterest import list_parts
from marketplace.domain.equity.issuer.as_converted import measure_company
from marketplace.domain.equity.issuer.dilution import undercuts_paid
from marketplace.domain.equity.issuer.rights.fair_value import list_paid
from marketplace.domain.equity.issuer.state import Issuer

OVERCOME: Final = Decimal("0.9")
"""The part of the weight of all investors asked that overcomes a refusal."""
SMALL: Final = Fraction(1, 10)
"""The largest part of the company, counted with its shares, that a warrant may buy if others overcome a refusal."""
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
    """

    terms: PrincipalTerms | None
    takers: frozenset[str]
    shares: Fraction | None = None


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
    if sum(weights[each] for each in refused) <= sum(weights.values()) * (1 - Fraction(OVERCOME)):
        refused &= harmed
    left = {each: weight for each, weight in weights.items() if each not in refused}
    is_small = (
        issue.terms is None
        and issue.shares is not None
        and issue.shares <= (measure_company(issuer) + issue.shares) * SMALL
    )
    if harmed and not is_small:
        return Hearing(tuple(sorted(refused)), dict.fromkeys(left, 1), Decimal(1))
    return Hearing(tuple(sorted(refused)), left, OVERCOME)


def list_harmed(issuer: Issuer, issue: Issue, investors: Collection[str]) -> set[str]:
    """Return the investors that an issue may take from: all if it has no price, else those whom it undercuts."""
    return {each for each in investors if issue.terms is None or undercuts_paid(issuer, issue.terms, each)}


def is_standing(issuer: Issuer, party_id: str, at: datetime) -> bool:
    """Return whether a party refused an issue within `REFUSED_FOR`."""
    refused_at = issuer.refusals.get(party_id)
    return refused_at is not None and at < refused_at + REFUSED_FOR


def weigh_investors(issuer: Issuer, investors: Collection[str], takers: frozenset[str]) -> dict[str, int]:
    """Return the weight of investors in millionths; see the module. 1 for who is among the takers."""
    counted = [each for each in investors if each not in takers]
    bears = dict.fromkeys(investors, Fraction(0))
    for amounts in (list_paid(issuer), list_parts(issuer, Fraction(0))):
        whole = sum((amounts.get(each, Fraction(0)) for each in counted), Fraction(0))
        for each in counted if whole else ():
            bears[each] = max(bears[each], amounts.get(each, Fraction(0)) / whole)
    return {each: max(ceil(part * _SCALE), 1) for each, part in bears.items()}

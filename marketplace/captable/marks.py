"""Marks: the closed round whose price values a share, and the investors whose money set that price.

A round is a mark only if enough of its money is new: from investors that held nothing of the issuer when it opened.
Money of parties here moved on the ledger when the round closed; money of others is what the company states. A round of
insiders may lower an earlier mark, and never raises one: a company and its holders could agree on any price.
"""

from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from events import issuer as issuers
from marketplace.captable.history import Act, History
from marketplace.core.ids import is_id
from marketplace.core.money import ZERO
from marketplace.domain.equity.issuer.state import Issuer, list_holders

NEW_MONEY_MIN: Final = Fraction(1, 4)
"""The share of a round's money that must be new for its price to be a mark."""


class MarkSource(msgspec.Struct, frozen=True, kw_only=True):
    """The closed round that a mark follows, and whose money was in it.

    Attributes:
        financing_id: The round.
        closed_on: Its day.
        new_usd: Money of parties here that held nothing before; it moved on the ledger.
        stated_usd: Money of investors that are not parties here and held nothing before, as the company states.
        insider_usd: Money of those who held something before, and of the company itself. If it is more than three
            quarters of the money, the round lowered an earlier mark.
    """

    financing_id: str
    closed_on: date
    new_usd: Decimal
    stated_usd: Decimal
    insider_usd: Decimal

    @property
    def is_new(self) -> bool:
        """Return whether `new_usd` and `stated_usd` are at least `NEW_MONEY_MIN` of all the money."""
        new = Fraction(self.new_usd + self.stated_usd)
        return new >= NEW_MONEY_MIN * (new + Fraction(self.insider_usd))


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """The price of a common share at which stock is valued, adjusted for later splits, and the round that set it."""

    price_usd: Fraction
    source: MarkSource


def find_mark(history: History, issuer: Issuer) -> Mark | None:
    """Return the mark of the latest round with enough new money, or of the newest round since, if that is cheaper.

    None if no round had enough new money.
    """
    insiders: Mark | None = None
    for act in reversed(history.acts):
        if not isinstance(act.event, issuers.IssuerFinancingClosed):
            continue
        mark = _build_mark(history, issuer, act, act.event.financing_id)
        if mark.source.is_new:
            return mark if insiders is None or insiders.price_usd >= mark.price_usd else insiders
        insiders = insiders or mark
    return None


def _build_mark(history: History, issuer: Issuer, act: Act, financing_id: str) -> Mark:
    financing = issuer.financings[financing_id]
    assert financing.pricing is not None, "a round is closed at a price"
    opened = next(
        index
        for index, each in enumerate(history.acts)
        if isinstance(each.event, issuers.IssuerFinancingOpened) and each.event.financing_id == financing_id
    )
    before = History(history.issuer_id, history.acts[:opened]).get_issuer()
    known = list_holders(before) | {issuer.formed.party_id}
    money = {"new": ZERO, "stated": ZERO, "insider": ZERO}
    for each in financing.pricing.allotments:
        name = "insider" if each.holder_id in known else "new" if is_id(each.holder_id, "pty") else "stated"
        money[name] += each.amount_usd
    source = MarkSource(
        financing_id=financing_id,
        closed_on=act.time.date(),
        new_usd=money["new"],
        stated_usd=money["stated"],
        insider_usd=money["insider"],
    )
    price = Fraction(financing.pricing.price_usd_per_share) / split_after(history, act.time)
    return Mark(price_usd=price, source=source)


def split_after(history: History, time: datetime) -> Fraction:
    """Return the factor by which splits after an instant multiplied shares."""
    ratio = Fraction(1)
    for act in history.acts:
        if isinstance(act.event, issuers.IssuerStockSplit) and act.time > time:
            ratio *= Fraction(act.event.numerator, act.event.denominator)
    return ratio

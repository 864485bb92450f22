"""Marks: the closed round whose price values a share, and the investors whose money set that price.

A round is a mark only if enough of its money is new: it moved on the ledger as the round closed, from parties here that
held nothing of the issuer when it opened and are related neither to it nor to the holder whose position is marked. What
the company pays an investor for its stock within `RETURNED_WITHIN` counts no more, nor what it pays for the round's
stock to whom an investor passed it on. Money of investors without a key, and of a round that was imported, is only
stated. A round without enough new money may lower an earlier mark, and never raises one: a company and its friends
could state any amount at any price.
"""

from collections.abc import Collection
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from events import issuer as issuers
from marketplace.captable.history import Act, History
from marketplace.core.ids import is_id
from marketplace.core.money import ZERO, floor_cents
from marketplace.domain.equity.issuer.state import Issuer, list_holders

NEW_MONEY_MIN: Final = Fraction(1, 4)
"""The share of a round's money that must be new for its price to be a mark."""
RETURNED_WITHIN: Final = timedelta(days=366)
"""How long after a round money that goes back to an investor takes its part out of the round's new money."""


class MarkSource(msgspec.Struct, frozen=True, kw_only=True):
    """The closed round that a mark follows, and whose money was in it.

    Attributes:
        financing_id: The round.
        closed_on: Its day.
        new_usd: Money of unrelated parties here that held nothing before; it moved on the ledger, and stayed.
        stated_usd: Money of other investors that held nothing before, as the company states; it raises no mark.
        insider_usd: Money of those who held something before, of related parties, and what the company paid back.
    """

    financing_id: str
    closed_on: date
    new_usd: Decimal
    stated_usd: Decimal
    insider_usd: Decimal

    @property
    def is_new(self) -> bool:
        """Return whether `new_usd` is at least `NEW_MONEY_MIN` of all the money."""
        return Fraction(self.new_usd) >= NEW_MONEY_MIN * Fraction(self.new_usd + self.stated_usd + self.insider_usd)


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """The price of a common share at which stock is valued, adjusted for later splits, and the round that set it."""

    price_usd: Fraction
    source: MarkSource


def find_mark(history: History, issuer: Issuer, interested: Collection[str] = frozenset()) -> Mark | None:
    """Return the mark of the latest round with enough new money, or of the newest round since, if that is cheaper.

    None if no round had enough new money. `interested` are the holder, and who is related to it or to the company.
    """
    insiders: Mark | None = None
    for act in reversed(history.acts):
        if not isinstance(act.event, issuers.IssuerFinancingClosed):
            continue
        mark = _build_mark(history, issuer, act, act.event.financing_id, interested)
        if mark.source.is_new:
            return mark if insiders is None or insiders.price_usd >= mark.price_usd else insiders
        insiders = insiders or mark
    return None


def _build_mark(history: History, issuer: Issuer, act: Act, financing_id: str, interested: Collection[str]) -> Mark:
    financing = issuer.financings[financing_id]
    assert financing.pricing is not None, "a round is closed at a price"
    opened = next(
        index
        for index, each in enumerate(history.acts)
        if isinstance(each.event, issuers.IssuerFinancingOpened) and each.event.financing_id == financing_id
    )
    before = History(history.issuer_id, history.acts[:opened]).get_issuer()
    known = {*list_holders(before), issuer.formed.party_id, *interested}
    is_imported, returned = _is_imported(history, act), _list_returned(history, issuer, act)
    passed_on = {
        holder: usd for (holder, class_id), usd in returned.items() if class_id == financing.opened.terms.class_id
    }
    money = {"new": ZERO, "stated": ZERO, "insider": ZERO}
    for each in financing.pricing.allotments:
        moved = is_id(each.holder_id, "pty") and not is_imported
        paid = sum((usd for (holder, _), usd in returned.items() if holder == each.holder_id), Fraction(0))
        back = min(each.amount_usd, floor_cents(paid)) if moved else ZERO
        passed_on[each.holder_id] = max(
            passed_on.get(each.holder_id, Fraction(0)) - Fraction(each.amount_usd), Fraction(0)
        )
        name = "insider" if each.holder_id in known else "new" if moved else "stated"
        money[name] += each.amount_usd - back
        money["insider"] += back
    back = min(money["new"], floor_cents(sum(passed_on.values(), Fraction(0))))
    money["new"] -= back
    money["insider"] += back
    source = MarkSource(
        financing_id=financing_id,
        closed_on=act.time.date(),
        new_usd=money["new"],
        stated_usd=money["stated"],
        insider_usd=money["insider"],
    )
    price = Fraction(financing.pricing.price_usd_per_share) / split_after(history, act.time)
    return Mark(price_usd=price, source=source)


def _is_imported(history: History, closing: Act) -> bool:
    """Return whether a round closed before the company was imported, so that its money moved nowhere here."""
    return any(isinstance(act.event, issuers.IssuerImported) and closing.time <= act.time for act in history.acts)


def _list_returned(history: History, issuer: Issuer, closing: Act) -> dict[tuple[str, str], Fraction]:
    """Return the USD that the company paid each holder for stock of each class, within `RETURNED_WITHIN` of a round."""
    found: dict[tuple[str, str], Fraction] = {}
    for act in history.acts:
        event, price = act.event, ZERO
        if not closing.time <= act.time <= closing.time + RETURNED_WITHIN:
            continue
        if isinstance(event, issuers.IssuerStockRepurchased):
            price = event.price_usd_per_share
        elif isinstance(event, issuers.IssuerStockTransferred) and event.transfer_id in issuer.offers:
            is_own = event.holder_id_after == issuer.formed.party_id
            price = issuer.offers[event.transfer_id].offered.price_usd_per_share if is_own else ZERO
        else:
            continue
        key = event.holder_id, event.class_id
        found[key] = found.get(key, Fraction(0)) + Fraction(price) * event.shares
    return found


def split_after(history: History, time: datetime) -> Fraction:
    """Return the factor by which splits after an instant multiplied shares."""
    ratio = Fraction(1)
    for act in history.acts:
        if isinstance(act.event, issuers.IssuerStockSplit) and act.time > time:
            ratio *= Fraction(act.event.numerator, act.event.denominator)
    return ratio

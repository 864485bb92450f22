"""Pro rata rights: a holder's part of every further round, offered when it opens, and taken or declined in its time.

`marketplace.domain.equity.issuer.issuer` documents the order of refusals. Investors that are parties here have the
right unless they waived it; holder terms may name others. A holder's part is its share of the fully diluted company
and of what its instruments would become, times the money that the round states. It is raised on top of that money. If
the holder is an investor of the round already, only the rest of its part is offered. A party that a duty of pay-to-play
names is offered what is left of the duty, so that it keeps its preferred stock if it pays. Who becomes a holder while
the round is open is offered its part as the round is priced next.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final

from msgspec import structs

from events.financing import RoundTerms
from events.issuer import (
    IssuerEvent,
    IssuerProRataAnswered,
    IssuerStockIssued,
    IssuerStockTransferred,
)
from events.issuer_holders import HolderTerms, ProRataOffer
from marketplace.core.errors import Refusal
from marketplace.core.ids import is_id
from marketplace.core.instants import render_instant
from marketplace.core.intervals import require_aware
from marketplace.core.money import ZERO, floor_cents, require_usd
from marketplace.domain.equity.issuer.dilution import list_claims
from marketplace.domain.equity.issuer.holder_commands import AnswerProRata
from marketplace.domain.equity.issuer.rights.fair_value import list_got
from marketplace.domain.equity.issuer.rules import get_financing, require_open
from marketplace.domain.equity.issuer.state import Financing, Issuer, follow_stock, list_holders, measure_ownership
from marketplace.domain.refusals import require_found

PRO_RATA_MAX: Final = 50
"""The most holders that are offered a part of one round by right alone: those with the largest parts, named or not."""
FOUNDERS_USD_MAX: Final = 100_000
"""The most USD that all stock is worth at the founders' price when founders get theirs."""

GIVEN_FEW: Final = Fraction(1, 10)
"""The part of all stock that was issued without a cause, up to which stock that was given away makes no price."""


def list_investors(state: Issuer) -> frozenset[str]:
    """Return the parties that hold what they got for compute or money, without the company.

    These are an instrument that is open, or a warrant that one gave; preferred stock; and any stock, if the holder
    bought some in a round, by an instrument, or for more than the least price of any class, also by a warrant or an
    option that it exercised in cash: founders get theirs for it. The least price is no founder's either if
    all stock was worth more than `FOUNDERS_USD_MAX` as some was issued at it. The same holds for stock bought from a
    holder, got from a buyer in a sale, or handed on by somebody who bought it.
    """
    found = {
        signed.holder_id
        for name, signed in state.instruments.items()
        if any(exposure.amount_usd for exposure in state.exposures.get(name, ()))
    }
    found |= {holder for holder, class_id in state.holdings if state.classes[class_id].created.kind == "preferred"}
    stockholders = {holder for holder, _ in state.holdings}
    for warrant in state.warrants.values():
        held = warrant.shares_outstanding or warrant.holder_id in stockholders
        if held and warrant.issued.cause in state.instruments:
            found.add(warrant.holder_id)
    found |= {holder_id for holder_id, _ in _list_bought(state, by_options=True)} & stockholders
    return frozenset(each for each in found if is_id(each, "pty") and each != state.formed.party_id)


def _list_bought(state: Issuer, *, by_options: bool) -> frozenset[tuple[str, str]]:
    """Return holder and class of stock that was bought above the founders' price, and of those it was handed on to."""
    least = _find_founders_price(state)

    def is_bought(price: Fraction) -> bool:
        return bool(price) and (least is None or price > least)

    found = {
        (issued.holder_id, issued.class_id)
        for issued in state.securities.values()
        if issued.cause in state.instruments or issued.cause in state.financings or is_bought(_price_now(state, issued))
    }
    found |= {
        (each.holder_id, each.class_id)
        for each in state.purchases.values()
        if (by_options or not each.is_option) and is_bought(each.price_usd / state.split_ratio)
    }
    for transfer_id, offer in state.offers.items():
        moved = state.acts.get(transfer_id)
        price = Fraction(offer.offered.price_usd_per_share) * offer.split_ratio / state.split_ratio
        if isinstance(moved, IssuerStockTransferred) and is_bought(price):
            found.add((moved.holder_id_after, moved.class_id))
    return follow_stock(state, {each for each in found if each[0] != state.formed.party_id})


def _find_founders_price(state: Issuer) -> Fraction | None:
    """Return the USD per share at which founders got stock, after all splits; None if that was no founder's price.

    What was issued for nothing makes none where it is no more than `GIVEN_FEW` of all: advisers are given stock.
    """
    sold = [(each, _price_now(state, each)) for each in state.securities.values() if each.cause is None]
    given = sum((_shares_now(state, each) for each, price in sold if not price), Fraction(0))
    if given <= sum((_shares_now(state, each) for each, _ in sold), Fraction(0)) * GIVEN_FEW:
        sold = [(each, price) for each, price in sold if price]
    least = min((price for _, price in sold), default=Fraction(0))
    worth = max((state.worth_at_issue[each.security_id] for each, price in sold if price == least), default=Fraction(0))
    return None if worth > FOUNDERS_USD_MAX else least


def is_redemption(state: Issuer, holder_id: str, class_id: str, shares: int, price_usd: Fraction) -> bool:
    """Return whether a company would pay an investor its money back, alone of all who invested.

    Not so if it buys, at cost, what a founder or an employee who invested nothing got as such: stock at the founders'
    price, or without a key by an option. A party that paid more for an option is an investor: it could vote with
    that stock and be bought out in the same minute. Stock that another holder handed on does not count as theirs.
    """
    if holder_id == state.formed.party_id:
        return False
    bought = {holder for holder, _ in _list_bought(state, by_options=False)}
    if state.classes[class_id].created.kind == "preferred" or holder_id in bought | list_investors(state):
        return True
    own = [each for each in list_got(state, holder_id, class_id, by_rights=True) if each.cause is None]
    paid = max((each.price_usd for each in own), default=Fraction(0))
    return shares > sum(each.shares for each in own) or price_usd > paid


def _shares_now(state: Issuer, issued: IssuerStockIssued) -> Fraction:
    return issued.shares * state.split_ratio / state.split_at_issue[issued.security_id]


def _price_now(state: Issuer, issued: IssuerStockIssued) -> Fraction:
    """Return the USD that a share cost, after all splits."""
    return Fraction(issued.price_usd_per_share) * state.split_at_issue[issued.security_id] / state.split_ratio


def list_entitled(state: Issuer, terms: HolderTerms | None = None) -> tuple[str, ...]:
    """Return who may take its part of what the company sells: named holders, then investors that did not waive it.

    A holder that holds nothing any more is left out, and so is the company, which cannot buy its own stock. `terms`
    stand in place of those in force.
    """
    agreed, holders = terms or state.holder_terms, list_holders(state)
    named = [each for each in agreed.pro_rata if each in holders - {state.formed.party_id}]
    return (*named, *sorted(list_investors(state) - {*named, *agreed.pro_rata_waived}))


def list_offers(state: Issuer, terms: RoundTerms, at: datetime) -> Iterable[ProRataOffer]:
    """Yield how many USD of a round each holder with a right may take, in whole cents; holders with 0 are left out."""
    owned, claimed = measure_ownership(state, at), _sum_claims(state, terms)
    money = sum((Fraction(each.amount_usd) for each in terms.investments), Fraction(0))
    invested = {each.holder_id: each.amount_usd for each in terms.investments}
    parts = {
        each: floor_cents(
            max(
                min(owned.get(each, Fraction(0)) + claimed.get(each, Fraction(0)), Fraction(1)) * money
                - Fraction(invested.get(each, ZERO)),
                Fraction(0),
            )
        )
        for each in list_entitled(state)
    }
    first = sorted(parts, key=lambda each: parts[each], reverse=True)[:PRO_RATA_MAX]
    parts = {each: amount for each, amount in parts.items() if each in first}
    duties = {duty.holder_id: duty for duty in (() if terms.pay_to_play is None else terms.pay_to_play.duties)}
    for duty in duties.values():
        paid = sum((invested.get(each, ZERO) for each in (duty.holder_id, *duty.paid_by)), ZERO)
        parts[duty.holder_id] = max(parts.get(duty.holder_id, ZERO), duty.obligation_usd - paid)
    for holder_id, amount in parts.items():
        if amount > 0:
            yield ProRataOffer(holder_id=holder_id, amount_max_usd=amount, duty=duties.get(holder_id))


def _sum_claims(state: Issuer, terms: RoundTerms) -> dict[str, Fraction]:
    """Return the part of the company that each holder's instruments ask for, at their caps or the round's valuation."""
    found: dict[str, Fraction] = {}
    for holder_id, part in list_claims(state, pre_money_usd=Fraction(terms.pre_money_usd)):
        found[holder_id] = found.get(holder_id, Fraction(0)) + part
    return found


def answer_pro_rata(command: AnswerProRata, state: Issuer) -> Sequence[IssuerEvent]:
    """Return a holder's answer; nothing if it is recorded."""
    financing = get_financing(state, command.financing_id)
    known = financing.answers.get(command.holder_id)
    if known is not None and known == command.amount_usd:
        return []
    require_open(financing)
    offer = require_found(
        "pro_rata",
        command.holder_id,
        next((each for each in financing.offers if each.holder_id == command.holder_id), None),
    )
    if known is not None:
        raise Refusal(
            "pro_rata_answered",
            f"{command.holder_id} has answered with {known} USD already",
            holder_id=command.holder_id,
            amount_usd=str(known),
        )
    require_aware(command.at, "/at")
    _require_in_time(command.at, financing, offer)
    require_usd(command.amount_usd, "/amount_usd", zero=True)
    if command.amount_usd > offer.amount_max_usd:
        raise Refusal(
            "amount_above_pro_rata",
            f"{command.holder_id} may take {offer.amount_max_usd} USD of the round, not {command.amount_usd}",
            pointer="/amount_usd",
            amount_max_usd=str(offer.amount_max_usd),
        )
    return [
        IssuerProRataAnswered(
            issuer_id=command.issuer_id,
            financing_id=command.financing_id,
            holder_id=command.holder_id,
            amount_usd=command.amount_usd,
        )
    ]


def _require_in_time(at: datetime, financing: Financing, offer: ProRataOffer) -> None:
    until = financing.find_until(offer)
    if until is not None and at >= until:
        raise Refusal(
            "pro_rata_closed",
            f"the round could be joined by right until {render_instant(until)}; who had not answered has declined",
            financing_id=financing.opened.financing_id,
            pro_rata_until=render_instant(until),
        )


def require_answered(financing: Financing, at: datetime) -> None:
    """Refuse to price or close a round while holders may still join it by right.

    Raises:
        Refusal: ``pro_rata_open``.
    """
    opened, unanswered = (
        financing.opened,
        [each for each in financing.offers if each.holder_id not in financing.answers],
    )
    open_until = {each.holder_id: until for each in unanswered if (until := financing.find_until(each)) is not None}
    silent = [holder_id for holder_id, until in open_until.items() if at < until]
    if silent:
        until = max(open_until.values())
        raise Refusal(
            "pro_rata_open",
            f"{', '.join(silent[:5])} may join {opened.name} by right until {render_instant(until)}; price it once they"
            " have answered, or then",
            financing_id=opened.financing_id,
            holders=silent,
            pro_rata_until=render_instant(until),
        )


def list_late_offers(financing: Financing, state: Issuer, at: datetime) -> tuple[ProRataOffer, ...]:
    """Return all offers of a round, with those of holders that joined or got a right since it was opened; or nothing.

    They are `PRO_RATA_MAX` at most: a larger part takes the place of the smallest one that no duty gives, whose answer
    stands.
    """
    offered = {each.holder_id for each in financing.offers}
    until = at + timedelta(days=state.holder_terms.pro_rata_days)
    late = [each for each in list_offers(state, financing.opened.terms, at) if each.holder_id not in offered]
    every = (*financing.offers, *(structs.replace(each, until=until) for each in late))
    largest = sorted(every, key=lambda each: (each.duty is not None, each.amount_max_usd), reverse=True)[:PRO_RATA_MAX]
    kept = tuple(each for each in every if each in largest)
    return kept if any(each.holder_id not in offered for each in kept) else ()

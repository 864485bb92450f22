"""Pro rata rights: a holder's part of every further round, offered when it opens, and taken or declined in its time.

`marketplace.domain.equity.issuer.issuer` documents the order of refusals. A holder's part is its share of the fully
diluted company, times the money that the round states. It is raised on top of that money. If the holder is an investor
of the round already, only the rest of its part is offered. A party that a duty of pay-to-play names is offered what is
left of the duty, so that it keeps its preferred stock if it pays.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from fractions import Fraction

from events.financing import RoundTerms
from events.issuer import IssuerEvent, IssuerProRataAnswered
from events.issuer_holders import ProRataOffer
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.intervals import require_aware
from marketplace.core.money import ZERO, floor_cents, require_usd
from marketplace.domain.equity.issuer.holder_commands import AnswerProRata
from marketplace.domain.equity.issuer.rules import get_financing, require_open
from marketplace.domain.equity.issuer.state import Financing, Issuer, measure_ownership
from marketplace.domain.refusals import require_found


def list_offers(state: Issuer, terms: RoundTerms, at: datetime) -> Iterable[ProRataOffer]:
    """Yield how many USD of a round each holder with a right may take, in whole cents; holders with 0 are left out."""
    owned = measure_ownership(state, at)
    money = sum((Fraction(each.amount_usd) for each in terms.investments), Fraction(0))
    invested = {each.holder_id: each.amount_usd for each in terms.investments}
    parts = {
        each: owned.get(each, Fraction(0)) * money - Fraction(invested.get(each, ZERO))
        for each in state.holder_terms.pro_rata
    }
    duties = {duty.holder_id: duty for duty in (() if terms.pay_to_play is None else terms.pay_to_play.duties)}
    for duty in duties.values():
        paid = sum((invested.get(each, ZERO) for each in (duty.holder_id, *duty.paid_by)), ZERO)
        parts[duty.holder_id] = max(parts.get(duty.holder_id, Fraction(0)), Fraction(duty.obligation_usd - paid))
    for holder_id, part in parts.items():
        amount = floor_cents(max(part, Fraction(0)))
        if amount:
            yield ProRataOffer(holder_id=holder_id, amount_max_usd=amount, duty=duties.get(holder_id))


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
        next((each for each in financing.opened.pro_rata if each.holder_id == command.holder_id), None),
    )
    if known is not None:
        raise Refusal(
            "pro_rata_answered",
            f"{command.holder_id} has answered with {known} USD already",
            holder_id=command.holder_id,
            amount_usd=str(known),
        )
    require_aware(command.at, "/at")
    _require_in_time(command.at, financing)
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


def _require_in_time(at: datetime, financing: Financing) -> None:
    until = financing.opened.pro_rata_until
    if until is not None and at >= until:
        raise Refusal(
            "pro_rata_closed",
            f"the round could be joined by right until {render_instant(until)}; who had not answered has declined",
            financing_id=financing.opened.financing_id,
            pro_rata_until=render_instant(until),
        )


def require_answered(financing: Financing, at: datetime) -> None:
    """Refuse to price a round while holders may still join it by right.

    Raises:
        Refusal: ``pro_rata_open``.
    """
    opened = financing.opened
    silent = [each.holder_id for each in opened.pro_rata if each.holder_id not in financing.answers]
    if silent and opened.pro_rata_until is not None and at < opened.pro_rata_until:
        raise Refusal(
            "pro_rata_open",
            f"{', '.join(silent[:5])} may join {opened.name} by right until {render_instant(opened.pro_rata_until)};"
            " price it once they have answered, or then",
            financing_id=opened.financing_id,
            holders=silent,
            pro_rata_until=render_instant(opened.pro_rata_until),
        )

"""Disputes of a statement: counts, counter-offers, concessions, deadlines and the last resort.

A payer's count is what it says was delivered; the provider's position is what it still charges. Amounts are
GPU-seconds, or hours of a service line. The side that is awaited answers within `ANSWER`, with a counter-offer or by
insisting. A payer speaks for itself alone: what it offers, or insists on, goes to the provider once the other payer, if
that counts less, has answered too. What each silence means:

- The provider is silent: the payers' last word settles, their counter-offer or else their count.
- The payers are silent: the provider's last word settles, its counter-offer or else its position.
- One payer is silent, and the other one offers more than its count: it agrees to that offer, and the provider answers.
- The platform is silent for `DECISION` after it was asked: the middle between count and position settles. There the
  startup's count is raised to what its own meter supports (`statement.find_silence`), so that a startup without a meter
  gains nothing by a count of 0.

Invariants:
    1. Counts only rise, by concessions of its payer, and the position only falls, by concessions of the provider. A
       new count is below the one that stands.
    2. An offer lies between the lowest count and the position. It binds once everybody who loses by it agrees. The
       provider is never asked to answer an offer that another payer could still undo.
    3. A dispute ends: each side answers within its time, at most `ANSWERS_MAX` times together, and a concession moves
       no deadline.
    4. What the provider concedes or offers takes nothing from the seller of resold hours (the reseller) without its
       agreement. Its silence until the provider's first answer is due agrees to all; later it may state what it agrees
       to at least. While the provider is awaited, that is its answer too, unless its silence would settle at as much.
       It stands: if the provider is silent in a later round, and the payers' last word is below it, the platform is
       asked.
    5. Either side asks the platform after an answer of each side, or once `REFERRAL` is over. It decides what it is
       asked, and nothing else; its decision is final.

`marketplace.domain.billing.statement` documents the order of refusals. Beside them: answer_period_runs ·
reseller_disagrees.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Final, Literal

from events.statement import (
    StatementAgreed,
    StatementAnswered,
    StatementConceded,
    StatementDisputed,
    StatementReferred,
)
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.money import HOURS_PLACES

Side = Literal["startup", "holder"]
"""Those who pay."""
PAYERS: Final[tuple[Side, ...]] = ("startup", "holder")
Party = Side | Literal["provider"]
Speaker = Party | Literal["reseller"]
"""Those who speak in a dispute."""
Amount = Decimal | int
"""GPU-seconds, as int; of a service line hours, as Decimal."""
Ending = Literal["concession", "offer", "silence", "platform", "undecided"]
"""What ended a dispute; ``undecided``: the platform was asked and did not decide in time."""

ANSWER: Final = timedelta(days=7)
"""How long each answer may take."""
ANSWERS_MAX: Final = 6
"""The most answers of both sides together. Then a side concedes, accepts or asks the platform."""
CONCESSIONS_MAX: Final = 3
"""The most partial concessions of each party."""
REFERRAL: Final = timedelta(days=14)
"""How long after the first count either side may ask the platform, however many answers were given."""
REFERRAL_ANSWERS: Final = 2
"""After so many answers either side may ask the platform."""
DECISION: Final = timedelta(days=30)
"""How long the platform has for its decision."""
_PRECISION: Final = Decimal(1).scaleb(-HOURS_PLACES)


@dataclass(frozen=True, slots=True)
class Offer:
    """A counter-offer: who made it, the amount, and the parties that agree to it, its maker included."""

    by: Party
    amount: Amount
    agreed: frozenset[Party] = frozenset()


@dataclass(frozen=True, slots=True)
class Dispute:
    """A running dispute.

    Attributes:
        counts: What each payer that disputes says was delivered.
        position: What the provider still charges.
        awaits: Who has to answer; one payer alone, if the other one answered with more than its count.
        answer_until: By when; from then on silence decides.
        referable_at: From when either side may ask the platform, however many answers were given.
        offer: The last answer, if it is a counter-offer that still lies between count and position; otherwise None.
        answers: How many answers were given; those of both payers to one of the provider count as one.
        concessions: How many partial concessions each party made.
        is_automatic: Whether only the difference of the meters speaks for the startup, which has not acted itself.
        heard_until: Until when a reseller's silence agrees to nothing; None: no reseller loses by it.
        floor: The least to which a reseller agrees; None: it has said nothing.
    """

    counts: Mapping[Side, Amount]
    position: Amount
    awaits: Literal["provider", "payers", "startup", "holder", "platform"]
    answer_until: datetime
    referable_at: datetime
    offer: Offer | None = None
    answers: int = 0
    concessions: Mapping[Party, int] = field(default_factory=dict)
    is_automatic: bool = False
    heard_until: datetime | None = None
    floor: Amount | None = None

    @property
    def count(self) -> Amount:
        """Return the lowest count of a payer, which is the one that counts."""
        return min(self.counts.values())

    @property
    def counted_by(self) -> Literal["startup", "holder", "meters"]:
        """Return whose count that is; ``meters`` while only their difference speaks for the startup."""
        lowest: Side = min(self.counts, key=lambda side: self.counts[side])
        return "meters" if lowest == "startup" and self.is_automatic else lowest

    def list_agreed(self, by: Party, amount: Amount) -> frozenset[Party]:
        """Return who agrees to an answer of `by`: itself, and the payers that agreed to pay as much in this turn."""
        offer = self.offer
        if by == "provider" or offer is None or offer.amount < amount:
            return frozenset({by})
        return (offer.agreed - {"provider"}) | {by}

    def find_lacking(self, by: Side, amount: Amount) -> Side | None:
        """Return the payer that counts less than what another payer offers and has not agreed to it; None without."""
        agreed = self.list_agreed(by, amount)
        return next((side for side, count in self.counts.items() if count < amount and side not in agreed), None)

    def is_agreed(self) -> bool:
        """Return whether there is an offer to which all payers with a lower count agree."""
        offer = self.offer
        if offer is None:
            return False
        return all(count >= offer.amount or side in offer.agreed for side, count in self.counts.items())

    def find_most(self) -> Amount:
        """Return the most that the provider may settle at alone: the count, or the payers' offer if all agree."""
        offer = self.offer
        return offer.amount if offer is not None and offer.by != "provider" and self.is_agreed() else self.count


def is_awaited(awaits: str | None, side: str) -> bool:
    """Return whether a side has to answer, by what a dispute awaits."""
    return awaits == side or (awaits == "payers" and side in PAYERS)


def find_payer(by: str) -> Side:
    """Return the payer whose dispute it is. One that the meters' difference began is the startup's."""
    return "holder" if by == "holder" else "startup"


def _require_awaited(dispute: Dispute, by: Speaker, at: datetime) -> None:
    if dispute.awaits == "platform":
        raise Refusal(
            "statement_referred",
            f"the platform was asked and decides by {render_instant(dispute.answer_until)}; concede, or wait",
            due=render_instant(dispute.answer_until),
        )
    if not is_awaited(dispute.awaits, by):
        raise Refusal(
            "answer_not_due",
            f"the {dispute.awaits} must answer by {render_instant(dispute.answer_until)}; wait, or concede",
            awaits=dispute.awaits,
        )
    _require_time(dispute, at)


def _require_time(dispute: Dispute, at: datetime) -> None:
    if at >= dispute.answer_until:
        raise Refusal(
            "answer_period_over",
            f"the answer was due by {render_instant(dispute.answer_until)}, and it is {render_instant(at)}; the dispute"
            " ends without it",
        )


def require_disputing(dispute: Dispute, by: Speaker) -> None:
    """Refuse an act of a payer that has no count in the dispute, or one that the provider has come down to.

    Raises:
        Refusal: ``count_none``.
    """
    if by in PAYERS and dispute.counts.get(by, dispute.position) >= dispute.position:
        raise Refusal("count_none", f"the {by} disputes nothing of this statement; dispute it first, or accept it")


def require_answer(dispute: Dispute, by: Party, offered: Amount | None, at: datetime, pointer: str) -> None:
    """Refuse an answer of a side that is not awaited, or an offer that is not between count and position.

    `offered` is None for an answer without an offer. `pointer` is the member of the request that states it. A payer
    that answers after the other one offers less than that one did.

    Raises:
        Refusal: ``count_none`` · ``statement_referred`` · ``answer_not_due`` · ``answer_period_over`` ·
            ``answers_too_many`` · ``offer_outside``.
    """
    require_disputing(dispute, by)
    _require_awaited(dispute, by, at)
    is_first = dispute.awaits != by or by == "provider"
    if dispute.answers >= ANSWERS_MAX and is_first:
        raise Refusal(
            "answers_too_many",
            f"{dispute.answers} answers were given, the maximum; concede, accept, or ask the platform",
        )
    other = None if is_first else dispute.offer
    most, whose = (dispute.position, "provider's position") if other is None else (other.amount, f"{other.by}'s offer")
    if offered is not None and not dispute.count < offered < most:
        raise Refusal(
            "offer_outside",
            f"the offer, {offered}, must lie between the count, {dispute.count}, and the {whose}, {most}",
            pointer=pointer,
        )


def require_reseller(dispute: Dispute, amount: Amount, at: datetime) -> None:
    """Refuse a concession or offer of the provider that takes a reseller's part without its agreement.

    Raises:
        Refusal: ``reseller_disagrees``.
    """
    until = dispute.heard_until
    if until is None or amount >= dispute.position or (dispute.floor is None and at >= until):
        return
    if dispute.floor is None or amount < dispute.floor:
        said = f"may answer until {render_instant(until)}" if dispute.floor is None else f"agrees to {dispute.floor}"
        raise Refusal(
            "reseller_disagrees",
            f"the seller of these hours loses its part by {amount}, and {said}; insist, wait, or ask the platform",
        )


def answers_for_provider(dispute: Dispute, agreed: Amount | None) -> bool:
    """Return whether a reseller's answer is the provider's too: the provider's silence would settle at less.

    `agreed` is the least to which it agrees; None if it insists.
    """
    return dispute.awaits == "provider" and (agreed is None or agreed > dispute.find_most())


def require_reseller_answer(dispute: Dispute, agreed: Amount | None, at: datetime, pointer: str) -> None:
    """Refuse an answer of a reseller that comes too late, or that is outside of count and position.

    Raises:
        Refusal: ``count_none`` · ``statement_referred`` · ``answer_period_over`` · ``answers_too_many`` ·
            ``offer_outside``.
    """
    if dispute.heard_until is None:
        raise Refusal("count_none", "the seller of these hours loses nothing by the dispute, and has nothing to answer")
    _require_awaited(
        replace(dispute, awaits="platform" if dispute.awaits == "platform" else "provider"), "provider", at
    )
    if answers_for_provider(dispute, agreed) and dispute.answers >= ANSWERS_MAX:
        raise Refusal("answers_too_many", f"{dispute.answers} answers were given, the maximum; ask the platform")
    if agreed is not None and not dispute.count <= agreed < dispute.position:
        text = f"the least amount, {agreed}, must lie from the count, {dispute.count}, to below {dispute.position}"
        raise Refusal("offer_outside", text, pointer=pointer)


def find_offer(dispute: Dispute, by: Party, offered: Amount | None) -> Amount | None:
    """Return what an answer offers. A payer that insists on more than the lowest count offers its own count."""
    if offered is None and by != "provider" and dispute.counts[by] > dispute.count:
        return dispute.counts[by]
    return offered


def find_awaited(dispute: Dispute, by: Party, offered: Amount | None) -> Side | None:
    """Return the payer that has to answer before the provider does; None if the other side is awaited."""
    return None if by == "provider" or offered is None else dispute.find_lacking(by, offered)


def find_silent(dispute: Dispute, at: datetime) -> Side | None:
    """Return the payer whose silence agrees to what the other one offers; None if there is none at `at`."""
    if at < dispute.answer_until or dispute.offer is None:
        return None
    return next((side for side in PAYERS if dispute.awaits == side), None)


def outlasts_silence(dispute: Dispute, at: datetime) -> bool:
    """Return whether the provider is silent and would give up what a reseller's answer keeps: the platform decides."""
    is_silent = dispute.awaits == "provider" and at >= dispute.answer_until
    return is_silent and dispute.floor is not None and dispute.floor > dispute.find_most()


def require_partial(dispute: Dispute, by: Party, amount: Amount, pointer: str) -> None:
    """Refuse a concession that gives nothing, or more than the other side asks for.

    `amount` is what the conceding party says was delivered from now on.

    Raises:
        Refusal: ``count_none`` · ``concessions_too_many`` · ``concession_outside``.
    """
    require_disputing(dispute, by)
    made = dispute.concessions.get(by, 0)
    if made >= CONCESSIONS_MAX:
        raise Refusal("concessions_too_many", f"the {by} conceded {made} times, the maximum; concede all, or answer")
    if by == "provider":
        allowed, span = (
            dispute.count <= amount < dispute.position,
            f"from {dispute.count} to below {dispute.position}",
        )
    else:
        own = dispute.counts[by]
        allowed, span = own < amount <= dispute.position, f"above {own} up to {dispute.position}"
    if not allowed:
        raise Refusal("concession_outside", f"the {by} may concede {span}, not {amount}", pointer=pointer)


def require_referable(dispute: Dispute, by: Speaker, at: datetime) -> None:
    """Refuse to ask the platform too early, when an answer is overdue, or when it was asked already.

    Raises:
        Refusal: ``count_none`` · ``statement_referred`` · ``answer_period_over`` · ``referral_early``.
    """
    require_disputing(dispute, by)
    if dispute.awaits == "platform":
        _require_awaited(dispute, by, at)
    _require_time(dispute, at)
    if dispute.answers < REFERRAL_ANSWERS and at < dispute.referable_at:
        raise Refusal(
            "referral_early",
            f"the platform is asked after an answer of each side, or from {render_instant(dispute.referable_at)} on",
            due=render_instant(dispute.referable_at),
        )


def require_referred(dispute: Dispute) -> None:
    """Refuse a decision of the platform that neither side asked for.

    Raises:
        Refusal: ``referral_missing``.
    """
    if dispute.awaits != "platform":
        raise Refusal(
            "referral_missing",
            f"neither side asked the platform to decide; the {dispute.awaits} may answer until"
            f" {render_instant(dispute.answer_until)}",
        )


def find_lapse(dispute: Dispute, at: datetime) -> tuple[Amount, Literal["silence", "undecided"]]:
    """Return the amount that settles a dispute because the awaited side let its time pass, and how it ended.

    Raises:
        Refusal: ``answer_period_runs``, if that side still has time at `at`.
    """
    if at < dispute.answer_until:
        due = render_instant(dispute.answer_until)
        raise Refusal("answer_period_runs", f"the {dispute.awaits} may answer until {due}", due=due)
    if dispute.awaits == "platform":
        middle = Decimal(dispute.count + dispute.position) / 2
        whole = isinstance(dispute.position, int)
        return (int(middle) if whole else middle.quantize(_PRECISION, ROUND_FLOOR)), "undecided"
    if dispute.awaits == "provider":
        return dispute.find_most(), "silence"
    offer = dispute.offer
    return (dispute.position if offer is None or offer.by != "provider" else offer.amount), "silence"


def begin_dispute(
    dispute: Dispute | None, event: StatementDisputed, stated: Amount, *, has_reseller: bool = False
) -> Dispute:
    """Return a dispute after a payer stated a count.

    Args:
        dispute: The dispute; None for the first count.
        event: The count. One of the meters counts as the startup's.
        stated: What the statement charges.
        has_reseller: Whether a reseller is paid a part of that.
    """
    heard_until = event.answer_until if has_reseller else None
    side = find_payer(event.by)
    hours = event.hours_counted
    count = event.gpu_seconds_counted if hours is None else hours
    if dispute is None:
        referable_at = event.answer_until - ANSWER + REFERRAL
        by_meters = event.by == "meters"
        return Dispute(
            {side: count},
            stated,
            "provider",
            event.answer_until,
            referable_at,
            is_automatic=by_meters,
            heard_until=heard_until,
        )
    dispute = replace(_note_startup(dispute, event.by), heard_until=heard_until)
    counts = {**dispute.counts, side: count}
    kept = dispute.offer if dispute.offer is not None and dispute.offer.by == "provider" else None
    return _keep_offer(replace(dispute, counts=counts, offer=kept, awaits="provider", answer_until=event.answer_until))


def _note_startup(dispute: Dispute, by: str) -> Dispute:
    """Return a dispute after an act of `by`: the meters' difference speaks for no startup that acts itself."""
    return replace(dispute, is_automatic=dispute.is_automatic and by != "startup")


def _keep_offer(dispute: Dispute) -> Dispute:
    """Return the dispute, without its offer if that is no longer between count and position.

    If one payer was to answer that offer, both may answer again, in the time that is left.
    """
    offer = dispute.offer
    if offer is not None and dispute.count < offer.amount < dispute.position:
        return dispute
    return replace(dispute, offer=None, awaits="payers" if dispute.awaits in PAYERS else dispute.awaits)


def _hear_reseller(dispute: Dispute, event: StatementAnswered, amount: Amount | None) -> Dispute:
    """Return a dispute after a reseller's answer; `amount` is the least to which it agrees, None if it insists."""
    dispute = replace(dispute, floor=dispute.position if amount is None else amount)
    if event.awaits == dispute.awaits or event.awaits is None:
        return dispute
    until, answers = event.answer_until, dispute.answers + 1
    return replace(dispute, awaits=event.awaits, answer_until=until, offer=None, answers=answers)


def evolve_dispute(
    dispute: Dispute, event: StatementAnswered | StatementConceded | StatementReferred | StatementAgreed
) -> Dispute:
    """Return a dispute after an event."""
    if not (isinstance(event, StatementAgreed) and event.is_silent):
        dispute = _note_startup(dispute, event.by)
    match event:
        case StatementAnswered():
            amount = event.gpu_seconds_offered if event.hours_offered is None else event.hours_offered
            if event.by == "reseller":
                return _hear_reseller(dispute, event, amount)
            return replace(
                dispute,
                awaits=event.awaits or ("payers" if event.by == "provider" else "provider"),
                answer_until=event.answer_until,
                offer=None if amount is None else Offer(event.by, amount, dispute.list_agreed(event.by, amount)),
                answers=dispute.answers + (event.by == "provider" or dispute.awaits != event.by),
            )
        case StatementConceded():
            amount = event.gpu_seconds if event.hours is None else event.hours
            counted = dict(Counter(dispute.concessions) + Counter([event.by]))
            if event.by == "provider":
                return _keep_offer(replace(dispute, position=amount, concessions=counted))
            counts = {**dispute.counts, event.by: amount}
            return _keep_offer(replace(dispute, counts=counts, concessions=counted))
        case StatementReferred():
            return replace(dispute, awaits="platform", answer_until=event.decide_until)
        case StatementAgreed():
            offer = dispute.offer
            if event.answer_until is not None:
                dispute = replace(dispute, awaits="provider", answer_until=event.answer_until)
            if offer is None or event.by not in dispute.counts:
                return dispute
            return replace(dispute, offer=replace(offer, agreed=offer.agreed | {event.by}))

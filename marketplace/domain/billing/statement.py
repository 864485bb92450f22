"""Statements: the priced usage of a grant in a period. Only accepted usage is paid and accrues.

Subject: ``marketplace.statement.<statement_id>``.

Invariants:
    1. It is settled once, by acceptance, by silence after the acceptance period, or by resolution.
    2. The settled amount never exceeds the issued amount.
    3. A settled statement never changes. Later metering leads to a statement of its own, or a credit.
    4. Once the startup was sold and its proceeds are paid, nothing accrues and no holder pays: all is paid in cash.
    5. If the promised availability was not met, the service credit is decided at acceptance, from what is known then.
    6. If both sides' meters report and differ by more than `TOLERANCE`, it opens as disputed with both figures. The
       startup is heard only once it acts itself: until `accept_until` it may accept that count or state a lower one.
    7. The startup may dispute it, and so may the holder that pays. In the acceptance period nothing is settled until
       each of them has accepted or disputed, so that none decides for the other. A mandate may leave acceptance to the
       startup.
    8. The undisputed part of a disputed statement is paid once every payer has accepted or disputed, and at the latest
       when the acceptance period ends. A resolution settles at least that.
    9. A dispute ends by agreement, by silence after a deadline, or by the platform (`dispute.py`).

Refusals in order: statement_unknown · statement_exists · statement_<status> · acceptance_period_runs ·
acceptance_period_over · count_settled · count_conceded · count_missing · not_a_number · amount_not_positive ·
amount_too_large · amount_too_precise · count_above_statement · referral_missing · charges_above_statement ·
charges_below_settled · count_none · answer_not_due · answer_period_over · answers_too_many · referral_early ·
concessions_too_many · amount_missing · not_a_number · amount_not_positive · amount_too_large ·
amount_too_precise · offer_outside · concession_outside · reseller_disagrees · value_out_of_bounds. Those from
count_none to reseller_disagrees, and referral_missing, are of a dispute (`dispute.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal

import msgspec

from events.schedule import PlatformFee
from events.service import ServiceResult
from events.statement import (
    Charges,
    Metering,
    Reference,
    ServiceCredit,
    StatementAccepted,
    StatementAgreed,
    StatementAnswered,
    StatementConceded,
    StatementCredited,
    StatementDisputed,
    StatementEvent,
    StatementIssued,
    StatementPartSettled,
    StatementReferred,
    StatementResolved,
    StatementServiceCredited,
)
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.money import ZERO, require_hours
from marketplace.domain.billing.dispute import (
    ANSWER,
    DECISION,
    Amount,
    Dispute,
    Ending,
    Party,
    Side,
    Speaker,
    answers_for_provider,
    begin_dispute,
    evolve_dispute,
    find_awaited,
    find_lapse,
    find_offer,
    find_silent,
    outlasts_silence,
    require_answer,
    require_partial,
    require_referable,
    require_referred,
    require_reseller,
    require_reseller_answer,
)
from marketplace.domain.billing.settlement import settle_without_equity, subtract_credit
from marketplace.domain.refusals import refuse_exists, refuse_status, refuse_unknown, require_bounds

TOLERANCE: Final = Fraction(1, 100)
"""How far two meters may differ, as a share of the greater figure, without a dispute."""


class IssueStatement(msgspec.Struct, frozen=True, kw_only=True):
    """Price a period, or credit what a settled one was charged too much. The event contains the whole statement.

    Attributes:
        issued: The statement.
        gpu_seconds_counted: How much of an adjustment the startup's meter supports; None to derive it from `metering`.
    """

    issued: StatementIssued | StatementCredited
    gpu_seconds_counted: int | None = None

    @property
    def statement_id(self) -> str:
        """Return the statement's id."""
        return self.issued.statement_id


class AcceptStatement(msgspec.Struct, frozen=True, kw_only=True):
    """Accept. Unless another payer is still to be heard, it is settled in the same atomic batch.

    Attributes:
        statement_id: The statement.
        by: ``acceptance`` of a payer; ``silence``: nobody disputed in time; ``resolution`` of its dispute.
        at: Now.
        issuer_ended: Whether no principal accrues and no holder pays.
        in_cash: Whether the startup pays the equity part in cash then, because it was sold and the proceeds are paid.
        is_own_capacity: Whether the provider takes the equity itself.
        fee: What the platform takes of it; None: nothing.
        side: Which payer accepts; None if none does.
        conceded: Whether the provider resolved the dispute. Then every payer must have been heard, or the time be over.
        service: The service result of the period by what is known now; None if nothing was promised.
        credit: The service credit that is due for the period, less what was given; None for nothing.
    """

    statement_id: str
    by: Literal["acceptance", "silence", "resolution"]
    at: datetime
    issuer_ended: bool = False
    in_cash: bool = False
    is_own_capacity: bool = False
    fee: PlatformFee | None = None
    side: Side | None = None
    conceded: bool = False
    service: ServiceResult | None = None
    credit: ServiceCredit | None = None


class DisputeStatement(msgspec.Struct, frozen=True, kw_only=True):
    """Dispute, by a lower count of what was delivered: in GPU-seconds, or in hours for a service line.

    `at` is now.
    """

    statement_id: str
    reason: str
    at: datetime
    by: Side = "startup"
    gpu_seconds_counted: int | None = None
    hours_counted: Decimal | None = None
    evidence: tuple[Reference, ...] = ()


class AnswerDispute(msgspec.Struct, frozen=True, kw_only=True):
    """Answer the other side of a dispute: offer an amount between count and position; without one, insist.

    `at` is now.
    """

    statement_id: str
    by: Speaker
    reason: str
    at: datetime
    gpu_seconds_offered: int | None = None
    hours_offered: Decimal | None = None
    evidence: tuple[Reference, ...] = ()


class HearSilence(msgspec.Struct, frozen=True, kw_only=True):
    """Let a payer that was silent in time agree to what the other one offers. `at` is now."""

    statement_id: str
    at: datetime


class ConcedePart(msgspec.Struct, frozen=True, kw_only=True):
    """Concede a part of a dispute.

    Attributes:
        statement_id: The statement.
        by: Who concedes.
        reason: Why.
        charges: The charges of what that party now says was delivered.
        at: Now.
    """

    statement_id: str
    by: Party
    reason: str
    charges: Charges
    at: datetime


class ReferDispute(msgspec.Struct, frozen=True, kw_only=True):
    """Ask the platform to decide a dispute."""

    statement_id: str
    by: Speaker
    reason: str
    at: datetime
    evidence: tuple[Reference, ...] = ()


class SettlePart(msgspec.Struct, frozen=True, kw_only=True):
    """Pay what nobody disputes of a disputed statement.

    Attributes:
        statement_id: The statement.
        charges: The charges of the lowest count, with earlier parts.
        credit: The service credit of that; None for none.
        part_id: The cause that the payments name.
        at: Now.
        issuer_ended: Whether no principal accrues and no holder pays.
        in_cash: Whether the startup pays the equity part in cash then, because it was sold and the proceeds are paid.
        is_own_capacity: Whether the provider takes the equity itself.
        fee: What the platform takes of it; None: nothing.
    """

    statement_id: str
    charges: Charges
    credit: ServiceCredit | None
    part_id: str
    at: datetime
    issuer_ended: bool = False
    in_cash: bool = False
    is_own_capacity: bool = False
    fee: PlatformFee | None = None


class SettleEquity(msgspec.Struct, frozen=True, kw_only=True):
    """Settle the equity part of a statement on credit: the holder pays, principal accrues, and the cash stays due.

    Attributes:
        statement_id: The statement.
        charges: The charges of what is settled, its cash included.
        part_id: The cause that the payments name.
        at: Now.
        credit: The service credit of the part; None for none.
    """

    statement_id: str
    charges: Charges
    part_id: str
    at: datetime
    credit: ServiceCredit | None = None


class ResolveStatement(msgspec.Struct, frozen=True, kw_only=True):
    """End a dispute with charges that bind both sides.

    Attributes:
        statement_id: The statement.
        charges: What is to be settled, with the parts that were paid already.
        reason: How it was decided.
        by: What ended it.
    """

    statement_id: str
    charges: Charges
    reason: str
    by: Ending


StatementCommand = (
    IssueStatement
    | AcceptStatement
    | DisputeStatement
    | AnswerDispute
    | HearSilence
    | ConcedePart
    | ReferDispute
    | SettlePart
    | SettleEquity
    | ResolveStatement
)


@dataclass(frozen=True, slots=True)
class Statement:
    """An issued statement or a credit.

    Attributes:
        issued: As it was issued.
        charges: What it charges now; after a dispute, what was resolved.
        gpu_seconds_metered: What the provider's meter had counted in the period, of nodes that worked, when stated.
        status: A credit is accepted from the beginning.
        disputed: The last count of a payer; None if it was never disputed.
        service_credit: What was paid back at settlement; None if nothing was.
        hours_metered: The hours of a service line in the period, when stated.
        agreed: The payers that accepted or, once their dispute is resolved, disputed.
        service: The service result of the period, when settled or else when stated; None without a promise.
        settled: What nobody disputed and was paid before the rest: all parts together; None if nothing was.
        parts: How many such payments were made.
        dispute: The dispute while it runs.
        ended_by: What ended the dispute.
        floor: The least to which the seller of resold hours agreed in it; None: it said nothing.
    """

    issued: StatementIssued | StatementCredited
    charges: Charges
    gpu_seconds_metered: int
    status: Literal["issued", "disputed", "resolved", "accepted"] = "issued"
    disputed: StatementDisputed | None = None
    service_credit: ServiceCredit | None = None
    hours_metered: Decimal = ZERO
    agreed: frozenset[Side] = frozenset()
    service: ServiceResult | None = None
    settled: StatementPartSettled | None = None
    parts: int = 0
    dispute: Dispute | None = None
    ended_by: str | None = None
    floor: Amount | None = None

    @property
    def disputing(self) -> frozenset[Side]:
        """Return the payers that dispute. A dispute that the meters' difference began counts as the startup's."""
        return frozenset() if self.dispute is None else frozenset(self.dispute.counts)

    @property
    def heard(self) -> frozenset[Side]:
        """Return the payers that accepted or dispute themselves. The meters' difference is not the startup's word."""
        automatic = self.dispute is not None and self.dispute.is_automatic
        return self.agreed | (self.disputing - {"startup"} if automatic else self.disputing)

    def list_unheard(self, *, issuer_ended: bool) -> list[str]:
        """Return the payers that neither accepted nor dispute, of those whose answer is needed.

        The holder's is needed only if its mandate says so, it pays a part, and the issuer has not ended.
        """
        needs_holder = isinstance(self.issued, StatementIssued) and self.issued.holder_accepts
        sides = {"startup", "holder"} if needs_holder and self.charges.holder_usd and not issuer_ended else {"startup"}
        return sorted(sides - self.heard)

    def is_acceptance_open(self, at: datetime) -> bool:
        """Return whether payers may still accept or dispute it at `at`; never for a credit."""
        return isinstance(self.issued, StatementIssued) and at < self.issued.accept_until

    @property
    def sign(self) -> int:
        """Return 1 for a charge and -1 for a credit."""
        return -1 if isinstance(self.issued, StatementCredited) else 1

    @property
    def net(self) -> Charges:
        """Return the charges less the service credit, if one was paid back."""
        return subtract_credit(self.charges, self.service_credit)

    @property
    def amount(self) -> Decimal | int:
        """Return the GPU-seconds that it charges or credits; of a service line, the hours."""
        return self.charges.gpu_seconds if self.issued.service_line_id is None else self.charges.service_hours

    @property
    def metered(self) -> Decimal | int:
        """Return what was metered of its period when it was stated, in the same unit."""
        return self.gpu_seconds_metered if self.issued.service_line_id is None else self.hours_metered


StatementState = Statement | None


def decide(command: StatementCommand, state: StatementState) -> Sequence[StatementEvent]:
    """Return the events of a command; the module lists the order of refusals."""
    if isinstance(command, IssueStatement):
        return _issue(command, state)
    if state is None:
        raise refuse_unknown("statement", command.statement_id)
    match command:
        case AcceptStatement():
            return _accept(command, state)
        case DisputeStatement():
            return _dispute(command, state)
        case AnswerDispute() | HearSilence():
            return _answer(command, state)
        case ConcedePart():
            return _concede(command, state)
        case ReferDispute():
            return _refer(command, state)
        case SettlePart() | SettleEquity():
            return _settle_part(command, state)
        case ResolveStatement():
            return _resolve(command, state)


def is_within_tolerance(metering: Metering) -> bool:
    """Return whether two meters agree: within one percent of the greater figure."""
    figures = metering.provider_gpu_seconds, metering.startup_gpu_seconds
    return abs(figures[0] - figures[1]) <= TOLERANCE * max(figures)


def _issue(command: IssueStatement, state: StatementState) -> Sequence[StatementEvent]:
    issued = command.issued
    if state is None:
        if isinstance(issued, StatementCredited) or issued.metering is None:
            return [issued]
        return [issued, *_dispute_by_meters(issued, issued.metering, command.gpu_seconds_counted)]
    if (state.issued.grant_id, state.issued.period_end) == (issued.grant_id, issued.period_end):
        return []
    raise refuse_exists("statement", issued.statement_id)


def _dispute_by_meters(issued: StatementIssued, metering: Metering, supported: int | None) -> list[StatementDisputed]:
    """Return the dispute of two meters that differ too much over what both could count."""
    over = metering.provider_gpu_seconds - metering.startup_gpu_seconds
    stated = issued.charges.gpu_seconds
    counted = stated - over if supported is None else supported
    if is_within_tolerance(metering) or counted >= stated:
        return []
    return [
        StatementDisputed(
            statement_id=issued.statement_id,
            grant_id=issued.grant_id,
            gpu_seconds_counted=max(counted, 0),
            reason=f"over the same hours the startup's meter counted {metering.startup_gpu_seconds} GPU-seconds, the"
            f" provider's {metering.provider_gpu_seconds}; they differ by more than one percent",
            answer_until=issued.accept_until,
            by="meters",
        )
    ]


def _require_status(state: Statement, *allowed: str) -> None:
    if state.status not in allowed:
        raise refuse_status("statement", state.issued.statement_id, state.status, " or ".join(allowed))


def _accept(command: AcceptStatement, state: Statement) -> Sequence[StatementEvent]:
    if state.status == "accepted":
        return []
    issued = state.issued
    assert isinstance(issued, StatementIssued), "a credit is settled as it is made"
    if command.side is not None and (waiting := _agree(command.side, command, state)) is not None:
        return waiting
    _require_status(state, "resolved" if command.by == "resolution" else "issued")
    unheard = state.list_unheard(issuer_ended=command.issuer_ended) if command.conceded else []
    if state.is_acceptance_open(command.at) and (command.by == "silence" or unheard):
        raise Refusal(
            "acceptance_period_runs",
            f"statement {command.statement_id} may be disputed until {render_instant(issued.accept_until)}"
            + (f", and {' and '.join(unheard)} neither accepted nor disputed it" if unheard else ""),
            due=render_instant(issued.accept_until),
        )
    before: list[StatementEvent] = []
    charges = _settle_equity_part(command, state.charges, state)
    if charges != state.charges:
        lowered = StatementResolved(
            statement_id=command.statement_id,
            grant_id=state.issued.grant_id,
            charges_before=state.charges,
            charges=charges,
            reason="The company was sold and its proceeds are paid out: what would accrue as principal is paid in cash."
            if command.in_cash
            else "Startup and provider are related: only the cash part is settled.",
            by="sale",
        )
        before, state = [lowered], replace(state, charges=lowered.charges)
    accepted = StatementAccepted(
        statement_id=command.statement_id,
        grant_id=state.issued.grant_id,
        charges=state.charges,
        by=command.by,
        service_line_id=state.issued.service_line_id,
        service=command.service,
        unavailable_change=_change_unavailable(command, issued, state.charges),
    )
    return [*before, accepted, *_credit_service(command, issued)]


def _settle_equity_part(command: AcceptStatement | SettlePart, charges: Charges, state: Statement) -> Charges:
    """Return what is settled of charges; see `settle_without_equity`."""
    return settle_without_equity(
        charges,
        None if state.settled is None else state.settled.charges,
        issuer_ended=command.issuer_ended,
        in_cash=command.in_cash,
        is_own_capacity=command.is_own_capacity,
        fee=command.fee,
    )


def _change_unavailable(command: AcceptStatement, issued: StatementIssued, charges: Charges) -> int:
    """Return what of a period is unavailable by the settlement, less what counted as unavailable before it.

    What an adjustment adds to delivery counts as available only now, and no more of it than is charged.
    """
    change = _count_unavailable(command.service) - _count_unavailable(issued.service)
    adjusted = issued.adjustment
    if adjusted is None:
        return change
    return change - min(max(adjusted.unavailable_before - adjusted.unavailable_after, 0), charges.gpu_seconds)


def _count_unavailable(service: ServiceResult | None) -> int:
    return 0 if service is None else service.gpu_seconds_unavailable


def _agree(side: Side, command: AcceptStatement, state: Statement) -> list[StatementEvent] | None:
    """Return the agreement of one of those who pay; None if it is the last one that is needed."""
    if state.dispute is not None and side in state.disputing:
        offer = state.dispute.offer
        if offer is None or offer.by == side:
            if side in state.agreed:
                return []
            _require_status(state, "issued", *(("disputed",) if _is_unspoken(state, side) else ()))
        elif side in offer.agreed:
            return []
        elif state.dispute.awaits == side:
            return [_pass_turn(state, side, command.at)]
        return [StatementAgreed(statement_id=command.statement_id, grant_id=state.issued.grant_id, by=side)]
    _require_status(state, "issued", "disputed")
    agreed = replace(state, agreed=state.agreed | {side})
    if state.status == "issued" and not agreed.list_unheard(issuer_ended=command.issuer_ended):
        return None
    if side in state.agreed:
        return []
    return [StatementAgreed(statement_id=command.statement_id, grant_id=state.issued.grant_id, by=side)]


def _credit_service(command: AcceptStatement, issued: StatementIssued) -> list[StatementEvent]:
    """Return the service credit of a statement; nothing if none is due."""
    if command.service is None or command.credit is None:
        return []
    return [
        StatementServiceCredited(
            statement_id=issued.statement_id,
            grant_id=issued.grant_id,
            startup_id=issued.startup_id,
            provider_id=issued.provider_id,
            service=command.service,
            credit=command.credit,
        )
    ]


def _dispute(command: DisputeStatement, state: Statement) -> Sequence[StatementEvent]:
    event = StatementDisputed(
        statement_id=command.statement_id,
        grant_id=state.issued.grant_id,
        gpu_seconds_counted=command.gpu_seconds_counted or 0,
        reason=command.reason,
        answer_until=command.at + ANSWER,
        hours_counted=command.hours_counted,
        by=command.by,
        evidence=command.evidence,
    )
    known = state.disputed
    if known is not None and state.dispute is not None and known == _at(event, known.answer_until):
        return []
    _require_status(state, *(("issued", "disputed") if _may_lower(command, state) else ("issued",)))
    assert isinstance(state.issued, StatementIssued), "a credit is settled as it is made"
    if not state.is_acceptance_open(command.at):
        raise Refusal(
            "acceptance_period_over",
            f"statement {command.statement_id} could be disputed until {render_instant(state.issued.accept_until)},"
            " which has passed",
        )
    if state.settled is not None:
        raise Refusal(
            "count_settled",
            f"what nobody disputed of statement {command.statement_id} is already paid; the count stands. The provider"
            " may concede the rest, or the platform decides it",
        )
    if state.dispute is not None and state.dispute.concessions.get(command.by):
        raise Refusal("count_conceded", f"the {command.by} conceded a part of its count, and cannot lower it again")
    _require_count(command, state)
    require_bounds(event)
    return [event]


def _at(event: StatementDisputed, answer_until: datetime) -> StatementDisputed:
    return msgspec.structs.replace(event, answer_until=answer_until)


def get_dispute(state: Statement) -> Dispute:
    """Return the running dispute of a statement.

    Raises:
        Refusal: ``statement_<status>`` if there is none.
    """
    _require_status(state, "disputed")
    assert state.dispute is not None, "a disputed statement has a dispute"
    return state.dispute


def require_amount(
    state: Statement,
    gpu_seconds: int | None,
    hours: Decimal | None,
    pointers: tuple[str, str] = ("/gpu_seconds", "/hours"),
) -> Amount | None:
    """Return the amount that a request states in the unit of its statement; None if it states none.

    Args:
        state: The statement.
        gpu_seconds: What the request states in GPU-seconds; None: nothing.
        hours: What it states in hours; None: nothing.
        pointers: The members of the request that state these two.

    Raises:
        Refusal: ``amount_missing`` if it is in the other unit · ``not_a_number`` · ``amount_not_positive`` ·
            ``amount_too_large`` · ``amount_too_precise``.
    """
    is_service = state.issued.service_line_id is not None
    other = gpu_seconds if is_service else hours
    if other is not None:
        name = "hours" if is_service else "GPU-seconds"
        raise Refusal("amount_missing", f"the statement is in {name}; state only {name}", pointer=pointers[is_service])
    if hours is not None:
        require_hours(hours, pointers[1], zero=True)
    return hours if is_service else gpu_seconds


def _pass_turn(state: Statement, side: Side, at: datetime, *, is_silent: bool = False) -> StatementAgreed:
    """Return that a payer agrees to what the other one offers, so that the provider is to answer it."""
    return StatementAgreed(
        statement_id=state.issued.statement_id,
        grant_id=state.issued.grant_id,
        by=side,
        answer_until=at + ANSWER,
        is_silent=is_silent,
    )


def _answer(command: AnswerDispute | HearSilence, state: Statement) -> Sequence[StatementEvent]:
    dispute = get_dispute(state)
    if isinstance(command, HearSilence):
        silent = find_silent(dispute, command.at)
        if silent is not None:
            return [_pass_turn(state, silent, command.at, is_silent=True)]
        return [_refer_standing(state, command.at)] if outlasts_silence(dispute, command.at) else []
    by = command.by
    offered = require_amount(state, command.gpu_seconds_offered, command.hours_offered, ("/gpu_seconds", "/hours"))
    pointer = "/gpu_seconds" if command.hours_offered is None else "/hours"
    if by == "reseller":
        return [_answer_as_reseller(command, state, offered, pointer)]
    require_answer(dispute, by, offered, command.at, pointer)
    if by == "provider" and offered is not None:
        require_reseller(dispute, offered, command.at)
    offered = find_offer(dispute, by, offered)
    awaits = find_awaited(dispute, by, offered)
    return [
        StatementAnswered(
            statement_id=command.statement_id,
            grant_id=state.issued.grant_id,
            by=by,
            reason=command.reason,
            answer_until=command.at + ANSWER if awaits is None else dispute.answer_until,
            gpu_seconds_offered=offered if isinstance(offered, int) else None,
            hours_offered=offered if isinstance(offered, Decimal) else None,
            evidence=command.evidence,
            awaits=awaits,
        )
    ]


def _answer_as_reseller(
    command: AnswerDispute, state: Statement, agreed: Amount | None, pointer: str
) -> StatementAnswered:
    """Return a reseller's answer. If it is the provider's too, the payers answer next."""
    dispute = get_dispute(state)
    require_reseller_answer(dispute, agreed, command.at, pointer)
    is_answer = answers_for_provider(dispute, agreed)
    assert dispute.awaits != "platform", "it is refused then"
    return StatementAnswered(
        statement_id=command.statement_id,
        grant_id=state.issued.grant_id,
        by="reseller",
        reason=command.reason,
        answer_until=command.at + ANSWER if is_answer else dispute.answer_until,
        gpu_seconds_offered=agreed if isinstance(agreed, int) else None,
        hours_offered=agreed if isinstance(agreed, Decimal) else None,
        evidence=command.evidence,
        awaits="payers" if is_answer else dispute.awaits,
    )


def _concede(command: ConcedePart, state: Statement) -> Sequence[StatementEvent]:
    dispute = get_dispute(state)
    is_service = state.issued.service_line_id is not None
    amount: Amount = command.charges.service_hours if is_service else command.charges.gpu_seconds
    require_partial(dispute, command.by, amount, "/hours" if is_service else "/gpu_seconds")
    if command.by == "provider":
        require_reseller(dispute, amount, command.at)
    event = StatementConceded(
        statement_id=command.statement_id,
        grant_id=state.issued.grant_id,
        by=command.by,
        reason=command.reason,
        charges=command.charges if command.by == "provider" else state.charges,
        gpu_seconds=0 if is_service else command.charges.gpu_seconds,
        hours=command.charges.service_hours if is_service else None,
        counted_by="startup",
    )
    after = evolve_dispute(dispute, event)
    name = "hours_counted" if is_service else "gpu_seconds_counted"
    conceded = msgspec.structs.replace(event, **{name: after.count, "counted_by": after.counted_by})
    offer, by = dispute.offer, command.by
    if by == "provider" or dispute.awaits != by or offer is None or amount < offer.amount:
        return [conceded]
    return [conceded, _pass_turn(state, by, command.at)]


def _refer(command: ReferDispute, state: Statement) -> Sequence[StatementEvent]:
    require_referable(get_dispute(state), command.by, command.at)
    return [
        StatementReferred(
            statement_id=command.statement_id,
            grant_id=state.issued.grant_id,
            by=command.by,
            reason=command.reason,
            decide_until=command.at + DECISION,
            evidence=command.evidence,
        )
    ]


def _refer_standing(state: Statement, at: datetime) -> StatementReferred:
    """Return the event that asks the platform because a reseller's answer stands and the provider is silent."""
    return StatementReferred(
        statement_id=state.issued.statement_id,
        grant_id=state.issued.grant_id,
        by="reseller",
        reason="the provider did not answer, and the seller of the hours agrees to no less than it said before",
        decide_until=at + DECISION,
    )


def find_silence(state: Statement, at: datetime) -> tuple[Amount, Ending]:
    """Return the amount that settles a dispute whose deadline passed, and what ended it.

    Raises:
        Refusal: ``statement_<status>`` · ``answer_period_runs``.
    """
    dispute = get_dispute(state)
    return find_lapse(replace(dispute, counts=_raise_counts(state, dispute)), at)


def find_undisputed(state: Statement, at: datetime) -> Amount:
    """Return the amount of a disputed statement that nobody disputes; from its deadline on, what silence settles.

    Raises:
        Refusal: ``statement_<status>`` without a dispute.
    """
    dispute = get_dispute(state)
    is_over = at >= dispute.answer_until and find_silent(dispute, at) is None and not outlasts_silence(dispute, at)
    return find_silence(state, at)[0] if is_over else dispute.count


def _raise_counts(state: Statement, dispute: Dispute) -> dict[Side, Amount]:
    """Return the counts if the platform is silent: the startup's is no less than its own meter supports.

    A startup that did not meter supports nothing below the provider's position. A holder has no meter, and the hours of
    service lines have no second one.
    """
    counts = dict(dispute.counts)
    if dispute.awaits == "platform" and "startup" in counts and state.issued.service_line_id is None:
        metering = state.issued.metering if isinstance(state.issued, StatementIssued) else None
        lacks = 0 if metering is None else metering.provider_gpu_seconds - metering.startup_gpu_seconds
        supported = min(dispute.position, state.issued.charges.gpu_seconds - max(lacks, 0))
        counts["startup"] = max(counts["startup"], supported)
    return counts


def is_part_due(state: Statement, at: datetime, *, issuer_ended: bool) -> bool:
    """Return whether a disputed statement has an undisputed part that is to be paid at `at`.

    That is so once every payer was heard or the acceptance period is over, until the part of the lowest count is paid.
    """
    if state.dispute is None or not isinstance(state.issued, StatementIssued):
        return False
    paid = state.settled
    if paid is not None and (_get_amount(paid.charges), not paid.is_cash_due) >= (state.dispute.count, True):
        return False
    return not state.is_acceptance_open(at) or not state.list_unheard(issuer_ended=issuer_ended)


def _settle_part(command: SettlePart | SettleEquity, state: Statement) -> Sequence[StatementEvent]:
    if isinstance(command, SettleEquity):
        return _settle_equity(command, state)
    if not is_part_due(state, command.at, issuer_ended=command.issuer_ended):
        return []
    charges = _settle_equity_part(command, command.charges, state)
    if not (charges.provider_usd or charges.cash_usd or charges.principal_usd):
        return []
    return [
        StatementPartSettled(
            statement_id=command.statement_id,
            grant_id=state.issued.grant_id,
            charges=charges,
            part_id=command.part_id,
            credit=command.credit,
        )
    ]


def _settle_equity(command: SettleEquity, state: Statement) -> Sequence[StatementEvent]:
    """Return the payment of an equity part; nothing if as much is settled."""
    _require_status(state, "issued", "disputed", "resolved")
    if isinstance(state.issued, StatementIssued) and state.is_acceptance_open(command.at):
        raise Refusal(
            "acceptance_period_runs",
            f"statement {command.statement_id} may be disputed until {render_instant(state.issued.accept_until)}",
            due=render_instant(state.issued.accept_until),
        )
    paid = ZERO if state.settled is None else state.settled.charges.principal_usd
    if command.charges.principal_usd <= paid:
        return []
    return [
        StatementPartSettled(
            statement_id=command.statement_id,
            grant_id=state.issued.grant_id,
            charges=command.charges,
            part_id=command.part_id,
            credit=command.credit,
            is_cash_due=True,
        )
    ]


def _is_unspoken(state: Statement, side: Side) -> bool:
    """Return whether only the meters' difference speaks for a payer."""
    return state.dispute is not None and state.dispute.is_automatic and side == "startup"


def _may_lower(command: DisputeStatement, state: Statement) -> bool:
    """Return whether a payer may state a lower count: the lowest is another one's, or only the meters'."""
    dispute = state.dispute
    return dispute is not None and (
        _is_unspoken(state, command.by)
        or any(side != command.by and count == dispute.count for side, count in dispute.counts.items())
    )


def _require_count(command: DisputeStatement, state: Statement) -> None:
    """Refuse a count that is not below the stated amount, in the statement's own unit."""
    is_service, charges = state.issued.service_line_id is not None, state.charges
    counted: Decimal | int | None = command.gpu_seconds_counted
    other: Decimal | int | None = command.hours_counted
    name, stated, member = "GPU-seconds", Decimal(charges.gpu_seconds), "/gpu_seconds_counted"
    if is_service:
        counted, other = other, counted
        name, stated, member = "hours", charges.service_hours, "/hours_counted"
    if counted is None or other is not None:
        raise Refusal("count_missing", f"the statement is in {name}; state the count in {name} alone", pointer=member)
    if is_service:
        require_hours(Decimal(counted), member, zero=True)
    if counted >= stated:
        raise Refusal(
            "count_above_statement",
            f"{stated} {name} are stated; a count must be below that",
            pointer=member,
        )
    known = None if state.dispute is None else state.dispute.count
    if known is not None and counted >= known:
        raise Refusal(
            "count_above_statement",
            f"a count of {known} {name} stands already; another one must be below that",
            pointer=member,
        )


def _resolve(command: ResolveStatement, state: Statement) -> Sequence[StatementEvent]:
    if state.status in {"resolved", "accepted"} and state.disputed is not None and state.charges == command.charges:
        return []
    dispute = get_dispute(state)
    if command.by == "platform":
        require_referred(dispute)
    for name in Charges.__struct_fields__:
        resolved, stated = getattr(command.charges, name), getattr(state.charges, name)
        if resolved > stated:
            raise Refusal(
                "charges_above_statement",
                f"the resolved {name} would be {resolved}, above the {stated} stated; a dispute can only lower a"
                " statement",
                pointer=f"/{name}",
            )
    paid = state.settled
    if paid is not None and _get_amount(command.charges) < _get_amount(paid.charges):
        raise Refusal(
            "charges_below_settled",
            f"{_get_amount(paid.charges)} were not disputed and are paid; resolve at that or more, and correct the"
            " readings for less",
            pointer="/gpu_seconds" if state.issued.service_line_id is None else "/service_hours",
        )
    return [
        StatementResolved(
            statement_id=command.statement_id,
            grant_id=state.issued.grant_id,
            charges_before=state.issued.charges,
            charges=command.charges,
            reason=command.reason,
            by=command.by,
        )
    ]


def _get_amount(charges: Charges) -> Decimal:
    return charges.gpu_seconds + charges.service_hours


def evolve(state: StatementState, event: StatementEvent) -> StatementState:
    """Return the state after an event."""
    if isinstance(event, StatementIssued | StatementCredited):
        return _begin(event)
    assert state is not None, "a statement is issued first"
    match event:
        case StatementAgreed():
            agreed = state.agreed | {event.by}
            if state.dispute is None or event.by not in state.disputing:
                return replace(state, agreed=agreed)
            dispute = evolve_dispute(state.dispute, event)
            speaks = _is_unspoken(state, event.by) and not event.is_silent
            return replace(state, dispute=dispute, agreed=agreed if speaks else state.agreed)
        case StatementAccepted():
            return replace(state, status="accepted", service=event.service)
        case StatementServiceCredited():
            return replace(state, service_credit=event.credit)
        case StatementDisputed():
            has_reseller = state.charges.reseller_receives_usd > 0
            dispute = begin_dispute(state.dispute, event, state.amount, has_reseller=has_reseller)
            return replace(state, status="disputed", disputed=event, dispute=dispute, agreed=state.agreed - {event.by})
        case StatementAnswered() | StatementConceded() | StatementReferred():
            assert state.dispute is not None, "only a disputed statement is argued about"
            charges = event.charges if isinstance(event, StatementConceded) else state.charges
            return replace(state, dispute=evolve_dispute(state.dispute, event), charges=charges)
        case StatementPartSettled():
            return replace(state, settled=event, parts=state.parts + 1)
        case StatementResolved():
            heard, ended_by = state.heard, state.ended_by or event.by
            floor = None if state.dispute is None else state.dispute.floor
            resolved = replace(state, status="resolved", charges=event.charges, dispute=None, floor=floor)
            return replace(resolved, agreed=heard, ended_by=ended_by)


def _begin(event: StatementIssued | StatementCredited) -> Statement:
    metered = event.charges.gpu_seconds if event.adjustment is None else event.adjustment.gpu_seconds_after
    hours = event.charges.service_hours if event.adjustment is None else event.adjustment.hours_after
    if isinstance(event, StatementCredited):
        credit = event.service_credit
        return Statement(
            event,
            event.charges,
            metered,
            "accepted",
            service_credit=credit,
            hours_metered=hours,
            service=event.service,
        )
    return Statement(event, event.charges, metered, hours_metered=hours, service=event.service)


STATEMENT: Decider[StatementCommand, StatementEvent, StatementState] = Decider("statement", "stm", None, decide, evolve)

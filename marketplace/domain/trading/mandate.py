"""Mandates: a holder's standing offer to take equity for compute, and the budget behind it.

Subject: ``marketplace.mandate.<mandate_id>``.

Invariants:
    1. Held and committed budget never exceed the budget, and no hold takes an issuer above the issuer's maximum.
    2. The same holds for a sector, and for what is drawn in cash besides compute, of which there is none by default.
    3. A capture never exceeds its hold. Released budget is free again at once.
    4. An amendment applies to future holds. Held or committed budget keeps the rules of its time.

Refusals in order: mandate_unknown · mandate_exists · hold_exists · hold_unknown · instrument_kinds_missing ·
not_a_number · amount_not_positive · amount_too_large · amount_too_precise · issuer_above_budget · direct_above_budget ·
cap_range_empty · discount_range_empty · strike_range_empty · time_naive · mandate_revoked · mandate_expired ·
instrument_kind_unwelcome · uncapped_unwelcome · cap_outside_range · discount_outside_range · strike_outside_range ·
warrant_too_brief · issuer_unwelcome · sector_unwelcome · price_above_mandate · budget_below_committed ·
direct_cash_unwelcome · budget_exhausted · issuer_maximum_reached · sector_maximum_reached · capture_above_hold ·
release_above_hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec
from immutables import Map

from events.mandate import (
    MandateAmended,
    MandateBudgetCaptured,
    MandateBudgetHeld,
    MandateBudgetReleased,
    MandateEvent,
    MandateGranted,
    MandateRevoked,
    MandateTerms,
)
from events.types import PrincipalTerms
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.money import ZERO, require_usd
from marketplace.domain.refusals import refuse_exists, refuse_unknown
from marketplace.domain.trading.mandate_rules import Asked, require_cap_range, require_terms, require_welcome


class GrantMandate(msgspec.Struct, frozen=True, kw_only=True):
    """Offer to take equity."""

    mandate_id: str
    holder_id: str
    funding: Literal["cash", "own_capacity"]
    terms: MandateTerms


class AmendMandate(msgspec.Struct, frozen=True, kw_only=True):
    """Change the rules for future holds."""

    mandate_id: str
    terms: MandateTerms


class RevokeMandate(msgspec.Struct, frozen=True, kw_only=True):
    """Revoke the mandate, so that it takes nothing new."""

    mandate_id: str
    reason: str


class HoldBudget(msgspec.Struct, frozen=True, kw_only=True):
    """Set budget aside for an order.

    Attributes:
        mandate_id: The mandate.
        hold_id: The hold.
        order_id: The order.
        issuer_id: The issuer of the equity.
        instrument: Terms offered.
        implied_cap_usd: The company value at the price of priced stock; it must be within the cap range.
        usd_per_gpu_hour: The greatest price that is offered, at the mandate's credit; None for none.
        direct: Whether it is drawn in cash besides compute.
        sector: Sector of the issuer.
        amount_usd: The amount.
        at: Now.
    """

    mandate_id: str
    hold_id: str
    order_id: str
    issuer_id: str
    instrument: PrincipalTerms
    sector: str | None
    amount_usd: Decimal
    at: datetime
    implied_cap_usd: Decimal | None = None
    usd_per_gpu_hour: Decimal | None = None
    direct: bool = False


class CaptureBudget(msgspec.Struct, frozen=True, kw_only=True):
    """Commit part of a hold to a grant.

    Attributes:
        mandate_id: The mandate.
        hold_id: The hold.
        grant_id: The grant.
        amount_usd: What is committed.
        implied_cap_usd: The company value at the price of priced stock now; it must still be within the cap range.
    """

    mandate_id: str
    hold_id: str
    grant_id: str
    amount_usd: Decimal
    implied_cap_usd: Decimal | None = None


class ReleaseBudget(msgspec.Struct, frozen=True, kw_only=True):
    """Free held or committed budget, except an amount to keep."""

    mandate_id: str
    hold_id: str
    keep_usd: Decimal
    reason: str


MandateCommand = GrantMandate | AmendMandate | RevokeMandate | HoldBudget | CaptureBudget | ReleaseBudget


@dataclass(frozen=True, slots=True)
class BudgetHold:
    """Budget of one order, held until it is captured for its grant."""

    order_id: str
    issuer_id: str
    held_usd: Decimal
    committed_usd: Decimal = ZERO
    grant_id: str | None = None
    sector: str | None = None
    direct: bool = False

    @property
    def total_usd(self) -> Decimal:
        """Return the held and committed budget of this hold."""
        return self.held_usd + self.committed_usd


@dataclass(frozen=True, slots=True)
class Mandate:
    """A granted mandate."""

    granted: MandateGranted
    terms: MandateTerms
    revoked: bool = False
    holds: Map[str, BudgetHold] = field(default_factory=Map)
    used_usd: Decimal = ZERO
    used_by_issuer_usd: Map[str, Decimal] = field(default_factory=Map)
    used_by_sector_usd: Map[str | None, Decimal] = field(default_factory=Map)
    used_directly_usd: Decimal = ZERO

    @property
    def asked(self) -> Asked:
        """Return what its rules are asked by."""
        return Asked(self.granted.mandate_id, self.terms, self.revoked)


MandateState = Mandate | None


def decide(command: MandateCommand, state: MandateState) -> Sequence[MandateEvent]:
    """Return the events of a command; the module lists the order of refusals."""
    if isinstance(command, GrantMandate):
        return _grant(command, state)
    if state is None:
        raise refuse_unknown("mandate", command.mandate_id)
    if isinstance(command, AmendMandate):
        return _amend(command, state)
    if isinstance(command, RevokeMandate):
        return [] if state.revoked else [MandateRevoked(mandate_id=command.mandate_id, reason=command.reason)]
    if isinstance(command, HoldBudget):
        return _hold(command, state)
    if isinstance(command, CaptureBudget):
        return _capture(command, state)
    return _release(command, state)


def _grant(command: GrantMandate, state: MandateState) -> Sequence[MandateEvent]:
    event = MandateGranted(
        mandate_id=command.mandate_id, holder_id=command.holder_id, funding=command.funding, terms=command.terms
    )
    if state is not None:
        if state.granted == event:
            return []
        raise refuse_exists("mandate", command.mandate_id)
    require_terms(command.terms)
    return [event]


def _amend(command: AmendMandate, state: Mandate) -> Sequence[MandateEvent]:
    if command.terms == state.terms:
        return []
    require_terms(command.terms)
    if state.revoked:
        raise Refusal("mandate_revoked", f"mandate {command.mandate_id} is revoked; grant a new one")
    if command.terms.budget_usd < state.used_usd:
        raise Refusal(
            "budget_below_committed",
            f"{state.used_usd} of the budget are held or committed; the budget cannot be {command.terms.budget_usd}",
            pointer="/terms/budget_usd",
            used_usd=str(state.used_usd),
        )
    return [MandateAmended(mandate_id=command.mandate_id, terms=command.terms)]


def _hold(command: HoldBudget, state: Mandate) -> Sequence[MandateEvent]:
    known = state.holds.get(command.hold_id)
    if known is not None:
        if (known.order_id, known.issuer_id, known.total_usd) == (
            command.order_id,
            command.issuer_id,
            command.amount_usd,
        ):
            return []
        raise Refusal("hold_exists", f"hold {command.hold_id} exists with other content")
    require_usd(command.amount_usd, "/amount_usd", zero=True)
    require_welcome(state.asked, command)
    _require_room(command, state)
    return [
        MandateBudgetHeld(
            mandate_id=command.mandate_id,
            hold_id=command.hold_id,
            order_id=command.order_id,
            issuer_id=command.issuer_id,
            amount_usd=command.amount_usd,
            sector=command.sector,
            direct=command.direct,
        )
    ]


def _require_room(command: HoldBudget, state: Mandate) -> None:
    """Refuse to hold more than is left, of the whole budget or of a part of it."""
    terms, needed = state.terms, command.amount_usd
    direct = (terms.direct_usd_max or ZERO) - state.used_directly_usd
    whole = terms.budget_usd - state.used_usd
    issuer = terms.issuer_usd_max - state.used_by_issuer_usd.get(command.issuer_id, ZERO)
    sector = None
    if terms.sector_usd_max is not None:
        sector = terms.sector_usd_max - state.used_by_sector_usd.get(command.sector, ZERO)
    if command.direct and needed > direct:
        raise Refusal(
            "direct_cash_unwelcome", _tell_room(command, direct, "left for direct cash"), **_measure(command, direct)
        )
    if needed > whole:
        raise Refusal("budget_exhausted", _tell_room(command, whole, "of its budget left"), **_measure(command, whole))
    if needed > issuer:
        raise Refusal(
            "issuer_maximum_reached", _tell_room(command, issuer, "left for this issuer"), **_measure(command, issuer)
        )
    if sector is not None and needed > sector:
        raise Refusal(
            "sector_maximum_reached",
            _tell_room(command, sector, f"left for {command.sector}"),
            **_measure(command, sector),
        )


def _measure(command: HoldBudget, left: Decimal) -> dict[str, str]:
    free, needed = str(max(left, ZERO)), str(command.amount_usd)
    return {"mandate_id": command.mandate_id, "free_usd": free, "needed_usd": needed}


def _tell_room(command: HoldBudget, left: Decimal, what: str) -> str:
    return f"mandate {command.mandate_id} has {max(left, ZERO)} {what}; {command.amount_usd} is needed"


def _capture(command: CaptureBudget, state: Mandate) -> Sequence[MandateEvent]:
    known = _get_hold(state, command.mandate_id, command.hold_id)
    if known.grant_id == command.grant_id and known.committed_usd == command.amount_usd:
        return []
    if command.implied_cap_usd is not None:
        require_cap_range(command.mandate_id, state.terms, command.implied_cap_usd)
    require_usd(command.amount_usd, "/amount_usd", zero=True)
    if command.amount_usd > known.held_usd or known.grant_id is not None:
        raise Refusal(
            "capture_above_hold",
            f"hold {command.hold_id} has {known.held_usd}; {command.amount_usd} cannot be captured",
            held_usd=str(known.held_usd),
        )
    return [
        MandateBudgetCaptured(
            mandate_id=command.mandate_id,
            hold_id=command.hold_id,
            grant_id=command.grant_id,
            amount_usd=command.amount_usd,
        )
    ]


def _get_hold(state: Mandate, mandate_id: str, hold_id: str) -> BudgetHold:
    known = state.holds.get(hold_id)
    if known is None:
        raise Refusal("hold_unknown", f"mandate {mandate_id} has no hold {hold_id}", hold_id=hold_id)
    return known


def _release(command: ReleaseBudget, state: Mandate) -> Sequence[MandateEvent]:
    known = _get_hold(state, command.mandate_id, command.hold_id)
    require_usd(command.keep_usd, "/keep_usd", zero=True)
    if command.keep_usd > known.total_usd:
        raise Refusal(
            "release_above_hold", f"hold {command.hold_id} has {known.total_usd}; {command.keep_usd} cannot be kept"
        )
    if command.keep_usd == known.total_usd:
        return []
    return [
        MandateBudgetReleased(
            mandate_id=command.mandate_id,
            hold_id=command.hold_id,
            amount_usd=known.total_usd - command.keep_usd,
            reason=command.reason,
        )
    ]


def evolve(state: MandateState, event: MandateEvent) -> MandateState:
    """Return the state after an event."""
    if isinstance(event, MandateGranted):
        return Mandate(event, event.terms)
    assert state is not None, "a mandate is granted first"
    if isinstance(event, MandateAmended):
        return replace(state, terms=event.terms)
    if isinstance(event, MandateRevoked):
        return replace(state, revoked=True)
    if isinstance(event, MandateBudgetHeld):
        hold = BudgetHold(event.order_id, event.issuer_id, event.amount_usd, sector=event.sector, direct=event.direct)
        return _use(state, event.hold_id, hold, event.amount_usd)
    before = state.holds[event.hold_id]
    if isinstance(event, MandateBudgetCaptured):
        captured = replace(
            before,
            held_usd=before.held_usd - event.amount_usd,
            committed_usd=before.committed_usd + event.amount_usd,
            grant_id=event.grant_id,
        )
        return _use(state, event.hold_id, captured, ZERO)
    from_held = min(before.held_usd, event.amount_usd)
    released = replace(
        before,
        held_usd=before.held_usd - from_held,
        committed_usd=before.committed_usd - (event.amount_usd - from_held),
    )
    return _use(state, event.hold_id, released, -event.amount_usd)


def _use(state: Mandate, hold_id: str, hold: BudgetHold, amount_usd: Decimal) -> Mandate:
    by_issuer, by_sector = state.used_by_issuer_usd, state.used_by_sector_usd
    return replace(
        state,
        holds=state.holds.set(hold_id, hold),
        used_usd=state.used_usd + amount_usd,
        used_by_issuer_usd=by_issuer.set(hold.issuer_id, by_issuer.get(hold.issuer_id, ZERO) + amount_usd),
        used_by_sector_usd=by_sector.set(hold.sector, by_sector.get(hold.sector, ZERO) + amount_usd),
        used_directly_usd=state.used_directly_usd + (amount_usd if hold.direct else ZERO),
    )


MANDATE: Decider[MandateCommand, MandateEvent, MandateState] = Decider("mandate", "mnd", None, decide, evolve)

"""Mandates: a holder's standing offer to take equity for compute, and the budget behind it.

Subject: ``marketplace.mandate.<mandate_id>``.

Invariants:
    1. Held and committed budget never exceed the budget, and no hold takes an issuer above the issuer's maximum.
    2. A capture never exceeds its hold. Released budget is free again at once.
    3. An amendment applies to future holds. Held or committed budget keeps the rules of its time.

Refusals in order: mandate_unknown · mandate_exists · hold_exists · hold_unknown · instrument_kinds_missing ·
not_a_number · amount_not_positive · amount_too_large · amount_too_precise · issuer_above_budget · cap_range_empty ·
time_naive · mandate_revoked · mandate_expired · instrument_kind_unwelcome · cap_outside_range · sector_unwelcome ·
budget_below_committed · budget_exhausted · issuer_maximum_reached · capture_above_hold · release_above_hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

import msgspec
from immutables import Map

from events.mandate import (
    InstrumentKind,
    MandateAmended,
    MandateBudgetCaptured,
    MandateBudgetHeld,
    MandateBudgetReleased,
    MandateEvent,
    MandateGranted,
    MandateRevoked,
    MandateTerms,
)
from events.types import NoteTerms, PricedTerms, PrincipalTerms, SafeTerms, StockTerms, WarrantTerms
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.money import ZERO, require_share, require_usd
from marketplace.domain.refusals import refuse_exists, refuse_unknown, require_aware

_KINDS: Final[dict[type[PrincipalTerms], InstrumentKind]] = {
    SafeTerms: "safe",
    NoteTerms: "convertible_note",
    StockTerms: "stock",
    WarrantTerms: "warrant",
}


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


class CaptureBudget(msgspec.Struct, frozen=True, kw_only=True):
    """Commit part of a hold to a grant."""

    mandate_id: str
    hold_id: str
    grant_id: str
    amount_usd: Decimal


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


def _require_terms(terms: MandateTerms) -> None:
    if not terms.instrument_kinds:
        raise Refusal(
            "instrument_kinds_missing", "name at least one kind of instrument", pointer="/terms/instrument_kinds"
        )
    require_share(terms.equity_credit, "/terms/equity_credit")
    require_usd(terms.budget_usd, "/terms/budget_usd")
    require_usd(terms.issuer_usd_max, "/terms/issuer_usd_max")
    if terms.issuer_usd_max > terms.budget_usd:
        raise Refusal(
            "issuer_above_budget",
            f"one issuer may get {terms.issuer_usd_max}, more than the budget of {terms.budget_usd}",
            pointer="/terms/issuer_usd_max",
        )
    low, high = terms.valuation_cap_usd_min, terms.valuation_cap_usd_max
    for bound, pointer in ((low, "/terms/valuation_cap_usd_min"), (high, "/terms/valuation_cap_usd_max")):
        if bound is not None:
            require_usd(bound, pointer)
    if low is not None and high is not None and low > high:
        raise Refusal(
            "cap_range_empty", f"the cap range is empty: {low} is above {high}", pointer="/terms/valuation_cap_usd_max"
        )
    if terms.expires_at is not None:
        require_aware(terms.expires_at, "/terms/expires_at")


def _grant(command: GrantMandate, state: MandateState) -> Sequence[MandateEvent]:
    event = MandateGranted(
        mandate_id=command.mandate_id, holder_id=command.holder_id, funding=command.funding, terms=command.terms
    )
    if state is not None:
        if state.granted == event:
            return []
        raise refuse_exists("mandate", command.mandate_id)
    _require_terms(command.terms)
    return [event]


def _amend(command: AmendMandate, state: Mandate) -> Sequence[MandateEvent]:
    if command.terms == state.terms:
        return []
    _require_terms(command.terms)
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


def require_welcome(
    mandate: Mandate,
    instrument: PrincipalTerms,
    sector: str | None,
    at: datetime,
    implied_cap_usd: Decimal | None = None,
) -> None:
    """Refuse what the mandate's rules exclude, regardless of budget.

    Raises:
        Refusal: ``mandate_revoked``, ``mandate_expired``, ``instrument_kind_unwelcome``, ``cap_outside_range`` or
            ``sector_unwelcome``, in this order.
    """
    mandate_id, terms = mandate.granted.mandate_id, mandate.terms
    if mandate.revoked:
        raise Refusal("mandate_revoked", f"mandate {mandate_id} is revoked; name another", mandate_id=mandate_id)
    if terms.expires_at is not None and at >= terms.expires_at:
        raise Refusal(
            "mandate_expired",
            f"mandate {mandate_id} ended at {terms.expires_at.isoformat()}; name another",
            mandate_id=mandate_id,
        )
    kind = _KINDS[type(instrument)]
    if kind not in terms.instrument_kinds:
        raise Refusal(
            "instrument_kind_unwelcome",
            f"mandate {mandate_id} accepts {', '.join(terms.instrument_kinds)}, not a {kind}",
            mandate_id=mandate_id,
        )
    cap = implied_cap_usd if isinstance(instrument, PricedTerms) else instrument.valuation_cap_usd
    low, high = terms.valuation_cap_usd_min, terms.valuation_cap_usd_max
    if (cap is None and high is not None) or (
        cap is not None and ((low is not None and cap < low) or (high is not None and cap > high))
    ):
        raise Refusal(
            "cap_outside_range",
            f"mandate {mandate_id} accepts caps from {low or 0} to {high or 'any'}, not {cap or 'uncapped terms'}",
            mandate_id=mandate_id,
            cap_usd=str(cap),
        )
    if terms.sectors and sector not in terms.sectors:
        raise Refusal(
            "sector_unwelcome",
            f"mandate {mandate_id} accepts issuers of {', '.join(terms.sectors)}, not {sector or 'none stated'}",
            mandate_id=mandate_id,
        )


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
    require_welcome(state, command.instrument, command.sector, command.at, command.implied_cap_usd)
    free = state.terms.budget_usd - state.used_usd
    if command.amount_usd > free:
        raise Refusal(
            "budget_exhausted",
            f"mandate {command.mandate_id} has {free} of its budget left; the offer needs {command.amount_usd}",
            mandate_id=command.mandate_id,
            free_usd=str(free),
            needed_usd=str(command.amount_usd),
        )
    room = max(state.terms.issuer_usd_max - state.used_by_issuer_usd.get(command.issuer_id, ZERO), ZERO)
    if command.amount_usd > room:
        raise Refusal(
            "issuer_maximum_reached",
            f"mandate {command.mandate_id} has {room} left for this issuer; the offer needs {command.amount_usd}",
            mandate_id=command.mandate_id,
            free_usd=str(room),
            needed_usd=str(command.amount_usd),
        )
    return [
        MandateBudgetHeld(
            mandate_id=command.mandate_id,
            hold_id=command.hold_id,
            order_id=command.order_id,
            issuer_id=command.issuer_id,
            amount_usd=command.amount_usd,
        )
    ]


def _capture(command: CaptureBudget, state: Mandate) -> Sequence[MandateEvent]:
    known = _get_hold(state, command.mandate_id, command.hold_id)
    if known.grant_id == command.grant_id and known.committed_usd == command.amount_usd:
        return []
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
        hold = BudgetHold(event.order_id, event.issuer_id, event.amount_usd)
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
    by_issuer = state.used_by_issuer_usd
    return replace(
        state,
        holds=state.holds.set(hold_id, hold),
        used_usd=state.used_usd + amount_usd,
        used_by_issuer_usd=by_issuer.set(hold.issuer_id, by_issuer.get(hold.issuer_id, ZERO) + amount_usd),
    )


MANDATE: Decider[MandateCommand, MandateEvent, MandateState] = Decider("mandate", "mnd", None, decide, evolve)

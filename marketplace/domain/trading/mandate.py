"""Mandates: a holder's standing offer to take equity for compute, and the budget behind it.

Subject: ``marketplace.mandate.<mandate_id>``.

Invariants:
    1. Held and committed budget never exceed the budget, and no hold takes an issuer, with those related to it by then,
       above the issuer's maximum.
    2. The same holds for a sector, and for the budget of cash drawn besides compute, which is none by default.
    3. A capture never exceeds its hold. Released budget is free again at once.
    4. At lock and match, the rules in force by then are applied again to what is held, as of the auction's lock time,
       so that an end of the mandate undoes no match. The stage of the company is asked until the lock, or the hold of a
       quote, so that a stage that the platform records later undoes none. Committed budget keeps the rules under which
       it was committed.
    5. No vendor and no generation of GPUs has more than its share of the budget. A hold counts toward every class that
       its order may get, a commitment toward the class that won. The match checks the commitment against the shares in
       force at the match.
    6. A revocation ends every hold that is not captured. A hold that needs the holder's approval is captured only with
       it.
    7. A refusal states no figure of the budget. The part of the budget that other issuers left is first rounded down to
       a twentieth of the budget; then the holds of the issuer, and of those related to it, are subtracted. An issuer
       that asks repeatedly therefore learns only that twentieth. The holder, who approves by its command, is asked
       exactly.
    8. The holder never learns what an order holds, because the sealed offer follows from it: it is shown the issuer's
       maximum (`Mandate.used_usd_max`), and its budget is lowered no further than to that, so that it cannot find the
       amount by trying. What is committed to a grant is shown exactly.

Refusals in order: mandate_unknown · mandate_exists · hold_exists · hold_unknown · instrument_kinds_missing ·
not_a_number · amount_not_positive · amount_too_large · amount_too_precise ·
holder_is_issuer · issuer_above_budget · pricelist_missing ·
cap_range_empty · discount_range_empty · strike_range_empty · note_days_empty · time_naive · mandate_revoked ·
mandate_expired · instrument_kind_unwelcome · uncapped_unwelcome · cap_outside_range · discount_outside_range ·
note_unwelcome · strike_outside_range · warrant_too_brief · issuer_unwelcome · sector_unwelcome · stage_unwelcome ·
vendor_unwelcome · list_price_missing · price_above_mandate · issuer_unwelcome · related_unwelcome · diluted_since ·
approval_missing · approval_unneeded · hold_committed · budget_below_committed ·
direct_cash_unwelcome · direct_budget_exhausted · budget_exhausted · issuer_maximum_reached ·
sector_maximum_reached · vendor_maximum_reached · generation_maximum_reached · capture_above_hold · release_above_hold.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec
from immutables import Map

from events.mandate import (
    EndedHold,
    MandateAmended,
    MandateBudgetCaptured,
    MandateBudgetHeld,
    MandateBudgetReleased,
    MandateEvent,
    MandateGranted,
    MandateOrderApproved,
    MandateOrderRefused,
    MandateRevoked,
    MandateTerms,
)
from events.types import Funding, PrincipalTerms, Stage
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.money import ZERO, require_usd
from marketplace.domain.refusals import refuse_exists, refuse_unknown
from marketplace.domain.supply.gpu_vendors import find_generation, find_vendor
from marketplace.domain.trading.mandate_rules import (
    Asked,
    OfferedPrice,
    refuse_issuer,
    require_related_welcome,
    require_terms,
    require_welcome,
)

FREE_STEPS: Final = 20
"""An issuer sees what others left of a budget rounded down to whole parts of it, one in so many."""


class GrantMandate(msgspec.Struct, frozen=True, kw_only=True):
    """Offer to take equity."""

    mandate_id: str
    holder_id: str
    funding: Funding
    terms: MandateTerms


class AmendMandate(msgspec.Struct, frozen=True, kw_only=True):
    """Change the rules, for new holds and for matches of present ones."""

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
        related_ids: Issuers that firm relations connect with it. What they draw counts as its own.
        instrument: Terms offered.
        implied_cap_usd: What the company is worth at the price of an instrument that becomes stock, which must be
            within the cap range; None for another one. See `marketplace.domain.equity.issuer.implied_value`.
        pending_cap_usd: The same with what open orders and held quotes offer beside it; it is at most the range's end.
        prices: The price that is offered for each class, at the mandate's credit.
        direct: Whether it takes of the budget for cash besides compute.
        approved: Whether the holder approves it by this command. Then it has no end.
        until_max: When it ends at the latest; None: only by the mandate's own terms.
        sector: Sector of the order; None if it names none.
        stage: How far the issuer's company has come; None if that is not recorded.
        amount_usd: What is held.
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
    pending_cap_usd: Decimal | None = None
    prices: tuple[OfferedPrice, ...] = ()
    stage: Stage | None = None
    direct: bool = False
    approved: bool = False
    until_max: datetime | None = None
    related_ids: frozenset[str] = frozenset()


class Matched(msgspec.Struct, frozen=True, kw_only=True):
    """What a mandate is asked to commit to at the match; see `HoldBudget`.

    `related` says whether the buyer is related to the seller or the provider. `prices` has the price of the class that
    won.
    """

    issuer_id: str
    instrument: PrincipalTerms
    sector: str | None
    stage: Stage | None
    at: datetime
    implied_cap_usd: Decimal | None
    prices: tuple[OfferedPrice, ...]
    pending_cap_usd: Decimal | None = None
    related: bool = False


class CaptureBudget(msgspec.Struct, frozen=True, kw_only=True):
    """Commit part of a hold to a grant.

    Attributes:
        mandate_id: The mandate.
        hold_id: The hold.
        grant_id: The grant.
        amount_usd: What is committed.
        matched: The terms at the match, to which the mandate's present rules apply; None to apply none.
    """

    mandate_id: str
    hold_id: str
    grant_id: str
    amount_usd: Decimal
    matched: Matched | None = None


class ReleaseBudget(msgspec.Struct, frozen=True, kw_only=True):
    """Free what a hold has held and committed, except `keep_usd`; held budget is freed first."""

    mandate_id: str
    hold_id: str
    keep_usd: Decimal
    reason: str


class ApproveOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Approve, for the holder, an order that waits for its approval."""

    mandate_id: str
    hold_id: str


class RefuseOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Stop paying for an order. The command is refused once the order is matched.

    Until `barred_until`, the mandate holds nothing more for the order's issuer, or one related to it.
    """

    mandate_id: str
    hold_id: str
    reason: str
    barred_until: datetime | None = None


MandateCommand = (
    GrantMandate
    | AmendMandate
    | RevokeMandate
    | HoldBudget
    | ApproveOrder
    | RefuseOrder
    | CaptureBudget
    | ReleaseBudget
)


@dataclass(frozen=True, slots=True)
class BudgetHold:
    """Budget of one order: held until its match, then committed to its grant.

    Attributes:
        grant_id: The grant; None before the match.
        direct: Whether it takes of the budget for cash besides compute.
        waits: Whether it needs the holder's approval and has none.
        approved: Whether the holder approved it.
        ended: Whether the holder ended it, by refusing the order or by revoking the mandate.
        implied_cap_usd: What the company was worth at the price when budget was held; None where it has none.
        until: When it ends unless it is captured; None: never.
        gpu_classes: Classes that its order may get, or the one that it got.
        amount_usd_max: What the holder is shown in place of the amount before the match; None: the amount.
    """

    order_id: str
    issuer_id: str
    held_usd: Decimal
    committed_usd: Decimal = ZERO
    grant_id: str | None = None
    sector: str | None = None
    direct: bool = False
    waits: bool = False
    approved: bool = False
    ended: bool = False
    implied_cap_usd: Decimal | None = None
    until: datetime | None = None
    gpu_classes: tuple[str, ...] = ()
    amount_usd_max: Decimal | None = None

    @property
    def total_usd(self) -> Decimal:
        """Return the held and committed budget of this hold."""
        return self.held_usd + self.committed_usd


@dataclass(frozen=True, slots=True)
class Mandate:
    """A granted mandate. `holds` are by id; the amounts are what is held and committed together.

    `barred` states, by issuer, until when nothing more is held for it because the holder refused an order of it.
    `used_usd` is for compute, `used_directly_usd` is cash besides; those by issuer and by sector include both.
    """

    granted: MandateGranted
    terms: MandateTerms
    revoked: bool = False
    holds: Map[str, BudgetHold] = field(default_factory=Map)
    used_usd: Decimal = ZERO
    used_by_issuer_usd: Map[str, Decimal] = field(default_factory=Map)
    used_by_sector_usd: Map[str | None, Decimal] = field(default_factory=Map)
    used_directly_usd: Decimal = ZERO
    barred: Map[str, datetime] = field(default_factory=Map)

    @property
    def budget_usd(self) -> Decimal:
        """Return the budgets for compute and for cash besides, together."""
        return self.terms.budget_usd + (self.terms.direct_budget_usd or ZERO)

    @property
    def owed_usd(self) -> Decimal:
        """Return what is held and committed of both budgets."""
        return self.used_usd + self.used_directly_usd

    @property
    def used_usd_max(self) -> Decimal:
        """Return what is held and committed for compute, as the holder is shown it, by projections alike.

        All open orders of an issuer count together as its maximum.
        """
        shown, maxima = self.used_usd, dict[str, Decimal]()
        for hold in self.holds.values():
            if hold.amount_usd_max is not None and hold.grant_id is None and hold.held_usd:
                shown -= hold.held_usd
                maxima[hold.issuer_id] = max(maxima.get(hold.issuer_id, ZERO), hold.amount_usd_max)
        return min(shown + sum(maxima.values()), self.terms.budget_usd)

    @property
    def asked(self) -> Asked:
        """Return the mandate as `mandate_rules` needs it."""
        return Asked(self.granted.mandate_id, self.terms, self.revoked)


MandateState = Mandate | None


def decide(command: MandateCommand, state: MandateState) -> Sequence[MandateEvent]:
    """Return the events of a command; the module lists the order of refusals."""
    if isinstance(command, GrantMandate):
        return _grant(command, state)
    if state is None:
        raise refuse_unknown("mandate", command.mandate_id)
    match command:
        case AmendMandate():
            return _amend(command, state)
        case RevokeMandate():
            return _revoke(command, state)
        case HoldBudget():
            return _hold(command, state)
        case ApproveOrder():
            return _approve(command, state)
        case RefuseOrder():
            return _refuse(command, state)
        case CaptureBudget():
            return _capture(command, state)
        case ReleaseBudget():
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
    for name, used, budget in (
        ("budget_usd", state.used_usd_max, command.terms.budget_usd),
        ("direct_budget_usd", state.used_directly_usd, command.terms.direct_budget_usd or ZERO),
    ):
        if budget < used:
            text = (
                f"{used} of the budget are committed, or at most held for open orders, more than {budget}; state that"
                " or more, or refuse orders first"
            )
            raise Refusal("budget_below_committed", text, pointer=f"/terms/{name}", used_usd=str(used))
    return [MandateAmended(mandate_id=command.mandate_id, terms=command.terms)]


def _revoke(command: RevokeMandate, state: Mandate) -> Sequence[MandateEvent]:
    if state.revoked:
        return []
    ended = tuple(
        EndedHold(hold_id=hold_id, order_id=hold.order_id, amount_usd=hold.held_usd)
        for hold_id, hold in sorted(state.holds.items())
        if hold.grant_id is None and hold.held_usd
    )
    return [MandateRevoked(mandate_id=command.mandate_id, reason=command.reason, ended=ended)]


def _hold(command: HoldBudget, state: Mandate) -> Sequence[MandateEvent]:
    known = state.holds.get(command.hold_id)
    if known is not None:
        if (known.order_id, known.issuer_id, known.total_usd) == (
            command.order_id,
            command.issuer_id,
            command.amount_usd,
        ):
            return []
        raise Refusal("hold_exists", f"hold {command.hold_id} exists with other content; use another id")
    require_usd(command.amount_usd, "/amount_usd", zero=True)
    if rename_id("pty", command.issuer_id) == state.granted.holder_id:
        raise Refusal(
            "holder_is_issuer",
            f"mandate {command.mandate_id} is the startup's own, and it cannot hold an instrument of itself; name"
            " another mandate, or pay in cash",
            mandate_id=command.mandate_id,
        )
    require_welcome(state.asked, command)
    _require_unbarred(command, state)
    _require_room(command, state)
    above = state.terms.approval_above_usd
    unapproved = _sum_unapproved({command.issuer_id, *command.related_ids}, state)
    needs_approval = above is not None and unapproved + command.amount_usd > above and not command.approved
    return [
        MandateBudgetHeld(
            mandate_id=command.mandate_id,
            hold_id=command.hold_id,
            order_id=command.order_id,
            issuer_id=command.issuer_id,
            amount_usd=command.amount_usd,
            sector=command.sector,
            direct=command.direct,
            needs_approval=needs_approval,
            instrument=command.instrument if needs_approval else None,
            implied_cap_usd=command.implied_cap_usd,
            until=None if command.direct or command.approved else _find_until(command, state.terms),
            gpu_classes=tuple(price.gpu_class for price in command.prices),
            amount_usd_max=None if command.direct or command.approved else state.terms.issuer_usd_max,
        )
    ]


def _require_unbarred(command: HoldBudget, state: Mandate) -> None:
    """Refuse an issuer of which, or of a related one, the holder refused an order for some time."""
    ends = [state.barred[each] for each in (command.issuer_id, *command.related_ids) if each in state.barred]
    if not command.approved and any(command.at < end for end in ends):
        raise refuse_issuer(command.mandate_id, command.issuer_id)


def _sum_unapproved(issuer_ids: Collection[str], state: Mandate) -> Decimal:
    """Return what issuers draw together without the holder's approval."""
    holds = (hold for hold in state.holds.values() if hold.issuer_id in issuer_ids)
    return sum((hold.total_usd for hold in holds if not hold.waits and not hold.approved), ZERO)


def _find_until(command: HoldBudget, terms: MandateTerms) -> datetime:
    """Return when a hold ends unless it is captured."""
    bounds = (command.at + timedelta(days=terms.order_days_max), command.until_max, terms.expires_at)
    return min(bound for bound in bounds if bound is not None)


def _approve(command: ApproveOrder, state: Mandate) -> Sequence[MandateEvent]:
    known = get_budget_hold(state, command.mandate_id, command.hold_id)
    if state.revoked:
        raise Refusal("mandate_revoked", f"mandate {command.mandate_id} is revoked; grant a new one")
    if known.approved and not known.ended:
        return []
    if not known.waits or known.ended:
        text = f"hold {command.hold_id} of order {known.order_id} does not wait for approval"
        raise Refusal("approval_unneeded", text, hold_id=command.hold_id)
    return [MandateOrderApproved(mandate_id=command.mandate_id, hold_id=command.hold_id, order_id=known.order_id)]


def _refuse(command: RefuseOrder, state: Mandate) -> Sequence[MandateEvent]:
    known = get_budget_hold(state, command.mandate_id, command.hold_id)
    if known.grant_id is not None:
        text = f"hold {command.hold_id} is committed to grant {known.grant_id}; what is agreed is paid"
        raise Refusal("hold_committed", text, hold_id=command.hold_id)
    if known.ended:
        return []
    return [
        MandateOrderRefused(
            mandate_id=command.mandate_id,
            hold_id=command.hold_id,
            order_id=known.order_id,
            amount_usd=known.held_usd,
            reason=command.reason,
            barred_until=command.barred_until,
        )
    ]


def _require_room(command: HoldBudget, state: Mandate) -> None:
    """Refuse to hold more than is left of the budget, or of the issuer's, sector's or GPUs' part; see invariant 7."""
    terms, needed = state.terms, command.amount_usd
    one = {command.issuer_id, *command.related_ids}
    drawn = [hold for hold in state.holds.values() if hold.issuer_id in one]
    own = sum((hold.total_usd for hold in drawn if hold.direct == command.direct), ZERO)
    whole = _round_free(terms.budget_usd, state.used_usd - own, exact=command.approved) - own
    direct_budget = terms.direct_budget_usd or ZERO
    direct = _round_free(direct_budget, state.used_directly_usd - own, exact=command.approved) - own
    of_issuers = sum((state.used_by_issuer_usd.get(each, ZERO) for each in one), ZERO)
    issuer = terms.issuer_usd_max - of_issuers
    sector = None
    if terms.sector_usd_max is not None:
        others = state.used_by_sector_usd.get(command.sector, ZERO) - of_issuers
        sector = _round_free(terms.sector_usd_max, max(others, ZERO), exact=command.approved) - of_issuers
    if command.direct and terms.direct_budget_usd is None:
        text = f"mandate {command.mandate_id} has no budget for cash besides compute"
        raise Refusal("direct_cash_unwelcome", text, **_measure(command))
    if command.direct and needed > direct:
        text = _tell_room(command, "of its budget for cash besides compute")
        raise Refusal("direct_budget_exhausted", text, **_measure(command))
    if not command.direct and needed > whole:
        raise Refusal("budget_exhausted", _tell_room(command, "of its budget"), **_measure(command))
    if needed > issuer:
        raise Refusal(
            "issuer_maximum_reached",
            _tell_room(command, "for this issuer, with those related to it,"),
            **_measure(command),
        )
    if sector is not None and needed > sector:
        raise Refusal("sector_maximum_reached", _tell_room(command, f"for {command.sector}"), **_measure(command))
    for part in _list_parts(terms, [price.gpu_class for price in command.prices]):
        holds = [hold for hold in state.holds.values() if part.counts(hold)]
        own = sum((hold.total_usd for hold in holds if hold.issuer_id in one), ZERO)
        others = sum((hold.total_usd for hold in holds if hold.issuer_id not in one), ZERO)
        if needed > _round_free(part.usd_max, others, exact=command.approved) - own:
            raise _refuse_part(part, _tell_room(command, f"for GPUs of {part.name}"), _measure(command))


class _Part(NamedTuple):
    """The part of the budget that one vendor or one generation of GPUs may take."""

    name: str
    usd_max: Decimal
    find: Callable[[str], str]

    def counts(self, hold: BudgetHold) -> bool:
        """Return whether a hold counts toward it."""
        return any(self.find(gpu_class) == self.name for gpu_class in hold.gpu_classes)


def _refuse_part(part: _Part, text: str, facts: Mapping[str, str]) -> Refusal:
    if part.find is find_vendor:
        return Refusal("vendor_maximum_reached", text, **facts)
    return Refusal("generation_maximum_reached", text, **facts)


def _list_parts(terms: MandateTerms, gpu_classes: Iterable[str]) -> Iterator[_Part]:
    """Yield the bounds of the vendors and generations of classes, vendors first."""
    classes = tuple(gpu_classes)
    for share, find in ((terms.vendor_share_max, find_vendor), (terms.generation_share_max, find_generation)):
        if share is not None:
            for name in dict.fromkeys(find(gpu_class) for gpu_class in classes):
                yield _Part(name, share * terms.budget_usd, find)


def _tell_room(command: HoldBudget, what: str) -> str:
    needed = command.amount_usd
    return f"mandate {command.mandate_id} has less {what} left than the {needed} that is needed; ask for less, or later"


def _round_free(budget_usd: Decimal, others_usd: Decimal, *, exact: bool) -> Decimal:
    """Return what other issuers leave of a budget, rounded down to a step unless `exact`."""
    step = budget_usd / FREE_STEPS
    left = budget_usd - others_usd
    return left if exact or not step else left // step * step


def _measure(command: HoldBudget) -> dict[str, str]:
    return {"mandate_id": command.mandate_id, "needed_usd": str(command.amount_usd)}


def _capture(command: CaptureBudget, state: Mandate) -> Sequence[MandateEvent]:
    known = get_budget_hold(state, command.mandate_id, command.hold_id)
    if known.grant_id == command.grant_id and known.committed_usd == command.amount_usd:
        return []
    require_usd(command.amount_usd, "/amount_usd", zero=True)
    if command.matched is not None:
        _require_still_welcome(_fix_stage(state), command.matched, known)
        if known.waits or known.ended:
            text = f"mandate {command.mandate_id} pays for order {known.order_id} only once its holder approves it"
            raise Refusal("approval_missing", text, mandate_id=command.mandate_id)
        _require_part(command, command.matched, state)
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
            gpu_class=command.matched.prices[0].gpu_class if command.matched and command.matched.prices else None,
        )
    ]


def _require_part(command: CaptureBudget, matched: Matched, state: Mandate) -> None:
    """Refuse to commit more to a vendor or a generation than the present rules allow."""
    for part in _list_parts(state.terms, [price.gpu_class for price in matched.prices]):
        committed = sum((hold.committed_usd for hold in state.holds.values() if part.counts(hold)), ZERO)
        if committed + command.amount_usd > part.usd_max:
            text = f"mandate {command.mandate_id} now pays less for GPUs of {part.name} than this order needs"
            measured = {"mandate_id": command.mandate_id, "needed_usd": str(command.amount_usd)}
            raise _refuse_part(part, text, measured)


def _fix_stage(state: Mandate) -> Asked:
    """Return what a mandate asks at the match. The stage was asked when the order was locked, or its quote held."""
    return state.asked._replace(terms=msgspec.structs.replace(state.terms, stages=()))


def _require_still_welcome(asked: Asked, matched: Matched, known: BudgetHold) -> None:
    """Refuse a match that the present rules exclude, or whose issuer is worth more at the agreed price since."""
    require_welcome(asked, matched)
    if matched.related:
        require_related_welcome(asked)
    mandate_id, dilution_max = asked.mandate_id, asked.terms.dilution_max
    agreed, now = known.implied_cap_usd, matched.implied_cap_usd
    if agreed is not None and now is not None and now > agreed * (1 + dilution_max):
        raise Refusal(
            "diluted_since",
            f"the company is worth {now} at the agreed price, and was worth {agreed} when the order was placed: its"
            f" shares, what converts and what ranks before them grew by more than the {dilution_max} that"
            f" mandate {mandate_id} allows; place the order again",
            agreed_usd=str(agreed),
            now_usd=str(now),
        )


def find_unwelcome(
    hold_id: str, state: Mandate, matches: Iterable[Matched], related_ids: Collection[str] = ()
) -> str | None:
    """Return, in words, why a mandate would no longer pay for an order; None if it would pay for each offer.

    Like the placing of the order, it asks about every offer: an auction may choose any of them, and a match that the
    mandate then refuses would have displaced other orders for nothing.

    Args:
        hold_id: The order's hold.
        state: The mandate.
        matches: The match that each offer of the order would be.
        related_ids: Other issuers that firm relations connect with the order's, perhaps since it was placed.
    """
    known = get_budget_hold(state, state.granted.mandate_id, hold_id)
    drawn = sum((state.used_by_issuer_usd.get(each, ZERO) for each in {known.issuer_id, *related_ids}), ZERO)
    if related_ids and drawn > state.terms.issuer_usd_max:
        return f"mandate {state.granted.mandate_id} pays less for this issuer and those related to it than their orders"
    for matched in matches:
        try:
            _require_still_welcome(state.asked, matched, known)
        except Refusal as refusal:
            return refusal.message
    return None


def get_budget_hold(state: Mandate, mandate_id: str, hold_id: str) -> BudgetHold:
    """Return a hold. A state that is behind the log may lack one that something else names; then this is asked again.

    Raises:
        Refusal: ``hold_unknown``.
    """
    known = state.holds.get(hold_id)
    if known is None:
        raise Refusal("hold_unknown", f"mandate {mandate_id} has no hold {hold_id}", hold_id=hold_id)
    return known


def _release(command: ReleaseBudget, state: Mandate) -> Sequence[MandateEvent]:
    known = get_budget_hold(state, command.mandate_id, command.hold_id)
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
            committed=not known.held_usd,
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
        return _end_all(replace(state, revoked=True))
    if isinstance(event, MandateBudgetHeld):
        return _use(state, event.hold_id, _begin_hold(event), event.amount_usd)
    before = state.holds[event.hold_id]
    if isinstance(event, MandateOrderApproved):
        return replace(state, holds=state.holds.set(event.hold_id, replace(before, waits=False, approved=True)))
    if isinstance(event, MandateOrderRefused):
        ended, until = _end_hold(state, event.hold_id, before), event.barred_until
        if until is None:
            return ended
        until = max(until, state.barred.get(before.issuer_id, until))
        return replace(ended, barred=state.barred.set(before.issuer_id, until))
    if isinstance(event, MandateBudgetCaptured):
        captured = replace(
            before,
            held_usd=before.held_usd - event.amount_usd,
            committed_usd=before.committed_usd + event.amount_usd,
            grant_id=event.grant_id,
            gpu_classes=before.gpu_classes if event.gpu_class is None else (event.gpu_class,),
        )
        return _use(state, event.hold_id, captured, ZERO)
    from_held = min(before.held_usd, event.amount_usd)
    released = replace(
        before,
        held_usd=before.held_usd - from_held,
        committed_usd=before.committed_usd - (event.amount_usd - from_held),
    )
    return _use(state, event.hold_id, released, -event.amount_usd)


def _begin_hold(event: MandateBudgetHeld) -> BudgetHold:
    return BudgetHold(
        event.order_id,
        event.issuer_id,
        event.amount_usd,
        sector=event.sector,
        direct=event.direct,
        waits=event.needs_approval,
        approved=event.until is None and not event.direct,
        implied_cap_usd=event.implied_cap_usd,
        until=event.until,
        gpu_classes=event.gpu_classes,
        amount_usd_max=event.amount_usd_max,
    )


def _end_hold(state: Mandate, hold_id: str, hold: BudgetHold) -> Mandate:
    return _use(state, hold_id, replace(hold, held_usd=ZERO, ended=True), -hold.held_usd)


def _end_all(state: Mandate) -> Mandate:
    for hold_id, hold in state.holds.items():
        if hold.grant_id is None:
            state = _end_hold(state, hold_id, hold)
    return state


def _use(state: Mandate, hold_id: str, hold: BudgetHold, amount_usd: Decimal) -> Mandate:
    by_issuer, by_sector = state.used_by_issuer_usd, state.used_by_sector_usd
    return replace(
        state,
        holds=state.holds.set(hold_id, hold),
        used_usd=state.used_usd + (ZERO if hold.direct else amount_usd),
        used_by_issuer_usd=by_issuer.set(hold.issuer_id, by_issuer.get(hold.issuer_id, ZERO) + amount_usd),
        used_by_sector_usd=by_sector.set(hold.sector, by_sector.get(hold.sector, ZERO) + amount_usd),
        used_directly_usd=state.used_directly_usd + (amount_usd if hold.direct else ZERO),
    )


MANDATE: Decider[MandateCommand, MandateEvent, MandateState] = Decider("mandate", "mnd", None, decide, evolve)

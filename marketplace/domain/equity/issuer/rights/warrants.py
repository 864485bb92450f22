"""Acts on warrants; `marketplace.domain.equity.issuer.issuer` documents the order of refusals."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from events.issuer import (
    IssuerEvent,
    IssuerWarrantCancelled,
    IssuerWarrantExercised,
    IssuerWarrantExpired,
    IssuerWarrantIssued,
    IssuerWarrantTransferred,
)
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.intervals import require_aware
from marketplace.core.money import render_ratio, require_price_per_share, round_ratio
from marketplace.core.rounding import round_whole
from marketplace.domain.equity.issuer.rights.fair_value import find_value_for_warrant
from marketplace.domain.equity.issuer.rights.milestones import settle
from marketplace.domain.equity.issuer.rights.tranches import find_prices
from marketplace.domain.equity.issuer.rights.warrant_terms import require_terms
from marketplace.domain.equity.issuer.rights_commands import (
    CancelWarrant,
    ExerciseWarrant,
    ExpireWarrant,
    IssueWarrant,
    TransferWarrant,
)
from marketplace.domain.equity.issuer.rules import (
    get_class,
    is_repeated,
    raise_authorised,
    refuse_overdrawn,
    require_counted,
    require_formed,
    require_no_sale,
    require_shares,
    require_stakeholder,
)
from marketplace.domain.equity.issuer.state import Issuer, Warrant, find_lapse
from marketplace.domain.party import is_joining
from marketplace.domain.refusals import refuse_exists, require_found
from marketplace.equity.warrants import net_exercise_shares


def issue_warrant(command: IssueWarrant, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the warrant; nothing if it is recorded."""
    event = IssuerWarrantIssued(
        issuer_id=command.issuer_id,
        warrant_id=command.warrant_id,
        holder_id=command.holder_id,
        class_id=command.class_id,
        shares=command.shares,
        exercise_price_usd=command.exercise_price_usd,
        expires_at=command.expires_at,
        settlement=command.settlement,
        tranches=command.tranches,
        grant_ids=command.grant_ids,
        programme_id=command.programme_id,
        on_reduction=command.on_reduction or "keep",
        transfer=command.transfer,
        affiliate_ids=command.affiliate_ids,
        change_of_control=command.change_of_control,
        fair_value=command.fair_value,
        approval=command.approval,
        cause=command.cause,
    )
    issued = {warrant_id: warrant.issued for warrant_id, warrant in state.warrants.items()}
    if is_repeated("warrant", command.warrant_id, issued, event):
        return []
    require_stakeholder(state, command.holder_id)
    get_class(state, command.class_id)
    require_shares(command.shares, "/shares")
    require_price_per_share(command.exercise_price_usd, "/exercise_price_usd", zero=True)
    require_aware(command.expires_at, "/expires_at")
    require_formed(state, command.expires_at.date(), "/expires_at")
    require_terms(command, state)
    return [event]


def exercise_warrant(command: ExerciseWarrant, state: Issuer) -> Sequence[IssuerEvent]:
    """Return what vests by now, the rise of authorised shares if one is needed, and the exercise of a warrant.

    Nothing if it is recorded.
    """
    warrant = require_found("warrant", command.warrant_id, state.warrants.get(command.warrant_id))
    if _is_known(command, state):
        return []
    require_aware(command.at, "/at")
    _require_live(command, warrant)
    require_shares(command.shares, "/shares")
    if command.shares > warrant.shares_outstanding:
        raise refuse_overdrawn("warrant", command.warrant_id, command.shares, warrant.shares_outstanding)
    imports = command.shares_issued is not None
    if not imports:
        fair_usd, issued = command.fair_value_usd, warrant.issued
        require_counted(
            state, issued.warrant_id, command.shares, issued.class_id, ends_at=issued.expires_at, fair_usd=fair_usd
        )
    settled, current = ([], state) if imports else settle(state, command.delivered, command.interested, command.at)
    price = _require_exercisable(command, current.warrants[command.warrant_id])
    _require_settlement(command, warrant, state)
    shares = _count_issued(command, price)
    exercised = IssuerWarrantExercised(
        issuer_id=command.issuer_id,
        exercise_id=command.exercise_id,
        warrant_id=command.warrant_id,
        holder_id=warrant.holder_id,
        class_id=warrant.issued.class_id,
        shares=shares,
        shares_surrendered=command.shares - shares,
        tranche=command.tranche,
        exercise_price_usd=None if price == warrant.exercise_price_usd else render_ratio(price),
        fair_value_usd=command.fair_value_usd,
        fair_value_source=command.fair_value_source,
    )
    return [*settled, *raise_authorised(state, warrant.issued.class_id, shares, command.exercise_id), exercised]


def _require_exercisable(command: ExerciseWarrant, warrant: Warrant) -> Fraction:
    """Return the exercise price in USD per share; refuse more than may be exercised, or shares of several prices."""
    if command.tranche is not None and command.tranche >= len(warrant.tranches):
        raise Refusal(
            "tranche_unknown",
            f"warrant {command.warrant_id} has {len(warrant.tranches)} tranches, counted from 0",
            pointer="/tranche",
        )
    asked = warrant.tranches if command.tranche is None else (warrant.tranches[command.tranche],)
    exercisable, vested = (
        sum(each.exercisable for each in asked),
        sum(each.outstanding - each.unvested for each in asked),
    )
    if command.shares > exercisable and command.shares_issued is None:
        waits = command.shares <= vested
        raise Refusal(
            "warrant_not_exercisable" if waits else "warrant_unvested",
            f"{exercisable} shares of warrant {command.warrant_id} may be exercised now, not {command.shares};"
            f" {vested} have vested"
            + (", but their conditions of exercise do not hold or their price is not fixed yet" if waits else ""),
            pointer="/shares",
            shares=command.shares,
            shares_exercisable=exercisable,
            shares_vested=vested,
        )
    prices = find_prices(asked)
    if len(prices) > 1:
        raise Refusal(
            "tranche_missing",
            f"what may be exercised of warrant {command.warrant_id} has {len(prices)} prices; name a tranche",
            pointer="/tranche",
        )
    return next(iter(prices), warrant.exercise_price_usd)


def _is_known(command: ExerciseWarrant, state: Issuer) -> bool:
    known = state.acts.get(command.exercise_id)
    if known is None:
        return False
    if isinstance(known, IssuerWarrantExercised):
        used = known.shares + known.shares_surrendered
        net = (known.fair_value_usd is None, command.fair_value_usd is None)
        same = (command.warrant_id, command.shares, command.tranche)
        if (known.warrant_id, used, known.tranche) == same and net in {(True, True), (False, False)}:
            return True
    raise refuse_exists("exercise", command.exercise_id)


def _require_live(command: ExerciseWarrant | TransferWarrant, warrant: Warrant) -> None:
    if warrant.expired or warrant.is_past(command.at):
        raise Refusal(
            "warrant_expired",
            f"warrant {command.warrant_id} expired at {render_instant(warrant.issued.expires_at)}",
            pointer="/at",
            expires_at=render_instant(warrant.issued.expires_at),
        )


def _require_settlement(command: ExerciseWarrant, warrant: Warrant, state: Issuer) -> None:
    """Refuse the other way to pay than the warrant states; but cash always, while no independent value is known.

    Without one, rights that are exercised net alone would expire unused.

    Raises:
        Refusal: ``settlement_excluded``.
    """
    kind = "cash" if command.fair_value_usd is None else "net"
    if command.shares_issued is not None or warrant.issued.settlement in {kind, "either"}:
        return
    if kind == "cash":
        interested = command.interested.get(command.warrant_id, frozenset({warrant.holder_id}))
        fair = find_value_for_warrant(state, warrant, interested, command.at.date())
        if fair is None or not fair.is_independent:
            return
    raise Refusal(
        "settlement_excluded",
        f"warrant {command.warrant_id} is exercised by {warrant.issued.settlement} only",
        pointer="/settlement",
        settlement=warrant.issued.settlement,
    )


def _count_issued(command: ExerciseWarrant, price: Fraction) -> int:
    if command.shares_issued is not None:
        return command.shares_issued
    if command.fair_value_usd is None:
        return command.shares
    require_price_per_share(command.fair_value_usd, "/fair_value_usd")
    exact = net_exercise_shares(command.shares, price, command.fair_value_usd)
    shares = round_whole(exact, "floor")
    if shares == 0:
        raise Refusal(
            "exercise_worthless",
            f"a share is worth {command.fair_value_usd} USD and costs {round_ratio(price):f} USD; "
            f"a net exercise of {command.shares} rights gives no whole share",
            pointer="/fair_value_usd",
            exercise_price_usd=f"{round_ratio(price):f}",
            exercise_price_usd_exact=render_ratio(price),
        )
    return shares


def expire_warrant(command: ExpireWarrant, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the end of an expired warrant; nothing if it is recorded."""
    warrant = require_found("warrant", command.warrant_id, state.warrants.get(command.warrant_id))
    if warrant.expired or not warrant.shares_outstanding:
        return []
    require_aware(command.at, "/at")
    if not warrant.is_past(command.at):
        raise Refusal(
            "warrant_runs",
            f"warrant {command.warrant_id} may be exercised until {render_instant(warrant.issued.expires_at)}",
            expires_at=render_instant(warrant.issued.expires_at),
            due=render_instant(find_lapse(warrant.issued)),
        )
    return [
        IssuerWarrantExpired(
            issuer_id=command.issuer_id,
            warrant_id=command.warrant_id,
            holder_id=warrant.holder_id,
            shares=warrant.shares_outstanding,
        )
    ]


def cancel_warrant(command: CancelWarrant, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the end of rights whose principal was clawed back; nothing if it is recorded."""
    warrant = require_found("warrant", command.warrant_id, state.warrants.get(command.warrant_id))
    event = IssuerWarrantCancelled(
        issuer_id=command.issuer_id,
        cancellation_id=command.cancellation_id,
        warrant_id=command.warrant_id,
        holder_id=warrant.holder_id,
        shares=command.shares,
        cause=command.cause,
        approval=command.approval,
    )
    if is_repeated("cancellation", command.cancellation_id, state.acts, event):
        return []
    require_shares(command.shares, "/shares")
    if command.shares > warrant.shares_outstanding:
        raise refuse_overdrawn("warrant", command.warrant_id, command.shares, warrant.shares_outstanding)
    return [event]


def transfer_warrant(command: TransferWarrant, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the transfer of a whole warrant to an affiliate of its first holder, or back; nothing if recorded.

    A holder without a key may be a party of this market too. It transfers any warrant to that party.
    """
    warrant = require_found("warrant", command.warrant_id, state.warrants.get(command.warrant_id))
    known = state.acts.get(command.transfer_id)
    if isinstance(known, IssuerWarrantTransferred):
        same = (command.warrant_id, command.holder_id, command.holder_id_after)
        if (known.warrant_id, known.holder_id, known.holder_id_after) == same:
            return []
    if known is not None:
        raise refuse_exists("transfer", command.transfer_id)
    require_aware(command.at, "/at")
    _require_live(command, warrant)
    if command.holder_id != warrant.holder_id:
        raise Refusal(
            "warrant_not_held",
            f"warrant {command.warrant_id} is held by {warrant.holder_id}, not by {command.holder_id}",
            pointer="/holder_id",
        )
    require_no_sale(state)
    joins = is_joining(command.holder_id, command.holder_id_after)
    relation = None if joins else _require_affiliate(command, warrant)
    if relation is not None or joins:
        require_stakeholder(state, command.holder_id_after, "/holder_id_after")
    return [
        IssuerWarrantTransferred(
            issuer_id=command.issuer_id,
            transfer_id=command.transfer_id,
            warrant_id=command.warrant_id,
            holder_id=command.holder_id,
            holder_id_after=command.holder_id_after,
            shares=warrant.shares_outstanding,
            relation=relation,
        )
    ]


def _require_affiliate(command: TransferWarrant, warrant: Warrant) -> Literal["found", "stated"] | None:
    """Return the relation by which the receiver of a warrant is an affiliate; None if the warrant names the receiver.

    Raises:
        Refusal: ``transfer_excluded``.
    """
    issued, after, relation = warrant.issued, command.holder_id_after, command.relation
    is_named = after in issued.affiliate_ids and relation != "ended"
    if issued.transfer == "affiliates" and after != warrant.holder_id:
        if is_named or after == warrant.first_holder_id:
            return None
        if relation == "found" or relation == "stated":  # noqa: PLR1714 - narrows the type
            return relation
    raise Refusal(
        "transfer_excluded",
        f"warrant {command.warrant_id} may be transferred only to affiliates of {warrant.first_holder_id} and back;"
        f" {after} {'is no longer one' if relation == 'ended' else 'is none'}; let both state that they are"
        " affiliates, or ask the platform"
        if issued.transfer == "affiliates"
        else f"warrant {command.warrant_id} may not be transferred",
        pointer="/holder_id_after",
        transfer=issued.transfer,
    )

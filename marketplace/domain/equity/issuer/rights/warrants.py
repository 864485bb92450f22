"""Acts on warrants; `marketplace.domain.equity.issuer.issuer` documents the order of refusals."""

from collections.abc import Sequence
from datetime import timedelta

from events.issuer import (
    IssuerEvent,
    IssuerWarrantCancelled,
    IssuerWarrantExercised,
    IssuerWarrantExpired,
    IssuerWarrantIssued,
)
from marketplace.core.errors import Refusal
from marketplace.core.intervals import require_aware
from marketplace.core.money import require_price_per_share
from marketplace.core.rounding import round_whole
from marketplace.domain.equity.issuer.commands import CancelWarrant, ExerciseWarrant, ExpireWarrant, IssueWarrant
from marketplace.domain.equity.issuer.evolve import evolve
from marketplace.domain.equity.issuer.rights.milestones import list_vested, require_tranches
from marketplace.domain.equity.issuer.rules import (
    get_class,
    is_repeated,
    refuse_overdrawn,
    require_authorised,
    require_shares,
    require_stakeholder,
)
from marketplace.domain.equity.issuer.state import Issuer, Warrant
from marketplace.domain.refusals import refuse_exists, refuse_unknown
from marketplace.equity import warrants as rules


def issue_warrant(command: IssueWarrant, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the warrant, unless it is recorded."""
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
        grant_id=command.grant_id,
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
    if command.expires_at.date() < state.formed.formed_on:
        raise Refusal(
            "date_before_formation",
            f"{command.expires_at.isoformat()} is before the formation on {state.formed.formed_on}",
            pointer="/expires_at",
            formed_on=state.formed.formed_on.isoformat(),
        )
    require_tranches(command)
    return [event]


def exercise_warrant(command: ExerciseWarrant, state: Issuer) -> Sequence[IssuerEvent]:
    """Return what vests by now and the exercise of a warrant, in part or in full; nothing if it is recorded."""
    warrant = state.warrants.get(command.warrant_id)
    if warrant is None:
        raise refuse_unknown("warrant", command.warrant_id)
    if _is_known(command, state):
        return []
    require_aware(command.at, "/at")
    _require_live(command, warrant)
    require_shares(command.shares, "/shares")
    if command.shares > warrant.shares_outstanding:
        raise refuse_overdrawn("warrant", command.warrant_id, command.shares, warrant.shares_outstanding)
    vested = list_vested(state, command.warrant_id, command.delivered_gpu_seconds, command.at)
    current = state
    for event in vested:
        after = evolve(current, event)
        assert isinstance(after, Issuer), "vesting ends no issuer"
        current = after
    exercisable = current.warrants[command.warrant_id].shares_exercisable
    if command.shares > exercisable and command.shares_issued is None:
        raise Refusal(
            "warrant_unvested",
            f"{exercisable} shares of warrant {command.warrant_id} may be exercised now, not {command.shares}",
            pointer="/shares",
            shares=command.shares,
            shares_exercisable=exercisable,
        )
    shares = _count_issued(command, warrant)
    require_authorised(get_class(state, warrant.issued.class_id), shares)
    exercised = IssuerWarrantExercised(
        issuer_id=command.issuer_id,
        exercise_id=command.exercise_id,
        warrant_id=command.warrant_id,
        holder_id=warrant.issued.holder_id,
        class_id=warrant.issued.class_id,
        shares=shares,
        shares_surrendered=command.shares - shares,
        fair_value_usd=command.fair_value_usd,
        fair_value_source=command.fair_value_source,
    )
    return [*vested, exercised]


def _is_known(command: ExerciseWarrant, state: Issuer) -> bool:
    known = state.acts.get(command.exercise_id)
    if known is None:
        return False
    if isinstance(known, IssuerWarrantExercised):
        used = known.shares + known.shares_surrendered
        net = (known.fair_value_usd is None, command.fair_value_usd is None)
        if (known.warrant_id, used) == (command.warrant_id, command.shares) and net in {(True, True), (False, False)}:
            return True
    raise refuse_exists("exercise", command.exercise_id)


def _require_live(command: ExerciseWarrant, warrant: Warrant) -> None:
    if warrant.expired or command.at > warrant.issued.expires_at:
        raise Refusal(
            "warrant_expired",
            f"warrant {command.warrant_id} expired at {warrant.issued.expires_at.isoformat()}",
            pointer="/at",
            expires_at=warrant.issued.expires_at.isoformat(),
        )


def _count_issued(command: ExerciseWarrant, warrant: Warrant) -> int:
    if command.shares_issued is not None:
        return command.shares_issued
    kind = "cash" if command.fair_value_usd is None else "net"
    if warrant.issued.settlement not in {kind, "either"}:
        raise Refusal(
            "settlement_excluded",
            f"warrant {command.warrant_id} is exercised by {warrant.issued.settlement} only",
            pointer="/settlement",
            settlement=warrant.issued.settlement,
        )
    if command.fair_value_usd is None:
        return command.shares
    require_price_per_share(command.fair_value_usd, "/fair_value_usd")
    exact = rules.net_exercise_shares(command.shares, warrant.exercise_price_usd, command.fair_value_usd)
    shares = round_whole(exact, "floor")
    if shares == 0:
        raise Refusal(
            "exercise_worthless",
            f"a share is worth {command.fair_value_usd} USD and costs {warrant.exercise_price_usd} USD; "
            f"a net exercise of {command.shares} rights gives no whole share",
            pointer="/fair_value_usd",
            exercise_price_usd=str(warrant.exercise_price_usd),
        )
    return shares


def expire_warrant(command: ExpireWarrant, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the end of an expired warrant, unless it is recorded."""
    warrant = state.warrants.get(command.warrant_id)
    if warrant is None:
        raise refuse_unknown("warrant", command.warrant_id)
    if warrant.expired or not warrant.shares_outstanding:
        return []
    require_aware(command.at, "/at")
    if command.at <= warrant.issued.expires_at:
        raise Refusal(
            "warrant_runs",
            f"warrant {command.warrant_id} may be exercised until {warrant.issued.expires_at.isoformat()}",
            expires_at=warrant.issued.expires_at.isoformat(),
            due=(warrant.issued.expires_at + timedelta(microseconds=1)).isoformat(),
        )
    return [
        IssuerWarrantExpired(
            issuer_id=command.issuer_id,
            warrant_id=command.warrant_id,
            holder_id=warrant.issued.holder_id,
            shares=warrant.shares_outstanding,
        )
    ]


def cancel_warrant(command: CancelWarrant, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the end of rights whose principal was clawed back, unless it is recorded."""
    warrant = state.warrants.get(command.warrant_id)
    if warrant is None:
        raise refuse_unknown("warrant", command.warrant_id)
    event = IssuerWarrantCancelled(
        issuer_id=command.issuer_id,
        cancellation_id=command.cancellation_id,
        warrant_id=command.warrant_id,
        holder_id=warrant.issued.holder_id,
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

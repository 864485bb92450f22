"""Acts on the pool, options, warrants and instruments; `marketplace.domain.issuer` documents the order of refusals."""

from collections.abc import Sequence

from events.issuer import (
    IssuerEvent,
    IssuerInstrumentSigned,
    IssuerOptionExercised,
    IssuerOptionGranted,
    IssuerStockPlanAdjusted,
    IssuerWarrantExercised,
    IssuerWarrantIssued,
)
from marketplace.core.errors import Refusal
from marketplace.core.money import require_price_per_share, require_usd
from marketplace.domain.issuer_commands import (
    AdjustStockPlan,
    ExerciseOption,
    ExerciseWarrant,
    GrantOption,
    IssueWarrant,
    SignInstrument,
)
from marketplace.domain.issuer_rules import (
    get_class,
    is_repeated,
    require_authorised,
    require_shares,
    require_stakeholder,
)
from marketplace.domain.issuer_state import Issuer
from marketplace.domain.refusals import refuse_unknown, require_aware


def adjust_plan(command: AdjustStockPlan, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the new size of the pool, unless it has it."""
    require_shares(command.shares_reserved, "/shares_reserved", zero=True)
    if command.shares_reserved == state.shares_reserved:
        return []
    granted = state.shares_reserved - state.shares_available
    if command.shares_reserved < granted:
        raise Refusal(
            "pool_below_granted",
            f"{granted} shares of the pool are granted; it cannot shrink to {command.shares_reserved}",
            pointer="/shares_reserved",
            shares_granted=granted,
        )
    return [
        IssuerStockPlanAdjusted(
            issuer_id=command.issuer_id,
            shares_reserved=command.shares_reserved,
            cause=command.cause,
            approval=command.approval,
        )
    ]


def grant_option(command: GrantOption, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the grant, unless known."""
    event = IssuerOptionGranted(
        issuer_id=command.issuer_id,
        option_id=command.option_id,
        holder_id=command.holder_id,
        shares=command.shares,
        exercise_price_usd=command.exercise_price_usd,
        approval=command.approval,
    )
    granted = {option_id: option.granted for option_id, option in state.options.items()}
    if is_repeated("option", command.option_id, granted, event):
        return []
    require_stakeholder(state, command.holder_id)
    require_shares(command.shares, "/shares")
    require_price_per_share(command.exercise_price_usd, "/exercise_price_usd", zero=True)
    if command.shares > state.shares_available:
        raise Refusal(
            "pool_exhausted",
            f"the pool has {state.shares_available} shares available, not {command.shares}; enlarge it first",
            pointer="/shares",
            shares=command.shares,
            shares_available=state.shares_available,
        )
    return [event]


def exercise_option(command: ExerciseOption, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the exercise of an option or of a part of it."""
    option = state.options.get(command.option_id)
    if option is None:
        raise refuse_unknown("option", command.option_id)
    stock_class = get_class(state, command.class_id, ("common",))
    require_shares(command.shares, "/shares")
    if command.shares > option.shares_outstanding:
        raise _refuse_overdrawn("option", command.option_id, command.shares, option.shares_outstanding)
    require_authorised(stock_class, command.shares)
    return [
        IssuerOptionExercised(
            issuer_id=command.issuer_id,
            option_id=command.option_id,
            holder_id=option.granted.holder_id,
            class_id=command.class_id,
            shares=command.shares,
        )
    ]


def issue_warrant(command: IssueWarrant, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the warrant, unless known."""
    event = IssuerWarrantIssued(
        issuer_id=command.issuer_id,
        warrant_id=command.warrant_id,
        holder_id=command.holder_id,
        class_id=command.class_id,
        shares=command.shares,
        exercise_price_usd=command.exercise_price_usd,
        expires_at=command.expires_at,
        approval=command.approval,
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
    return [event]


def exercise_warrant(command: ExerciseWarrant, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the exercise of a warrant or of a part of it."""
    warrant = state.warrants.get(command.warrant_id)
    if warrant is None:
        raise refuse_unknown("warrant", command.warrant_id)
    require_aware(command.at, "/at")
    if command.at > warrant.issued.expires_at:
        raise Refusal(
            "warrant_expired",
            f"warrant {command.warrant_id} expired at {warrant.issued.expires_at.isoformat()}",
            pointer="/at",
            expires_at=warrant.issued.expires_at.isoformat(),
        )
    require_shares(command.shares, "/shares")
    require_shares(command.shares_surrendered, "/shares_surrendered", zero=True)
    used = command.shares + command.shares_surrendered
    if used > warrant.shares_outstanding:
        raise _refuse_overdrawn("warrant", command.warrant_id, used, warrant.shares_outstanding)
    require_authorised(get_class(state, warrant.issued.class_id), command.shares)
    return [
        IssuerWarrantExercised(
            issuer_id=command.issuer_id,
            warrant_id=command.warrant_id,
            holder_id=warrant.issued.holder_id,
            class_id=warrant.issued.class_id,
            shares=command.shares,
            shares_surrendered=command.shares_surrendered,
        )
    ]


def sign_instrument(command: SignInstrument, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the note of an instrument, unless known."""
    event = IssuerInstrumentSigned(
        issuer_id=command.issuer_id,
        instrument_id=command.instrument_id,
        holder_id=command.holder_id,
        commitment_usd=command.commitment_usd,
    )
    if is_repeated("instrument", command.instrument_id, state.instruments, event):
        return []
    require_usd(command.commitment_usd, "/commitment_usd")
    return [event]


def _refuse_overdrawn(aggregate: str, id: str, shares: int, left: int) -> Refusal:  # noqa: A002
    return Refusal(
        f"{aggregate}_overdrawn",
        f"{aggregate} {id} has {left} shares left, not {shares}",
        pointer="/shares",
        id=id,
        shares=shares,
        shares_left=left,
    )

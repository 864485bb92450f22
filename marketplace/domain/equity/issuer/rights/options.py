"""Acts on the pool and options; `marketplace.domain.equity.issuer.issuer` documents the order of refusals."""

from collections.abc import Sequence

from events.issuer import (
    IssuerEvent,
    IssuerOptionCancelled,
    IssuerOptionExercised,
    IssuerOptionGranted,
    IssuerOptionPromised,
    IssuerOptionPromiseWithdrawn,
    IssuerOptionTransferred,
    IssuerStockPlanAdjusted,
)
from marketplace.core.errors import Refusal
from marketplace.core.intervals import require_aware
from marketplace.core.money import require_price_per_share
from marketplace.domain.equity.issuer.rights.vesting import count_exercisable, require_schedule
from marketplace.domain.equity.issuer.rights_commands import (
    CancelOption,
    ExerciseOption,
    GrantOption,
    PromiseOption,
    TransferOption,
    WithdrawPromise,
)
from marketplace.domain.equity.issuer.rules import (
    get_class,
    is_repeated,
    raise_authorised,
    refuse_overdrawn,
    require_counted,
    require_no_sale,
    require_shares,
    require_stakeholder,
)
from marketplace.domain.equity.issuer.state import Issuer, Option
from marketplace.domain.equity.issuer.stock_commands import AdjustStockPlan
from marketplace.domain.party import is_joining
from marketplace.domain.refusals import refuse_unknown, require_found


def adjust_plan(command: AdjustStockPlan, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the new size of the pool; nothing if it is recorded."""
    require_shares(command.shares_reserved, "/shares_reserved", zero=True)
    if command.shares_reserved == state.shares_reserved:
        return []
    used = state.shares_granted + state.shares_promised
    if command.shares_reserved < used:
        raise Refusal(
            "pool_below_granted",
            f"{used} shares of the pool are granted or promised; it cannot shrink to {command.shares_reserved}",
            pointer="/shares_reserved",
            shares_granted=used,
        )
    return [
        IssuerStockPlanAdjusted(
            issuer_id=command.issuer_id,
            shares_reserved=command.shares_reserved,
            cause=command.cause,
            approval=command.approval,
        )
    ]


def promise_option(command: PromiseOption, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the promise; nothing if it is recorded."""
    event = IssuerOptionPromised(
        issuer_id=command.issuer_id,
        promise_id=command.promise_id,
        holder_id=command.holder_id,
        shares=command.shares,
    )
    if is_repeated("promise", command.promise_id, state.promised, event):
        return []
    require_stakeholder(state, command.holder_id)
    require_shares(command.shares, "/shares")
    _require_available(command.shares, state.shares_available)
    return [event]


def withdraw_promise(command: WithdrawPromise, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the withdrawal; nothing if the promise is granted or withdrawn already."""
    if command.promise_id not in state.promised:
        raise refuse_unknown("promise", command.promise_id)
    if command.promise_id not in state.promises:
        return []
    return [
        IssuerOptionPromiseWithdrawn(issuer_id=command.issuer_id, promise_id=command.promise_id, reason=command.reason)
    ]


def grant_option(command: GrantOption, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the grant; nothing if it is recorded."""
    event = IssuerOptionGranted(
        issuer_id=command.issuer_id,
        option_id=command.option_id,
        holder_id=command.holder_id,
        shares=command.shares,
        exercise_price_usd=command.exercise_price_usd,
        vesting=command.vesting,
        promise_id=command.promise_id,
        approval=command.approval,
        termination_exercise_days=command.termination_exercise_days,
    )
    granted = {option_id: option.granted for option_id, option in state.options.items()}
    if is_repeated("option", command.option_id, granted, event):
        return []
    require_stakeholder(state, command.holder_id)
    require_shares(command.shares, "/shares")
    require_price_per_share(command.exercise_price_usd, "/exercise_price_usd", zero=True)
    _require_common(state)
    require_schedule(command.vesting)
    _require_available(command.shares, state.shares_available + _count_promised(command, state))
    return [event]


def _require_common(state: Issuer) -> None:
    if not any(each.created.kind == "common" for each in state.classes.values()):
        raise Refusal("common_stock_missing", "an option needs a class of common stock, and there is none; create one")


def _count_promised(command: GrantOption, state: Issuer) -> int:
    if command.promise_id is None:
        return 0
    shares = require_found("promise", command.promise_id, state.promises.get(command.promise_id))
    promised = state.promised[command.promise_id]
    if promised.holder_id != command.holder_id:
        raise Refusal(
            "promise_differs",
            f"promise {command.promise_id} was given to {promised.holder_id}, not to {command.holder_id}",
            pointer="/promise_id",
        )
    return shares


def _require_available(shares: int, available: int) -> None:
    if shares > available:
        raise Refusal(
            "pool_exhausted",
            f"the pool has {available} shares available, not {shares}; enlarge it first",
            pointer="/shares",
            shares=shares,
            shares_available=available,
        )


def exercise_option(command: ExerciseOption, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the exercise of an option, in part or in full; nothing if it is recorded."""
    option = require_found("option", command.option_id, state.options.get(command.option_id))
    event = IssuerOptionExercised(
        issuer_id=command.issuer_id,
        exercise_id=command.exercise_id,
        option_id=command.option_id,
        holder_id=option.holder_id,
        class_id=command.class_id,
        shares=command.shares,
    )
    if is_repeated("exercise", command.exercise_id, state.acts, event):
        return []
    get_class(state, command.class_id, ("common",))
    require_shares(command.shares, "/shares")
    require_counted(state, command.option_id, command.shares, command.class_id, ends_at=option.ends_at)
    require_aware(command.at, "/at")
    if command.shares > option.shares_outstanding:
        raise refuse_overdrawn("option", command.option_id, command.shares, option.shares_outstanding)
    _require_window(command, option)
    exercisable = count_exercisable(option, command.at.date())
    if command.shares > exercisable:
        raise Refusal(
            "option_unvested",
            f"{exercisable} shares of option {command.option_id} have vested by {command.at.date()}, "
            f"not {command.shares}",
            pointer="/shares",
            shares=command.shares,
            shares_exercisable=exercisable,
        )
    return [*raise_authorised(state, command.class_id, command.shares, command.exercise_id), event]


def _require_window(command: ExerciseOption, option: Option) -> None:
    until = option.exercisable_until
    if until is not None and command.at.date() > until:
        raise Refusal(
            "option_expired",
            f"option {command.option_id} could be exercised until {until}, because its holder's service ended on"
            f" {option.service_ended_on}",
            exercisable_until=str(until),
        )


def cancel_option(command: CancelOption, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the cancellation of an option, in part or in full; nothing if it is recorded."""
    option = require_found("option", command.option_id, state.options.get(command.option_id))
    ends = command.kind == "forfeited" and option.granted.termination_exercise_days is not None
    event = IssuerOptionCancelled(
        issuer_id=command.issuer_id,
        cancellation_id=command.cancellation_id,
        option_id=command.option_id,
        holder_id=option.holder_id,
        shares=command.shares,
        kind=command.kind,
        reason=command.reason,
        service_ended_on=(option.service_ended_on or command.at.date()) if ends else None,
    )
    if is_repeated("cancellation", command.cancellation_id, state.acts, event):
        return []
    require_shares(command.shares, "/shares", zero=ends)
    require_aware(command.at, "/at")
    if command.shares > option.shares_outstanding:
        raise refuse_overdrawn("option", command.option_id, command.shares, option.shares_outstanding)
    unvested = option.shares_outstanding - count_exercisable(option, command.at.date())
    if command.kind == "forfeited" and command.shares > unvested:
        raise Refusal(
            "option_vested",
            f"{unvested} shares of option {command.option_id} are unvested on {command.at.date()}; "
            f"{command.shares} cannot be forfeited; cancel vested shares or let them expire",
            pointer="/shares",
            shares=command.shares,
            shares_unvested=unvested,
        )
    return [event]


def transfer_option(command: TransferOption, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the transfer of a whole option from a holder without a key to a party; nothing if it is recorded."""
    option = require_found("option", command.option_id, state.options.get(command.option_id))
    known = state.acts.get(command.transfer_id)
    event = IssuerOptionTransferred(
        issuer_id=command.issuer_id,
        transfer_id=command.transfer_id,
        option_id=command.option_id,
        holder_id=command.holder_id,
        holder_id_after=command.holder_id_after,
        shares=known.shares if isinstance(known, IssuerOptionTransferred) else option.shares_outstanding,
    )
    if is_repeated("transfer", command.transfer_id, state.acts, event):
        return []
    if command.holder_id != option.holder_id:
        raise Refusal(
            "option_not_held",
            f"option {command.option_id} is held by {option.holder_id}, not by {command.holder_id}",
            pointer="/holder_id",
        )
    require_no_sale(state)
    joins = is_joining(command.holder_id, command.holder_id_after)
    if not joins or not option.shares_outstanding:
        raise Refusal(
            "transfer_excluded",
            f"option {command.option_id} stays with its holder: only the rest of an option of a holder without a"
            " key passes, to the party that this holder is",
            pointer="/holder_id_after",
        )
    require_stakeholder(state, command.holder_id_after, "/holder_id_after")
    return [event]

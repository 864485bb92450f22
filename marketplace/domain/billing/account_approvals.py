"""Two persons: what one alone may let go in 24 hours, and acts above that, which a second person approves.

A key names a person. Two keys count as one person if they name the same person, or if the same operator of the platform
issued them. One person sets the first limit; two change it. While an act waits, its money is held.
`marketplace.domain.billing.account` documents the rules and the order of refusals.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

from msgspec import structs

from events.account import (
    AccountAct,
    AccountApprovalEnded,
    AccountApprovalGiven,
    AccountApprovalRequested,
    AccountDeposited,
    AccountEvent,
    AccountHoldPlaced,
    AccountHoldReleased,
    AccountLimitSet,
    AccountWithdrawn,
    ConsentAct,
    DepositAct,
    HoldAct,
    LimitAct,
    MandateAct,
    OrderAct,
    RelationAct,
    WithdrawalAct,
)
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.instants import render_instant
from marketplace.core.money import require_usd
from marketplace.domain.billing.account_commands import (
    UNIT,
    Approve,
    EndApproval,
    LapseApproval,
    PlaceHold,
    RequestApproval,
    SetLimit,
    UseLimit,
)
from marketplace.domain.billing.account_state import (
    Account,
    Approval,
    count_alone,
    evolve_all,
    is_repeat,
    place,
    require_free,
    require_funds,
    require_open,
)
from marketplace.domain.refusals import refuse_exists, refuse_status, require_found

APPROVE_WITHIN: Final = timedelta(hours=72)
"""How long a request may be approved. Then it lapses."""


def set_limit(command: SetLimit, state: Account) -> Sequence[AccountEvent]:
    """Return the events that set an account's limits; none if they are the present ones.

    Raises:
        Refusal: ``person_missing`` · ``unit_unsupported`` · ``not_a_number`` · ``amount_not_positive`` ·
            ``amount_too_large`` · ``amount_too_precise`` · ``second_person_missing``.
    """
    if command.person is not None:
        _require_person(command.person)
    _require_unit(command.unit)
    _require_limits(command.limits)
    if command.limits == state.limits:
        return []
    _require_second(command, state)
    return [
        AccountLimitSet(
            account_id=command.account_id,
            party_id=state.party_id,
            limit_usd=command.limits.limit_usd,
            order_limit_usd=command.limits.order_limit_usd,
            week_limit_usd=command.limits.week_limit_usd,
        )
    ]


def _require_second(command: SetLimit, state: Account) -> None:
    """Refuse a limit that no second person could change again, or approve anything above."""
    others = [each for each in command.approvers or () if each.person not in {"", command.person}]
    if command.approvers is None or any(each.operator is None or each.operator != command.operator for each in others):
        return
    if others:
        raise Refusal(
            "second_person_missing",
            f"two persons change a limit, and {command.operator} of the platform issued the keys of {command.person}"
            f" and of every other person of {state.party_id} that may approve (accounts:approve), and could act as"
            " all of them; ask another operator for the key of one",
        )
    raise Refusal(
        "second_person_missing",
        f"two persons change a limit, and no key of {state.party_id} that may approve (accounts:approve) acts for"
        f" another person than {command.person}; ask the platform for one first",
    )


def _require_unit(unit: str) -> None:
    if unit != UNIT:
        text = f"accounts are in {UNIT}, and have no limit in {unit}; state {UNIT}"
        raise Refusal("unit_unsupported", text, pointer="/unit")


def _require_limits(limits: LimitAct) -> None:
    for name in ("limit_usd", "order_limit_usd", "week_limit_usd"):
        if (amount := getattr(limits, name)) is not None:
            require_usd(amount, f"/{name}", zero=True)


def use_limit(command: UseLimit, state: Account) -> Sequence[AccountEvent]:
    """Return the events that count an amount toward the limit of 24 hours, once for its cause.

    Raises:
        Refusal: ``limit_exceeded``.
    """
    if any(use.cause == command.cause for use in state.used):
        return []
    if state.needs_second(command.amount_usd, command.at):
        raise Refusal(
            "limit_exceeded",
            f"this lets {command.amount_usd} go, and one person of {state.party_id} may let {state.limit_usd} go in 24"
            " hours; let two persons raise the limit of the account first",
            amount_usd=str(command.amount_usd),
            limit_usd=str(state.limit_usd),
        )
    counted = count_alone(command.account_id, state, command.amount_usd, command.at)
    return [structs.replace(used, cause=command.cause) for used in counted]


def request(command: RequestApproval, state: Account) -> Sequence[AccountEvent]:
    """Return the events that ask for an act and hold its money; none if the payment was made or asked for before.

    Refuses an act that could not be done if it were approved now; `account` lists the order.
    """
    act, approval_id, until = command.act, command.approval_id, command.at + APPROVE_WITHIN
    known = state.approvals.get(approval_id)
    if known is not None:
        if (known.requested.act, known.requested.person) == (act, command.person):
            return []
        raise refuse_exists("approval", approval_id)
    _require_person(command.person)
    _require_unit(command.unit)
    amount = None if isinstance(act, LimitAct | DepositAct | ConsentAct | RelationAct) else act.amount_usd
    if not isinstance(act, LimitAct | ConsentAct | RelationAct):
        require_usd(act.amount_usd, "/amount_usd", zero=isinstance(act, MandateAct | OrderAct))
    if isinstance(act, WithdrawalAct | DepositAct) and _is_moved(act, state):
        return []
    _require_possible(command, state)
    if amount is not None:
        require_funds(command.account_id, state, amount)
        require_free(command.account_id, state, amount, command.at)
    hold_id = rename_id("hld", approval_id) if amount else None
    requested = AccountApprovalRequested(
        account_id=command.account_id,
        party_id=state.party_id,
        approval_id=approval_id,
        act=act,
        person=command.person,
        operator=command.operator,
        hold_id=hold_id,
        approve_until=until,
    )
    if hold_id is None or amount is None:
        return [requested]
    held = AccountHoldPlaced(
        account_id=command.account_id,
        party_id=state.party_id,
        hold_id=hold_id,
        amount_usd=amount,
        purpose=approval_id,
    )
    return [requested, held]


def _require_possible(command: RequestApproval, state: Account) -> None:
    """Refuse a limit, a deposit or a hold that could not be made if it were approved now; other acts pass.

    Raises:
        Refusal: ``account_closed`` for a deposit · for a limit or a hold, the refusals of that act.
    """
    match command.act:
        case LimitAct() as limits:
            _require_limits(limits)
        case DepositAct():
            require_open(command.account_id, state)
        case HoldAct() as act:
            _place(command.account_id, command.approval_id, act, state, command.at)


def _is_moved(act: WithdrawalAct | DepositAct, state: Account) -> bool:
    """Return whether a payment was made before.

    Raises:
        Refusal: ``reference_exists``: it was made with another amount, or waits for a second person.
    """
    if is_repeat(state.references, act.reference, _sign(act), "reference"):
        return True
    for other in _list_open(state):
        known = other.requested.act
        if isinstance(known, WithdrawalAct | DepositAct) and known.reference == act.reference:
            text = f"approval {other.requested.approval_id} waits for a second person for {act.reference}"
            raise Refusal("reference_exists", f"{text}; use another reference", pointer="/reference")
    return False


def _sign(act: WithdrawalAct | DepositAct) -> Decimal:
    return act.amount_usd if isinstance(act, DepositAct) else -act.amount_usd


def _list_open(state: Account) -> list[Approval]:
    return [approval for approval in state.approvals.values() if approval.status == "open"]


def _place(account_id: str, approval_id: str, act: HoldAct, state: Account, at: datetime) -> Sequence[AccountEvent]:
    hold = PlaceHold(
        account_id=account_id,
        hold_id=derive_id("hld", approval_id),
        amount_usd=act.amount_usd,
        purpose=act.payee_account_id,
        expires_at=act.expires_at,
        at=at,
    )
    return place(hold, state)


def _require_person(person: str | None) -> None:
    if not person:
        raise Refusal(
            "person_missing",
            "this takes two persons, and this key names none; ask the platform for keys that name your persons",
        )


def _is_done(state: Account, approval_id: str, status: str, person: str | None) -> bool:
    """Return whether the request was ended in this way by this person."""
    known = state.approvals.get(approval_id)
    return known is not None and (known.status, known.decided_by) == (status, person)


def _get_open(state: Account, approval_id: str) -> AccountApprovalRequested:
    known = require_found("approval", approval_id, state.approvals.get(approval_id))
    if known.status != "open":
        raise refuse_status("approval", approval_id, known.status, "open")
    return known.requested


def approve(command: Approve, state: Account) -> Sequence[AccountEvent]:
    """Return the events that approve an act and do it; those of another aggregate are recorded there.

    Raises:
        Refusal: ``approval_unknown`` · ``approval_<status>`` · ``person_missing`` · ``person_same``, and what refuses
            the act itself now.
    """
    if _is_done(state, command.approval_id, "approved", command.person):
        return []
    requested = _get_open(state, command.approval_id)
    if command.at >= requested.approve_until:
        raise refuse_status("approval", command.approval_id, "lapsed", "open")
    _require_person(command.person)
    if command.person == requested.person:
        raise Refusal(
            "person_same",
            f"{command.person} asked for approval {command.approval_id}; another person must approve it",
            person=command.person,
        )
    if command.operator is not None and command.operator == requested.operator:
        raise Refusal(
            "person_same",
            f"{command.operator} of the platform issued the keys of {requested.person} and {command.person}, or asked"
            " itself, and could act as both; ask another operator for the key of one",
            person=command.person,
        )
    given = AccountApprovalGiven(
        account_id=command.account_id,
        party_id=state.party_id,
        approval_id=command.approval_id,
        person=command.person,
        operator=command.operator,
    )
    events: list[AccountEvent] = [given, *_release(command.account_id, requested, state, "a second person approved")]
    return [*events, *_act(command, requested.act, evolve_all(state, events))]


def _act(command: Approve, act: AccountAct, state: Account) -> Sequence[AccountEvent]:
    match act:
        case LimitAct():
            return set_limit(SetLimit(account_id=command.account_id, limits=act), state)
        case HoldAct():
            return _place(command.account_id, command.approval_id, act, state, command.at)
        case MandateAct() | OrderAct() | ConsentAct() | RelationAct():
            return []  # the mandate, order, proposal or register decides it, in the same append
        case WithdrawalAct() | DepositAct():
            if is_repeat(state.references, act.reference, _sign(act), "reference"):
                text = f"{act.reference} was recorded meanwhile; end the request"
                raise Refusal("reference_exists", text, pointer="/reference")
            if isinstance(act, DepositAct):
                require_open(command.account_id, state)
            moved = AccountDeposited if isinstance(act, DepositAct) else AccountWithdrawn
            return [
                moved(
                    account_id=command.account_id,
                    party_id=state.party_id,
                    amount_usd=act.amount_usd,
                    reference=act.reference,
                    provider=command.provider,
                    booked_at=command.booked_at,
                )
            ]


def _release(account_id: str, requested: AccountApprovalRequested, state: Account, reason: str) -> list[AccountEvent]:
    if requested.hold_id is None:
        return []
    return [
        AccountHoldReleased(
            account_id=account_id,
            party_id=state.party_id,
            hold_id=requested.hold_id,
            amount_usd=state.holds[requested.hold_id].left_usd,
            reason=reason,
        )
    ]


def end(command: EndApproval, state: Account) -> Sequence[AccountEvent]:
    """Return the events that end a request without its act, and free its money.

    Raises:
        Refusal: ``approval_unknown`` · ``approval_<status>`` · ``person_missing`` · ``requester_only`` ·
            ``person_same``.
    """
    if _is_done(state, command.approval_id, command.outcome, command.person):
        return []
    requested = _get_open(state, command.approval_id)
    if command.person is not None:
        _require_person(command.person)
        own = command.person == requested.person
        if own != (command.outcome == "withdrawn"):
            text = "refuse it" if command.outcome == "withdrawn" else "withdraw it"
            raise Refusal(
                "requester_only" if command.outcome == "withdrawn" else "person_same",
                f"approval {command.approval_id} was asked for by {requested.person}; {text}",
                person=command.person,
            )
    return _end(command.account_id, requested, state, command.outcome, reason=command.reason, person=command.person)


def lapse(command: LapseApproval, state: Account) -> Sequence[AccountEvent]:
    """Return the events that end a request that nobody approved in time, and free its money.

    Raises:
        Refusal: ``approval_unknown`` · ``approval_<status>`` · ``approval_not_due``.
    """
    known = state.approvals.get(command.approval_id)
    if known is not None and known.status == "lapsed":
        return []
    requested = _get_open(state, command.approval_id)
    due = render_instant(requested.approve_until)
    if command.at < requested.approve_until:
        text = f"approval {command.approval_id} may be given until {due}"
        raise Refusal("approval_not_due", text, due=due)
    reason = f"nobody else approved it until {due}"
    return _end(command.account_id, requested, state, "lapsed", reason=reason)


def _end(
    account_id: str,
    requested: AccountApprovalRequested,
    state: Account,
    outcome: Literal["refused", "withdrawn", "lapsed"],
    *,
    reason: str,
    person: str | None = None,
) -> Sequence[AccountEvent]:
    ended = AccountApprovalEnded(
        account_id=account_id,
        party_id=state.party_id,
        approval_id=requested.approval_id,
        outcome=outcome,
        reason=reason,
        person=person,
    )
    return [ended, *_release(account_id, requested, state, reason)]

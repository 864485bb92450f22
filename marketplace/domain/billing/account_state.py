"""The state of an account: available money, holds, and the payments that count once; and the rules of holds."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, Literal

from immutables import Map
from msgspec import Struct, field
from msgspec.structs import replace

from events.account import (
    AccountApprovalEnded,
    AccountApprovalGiven,
    AccountApprovalRequested,
    AccountClosed,
    AccountCreditCommitted,
    AccountCredited,
    AccountCreditLimited,
    AccountDebited,
    AccountDeposited,
    AccountEvent,
    AccountHoldCaptured,
    AccountHoldExpired,
    AccountHoldPlaced,
    AccountHoldReleased,
    AccountLimitSet,
    AccountLimitUsed,
    AccountOpened,
    AccountReserved,
    AccountWithdrawn,
    LimitAct,
)
from events.instants import FOREVER
from marketplace.core.errors import Refusal
from marketplace.core.ids import is_id
from marketplace.core.instants import render_instant
from marketplace.core.intervals import require_aware
from marketplace.core.money import ZERO, require_usd
from marketplace.domain.billing.account_commands import (
    AdjustHold,
    CaptureHold,
    ExpireHold,
    LimitCredit,
    PlaceHold,
    Reserve,
)
from marketplace.domain.refusals import refuse_status

ApprovalStatus = Literal["open", "approved", "refused", "withdrawn", "lapsed"]

_HoldEvent = AccountHoldPlaced | AccountHoldCaptured | AccountHoldReleased | AccountHoldExpired
_MoneyEvent = AccountDeposited | AccountWithdrawn | AccountDebited | AccountCredited
_ApprovalEvent = (
    AccountLimitSet | AccountLimitUsed | AccountApprovalRequested | AccountApprovalGiven | AccountApprovalEnded
)
COUNTED: Final = timedelta(hours=24)
"""How long what one person alone let go counts toward the limit."""
BOUGHT: Final = timedelta(days=7)
"""How long what one person alone bought counts toward the limit."""
UNLIMITED: Final = LimitAct(limit_usd=None)
RESERVE_SHARE: Final = Fraction(1, 10)
"""The share of each payment for delivery that the provider keeps for corrections; the platform, of its fees."""
RESERVED_FOR: Final = timedelta(days=60)
"""How long they keep it."""
_ACCOUNT: Final = "acc"
"""The prefix of accounts' ids. A hold for another account pays it, so that it is never empty."""
_HOLDING: Final = (AccountHoldPlaced, AccountHoldCaptured, AccountHoldReleased, AccountHoldExpired)


class Hold(Struct, frozen=True):
    """Money set aside.

    Attributes:
        left_usd: What is left.
        captured_usd: What was paid from it.
        purpose: Id of what it is for, as in `PlaceHold`.
        expires_at: When the rest is available again; None for a hold that ends with its purpose.
        expired: Whether that is recorded.
        principal_usd: The most principal that one person alone bought with it.
    """

    left_usd: Decimal
    captured_usd: Decimal
    purpose: str
    expires_at: datetime | None = None
    expired: bool = False
    principal_usd: Decimal = ZERO

    def is_over(self, at: datetime | None) -> bool:
        """Return whether its expiry is recorded, or has come at `at`; None asks only what is recorded."""
        return self.expired or (at is not None and _is_past(self.expires_at, at))


def _is_past(expires_at: datetime | None, at: datetime) -> bool:
    """Return whether an expiry has come. At the very instant it has."""
    return expires_at is not None and at >= expires_at


class Approval(Struct, frozen=True):
    """An act that takes two persons. `decided_by` is who ended it; None while open, or ended by platform or time."""

    requested: AccountApprovalRequested
    status: ApprovalStatus = "open"
    decided_by: str | None = None


class Account(Struct, frozen=True):
    """One party's account. `used`, `deposited` and `bought` may have older entries; sums leave them out.

    Attributes:
        party_id: Whose it is.
        available_usd: What may be held, paid or withdrawn, reserves included.
        holds: By id, also those that ended.
        references: The amount of each deposit, and minus that of each withdrawal, by its reference.
        causes: The amount of each payment from another account, and minus that of each to one, by `key_of`.
        closed: It may still receive what is owed and be emptied, but begins nothing new.
        limits: What one person alone may let go and buy.
        used: What one person alone let go in the last 24 hours.
        approvals: By id, also those that ended.
        counts: The number of holds that have money, by the kind of their purpose: the first three letters of its id.
        reserves: Amounts that are kept for corrections and due statements, by cause, and until when.
        deposited: What one person of the platform alone recorded in the last 24 hours, and when.
        bought: When one person alone bought in the last 7 days, and the hold.
        credits: The limit of each provider's credit.
        committed: By hold, of which provider it takes credit, and how much.
    """

    party_id: str
    available_usd: Decimal = ZERO
    holds: Map[str, Hold] = field(default_factory=Map)
    references: Map[str, Decimal] = field(default_factory=Map)
    causes: Map[str, Decimal] = field(default_factory=Map)
    closed: bool = False
    limits: LimitAct = UNLIMITED
    used: tuple[AccountLimitUsed, ...] = ()
    approvals: Map[str, Approval] = field(default_factory=Map)
    counts: Map[str, int] = field(default_factory=Map)
    reserves: Map[str, tuple[Decimal, datetime]] = field(default_factory=Map)
    deposited: tuple[tuple[datetime, Decimal], ...] = ()
    bought: tuple[tuple[datetime, str], ...] = ()
    credits: Map[str, Decimal] = field(default_factory=Map)
    committed: Map[str, tuple[str, Decimal]] = field(default_factory=Map)

    @property
    def limit_usd(self) -> Decimal | None:
        """Return what one person alone may let go in 24 hours; None for no limit."""
        return self.limits.limit_usd

    @property
    def held_usd(self) -> Decimal:
        """Return what is left of all holds."""
        return sum((hold.left_usd for hold in self.holds.values()), ZERO)

    def count_holds(self, kind: str) -> int:
        """Return how many holds have money or credit for purposes whose ids are of this kind."""
        return self.counts.get(kind, 0) + sum(1 for hold_id in self.committed if not self.holds[hold_id].left_usd)

    def sum_credit(self, provider_id: str) -> Decimal:
        """Return how many USD of a provider's credit the holds take together."""
        return sum((amount for lender_id, amount in self.committed.values() if lender_id == provider_id), ZERO)

    @property
    def keeps_proceeds(self) -> bool:
        """Return whether the sale of the company is declared, whose holders it is to pay."""
        return any(is_id(cause, "liq") for cause in self.reserves)

    def count_free(self, at: datetime, causes: Collection[str] = ()) -> Decimal:
        """Return the available USD less the reserves in force at `at`, except those for `causes`; at least 0."""
        return max(self.available_usd - self.sum_reserves(at, causes), ZERO)

    def sum_reserves(self, at: datetime, causes: Collection[str] = ()) -> Decimal:
        """Return the reserves in force at `at`, except those for `causes`, in US dollars."""
        reserves = self.reserves.items()
        return sum((amount for cause, (amount, until) in reserves if at < until and cause not in causes), ZERO)

    def find_freed(self, at: datetime, causes: Collection[str] = ()) -> datetime | None:
        """Return when the next of the reserves in force at `at` ends, except those for `causes`; None if none ends."""
        ends = (until for cause, (_, until) in self.reserves.items() if at < until < FOREVER and cause not in causes)
        return min(ends, default=None)

    def needs_second(self, amount_usd: Decimal, at: datetime) -> bool:
        """Return whether an amount, with what one person alone let go in the 24 hours before, is above the limit.

        Then a second person must agree. Always False without a limit.
        """
        if self.limit_usd is None:
            return False
        counted = (use.amount_usd for use in self.used if use.at > at - COUNTED)
        return sum(counted, amount_usd) > self.limit_usd

    def needs_second_to_buy(self, amount_usd: Decimal, at: datetime, purpose: str, *, is_staged: bool = False) -> bool:
        """Return whether a purchase takes two persons: it is above a limit for one order or, with others, for 7 days.

        What is held and was paid by the holds of 7 days counts, and principal even if its order ended.

        Args:
            amount_usd: Cash and principal; 0 never takes two.
            at: Now.
            purpose: The order or quote. What one person bought for it before is replaced, and does not count.
            is_staged: Whether it costs more in later stages. Then it takes two wherever there is a limit.
        """
        if self.limits == UNLIMITED:
            return False
        if is_staged:
            return True
        recent = [self.holds[hold_id] for bought_at, hold_id in self.bought if bought_at > at - BOUGHT]
        counted = [hold.left_usd + hold.captured_usd for hold in recent if hold.purpose != purpose]
        principal = {hold.purpose: hold.principal_usd for hold in recent if hold.purpose != purpose}
        order, week = self.limits.order_limit_usd, self.limits.week_limit_usd
        above = order is not None and amount_usd > order
        return bool(amount_usd) and (
            above or (week is not None and sum([*counted, *principal.values()], amount_usd) > week)
        )

    def needs_second_for_deposit(self, amount_usd: Decimal, at: datetime) -> bool:
        """Return whether a deposit, with those that one person alone recorded in 24 hours, is above the limit.

        False without a limit.
        """
        counted = (amount for alone_at, amount in self.deposited if alone_at > at - COUNTED)
        return self.limit_usd is not None and sum(counted, amount_usd) > self.limit_usd


AccountState = Account | None


def key_of(direction: str, counterpart_id: str, cause: str) -> str:
    """Return a payment's key in `Account.causes`. The direction is ``to`` or ``from`` the counterpart's account."""
    return f"{cause} {direction} {counterpart_id}"


def is_repeat(seen: Map[str, Decimal], key: str, amount_usd: Decimal, what: str) -> bool:
    """Return whether a payment was made before.

    Args:
        seen: The earlier payments.
        key: The payment's.
        amount_usd: Its amount; negative if it goes out.
        what: ``reference`` or ``cause``.

    Raises:
        Refusal: ``reference_exists`` or ``cause_exists``: it was made with another amount.
    """
    before = seen.get(key)
    if before is None:
        return False
    if before == amount_usd:
        return True
    raise Refusal(
        f"{what}_exists",
        f"{key} already moved {before}, not {amount_usd}; use another {what}",
        pointer="/reference" if what == "reference" else None,
    )


def require_funds(account_id: str, state: Account, amount_usd: Decimal) -> None:
    """Refuse to spend more than is available.

    Raises:
        Refusal: ``funds_insufficient``.
    """
    if amount_usd > state.available_usd:
        raise Refusal(
            "funds_insufficient",
            f"{amount_usd} is needed and {state.available_usd} is available; deposit the difference",
            account_id=account_id,
            needed_usd=str(amount_usd),
            available_usd=str(state.available_usd),
        )


def require_free(
    account_id: str, state: Account, amount_usd: Decimal, at: datetime | None, causes: Collection[str] = ()
) -> None:
    """Refuse to let an amount go that only reserves could pay, except reserves for `causes`.

    It accepts an amount above what is available, which `require_funds` refuses, and any amount if `at` is None.

    Raises:
        Refusal: ``funds_reserved``.
    """
    free = state.available_usd if at is None else state.count_free(at, causes)
    if free < amount_usd <= state.available_usd:
        raise Refusal(
            "funds_reserved",
            f"{amount_usd} is needed and {free} is free; the rest of the {state.available_usd} available covers"
            " corrections of what was delivered, due statements, claims or the proceeds of a declared sale, and is free"
            " once they are paid or too late",
            account_id=account_id,
            free_usd=str(free),
        )


def reserve(command: Reserve, state: Account) -> Sequence[AccountEvent]:
    """Return the events that keep part of what is available for a cause; none if nothing changes."""
    require_usd(command.amount_usd, "/amount_usd", zero=True)
    known = state.reserves.get(command.cause, (ZERO, command.until))
    if known == (command.amount_usd, command.until) or (not known[0] and not command.amount_usd):
        return []
    return [
        AccountReserved(
            account_id=command.account_id,
            party_id=state.party_id,
            amount_usd=command.amount_usd,
            until=command.until,
            cause=command.cause,
        )
    ]


def require_open(account_id: str, state: Account) -> None:
    """Refuse to begin anything new on a closed account.

    Raises:
        Refusal: ``account_closed``.
    """
    if state.closed:
        raise refuse_status("account", account_id, "closed", "open")


def count_alone(account_id: str, state: Account, amount_usd: Decimal, at: datetime | None) -> list[AccountEvent]:
    """Return the events that count an amount toward the limit; none if `at` is None or there is no limit.

    `at` is when one person alone acts.
    """
    if at is None or state.limit_usd is None:
        return []
    return [AccountLimitUsed(account_id=account_id, party_id=state.party_id, amount_usd=amount_usd, at=at)]


def place(command: PlaceHold, state: Account) -> Sequence[AccountEvent]:
    """Return the events that place a hold, take its credit, and count it toward the limits of one person.

    Raises:
        Refusal: ``payee_is_payer`` to ``credit_exhausted``, as `account` lists them.
    """
    if command.purpose == command.account_id:
        raise Refusal(
            "payee_is_payer", "an account cannot hold money for itself; name another payee", pointer="/payee_account_id"
        )
    require_usd(command.amount_usd, "/amount_usd", zero=not is_id(command.purpose, _ACCOUNT))
    known = state.holds.get(command.hold_id)
    if known is not None:
        asked = (command.amount_usd, command.purpose, command.expires_at)
        if (known.left_usd, known.purpose, known.expires_at) == asked:
            return []
        raise Refusal(
            "hold_exists", f"hold {command.hold_id} exists with other content; use another id", hold_id=command.hold_id
        )
    _require_few_bought(command, state)
    require_open(command.account_id, state)
    _require_quota(command, state)
    _require_time_left(command)
    require_funds(command.account_id, state, command.amount_usd)
    require_free(command.account_id, state, command.amount_usd, command.at)
    return [
        *count_alone(command.account_id, state, command.amount_usd, command.alone_at),
        AccountHoldPlaced(
            account_id=command.account_id,
            party_id=state.party_id,
            hold_id=command.hold_id,
            amount_usd=command.amount_usd,
            purpose=command.purpose,
            expires_at=command.expires_at,
            **_mark_bought(command, state),
        ),
        *_take_credit(command, state),
    ]


def limit_credit(command: LimitCredit, state: Account) -> Sequence[AccountEvent]:
    """Return the events that limit a provider's credit; none if that is the limit."""
    require_usd(command.limit_usd, "/limit_usd", zero=True)
    if state.credits.get(command.provider_id, ZERO) == command.limit_usd:
        return []
    return [
        AccountCreditLimited(
            account_id=command.account_id,
            party_id=state.party_id,
            provider_id=command.provider_id,
            limit_usd=command.limit_usd,
        )
    ]


def _take_credit(command: PlaceHold, state: Account) -> Sequence[AccountEvent]:
    if command.credit is None:
        return []
    provider_id, amount_usd = command.credit
    limit_usd, taken_usd = state.credits.get(provider_id, ZERO), state.sum_credit(provider_id)
    if amount_usd > limit_usd - taken_usd:
        raise Refusal(
            "credit_exhausted",
            f"the order takes {amount_usd} USD of the credit of {provider_id}, whose limit is {limit_usd}, of which"
            f" {taken_usd} are taken; pay statements, take less, or ask the provider for more",
            pointer="/terms/credit/amount_usd",
            limit_usd=str(limit_usd),
            taken_usd=str(taken_usd),
        )
    return [_commit(command.account_id, state, command.hold_id, provider_id, amount_usd)]


def _commit(account_id: str, state: Account, hold_id: str, provider_id: str, amount_usd: Decimal) -> AccountEvent:
    return AccountCreditCommitted(
        account_id=account_id,
        party_id=state.party_id,
        lender_id=provider_id,
        hold_id=hold_id,
        amount_usd=amount_usd,
    )


def _free_credit(command: AdjustHold, state: Account) -> Sequence[AccountEvent]:
    """Return what ends the credit of a hold that keeps nothing."""
    known = state.committed.get(command.hold_id)
    if known is None or command.amount_usd or command.keeps_credit:
        return []
    return [_commit(command.account_id, state, command.hold_id, known[0], ZERO)]


def _mark_bought(command: PlaceHold, state: Account) -> dict[str, Any]:
    """Return the members that say what one person bought; none where nothing limits purchases."""
    limits = state.limits.order_limit_usd, state.limits.week_limit_usd
    if command.bought_at is None or limits == (None, None):
        return {}
    return {"bought_at": command.bought_at, "principal_usd": command.principal_usd}


def _name(limit_usd: Decimal | None) -> str:
    return "any sum" if limit_usd is None else str(limit_usd)


def _require_few_bought(command: PlaceHold, state: Account) -> None:
    if command.bought_at is None or not state.needs_second_to_buy(
        command.amount_usd + command.principal_usd, command.bought_at, command.purpose, is_staged=command.is_staged
    ):
        return
    order, week = state.limits.order_limit_usd, state.limits.week_limit_usd
    raise Refusal(
        "limit_exceeded",
        f"this costs {command.amount_usd} and {command.principal_usd} of principal; one person of {state.party_id} may"
        f" spend {_name(order)} on an order and {_name(week)} in 7 days; place an order, which a second person can"
        " approve",
        amount_usd=str(command.amount_usd),
        principal_usd=str(command.principal_usd),
        order_limit_usd=None if order is None else str(order),
        week_limit_usd=None if week is None else str(week),
    )


def _require_quota(command: PlaceHold, state: Account) -> None:
    kind = command.purpose[:3]
    count = state.count_holds(kind) + command.related
    if command.quota is None or count < command.quota:
        return
    raise Refusal(
        "holds_exhausted",
        f"account {command.account_id} and those of firmly related parties hold money or credit for as many things"
        f" whose ids begin with {kind}_ as they may, {command.quota}; end some of them, or wait until some end",
        quota=command.quota,
    )


def _require_time_left(command: PlaceHold) -> None:
    if command.expires_at is None:
        return
    require_aware(command.expires_at, "/expires_at")
    assert command.at is not None, "a hold that expires is placed at a stated instant"
    if _is_past(command.expires_at, command.at):
        raise Refusal(
            "expiry_passed",
            f"the expiry {render_instant(command.expires_at)} is not after now, {render_instant(command.at)}; state"
            " a later one",
            pointer="/expires_at",
        )


def get_hold(state: Account, account_id: str, hold_id: str) -> Hold:
    """Return a hold. A state that is behind the log may lack one that something else names; then this is asked again.

    Raises:
        Refusal: ``hold_unknown``.
    """
    held = state.holds.get(hold_id)
    if held is None:
        raise Refusal("hold_unknown", f"account {account_id} has no hold {hold_id}; check the id", hold_id=hold_id)
    return held


def capture(command: CaptureHold, state: Account) -> Sequence[AccountEvent]:
    """Return the events that pay from a hold; none if the payment was made before.

    Raises:
        Refusal: ``cause_exists`` · ``hold_unknown`` · ``hold_expired`` · ``capture_above_hold``.
    """
    require_usd(command.amount_usd, "/amount_usd")
    if is_repeat(state.causes, key_of("to", command.payee_account_id, command.cause), -command.amount_usd, "cause"):
        return []
    hold = get_hold(state, command.account_id, command.hold_id)
    if hold.is_over(command.at):
        raise _refuse_expired(command.hold_id, hold)
    held = hold.left_usd
    if command.amount_usd > held:
        raise Refusal(
            "capture_above_hold",
            f"hold {command.hold_id} has {held} left, less than {command.amount_usd}; capture at most that",
            held_usd=str(held),
        )
    return [
        AccountHoldCaptured(
            account_id=command.account_id,
            party_id=state.party_id,
            hold_id=command.hold_id,
            amount_usd=command.amount_usd,
            payee_account_id=command.payee_account_id,
            cause=command.cause,
        )
    ]


def adjust(command: AdjustHold, state: Account) -> Sequence[AccountEvent]:
    """Return the events that release or add to a hold, so that the stated amount is left.

    Raises:
        Refusal: ``hold_unknown``; to add, also ``account_closed`` · ``hold_expired`` · ``funds_insufficient`` ·
            ``funds_reserved``.
    """
    require_usd(command.amount_usd, "/amount_usd", zero=True)
    held = get_hold(state, command.account_id, command.hold_id).left_usd
    change = command.amount_usd - held
    if not change:
        return _free_credit(command, state)
    if change < 0:
        return [
            AccountHoldReleased(
                account_id=command.account_id,
                party_id=state.party_id,
                hold_id=command.hold_id,
                amount_usd=-change,
                reason=command.reason,
            ),
            *_free_credit(command, state),
        ]
    require_open(command.account_id, state)
    hold = state.holds[command.hold_id]
    if hold.expired:
        raise _refuse_expired(command.hold_id, hold)
    require_funds(command.account_id, state, change)
    require_free(command.account_id, state, change, command.at)
    return [
        *count_alone(command.account_id, state, change, command.alone_at),
        AccountHoldPlaced(
            account_id=command.account_id,
            party_id=state.party_id,
            hold_id=command.hold_id,
            amount_usd=change,
            purpose=hold.purpose,
            expires_at=hold.expires_at,
        ),
    ]


def _refuse_expired(hold_id: str, hold: Hold) -> Refusal:
    assert hold.expires_at is not None, "only a hold with an expiry expires"
    return Refusal(
        "hold_expired",
        f"hold {hold_id} expired at {render_instant(hold.expires_at)}; place another one",
        hold_id=hold_id,
        expires_at=render_instant(hold.expires_at),
    )


def expire(command: ExpireHold, state: Account) -> Sequence[AccountEvent]:
    """Return the events that release what is left of a hold whose expiry has come.

    Raises:
        Refusal: ``hold_unknown`` · ``time_naive`` · ``hold_not_due``.
    """
    hold = get_hold(state, command.account_id, command.hold_id)
    require_aware(command.at, "/at")
    if hold.expired:
        return []
    if not hold.is_over(command.at):
        due = None if hold.expires_at is None else render_instant(hold.expires_at)
        says = "never expires by itself" if due is None else f"expires at {due}"
        raise Refusal("hold_not_due", f"hold {command.hold_id} {says}; it is {render_instant(command.at)}", due=due)
    return [
        AccountHoldExpired(
            account_id=command.account_id,
            party_id=state.party_id,
            hold_id=command.hold_id,
            amount_usd=hold.left_usd,
            at=command.at,
        )
    ]


def evolve(state: AccountState, event: AccountEvent) -> AccountState:
    """Return the state after an event."""
    if isinstance(event, AccountOpened):
        return Account(event.party_id)
    assert state is not None, "an account is opened first"
    if isinstance(event, AccountClosed):
        return replace(state, closed=True)
    if isinstance(event, AccountReserved):
        return replace(state, reserves=_keep(state, event))
    if isinstance(event, AccountCreditLimited):
        return replace(state, credits=state.credits.set(event.provider_id, event.limit_usd))
    if isinstance(event, AccountCreditCommitted):
        return replace(state, committed=_commit_credit(state, event))
    if isinstance(event, _ApprovalEvent):
        return _evolve_approvals(state, event)
    return _evolve_holds(state, event) if isinstance(event, _HOLDING) else _evolve_money(state, event)


def _keep(state: Account, event: AccountReserved) -> Map[str, tuple[Decimal, datetime]]:
    """Return the reserves after one changed."""
    if not event.amount_usd:
        return state.reserves.delete(event.cause) if event.cause in state.reserves else state.reserves
    return state.reserves.set(event.cause, (event.amount_usd, event.until))


def _commit_credit(state: Account, event: AccountCreditCommitted) -> Map[str, tuple[str, Decimal]]:
    """Return what holds take of credits after one changed."""
    if not event.amount_usd:
        return state.committed.delete(event.hold_id)
    return state.committed.set(event.hold_id, (event.lender_id, event.amount_usd))


def evolve_all(state: Account, events: Iterable[AccountEvent]) -> Account:
    """Return the state after events."""
    current: AccountState = state
    for event in events:
        current = evolve(current, event)
    assert current is not None, "an account stays one"
    return current


def _evolve_approvals(state: Account, event: _ApprovalEvent) -> Account:
    match event:
        case AccountLimitSet():
            limits = LimitAct(
                limit_usd=event.limit_usd, order_limit_usd=event.order_limit_usd, week_limit_usd=event.week_limit_usd
            )
            return replace(state, limits=limits)
        case AccountLimitUsed():
            past = next((n for n, use in enumerate(state.used) if use.at > event.at - COUNTED), len(state.used))
            return replace(state, used=(*state.used[past:], event))
        case AccountApprovalRequested():
            return replace(state, approvals=state.approvals.set(event.approval_id, Approval(event)))
        case AccountApprovalGiven():
            return _change(state, event.approval_id, "approved", event.person)
        case AccountApprovalEnded():
            return _change(state, event.approval_id, event.outcome, event.person)


def _change(state: Account, approval_id: str, status: Any, person: str | None) -> Account:
    changed = replace(state.approvals[approval_id], status=status, decided_by=person)
    return replace(state, approvals=state.approvals.set(approval_id, changed))


def _evolve_money(state: Account, event: _MoneyEvent) -> Account:
    amount = event.amount_usd
    match event:
        case AccountDeposited():
            moved = _move(state, amount, references=state.references.set(event.reference, amount))
            return moved if event.alone_at is None else _count_deposit(moved, event.alone_at, amount)
        case AccountWithdrawn():
            return _move(state, -amount, references=state.references.set(event.reference, -amount))
        case AccountDebited():
            return _move(
                state,
                -amount,
                causes=state.causes.set(key_of("to", event.payee_account_id, event.cause), -amount),
            )
        case AccountCredited():
            return _move(
                state,
                amount,
                causes=state.causes.set(key_of("from", event.payer_account_id, event.cause), amount),
            )


def _count_deposit(state: Account, at: datetime, amount_usd: Decimal) -> Account:
    past = next((n for n, each in enumerate(state.deposited) if each[0] > at - COUNTED), len(state.deposited))
    return replace(state, deposited=(*state.deposited[past:], (at, amount_usd)))


def _count_bought(state: Account, at: datetime, hold_id: str) -> tuple[tuple[datetime, str], ...]:
    past = next((n for n, each in enumerate(state.bought) if each[0] > at - BOUGHT), len(state.bought))
    return (*state.bought[past:], (at, hold_id))


def _evolve_holds(state: Account, event: _HoldEvent) -> Account:
    """Return the account after a hold changed. It is copied once, because every order changes one."""
    before = state.holds.get(event.hold_id)
    hold, freed_usd = _move_hold(before, event)
    changes: dict[str, Any] = {"holds": state.holds.set(event.hold_id, hold)}
    if isinstance(event, AccountHoldCaptured):
        changes["causes"] = state.causes.set(key_of("to", event.payee_account_id, event.cause), -event.amount_usd)
    if isinstance(event, AccountHoldPlaced) and event.bought_at is not None:
        changes["bought"] = _count_bought(state, event.bought_at, event.hold_id)
    change = bool(hold.left_usd) - bool(before is not None and before.left_usd)
    if change:
        kind = hold.purpose[:3]
        changes["counts"] = state.counts.set(kind, state.counts.get(kind, 0) + change)
    return replace(state, available_usd=state.available_usd + freed_usd, **changes)


def _move_hold(known: Hold | None, event: _HoldEvent) -> tuple[Hold, Decimal]:
    """Return a hold after an event, and what becomes available by it."""
    amount = event.amount_usd
    if isinstance(event, AccountHoldPlaced):
        if known is not None:
            return replace(known, left_usd=known.left_usd + amount), -amount
        return Hold(amount, ZERO, event.purpose, event.expires_at, principal_usd=event.principal_usd), -amount
    assert known is not None, "a hold is placed first"
    left = known.left_usd - amount
    match event:
        case AccountHoldReleased():
            return replace(known, left_usd=left), amount
        case AccountHoldExpired():
            return replace(known, left_usd=left, expired=True), amount
        case AccountHoldCaptured():
            return replace(known, left_usd=left, captured_usd=known.captured_usd + amount), ZERO


def _move(
    state: Account,
    amount_usd: Decimal,
    *,
    references: Map[str, Decimal] | None = None,
    causes: Map[str, Decimal] | None = None,
) -> Account:
    return replace(
        state,
        available_usd=state.available_usd + amount_usd,
        references=state.references if references is None else references,
        causes=state.causes if causes is None else causes,
    )

"""Accounts: deposits and withdrawals that a payment provider confirms, and the closing of an account."""

from datetime import datetime
from decimal import Decimal

from msgspec import structs

from events.account import AccountDeposited, DepositAct, WithdrawalAct
from marketplace.application.billing.payment_provider import MANUAL, PaymentProvider, Transfer
from marketplace.application.steps.access import require_decider, require_owner, require_platform, require_unfrozen
from marketplace.application.steps.two_persons import ask_second, find_alone
from marketplace.core.ids import derive_command_id
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import CloseAccount, Deposit, Withdraw
from marketplace.domain.billing.account_state import Account
from marketplace.domain.billing.transfer import require_booked, require_reference, require_unused
from marketplace.domain.command import COMMAND, RecordCommand
from marketplace.domain.party import PARTY, is_suspended
from marketplace.domain.refusals import require_found
from marketplace.domain.supply.schedule import SCHEDULE, SCHEDULE_ID, CountDeposit
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def find_account(unit: UnitOfWork, account_id: str) -> Account:
    """Return an account of any party, without asking whose it is.

    Raises:
        Refusal: ``account_unknown``.
    """
    return require_found("account", account_id, await unit.load(ACCOUNT, account_id))


async def load_account(unit: UnitOfWork, account_id: str) -> Account:
    """Return an account of the tenant.

    Raises:
        Refusal: ``account_unknown``.
    """
    account = await find_account(unit, account_id)
    require_owner(unit.context, (account.party_id,), "account", account_id, duty=True)
    return account


async def deposit(
    handler: Handler,
    context: Context,
    account_id: str,
    *,
    amount_usd: Decimal,
    reference: str,
    booked_at: datetime | None = None,
    provider: PaymentProvider = MANUAL,
) -> Receipt:
    """Record a deposit that the provider confirms, once per reference in the whole market.

    Above the account's limit, or above what the schedule lets this person record alone in all accounts together, a
    deposit that the operator records by hand is only requested, and waits for another person of the platform; see
    `marketplace.application.billing.approvals`.

    Raises:
        Refusal: ``platform_only`` by hand · ``account_unknown`` · ``time_naive`` · ``booked_in_future`` · refusals of
            the payment provider and of the account · ``person_missing`` · ``reference_empty`` · ``reference_exists``
            also for a payment that another account got.
    """
    transfer = Transfer(account_id=account_id, amount_usd=amount_usd, reference=reference, booked_at=booked_at)

    async def work(unit: UnitOfWork) -> None:
        by_hand = provider.name == MANUAL.name
        if by_hand:
            require_platform(context)
        account = await load_account(unit, account_id)
        if booked_at is not None:
            require_booked(booked_at, context.at)
        unit.require_version()
        confirmed = await provider.confirm_deposit(context, transfer)
        schedule = await unit.load(SCHEDULE, SCHEDULE_ID)
        if by_hand and (
            account.needs_second_for_deposit(amount_usd, context.at)
            or schedule.needs_second(context.actor_person, amount_usd, context.at)
        ):
            act = DepositAct(amount_usd=amount_usd, reference=reference, booked_at=booked_at)
            await ask_second(unit, account_id, act)
            if unit.list_events(ACCOUNT, account_id):
                await require_new_reference(unit, reference)
            return
        command = Deposit(
            account_id=account_id,
            amount_usd=amount_usd,
            reference=reference,
            provider=confirmed.provider,
            booked_at=confirmed.booked_at,
            alone_at=context.at if by_hand else None,
        )
        await unit.decide(ACCOUNT, account_id, command)
        await use_references(unit, account_id)
        if by_hand and unit.list_events(ACCOUNT, account_id):
            await _count_deposit(unit, account_id, amount_usd)

    return await handler.run(context, ACCOUNT, account_id, work)


async def _count_deposit(unit: UnitOfWork, account_id: str, amount_usd: Decimal) -> None:
    """Count a deposit toward what the schedule lets this person of the platform record alone."""
    count = CountDeposit(
        schedule_id=SCHEDULE_ID,
        person=unit.context.actor_person,
        account_id=account_id,
        amount_usd=amount_usd,
        at=unit.context.at,
        cause=unit.context.command_id,
    )
    await unit.decide(SCHEDULE, SCHEDULE_ID, count)


async def require_new_reference(unit: UnitOfWork, reference: str) -> str:
    """Return the id of the record that reserves a deposit's reference in the whole market; refuse a used reference.

    Raises:
        Refusal: ``reference_empty`` · ``reference_exists``.
    """
    record_id = derive_command_id("deposit", require_reference(reference))
    used = await unit.load(COMMAND, record_id)
    require_unused(reference, None if used is None else used.aggregate_id)
    return record_id


async def use_references(unit: UnitOfWork, account_id: str) -> None:
    """Reserve, in the whole market, the references of the deposits to an account that this unit records.

    Raises:
        Refusal: ``reference_empty`` · ``reference_exists``.
    """
    for event in unit.list_events(ACCOUNT, account_id):
        if isinstance(event, AccountDeposited):
            unit.assume_new(COMMAND, derive_command_id("deposit", require_reference(event.reference)))
            record_id = await require_new_reference(unit, event.reference)
            record = RecordCommand(command_id=record_id, aggregate="account", aggregate_id=account_id, version=None)
            await unit.decide(COMMAND, record_id, record)


async def withdraw(
    handler: Handler,
    context: Context,
    account_id: str,
    *,
    amount_usd: Decimal,
    reference: str,
    booked_at: datetime | None = None,
    provider: PaymentProvider = MANUAL,
) -> Receipt:
    """Record a withdrawal that the payment provider accepts, once per reference.

    Above the account's limit, the withdrawal is only requested, and waits for a second person of the party; see
    `marketplace.application.billing.approvals`. A request of the platform waits for a person of the party too, unless
    the party is suspended: the platform then moves what a court orders.

    Raises:
        Refusal: ``scope_missing`` · ``party_suspended`` · ``account_unknown`` · ``platform_only`` for a tenant that
            states a booking time · ``time_naive`` · ``booked_in_future`` · refusals of the account, before the payment
            provider is asked · refusals of the payment provider.
    """
    transfer = Transfer(account_id=account_id, amount_usd=amount_usd, reference=reference, booked_at=booked_at)

    async def work(unit: UnitOfWork) -> None:
        require_decider(context)
        await require_unfrozen(unit)
        account = await load_account(unit, account_id)
        party = await unit.load(PARTY, account.party_id)
        is_ordered = context.party_id is None and is_suspended(party)
        if booked_at is not None:
            require_platform(context)
            require_booked(booked_at, context.at)
        if not is_ordered and account.needs_second(amount_usd, context.at):
            act = WithdrawalAct(amount_usd=amount_usd, reference=reference, booked_at=booked_at)
            await ask_second(unit, account_id, act)
            return
        unit.require_version()
        command = Withdraw(
            account_id=account_id,
            amount_usd=amount_usd,
            reference=reference,
            provider=provider.name,
            booked_at=booked_at,
            alone_at=find_alone(context),
            at=None if is_ordered else context.at,
        )
        await unit.branch().decide(ACCOUNT, account_id, command)
        confirmed = await provider.confirm_withdrawal(context, transfer)
        paid = structs.replace(command, provider=confirmed.provider, booked_at=confirmed.booked_at)
        await unit.decide(ACCOUNT, account_id, paid)

    return await handler.run(context, ACCOUNT, account_id, work)


async def close_account(handler: Handler, context: Context, account_id: str, *, reason: str) -> Receipt:
    """Close an account to anything new. Money still owed to it is booked, and it may be emptied.

    Raises:
        Refusal: ``scope_missing`` for a key of the platform that may not decide · ``account_unknown`` ·
            ``limit_exceeded`` for one person of a party whose account has a limit · ``holds_left``.
    """
    require_decider(context)
    alone = context.party_id is not None

    async def work(unit: UnitOfWork) -> None:
        await load_account(unit, account_id)
        await unit.decide(ACCOUNT, account_id, CloseAccount(account_id=account_id, reason=reason, alone=alone))

    return await handler.run(context, ACCOUNT, account_id, work)

"""Two persons: an account's limit, and the approval, refusal, withdrawal and lapse of requests above it."""

from collections.abc import Sequence
from decimal import Decimal

from msgspec import structs

from events.account import (
    AccountAct,
    ConsentAct,
    DepositAct,
    LimitAct,
    MandateAct,
    OrderAct,
    RelationAct,
    WithdrawalAct,
)
from marketplace.application.access.relations import state_relation
from marketplace.application.billing.accounts import load_account, use_references
from marketplace.application.billing.payment_provider import MANUAL, PaymentProvider, Transfer
from marketplace.application.equity.consents import give_consent
from marketplace.application.steps.access import require_decider, require_platform, require_unfrozen
from marketplace.application.steps.binding import require_mandate_unbound, require_order_free
from marketplace.application.steps.mandate_hold import set_mandate
from marketplace.application.steps.two_persons import ask_second, name_person
from marketplace.application.trading.orders import set_order
from marketplace.core.ids import derive_id
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import UNIT, Approve, EndApproval, KeyHolder, LapseApproval, SetLimit
from marketplace.domain.billing.account_state import UNLIMITED
from marketplace.domain.billing.transfer import require_payer
from marketplace.domain.trading.mandate import MANDATE
from marketplace.domain.trading.order import ORDER
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def set_limit(
    handler: Handler,
    context: Context,
    account_id: str,
    *,
    limit_usd: Decimal | None,
    order_limit_usd: Decimal | None = None,
    week_limit_usd: Decimal | None = None,
    currency: str = UNIT,
    approvers: frozenset[KeyHolder] | None = None,
) -> Receipt:
    """Set how much money one person alone may let go and spend. A change of existing limits needs two persons.

    A change that the platform requests waits for a person of the party.

    Args:
        handler: Runs the command.
        context: Who asks.
        account_id: The account.
        limit_usd: What one person alone may let go in 24 hours; None for no limit.
        order_limit_usd: What one order that one person alone places may cost, in cash and principal; None for no limit.
        week_limit_usd: What all that single persons buy in 7 days may cost likewise; None for no limit.
        currency: The currency, which must be the account's.
        approvers: For whom the party's working keys act that may approve; None: the platform sets the limit.

    Raises:
        Refusal: ``scope_missing`` · ``account_unknown`` · ``party_suspended`` · ``unit_unsupported`` ·
            ``person_missing`` · refusals of the account.
    """
    require_decider(context)
    limits = LimitAct(limit_usd=limit_usd, order_limit_usd=order_limit_usd, week_limit_usd=week_limit_usd)

    async def work(unit: UnitOfWork) -> None:
        account = await load_account(unit, account_id)
        await require_unfrozen(unit)
        if account.limits not in (UNLIMITED, limits):
            await ask_second(unit, account_id, limits, currency)
            return
        person = None if context.party_id is None else context.actor_person
        command = SetLimit(
            account_id=account_id,
            limits=limits,
            unit=currency,
            person=person,
            operator=context.actor_operator,
            approvers=approvers,
        )
        await unit.decide(ACCOUNT, account_id, command)

    return await handler.run(context, ACCOUNT, account_id, work)


async def find_approval(handler: Handler, context: Context, account_id: str) -> str | None:
    """Return the request that a command made, or None if its act was done at once."""
    account = (await handler.cache.load(ACCOUNT, account_id)).state
    if account is None or not account.approvals:
        return None
    approval_id = derive_id("apv", context.command_id)
    return approval_id if approval_id in account.approvals else None


async def approve(
    handler: Handler,
    context: Context,
    account_id: str,
    approval_id: str,
    *,
    provider: PaymentProvider = MANUAL,
    auction_ids: Sequence[str] = (),
) -> Receipt:
    """Approve an act as a second person of the party; a deposit, as one of the platform. It is done in the same append.

    `auction_ids` are the auctions that are not completed: what one has bound is not changed by an approval either.

    Raises:
        Refusal: ``account_unknown`` · ``payer_only`` for the platform · ``platform_only`` of a deposit ·
            ``party_suspended`` · ``approval_unknown`` · ``approval_<status>`` · ``person_missing`` · ``person_same`` ·
            refusals of the act and of the provider.
    """

    async def work(unit: UnitOfWork) -> None:
        account = await load_account(unit, account_id)
        known = account.approvals.get(approval_id)
        if known is not None and isinstance(known.requested.act, DepositAct):
            require_platform(context)
        else:
            require_payer(account.party_id, context.party_id)
        await require_unfrozen(unit)
        command = Approve(
            account_id=account_id,
            approval_id=approval_id,
            person=context.actor_person,
            at=context.at,
            operator=context.actor_operator,
        )
        act = None if known is None else known.requested.act
        unit.require_version()
        if isinstance(act, WithdrawalAct | DepositAct):
            await unit.branch().decide(ACCOUNT, account_id, command)
            transfer = Transfer(account_id=account_id, amount_usd=act.amount_usd, reference=act.reference)
            is_deposit = isinstance(act, DepositAct)
            confirm = provider.confirm_deposit if is_deposit else provider.confirm_withdrawal
            confirmed = await confirm(context, transfer)
            command = structs.replace(
                command, provider=confirmed.provider, booked_at=act.booked_at or confirmed.booked_at
            )
        is_open = known is not None and known.status == "open"
        if isinstance(act, ConsentAct) and is_open:
            await unit.branch().decide(ACCOUNT, account_id, command)
            await give_consent(unit, act.proposal_id, auction_ids)
        await unit.decide(ACCOUNT, account_id, command)
        await use_references(unit, account_id)
        if act is not None and is_open:
            await _carry_out(unit, account.party_id, act, auction_ids)

    return await handler.run(context, ACCOUNT, account_id, work)


async def _carry_out(unit: UnitOfWork, party_id: str, act: AccountAct, auction_ids: Sequence[str]) -> None:
    """Do an approved act that another aggregate records."""
    if isinstance(act, MandateAct):
        mandate = await unit.load(MANDATE, act.mandate_id)
        if mandate is not None:
            await require_mandate_unbound(unit, mandate, mandate.holds.values(), auction_ids)
        await set_mandate(unit, act.mandate_id, party_id, act.terms, alone_at=None)
    if isinstance(act, OrderAct):
        await require_order_free(unit, await unit.load(ORDER, act.order_id), auction_ids)
        await set_order(unit, act.order_id, party_id, act.terms, bought_at=None)
    if isinstance(act, RelationAct):
        await state_relation(unit, party_id, act, auction_ids)


async def refuse_approval(
    handler: Handler, context: Context, account_id: str, approval_id: str, *, reason: str
) -> Receipt:
    """Refuse an act as another person of the party, or as the platform. Its money is available again.

    Raises:
        Refusal: ``account_unknown`` · ``scope_missing`` unless it is a deposit · ``approval_unknown`` ·
            ``approval_<status>`` · ``person_missing`` · ``person_same``.
    """
    command = EndApproval(
        account_id=account_id,
        approval_id=approval_id,
        outcome="refused",
        reason=reason,
        person=None if context.party_id is None else context.actor_person,
    )
    return await _end(handler, context, command)


async def withdraw_approval(
    handler: Handler, context: Context, account_id: str, approval_id: str, *, reason: str
) -> Receipt:
    """Withdraw a request, as the person who made it. Its money is available again.

    Raises:
        Refusal: ``account_unknown`` · ``scope_missing`` unless it is a deposit · ``approval_unknown`` ·
            ``approval_<status>`` · ``person_missing`` · ``requester_only``.
    """
    command = EndApproval(
        account_id=account_id,
        approval_id=approval_id,
        outcome="withdrawn",
        reason=reason,
        person=name_person(context),
    )
    return await _end(handler, context, command)


async def lapse_approval(handler: Handler, context: Context, account_id: str, approval_id: str) -> Receipt:
    """End a request that nobody approved in time, and free its money.

    Raises:
        Refusal: ``account_unknown`` · ``approval_unknown`` · ``approval_<status>`` · ``approval_not_due``.
    """
    return await _end(handler, context, LapseApproval(account_id=account_id, approval_id=approval_id, at=context.at))


async def _end(handler: Handler, context: Context, command: EndApproval | LapseApproval) -> Receipt:
    async def work(unit: UnitOfWork) -> None:
        account = await load_account(unit, command.account_id)
        known = account.approvals.get(command.approval_id)
        if known is None or not isinstance(known.requested.act, DepositAct):
            require_decider(context)
        await unit.decide(ACCOUNT, command.account_id, command)

    return await handler.run(context, ACCOUNT, command.account_id, work)

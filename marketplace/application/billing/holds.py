"""Holds that one party places in favour of another: captured in part or in full, released, or expired.

Only a hold whose purpose is another account is captured and released here. All others, such as those of orders, grants,
mandates and bonds, follow what they are for. Above the payer's limit, placing a hold is only requested.
"""

from datetime import datetime
from decimal import Decimal

from events.account import HoldAct
from marketplace.application.billing.accounts import find_account, load_account
from marketplace.application.steps.access import require_owner, require_unfrozen
from marketplace.application.steps.paying import pay
from marketplace.application.steps.two_persons import ask_second, find_alone
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, is_id, rename_id
from marketplace.core.instants import render_instant
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import AdjustHold, CaptureHold, ExpireHold, PlaceHold
from marketplace.domain.billing.account_state import Account, Hold
from marketplace.domain.billing.transfer import require_payer
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def place_hold(
    handler: Handler,
    context: Context,
    account_id: str,
    *,
    payee_account_id: str,
    amount_usd: Decimal,
    expires_at: datetime,
) -> Receipt:
    """Set money aside from which another account may be paid until an instant.

    Above the account's limit, the hold is only requested, and waits for a second person.

    Raises:
        Refusal: ``account_unknown`` for either account · ``payer_only`` · ``party_suspended`` · ``payee_is_payer`` ·
            refusals of the account.
    """
    hold_id = derive_id("hld", context.command_id)

    async def work(unit: UnitOfWork) -> None:
        account = await load_account(unit, account_id)
        require_payer(account.party_id, context.party_id)
        await require_unfrozen(unit)
        await find_account(unit, payee_account_id)
        if account.needs_second(amount_usd, context.at):
            act = HoldAct(amount_usd=amount_usd, payee_account_id=payee_account_id, expires_at=expires_at)
            await ask_second(unit, account_id, act)
            return
        command = PlaceHold(
            account_id=account_id,
            hold_id=hold_id,
            amount_usd=amount_usd,
            purpose=payee_account_id,
            expires_at=expires_at,
            at=context.at,
            alone_at=find_alone(context),
        )
        await unit.decide(ACCOUNT, account_id, command)

    return await handler.run(context, ACCOUNT, account_id, work)


async def _load_hold(unit: UnitOfWork, account_id: str, hold_id: str) -> tuple[Account, Hold, Account]:
    """Return an account, one of its holds and the payee's account, if the tenant is payer or payee.

    Raises:
        Refusal: ``account_unknown`` · ``hold_unknown`` · ``hold_reserved``.
    """
    account = await find_account(unit, account_id)
    hold = account.holds.get(hold_id)
    for_account = hold is not None and is_id(hold.purpose, ACCOUNT.prefix)
    payees = (rename_id("pty", hold.purpose),) if hold is not None and for_account else ()
    require_owner(unit.context, (account.party_id, *payees), "account", account_id)
    if hold is None:
        raise Refusal("hold_unknown", f"account {account_id} has no hold {hold_id}; check the id", hold_id=hold_id)
    if not for_account:
        text = f"hold {hold_id} belongs to {hold.purpose} and ends with it; nobody captures or releases it by hand"
        raise Refusal("hold_reserved", text, purpose=hold.purpose)
    return account, hold, await find_account(unit, hold.purpose)


def _name_primary(context: Context, account_id: str) -> str:
    """Return the account whose version a command states and is answered: a tenant's own, also for a payee."""
    return account_id if context.party_id is None else rename_id("acc", context.party_id)


async def capture_hold(
    handler: Handler, context: Context, account_id: str, hold_id: str, *, amount_usd: Decimal
) -> Receipt:
    """Pay the payee from a hold, in part or in full. Payer, payee and platform may do this before it expires.

    While the payer is suspended, only the platform may.

    Raises:
        Refusal: ``account_unknown`` · ``hold_unknown`` · ``hold_reserved`` for a hold that is not for another account ·
            ``party_suspended`` · refusals of the account.
    """
    cause, primary = derive_id("cap", context.command_id), _name_primary(context, account_id)

    async def work(unit: UnitOfWork) -> None:
        account, hold, _ = await _load_hold(unit, account_id, hold_id)
        unit.answers = None if primary == account_id else account_id
        for party_id in (context.party_id, account.party_id):
            await require_unfrozen(unit, party_id)
        capture = CaptureHold(
            account_id=account_id,
            hold_id=hold_id,
            amount_usd=amount_usd,
            payee_account_id=hold.purpose,
            cause=cause,
            at=context.at,
        )
        await pay(unit, capture)

    return await handler.run(context, ACCOUNT, primary, work)


async def release_hold(handler: Handler, context: Context, account_id: str, hold_id: str, *, reason: str) -> Receipt:
    """Release what is left of a hold. The payee and the platform may do this; the payer waits for its expiry.

    Raises:
        Refusal: ``account_unknown`` · ``hold_unknown`` · ``hold_reserved`` · ``party_suspended`` · ``payee_only``.
    """
    primary = _name_primary(context, account_id)

    async def work(unit: UnitOfWork) -> None:
        _, hold, payee = await _load_hold(unit, account_id, hold_id)
        unit.answers = None if primary == account_id else account_id
        await require_unfrozen(unit)
        if context.party_id not in (None, payee.party_id):
            ends = "" if hold.expires_at is None else f" or until it expires at {render_instant(hold.expires_at)}"
            raise Refusal("payee_only", f"hold {hold_id} stays until the payee releases it{ends}")
        adjust = AdjustHold(account_id=account_id, hold_id=hold_id, amount_usd=Decimal(0), reason=reason)
        await unit.decide(ACCOUNT, account_id, adjust)

    return await handler.run(context, ACCOUNT, primary, work)


async def expire_hold(handler: Handler, context: Context, account_id: str, hold_id: str) -> Receipt:
    """Release what is left of a hold that has expired.

    Raises:
        Refusal: ``account_unknown`` · ``hold_unknown`` · ``hold_not_due``.
    """

    async def work(unit: UnitOfWork) -> None:
        await load_account(unit, account_id)
        await unit.decide(ACCOUNT, account_id, ExpireHold(account_id=account_id, hold_id=hold_id, at=context.at))

    return await handler.run(context, ACCOUNT, account_id, work)

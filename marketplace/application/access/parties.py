"""Parties: registering a party also opens its account."""

from events.types import Role
from marketplace.application.steps.access import require_platform
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.billing.account import ACCOUNT, OpenAccount
from marketplace.domain.party import PARTY, ClearParty, RegisterParty, SuspendParty
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def register_party(
    handler: Handler,
    context: Context,
    *,
    name: str,
    roles: tuple[Role, ...],
    jurisdiction: str,
    sector: str | None = None,
) -> Receipt:
    """Register an organisation and open its account. The account's id is the party's, with the prefix ``acc_``."""
    require_platform(context)
    party_id = derive_id("pty", context.command_id)

    async def work(unit: UnitOfWork) -> None:
        command = RegisterParty(party_id=party_id, name=name, roles=roles, jurisdiction=jurisdiction, sector=sector)
        await unit.decide(PARTY, party_id, command)
        account_id = rename_id("acc", party_id)
        await unit.decide(ACCOUNT, account_id, OpenAccount(account_id=account_id, party_id=party_id))

    return await handler.run(context, PARTY, party_id, work, new=True)


async def clear_party(handler: Handler, context: Context, party_id: str, *, checks: tuple[str, ...]) -> Receipt:
    """Clear a party, so that it may trade."""
    require_platform(context)

    async def work(unit: UnitOfWork) -> None:
        await unit.decide(PARTY, party_id, ClearParty(party_id=party_id, checks=checks))

    return await handler.run(context, PARTY, party_id, work)


async def suspend_party(handler: Handler, context: Context, party_id: str, *, reason: str) -> Receipt:
    """Suspend a party, so that it can begin nothing new."""
    require_platform(context)

    async def work(unit: UnitOfWork) -> None:
        await unit.decide(PARTY, party_id, SuspendParty(party_id=party_id, reason=reason))

    return await handler.run(context, PARTY, party_id, work)

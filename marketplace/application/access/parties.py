"""Parties: registering a party also opens its account."""

from typing import Literal

from events.types import Role, Stage
from marketplace.application.steps.access import require_platform, require_tenant
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import OpenAccount
from marketplace.domain.party import (
    PARTY,
    AddRole,
    ClearParty,
    EndRoleRequest,
    PartyCommand,
    RecordStage,
    RegisterParty,
    RequestRole,
    SuspendParty,
)
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
    """Register an organisation and open its account, as the platform. The account has the party's id, with ``acc_``.

    Raises:
        Refusal: ``platform_only`` · ``roles_missing``.
    """
    require_platform(context)
    party_id = derive_id("pty", context.command_id)

    async def work(unit: UnitOfWork) -> None:
        command = RegisterParty(party_id=party_id, name=name, roles=roles, jurisdiction=jurisdiction, sector=sector)
        await unit.decide(PARTY, party_id, command)
        account_id = rename_id("acc", party_id)
        await unit.decide(ACCOUNT, account_id, OpenAccount(account_id=account_id, party_id=party_id))

    return await handler.run(context, PARTY, party_id, work, new=True)


async def clear_party(handler: Handler, context: Context, party_id: str, *, checks: tuple[str, ...]) -> Receipt:
    """Clear a party, as the platform, so that it may trade.

    Raises:
        Refusal: ``platform_only`` · ``party_unknown`` · ``checks_missing``.
    """
    require_platform(context)
    return await _decide(handler, context, party_id, ClearParty(party_id=party_id, checks=checks))


async def suspend_party(handler: Handler, context: Context, party_id: str, *, reason: str) -> Receipt:
    """Suspend a party, as the platform, so that it begins nothing new and nothing leaves it until it is cleared again.

    Raises:
        Refusal: ``platform_only`` · ``party_unknown``.
    """
    require_platform(context)
    return await _decide(handler, context, party_id, SuspendParty(party_id=party_id, reason=reason))


async def record_stage(handler: Handler, context: Context, party_id: str, *, stage: Stage) -> Receipt:
    """Record the stage of a company, as the platform, for mandates that take only some stages.

    Raises:
        Refusal: ``platform_only`` · ``party_unknown``.
    """
    require_platform(context)
    return await _decide(handler, context, party_id, RecordStage(party_id=party_id, stage=stage))


async def add_role(handler: Handler, context: Context, party_id: str, *, role: Role, reason: str) -> Receipt:
    """Give a party another role, as the platform; ask the platform for it, as the party.

    Raises:
        Refusal: ``party_unknown`` · ``role_exists``.
    """
    require_tenant(context, party_id, duty=True)
    if context.party_id is None:
        return await _decide(handler, context, party_id, AddRole(party_id=party_id, role=role, reason=reason))
    return await _decide(handler, context, party_id, RequestRole(party_id=party_id, role=role, reason=reason))


async def end_role_request(handler: Handler, context: Context, party_id: str, *, role: Role, reason: str) -> Receipt:
    """Refuse a requested role, as the platform; withdraw the request, as the party.

    Raises:
        Refusal: ``party_unknown`` · ``role_not_requested``.
    """
    require_tenant(context, party_id, duty=True)
    outcome: Literal["refused", "withdrawn"] = "refused" if context.party_id is None else "withdrawn"
    command = EndRoleRequest(party_id=party_id, role=role, outcome=outcome, reason=reason)
    return await _decide(handler, context, party_id, command)


async def _decide(handler: Handler, context: Context, party_id: str, command: PartyCommand) -> Receipt:
    async def work(unit: UnitOfWork) -> None:
        await unit.decide(PARTY, party_id, command)

    return await handler.run(context, PARTY, party_id, work)

"""Warrants: issue, vesting, exercise and expiry."""

from marketplace.application.equity.consents import carry_out
from marketplace.application.equity.vesting import exercise, vest
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.equity.issuer.issuer import ISSUER, ExpireWarrant, Issuer, IssueWarrant
from marketplace.domain.refusals import refuse_unknown
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def issue_warrant(handler: Handler, context: Context, command: IssueWarrant) -> Receipt:
    """Issue a right to buy shares. The grant that its milestones count must be the issuer's own.

    Raises:
        Refusal: ``issuer_unknown`` · ``grant_unknown`` · refusals of the issuer.
    """
    issuer_id, grant_id = command.issuer_id, command.grant_id

    async def work(unit: UnitOfWork) -> None:
        issuer = await unit.get(ISSUER, issuer_id, Issuer)
        if grant_id is not None:
            grant = await unit.load(GRANT, grant_id)
            if grant is None or grant.issued.startup_id != issuer.formed.party_id:
                raise refuse_unknown("grant", grant_id)
        await unit.decide(ISSUER, issuer_id, command)

    return await carry_out(handler, context, issuer_id, work)


async def exercise_warrant(
    handler: Handler,
    context: Context,
    issuer_id: str,
    *,
    exercise_id: str,
    warrant_id: str,
    shares: int,
    net: bool,
) -> Receipt:
    """Exercise the vested part of a warrant, in part or in full, for cash or net."""

    async def work(unit: UnitOfWork) -> None:
        await exercise(
            unit,
            issuer_id,
            exercise_id=exercise_id,
            warrant_id=warrant_id,
            shares=shares,
            net=net,
            at=context.at,
        )

    return await carry_out(handler, context, issuer_id, work)


async def vest_warrants(handler: Handler, context: Context, issuer_id: str) -> Receipt:
    """Record what has vested by now, for the timer."""

    async def work(unit: UnitOfWork) -> None:
        await vest(unit, issuer_id)

    return await handler.run(context, ISSUER, issuer_id, work)


async def expire_warrant(handler: Handler, context: Context, issuer_id: str, warrant_id: str) -> Receipt:
    """End an expired warrant, for the timer."""

    async def work(unit: UnitOfWork) -> None:
        command = ExpireWarrant(issuer_id=issuer_id, warrant_id=warrant_id, at=context.at)
        await unit.decide(ISSUER, issuer_id, command)

    return await handler.run(context, ISSUER, issuer_id, work)

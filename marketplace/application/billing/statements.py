"""Statements: issued per grant and period, accepted, disputed and resolved. Acceptance settles in the same append."""

from decimal import Decimal
from typing import Literal

from events.service import ServiceResult
from events.statement import ServiceCredit, StatementIssued
from marketplace.application.billing.roll_forward import settle_service
from marketplace.application.billing.service_statements import build_resolution, find_bill
from marketplace.application.equity.vesting import vest
from marketplace.application.steps.access import list_sides, load_grant, require_side, require_unfrozen
from marketplace.application.steps.service_review import review_service
from marketplace.application.steps.statement_chain import check_stated, load_chain, sum_stated, take_turn
from marketplace.application.steps.statement_payment import pay_statement
from marketplace.application.steps.undisputed import is_without_holder, settle_undisputed
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.domain.billing.delivered import compare_meters, count_delivered
from marketplace.domain.billing.settlement import build_tariff, compute_charges, drop_equity
from marketplace.domain.billing.statement import (
    STATEMENT,
    AcceptStatement,
    DisputeStatement,
    IssueStatement,
    ResolveStatement,
    Side,
    Statement,
)
from marketplace.domain.billing.statement_chain import (
    find_credit,
    require_concession,
    require_period_over,
    require_unaccepted,
    require_unit,
)
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.domain.delivery.periods import ACCEPTANCE, Period, list_periods
from marketplace.domain.metering.usage import USAGE, name_usage
from marketplace.domain.refusals import refuse_unknown
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def issue_statement(handler: Handler, context: Context, grant_id: str, index: int) -> Receipt:
    """Price the usage of a period that is over. Late readings of earlier periods become adjustments of those.

    Readings of nodes that did not work are not charged. If the startup's meter reported too and differs too much from
    the provider's, the statement opens as disputed. Among related parties the provider's meter alone is not enough:
    without the startup's, the statement opens as disputed.

    Raises:
        Refusal: ``grant_unknown`` · ``period_unknown`` · ``period_runs`` · ``statement_out_of_order``.
    """
    grant: Grant | None = await _find_grant(handler, context, grant_id)
    if grant is None:
        raise refuse_unknown("grant", grant_id)
    periods = list_periods(grant)
    if index >= len(periods):
        raise Refusal("period_unknown", f"grant {grant_id} has {len(periods)} statement periods, not {index + 1}")
    period = periods[index]
    require_period_over(period, context.at)

    async def work(unit: UnitOfWork) -> None:
        current = await load_grant(unit, grant_id, "provider")
        if await unit.load(STATEMENT, period.statement_id) is not None:
            return
        await check_stated(unit, periods[:index])
        before = await sum_stated(unit, current)
        usage = await unit.load(USAGE, name_usage(grant_id))
        delivered = count_delivered(usage, current, period.start, period.end)
        service = await settle_service(unit, current, period, delivered)
        tenant = await unit.load(USAGE, name_usage(grant_id, "tenant"))
        statement = StatementIssued(
            statement_id=period.statement_id,
            grant_id=grant_id,
            startup_id=current.issued.startup_id,
            provider_id=current.issued.provider_id,
            period_start=period.start,
            period_end=period.end,
            charges=compute_charges(build_tariff(current.issued), before, delivered),
            accept_until=context.at + ACCEPTANCE,
            gpu_seconds_before=before,
            metering=compare_meters(usage, tenant, current, period.start, period.end),
            service=service,
            holder_accepts=current.holder_accepts,
        )
        await take_turn(unit, grant_id, periods, period.statement_id)
        await unit.decide(STATEMENT, period.statement_id, IssueStatement(issued=statement))
        await settle_undisputed(unit, current, period.statement_id)

    return await handler.run(context, STATEMENT, period.statement_id, work)


async def _find_grant(handler: Handler, context: Context, grant_id: str) -> Grant | None:
    """Return a grant as the cache has it, or None."""
    grant: Grant | None = await UnitOfWork(handler.cache, context).load(GRANT, grant_id)
    return grant


async def _load_statement(unit: UnitOfWork, statement_id: str, *sides: str) -> Statement:
    statement = await unit.load(STATEMENT, statement_id)
    if statement is None:
        raise refuse_unknown("statement", statement_id)
    grant = await _get_grant(unit, statement.issued.grant_id)
    parties = {**list_sides(grant), "startup": statement.issued.startup_id}
    require_side(unit.context, parties, sides, "statement", statement_id)
    return statement


async def accept_statement(
    handler: Handler, context: Context, statement_id: str, *, by: Literal["acceptance", "silence"] = "acceptance"
) -> Receipt:
    """Accept a statement as a payer, or by silence after the acceptance period. Settle it once all payers accepted.

    After the acceptance period of a disputed statement, what nobody disputes of it is paid.

    Raises:
        Refusal: ``party_suspended`` · ``statement_accepted`` if it is accepted already, by another command ·
            refusals of the statement and of what it settles.
    """

    async def work(unit: UnitOfWork) -> None:
        before = await _load_statement(unit, statement_id, "startup", "holder")
        await require_unfrozen(unit)
        if by == "acceptance":
            require_unaccepted(before)
        elif before.status == "disputed":
            await _settle_part(unit, before)
            return
        service = await _review(unit, before)
        command = AcceptStatement(
            statement_id=statement_id,
            by=by,
            at=context.at,
            issuer_ended=await is_without_holder(unit, before),
            side=None if context.party_id is None else await _find_side(unit, before),
            service=service,
            credit=await _find_credit(unit, before, service),
        )
        after = await unit.decide(STATEMENT, statement_id, command)
        if (before.status, after.status) == ("issued", "accepted"):
            await _settle(unit, before, statement_id)
        await _settle_part(unit, before)

    return await handler.run(context, STATEMENT, statement_id, work)


async def _review(unit: UnitOfWork, statement: Statement) -> ServiceResult | None:
    """Return the service result of a statement's period by what is known now; of an adjustment, as it was stated."""
    issued = statement.issued
    if issued.service is None or issued.adjustment is not None:
        return issued.service
    grant = await _get_grant(unit, issued.grant_id)
    period = Period(issued.statement_id, issued.period_start, issued.period_end)
    usage = await unit.load(USAGE, name_usage(issued.grant_id))
    delivered = count_delivered(usage, grant, period.start, period.end)
    return await review_service(unit, grant, period, delivered, issued.service)


async def _find_credit(unit: UnitOfWork, statement: Statement, service: ServiceResult | None) -> ServiceCredit | None:
    """Return the service credit that is due once a statement is settled, less what its period's others gave."""
    issued, charges = statement.issued, statement.charges
    if await is_without_holder(unit, statement):
        charges = drop_equity(charges, None if statement.settled is None else statement.settled.charges)
    chain: list[Statement] = []
    if issued.adjustment is not None:
        period = Period(issued.adjustment.statement_id, issued.period_start, issued.period_end)
        chain = [known for known in await load_chain(unit, period) if known.status == "accepted"]
    return find_credit(chain, charges, service)


async def _settle(unit: UnitOfWork, before: Statement, statement_id: str) -> None:
    after = await unit.get(STATEMENT, statement_id)
    grant = await _get_grant(unit, before.issued.grant_id)
    await pay_statement(unit, await find_bill(unit, after, grant), statement_id, after)
    await vest(unit, rename_id("iss", grant.issued.startup_id))


async def _settle_part(unit: UnitOfWork, statement: Statement) -> None:
    """Pay what nobody disputes of a statement, if it is due."""
    grant = await _get_grant(unit, statement.issued.grant_id)
    await settle_undisputed(unit, await find_bill(unit, statement, grant), statement.issued.statement_id)


async def _get_grant(unit: UnitOfWork, grant_id: str) -> Grant:
    grant = await unit.load(GRANT, grant_id)
    assert grant is not None, "a statement's grant exists"
    return grant


async def dispute_statement(
    handler: Handler,
    context: Context,
    statement_id: str,
    *,
    gpu_seconds_claimed: int | None = None,
    hours_claimed: Decimal | None = None,
    reason: str,
) -> Receipt:
    """Claim, as the startup or the holder that pays in cash, that less was delivered than stated.

    For a service line, the claim is in hours.

    Raises:
        Refusal: ``statement_unknown`` · ``wrong_side`` · refusals of the statement.
    """

    async def work(unit: UnitOfWork) -> None:
        statement = await _load_statement(unit, statement_id, "startup", "holder")
        command = DisputeStatement(
            statement_id=statement_id,
            gpu_seconds_claimed=gpu_seconds_claimed,
            hours_claimed=hours_claimed,
            reason=reason,
            at=context.at,
            by=await _find_side(unit, statement),
        )
        await unit.decide(STATEMENT, statement_id, command)
        await _settle_part(unit, statement)

    return await handler.run(context, STATEMENT, statement_id, work)


async def _find_side(unit: UnitOfWork, statement: Statement) -> Side:
    """Return the side that accepts or disputes. A provider that takes the equity for its own capacity is no payer.

    Raises:
        Refusal: ``wrong_side``.
    """
    grant = await _get_grant(unit, statement.issued.grant_id)
    party_id, equity = unit.context.party_id, grant.issued.equity
    if party_id is None or party_id == statement.issued.startup_id:
        return "startup"
    if equity is None or equity.holder_account_id is None:
        require_side(
            unit.context, {"provider": party_id}, ("startup", "holder"), "statement", statement.issued.statement_id
        )
    return "holder"


async def resolve_statement(
    handler: Handler,
    context: Context,
    statement_id: str,
    *,
    gpu_seconds: int | None = None,
    hours: Decimal | None = None,
    reason: str,
) -> Receipt:
    """Resolve a dispute and settle the result. The provider may concede the claim; the platform may decide.

    Args:
        handler: Runs the command.
        context: Who resolves.
        statement_id: The statement.
        gpu_seconds: The settled GPU-seconds, for compute.
        hours: The settled hours, for a service line.
        reason: How it was decided.

    Raises:
        Refusal: ``amount_missing`` if the amount is in the other unit · ``concession_above_claim`` if a provider
            settles more than is claimed · ``acceptance_period_runs`` if it concedes before all payers have answered.
    """

    async def work(unit: UnitOfWork) -> None:
        before = await _load_statement(unit, statement_id, "provider")
        resolve = await _build_resolution(unit, before, gpu_seconds, hours, reason)
        resolved = await unit.decide(STATEMENT, statement_id, resolve)
        service = await _review(unit, before)
        accept = AcceptStatement(
            statement_id=statement_id,
            by="resolution",
            at=context.at,
            issuer_ended=await is_without_holder(unit, before),
            conceded=context.party_id is not None,
            service=service,
            credit=await _find_credit(unit, resolved, service),
        )
        await unit.decide(STATEMENT, statement_id, accept)
        await _settle(unit, before, statement_id)

    return await handler.run(context, STATEMENT, statement_id, work)


async def _build_resolution(
    unit: UnitOfWork, before: Statement, gpu_seconds: int | None, hours: Decimal | None, reason: str
) -> ResolveStatement:
    """Return the command that resolves a dispute, in the unit of its statement."""
    require_unit(before, gpu_seconds, hours)
    if hours is not None:
        return await build_resolution(unit, before, hours, reason)
    assert gpu_seconds is not None, "a statement is in one of the two units"
    return await _resolve_compute(unit, before, gpu_seconds, reason)


async def _resolve_compute(unit: UnitOfWork, before: Statement, gpu_seconds: int, reason: str) -> ResolveStatement:
    issued = before.issued
    if unit.context.party_id is not None:
        require_concession(before, gpu_seconds)
    grant = await _get_grant(unit, issued.grant_id)
    assert isinstance(issued, StatementIssued), "a credit is never disputed"
    charges = compute_charges(build_tariff(grant.issued), issued.gpu_seconds_before, gpu_seconds)
    return ResolveStatement(statement_id=issued.statement_id, charges=charges, reason=reason)

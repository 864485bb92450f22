"""Statements: issued per grant and period, accepted, disputed and resolved. Acceptance settles in the same append."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from events.service import ServiceResult
from events.statement import Reference, ServiceCredit, StatementIssued
from marketplace.application.billing.roll_forward import settle_service
from marketplace.application.billing.service_statements import find_bill
from marketplace.application.equity.vesting import vest
from marketplace.application.steps.access import list_sides, load_grant, require_side, require_unfrozen
from marketplace.application.steps.claim_amounts import return_charged
from marketplace.application.steps.prepaid import free_settled
from marketplace.application.steps.reductions import count_concession
from marketplace.application.steps.service_review import review_service
from marketplace.application.steps.stages import collect, find_missing
from marketplace.application.steps.statement_chain import check_stated, load_chain, sum_stated, take_number
from marketplace.application.steps.statement_payment import keep_due, name_part, pay_part, pay_statement
from marketplace.application.steps.undisputed import find_settling, is_without_holder, issue, settle_undisputed
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.domain.billing.delivered import compare_meters, count_delivered
from marketplace.domain.billing.dispute import Ending, Side
from marketplace.domain.billing.settlement import (
    build_tariff,
    compute_charges,
    leave_cash,
    settle_without_equity,
    subtract_settled,
)
from marketplace.domain.billing.statement import (
    STATEMENT,
    AcceptStatement,
    DisputeStatement,
    ResolveStatement,
    SettleEquity,
    Statement,
    find_undisputed,
)
from marketplace.domain.billing.statement_chain import (
    find_credit,
    price_amount,
    require_concession,
    require_period_over,
    require_unaccepted,
    require_undecided,
    require_unit,
    takes_back_principal,
)
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.domain.delivery.periods import ACCEPTANCE, Period, list_periods
from marketplace.domain.metering.usage import USAGE, name_usage
from marketplace.domain.refusals import require_found
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def issue_statement(
    handler: Handler, context: Context, grant_id: str, index: int, auction_ids: Sequence[str] = ()
) -> Receipt:
    """Issue the statement of a grant's period that is over; `index` is its number, from 0.

    If the period rolls forward onto a lot that one of `auction_ids`, the auctions that are not completed, has frozen,
    it waits. Readings of nodes that did not work are not charged. It opens as disputed if the startup's meter differs
    from the provider's by more than `TOLERANCE` and, among related parties, also if the startup's meter did not report.

    Raises:
        Refusal: ``grant_unknown`` · ``period_unknown`` · ``period_runs`` · ``statement_out_of_order`` · ``lot_frozen``.
    """
    grant = require_found("grant", grant_id, await _find_grant(handler, context, grant_id))
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
        service = await settle_service(unit, current, period, delivered, auction_ids)
        startup = await unit.load(USAGE, name_usage(grant_id, "startup"))
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
            metering=compare_meters(usage, startup, current, period.start, period.end),
            service=service,
            holder_accepts=current.holder_accepts,
            reseller_id=None if current.issued.resale is None else current.issued.resale.seller_id,
        )
        await take_number(unit, grant_id, periods, period.statement_id)
        await issue(unit, current, statement)

    return await handler.run(context, STATEMENT, period.statement_id, work)


async def _find_grant(handler: Handler, context: Context, grant_id: str) -> Grant | None:
    """Return a grant as the cache has it, or None."""
    grant: Grant | None = await UnitOfWork(handler.cache, context).load(GRANT, grant_id)
    return grant


async def load_statement(unit: UnitOfWork, statement_id: str, *sides: str) -> Statement:
    """Return a statement if the tenant is on one of the given sides: the grant's, ``startup``, or ``reseller``.

    Raises:
        Refusal: ``statement_unknown`` · ``wrong_side``.
    """
    found = await unit.load(STATEMENT, statement_id)
    if found is None:
        await unit.load(GRANT, rename_id("grt", statement_id))  # as many reads as for another's statement
    statement = require_found("statement", statement_id, found)
    grant = await get_grant(unit, statement.issued.grant_id)
    issued = statement.issued
    parties = {**list_sides(grant), "startup": issued.startup_id, "reseller": issued.reseller_id}
    require_side(unit.context, parties, sides, "statement", statement_id)
    return statement


async def accept_statement(
    handler: Handler, context: Context, statement_id: str, *, by: Literal["acceptance", "silence"] = "acceptance"
) -> Receipt:
    """Accept a statement as a payer, or by silence after the acceptance period. Settle it once all payers accepted.

    Silence also settles what the platform decided while the money for it was missing.

    A payer that disputes it thereby accepts the counter-offer of the other side. By silence, a disputed statement is
    not accepted; its undisputed part is paid.

    Raises:
        Refusal: ``party_suspended`` · ``statement_accepted`` if it is accepted already, by another command ·
            refusals of the statement and of what it settles · ``limit_exceeded`` if one person of a payer thereby pays
            more of a dispute than the account's limit.
    """

    async def work(unit: UnitOfWork) -> None:
        before = await load_statement(unit, statement_id, "startup", "holder")
        await require_unfrozen(unit)
        side = None if context.party_id is None else await find_side(unit, before)
        if by == "acceptance":
            require_unaccepted(before)
        elif before.status == "disputed":
            await settle_part(unit, before)
            return
        elif before.status == "resolved":
            await _settle_resolved(unit, before, before, agreed=False)
            return
        service, credit = await _find_service(unit, before)
        command = AcceptStatement(
            statement_id=statement_id,
            by=by,
            at=context.at,
            side=side,
            service=service,
            credit=credit,
            **await find_settling(unit, before, await get_grant(unit, before.issued.grant_id)),
        )
        after = await unit.decide(STATEMENT, statement_id, command)
        if (before.status, after.status) == ("issued", "accepted"):
            await _settle(unit, before, statement_id)
        elif after.dispute is not None and side in after.disputing:
            await _count_agreed(unit, before)
            await _settle_offer(unit, after)
        await settle_part(unit, before)

    return await handler.run(context, STATEMENT, statement_id, work)


async def _count_agreed(unit: UnitOfWork, before: Statement) -> None:
    """Count what one person of a payer pays more by accepting the offer of the other side.

    Raises:
        Refusal: ``limit_exceeded``.
    """
    offer = None if before.dispute is None else before.dispute.offer
    if offer is not None and unit.list_events(STATEMENT, before.issued.statement_id):
        bill = await find_bill(unit, before, await get_grant(unit, before.issued.grant_id))
        await count_concession(unit, bill, before, offer.amount)


async def _settle_offer(unit: UnitOfWork, statement: Statement) -> None:
    """Settle a dispute at the provider's offer, once all payers with a lower count agree to it."""
    dispute = statement.dispute
    offer = None if dispute is None else dispute.offer
    if dispute is None or offer is None or offer.by != "provider" or not dispute.is_agreed():
        return
    reason = f"the payers with a lower count accepted the provider's offer of {offer.amount}"
    await end_dispute(unit, statement, offer.amount, "offer", reason, agreed=True)


async def _review(unit: UnitOfWork, statement: Statement) -> ServiceResult | None:
    """Return the service result of a statement's period by what is known now; of an adjustment, as it was stated.

    None without a service level.
    """
    issued = statement.issued
    if issued.service is None or issued.adjustment is not None:
        return issued.service
    grant = await get_grant(unit, issued.grant_id)
    period = Period(issued.statement_id, issued.period_start, issued.period_end)
    usage = await unit.load(USAGE, name_usage(issued.grant_id))
    delivered = count_delivered(usage, grant, period.start, period.end)
    return await review_service(unit, grant, period, delivered, issued.service)


async def _find_service(unit: UnitOfWork, statement: Statement) -> tuple[ServiceResult | None, ServiceCredit | None]:
    """Return the service result of a statement's period, and the credit that is due, less what others of it gave.

    If an outage that was reported since takes back principal of parts that were paid, that is left to an adjustment,
    and the result is the one that was stated.
    """
    issued, charges = statement.issued, statement.charges
    service = await _review(unit, statement)
    rule = await find_settling(unit, statement, await get_grant(unit, issued.grant_id))
    charges = settle_without_equity(charges, None if statement.settled is None else statement.settled.charges, **rule)
    chain: list[Statement] = []
    if issued.adjustment is not None:
        period = Period(issued.adjustment.statement_id, issued.period_start, issued.period_end)
        chain = [known for known in await load_chain(unit, period) if known.status == "accepted"]
    credit = find_credit(chain, charges, service)
    if takes_back_principal(statement, charges, credit):
        service = statement.service
        credit = find_credit(chain, charges, service)
    return service, credit


async def _settle(unit: UnitOfWork, before: Statement, statement_id: str) -> None:
    after = await unit.get(STATEMENT, statement_id)
    grant = await get_grant(unit, before.issued.grant_id)
    await pay_statement(unit, await find_bill(unit, after, grant), statement_id, after)
    await free_settled(unit, grant)
    if after.issued.adjustment is not None and after.issued.service_line_id is None:
        await return_charged(unit, grant, after.issued.adjustment.statement_id, statement_id)
    await _resume(unit, grant)
    await vest(unit, rename_id("iss", grant.issued.startup_id))


async def _resume(unit: UnitOfWork, grant: Grant) -> None:
    """Let the delivery of a grant on credit go on, if what was due and missing is paid now."""
    if grant.issued.credit_usd and grant.missed is not None:
        await collect(unit, grant, is_chased=False)


async def settle_part(unit: UnitOfWork, statement: Statement) -> None:
    """Pay the undisputed part of a disputed statement, if it is due."""
    statement_id = statement.issued.statement_id
    grant = await get_grant(unit, statement.issued.grant_id)
    await settle_undisputed(unit, await find_bill(unit, statement, grant), statement_id)
    after = await unit.get(STATEMENT, statement_id)
    if after.parts > statement.parts:
        await _resume(unit, grant)


async def settle_equity(handler: Handler, context: Context, statement_id: str) -> Receipt:
    """Settle the equity part of a statement on credit whose time for disputes is over, while its cash is not paid.

    The holder pays its part and the principal accrues, so that a startup that does not pay keeps nothing back. Of a
    disputed statement it is the part that nobody disputes, and what silence settles once the dispute's deadline passed.

    Raises:
        Refusal: ``statement_unknown`` · ``statement_<status>`` · ``acceptance_period_runs``.
    """

    async def work(unit: UnitOfWork) -> None:
        statement = await load_statement(unit, statement_id, "provider")
        grant = await get_grant(unit, statement.issued.grant_id)
        equity, line_id = grant.issued.equity, statement.issued.service_line_id
        if equity is None or not grant.issued.credit_usd or line_id or await is_without_holder(unit, statement):
            return
        charges = statement.charges
        if statement.dispute is not None:
            charges = price_amount(grant, statement, find_undisputed(statement, context.at))
        fee = None if equity.holder_account_id is None else grant.issued.platform_fee
        charges = leave_cash(charges, None if statement.settled is None else statement.settled.charges, fee)
        command = SettleEquity(
            statement_id=statement_id,
            charges=charges,
            part_id=name_part(statement_id, statement.parts)[0],
            at=context.at,
            credit=find_credit([], charges, statement.service) if statement.issued.adjustment is None else None,
        )
        after = await unit.decide(STATEMENT, statement_id, command)
        if after.parts > statement.parts:
            await pay_part(unit, grant, statement, after)

    return await handler.run(context, STATEMENT, statement_id, work)


async def get_grant(unit: UnitOfWork, grant_id: str) -> Grant:
    """Return the grant of a statement."""
    grant = await unit.load(GRANT, grant_id)
    assert grant is not None, "a statement's grant exists"
    return grant


async def dispute_statement(
    handler: Handler,
    context: Context,
    statement_id: str,
    *,
    gpu_seconds_counted: int | None = None,
    hours_counted: Decimal | None = None,
    reason: str,
    evidence: tuple[Reference, ...] = (),
) -> Receipt:
    """State, as the startup or the holder that pays in cash, a count of what was delivered below the stated amount.

    For a service line, the count is in hours. The provider has `ANSWER` to answer.

    Raises:
        Refusal: ``statement_unknown`` · ``wrong_side`` · ``dispute_decided`` · refusals of the statement.
    """

    async def work(unit: UnitOfWork) -> None:
        statement = await load_statement(unit, statement_id, "startup", "holder")
        adjusted = statement.issued.adjustment
        if adjusted is not None:
            period = Period(adjusted.statement_id, statement.issued.period_start, statement.issued.period_end)
            require_undecided(await load_chain(unit, period), statement)
        command = DisputeStatement(
            statement_id=statement_id,
            gpu_seconds_counted=gpu_seconds_counted,
            hours_counted=hours_counted,
            reason=reason,
            at=context.at,
            by=await find_side(unit, statement),
            evidence=evidence,
        )
        await unit.decide(STATEMENT, statement_id, command)
        await settle_part(unit, statement)

    return await handler.run(context, STATEMENT, statement_id, work)


async def find_side(unit: UnitOfWork, statement: Statement) -> Side:
    """Return the payer that acts; the platform acts for the startup. A provider that takes the equity itself is none.

    Raises:
        Refusal: ``wrong_side``.
    """
    grant = await get_grant(unit, statement.issued.grant_id)
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
    """Resolve a dispute at an amount, and settle it.

    Args:
        handler: Runs the command.
        context: Who resolves. The provider does at the count, or at the payers' offer; the platform, for ever, if a
            side asked it to decide.
        statement_id: The statement.
        gpu_seconds: The settled GPU-seconds, for compute.
        hours: The settled hours, for a service line.
        reason: How it was decided.

    Raises:
        Refusal: ``amount_missing`` if the amount is in the other unit · ``concession_above_count`` if a provider
            settles at more than the count · ``reseller_disagrees`` · ``acceptance_period_runs`` if it concedes before
            all payers have answered · ``party_suspended`` · ``limit_exceeded`` if one person charges less by more than
            the account's limit.
    """

    async def work(unit: UnitOfWork) -> None:
        before = await load_statement(unit, statement_id, "provider")
        await require_unfrozen(unit)
        amount = require_unit(before, gpu_seconds, hours)
        ending: Ending = "platform"
        if context.party_id is not None:
            require_concession(before, amount, context.at)
            count = None if before.dispute is None else before.dispute.count
            ending = "offer" if count is not None and amount > count else "concession"
        bill = await find_bill(unit, before, await get_grant(unit, before.issued.grant_id))
        await count_concession(unit, bill, before, amount)
        await end_dispute(unit, before, amount, ending, reason, agreed=context.party_id is not None)

    return await handler.run(context, STATEMENT, statement_id, work)


async def end_dispute(
    unit: UnitOfWork, before: Statement, amount: Decimal | int, ending: Ending, reason: str, *, agreed: bool
) -> None:
    """End a dispute at an amount, in the unit of its statement, and settle it.

    A decision of the platform stands also while the money for it is missing. It is settled once the money is there.

    Args:
        unit: The decision.
        before: The disputed statement.
        amount: What is settled.
        ending: What ends it.
        reason: How it was decided.
        agreed: Whether the parties end it, so that all payers must have accepted or disputed; False for the platform.

    Raises:
        Refusal: Refusals of the statement and of what it settles.
    """
    statement_id = before.issued.statement_id
    bill = await find_bill(unit, before, await get_grant(unit, before.issued.grant_id))
    charges = price_amount(bill, before, amount)
    resolve = ResolveStatement(statement_id=statement_id, charges=charges, reason=reason, by=ending)
    if ending == "platform" and not await _is_covered(unit.branch(), before, resolve):
        await unit.decide(STATEMENT, statement_id, resolve)
        if bill.issued.credit_usd:
            rest = subtract_settled(charges, None if before.settled is None else before.settled.charges)
            await keep_due(unit, bill, statement_id, await find_missing(unit, bill, rest))
        return
    await _settle_resolved(unit, before, await unit.decide(STATEMENT, statement_id, resolve), agreed=agreed)


async def _is_covered(unit: UnitOfWork, before: Statement, resolve: ResolveStatement) -> bool:
    """Return whether the accounts have the money for a decision. The unit is for this question only."""
    resolved = await unit.decide(STATEMENT, resolve.statement_id, resolve)
    try:
        await _settle_resolved(unit, before, resolved, agreed=False)
    except Refusal as refusal:
        if refusal.code != "funds_insufficient":
            raise
        return False
    return True


async def _settle_resolved(unit: UnitOfWork, before: Statement, resolved: Statement, *, agreed: bool) -> None:
    """Settle a statement whose dispute has ended; `agreed` is as in `end_dispute`."""
    statement_id = before.issued.statement_id
    bill = await find_bill(unit, before, await get_grant(unit, before.issued.grant_id))
    service, credit = await _find_service(unit, resolved)
    accept = AcceptStatement(
        statement_id=statement_id,
        by="resolution",
        at=unit.context.at,
        conceded=agreed,
        service=service,
        credit=credit,
        **await find_settling(unit, before, bill),
    )
    await unit.decide(STATEMENT, statement_id, accept)
    await _settle(unit, before, statement_id)

"""Disputes: answers, partial concessions, the last resort, and what silence settles.

A dispute begins with a payer's count and ends with a resolution (`statements.py`). `domain/billing/dispute.py` has
the rules.
"""

from decimal import Decimal

from events.statement import Reference
from marketplace.application.billing.service_statements import find_bill
from marketplace.application.billing.statements import (
    end_dispute,
    find_side,
    get_grant,
    load_statement,
    settle_part,
)
from marketplace.application.steps.access import require_unfrozen
from marketplace.application.steps.reductions import count_concession
from marketplace.core.instants import render_instant
from marketplace.domain.billing.dispute import Speaker
from marketplace.domain.billing.statement import (
    STATEMENT,
    AnswerDispute,
    ConcedePart,
    HearSilence,
    ReferDispute,
    Statement,
    find_silence,
    get_dispute,
)
from marketplace.domain.billing.statement_chain import price_amount, require_unit
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork

_SIDES = ("startup", "holder", "provider")
_ARGUING = (*_SIDES, "reseller")


async def _find_party(unit: UnitOfWork, statement: Statement) -> Speaker:
    """Return the side of a dispute that acts. The platform acts for the provider.

    Raises:
        Refusal: Those of `find_side`: the party is on no side.
    """
    party_id = unit.context.party_id
    if party_id is None or party_id == statement.issued.provider_id:
        return "provider"
    if party_id == statement.issued.reseller_id:
        return "reseller"
    return await find_side(unit, statement)


async def answer_dispute(
    handler: Handler,
    context: Context,
    statement_id: str,
    *,
    reason: str,
    gpu_seconds: int | None = None,
    hours: Decimal | None = None,
    evidence: tuple[Reference, ...] = (),
) -> Receipt:
    """Answer the other side of a dispute, if it is this side's turn: offer an amount between both, or insist.

    The seller of resold hours states at any time the least amount to which it agrees, or insists.

    Raises:
        Refusal: ``statement_unknown`` · ``wrong_side`` · refusals of the dispute · ``limit_exceeded`` if one person of
            the provider offers to charge less, of the seller agrees to receive less, or of a payer offers to pay more,
            by more than the account's limit.
    """

    async def work(unit: UnitOfWork) -> None:
        statement = await load_statement(unit, statement_id, *_ARGUING)
        bill = await find_bill(unit, statement, await get_grant(unit, statement.issued.grant_id))
        command = AnswerDispute(
            statement_id=statement_id,
            by=await _find_party(unit, statement),
            reason=reason,
            at=context.at,
            gpu_seconds_offered=gpu_seconds,
            hours_offered=hours,
            evidence=evidence,
        )
        await unit.decide(STATEMENT, statement_id, command)
        await count_concession(unit, bill, statement, gpu_seconds if hours is None else hours)

    return await handler.run(context, STATEMENT, statement_id, work)


async def concede_part(
    handler: Handler,
    context: Context,
    statement_id: str,
    *,
    reason: str,
    gpu_seconds: int | None = None,
    hours: Decimal | None = None,
) -> Receipt:
    """Concede a part of a dispute: a payer raises its count and pays the part, a provider charges less.

    The amount is what the conceding side now says was delivered. The dispute ends once count and position meet.

    Raises:
        Refusal: ``statement_unknown`` · ``wrong_side`` · ``party_suspended`` · ``amount_missing`` · refusals of the
            dispute and of what it settles · ``limit_exceeded`` as in `answer_dispute`.
    """

    async def work(unit: UnitOfWork) -> None:
        statement = await load_statement(unit, statement_id, *_SIDES)
        await require_unfrozen(unit)
        get_dispute(statement)
        amount = require_unit(statement, gpu_seconds, hours)
        bill = await find_bill(unit, statement, await get_grant(unit, statement.issued.grant_id))
        by = await _find_party(unit, statement)
        assert by != "reseller", "it is none of these sides"
        command = ConcedePart(
            statement_id=statement_id,
            by=by,
            reason=reason,
            charges=price_amount(bill, statement, amount),
            at=context.at,
        )
        after = await unit.decide(STATEMENT, statement_id, command)
        await count_concession(unit, bill, statement, amount)
        dispute = get_dispute(after)
        if dispute.count >= dispute.position:
            await end_dispute(unit, after, dispute.position, "concession", reason, agreed=True)
        else:
            await settle_part(unit, after)

    return await handler.run(context, STATEMENT, statement_id, work)


async def refer_dispute(
    handler: Handler, context: Context, statement_id: str, *, reason: str, evidence: tuple[Reference, ...] = ()
) -> Receipt:
    """Ask the platform to decide a dispute. Its decision is final.

    Raises:
        Refusal: ``statement_unknown`` · ``wrong_side`` · refusals of the dispute.
    """

    async def work(unit: UnitOfWork) -> None:
        statement = await load_statement(unit, statement_id, *_ARGUING)
        by = await _find_party(unit, statement)
        command = ReferDispute(statement_id=statement_id, by=by, reason=reason, at=context.at, evidence=evidence)
        await unit.decide(STATEMENT, statement_id, command)

    return await handler.run(context, STATEMENT, statement_id, work)


async def lapse_dispute(handler: Handler, context: Context, statement_id: str) -> Receipt:
    """Settle a dispute whose side, or the platform, did not answer in time.

    If one payer alone is silent, it agrees to what the other one offers, and the provider is to answer that. If the
    provider is silent and the answer of a reseller stands against what that would settle, the platform is asked.

    Raises:
        Refusal: ``statement_unknown`` · ``statement_<status>`` · ``answer_period_runs``.
    """

    async def work(unit: UnitOfWork) -> None:
        before = await load_statement(unit, statement_id, *_SIDES)
        statement = await unit.decide(STATEMENT, statement_id, HearSilence(statement_id=statement_id, at=context.at))
        if statement != before:
            return
        amount, ending = find_silence(statement, context.at)
        reason = f"nobody answered until {render_instant(get_dispute(statement).answer_until)}"
        await end_dispute(unit, statement, amount, ending, reason, agreed=True)

    return await handler.run(context, STATEMENT, statement_id, work)

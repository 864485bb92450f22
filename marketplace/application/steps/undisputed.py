"""Issue statements of usage, and pay the undisputed part of a disputed one once nobody can dispute it any more."""

from typing import Any

from events.statement import StatementIssued
from marketplace.application.steps.access import load_mandate
from marketplace.application.steps.stages import find_missing, is_sold
from marketplace.application.steps.statement_payment import keep_due, name_part, pay_part
from marketplace.domain.billing.statement import STATEMENT, IssueStatement, SettlePart, Statement, is_part_due
from marketplace.domain.billing.statement_chain import find_credit, price_amount
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.execution.unit_of_work import UnitOfWork


async def issue(unit: UnitOfWork, grant: Grant, statement: StatementIssued, counted: int | None = None) -> None:
    """Issue a statement of a grant's usage, or what an adjustment charges more.

    The startup's account keeps what a grant on credit needs for it.

    Args:
        unit: The decision.
        grant: The grant.
        statement: The statement.
        counted: How much of an adjustment the startup's meter supports; None to derive it from the statement.
    """
    statement_id = statement.statement_id
    await unit.decide(STATEMENT, statement_id, IssueStatement(issued=statement, gpu_seconds_counted=counted))
    if grant.issued.credit_usd:
        await keep_due(unit, grant, statement_id, await find_missing(unit, grant, statement.charges))


async def settle_undisputed(unit: UnitOfWork, bill: Grant, statement_id: str) -> None:
    """Pay the undisputed part of a statement, if it is due and not paid yet.

    Args:
        unit: The decision.
        bill: The statement's grant; for a service line, what `build_bill` returns.
        statement_id: The statement.

    Raises:
        Refusal: Refusals of the accounts and the instrument.
    """
    statement = await unit.get(STATEMENT, statement_id, Statement)
    if statement.status != "disputed":
        return
    ended = await is_without_holder(unit, statement)
    if not is_part_due(statement, unit.context.at, issuer_ended=ended):
        return
    assert statement.dispute is not None, "a disputed statement has a dispute"
    charges = price_amount(bill, statement, statement.dispute.count)
    # A statement that adjusts others may take a credit back; that waits for its end.
    credit = find_credit([], charges, statement.service) if statement.issued.adjustment is None else None
    command = SettlePart(
        statement_id=statement_id,
        charges=charges,
        credit=credit,
        part_id=name_part(statement_id, statement.parts)[0],
        at=unit.context.at,
        **await find_settling(unit, statement, bill),
    )
    after = await unit.decide(STATEMENT, statement_id, command)
    if after.parts > statement.parts:
        await pay_part(unit, bill, statement, after)


async def is_without_holder(unit: UnitOfWork, statement: Statement) -> bool:
    """Return whether no principal accrues by a statement and no holder pays.

    This is so once the startup was sold and the proceeds are paid out, and among related parties unless the mandate
    pays for their trades.
    """
    if await is_sold(unit, statement.issued.startup_id):
        return True
    grant = await unit.get(GRANT, statement.issued.grant_id)
    equity = grant.issued.equity
    if grant.mark != "related" or equity is None:
        return False
    return not (await load_mandate(unit, equity.mandate_id)).terms.related_parties


async def find_settling(unit: UnitOfWork, statement: Statement, bill: Grant) -> dict[str, Any]:
    """Return how the equity part of a statement settles, as `AcceptStatement` and `SettlePart` state it."""
    equity = bill.issued.equity
    return {
        "issuer_ended": await is_without_holder(unit, statement),
        "in_cash": await is_sold(unit, statement.issued.startup_id),
        "is_own_capacity": equity is not None and equity.holder_account_id is None,
        "fee": bill.issued.platform_fee,
    }

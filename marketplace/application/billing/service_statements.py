"""Statements of service lines: issued per period with their grant's statements, in hours, and adjusted like them.

They are accepted, disputed, resolved and settled by the same rules as any other statement (`statements.py`).
"""

from dataclasses import dataclass
from decimal import Decimal

from events.statement import Adjustment, Charges, StatementIssued
from marketplace.application.billing.adjustments import Case, credit, run_adjustment
from marketplace.application.steps.statement_chain import (
    check_stated,
    find_chain,
    load_chain,
    take_number,
)
from marketplace.core.errors import Refusal
from marketplace.core.money import ZERO
from marketplace.domain.billing.service_line import SERVICE_LINE, ServiceLine, sum_hours
from marketplace.domain.billing.service_line_bill import build_bill, list_service_periods
from marketplace.domain.billing.settlement import build_tariff, compute_service_charges
from marketplace.domain.billing.statement import STATEMENT, IssueStatement, Statement
from marketplace.domain.billing.statement_chain import (
    compute_due,
    require_difference,
    require_period_over,
    require_settled,
    require_spaced,
    sum_charged,
)
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.domain.delivery.periods import ACCEPTANCE, Period
from marketplace.domain.refusals import refuse_unknown
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


@dataclass(frozen=True, slots=True)
class _Course:
    """A service line, its grant as `build_bill` returns it, and its statement periods by number."""

    line: ServiceLine
    bill: Grant
    periods: dict[int, Period]

    def compute(self, before: Decimal, hours: Decimal) -> Charges:
        """Return the charges of `hours` that follow the first `before` hours."""
        return compute_service_charges(build_tariff(self.bill.issued), before, hours)

    async def sum_stated(self, unit: UnitOfWork) -> Decimal:
        """Return the hours that the service line's statements and adjustments charge."""
        chains = [await find_chain(unit, period) for period in self.periods.values()]
        return sum((Decimal(sum_charged(chain)) for chain in chains), ZERO)


async def _load(unit: UnitOfWork, line_id: str) -> _Course:
    line = await unit.load(SERVICE_LINE, line_id)
    if line is None or line.agreed is None:
        raise refuse_unknown("service_line", line_id)
    grant = await unit.get(GRANT, line.proposed.grant_id)
    return _Course(line, build_bill(grant, line), list_service_periods(grant, line))


async def find_bill(unit: UnitOfWork, statement: Statement, grant: Grant) -> Grant:
    """Return the grant by which a statement is priced and paid; for a service line, as `build_bill` returns it."""
    line_id = statement.issued.service_line_id
    return grant if line_id is None else (await _load(unit, line_id)).bill


def _get_period(course: _Course, line_id: str, index: int) -> Period:
    period = course.periods.get(index)
    if period is None:
        raise Refusal("period_unknown", f"service line {line_id} has no statement period {index + 1}")
    return period


async def issue_service_statement(handler: Handler, context: Context, line_id: str, index: int) -> Receipt:
    """Issue the statement of a service line's period that is over; `index` is its number in the grant, from 0.

    Raises:
        Refusal: ``service_line_unknown`` · ``period_unknown`` · ``period_runs`` · ``statement_out_of_order``.
    """
    period = _get_period(await _load(UnitOfWork(handler.cache, context), line_id), line_id, index)
    require_period_over(period, context.at)

    async def work(unit: UnitOfWork) -> None:
        course = await _load(unit, line_id)
        if await unit.load(STATEMENT, period.statement_id) is not None:
            return
        await check_stated(unit, [earlier for number, earlier in course.periods.items() if number < index])
        before, issued = await course.sum_stated(unit), course.bill.issued
        statement = StatementIssued(
            statement_id=period.statement_id,
            grant_id=issued.grant_id,
            startup_id=issued.startup_id,
            provider_id=issued.provider_id,
            period_start=period.start,
            period_end=period.end,
            charges=course.compute(before, sum_hours(course.line, period.start, period.end)),
            accept_until=context.at + ACCEPTANCE,
            service_line_id=line_id,
            hours_before=before,
            holder_accepts=course.bill.holder_accepts,
        )
        await take_number(unit, line_id, course.periods.values(), period.statement_id)
        await unit.decide(STATEMENT, period.statement_id, IssueStatement(issued=statement))

    return await handler.run(context, STATEMENT, period.statement_id, work)


async def adjust_service_statement(handler: Handler, context: Context, line_id: str, index: int) -> Receipt:
    """State the difference between the current hours of a settled period and what was last stated.

    Raises:
        Refusal: ``service_line_unknown`` · ``period_unknown`` · ``statement_unknown`` · ``statement_<status>`` while
            a statement of the period is open · ``nothing_to_adjust`` · ``adjustment_early``; for a credit,
            ``funds_insufficient`` if the provider's account cannot pay it.
    """
    period = _get_period(await _load(UnitOfWork(handler.cache, context), line_id), line_id, index)
    return await run_adjustment(
        handler, context, period, lambda unit, statement_id: _adjust(unit, line_id, period, statement_id)
    )


async def _adjust(unit: UnitOfWork, line_id: str, period: Period, statement_id: str) -> None:
    course, chain = await _load(unit, line_id), await load_chain(unit, period)
    require_settled(chain)
    before, after = chain[-1].hours_metered, sum_hours(course.line, period.start, period.end)
    require_difference(chain, after)
    require_spaced(chain, period, unit.context.at)
    adjustment = Adjustment(statement_id=period.statement_id, hours_before=before, hours_after=after)
    case, stated = Case(course.bill, period, statement_id, adjustment, line_id), await course.sum_stated(unit)
    await take_number(unit, line_id, course.periods.values(), statement_id)
    more = Decimal(compute_due(chain, after) - sum_charged(chain))
    if more <= 0:
        less = -more
        charges = course.compute(stated - less, less)
        await credit(unit, case, chain, charges, closed=course.line.status == "closed")
        return
    statement = StatementIssued(
        **case.name(),
        charges=course.compute(stated, more),
        accept_until=unit.context.at + ACCEPTANCE,
        hours_before=stated,
        holder_accepts=course.bill.holder_accepts,
    )
    await unit.decide(STATEMENT, statement_id, IssueStatement(issued=statement))

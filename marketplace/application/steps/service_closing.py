"""Close service lines with their grant, once all of their periods are settled as metered."""

from marketplace.application.steps.statement_chain import find_chain
from marketplace.application.steps.statement_payment import release_undelivered
from marketplace.core.money import ZERO
from marketplace.domain.billing.service_line import SERVICE_LINE, sum_hours
from marketplace.domain.billing.service_line_bill import build_bill, list_service_periods
from marketplace.domain.billing.service_line_commands import CloseServiceLine
from marketplace.domain.billing.statement_chain import require_line_settled
from marketplace.domain.delivery.grant import Grant
from marketplace.execution.unit_of_work import UnitOfWork


async def close_service_lines(unit: UnitOfWork, grant: Grant, reason: str) -> None:
    """Free what was set aside for unworked hours of a grant's service lines, and let their principal lapse.

    Raises:
        Refusal: ``statements_open``.
    """
    for line_id in grant.service_lines:
        line = await unit.get(SERVICE_LINE, line_id)
        paid_usd = ZERO
        for period in list_service_periods(grant, line).values():
            chain = await find_chain(unit, period)
            require_line_settled(line_id, period, chain, sum_hours(line, period.start, period.end))
            paid_usd += sum((known.sign * known.net.holder_usd for known in chain), ZERO)
        await unit.decide(SERVICE_LINE, line_id, CloseServiceLine(service_line_id=line_id))
        await release_undelivered(unit, build_bill(grant, line), paid_usd, reason)

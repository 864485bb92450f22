"""The statement of a period and its adjustments, oldest first."""

from collections.abc import Iterable

from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.delivered import count_delivered
from marketplace.domain.billing.service_line import SERVICE_LINE, ServiceLine, sum_hours
from marketplace.domain.billing.service_line_bill import list_service_periods
from marketplace.domain.billing.statement import STATEMENT, Statement
from marketplace.domain.billing.statement_chain import (
    ADJUSTMENTS_MAX,
    name_adjustment,
    refuse_adjustments,
    refuse_number,
    require_stated,
    sum_charged,
)
from marketplace.domain.command import COMMAND, RecordCommand
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.domain.delivery.periods import Period, list_periods
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.metering.usage import USAGE, name_usage
from marketplace.domain.refusals import refuse_unknown
from marketplace.execution.unit_of_work import UnitOfWork


async def load_chain(unit: UnitOfWork, period: Period) -> list[Statement]:
    """Return the statement of a period and its adjustments.

    Raises:
        Refusal: ``statement_unknown`` · ``adjustments_too_many``.
    """
    chain = await find_chain(unit, period)
    if not chain:
        raise refuse_unknown("statement", period.statement_id)
    return chain


async def find_chain(unit: UnitOfWork, period: Period) -> list[Statement]:
    """Return the statement of a period and its adjustments; empty if none is issued yet.

    Raises:
        Refusal: ``adjustments_too_many``.
    """
    chain: list[Statement] = []
    statement_id = period.statement_id
    for number in range(ADJUSTMENTS_MAX + 1):
        statement = await unit.load(STATEMENT, statement_id)
        if statement is None:
            return chain
        chain.append(statement)
        statement_id = name_adjustment(period.statement_id, number)
    raise refuse_adjustments(period.statement_id)


async def sum_stated(unit: UnitOfWork, grant: Grant) -> int:
    """Return the GPU-seconds that a grant's statements charge, less those that they credit."""
    chains = [await find_chain(unit, period) for period in list_periods(grant)]
    return sum(int(sum_charged(chain)) for chain in chains)


async def list_unsettled(unit: UnitOfWork, issuer: Issuer) -> list[str]:
    """Return the grants under an issuer's instruments whose metered usage or work is not all accepted."""
    return [
        grant_id
        for grant_id in (rename_id("grt", instrument_id) for instrument_id in sorted(issuer.instruments))
        if await _is_unsettled(unit, grant_id)
    ]


async def _is_unsettled(unit: UnitOfWork, grant_id: str) -> bool:
    grant = await unit.load(GRANT, grant_id)
    if grant is None:
        return False
    usage = await unit.load(USAGE, name_usage(grant_id))
    for period in list_periods(grant):
        chain = await find_chain(unit, period)
        metered = chain[-1].gpu_seconds_metered if chain else 0
        stated = all(statement.status == "accepted" for statement in chain)
        if not stated or metered != count_delivered(usage, grant, period.start, period.end):
            return True
    lines = [await unit.get(SERVICE_LINE, line_id) for line_id in grant.service_lines]
    return any([await _is_work_unsettled(unit, grant, line) for line in lines])


async def _is_work_unsettled(unit: UnitOfWork, grant: Grant, line: ServiceLine) -> bool:
    for period in list_service_periods(grant, line).values():
        chain = await find_chain(unit, period)
        metered = chain[-1].hours_metered if chain else ZERO
        stated = all(statement.status == "accepted" for statement in chain)
        if not stated or metered != sum_hours(line, period.start, period.end):
            return True
    return False


async def take_number(unit: UnitOfWork, owner_id: str, periods: Iterable[Period], statement_id: str) -> None:
    """Reserve the next statement number of a grant or service line. All its periods share one series (ADR 17).

    A statement's price depends on what the other ones charge, so two that are decided at once must conflict.

    Raises:
        Refusal: ``statement_out_of_order`` if another statement took the number, so that the statements read are stale.
    """
    number = sum([len(await find_chain(unit, period)) for period in periods])
    number_id = derive_id("cmd", owner_id, f"statement/{number}")
    record = RecordCommand(command_id=number_id, aggregate="statement", aggregate_id=statement_id, version=None)
    await unit.decide(COMMAND, number_id, record)
    if not unit.list_events(COMMAND, number_id):
        raise refuse_number(owner_id, number)


async def check_stated(unit: UnitOfWork, periods: list[Period]) -> None:
    """Refuse to state a period before all earlier ones.

    Raises:
        Refusal: ``statement_out_of_order``.
    """
    for period in periods:
        require_stated(period, await unit.load(STATEMENT, period.statement_id))

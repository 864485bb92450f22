"""The statement of a period and its adjustments, oldest first."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Final

from events.statement import Charges
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import CENT, ZERO
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.delivered import count_delivered
from marketplace.domain.billing.service_line import SERVICE_LINE, ServiceLine, sum_hours
from marketplace.domain.billing.service_line_bill import build_bill, list_service_periods
from marketplace.domain.billing.settlement import (
    build_tariff,
    compute_charges,
    compute_service_charges,
    move_to_cash,
)
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

_MARGIN: Final = timedelta(hours=1)
"""Within this time a worker ends the grants of a company whose sale is paid."""


def is_settled(chain: Sequence[Statement]) -> bool:
    """Return whether there are statements of a period and all are accepted."""
    return bool(chain) and all(known.status == "accepted" for known in chain)


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


async def bound_unsettled(unit: UnitOfWork, issuer: Issuer) -> dict[str, Decimal]:
    """Return, by grant under an issuer's instruments, the most that the company lacks to pay all of it in cash.

    That is for the hours and the work that are not settled: of a period without an accepted statement all hours until
    `_MARGIN` from now, by when the grant ends.
    """
    found = {}
    for grant_id in (rename_id("grt", instrument_id) for instrument_id in sorted(issuer.instruments)):
        grant = await unit.load(GRANT, grant_id)
        if grant is None or grant.issued.equity is None:
            continue
        amount_usd = await _bound_usage(unit, grant)
        for line_id in grant.service_lines:
            amount_usd += await _bound_work(unit, grant, await unit.get(SERVICE_LINE, line_id))
        if amount_usd:
            found[grant_id] = amount_usd
    return found


async def _bound_usage(unit: UnitOfWork, grant: Grant) -> Decimal:
    usage, until = await unit.load(USAGE, name_usage(grant.issued.grant_id)), unit.context.at + _MARGIN
    stated = unsettled = 0
    for period in list_periods(grant):
        chain = await find_chain(unit, period)
        counted = count_delivered(usage, grant, period.start, period.end)
        accepted = sum(known.sign * known.charges.gpu_seconds for known in chain if known.status == "accepted")
        stated += accepted
        if not is_settled(chain) or chain[-1].gpu_seconds_metered != counted:
            possible = grant.count_left(period.start) - grant.count_left(max(period.start, min(period.end, until)))
            unsettled += max(possible, counted) - accepted
    return await _find_lacking(unit, grant, compute_charges(build_tariff(grant.issued), stated, max(unsettled, 0)))


async def _bound_work(unit: UnitOfWork, grant: Grant, line: ServiceLine) -> Decimal:
    stated = unsettled = ZERO
    for period in list_service_periods(grant, line).values():
        chain = await find_chain(unit, period)
        worked = sum_hours(line, period.start, period.end)
        accepted = sum((each.sign * each.charges.service_hours for each in chain if each.status == "accepted"), ZERO)
        stated += accepted
        if not is_settled(chain) or chain[-1].hours_metered != worked:
            unsettled += worked - accepted
    if not unsettled:
        return ZERO
    bill = build_bill(grant, line)
    return await _find_lacking(
        unit, bill, compute_service_charges(build_tariff(bill.issued), stated, max(unsettled, ZERO))
    )


async def _find_lacking(unit: UnitOfWork, bill: Grant, charges: Charges) -> Decimal:
    """Return the USD that the hold of a bill lacks to pay charges all in cash, with a cent per period."""
    equity, issued = bill.issued.equity, bill.issued
    own = equity is not None and equity.holder_account_id is None
    due = move_to_cash(charges, None, issued.platform_fee, is_own_capacity=own)
    due_usd = due.cash_usd + due.startup_fee_usd
    hold = (await unit.get(ACCOUNT, issued.startup_account_id)).holds.get(issued.hold_id)
    held_usd = ZERO if hold is None else hold.left_usd
    return max(due_usd + len(list_periods(bill)) * CENT - held_usd, ZERO) if due_usd else ZERO


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

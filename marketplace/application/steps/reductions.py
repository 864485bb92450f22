"""Count what one person alone gives away: delivery and work that no longer count, nodes resold below their price."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from events.grant import GrantIssued
from events.lot import LotListed
from marketplace.application.steps.two_persons import is_limited, use_limit
from marketplace.core.ids import derive_id
from marketplace.core.money import SECONDS_PER_HOUR, ZERO, ceil_cents
from marketplace.domain.billing.delivered import count_kept
from marketplace.domain.billing.service_line import SERVICE_LINE, sum_hours
from marketplace.domain.billing.service_line_bill import list_service_periods
from marketplace.domain.billing.settlement import build_tariff, compute_totals
from marketplace.domain.delivery.grant import GRANT, Grant, Outage
from marketplace.domain.delivery.periods import Period, list_periods
from marketplace.domain.metering.usage import USAGE, name_usage
from marketplace.domain.metering.usage_record import Usage
from marketplace.domain.supply.pool import POOL
from marketplace.execution.unit_of_work import UnitOfWork


async def count_reduction(unit: UnitOfWork, grant_id: str) -> None:
    """Count toward the limit of a provider's account what this decision lowers of periods whose statement is due.

    It counts in USD, with the service credit that follows. Nothing counts without a limit, or for the platform.

    Raises:
        Refusal: ``limit_exceeded``.
    """
    if not await is_limited(unit):
        return
    grant = await unit.read_before(GRANT, grant_id)
    if grant is None or grant.issued.provider_id != unit.context.party_id:
        return
    usage_id = name_usage(grant_id)
    before, after = await unit.read_before(USAGE, usage_id), await unit.load(USAGE, usage_id)
    lost = _compare(unit.context.at, before, grant, after, await unit.get(GRANT, grant_id))
    await use_limit(unit, ceil_cents(lost), derive_id("cmd", unit.context.command_id, grant_id))


async def count_outage(unit: UnitOfWork, pool_id: str, nodes: int, start: datetime, end: datetime) -> None:
    """Count, as `count_reduction`, what a past outage of nodes of a pool may lower of its grants.

    Which grants lost the nodes is not known, so those that would lose most count first.

    Raises:
        Refusal: ``limit_exceeded``.
    """
    if not await is_limited(unit):
        return
    losses: list[tuple[Fraction, int]] = []
    for grant_id, reservation in (await unit.get(POOL, pool_id)).reservations.items():
        span = max(start, reservation.start), min(end, reservation.end)
        grant = await unit.load(GRANT, grant_id)
        if span[0] < span[1] and grant is not None:
            usage, lost = await unit.load(USAGE, name_usage(grant_id)), min(nodes, grant.issued.nodes)
            failed = replace(grant, outages=(*grant.outages, Outage(*span, grant.issued.nodes - lost)))
            losses.append((_compare(unit.context.at, usage, grant, usage, failed), lost))
    total, left = Fraction(0), nodes
    for usd, lost in sorted(losses, reverse=True):
        total += usd if left > 0 else 0
        left -= lost
    await use_limit(unit, ceil_cents(total), derive_id("cmd", unit.context.command_id, pool_id))


async def count_hours(unit: UnitOfWork, line_id: str) -> None:
    """Count, as `count_reduction`, the hours of a service line that this decision takes off such periods.

    Raises:
        Refusal: ``limit_exceeded``.
    """
    before, line = await unit.read_before(SERVICE_LINE, line_id), await unit.get(SERVICE_LINE, line_id)
    if before is None or line.proposed.provider_id != unit.context.party_id:
        return
    periods = list_service_periods(await unit.get(GRANT, line.proposed.grant_id), line).values()
    less = sum(
        (
            max(sum_hours(before, period.start, period.end) - sum_hours(line, period.start, period.end), ZERO)
            for period in _list_due(periods, unit.context.at)
        ),
        ZERO,
    )
    lost = Fraction(line.proposed.price_usd_per_hour) * Fraction(less)
    await use_limit(unit, ceil_cents(lost), derive_id("cmd", unit.context.command_id, line_id))


async def count_resale(unit: UnitOfWork, issued: GrantIssued, listed: LotListed, ask_usd_per_gpu_hour: Decimal) -> None:
    """Count toward the limit of a startup's account the cash that it loses if nodes are resold below their price.

    Raises:
        Refusal: ``limit_exceeded``.
    """
    gpu_seconds = listed.nodes * issued.gpus_per_node * int((listed.end - listed.start).total_seconds())
    paid = Fraction(compute_totals(build_tariff(issued), gpu_seconds).cash_usd)
    lost = max(paid - Fraction(ask_usd_per_gpu_hour) * gpu_seconds / SECONDS_PER_HOUR, Fraction(0))
    await use_limit(unit, ceil_cents(lost), unit.context.command_id)


def _list_due(periods: Iterable[Period], at: datetime) -> list[Period]:
    return [period for period in periods if at >= period.stated_at]


def _compare(at: datetime, before: Usage, grant: Grant, after: Usage, now: Grant) -> Fraction:
    """Return the price in USD of the GPU-seconds, in periods whose statement is due, that are no longer paid for."""
    less = Fraction(0)
    for period in _list_due(list_periods(grant), at):
        kept = count_kept(before, grant, period.start, period.end)
        less += max(kept - count_kept(after, now, period.start, period.end), Fraction(0))
    return Fraction(grant.issued.price_usd_per_gpu_hour) * less / SECONDS_PER_HOUR

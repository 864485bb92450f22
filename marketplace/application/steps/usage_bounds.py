"""Copy a grant's end and resale limits to its usage records, in the append that changes them (ADR 8).

A report of usage reads the grant but does not write it. Whatever shortens, extends, ends or resells a grant therefore
writes the usage records of both sides; whatever ends or extends it also writes its service lines. Each report writes
one of these records. If a report and a change race, the one stored second is decided again.
"""

from datetime import datetime
from typing import Final, get_args

from events.usage import Meter
from marketplace.core.timeline_sums import list_runs
from marketplace.domain.billing.service_line import SERVICE_LINE, find_last_end
from marketplace.domain.billing.service_line_bill import list_spans
from marketplace.domain.billing.service_line_commands import LimitServiceLine
from marketplace.domain.delivery.grant import Grant
from marketplace.domain.metering.usage import USAGE, name_usage
from marketplace.domain.metering.usage_commands import LimitUsage
from marketplace.domain.metering.usage_record import EPOCH, SECOND, to_second
from marketplace.execution.unit_of_work import UnitOfWork

METERS: Final[tuple[Meter, ...]] = get_args(Meter)


async def limit_usage(unit: UnitOfWork, grant: Grant) -> None:
    """Copy what is left of a changed grant to the usage records of both sides."""
    for meter in METERS:
        await _limit(unit, grant, meter, None)


async def cap_usage(unit: UnitOfWork, grant: Grant, gpu_seconds_max: int) -> None:
    """Limit what the provider's meter may count in all of a grant that is settled but for lowered readings."""
    await _limit(unit, grant, "provider", gpu_seconds_max)


async def _limit(unit: UnitOfWork, grant: Grant, meter: Meter, gpu_seconds_max: int | None) -> None:
    usage_id = name_usage(grant.issued.grant_id, meter)
    command = LimitUsage(
        usage_id=usage_id,
        grant_id=grant.issued.grant_id,
        end=grant.end,
        resold=tuple(grant.list_resold()),
        gaps=grant.list_gaps(),
        meter=meter,
        start=grant.issued.start if grant.rescheduled else None,
        gpu_seconds_max=gpu_seconds_max,
    )
    await unit.decide(USAGE, usage_id, command)


async def limit_grant(unit: UnitOfWork, grant: Grant) -> None:
    """Copy a changed grant's end to its usage records and service lines."""
    await limit_usage(unit, grant)
    for line_id in grant.service_lines:
        command = LimitServiceLine(service_line_id=line_id, spans=list_spans(grant))
        await unit.decide(SERVICE_LINE, line_id, command)


async def find_counted_end(unit: UnitOfWork, grant: Grant, at: datetime) -> datetime:
    """Return the last instant that meters and time sheets have counted for a grant, at most its end; at least `at`."""
    if at >= grant.end:
        return at
    counted = at
    for meter in METERS:
        usage = await unit.load(USAGE, name_usage(grant.issued.grant_id, meter))
        runs = list_runs(usage.timeline, to_second(at), to_second(grant.end))
        if runs:
            counted = max(counted, EPOCH + runs[-1][1] * SECOND)
    for line_id in grant.service_lines:
        line = await unit.get(SERVICE_LINE, line_id)
        counted = find_last_end(line, counted)
    return min(counted, grant.end)

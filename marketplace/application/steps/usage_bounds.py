"""What may be counted of a grant, told to who counts it in the same append as what changes it (ADR 8).

A report reads the grant and does not write it. So whatever shrinks, ends or extends a grant writes the usage records of
both sides, and what ends or extends it writes its service lines too: each report writes one of them. Of a report and a
change, the one that is stored second is decided again.
"""

from datetime import datetime
from typing import Final, get_args

from events.usage import Meter
from marketplace.core.timeline_sums import list_runs
from marketplace.domain.billing.service_line import SERVICE_LINE, ServiceLine, find_last_end
from marketplace.domain.billing.service_line_bill import list_spans
from marketplace.domain.billing.service_line_commands import LimitServiceLine
from marketplace.domain.delivery.grant import Grant
from marketplace.domain.metering.usage import USAGE, LimitUsage, Usage, name_usage
from marketplace.domain.metering.usage_state import EPOCH, SECOND, to_second
from marketplace.execution.unit_of_work import UnitOfWork

METERS: Final[tuple[Meter, ...]] = get_args(Meter)


async def limit_usage(unit: UnitOfWork, grant: Grant) -> None:
    """Tell the records of both sides what is left of a grant that was changed in this unit."""
    for meter in METERS:
        usage_id = name_usage(grant.issued.grant_id, meter)
        command = LimitUsage(
            usage_id=usage_id,
            grant_id=grant.issued.grant_id,
            end=grant.end,
            resold=tuple(grant.list_resold()),
            meter=meter,
        )
        await unit.decide(USAGE, usage_id, command)


async def limit_grant(unit: UnitOfWork, grant: Grant) -> None:
    """Tell all who count of a grant until when it goes on, as it was changed in this unit."""
    await limit_usage(unit, grant)
    for line_id in grant.service_lines:
        command = LimitServiceLine(service_line_id=line_id, spans=list_spans(grant))
        await unit.decide(SERVICE_LINE, line_id, command)


async def find_counted_end(unit: UnitOfWork, grant: Grant, at: datetime) -> datetime:
    """Return up to when meters and time sheets count of a grant, where that is later than `at`; else `at`."""
    if at >= grant.end:
        return at
    counted = at
    for meter in METERS:
        usage: Usage = await unit.load(USAGE, name_usage(grant.issued.grant_id, meter))
        runs = list_runs(usage.timeline, to_second(at), to_second(grant.end))
        if runs:
            counted = max(counted, EPOCH + runs[-1][1] * SECOND)
    for line_id in grant.service_lines:
        line: ServiceLine = await unit.load(SERVICE_LINE, line_id)
        counted = find_last_end(line, counted)
    return min(counted, grant.end)

"""What the meters of a grant may count, told to their records in the same append as what changes it (ADR 8).

A report reads the grant and does not write it. So whatever shrinks, ends or extends a grant writes the records of both
sides, which every report does write: of a report and a change, the one that is stored second is decided again.
"""

from datetime import datetime
from typing import Final, get_args

from events.usage import Meter
from marketplace.core.timeline_sums import list_runs
from marketplace.domain.grant import Grant
from marketplace.domain.usage import USAGE, LimitUsage, Usage, name_usage
from marketplace.domain.usage_state import EPOCH, SECOND, to_second
from marketplace.runtime.unit import Unit

METERS: Final[tuple[Meter, ...]] = get_args(Meter)


async def limit_usage(unit: Unit, grant: Grant) -> None:
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


async def find_counted_end(unit: Unit, grant: Grant, at: datetime) -> datetime:
    """Return the instant up to which meters count something of a grant, where that is later than `at`; else `at`."""
    if at >= grant.end:
        return at
    counted = at
    for meter in METERS:
        usage: Usage = await unit.load(USAGE, name_usage(grant.issued.grant_id, meter))
        runs = list_runs(usage.timeline, to_second(at), to_second(grant.end))
        if runs:
            counted = max(counted, EPOCH + runs[-1][1] * SECOND)
    return counted

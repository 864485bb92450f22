"""What a provider's person alone gives back: delivery of charged periods that is counted no more."""

from fractions import Fraction
from typing import Final

from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import ceil_cents
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import UseLimit
from marketplace.domain.billing.delivered import count_delivered
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.delivery.periods import GRACE, list_periods
from marketplace.domain.metering.usage import USAGE, name_usage
from marketplace.execution.unit_of_work import UnitOfWork

_HOUR: Final = 3600


async def count_reduction(unit: UnitOfWork, grant_id: str) -> None:
    """Count toward the limit of a provider's account what this decision takes off periods whose statement is due.

    The provider pays that back without a further decision. Nothing counts without a limit, for the platform, or while
    meters may still report.

    Raises:
        Refusal: ``limit_exceeded``.
    """
    party_id = unit.context.party_id
    account = None if party_id is None else await unit.load(ACCOUNT, rename_id("acc", party_id))
    grant = await unit.read_before(GRANT, grant_id)
    if party_id is None or account is None or account.limit_usd is None:
        return
    if grant is None or grant.issued.provider_id != party_id:
        return
    now, usage_id = await unit.get(GRANT, grant_id), name_usage(grant_id)
    before, after = await unit.read_before(USAGE, usage_id), await unit.load(USAGE, usage_id)
    less = 0
    for period in list_periods(grant):
        counted = count_delivered(before, grant, period.start, period.end)
        reduced = counted - count_delivered(after, now, period.start, period.end)
        if reduced > 0 and unit.context.at >= period.end + GRACE:
            less += reduced
    amount_usd = ceil_cents(Fraction(grant.issued.price_usd_per_gpu_hour) * less / _HOUR)
    if amount_usd:
        cause = derive_id("cmd", unit.context.command_id, grant_id)
        use = UseLimit(account_id=rename_id("acc", party_id), amount_usd=amount_usd, cause=cause, at=unit.context.at)
        await unit.decide(ACCOUNT, rename_id("acc", party_id), use)

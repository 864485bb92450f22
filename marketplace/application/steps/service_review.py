"""The service result of a stated period by what is known now."""

from events.service import ServiceResult
from events.types import ServiceConsequence
from marketplace.domain.delivery.grant import Grant
from marketplace.domain.delivery.periods import Period
from marketplace.domain.delivery.service_level import apply_remedy, assess, choose_remedy, keep_remedy
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.execution.unit_of_work import UnitOfWork


async def review_service(
    unit: UnitOfWork, grant: Grant, period: Period, delivered: int, stated: ServiceResult | None
) -> ServiceResult | None:
    """Return the service result of a stated period by what is known now.

    Its remedy is the stated one, unless that is for outages and hardly anything was delivered.

    Args:
        unit: The decision.
        grant: The grant.
        period: The period.
        delivered: The period's GPU-seconds that are charged.
        stated: The result as last stated; None if none was.

    Returns:
        The result; None if nothing was promised.
    """
    result = assess(grant, period.start, period.end, delivered)
    if result is None or result.met:
        return result
    if stated is not None and stated.consequence is not None:
        return apply_remedy(result, keep_remedy(stated.consequence, result))
    offered, agreed = await find_consequences(unit, grant)
    return apply_remedy(result, choose_remedy(offered, agreed, result, extended=False))


async def find_consequences(unit: UnitOfWork, grant: Grant) -> tuple[ServiceConsequence, ServiceConsequence | None]:
    """Return the remedy that the provider's terms offer, and the one that the instrument names; None without one."""
    assert grant.issued.service is not None, "only a promised service level is assessed"
    offered = grant.issued.service.consequence
    if grant.issued.equity is None:
        return offered, None
    instrument = await unit.get(INSTRUMENT, grant.issued.equity.instrument_id)
    consequence = instrument.terms.service_consequence
    assert consequence is not None, "an instrument that is drawn down names the remedy"
    return offered, consequence

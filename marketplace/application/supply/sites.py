"""Sites: registration, power, and conversion from another use."""

from datetime import datetime
from decimal import Decimal

from events.site import SiteRegistered, SiteStatus
from marketplace.application.steps.access import require_owner, require_tenant
from marketplace.application.steps.reductions import count_power_cut
from marketplace.core.ids import derive_id
from marketplace.domain.party import PARTY, require_trader
from marketplace.domain.refusals import require_found
from marketplace.domain.supply.site import (
    SITE,
    DerateSite,
    EnergiseSite,
    RegisterSite,
    ScheduleConversion,
    Site,
    SiteCommand,
    SlipConversion,
)
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def load_site(unit: UnitOfWork, site_id: str) -> Site:
    """Return a site of the tenant.

    Raises:
        Refusal: ``site_unknown``.
    """
    site = require_found("site", site_id, await unit.load(SITE, site_id))
    require_owner(unit.context, (site.registered.provider_id,), "site", site_id)
    return site


async def register_site(
    handler: Handler,
    context: Context,
    *,
    provider_id: str,
    name: str,
    region: str,
    jurisdiction: str,
    status: SiteStatus,
    power_contracted_kw: int,
    power_energised_kw: int,
    power_usage_effectiveness: Decimal,
    renewable_share: Decimal,
) -> Receipt:
    """Register a data center of a cleared provider.

    Raises:
        Refusal: Refusals of the party and of the site.
    """
    require_tenant(context, provider_id)
    site_id = derive_id("sit", context.command_id)
    registered = SiteRegistered(
        site_id=site_id,
        provider_id=provider_id,
        name=name,
        region=region,
        jurisdiction=jurisdiction,
        status=status,
        power_contracted_kw=power_contracted_kw,
        power_energised_kw=power_energised_kw,
        power_usage_effectiveness=power_usage_effectiveness,
        renewable_share=renewable_share,
    )

    async def work(unit: UnitOfWork) -> None:
        require_trader(await unit.load(PARTY, provider_id), provider_id, "provider")
        await unit.decide(SITE, site_id, RegisterSite(registered=registered))

    return await handler.run(context, SITE, site_id, work, new=True)


async def _change(handler: Handler, context: Context, site_id: str, command: SiteCommand) -> Receipt:
    async def work(unit: UnitOfWork) -> None:
        await load_site(unit, site_id)
        await unit.decide(SITE, site_id, command)
        await count_power_cut(unit, site_id)

    return await handler.run(context, SITE, site_id, work)


async def energise_site(
    handler: Handler, context: Context, site_id: str, *, power_energised_kw: int, at: datetime
) -> Receipt:
    """Report that more power is live, `power_energised_kw` in all.

    Only the platform dates back by more than an hour that nodes of grants have power again.

    Raises:
        Refusal: ``site_unknown`` · ``time_naive`` · ``power_above_contract`` · ``power_not_raised`` ·
            ``resumption_backdated``.
    """
    reported_at = None if context.party_id is None else context.at
    command = EnergiseSite(site_id=site_id, power_energised_kw=power_energised_kw, at=at, reported_at=reported_at)
    return await _change(handler, context, site_id, command)


async def derate_site(
    handler: Handler, context: Context, site_id: str, *, power_energised_kw: int, at: datetime, reason: str
) -> Receipt:
    """Report that less power is live, `power_energised_kw` in all.

    Raises:
        Refusal: ``site_unknown`` · ``time_naive`` · ``power_not_lowered`` · ``limit_exceeded`` if one person alone
            takes more off what counts than the account's limit.
    """
    command = DerateSite(
        site_id=site_id, power_energised_kw=power_energised_kw, at=at, reason=reason, reported_at=context.at
    )
    return await _change(handler, context, site_id, command)


async def schedule_conversion(
    handler: Handler, context: Context, site_id: str, *, former_use: str, ready_at: datetime
) -> Receipt:
    """State when a site of another use becomes a data center.

    Raises:
        Refusal: ``site_unknown`` · ``time_naive`` · ``site_operating`` · ``conversion_scheduled`` · ``limit_exceeded``
            as in `derate_site`.
    """
    command = ScheduleConversion(site_id=site_id, former_use=former_use, ready_at=ready_at, told_at=context.at)
    return await _change(handler, context, site_id, command)


async def slip_conversion(
    handler: Handler, context: Context, site_id: str, *, ready_at: datetime, reason: str
) -> Receipt:
    """Move the date of a conversion. The scheduler moves the lots that would begin before it.

    Only the platform dates back by more than an hour that nodes of grants have power.

    Raises:
        Refusal: ``site_unknown`` · ``time_naive`` · ``conversion_not_scheduled`` · ``resumption_backdated`` ·
            ``limit_exceeded`` as in `derate_site`.
    """
    reported_at = None if context.party_id is None else context.at
    told: dict[str, datetime | None] = {"reported_at": reported_at, "told_at": context.at}
    command = SlipConversion(site_id=site_id, ready_at=ready_at, reason=reason, **told)
    return await _change(handler, context, site_id, command)

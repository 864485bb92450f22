"""Count what one person alone gives away: delivery and work that no longer count, and nodes resold too cheap."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from events.grant import GrantIssued
from events.lot import LotListed
from events.statement import Charges
from marketplace.application.steps.two_persons import is_limited, use_limit
from marketplace.core.ids import derive_id
from marketplace.core.intervals import Load
from marketplace.core.money import SECONDS_PER_HOUR, ZERO, ceil_cents
from marketplace.domain.billing.delivered import count_kept
from marketplace.domain.billing.dispute import Amount
from marketplace.domain.billing.service_line import SERVICE_LINE, sum_hours
from marketplace.domain.billing.service_line_bill import list_service_periods
from marketplace.domain.billing.settlement import build_tariff, compute_totals
from marketplace.domain.billing.statement import Statement
from marketplace.domain.billing.statement_chain import price_amount
from marketplace.domain.delivery.grant import GRANT, Grant, Outage
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.metering.usage import USAGE, name_usage
from marketplace.domain.metering.usage_record import Usage
from marketplace.domain.supply.pool import POOL
from marketplace.domain.supply.site import SITE, find_power_cut
from marketplace.execution.unit_of_work import UnitOfWork


async def count_reduction(unit: UnitOfWork, grant_id: str) -> None:
    """Count toward the limit of a provider's account what this decision takes off the periods that have begun.

    It counts in USD, with the service credit that follows. Nothing counts without a limit, or for the platform.
    Nobody may look before a statement is settled, so it counts before the statement is due as after it.

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

    Which grants lost the nodes is not known, so those that would lose most count first. One that is not over counts up
    to now, since nobody says when it ends.

    Raises:
        Refusal: ``limit_exceeded``.
    """
    if not await is_limited(unit):
        return
    losses: list[tuple[Fraction, int]] = []
    for grant_id, reservation in (await unit.get(POOL, pool_id)).reservations.items():
        failed = Load(max(start, reservation.start), min(end, reservation.end), nodes)
        losses += await _find_loss(unit, grant_id, failed)
    await _use_worst(unit, losses, nodes, pool_id)


async def count_power_cut(unit: UnitOfWork, site_id: str) -> None:
    """Count, as `count_outage`, what this decision's report of a site's power may lower of its grants up to now.

    Raises:
        Refusal: ``limit_exceeded``.
    """
    before = await unit.read_before(SITE, site_id)
    if before is None or not await is_limited(unit):
        return
    cut = find_power_cut(before, await unit.get(SITE, site_id), unit.context.at)
    if cut is None:
        return
    losses: list[tuple[Fraction, int]] = []
    for (pool_id, grant_id), draws in before.drawn.items():
        node_kw = (await unit.get(POOL, pool_id)).opened.power_per_node_kw
        dark = Load(max(cut.start, draws[0].start), min(cut.end, draws[-1].end), -(-cut.amount // node_kw))
        losses += [(usd, lost * node_kw) for usd, lost in await _find_loss(unit, grant_id, dark)]
    await _use_worst(unit, losses, cut.amount, site_id)


async def _find_loss(unit: UnitOfWork, grant_id: str, failed: Load) -> list[tuple[Fraction, int]]:
    """Return the USD that a grant loses if nodes of its place had failed, and how many are its own; nothing if none."""
    grant = await unit.load(GRANT, grant_id)
    if failed.start >= failed.end or grant is None:
        return []
    usage, lost = await unit.load(USAGE, name_usage(grant_id)), min(failed.amount, grant.issued.nodes)
    now = replace(grant, outages=(*grant.outages, Outage(failed.start, failed.end, grant.issued.nodes - lost)))
    return [(_compare(unit.context.at, usage, grant, usage, now), lost)]


async def _use_worst(unit: UnitOfWork, losses: Iterable[tuple[Fraction, int]], least: int, cause: str) -> None:
    """Count the largest losses that together lose at least so many nodes, or kilowatts."""
    total, left = Fraction(0), least
    for usd, lost in sorted(losses, reverse=True):
        total += usd if left > 0 else 0
        left -= lost
    await use_limit(unit, ceil_cents(total), derive_id("cmd", unit.context.command_id, cause))


async def count_concession(unit: UnitOfWork, bill: Grant, statement: Statement, amount: Amount | None) -> None:
    """Count what a side of a dispute gives up by an amount that it concedes, offers or accepts, since its last word.

    A provider charges less, and the seller of resold hours receives less; a payer pays and owes more.

    Raises:
        Refusal: ``limit_exceeded``.
    """
    dispute, party_id, issued = statement.dispute, unit.context.party_id, statement.issued
    if dispute is None or amount is None:
        return
    offer, side = dispute.offer, "startup" if party_id == issued.startup_id else "holder"
    said: Amount | None
    if party_id == bill.issued.provider_id:
        side, said = "provider", dispute.position if offer is None or offer.by != "provider" else offer.amount
    elif party_id == issued.reseller_id:
        side, said = "reseller", dispute.position if dispute.floor is None else dispute.floor
    else:
        said = next((count for payer, count in dispute.counts.items() if payer == side), None)
        if said is not None and offer is not None and side in offer.agreed:
            said = max(said, offer.amount)
    if said is not None:
        before, after = (_find_paid(price_amount(bill, statement, each), side) for each in (said, amount))
        await use_limit(unit, max(before - after, ZERO), unit.context.command_id)


def _find_paid(charges: Charges, side: str) -> Decimal:
    """Return what a side receives by charges, in USD; below 0, what it pays and owes."""
    match side:
        case "provider":
            return charges.provider_usd + charges.principal_usd - charges.holder_usd
        case "reseller":
            return charges.reseller_receives_usd
        case "holder":
            return -charges.holder_usd
        case _:
            return -(charges.cash_usd + charges.startup_fee_usd + charges.principal_usd)


async def count_hours(unit: UnitOfWork, line_id: str) -> None:
    """Count, as `count_reduction`, the hours of a service line that this decision takes off its periods.

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
            for period in periods
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


def _compare(at: datetime, before: Usage, grant: Grant, after: Usage, now: Grant) -> Fraction:
    """Return the price in USD of the GPU-seconds, in periods that have begun, that are no longer paid for."""
    less = Fraction(0)
    for period in (each for each in list_periods(grant) if each.start < at):
        kept = count_kept(before, grant, period.start, period.end)
        less += max(kept - count_kept(after, now, period.start, period.end), Fraction(0))
    return Fraction(grant.issued.price_usd_per_gpu_hour) * less / SECONDS_PER_HOUR

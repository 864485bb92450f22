"""Take resold capacity off the seller's grant: nodes, cash, budget and principal.

`marketplace.application.trading.resale` states the rule for hours that are paid in equity.
"""

from datetime import datetime
from decimal import Decimal
from fractions import Fraction

import msgspec

from events.grant import GrantIssued, GrantResold, ResalePart
from marketplace.application.steps.claims import post_deposit
from marketplace.application.steps.statement_payment import free_equity
from marketplace.application.steps.usage_bounds import METERS, limit_usage
from marketplace.core.money import ZERO, render_ratio
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import AdjustHold, PlaceHold, Reserve
from marketplace.domain.billing.account_state import get_hold
from marketplace.domain.billing.settlement import Totals, build_tariff, compute_totals
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.domain.delivery.grant_commands import ResellGrant
from marketplace.domain.metering.usage import USAGE, name_usage
from marketplace.domain.supply.lot import LOT
from marketplace.domain.trading.resale import require_seller_funds, require_unused
from marketplace.execution.unit_of_work import UnitOfWork


async def keep_for_sale(
    unit: UnitOfWork, bought: GrantIssued, resale: ResalePart, *, cause: str, until: datetime
) -> None:
    """Keep on a seller's account, while a quote is held, what the sale takes of its free money.

    Raises:
        Refusal: ``funds_insufficient`` if the seller lacks it.
    """
    source, seller_id = await unit.get(GRANT, resale.grant_id), resale.seller_account_id
    beyond_usd = await _find_beyond(unit, source, bought, resale)
    require_seller_funds((await unit.get(ACCOUNT, seller_id)).count_free(unit.context.at), beyond_usd)
    kept = Reserve(account_id=seller_id, amount_usd=beyond_usd, until=until, cause=cause)
    await unit.decide(ACCOUNT, seller_id, kept)


def _compute_sold(source: Grant, bought: GrantIssued) -> tuple[int, Totals, Totals]:
    """Return the GPU-seconds that a sale takes off its source, and what the source costs before and after it."""
    tariff, left = build_tariff(source.issued), source.gpu_seconds_left
    sold = bought.nodes * bought.gpus_per_node * int((bought.end - bought.start).total_seconds())
    return sold, compute_totals(tariff, left), compute_totals(tariff, left - sold)


async def _find_beyond(unit: UnitOfWork, source: Grant, bought: GrantIssued, resale: ResalePart) -> Decimal:
    """Return what a sale takes of its seller's free money: what it sets aside, less the cash that the sale frees."""
    _, before, after = _compute_sold(source, bought)
    account_id = source.issued.startup_account_id
    held_usd = get_hold(await unit.get(ACCOUNT, account_id), account_id, source.issued.hold_id).left_usd
    freed_usd = min(held_usd, before.startup_usd - after.startup_usd)
    return max(resale.commitment_usd + resale.bond_usd - freed_usd, ZERO)


async def _find_least(unit: UnitOfWork, source: Grant, bought: GrantIssued, resale: ResalePart) -> Decimal:
    """Return what a sale at the seller's own ask would take of its free money."""
    ask_usd = (await unit.get(LOT, resale.lot_id)).ask_usd_per_gpu_hour
    asked = msgspec.structs.replace(bought, price_usd_per_gpu_hour=render_ratio(Fraction(ask_usd)))
    sold, _, _ = _compute_sold(source, bought)
    added_usd = compute_totals(build_tariff(asked), sold).reseller_usd
    return await _find_beyond(unit, source, asked, msgspec.structs.replace(resale, commitment_usd=added_usd))


async def take_from_source(unit: UnitOfWork, bought: GrantIssued, resale: ResalePart) -> None:
    """Take the sold nodes off the seller's grant, and free their share of holds, less what the seller must set aside.

    That is what it adds to the price or, if it adds nothing, the share of what it receives at its ask that it posts.

    Raises:
        Refusal: ``capacity_delivered`` if it was used meanwhile · refusals of the grant · ``funds_insufficient``
            if the seller lacks what it sets aside beyond what this frees.
    """
    source = await unit.get(GRANT, resale.grant_id)
    await _check_unused(unit, source, bought)
    sold, before, after = _compute_sold(source, bought)
    resold = GrantResold(
        grant_id=resale.grant_id,
        resale_grant_id=bought.grant_id,
        lot_id=resale.lot_id,
        nodes=bought.nodes,
        start=bought.start,
        end=bought.end,
        gpu_seconds=sold,
        price_usd_per_gpu_hour=bought.price_usd_per_gpu_hour,
        cash_commitment_usd=after.startup_usd,
        principal_commitment_usd=after.principal_usd if source.issued.equity is not None else ZERO,
        budget_commitment_usd=after.holder_usd if source.issued.equity is not None else ZERO,
    )
    left = await unit.decide(GRANT, resale.grant_id, ResellGrant(resold=resold, at=unit.context.at))
    await limit_usage(unit, left)
    free_usd = (await unit.get(ACCOUNT, resale.seller_account_id)).count_free(unit.context.at)
    least_usd = await _find_least(unit, source, bought, resale)
    require_seller_funds(free_usd, await _find_beyond(unit, source, bought, resale), least_usd)
    await _free_cash(unit, source.issued, before.startup_usd - after.startup_usd)
    await post_deposit(unit, bought, resale)
    if resale.commitment_usd:
        hold = PlaceHold(
            account_id=resale.seller_account_id,
            hold_id=resale.hold_id,
            amount_usd=resale.commitment_usd,
            purpose=bought.grant_id,
        )
        await unit.decide(ACCOUNT, resale.seller_account_id, hold)
    await free_equity(unit, source.issued, before, after, "sold on", cause=bought.grant_id)


async def _check_unused(unit: UnitOfWork, source: Grant, bought: GrantIssued) -> None:
    grant_id = source.issued.grant_id
    require_unused(source, bought, [await unit.load(USAGE, name_usage(grant_id, meter)) for meter in METERS])


async def _free_cash(unit: UnitOfWork, issued: GrantIssued, amount_usd: Decimal) -> None:
    """Free the cash of resold hours, as far as the hold still has it."""
    account = await unit.get(ACCOUNT, issued.startup_account_id)
    held_usd = get_hold(account, issued.startup_account_id, issued.hold_id).left_usd
    left_usd = max(held_usd - amount_usd, ZERO)
    adjust = AdjustHold(
        account_id=issued.startup_account_id, hold_id=issued.hold_id, amount_usd=left_usd, reason="sold on"
    )
    await unit.decide(ACCOUNT, issued.startup_account_id, adjust)

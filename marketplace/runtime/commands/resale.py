"""Resale: a startup sells on what it does not use of a grant, and the provider delivers it to the buyer.

The rule for hours that are paid in equity: the principal is reduced first. What a resale brings in pays off what the
holder of the equity would have paid for the hour before the seller keeps, or saves, a cent. So an hour that was sold on
grows no principal, the holder neither pays nor gets anything for it, and no resale asks for less than that part.
What is sold leaves the grant, with its share of the cash, the budget and the principal that were committed to it.
"""

from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final

from events.auction import MatchTerms
from events.grant import GrantIssued, GrantResold, ResalePart
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.intervals import build_steps
from marketplace.core.money import ZERO
from marketplace.domain.account import ACCOUNT, Account, AdjustHold, PlaceHold
from marketplace.domain.grant import GRANT, Grant, ResellGrant, require_resale
from marketplace.domain.instrument import INSTRUMENT, Instrument, ReduceCommitment
from marketplace.domain.lot import LOT, ListLot, Lot
from marketplace.domain.mandate import MANDATE, Mandate, ReleaseBudget
from marketplace.domain.party import PARTY, require_trader
from marketplace.domain.pool import POOL, OfferCapacity
from marketplace.domain.settlement import Totals, build_tariff, compute_holder_rate, compute_totals
from marketplace.domain.usage import USAGE, Usage, name_usage
from marketplace.domain.usage_state import Count
from marketplace.runtime.commands.dilution import track_instrument
from marketplace.runtime.commands.grants import load_grant
from marketplace.runtime.commands.mandates import adjust_mandate_hold
from marketplace.runtime.commands.supply import load_named_mandates
from marketplace.runtime.handler import Handler, Receipt
from marketplace.runtime.unit import Context, Unit

PRICE_STEP: Final = Decimal("0.000001")


async def resell_grant(
    handler: Handler,
    context: Context,
    grant_id: str,
    *,
    nodes: int,
    start: datetime,
    end: datetime,
    ask_usd_per_gpu_hour: Decimal,
    nodes_min: int = 1,
    duration_hours_min: int = 1,
    mandate_ids: tuple[str, ...] = (),
) -> Receipt:
    """Offer nodes of a grant of the tenant for a span that has not begun; they stay its own until they are sold.

    Raises:
        Refusal: ``grant_unknown`` · refusals of the party and the grant · ``capacity_delivered`` ·
            ``mandates_too_many`` · ``mandate_unknown`` · ``mandate_not_cash`` · refusals of the lot, among them
            ``ask_below_principal``, and of the pool.
    """
    lot_id = derive_id("lot", context.command_id)

    async def work(unit: Unit) -> None:
        grant = await load_grant(unit, grant_id, "startup")
        seller_id = grant.issued.startup_id
        require_trader(await unit.load(PARTY, seller_id), seller_id, "startup")
        require_resale(grant, nodes, start, end)
        if start < context.at:
            raise _refuse_delivered(grant_id, start, context.at)
        for mandate in await load_named_mandates(unit, mandate_ids):
            _require_cash(mandate)
        command = ListLot(
            lot_id=lot_id,
            pool_id=grant.pool_id,
            provider_id=seller_id,
            nodes=nodes,
            start=start,
            end=end,
            ask_usd_per_gpu_hour=ask_usd_per_gpu_hour,
            nodes_min=nodes_min,
            duration_hours_min=duration_hours_min,
            mandate_ids=mandate_ids,
            grant_id=grant_id,
            ask_floor_usd_per_gpu_hour=_round_up(compute_holder_rate(grant.issued)),
        )
        await unit.decide(LOT, lot_id, command)
        offer = OfferCapacity(
            pool_id=grant.pool_id, lot_id=lot_id, nodes=nodes, start=start, end=end, grant_id=grant_id
        )
        await unit.decide(POOL, grant.pool_id, offer)

    return await handler.run(context, LOT, lot_id, work, new=True)


def _require_cash(mandate: Mandate) -> None:
    if mandate.granted.funding != "cash":
        raise Refusal(
            "mandate_not_cash",
            f"mandate {mandate.granted.mandate_id} pays in capacity of its own; a resale is paid in dollars",
            pointer="/mandate_ids",
            mandate_id=mandate.granted.mandate_id,
        )


def _refuse_delivered(grant_id: str, start: datetime, at: datetime) -> Refusal:
    return Refusal(
        "capacity_delivered",
        f"capacity of grant {grant_id} is delivered up to {at.isoformat()}; sell on what comes after, not from"
        f" {start.isoformat()}",
        pointer="/start",
        grant_id=grant_id,
    )


def _round_up(rate: Fraction) -> Decimal:
    scaled = Fraction(rate) / Fraction(PRICE_STEP)
    return Decimal(-(-scaled.numerator // scaled.denominator)) * PRICE_STEP


async def find_resale(unit: Unit, match: MatchTerms) -> ResalePart | None:
    """Return from whom a match buys, with what the seller may have to add still at 0; None where from the provider."""
    lot: Lot = await unit.load(LOT, match.lots[0].lot_id)
    if lot.listed.grant_id is None:
        return None
    source: Grant = await unit.load(GRANT, lot.listed.grant_id)
    issued = source.issued
    return ResalePart(
        grant_id=issued.grant_id,
        lot_id=lot.listed.lot_id,
        seller_id=issued.startup_id,
        seller_account_id=issued.startup_account_id,
        hold_id=rename_id("hld", match.grant_id),
        owed_usd_per_gpu_hour=issued.price_usd_per_gpu_hour,
        commitment_usd=ZERO,
    )


async def take_from_source(unit: Unit, bought: GrantIssued, resale: ResalePart) -> None:
    """Take what was sold off the seller's grant, and free what was set aside for it but what the seller has to add.

    Raises:
        Refusal: ``capacity_delivered`` where it was used meanwhile · refusals of the grant.
    """
    source: Grant = await unit.load(GRANT, resale.grant_id)
    await _require_unused(unit, source, bought)
    tariff = build_tariff(source.issued)
    before = compute_totals(tariff, source.gpu_seconds_left)
    sold = bought.nodes * bought.gpus_per_node * int((bought.end - bought.start).total_seconds())
    after = compute_totals(tariff, source.gpu_seconds_left - sold)
    resold = GrantResold(
        grant_id=resale.grant_id,
        resale_grant_id=bought.grant_id,
        lot_id=resale.lot_id,
        nodes=bought.nodes,
        start=bought.start,
        end=bought.end,
        gpu_seconds=sold,
        price_usd_per_gpu_hour=bought.price_usd_per_gpu_hour,
        cash_commitment_usd=after.cash_usd,
        principal_commitment_usd=after.principal_usd if source.issued.equity is not None else ZERO,
        budget_commitment_usd=after.holder_usd if source.issued.equity is not None else ZERO,
    )
    await unit.decide(GRANT, resale.grant_id, ResellGrant(resold=resold, at=unit.context.at))
    await _free_cash(unit, source.issued, before.cash_usd - after.cash_usd)
    if resale.commitment_usd:
        hold = PlaceHold(
            account_id=resale.seller_account_id,
            hold_id=resale.hold_id,
            amount_usd=resale.commitment_usd,
            purpose=bought.grant_id,
        )
        await unit.decide(ACCOUNT, resale.seller_account_id, hold)
    await _free_equity(unit, source.issued, before, after, bought.grant_id)


async def _require_unused(unit: Unit, source: Grant, bought: GrantIssued) -> None:
    """Refuse where meters of the seller's grant count more by now than what would be left of it."""
    usage: Usage = await unit.load(USAGE, name_usage(source.issued.grant_id))
    count, own = Count(usage), source.issued.nodes - bought.nodes
    for run in build_steps(source.list_resold(), bought.start, bought.end):
        peak, where = count.find_peak(run.start, run.end)
        if peak > (own - run.amount) * bought.gpus_per_node:
            raise _refuse_delivered(source.issued.grant_id, bought.start, where)


async def _free_cash(unit: Unit, issued: GrantIssued, amount_usd: Decimal) -> None:
    account: Account = await unit.load(ACCOUNT, issued.startup_account_id)
    left_usd = max(account.holds[issued.hold_id].left_usd - amount_usd, ZERO)
    adjust = AdjustHold(
        account_id=issued.startup_account_id, hold_id=issued.hold_id, amount_usd=left_usd, reason="sold on"
    )
    await unit.decide(ACCOUNT, issued.startup_account_id, adjust)


async def _free_equity(unit: Unit, issued: GrantIssued, before: Totals, after: Totals, cause: str) -> None:
    equity, reason = issued.equity, "sold on"
    if equity is None:
        return
    mandate: Mandate = await unit.load(MANDATE, equity.mandate_id)
    keep_usd = max(mandate.holds[issued.hold_id].total_usd - (before.holder_usd - after.holder_usd), ZERO)
    release = ReleaseBudget(mandate_id=equity.mandate_id, hold_id=issued.hold_id, keep_usd=keep_usd, reason=reason)
    await unit.decide(MANDATE, equity.mandate_id, release)
    await adjust_mandate_hold(unit, equity.mandate_id, reason)
    instrument: Instrument = await unit.load(INSTRUMENT, equity.instrument_id)
    less_usd = min(before.principal_usd - after.principal_usd, instrument.undrawn_usd)
    if less_usd and instrument.status in {"drawing", "suspended"}:
        reduce = ReduceCommitment(instrument_id=equity.instrument_id, amount_usd=less_usd, cause=cause)
        await unit.decide(INSTRUMENT, equity.instrument_id, reduce)
        await track_instrument(unit, equity.instrument_id)

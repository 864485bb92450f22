"""When a grant ends or moves, withdraw its resale offers and release quotes that hold its nodes.

What it offers when it moves is listed anew on its new pool: otherwise a provider would take a reseller off the market
by a node that it reports as failed.

Nodes that were bought stay with the buyer. A seller cannot end a grant with held nodes by its own choice
(``resale_held``); an end for another reason is not refused.
"""

from collections.abc import Iterable
from datetime import datetime

from msgspec import structs

from events.lot import LotListed
from marketplace.application.steps.access import load_named_mandates
from marketplace.application.steps.capacity import change_capacity
from marketplace.application.steps.dilution import free_order
from marketplace.application.steps.paying import pay
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import AdjustHold, CaptureHold, Reserve
from marketplace.domain.supply.lot import LOT, ListLot, WithdrawLot
from marketplace.domain.supply.pool import POOL
from marketplace.domain.supply.pool_commands import OfferCapacity, RecallCapacity, ReleaseCapacity
from marketplace.domain.trading.mandate import MANDATE, ReleaseBudget
from marketplace.domain.trading.mandate_lots import is_lot_welcome
from marketplace.domain.trading.quote import QUOTE, Quote, ReleaseQuote
from marketplace.domain.trading.resale import has_room, require_unheld
from marketplace.execution.unit_of_work import UnitOfWork


async def withdraw_resales(unit: UnitOfWork, pool_id: str, grant_id: str, reason: str) -> None:
    """Withdraw the unsold resale offers of a grant that ends, moves or changes hands, and release quotes on them."""
    pool = await unit.get(POOL, pool_id)
    for holder_id in pool.list_holders(grant_id):
        quote_id = rename_id("quo", holder_id)
        quote = await unit.get(QUOTE, quote_id)
        await unit.decide(QUOTE, quote_id, ReleaseQuote(quote_id=quote_id, reason=reason))
        await free_quote(unit, quote, reason)
    for lot_id in pool.list_resales(grant_id):
        await unit.decide(LOT, lot_id, WithdrawLot(lot_id=lot_id, reason=reason))
        await unit.decide(POOL, pool_id, RecallCapacity(pool_id=pool_id, lot_id=lot_id))


async def list_offers(unit: UnitOfWork, pool_id: str, grant_id: str, at: datetime) -> list[LotListed]:
    """Return the resale offers of a grant that are on sale, each with its ask and what is left of it from `at` on."""
    pool, offers = await unit.get(POOL, pool_id), []
    for lot_id in pool.list_resales(grant_id):
        lot, resale = await unit.get(LOT, lot_id), pool.resales[lot_id]
        left = resale.find_left(at)
        if lot.status == "listed" and left is not None:
            ask = lot.ask_usd_per_gpu_hour
            offers.append(
                structs.replace(lot.listed, nodes=left.amount, start=left.start, end=left.end, ask_usd_per_gpu_hour=ask)
            )
    return offers


async def offer_again(unit: UnitOfWork, offers: Iterable[LotListed], pool_id: str) -> None:
    """List resale offers of a grant anew on the pool to which it moved. What the pool has no room for stays withdrawn.

    A mandate that pays for no capacity there is left out.
    """
    for offer in offers:
        pool = await unit.get(POOL, pool_id)
        if not has_room(pool, offer):
            continue
        place = {"provider_id": pool.opened.provider_id, "site_id": pool.opened.site_id}
        named = await load_named_mandates(unit, offer.mandate_ids)
        welcome = (each for each in named if is_lot_welcome(each.asked, **place, resold=True))
        mandate_ids = tuple(each.granted.mandate_id for each in welcome)
        lot_id = derive_id("lot", offer.lot_id, "moved")
        listed = structs.replace(offer, lot_id=lot_id, pool_id=pool_id, mandate_ids=mandate_ids)
        await unit.decide(LOT, lot_id, ListLot(listed=listed))
        capacity = OfferCapacity(
            pool_id=pool_id,
            lot_id=lot_id,
            nodes=listed.nodes,
            start=listed.start,
            end=listed.end,
            grant_id=listed.grant_id,
        )
        await unit.decide(POOL, pool_id, capacity)


async def check_unheld(unit: UnitOfWork, pool_id: str, grant_id: str) -> None:
    """Refuse to take nodes of a grant that quotes hold.

    Raises:
        Refusal: ``resale_held``.
    """
    pool = await unit.get(POOL, pool_id)
    require_unheld(
        grant_id, [await unit.get(QUOTE, rename_id("quo", holder)) for holder in pool.list_holders(grant_id)]
    )


async def pay_hold_fee(unit: UnitOfWork, quote: Quote, reason: str) -> None:
    """Pay the fee of a quote that ended to the seller of its capacity, and free the rest of what is kept for it.

    Raises:
        Refusal: Refusals of the accounts.
    """
    held, fee = quote.held, quote.held.fee
    if fee is None:
        return
    capture = CaptureHold(
        account_id=held.account_id,
        hold_id=fee.hold_id,
        amount_usd=quote.fee_usd,
        payee_account_id=fee.payee_account_id,
        cause=held.quote_id,
    )
    await pay(unit, capture)
    adjust = AdjustHold(account_id=held.account_id, hold_id=fee.hold_id, amount_usd=ZERO, reason=reason)
    await unit.decide(ACCOUNT, held.account_id, adjust)
    seller_id = fee.payee_account_id
    kept = Reserve(account_id=seller_id, amount_usd=ZERO, until=held.expires_at, cause=held.quote_id)
    await unit.decide(ACCOUNT, seller_id, kept)


async def free_quote(unit: UnitOfWork, quote: Quote, reason: str) -> None:
    """Free the capacity, cash and budget of a quote that ended, and pay its fee."""
    held = quote.held
    await pay_hold_fee(unit, quote, reason)
    release = ReleaseCapacity(pool_id=held.match.pool_id, grant_id=held.match.grant_id, at=held.match.start)
    await change_capacity(unit, release)
    adjust = AdjustHold(account_id=held.account_id, hold_id=held.hold_id, amount_usd=ZERO, reason=reason)
    await unit.decide(ACCOUNT, held.account_id, adjust)
    if held.terms.instrument is not None:
        await free_order(unit, held.issuer_id, rename_id("ord", held.quote_id))
    for hold in held.budget_holds:
        budget = ReleaseBudget(mandate_id=hold.mandate_id, hold_id=held.hold_id, keep_usd=ZERO, reason=reason)
        await unit.decide(MANDATE, hold.mandate_id, budget)

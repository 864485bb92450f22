"""What an auction has bound, or binds now: orders, the mandates that pay for them, and lots stay as they are."""

from collections.abc import Iterable

from marketplace.core.ids import is_id
from marketplace.domain.equity.issuer.implied_value import find_implied_cap
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.supply.lot import LOT, Lot
from marketplace.domain.trading.admission import (
    is_bound,
    require_cancellable,
    require_offer_kept,
    require_unbound,
    require_unfrozen_lot,
    undoes_offer,
)
from marketplace.domain.trading.auction import AUCTION
from marketplace.domain.trading.mandate import BudgetHold, Mandate
from marketplace.domain.trading.order import ORDER, OrderState
from marketplace.execution.unit_of_work import UnitOfWork


async def require_order_free(unit: UnitOfWork, order: OrderState, auction_ids: Iterable[str]) -> None:
    """Refuse to cancel or amend an order that an auction is about to lock.

    Raises:
        Refusal: ``order_locked``.
    """
    for auction in [await unit.get(AUCTION, auction_id) for auction_id in auction_ids]:
        require_cancellable(auction, order, unit.context.at)


async def require_lot_free(unit: UnitOfWork, lot: Lot, auction_ids: Iterable[str], *, moves: bool = False) -> None:
    """Refuse to change a lot that an auction has frozen; see `require_unfrozen_lot`.

    Raises:
        Refusal: ``lot_frozen``.
    """
    for auction in [await unit.get(AUCTION, auction_id) for auction_id in auction_ids]:  # all: a refusal confirms them
        require_unfrozen_lot(auction, lot, unit.context.at, moves=moves)


async def require_lots_kept(unit: UnitOfWork, lot_ids: Iterable[str], auction_ids: Iterable[str]) -> None:
    """Refuse an act that takes lots, or nodes of them, from an auction that has frozen them.

    Raises:
        Refusal: ``lot_frozen``.
    """
    for lot in [await unit.get(LOT, lot_id) for lot_id in lot_ids]:
        await require_lot_free(unit, lot, auction_ids, moves=True)


async def require_offers_kept(unit: UnitOfWork, issuer_id: str, auction_ids: Iterable[str] = ()) -> None:
    """Refuse an act that sells a company, or grows it, while an auction has bound an order that pays in its equity.

    Otherwise a startup could undo its bound order: no instrument is signed beside a declared sale, and its mandate
    does not pay for a company that grew. `auction_ids` are the auctions that are not completed, which may be about to
    lock an open order.

    Raises:
        Refusal: ``market_deciding``.
    """
    before, after = await unit.read_before(ISSUER, issuer_id), await unit.load(ISSUER, issuer_id)
    if not isinstance(before, Issuer) or not isinstance(after, Issuer):
        return
    is_sold = before.find_sale() is None and after.find_sale() is not None
    auctions = [await unit.get(AUCTION, auction_id) for auction_id in auction_ids]
    for order_id in sorted(each for each in before.exposures if is_id(each, "ord")):
        order = await unit.load(ORDER, order_id)
        if order is None or order.terms.instrument is None:
            continue
        terms, ratio = order.terms.instrument, order.split_ratio
        was_usd, now_usd = (find_implied_cap(issuer, terms, ratio) for issuer in (before, after))
        if undoes_offer(was_usd, now_usd, is_sold=is_sold):
            now = await unit.reload(ORDER, order_id)  # a lock writes the issuer, as this decision does
            require_offer_kept(is_bound=now is not None and is_bound(now, auctions, unit.context.at), is_sold=is_sold)


async def require_mandate_unbound(
    unit: UnitOfWork, mandate: Mandate, holds: Iterable[BudgetHold], auction_ids: Iterable[str]
) -> None:
    """Refuse a tenant's change of a mandate while an auction decides on an order with one of these holds.

    Raises:
        Refusal: ``mandate_bound``.
    """
    if unit.context.party_id is None:
        return
    auctions = [await unit.get(AUCTION, auction_id) for auction_id in auction_ids]
    for hold in holds:
        if hold.held_usd and not hold.ended:
            order = await unit.load(ORDER, hold.order_id)
            for auction in auctions:
                require_unbound(auction, mandate.granted.mandate_id, order, unit.context.at)

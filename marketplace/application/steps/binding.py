"""What an auction has bound, or binds now: orders and the mandates that pay for them stay as they are."""

from collections.abc import Iterable

from marketplace.domain.trading.admission import require_cancellable, require_unbound
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

"""Record on collecting auctions that nodes were taken or are no longer for sale, so that no frozen book misses it."""

from collections.abc import Iterable

from marketplace.domain.trading.auction import AUCTION, ChangeSupply
from marketplace.execution.unit_of_work import UnitOfWork


async def change_supply(unit: UnitOfWork, auction_ids: Iterable[str], cause: str) -> None:
    """Record a change of supply on every collecting auction; `cause` is the id of the quote or lot behind it."""
    for auction_id in auction_ids:
        auction = await unit.get(AUCTION, auction_id)
        if auction.status == "collecting":
            await unit.decide(AUCTION, auction_id, ChangeSupply(auction_id=auction_id, cause=cause))

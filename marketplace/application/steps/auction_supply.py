"""Notify collecting auctions that nodes were taken or are no longer for sale, before they freeze a book."""

from collections.abc import Iterable

from marketplace.domain.trading.auction import AUCTION, ChangeSupply
from marketplace.execution.unit_of_work import UnitOfWork


async def change_supply(unit: UnitOfWork, auction_ids: Iterable[str], cause: str) -> None:
    """Record a change of supply on every collecting auction, so that its frozen book includes the change.

    Both this change and the freezing write the auction. If a hold and a book that misses it race, one is decided again.
    """
    for auction_id in auction_ids:
        auction = await unit.get(AUCTION, auction_id)
        if auction.status == "collecting":
            await unit.decide(AUCTION, auction_id, ChangeSupply(auction_id=auction_id, cause=cause))

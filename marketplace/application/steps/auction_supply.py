"""What auctions that collect are told of: nodes that are taken, or not for sale any more, before a book is frozen."""

from collections.abc import Iterable

from marketplace.domain.trading.auction import AUCTION, Auction, ChangeSupply
from marketplace.execution.unit_of_work import UnitOfWork


async def change_supply(unit: UnitOfWork, auction_ids: Iterable[str], cause: str) -> None:
    """Let every auction that collects know that what is for sale is taken, so that it freezes a book that knows it too.

    Both this and the freezing write the auction. So of a hold and a book that misses it, one is decided again.
    """
    for auction_id in auction_ids:
        auction: Auction = await unit.load(AUCTION, auction_id)
        if auction.status == "collecting":
            await unit.decide(AUCTION, auction_id, ChangeSupply(auction_id=auction_id, cause=cause))

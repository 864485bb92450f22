"""A smaller share of `just large-auction`: everything is real, and every order is decided."""

from tests.large_auction.market import Sizes, run_auction
from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import delete_streams

ORDERS = 300


async def test_an_auction_on_a_real_server_decides_every_order(nats_server):
    await delete_streams(nats_server)
    figures = await run_auction(nats_server, Sizes(ORDERS, 4), PATIENCE_SECONDS)
    assert sum(figures.statuses.values()) == ORDERS
    assert set(figures.statuses) <= {"matched", "unmatched"}
    assert figures.statuses["matched"] > ORDERS // 4
    assert figures.parts["AuctionCompleted"] == 1

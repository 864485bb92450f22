"""A book that no message could hold is frozen in one append, on one server and on three, while others go on."""

import asyncio
import time
from decimal import Decimal

import pytest

from events.registry import render_body
from marketplace.application.billing import accounts
from marketplace.application.trading import auctions
from marketplace.core.ids import rename_id
from marketplace.domain.trading.auction import AUCTION, split_book
from marketplace.embedded.nats import PAYLOAD_BYTES_MAX
from tests.domain.trading.test_auction_parts import build_book, freeze
from tests.large_auction.market import open_log as open_beside
from tests.support.market.market import Market
from tests.support.servers import open_log

ORDERS = 1_390


async def lock(market, orders):
    """Freeze a book of so many orders, and return it as it is read by another process, with its bytes."""
    auction_id, frozen = await market.auction(), freeze(build_book(orders))
    await auctions.lock_auction(
        market.handler, market.context(), auction_id, book=frozen.book, book_hash=frozen.book_hash
    )
    state = await market.process("reader").state(AUCTION.aggregate, auction_id)
    assert state.locked == frozen
    assert state.status == "locked"
    return sum(len(render_body(event)) for event in split_book(auction_id, frozen, ()))


async def deposit(market, party_id, waits):
    """Deposit, one after the other, and note how many seconds each took."""
    while True:
        began = time.monotonic()
        context = market.context()
        await accounts.deposit(
            market.handler,
            context,
            rename_id("acc", party_id),
            amount_usd=Decimal(1),
            reference=context.command_id,
        )
        waits.append(time.monotonic() - began)


async def measure(servers, orders):
    """Freeze a book while another process deposits; return its bytes, its seconds, and the waits of the other."""
    async with open_log(servers) as log, open_beside(servers) as beside:
        market = Market(log)
        party_id, waits = await market.party("Depositor", "startup"), []
        depositing = asyncio.create_task(deposit(market.process("depositor", beside), party_id, waits))
        try:
            began = time.monotonic()
            size = await lock(market, orders)
            seconds = time.monotonic() - began
            stored = len(waits)
            while len(waits) == stored:
                assert not depositing.done(), depositing.result()
                await asyncio.sleep(0.01)
        finally:
            depositing.cancel()
            await asyncio.gather(depositing, return_exceptions=True)
    return size, seconds, waits


async def test_a_book_of_more_than_a_message_is_frozen_on_one_server(nats_server):
    size, _, waits = await measure(nats_server, ORDERS)
    assert size > PAYLOAD_BYTES_MAX
    assert waits


@pytest.mark.xdist_group("nats-cluster")
async def test_a_book_of_more_than_a_message_is_frozen_on_three_servers(nats_cluster):
    size, _, waits = await measure(nats_cluster, ORDERS)
    assert size > PAYLOAD_BYTES_MAX
    assert waits

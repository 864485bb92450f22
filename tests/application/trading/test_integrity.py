"""What hostile parties tried before and after the lock of an auction, and what it does now."""

from decimal import Decimal

import pytest

from marketplace.application.supply import inventory
from marketplace.core.errors import Refusal
from marketplace.log.memory import MemoryLog
from tests.application.trading.test_resale import freeze_book
from tests.support.market.invariants import check_log
from tests.support.market.market import Market

CHANGES = {
    "reprice": (inventory.reprice_lot, {"ask_usd_per_gpu_hour": Decimal(4)}),
    "pause": (inventory.pause_lot, {"reason": "a better price elsewhere"}),
    "withdraw": (inventory.withdraw_lot, {"reason": "a better price elsewhere"}),
    "reschedule": (inventory.reschedule_lot, {"reason": "a better price elsewhere"}),
}


@pytest.fixture
def market():
    return Market(MemoryLog())


async def change(market, trade, what, auction_ids=()):
    """Let the provider change its lot, and return the code of the refusal with its facts; None if it may."""
    act, more = CHANGES[what]
    span = {"start": market.day(2), "end": market.day(91)} if what == "reschedule" else {}
    context = market.context(trade.provider)
    try:
        await act(market.handler, context, trade.lot, **more, **span, auction_ids=auction_ids)
    except Refusal as refusal:
        return refusal.code, refusal.facts
    return None


@pytest.mark.parametrize("what", CHANGES)
async def test_a_lot_stays_as_it_is_from_the_no_cancel_phase_on(market, what):
    trade = await market.trade()
    auction = await market.auction(no_cancel_at=0.4)
    market.clock.at = market.day(0.4)
    frozen = {"auction_id": auction, "lot_id": trade.lot, "frozen_until": market.day(0.5).isoformat()}
    code, facts = await change(market, trade, what, [trade.auction, auction])
    assert (code, {name: facts[name] for name in frozen}) == ("lot_frozen", frozen)
    async with market.worker():
        grant = await market.award(trade)
        await market.until("auction", auction, "settled")
    assert grant is not None
    assert await change(market, trade, what, [trade.auction, auction]) is None
    await check_log(market.log)


async def test_after_the_lock_an_ask_changes_for_later_auctions_and_a_lot_in_the_book_stays(market):
    trade = await market.trade()
    _, auction = await freeze_book(market)
    refused = {what: await change(market, trade, what, [auction]) for what in CHANGES}
    assert {what for what, answer in refused.items() if answer is not None} == {"withdraw", "reschedule"}
    assert {code for code, _ in filter(None, refused.values())} == {"lot_frozen"}

"""Quotes on a market that moves: they follow the book, agree with the auction, and leave no trace."""

import asyncio
import threading
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.application.trading.orders import preview_order
from marketplace.application.trading.quotes import hold_quote
from marketplace.clearing.quotes.prepared_book import leave_out, prepare
from marketplace.core.errors import Refusal
from marketplace.domain.trading.book.concealing import STEPS, round_up_price
from marketplace.log.memory import MemoryLog
from marketplace.runtime.quotes import prepared_books, quoting
from tests.support.market.desk import open_desk
from tests.support.market.market import Market
from tests.support.patience import PATIENCE_SECONDS


def price_of(quoted):
    return quoted.estimate.price_to_win_usd_per_gpu_hour


async def build():
    """Return a market with one lot of four nodes at 2 dollars and an order for all of it at 3."""
    market = Market(MemoryLog())
    provider = await market.party("Provider", "provider")
    _, pool = await market.pool(provider)
    lot = await market.lot(provider, pool)
    rival = await market.party("Rival", "startup", usd=1_000_000)
    startup = await market.party("Startup", "startup", usd=1_000_000)
    order = await market.order(rival, nodes=4, days=20, latest=1)
    return market, provider, lot, rival, startup, order


async def test_a_quote_follows_the_book():
    market, provider, lot, rival, startup, order = await build()
    terms = {"nodes": 4, "days": 20, "latest": 1, "cash": "1"}
    async with open_desk(market) as desk:
        first = await desk.ask(startup, **terms)
        assert (price_of(first), first.estimate.sure, first.fresh) == (Decimal("3.16"), True, True)
        assert first.estimate.placements[0].displaced == 1
        await market.cancel(rival, order)
        assert price_of(await desk.ask(startup, **terms)) == Decimal("2.01")
        again = await market.order(rival, nodes=4, days=20, latest=1, cash="4")
        assert price_of(await desk.ask(startup, **terms)) == Decimal("4.01")
        await market.cancel(rival, again)
        await market.lot(provider, await _pool_of(market, lot), ask="1.5", start=91, end=120)
        assert price_of(await desk.ask(startup, **terms)) == Decimal("2.01")


async def test_a_book_that_is_slow_to_solve_is_not_waited_for(monkeypatch):
    market, _, _, rival, startup, order = await build()
    terms = {"nodes": 4, "days": 20, "latest": 1, "cash": "1"}
    monkeypatch.setattr(prepared_books, "SLOW_SECONDS", 0.0)
    monkeypatch.setattr(prepared_books, "FRESH_SECONDS", 3_600.0)
    begun, released = threading.Event(), threading.Event()

    def solve_when_released(book, *, seed):
        begun.set()
        assert released.wait(120)
        return prepare(book, seed=seed)

    async with open_desk(market) as desk:
        first = await desk.ask(startup, **terms)
        monkeypatch.setattr(prepared_books, "prepare", solve_when_released)
        await market.cancel(rival, order)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not begun.is_set():
                    await desk.ask_from(0, startup, **terms)
                last = await desk.ask_from(0, startup, **terms)
            assert (last.sequence, price_of(last), last.fresh) == (first.sequence, Decimal("3.16"), False)
        finally:
            released.set()
        assert price_of(await desk.ask(startup, **terms)) == Decimal("2.01")


async def test_a_quote_does_not_wait_for_a_book_that_is_slow_to_solve_the_first_time_or_anew(monkeypatch):
    market, _, _, rival, startup, order = await build()
    terms = {"nodes": 4, "days": 20, "latest": 1, "cash": "1"}
    monkeypatch.setattr(prepared_books, "SLOW_SECONDS", 0.0)
    released = threading.Event()

    def solve_when_released(book, *, seed):
        assert released.wait(120)
        return prepare(book, seed=seed)

    monkeypatch.setattr(prepared_books, "prepare", solve_when_released)
    async with open_desk(market) as desk:
        try:
            first = await desk.ask(startup, **terms)
            await market.cancel(rival, order)
            second = await desk.ask(startup, **terms)
        finally:
            released.set()
        assert (price_of(first), price_of(second)) == (Decimal("3.16"), Decimal("2.01"))
        assert second.sequence > first.sequence


async def test_a_book_that_is_old_is_not_answered_from(monkeypatch):
    market, _, _, rival, startup, order = await build()
    terms = {"nodes": 4, "days": 20, "latest": 1, "cash": "1"}
    monkeypatch.setattr(prepared_books, "SLOW_SECONDS", 0.0)
    monkeypatch.setattr(prepared_books, "AGE_SECONDS_MAX", 0.0)
    async with open_desk(market) as desk:
        await desk.ask(startup, **terms)
        await market.cancel(rival, order)
        position = (await market.log.health()).last_sequence
        async with asyncio.timeout(PATIENCE_SECONDS):
            while desk.follower.position < position:
                await market.tick()
        quoted = await desk.ask_from(0, startup, **terms)
    assert (price_of(quoted), quoted.fresh) == (Decimal("2.01"), True)


async def test_who_asks_first_is_answered_from_a_book_that_was_prepared(monkeypatch):
    market, _, _, _, startup, _ = await build()
    auction = await market.auction()
    terms = {"nodes": 4, "days": 20, "latest": 1, "cash": "1"}
    prepared = asyncio.Event()
    prepare = prepared_books.PreparedBooks.prepare

    async def prepare_and_tell(books, opened):
        await prepare(books, opened)
        prepared.set()

    monkeypatch.setattr(prepared_books.PreparedBooks, "prepare", prepare_and_tell)
    async with open_desk(market) as desk:
        preparing = asyncio.create_task(desk.quoter.prepare())
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await prepared.wait()
                position = (await market.log.health()).last_sequence
                quoted = await desk.ask_from(position, startup, **terms)
        finally:
            preparing.cancel()
            await asyncio.gather(preparing, return_exceptions=True)
        assert (quoted.auction_id, price_of(quoted)) == (auction, Decimal("3.16"))


async def _pool_of(market, lot):
    return (await market.state("lot", lot)).listed.pool_id


async def test_an_order_that_offers_the_sure_price_wins_the_auction():
    market, _, _, _, startup, _ = await build()
    auction = await market.auction()
    terms = {"nodes": 4, "days": 20, "latest": 1}
    async with open_desk(market) as desk:
        quoted = await desk.ask(startup, cash="1", **terms)
    assert quoted.auction_id == auction
    less = await market.order(startup, cash=str(price_of(quoted) - Decimal("0.01")), **terms)
    mine = await market.order(startup, cash=str(price_of(quoted)), **terms)
    await market.cancel(startup, less)
    async with market.worker():
        market.clock.at = market.day(0.5)
        await market.until_carried_out(auction)
    assert (await market.state("order", mine)).status == "matched"


async def test_a_loser_is_told_what_the_quote_said_less_the_rounding_of_its_rivals():
    market, _, _, _, startup, _ = await build()
    auction = await market.auction()
    terms = {"nodes": 4, "days": 20, "latest": 1, "cash": "1"}
    async with open_desk(market) as desk:
        quoted = await desk.ask(startup, **terms)
    mine = await market.order(startup, **terms)
    async with market.worker():
        market.clock.at = market.day(0.5)
        decided = await market.until_carried_out(auction)
    told = {decision.order_id: decision for decision in decided.cleared.decisions}[mine]
    cent = Decimal("0.01")
    assert round_up_price(told.price_to_win_usd_per_gpu_hour - cent) + cent == price_of(quoted)


async def test_no_quote_depends_on_more_of_a_sealed_offer_than_its_price_step():
    """A sealed 7.37 and a sealed 7.99 answer every question alike, also those for more nodes than the rival's."""
    answers = {}
    for sealed in ("7.37", "7.99"):
        market, provider, _, rival, startup, order = await build()
        await market.cancel(rival, order)
        await market.order(rival, nodes=3, days=20, latest=1, cash=sealed)
        _, other = await market.pool(provider, nodes=4)
        await market.lot(provider, other, ask="9")
        async with open_desk(market) as desk:
            asked = [
                await desk.ask(startup, nodes=nodes, days=days, latest=latest, cash=cash)
                for nodes in (1, 2, 3, 4)
                for days, latest in ((20, 1), (30, 1), (20, 15))
                for cash in ("7.38", "8.01")
            ]
            held = await hold_quote(
                market.handler,
                market.context(startup),
                desk.quoter,
                startup_id=startup,
                terms=market.terms(nodes=4, days=20, latest=1, cash="9"),
                hold_seconds=600,
            )
        price = (await market.state("quote", held.id)).held.match.price_usd_per_gpu_hour
        answers[sealed] = ([each.estimate for each in asked], price)
        assert answers[sealed][0][4].price_to_win_usd_per_gpu_hour is not None
    assert answers["7.37"] == answers["7.99"]


async def test_a_quote_leaves_no_trace():
    market, _, _, _, startup, _ = await build()
    before = (await market.log.health()).last_sequence
    async with open_desk(market) as desk:
        for _ in range(3):
            await desk.ask(startup)
    assert (await market.log.health()).last_sequence == before
    assert (await market.account(startup)).held_usd == 0


async def test_many_who_ask_at_once_get_one_answer():
    market, _, _, _, startup, _ = await build()
    async with open_desk(market) as desk:
        answers = await asyncio.gather(*(desk.ask(startup, nodes=2) for _ in range(20)))
    assert len({price_of(answer) for answer in answers}) == 1


async def test_equity_is_quoted_at_what_the_mandate_pays_for_it():
    market = Market(MemoryLog())
    trade = await market.trade()
    async with open_desk(market) as desk:
        quoted = await desk.ask(
            trade.startup, cash="1", equity="2", mandate_ids=(trade.mandate,), nodes=2, days=10, latest=1
        )
    assert quoted.row.bids[0].value_usd_per_gpu_hour == Decimal("2.6")
    assert quoted.estimate.placements[0].mandate_id == trade.mandate


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"earliest": 200, "latest": 220}, "quote_outside_horizon"),
        ({"cash": "0"}, "offer_empty"),
        ({"earliest": 3, "latest": 2}, "window_reversed"),
        ({"hours": 100}, "duration_unsold"),
    ],
)
async def test_what_cannot_be_quoted_is_refused(terms, code):
    market, _, _, _, startup, _ = await build()
    async with open_desk(market) as desk:
        with pytest.raises(Refusal) as refused:
            await desk.ask(startup, **terms)
    assert refused.value.code == code


async def test_a_run_that_ends_after_half_a_year_is_quoted():
    market, _, _, _, startup, _ = await build()
    provider = await market.party("Patient", "provider")
    _, pool = await market.pool(provider)
    await market.lot(provider, pool, end=800)
    async with open_desk(market) as desk:
        quoted = await desk.ask(startup, nodes=1, days=730, latest=30, cash="3")
        with pytest.raises(Refusal) as refused:
            await desk.ask(startup, nodes=1, days=731, latest=30, cash="3")
    assert (price_of(quoted), quoted.horizon.period.days) == (Decimal("2.01"), 5)
    assert "a multiple of 120 hours" in str(refused.value)


async def test_an_amendment_does_not_compete_with_its_own_order(monkeypatch):
    made = []
    monkeypatch.setattr(quoting, "leave_out", lambda *of: made.append(of) or leave_out(*of))
    market, _, _, rival, startup, order = await build()
    terms = {"nodes": 4, "days": 20, "latest": 1}
    async with open_desk(market) as desk:
        assert price_of(await desk.ask(rival, **terms)) == Decimal("3.16")
        alone = await desk.ask(rival, order_id=order, **terms)
        assert (price_of(alone), alone.estimate.sure) == (Decimal("2.01"), True)
        made.clear()
        again = await desk.ask(rival, order_id=order, cash="1.5", **terms)
        assert (price_of(again), made) == (Decimal("2.01"), []), "the book without the order is kept"
        await market.order(startup, nodes=4, days=20, latest=1, cash="2.5")
        assert price_of(await desk.ask(rival, order_id=order, **terms)) == Decimal("2.51")
        with pytest.raises(Refusal, match="there is no order"):
            await desk.ask(startup, order_id=order, **terms)
        await market.cancel(rival, order)
        with pytest.raises(Refusal, match="is cancelled; it must be open"):
            await desk.ask(rival, order_id=order, **terms)


async def test_nobody_asks_in_anothers_name():
    market, _, _, rival, startup, _ = await build()
    with pytest.raises(Refusal) as refused:
        await preview_order(market.handler, market.context(rival), startup_id=startup, terms=market.terms())
    assert refused.value.code == "party_unknown"


@given(st.decimals(min_value=0, max_value=10**9, places=6))
def test_a_price_is_rounded_up_to_the_next_of_twenty_steps_in_each_decade(price):
    step = round_up_price(price)
    assert step >= price
    assert round_up_price(step) == step
    if price >= Decimal("0.001"):
        assert step <= price * Decimal("1.13")
        assert step.scaleb(-step.adjusted()) in STEPS

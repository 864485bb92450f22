"""The auditor finds what an auction bound and did not decide on, in copies of the log of one with a no-cancel phase."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from marketplace.auditor.binding import Binding
from marketplace.auditor.capacity import Capacity
from marketplace.auditor.spans import parse_instant, render_instant
from marketplace.auditor.stream import Findings
from marketplace.log.memory import MemoryLog
from tests.auditor.test_disputes import change, read
from tests.support.market.market import Market

pytestmark = pytest.mark.xdist_group("auditor")
_PLAYED = []


@pytest.fixture
async def bound():
    """Return the log of an auction: one bound order wins in part for equity, one loses, and one comes later."""
    if not _PLAYED:
        market = Market(MemoryLog())
        trade = await market.trade(no_cancel_at=0.3)
        await market.lot(trade.provider, (await market.pool(trade.provider))[1], ask="8", nodes=3, further=[(1, "9")])
        loser = await market.order(trade.startup, cash="0.5")
        async with market.worker():
            market.clock.at = market.day(0.3)
            await market.until("order", loser, "locked")
            await market.order(trade.startup, cash="0.4")
            await market.award(trade)
        _PLAYED.extend(await read(market.log))
    return list(_PLAYED)


def audit(messages):
    capacity = Capacity(Findings())
    binding = Binding(Findings(), capacity)
    for message in messages:
        binding.take([message])
        capacity.take([message])
    return [text for _, _, text in binding.findings.kept]


def row(member, number=0, **fields):
    """Return a fault that changes members of one row of the book, or leaves it out."""

    def plant(log):
        def edit(body):
            rows = list(body[member])
            rows[number : number + 1] = [{**rows[number], **fields}] if fields else []
            return rows

        return change(log, "auction.book_frozen.v1", **{member: edit})

    return plant


def bid(**fields):
    """Return a fault that changes members of the first bid of the first order of the book."""

    def edit(body):
        first, *others = body["orders"]
        return [{**first, "bids": [{**first["bids"][0], **fields}, *first["bids"][1:]]}, *others]

    return lambda log: change(log, "auction.book_frozen.v1", orders=edit)


def decide(number, like):
    """Return a fault that gives a decision of the result the match of another one; None: it lost."""

    def edit(body):
        decisions = list(body["decisions"])
        match = None if like is None else decisions[like]["match"]
        decisions[number] = {**decisions[number], "match": match}
        return decisions

    return lambda log: change(log, "auction.result_published.v1", decisions=edit)


def meddle(event_type, before, **fields):
    """Return a fault by which the provider changes the first lot just before an event."""

    def plant(log):
        listed = next(each for each in log if each.event_type == "lot.listed.v1")
        place = next(place for place, each in enumerate(log) if each.event_type == before)
        body = {**listed.read(), "reason": "a change of mind", **fields}
        headers = {**log[place].headers, "ce-type": f"marketplace.{event_type}", "ce-actor": body["provider_id"]}
        return [*log[:place], replace(log[place], headers=headers, body=json.dumps(body).encode()), *log[place:]]

    return plant


def offer_late(event_type, **fields):
    """Return a fault by which the last event of a type is of a minute after the lock, with other members."""

    def plant(log):
        locks_at = next(
            parse_instant(each.read()["locks_at"]) for each in log if each.event_type == "auction.opened.v1"
        )
        place = max(place for place, each in enumerate(log) if each.event_type == event_type)
        body = json.dumps({**log[place].read(), **fields}).encode()
        headers = {**log[place].headers, "ce-time": render_instant(locks_at + timedelta(minutes=1))}
        return [*log[:place], replace(log[place], headers=headers, body=body), *log[place + 1 :]]

    return plant


def award(**fields):
    return lambda log: change(log, "grant.issued.v1", **fields)


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (lambda log: log, None),
        (row("orders"), "and neither its book nor what it deferred contains them"),
        (row("orders", 1), "and neither its book nor what it deferred contains them"),
        (row("orders", 2), None),
        (row("orders", nodes=1), "with 1 nodes for 40 days"),
        (row("orders", start_latest=3), "to begin from"),
        (bid(value_usd_per_gpu_hour="3.39"), "with a bid of 3.39, it offers 3.4"),
        (bid(value_usd_per_gpu_hour="3.41"), "with a bid of 3.41, it offers 3.4"),
        (bid(mandate_id="man_x"), "and man_x, which it does not name"),
        (row("lots"), "are unsold in period 0 of"),
        (row("lots", nodes=3), "4 nodes of"),
        (row("lots", to_period=89), "are unsold in period 89 of"),
        (row("lots", ask_usd_per_gpu_hour="2.5"), "at 2.5, which it does not ask"),
        (row("lots", 2, ask_usd_per_gpu_hour="8.5"), "at 8.5, which it does not ask"),
        (meddle("lot.repriced.v1", "auction.book_frozen.v1", ask_usd_per_gpu_hour="9"), "by lot.repriced, which"),
        (meddle("lot.repriced.v1", "auction.cleared.v1", ask_usd_per_gpu_hour="9"), None),
        (meddle("lot.paused.v1", "auction.bound.v1"), "by lot.paused, which"),
        (meddle("lot.withdrawn.v1", "auction.cleared.v1"), "by lot.withdrawn, which"),
        (offer_late("order.placed.v1"), "and was offered after the lock"),
        (offer_late("lot.listed.v1"), "and was offered after the lock"),
        (lambda log: row("lots", 1)(row("lots", 1)(offer_late("lot.listed.v1")(log))), None),
        (award(price_usd_per_gpu_hour="3/1"), "is not what"),
        (award(nodes=1), "is not what"),
        (decide(0, None), "which did not win in"),
        (decide(1, 0), "but its decision says that it lost"),
    ],
)
async def test_what_an_auction_bound_and_did_not_decide_on_is_found(bound, plant, found):
    texts = audit(plant(bound))
    assert (texts == []) if found is None else any(found in text for text in texts), texts


def stretch(log, periods):
    """Return the log as if periods had five days, and the first order asked for so many."""
    log = change(log, "auction.opened.v1", period_hours=120)
    log = row("orders", duration_periods=periods, start_earliest=0, start_latest=0)(log)
    return change(log, "order.placed.v1", terms=lambda body: {**body["terms"], "duration_hours": 120 * periods})


@pytest.mark.parametrize(("periods", "found"), [(8, True), (36, True), (37, False)])
async def test_an_order_that_fits_days_stands_in_no_book_of_longer_periods(bound, periods, found):
    texts = audit(stretch(bound, periods))
    assert any("of long periods, and fits a daily one" in text for text in texts) == found, texts


@pytest.mark.parametrize(
    ("stored", "changed", "found"),
    [(0, 58, True), (59, 58, False), (900, 61, True)],
    ids=["stored at once", "stored late", "imported"],
)
async def test_an_auction_binds_from_when_it_is_stored(bound, stored, changed, found):
    log = meddle("lot.paused.v1", "auction.bound.v1")(bound)
    place = next(place for place, each in enumerate(log) if each.event_type == "auction.opened.v1")
    paused = next(each for each in log if each.event_type == "lot.paused.v1")
    binds_at = parse_instant(log[place].read()["no_cancel_at"])
    paused = replace(
        paused, headers={**paused.headers, "ce-time": render_instant(binds_at + timedelta(seconds=changed))}
    )
    log = [paused if each.event_type == "lot.paused.v1" else each for each in log]
    log[place] = replace(log[place], stored_at=binds_at + timedelta(seconds=stored))
    assert any("by lot.paused, which" in text for text in audit(log)) == found

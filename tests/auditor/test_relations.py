"""The auditor checks the marks of related parties by the events alone."""

from datetime import timedelta

import pytest

from marketplace.auditor.relations import Relations
from marketplace.auditor.stream import Findings
from marketplace.log.memory import MemoryLog
from tests.application.trading.test_related import relate, until_marked
from tests.auditor.test_disputes import change, read
from tests.support.market.market import Market

pytestmark = pytest.mark.xdist_group("auditor")
_PLAYED = []


@pytest.fixture
async def traded():
    """Return the log of a trade that is marked once both sides stated their relation; it is played once."""
    if not _PLAYED:
        market = Market(MemoryLog())
        trade = await market.trade()
        async with market.worker():
            grant = await market.award(trade)
            await relate(market, trade.startup, by=trade.startup, related_id=trade.provider)
            await relate(market, trade.provider, related_id=trade.startup)
            await until_marked(market, grant.issued.grant_id)
            market.clock.at += timedelta(hours=2)
            await market.party("Late", "startup")
        _PLAYED.extend(await read(market.log))
    return list(_PLAYED)


def audit(messages):
    relations = Relations(Findings())
    for message in messages:
        relations.take([message])
    relations.finish()
    return [text for _, _, text in relations.findings.kept]


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (lambda log: log, None),
        (lambda log: [each for each in log if each.event_type != "grant.marked.v1"], "its mark is None"),
        (lambda log: [each for each in log if not each.event_type.startswith("register.")], "nobody stated or found"),
        (lambda log: change(log, "grant.marked.v1", mark="own_capacity"), "its mark is own_capacity"),
        (lambda log: change(log, "register.relation_found.v1", since="2100-01-01T00:00:00Z"), "nobody stated or found"),
    ],
)
async def test_trades_of_related_parties_are_marked_and_no_others(traded, plant, found):
    texts = audit(plant(traded))
    assert (texts == []) if found is None else any(found in text for text in texts), texts


def bid(value):
    """Return what replaces the value of every bid in a part of a book."""
    return lambda body: [
        {**order, "bids": [{**each, "value_usd_per_gpu_hour": value} for each in order["bids"]]}
        for order in body["orders"]
    ]


def add_cheaper(body):
    """Return the lots of a part of a book with one more of the same pool that asks less at the end."""
    (lot,) = body["lots"]
    return [lot, {**lot, "lot_id": "lot_cheap", "ask_usd_per_gpu_hour": "1.9", "from_period": lot["to_period"] - 1}]


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        ({}, None),
        ({"orders": bid("2")}, None),
        ({"orders": bid("2.000002")}, "bids 2.000002 on own capacity"),
        ({"lots": add_cheaper}, "beside cheaper: ['lot_"),
    ],
)
async def test_own_capacity_bids_a_step_above_the_lowest_ask_at_most(plant, found):
    market = Market(MemoryLog())
    trade = await market.trade(funding="own_capacity")
    async with market.worker():
        await market.award(trade)
    texts = audit(change(await read(market.log), "auction.book_frozen.v1", **plant))
    assert (texts == []) if found is None else any(found in text for text in texts), texts

"""The auditor asks of every offer of equity, as it is placed and locked, what its mandates and holders agreed to."""

import json
from decimal import Decimal

import pytest
from msgspec import structs

from events.registry import get_tag, render_body
from marketplace.auditor.stream import Findings, Message
from tests.application.equity.test_earlier_promises import SAFE, STOCK, draw, founded, set_limit
from tests.application.equity.test_note_orders import offer_equity
from tests.domain.equity.test_issuer_dilution import CLASSES, ORDER, recorded
from tests.domain.issuer_samples import ANGEL, COMPANY, FUND, ISS, PROVIDER, make_id
from tests.support.market.auditing import CountedOffers, CountedRanges, find_faults, read_messages

__all__ = ["founded"]
CREDITED = structs.replace(STOCK, service_consequence="credit")
PLACED_AND_LOCKED = ["order.placed.v1", "order.locked.v1"]


async def name_events(log, faults):
    """Return the types of the events at which something was found."""
    types = {message.sequence: message.event_type for message in await read_messages(log)}
    return [types[sequence] for _, sequence, _ in faults]


async def match(market, trade, kind, terms, **rules):
    """Offer equity, and let an auction match it."""
    order = await offer_equity(market, trade, kind, terms, **rules)
    async with market.worker():
        market.clock.at = max(market.clock.at, market.day(0.5))
        await market.until_carried_out(trade.auction)
    assert (await market.state("order", order)).status == "matched"


@pytest.mark.parametrize(("kind", "terms"), [("stock", CREDITED), ("safe", SAFE)])
async def test_it_finds_an_offer_that_dilutes_others_without_a_limit(founded, kind, terms):
    """Beside the fund's SAFE at a cap of 12 million, one at 90,000 and stock are offered within an agreed limit."""
    market, trade = founded
    await draw(market, trade, structs.replace(SAFE, valuation_cap_usd=Decimal(12_000_000), service_consequence=None))
    await set_limit(market, trade)
    await match(market, trade, kind, terms)
    assert await find_faults(CountedOffers, market.log) == []
    found = await find_faults(CountedOffers, market.log, drop="issuer.dilution_limited.v1")
    assert {rule for rule, _, _ in found} == {"dilution"}
    assert list(dict.fromkeys(await name_events(market.log, found))) == PLACED_AND_LOCKED


async def test_it_finds_an_order_outside_the_range_of_its_mandate_as_it_is_placed_and_locked(founded):
    market, trade = founded
    await match(market, trade, "stock", CREDITED, valuation_cap_usd_min=Decimal(1_000_000))
    assert await find_faults(CountedRanges, market.log) == []
    found = await find_faults(CountedRanges, market.log, drop="issuer.stock_issued.v1")
    assert {rule for rule, _, _ in found} == {"range"}
    assert await name_events(market.log, found) == [*PLACED_AND_LOCKED, "instrument.issued.v1"]


def tell(name, /, **body):
    headers = {"ce-type": name, "ce-actor": "platform", "ce-time": "2026-03-01T12:00:00Z"}
    return Message(7, "subject", headers, json.dumps(body).encode())


@pytest.mark.parametrize(("events", "exposure", "ratio", "code"), CLASSES.values(), ids=CLASSES)
def test_it_finds_stock_that_takes_more_of_a_sale_than_it_costs_or_others_agreed_to(events, exposure, ratio, code):
    offers = CountedOffers(Findings())
    known = [tell("party.registered.v1", party_id=each) for each in (ANGEL, FUND, PROVIDER)]
    known += [tell(get_tag(event), **json.loads(render_body(event))) for event in [*COMPANY, *events]]
    known.append(tell("mandate.granted.v1", mandate_id=make_id("mnd", 1), holder_id=PROVIDER))
    for message in known:
        offers.take([message])
    terms = json.loads(render_body(recorded(exposure)))["exposures"][0]["terms"]
    offered = {"instrument": terms, "offers": [{"equity_usd_per_gpu_hour": "1"}]}
    placed = {"issuer_id": ISS, "budget_holds": [{"mandate_id": make_id("mnd", 1)}], "split_ratio": ratio}
    offers.offers.take([tell("order.placed.v1", order_id=ORDER, terms=offered, **placed)])
    offers.take([tell("order.locked.v1", order_id=ORDER)])
    assert len(offers.findings.kept) == (code is not None), offers.findings.kept

"""The auditor computes the mean prices of recorded sources by which warrants vest, are priced and exercised."""

from datetime import timedelta
from decimal import Decimal

import pytest

from events.vesting import DateMilestone, LaterPrice, PriceAverage, PriceMilestone, WarrantTranche
from marketplace.application.equity import issuers
from marketplace.auditor.report import Audit
from marketplace.domain.equity.issuer.commands import RecordValuation
from marketplace.domain.equity.issuer.stock_commands import SplitStock
from marketplace.log.memory import MemoryLog
from tests.application.equity.test_filed_warrants import deal
from tests.auditor.test_milestones import audit, plant
from tests.support.market.agreeing import act_agreed
from tests.support.market.auditing import audit_log, read_messages

__all__ = ["deal"]
pytestmark = pytest.mark.xdist_group("auditor")
ISSUED, VESTED, PRICED = "issuer.warrant_issued.v1", "issuer.warrant_vested.v1", "issuer.warrant_priced.v1"
OBSERVED, USED = "issuer.price_observed.v1", "issuer.warrant_exercised.v1"


@pytest.fixture
def memory_log():
    return MemoryLog()


@pytest.fixture
async def averaged(deal):
    """Return the log of a warrant that vests by a mean, is priced by another, and exercised at one, and of a split."""
    market, mean = deal.market, PriceAverage(source_id=deal.source, days=30, observations_min=2)
    target = PriceMilestone(price_usd_per_share=Decimal("4.3"), average=mean)
    later = LaterPrice(tranche=0, multiple=Decimal("0.9"), average=mean)
    await deal.issue(
        300,
        "1",
        WarrantTranche(shares=100, conditions=((target,),)),
        WarrantTranche(shares=200, later_price=later),
        settlement="either",
        fair_value=mean,
    )
    for price, volume in (("2", 1_000), ("5", 2_000), ("7", 100_000)):
        market.clock.at += timedelta(days=1)
        await deal.observe(price, volume)
    split = {"split_id": deal.warrant.replace("wrt_", "spl_"), "numerator": 3, "denominator": 1}
    await act_agreed(market, deal.vendor, SplitStock, **split)
    market.clock.at += timedelta(days=1)
    await deal.observe("2.5", 3_000)
    await deal.exercise(90, tranche=0, net=True)
    assert await audit_log(market.log) == []
    return await read_messages(market.log)


def give_more(body):
    return str(Decimal(body["price_usd_per_share"]) + 1)


def ask(number, **terms):
    """Return the tranches of an issue, of which one has other terms."""

    def change(body):
        return [{**each, **(terms if place == number else {})} for place, each in enumerate(body["tranches"])]

    return change


def ask_price(usd):
    def change(body):
        [[milestone]] = body["tranches"][0]["conditions"]
        return ask(0, conditions=[[{**milestone, "price_usd_per_share": usd}]])(body)

    return change


@pytest.mark.parametrize(
    ("event_type", "fields", "found"),
    [
        (ISSUED, {"tranches": ask_price("8.2")}, "none of"),
        (VESTED, {"price_usd_per_share": lambda _: "9/1"}, "vests at"),
        (OBSERVED, {"price_usd_per_share": give_more}, "vests at"),
        (OBSERVED, {"volume": lambda _: 1_000}, "vests at"),
        (PRICED, {"average_usd": lambda _: "9/1"}, "the mean to"),
        (PRICED, {"on_day": lambda _: "2026-01-02"}, "the mean to"),
        (PRICED, {"exercise_price_usd": lambda _: "0.01"}, "is due"),
        (USED, {"fair_value_usd": lambda _: "9"}, "is exercised at a value of 9"),
    ],
)
async def test_a_price_that_is_no_mean_of_its_source_is_found(averaged, event_type, fields, found):
    texts = audit(plant(averaged, event_type, **fields))
    assert any(found in text for text in texts), texts


async def test_a_value_whose_last_price_is_old_is_found(averaged):
    late = [each for each in averaged if each.event_type != USED]
    [used] = [each for each in averaged if each.event_type == USED]
    used.headers["ce-time"] = "2026-03-01T00:00:00Z"
    assert any("is exercised at a value" in text for text in audit([*late, used]))


@pytest.fixture
async def valued(deal):
    """Return the log of a warrant that vests by a price that the platform recorded, and is used from a day on."""
    market = deal.market
    target, day = PriceMilestone(price_usd_per_share=Decimal(4)), DateMilestone(day=market.day(2).date())
    await deal.issue(100, "1", WarrantTranche(shares=100, conditions=((target,),), exercise_conditions=((day,),)))
    value = {"issuer_id": deal.issuer, "price_usd_per_share": Decimal(4), "method": "409A"}
    value |= {"effective_on": market.clock.now().date(), "recorded_by": "platform"}
    await issuers.act(market.handler, market.context(), RecordValuation(**value))
    assert await deal.read() == [(100, 0)]
    async with market.worker():
        market.clock.at = market.day(2)
        while await deal.read() != [(100, 100)]:
            await market.tick()
    return await read_messages(market.log)


async def test_a_price_that_the_company_alone_stated_and_a_use_before_its_day_are_found(valued):
    assert find(valued) == []
    by_company = plant(valued, "issuer.valuation_recorded.v1", recorded_by=lambda _: "company")
    [text] = find(by_company)
    assert "of its conditions, none of" in text
    [text] = find(plant(valued, ISSUED, tranches=ask(0, exercise_conditions=[[{"kind": "date", "day": "2026-01-04"}]])))
    assert "of its exercise_conditions, none of" in text


def find(messages):
    """Return what the whole auditor finds about warrants."""
    part = Audit()
    for message in messages:
        part.take(message)
    part.finish()
    return [text for rule, _, text in part.findings.kept if rule == "warrant"]

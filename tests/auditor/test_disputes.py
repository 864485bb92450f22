"""The auditor follows a dispute by its events alone, and finds each fault that is planted in a copy of the log."""

import json
from dataclasses import replace

import pytest

from marketplace.auditor.disputes import Disputes
from marketplace.auditor.market import Market as AuditedMarket
from marketplace.auditor.stream import Findings, Message
from marketplace.domain.billing.dispute import ANSWER
from marketplace.log.memory import MemoryLog
from tests.application.billing.test_adjustments import DAY
from tests.application.billing.test_disputes import CLAIM, FULL, Argument
from tests.application.billing.test_payer import Billed
from tests.support.market.auditing import read_messages
from tests.support.market.market import Market
from tests.support.market.meter import MemoryArchive

pytestmark = pytest.mark.xdist_group("auditor")
_PLAYED = []
_PLAYED_BY_TWO = []


async def read(log):
    """Return a log's messages as the auditor reads them."""
    return await read_messages(log)


def audit(messages):
    findings = Findings()
    for part in (Disputes(findings), AuditedMarket(findings)):
        for message in messages:
            part.take([message])
    return [f"{kind}: {text}" for _, kind, text in findings.kept]


@pytest.fixture
async def argued():
    """Return the log of a dispute with an answer, both sides' concessions and its end by silence; it is played once."""
    if not _PLAYED:
        _PLAYED.extend(await play())
    return list(_PLAYED)


async def play():
    market = Market(MemoryLog())
    market.handler.archive = MemoryArchive()
    trade = await market.trade()
    async with market.worker():
        one = Argument(market, trade, await market.award(trade))
        await market.deliver(one.grant, 30)
        await one.state_first()
        await one.dispute(CLAIM)
        await one.concede("startup", CLAIM + 1)
        await one.concede("provider", 29 * DAY)
        await one.answer("provider", 25 * DAY)
        await one.wait(ANSWER)
        await one.complete()
    return await read(market.log)


@pytest.fixture
async def argued_by_two():
    """Return the log of a dispute of two payers: one offers, the other is silent and agrees, the provider is silent."""
    if not _PLAYED_BY_TWO:
        market = Market(MemoryLog())
        trade = await market.trade(startup_accepts_alone=False)
        async with market.worker():
            one = Argument(market, trade, await market.award(trade))
            await market.deliver(one.grant, 30)
            await one.state_first()
            billed = Billed(market, trade, one.first.statement_id, FULL)
            await billed.dispute("startup", 10_000)
            await billed.dispute("fund", FULL)
            await one.answer("provider")
            await one.answer("startup", FULL - 100)
            market.clock.at += ANSWER
            await one.until_awaits("provider")
            await one.wait(ANSWER)
        _PLAYED_BY_TWO.extend(await read(market.log))
    return list(_PLAYED_BY_TWO)


async def test_nothing_is_found_in_a_dispute_of_two_payers(argued_by_two):
    assert audit(argued_by_two) == []


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (lambda log: change(log, "statement.answered.v1", 1, awaits=None), "waits for holder"),
        (lambda log: answer_later(log, 1), "waits for holder"),
        (lambda log: change(log, "statement.answered.v1", 1, gpu_seconds_offered=None), "without offering it"),
        (lambda log: change(log, "statement.agreed.v1", answer_until=None), "which awaits holder"),
        (lambda log: change(log, "statement.agreed.v1", by="startup"), "which awaits holder"),
        (lambda log: answer_later(answer_later(log, 0), 1), "is called silent"),
        (
            lambda log: change(
                log, "statement.resolved.v1", charges=lambda body: {**body["charges"], "gpu_seconds": 0}
            ),
            f"{FULL - 100} stood",
        ),
    ],
)
async def test_each_planted_fault_of_two_payers_is_found(argued_by_two, plant, found):
    texts = audit(plant(argued_by_two))
    assert any(found in text for text in texts), texts


def answer_later(log, number):
    return change(log, "statement.answered.v1", number, answer_until="2100-01-01T00:00:00Z")


def change(messages, event_type, number=0, **fields):
    index = [place for place, each in enumerate(messages) if each.event_type == event_type][number]
    body = messages[index].read()
    body |= {name: value(body) if callable(value) else value for name, value in fields.items()}
    return [*messages[:index], replace(messages[index], body=json.dumps(body).encode()), *messages[index + 1 :]]


def outage(messages):
    """Append by hand an outage of all nodes, before the grant completes."""
    place = next(place for place, each in enumerate(messages) if each.event_type == "grant.completed.v1")
    issued = next(each for each in messages if each.event_type == "grant.issued.v1").read()
    body = {"grant_id": issued["grant_id"], "at": issued["start"], "until": issued["end"], "nodes_available": 0}
    headers = {**messages[place].headers, "ce-type": "marketplace.grant.degraded.v1"}
    return [
        *messages[:place],
        replace(messages[place], headers=headers, body=json.dumps(body).encode()),
        *messages[place:],
    ]


async def test_nothing_is_found_in_a_dispute(argued):
    assert audit(argued) == []


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (lambda log: change(log, "statement.answered.v1", gpu_seconds_offered=30 * DAY), "are offered"),
        (lambda log: change(log, "statement.answered.v1", by="startup"), "the dispute awaits the provider"),
        (lambda log: change(log, "statement.answered.v1", answer_until="2100-01-01T00:00:00Z"), "by silence before"),
        (lambda log: change(log, "statement.disputed.v1", answer_until="2020-01-01T00:00:00Z"), "is answered after"),
        (lambda log: change(log, "statement.disputed.v1", gpu_seconds_counted=30 * DAY), "stood before"),
        (lambda log: change(log, "statement.disputed.v1", by="meters"), "for which only its meter spoke"),
        (lambda log: change(log, "statement.conceded.v1", gpu_seconds=CLAIM - 1), "away from the other side"),
        (lambda log: change(log, "statement.conceded.v1", gpu_seconds_counted=CLAIM), "is stated as the count"),
        (lambda log: change(log, "statement.conceded.v1", counted_by="holder"), "is stated as the count"),
        (
            lambda log: change(
                log, "statement.resolved.v1", charges=lambda body: {**body["charges"], "gpu_seconds": 1}
            ),
            "settles at 1",
        ),
        (lambda log: change(log, "statement.resolved.v1", by="undecided"), "by undecided"),
        (lambda log: change(log, "statement.resolved.v1", by="platform"), "as the platform, asked: False"),
        (outage, "0 were granted and worked"),
    ],
)
async def test_each_planted_fault_is_found(argued, plant, found):
    texts = audit(plant(argued))
    assert any(found in text for text in texts) if found is not None else texts == [], texts


def tell(number, name, actor="platform", **body):
    headers = {"ce-type": f"marketplace.statement.{name}.v1", "ce-time": "2026-01-02T00:00:00Z", "ce-actor": actor}
    return Message(number, "", headers, json.dumps({"answer_until": "2026-01-09T00:00:00Z", **body}).encode())


@pytest.mark.parametrize(("after", "faults"), [(DAY, 1), (2 * DAY, 0)])
def test_what_the_platform_decided_is_disputed_again_only_for_what_was_metered_since(after, faults):
    first, second = {"statement_id": "stm_1"}, {"statement_id": "stm_2"}
    adjustment = {"statement_id": "stm_1", "gpu_seconds_before": 0, "gpu_seconds_after": after}
    log = [
        tell(1, "issued", **first, charges={"gpu_seconds": DAY}),
        tell(2, "disputed", **first, by="startup", gpu_seconds_counted=5),
        tell(3, "referred", **first, decide_until="2026-02-09T00:00:00Z"),
        tell(4, "resolved", **first, charges={"gpu_seconds": 9}, by="platform"),
        tell(5, "issued", **second, charges={"gpu_seconds": 7}, adjustment=adjustment),
        tell(6, "disputed", **second, by="startup", gpu_seconds_counted=5),
    ]
    findings = Findings()
    part = Disputes(findings)
    for message in log:
        part.take([message])
    assert [text for _, _, text in findings.kept if "disputed again" in text] == [
        f"stm_2 is disputed again, which the platform decided for {after} metered"
    ] * faults
    assert len(findings.kept) == faults

"""The auditor finds stock and rights that one person gave away beyond its limit, and warrants that left the family."""

import json
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal

import pytest
from msgspec import structs

from marketplace.application.billing import approvals
from marketplace.application.equity import consents, issuers, warrants
from marketplace.auditor.persons import Persons
from marketplace.auditor.relations import Relations
from marketplace.auditor.stream import Findings, Message
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.equity.issuer.commands import AddStakeholder, RecordValuation
from marketplace.domain.equity.issuer.rights_commands import IssueWarrant, PromiseOption, WithdrawPromise
from marketplace.domain.equity.issuer.stock_commands import SplitStock, TransferStock
from marketplace.log.memory import MemoryLog
from tests.application.equity.test_equity import act, found
from tests.application.equity.test_holder_terms import PAPER, hold
from tests.application.equity.test_hostile_variants import agree_open, relate
from tests.support.market.agreeing import act_agreed
from tests.support.market.auditing import CapTableConsents, read_messages
from tests.support.market.market import Market

pytestmark = pytest.mark.xdist_group("auditor")
_PLAYED: list[Message] = []


async def play():
    """Let one person of a bank give ten shares and a promise away, and its affiliate, found later, get its warrant."""
    market = Market(MemoryLog())
    startup, bank = await market.party("Startup", "startup"), await market.party("Bank", "fund")
    sister = await market.party("Sister", "fund")
    issuer = await market.issuer(startup)
    await found(market, startup)
    await hold(market, startup, bank, 600)
    await act(market, startup, AddStakeholder, holder_id=sister, name="Sister", kind="investor")
    day = market.clock.now().date()
    value = RecordValuation(issuer_id=issuer, price_usd_per_share=Decimal(2), method="409A", effective_on=day)
    await issuers.record_valuation(market.handler, market.context(), value)
    context = structs.replace(market.context(bank), actor_person="p1")
    await approvals.set_limit(market.handler, context, rename_id("acc", bank), limit_usd=Decimal(50_000))
    give = {"transfer_id": derive_id("trf", bank), "holder_id": bank, "holder_id_after": sister, "shares": 10}
    command = TransferStock(issuer_id=issuer, **give, class_id="common", at=market.clock.now(), approval=PAPER)
    context = structs.replace(market.context(bank), actor_person="p1")
    await issuers.act(market.handler, context, command)
    assert await agree_open(market, await consents.find_proposal(market.handler, context)) == "effective"
    terms = IssueWarrant(
        issuer_id=issuer,
        warrant_id=derive_id("wrt", bank),
        holder_id=bank,
        class_id="common",
        shares=20,
        exercise_price_usd=Decimal(2),
        expires_at=market.day(900),
        settlement="either",
        transfer="affiliates",
    )
    context = market.context(startup)
    await warrants.issue_warrant(market.handler, context, terms)
    assert await agree_open(market, await consents.find_proposal(market.handler, context)) == "effective"
    await relate(market, sister, bank)
    context = structs.replace(market.context(bank), actor_person="p1")
    pass_on = {"holder_id": bank, "holder_id_after": sister}
    await warrants.transfer_warrant(market.handler, context, issuer, terms.warrant_id, **pass_on)
    assert await agree_open(market, await consents.find_proposal(market.handler, context)) == "effective"
    promise = {"promise_id": derive_id("prm", bank)}
    await act_agreed(market, startup, PromiseOption, **promise, holder_id=bank, shares=3)
    await act_agreed(market, startup, SplitStock, split_id=derive_id("spl", bank), numerator=2, denominator=1)
    await act_agreed(market, startup, WithdrawPromise, **promise, reason="none")
    return await read_messages(market.log)


@pytest.fixture
async def played():
    """Return the log; it is played once."""
    if not _PLAYED:
        _PLAYED.extend(await play())
    return list(_PLAYED)


def audit(messages):
    findings = Findings()
    parts = (Persons(findings), Relations(findings), CapTableConsents(findings))
    decisions = defaultdict(list)
    for message in messages:
        decisions[message.decision].append(message)
    for decision in decisions.values():
        for part in parts:
            part.take(decision)
    return [text for _, _, text in findings.kept]


def drop(event_type):
    return lambda messages: [each for each in messages if each.event_type != event_type]


def change(event_type, **fields):
    def plant(messages):
        index = max(index for index, each in enumerate(messages) if each.event_type == event_type)
        body = json.dumps(messages[index].read() | fields).encode()
        return [*messages[:index], replace(messages[index], body=body), *messages[index + 1 :]]

    return plant


@pytest.mark.parametrize(
    ("plant", "wrong"),
    [
        (lambda messages: messages, None),
        (drop("account.limit_used.v1"), "lets 20.00 USD or more go, and None counts"),
        (drop("account.limit_used.v1"), "lets 6.00 USD or more go, and None counts"),
        (change("account.limit_used.v1", amount_usd="5.99"), "lets 6.00 USD or more go, and 5.99 counts"),
        (drop("register.relation_found.v1"), "no affiliate"),
        (change("issuer.warrant_transferred.v1", relation=None), "no affiliate"),
        (change("register.relation_found.v1", since="2100-01-01T00:00:00Z"), "no affiliate"),
    ],
)
async def test_what_one_person_gives_away_counts_and_a_warrant_stays_in_the_family(played, plant, wrong):
    texts = audit(plant(played))
    assert (texts == []) if wrong is None else any(wrong in text for text in texts), texts

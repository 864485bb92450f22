"""The auditor reads the payment of a sale beside which stock moved and principal accrued, and finds wrong payments."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from marketplace.application.equity import issuers
from marketplace.auditor.equity import Equity
from marketplace.auditor.sales import Sales
from marketplace.auditor.stream import Findings, Message
from marketplace.core.ids import derive_id
from marketplace.domain.equity.issuer.stock_commands import TransferStock
from marketplace.log.memory import MemoryLog
from tests.application.equity.test_equity import found, invest, pay_in
from tests.application.equity.test_holder_terms import hold, propose_sale
from tests.application.equity.test_hostile_pairs import ask
from tests.application.equity.test_hostile_variants import agree_open
from tests.application.equity.test_sale_and_end import settle_first
from tests.support.market.auditing import read_messages
from tests.support.market.market import Market

pytestmark = pytest.mark.xdist_group("auditor")
_PLAYED: list[Message] = []


async def play():
    """Sell a company; beside the sale a holder sells half of its stock, and principal accrues. Return the log."""
    market = Market(MemoryLog())
    trade = await market.trade()
    await found(market, trade.startup)
    bank = await market.party("Bank", "fund")
    await invest(market, trade, 10_000)
    async with market.worker():
        grant = await market.award(trade)
    await market.deliver(grant, 10)
    await hold(market, trade.startup, trade.fund, 1_000)
    await hold(market, trade.startup, bank, 600)
    await pay_in(market, trade.startup)
    proposal_id, sale = await propose_sale(market, trade, proceeds_usd=Decimal(900_000))
    assert await agree_open(market, proposal_id) == "effective"
    moved = {"transfer_id": derive_id("trf", bank), "holder_id": trade.fund, "holder_id_after": bank}
    moved |= {"class_id": "common", "shares": 500, "at": market.clock.at}
    proposal_id, _ = await ask(market, trade.startup, TransferStock, startup=trade.startup, **moved)
    assert await agree_open(market, proposal_id) == "effective"
    await settle_first(market, grant, by=trade.startup)
    await issuers.pay_distribution(market.handler, market.context(trade.startup), trade.issuer, sale)
    return await read_messages(market.log)


@pytest.fixture
async def played():
    if not _PLAYED:
        _PLAYED.extend(await play())
    return list(_PLAYED)


def audit(messages):
    findings = Findings()
    equity = Equity(findings)
    sales = Sales(findings, equity)
    decisions = {}
    for message in messages:
        decisions.setdefault(message.decision, []).append(message)
    for decision in decisions.values():
        equity.take(decision)
        sales.take(decision)
    return [text for rule, _, text in findings.kept if rule == "sale"]


def change(messages, edit):
    def changed(message):
        if message.event_type != "issuer.distribution_paid.v1":
            return message
        body = message.read()
        edit(body)
        return replace(message, body=json.dumps(body).encode())

    return [changed(message) for message in messages]


async def test_a_sale_beside_which_stock_moved_and_principal_accrued_holds(played):
    assert audit(played) == []


def _pay_the_former_holder(body):
    rows = [row for row in body["payouts"] if row["security"] == "common"]
    rows[0]["holder_id"], rows[1]["holder_id"] = rows[1]["holder_id"], rows[0]["holder_id"]


def _pay_a_share_more(body):
    body["payouts"][-1]["amount_exact"] = "900000/1"


def _forget_what_accrued(body):
    body["later"] = []


def _pay_another(body):
    paid = body["later"][0]
    paid["holder_id"] = next(row["holder_id"] for row in body["payouts"] if row["holder_id"] != paid["holder_id"])


def _state_less(body):
    body["amount_usd"] = "1.00"


def _pay_as_declared(body):
    del body["payouts"]


@pytest.mark.parametrize(
    "edit",
    [_pay_the_former_holder, _pay_a_share_more, _forget_what_accrued, _pay_another, _state_less, _pay_as_declared],
)
async def test_a_payment_that_was_not_due_is_found(played, edit):
    assert audit(change(played, edit))


@pytest.mark.parametrize("reference", ["liq_other/x", "rent"])
async def test_no_other_withdrawal_stands_beside_the_payment_of_a_sale(played, reference):
    paid = next(each for each in played if each.event_type == "issuer.distribution_paid.v1")
    victim = next(each.read()["account_id"] for each in played if each.event_type == "account.deposited.v1")
    body = {"account_id": victim, "amount_usd": "5000.00", "reference": reference}
    headers = {**paid.headers, "ce-type": "account.withdrawn.v1"}
    extra = replace(paid, headers=headers, body=json.dumps(body).encode())
    at = played.index(paid) + 1
    assert any(f"{victim} pays {reference}" in str(each) for each in audit([*played[:at], extra, *played[at:]]))

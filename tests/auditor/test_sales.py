"""The auditor reads the payment of a sale beside which stock moved and principal accrued, and finds wrong payments."""

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest

from marketplace.application.equity import issuers, warrants
from marketplace.auditor.equity import Equity
from marketplace.auditor.sales import Sales
from marketplace.auditor.stream import Findings, Message
from marketplace.core.ids import derive_id
from marketplace.domain.equity.issuer.stock_commands import TransferStock
from marketplace.log.memory import MemoryLog
from tests.application.equity.test_departures import cancel, employ, exercise
from tests.application.equity.test_equity import found, invest, pay_in
from tests.application.equity.test_ground import grant_option
from tests.application.equity.test_holder_terms import hold, propose_sale
from tests.application.equity.test_hostile_pairs import ask
from tests.application.equity.test_hostile_variants import agree_open, propose_warrant
from tests.application.equity.test_sale_and_end import settle_first
from tests.support.market.auditing import read_messages
from tests.support.market.market import Market

pytestmark = pytest.mark.xdist_group("auditor")
_PLAYED: list[Message] = []


async def play():
    """Sell a company; beside the sale a holder sells stock and uses rights, and principal accrues. Return the log."""
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
    await grant_option(market, trade, 700)
    for holder_id, days in ((bank, 900), (trade.fund, 40)):
        warrant_id, proposal_id = await propose_warrant(market, trade, holder_id, 400, "0.05", days)
        assert await agree_open(market, proposal_id) == "effective"
    await pay_in(market, trade.startup)
    proposal_id, sale = await propose_sale(market, trade, proceeds_usd=Decimal(900_000))
    assert await agree_open(market, proposal_id) == "effective"
    context = market.context(trade.fund)
    use = {"exercise_id": derive_id("exr", bank), "warrant_id": warrant_id, "shares": 150, "net": False}
    await warrants.exercise_warrant(market.handler, context, trade.issuer, **use)
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


def change(messages, edit, event_type="issuer.distribution_paid.v1"):
    def changed(message):
        if message.event_type != event_type:
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


def _list_rights(body, kind):
    rows = body["payouts"] if "payouts" in body else body["waterfall"]["payouts"]
    return [row for row in rows if row["security"].startswith(kind)]


def _pay_more_for(kind):
    def edit(body):
        row = _list_rights(body, kind)[0]
        row["amount_exact"] = f"{row['shares']}/1"

    return edit


def _pay_more_rights(body):
    row = min(_list_rights(body, "wrt"), key=lambda each: each["shares"])
    assert row["shares"] == 250
    row["amount_exact"] = str(Fraction(row["amount_exact"]) / 250 * 400)
    row["shares"] = 400


def _pay_no_option(body):
    body["payouts"].remove(_list_rights(body, "opt")[0])


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (_pay_the_former_holder, "are due"),
        (_pay_a_share_more, ""),
        (_forget_what_accrued, "accrued since"),
        (_pay_another, "of another holder"),
        (_state_less, "in all"),
        (_pay_as_declared, "is held"),
        (_pay_more_for("opt"), "which was not declared"),
        (_pay_more_for("wrt"), "which was not declared"),
        (_pay_more_rights, "250 were declared and not bought"),
        (_pay_no_option, "700 were declared and not bought"),
    ],
)
async def test_a_payment_that_was_not_due_is_found(played, edit, text):
    assert any(text in each for each in audit(change(played, edit)))


def _count_more_rights(body):
    for row in _list_rights(body, "wrt"):
        row["amount_exact"] = str(Fraction(row["amount_exact"]) / row["shares"] * 401)
        row["shares"] = 401


def _pay_another_for_rights(body):
    first, second = _list_rights(body, "wrt")
    first["holder_id"], second["holder_id"] = second["holder_id"], first["holder_id"]


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (_pay_more_for("opt"), "a share at {Fraction(1, 1)}, not"),
        (_pay_more_for("wrt"), "a share at {Fraction(1, 1)}, not"),
        (_count_more_rights, "counts 401 shares"),
        (_pay_another_for_rights, "counts 400 shares"),
    ],
)
async def test_rights_that_a_sale_declares_wrongly_are_found(played, edit, text):
    assert any(text in each for each in audit(change(played, edit, "issuer.liquidity_declared.v1")))


@pytest.mark.parametrize("reference", ["liq_other/x", "rent"])
async def test_no_other_withdrawal_stands_beside_the_payment_of_a_sale(played, reference):
    paid = next(each for each in played if each.event_type == "issuer.distribution_paid.v1")
    victim = next(each.read()["account_id"] for each in played if each.event_type == "account.deposited.v1")
    body = {"account_id": victim, "amount_usd": "5000.00", "reference": reference}
    headers = {**paid.headers, "ce-type": "account.withdrawn.v1"}
    extra = replace(paid, headers=headers, body=json.dumps(body).encode())
    at = played.index(paid) + 1
    assert any(f"{victim} pays {reference}" in str(each) for each in audit([*played[:at], extra, *played[at:]]))


async def test_a_sale_beside_which_an_option_ran_out_pays_what_it_bought_as_stock(memory_log):
    """Who had left could not exercise what had vested beside a sale that nobody paid, and lost it."""
    market = Market(memory_log)
    trade = await market.trade()
    await found(market, trade.startup)
    await hold(market, trade.startup, trade.fund, 1_000)
    _, option_id = await employ(market, trade, days=10)
    assert await agree_open(market, await cancel(market, trade, option_id, 3_600)) == "effective"
    await pay_in(market, trade.startup)
    proposal_id, sale = await propose_sale(market, trade, proceeds_usd=Decimal(900_000), pay_days=30)
    assert await agree_open(market, proposal_id) == "effective"
    await exercise(market, trade, option_id, 700)
    await issuers.pay_distribution(market.handler, market.context(trade.startup), trade.issuer, sale)
    messages = await read_messages(market.log)
    assert audit(messages) == []
    assert any("declared and not bought" in text for text in audit(change(messages, _pay_all_rights)))


def _pay_all_rights(body):
    (row,) = _list_rights(body, "opt")
    row["amount_exact"] = str(Fraction(row["amount_exact"]) / row["shares"] * 1_200)
    row["shares"] = 1_200

"""The auditor reads a sale, a closing and a consolidation that were computed again, and finds what nobody agreed to."""

import json
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal

import pytest

from marketplace.application.equity import issuers
from marketplace.auditor.consents import Consents
from marketplace.auditor.equity import Equity
from marketplace.auditor.stream import Findings, Message
from marketplace.core.ids import derive_id
from marketplace.domain.equity.issuer.stock_commands import SplitStock
from marketplace.log.memory import MemoryLog
from tests.application.equity.test_equity import build_round, found, pay_in
from tests.application.equity.test_holder_terms import hold, propose_sale
from tests.application.equity.test_hostile_pairs import ask, propose_closing
from tests.application.equity.test_hostile_variants import agree_open, exercise, propose_warrant
from tests.support.market.agreeing import decline_all
from tests.support.market.auditing import read_messages
from tests.support.market.market import Market

pytestmark = pytest.mark.xdist_group("auditor")
_PLAYED: dict[str, list[Message]] = {}


async def play(act):
    """Let holders agree to an act during which one exercises a share of its warrant, and return the log."""
    market = Market(MemoryLog())
    trade = await market.trade()
    await found(market, trade.startup)
    bank, angel = await market.party("Bank", "fund"), await market.party("Angel", "fund")
    for holder_id, shares in ((trade.fund, 1_000), (bank, 600), (angel, 400)):
        await hold(market, trade.startup, holder_id, shares)
    await pay_in(market, trade.startup)
    warrant, proposal_id = await propose_warrant(market, trade, angel, 1_000, "0.01")
    await agree_open(market, proposal_id)
    if act == "sale":
        proposal_id, _ = await propose_sale(market, trade, proceeds_usd=Decimal(900_000))
    elif act == "round":
        lead = await market.party("Lead", "fund", usd=5_000_000)
        context = market.context(trade.startup)
        await issuers.open_financing(market.handler, context, trade.issuer, name="A", terms=build_round(lead))
        financing = derive_id("fin", context.command_id)
        await decline_all(market, trade.issuer)
        await issuers.price_financing(market.handler, market.context(trade.startup), trade.issuer, financing)
        proposal_id = await propose_closing(market, trade, financing)
    else:
        split = {"split_id": derive_id("spl", bank), "numerator": 1, "denominator": 101, "fractions": "cash_in_lieu"}
        split |= {"cash_usd_per_share": Decimal(1)}
        proposal_id, _ = await ask(market, trade.startup, SplitStock, startup=trade.startup, **split)
    await exercise(market, trade, warrant, angel, 1)
    assert await agree_open(market, proposal_id) == "effective"
    return await read_messages(market.log)


@pytest.fixture
async def played(request):
    """Return the log of an act; each is played once."""
    if request.param not in _PLAYED:
        _PLAYED[request.param] = await play(request.param)
    return list(_PLAYED[request.param])


def audit(messages):
    findings = Findings()
    consents = Consents(findings, Equity(findings))
    decisions = defaultdict(list)
    for message in messages:
        decisions[message.decision].append(message)
    for decision in decisions.values():
        consents.take(decision)
        consents.equity.take(decision)
    return [text for _, _, text in findings.kept]


def change(event_type, edit):
    """Return a fault that changes the last event of a type as it is stored, and not as it was agreed to."""

    def plant(messages):
        index = max(index for index, each in enumerate(messages) if each.event_type == event_type)
        body = messages[index].read()
        edit(body)
        return [*messages[:index], replace(messages[index], body=json.dumps(body).encode()), *messages[index + 1 :]]

    return plant


def pay_less(body):
    for payout in body["waterfall"]["payouts"]:
        payout["amount_exact"] = "1/1"


def sell_lower(body):
    body["waterfall"]["proceeds_usd"] = "899999.00"


def issue_less(body):
    body["shares"] //= 2


def close_otherwise(body):
    body["approval"] = {"document": "another paper"}


def consolidate_more(body):
    body["denominator"] = 202


def pay_cheap(body):
    body["price_usd_per_share"] = "0.01"


def take_whole(body):
    body["shares"] = 101


def silence(messages):
    """Return the fault that nobody had agreed."""
    made = [each.read()["proposal_id"] for each in messages if each.event_type == "proposal.made.v1"][-1]
    return [each for each in messages if each.event_type != "proposal.agreed.v1" or each.read()["proposal_id"] != made]


@pytest.mark.parametrize(
    ("played", "plant", "found"),
    [
        ("sale", None, None),
        ("sale", silence, "have not agreed"),
        ("sale", change("issuer.liquidity_declared.v1", sell_lower), "other terms"),
        ("sale", change("issuer.liquidity_declared.v1", pay_less), "less than was agreed to"),
        ("round", None, None),
        ("round", change("issuer.stock_issued.v1", issue_less), "less than was agreed to"),
        ("round", change("issuer.financing_closed.v1", close_otherwise), "other terms"),
        ("consolidation", None, None),
        ("consolidation", change("issuer.stock_split.v1", consolidate_more), "another than was agreed to"),
        ("consolidation", change("issuer.stock_repurchased.v1", pay_cheap), "fractions are paid"),
        ("consolidation", change("issuer.stock_repurchased.v1", take_whole), "no fraction"),
    ],
    indirect=["played"],
)
async def test_what_was_computed_again_is_what_was_agreed_to(played, plant, found):
    recomputed = [each for each in played if each.event_type == "proposal.carried_out.v1"][-1].read()["recomputed"]
    assert recomputed
    texts = audit(played if plant is None else plant(played))
    assert (texts == []) if found is None else any(found in text for text in texts), texts

"""The auditor finds a buyback or a warrant that took effect before investors had time to refuse it, or joined it."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from marketplace.application.equity import consents
from marketplace.auditor.spans import render_instant
from marketplace.auditor.stream import Findings
from marketplace.core.ids import derive_id
from marketplace.domain.equity.issuer.stock_commands import RepurchaseStock
from marketplace.domain.equity.proposal import WAIVED_AFTER
from marketplace.log.memory import MemoryLog
from tests.application.equity.conftest import held
from tests.application.equity.test_holder_terms import PAPER
from tests.application.equity.test_hostile_pairs import ask
from tests.application.equity.test_hostile_variants import propose_warrant
from tests.support.market.auditing import OfferedParts, read_messages
from tests.support.market.market import Market

__all__ = ["held"]
pytestmark = pytest.mark.xdist_group("auditor")
ANGEL_STAYS_SILENT = "had no time to refuse it"


@pytest.fixture
def market():
    return Market(MemoryLog())


async def buy_back(market, trade, holder_id):
    """Propose to buy a holder's stock back."""
    back = {"repurchase_id": derive_id("rep", holder_id), "holder_id": holder_id, "class_id": "common", "shares": 600}
    back |= {"price_usd_per_share": Decimal("0.01"), "approval": PAPER}
    proposal_id, _ = await ask(market, trade.startup, RepurchaseStock, startup=trade.startup, **back)
    return proposal_id


async def sell_warrant(market, trade, holder_id):
    _, proposal_id = await propose_warrant(market, trade, holder_id, 9, "0.05")
    return proposal_id


def audit(messages):
    part, decisions = OfferedParts(Findings()), {}
    for message in messages:
        decisions.setdefault(message.decision, []).append(message)
    for decision in decisions.values():
        part.take(decision)
    return [text for rule, _, text in part.findings.kept if rule == "pro_rata"]


def _forget(message, party_id):
    """Return a message; a proposal does not ask this party."""
    if message.event_type != "proposal.made.v1":
        return message
    body = message.read()
    for consent in body["consents"]:
        consent["voters"] = [each for each in consent["voters"] if each["party_id"] != party_id]
    return replace(message, body=json.dumps(body).encode())


@pytest.mark.parametrize("propose", [buy_back, sell_warrant])
async def test_an_act_in_which_an_investor_was_silent_for_too_short_is_found(market, held, propose):
    trade, bank, angel = held
    proposal_id = await propose(market, trade, bank)
    for holder_id in (bank, trade.fund):
        await consents.agree(market.handler, market.context(holder_id), proposal_id)
    market.clock.at += WAIVED_AFTER
    await consents.carry_out_waived(market.handler, market.context(), proposal_id)
    assert (await market.state("proposal", proposal_id)).status == "effective"
    log = await read_messages(market.log)
    assert audit(log) == []
    act = [each for each in log if each.decision == log[-1].decision]
    early = {"ce-time": render_instant(market.clock.at - timedelta(seconds=1))}
    [text] = audit([*log[: -len(act)], *(replace(each, headers=each.headers | early) for each in act)])
    assert angel in text
    assert ANGEL_STAYS_SILENT in text
    bought = next(each for each in log if each.event_type == "issuer.stock_issued.v1" and angel in str(each.read()))
    joined = [each for each in log if each.decision == bought.decision]
    before = [_forget(each, angel) for each in log[: -len(act)] if each.decision != bought.decision]
    [text] = audit([*before, *joined, *act])
    assert angel in text
    assert ANGEL_STAYS_SILENT in text

"""An issuer goes out as a package and comes in as another one: in one append, at its own times, and only once."""

from decimal import Decimal

import pytest

from marketplace.application.equity import consents, instruments, issuers, packages
from marketplace.captable.history import History
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.equity.issuer.commands import AddStakeholder
from marketplace.domain.equity.issuer.state import list_holders, total_shares
from marketplace.domain.equity.issuer.stock_commands import AdjustStockPlan, TransferStock
from marketplace.execution.history import Histories, load_history
from marketplace.log.memory import MemoryLog
from marketplace.ocf.package import render_package
from tests.application.equity.test_equity import act, deliver_all, found, invest
from tests.ocf.foreign import SAFE, STOCK, pack
from tests.support.market.agreeing import agree_all
from tests.support.market.auditing import CapTableConsents, CountedVotes, find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


async def export(market, startup):
    history = await load_history(Histories(market.log), rename_id("iss", startup))
    return history, render_package(history)


def list_own(history):
    """Return the acts that belong to the company, not to the market: without the exposure of orders."""
    return [act for act in history.acts if not getattr(act.event, "subject_id", "").startswith("ord_")]


async def test_export_import_export_through_the_log_is_byte_identical(market):
    trade, _ = await deliver_all(market)
    await invest(market, trade, 50_000)
    history, files = await export(market, trade.startup)
    heir = await market.party("Heir", "startup")
    named = {"party_id": heir, "files": files, "source": "package.zip"}
    before = (await market.log.health()).last_sequence
    foreign = await packages.judge_import(market.handler, market.context(heir), **named)
    assert [each.code for each in foreign.findings] == ["parties_unconfirmed"]
    with pytest.raises(Refusal) as caught:
        await packages.import_issuer(market.handler, market.context(heir), **named)
    assert caught.value.code == "parties_unconfirmed"
    assert caught.value.facts["parties"] == sorted([trade.fund, trade.startup])
    judged = await packages.judge_import(market.handler, market.context(), **named)
    assert (judged.is_clean, judged.events) == (True, len(list_own(history)) + 1)
    assert (await market.log.health()).last_sequence == before
    context = market.context()
    receipt = await packages.import_issuer(market.handler, context, **named)
    assert receipt.id == rename_id("iss", heir)
    assert (await market.log.health()).last_sequence == before + judged.events
    taken, again = await export(market, heir)
    assert again == files
    assert sorted(act.time for act in taken.acts[1:]) == sorted(act.time for act in list_own(history))
    assert total_shares(taken.get_issuer()) == total_shares(history.get_issuer())
    principal = [sum(each.principal_usd for each in h.list_instruments().values()) for h in (history, taken)]
    assert principal[0] == principal[1] > 50_000

    repeated = await packages.import_issuer(market.handler, context, **named)
    assert (repeated.repeated, repeated.sequence) == (True, receipt.sequence)
    assert (await market.log.health()).last_sequence == before + judged.events
    with pytest.raises(Refusal) as caught:
        await packages.import_issuer(market.handler, market.context(heir), **named)
    assert caught.value.code == "issuer_exists"


async def test_nobody_votes_for_a_holder_that_is_no_party_here(market):
    trade = await market.trade()
    await found(market, trade.startup)
    await invest(market, trade, 50_000)
    _, files = await export(market, trade.startup)
    elsewhere = Market(MemoryLog(), "two")
    heir = await elsewhere.party("Heir", "startup")
    issuer_id = rename_id("iss", heir)
    await packages.import_issuer(
        elsewhere.handler, elsewhere.context(), party_id=heir, files=files, source="package.zip"
    )
    issuer = await elsewhere.state("issuer", issuer_id)
    assert {trade.startup, trade.fund} <= list_holders(issuer), "none of them is registered there"
    await act(elsewhere, heir, AddStakeholder, holder_id=derive_id("stk", heir), name="Founder", kind="founder")
    await act(
        elsewhere,
        heir,
        TransferStock,
        transfer_id=derive_id("trf", heir),
        holder_id=trade.startup,
        holder_id_after=derive_id("stk", heir),
        class_id=next(iter(issuer.classes)),
        shares=1_000,
        at=elsewhere.clock.now(),
    )
    assert (await elsewhere.state("issuer", issuer_id)).holdings[derive_id("stk", heir), next(iter(issuer.classes))]
    await act(elsewhere, heir, AdjustStockPlan, shares_reserved=2_000_000)
    assert (await elsewhere.state("issuer", issuer_id)).shares_reserved == 2_000_000
    await check_log(elsewhere.log)
    assert await find_faults(CapTableConsents, elsewhere.log) == []


async def test_a_safe_of_a_holder_without_a_key_passes_to_the_party_that_it_is(market):
    """An imported SAFE stayed with a holder that could not vote with it, and was not paid here in a sale."""
    heir, cat = await market.party("Heir", "startup", usd=900_000), await market.party("Cat", "fund")
    issuer_id, context = rename_id("iss", heir), market.context(heir)
    files = pack((STOCK, SAFE), plans=())
    await packages.import_issuer(market.handler, context, party_id=heir, files=files, source="package.zip")
    ((instrument_id, signed),) = (await market.state("issuer", issuer_id)).instruments.items()
    sides = {"holder_id": signed.holder_id, "holder_id_after": cat}
    with pytest.raises(Refusal) as caught:
        await instruments.transfer_instrument(market.handler, market.context(cat), instrument_id, **sides)
    assert caught.value.code == "instrument_unknown"
    context = market.context(heir)
    await instruments.transfer_instrument(market.handler, context, instrument_id, **sides)
    made = (await market.state("proposal", await consents.find_proposal(market.handler, context))).made
    assert {each.electorate for each in made.consents} == {f"holder/{cat}"}
    await agree_all(market, context)
    assert (await market.state("instrument", instrument_id)).holder_id == cat
    context = market.context(heir)
    sale = {"proceeds_usd": Decimal(900_000), "safe_seniority": 1}
    await issuers.declare_liquidity(market.handler, context, issuer_id, **sale)
    proposal_id = await consents.find_proposal(market.handler, context)
    asked = {each.electorate: each for each in (await market.state("proposal", proposal_id)).made.consents}
    assert [voter.party_id for voter in asked["instruments"].voters] == [cat]
    await agree_all(market, context)
    declared = (await market.state("issuer", issuer_id)).find_sale().declared
    assert instrument_id in {each.security for each in declared.waterfall.payouts if each.holder_id == cat}
    await check_log(market.log)
    for part in (CapTableConsents, CountedVotes):
        assert await find_faults(part, market.log) == []
    silent = await find_faults(CountedVotes, market.log, drop="proposal.agreed.v1")
    assert silent


async def test_a_package_with_problems_writes_nothing(market):
    trade = await market.trade()
    await invest(market, trade, 50_000)
    _, files = await export(market, trade.startup)
    damaged = {**files, "Transactions.ocf.json": files["Transactions.ocf.json"].replace(b"50000", b"60000")}
    heir = await market.party("Heir", "startup")
    before = (await market.log.health()).last_sequence
    named = {"party_id": heir, "files": damaged, "source": "package.zip"}
    judged = await packages.judge_import(market.handler, market.context(heir), **named)
    assert {each.code for each in judged.findings} >= {"md5_differs", "sidecar_differs"}
    with pytest.raises(Refusal) as caught:
        await packages.import_issuer(market.handler, market.context(heir), **named)
    assert caught.value.code == "package_refused"
    assert any("md5_differs" in problem for problem in caught.value.facts["problems"])
    assert (await market.log.health()).last_sequence == before


async def test_a_party_that_is_no_startup_or_another_tenants_is_refused(market):
    trade = await market.trade()
    await invest(market, trade, 50_000)
    _, files = await export(market, trade.startup)
    named = {"files": files, "source": "package.zip"}
    judged = await packages.judge_import(market.handler, market.context(trade.fund), party_id=trade.fund, **named)
    assert not judged.is_clean
    with pytest.raises(Refusal) as caught:
        await packages.import_issuer(market.handler, market.context(trade.fund), party_id=trade.startup, **named)
    assert caught.value.code == "party_unknown"


async def test_an_unknown_issuer_has_an_empty_history(market):
    unknown = rename_id("iss", await market.party("Heir", "startup"))
    assert await load_history(Histories(market.log), unknown) == History(unknown, ())
    assert await load_history(Histories(market.log), "nonsense") == History("nonsense", ())

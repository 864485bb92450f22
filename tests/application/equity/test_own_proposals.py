"""What a holder asks of the book: only what it does with its own securities, and nothing that tells of others'."""

from datetime import timedelta
from decimal import Decimal

import pytest

from marketplace.application.equity import issuers
from marketplace.application.equity.dilution import limit_dilution
from marketplace.auditor.deciders import Deciders
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.equity.issuer.commands import AddStakeholder
from marketplace.domain.equity.issuer.stock_commands import (
    AdjustAuthorisedShares,
    ConvertStock,
    OfferStock,
    RepurchaseStock,
    SplitStock,
    TransferStock,
)
from tests.application.equity.test_consents import build, propose, vote
from tests.application.equity.test_equity import act
from tests.application.equity.test_holder_terms import PAPER, agree_on
from tests.application.equity.test_hostile_pairs import ask
from tests.support.market.auditing import CapTableConsents, find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


def build_probes(market, angel, other):
    """Return what a small holder asked, and read others' holdings from the refusals."""
    of = {"holder_id": other, "class_id": "common", "shares": 9_999_999}
    offer = {"price_usd_per_share": Decimal(1), "decide_until": market.day(90), "at": market.clock.now()}
    back = {"price_usd_per_share": Decimal(1), "cause": "agreed", "approval": PAPER}
    id_ = derive_id("rep", angel)
    return {
        "buy back": (RepurchaseStock, {"repurchase_id": id_, **of, **back}),
        "convert": (ConvertStock, {"conversion_id": id_, **of, "class_id_after": "seed"}),
        "transfer": (
            TransferStock,
            {"transfer_id": id_, **of, "holder_id_after": angel, "approval": PAPER, "at": market.clock.now()},
        ),
        "offer": (OfferStock, {"transfer_id": id_, **of, "holder_id_after": angel, **offer}),
        "split": (SplitStock, {"split_id": id_, "numerator": 1, "denominator": 7, "approval": PAPER}),
        "authorise": (AdjustAuthorisedShares, {"class_id": "common", "shares_authorised": 1, "approval": PAPER}),
        "add": (AddStakeholder, {"holder_id": other, "name": "Other", "kind": "founder"}),
    }


@pytest.mark.parametrize("probe", ["buy back", "convert", "transfer", "offer", "split", "authorise", "add"])
async def test_a_holder_reads_nothing_of_others_from_what_it_may_not_propose(market, held, probe):
    trade, bank, angel = held
    command, members = build_probes(market, angel, bank)[probe]
    with pytest.raises(Refusal) as refused:
        await ask(market, angel, command, startup=trade.startup, **members)
    assert refused.value.code == "company_proposes"
    assert set(refused.value.facts) == {"party_id"}


async def test_a_holder_reads_no_principal_from_a_limit_nor_from_rounds_that_it_may_not_propose(market, held):
    trade, _, angel = held
    issuer_id, context = rename_id("iss", trade.startup), market.context(angel)
    limit = {"issuer_id": issuer_id, "dilution_max": Decimal("0.0001"), "valuation_usd": None}
    asked = (
        lambda: limit_dilution(market.handler, context, **limit),
        lambda: issuers.declare_liquidity(market.handler, context, issuer_id, proceeds_usd=Decimal(1)),
        lambda: issuers.abandon_financing(market.handler, context, issuer_id, "fin_none", reason="none"),
    )
    for one in asked:
        with pytest.raises(Refusal) as refused:
            await one()
        assert refused.value.code == "company_proposes"


async def test_a_seller_leaves_the_company_a_week_for_its_right_of_first_refusal(market, held):
    trade, bank, angel = held
    at = market.clock.now()
    offer = {"holder_id": angel, "holder_id_after": bank, "class_id": "common", "shares": 1, "at": at}
    offer |= {"transfer_id": derive_id("trf", angel), "price_usd_per_share": Decimal(1)}
    with pytest.raises(Refusal) as refused:
        await ask(market, angel, OfferStock, startup=trade.startup, **offer, decide_until=at + timedelta(seconds=2))
    assert (refused.value.code, refused.value.facts["days_min"]) == ("offer_window_short", 7)


@pytest.mark.parametrize("added_by_the_company", [False, True])
async def test_a_holder_sells_to_a_party_that_the_company_never_added(market, added_by_the_company):
    """Only the company adds stakeholders, so that a sale waited until it did."""
    trade = await build(market)
    buyer = await market.party("Buyer", "fund", usd=100)
    move = {"holder_id": trade.fund, "holder_id_after": buyer, "class_id": "common", "shares": 10}
    offer = {**move, "transfer_id": derive_id("trf", buyer), "at": market.clock.now()}
    offer |= {"price_usd_per_share": Decimal(1), "decide_until": market.clock.now() + timedelta(days=9)}
    assert await propose(market, trade.fund, trade.issuer, OfferStock, **offer) is None, "the seller's agreement is all"
    assert (await market.state("issuer", trade.issuer)).stakeholders[buyer].name == "Buyer"

    other = await market.party("Other", "fund")
    move |= {"holder_id_after": other, "transfer_id": derive_id("trf", other), "at": market.clock.now()}
    proposal_id = await propose(market, trade.fund, trade.issuer, TransferStock, **move)
    made = (await market.state("proposal", proposal_id)).made
    assert [each.type for each in made.effects] == ["issuer.stock_transferred.v1"]
    assert other not in (await market.state("issuer", trade.issuer)).stakeholders
    if added_by_the_company:
        await act(market, trade.startup, AddStakeholder, holder_id=other, name="Other", kind="investor")
    assert (await vote(market, other, proposal_id)).status == "open"
    assert (await vote(market, trade.startup, proposal_id)).status == "effective"
    issuer = await market.state("issuer", trade.issuer)
    assert (issuer.stakeholders[other].name, issuer.holdings[other, "common"]) == ("Other", 10)

    nobody = rename_id("pty", trade.order)
    with pytest.raises(Refusal) as refused:
        await propose(market, trade.fund, trade.issuer, OfferStock, **{**offer, "holder_id_after": nobody})
    assert refused.value.code in {"transfer_exists", "stakeholder_unknown"}
    assert await find_faults(CapTableConsents, market.log) == []
    assert await find_faults(Deciders, market.log) == []
    await check_log(market.log)


async def test_a_party_waives_its_pro_rata_right_before_it_is_a_stakeholder(market):
    trade = await build(market)
    later = await market.party("Later", "fund")
    await agree_on(market, trade, pro_rata_waived=(later,))
    issuer = await market.state("issuer", trade.issuer)
    assert (issuer.holder_terms.pro_rata_waived, issuer.stakeholders[later].name) == ((later,), "Later")
    await check_log(market.log)

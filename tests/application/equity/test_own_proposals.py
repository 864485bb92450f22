"""What a holder asks of the book: only what it does with its own securities, and nothing that tells of others'."""

from datetime import timedelta
from decimal import Decimal

import pytest

from marketplace.application.equity import issuers
from marketplace.application.equity.dilution import limit_dilution
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
from tests.application.equity.test_holder_terms import PAPER
from tests.application.equity.test_hostile_pairs import ask
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

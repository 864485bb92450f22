"""What may become preferred stock for less than its preference is refused by any investor, however small it is."""

from datetime import timedelta
from decimal import Decimal

import pytest

from events.mandate import MandateTerms
from events.types import MaturityConversion, NoteTerms
from marketplace.application.equity import consents, instruments, warrants
from marketplace.application.trading import mandates
from marketplace.core.ids import derive_id
from marketplace.domain.equity.issuer.commands import AddStakeholder
from marketplace.domain.equity.issuer.rights_commands import IssueWarrant
from marketplace.domain.equity.issuer.stock_commands import CreateStockClass
from marketplace.domain.equity.preemption import OVERCOME
from marketplace.domain.equity.proposal import PRO_RATA, WAIVED_AFTER
from tests.application.equity.test_equity import act
from tests.application.equity.test_holder_terms import list_asked, propose_sale
from tests.application.equity.test_hostile_variants import agree_open
from tests.support.market.agreeing import act_agreed
from tests.support.market.invariants import check_log
from tests.support.market.market import Market

STRIKE = Decimal("0.05")


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


@pytest.fixture
async def preferred(market, held):
    """Return the trade of a company with two classes whose preference is what a share costs, and ten times that."""
    trade, *_ = held
    for rank, (class_id, multiple) in enumerate((("even", 1), ("gold", 10)), 1):
        members = {"class_id": class_id, "kind": "preferred", "shares_authorised": 1_000_000, "seniority": rank}
        members |= {"price_per_share_usd": STRIKE, "liquidation_multiple": Decimal(multiple)}
        await act_agreed(market, trade.startup, CreateStockClass, **members)
    return trade


async def propose_warrant(market, trade, class_id):
    taker = await market.party("Straw", "fund")
    await act(market, trade.startup, AddStakeholder, holder_id=taker, name="Straw", kind="investor")
    terms = IssueWarrant(
        issuer_id=trade.issuer,
        warrant_id=derive_id("wrt", taker),
        holder_id=taker,
        class_id=class_id,
        shares=9,
        exercise_price_usd=STRIKE,
        expires_at=market.clock.now() + timedelta(days=900),
        settlement="either",
    )
    context = market.context(trade.startup)
    await warrants.issue_warrant(market.handler, context, terms)
    return await consents.find_proposal(market.handler, context)


async def propose_note(market, trade, class_id):
    """Propose a note that becomes stock at a cap that makes a share cost as much as the strike, and a bit more."""
    taker = await market.party("Straw", "fund", usd=1_000)
    usd = Decimal(1_000)
    rules = MandateTerms(
        instrument_kinds=("convertible_note",),
        equity_credit=Decimal(1),
        budget_usd=Decimal(0),
        direct_budget_usd=usd,
        note_days_min=1,
        issuer_usd_max=usd,
    )
    members = {"holder_id": taker, "funding": "cash", "terms": rules}
    mandate = await mandates.grant_mandate(market.handler, market.context(taker), **members)
    become = MaturityConversion(
        class_id=class_id, capitalization_definition="existing_fully_diluted", share_rounding="floor"
    )
    note = NoteTerms(
        annual_rate=Decimal("0.08"),
        interest="simple",
        day_count="thirty_360",
        matures_on=market.clock.at.date() + timedelta(days=400),
        valuation_cap_usd=Decimal(1_000_000),
        at_maturity=become,
    )
    members = {"startup_id": trade.startup, "mandate_id": mandate.id, "amount_usd": usd, "terms": note}
    context = market.context(trade.startup)
    await instruments.invest(market.handler, context, **members)
    return await consents.find_proposal(market.handler, context)


CLASSES = {
    "common stock": ("common", {propose_warrant: OVERCOME}),
    "a preference of what it costs": ("even", {propose_warrant: OVERCOME, propose_note: OVERCOME}),
    "a preference of more than it costs": ("gold", {propose_warrant: Decimal(1), propose_note: Decimal(1)}),
}
"""Which part of the investors overcomes the refusal of one of them, by class; none is asked about other notes."""


@pytest.mark.parametrize(("class_id", "shares"), CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("propose", [propose_warrant, propose_note])
async def test_any_investor_refuses_what_becomes_stock_that_ranks_before_it_for_less(
    market, held, preferred, propose, class_id, shares
):
    """Nine shares with a preference of a thousand times their price took a whole sale, over a refusal."""
    _, bank, _ = held
    proposal_id = await propose(market, preferred, class_id)
    _, share = (await list_asked(market, proposal_id)).get(PRO_RATA, (0, None))
    assert share == shares.get(propose)
    if share == 1:
        await consents.refuse(market.handler, market.context(bank), proposal_id, reason="it takes all of a sale")
        assert (await market.state("proposal", proposal_id)).status == "refused"
    else:
        market.clock.at += WAIVED_AFTER
        assert await agree_open(market, proposal_id) == "effective"
    await check_log(market.log)


@pytest.mark.parametrize(("class_id", "is_asked"), [("common", False), ("even", False), ("gold", True)])
async def test_a_sale_that_pays_a_right_less_than_the_preference_that_it_buys_asks_its_holder(
    market, preferred, class_id, is_asked
):
    """A fund paid for rights to preferred stock, and a sale for less than the preferences paid it nothing."""
    proposal_id = await propose_warrant(market, preferred, class_id)
    (holder_id,) = (each.removeprefix("holder/") for each in await list_asked(market, proposal_id) if "holder/" in each)
    market.clock.at += WAIVED_AFTER
    assert await agree_open(market, proposal_id) == "effective"
    sale, _ = await propose_sale(market, preferred, proceeds_usd=Decimal(100))
    assert (f"holder/{holder_id}" in await list_asked(market, sale)) is is_asked

"""Bonds as everybody sees them, and claims as those see them who pay for the grant."""

from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from events.bond import BondAnswered, BondClaimed, BondPosted, ClaimItem
from marketplace.log.memory import MemoryLog
from marketplace.projections.billing import bonds
from tests.projections.conftest import fill, project
from tests.projections.market import FUND, LOT, LOT_B, PROVIDER, START, STARTUP, STRANGER
from tests.projections.story import Story, make_id, usd

BOND = {"bond_id": make_id("bnd", 1), "party_id": PROVIDER}
CLAIM = {**BOND, "claim_id": make_id("bcl", 1), "startup_id": STARTUP, "holder_id": FUND}


def post(number, lot_id):
    return BondPosted(
        **BOND,
        account_id=make_id("acc", 2),
        posting_id=make_id("pst", number),
        lot_id=lot_id,
        hold_id=make_id("hld", number),
        amount_usd=usd("9000"),
        stands_until=START,
    )


CLAIMED = BondClaimed(
    **CLAIM,
    startup_account_id=make_id("acc", 1),
    grant_id=make_id("grt", 1),
    statement_id=None,
    lot_ids=(LOT,),
    items=(ClaimItem(remedy="make_whole", gpu_seconds=3_600, amount_usd=usd("1500")),),
    credited_usd=usd("0"),
    amount_usd=usd("1500"),
    made_at=START,
    answer_until=START + timedelta(days=3),
    by="holder",
)
SETTLED = BondAnswered(**CLAIM, outcome="decided", amount_usd=usd("0"), reason="it was delivered")


@pytest.mark.parametrize(("events", "open_usd"), [((CLAIMED,), 2_000), ((CLAIMED, SETTLED), 0)])
async def test_who_pays_for_a_grant_lists_its_claims_and_only_parts_that_may_pay_one_count_it(
    engine: AsyncEngine, memory_log: MemoryLog, events, open_usd
):
    story = Story()
    for event in (post(1, None), post(2, LOT), post(3, LOT_B), *events):
        story.tell(event)
    await fill(memory_log, story.recorded)
    await project(engine, memory_log, [bonds.PROJECTION])
    async with engine.connect() as connection:
        for party_id, count in ((STARTUP, 1), (FUND, 1), (PROVIDER, 1), (STRANGER, 0)):
            assert len(await bonds.list_claims(connection, party_id=party_id)) == count
        [seen] = await bonds.list_claims(connection, party_id=FUND)
        assert seen.claimed_by == "holder"
        parts = {part.lot_id: part.claims_open_usd for part in await bonds.list_bonds(connection)}
    assert parts == {None: open_usd, LOT: open_usd, LOT_B: 0}

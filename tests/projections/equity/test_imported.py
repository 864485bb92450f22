"""An imported issuer in the read models: its acts stand at their own times, and its rows are those of the package."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.application.equity import packages
from marketplace.core.ids import rename_id
from marketplace.execution.history import Histories, load_history
from marketplace.log.memory import MemoryLog
from marketplace.ocf.package import render_package
from marketplace.projections.engine.runner import Projector
from marketplace.projections.equity.cap_tables import load_cap_table
from marketplace.projections.registry import PROJECTIONS
from tests.application.equity.test_equity import deliver_all, invest
from tests.support.market.market import Market


@pytest.mark.timeout(300)
async def test_an_imported_issuer_is_projected_at_the_times_of_its_acts(engine: AsyncEngine):
    log = MemoryLog()
    market = Market(log)
    trade, _ = await deliver_all(market)
    await invest(market, trade, 50_000)
    ours, theirs = rename_id("iss", trade.startup), None
    files = render_package(await load_history(Histories(log), ours))
    heir = await market.party("Heir", "startup")
    await packages.import_issuer(market.handler, market.context(), party_id=heir, files=files, source="x.zip")
    theirs = rename_id("iss", heir)
    await Projector(log, engine, PROJECTIONS).catch_up()
    founded = (await load_history(Histories(log), ours)).acts[4].time
    async with engine.connect() as connection:
        for at in (None, founded):
            tables = [await load_cap_table(connection, issuer, at=at) for issuer in (ours, theirs)]
            rows = [sorted((row.kind, row.holder_id, row.shares) for row in table.rows) for table in tables]
            assert rows[0] == rows[1]
            assert rows[0]

"""What is no account is explained over HTTP too: service lines down to their hours, and what has no entries yet."""

from datetime import timedelta
from decimal import Decimal

from marketplace.core.ids import rename_id
from marketplace.log.memory import MemoryLog
from tests.api.stage import open_stage
from tests.application.billing.test_service_lines import Work
from tests.support.market.market import Market


async def test_service_lines_and_pools_are_explained_to_their_parties_from_the_first_instant(database_url):
    market = Market(MemoryLog())
    trade = await market.trade()
    stranger = await market.party("Stranger", "startup", "provider")
    _, unsold = await market.pool(trade.provider)
    async with market.worker():
        grant = await market.award(trade)
        market.clock.at = grant.issued.start
        work = Work(market, trade, grant)
        proposed = await work.propose()
        await work.agree(hours="30")
        market.clock.at += timedelta(days=5)
        assert await work.report(work.reading(1, "3.25")) == ["accepted"]
        issued = await work.pass_period(0)
        await work.accept(issued.issued.statement_id)
    async with open_stage(market.log, database_url) as stage:
        reach = {"Min-Seq": await stage.reach()}

        async def explain(client, subject_id, **query):
            query = {"limit": "50", **query}
            return await client.get(f"/v1/accounts/{subject_id}/explain", params=query, headers=reach)

        keys = {name: await stage.open_tenant(getattr(trade, name)) for name in ("startup", "provider", "fund")}
        for name, client in (*keys.items(), ("platform", stage.admin)):
            empty = (await explain(client, proposed)).json()
            assert (empty["balances"], empty["entries"], empty["next_cursor"]) == ([], [], None), name
            early = await explain(client, grant.issued.grant_id, at="1")
            assert (early.status_code, early.json()["balances"]) == (200, []), (name, early.text)
        for client in (keys["fund"], stage.admin):
            early = await explain(client, rename_id("ins", grant.issued.grant_id), at="1")
            assert (early.status_code, early.json()["balances"]) == (200, []), early.text
        for row in (await stage.admin.get("/v1/balances?limit=500", headers=reach)).json()["items"]:
            found = await stage.admin.get("/v1/entries", params={"account": row["account"]}, headers=reach)
            assert {one["account"] for one in found.json()["items"]} == {row["account"]}
        for name, client in (("startup", keys["startup"]), ("platform", stage.admin)):
            told = (await explain(client, work.line_id)).json()
            sums = {one["account"].rpartition("/")[2]: Decimal(one["amount"]) for one in told["balances"]}
            assert (sums["committed"], sums["delivered"], sums["accepted"]) == (Decimal("26.75"), 0, Decimal("3.25")), (
                name
            )
            paid = [one for one in told["entries"] if one["entry"]["tag"] == "statement.accepted.v1"]
            assert {reading["hours"] for one in paid for reading in one["cause"]["hours"]} == {"3.25"}
        for client in (keys["provider"], stage.admin):
            assert (await explain(client, unsold)).json()["balances"] == []
        outside = await stage.open_tenant(stranger)
        for client, subject_id, code in (
            (outside, work.line_id, "service_line_unknown"),
            (outside, proposed, "service_line_unknown"),
            (outside, unsold, "pool_unknown"),
            (keys["startup"], unsold, "pool_unknown"),
            (outside, f"svl_{'0' * 26}", "service_line_unknown"),
            (outside, grant.issued.grant_id, "grant_unknown"),
            (outside, rename_id("ins", grant.issued.grant_id), "instrument_unknown"),
        ):
            refused = await explain(client, subject_id)
            assert (refused.status_code, refused.json()["code"]) == (404, code)

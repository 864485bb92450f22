"""Over HTTP: what an auction tells while its engine fails, and after its last attempt."""

import asyncio
from datetime import timedelta

import pytest

from marketplace.core.errors import MarketplaceError, Refusal
from marketplace.log.memory import MemoryLog
from marketplace.runtime import worker
from marketplace.runtime.auctions import clearing
from marketplace.runtime.auctions.audit import load_published
from tests.api.stage import Stage, get_id, open_stage
from tests.api.test_commands import assert_problem
from tests.api.test_order_terms import TERMS
from tests.support.patience import PATIENCE_SECONDS

REASON = "the engine's process was ended by signal SIGKILL"


async def wait_for(stage: Stage, auction_id: str, *, is_last: bool) -> dict:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = (await stage.admin.get(f"/v1/auctions/{auction_id}")).json()
            if found["status"] == "failed" and (found["carried_out_at"] is not None) == is_last:
                return found
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("pause", [60, 0.005], ids=["after the first attempt", "after the last"])
async def test_an_auction_that_fails_says_so_and_why(monkeypatch, database_url: str, pause):
    def fail(opened, locked):
        raise MarketplaceError(REASON)

    monkeypatch.setattr(clearing, "clear_book", fail)
    monkeypatch.setattr(worker, "RETRY_SECONDS", pause)
    log = MemoryLog()
    async with open_stage(log, database_url, worker=True) as stage:
        startup_id = await stage.register("Startup", "startup", usd="100000")
        order_id = get_id(await stage.post(stage.admin, "/v1/orders", {"startup_id": startup_id, "terms": TERMS}))
        now = stage.services.handler.clock.now()
        body = {"locks_at": (now + timedelta(seconds=0.2)).isoformat(), "horizon_start": "2099-01-01T00:00:00Z"}
        body |= {"period_hours": 24, "periods": 9, "seed": 1}
        auction_id = get_id(await stage.post(stage.admin, "/v1/auctions", body))
        last = pause < 1
        found = await wait_for(stage, auction_id, is_last=last)
        assert (found["attempts"], found["reason"], found["certificate"]) == (3 if last else 1, REASON, None)
        for part in ("certificate", "audit"):
            answer = await stage.admin.get(f"/v1/auctions/{auction_id}/{part}")
            assert_problem(answer, 409, "auction_failed")
            told = answer.json()["detail"]
            assert REASON in told
            assert ("released its orders" if last else "retried automatically") in told
        with pytest.raises(Refusal, match="released its orders" if last else "retried automatically") as refused:
            await load_published(log, auction_id)
        assert refused.value.code == "auction_not_cleared"
        assert REASON in refused.value.message
        order = (await stage.admin.get(f"/v1/orders/{order_id}")).json()
        assert order["status"] == ("unmatched" if last else "locked")
        listed = (await stage.admin.get("/v1/auctions", params={"status": "failed"})).json()["items"]
        assert [one["auction_id"] for one in listed] == [auction_id]

"""Over HTTP: an API that has not read on yet still knows what other processes stored."""

import asyncio
from datetime import timedelta

from marketplace.application.trading.auctions import open_auction
from marketplace.core.ids import derive_command_id
from marketplace.execution.handler import Handler
from marketplace.execution.unit_of_work import Context
from marketplace.log.memory import MemoryLog
from marketplace.runtime.quotes import quoting
from tests.api.stage import build_terms, get_id, open_stage
from tests.api.test_commands import assert_problem


class LateLog:
    """A log whose followers get no page while `flow` is not set."""

    def __init__(self, log):
        self._log, self.flow = log, asyncio.Event()
        self.flow.set()

    def __getattr__(self, name):
        return getattr(self._log, name)

    async def read(self, after=0, *, follow=False):
        async for page in self._log.read(after, follow=follow):
            if follow:
                await self.flow.wait()
            yield page


async def test_an_auction_opened_by_another_process_binds_here_too(monkeypatch, database_url: str):
    log = LateLog(MemoryLog())
    async with open_stage(log, database_url) as stage:
        now = stage.services.handler.clock.now()
        startup_id = await stage.register("Startup", "startup", usd="100000")
        terms = build_terms(lambda days: (now + timedelta(days=days)).isoformat())
        order_id = get_id(await stage.post(stage.admin, "/v1/orders", {"startup_id": startup_id, "terms": terms}))
        tenant = await stage.open_tenant(startup_id)
        assert (await stage.post(tenant, "/v1/quotes", {"startup_id": startup_id, "terms": terms})).is_success
        log.flow.clear()
        begin = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        await open_auction(
            Handler(log, stage.services.handler.clock),
            Context(
                command_id=derive_command_id("platform", "elsewhere"), fingerprint="", actor="platform", party_id=None,
                at=now,
            ),
            locks_at=begin, no_cancel_at=now + timedelta(microseconds=1), horizon_start=begin, period_hours=24,
            periods=20, seed=1,
        )  # fmt: skip
        path, body = f"/v1/orders/{order_id}/cancel", {"reason": "changed plans"}
        monkeypatch.setattr(quoting, "BEHIND_SECONDS_MAX", 0.05)
        assert_problem(await stage.post(tenant, path, body), 503, "follower_behind")
        monkeypatch.undo()
        cancelling = asyncio.create_task(stage.post(tenant, path, body))
        await asyncio.sleep(0.05)
        log.flow.set()
        assert_problem(await cancelling, 409, "order_locked")
        assert (await tenant.get(f"/v1/orders/{order_id}")).json()["status"] == "open"

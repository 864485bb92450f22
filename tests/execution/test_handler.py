"""What a command promises, whatever log it runs on: once, for ever, and read from the log only when it must be."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from events.subjects import render_subject
from marketplace.application.access import parties
from marketplace.application.billing import accounts
from marketplace.application.supply import inventory
from marketplace.application.trading import orders
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.domain.trading.order import ORDER
from marketplace.execution import unit_of_work
from marketplace.execution.follower import Follower
from marketplace.execution.scheduled_context import build_context
from marketplace.log import codec
from tests.support.market.market import Market
from tests.support.market.meddling import Meddling
from tests.support.patience import PATIENCE_SECONDS


async def count_events(log):
    return (await log.health()).last_sequence


async def suspend(market, party_id, **more):
    context = market.context(**more)
    return await parties.suspend_party(market.handler, context, party_id, reason="checks failed")


async def transfer(market, party_id, usd, key="k"):
    context, account = market.context(key=key, fingerprint=party_id), rename_id("acc", party_id)
    return await accounts.deposit(
        market.handler, context, account, amount_usd=Decimal(usd), reference=f"wire to {party_id}"
    )


class HandlerCases:
    async def test_a_repeated_command_answers_as_the_first_time_also_after_a_restart(self, log):
        market = Market(log)
        startup = await market.party("Startup", "startup", usd=10_000)
        first = await market.place(startup, key="k", fingerprint="f")
        before = await count_events(log)
        market.clock.at += timedelta(seconds=1)
        again = await market.place(startup, key="k", fingerprint="f")
        restarted = await market.process("two").place(startup, key="k", fingerprint="f")
        assert (again.id, again.sequence, again.version, again.repeated) == (
            first.id,
            first.sequence,
            first.version,
            True,
        )
        assert restarted == again
        assert await count_events(log) == before

    async def test_a_repeat_in_another_process_leaves_what_it_once_created_as_the_log_holds_it(self, log):
        market = Market(log)
        startup = await market.party("Startup", "startup", usd=10_000)
        first, second = await market.place(startup, key="k"), market.process("two")
        follower = Follower(second.handler)
        await follower.start()  # past the order's events, so that it brings none of them
        assert (await second.place(startup, key="k")).repeated
        order = (await second.handler.cache.load(ORDER, first.id)).state
        assert order is not None
        assert order.placed.order_id == first.id

    async def test_a_repeat_answers_with_the_version_that_it_made_though_more_has_happened(self, log):
        market = Market(log)
        startup = await market.party("Startup", "startup", usd=10_000)
        first = await market.place(startup, key="k")
        await market.cancel(startup, first.id)
        again = await market.process("two").place(startup, key="k")
        assert (again.version, again.sequence) == (first.version, first.sequence)

    async def test_a_repeat_is_answered_though_it_would_be_refused_by_now(self, log):
        market = Market(log)
        startup = await market.party("Startup", "startup", usd=2_304)
        first = await market.place(startup, key="k")
        await parties.suspend_party(market.handler, market.context(), startup, reason="checks failed")
        market.clock.at = market.day(60)
        again = await market.process("two").place(startup, key="k")
        assert (again.id, again.sequence, again.repeated) == (first.id, first.sequence, True)

    async def test_the_same_id_with_other_content_is_refused(self, log):
        market = Market(log)
        startup = await market.party("Startup", "startup", usd=10_000)
        await market.place(startup, key="k", fingerprint="f")
        for process in (market, market.process("two")):
            with pytest.raises(Refusal) as caught:
                await process.place(startup, key="k", fingerprint="other")
            assert caught.value.code == "idempotency_key_reused"

    async def test_the_same_id_while_it_is_at_work_is_refused(self, log):
        held = Meddling(log)
        market = Market(held)
        startup = await market.party("Startup", "startup", usd=10_000)
        held.hold()
        first = asyncio.create_task(market.place(startup, key="k"))
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as caught:
            await market.place(startup, key="k")
        assert caught.value.code == "command_in_flight"
        held.let_go()
        receipt = await first
        assert (await market.place(startup, key="k")).id == receipt.id

    async def test_two_processes_with_the_same_id_at_once_do_it_once(self, log):
        market = Market(log)
        startup = await market.party("Startup", "startup", usd=10_000)
        processes = [market.process(f"p{number}") for number in range(4)]
        receipts = await asyncio.gather(*(process.place(startup, key="k") for process in processes))
        assert len({(receipt.id, receipt.sequence, receipt.version) for receipt in receipts}) == 1
        assert len((await market.account(startup)).holds) == 1

    async def test_a_stale_version_is_refused_and_changes_nothing(self, log):
        market = Market(log)
        provider = await market.party("Provider", "provider")
        _, pool = await market.pool(provider)
        lot = await market.lot(provider, pool)
        version = (await log.load(render_subject("lot", lot)))[-1].sequence
        receipt = await self.reprice(market, provider, lot, "3", version)
        assert receipt.version > version
        before = await count_events(log)
        for process in (market, market.process("two")):
            with pytest.raises(Refusal) as caught:
                await self.reprice(process, provider, lot, "4", version)
            assert (caught.value.code, caught.value.facts["version"]) == ("version_stale", receipt.version)
        assert await count_events(log) == before
        await self.reprice(market, provider, lot, "4", receipt.version)

    async def test_of_two_at_once_with_the_same_version_one_wins(self, log):
        market = Market(log)
        provider = await market.party("Provider", "provider")
        _, pool = await market.pool(provider)
        lot = await market.lot(provider, pool)
        version = (await log.load(render_subject("lot", lot)))[-1].sequence
        for start, processes in ((3, [market, market]), (5, [market, market.process("two")])):
            answers = await asyncio.gather(
                *(self.reprice(one, provider, lot, f"{start + index}", version) for index, one in enumerate(processes)),
                return_exceptions=True,
            )
            assert [getattr(answer, "code", "accepted") for answer in answers].count("version_stale") == 1
            version = next(answer.version for answer in answers if not isinstance(answer, Refusal))

    async def reprice(self, market, provider, lot, ask, version):
        context = market.context(provider, if_match=version)
        return await inventory.reprice_lot(market.handler, context, lot, ask_usd_per_gpu_hour=Decimal(ask))

    async def test_the_happy_path_reads_nothing(self, log):
        counted = Meddling(log)
        market = Market(counted)
        startup = await market.party("Startup", "startup", usd=100_000)
        await market.order(startup)
        counted.loads.clear()
        orders = [await market.order(startup) for _ in range(5)]
        await market.cancel(startup, orders[0])
        assert counted.loads == []

    async def test_a_conflict_reads_only_the_tail(self, log):
        counted = Meddling(log)
        market = Market(counted)
        startup = await market.party("Startup", "startup", usd=100_000)
        await market.order(startup)
        account = render_subject("account", rename_id("acc", startup))
        known = (await log.load(account))[-1].sequence
        await market.process("two", log).order(startup)
        counted.loads.clear()
        await market.order(startup)
        assert [after for subject, after in counted.loads if subject == account] == [known]

    async def test_a_conflict_of_many_on_one_account_reads_its_tail_once(self, log):
        counted = Meddling(log)
        market = Market(counted)
        startup = await market.party("Startup", "startup", usd=1_000_000)
        await market.order(startup)
        account = render_subject("account", rename_id("acc", startup))
        known = (await log.load(account))[-1].sequence
        await market.process("two", log).order(startup)
        counted.loads.clear()
        await asyncio.gather(*(market.order(startup) for _ in range(16)))
        reads = [after for subject, after in counted.loads if subject == account]
        assert reads == [known]
        assert len((await market.account(startup)).holds) == 18

    async def test_what_is_only_looked_at_is_refreshed_by_the_follower(self, log):
        market = Market(log)
        startup = await market.party("Startup", "startup", usd=100_000)
        await market.order(startup)
        follower = Follower(market.handler)
        await follower.start()
        seen = asyncio.Event()
        follower.listen(lambda _: seen.set())
        task = asyncio.create_task(follower.run())
        try:
            other = market.process("two")
            receipt = await parties.suspend_party(other.handler, other.context(), startup, reason="checks failed")
            await asyncio.wait_for(seen.wait(), PATIENCE_SECONDS)
            assert follower.position == receipt.sequence
            with pytest.raises(Refusal) as caught:
                await market.order(startup)
            assert caught.value.code == "party_not_cleared"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def test_a_refusal_is_confirmed_on_what_the_log_holds(self, log):
        market, other = Market(log), Market(log, "two")
        startup = await market.party("Startup", "startup", usd=1)
        with pytest.raises(Refusal) as caught:
            await market.order(startup)
        assert caught.value.code == "funds_insufficient"
        await accounts.deposit(
            other.handler,
            other.context(),
            rename_id("acc", startup),
            amount_usd=Decimal(100_000),
            reference="a wire that another process recorded",
        )
        await market.order(startup)

    async def test_what_changes_nothing_is_confirmed_at_the_end_of_the_log(self, log):
        market, other = Market(log), Market(log, "two")
        startup = await market.party("Startup", "startup")
        suspended = await suspend(market, startup)
        await parties.clear_party(other.handler, other.context(), startup, checks=("again",))
        again = await suspend(market, startup)
        assert again.sequence > suspended.sequence
        assert (await market.state("party", startup)).status == "suspended"

    async def test_what_changes_nothing_is_refused_where_the_version_is_not_that_of_the_log(self, log):
        market, other = Market(log), Market(log, "two")
        startup = await market.party("Startup", "startup")
        suspended = await suspend(market, startup)
        cleared = await parties.clear_party(other.handler, other.context(), startup, checks=("again",))
        with pytest.raises(Refusal) as caught:
            await suspend(market, startup, if_match=suspended.version)
        assert (caught.value.code, caught.value.facts["version"]) == ("version_stale", cleared.version)

    async def test_a_conflict_brings_what_was_only_looked_at_up_to_date(self, log):
        held = Meddling(log)
        market, other = Market(held), Market(log, "two")
        startup = await market.party("Startup", "startup", usd=100_000)
        await market.order(startup)

        async def suspend_and_withdraw():
            await suspend(other, startup)
            account = rename_id("acc", startup)
            await accounts.withdraw(
                other.handler, other.context(), account, amount_usd=Decimal(1), reference="a wire that goes out first"
            )

        held.before["marketplace.order.placed.v1"] = suspend_and_withdraw
        with pytest.raises(Refusal) as caught:
            await market.order(startup)
        assert caught.value.code == "party_not_cleared"

    async def test_an_append_that_cannot_be_sealed_leaves_nothing_in_memory(self, log, monkeypatch):
        market = Market(log)
        startup = await market.party("Startup", "startup", usd=100_000)
        seal = codec.seal

        def fail(subject, *rest):
            if subject.startswith("marketplace.order."):
                raise AssertionError("a header cannot carry this")
            return seal(subject, *rest)

        with monkeypatch.context() as patched:
            patched.setattr(unit_of_work, "seal", fail)
            with pytest.raises(AssertionError):
                await market.order(startup)
        async with asyncio.timeout(5):
            await market.order(startup)
        assert len((await market.account(startup)).holds) == 1

    async def test_a_command_that_changes_nothing_is_recorded_and_does_nothing_later(self, log):
        market = Market(log)
        provider = await market.party("Provider", "provider")
        _, pool = await market.pool(provider)
        lot = await market.lot(provider, pool)

        async def pause(process, key):
            return await inventory.pause_lot(process.handler, process.context(provider, key=key), lot, reason="repairs")

        paused = await pause(market, "a")
        again = await pause(market, "b")
        assert (again.version, again.repeated) == (paused.version, False)
        assert again.sequence == await count_events(log)
        await inventory.resume_lot(market.handler, market.context(provider), lot)
        before = await count_events(log)
        for process in (market, market.process("two")):
            assert await pause(process, "b") == replace(again, repeated=True)
        assert (await market.state("lot", lot)).status == "listed"
        assert await count_events(log) == before

    async def test_a_worker_s_command_that_changes_nothing_leaves_no_record(self, log):
        market = Market(log)
        startup = await market.party("Startup", "startup", usd=10_000)
        order = await market.order(startup)
        await market.cancel(startup, order)
        before = await count_events(log)
        for _ in range(3):
            context = build_context(market.handler, "timers", order, "cancel again")
            receipt = await orders.cancel_order(market.handler, context, order, reason="due")
            assert not receipt.repeated
        assert await count_events(log) == before

    async def test_a_key_names_one_command_whatever_the_target(self, log):
        market = Market(log)
        first, second = [await market.party(name, "startup") for name in ("One", "Two")]
        await transfer(market, first, 5)
        before = await count_events(log)
        for process in (market, market.process("two")):
            with pytest.raises(Refusal) as caught:
                await transfer(process, second, 7)
            assert caught.value.code == "idempotency_key_reused"
        assert await count_events(log) == before

    async def test_of_two_processes_with_one_key_and_two_targets_at_once_one_is_refused(self, log):
        market = Market(log)
        for number in range(8):
            targets = [await market.party(f"{name} {number}", "startup") for name in ("One", "Two", "Three")]
            answers = await asyncio.gather(
                *(transfer(market.process(one), one, 5, key=f"k{number}") for one in targets), return_exceptions=True
            )
            codes = [getattr(answer, "code", "accepted") for answer in answers]
            assert sorted(codes) == ["accepted", "idempotency_key_reused", "idempotency_key_reused"]


class TestOnMemory(HandlerCases):
    @pytest.fixture
    def log(self, memory_log):
        return memory_log


class TestOnJetStream(HandlerCases):
    @pytest.fixture
    def log(self, jetstream_log):
        return jetstream_log

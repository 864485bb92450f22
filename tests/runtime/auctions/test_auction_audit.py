"""A cleared auction is taken out of the log, run again to the identical certificate, exported and checked elsewhere."""

import pytest

from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id
from marketplace.log.memory import MemoryLog
from marketplace.runtime.auctions import audit
from marketplace.runtime.auctions.audit import load_published, repeat
from tests.runtime.auctions.test_auctions import build
from tests.support.commands import run_command
from tests.support.market.market import Market
from tests.support.servers import open_log


async def clear_on(log):
    """Run an auction in which some win and some lose, and return its id."""
    market, trade = await build(log)
    async with market.worker():
        await market.award(trade)
    return trade.auction


async def test_the_engine_run_again_on_the_frozen_book_gives_the_identical_certificate():
    log = MemoryLog()
    auction = await clear_on(log)
    published = await load_published(log, auction)
    assert {decision.match is None for decision in published.clearing.decisions} == {True, False}
    certificate = published.clearing.certificate
    assert repeat(published) == certificate
    assert certificate.price_loss_max is not None
    assert 0 <= certificate.price_loss_max <= certificate.gap
    assert certificate.price_loss_kind == "optimum"
    assert certificate.welfare_usd <= certificate.dual_bound_usd <= certificate.lp_bound_usd


async def test_another_release_is_not_asked_to_repeat(monkeypatch):
    log = MemoryLog()
    published = await load_published(log, await clear_on(log))
    monkeypatch.setattr(audit, "ENGINE_VERSION", "clearing-of-tomorrow")
    with pytest.raises(Refusal) as refused:
        repeat(published)
    assert refused.value.code == "engine_differs"


async def test_an_auction_that_is_unknown_or_has_no_result_is_refused():
    market = Market(MemoryLog())
    auction = await market.auction()
    for auction_id, code in (
        (auction, "auction_not_cleared"),
        (derive_id("auc", auction, "unknown"), "auction_not_found"),
    ):
        with pytest.raises(Refusal) as refused:
            await load_published(market.log, auction_id)
        assert refused.value.code == code


async def run_auction(*arguments):
    return await run_command("auction", *arguments)


async def test_the_commands_verify_an_id_on_the_log_and_an_export_without_it(nats_server, tmp_path):
    async with open_log(nats_server) as log:
        auction = await clear_on(log)
        code, told = await run_auction("verify", auction, "--nats-url", nats_server.url)
        assert code == 0, told
        assert "the identical certificate" in told
        assert "every rule holds" in told
        code, told = await run_command(
            "auction", "export", auction, "--to", str(tmp_path / "out"), "--nats-url", nats_server.url
        )
        assert code == 0, told
        code, told = await run_command(
            "auction", "verify", derive_id("auc", auction, "unknown"), "--nats-url", nats_server.url
        )
        assert code == 2
        assert "auction_not_found" in told
    code, told = await run_auction("verify", str(tmp_path / "out"))
    assert code == 0, told
    assert "every rule holds" in told

"""`marketplace up --sandbox`: a small market to try, with a key per role and an auction soon after each order.

The market is the part of the demo's scenario around one startup, one fund and one provider. Its keys are kept in
`sandbox/keys.json` of the data folder. `sandbox/env` gives them and the servers' addresses to a shell. Market time can
be moved by the platform's key, as on every embedded market.
"""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import httpx
import msgspec

from events.order import OrderTerms
from marketplace.cli.demo.play import SEED, Play, name_mandate
from marketplace.cli.demo.setup import set_up
from marketplace.cli.scenario import load_scenario
from marketplace.cli.scenario.market import Scenario
from marketplace.client import MarketplaceClient, ProblemError
from marketplace.core.errors import Unavailable
from marketplace.core.horizon import Horizon
from marketplace.domain.trading.order_terms import DAY, find_window
from marketplace.embedded.folder import write_private

STARTUP: Final = "protein"
FUND: Final = "growth-fund"
PROVIDER: Final = "north"
MANDATE: Final = "growth-fund"
LOT_DAYS: Final = 180
AUCTION_DAYS: Final = 28
RUN_DAYS: Final = 2
INSTANT: Final = "%Y-%m-%dT%H:%M:%SZ"
LOCK_SECONDS: Final = 10
POLL_SECONDS: Final = 1.0
Tell = Callable[[str], None]


class _Sandbox(Play):
    """The play of a small market, which remembers its keys."""

    def __init__(self, platform: MarketplaceClient, api_url: str) -> None:
        super().__init__(cut(load_scenario()), platform, api_url)
        self.tokens: dict[str, str] = {}

    def enter(self, key: str, token: str) -> None:
        """See `Play.enter`."""
        super().enter(key, token)
        self.tokens[key] = token


def cut(scenario: Scenario) -> Scenario:
    """Return the part of a scenario around one startup, one fund and one provider, with lots for half a year."""
    sites = tuple(site for site in scenario.sites if site.provider == PROVIDER and site.conversion is None)
    pools = tuple(pool for pool in scenario.pools if pool.site in {site.key for site in sites})
    lots = tuple(
        msgspec.structs.replace(lot, from_day=0, to_day=LOT_DAYS, duration_hours_min=1, mandates=(MANDATE,))
        for lot in {lot.pool: lot for lot in scenario.lots}.values()
        if lot.pool in {pool.key for pool in pools}
    )
    return msgspec.structs.replace(
        scenario,
        providers=tuple(one for one in scenario.providers if one.key == PROVIDER),
        sites=sites,
        pools=pools,
        lots=lots,
        funds=tuple(one for one in scenario.funds if one.key == FUND),
        mandates=tuple(one for one in scenario.mandates if one.key == MANDATE),
        startups=tuple(one for one in scenario.startups if one.key == STARTUP),
    )


async def open_sandbox(
    platform: MarketplaceClient, platform_key: str, api_url: str, folder: Path, servers: dict[str, str]
) -> Path:
    """Set up the market on the first call, and write a file of variables for a shell. Return the file.

    A later call keeps the market and its keys, and writes the file anew.

    Args:
        platform: The operator's client.
        platform_key: The operator's key.
        api_url: Where the API answers now.
        folder: Where keys and variables are kept, readable by their owner only.
        servers: The variables of the servers' addresses, which other commands of `marketplace` read.
    """
    known = _load_keys(folder)
    now = (await platform.clock.get()).now
    if not known:
        play = _Sandbox(platform, api_url)
        play.first_day = _find_midnight(now)
        try:
            await set_up(play, lambda _: None)
            (issuer,) = [one async for one in play.client(STARTUP).issuers.list()]
        finally:
            await play.close()
        known = {
            "ADMIN_KEY": platform_key,
            "STARTUP_KEY": play.tokens[STARTUP],
            "FUND_KEY": play.tokens[FUND],
            "PROVIDER_KEY": play.tokens[PROVIDER],
            "STARTUP_ID": play.ids[STARTUP],
            "ISSUER_ID": issuer.issuer_id,
            "MANDATE_ID": play.ids[name_mandate(MANDATE)],
        }
        write_private(folder / "keys.json", json.dumps(known))
    first = _find_midnight(now)
    dates = {"START": f"{first:{INSTANT}}", "END": f"{first + timedelta(days=RUN_DAYS):{INSTANT}}"}
    variables = {"API": api_url} | known | dates | servers
    write_private(folder / "env", "".join(f"export {name}='{value}'\n" for name, value in variables.items()))
    return folder / "env"


def _load_keys(folder: Path) -> dict[str, str]:
    """Return the keys of the last start; none before the market was set up."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    keys = folder / "keys.json"
    return dict(json.loads(keys.read_bytes())) if keys.exists() else {}


def _find_midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)


async def hold_auctions(platform: MarketplaceClient, tell: Tell) -> None:
    """Open an auction soon after each new order, until cancelled.

    Orders that stay open after an auction take part in the next one, which is opened after the next new order.
    """
    seen: set[str] = set()
    while True:
        try:
            waiting = {order.order_id: order.terms async for order in platform.orders.list(status="open")}
            if waiting.keys() - seen:
                auction_id = await _open_auction(platform, [waiting[each] for each in waiting.keys() - seen])
                tell(f"auction {auction_id} collects orders and locks in {LOCK_SECONDS} s")
                status = await _wait_until_over(platform, auction_id)
                tell(f"auction {auction_id} is {status}")
                seen = set(waiting)
        except (ProblemError, Unavailable, httpx.TransportError) as error:
            tell(f"no auction for now: {error}")
        await asyncio.sleep(POLL_SECONDS)


async def _open_auction(platform: MarketplaceClient, asked: list[OrderTerms]) -> str:
    """Open an auction of days, or of hours if an order that is asked for fits no days."""
    now = (await platform.clock.get()).now
    days = Horizon(_find_midnight(now) - DAY, DAY, AUCTION_DAYS)
    is_daily = all(find_window(terms, days) is not None for terms in asked)
    return (
        await platform.auctions.open(
            locks_at=now + timedelta(seconds=LOCK_SECONDS),
            horizon_start=days.start,
            period_hours=24 if is_daily else 1,
            periods=AUCTION_DAYS if is_daily else AUCTION_DAYS * 24,
            seed=SEED,
        )
    ).id


async def _wait_until_over(platform: MarketplaceClient, auction_id: str) -> str:
    while True:
        auction = await platform.auctions.get(auction_id)
        if auction.is_over:
            return auction.status
        await asyncio.sleep(POLL_SECONDS)

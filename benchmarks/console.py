"""How long the console's pages take on a running market, and how soon an open page shows an event.

    uv run marketplace demo --data DATA && uv run marketplace up --data DATA
    uv run python -m benchmarks.console http://127.0.0.1:8000 ADMIN_KEY [--orders 10000] [--live 10]

The pages of every desk are asked one after the other, as a browser that waits for each: the operator's, and those of a
startup, its provider and its holder, for which it issues keys. The 95th percentile of each must stay under 200 ms.
`--orders` first places orders until the startup has so many. `--live` opens pages in Chromium, and measures so many
times how long after the request that appends an event a page shows it; the median must stay under a second. Exits with
1 where something is slower.
"""

import argparse
import asyncio
import re
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import httpx
from playwright.async_api import Page, async_playwright

from events.order import ClassOffer, OrderTerms
from marketplace.client import MarketplaceClient
from tests.support.browser import find_browser

LIMIT_MILLISECONDS = 200
LIVE_LIMIT_MILLISECONDS = 1_000
SHARE = 0.95
AT_ONCE = 16
_CHANGED = "([path, before]) => document.querySelector(path).innerText !== before"


class Market(NamedTuple):
    """A played market: its platform, a grant with equity, and a key of each of its desks."""

    platform: MarketplaceClient
    grant: dict[str, Any]
    keys: dict[str, str]


async def main() -> int:
    """Ask every page and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("key")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--orders", type=int, default=0)
    parser.add_argument("--live", type=int, default=0)
    options = parser.parse_args()
    slow: list[str] = []
    async with MarketplaceClient(options.url, options.key) as platform:
        market = await find_market(platform, options.key)
        if options.orders:
            await place_orders(market, options.url, options.orders)
        for desk, paths in (await list_pages(market)).items() if options.rounds else ():
            async with httpx.AsyncClient(base_url=options.url, timeout=60) as browser:
                await sign_in(browser, market.keys[desk])
                slow += [path for path in paths if not await is_quick(browser, desk, path, options.rounds)]
        if options.live:
            slow += await measure_live(market, options.url, options.live)
    return 1 if slow else 0


async def find_market(platform: MarketplaceClient, key: str) -> Market:
    """Return what to show to whom: the parties of the last grant that is in part for equity."""
    grants = await find(platform, "grants", limit=500)
    grant = next(one for one in grants if one["equity"] is not None)
    instrument = await platform.get(f"/v1/instruments/{grant['equity']['instrument_id']}", dict[str, Any])
    parties = {"startup": grant["startup_id"], "provider": grant["provider_id"], "holder": instrument["holder_id"]}
    keys = {"operator": key}
    for desk, party in parties.items():
        keys[desk] = (await platform.api_keys.issue(name=f"console {desk}", scopes=("*",), party_id=party)).token
    return Market(platform, {**grant, "issuer_id": instrument["issuer_id"]}, keys)


async def find(client: MarketplaceClient, kind: str, **query: Any) -> list[dict[str, Any]]:
    """Return the first page of a list."""
    items: list[dict[str, Any]] = (await client.get(f"/v1/{kind}", dict[str, Any], **query))["items"]
    assert items, f"/v1/{kind} is empty; play a market first"
    return items


async def place_orders(market: Market, url: str, count: int) -> None:
    """Place orders of a startup until there are so many, each for one cent an hour."""
    startup, begun = market.grant["startup_id"], time.perf_counter()
    account = "acc" + startup[3:]
    await market.platform.accounts.deposit(account, amount_usd=Decimal(2 * count), reference=f"bench-{time.time_ns()}")
    now = (await market.platform.clock.get()).now
    terms = OrderTerms(
        nodes=1,
        duration_hours=24,
        start_earliest=now + timedelta(days=20),
        start_latest=now + timedelta(days=60),
        offers=(
            ClassOffer(
                gpu_class=market.grant["gpu_class"],
                cash_usd_per_gpu_hour=Decimal("0.01"),
                equity_usd_per_gpu_hour=Decimal(0),
            ),
        ),
    )
    left = iter(range(count))
    async with MarketplaceClient(url, market.keys["startup"]) as client:

        async def place() -> None:
            for _ in left:
                await client.orders.place(startup_id=startup, terms=terms)

        await asyncio.gather(*(place() for _ in range(AT_ONCE)))
    print(f"placed {count} orders in {time.perf_counter() - begun:.0f} s")


async def sign_in(browser: httpx.AsyncClient, key: str) -> None:
    """Begin a session."""
    page = (await browser.get("/console/sign-in")).text
    token = re.search(r'name="_csrf_token" value="([^"]+)"', page)
    assert token is not None, page
    answer = await browser.post("/console/sign-in", data={"key": key, "_csrf_token": token[1]})
    assert answer.status_code == httpx.codes.SEE_OTHER, answer.text


async def list_pages(market: Market) -> dict[str, list[str]]:
    """Return the pages of each desk, with the first of each kind of thing."""
    platform, grant = market.platform, market.grant
    auction = (await find(platform, "auctions", limit=1))[0]["auction_id"]
    lot = (await find(platform, "lots", limit=1, provider_id=grant["provider_id"]))[0]["lot_id"]
    statement = (await find(platform, "statements", limit=1, grant_id=grant["grant_id"]))[0]["statement_id"]
    lists = "operator queues auctions orders events parties keys projections grants statements market"
    table = f"cap-tables/{grant['issuer_id']}"
    pages = {
        "operator": [
            *lists.split(),
            f"auctions/{auction}",
            f"auctions/{auction}?decided=won",
            f"orders/{grant['order_id']}",
            f"parties/{grant['startup_id']}",
            f"history/{grant['grant_id']}",
            "events/1000",
        ],
        "startup": [
            *["orders", "orders?status=open", "orders/new", "grants", "statements", "account", "proposals"],
            f"orders/{grant['order_id']}",
            f"grants/{grant['grant_id']}",
            f"statements/{statement}",
            table,
            f"{table}/rounds",
        ],
        "provider": [
            *["supply", "grants", "statements", "earnings", "account"],
            f"supply/pools/{grant['pool_id']}",
            f"supply/lots/{lot}",
        ],
        "holder": ["portfolio", "proposals", table, f"{table}/rounds", f"{table}/sale", "account"],
    }
    return {desk: [f"/console/{name}" for name in names] for desk, names in pages.items()}


async def is_quick(browser: httpx.AsyncClient, desk: str, path: str, rounds: int) -> bool:
    """Ask a page several times and print its times."""
    times = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        answer = await browser.get(path)
        times.append(1_000 * (time.perf_counter() - begun))
        assert answer.status_code == httpx.codes.OK, f"{path}: {answer.status_code}"
    times = sorted(times[1:])
    high = times[min(len(times) - 1, int(SHARE * len(times)))]
    return _tell(desk, path, times, high, LIMIT_MILLISECONDS)


def _tell(desk: str, path: str, times: list[float], high: float, limit: int) -> bool:
    verdict = "" if high <= limit else f"  slower than {limit} ms"
    middle = statistics.median(times)
    print(f"{desk:9}{path:52}  median {middle:6.1f} ms  p95 {high:6.1f} ms{verdict}", flush=True)
    return high <= limit


async def measure_live(market: Market, url: str, rounds: int) -> list[str]:
    """Return the pages whose median time from the request that appends an event to its sight is too long."""
    startup, provider = market.grant["startup_id"], market.grant["provider_id"]
    lot = next(one for one in await find(market.platform, "lots", provider_id=provider) if one["status"] == "listed")

    async def pay() -> None:
        await market.platform.accounts.deposit(
            "acc" + startup[3:], amount_usd=Decimal(1), reference=f"bench-{time.time_ns()}"
        )

    async def pause() -> None:
        await market.platform.accounts.deposit(
            "acc" + provider[3:], amount_usd=Decimal(1), reference=f"bench-{time.time_ns()}"
        )
        one = await market.platform.lots.get(lot["lot_id"])
        async with MarketplaceClient(url, market.keys["provider"]) as client:
            await (
                client.lots.pause(one.lot_id, reason="bench")
                if one.status == "listed"
                else client.lots.resume(one.lot_id)
            )

    async def vouch() -> None:
        await market.platform.accounts.deposit(
            "acc" + provider[3:], amount_usd=Decimal(1), reference=f"bench-{time.time_ns()}"
        )
        until = (await market.platform.clock.get()).now + timedelta(days=90)
        async with MarketplaceClient(url, market.keys["provider"]) as client:
            await client.bonds.post(party_id=provider, amount_usd=Decimal(1), stands_until=until)

    acts: list[tuple[str, str, str, Callable[[], Awaitable[None]]]] = [
        ("operator", "/console/operator", "#head", pay),
        ("startup", "/console/account", ".figures", pay),
        ("provider", f"/console/supply/lots/{lot['lot_id']}", ".head .state", pause),
        ("provider", "/console/supply", "main", pause),
        ("provider", "/console/earnings", "main", vouch),
    ]
    slow = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        for desk, path, shown, act in acts:
            page = await browser.new_page(base_url=url)
            await page.goto("/console/sign-in")
            await page.keyboard.type(market.keys[desk])
            await page.keyboard.press("Enter")
            await page.locator("header .who").wait_for()
            await page.goto(path)
            times = sorted([await measure(page, shown, act) for _ in range(rounds)])
            if not _tell(desk, path, times, statistics.median(times), LIVE_LIMIT_MILLISECONDS):
                slow.append(path)
            await page.close()
        await browser.close()
    return slow


async def measure(page: Page, shown: str, act: Callable[[], Awaitable[None]]) -> float:
    """Return the milliseconds from an act to its sight on the page."""
    await page.wait_for_timeout(2_000)
    before = await page.locator(shown).first.inner_text()
    begun = time.perf_counter()
    await act()
    await page.wait_for_function(_CHANGED, arg=[shown, before], polling="raf")
    return 1_000 * (time.perf_counter() - begun)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

"""The console over HTTP: what a session may see is what its key may see in the API."""

import re

import httpx

from marketplace.console.application import mount_console
from marketplace.log.memory import MemoryLog
from tests.api.stage import ADMIN_KEY, open_stage
from tests.support.market.market import Market
from tests.support.patience import PATIENCE_SECONDS


def find_csrf(page: httpx.Response) -> str:
    found = re.search(r'name="_csrf_token" value="([^"]+)"', page.text)
    assert found is not None, page.text
    return found[1]


async def open_browser(stage) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(stage.application, raise_app_exceptions=False)
    browser = httpx.AsyncClient(transport=transport, base_url="http://test", timeout=PATIENCE_SECONDS)
    return await stage.stack.enter_async_context(browser)


async def sign_in(browser: httpx.AsyncClient, token: str) -> httpx.Response:
    form = {"key": token, "_csrf_token": find_csrf(await browser.get("/console/sign-in"))}
    return await browser.post("/console/sign-in", data=form)


async def test_a_session_begins_with_a_key_holds_no_secret_and_ends_with_the_key(database_url):
    async with open_stage(MemoryLog(), database_url) as stage:
        mount_console(stage.application, stage.services)
        party = await stage.register("Firm", "startup")
        answer = await stage.post(stage.admin, "/v1/api-keys", {"name": "web", "scopes": ["*"], "party_id": party})
        issued = answer.json()
        browser = await open_browser(stage)
        assert (await browser.get("/")).headers["location"] == "/console"
        for path in ("/console", "/console/orders", "/console/operator"):
            assert (await browser.get(path)).headers["location"] == "/console/sign-in"
        part = await browser.get("/console/orders", headers={"HX-Request": "true"})
        assert (part.status_code, part.headers["hx-redirect"]) == (401, "/console/sign-in")
        assert (await sign_in(browser, issued["token"][:-1] + "x")).status_code == 401
        assert (await browser.post("/console/sign-in", data={"key": issued["token"]})).status_code == 403  # no token

        signed = await sign_in(browser, issued["token"])
        cookie = next(one for one in signed.headers.get_list("set-cookie") if one.startswith("marketplace_session="))
        assert signed.status_code == 303
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert issued["token"][31:] not in cookie
        page = await browser.get("/console/orders")
        assert page.status_code == 200
        assert "Firm" in page.text
        assert "no-store" in page.headers["cache-control"]
        policy = page.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert (await browser.post("/console/sign-out")).status_code == 403

        other = await open_browser(stage)
        other.cookies.set("marketplace_session", browser.cookies["marketplace_session"][:-1] + "x")
        assert (await other.get("/console/orders")).status_code == 303
        await stage.admin.delete(f"/v1/api-keys/{issued['key_id']}", headers={"Idempotency-Key": "end"})
        assert (await browser.get("/console/orders")).headers["location"] == "/console/sign-in"


async def test_each_sees_its_own_and_a_form_places_an_order_once(database_url):
    market = Market(MemoryLog())
    trade = await market.trade(cash="2.50")
    rival = await market.party("Rival", "startup", usd=100_000)
    async with open_stage(market.log, database_url) as stage:
        mount_console(stage.application, stage.services)
        browsers = {}
        for party in (trade.startup, rival):
            body = {"name": "web", "scopes": ["*"], "party_id": party}
            token = (await stage.post(stage.admin, "/v1/api-keys", body)).json()["token"]
            browsers[party] = await open_browser(stage)
            await sign_in(browsers[party], token)
        operator = await open_browser(stage)
        await sign_in(operator, ADMIN_KEY)
        path = f"/console/orders/{trade.order}"
        assert trade.order in (await browsers[trade.startup].get(path)).text
        hidden = await browsers[rival].get(path)
        assert hidden.status_code == 404
        assert "order_unknown" in hidden.text
        assert trade.order not in (await browsers[rival].get("/console/orders")).text
        today = await operator.get("/console/operator")
        assert today.status_code == 200
        assert "marketplace.order.placed.v1" in (await operator.get("/console/events?after=0")).text
        assert (await browsers[rival].get("/console/operator")).status_code in {200, 403}

        form_page = await browsers[rival].get("/console/orders/new")
        start = re.search(r'name="start_earliest"[^>]*value="([^"]+)"', form_page.text)[1]
        form = {
            "_csrf_token": find_csrf(form_page),
            "key": re.search(r'name="key" value="([^"]+)"', form_page.text)[1],
            "nodes": "1",
            "gpus_per_node": "8",
            "duration_hours": "24",
            "start_earliest": start,
            "start_latest": start,
            "offers.0.gpu_class": "H100_SXM",
            "offers.0.cash_usd_per_gpu_hour": "3",
            "offers.0.equity_usd_per_gpu_hour": "0",
            "offers.1.gpu_class": "",
        }
        wrong = await browsers[rival].post("/console/orders/new", data={**form, "nodes": "many"})
        assert wrong.status_code == 422
        assert "nodes" in wrong.text
        placed = [await browsers[rival].post("/console/orders/new", data=form) for _ in range(2)]
        assert {one.status_code for one in placed} == {303}
        assert placed[0].headers["location"] == placed[1].headers["location"]
        assert "open" in (await browsers[rival].get(placed[0].headers["location"])).text


async def test_every_key_is_led_to_a_page_that_it_opens_or_told_that_there_is_none(database_url):
    async with open_stage(MemoryLog(), database_url) as stage:
        mount_console(stage.application, stage.services)
        fund = await stage.register("Fund", "fund")
        for scopes, status, found in (
            (["*"], 303, "/console/auctions"),
            (["events:read"], 303, "/console/events"),
            (["accounts:read"], 403, "scope_missing"),
        ):
            body = {"name": "web", "scopes": scopes, "party_id": fund}
            token = (await stage.post(stage.admin, "/v1/api-keys", body)).json()["token"]
            browser = await open_browser(stage)
            await sign_in(browser, token)
            home = await browser.get("/console")
            assert (home.status_code, found in home.headers.get("location", home.text)) == (status, True)
            if status == 303:
                assert (await browser.get(found)).status_code == 200

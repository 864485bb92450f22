"""The console in a real browser: Debian's Chromium, driven by Playwright.

On a machine without a browser this file is left out, and the run says so at its end; with MARKETPLACE_BROWSER_REQUIRED
set, as `.ci/run` sets it, the tests fail there.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect
from pypdf import PdfReader

from tests.api.doors import serve
from tests.api.stage import ADMIN_KEY
from tests.console.scene import open_scene
from tests.console.screens import list_screens
from tests.support.browser import find_browser
from tests.support.patience import PATIENCE_SECONDS

MILLISECONDS = PATIENCE_SECONDS * 1_000
_SIDEWAYS = """() => [document.documentElement, ...document.querySelectorAll(".table")]
  .filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.ariaLabel || "the page")"""

pytestmark = pytest.mark.xdist_group("browser")


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    program = find_browser()
    assert program is not None, "there is no Chromium: install it, or name it in MARKETPLACE_BROWSER"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        await browser.close()


@asynccontextmanager
async def watching(browser: Browser, base_url: str, **options) -> AsyncIterator[Page]:
    """Yield a page; at the end, nothing was written to its console, and nothing was asked of another address.

    The browser writes every refused form there; pages show what was refused.
    """
    context = await browser.new_context(base_url=base_url, **options)
    context.set_default_timeout(MILLISECONDS)
    page = await context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if _is_wrong(message) else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(base_url) else wrong.append(request.url))
    yield page
    assert wrong == []
    await context.close()


def _is_wrong(message: ConsoleMessage) -> bool:
    return message.type in {"error", "warning"} and "the server responded with a status of 422" not in message.text


async def check(page: Page) -> None:
    """Find no violation of axe's rules, among them contrast, labels and regions."""
    found = await Axe().run(page)
    assert [(one["id"], one["nodes"][0]["html"]) for one in found.response["violations"]] == []


async def sign_in(page: Page, token: str) -> None:
    """Sign in by the keyboard alone; the field of the key has the focus."""
    await page.goto("/")
    await check(page)
    await page.keyboard.type(token)
    await page.keyboard.press("Enter")
    await page.locator("header .who").wait_for()


async def press_to(page: Page, name: str) -> None:
    """Move the focus by Tab to the field or button of this name."""
    for _ in range(60):
        await page.keyboard.press("Tab")
        focused = await page.evaluate(
            "(document.activeElement.name || document.activeElement.textContent || '').trim()"
        )
        if focused == name:
            return
    raise AssertionError(f"Tab did not reach {name!r}")


async def test_every_page_as_every_desk_and_an_order_by_the_keyboard_alone(database_url):
    async with (
        open_scene(database_url) as scene,
        browsing() as browser,
        serve(scene.stage.application) as base_url,
        watching(browser, base_url, color_scheme="dark") as operator,
    ):
        await sign_in(operator, ADMIN_KEY)
        screens = list_screens(scene)
        await _visit(operator, screens["operator"])
        await operator.goto(f"/console/auctions/{scene.auction}")
        await press_to(operator, "Verify")
        await operator.keyboard.press("Enter")
        await expect(operator.get_by_text("Every rule holds.")).to_be_visible()
        await check(operator)
        await operator.goto("/console/operator")
        head = operator.locator("#head")
        before = await head.inner_text()
        async with watching(browser, base_url) as page:
            await sign_in(page, scene.keys["fund"])
            await _visit(page, screens["fund"])
            await _agree(page, scene)
        async with watching(browser, base_url) as page:
            await sign_in(page, scene.keys["startup"])
            await _look_back(page, f"/console/cap-tables/{scene.issuer}")
            await _visit(page, screens["startup"])
            await _dispute(page, scene.paths["statement"])
            await _follow(page, scene)
        async with watching(browser, base_url, color_scheme="dark") as page:
            await sign_in(page, scene.keys["provider"])
            await _visit(page, screens["provider"])
            await page.goto(f"/console/supply/pools/{scene.pool}")
            await _pick(page)
        async with watching(browser, base_url, viewport={"width": 390, "height": 844}) as page:
            await sign_in(page, scene.keys["rival"])
            await page.goto("/console/orders/new")
            await expect(page.locator("#quote")).not_to_contain_text("Asking", timeout=MILLISECONDS)
            await check(page)
            await press_to(page, "offers.0.cash_usd_per_gpu_hour")
            await page.keyboard.type("4")
            await press_to(page, "Place the order")
            await page.keyboard.press("Enter")
            await page.wait_for_url("**/console/orders/ord_*")
            await expect(page.get_by_text("No auction has decided it yet.")).to_be_visible()
            await check(page)
            await page.goto(f"{page.url}/amend")
            await expect(page.locator("#quote")).not_to_contain_text("Asking", timeout=MILLISECONDS)
            await check(page)
            await page.goto("/console/orders")
            await check(page)
        await expect(head).not_to_have_text(before, timeout=MILLISECONDS)  # no page asks again by a clock


async def _visit(page: Page, paths: list[str]) -> None:
    for path in paths:
        answer = await page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        await check(page)
        await _narrow(page)


async def _narrow(page: Page) -> None:
    """Find no table that scrolls sideways on a phone, and no page."""
    size = page.viewport_size
    assert size is not None
    await page.set_viewport_size({"width": 360, "height": 780})
    assert await page.evaluate(_SIDEWAYS) == [], page.url
    await page.set_viewport_size(size)


async def _follow(page: Page, scene) -> None:
    """Show an event on a page that was open before it, and leave alone what somebody has begun to fill in there."""
    await page.goto("/console/account")
    await page.get_by_text("Withdraw money").first.click()
    amount = page.locator("[name=amount_usd]")
    await amount.type("12")
    body = {"amount_usd": "4321.09", "reference": "live"}
    paid = await scene.stage.post(scene.stage.admin, f"/v1/accounts/{scene.account}/deposits", body)
    assert paid.status_code == 200, paid.text
    await expect(page.get_by_label("Entries")).to_contain_text("$4,321.09", timeout=MILLISECONDS)
    await page.keyboard.type(".5")
    await expect(amount).to_have_value("12.5")
    await check(page)


async def _print(page: Page, path: str) -> str:
    """Return the text of a page that was printed as PDF. It has every figure of the screen, and no menu."""
    await page.goto(path)
    figures = await page.locator(".figures dd").all_inner_texts()
    sheets = PdfReader(BytesIO(await page.pdf(prefer_css_page_size=True))).pages
    text = " ".join(" ".join(sheet.extract_text().split()) for sheet in sheets)
    assert [one for one in figures if one.split()[0] not in text] == []
    assert await page.locator("h1").inner_text() in text
    assert "Sign out" not in text
    return text


async def _agree(page: Page, scene) -> None:
    """Agree to a proposal by the keyboard alone."""
    await page.goto(f"/console/proposals/{scene.proposal}")
    await check(page)
    await press_to(page, "confirm")
    await page.keyboard.press("Space")
    await press_to(page, "Agree")
    await page.keyboard.press("Enter")
    await expect(page.locator(".head .state")).to_have_text("effective")
    await _print(page, "/console/portfolio")


async def _look_back(page: Page, path: str) -> None:
    """Show the events behind a number of a cap table, and the table before the last event."""
    assert "900" in await _print(page, path)
    await page.get_by_role("link", name="900").click()
    await expect(page.locator("#why")).to_contain_text("issuer.stock_issued.v1")
    await check(page)
    await page.locator("[name=step]").press("Home")
    await expect(page.locator("#table")).to_contain_text("Nobody owned anything yet.")


async def _dispute(page: Page, path: str) -> None:
    """Dispute a statement by the keyboard alone; a count above the stated one is marked beside its field."""
    await _print(page, path)
    await press_to(page, "Dispute it")
    await page.keyboard.press("Enter")
    await press_to(page, "gpu_seconds_counted")
    await page.keyboard.type("999999")
    await press_to(page, "reason")
    await page.keyboard.type("two nodes were away")
    await page.keyboard.press("Enter")
    count = page.locator("[name=gpu_seconds_counted]")
    await expect(count).to_be_focused()
    await expect(count).to_have_attribute("aria-invalid", "true")
    await check(page)
    await count.fill("11000")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("It waits for the provider")).to_be_visible()


async def _pick(page: Page) -> None:
    """Drag over the heat map of a pool: the form gets the days, and says how many nodes are in no lot then."""
    box = await page.locator("[data-pick] svg").bounding_box()
    assert box is not None
    start = page.locator("#list [name=start]")
    before = await start.input_value()
    await page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.8)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.8, steps=3)
    await page.mouse.up()
    assert await start.input_value() > before
    assert await start.input_value() < await page.locator("#list [name=end]").input_value()
    await expect(page.locator("#list")).to_contain_text("All 4 nodes are in lots for at least a part of this span.")

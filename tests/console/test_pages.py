"""The console over HTTP: what a session may see is what its key may see in the API."""

import asyncio
import re
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

import httpx

from marketplace.api.application import create_application
from marketplace.cli import plot
from marketplace.console.application import mount_console
from marketplace.console.sessions import PURPOSE, Sessions
from marketplace.log.memory import MemoryLog
from marketplace.projections.trading.open_market import load_open_market
from tests.api.doors import serve
from tests.api.stage import ADMIN_KEY, open_stage
from tests.console.deals import catch_up, exercise_a_warrant, offer_instruments, transfer_and_claim
from tests.console.scene import Scene, form_company, open_client, open_scene
from tests.support.patience import PATIENCE_SECONDS


def find_csrf(page: httpx.Response) -> str:
    found = re.search(r'name="_csrf_token" value="([^"]+)"', page.text)
    assert found is not None, page.text
    return found[1]


def read_form(page: httpx.Response) -> dict[str, str]:
    """Return the token of a page's forms, and the key of the first one."""
    key = re.search(r'name="key" value="([^"]+)"', page.text)
    assert key is not None, page.text
    return {"_csrf_token": find_csrf(page), "key": key[1]}


async def open_browser(stage, application=None) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(application or stage.application, raise_app_exceptions=False)
    browser = httpx.AsyncClient(transport=transport, base_url="https://test", timeout=PATIENCE_SECONDS)
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
        for path in ("/", "/console", "/console/sign-in", "/console/nothing"):
            head, whole = await browser.head(path), await browser.get(path)
            assert (head.status_code, head.content) == (whole.status_code, b"")
        for path in ("/console", "/console/orders", "/console/operator", "/console/market"):
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
        assert page.headers["request-id"]
        policy = page.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert (await browser.post("/console/sign-out")).status_code == 403

        other = await open_browser(stage)
        other.cookies.set("marketplace_session", "x" + browser.cookies["marketplace_session"])
        assert (await other.get("/console/orders")).status_code == 303
        await stage.admin.delete(f"/v1/api-keys/{issued['key_id']}", headers={"Idempotency-Key": "end"})
        assert (await browser.get("/console/orders")).headers["location"] == "/console/sign-in"


async def test_a_link_signs_in_once_for_all_processes(database_url):
    async with open_stage(MemoryLog(), database_url) as stage:
        keys, answers = stage.services.keys, []
        token = Sessions(keys.derive_secret(PURPOSE)).issue_link(keys.admin_key_id)
        for application in (stage.application, create_application(stage.services)):
            mount_console(application, stage.services)
            browser = await open_browser(stage, application)
            form = {"token": token, "_csrf_token": find_csrf(await browser.get("/console/enter"))}
            answers.append(await browser.post("/console/enter", data=form))
        assert [(one.status_code, "this link was used" in one.text) for one in answers] == [(303, False), (401, True)]


async def test_each_sees_its_own_and_a_form_is_one_command(database_url, tmp_path, capfd):
    async with open_scene(database_url) as scene:
        browsers = {}
        for name, token in (*scene.keys.items(), ("operator", ADMIN_KEY)):
            browsers[name] = await open_browser(scene.stage)
            await sign_in(browsers[name], token)
        startup, rival = browsers["startup"], browsers["rival"]
        for kind, path in scene.paths.items():
            own, hidden, listed = [await one.get(path) for one in (startup, rival)] + [
                await rival.get(path.rpartition("/")[0])
            ]
            assert own.status_code == 200, own.text
            assert path.rpartition("/")[2] in own.text
            assert (hidden.status_code, f"{kind}_unknown" in hidden.text) == (404, True)
            assert path not in listed.text
        assert "No auction is under way" in (await browsers["operator"].get("/console/operator")).text
        async with scene.stage.services.get_engine().connect() as connection:
            assert (await load_open_market(connection)).auctions == ()
        assert (await rival.get("/console/operator")).status_code in {200, 403}
        await _agree(browsers, scene)
        assert "order.placed.v1" in (await browsers["operator"].get("/console/events?after=0")).text
        for name, kind in (("operator", "orders"), ("provider", "grants"), ("provider", "statements")):
            assert ">Startup</span></div>" in (await browsers[name].get(f"/console/{kind}")).text, kind
        for path in ("queues", "projections", "events/1", f"history/{scene.order}?sequence=1"):
            page = await rival.get(f"/console/{path}")
            assert page.status_code in {200, 403, 404}, page.text
            assert scene.order not in page.text.replace(path, "")
        await _operate(browsers["operator"], rival, scene)
        await _place_an_order(rival)
        await _dispute(startup, scene.paths["statement"])
        await scene.wait_for_statement()
        concession = {**read_form(await browsers["provider"].get(scene.paths["statement"])), "reason": "agreed"}
        conceded = await browsers["provider"].post(
            f"{scene.paths['statement']}/resolve", data={**concession, "gpu_seconds": "11,000"}
        )
        assert conceded.status_code == 303, conceded.text
        await scene.wait_for_statement()
        await scene.stage.services.watch.wait_for(int(await scene.stage.reach()), PATIENCE_SECONDS)
        assert "by concession" in (await startup.get(scene.paths["statement"])).text
        await _sell(browsers["provider"], rival, scene)
        await _deal(browsers, scene)
        await offer_instruments(browsers, scene)
        await exercise_a_warrant(browsers, scene)
        await transfer_and_claim(browsers, scene)
        await _sell_a_company(rival, scene)
        async with serve(scene.stage.application) as address:
            await asyncio.to_thread(_plot, scene, tmp_path, address)
        said = capfd.readouterr().err
        assert all(code in said for code in ("file_unsupported", "file_missing", "auction_unknown", "issuer_unknown"))
        assert "Traceback" not in said
        paid_in = read_form(await browsers["operator"].get(scene.paths["account"])) | {
            "amount_usd": "7",
            "reference": "i",
        }
        assert (await browsers["operator"].post(f"{scene.paths['account']}/deposit", data=paid_in)).status_code == 303
        wired = {**read_form(await startup.get("/console/account")), "amount_usd": "10.50", "reference": "w"}
        assert (await startup.post(f"{scene.paths['account']}/withdraw", data=wired)).status_code == 303
        entries = (await startup.get("/console/account")).text
        assert "\u2212$10.50" in entries
        assert "$7.00" in entries


async def _agree(browsers, scene) -> None:
    """The fund reads what a proposal changes, confirms, and agrees; a stranger sees nothing of company or proposal."""
    path, fund, rival = f"/console/proposals/{scene.proposal}", browsers["fund"], browsers["rival"]
    assert "waits for you" in (await fund.get("/console/proposals")).text
    page = await fund.get(path)
    assert "+900" in page.text
    form = {"_csrf_token": find_csrf(page), "key": "one"}
    assert (await fund.post(f"{path}/agree", data={"confirm": "yes"})).status_code == 403  # no token
    assert (await fund.post(f"{path}/agree", data=form)).status_code == 422  # not confirmed
    assert (await fund.post(f"{path}/agree", data={**form, "confirm": "yes"})).status_code == 303
    assert "effective" in (await fund.get(path)).text
    table = f"/console/cap-tables/{scene.issuer}"
    assert (await browsers["startup"].get("/console/cap-tables")).headers["location"] == table
    for part in ("", "/rounds", "/sale", "/events", "/warrants"):
        assert (await browsers["startup"].get(table + part)).status_code == 200, part
        hidden = await rival.get(table + part)
        assert ("issuer_unknown" in hidden.text, hidden.status_code) == (True, 404), part
    assert (await rival.get(path)).status_code == 404
    assert "There is no page /console/nope" in (await rival.get("/console/nope")).text
    shown = (await fund.get(f"{table}/sale")).text
    assert "You have the depth <code>summary</code>" in shown
    assert 'name="range.low_usd"' not in shown
    assert "<td>Provider</td>" in (await fund.get("/console/portfolio")).text
    assert "party_unknown" in (await rival.get(f"/console/portfolio?party_id={scene.fund}")).text


async def _operate(operator: httpx.AsyncClient, rival: httpx.AsyncClient, scene) -> None:
    """Decide about a party and a key, verify an auction, and follow an event, as nobody else may."""
    assert "aggregate_id is no id" in (await rival.get("/console/history/x")).text
    for path in ("keys", "events/1", f"cap-tables/{scene.issuer}/sale"):
        assert 'data-live="' in (await operator.get(f"/console/{path}")).text, path
    party = await scene.stage.register("Newcomer", "startup")
    await scene.stage.services.watch.wait_for(int(await scene.stage.reach()), PATIENCE_SECONDS)
    path, acts = f"/console/parties/{party}", ("suspend", "clear", "add-role", "stage")
    form = read_form(await operator.get(path))
    assert (await operator.post(f"{path}/suspend", data={"reason": "x"})).status_code == 403  # no token
    form |= {"reason": "its licence ended", "checks": "sanctions, owners", "role": "fund", "stage": "seed"}
    for act in acts:
        done = await operator.post(f"{path}/{act}", data={**form, "key": act})
        assert (done.status_code, done.headers.get("location")) == (303, path), done.text
        other = await rival.post(f"{path}/{act}", data={**form, **read_form(await rival.get("/console/account"))})
        assert other.status_code in {403, 404}, other.text
    page = (await operator.get(path)).text
    assert all(text in page for text in ("sanctions, owners", "startup, fund", "seed", "cleared"))
    issued = await operator.post("/console/keys/new", data={**form, "name": "job", "scopes": "*:read", "key": "k"})
    token = re.search(r"mkp_\w+", issued.text)[0]
    assert token not in (await operator.get("/console/keys")).text
    key_id = "key" + token[3:30]
    assert (await operator.post(f"/console/keys/{key_id}/suspend", data={**form, "key": "s"})).status_code == 303
    verified = await operator.post(f"/console/auctions/{scene.auction}/verify", data=form)
    assert "Every rule holds" in verified.text
    assert (await rival.post(f"/console/auctions/{scene.auction}/verify", data=form)).status_code == 403
    lost = await operator.get(f"/console/auctions/{scene.auction}?decided=won")
    assert scene.order in lost.text
    history = await operator.get(f"/console/history/{scene.order}")
    assert "order/" + scene.order in history.text
    assert history.text.count('class="changed"') > 3
    sequence = re.search(rf"/console/history/{scene.order}\?sequence=(\d+)", history.text)[1]
    event = (await operator.get(f"/console/events/{sequence}")).text
    assert all(tag in event for tag in ("order.locked.v1", "order.matched.v1", "grant.issued.v1"))
    jumped = await operator.get("/console/events/jump", params={"to": f" {sequence} "})
    assert jumped.headers["location"] == f"/console/events/{sequence}"
    by_id = re.search(r"evt_\w+", event)[0]
    jumped = await operator.get("/console/events/jump", params={"to": by_id})
    assert jumped.headers["location"] == f"/console/events/{sequence}"


async def _sell_a_company(rival: httpx.AsyncClient, scene: Scene) -> None:
    """Play a sale, declare one, and read what it pays; once it is paid, nothing is left to play."""
    async with open_client(scene.stage, scene.keys["rival"]) as client:
        issuer = await form_company(client, scene.rival)
        sale = (await client.financings.declare_liquidity(issuer, proceeds_usd=Decimal(9_000))).id
        await catch_up(scene)
        page = (await rival.get(f"/console/cap-tables/{issuer}/sale")).text
        assert all(text in page for text in (">declared</span>", "$10.00 per common share", 'name="range.low_usd"'))
        await client.financings.pay_distribution(issuer, sale)
        await catch_up(scene)
    page = (await rival.get(f"/console/cap-tables/{issuer}/sale")).text
    assert ">paid</span>" in page
    assert re.search(r">Founder</th><td class=\"n\">\$9,000\.00<", page), page
    assert "issuer_ended" not in page
    assert 'name="range.low_usd"' not in page


async def _place_an_order(browser: httpx.AsyncClient) -> None:
    form_page = await browser.get("/console/orders/new")
    start = re.search(r'name="start_earliest"[^>]*value="([^"]+)"', form_page.text)[1]
    form = {
        **read_form(form_page),
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
    wrong = await browser.post("/console/orders/new", data={**form, "nodes": "many"})
    assert wrong.status_code == 422
    assert 'data-field="nodes"' in wrong.text
    assert 'name="instrument.service_consequence"><option value=""' not in form_page.text
    partial = {**form, "offers.0.equity_usd_per_gpu_hour": "1"}
    assert "Nothing was tried" in (await browser.post("/console/orders/alternatives", data=partial)).text
    placed = [await browser.post("/console/orders/new", data=form) for _ in range(2)]
    assert {one.status_code for one in placed} == {303}
    assert placed[0].headers["location"] == placed[1].headers["location"]
    path = placed[0].headers["location"]
    form |= read_form(await browser.get(f"{path}/amend"))
    assert "Nothing that was tried" in (await browser.post("/console/orders/alternatives", data=form)).text
    order = await browser.get(f"{path}/amend")
    version = re.search(r'name="version" value="([0-9]+)"', order.text)[1]
    more = {**form, "order_id": path.rpartition("/")[2], "version": version, "nodes": "2"}
    assert (await browser.post(f"{path}/amend", data=more)).status_code == 303
    late = await browser.post(f"{path}/amend", data={**more, "key": "late", "nodes": "1"})
    assert (late.status_code, "version_stale" in late.text) == (412, True), late.text
    cancelled = await browser.post(f"{path}/cancel", data={**form, "key": "cancel", "reason": "no need"})
    assert cancelled.status_code == 303, cancelled.text
    assert (await browser.get(f"{path}/amend")).headers["location"] == path
    text = (await browser.get(path)).text
    assert all(word in text for word in ("Placed", "Amended", "Cancelled", "by you", "no need"))


async def _sell(provider: httpx.AsyncClient, rival: httpx.AsyncClient, scene: Scene) -> None:
    """List, reprice and withdraw nodes, and report an incident; others may look at the inventory and change nothing."""
    pool = f"/console/supply/pools/{scene.pool}"
    page = await provider.get(pool)
    form = {**read_form(page), "nodes": "1", "start": "2026-06-01T00:00", "end": "2026-07-01T00:00"}
    asked = "ask_usd_per_gpu_hour"
    wrong = await provider.post(f"{pool}/lots", data=form)
    assert (wrong.status_code, f'data-field="{asked}"' in wrong.text) == (422, True), wrong.text
    assert "4 of 4 nodes" in (await provider.get(f"{pool}/unlisted?start=2026-06-01T00:00&end=2026-07-01T00:00")).text
    lot = (await provider.post(f"{pool}/lots", data={**form, asked: "2.75"})).headers["location"]
    for act, body in (("reprice", {asked: "2.95"}), ("pause", {"reason": "power"}), ("withdraw", {"reason": "sold"})):
        form = {**read_form(await provider.get(lot)), **body}
        assert (await provider.post(f"{lot}/{act}", data=form)).headers["location"] == lot
    text = (await provider.get(lot)).text
    assert all(word in text for word in ("$2.95", "Repriced", "Paused", "Withdrawn", "by you"))
    begun = re.search(r'name="at" type="datetime-local" value="([^"]+)"', page.text)[1]
    form = {
        **read_form(page),
        "incident_id": "psu-7",
        "nodes": "1",
        "at": f"{datetime.fromisoformat(begun) - timedelta(minutes=30):%Y-%m-%dT%H:%M}",
    }
    assert (await provider.post(f"{pool}/fail-nodes", data={**form, "key": "f"})).status_code == 303
    assert "End psu-7" in (await provider.get(pool)).text
    restored = {name: text for name, text in form.items() if name != "nodes"} | {"key": "r", "at": begun}
    ended = await provider.post(f"{pool}/restore-nodes", data=restored)
    assert ended.status_code == 303, ended.text
    assert "End psu-7" not in (await provider.get(pool)).text
    bond = {**read_form(await provider.get("/console/earnings")), "amount_usd": "5", "stands_until": "2027-01-01T00:00"}
    assert (await provider.post("/console/earnings/bonds", data=bond)).status_code == 303
    earned = (await provider.get("/console/earnings")).text
    assert scene.grant in earned
    assert "$5.00" in earned
    seen = await rival.get(pool)
    assert seen.status_code == 200
    assert "List it" not in seen.text
    assert scene.grant not in (await rival.get("/console/earnings")).text
    for path in (f"{pool}/lots", f"{pool}/fail-nodes"):
        refused = await rival.post(
            path,
            data={
                **form,
                **read_form(await rival.get("/console/account")),
                asked: "1",
                "start": "2026-06-01T00:00",
                "end": "2026-07-01T00:00",
            },
        )
        assert refused.status_code in {404, 422}, refused.text


def _plot(scene: Scene, folder: Path, address: str) -> None:
    """Write every kind of chart as a file that an XML parser reads; what cannot be drawn or written is refused."""
    asked = {"api_url": address, "api_key": scene.keys["startup"]}
    draw = {
        "index": partial(plot.index, "H100_SXM"),
        "curves": partial(plot.curves, "H100_SXM", scene.auction),
        "capacity": partial(plot.capacity, days=3),
        "dilution": partial(plot.dilution, scene.issuer),
        "waterfall": partial(plot.waterfall, scene.issuer, low=Decimal(1_000), high=Decimal(9_000), points=3),
    }
    for name, written in draw.items():
        file = folder / f"{name}.svg"
        assert written(to=file, **asked) == 0, name
        drawing = ET.parse(file).getroot()  # noqa: S314 - we made it
        assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
        assert len(list(drawing.iter())) > 3, name
    assert draw["index"](to=folder / "index.png", **asked) == 2
    assert draw["index"](to=folder / "none" / "index.svg", **asked) == 2
    assert plot.curves("H100_SXM", "auc" + scene.grant[3:], to=folder / "x.svg", **asked) == 2
    assert plot.dilution("iss" + scene.grant[3:], to=folder / "x.svg", **asked) == 2
    assert not (folder / "x.svg").exists()


async def _deal(browsers: dict[str, httpx.AsyncClient], scene: Scene) -> None:
    """Propose work and agree to it, resell a node, claim; a transfer needs its tick, and a rival may do none of it."""
    startup, provider, fund, rival = (browsers[name] for name in ("startup", "provider", "fund", "rival"))
    grant = scene.paths["grant"]
    work = {"name": "tuning", "price_usd_per_hour": "100", "hours": "1", "workers": "1"}
    proposed = await provider.post(f"{grant}/lines", data={**read_form(await provider.get(grant)), **work})
    assert proposed.status_code == 303, proposed.text
    await scene.wait_for_statement()
    page = await startup.get(grant)
    line = re.search(r"/lines/(\w+)/decline", page.text)[1]
    approved = await fund.post(f"{grant}/lines/{line}/approve", data=read_form(await fund.get("/console/account")))
    assert approved.status_code == 303, approved.text
    form = read_form(page)
    span = {"nodes": "1", "start": "2026-02-10T00:00", "end": "2026-02-12T00:00", "ask_usd_per_gpu_hour": "9"}
    for act, body, status, said in (
        (f"lines/{line}/praise", {}, 404, "act_unknown"),
        (f"lines/{line}/agree", {}, 303, ""),
        ("claim", {}, 422, "grant_not_defaulted"),
        ("resell", span, 303, ""),
        ("transfer", {"startup_id": scene.fund}, 422, "Tick the box"),
    ):
        answer = await startup.post(f"{grant}/{act}", data={**form, "key": act, **body})
        assert (answer.status_code, said in answer.text) == (status, True), answer.text
        foreign = {**read_form(await rival.get("/console/account")), "confirm": "yes", **body}
        hidden = await rival.post(f"{grant}/{act}", data=foreign)
        assert hidden.status_code == 404, hidden.text
    assert "tuning" in (await startup.get(grant)).text


async def _dispute(browser: httpx.AsyncClient, path: str) -> None:
    """State a count in GPU-hours; what is wrong with it is said beside its field."""
    form = {**read_form(await browser.get(path)), "reason": "two nodes were away"}
    assert (await browser.post(f"{path}/dispute", data={"gpu_seconds_counted": "1"})).status_code == 403  # no token
    for count in ("", "some", "999,999"):
        wrong = await browser.post(f"{path}/dispute", data={**form, "gpu_seconds_counted": count})
        assert (wrong.status_code, 'data-field="gpu_seconds_counted"' in wrong.text) == (422, True), wrong.text
    counted = await browser.post(f"{path}/dispute", data={**form, "gpu_seconds_counted": "11,000"})
    assert (counted.status_code, counted.headers.get("location")) == (303, path), counted.text
    assert "It waits for the provider" in (await browser.get(path)).text


async def test_every_key_is_led_to_a_page_that_it_opens_or_told_that_there_is_none(database_url):
    async with open_stage(MemoryLog(), database_url, public_market=True) as stage:
        mount_console(stage.application, stage.services, is_secure=True)
        stranger = await open_browser(stage)
        public = await stranger.get("/console/market")
        assert (public.status_code, "Sign in" in public.text) == (200, True)
        assert (await stranger.get("/console/portfolio")).headers["location"] == "/console/sign-in"
        fund = await stage.register("Fund", "fund")
        for scopes, status, found in (
            (["*"], 303, "/console/portfolio"),
            (["events:read"], 303, "/console/events"),
            (["sites:read"], 403, "scope_missing"),
        ):
            body = {"name": "web", "scopes": scopes, "party_id": fund}
            token = (await stage.post(stage.admin, "/v1/api-keys", body)).json()["token"]
            browser = await open_browser(stage)
            cookies = (await sign_in(browser, token)).headers.get_list("set-cookie")
            assert cookies
            assert all("Secure" in one and "HttpOnly" in one for one in cookies)  # over TLS alone
            home = await browser.get("/console")
            assert (home.status_code, found in home.headers.get("location", home.text)) == (status, True)
            if status == 303:
                assert (await browser.get(found)).status_code == 200

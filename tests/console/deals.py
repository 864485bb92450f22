"""Acts of parties through the console's own forms: each is in the log, and on the page that follows."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx

from events.bond import BondClaimed
from events.grant import GrantTerminated, GrantTransferred
from events.issuer_rights import IssuerWarrantExercised, IssuerWarrantIssued
from events.mandate import MandateTerms
from events.order import OrderPlaced
from events.service_line import ServiceLineAgreed, ServiceLineApproved, ServiceLineProposed
from events.types import NoteTerms, WarrantTerms
from marketplace.log.events import parse_event
from tests.api.stage import ADMIN_KEY
from tests.console.filling import read_forms
from tests.console.scene import Scene, open_client
from tests.support.patience import PATIENCE_SECONDS

PRICE, STRIKE = Decimal(2), Decimal(1)


class Act:
    """One form, filled in as by a browser, and the event that it appends."""

    def __init__(self, scene: Scene, browser: httpx.AsyncClient, page: str) -> None:
        self.scene = scene
        self.browser = browser
        self.page = page

    async def send(self, action: str, expected: type[Any], **fields: str) -> tuple[Any, str]:
        """Fill the form of a page in, send it, and return the event of the expected type and the page that follows."""
        await catch_up(self.scene)
        shown = await self.browser.get(self.page)
        (form,) = [one for one in read_forms(shown.text) if one.action == action]
        filled = form.fill(fields)
        log = self.scene.stage.services.handler.log
        before = (await log.health()).last_sequence
        answer = await self.browser.post(action, data=filled)
        assert answer.status_code == 303, answer.text
        events = [parse_event(one) async for page in log.read(before) for one in page]
        found = [one for one in events if isinstance(one, expected)]
        assert len(found) == 1, found
        return found[0], (await self.browser.get(answer.headers["location"])).text


async def catch_up(scene: Scene) -> None:
    """Wait until everybody sees what anybody did."""
    await scene.stage.services.watch.wait_for(int(await scene.stage.reach()), PATIENCE_SECONDS)


async def offer_instruments(browsers: dict[str, httpx.AsyncClient], scene: Scene) -> None:
    """The startup offers a note for an order, and a warrant for another one."""
    terms = MandateTerms(
        instrument_kinds=("convertible_note", "warrant"),
        equity_credit=Decimal("0.8"),
        budget_usd=Decimal(10_000),
        issuer_usd_max=Decimal(10_000),
    )
    async with open_client(scene.stage, ADMIN_KEY) as platform:
        await platform.accounts.deposit("acc" + scene.fund[3:], amount_usd=Decimal(10_100), reference="for notes")
    async with open_client(scene.stage, scene.keys["fund"]) as fund:
        mandate = await fund.mandates.grant(holder_id=scene.fund, funding="cash", terms=terms)
    path = "/console/orders/new"
    form = Act(scene, browsers["startup"], path)
    now = scene.stage.services.handler.clock.now()
    given = {
        "offers.0.gpu_class": "H100_SXM",
        "offers.0.cash_usd_per_gpu_hour": "1",
        "offers.0.equity_usd_per_gpu_hour": "0.5",
        "mandate_ids[]": mandate.id,
        "instrument.service_consequence": "credit",
    }
    note = {
        "instrument.kind": "note",
        "instrument.annual_rate": "0.08",
        "instrument.interest": "compound_quarterly",
        "instrument.day_count": "actual_360",
        "instrument.matures_on": f"{now + timedelta(days=800):%Y-%m-%d}",
        "instrument.valuation_cap_usd": "5000000",
        "instrument.discount": "0.2",
    }
    placed, page = await form.send(path, OrderPlaced, **given, **note)
    assert placed.terms.instrument == NoteTerms(
        annual_rate=Decimal("0.08"),
        interest="compound_quarterly",
        day_count="actual_360",
        matures_on=(now + timedelta(days=800)).date(),
        valuation_cap_usd=Decimal(5_000_000),
        discount=Decimal("0.2"),
        service_consequence="credit",
    )
    assert all(text in page for text in ("$0.50 equity", "convertible note", "8.00%", "$5,000,000.00"))
    expires = (now + timedelta(days=800)).replace(second=0, microsecond=0)
    warrant = {
        "instrument.kind": "warrant",
        "instrument.class_id": "common",
        "instrument.price_usd_per_share": str(PRICE),
        "instrument.exercise_price_usd": str(STRIKE),
        "instrument.expires_at": f"{expires:%Y-%m-%dT%H:%M}",
    }
    placed, page = await form.send(path, OrderPlaced, **given, **warrant)
    assert placed.terms.instrument == WarrantTerms(
        class_id="common",
        price_usd_per_share=PRICE,
        exercise_price_usd=STRIKE,
        expires_at=expires,
        service_consequence="credit",
    )
    assert all(text in page for text in ("$0.50 equity", "warrant", "common", "$2.00", "$1.00"))


async def exercise_a_warrant(browsers: dict[str, httpx.AsyncClient], scene: Scene) -> None:
    """The startup issues a warrant, the fund agrees to it and exercises a part in cash; then it gets an option."""
    body = {
        "holder_id": scene.fund,
        "class_id": "common",
        "shares": 50,
        "exercise_price_usd": STRIKE,
        "expires_at": scene.stage.services.handler.clock.now() + timedelta(days=800),
        "settlement": "either",
    }
    async with open_client(scene.stage, scene.keys["startup"]) as startup:
        await startup.issuers.add_stakeholder(scene.issuer, name="Fund", kind="investor", holder_id=scene.fund)
        proposal = (await startup.warrants.issue(scene.issuer, **body)).id
    agreed = f"/console/proposals/{proposal}"
    await Act(scene, browsers["fund"], agreed).send(f"{agreed}/agree", IssuerWarrantIssued, confirm="yes")
    path = f"/console/cap-tables/{scene.issuer}/warrants"
    await catch_up(scene)
    assert "Exercise</button>" not in (await browsers["startup"].get(path)).text
    warrant = read_forms((await browsers["fund"].get(path)).text)[-1]
    fields = {"shares": "20", "settlement": "cash", "confirm": "yes"}
    exercised, page = await Act(scene, browsers["fund"], path).send(warrant.action, IssuerWarrantExercised, **fields)
    assert (exercised.holder_id, exercised.shares, exercised.shares_surrendered) == (scene.fund, 20, 0)
    cells = re.findall(r'<td class="n">([^<]*)</td>', page)
    assert cells == ["0", "50", "30", "30", "30", "$1.00"]
    await _read_an_option(browsers, scene)


async def _read_an_option(browsers: dict[str, httpx.AsyncClient], scene: Scene) -> None:
    """The startup grants the fund an option; only the fund reads its strike and what has vested."""
    terms = {"holder_id": scene.fund, "shares": 40, "exercise_price_usd": STRIKE}
    stage, keys = scene.stage, scene.keys
    async with open_client(stage, keys["startup"]) as startup, open_client(stage, keys["fund"]) as fund:
        for ask in (
            startup.issuers.adjust_stock_plan(scene.issuer, shares_reserved=100),
            startup.options.grant(scene.issuer, **terms),
        ):
            asked = (await ask).id
            if asked.startswith("prp_"):
                await fund.proposals.agree(asked)
    await catch_up(scene)
    path = f"/console/cap-tables/{scene.issuer}"
    assert "Your options" not in (await browsers["startup"].get(path)).text
    page = (await browsers["fund"].get(path)).text.partition("Your options today")[2]
    assert re.findall(r'<td class="n">([^<]*)</td>', page) == ["40", "40", "40", "$1.00"]
    assert "vested at once" in page


async def transfer_and_claim(browsers: dict[str, httpx.AsyncClient], scene: Scene) -> None:
    """Another startup gets the grant; its provider ends it early, and the startup that pays claims on the bond."""
    path, rival = scene.paths["grant"], browsers["rival"]
    moved, page = await Act(scene, browsers["startup"], path).send(
        f"{path}/transfer", GrantTransferred, startup_id=scene.rival, confirm="yes"
    )
    assert (moved.grant_id, moved.startup_id) == (scene.grant, scene.rival)
    assert "Transferred" in page
    assert f"{path}/transfer" not in page
    await catch_up(scene)
    assert f'action="{path}/transfer"' in (await rival.get(path)).text
    provider = Act(scene, browsers["provider"], path)
    work = {"name": "support", "price_usd_per_hour": "10", "hours": "1", "workers": "1"}
    line, _ = await provider.send(f"{path}/lines", ServiceLineProposed, **work)
    answered = f"{path}/lines/{line.service_line_id}"
    await Act(scene, browsers["fund"], path).send(f"{answered}/approve", ServiceLineApproved)
    await Act(scene, browsers["startup"], path).send(f"{answered}/agree", ServiceLineAgreed)
    terminated, _ = await provider.send(f"{path}/terminate", GrantTerminated, reason="the site closes")
    claimed, page = await Act(scene, browsers["startup"], path).send(f"{path}/claim", BondClaimed)
    assert (claimed.grant_id, claimed.startup_id, claimed.statement_id) == (scene.grant, scene.startup, None)
    assert terminated.by == "provider"
    assert claimed.amount_usd > 0
    assert all(text in page for text in ("Claims on the bond", "the early end", f"${claimed.amount_usd:,.2f}"))
    await catch_up(scene)
    assert f'action="{path}/claim"' not in (await rival.get(path)).text

"""Offers stay sealed: no route and no event shows another party what an order offers, before and after the clearing.

Nor does a grant that was transferred show its user what the payer pays.
"""

import itertools
import re
from collections import defaultdict
from datetime import timedelta
from decimal import Decimal

import pytest

from events.mandate import MandateBudgetHeld
from events.registry import list_tags
from events.subjects import parse_subject
from marketplace.api.http.visibility import EVERYBODY, PLATFORM, RULES, UNSTATED
from marketplace.application.delivery.grants import terminate_grant, transfer_grant
from marketplace.application.delivery.rescheduling import reschedule_grant
from marketplace.application.metering.usage import report_usage, void_usage
from marketplace.application.trading.orders import amend_order
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.domain.deciders import PREFIXES
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.metering.usage_commands import Measurement
from marketplace.log.events import parse_event
from marketplace.log.memory import MemoryLog
from scripts import visibility_page
from tests.api.documented import read_document
from tests.api.rows import PLATFORM_ONLY, SEEN
from tests.api.stage import open_stage
from tests.api.test_commands import assert_problem
from tests.api.test_endpoints import STORY
from tests.application.supply.test_sites import convert, slip
from tests.support.market.market import Market

CASH, EQUITY, LOST, OPEN = "1.337711", "3.119915", "1.711311", "1.977113"
"""What the winner offers in cash and equity, and what a rival offers in an order that lost and in one that is open."""
VALUE = str((Decimal(CASH) + Decimal("0.8") * Decimal(EQUITY)).normalize())
QUERY = {"gpu_class": "H100_SXM", "start": "2026-01-01T00:00:00Z", "end": "2026-01-20T00:00:00Z"}
DECISIONS = "/v1/auctions/{}/decisions"
"""Everybody may ask, about an auction that everybody sees, and gets the decisions on its own orders."""
DERIVED = {"payer_id"}
"""In the event it is `startup_id`, until the grant is transferred."""
HOUR = timedelta(hours=1)
TERMINATED = "marketplace.grant.terminated.v1"
SECRETS = {"winner": (CASH, EQUITY, VALUE), "rival": (LOST, OPEN)}


def test_the_page_on_who_sees_what_is_current():
    assert visibility_page.PAGE.read_text() == visibility_page.render_page(), "run scripts/render_contracts.py"


def test_the_table_of_routes_says_what_the_story_of_endpoints_is_answered():
    """And what names the readers of a resource names those of its first event in the feed."""
    table = {re.sub(r"\{\w+\}", "{}", path): readers.who for path, _, readers in visibility_page.list_reads()}
    assert UNSTATED.who not in table.values(), "READERS of marketplace/api/http/visibility.py says who reads it"
    for row in STORY:
        if row.method != "GET":
            continue
        who, of = table[row.route[1]], (row.path, row.other)
        assert (who == PLATFORM) == (row.other == PLATFORM_ONLY), of
        assert who != EVERYBODY or row.other == SEEN, of
        assert who == EVERYBODY or row.other != SEEN or "{" not in row.path or row.route[1] == DECISIONS, of
    same = {"equity.holder_id": "holder_id", "consents": "votes.party_id", "the parties of the issuer": "issuer_id"}
    same["the parties of its grant"] = "holder_id"
    for rule in RULES:
        text = " ".join(visibility_page.list_event_readers(list_tags(rule.aggregate)[0]))
        for name, member in same.items():
            text = text.replace(name, member)
        missing = [name for name in rule.parties if name not in text and name not in DERIVED]
        assert not missing, (rule.aggregate, text)


async def test_who_got_a_grant_by_transfer_does_not_see_what_it_costs_and_who_pays_still_does(database_url):
    market = Market(MemoryLog())
    trade = await market.trade()
    heir = await market.party("Heir", "startup")
    stranger = await market.party("Stranger", "startup")
    async with market.worker():
        grant = await market.award(trade)
        id_ = grant.issued.grant_id
        await transfer_grant(market.handler, market.context(trade.startup), id_, startup_id=heir)
        market.clock.at = grant.issued.start
        await market.until("grant", id_, "active")
        await market.deliver(grant, 2)
        market.clock.at = grant.end + timedelta(days=2)
        await market.until("statement", list_periods(grant)[0].statement_id, "issued")
    async with open_stage(market.log, database_url) as stage:
        reach = {"Min-Seq": await stage.reach()}
        views = {}
        for party_id in (heir, trade.startup, trade.provider):
            client = await stage.open_tenant(party_id)
            view = (await client.get(f"/v1/grants/{id_}", headers=reach)).json()
            assert (await client.get("/v1/grants", headers=reach)).json()["items"] == [view]
            views[party_id] = view
            listed = (await client.get("/v1/statements", headers=reach)).json()["items"]
            expanded = (await client.get(f"/v1/grants/{id_}", params={"expand": "statement"}, headers=reach)).json()
            assert expanded == view | {"statement": listed[0] if listed else None}
            page = await client.get("/v1/grants", params={"expand": "statement"}, headers=reach)
            assert page.json()["items"] == [expanded]
            tags = set(re.findall(r'"type":"marketplace\.(\w+)', await read_feed(client)))
            assert ({"grant", "usage"} <= tags, bool(listed), "statement" in tags) == (
                True,
                party_id != heir,
                party_id != heir,
            )
        await require_names(stage, trade, heir, stranger)
        await require_order_expanded(stage, trade.startup, grant.issued.order_id, views[trade.startup])
    costs = ("price_usd_per_gpu_hour", "cash_share", "cash_commitment_usd", "startup_account_id", "hold_id", "equity")
    assert {views[heir][name] for name in (*costs, "holder_id")} == {None}
    assert (views[heir]["startup_id"], views[heir]["payer_id"]) == (heir, trade.startup)
    assert views[trade.startup] == views[trade.provider]
    assert all(views[trade.startup][name] is not None for name in costs)


async def test_an_explanation_shows_of_each_event_and_reading_what_the_feed_and_the_scopes_of_the_key_show(
    database_url,
):
    """A user by transfer read the charges of its payer, and a key with ``accounts:read`` alone statements and usage."""
    market = Market(MemoryLog())
    trade = await market.trade(days=10)
    heir = await market.party("Heir", "startup")
    terms = market.terms(cash="1.1", equity="3", mandate_ids=(trade.mandate,), nodes=2, days=10, latest=1)
    await amend_order(market.handler, market.context(trade.startup), trade.order, terms=terms)
    async with market.worker():
        grant = await market.award(trade)
        id_ = grant.issued.grant_id
        await transfer_grant(market.handler, market.context(trade.startup), id_, startup_id=heir)
        await market.complete(trade, 2)
    instrument_id, account_id = grant.issued.equity.instrument_id, rename_id("acc", trade.startup)
    async with open_stage(market.log, database_url) as stage:
        reach = {"Min-Seq": await stage.reach()}

        async def explain(client, subject_id):
            answer = await client.get(f"/v1/accounts/{subject_id}/explain?limit=50", headers=reach)
            assert answer.status_code == 200, answer.text
            return answer.json()["entries"]

        tenants = {party_id: await stage.open_tenant(party_id) for party_id in (heir, trade.startup, trade.provider)}
        used = await explain(tenants[heir], id_)
        assert {one["entry"]["party_id"] for one in used} == {heir}
        shown = {one["entry"]["tag"]: one["event"] for one in used}
        assert {"usage.reported.v1", "statement.accepted.v1"} <= shown.keys()
        assert {tag for tag, event in shown.items() if event["body"]} == {"grant.transferred.v1"}, "the others in part"
        assert (shown["statement.accepted.v1"]["actor"], shown["statement.accepted.v1"]["body"]) == ("", {})
        assert not any(one["cause"]["readings"] or one["cause"]["events"] for one in used if one["cause"])
        assert all(one["event"]["body"] for one in await explain(tenants[trade.provider], trade.pool))
        for subject_id in (id_, instrument_id, account_id):
            assert all(one["event"]["body"] for one in await explain(tenants[trade.startup], subject_id)), subject_id
        payments = [one for one in await explain(tenants[trade.startup], account_id) if one["cause"]]
        assert any(one["cause"]["readings"] and one["cause"]["events"] for one in payments)
        for subject_id in (trade.pool, account_id, f"grt_{'0' * 26}", "acc_1", "external", "%00", "a%2Fheld"):
            refused = await tenants[heir].get(f"/v1/accounts/{subject_id}/explain", headers=reach)
            assert refused.status_code in {400, 404}, (subject_id, refused.text)
        await require_scopes_followed(stage, explain, trade.startup, (account_id, id_, instrument_id))


async def require_scopes_followed(stage, explain, party_id, subject_ids):
    """A key with the scope of accounts alone reads bodies of accounts only; one of the platform, none of orders."""
    token = (await stage.post(stage.admin, "/v1/api-keys", {"name": "c", "scopes": ["accounts:read"]})).json()["token"]
    for client in (await stage.open_client(token), await stage.open_tenant(party_id, ["accounts:read"])):
        for subject_id in subject_ids:
            for one in await explain(client, subject_id):
                is_account = one["entry"]["tag"].startswith("account.")
                assert bool(one["event"]["body"]) == is_account, one
                assert not one["cause"] or not (one["cause"]["events"] or one["cause"]["readings"]), one
    token = (await stage.post(stage.admin, "/v1/api-keys", {"name": "c", "scopes": ["*:read"]})).json()["token"]
    clerk = await stage.open_client(token)
    placed = {True: set(), False: set()}
    for one in [*await explain(clerk, subject_ids[0]), *await explain(clerk, subject_ids[1])]:
        if one["cause"]:
            placed[bool(one["cause"]["events"])].add(one["cause"]["id"][:3])
    assert placed[True] >= {"stm"}
    assert placed[False] == {"ord"}
    whole = [one["cause"] for one in await explain(stage.admin, subject_ids[0]) if one["cause"]]
    assert {cause["id"][:3] for cause in whole if cause["events"]} == {"ord", "stm"}


async def test_a_user_by_transfer_learns_the_end_and_not_its_fee_and_nothing_after_it_handed_the_grant_on(database_url):
    market = Market(MemoryLog())
    trade = await market.trade()
    first = await market.party("First", "startup")
    second = await market.party("Second", "startup")
    async with market.worker():
        grant = await market.award(trade)
        id_ = grant.issued.grant_id
        for user, giver in ((first, trade.startup), (second, first)):
            await transfer_grant(market.handler, market.context(giver), id_, startup_id=user)
        market.clock.at = grant.issued.start
        await market.until("grant", id_, "active")
        await market.deliver(grant, 1)
        end, by = grant.end, market.context(trade.startup)
        await terminate_grant(market.handler, by, id_, at=end - HOUR, reason="done", by="startup")
    async with open_stage(market.log, database_url) as stage:
        reach = {"Min-Seq": await stage.reach()}
        seen = {}
        for party_id in (first, second, trade.startup):
            seen[party_id] = await list_feed(await stage.open_tenant(party_id), id_, reach)
    ends = {party_id: one for party_id, items in seen.items() for one in items if one["event"]["type"] == TERMINATED}
    assert set(ends) == {second, trade.startup}
    fees = {party_id: Decimal(one["event"]["data"]["fee_usd"]) for party_id, one in ends.items()}
    assert fees[trade.startup] > 0
    assert fees[second] == 0
    assert not any(one["event"].keys() & {"hash", "previoushash"} for one in seen[second])
    assert {one["depth"] for one in seen[second]} == {"own", "full"}
    assert [one["event"]["type"] for one in seen[first]][-1] == "marketplace.grant.transferred.v1"
    assert any(one["event"]["type"].startswith("marketplace.usage.") for one in seen[second])


async def test_a_user_by_transfer_learns_the_span_that_its_payer_chose_not_what_is_set_aside_and_what_is_delivered(
    database_url,
):
    market = Market(MemoryLog())
    trade, site = await convert(market, 1)
    heir = await market.party("Heir", "startup")
    dark = Measurement(reading_id="dark", start=market.day(1), end=market.day(2), nodes=2)
    async with market.worker():
        grant = await market.award(trade)
        id_, handler = grant.issued.grant_id, market.handler
        await transfer_grant(handler, market.context(trade.startup), id_, startup_id=heir)
        await slip(market, trade, site, 4)
        market.clock.at = market.day(1)
        await market.until("grant", id_, "degraded")
        market.clock.at = market.day(2)
        await report_usage(handler, market.context(trade.provider), id_, source="dcgm", measurements=(dark,))
        with pytest.raises(Refusal, match="only the startup of") as refused:
            await reschedule_grant(handler, market.context(heir), id_, choice="shortened")
        assert (refused.value.code, refused.value.facts["side"]) == ("wrong_side", "user")
        await reschedule_grant(handler, market.context(trade.startup), id_, choice="shortened")
        void = {"source": "dcgm", "reading_id": "dark", "reason": "no power"}
        await void_usage(handler, market.context(trade.provider), id_, **void)
        market.clock.at = market.day(4)
        await market.until("grant", id_, "active")
        await market.deliver(await market.state("grant", id_), 2)
    async with open_stage(market.log, database_url) as stage:
        reach = {"Min-Seq": await stage.reach()}
        shortened = {}
        for party_id in (heir, trade.startup):
            client = await stage.open_tenant(party_id)
            items = await list_feed(client, id_, reach)
            [shortened[party_id]] = [one["event"] for one in items if one["event"]["type"].endswith("rescheduled.v1")]
        rows = (await stage.admin.get("/v1/balances", params={"party_id": heir}, headers=reach)).json()["items"]
    costs = [name for name in shortened[heir]["data"] if name.endswith("_commitment_usd")]
    paid, used = (shortened[party_id]["data"] for party_id in (trade.startup, heir))
    assert len(costs) == 3
    assert used == paid | dict.fromkeys(costs, "0.00")
    assert all(Decimal(paid[name]) for name in costs)
    amounts = {one["account"].rpartition("/")[2]: Decimal(one["amount"]) for one in rows}
    assert (amounts["delivered"], amounts["committed"]) == (2 * 16 * 86_400, 5 * 16 * 86_400), (
        "the voided reading was of hours that were taken off"
    )


async def list_feed(client, aggregate_id, headers):
    """Return the events of a grant and its usage in a party's feed."""
    items, page = [], {"items": [], "next_after": 0}
    while page["items"] or not page["next_after"]:
        page = (await client.get("/v1/events", params={"after": page["next_after"]}, headers=headers)).json()
        items += [one for one in page["items"] if one["event"]["data"].get("grant_id") == aggregate_id]
    return items


async def require_names(stage, trade, heir, stranger):
    """Everybody reads the names of providers and of holders of open mandates, each side of a trade the others'."""
    public, sides = {trade.provider, trade.fund}, {trade.provider, trade.fund, trade.startup, heir}
    for party_id, seen in {stranger: public | {stranger}, **dict.fromkeys(sides, sides)}.items():
        client = await stage.open_tenant(party_id)
        listed = (await client.get("/v1/parties/names")).json()["items"]
        assert {one["party_id"] for one in listed} == seen
        asked = await client.get("/v1/parties/names", params={"party_id": [heir, trade.fund, f"pty_{'0' * 26}"]})
        assert asked.json()["items"] == [one for one in listed if one["party_id"] in {heir, trade.fund}]
    everything = (await stage.admin.get("/v1/parties")).json()["items"]
    named = (await stage.admin.get("/v1/parties/names")).json()["items"]
    assert named == [{"party_id": one["party_id"], "name": one["name"]} for one in everything]


async def require_order_expanded(stage, startup_id, order_id, grant):
    client, path = await stage.open_tenant(startup_id), f"/v1/orders/{order_id}"
    order = (await client.get(path)).json()
    assert {"grant", "decision"}.isdisjoint(order)
    [decision] = (await client.get(f"{path}/decisions")).json()["items"]
    both = {"expand": ["grant", "decision"]}
    assert (await client.get(path, params=both)).json() == order | {"grant": grant, "decision": decision}
    assert (await client.get("/v1/orders", params={"expand": "grant"})).json()["items"] == [order | {"grant": grant}]
    unknown = await client.get(path, params={"expand": "statement"})
    assert_problem(unknown, 422, "request_invalid", "/expand")
    assert "decision" in unknown.text
    for scopes, answered in ((["orders:read"], 403), (["orders:read", "grants:read"], 200)):
        narrow = await stage.open_tenant(startup_id, scopes)
        refused = await narrow.get(path, params=both)
        assert refused.status_code == answered, refused.text


async def play(market):
    """Let one order win and one lose, place a third, and return the parties."""
    trade = await market.trade(cash=CASH, equity=EQUITY)
    rival = await market.party("Rival", "startup", usd=100_000)
    await market.order(rival, cash=LOST, standing=True)
    async with market.worker():
        grant = await market.award(trade)
        market.clock.at = grant.issued.start
        await market.until("grant", grant.issued.grant_id, "active")
        await market.deliver(grant, 1)
    await market.order(rival, cash=OPEN)
    assert grant.issued.equity is not None
    return {"winner": trade.startup, "rival": rival, "provider": trade.provider, "fund": trade.fund}


async def list_ids(log):
    """Return the ids of all aggregates by the names of path parameters."""
    ids = defaultdict(list)
    async for page in log.read():
        for recorded in page:
            aggregate, id_ = parse_subject(recorded.subject)
            if id_ not in ids[f"{aggregate}_id"] and aggregate in PREFIXES:
                ids[f"{aggregate}_id"].append(id_)
    return ids


def list_paths(document, ids):
    """Yield every path that can be read, with every id that the log knows for its parameters."""
    for path, item in document["paths"].items():
        if "get" not in item or not path.startswith("/v1/"):
            continue
        parameters = item["get"].get("parameters", ())
        names = [each["name"] for each in parameters if each["in"] == "path"]
        asked = [each["name"] for each in parameters if each["in"] == "query" and each.get("required")]
        query = {name: ids["pool_id"][0] if name == "pool_id" else QUERY.get(name, "1") for name in asked}
        for values in itertools.product(*(ids[name] or ["x"] for name in names)):
            yield path.format(**dict(zip(names, values, strict=True))), query


async def read_feed(client):
    """Return the whole feed of a party as text."""
    text, after = [], 0
    while True:
        answer = await client.get("/v1/events", params={"after": after})
        text.append(answer.text)
        if not answer.json()["items"]:
            return "".join(text)
        after = answer.json()["next_after"]


async def test_no_route_and_no_event_shows_another_partys_offers(database_url):
    market = Market(MemoryLog())
    parties = await play(market)
    async with open_stage(market.log, database_url) as stage:
        ids, seen = await list_ids(market.log), {}
        document = await read_document(stage.admin)
        paths = list(list_paths(document, ids))
        for name, party_id in parties.items():
            client = await stage.open_tenant(party_id)
            reach = {"Min-Seq": await stage.reach()}
            answers = {}
            for path, query in paths:
                answer = await client.get(path, params=query, headers=reach)
                assert answer.status_code in {200, 403, 404, 409, 422}, (path, answer.text)
                answers[path] = answer.text
            seen[name] = {**answers, "the feed": await read_feed(client)}
    leaks = [
        (reader, whose, secret, path)
        for reader, answers in seen.items()
        for whose, secrets in SECRETS.items()
        for secret, (path, text) in itertools.product(secrets, answers.items())
        if reader != whose and secret in text
    ]
    assert leaks == []
    for whose, secrets in SECRETS.items():
        assert all(secret in seen[whose]["the feed"] for secret in secrets if secret != VALUE), "its own it reads"


async def test_a_fund_does_not_learn_what_orders_hold_of_its_mandate_before_or_after_they_win(database_url):
    """It sees the issuer's maximum in its place, and of a matched order exactly what is committed."""
    market = Market(MemoryLog())
    trade = await market.trade(cash="0", equity=EQUITY, issuer_usd_max=Decimal(250_000), days=2)
    async with market.worker():
        grant = await market.award(trade)
    equity = {"mandate_ids": (trade.mandate,), "cash": "0"}
    orders = [await market.order(trade.startup, equity=offer, **equity) for offer in ("2.95", "2.35")]
    await market.cancel(trade.startup, orders[1])
    secrets = {await find_held(market, order_id) for order_id in (trade.order, *orders)}
    mandate = await market.state("mandate", trade.mandate)
    committed = mandate.holds[grant.issued.hold_id].committed_usd
    secrets |= {str(mandate.used_usd), str(mandate.used_usd - committed)} - {str(committed)}
    async with open_stage(market.log, database_url) as stage:
        reach = {"Min-Seq": await stage.reach()}
        holds, body = f"/v1/mandates/{trade.mandate}/holds", {"name": "clerk", "scopes": ["*:read"]}
        clerk = await stage.open_client((await stage.post(stage.admin, "/v1/api-keys", body)).json()["token"])
        fund, paths = await stage.open_tenant(trade.fund), ["/v1/mandates", holds, "/v1/mandates/exposure"]
        paths += [f"/v1/mandates/{trade.mandate}"]
        for client in (fund, clerk):
            texts = {path: (await client.get(path, headers=reach)).text for path in paths}
            texts["feed"] = await read_feed(client) if client is fund else ""
            leaks = [(path, secret) for path, text in texts.items() for secret in secrets if f'"{secret}"' in text]
            assert leaks == []
            rows = {row["order_id"]: row for row in (await client.get(holds, headers=reach)).json()["items"]}
            assert [rows[each]["held_usd"] for each in (trade.order, *orders)] == ["0.00", "250000.00", "0.00"]
            assert Decimal(rows[trade.order]["captured_usd"]) == committed > 0
            view = (await client.get(paths[-1], headers=reach)).json()
            assert (view["held_usd"], Decimal(view["captured_usd"])) == ("250000.00", committed)
            [exposure] = (await client.get(paths[2], headers=reach)).json()
            assert (exposure["held_usd"], Decimal(exposure["committed_usd"])) == ("250000.00", committed)
        exact = {row["order_id"]: row["held_usd"] for row in (await stage.admin.get(holds)).json()["items"]}
        assert exact[orders[0]] in secrets
        seen = [one["event"] for one in (await fund.get("/v1/events?type=mandate.budget_held.v1")).json()["items"]]
        assert [one.keys() & {"hash", "previoushash"} for one in seen] == [set()] * 3
        assert {one["data"]["amount_usd_max"] for one in seen} == {"250000.00"}


async def find_held(market, order_id):
    """Return what an order held of a mandate, from the log, as answers write it."""
    async for page in market.log.read():
        for recorded in page:
            event = parse_event(recorded)
            if isinstance(event, MandateBudgetHeld) and event.order_id == order_id:
                assert event.amount_usd > 0
                return str(event.amount_usd)
    raise AssertionError(order_id)

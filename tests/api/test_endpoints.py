"""Every endpoint, in one story: who is answered what. A route without a row fails the test."""

import re
from collections import defaultdict

from marketplace.api.http.examples import DAY, load_examples
from marketplace.core.ids import rename_id
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.memory import MemoryLog
from marketplace.projections.feed.told import list_events
from tests.api import (
    rows_accounts,
    rows_bonds,
    rows_captables,
    rows_equity,
    rows_issuers,
    rows_market,
    rows_packages,
    rows_quotes,
    rows_resale,
    rows_supply,
    rows_trading,
    rows_warrants,
)
from tests.api.client_tour import tour
from tests.api.documented import Documented, read_document
from tests.api.rows import Row, World, play
from tests.api.stage import Stage, get_id, open_stage
from tests.api.test_rights_of_routes import ROWS

STORY: tuple[Row, ...] = (
    *rows_supply.ROWS,
    *rows_accounts.HOLDS,
    *rows_accounts.APPROVALS,
    *rows_issuers.FORMATION,
    *rows_quotes.LIST_PRICES,
    *rows_quotes.QUOTES,
    *rows_trading.ORDERS,
    *rows_trading.AUCTIONS,
    *rows_trading.GRANTS,
    *rows_bonds.ROWS,
    *rows_resale.RESALE,
    *rows_trading.USAGE,
    *rows_equity.INSTRUMENTS,
    *rows_equity.MOST_FAVOURED,
    *rows_trading.STATEMENTS,
    *rows_warrants.ROWS,
    *rows_equity.MATURITY,
    *rows_market.MARKET,
    *rows_quotes.DATA,
    *rows_accounts.BOOKS,
    *rows_equity.CANCELLED,
    *rows_captables.CAP_TABLES,
    *rows_trading.APPROVED,
    *rows_equity.FINANCINGS,
    *rows_captables.BOOKS,
    *rows_packages.PACKAGES,
    *rows_quotes.CLOSING,
    *rows_bonds.RELEASE,
    *rows_trading.REST,
    *rows_supply.KEYS,
)


OVER = {
    "allocation_voided", "closing_brought_forward", "grant_completed", "grant_terminated", "issuer_ended",
    "never_feasible", "no_eligible_pool", "notice_exists", "observation_too_old", "observation_unknown",
    "outside_grant", "pool_full", "reading_voided", "term_passed",
}  # fmt: skip
"""Codes by which a market whose story is over refuses what it accepted before."""


async def prepare(stage: Stage) -> World:
    startup = await stage.register("Startup", "startup", usd="200000", sector="robotics")
    provider = await stage.register("Provider", "provider")
    fund = await stage.register("Fund", "fund", usd="2000000")
    other = await stage.register("Other", "startup", "provider", "fund", usd="1000")
    heir = await stage.register("Heir", "startup")
    treasury = await stage.register("Treasury", "fund", usd="1000")
    clients = {
        "anonymous": await stage.open_client(None),
        "platform": stage.admin,
        "startup": await stage.open_tenant(startup),
        "provider": await stage.open_tenant(provider),
        "fund": await stage.open_tenant(fund),
        "other": await stage.open_tenant(other),
        "clerk": await stage.open_tenant(treasury, person="p1"),
        "chief": await stage.open_tenant(treasury, person="p2"),
    }
    ids = {"startup": startup, "provider": provider, "fund": fund, "heir": heir, "account": rename_id("acc", startup)}
    ids["till"] = rename_id("acc", treasury)
    ids["spare_account"] = rename_id("acc", heir)
    return World(stage, clients, ids)


async def add_spares(world: World, row: Row) -> None:
    """Make what a row is about to use up."""
    stage, ids = world.stage, world.ids
    if "{planned}" in row.path and "planned" not in ids:
        body = rows_supply.build_site(world, status="planned", power_energised_kw=0, name="South")
        ids["planned"] = get_id(await stage.post(world.clients["provider"], "/v1/sites", body))
    if row.path == "/v1/mandates" and row.method == "GET":
        body = rows_supply.build_mandate(world, budget_usd="1000", issuer_usd_max="1000", direct_budget_usd="1000")
        ids["spare_mandate"] = get_id(await stage.post(world.clients["fund"], "/v1/mandates", body))
    if "{spare_lot}" in row.path and "spare_lot" not in ids:
        body = rows_supply.build_lot(world, mandate_ids=[])
        ids["spare_lot"] = get_id(await stage.post(world.clients["provider"], "/v1/lots", body))
    if row.path.endswith("/stock/transfers") and "angel" not in ids:
        body = {"name": "Angel", "kind": "investor"}
        path = f"/v1/issuers/{ids['issuer']}/stakeholders"
        ids["angel"] = get_id(await stage.post(world.clients["startup"], path, body))
    if row.path == "/v1/instruments" and row.method == "POST":
        ids["drawn"] = rename_id("ins", ids["grant"])
    if "{key}" in row.path:
        keys = (await world.clients["startup"].get("/v1/api-keys")).json()["items"]
        ids["key"] = next(key["key_id"] for key in keys if key["name"] == "reader")


async def tell(stage: Stage) -> tuple[World, Documented, dict[int, str]]:
    """Play every row, hold each answer against the document, and return the path of the command at each sequence."""
    world = await prepare(stage)
    documented = Documented(await read_document(stage.admin), lambda: world.today)
    for client in world.clients.values():
        client.event_hooks["response"].append(documented.hear)
    commands = {}
    for row in STORY:
        await add_spares(world, row)
        answer = (await play(world, row)).answer
        if row.method != "GET" and "commit-seq" in answer.headers:
            commands[int(answer.headers["commit-seq"])] = row.route[1].replace("{}", "*")
    return world, documented, commands


async def find_untold(stage: Stage, commands: dict[int, str]) -> dict[str, set[str]]:
    """Return what those commands recorded by which nobody is told whom their row of the table of rights names.

    A command that changed nothing is left out.
    """
    recorded: dict[str, set[str]] = defaultdict(set)
    caused, after = {}, 0
    while items := (await stage.admin.get("/v1/events", params={"after": after, "limit": 500})).json()["items"]:
        after = items[-1]["sequence"]
        for item in items:
            caused[item["sequence"]] = item["event"]["correlationid"]
            recorded[item["event"]["correlationid"]].add(item["event"]["data"]["type"])
    acts = {path: recorded[caused[sequence]] for sequence, path in commands.items() if ROWS.get(path, "key") != "key"}
    return {
        path: types
        for path, types in acts.items()
        if types != {"command.recorded.v1"} and not types & {*list_events(ROWS[path])}
    }


async def send_other_examples(world: World, documented: Documented) -> None:
    """Send the examples that no row sent: the market may refuse them for its state, never for what they are."""
    requests = {each.operation_id: each for each in (await world.requests.load()).values()}
    assert requests.keys() == documented.examples.found.keys()
    refused = {}
    for name in sorted(requests.keys() - world.requests.sent):
        origin = documented.examples.origins[name]
        answer = await world.requests.send(origin, requests[name], world.stage.application)
        if not answer.is_success:
            refused[name] = answer.json()["code"]
    assert set(refused.values()) <= OVER, str(refused)


async def test_every_endpoint_answers_each_caller(jetstream_log: JetStreamLog, database_url: str):
    async with open_stage(jetstream_log, database_url, worker=True, embedded=True) as stage:
        world, documented, commands = await tell(stage)
        assert len({*commands.values()} & ROWS.keys()) > len(ROWS) // 2
        assert await find_untold(stage, commands) == {}
        assert not documented.faults, "\n".join(f"{name}: {fault}" for name, fault in documented.faults.items())
        assert len(documented.checked) > 200
        assert load_examples(DAY) == documented.examples.found, "run scripts/request_examples.py"
        await tour(world)
        await send_other_examples(world, documented)


async def test_every_route_has_a_row():
    async with open_stage(MemoryLog()) as stage:
        routes = {
            (method, re.sub(r"\{[^}]*\}", "{}", route.path_format))
            for route in stage.application.routes
            for method in route.methods - {"OPTIONS", "HEAD"}
            if route.path_format.startswith("/v1/")
        }
    rows = {row.route for row in STORY}
    assert routes - rows == set(), "these routes have no row"
    assert rows - routes == set(), "these rows have no route"
    assert len(routes) > 90

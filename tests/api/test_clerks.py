"""Keys of the platform without ``orders:sealed`` read nothing that depends on what an open order offers.

Two markets differ in the offers of their open orders alone. Every route that can be read is asked in both, with the id
of everything in the log, and answers the same. So a route that is added later cannot tell an offer either.
"""

import json
import re
from collections import defaultdict
from datetime import timedelta
from decimal import Decimal

from events.stages import CreditTerms, StageTerms
from marketplace.application.billing.accounts import withdraw
from marketplace.application.billing.credits import limit_credit
from marketplace.application.trading.orders import amend_order
from marketplace.application.trading.quotes import hold_quote
from marketplace.core.ids import rename_id
from marketplace.domain.trading.order import ORDER
from marketplace.domain.trading.quote import QUOTE
from marketplace.log.memory import MemoryLog
from tests.api.documented import read_document
from tests.api.stage import open_stage
from tests.api.test_sealed import list_ids, list_paths
from tests.support.market.desk import open_desk
from tests.support.market.market import Market

OFFERS = (("1.7", "2", "9000"), ("2.9", "1.3", "8000"))
"""Cash and equity per GPU-hour, and credit in USD, in each market."""
WHOLE = timedelta(days=1)
READ_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")
"""An instant of the wall clock, as far as the market's are whole seconds."""


async def play(cash, equity, credit_usd):
    """Return a market with a completed grant, three open orders, one amended and one cancelled, and a held quote."""
    market = Market(MemoryLog())
    trade = await market.trade(cash="1.1", equity="3", days=2)
    async with market.worker():
        await market.complete(trade, 2)
    handler, startup = market.handler, trade.startup
    limit = {"startup_id": startup, "limit_usd": Decimal(50_000)}
    await limit_credit(handler, market.context(trade.provider), trade.provider, **limit)
    first = (market.clock.at - market.day(0)) // WHOLE + 3
    span = {"cash": cash, "earliest": first, "latest": first + 6}
    mixed = {"equity": equity, "mandate_ids": (trade.mandate,), **span}
    credit = CreditTerms(provider_id=trade.provider, amount_usd=Decimal(credit_usd))
    stages = {"stages": StageTerms(hours=720, security_hours=720), "credit": credit}
    placed = [await market.order(startup, **mixed) for _ in range(3)]
    await market.order(startup, days=80, **stages, **span)
    await amend_order(handler, market.context(startup), placed[1], terms=market.terms(**mixed, nodes=1))
    await market.cancel(startup, placed[2])
    async with open_desk(market) as desk:
        held = {"startup_id": startup, "terms": market.terms(days=1, **mixed), "hold_seconds": 600}
        await hold_quote(handler, market.context(startup), desk.quoter, **held)
    await withdraw(
        handler,
        market.context(startup),
        rename_id("acc", startup),
        amount_usd=Decimal(5),
        reference="rent",
    )
    return market, startup


def list_queries(item):
    """Return the names of a path's parameters."""
    return {each["name"] for each in item.get("get", {}).get("parameters", ())}


async def require_sums(client, reach):
    """The entries that a key reads sum to the balances that it reads, and both to those at the log's end."""
    sums = defaultdict(Decimal)
    for row in (await client.get("/v1/entries?limit=500", headers=reach)).json()["items"]:
        sums[row["account"]] += Decimal(row["amount"])
    for path in ("/v1/balances?limit=500", f"/v1/balances?limit=500&at={reach['Min-Seq']}"):
        rows = (await client.get(path, headers=reach)).json()["items"]
        assert {row["account"]: Decimal(row["amount"]) for row in rows if Decimal(row["amount"])} == {
            account: amount for account, amount in sums.items() if amount
        }


async def read_all(database_url, offer):
    """Return what a clerk of the platform and its first key read in a market with these offers, by path."""
    market, startup = await play(*offer)
    async with open_stage(market.log, database_url) as stage:
        ids, told = await list_ids(market.log), []
        ids["subject_id"] = [id_ for name in ("account", "grant", "pool", "instrument") for id_ in ids[f"{name}_id"]]
        body = {"name": "clerk", "scopes": ["*:read"]}
        token = (await stage.post(stage.admin, "/v1/api-keys", body)).json()["token"]
        document, reach = await read_document(stage.admin), {"Min-Seq": await stage.reach()}
        dated = {path: item for path, item in document["paths"].items() if "at" in list_queries(item)}
        paths = [(path, query, path) for path, query in list_paths(document, ids)]
        paths += [
            (path, {**query, "at": reach["Min-Seq"]}, f"{path} at") for path, query in list_paths({"paths": dated}, ids)
        ]
        for client in (await stage.open_client(token), stage.admin):
            answers = {}
            for path, query, name in paths:
                answer = await client.get(path, params=query, headers=reach)
                assert answer.status_code in {200, 403, 404, 409, 422}, (path, answer.text)
                answers[name] = READ_AT.sub("", answer.text)
            told.append(answers)
            await require_sums(client, reach)
    return told, f"/v1/accounts/{rename_id('acc', startup)}"


async def test_what_a_key_of_the_platform_without_the_scope_of_sealed_offers_reads_depends_on_no_open_offer(
    database_url, empty_database_url
):
    ((clerk, whole), account), ((other_clerk, other_whole), _) = (
        await read_all(database_url, OFFERS[0]),
        await read_all(empty_database_url, OFFERS[1]),
    )
    assert clerk.keys() == other_clerk.keys()
    assert {path for path, text in clerk.items() if other_clerk[path] != text} == set()
    told = {path for path, text in whole.items() if other_whole[path] != text}
    shown = {f"{account}/{name}" for name in ("holds", "statement", "statement.csv", "statement.html", "explain")}
    shown |= {f"{account}/explain at", "/v1/balances at", "/v1/trial-balance at"}
    assert shown | {account, "/v1/accounts", "/v1/balances", "/v1/entries", "/v1/trial-balance", "/v1/credits"} <= told
    sealed = {ORDER.prefix, QUOTE.prefix}
    kinds = [
        {row["purpose"][:3] for row in json.loads(read[f"{account}/holds"])["items"]} & sealed
        for read in (whole, clerk)
    ]
    assert kinds == [sealed, set()], "the price of a held quote is sealed too"


async def test_a_refusal_tells_a_key_of_the_platform_without_that_scope_nothing_that_orders_hold(database_url):
    market = Market(MemoryLog())
    trade = await market.trade(cash="1.1", equity="3", days=2)
    await market.order(trade.startup, cash="1.7", days=2)
    account = f"/v1/accounts/{rename_id('acc', trade.startup)}"
    async with open_stage(market.log, database_url) as stage:
        scopes = ["accounts:withdraw", "accounts:close", "rights:decide"]
        token = (await stage.post(stage.admin, "/v1/api-keys", {"name": "c", "scopes": scopes})).json()["token"]
        for client, told in ((await stage.open_client(token), False), (stage.admin, True)):
            for act, body, code, fact in (
                ("withdrawals", {"amount_usd": "999999999", "reference": "r"}, "funds_insufficient", "available_usd"),
                ("close", {"reason": "left"}, "holds_left", "held_usd"),
            ):
                refused = (await stage.post(client, f"{account}/{act}", body)).json()
                assert refused["code"] == code
                assert (fact in refused.get("facts", {})) is told
                assert bool(re.search(r"\d\.\d\d", refused["detail"])) is told

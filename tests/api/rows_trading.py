"""Rows of orders, auctions, grants, usage, statements, market data, the feed and the clock."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from httpx import Response

from marketplace.api.trading.auctions import OF_AUDITORS
from marketplace.client import ProblemError
from marketplace.core.ids import rename_id
from tests.api import rows_supply
from tests.api.rows import ABSENT, PLATFORM_ONLY, SEEN, Row, World
from tests.api.rows_allocations import ALLOCATIONS
from tests.api.rows_service_lines import SERVICE_LINES
from tests.api.stage import build_terms, get_id

STAGES = {"hours": 240, "security_hours": 240}


def build_order(world: World, **more) -> dict:
    equity = {"equity": "3", "mandate_ids": [world.ids["mandate"]], "cash": "1"}
    begin = {"start_earliest": world.day(2), "start_latest": world.day(2)}
    terms = build_terms(world.day, **equity, **{"duration_hours": 24 * 40, **begin, **more})
    return {"startup_id": world.ids["startup"], "terms": terms}


def build_cash_order(world: World, cash: str = "3", latest: float = 2) -> dict:
    begin = {"start_earliest": world.day(2), "start_latest": world.day(latest)}
    return {
        "startup_id": world.ids["startup"],
        "terms": build_terms(world.day, cash=cash, duration_hours=24 * 40, stages=STAGES, **begin),
    }


def build_plain_order(world: World, cash: str = "5") -> dict:
    """Return an order with the members that it needs and no others, which the reference shows as its example."""
    begin = {"start_earliest": world.day(2), "start_latest": world.day(2)}
    return {"startup_id": world.ids["startup"], "terms": build_terms(world.day, cash=cash, **begin)}


def build_auction(world: World, **more) -> dict:
    horizon = {"horizon_start": world.day(2), "period_hours": 24, "periods": 90, "seed": 1}
    return {"locks_at": world.day(0), **horizon, **more}


def check_earnings(earned: dict) -> bool:
    """Return whether months and grants each add up to the total, in which something was earned."""
    sums = {
        kind: sum(Decimal(row["earned_usd"]) + Decimal(row["waiting_usd"]) for row in earned[kind])
        for kind in ("months", "grants")
    }
    total = earned["total"]
    whole = Decimal(total["earned_usd"]) + Decimal(total["waiting_usd"])
    return sums == {"months": whole, "grants": whole} and Decimal(total["earned_usd"]) > 0 and len(earned["grants"]) > 1


async def clear_auction(world: World) -> None:
    await world.move_to(0.05)
    path = f"/v1/auctions/{world.ids['auction']}"
    await world.find(path, lambda one: one["carried_out_at"])
    for order, grant in (("order", "grant"), ("cash_order", "second_grant"), ("late_order", "late_grant")):
        found = await world.find(f"/v1/orders/{world.ids[order]}", lambda one: one)
        assert found["status"] == "matched", found
        world.ids[grant] = found["grant_id"]
    world.ids["undrawn"] = rename_id("ins", world.ids["late_grant"])


async def begin_delivery(world: World) -> None:
    await world.move_to(2.1)
    for grant in ("grant", "second_grant"):
        await world.find(f"/v1/grants/{world.ids[grant]}", lambda one: one["status"] == "active")


async def end_period(world: World) -> None:
    await world.move_to(33.2)
    path = f"/v1/statements?grant_id={world.ids['grant']}"
    world.ids["statement"] = await world.find(path, lambda page: page["items"] and page["items"][0]["statement_id"])


async def end_grant(world: World) -> None:
    await world.move_to(43.2)
    path = f"/v1/statements?grant_id={world.ids['grant']}&status=issued"
    world.ids["last_statement"] = await world.find(
        path, lambda page: page["items"] and page["items"][0]["statement_id"]
    )


async def open_spare_pool(world: World) -> None:
    stage, provider = world.stage, world.clients["provider"]
    fabric = {"gpu_class": "H100_SXM", "interconnect": "infiniband", "gpus_per_node": 8, "nodes": 8}
    body = {"site_id": world.ids["site"], **fabric, "power_per_node_kw": 1}
    world.ids["spare_pool"] = get_id(await stage.post(provider, "/v1/pools", body))
    lot = {"nodes": 8, "start": world.day(1), "end": world.day(90), "ask_usd_per_gpu_hour": "0.01", "mandate_ids": []}
    get_id(await stage.post(provider, "/v1/lots", {"pool_id": world.ids["spare_pool"], **lot}))


async def fund_provider(world: World) -> None:
    """Give the provider the fee of the early end that follows."""
    account_id = rename_id("acc", world.ids["provider"])
    transfer = {"amount_usd": "10000.00", "reference": "for an early end"}
    get_id(await world.stage.post(world.stage.admin, f"/v1/accounts/{account_id}/deposits", transfer))


async def reschedule_again(client, ids) -> None:
    with pytest.raises(ProblemError, match="site_on_time"):
        await client.grants.reschedule(ids["second_grant"], choice="moved")


def build_reading(world: World, reading_id: str, nodes: int = 2) -> dict:
    return {"reading_id": reading_id, "start": world.day(2), "end": world.day(2.05), "nodes": nodes}


ORDERS = (
    Row(
        "POST",
        "/v1/orders",
        "startup",
        build_order,
        201,
        (lambda world: build_order(world, start_earliest=world.day(30)), 422, "window_reversed"),
        (404, "party_unknown"),
        "order",
    ),
    Row(
        "POST",
        "/v1/orders",
        "startup",
        lambda world: build_cash_order(world, latest=2),
        201,
        (lambda world: build_cash_order(world, cash="100000"), 422, "funds_insufficient"),
        (404, "party_unknown"),
        "cash_order",
    ),
    Row(
        "POST",
        "/v1/orders",
        "startup",
        build_plain_order,
        201,
        (lambda world: build_plain_order(world, cash="0"), 422, "offer_empty"),
        (404, "party_unknown"),
        "spare_order",
    ),
    Row(
        "POST",
        "/v1/orders",
        "startup",
        lambda world: build_order(world, start_earliest=world.day(42), start_latest=world.day(43)),
        201,
        (lambda world: {"startup_id": world.ids["startup"]}, 422, "body_invalid"),
        (404, "party_unknown"),
        "late_order",
    ),
    Row(
        "PUT",
        "/v1/orders/{spare_order}",
        "startup",
        lambda world: {"terms": build_plain_order(world, cash="6")["terms"]},
        refused=(lambda world: {"terms": build_plain_order(world, cash="0")["terms"]}, 422, "offer_empty"),
    ),
    Row(
        "POST",
        "/v1/orders/{spare_order}/cancel",
        "startup",
        {"reason": "no longer needed"},
        refused=({"because": "x"}, 422, "body_invalid"),
    ),
    Row("GET", "/v1/orders/{spare_order}", check=lambda one: one["status"] == "cancelled"),
    Row("GET", "/v1/orders?status=open", other=SEEN, check=lambda page: len(page["items"]) == 3),
    Row(
        "GET",
        "/v1/orders/book",
        refused=("at=2026-01-01T00:00:00", 422, "request_invalid"),
        other=SEEN,
        check=lambda page: len(page["items"]) == 3,
    ),
)
AUCTIONS = (
    Row(
        "POST",
        "/v1/auctions",
        "platform",
        build_auction,
        201,
        (lambda world: build_auction(world, locks_at=world.day(-9)), 422, "lock_past"),
        PLATFORM_ONLY,
        "auction",
    ),
    Row(
        "GET",
        "/v1/auctions/{auction}",
        "startup",
        other=SEEN,
        before=clear_auction,
        check=lambda one: one["matched"] == 3,
    ),
    Row(
        "GET",
        "/v1/auctions/{auction}/certificate",
        "startup",
        other=SEEN,
        check=lambda one: one["prices_hash"] and not any(one[name] for name in OF_AUDITORS),
    ),
    Row(
        "GET",
        "/v1/auctions/{auction}/book",
        "platform",
        other=PLATFORM_ONLY,
        check=lambda book: len(book["orders"]) == 3,
    ),
    Row(
        "GET",
        "/v1/auctions/{auction}/audit",
        "platform",
        other=PLATFORM_ONLY,
        check=lambda one: len(one["book"]["orders"]) == len(one["decisions"]) == 3,
    ),
    Row(
        "GET",
        "/v1/auctions/{auction}/decisions",
        "startup",
        refused=("limit=501", 422, "request_invalid"),
        other=SEEN,
        check=lambda page: len(page["items"]) == 3,
    ),
    Row(
        "GET",
        "/v1/auctions/{auction}/decisions?matched=false",
        "startup",
        refused=("matched=maybe", 422, "request_invalid"),
        other=SEEN,
        check=lambda page: page["items"] == [],
    ),
    Row(
        "GET",
        "/v1/auctions?status=cleared&status=failed&order=newest",
        other=SEEN,
        check=lambda page: len(page["items"]) == 1,
    ),
)
GRANTS = (
    Row(
        "GET",
        "/v1/grants/{grant}",
        "fund",
        check=lambda one: one["status"] == "issued" and len(one["ends"]["fees"]) == 3,
    ),
    Row("POST", "/v1/grants/{grant}/activate", "provider", before=begin_delivery),
    Row("GET", "/v1/grants?status=active", "provider", other=SEEN, check=lambda page: len(page["items"]) == 2),
    Row(
        "POST",
        "/v1/grants/{grant}/degrade",
        "provider",
        lambda world: {"nodes_available": 1, "at": world.day(2), "reason": "a node failed"},
        refused=(
            lambda world: {"nodes_available": 3, "at": world.day(2), "reason": "x"},
            422,
            "nodes_above_grant",
        ),
    ),
    Row(
        "POST",
        "/v1/grants/{grant}/resume",
        "provider",
        lambda world: {"at": world.day(2.1)},
        refused=({"at": 5}, 422, "body_invalid"),
    ),
    *SERVICE_LINES,
    Row("POST", "/v1/grants/{second_grant}/stages", "startup"),
    Row(
        "POST",
        "/v1/grants/{second_grant}/suspend",
        "provider",
        lambda world: {"at": world.day(2), "reason": "fibre cut"},
        refused=({"reason": "x"}, 422, "body_invalid"),
    ),
    Row(
        "GET",
        "/v1/grants/{grant}/history",
        "startup",
        refused=("at=x", 422, "request_invalid"),
        check=lambda one: one["status"] == "active",
    ),
    Row(
        "GET",
        "/v1/grants/history",
        "startup",
        refused=("at=x", 422, "request_invalid"),
        other=SEEN,
        check=lambda page: {"active", "suspended"} <= {one["status"] for one in page["items"]},
    ),
    Row(
        "POST",
        "/v1/grants/{second_grant}/reschedule",
        "startup",
        {"choice": "shortened"},
        refused=(lambda world: {"choice": "moved", "start": world.day(1)}, 422, "start_too_early"),
        ask=reschedule_again,
    ),
    Row(
        "POST",
        "/v1/grants/{second_grant}/substitute",
        "provider",
        lambda world: {"pool_id": world.ids["spare_pool"], "reason": "maintenance"},
        refused=({"pool_id": f"pol_{ABSENT}", "reason": "maintenance"}, 404, "pool_unknown"),
        before=open_spare_pool,
    ),
    Row(
        "POST",
        "/v1/grants/{second_grant}/transfer",
        "startup",
        lambda world: {"startup_id": world.ids["heir"]},
        refused=(lambda world: {"startup_id": world.ids["provider"]}, 422, "role_missing"),
    ),
    Row(
        "POST",
        "/v1/grants/{second_grant}/terminate",
        "provider",
        lambda world: {"at": world.day(6), "reason": "the fibre stays cut"},
        before=fund_provider,
        refused=(lambda world: {"at": world.day(2.1), "reason": "the fibre is cut"}, 422, "notice_too_short"),
    ),
)
USAGE = (
    Row(
        "POST",
        "/v1/grants/{grant}/usage",
        "provider",
        lambda world: {"source": "dcgm", "readings": [build_reading(world, "r1"), build_reading(world, "r2", 9)]},
        refused=({"source": "dcgm", "readings": []}, 422, "body_invalid"),
        check=lambda one: (
            [reading["outcome"] for reading in one["readings"]] == ["accepted", "rejected"]
            and one["readings"][1]["pointer"] == "/readings/1"
        ),
    ),
    Row(
        "POST",
        "/v1/grants/{grant}/usage/evidence",
        "provider",
        lambda world: {
            "source": "dcgm",
            "samples": [{"device": "GPU-1", "at": world.day(2.15), "gpu_utilisation": "0.9"}],
        },
        refused=({"source": "dcgm", "samples": []}, 422, "body_invalid"),
    ),
    Row(
        "GET",
        "/v1/grants/{grant}/usage/contradictions",
        "startup",
        refused=("start=soon", 422, "request_invalid"),
        check=lambda found: [one["kind"] for one in found] == ["busy_unmetered"],
    ),
    Row(
        "POST",
        "/v1/grants/{grant}/usage/corrections",
        "provider",
        lambda world: {"source": "dcgm", "reading": build_reading(world, "r1", 1), "reason": "counted twice"},
        refused=(
            lambda world: {"source": "dcgm", "reading": build_reading(world, "r9"), "reason": "x"},
            404,
            "reading_unknown",
        ),
    ),
    Row("GET", "/v1/grants/{grant}/usage", "startup", check=lambda one: int(one["gpu_seconds"]) == 8 * 4_320),
    Row("GET", "/v1/grants/{grant}/usage/days", "startup", check=lambda days: int(days[0]["gpu_seconds"]) == 8 * 4_320),
    Row(
        "GET",
        "/v1/grants/{grant}/usage/readings",
        "startup",
        refused=("start=soon", 422, "request_invalid"),
        check=lambda page: len(page["items"]) == 1,
    ),
    Row(
        "POST",
        "/v1/grants/{grant}/usage/voids",
        "provider",
        {"source": "dcgm", "reading_id": "r1", "reason": "another grant's"},
        refused=({"source": "dcgm", "reading_id": "r8", "reason": "x"}, 404, "reading_unknown"),
    ),
    Row(
        "POST",
        "/v1/usage",
        "provider",
        lambda world: {
            "specversion": "1.0",
            "type": "marketplace.meter.reading.v1",
            "id": "r3",
            "source": "dcgm",
            "subject": world.ids["grant"],
            "data": {"start": world.day(2), "end": world.day(2.05), "nodes": 9},
        },
        refused=(None, 415, "media_type_unsupported"),
        other=SEEN,
        check=lambda one: one["readings"][0]["code"] == "nodes_above_grant",
        media_type="application/cloudevents+json",
    ),
    *ALLOCATIONS,
)


async def deliver(world: World) -> None:
    await world.move_to(31)
    reading = {"reading_id": "month", "start": world.day(2), "end": world.day(30), "nodes": 2}
    path = f"/v1/grants/{world.ids['grant']}/usage"
    answer = await world.stage.post(world.clients["provider"], path, {"source": "dcgm", "readings": [reading]})
    assert answer.json()["readings"][0]["outcome"] == "accepted", answer.text
    await end_period(world)


STATEMENTS = (
    Row("GET", "/v1/statements/{statement}", "fund", before=deliver, check=lambda one: one["status"] == "issued"),
    Row(
        "POST",
        "/v1/statements/{statement}/dispute",
        "startup",
        {"gpu_seconds_counted": 1_000_000, "reason": "slow nodes"},
        refused=({"gpu_seconds_counted": 10**12, "reason": "x"}, 422, "count_above_statement"),
    ),
    Row(
        "POST",
        "/v1/statements/{statement}/concede",
        "startup",
        {"gpu_seconds": 1_000_001, "reason": "one more"},
        refused=({"gpu_seconds": 10**12, "reason": "x"}, 422, "concession_outside"),
    ),
    Row(
        "POST",
        "/v1/statements/{statement}/answer",
        "provider",
        {"reason": "see the log", "evidence": [{"kind": "document", "reference": "https://example.com/rack.log"}]},
        refused=({"gpu_seconds": 10**12, "reason": "x"}, 422, "offer_outside"),
    ),
    Row(
        "POST",
        "/v1/statements/{statement}/answer",
        "startup",
        {"gpu_seconds": 1_000_002, "reason": "then this"},
        refused=({"hours": "1", "reason": "x"}, 422, "amount_missing"),
    ),
    Row(
        "POST",
        "/v1/statements/{statement}/refer",
        "provider",
        {"reason": "please decide"},
        refused=({"reason": ""}, 422, "body_invalid"),
    ),
    Row(
        "GET",
        "/v1/statements/{statement}",
        "startup",
        other=(404, "statement_unknown"),
        check=lambda one: (
            (one["awaits"], one["offered_by"], one["gpu_seconds_counted"]) == ("platform", "startup", 1_000_001)
        ),
    ),
    Row(
        "POST",
        "/v1/statements/{statement}/resolve",
        "provider",
        {"gpu_seconds": 1_000_001, "reason": "conceded"},
        refused=({"gpu_seconds": 2_000_000, "reason": "x"}, 422, "concession_above_count"),
    ),
    Row(
        "POST",
        "/v1/statements/{last_statement}/accept",
        "startup",
        before=end_grant,
        refused=({"a": 1}, 422, "body_invalid"),
    ),
    Row(
        "GET",
        "/v1/statements/earnings?start=2020-01-01T00:00:00Z&end=2100-01-01T00:00:00Z",
        "provider",
        other=SEEN,
        refused=("start=2100-01-01T00:00:00Z&end=2020-01-01T00:00:00Z", 422, "request_invalid"),
        check=check_earnings,
        ask=lambda client, _: client.statements.sum_earnings(
            start=datetime(2020, 1, 1, tzinfo=UTC), end=datetime(2100, 1, 1, tzinfo=UTC)
        ),
    ),
    Row("GET", "/v1/statements?status=accepted", other=SEEN, check=lambda page: len(page["items"]) >= 2),
)


async def ask_holder(world: World) -> None:
    """Place two orders that draw more than their mandate lets startups draw without its holder's approval."""
    if "careful" in world.ids:
        return
    stage, ids = world.stage, world.ids
    terms = {"budget_usd": "900", "issuer_usd_max": "900", "approval_above_usd": "100"}
    careful = rows_supply.build_mandate(world, **terms, direct_budget_usd=None)
    ids["careful"] = get_id(await stage.post(world.clients["fund"], "/v1/mandates", careful))
    for name in ("asked_hold", "unwanted_hold"):
        ids[name] = rename_id("hld", get_id(await order_equity(world, ids["careful"])))
    for name in ("vendor", "generation"):
        capped = rows_supply.build_mandate(world, **terms, **{f"{name}_share_max": "0.1"}, direct_budget_usd=None)
        mandate_id = get_id(await stage.post(world.clients["fund"], "/v1/mandates", capped))
        answer = await order_equity(world, mandate_id)
        assert (answer.status_code, answer.json()["code"]) == (422, f"{name}_maximum_reached"), answer.text


async def order_equity(world: World, mandate_id: str) -> Response:
    """Order a node for a day, which draws more than a tenth of the small budget of a mandate."""
    now = world.stage.services.handler.clock.now()
    begin = {
        "start_earliest": (now + timedelta(days=2)).isoformat(),
        "start_latest": (now + timedelta(days=9)).isoformat(),
    }
    equity = {"equity": "1", "cash": "1", "mandate_ids": [mandate_id]}
    order = build_terms(world.day, **equity, nodes=1, duration_hours=24, **begin)
    body = {"startup_id": world.ids["startup"], "terms": order}
    return await world.stage.post(world.clients["startup"], "/v1/orders", body)


APPROVED = (
    Row(
        "POST",
        "/v1/mandates/{careful}/holds/{asked_hold}/approve",
        "fund",
        before=ask_holder,
        ask=lambda client, ids: client.mandates.approve_order(ids["careful"], ids["asked_hold"]),
    ),
    Row(
        "POST",
        "/v1/mandates/{careful}/holds/{unwanted_hold}/refuse",
        "fund",
        {"reason": "one is enough"},
        refused=({"reason": ""}, 422, "body_invalid"),
        ask=lambda client, ids: client.mandates.refuse_order(
            ids["careful"], ids["unwanted_hold"], reason="one is enough"
        ),
    ),
)
REST = (
    Row(
        "GET",
        "/v1/events?limit=5",
        "startup",
        refused=("after=-1", 422, "request_invalid"),
        other=SEEN,
        check=lambda page: len(page["items"]) == 5,
    ),
    Row(
        "GET",
        f"/v1/events?event_id=evt_{ABSENT}&command_id=cmd_{ABSENT}",
        other=SEEN,
        check=lambda page: page["items"] == [],
    ),
    Row(
        "GET",
        "/v1/events/chain?sequence=1",
        "platform",
        refused=("sequence=999999999", 404, "event_unknown"),
        other=PLATFORM_ONLY,
        check=lambda chain: chain[0]["actor"] == "platform" and chain[0]["events"][0]["sequence"] == 1,
    ),
    Row(
        "GET",
        "/v1/events/states?sequence=1",
        "platform",
        refused=("sequence=0", 422, "request_invalid"),
        other=PLATFORM_ONLY,
        check=lambda one: one["before"] is None and one["after"],
    ),
    Row(
        "GET",
        "/v1/projections",
        "platform",
        other=PLATFORM_ONLY,
        check=lambda rows: all(row["state"] == "live" and row["job"] is None for row in rows),
    ),
    Row("GET", "/v1/projections/stuck", "platform", other=PLATFORM_ONLY, check=lambda rows: rows == []),
    Row(
        "POST",
        "/v1/projections/rebuilds",
        "platform",
        {"name": "quotes"},
        202,
        ({"name": "prices"}, 404, "projection_unknown"),
        PLATFORM_ONLY,
        check=lambda job: (job["kind"], job["status"]) == ("rebuild", "running"),
    ),
    Row(
        "POST",
        "/v1/projections/verifications",
        "platform",
        {"name": "bonds"},
        202,
        ({"name": ""}, 422, "body_invalid"),
        PLATFORM_ONLY,
        check=lambda job: (job["kind"], job["result"]) == ("verify", None),
    ),
    Row(
        "POST",
        "/v1/test/clock",
        "platform",
        {"seconds": 1},
        refused=({"seconds": 0}, 422, "body_invalid"),
        other=PLATFORM_ONLY,
    ),
    Row("GET", "/v1/test/clock", other=SEEN, check=lambda one: one["offset_seconds"] > 3_600),
)

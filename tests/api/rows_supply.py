"""Rows of parties, keys, accounts, sites, pools, lots and mandates."""

from datetime import UTC, datetime

from tests.api.rows import PLATFORM_ONLY, SEEN, Row, World

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)

SITE = {
    "name": "North",
    "region": "us-east",
    "jurisdiction": "US",
    "status": "operating",
    "power_contracted_kw": 1_000,
    "power_energised_kw": 500,
    "power_usage_effectiveness": "1.2",
    "renewable_share": "0.5",
}
MANDATE = {
    "instrument_kinds": ["safe", "convertible_note", "stock"],
    "equity_credit": "0.8",
    "budget_usd": "500000",
    "issuer_usd_max": "500000",
    "direct_budget_usd": "100000",
    "note_days_min": 1,
    "note_days_max": 3_653,
    "resale": True,
    "startup_accepts_alone": True,
}


def build_site(world: World, **more) -> dict:
    return {**SITE, "provider_id": world.ids["provider"], **more}


def build_lot(world: World, **more) -> dict:
    mandates = [world.ids["mandate"]]
    span = {"start": world.day(2), "end": world.day(92)}
    return {
        "pool_id": world.ids["pool"],
        "nodes": 4,
        "ask_usd_per_gpu_hour": "2",
        "mandate_ids": mandates,
        "stages": {"hours": 24, "security_hours": 72},
        **span,
        **more,
    }


def build_mandate(world: World, **more) -> dict:
    return {"holder_id": world.ids["fund"], "funding": "cash", "terms": {**MANDATE, **more}}


PARTIES = (
    Row(
        "POST",
        "/v1/parties",
        "platform",
        {"name": "Late, Inc.", "roles": ["startup"], "jurisdiction": "US"},
        201,
        ({"name": "Late, Inc.", "roles": [], "jurisdiction": "US"}, 422, "body_invalid"),
        PLATFORM_ONLY,
        "party",
    ),
    Row(
        "POST",
        "/v1/parties/{party}/clear",
        "platform",
        {"checks": ["sanctions"]},
        refused=({"checks": []}, 422, "body_invalid"),
        other=PLATFORM_ONLY,
    ),
    Row(
        "POST",
        "/v1/parties/{party}/suspend",
        "platform",
        {"reason": "sanctions"},
        refused=({"reason": ""}, 422, "body_invalid"),
        other=PLATFORM_ONLY,
    ),
    Row(
        "POST",
        "/v1/parties/{startup}/roles",
        "startup",
        {"role": "provider", "reason": "it bought GPUs"},
        refused=({"role": "king", "reason": "it is one"}, 422, "body_invalid"),
        ask=lambda client, ids: client.parties.add_role(ids["startup"], role="provider", reason="it bought GPUs"),
    ),
    Row(
        "POST",
        "/v1/parties/{startup}/roles/refuse",
        "platform",
        {"role": "provider", "reason": "its site is not ready"},
        refused=({"role": "fund", "reason": "never asked for"}, 422, "role_not_requested"),
        ask=lambda client, ids: client.parties.refuse_role(
            ids["startup"], role="provider", reason="its site is not ready"
        ),
    ),
    Row(
        "POST",
        "/v1/parties/{startup}/stage",
        "platform",
        {"stage": "seed"},
        refused=({"stage": "unicorn"}, 422, "body_invalid"),
        ask=lambda client, ids: client.parties.record_stage(ids["startup"], stage="seed"),
        other=PLATFORM_ONLY,
    ),
    Row(
        "POST",
        "/v1/parties/{startup}/relations",
        "startup",
        {"kind": "owner", "owner": "lei:5967007lieexzx4lpk21", "reason": "it holds 40%"},
        refused=({"kind": "owner", "reason": "nobody is named"}, 422, "relation_ambiguous"),
        save="relation",
        ask=lambda client, ids: client.parties.declare_relation(
            ids["startup"], kind="affiliate", owner="lei:5967007lieexzx4lpk21", reason="the same"
        ),
    ),
    Row(
        "GET",
        "/v1/parties/{startup}/relations",
        check=lambda page: (
            [(one["stated_by"], one["is_found"]) for one in page["items"]] == [([page["items"][0]["party_id"]], False)]
        ),
        ask=lambda client, ids: anext(client.parties.list_relations(ids["startup"])),
    ),
    Row(
        "POST",
        "/v1/parties/{startup}/relations/{relation}/end",
        "startup",
        {"reason": "the shares were sold"},
        refused=({"reason": ""}, 422, "body_invalid"),
        ask=lambda client, ids: client.parties.end_relation(
            ids["startup"], ids["relation"], reason="the shares were sold"
        ),
    ),
    Row("GET", "/v1/parties/{startup}", check=lambda one: one["status"] == "cleared"),
    Row(
        "GET",
        "/v1/parties?role=startup&limit=1",
        "platform",
        refused=("role=king", 422, "request_invalid"),
        other=SEEN,
        check=lambda page: len(page["items"]) == 1 and page["next_cursor"] is not None,
    ),
    Row(
        "GET",
        "/v1/parties/names?limit=100",
        refused=("limit=0", 422, "request_invalid"),
        other=SEEN,
        check=lambda page: [row["name"] for row in page["items"]] == ["Startup"],
    ),
)
KEYS = (
    Row(
        "POST",
        "/v1/api-keys",
        "startup",
        lambda world: {"name": "reader", "scopes": ["*:read"], "party_id": world.ids["startup"]},
        201,
        ({"name": "reader", "scopes": ["everything"]}, 422, "scope_invalid"),
        (404, "party_unknown"),
        check=lambda key: key["token"].startswith("mkp_"),
    ),
    Row("GET", "/v1/api-keys", other=SEEN, check=lambda page: len(page["items"]) == 2),
    Row(
        "POST",
        "/v1/api-keys/{key}/suspend",
        "platform",
        {"reason": "leaked"},
        200,
        ({"reason": ""}, 422, "body_invalid"),
        other=PLATFORM_ONLY,
    ),
    Row(
        "POST",
        "/v1/api-keys/{key}/resume",
        "platform",
        {"reason": "not leaked"},
        200,
        ({"reason": ""}, 422, "body_invalid"),
        other=PLATFORM_ONLY,
    ),
    Row("DELETE", "/v1/api-keys/{key}", status=204),
)
ACCOUNTS = (
    Row(
        "POST",
        "/v1/accounts/{account}/deposits",
        "platform",
        {"amount_usd": "1000", "reference": "wire 1"},
        refused=({"amount_usd": "-1", "reference": "wire 2"}, 422, "amount_not_positive"),
        other=PLATFORM_ONLY,
    ),
    Row(
        "POST",
        "/v1/accounts/{account}/withdrawals",
        "startup",
        {"amount_usd": "10.50", "reference": "wire 3"},
        refused=({"amount_usd": "1000000000", "reference": "wire 4"}, 422, "funds_insufficient"),
    ),
    Row("GET", "/v1/accounts/{account}", check=lambda one: one["unit"] == "USD" and float(one["available_usd"]) > 0),
    Row("GET", "/v1/accounts", other=SEEN, check=lambda page: len(page["items"]) == 1),
    Row(
        "GET",
        "/v1/balances?unit=USD",
        refused=("unit=EUR", 422, "request_invalid"),
        other=SEEN,
        check=lambda page: sum(float(row["amount"]) for row in page["items"]) > 0,
    ),
    Row(
        "GET",
        "/v1/entries?limit=1",
        refused=("cursor=x", 400, "cursor_invalid"),
        other=SEEN,
        check=lambda page: page["items"][0]["tag"] == "account.deposited.v1" and page["next_cursor"] is not None,
    ),
    Row(
        "GET",
        "/v1/entries?limit=1&order=newest&created_from=2026-01-01T00:00:00Z&created_before=2199-01-01T00:00:00Z",
        refused=("order=newer", 422, "request_invalid"),
        other=SEEN,
        check=lambda page: page["items"][0]["tag"] != "account.deposited.v1",
        ask=lambda client, _: anext(client.accounts.list_entries(order="newest", created_from=LONG_AGO)),
    ),
    Row(
        "GET",
        "/v1/trial-balance",
        "platform",
        other=PLATFORM_ONLY,
        check=lambda rows: sum(float(row["amount"]) for row in rows if row["unit"] == "USD") == 0,
    ),
)
SITES = (
    Row(
        "POST",
        "/v1/sites",
        "provider",
        build_site,
        201,
        (lambda world: build_site(world, power_usage_effectiveness="0.9"), 422, "pue_out_of_range"),
        (404, "party_unknown"),
        "site",
    ),
    Row(
        "POST",
        "/v1/sites/{site}/energise",
        "provider",
        lambda world: {"power_energised_kw": 800, "at": world.day(0)},
        refused=({"power_energised_kw": 800, "at": "2026-01-01T00:00:00"}, 422, "body_invalid"),
    ),
    Row(
        "POST",
        "/v1/sites/{site}/derate",
        "provider",
        lambda world: {"power_energised_kw": 700, "at": world.day(0), "reason": "heat"},
        refused=(
            lambda world: {"power_energised_kw": 900, "at": world.day(0), "reason": "heat"},
            422,
            "power_not_lowered",
        ),
    ),
    Row(
        "POST",
        "/v1/sites/{planned}/schedule-conversion",
        "provider",
        lambda world: {"former_use": "bitcoin mining", "ready_at": world.day(30)},
        refused=({"former_use": "bitcoin mining"}, 422, "body_invalid"),
    ),
    Row(
        "POST",
        "/v1/sites/{planned}/slip-conversion",
        "provider",
        lambda world: {"ready_at": world.day(45), "reason": "a transformer is late"},
        refused=({"ready_at": "soon", "reason": "x"}, 422, "body_invalid"),
    ),
    Row("GET", "/v1/sites/{site}", "provider", other=SEEN, check=lambda one: one["power_energised_kw"] == 700),
    Row("GET", "/v1/sites", "startup", other=SEEN, check=lambda page: len(page["items"]) == 2),
    Row(
        "GET",
        "/v1/sites?status=planned&status=operating",
        refused=("status=built", 422, "request_invalid"),
        other=SEEN,
        check=lambda page: {one["status"] for one in page["items"]} <= {"planned", "operating"},
        ask=lambda client, _: anext(client.sites.list(status=("planned", "operating"))),
    ),
)
POOLS = (
    Row(
        "POST",
        "/v1/pools",
        "provider",
        lambda world: {
            "site_id": world.ids["site"],
            "gpu_class": "H100_SXM",
            "interconnect": "infiniband",
            "gpus_per_node": 8,
            "nodes": 8,
            "power_per_node_kw": 11,
            "service": {
                "availability_min": "0.98",
                "notice_hours_min": 48,
                "credits": [{"availability_below": "0.9", "credit": "0.2"}],
            },
        },
        201,
        ({"site_id": "x"}, 422, "body_invalid"),
        (404, "site_unknown"),
        "pool",
    ),
    Row(
        "POST",
        "/v1/pools/{pool}/fail-nodes",
        "provider",
        lambda world: {"incident_id": "i1", "nodes": 1, "at": world.day(-1)},
        refused=(lambda world: {"incident_id": "i2", "nodes": 99, "at": world.day(0)}, 422, "nodes_exceeded"),
    ),
    Row(
        "GET",
        "/v1/pools/incidents?open=true",
        "provider",
        refused=("open=perhaps", 422, "request_invalid"),
        other=SEEN,
        check=lambda page: (
            [(one["incident_id"], one["nodes"], one["ended_at"]) for one in page["items"]] == [("i1", 1, None)]
        ),
        ask=lambda client, _: anext(client.pools.list_incidents(open=True)),
    ),
    Row(
        "GET",
        "/v1/pools/incidents?created_from=2026-01-01T00:00:00Z&created_before=2199-01-01T00:00:00Z",
        "provider",
        refused=("created_from=monday", 422, "request_invalid"),
        other=SEEN,
        check=lambda page: [one["incident_id"] for one in page["items"]] == ["i1"],
        ask=lambda client, _: anext(client.pools.list_incidents(created_from=LONG_AGO)),
    ),
    Row(
        "GET",
        "/v1/pools/incidents?created_before=2026-01-01T00:00:00Z",
        "provider",
        other=SEEN,
        check=lambda page: page["items"] == [],
    ),
    Row(
        "POST",
        "/v1/pools/{pool}/restore-nodes",
        "provider",
        lambda world: {"incident_id": "i1", "at": world.day(0.1)},
        refused=(lambda world: {"incident_id": "i9", "at": world.day(0.1)}, 404, "incident_unknown"),
    ),
    Row(
        "GET",
        "/v1/pools/{pool}",
        "startup",
        other=SEEN,
        check=lambda one: (one["nodes"], one["service"]["availability_min"]) == (8, "0.98"),
    ),
    Row("GET", "/v1/pools?gpu_class=H100_SXM", "startup", other=SEEN, check=lambda page: len(page["items"]) == 1),
)
MANDATES = (
    Row(
        "POST",
        "/v1/mandates",
        "fund",
        build_mandate,
        201,
        (lambda world: build_mandate(world, equity_credit=0.8), 422, "body_invalid"),
        (404, "party_unknown"),
        "mandate",
    ),
    Row(
        "PUT",
        "/v1/mandates/{mandate}",
        "fund",
        {"terms": {**MANDATE, "budget_usd": "600000"}},
        refused=({"terms": {**MANDATE, "issuer_usd_max": "900000"}}, 422, "issuer_above_budget"),
    ),
    Row("GET", "/v1/mandates/{mandate}", "fund", check=lambda one: one["terms"]["budget_usd"] == "600000.00"),
    Row("GET", "/v1/mandates", "fund", other=SEEN, check=lambda page: len(page["items"]) == 2),
    Row("GET", "/v1/mandates/{mandate}/holds", "fund", check=lambda page: page["items"] == []),
    Row(
        "POST",
        "/v1/mandates/{spare_mandate}/revoke",
        "fund",
        {"reason": "spent elsewhere"},
        refused=({}, 422, "body_invalid"),
    ),
    Row("GET", "/v1/market/mandates", other=SEEN, check=lambda page: len(page["items"]) == 1),
)
LOTS = (
    Row(
        "POST",
        "/v1/lots",
        "provider",
        build_lot,
        201,
        (
            lambda world: build_lot(world, service={"availability_min": "1.2"}),
            422,
            "amount_too_large",
        ),
        (404, "pool_unknown"),
        "lot",
    ),
    Row(
        "POST",
        "/v1/lots/{lot}/reprice",
        "provider",
        {"ask_usd_per_gpu_hour": "2.10"},
        refused=({"ask_usd_per_gpu_hour": 2.1}, 422, "body_invalid"),
    ),
    Row(
        "POST",
        "/v1/lots/{lot}/pause",
        "provider",
        {"reason": "maintenance"},
        refused=({"reason": 1}, 422, "body_invalid"),
        ask=lambda client, ids: client.lots.pause(ids["lot"], reason="maintenance"),
    ),
    Row("POST", "/v1/lots/{lot}/resume", "provider", refused=({"reason": "x"}, 422, "body_invalid")),
    Row(
        "POST",
        "/v1/lots/{spare_lot}/reschedule",
        "provider",
        lambda world: {"start": world.day(10), "end": world.day(40), "reason": "late"},
        refused=(
            lambda world: {"start": world.day(40), "end": world.day(10), "reason": "late"},
            422,
            "span_empty",
        ),
    ),
    Row(
        "POST",
        "/v1/lots/{spare_lot}/withdraw",
        "provider",
        {"reason": "sold elsewhere"},
        refused=({"reason": "x" * 501}, 422, "body_invalid"),
    ),
    Row("GET", "/v1/lots/{lot}", "startup", other=SEEN, check=lambda one: one["ask_usd_per_gpu_hour"] == "2.10"),
    Row("GET", "/v1/lots?status=listed", "startup", other=SEEN, check=lambda page: len(page["items"]) == 1),
)
ROWS = (*PARTIES, *ACCOUNTS, *SITES, *POOLS, *MANDATES, *LOTS)

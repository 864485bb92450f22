"""What is wrong with a body is said with what is right."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from marketplace.api.http.bodies.delivery import DisputeStatementBody
from marketplace.api.http.body_faults import BodyFault, find_faults, render_faults
from marketplace.log.memory import MemoryLog
from tests.api.stage import Stage, open_stage

NOBODY = "01jdm5v5tze1xa6a4sbz1gk3c4"


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    async with open_stage(MemoryLog()) as opened:
        yield opened


def list_pointers(refused):
    return [error["pointer"] for error in refused.json()["errors"]]


@pytest.mark.parametrize("evidence", ["reading-7", 7, ["reading-7"]])
def test_what_is_no_object_is_told_the_members_that_it_needs(evidence):
    [fault] = find_faults(
        DisputeStatementBody, {"gpu_seconds_counted": 1, "reason": "too much", "evidence": [evidence]}
    )
    assert fault.pointer == "/evidence/0"
    assert fault.detail.startswith("Expected an object, got ")
    assert fault.detail.endswith("; state its kind, reference")


@pytest.mark.parametrize(
    ("name", "code"), [("  ", "text_blank"), ("a\u0001", "text_unprintable"), ("a  b", "body_invalid")]
)
async def test_text_that_nobody_can_read_is_named_beside_every_other_wrong_member(stage: Stage, name, code):
    """Text was looked at first, so that a body was refused once for its text and again for the rest."""
    body = {"name": name, "roles": ["startp"], "jurisdiction": "US", "sector": "\u202ex", "extra": 1}
    refused = await stage.post(stage.admin, "/v1/parties", body)
    assert (refused.status_code, refused.json()["code"]) == (
        422,
        "text_unprintable" if code == "body_invalid" else code,
    )
    assert sorted(list_pointers(refused)) == ["/extra", "/name", "/roles/0", "/sector"]
    [role] = [error for error in refused.json()["errors"] if error["pointer"] == "/roles/0"]
    assert role["allowed"] == ["startup", "provider", "fund", "platform"]
    assert "did you mean startup?" in role["detail"]


async def test_two_names_that_look_like_others_are_both_named(stage: Stage):
    body = {"name": "Ac\u200bme", "roles": ["startp"], "jurisdiction": "US"}
    refused = await stage.post(stage.admin, "/v1/parties", body)
    assert refused.json()["code"] == "body_invalid"
    assert list_pointers(refused) == ["/roles/0", "/name"]


async def test_every_unknown_scope_is_named_with_the_nearest_and_all_that_there_are(stage: Stage):
    body = {"name": "desk", "scopes": ["orders:red", "orders:read", "everything"]}
    refused = await stage.post(stage.admin, "/v1/api-keys", body)
    assert (refused.status_code, refused.json()["code"]) == (422, "scope_invalid")
    assert list_pointers(refused) == ["/scopes/0", "/scopes/2"]
    assert refused.json()["detail"].startswith("'orders:red' is not a scope; did you mean orders:read?")
    assert {"*", "orders:write", "rights:decide"} < set(refused.json()["errors"][1]["allowed"])


async def test_every_rule_that_a_site_or_a_lot_breaks_is_named_at_once(stage: Stage):
    """The first rule hid the others, and whoever mended it was refused for the next."""
    provider = await stage.register("Provider", "provider")
    site = {
        "provider_id": provider,
        "name": "north-1",
        "region": "us-east",
        "jurisdiction": "ZZ",
        "status": "operating",
        "power_contracted_kw": 5,
        "power_energised_kw": 50,
        "power_usage_effectiveness": "0.5",
        "renewable_share": "2",
    }
    refused = await stage.post(stage.admin, "/v1/sites", site)
    assert refused.json()["code"] == "country_unlisted"
    assert list_pointers(refused) == [
        "/jurisdiction",
        "/power_usage_effectiveness",
        "/renewable_share",
        "/power_energised_kw",
    ]
    kept = {
        "jurisdiction": "US",
        "power_contracted_kw": 50,
        "power_usage_effectiveness": "1.2",
        "renewable_share": "0.5",
    }
    site_id = (await stage.post(stage.admin, "/v1/sites", site | kept)).json()["id"]
    pool = {"site_id": site_id, "gpu_class": "H100_SXM", "interconnect": "ethernet", "gpus_per_node": 8}
    opened = await stage.post(stage.admin, "/v1/pools", pool | {"nodes": 4, "power_per_node_kw": 11})
    lot = {
        "pool_id": opened.json()["id"],
        "start": "2031-12-05T00:00:00Z",
        "end": "2031-12-01T00:00:00Z",
        "nodes": 1,
        "nodes_min": 3,
        "ask_usd_per_gpu_hour": "-1",
    }
    refused = await stage.post(stage.admin, "/v1/lots", lot)
    assert refused.json()["code"] == "span_empty"
    assert list_pointers(refused) == ["/end", "/ask_usd_per_gpu_hour", "/nodes_min"]


@pytest.mark.parametrize(
    ("rules", "names"),
    [
        (
            {"budget_usd": "-1", "equity_credit": "2", "instrument_kinds": [], "issuer_usd_max": "-5"},
            ["instrument_kinds", "equity_credit", "budget_usd", "issuer_usd_max"],
        ),
        (
            {"issuer_usd_max": "50", "discount_min": "0.5", "discount_max": "0.1", "note_days_min": 999},
            ["issuer_usd_max", "discount_max", "note_days_max"],
        ),
    ],
)
async def test_every_rule_that_a_mandate_breaks_is_named_at_once(database_url: str, rules, names):
    terms = {"budget_usd": "10", "equity_credit": "1", "instrument_kinds": ["safe"], "note_days_max": 300} | rules
    async with open_stage(MemoryLog(), database_url) as stage:
        fund = await stage.register("Fund", "fund")
        body = {"holder_id": fund, "funding": "cash", "terms": terms}
        refused = await stage.post(await stage.open_tenant(fund), "/v1/mandates", body)
    assert list_pointers(refused) == [f"/terms/{name}" for name in names]


@pytest.mark.parametrize(
    ("count", "more"), [(1, ""), (2, "; 1 more member is wrong"), (3, "; 2 more members are wrong")]
)
def test_one_more_fault_is_one_member(count, more):
    faults = [BodyFault("/nodes", "nodes is missing")] * count
    end = f"{more}, see errors" if more else ""
    assert render_faults(faults, "the body", "members") == f"/nodes: nodes is missing{end}"

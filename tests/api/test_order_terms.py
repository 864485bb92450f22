"""Over HTTP: every term that an order may state comes back as it was sent, one that cannot be is refused by name."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from marketplace.client import MarketplaceClient
from marketplace.log.memory import MemoryLog
from tests.api.stage import ADMIN_KEY, Stage, get_id, open_stage
from tests.api.supplying import open_pool
from tests.api.test_commands import assert_problem

TERMS = {
    "nodes": 8,
    "duration_hours": 24,
    "start_earliest": "2099-01-01T00:00:00Z",
    "start_latest": "2099-01-02T00:00:00Z",
    "offers": [{"gpu_class": "H100_SXM", "cash_usd_per_gpu_hour": "2", "equity_usd_per_gpu_hour": "0"}],
}
WISHES = {
    "nodes_min": 2,
    "nodes_step": 2,
    "provider_reliability_min": "0.9",
    "availability_min": "0.999",
    "notice_hours_min": 72,
    "notice_hours_max": 168,
    "power_usage_effectiveness_max": "1.3",
    "renewable_share_min": "0.5",
    "group": "training run",
    "principal_usd_max": "10000.00",
}


@pytest_asyncio.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    async with open_stage(MemoryLog(), database_url) as opened:
        yield opened


async def place(stage: Stage, startup_id: str, **terms):
    return await stage.post(stage.admin, "/v1/orders", {"startup_id": startup_id, "terms": TERMS | terms})


async def test_what_an_order_asks_for_comes_back_as_it_was_sent(stage: Stage):
    startup_id = await stage.register("Startup", "startup", usd="100000")
    parent_id = get_id(await place(stage, startup_id, **WISHES))
    answer = await place(stage, startup_id, parent_order_id=parent_id)
    child_id = get_id(answer)
    seen = {"Min-Seq": answer.headers["commit-seq"]}
    parent = (await stage.admin.get(f"/v1/orders/{parent_id}", headers=seen)).json()["terms"]
    assert {name: parent[name] for name in WISHES} == WISHES
    child = (await stage.admin.get(f"/v1/orders/{child_id}", headers=seen)).json()["terms"]
    assert child["parent_order_id"] == parent_id


@pytest.mark.parametrize(
    ("expires_at", "ends_at"),
    [
        (None, "2099-01-02T00:00:00Z"),
        ("2099-01-01T12:00:00Z", "2099-01-01T12:00:00Z"),
        ("2099-03-01T00:00:00Z", "2099-01-02T00:00:00Z"),
    ],
)
async def test_an_order_tells_when_it_ends_by_itself_whatever_its_expiry_says(stage: Stage, expires_at, ends_at):
    startup_id = await stage.register("Startup", "startup", usd="100000")
    order_id = get_id(await place(stage, startup_id, expires_at=expires_at))
    seen = {"Min-Seq": await stage.reach()}
    order = (await stage.admin.get(f"/v1/orders/{order_id}", headers=seen)).json()
    assert (order["terms"].get("expires_at"), order["ends_at"]) == (expires_at, ends_at)
    later = TERMS | {"start_latest": "2099-01-03T00:00:00Z"}
    amended = await stage.admin.put(
        f"/v1/orders/{order_id}", json={"terms": later}, headers={"If-Match": f'"{order["last_sequence"]}"'}
    )
    assert amended.is_success, amended.text
    seen = {"Min-Seq": await stage.reach()}
    order = (await stage.admin.get(f"/v1/orders/{order_id}", headers=seen)).json()
    assert order["ends_at"] == "2099-01-03T00:00:00Z"


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("nodes_min", 9, "range_empty"),
        ("nodes_min", 0, "body_invalid"),
        ("nodes_step", 0, "body_invalid"),
        ("provider_reliability_min", "1.1", "amount_too_large"),
        ("notice_hours_min", 2161, "body_invalid"),
        ("power_usage_effectiveness_max", "0.5", "pue_out_of_range"),
        ("renewable_share_min", "-1", "amount_not_positive"),
        ("principal_usd_max", "0", "amount_not_positive"),
        ("group", "", "body_invalid"),
        ("parent_order_id", "nothing", "body_invalid"),
    ],
)
async def test_a_term_that_cannot_be_is_refused(stage: Stage, name: str, value: object, code: str):
    startup_id = await stage.register("Startup", "startup", usd="100000")
    answer = await place(stage, startup_id, **{name: value})
    assert_problem(answer, 422, code)
    assert name in answer.text


async def test_a_parent_of_another_startup_is_unknown(stage: Stage):
    startup_id = await stage.register("Startup", "startup", usd="100000")
    other_id = await stage.register("Other", "startup", usd="100000")
    parent_id = get_id(await place(stage, startup_id))
    client = await stage.open_tenant(other_id)
    answer = await stage.post(
        client, "/v1/orders", {"startup_id": other_id, "terms": TERMS | {"parent_order_id": parent_id}}
    )
    assert_problem(answer, 404, "order_unknown")


async def test_a_list_beyond_its_bound_is_one_fault_and_an_answer_has_twenty_at_most(stage: Stage):
    startup_id = await stage.register("Wide", "startup", usd="100000")
    async with MarketplaceClient("http://test", ADMIN_KEY, httpx.ASGITransport(stage.application)) as platform:
        await open_pool(platform, await stage.register("Provider", "provider"), 400)
    await stage.admin.get("/v1/sites", headers={"Min-Seq": await stage.reach()})
    many = [f"zz-r{number}" for number in range(64)]
    known = await place(stage, startup_id, regions=many)
    assert_problem(known, 422, "region_unoffered")
    assert [each["pointer"] for each in known.json()["errors"]] == [f"/terms/regions/{n}" for n in range(20)]
    for regions in ([*many, "zz-last"], ["no region"] * 60_000):
        refused = await place(stage, startup_id, regions=regions)
        assert_problem(refused, 422, "body_invalid")
        assert refused.json()["errors"] == [{"pointer": "/terms/regions", "detail": "Expected a list of length <= 64"}]

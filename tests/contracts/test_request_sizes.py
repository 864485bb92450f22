"""The largest bodies that the API takes, sent for real: what is stored of them fits a message by far.

`test_sizes.py` builds what a decider bounds by a number. Here a tenant fills the lists of which an event takes over
most, up to their bounds.
"""

import json

import pytest

from marketplace.api.http.services import ApiSettings
from marketplace.api.metering.ingestion import BODY_BYTES_MAX
from marketplace.embedded.nats import PAYLOAD_BYTES_MAX
from marketplace.log.memory import MemoryLog
from tests.api.meters import BATCH, open_site
from tests.api.rows_supply import MANDATE
from tests.api.stage import build_terms, open_stage

REQUEST_BYTES_MAX = ApiSettings().body_bytes_max
HEADROOM_BYTES = 2 * 1024 * 1024
"""What has to be left of a message: for its headers, and for what an event says beside the request."""


def fill(body, members, item, count):
    """Return the JSON of a body whose list `members` has as many of `item` as it may."""
    members[:] = [item] * count
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


async def find_largest(log, type_):
    """Return the bytes of the largest body of a type in the log; 0 where there is none."""
    bodies = [e.body async for page in log.read() for e in page if e.envelope.type == f"marketplace.{type_}"]
    return max((len(body) for body in bodies), default=0)


async def send(stage, path, content, *, method="POST", **headers):
    sent = {"Content-Type": "application/json", "Idempotency-Key": f"large-{next(stage.numbers)}", **headers}
    return await stage.admin.request(method, path, content=content, headers=sent)


async def post(stage, path, content, **how):
    answer = await send(stage, path, content, **how)
    assert answer.is_success, answer.text[:500]
    return answer.json()


def build_requests(stage, startup, fund):
    """Return path, body, the list that grows, what it grows by, and how many it may have, for each type of event."""
    terms = build_terms(lambda days: f"2099-01-{days:02}T00:00:00Z")
    sectors, regions = ["b" * 200], ["us-" + "c" * 37]
    mandate = {"holder_id": fund, "funding": "own_capacity", "terms": MANDATE | {"sectors": sectors}}
    order = {"startup_id": startup, "terms": terms | {"regions": regions}}
    return {
        "mandate.granted.v1": ("/v1/mandates", mandate, sectors, "\U0001f5a5" * 200, 50),
        "order.placed.v1": ("/v1/orders", order, regions, regions[0], 64),
    }


@pytest.mark.parametrize("type_", build_requests(None, "", ""))
async def test_the_largest_request_of_a_tenant_is_stored_with_room_left(type_):
    log = MemoryLog()
    async with open_stage(log) as stage:
        startup = await stage.register("Startup", "startup", usd="900000000")
        fund = await stage.register("Fund", "fund", "provider", usd="900000000")
        path, body, members, item, count = build_requests(stage, startup, fund)[type_]
        assert (await send(stage, path, fill(body, members, item, count + 1))).json()["code"] == "body_invalid"
        content = fill(body, members, item, count)
        assert len(content) < REQUEST_BYTES_MAX
        await post(stage, path, content)
        assert len(content) / 2 < await find_largest(log, type_) < PAYLOAD_BYTES_MAX - HEADROOM_BYTES


@pytest.mark.parametrize(
    ("created", "amended"),
    [("mandate.granted.v1", "mandate.amended.v1"), ("order.placed.v1", "order.amended.v1")],
    ids=["mandate", "order"],
)
async def test_the_largest_amendment_of_a_tenant_is_stored_with_room_left(created, amended, database_url):
    log = MemoryLog()
    async with open_stage(log, database_url) as stage:
        startup = await stage.register("Startup", "startup", usd="900000000")
        fund = await stage.register("Fund", "fund", "provider", usd="900000000")
        path, body, members, item, count = build_requests(stage, startup, fund)[created]
        made = await post(stage, path, json.dumps(body).encode())
        path, body = f"{path}/{made['id']}", {"terms": body["terms"]}
        refused = await send(stage, path, fill(body, members, item, count + 1), method="PUT")
        assert refused.json()["code"] == "body_invalid"
        content = fill(body, members, item, count)
        await post(stage, path, content, method="PUT")
        assert len(content) / 2 < await find_largest(log, amended) < PAYLOAD_BYTES_MAX - HEADROOM_BYTES


async def test_the_largest_batch_of_readings_is_stored_with_room_left():
    """Each reading names as many GPUs as it may, so that nearly all of the batch is in one event of one grant."""
    log = MemoryLog()
    async with open_site(log) as site:
        grant_id = await site.grant(nodes=1_000)
        devices = [f"{number:04}" + "\U0001f5a5" * 96 for number in range(4_000)]
        readings = [
            site.event(grant_id, f"r{hour}", hour, hour + 1, gpus=4_000, devices=list(devices)) for hour in range(3)
        ]
        while len(content := json.dumps(readings, ensure_ascii=False).encode()) > BODY_BYTES_MAX:
            for reading in readings:
                del reading["data"]["devices"][-20:]
        assert len(content) > BODY_BYTES_MAX * 0.95
        await post(site.stage, "/v1/usage", content, **BATCH)
        largest = await find_largest(log, "usage.reported.v1")
        assert BODY_BYTES_MAX * 0.9 < largest < PAYLOAD_BYTES_MAX - HEADROOM_BYTES

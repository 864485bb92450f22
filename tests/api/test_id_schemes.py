"""A source changes its id scheme: what it says again is found by what it says, and nothing counts twice."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from marketplace.log.memory import MemoryLog
from tests.api.meters import GPUS, NODES, Site, open_site
from tests.api.test_meters import send, sum_counted, tell

HOUR = 3_600


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    async with open_site(MemoryLog()) as opened:
        yield opened


def say(answers):
    return [(answer["outcome"], answer.get("code")) for answer in answers]


REPEATED, ACCEPTED = ("conflict", "reading_repeated"), ("accepted", None)


async def test_what_was_said_of_all_nodes_is_a_conflict_that_names_the_first_reading(site: Site):
    grant_id = await site.grant()
    hours = range(5)
    await send(site.stage.admin, [site.event(grant_id, f"h{n}", n, n + 1) for n in hours])
    again = [site.event(grant_id, f"v2:{n}", n, n + 1) for n in hours]
    answers = await send(site.stage.admin, [*again, site.event(grant_id, "v2:5", 5, 6)])
    assert say(answers) == [REPEATED] * 5 + [ACCEPTED]
    assert all(f"reading h{n} of this source" in answers[n]["message"] for n in hours)
    assert answers[3]["pointer"] == "/3"
    assert sum_counted(await site.count(grant_id)) == 6 * NODES * GPUS * HOUR


async def test_nodes_and_gpus_that_are_as_many_say_the_same(site: Site):
    grant_id = await site.grant()
    await send(site.stage.admin, [site.event(grant_id, "a")])
    again = site.event(grant_id, "b", gpus=NODES * GPUS, evidence={"gpu_utilisation": "0.5", "xid_errors": 0})
    assert say(await send(site.stage.admin, [again])) == [REPEATED]


async def test_each_node_may_say_the_same_and_the_capacity_is_the_limit(site: Site):
    grant_id = await site.grant(nodes=3)
    for node in range(3):
        assert tell(await send(site.stage.admin, [site.event(grant_id, f"node-{node}", nodes=1)])) == [
            ("accepted", None, None)
        ]
    answers = await send(site.stage.admin, [site.event(grant_id, "node-3", nodes=1)])
    assert say(answers) == [REPEATED]
    assert "reading node-0 of" in answers[0]["message"]
    assert sum_counted(await site.count(grant_id)) == 3 * GPUS * HOUR


async def test_of_a_grant_that_is_used_in_part_nothing_of_a_request_that_has_no_room_counts_again(site: Site):
    grant_id = await site.grant(nodes=4)
    await send(site.stage.admin, [site.event(grant_id, f"n{node}", nodes=1) for node in range(3)])
    again = [site.event(grant_id, f"v2:n{node}", nodes=1) for node in range(3)]
    other = site.event(grant_id, "v2:later", 1, 2, nodes=1)
    assert say(await send(site.stage.admin, [*again, other])) == [REPEATED] * 3 + [ACCEPTED]
    assert sum_counted(await site.count(grant_id)) == 4 * GPUS * HOUR


async def test_a_request_that_repeats_itself_counts_once(site: Site):
    grant_id = await site.grant()
    answers = await send(site.stage.admin, [site.event(grant_id, name) for name in ("a", "b", "c")])
    assert say(answers) == [ACCEPTED, REPEATED, REPEATED]
    assert "reading a of" in answers[2]["message"]
    assert sum_counted(await site.count(grant_id)) == NODES * GPUS * HOUR


@pytest.mark.parametrize(
    ("changes", "span"),
    [({"source": "urn:meter:2"}, (0, 1)), ({"nodes": 1}, (0, 1)), ({}, (0, 0.5)), ({}, (0.5, 1.5))],
)
async def test_what_says_something_else_is_what_the_grant_has_no_room_for(site: Site, changes, span):
    grant_id = await site.grant()
    await send(site.stage.admin, [site.event(grant_id, "a")])
    answers = await send(site.stage.admin, [site.event(grant_id, "b", *span, **({"nodes": NODES} | changes))])
    assert say(answers) == [("rejected", "nodes_above_grant")]


async def test_named_gpus_are_told_apart_and_the_same_ones_are_found_with_room_left(site: Site):
    grant_id = await site.grant()
    first, others = ["GPU-0", "GPU-1"], ["GPU-2", "GPU-3"]
    await send(site.stage.admin, [site.event(grant_id, "a", gpus=2, devices=first)])
    again = site.event(grant_id, "b", gpus=2, devices=first[::-1])
    apart = site.event(grant_id, "c", gpus=2, devices=others)
    mixed = site.event(grant_id, "d", gpus=2, devices=["GPU-0", "GPU-7"])
    answers = await send(site.stage.admin, [again, apart, mixed])
    assert say(answers) == [REPEATED, ACCEPTED, ("rejected", "device_counted")]
    assert sum_counted(await site.count(grant_id)) == 4 * HOUR


async def test_what_was_voided_may_come_again_under_another_id(site: Site):
    grant_id = await site.grant()
    await send(site.stage.admin, [site.event(grant_id, "a")])
    void = {"source": "urn:meter:1", "reading_id": "a", "reason": "its ids were changed"}
    path = f"/v1/grants/{grant_id}/usage/voids"
    answer = await site.stage.admin.post(path, json=void, headers={"Idempotency-Key": "k1"})
    assert answer.status_code == 200
    assert say(await send(site.stage.admin, [site.event(grant_id, "b")])) == [ACCEPTED]


async def test_the_same_request_again_is_answered_alike(site: Site):
    grant_id = await site.grant()
    await send(site.stage.admin, [site.event(grant_id, "a")])
    readings = [site.event(grant_id, "b"), site.event(grant_id, "c", 1, 2)]
    headers = {"Content-Type": "application/cloudevents-batch+json", "Idempotency-Key": "k2"}
    assert say(await send(site.stage.admin, readings, headers)) == [REPEATED, ACCEPTED]
    assert say(await send(site.stage.admin, readings, headers)) == [REPEATED, ACCEPTED]

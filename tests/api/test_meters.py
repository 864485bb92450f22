"""Meters over HTTP: every reading is answered by name, nothing is lost, and nothing is counted twice."""

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from marketplace.core.timeline_sums import sum_all
from marketplace.domain.metering.usage import name_usage
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.memory import MemoryLog
from tests.api.meters import BATCH, GPUS, HOURS, NODES, ONE, Site, open_site
from tests.api.test_commands import assert_problem
from tests.domain.build import PROVIDER, STARTUP, id_of

WHOLE = HOURS * 3_600 * NODES * GPUS


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    async with open_site(MemoryLog()) as opened:
        yield opened


async def send(client, readings, headers=BATCH):
    answer = await client.post("/v1/usage", json=readings, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["readings"]


def tell(readings):
    return [(reading["outcome"], reading.get("code"), reading.get("pointer")) for reading in readings]


def sum_counted(usage) -> int:
    return sum_all(usage.timeline)


async def test_one_reading_comes_as_a_structured_event(site: Site):
    grant_id = await site.grant()
    event = {**site.event(grant_id, "r1"), "traceparent": "an extension", "time": site.hour(2).isoformat()}
    (said,) = await send(site.stage.admin, event, ONE)
    assert (said["outcome"], said["source"], said["reading_id"]) == ("accepted", "urn:meter:1", "r1")
    assert tell(await send(site.stage.admin, event, ONE)) == [("duplicate", None, None)]
    other = site.event(grant_id, "r1", nodes=1)
    assert tell(await send(site.stage.admin, other, ONE)) == [("conflict", "reading_exists", "")]
    assert sum_counted(await site.count(grant_id)) == NODES * GPUS * 3_600


async def test_one_bad_reading_among_a_thousand_harms_no_other(site: Site):
    grant_id = await site.grant(nodes=1_000)
    readings = [site.event(grant_id, f"r{number}", nodes=1) for number in range(1_000)]
    readings[333]["data"]["nodes"] = "two"
    answers = await send(site.stage.admin, readings)
    assert Counter(answer["outcome"] for answer in answers) == {"accepted": 999, "rejected": 1}
    assert tell([answers[333]]) == [("rejected", "body_invalid", "/333/data/nodes")]
    assert answers[333]["reading_id"] == "r333"
    assert sum_counted(await site.count(grant_id)) == 999 * GPUS * 3_600
    readings[333]["data"]["nodes"] = 1
    again = await send(site.stage.admin, readings)
    assert Counter(answer["outcome"] for answer in again) == {"accepted": 1, "duplicate": 999}
    assert sum_counted(await site.count(grant_id)) == 1_000 * GPUS * 3_600


BAD = {
    "from the future": (lambda site, grant: site.event(grant, "x", HOURS - 1, HOURS + 2), "from_the_future", "/1"),
    "after the grant ended": (lambda site, grant: site.event(grant, "x", 30, 31), "outside_grant", "/1"),
    "more nodes than the grant": (lambda site, grant: site.event(grant, "x", 1, 2, nodes=3), "nodes_above_grant", "/1"),
    "more GPUs than the grant": (lambda site, grant: site.event(grant, "x", 1, 2, gpus=17), "nodes_above_grant", "/1"),
    "a negative interval": (lambda site, grant: site.event(grant, "x", 3, 2), "span_empty", "/1"),
    "an overlapping interval": (lambda site, grant: site.event(grant, "x", 0.5, 2), "nodes_above_grant", "/1"),
    "a part of a second": (lambda site, grant: site.event(grant, "x", 1, 1.0001), "seconds_not_whole", "/1"),
    "a year in one": (lambda site, grant: site.event(grant, "x", -9_000, 1), "outside_grant", "/1"),
    "neither nodes nor GPUs": (
        lambda site, grant: site.event(grant, "x", 1, 2, devices=["a"]),
        "body_invalid",
        "/1/data/nodes",
    ),
    "an unknown grant": (lambda site, _: site.event(id_of("grt", 99), "x"), "grant_unknown", "/1"),
    "no grant": (lambda site, _: site.event("nobody", "x"), "body_invalid", "/1/subject"),
    "no event": (lambda *_: 7, "body_invalid", "/1"),
    "another type of event": (lambda site, grant: {**site.event(grant, "x"), "type": "x"}, "body_invalid", "/1/type"),
    "an unknown member": (lambda site, grant: site.event(grant, "x", watts=3), "body_invalid", "/1/data/watts"),
    "no data": (lambda site, grant: {**site.event(grant, "x"), "data": None}, "body_invalid", "/1/data"),
    "a name that is overridden": (
        lambda site, grant: {**site.event(grant, "x"), "id": "a\u202eb"},
        "text_unprintable",
        "/1/id",
    ),
    "a blank name": (lambda site, grant: {**site.event(grant, "x"), "id": "\u3164"}, "text_blank", "/1/id"),
    "a source that turns": (
        lambda site, grant: {**site.event(grant, "x"), "source": "urn:\u2066m"},
        "text_unprintable",
        "/1/source",
    ),
    "a naive time": (
        lambda site, grant: {**site.event(grant, "x"), "data": {"start": "2026-01-01T00:00:00", "end": "x"}},
        "body_invalid",
        "/1/data/start",
    ),
    "a share as a JSON number": (
        lambda site, grant: site.event(grant, "x", nodes=1, evidence={"gpu_utilisation": 0.5}),
        "body_invalid",
        "/1/data/evidence/gpu_utilisation",
    ),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_reading_is_answered_by_name_and_its_neighbours_count(site: Site, kind):
    build_bad, code, pointer = BAD[kind]
    grant_id = await site.grant(hours=HOURS + 10 if kind == "from the future" else 24)
    readings = [site.event(grant_id, "a"), build_bad(site, grant_id), site.event(grant_id, "b", 5, 6)]
    answers = await send(site.stage.admin, readings)
    assert tell(answers) == [("accepted", None, None), ("rejected", code, pointer), ("accepted", None, None)]
    assert answers[1]["message"]
    assert sum_counted(await site.count(grant_id)) == 2 * NODES * GPUS * 3_600


async def test_the_faults_of_a_reading_are_named_together_in_plain_words(site: Site):
    event = site.event(await site.grant(), "x")
    wrong = {"specversion": "0.3", "subject": "nobody", "data": {"start": "x", "end": event["data"]["end"], "nodez": 1}}
    missing = {name: value for name, value in event.items() if name != "subject"}
    said = {"type": "x"}
    answers = await send(site.stage.admin, [event | wrong, missing, event | said, event | {"note": "an extension"}])
    assert [answer["outcome"] for answer in answers] == ["rejected"] * 3 + ["accepted"]
    assert answers[0]["message"] == (
        '/specversion: "0.3" is none of the values allowed: 1.0; '
        "/subject: must be the id of a grant, such as grt_01jdm5v5tze1xa6a4sbz1gk3c4; "
        "/data/start: must be an RFC 3339 instant with an offset, such as 2026-01-31T00:00:00Z; "
        "/data/nodez: nodez is no member here; did you mean nodes?"
    )
    assert answers[1]["message"] == "/subject: subject is missing"
    assert answers[2]["message"] == (
        '/type: "x" is none of the values allowed: marketplace.meter.hours.v1, marketplace.meter.reading.v1'
    )


async def test_an_id_of_a_source_counts_once_whichever_grant_it_names(site: Site):
    first, second = await site.grant(1), await site.grant(2)
    assert tell(await send(site.stage.admin, [site.event(first, "r1")])) == [("accepted", None, None)]
    answers = await send(site.stage.admin, [site.event(second, "r1"), site.event(second, "r2")])
    assert tell(answers) == [("conflict", "reading_exists", "/0"), ("accepted", None, None)]
    assert first in answers[0]["message"]
    both = await send(site.stage.admin, [site.event(first, "r3", 3, 4), site.event(second, "r3", 3, 4)])
    assert sorted(answer["outcome"] for answer in both) == ["accepted", "conflict"]
    total = sum_counted(await site.count(first)) + sum_counted(await site.count(second))
    assert total == 3 * NODES * GPUS * 3_600


async def test_a_source_that_changes_its_id_scheme_counts_no_gpu_twice(site: Site):
    grant_id = await site.grant()
    gpus = [f"GPU-{number}" for number in range(4)]
    old = site.event(grant_id, "node-1/0", gpus=4, devices=gpus)
    new = site.event(grant_id, "v2:node-1:0", gpus=4, devices=gpus, source="urn:meter:renamed")
    apart = site.event(grant_id, "v2:node-1:1", 1, 2, gpus=4, devices=gpus)
    twice = site.event(grant_id, "v2:node-1:2", 2, 3, gpus=4, devices=["GPU-0", "GPU-0"])
    answers = await send(site.stage.admin, [old, new, apart, twice])
    assert [(answer["outcome"], answer.get("code")) for answer in answers] == [
        ("accepted", None),
        ("rejected", "device_counted"),
        ("accepted", None),
        ("rejected", "device_counted"),
    ]
    assert sum_counted(await site.count(grant_id)) == 4 * 2 * 3_600


async def test_both_sides_report_and_neither_counts_for_the_other(site: Site):
    grant_id = await site.grant()
    provider, startup = await site.client(PROVIDER), await site.client(STARTUP)
    reading = site.event(grant_id, "r1")
    assert tell(await send(provider, [reading])) == tell(await send(startup, [reading])) == [("accepted", None, None)]
    assert sum_counted(await site.count(grant_id)) == sum_counted(await site.count(grant_id, "startup"))
    stranger = await site.client(id_of("pty", 77))
    assert tell(await send(stranger, [reading])) == [("rejected", "grant_unknown", "/0")]


async def test_the_same_batch_many_times_at_once_counts_once(site: Site):
    grant_id = await site.grant()
    readings = [site.event(grant_id, f"r{hour}", hour, hour + 1) for hour in range(HOURS)]
    answers = await asyncio.gather(*(send(site.stage.admin, readings) for _ in range(16)))
    outcomes = Counter(answer["outcome"] for batch in answers for answer in batch)
    assert outcomes == {"accepted": HOURS, "duplicate": 15 * HOURS}
    assert sum_counted(await site.count(grant_id)) == WHOLE


async def test_a_reading_counts_once_from_two_processes_and_after_a_restart(jetstream_log: JetStreamLog):
    async with open_site(jetstream_log) as here, open_site(jetstream_log) as there:
        grant_id = await here.grant()
        readings = [here.event(grant_id, f"r{hour}", hour, hour + 1) for hour in range(HOURS)]
        halves = [readings[:30], readings[10:]]
        batches = await asyncio.gather(
            *(send(site.stage.admin, half) for site in (here, there) for half in halves for _ in range(3))
        )
        outcomes = Counter(answer["outcome"] for batch in batches for answer in batch)
        assert outcomes == {"accepted": HOURS, "duplicate": 12 * 30 - HOURS}
        assert sum_counted(await here.count(grant_id)) == WHOLE
    async with open_site(jetstream_log) as restarted:
        again = await send(restarted.stage.admin, readings)
        assert {answer["outcome"] for answer in again} == {"duplicate"}
        assert sum_counted(await restarted.count(grant_id)) == WHOLE


class SlowSubject:
    """A log that keeps appends to one subject waiting until they are let go, and none to another."""

    def __init__(self, log, subject: str) -> None:
        self._log, self._subject = log, subject
        self.asked, self.let_go = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str):
        return getattr(self._log, name)

    async def append(self, writes):
        if any(write.after.subject == self._subject for write in writes):
            self.asked.set()
            await self.let_go.wait()
        return await self._log.append(writes)


async def test_of_two_requests_under_one_key_whose_first_parts_agree_one_is_taken_whole(jetstream_log: JetStreamLog):
    """Each has a part for each of two grants, and the second part differs; two processes get one request each."""
    slow = SlowSubject(jetstream_log, f"marketplace.usage.{name_usage(id_of('grt', 1))}")
    async with open_site(jetstream_log) as here, open_site(slow) as there:
        one, two = [await here.grant(number) for number in (1, 2)]
        headers = {**BATCH, "Idempotency-Key": "k"}
        bodies = [[here.event(one, "same"), here.event(two, name)] for name in ("here", "there")]
        waiting = asyncio.create_task(there.stage.admin.post("/v1/usage", json=bodies[1], headers=headers))
        await slow.asked.wait()
        await asyncio.sleep(1)  # what does not wait for the first part is stored by then
        first = await here.stage.admin.post("/v1/usage", json=bodies[0], headers=headers)
        slow.let_go.set()
        assert_problem(await waiting, 422, "idempotency_key_reused")
        assert tell(first.json()["readings"]) == [("accepted", None, None)] * 2
        for site in (here, there):
            again = await site.stage.admin.post("/v1/usage", json=bodies[0], headers=headers)
            assert (again.json(), again.headers["idempotent-replayed"]) == (first.json(), "true")
            other = await site.stage.admin.post("/v1/usage", json=bodies[1], headers=headers)
            assert_problem(other, 422, "idempotency_key_reused")
        assert sum_counted(await here.count(two)) == NODES * GPUS * 3600


async def test_a_request_is_answered_again_under_its_key_and_a_rejected_reading_may_come_again(site: Site):
    grant_id = await site.grant()
    bad, good = site.event(grant_id, "r1", nodes=9), site.event(grant_id, "r2")
    headers = {**BATCH, "Idempotency-Key": "k"}
    first = await site.stage.admin.post("/v1/usage", json=[bad, good], headers=headers)
    again = await site.stage.admin.post("/v1/usage", json=[bad, good], headers=headers)
    assert tell(first.json()["readings"])[1] == ("accepted", None, None)
    assert again.json() == first.json()
    assert tell(again.json()["readings"]) == [("rejected", "nodes_above_grant", "/0"), ("accepted", None, None)]
    assert first.headers["commit-seq"] == str(first.json()["sequence"])
    mended = site.event(grant_id, "r1", 1, 2)
    assert tell(await send(site.stage.admin, [mended, good]))[0] == ("accepted", None, None)


async def test_a_batch_may_be_packed_and_a_bomb_is_refused(site: Site):
    grant_id = await site.grant()
    packed = gzip.compress(b"[" + json.dumps(site.event(grant_id, "r1")).encode() + b"]")
    headers = {**BATCH, "Content-Encoding": "GZip"}
    admin = site.stage.admin
    answer = await admin.post("/v1/usage", content=packed, headers=headers)
    assert tell(answer.json()["readings"]) == [("accepted", None, None)]
    bomb = gzip.compress(b"[" + b" " * 64_000_000 + b"]", compresslevel=1)
    assert len(bomb) < 4 * 1024 * 1024
    assert_problem(await admin.post("/v1/usage", content=bomb, headers=headers), 413, "body_too_large")
    for broken in (b"[]", packed[:-3], packed + b"x", packed + packed):
        assert_problem(await admin.post("/v1/usage", content=broken, headers=headers), 400, "body_malformed")
    headers["Content-Encoding"] = "br"
    assert_problem(await admin.post("/v1/usage", content=packed, headers=headers), 415, "encoding_unsupported")


async def test_a_batch_as_a_whole_has_its_bounds(site: Site):
    grant_id, admin = await site.grant(), site.stage.admin
    many = [site.event(grant_id, f"r{number}") for number in range(1_001)]
    assert_problem(await admin.post("/v1/usage", json=many, headers=BATCH), 422, "readings_too_many", "")
    assert_problem(await admin.post("/v1/usage", json=[], headers=BATCH), 422, "readings_missing", "")
    assert_problem(await admin.post("/v1/usage", json={}, headers=BATCH), 422, "body_invalid", "")
    assert_problem(await admin.post("/v1/usage", content=b"[", headers=BATCH), 400, "body_malformed")
    large = b"[" + b" " * (4 * 1024 * 1024) + b"]"
    assert_problem(await admin.post("/v1/usage", content=large, headers=BATCH), 413, "body_too_large")
    assert_problem(await admin.post("/v1/usage", json=many[:1]), 415, "media_type_unsupported")
    unnamed = BATCH | {"Idempotency-Key": ""}
    assert_problem(await admin.post("/v1/usage", json=many[:1], headers=unnamed), 400, "header_invalid")
    assert not (await site.count(grant_id)).readings.count


async def test_a_request_that_is_repeated_later_says_what_it_said_of_what_it_did_not_take(site: Site):
    grant_id = await site.grant(hours=HOURS + 10)
    headers = {**BATCH, "Idempotency-Key": "k"}
    readings = [site.event(grant_id, "a"), site.event(grant_id, "b"), site.event(grant_id, "c", HOURS - 1, HOURS + 2)]
    first = await send(site.stage.admin, readings, headers)
    assert [answer["outcome"] for answer in first] == ["accepted", "conflict", "rejected"]
    void = {"source": "urn:meter:1", "reading_id": "a", "reason": "another node"}
    path = f"/v1/grants/{grant_id}/usage/voids"
    await site.stage.admin.post(path, json=void, headers={"Idempotency-Key": "v"})
    site.stage.services.handler.clock.offset_seconds += 3 * 3_600
    assert await send(site.stage.admin, readings, headers) == first
    fresh = await send(site.stage.admin, readings[1:])
    assert [answer["outcome"] for answer in fresh] == ["accepted", "accepted"]

"""Idempotency keys, versions and the form of requests, on the log in memory: what is tested is the door."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from marketplace.api.http.commands import build_context, render_content
from marketplace.api.http.keys import KeyRing, Principal
from marketplace.core.errors import Conflict, Corrupt, Unavailable
from marketplace.log.memory import MemoryLog
from tests.api.stage import ADMIN_KEY, SECRET, Stage, get_id, open_stage

PARTY = {"name": "Acme", "roles": ["startup"], "jurisdiction": "US"}


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    async with open_stage(MemoryLog(), body_bytes_max=10_000) as opened:
        yield opened


def assert_problem(answer, status: int, code: str, pointer: str | None = None) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"] == f"/schema/errors/{code}"
    assert problem["title"]
    assert problem["detail"]
    if pointer is not None:
        assert [error["pointer"] for error in problem["errors"]] == [pointer]


async def test_a_repeat_is_answered_as_the_first_time(stage: Stage):
    first = await stage.post(stage.admin, "/v1/parties", PARTY, key="k")
    again = await stage.post(stage.admin, "/v1/parties", dict(reversed(PARTY.items())), key="k")
    assert (first.status_code, first.content) == (201, again.content)
    assert again.status_code == 201
    for name in ("commit-seq", "etag", "location"):
        assert first.headers[name] == again.headers[name]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert (await stage.services.handler.log.health()).last_sequence == 2


async def test_a_key_with_another_body_or_path_is_refused(stage: Stage):
    party_id = get_id(await stage.post(stage.admin, "/v1/parties", PARTY, key="k"))
    assert_problem(
        await stage.post(stage.admin, "/v1/parties", {**PARTY, "name": "Other"}, key="k"),
        422,
        "idempotency_key_reused",
    )
    path = f"/v1/parties/{party_id}"
    assert (await stage.post(stage.admin, f"{path}/clear", {"checks": ["a"]}, key="c")).status_code == 200
    assert_problem(
        await stage.post(stage.admin, f"{path}/suspend", {"reason": "a"}, key="c"), 422, "idempotency_key_reused"
    )


async def test_the_hash_of_a_request_tells_nobody_its_body(stage: Stage):
    """A fund that saw one event of a command tried bodies until the hash was right, and so read a sealed offer.

    It also guessed the idempotency key, and sent the same request itself under the same key.
    """
    for key in ("k", "l"):
        await stage.post(stage.admin, "/v1/parties", PARTY, key=key)
    pages = [page async for page in stage.services.handler.log.read()]
    first, second = dict.fromkeys(recorded.envelope.fingerprint for page in pages for recorded in page)
    content = render_content("POST", "/v1/parties", msgspec.json.encode(PARTY))
    platform = Principal(key_id="key", party_id=None, scopes=frozenset())
    tenant = msgspec.structs.replace(platform, party_id="pty_01k00000000000000000000001")
    assert first == build_context(stage.services, platform, "k", content).fingerprint != second
    assert first != build_context(stage.services, tenant, "k", content).fingerprint
    stage.services.keys = KeyRing(bytes(reversed(SECRET)), ADMIN_KEY, None)
    assert first != build_context(stage.services, platform, "k", content).fingerprint


async def test_a_key_still_at_work_is_a_conflict(stage: Stage):
    both = await asyncio.gather(
        *(stage.post(stage.admin, "/v1/parties", PARTY, key="k") for _ in range(2)),
    )
    assert sorted(answer.status_code for answer in both) in ([201, 201], [201, 409])
    release = asyncio.Event()

    async def hold(writes):
        await release.wait()
        return await kept(writes)

    kept, stage.services.handler.log.append = stage.services.handler.log.append, hold
    first = asyncio.create_task(stage.post(stage.admin, "/v1/parties", PARTY, key="slow"))
    await asyncio.sleep(0.05)
    answer = await stage.post(stage.admin, "/v1/parties", PARTY, key="slow")
    assert_problem(answer, 409, "command_in_flight")
    assert answer.headers["retry-after"] == "1"
    release.set()
    assert (await first).status_code == 201


async def test_a_post_needs_a_key_and_a_key_has_a_form(stage: Stage):
    assert_problem(await stage.admin.post("/v1/parties", json=PARTY), 400, "idempotency_key_missing")
    assert_problem(await stage.post(stage.admin, "/v1/parties", PARTY, key="a b"), 400, "header_invalid")
    assert_problem(await stage.post(stage.admin, "/v1/parties", PARTY, key="k" * 201), 400, "header_invalid")


async def test_a_version_is_honoured(stage: Stage):
    party_id = get_id(await stage.post(stage.admin, "/v1/parties", PARTY))
    path = f"/v1/parties/{party_id}"
    stale = await stage.post(stage.admin, f"{path}/clear", {"checks": ["a"]}, if_match='"1"')
    assert_problem(stale, 412, "version_stale")
    assert stale.json()["facts"]["version"] == 2
    fresh = await stage.post(stage.admin, f"{path}/clear", {"checks": ["a"]}, if_match='"2"')
    assert (fresh.status_code, fresh.headers["etag"], fresh.headers["commit-seq"]) == (200, '"3"', "3")
    anything = await stage.post(stage.admin, f"{path}/suspend", {"reason": "a"}, if_match="*")
    assert anything.status_code == 200
    for wrong in ("3", 'W/"3"', '"a"', '"3", "4"'):
        answer = await stage.post(stage.admin, f"{path}/clear", {"checks": ["a"]}, if_match=wrong)
        assert_problem(answer, 400, "header_invalid")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"surname": "x"}, "/surname"),
        ({"name": 1}, "/name"),
        ({"name": ""}, "/name"),
        ({"roles": ["king"]}, "/roles/0"),
        ({"jurisdiction": "usa"}, "/jurisdiction"),
    ],
)
async def test_a_body_of_another_shape_is_refused_with_a_pointer(stage: Stage, change, pointer):
    assert_problem(await stage.post(stage.admin, "/v1/parties", {**PARTY, **change}), 422, "body_invalid", pointer)
    assert (await stage.services.handler.log.health()).last_sequence == 0


async def test_a_body_is_json_and_there(stage: Stage):
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    for broken in (b"{", b"\xff", b"nul", b"[" * 9_000, b'{"name":' * 1_200):
        answer = await stage.admin.post("/v1/parties", content=broken, headers=headers)
        assert_problem(answer, 400, "body_malformed")
    assert_problem(await stage.admin.post("/v1/parties", headers=headers), 422, "body_invalid")
    missing = {name: value for name, value in PARTY.items() if name != "name"}
    assert_problem(await stage.post(stage.admin, "/v1/parties", missing), 422, "body_invalid", "/name")


async def test_media_types_encodings_and_sizes_that_are_not_read_are_refused(stage: Stage):
    key = {"Idempotency-Key": "k"}
    send = stage.admin.post
    text = await send("/v1/parties", content=b"name=x", headers={**key, "Content-Type": "text/plain"})
    assert_problem(text, 415, "media_type_unsupported")
    bare = await send("/v1/parties", content=b"{}", headers=key)
    assert_problem(bare, 415, "media_type_unsupported")
    zipped = {**key, "Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert_problem(await send("/v1/parties", content=b"\x1f\x8b", headers=zipped), 415, "encoding_unsupported")
    large = await stage.post(stage.admin, "/v1/parties", {**PARTY, "name": "x" * 20_000})
    assert_problem(large, 413, "body_too_large")

    async def chunks():
        for _ in range(20):
            yield b" " * 1_000

    chunked = await send("/v1/parties", content=chunks(), headers={**key, "Content-Type": "application/json"})
    assert_problem(chunked, 413, "body_too_large")


async def test_routes_and_methods_that_are_not_there_are_problems(stage: Stage):
    assert_problem(await stage.admin.get("/v1/nothing"), 404, "route_unknown")
    wrong = await stage.admin.delete("/v1/parties")
    assert_problem(wrong, 405, "method_not_allowed")
    assert set(wrong.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


async def test_an_id_that_is_none_is_unknown_before_anything_is_read(stage: Stage):
    for wrong in ("x", "ord_01jdm5v5tze1xa6a4sbz1gk3c4", "pty_>", "pty_01jdm5v5tze1xa6a4sbz1gk3c4.x"):
        answer = await stage.post(stage.admin, f"/v1/parties/{wrong}/suspend", {"reason": "a"})
        assert_problem(answer, 404, "party_unknown")


@pytest.mark.parametrize(
    ("error", "status", "code", "retry"),
    [
        (Unavailable("NATS", "no responders", 2), 503, "nats_unavailable", "2"),
        (Conflict("marketplace.party.x"), 409, "conflict", "1"),
        (Corrupt("event 7 cannot be read"), 500, "log_corrupt", None),
        (RuntimeError("secret inside"), 500, "internal_error", None),
    ],
)
async def test_what_goes_wrong_inside_stays_inside(stage: Stage, error, status, code, retry, capsys):
    async def fail(*_, **__):
        raise error

    stage.services.handler.log.load = fail
    answer = await stage.post(stage.admin, "/v1/parties", {**PARTY, "name": "Confidential"})
    assert_problem(answer, status, code)
    assert answer.headers.get("retry-after") == retry
    assert "secret inside" not in answer.text
    assert "event 7" not in answer.text
    logged = capsys.readouterr().out
    assert "Confidential" not in logged
    assert "abcdefghijklmnopqrstuvwxyz" not in logged


async def test_a_trace_context_reaches_the_log(stage: Stage):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    await stage.post(stage.admin, "/v1/parties", PARTY, traceparent=trace)
    await stage.post(stage.admin, "/v1/parties", PARTY, traceparent="nonsense")
    log = stage.services.handler.log
    assert [(await log.find(n)).envelope.traceparent for n in (1, 2, 3, 4)] == [trace, trace, "", ""]

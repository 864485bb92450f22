"""Every write of the API is sent again: at once, when the world is another, to other processes, and with other content.

The requests are those of the story of endpoints, one per route at least, so that a new route is retried as well.
"""

import asyncio
import re
from collections import Counter
from dataclasses import replace
from typing import Any

import httpx
from nats.js import JetStreamContext

from marketplace.embedded.nats import NatsServers
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.memory import MemoryLog
from tests.api.rows import Row, Sent, World, play
from tests.api.stage import Stage, open_stage
from tests.api.test_endpoints import STORY, add_spares, prepare
from tests.support.clients import connected

QUESTIONS = {
    ("POST", "/v1/quotes"),
    ("POST", "/v1/issuers/import/dry-run"),
    ("POST", "/v1/issuers/{}/cap-table/scenario"),
    ("POST", "/v1/issuers/{}/what-if/rounds"),
    ("POST", "/v1/issuers/{}/what-if/exits"),
    ("POST", "/v1/parties/{}/portfolio/recovery"),
    ("POST", "/v1/projections/rebuilds"),
    ("POST", "/v1/projections/verifications"),
}
"""Store nothing: they are answered anew, by what holds now. A job on a projection is of the process that answers."""
VIEWS = "/v1/api-keys/"
"""Answers with a key as it is now."""
TOLD = ("commit-seq", "etag", "location")
PARTY = {"name": "Acme", "roles": ["startup"], "jurisdiction": "US"}


async def count_raw(streams: JetStreamContext) -> int:
    """Return how many messages the stream holds, as the server says."""
    return (await streams.stream_info("MARKETPLACE")).state.messages


async def send_again(sent: Sent, client: httpx.AsyncClient | None = None, **changed: Any) -> httpx.Response:
    """Send a request once more, to the process of `client`, with the same key."""
    if client is not None:
        client.headers["Authorization"] = sent.client.headers["Authorization"]
    told = {"json": changed["body"]} if "body" in changed else {"content": sent.answer.request.content}
    sent = replace(sent, **changed)
    return await (client or sent.client).request(sent.method, sent.path, headers=sent.headers, **told)


ENDED = {"key_revoked", "key_suspended"}
"""Why the token of a key that ended since is not shown again."""


def find_difference(sent: Sent, again: httpx.Response) -> str | None:
    """Return what a repeat was answered otherwise than the request was, None where nothing is."""
    if sent.path == "/v1/api-keys" and again.status_code == 409:
        return None if again.json()["code"] in ENDED else f"{sent.method} {sent.path}: {again.text}"
    first = sent.answer
    for what, before, after in (
        ("status", first.status_code, again.status_code),
        ("body", *(("", "") if sent.path.startswith(VIEWS) else (first.content, again.content))),
        *((name, first.headers.get(name), again.headers.get(name)) for name in TOLD),
    ):
        if before != after:
            return f"{sent.method} {sent.path}: {what} was {str(before)[:300]} and is {str(after)[:300]}"
    if "idempotent-replayed" in first.headers:
        return f"{sent.method} {sent.path}: the first answer says that it is a repeat"
    if "commit-seq" in first.headers and again.headers.get("idempotent-replayed") != "true":
        return f"{sent.method} {sent.path}: a repeat does not say that it is one"
    return None


async def retry_all(stage: Stage, story: list[Sent], streams: JetStreamContext) -> list[str]:
    """Send everything again to another process, and return what went wrong."""
    wrong, client = [], await stage.open_client(None)
    before = await count_raw(streams)
    for sent in story:
        said = find_difference(sent, await send_again(sent, client))
        if said is not None:
            wrong.append(said)
        if await count_raw(streams) != before:
            before = await count_raw(streams)
            wrong.append(f"{sent.method} {sent.path}: a repeat stored something")
    return wrong


async def reuse_all(stage: Stage, story: list[Sent], streams: JetStreamContext) -> list[str]:
    """Send every key with another command, and return what was not refused for it."""
    wrong, client = [], await stage.open_client(None)
    before = await count_raw(streams)
    for sent in story:
        others = [{"method": "POST", "path": "/v1/parties", "body": PARTY}]
        if isinstance(sent.body, dict) and isinstance(sent.body.get("reason"), str):
            others.append({"body": sent.body | {"reason": "quite another reason"}})
        for other in others:
            headers = sent.headers | {"Content-Type": "application/json"}
            answer = await send_again(sent, client, headers=headers, **other)
            if (answer.status_code, answer.json().get("code")) != (422, "idempotency_key_reused"):
                wrong.append(f"{sent.method} {sent.path} with {other}: {answer.status_code} {answer.text[:200]}")
    if await count_raw(streams) != before:
        wrong.append("a key that was used again stored something")
    return wrong


def is_command(row: Row) -> bool:
    return row.method != "GET" and row.route not in QUESTIONS


async def tell_story(stage: Stage) -> tuple[World, list[Sent], list[str]]:
    """Play every row, and each command a second time at once; return what was sent and what went wrong."""
    world, story, wrong = await prepare(stage), list[Sent](), list[str]()
    for row in STORY:
        await add_spares(world, row)
        sent = await play(world, row)
        if not is_command(row) or row.status >= 400:
            continue
        story.append(sent)
        said = find_difference(sent, await send_again(sent))
        if said is not None:
            wrong.append(f"at once: {said}")
    return world, story, wrong


async def command_again(stage: Stage, story: list[Sent]) -> list[Sent]:
    """Send every command under another key, and return those that are accepted: most of them change nothing."""
    accepted = []
    for sent in story:
        again = replace(sent, headers=sent.headers | {"Idempotency-Key": f"again-{next(stage.numbers)}"})
        answer = await send_again(again)
        if answer.is_success:
            accepted.append(replace(again, answer=answer))
    return accepted


async def test_every_command_is_answered_again_as_the_first_time(
    jetstream_log: JetStreamLog, database_url: str, nats_server: NatsServers
):
    async with open_stage(jetstream_log, database_url, worker=True, embedded=True) as stage:
        world, story, wrong = await tell_story(stage)
        again = await command_again(stage, story)
        assert len(again) > len(story) / 4
        await command_again(stage, again)
        story += again
        await world.move_to(800)
        await asyncio.sleep(1)
    for name in ("after a restart", "on another process"):
        async with (
            open_stage(jetstream_log, database_url, embedded=True) as other,
            connected(nats_server.admin_url) as admin,
        ):
            wrong += [f"{name}: {said}" for said in await retry_all(other, story, admin.jetstream())]
            wrong += [f"{name}: {said}" for said in await reuse_all(other, story, admin.jetstream())]
    assert not wrong, "\n".join(wrong)


async def test_every_operation_of_the_document_that_may_store_something_is_retried():
    async with open_stage(MemoryLog()) as stage:
        document = (await stage.admin.get("/schema/openapi.json")).json()
    operations = {
        (verb.upper(), re.sub(r"\{[^}]*\}", "{}", path)) for path, item in document["paths"].items() for verb in item
    }
    retried = {row.route for row in STORY if is_command(row)}
    assert {route for route in operations if route[0] != "GET"} == retried | QUESTIONS


async def test_a_command_is_stored_once_whatever_is_retried(jetstream_log: JetStreamLog):
    async with open_stage(jetstream_log) as one, open_stage(jetstream_log) as two:
        for number in range(10):
            key = f"k{number}"
            bodies = [PARTY | {"name": name} for name in ("One", "Two")]
            posts = [stage.post(stage.admin, "/v1/parties", body, key=key) for stage in (one, two) for body in bodies]
            answers = await asyncio.gather(*posts)
            codes = Counter(answer.json().get("code", "accepted") for answer in answers)
            assert set(codes) <= {"accepted", "idempotency_key_reused", "command_in_flight"}, codes
            assert len({answer.content for answer in answers if answer.is_success}) == 1

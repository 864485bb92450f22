"""The feed at a damaged event: it says which one and what to do, and goes on once the event is annotated."""

import asyncio
from contextlib import asynccontextmanager

import httpx

from events.subjects import render_subject
from marketplace.domain.log import Annotate
from marketplace.execution.log_record import record
from marketplace.log.annotations import AnnotatedLog, examine
from marketplace.log.connection import Connection
from tests.api.doors import serve
from tests.api.stage import ADMIN_KEY, open_stage
from tests.api.test_commands import assert_problem
from tests.e2e.test_damaged_log import Intruder, find_last
from tests.support.patience import PATIENCE_SECONDS

CLEARED = b'{"type":"party.cleared.v1","party_id":"%b","checks":["sanctions"]}'


async def damage(servers, party_id):
    """Store an event whose body is not what was sealed, and return its sequence and hash."""
    subject = render_subject("party", party_id)
    connection = await Connection.open(servers.admin_url, "tests-admin")
    try:
        last = await find_last(connection, subject)
        body = CLEARED % party_id.encode()
        return await Intruder(connection).seal(subject, last, "marketplace.party.cleared.v1", body, altered=True)
    finally:
        await connection.close()


async def annotate(log, sequence):
    found, damage = await examine(log, sequence)
    command = Annotate(
        sequence=sequence,
        subject=found.subject,
        hash=damage.hash,
        damage=damage.kind,
        effect="passed_over",
        reason="stored by an intruder",
    )
    await record(log, command)


@asynccontextmanager
async def streaming(address, authorization, after):
    """Yield a function that returns the stream's next line that has a text in it."""
    headers = {"Authorization": authorization, "Accept": "text/event-stream"}
    async with (
        httpx.AsyncClient(headers=headers, timeout=PATIENCE_SECONDS) as client,
        client.stream("GET", f"{address}/v1/events", params={"after": after}) as answer,
    ):
        lines, heard = answer.aiter_lines(), []

        async def hear(text):
            async with asyncio.timeout(PATIENCE_SECONDS):
                async for line in lines:
                    heard.append(line)
                    if text in line:
                        return line
            raise AssertionError(heard)

        yield hear


async def test_feeds_name_a_damaged_event_to_each_reader_and_go_on_once_it_is_annotated(
    jetstream_log, nats_server, database_url
):
    log = await AnnotatedLog.open(jetstream_log)
    async with open_stage(log, database_url) as stage, serve(stage.application) as address:
        one, two = await stage.register("One", "startup"), await stage.register("Two", "startup")
        tenant = await stage.open_tenant(two)
        before = int(await stage.reach())
        sequence, hash_ = await damage(nats_server, one)
        after = await stage.post(
            stage.admin, f"/v1/accounts/acc{two[3:]}/deposits", {"amount_usd": "5", "reference": "a"}
        )
        later = after.json()["sequence"] - 1  # the record of the reference follows
        assert sequence == before + 1 < later
        remedy = f"`marketplace log annotate {sequence} --hash {hash_} --reason"
        page = (await stage.admin.get("/v1/events", params={"after": 0})).json()
        assert page["next_after"] == before
        blocked = await stage.admin.get("/v1/events", params={"after": before})
        assert_problem(blocked, 503, "event_unreadable")
        assert remedy in blocked.json()["detail"]
        late = await tenant.get("/v1/events", params={"after": before}, headers={"Min-Seq": str(later)})
        assert_problem(late, 503, "projection_stopped")
        waiting = await tenant.get("/v1/events", params={"after": before})
        assert (waiting.json()["items"], waiting.json()["next_after"]) == ([], before)
        async with (
            streaming(address, f"Bearer {ADMIN_KEY}", before) as operator,
            streaming(address, tenant.headers["authorization"], before) as concerned,
        ):
            assert remedy in await operator(f": event {sequence} on ")
            said = await concerned(": the feed stopped")
            assert f"before event {sequence}," in said
            assert hash_ not in said
            await annotate(log, sequence)
            for hear in (operator, concerned):
                assert await hear("id: ") == f"id: {later}"
                assert await hear("event: log.") == "event: log.annotated.v1"
        page = (await stage.admin.get("/v1/events", params={"after": before})).json()
        assert [item["sequence"] for item in page["items"]] == [later, later + 1, later + 2]
        stated = page["items"][-1]["event"]
        assert (stated["data"]["hash"], stated["data"]["reason"]) == (hash_, "stored by an intruder")
        seen = await tenant.get("/v1/events", params={"after": before}, headers={"Min-Seq": str(later + 2)})
        assert [item["sequence"] for item in seen.json()["items"]] == [later, later + 2]
        told = seen.json()["items"][-1]
        assert told["depth"] == "own"
        assert "hash" not in told["event"] or told["event"]["hash"] == ""
        assert told["event"]["data"] == {
            **stated["data"],
            "subject": "marketplace.>",
            "hash": "0" * 64,
            "reason": "withheld",
        }
        assert one not in seen.text

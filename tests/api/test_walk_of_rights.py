"""Every command of the API's story, sent by every party that it is not for: none of them changes another's position."""

from itertools import count

from marketplace.auditor.report import Audit
from marketplace.auditor.stream import read_stream
from tests.api.rows import Row, World, play
from tests.api.stage import open_stage
from tests.api.test_endpoints import STORY, add_spares, prepare

PARTIES = ("startup", "provider", "fund", "other")
BOTH_SIDES = {
    ("/v1/accounts/{account}/holds/{hold}/release", "provider"),
    ("/v1/accounts/{account}/holds/{hold}/capture", "provider"),
}
"""Commands that another side may send too, and what it changes."""
_numbers = count(1)


async def probe(world: World, row: Row, actor: str) -> int:
    """Send a row's command as another party, and return the status of the answer."""
    body = row.body(world) if callable(row.body) else row.body
    headers = {"Idempotency-Key": f"probe-{next(_numbers)}", "Content-Type": row.media_type}
    path = row.path.format(**world.ids)
    answer = await world.clients[actor].request(row.method, path, json=body, headers=headers)
    assert answer.status_code != 500, answer.text
    return answer.status_code


async def test_no_party_does_what_is_for_another(jetstream_log, nats_server, database_url):
    async with open_stage(jetstream_log, database_url, worker=True, embedded=True) as stage:
        world = await prepare(stage)
        for row in STORY:
            await add_spares(world, row)
            for actor in PARTIES if row.method != "GET" else ():
                if actor != row.actor and (row.path, actor) not in BOTH_SIDES:
                    status = await probe(world, row, actor)
                    assert status not in {200, 201}, f"{actor} did {row.method} {row.path}, which is for {row.actor}"
            await play(world, row)
    audit = Audit()
    await audit.read(read_stream(nats_server.admin_url))
    assert audit.findings.kept == []

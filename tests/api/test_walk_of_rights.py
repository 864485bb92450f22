"""Every command of the API's story, sent by every party that it is not for: none of them changes another's position."""

import re
from dataclasses import replace
from itertools import count

from marketplace.auditor.report import Audit
from marketplace.auditor.stream import read_stream
from tests.api.rows import Row, World, play
from tests.api.stage import open_stage
from tests.api.test_endpoints import STORY, add_spares, prepare

PARTIES = ("startup", "provider", "fund", "other")
BOTH_SIDES = {
    ("/v1/accounts/{account}/holds/{hold}/capture", "provider"): "the hold names it as its payee",
    ("/v1/accounts/{account}/holds/{hold}/release", "provider"): "the hold names it as its payee",
    ("/v1/grants/{grant}/usage", "startup"): "it reports by its own meter",
    ("/v1/grants/{grant}/usage/evidence", "startup"): "it reports by its own meter",
    ("/v1/instruments/{due_note}/mature", "startup"): "the note's terms, which both signed",
    ("/v1/issuers/{issuer}/programmes/{programme}/grants", "provider"): "the programme names both sides of the grant",
    ("/v1/issuers/{issuer}/liquidity-events/{liquidity}/pay", "fund"): "a holder has the sale paid that it agreed to",
    ("/v1/parties/{startup}/roles/refuse", "startup"): "it withdraws its own request",
    ("/v1/proposals/{transfer}/agree", "startup"): "it is asked too, as the company",
    ("/v1/proposals/{transfer}/refuse", "startup"): "it is asked too, as the company",
    ("/v1/statements/{last_statement}/accept", "fund"): "its money pays a part; the startup is heard too",
    ("/v1/statements/{statement}/dispute", "fund"): "its money pays a part",
    ("/v1/statements/{statement}/concede", "provider"): "each side of a dispute concedes",
    ("/v1/statements/{statement}/answer", "provider"): "the sides of a dispute answer in turn",
    ("/v1/statements/{statement}/answer", "startup"): "the sides of a dispute answer in turn",
    ("/v1/statements/{statement}/refer", "startup"): "each side of a dispute asks the platform",
}
"""Commands that a party sends though the story lets another send them, and the right by which it may."""
ELSEWHERE = ("/v1/usage", "/v1/service-lines")
"""Answered reading by reading, and proposed and declined by either side; `test_metering_grants.py` has their sides."""
_numbers = count(1)


def is_ready(world: World, row: Row) -> bool:
    """Return whether the ids that a row names are there before what has to happen first."""
    if row.path.startswith(ELSEWHERE):
        return False
    try:
        _ = row.body(world) if callable(row.body) else row.body
    except KeyError:
        return False
    return all(name in world.ids for name in re.findall(r"{(\w+)}", row.path))


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
            for actor in PARTIES if row.method != "GET" and is_ready(world, row) else ():
                if actor != row.actor and (row.path, actor) not in BOTH_SIDES:
                    status = await probe(world, row, actor)
                    assert status not in {200, 201}, f"{actor} did {row.method} {row.path}, which is for {row.actor}"
            await play(world, replace(row, check=lambda _: True) if row.path == "/v1/proposals" else row)
    audit = Audit()
    await audit.read(read_stream(nats_server.admin_url))
    assert audit.findings.kept == []

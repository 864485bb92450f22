"""Every command of the API's story, by all parties that it is not for, and by the right one while it is suspended.

A stranger also sends it once with ids of nothing: it gets the same answer, after as many reads of the same kinds.
"""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from marketplace.auditor.report import Audit
from marketplace.auditor.stream import read_stream
from marketplace.core.decider import Decider
from marketplace.core.ids import is_id
from marketplace.execution.unit_of_work import UnitOfWork
from tests.api.rows import ABSENT, Row, World, play
from tests.api.stage import open_stage
from tests.api.test_endpoints import STORY, add_spares, prepare

PARTIES = ("startup", "provider", "fund", "other")
BOTH_SIDES = {
    ("/v1/accounts/{account}/holds/{hold}/capture", "provider"): "the hold names it as its payee",
    ("/v1/accounts/{account}/holds/{hold}/release", "provider"): "the hold names it as its payee",
    ("/v1/grants/{grant}/usage", "startup"): "it reports by its own meter",
    ("/v1/grants/{grant}/usage/evidence", "startup"): "it reports by its own meter",
    ("/v1/grants/{second_grant}/terminate", "startup"): "it pays for the grant that another uses, and pays the fee",
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
OPEN_TO_SUSPENDED = {
    "it says what happened, or what a meter read": (
        "/v1/grants/{grant}/degrade",
        "/v1/grants/{grant}/resume",
        "/v1/grants/{grant}/usage",
        "/v1/grants/{grant}/usage/corrections",
        "/v1/grants/{grant}/usage/evidence",
        "/v1/grants/{grant}/usage/voids",
        "/v1/grants/{second_grant}/suspend",
        "/v1/instruments/{favoured}/mfn-notices",
        "/v1/pools/{pool}/fail-nodes",
        "/v1/pools/{pool}/restore-nodes",
        "/v1/sites/{planned}/schedule-conversion",
        "/v1/sites/{planned}/slip-conversion",
        "/v1/sites/{site}/derate",
        "/v1/sites/{site}/energise",
    ),
    "it takes back, ends or refuses what is its own": (
        "/v1/lots/{lot}/pause",
        "/v1/lots/{resale_lot}/withdraw",
        "/v1/lots/{spare_lot}/withdraw",
        "/v1/mandates/{careful}/holds/{unwanted_hold}/refuse",
        "/v1/mandates/{spare_mandate}/revoke",
        "/v1/orders/{backstop}/cancel",
        "/v1/orders/{spare_order}/cancel",
        "/v1/parties/{startup}/relations/{relation}/end",
        "/v1/pools/{pool}/close",
        "/v1/proposals/{spare_transfer}/withdraw",
        "/v1/proposals/{transfer}/refuse",
        "/v1/proposals/{transfer}/withdraw-consent",
        "/v1/quotes/{quote}/release",
    ),
    "it claims or defends what it is owed": (
        "/v1/bonds/claims/{second_grant}",
        "/v1/instruments/{due_note}/mature",
        "/v1/statements/{statement}/answer",
        "/v1/statements/{statement}/dispute",
        "/v1/statements/{statement}/refer",
    ),
    "it changes a lot that no auction takes while its provider is suspended": (
        "/v1/lots/{lot}/reprice",
        "/v1/lots/{lot}/resume",
        "/v1/lots/{spare_lot}/reschedule",
    ),
    "it asks, computes or prepares, and nothing moves": (
        "/v1/grants/{grant}/prioritise",
        "/v1/issuers/{issuer}/cap-table/scenario",
        "/v1/issuers/{issuer}/what-if/exits",
        "/v1/issuers/{issuer}/what-if/rounds",
        "/v1/parties/{fund}/portfolio/recovery",
        "/v1/parties/{startup}/roles",
    ),
}
"""Commands that a suspended party may still send, by the reason."""
OPEN = {path for paths in OPEN_TO_SUSPENDED.values() for path in paths}
ELSEWHERE = ("/v1/usage", "/v1/service-lines")
"""Answered reading by reading, and proposed and declined by either side; `test_metering_grants.py` has their sides."""
_numbers = count(1)
_reads: ContextVar[list[str]] = ContextVar("reads")


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


async def probe_existence(world: World, row: Row) -> list[tuple[int, str, list[str]]]:
    """Return what a stranger is answered for a row's ids, and what was read for it: once as they are, once absent."""
    names = re.findall(r"{(\w+)}", row.path)
    body = json.dumps(row.body(world) if callable(row.body) else row.body)
    foreign = {world.ids[name] for name in names} or {one for one in world.ids.values() if one in body}
    told = []
    for swaps in ({one: one for one in foreign}, {one: one[:4] + ABSENT for one in foreign if is_id(one)}):
        path, sent = row.path.format(**world.ids), body
        for one, other in swaps.items():
            path, sent = path.replace(one, other), sent if names else sent.replace(one, other)
        headers = {"Idempotency-Key": f"probe-{next(_numbers)}", "Content-Type": row.media_type}
        token = _reads.set(reads := [])
        answer = await world.clients["other"].request(row.method, path, content=sent, headers=headers)
        _reads.reset(token)
        told.append(
            (
                answer.status_code,
                re.sub("|".join(map(re.escape, {*swaps, *swaps.values()})) or "$", "…", answer.text),
                reads,
            )
        )
    return told


def heard_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Note which aggregates the command of a request reads."""
    load = UnitOfWork.load

    async def load_heard(self: UnitOfWork, decider: Decider[Any, Any, Any], id: str) -> Any:  # noqa: A002
        _reads.get([]).append(decider.aggregate)
        return await load(self, decider, id)

    monkeypatch.setattr(UnitOfWork, "load", load_heard)


@asynccontextmanager
async def suspended(world: World, actor: str) -> AsyncIterator[None]:
    """Suspend a party, and clear it again."""
    stage, path = world.stage, f"/v1/parties/{world.ids[actor]}"
    for act, body in (("suspend", {"reason": "looked into"}), ("clear", {"checks": ["identity"]})):
        answer = await stage.post(stage.admin, f"{path}/{act}", body)
        assert answer.is_success, answer.text
        if act == "suspend":
            yield


async def test_no_party_does_what_is_for_another_and_a_suspended_one_only_what_is_listed(
    jetstream_log, nats_server, database_url, monkeypatch
):
    async with open_stage(jetstream_log, database_url, worker=True, embedded=True) as stage:
        world = await prepare(stage)
        heard_reads(monkeypatch)
        found: list[object] = []
        for row in STORY:
            await add_spares(world, row)
            if row.method != "GET" and row.actor != "other" and is_ready(world, row):
                foreign, absent = await probe_existence(world, row)
                if foreign != absent:
                    found.append((row.method, row.path, foreign, absent))
            for actor in PARTIES if row.method != "GET" and is_ready(world, row) else ():
                if actor != row.actor and (row.path, actor) not in BOTH_SIDES:
                    status = await probe(world, row, actor)
                    assert status not in {200, 201}, f"{actor} did {row.method} {row.path}, which is for {row.actor}"
            if row.method != "GET" and row.actor in PARTIES and row.path not in OPEN and is_ready(world, row):
                async with suspended(world, row.actor):
                    status = await probe(world, row, row.actor)
                assert status not in {200, 201}, f"a suspended {row.actor} did {row.method} {row.path}"
            await play(world, replace(row, check=lambda _: True) if row.path == "/v1/proposals" else row)
    assert found == [], "a stranger is answered otherwise, or after other reads, than where there is nothing"
    audit = Audit()
    await audit.read(read_stream(nats_server.admin_url))
    assert audit.findings.kept == []

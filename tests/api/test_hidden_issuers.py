"""Whether a company has a cap table here is told to nobody else, also not by the work that a refusal takes."""

import re
from datetime import date

from sqlalchemy import event

from marketplace.api.http.known_values import PREFIXED
from marketplace.core.ids import rename_id
from marketplace.log.memory import MemoryLog
from tests.api.documented import read_document
from tests.api.stage import Stage, get_id, open_stage


def fill(path: str, issuer_id: str) -> str:
    """Return a path with an issuer, and with ids of their kind in the place of other parameters."""
    path = path.replace("{issuer_id}", issuer_id)
    return re.sub(r"\{(\w+?)(?:_id)?\}", lambda one: f"{PREFIXED.get(one[1], 'src')}_01jdm5v5tze1xa6a4sbz1gk3c4", path)


async def form(stage: Stage, party_id: str) -> str:
    body = {"party_id": party_id, "legal_name": "Acme, Inc.", "jurisdiction": "US", "formed_on": str(date(2025, 1, 1))}
    issuer = get_id(await stage.post(stage.admin, "/v1/issuers", body))
    kind = {"class_id": "common", "kind": "common", "shares_authorised": 2_000_000}
    await stage.post(stage.admin, f"/v1/issuers/{issuer}/stock-classes", kind)
    founder = {"name": "Founder", "kind": "founder"}
    holder = get_id(await stage.post(stage.admin, f"/v1/issuers/{issuer}/stakeholders", founder))
    stock = {"holder_id": holder, "class_id": "common", "shares": 1_000, "price_usd_per_share": "0.01"}
    await stage.post(stage.admin, f"/v1/issuers/{issuer}/stock", stock)
    return issuer


async def test_a_strangers_issuer_is_refused_by_the_work_and_the_bytes_of_one_that_is_absent(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage:
        foreign = await form(stage, await stage.register("Acme", "startup"))
        absent = rename_id("iss", await stage.register("Bare", "startup"))
        stranger = await stage.open_tenant(await stage.register("Stranger", "provider", "startup"))
        headers = {"Min-Seq": await stage.reach()}
        paths = (await read_document(stage.admin))["paths"].items()
        reads = [path for path, item in paths if "{issuer_id}" in path and "get" in item]
        assert len(reads) > 15
        log, work = stage.services.handler.log, list[str]()
        load = log.load

        def hear(_connection, _cursor, statement, *_) -> None:
            if ".issuer_id" in statement:  # as queries of reads spell it, and the projector does not
                work.append(statement)

        async def load_heard(*given, **named):
            work.append("read the log")
            return await load(*given, **named)

        log.load = load_heard
        engine = stage.services.get_engine().sync_engine
        event.listen(engine, "before_cursor_execute", hear)
        for path in reads:
            done = []
            for issuer_id in (foreign, absent):
                work.clear()
                answer = await stranger.get(fill(path, issuer_id), headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (404, "issuer_unknown"), path
                others = [
                    one for one in work if "price_sources.name" in one and "price_sources.recorder_id = " not in one
                ]
                assert not others, "no source but the reader's own is read before the check"
                done.append((answer.text.replace(issuer_id, "…"), [*work]))
            assert done[0] == done[1], path
        event.remove(engine, "before_cursor_execute", hear)
        assert (await stage.admin.get(f"/v1/issuers/{foreign}", headers=headers)).status_code == 200

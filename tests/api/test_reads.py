"""Reads: what a reader must have seen, pages, points in the past, versions, and NATS away."""

import asyncio
from datetime import UTC, datetime

from sqlalchemy import text

from marketplace.application.delivery.grants import transfer_grant
from marketplace.embedded.nats import NatsServers
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.memory import MemoryLog
from marketplace.log.port import Limits
from marketplace.runtime.scheduling.calendar import list_calls, open_call
from tests.api.doors import open_door
from tests.api.stage import get_id, open_stage
from tests.api.test_commands import PARTY, assert_problem
from tests.support.market.market import Market
from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import open_log

NOBODY = "pty_01jdm5v5tze1xa6a4sbz1gk3c0"


async def test_a_read_waits_for_what_was_written(database_url: str):
    async with open_stage(MemoryLog(), database_url, read_wait_seconds_max=0.3) as stage:
        for number in range(20):
            placed = await stage.post(stage.admin, "/v1/parties", {**PARTY, "name": f"Party {number}"})
            seen = await stage.admin.get(placed.headers["location"], headers={"Min-Seq": placed.headers["commit-seq"]})
            assert seen.json()["name"] == f"Party {number}"
            assert seen.headers["etag"] == placed.headers["etag"]
        beyond = await stage.admin.get("/v1/parties", headers={"Min-Seq": "1000000"})
        assert_problem(beyond, 400, "header_invalid")
        assert stage.services.engine is not None
        async with stage.services.engine.begin() as other:
            await other.execute(text("LOCK TABLE parties IN SHARE MODE"))  # nothing is projected into it meanwhile
            placed = await stage.post(stage.admin, "/v1/parties", PARTY)
            behind = await stage.admin.get("/v1/parties", headers={"Min-Seq": placed.headers["commit-seq"]})
        assert_problem(behind, 503, "projection_behind")
        assert behind.headers["retry-after"] == "1"


async def test_a_read_that_found_nothing_and_waited_for_nothing_says_how_to_wait(database_url: str):
    """Somebody read an order right after placing it, and was told to check an id that was right."""
    advice, path = "; if it was made just now, send the Commit-Seq of that answer as Min-Seq", f"/v1/parties/{NOBODY}"
    async with open_stage(MemoryLog(), database_url) as stage:
        found = await stage.admin.get(path)
        assert_problem(found, 404, "party_unknown")
        assert found.json()["detail"] == f"there is no party {NOBODY}; check the id{advice}"
        waited = await stage.admin.get(path, headers={"Min-Seq": "0"})
        command = await stage.post(stage.admin, f"{path}/clear", {"checks": ["a"]})
        for answer in (waited, command):
            assert answer.json()["detail"] == f"there is no party {NOBODY}; check the id"
        assert "`Min-Seq`" in (await stage.admin.get("/schema/errors/party_unknown")).json()["remedy"]


async def test_the_etag_of_a_read_is_the_version_that_a_command_asks_for(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage:
        party = get_id(await stage.post(stage.admin, "/v1/parties", PARTY))
        headers = {"Min-Seq": await stage.reach()}
        etag = (await stage.admin.get(f"/v1/parties/{party}", headers=headers)).headers["etag"]
        clear = await stage.post(stage.admin, f"/v1/parties/{party}/clear", {"checks": ["a"]}, if_match=etag)
        assert clear.status_code == 200, clear.text
        again = await stage.post(stage.admin, f"/v1/parties/{party}/suspend", {"reason": "a"}, if_match=etag)
        assert_problem(again, 412, "version_stale")


async def test_an_open_order_says_which_auction_decides_it_and_when(database_url: str):
    log = MemoryLog()
    market = Market(log)
    startup = await market.party("Startup", "startup", usd=1_000_000)
    short, long, narrow = [
        await market.order(startup, nodes=1, days=days, latest=latest, cash="1")
        for days, latest in ((10, 20), (730, 20), (730, 2))
    ]
    for name, number in list_calls(market.clock.now()):
        await open_call(market.handler, name, number)
    async with open_stage(log, database_url) as stage:
        headers = {"Min-Seq": await stage.reach()}
        [*auctions] = (await stage.admin.get("/v1/auctions", headers=headers)).json()["items"]
        known = {auction["auction_id"]: (auction["period_hours"], auction["locks_at"]) for auction in auctions}
        told = [(await stage.admin.get(f"/v1/orders/{order}")).json() for order in (short, long, narrow)]
        listed = (await stage.admin.get("/v1/orders")).json()["items"]
    assert sorted(listed, key=told.index) == told
    assert [known.get(order["next_auction_id"], (None, None))[0] for order in told] == [24, 120, None]
    assert [order["next_locks_at"] for order in told] == ["2026-01-01T12:00:00Z", "2026-01-07T12:00:00Z", None]


async def test_who_pays_for_a_grant_reads_that_its_user_is_suspended_and_nobody_else_does(database_url: str):
    log = MemoryLog()
    market = Market(log)
    trade = await market.trade(cash="3", equity="0")
    user = await market.party("User", "startup")
    async with market.worker():
        grant_id = (await market.award(trade)).issued.grant_id
    await transfer_grant(market.handler, market.context(trade.startup), grant_id, startup_id=user)

    async def read(stage, tenant):
        headers = {"Min-Seq": await stage.reach()}
        one = (await tenant.get(f"/v1/grants/{grant_id}", headers=headers)).json()
        assert (await tenant.get("/v1/grants")).json()["items"] == [one]
        return one["user_suspended"]

    async with open_stage(log, database_url) as stage:
        tenants = [await stage.open_tenant(party) for party in (trade.startup, trade.provider, user)]
        assert [await read(stage, tenant) for tenant in tenants] == [False] * 3
        get_id(await stage.post(stage.admin, f"/v1/parties/{user}/suspend", {"reason": "sanctions"}))
        assert [await read(stage, tenant) for tenant in tenants] == [True, False, False]
        await stage.post(stage.admin, f"/v1/parties/{user}/clear", {"checks": ["sanctions"]})
        assert not await read(stage, tenants[0])
        get_id(await stage.post(stage.admin, f"/v1/parties/{trade.startup}/suspend", {"reason": "sanctions"}))
        assert [await read(stage, tenant) for tenant in tenants] == [False] * 3


async def test_pages_follow_each_other_without_gap_or_repeat(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage:
        made = {get_id(await stage.post(stage.admin, "/v1/parties", PARTY)) for _ in range(7)}
        seen, query = [], {"limit": "3"}
        headers = {"Min-Seq": await stage.reach()}
        for _ in range(3):
            page = (await stage.admin.get("/v1/parties", params=query, headers=headers)).json()
            seen += [row["party_id"] for row in page["items"]]
            query["cursor"] = page["next_cursor"]
        assert page["next_cursor"] is None
        assert seen == sorted(made)
        for cursor in ("x", "bnVsbA", "WzFd"):
            assert_problem(await stage.admin.get("/v1/parties", params={"cursor": cursor}), 400, "cursor_invalid")


async def test_a_cursor_belongs_to_its_route_order_and_filters(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage:
        for _ in range(3):
            await stage.post(stage.admin, "/v1/parties", PARTY)
        headers = {"Min-Seq": await stage.reach()}

        async def load(path, **query):
            return await stage.admin.get(path, params=query, headers=headers)

        first = (await load("/v1/parties", limit=1, order="newest", role="startup")).json()
        cursor = first["next_cursor"]
        rest = await load("/v1/parties", limit=5, order="newest", role="startup", cursor=cursor, count="true")
        assert len(rest.json()["items"]) == 2
        turned = await load("/v1/parties", role="startup", cursor=cursor, order="newest")
        assert turned.json()["items"] == rest.json()["items"], "the order of parameters does not matter"
        for path, query in (
            ("/v1/parties", {"order": "oldest", "role": "startup"}),
            ("/v1/parties", {"order": "newest"}),
            ("/v1/parties", {"order": "newest", "role": "fund"}),
            ("/v1/sites", {}),
        ):
            assert_problem(await load(path, **query, cursor=cursor), 400, "cursor_invalid")
        keys = (await load("/v1/parties", limit=1)).json()["next_cursor"]
        for path in ("/v1/sites", "/v1/lots", "/v1/balances", "/v1/api-keys"):
            assert_problem(await load(path, cursor=keys), 400, "cursor_invalid")


async def test_balances_are_told_as_of_a_sequence_and_an_instant(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage:
        startup = await stage.register("Startup", "startup", usd="100")
        early, between = await stage.reach(), datetime.now(UTC).isoformat()
        account = f"/v1/accounts/acc{startup[3:]}/deposits"
        await stage.post(stage.admin, account, {"amount_usd": "50", "reference": "second"})
        headers = {"Min-Seq": await stage.reach()}

        async def load(**query):
            params = {"party_id": startup, "unit": "USD", **query}
            page = (await stage.admin.get("/v1/balances", params=params, headers=headers)).json()
            return [row["amount"] for row in page["items"]]

        assert await load() == ["150.00"]
        assert await load(at=early) == ["100.00"]
        assert await load(at=between) == ["100.00"]
        assert await load(at="1") == []


async def test_a_nul_in_the_query_is_refused(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage:
        assert_problem(await stage.admin.get("/v1/parties?status=a%00b"), 400, "header_invalid")


async def test_nats_away_is_told_and_nothing_is_half_done(nats_server: NatsServers):
    limits = Limits(append_seconds_max=3.0, ack_seconds_max=1.0)
    async with open_log(nats_server) as direct, open_door(nats_server.url) as door:
        log = await JetStreamLog.open(door.url, limits=limits)
        async with open_stage(log) as stage:
            first = await stage.post(stage.admin, "/v1/parties", PARTY)
            assert first.status_code == 201
            await door.shut()
            party = first.json()["id"]
            away = await stage.post(stage.admin, f"/v1/parties/{party}/clear", {"checks": ["a"]}, key="c")
            assert_problem(away, 503, "nats_unavailable")
            assert int(away.headers["retry-after"]) >= 1
            ready = await stage.admin.get("/health/ready")
            assert (ready.status_code, ready.json()["commands"]) == (503, False)
            assert (await stage.admin.get("/health/live")).status_code == 200
            await door.open()
            for _ in range(20):
                again = await stage.post(stage.admin, f"/v1/parties/{party}/clear", {"checks": ["a"]}, key="c")
                if again.status_code != 503:
                    break
            assert again.status_code == 200, again.text
            assert (await direct.health()).last_sequence == 3
        await log.close()


async def test_ready_tells_that_the_log_ends_before_what_this_process_has_seen():
    async with open_stage(MemoryLog()) as stage:
        await stage.register("Kept", "startup")
        follower, last = stage.services.follower, int(await stage.reach())
        async with asyncio.timeout(PATIENCE_SECONDS):
            while follower.position < last:  # noqa: ASYNC110 - it reads on by itself
                await asyncio.sleep(0.01)
        assert (await stage.admin.get("/health/ready")).status_code == 200
        follower.position += 10
        ready = await stage.admin.get("/health/ready")
        assert (ready.status_code, ready.json()["commands"]) == (503, False)
        assert f"the log ends at event {last}, and this process has seen event {last + 10}" in ready.json()["reason"]


async def test_ready_tells_that_the_rows_stand_still_while_the_log_has_more(database_url: str, monkeypatch):
    monkeypatch.setattr("marketplace.api.http.operation.STANDSTILL_SECONDS", 0.02)
    async with open_stage(MemoryLog(), database_url, projector=False) as stage:
        await stage.register("Waiting", "startup")
        assert (await stage.admin.get("/health/ready")).json()["reason"] is None
        await asyncio.sleep(0.03)
        ready = (await stage.admin.get("/health/ready")).json()
        assert (ready["commands"], ready["reads"], ready["projected_sequence"]) == (True, True, 0)
        assert "the rows stand still" in ready["reason"]


async def test_full_storage_is_named_to_everyone_and_its_server_and_folder_to_operators(
    nats_server: NatsServers, database_url: str, monkeypatch, capsys
):
    inside = ("marketplace-1", str(nats_server.members[0].folder), "bytes")
    async with open_log(nats_server) as log, open_stage(log, database_url) as stage:
        startup = await stage.register("Startup", "startup", usd="100")
        tenant, transfer = await stage.open_tenant(startup), {"amount_usd": "10", "reference": "wire"}
        monkeypatch.setattr("marketplace.log.storage.FREE_BYTES_LEAST", 10**18)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (await log.health()).append_failure:  # noqa: ASYNC110 - the watch asks once a second
                await asyncio.sleep(0.1)
        assert "log_storage_full" in capsys.readouterr().out
        refused = await stage.post(tenant, f"/v1/accounts/acc{startup[3:]}/withdrawals", transfer)
        assert_problem(refused, 503, "storage_full")
        assert int(refused.headers["retry-after"]) >= 1
        assert "same Idempotency-Key" in refused.json()["detail"]
        assert not [word for word in inside if word in refused.text], refused.text
        logged = capsys.readouterr().out
        assert all(word in logged for word in inside), logged
        for answer in (
            await stage.post(stage.admin, "/v1/parties", PARTY),
            await stage.admin.get("/health/ready"),
        ):
            assert answer.status_code == 503
            assert all(word in answer.text for word in inside), answer.text
        for client in (tenant, await stage.open_client(None)):
            ready = await client.get("/health/ready")
            assert (ready.status_code, ready.json()["commands"]) == (503, False)
            assert "because a disk is full" in ready.json()["reason"]
            assert not [word for word in inside if word in ready.text], ready.text

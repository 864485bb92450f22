"""Reads: what a reader must have seen, pages, points in the past, versions, and NATS away."""

from datetime import UTC, datetime

from marketplace.embedded import NatsServers
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.memory import MemoryLog
from marketplace.log.port import Limits
from tests.api.doors import open_door
from tests.api.stage import get_id, open_stage
from tests.api.test_commands import PARTY, assert_problem
from tests.support.servers import open_log


async def test_a_read_waits_for_what_was_written(database_url: str):
    async with open_stage(MemoryLog(), database_url, read_wait_seconds_max=0.3) as stage:
        for number in range(20):
            placed = await stage.post(stage.admin, "/v1/parties", {**PARTY, "name": f"Party {number}"})
            seen = await stage.admin.get(placed.headers["location"], headers={"Min-Seq": placed.headers["commit-seq"]})
            assert seen.json()["name"] == f"Party {number}"
            assert seen.headers["etag"] == placed.headers["etag"]
        behind = await stage.admin.get("/v1/parties", headers={"Min-Seq": "1000000"})
        assert_problem(behind, 503, "projection_behind")
        assert behind.headers["retry-after"] == "1"


async def test_the_etag_of_a_read_is_the_version_that_a_command_asks_for(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage:
        party = get_id(await stage.post(stage.admin, "/v1/parties", PARTY))
        headers = {"Min-Seq": await stage.reach()}
        etag = (await stage.admin.get(f"/v1/parties/{party}", headers=headers)).headers["etag"]
        clear = await stage.post(stage.admin, f"/v1/parties/{party}/clear", {"checks": ["a"]}, if_match=etag)
        assert clear.status_code == 200, clear.text
        again = await stage.post(stage.admin, f"/v1/parties/{party}/suspend", {"reason": "a"}, if_match=etag)
        assert_problem(again, 412, "version_stale")


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

        assert await load() == ["150"]
        assert await load(at=early) == ["100"]
        assert await load(at=between) == ["100"]
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

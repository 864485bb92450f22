"""The feed: pages and streams, resumed anywhere, and to each only what concerns it."""

import asyncio
import json
from contextlib import AsyncExitStack, aclosing

import httpx
import msgspec
import pytest

from events.party import PartyRegistered
from events.registry import UnknownEventType
from marketplace.api.feed import tails
from marketplace.client import MarketplaceClient, ProblemError, transport
from marketplace.core.errors import Unavailable
from marketplace.core.ids import derive_command_id, derive_id
from marketplace.domain.deciders import PREFIXES
from marketplace.log.memory import MemoryLog
from tests.api.doors import serve
from tests.api.stage import ADMIN_KEY, get_id, open_stage
from tests.api.test_commands import PARTY, assert_problem
from tests.contracts.story.book import tell_story
from tests.support.patience import PATIENCE_SECONDS


async def read_stream(client: httpx.AsyncClient, count: int, **headers: str) -> list[tuple[int, str, dict]]:
    """Return id, name and data of the next server-sent events."""
    found: list[tuple[int, str, dict]] = []
    sent = {"Accept": "text/event-stream"} | {name.replace("_", "-"): value for name, value in headers.items()}
    async with asyncio.timeout(PATIENCE_SECONDS), client.stream("GET", "/v1/events", headers=sent) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
                continue
            if "data" in fields:
                found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
            fields = {}
            if len(found) == count:
                break
    return found


async def test_pages_of_the_platform_are_the_log_itself():
    async with open_stage(MemoryLog()) as stage:
        for number in range(3):
            await stage.post(stage.admin, "/v1/parties", {**PARTY, "name": f"Party {number}"})
        page = (await stage.admin.get("/v1/events", params={"limit": 4})).json()
        assert [item["sequence"] for item in page["items"]] == [1, 2, 3, 4]
        assert page["next_after"] == 4
        rest = (await stage.admin.get("/v1/events", params={"after": 4})).json()
        assert [item["event"]["type"] for item in rest["items"]] == [
            "marketplace.account.opened.v1",
            "marketplace.party.registered.v1",
        ]
        assert rest["items"][1]["event"]["data"]["name"] == "Party 2"
        for accepted, encoding in (("br, GZIP;q=0.5", "gzip"), ("gzip;q=0.0, br", None), ("identity", None)):
            page = await stage.admin.get("/v1/events", headers={"Accept-Encoding": accepted})
            assert page.headers.get("content-encoding") == encoding
            assert (len(page.content) > 2 * int(page.headers["content-length"])) == (encoding is not None)
            assert page.json()["head"] == 6
        nothing = (await stage.admin.get("/v1/events", params={"after": 6})).json()
        assert nothing == {"items": [], "next_after": 6, "head": 6}
        streamed = {"Accept": "text/event-stream"}
        for query, headers, status, code in (
            ("?after=7", {}, 422, "request_invalid"),
            ("?after=7", streamed, 422, "request_invalid"),
            ("", streamed | {"Last-Event-ID": "7"}, 400, "header_invalid"),
            ("", {"Last-Event-ID": "7"}, 400, "header_invalid"),
        ):
            beyond = await stage.admin.get(f"/v1/events{query}", headers=headers)
            assert_problem(beyond, status, code, "/after" if query else None)
            assert "is 7, and the log ends at 6; " in beyond.json()["detail"]
        resumed = (await stage.admin.get("/v1/events", headers={"Last-Event-ID": "4"})).json()
        assert [item["sequence"] for item in resumed["items"]] == [5, 6]
        assert_problem(await stage.admin.get("/v1/events", headers={"Last-Event-ID": "zz"}), 400, "header_invalid")
        limited = await stage.admin.get("/v1/events?limit=2", headers=streamed)
        assert_problem(limited, 422, "request_invalid", "/limit")


async def read_types(client: httpx.AsyncClient, **query) -> list[str]:
    """Return the types of all events that a reader gets, page by page."""
    found, after = [], 0
    while True:
        page = (await client.get("/v1/events", params={**query, "after": after, "limit": 2})).json()
        found += [item["event"]["type"].removeprefix("marketplace.") for item in page["items"]]
        if page["next_after"] in {after, page["head"]} and not page["items"]:
            return found
        after = page["next_after"]


async def test_a_key_reads_the_events_whose_kind_its_scopes_cover(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage, serve(stage.application) as address:
        one = await stage.register("One", "startup", usd="10")
        await stage.register("Two", "startup", usd="20")
        whole = await stage.open_tenant(one, ["*:read"])
        await whole.get("/v1/events", headers={"Min-Seq": await stage.reach()})
        parties = await stage.open_tenant(one, ["events:read", "parties:read"])
        assert await read_types(parties) == ["party.registered.v1", "party.cleared.v1"]
        blind = await stage.open_tenant(one, ["events:read"])
        assert await read_types(blind) == []
        for accept in ("application/json", "text/event-stream"):
            for query in ("type=party.registered.v1", "aggregate=grant&aggregate=party", "type=order.placed.v1"):
                hidden = await blind.get(f"/v1/events?{query}", headers={"Accept": accept})
                assert_problem(hidden, 403, "scope_missing")
        assert await read_types(parties, type="party.registered.v1") == ["party.registered.v1"]
        assert_problem(await parties.get("/v1/events?type=order.placed.v1"), 403, "scope_missing")
        assert len(await read_types(whole)) == 4
        body = {"name": "clerk", "scopes": ["events:read", "accounts:read", "orders:sealed"]}
        token = (await stage.post(stage.admin, "/v1/api-keys", body)).json()["token"]
        clerk = await stage.open_client(token)
        assert set(await read_types(clerk)) == {"account.opened.v1", "account.deposited.v1", "command.recorded.v1"}
        found = (await stage.admin.get("/v1/events")).json()["items"]
        positions = {item["event"]["type"].removeprefix("marketplace."): item["sequence"] for item in found}
        for path in ("chain", "states"):
            shown = await clerk.get(f"/v1/events/{path}?sequence={positions['account.opened.v1']}")
            assert shown.status_code == 200
            assert "party.registered.v1" not in shown.text
            hidden = await clerk.get(f"/v1/events/{path}?sequence={positions['party.registered.v1']}")
            assert_problem(hidden, 403, "scope_missing")
        headers = {"Authorization": parties.headers["authorization"]}
        async with httpx.AsyncClient(base_url=address, headers=headers, timeout=PATIENCE_SECONDS) as client:
            assert [name for _, name, _ in await read_stream(client, 2)] == ["party.registered.v1", "party.cleared.v1"]


async def test_the_feed_is_filtered_by_type_kind_party_and_time_and_refuses_unknown_ones(
    database_url: str, monkeypatch
):
    monkeypatch.setattr("marketplace.api.feed.feed.FILTERED_MAX", 3)
    async with open_stage(MemoryLog(), database_url) as stage, serve(stage.application) as address:
        one = await stage.register("One", "startup", usd="10")
        between = (await stage.admin.get("/v1/events")).json()["items"][-1]["event"]["time"]
        two = await stage.register("Two", "startup", usd="20")
        await stage.admin.get("/v1/parties", headers={"Min-Seq": await stage.reach()})
        assert await read_types(stage.admin, type="party.cleared.v1") == ["party.cleared.v1"] * 2
        assert len(await read_types(stage.admin, type=["party.cleared.v1", "account.opened.v1"])) == 4
        assert set(await read_types(stage.admin, aggregate="account")) == {"account.opened.v1", "account.deposited.v1"}
        assert await read_types(stage.admin, party_id=two, aggregate="party") == [
            "party.registered.v1",
            "party.cleared.v1",
        ]
        late = await read_types(stage.admin, **{"from": between, "type": "party.registered.v1"})
        assert late == ["party.registered.v1"]
        stranger = await stage.open_tenant(one)
        for query, pointer, near in (
            ({"type": "party.clear.v1"}, "/type", "party.cleared.v1"),
            ({"aggregate": "grnt"}, "/aggregate", "grant"),
            ({"from": "yesterday"}, "/from", "RFC 3339"),
        ):
            refused = await stranger.get("/v1/events", params=query)
            assert_problem(refused, 422, "request_invalid", pointer)
            assert near in refused.text
        assert_problem(await stranger.get("/v1/events", params={"party_id": two}), 404, "party_unknown")
        headers = {"Authorization": stage.admin.headers["authorization"], "Accept": "text/event-stream"}
        async with httpx.AsyncClient(base_url=address, headers=headers, timeout=PATIENCE_SECONDS) as client:
            query = {"type": "party.cleared.v1", "party_id": two}
            async with client.stream("GET", "/v1/events", params=query) as answer:
                lines = answer.aiter_lines()
                while not (line := await anext(lines)).startswith("data: "):
                    pass
            assert json.loads(line[6:])["event"]["subject"] == f"party/{two}"


async def test_filters_that_can_never_match_are_refused_with_the_reason(database_url: str):
    id_ = "01jdm5v5tze1xa6a4sbz1gk3c4"
    async with open_stage(MemoryLog(), database_url) as stage:
        tenant = await stage.open_tenant(await stage.register("One", "startup"))
        narrow = await stage.open_tenant(await stage.register("Two", "startup"), ["events:read", "accounts:read"])
        for client, query, status, pointer, said in (
            (tenant, "type=auction.locked.v1", 422, "/type", "only the platform sees events of the type"),
            (tenant, "type=auction.cleared.v1", 422, "/type", "did you mean auction."),
            (tenant, "aggregate=command", 422, "/aggregate", "only the platform sees events of the kind 'command'"),
            (tenant, f"aggregate_id=cmd_{id_}", 422, "/aggregate_id", "only the platform"),
            (tenant, f"aggregate_id=xyz_{id_}", 422, "/aggregate_id", "no aggregate has an id that begins with xyz_"),
            (tenant, "type=marketplace.order.placed.v1", 422, "/type", "did you mean order.placed.v1?"),
            (tenant, "event_id=x", 422, "/event_id", "is no id such as evt_"),
            (stage.admin, "type=order.placed.v1&aggregate=grant", 422, "/type", "of the kind 'order', which aggregate"),
            (stage.admin, f"type=order.placed.v1&aggregate_id=grt_{id_}", 422, "/type", "aggregate_id is of 'grant'"),
            (stage.admin, f"aggregate=order&aggregate_id=grt_{id_}", 422, "/aggregate_id", "of the kind 'grant'"),
            (narrow, f"aggregate_id=ord_{id_}", 403, None, "lacks the scope orders:read"),
            (narrow, "type=account.approval_requested.v1", 403, None, "lacks the scope"),
        ):
            for accept in ("application/json", "text/event-stream"):
                answer = await client.get(f"/v1/events?{query}", headers={"Accept": accept})
                assert_problem(answer, status, "request_invalid" if status == 422 else "scope_missing", pointer)
                assert said in answer.json()["detail"]
        for client, query in (
            (tenant, "type=order.placed.v1&aggregate=order&aggregate=grant"),
            (tenant, f"aggregate=auction&aggregate_id=auc_{id_}"),
            (tenant, "aggregate=log"),
            (stage.admin, "type=auction.locked.v1&aggregate=auction"),
            (stage.admin, f"aggregate_id=cmd_{id_}"),
        ):
            assert (await client.get(f"/v1/events?{query}")).status_code == 200
    for one in tell_story():
        _, aggregate, key = one.subject.split(".")
        assert key.startswith(PREFIXES[aggregate])


async def test_a_stream_without_events_of_its_own_shows_that_it_lives_while_others_trade(
    database_url: str, monkeypatch
):
    monkeypatch.setattr("marketplace.api.feed.stream.KEEP_ALIVE_SECONDS", 0.2)
    async with open_stage(MemoryLog(), database_url) as stage, serve(stage.application) as address:
        one = await stage.register("One", "startup")
        last = int(await stage.reach())
        tenant = await stage.open_tenant(one)
        headers = {"Authorization": tenant.headers["authorization"], "Accept": "text/event-stream"}

        async def trade() -> None:
            number = 0
            while True:
                number += 1
                await stage.post(stage.admin, "/v1/parties", {**PARTY, "name": f"Other {number}"})

        trading = asyncio.create_task(trade())
        try:
            async with (
                asyncio.timeout(PATIENCE_SECONDS),
                httpx.AsyncClient(base_url=address, headers=headers, timeout=PATIENCE_SECONDS) as client,
                client.stream("GET", f"/v1/events?after={last}") as answer,
            ):
                lines = answer.aiter_lines()
                before = ""
                while (line := await anext(lines)) != ": keep-alive" or int(before[3:]) <= last:
                    before = line
        finally:
            trading.cancel()


async def test_a_tenant_is_shown_only_what_concerns_it(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage:
        one = await stage.register("One", "startup", usd="10")
        two = await stage.register("Two", "startup", usd="20")
        first, second = await stage.open_tenant(one), await stage.open_tenant(two)
        last = await stage.reach()
        headers = {"Min-Seq": last}
        mine = (await first.get("/v1/events", headers=headers)).json()
        assert {item["event"]["subject"] for item in mine["items"]} == {f"party/{one}", f"account/acc{one[3:]}"}
        assert mine["next_after"] == int(last)
        page = (await second.get("/v1/events", params={"limit": 1}, headers=headers)).json()
        assert len(page["items"]) == 1
        assert page["next_after"] == page["items"][0]["sequence"]
        narrowed = await second.get("/v1/events", params={"aggregate_id": one}, headers=headers)
        assert narrowed.json()["items"] == []
        own = await second.get("/v1/events", params={"aggregate_id": two}, headers=headers)
        assert len(own.json()["items"]) == 2


async def test_a_stream_goes_on_after_the_last_event_id(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage, serve(stage.application) as address:
        one = await stage.register("One", "startup")
        token = (
            await stage.post(stage.admin, "/v1/api-keys", {"name": "a", "scopes": ["*:read"], "party_id": one})
        ).json()["token"]
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=address, headers=headers, timeout=PATIENCE_SECONDS) as client:
            first = await read_stream(client, 2)
            assert [name for _, name, _ in first] == ["account.opened.v1", "party.registered.v1"]
            waiting = asyncio.create_task(read_stream(client, 2, last_event_id=str(first[-1][0])))
            await asyncio.sleep(0.2)
            await stage.register("Two", "startup")
            account = f"/v1/accounts/acc{one[3:]}/deposits"
            get_id(await stage.post(stage.admin, account, {"amount_usd": "5", "reference": "a"}))
            resumed = await waiting
            assert [name for _, name, _ in resumed] == ["party.cleared.v1", "account.deposited.v1"]
            assert [item["sequence"] for _, _, item in resumed] == [sequence for sequence, _, _ in resumed]
            assert resumed[1][2]["event"]["data"]["amount_usd"] == "5.00"


@pytest.mark.parametrize("kept_bytes", [tails.TAIL_BYTES_MAX, 0])
async def test_streams_that_share_their_reading_get_what_pages_show(database_url: str, monkeypatch, kept_bytes):
    """Also where a tail keeps nothing of earlier rounds, so that streams which were behind read by themselves."""
    monkeypatch.setattr(tails, "TAIL_BYTES_MAX", kept_bytes)
    async with open_stage(MemoryLog(), database_url) as stage, serve(stage.application) as address:
        parties = [await stage.register(name, "startup") for name in ("One", "Two")]
        one, two = [await stage.open_tenant(party_id) for party_id in parties]
        last = int(await stage.reach())
        asked = [(client, query) for client in (one, two, stage.admin) for query in ({}, {"aggregate": "account"})]
        asked.append((stage.admin, {"party_id": parties[0]}))
        command_id = derive_command_id("platform", "deposit-4")
        event_id = derive_id("evt", command_id, f"account/acc{parties[0][3:]}#0")
        asked += [(client, {"command_id": command_id}) for client in (one, stage.admin)]
        asked += [(client, {"event_id": event_id}) for client in (one, stage.admin)]
        async with AsyncExitStack() as closing, asyncio.timeout(PATIENCE_SECONDS):
            opened = []
            for client, query in asked * 2:
                headers = {"Authorization": client.headers["authorization"], "Accept": "text/event-stream"}
                direct = await closing.enter_async_context(httpx.AsyncClient(base_url=address, headers=headers))
                streaming = direct.stream("GET", "/v1/events", params={**query, "after": last}, timeout=None)
                opened.append(aiter((await closing.enter_async_context(streaming)).aiter_lines()))
            for number in range(6):
                account = f"/v1/accounts/acc{parties[number % 2][3:]}/deposits"
                body = {"amount_usd": "5", "reference": f"a{number}"}
                get_id(await stage.post(stage.admin, account, body, key=f"deposit-{number}"))
            end = await stage.reach()
            expected = []
            for client, query in asked:
                page = await client.get("/v1/events", params={**query, "after": last}, headers={"Min-Seq": end})
                expected.append([item["sequence"] for item in page.json()["items"]])
            assert [len(sequences) for sequences in expected] == [3, 3, 3, 3, 12, 6, 3, 1, 2, 1, 1]
            for lines, sequences in zip(opened, expected * 2, strict=True):
                heard: list[int] = []
                while len(heard) < len(sequences):
                    if (line := await anext(lines)).startswith("data: "):
                        heard.append(json.loads(line[6:])["sequence"])
                assert heard == sequences


async def test_a_stream_that_waits_for_a_server_names_its_address_to_operators_only(database_url: str, monkeypatch):
    async def fail(*_, **__):
        raise Unavailable("PostgreSQL", "10.0.0.7 refuses connections")

    async with open_stage(MemoryLog(), database_url) as stage, serve(stage.application) as address:
        tenant = await stage.open_tenant(await stage.register("One", "startup"))
        monkeypatch.setattr("marketplace.api.feed.stream._load_next", fail)
        for client, inside in ((tenant, False), (stage.admin, True)):
            headers = {"Authorization": client.headers["authorization"], "Accept": "text/event-stream"}
            async with (
                httpx.AsyncClient(base_url=address, headers=headers, timeout=PATIENCE_SECONDS) as direct,
                direct.stream("GET", "/v1/events") as answer,
            ):
                lines = answer.aiter_lines()
                while not (comment := await anext(lines)).startswith(":"):
                    pass
            assert "PostgreSQL" in comment
            assert ("10.0.0.7" in comment) is inside


async def test_streams_of_the_platform_need_no_database_and_are_counted():
    async with open_stage(MemoryLog(), streams_max=1) as stage, serve(stage.application) as address:
        await stage.post(stage.admin, "/v1/parties", PARTY)
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        async with httpx.AsyncClient(base_url=address, headers=headers, timeout=PATIENCE_SECONDS) as client:
            open_one = client.stream("GET", "/v1/events?after=1", headers={"Accept": "text/event-stream"})
            async with open_one as answer:
                lines = answer.aiter_lines()
                while not (await anext(lines)).startswith("id: 2"):
                    pass
                assert "marketplace_event_streams 1.0" in (await stage.admin.get("/metrics")).text
                refused = await client.get("/v1/events", headers={"Accept": "text/event-stream"})
                assert_problem(refused, 503, "unavailable")
            for _ in range(200):
                await asyncio.sleep(0.05)
                if "marketplace_event_streams 0.0" in (await stage.admin.get("/metrics")).text:
                    break
            assert "marketplace_event_streams 0.0" in (await stage.admin.get("/metrics")).text
            for text in ("x", "9" * 19):
                wrong = await client.get("/v1/events", headers={"Accept": "text/event-stream", "Last-Event-ID": text})
                assert_problem(wrong, 400, "header_invalid")


async def test_a_server_stops_under_an_open_stream():
    async with open_stage(MemoryLog()) as stage:
        headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Accept": "text/event-stream"}
        async with httpx.AsyncClient(headers=headers, timeout=PATIENCE_SECONDS) as client:
            async with serve(stage.application) as address, asyncio.timeout(PATIENCE_SECONDS):
                open_one = client.stream("GET", f"{address}/v1/events")
                answer = await open_one.__aenter__()
                lines = answer.aiter_lines()
                assert await anext(lines) == "retry: 1000"
            rest = [line async for line in lines]
            assert set(rest) <= {""}
            await open_one.__aexit__(None, None, None)


class Parted(httpx.AsyncBaseTransport):
    """Ends the first streams: after an event, at once, silent, or unreachable; then passes requests on."""

    def __init__(self, faults):
        self.faults, self.asked = list(faults), []
        self._network = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request):
        self.asked.append(int(request.headers["Last-Event-ID"]))
        if not self.faults:
            return await self._network.handle_async_request(request)
        fault = self.faults.pop(0)
        if isinstance(fault, Exception):
            raise fault
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=fault)

    async def aclose(self):
        await self._network.aclose()


async def test_the_typed_client_opens_a_stream_again_after_the_last_event(monkeypatch):
    """A subscriber ended with success as its server was restarted, and saw nothing that came after."""
    monkeypatch.setattr(transport, "RETRY_SECONDS", 0.01)
    async with open_stage(MemoryLog()) as stage, serve(stage.application) as address:
        get_id(await stage.post(stage.admin, "/v1/parties", PARTY))
        (first,) = (await stage.admin.get("/v1/events", params={"limit": 1})).json()["items"]
        message = f"retry: 1000\n\nid: 1\ndata: {json.dumps(first)}\n\n".encode()
        parted = Parted([message, b"", httpx.ReadTimeout("silent"), httpx.ConnectError("down")])
        async with (
            asyncio.timeout(PATIENCE_SECONDS),
            MarketplaceClient(address, ADMIN_KEY, parted) as client,
            aclosing(client.events.follow()) as events,
        ):
            assert [(await anext(events)).sequence for _ in range(2)] == [1, 2]
    assert parted.asked == [0, 1, 1, 1, 1]
    parted = Parted([httpx.ConnectError("down")] * 9)
    async with MarketplaceClient("http://test", ADMIN_KEY, parted) as client:
        with pytest.raises(httpx.ConnectError):
            await anext(aiter(client.events.follow()))
    assert len(parted.asked) == transport.ATTEMPTS_MAX


async def test_the_typed_client_follows_events_as_they_happen():
    async with open_stage(MemoryLog()) as stage, serve(stage.application) as address:
        get_id(await stage.post(stage.admin, "/v1/parties", PARTY))
        async with MarketplaceClient(address, ADMIN_KEY) as client, asyncio.timeout(PATIENCE_SECONDS):
            async with aclosing(client.events.follow()) as events:
                assert (await anext(events)).sequence == 1
            async with aclosing(client.events.follow(after=1)) as events:
                item = await anext(events)
                assert (item.sequence, item.event, item.depth) == (
                    2,
                    (await client.events.read()).items[1].event,
                    "full",
                )
                party = item.event.parse()
                assert isinstance(party, PartyRegistered)
                assert (party.name, party.jurisdiction) == (PARTY["name"], PARTY["jurisdiction"])
                with pytest.raises(UnknownEventType):
                    msgspec.structs.replace(item.event, type="marketplace.party.danced.v1").parse()
                later = asyncio.create_task(anext(events))
                await stage.post(stage.admin, "/v1/parties", PARTY | {"name": "Another"}, key="another")
                assert (await later).sequence == 3
        async with MarketplaceClient(address, f"{ADMIN_KEY}x") as stranger:
            with pytest.raises(ProblemError) as caught:
                await anext(aiter(stranger.events.follow()))
            assert caught.value.code == "credentials_invalid"

"""What is checked before anything is trusted: server, stream, sequences, durability."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from marketplace.core.errors import Corrupt, Refusal, Unavailable, UnreadableEvent
from marketplace.embedded.nats import NatsServers, find_nats_server
from marketplace.embedded.process import Child, find_free_port
from marketplace.log.annotations import AnnotatedLog
from marketplace.log.connection import Connection, call_api
from marketplace.log.events import parse_event
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.port import Head
from marketplace.log.stream import NOT_YET, check_durability
from tests.log.build import make_write, make_writes, new_subject
from tests.log.proxy import open_proxy, through
from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import delete_streams, open_log

GOOD = {
    "name": "MARKETPLACE",
    "subjects": ["marketplace.>"],
    "storage": "file",
    "retention": "limits",
    "discard": "new",
    "deny_delete": True,
    "deny_purge": True,
    "allow_direct": True,
    "allow_atomic": True,
    "max_msgs": -1,
    "max_bytes": -1,
    "max_msgs_per_subject": -1,
    "num_replicas": 1,
}


@pytest_asyncio.fixture
async def admin(nats_server: NatsServers) -> AsyncIterator[Connection]:
    await delete_streams(nats_server)
    connection = await Connection.open(nats_server.admin_url, "tests-admin")
    yield connection
    await connection.close()
    await delete_streams(nats_server)


async def call(admin: Connection, action: str, body: dict[str, object]) -> None:
    """Change the stream. A cluster that has just begun answers ``NOT_YET`` until its servers know each other."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            answer = await call_api(admin, f"$JS.API.STREAM.{action}.MARKETPLACE", body, seconds_max=5)
            if answer.get("error", {}).get("err_code") not in NOT_YET:
                break
            await asyncio.sleep(0.1)
    assert "error" not in answer, answer


async def test_a_stream_of_someone_else_that_is_right_is_taken(admin: Connection, nats_server: NatsServers) -> None:
    await call(admin, "CREATE", GOOD)
    log = await JetStreamLog.open(nats_server.url)
    assert await log.append(make_writes(1)) == 1
    await log.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"discard": "old"}, "discard is 'old', must be 'new'"),
        ({"deny_delete": False}, "deny_delete is False, must be True"),
        ({"deny_purge": False}, "deny_purge is False, must be True"),
        ({"allow_direct": False}, "allow_direct is False, must be True"),
        ({"allow_atomic": False}, "allow_atomic is False, must be True"),
        ({"storage": "memory"}, "storage is 'memory', must be 'file'"),
        ({"retention": "interest"}, "retention is 'interest', must be 'limits'"),
        ({"max_msgs": 5}, "max_msgs is 5, must be -1"),
        ({"max_bytes": 5_000}, "max_bytes is 5000, must be -1"),
        ({"max_age": 10**12}, "max_age is 1000000000000, must be 0"),
        ({"max_msgs_per_subject": 1}, "max_msgs_per_subject is 1, must be -1"),
        ({"subjects": ["marketplace.order.*"]}, "subjects is ['marketplace.order.*'], must be ['marketplace.>']"),
        ({"republish": {"src": ">", "dest": "copy.>"}}, "republish is"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_a_stream_that_is_not_set_up_as_a_log_is_refused(
    admin: Connection, nats_server: NatsServers, change: dict[str, object], said: str
) -> None:
    await call(admin, "CREATE", GOOD | change)
    with pytest.raises(Corrupt, match=re.escape(said)):
        await JetStreamLog.open(nats_server.url)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"discard": "old", "max_msgs": 1},
            "has lost events|discard is 'old', must be 'new'; max_msgs is 1, must be -1",
        ),
        ({"subjects": ["marketplace.>", "other"]}, "subjects is .*'other'.*must be"),
        ({"max_age": 10**12}, "max_age is 1000000000000, must be 0"),
    ],
    ids=["discard", "subjects", "age"],
)
async def test_a_stream_whose_settings_are_changed_by_hand_is_named_while_it_runs(
    admin: Connection, nats_server: NatsServers, change: dict[str, object], said: str
) -> None:
    async with open_log(nats_server) as log:
        await log.append(make_writes(2))
        assert (await log.health()).append_failure == ""
        await call(admin, "UPDATE", GOOD | change)
        assert re.search(said, (await log.health()).append_failure)
        await call(admin, "UPDATE", GOOD)
        assert (await log.health()).append_failure == ""


async def test_two_markets_on_one_server_are_kept_apart_by_accounts_or_refused(
    admin: Connection, nats_server: NatsServers
) -> None:
    async with open_log(nats_server) as log:
        await log.append(make_writes(1))
        with pytest.raises(Corrupt, match="stream SECOND cannot be created: subjects overlap with an existing stream"):
            await JetStreamLog.open(nats_server.url, stream="SECOND", admin_url=nats_server.admin_url)
        assert (await log.health()).messages == 1


async def test_an_event_of_eight_megabytes_is_refused_and_one_below_is_read(nats_server: NatsServers) -> None:
    async with open_log(nats_server) as log:
        with pytest.raises(Refusal, match="8388608 bytes") as refused:
            await log.append([make_write(Head(new_subject()), b"x" * 8 * 1024 * 1024)])
        assert refused.value.code == "event_too_large"
        subject = new_subject()
        await log.append([make_write(Head(subject), b"x" * (8 * 1024 * 1024 - 8_192))])
        for events in (await log.load(subject), [event async for page in log.read() for event in page]):
            assert [event.damage for event in events] == [None]


async def test_a_stream_with_fewer_replicas_than_wanted_is_refused(admin: Connection, nats_server: NatsServers) -> None:
    await call(admin, "CREATE", GOOD)
    with pytest.raises(Corrupt, match="num_replicas is 1, must be 3 or more"):
        await JetStreamLog.open(nats_server.url, replicas=3)


@pytest.mark.parametrize("sequence", [1, 2, 3])
async def test_a_missing_event_ends_all_writing(admin: Connection, nats_server: NatsServers, sequence: int) -> None:
    await call(admin, "CREATE", GOOD | {"deny_delete": False})
    for subject in ("marketplace.order.a", "marketplace.order.b", "marketplace.order.c"):
        await admin.request(subject, b"{}", seconds_max=5)
    await call(admin, "MSG.DELETE", {"seq": sequence})
    await call(admin, "UPDATE", GOOD)
    stream = await JetStreamLog.open(nats_server.url)
    log = await AnnotatedLog.open(stream)
    with pytest.raises(
        Unavailable, match=rf"nothing was stored: position {sequence} of the log .*accept-gap {sequence}"
    ):
        await log.append(make_writes(1))
    await log.close()


async def test_a_stream_that_lacks_more_than_single_events_stops_the_start(
    admin: Connection, nats_server: NatsServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketplace.log.stream.EMPTY_MAX", 1)
    await call(admin, "CREATE", GOOD | {"deny_delete": False})
    for subject in ("marketplace.order.a", "marketplace.order.b", "marketplace.order.c"):
        await admin.request(subject, b"{}", seconds_max=5)
    for sequence in (1, 2):
        await call(admin, "MSG.DELETE", {"seq": sequence})
    await call(admin, "UPDATE", GOOD)
    with pytest.raises(Corrupt, match="has lost events: it holds 1 and its last sequence is 3, from 3; restore it"):
        await JetStreamLog.open(nats_server.url)


async def test_the_stream_that_the_log_makes_refuses_deletion_even_by_the_admin(nats_server: NatsServers) -> None:
    async with open_log(nats_server) as log:
        await log.append(make_writes(2))
        admin = await Connection.open(nats_server.admin_url, "tests-admin")
        deleted = await call_api(admin, "$JS.API.STREAM.MSG.DELETE.MARKETPLACE", {"seq": 1}, seconds_max=5)
        purged = await call_api(admin, "$JS.API.STREAM.PURGE.MARKETPLACE", {}, seconds_max=5)
        await admin.close()
        assert "not permitted" in str(deleted["error"])
        assert "not permitted" in str(purged["error"])
        assert (await log.health()).messages == 2


async def test_an_old_server_is_refused_by_its_banner(nats_server: NatsServers) -> None:
    async with open_proxy(nats_server) as proxy:
        proxy.rewrite = lambda data: re.sub(rb'"version":"\d+\.\d+\.\d+"', b'"version":"2.10.9"', data)
        with pytest.raises(Corrupt, match=r"nats-server is 2\.10\.9, the log needs 2\.15\.0 or newer"):
            await JetStreamLog.open(through(proxy, nats_server.url))


async def test_without_an_admin_a_missing_stream_says_what_to_do(nats_server: NatsServers) -> None:
    await delete_streams(nats_server)
    with pytest.raises(Corrupt, match=r"this user may not create it; give the URL of a NATS user that may publish on"):
        await JetStreamLog.open(nats_server.url)


async def test_subjects_that_another_stream_holds_are_said(admin: Connection, nats_server: NatsServers) -> None:
    answer = await call_api(admin, "$JS.API.STREAM.CREATE.OTHER", GOOD | {"name": "OTHER"}, seconds_max=5)
    assert "error" not in answer
    with pytest.raises(Corrupt, match="MARKETPLACE cannot be created: subjects overlap"):
        await JetStreamLog.open(nats_server.url, admin_url=nats_server.admin_url)


async def test_a_message_that_is_no_event_says_so_and_what_follows_it_is_read(
    admin: Connection, nats_server: NatsServers
) -> None:
    async with open_log(nats_server) as log:
        await log.append(make_writes(1))
        await admin.request("marketplace.order.ord_1", b"garbage", seconds_max=5)
        await log.append(make_writes(1))
        events = [event async for page in log.read() for event in page]
        assert [event.damage is None for event in events] == [True, False, True]
        loaded = await log.load("marketplace.order.ord_1")
        assert loaded == [await log.find(2)] == [events[1]]
        with pytest.raises(UnreadableEvent, match=r"event 2 on .* is not a marketplace event"):
            parse_event(events[1])


async def test_the_health_has_no_warning_where_all_is_known_and_well(nats_server: NatsServers) -> None:
    async with open_log(nats_server) as log:
        assert (await log.health()).warnings == ()


async def test_the_health_warns_where_durability_is_not_known(nats_server: NatsServers) -> None:
    async with open_log(nats_server):
        log = await JetStreamLog.open(nats_server.url)
        assert ["sync" in warning for warning in (await log.health()).warnings] == [True]
        await log.close()


@asynccontextmanager
async def run_careless_server(folder: Path) -> AsyncIterator[str]:
    port = find_free_port()
    config = {
        "server_name": "careless",
        "listen": f"127.0.0.1:{port}",
        "jetstream": {"store_dir": str(folder)},
        "accounts": {"SYS": {"users": [{"user": "system", "password": "system"}]}},
        "system_account": "SYS",
    }
    (folder / "server.conf").write_text(json.dumps(config))
    server = Child([str(find_nats_server()), "-c", str(folder / "server.conf")], output=folder / "server.log")
    assert await server.wait_for_port(port, 10)
    yield f"nats://system:system@127.0.0.1:{port}"
    server.kill()


async def test_a_server_that_acknowledges_before_it_syncs_is_named(tmp_path: Path) -> None:
    async with run_careless_server(tmp_path) as system_url:
        warnings = await check_durability(system_url, 1, 5)
    assert [warning.split(";")[0] for warning in warnings] == ["careless acknowledges before it syncs"]


async def test_a_server_that_does_not_say_whether_it_syncs_is_counted(nats_server: NatsServers) -> None:
    assert await check_durability(nats_server.system_url, 2, 0.3) == (
        "only 1 of 2 servers reported whether they sync before they acknowledge",
    )

"""Each NATS user tries whatever it can think of, on the embedded servers and on the configuration that is deployed."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from marketplace.embedded.nats import NatsServers, embedded_nats, find_nats_server
from marketplace.embedded.permissions import EXPORTS, MAY_HEAR, MAY_PUBLISH, STREAMED_EXPORTS
from marketplace.embedded.process import LOOPBACK, Child, find_free_port
from marketplace.log.inboxes import render_inbox_prefix
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.storage import _HEALTH, _STORAGE
from marketplace.log.stream import _PING
from tests.contracts.market import find_own_accounts, render_own_url
from tests.log.build import make_writes
from tests.support.clients import connected
from tests.support.patience import PATIENCE_SECONDS

DEPLOYED = Path(__file__).parents[2] / "deploy" / "nats" / "accounts.conf"
OTHER = "_INBOX_APP.0123456789abcdef.0123456789abcdef"
WRITES = {
    "marketplace.order.ord_1": b"{}",
    "marketplace.account.acc_1": b"{}",
    "marketplace": b"{}",
    "marketplace.a.b.c": b"{}",
    OTHER: b"forged",
    "_INBOX.someone.1": b"forged",
    "_INBOX_ADMIN.someone.1": b"forged",
    "_INBOX_METER.someone.1": b"forged",
    "_INBOX_OPERATOR.someone.1": b"forged",
    "$JS.API.STREAM.DELETE.MARKETPLACE": b"",
    "$JS.API.STREAM.PURGE.MARKETPLACE": b"",
    "$JS.API.STREAM.UPDATE.MARKETPLACE": b'{"name":"MARKETPLACE","subjects":["marketplace.>"],"max_msgs":1}',
    "$JS.API.STREAM.MSG.DELETE.MARKETPLACE": b'{"seq":1}',
    "$JS.API.STREAM.RESTORE.MARKETPLACE": b"{}",
    "$JS.API.STREAM.SNAPSHOT.MARKETPLACE": b'{"deliver_subject":"x"}',
    "$JS.API.STREAM.CREATE.MIRROR": b'{"name":"MIRROR","mirror":{"name":"MARKETPLACE"}}',
    "$JS.API.STREAM.CREATE.INBOXES": b'{"name":"INBOXES","subjects":["_INBOX_APP.>"]}',
    "$JS.API.STREAM.LEADER.STEPDOWN.MARKETPLACE": b"{}",
    "$JS.API.STREAM.PEER.REMOVE.MARKETPLACE": b"{}",
    "$JS.API.CONSUMER.NAMES.MARKETPLACE": b"{}",
    "$JS.API.CONSUMER.LIST.MARKETPLACE": b"{}",
    "$JS.API.CONSUMER.PAUSE.MARKETPLACE.reader": b"{}",
    "$JS.API.CONSUMER.UNPIN.MARKETPLACE.reader": b"{}",
    "$JS.API.CONSUMER.LEADER.STEPDOWN.MARKETPLACE.reader": b"{}",
    "$JS.API.META.LEADER.STEPDOWN": b"{}",
    "$JS.API.ACCOUNT.PURGE.MARKETPLACE": b"",
    "$JS.API.SERVER.REMOVE": b"{}",
    "$JS.EVENT.ADVISORY.STREAM.DELETED.MARKETPLACE": b"{}",
    "$SYS.REQ.SERVER.PING": b"",
    "$SYS.REQ.SERVER.PING.CONNZ": b"",
    "$SYS.REQ.ACCOUNT.PING.CONNZ": b"",
    "$SYS.REQ.ACCOUNT.MARKETPLACE.CONNZ": b"",
    "$SYS.REQ.CLAIMS.UPDATE": b"",
    "$SYS.ACCOUNT.MARKETPLACE.SERVER.CONNS": b"",
    "meters.other": b"{}",
}
"""What nobody but the application may publish, or nobody at all."""

APPEND = ("marketplace.order.ord_1", "marketplace.account.acc_1")
DELETE = {"$JS.API.CONSUMER.DELETE.MARKETPLACE.reader": b""}
ANSWER = {"_R_.someone.1": b"answer"}
READ = {
    "$JS.API.STREAM.INFO.MARKETPLACE": b"",
    "$JS.API.STREAM.MSG.GET.MARKETPLACE": b'{"seq":1}',
    "$JS.API.DIRECT.GET.MARKETPLACE": b'{"seq":1}',
    "$JS.API.CONSUMER.CREATE.MARKETPLACE.mine": b"{}",
    "$JS.API.CONSUMER.MSG.NEXT.MARKETPLACE.reader": b"{}",
    "$JS.ACK.MARKETPLACE.reader.1.1.1.1.1": b"",
}
HEARD = (
    ">",
    "*.>",
    "marketplace.>",
    "marketplace.order.*",
    "_INBOX.>",
    "_INBOX_APP.>",
    "_INBOX_ADMIN.>",
    OTHER,
    "$JS.API.>",
    "$JS.EVENT.>",
    "$JS.ACK.>",
    "$JS.FC.>",
    "$SYS.>",
    "_R_.>",
    "meters.>",
)
ALLOWED = {
    "app": {*APPEND, *DELETE, *ANSWER, *READ},
    "subscriber": set(READ),
    "meter": set[str](),
}


@dataclass(frozen=True)
class Site:
    """Running servers: the URL of each user."""

    urls: dict[str, str]


@asynccontextmanager
async def deployed(folder: Path) -> AsyncIterator[Site]:
    """One server with the accounts that are deployed, and one more account beside them."""
    port = find_free_port()
    names = ("app", "subscriber", "meter", "operator", "watch")
    beside = '\n    users: [{ user: stranger, password: "pstranger" }]\n  }\n'
    accounts = DEPLOYED.read_text().rstrip().removesuffix("}") + f"  STRANGERS: {{\n    jetstream: enabled{beside}}}\n"
    (folder / "accounts.conf").write_text(accounts)
    own = DEPLOYED.with_name("own.conf").read_text()
    (folder / "own.conf").write_text(own + find_own_accounts())
    (folder / "server.conf").write_text(
        f'listen: "{LOOPBACK}:{port}"\nmax_payload: 8MB\njetstream: {{ store_dir: "{folder}/store" }}\n'
        "include accounts.conf\n"
    )
    passwords = {f"NATS_{name.upper()}_PASSWORD": f"p{name}" for name in names}
    command = [str(find_nats_server()), "--config", str(folder / "server.conf")]
    child = Child(command, output=folder / "server.log", environment={**os.environ, **passwords})
    try:
        assert await child.wait_for_port(port, PATIENCE_SECONDS), child.read_output()
        urls = {name: f"nats://{name}:p{name}@{LOOPBACK}:{port}" for name in (*names, "stranger")}
        log = await JetStreamLog.open(urls["app"])
        await log.append(make_writes(1))
        await log.close()
        yield Site(urls | {"meter_rjukan": render_own_url(port, "meter_rjukan")})
    finally:
        child.kill()


@asynccontextmanager
async def embedded(folder: Path) -> AsyncIterator[Site]:
    (folder / "own.conf").write_text(find_own_accounts())
    async with embedded_nats(folder) as servers:
        log = await JetStreamLog.open(servers.url, admin_url=servers.admin_url)
        await log.append(make_writes(1))
        await log.close()
        yield Site(list_urls(servers))


def list_urls(servers: NatsServers) -> dict[str, str]:
    return {
        "app": servers.url,
        "subscriber": servers.subscriber_url,
        "meter": servers.meter_url,
        "operator": servers.admin_url,
        "system": servers.system_url,
        "meter_rjukan": render_own_url(servers.members[0].port, "meter_rjukan"),
    }


@pytest.fixture(params=[embedded, deployed], ids=["embedded", "deployed"])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    async with request.param(tmp_path) as running:
        yield running


async def list_refused(url: str, publishes: dict[str, bytes], subjects: Sequence[str]) -> tuple[set[str], set[str]]:
    """Return the subjects that a user may not publish to, and those that it may not hear."""
    complaints: list[str] = []

    async def note(error: Exception) -> None:
        complaints.append(str(error))

    async with connected(url, error_cb=note) as client:
        for subject, body in publishes.items():
            await client.publish(subject, body)
        for subject in subjects:
            await client.subscribe(subject)
        for _ in range(2):
            await client.flush(PATIENCE_SECONDS)
        await asyncio.sleep(0.2)
    text = "\n".join(complaints).lower()
    published = set(re.findall(r'violation for publish to "(.*?)"', text))
    heard = set(re.findall(r'violation for subscription to "(.*?)"', text))
    return (
        {subject for subject in publishes if subject.lower() in published},
        {subject for subject in subjects if subject.lower() in heard},
    )


@pytest.mark.parametrize("user", ["subscriber", "meter", "app"])
async def test_a_user_may_do_what_it_must_and_nothing_else(site: Site, user: str) -> None:
    everything = WRITES | DELETE | ANSWER | READ
    subjects = [subject for subject in HEARD if not (user == "app" and subject in {"_INBOX_APP.>", OTHER})]
    refused, unheard = await list_refused(site.urls[user], everything, subjects)
    assert set(everything) - refused == ALLOWED[user]
    assert unheard == set(subjects)


async def test_the_application_creates_the_stream_only_where_nobody_else_does(site: Site) -> None:
    create = {"$JS.API.STREAM.CREATE.MARKETPLACE": b'{"name":"MARKETPLACE","subjects":["marketplace.>"],"max_msgs":1}'}
    refused, _ = await list_refused(site.urls["app"], create, [])
    assert bool(refused) is ("system" in site.urls)
    async with connected(site.urls["operator"]) as operator:
        info = await operator.jetstream(timeout=PATIENCE_SECONDS).stream_info("MARKETPLACE")
    assert (info.config.max_msgs, info.state.messages) == (-1, 1)


async def test_meters_with_accounts_of_their_own_hear_only_themselves(site: Site) -> None:
    heard: list[bytes] = []

    async def hear(message: Msg) -> None:
        heard.append(message.data)

    async def answer(message: Msg) -> None:
        await message.respond(message.data)

    prefix = render_inbox_prefix("meter")
    async with (
        connected(site.urls["app"]) as application,
        connected(site.urls["meter"]) as other,
        connected(site.urls["meter_rjukan"], inbox_prefix=prefix) as meter,
    ):
        await application.subscribe("meters.usage", cb=answer)
        await other.subscribe(f"{prefix}.>", cb=hear)
        await meter.subscribe(">", cb=hear)
        for client in (application, other, meter):
            await client.flush()
        assert (await ask(meter, "meters.usage", b"mine")).data == b"mine"
        assert (await ask(other, "meters.usage", b"theirs")).data == b"theirs"
        for client in (other, meter):
            await client.flush()
    assert sorted(heard) == [b"mine", b"mine", b"theirs"], "each its own answer, and the asker also its own question"


async def test_a_user_with_every_right_in_another_account_reaches_nothing_of_this_one(tmp_path: Path) -> None:
    heard: list[str] = []

    async def hear(message: Msg) -> None:
        heard.append(message.subject)

    async with deployed(tmp_path) as site, connected(site.urls["stranger"], error_cb=_ignore) as stranger:
        log = await JetStreamLog.open(site.urls["app"])
        for subject in ("*.*.*", "_INBOX_APP.>", "meters.>"):
            await stranger.subscribe(subject, cb=hear)
        await stranger.flush(PATIENCE_SECONDS)
        inbox = log._stream.connection._inbox  # type: ignore[attr-defined]
        said = {**WRITES, f"{inbox}.1": b"forged", **DELETE, **READ}
        for subject, body in said.items():
            await stranger.publish(subject, body)
        await stranger.flush(PATIENCE_SECONDS)
        assert await log.append(make_writes(1)) == 2
        assert (await log.health()).messages == 2
        assert [event.sequence async for page in log.read() for event in page] == [1, 2]
        await log.close()
    assert set(heard) <= set(said), "it hears what it said itself, and nothing else"


async def _ignore(_: Exception) -> None:
    pass


async def test_a_subscriber_makes_the_server_answer_into_the_applications_inbox_and_nothing_comes_of_it(
    site: Site,
) -> None:
    """The server asks for no permission when it answers; a token that is not waited for is dropped."""
    log = await JetStreamLog.open(site.urls["app"])
    connection = log._stream.connection  # type: ignore[attr-defined]
    async with connected(site.urls["subscriber"], error_cb=_ignore) as client:
        for token in ("1", "2", "0" * 32):
            reply = f"{connection._inbox}.{token}"
            for subject, body in READ.items():
                await client.publish(subject, body, reply=reply)
            config = {"name": f"push{token}", "deliver_subject": reply, "ack_policy": "none", "mem_storage": True}
            request = json.dumps({"stream_name": "MARKETPLACE", "config": config, "action": "create"}).encode()
            await client.publish(f"$JS.API.CONSUMER.CREATE.MARKETPLACE.push{token}", request)
        await client.flush(PATIENCE_SECONDS)
        assert await log.append(make_writes(1)) == 2
        assert [event.sequence async for page in log.read() for event in page] == [1, 2]
    assert connection.dropped == 0
    await log.close()


@pytest.mark.parametrize("deliver", ["marketplace.order.ord_1", "marketplace.account.acc_forged"])
async def test_a_consumer_that_delivers_into_the_log_is_refused(site: Site, deliver: str) -> None:
    config = {"name": "cycle", "deliver_subject": deliver, "ack_policy": "none"}
    async with connected(site.urls["subscriber"]) as client:
        request = json.dumps({"stream_name": "MARKETPLACE", "config": config, "action": "create"}).encode()
        answer = await ask(client, "$JS.API.CONSUMER.CREATE.MARKETPLACE.cycle", request)
    assert b"forms a cycle" in answer.data


async def ask(client: Client, subject: str, body: bytes) -> Msg:
    return await client.request(subject, body, timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize("subject", ["$JS.API.STREAM.DELETE.MARKETPLACE", "$JS.API.STREAM.PURGE.MARKETPLACE"])
async def test_a_consumer_that_delivers_to_the_servers_api_changes_nothing(site: Site, subject: str) -> None:
    config = {"name": "api", "deliver_subject": subject, "ack_policy": "none", "mem_storage": True}
    async with connected(site.urls["subscriber"]) as client:
        request = json.dumps({"stream_name": "MARKETPLACE", "config": config, "action": "create"}).encode()
        await ask(client, "$JS.API.CONSUMER.CREATE.MARKETPLACE.api", request)
        await asyncio.sleep(1)
    log = await JetStreamLog.open(site.urls["app"])
    assert (await log.health()).messages == 1
    await log.close()


async def test_a_subscriber_pulls_pushes_and_gets_with_its_own_inbox(site: Site) -> None:
    async with connected(site.urls["subscriber"]) as client:
        stream = client.jetstream(timeout=PATIENCE_SECONDS)
        pushed = await stream.subscribe("marketplace.>", ordered_consumer=True)
        assert (await pushed.next_msg(timeout=PATIENCE_SECONDS)).metadata.sequence.stream == 1
        pulled = await stream.pull_subscribe("marketplace.>", stream="MARKETPLACE")
        (message,) = await pulled.fetch(1, timeout=PATIENCE_SECONDS)
        await message.ack_sync(timeout=PATIENCE_SECONDS)
        assert (await stream.get_msg("MARKETPLACE", 1, direct=True)).seq == 1


def test_what_is_deployed_allows_what_the_embedded_servers_allow() -> None:
    text = re.sub(r"#.*", "", DEPLOYED.read_text())
    found = {}
    for user, rest in re.findall(r"user: (\w+)\s(.*?)(?=user: |\Z)", text, flags=re.DOTALL):
        lists = re.findall(r"allow: \[(.*?)\]", rest, flags=re.DOTALL)
        found[user] = [tuple(re.findall(r'"(.*?)"', one)) for one in lists]
        assert "deny" not in rest
    create = "$JS.API.STREAM.CREATE.MARKETPLACE"  # the embedded servers have an admin who creates the stream
    for user, may_publish in MAY_PUBLISH.items():
        published, heard = found.pop(user)
        assert set(published) - ({create} if user == "app" else set()) == set(may_publish)
        assert set(heard) == set(MAY_HEAR[user])
        assert f"{render_inbox_prefix(user)}.>" in heard
    watches = [tuple(sorted({_HEALTH, _STORAGE, _PING})), (f"{render_inbox_prefix('watch')}.>",)]
    assert found == {"operator": [], "watch": watches}
    exports = dict(re.findall(r'{ service: "(.*?)", response_type: (\w+) }', text))
    assert exports == {one: "stream" if one in STREAMED_EXPORTS else "singleton" for one in EXPORTS}


async def test_the_user_that_watches_disks_asks_for_nothing_else(tmp_path: Path) -> None:
    asked = {_HEALTH: b"{}", _STORAGE: b"{}"}
    others = ("VARZ", "CONNZ", "SUBSZ", "ROUTEZ", "ACCOUNTZ", "STATSZ", "KICK")
    forbidden = {f"$SYS.REQ.SERVER.PING.{name}": b"{}" for name in others}
    async with deployed(tmp_path) as site:
        everything = WRITES | DELETE | ANSWER | READ | asked | forbidden
        refused, unheard = await list_refused(site.urls["watch"], everything, HEARD)
        assert set(everything) - refused == set(asked)
        assert unheard == set(HEARD)
        log = await JetStreamLog.open(site.urls["app"], system_url=site.urls["watch"])
        assert [server.folder for server in await log._storage.load()] == [f"{tmp_path}/store/jetstream"]  # type: ignore[attr-defined]
        await log.close()

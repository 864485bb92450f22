"""What the README for subscribers says is run: its hash recipe on the story, its permissions on a real server."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import BadRequestError, NotFoundError, ServiceUnavailableError

from events.envelope import Envelope, parse_headers, render_headers
from events.registry import EVENT_TYPES
from events.rendering.reference import BEGIN, END, replace_table
from events.subjects import LOG_SUBJECT, STREAM
from marketplace.embedded.folder import temporary_folder
from marketplace.embedded.nats import NatsServers
from marketplace.embedded.process import LOOPBACK
from marketplace.log.codec import hash_message
from scripts.contract_files import FOLDER
from tests.contracts.market import (
    drop_fields,
    find_own_accounts,
    open_market,
    render_expected,
    render_own_url,
    run_subscriber,
    start_subscriber,
)
from tests.contracts.recipe import chain_hash
from tests.contracts.story.book import tell_story
from tests.support.clients import connected
from tests.support.patience import PATIENCE_SECONDS

README = (FOLDER / "README.md").read_text(encoding="utf-8")
STORY = tell_story()
GRANTS = [line for line in render_expected(STORY) if "\tmarketplace.grant." in line]


def find_block(language: str) -> str:
    (block,) = re.findall(rf"```{language}\n(.+?)```", README, re.DOTALL)
    return str(block)


def test_the_recipe_gives_the_hash_of_every_event_of_the_story() -> None:
    names: dict[str, Any] = {}
    exec(find_block("python"), names)  # noqa: S102 - it is our own README that must hold what it says
    for told in STORY:
        link = told.headers["ce-hash"]
        assert names["chain_hash"](told.subject, told.headers, told.body) == link
        assert hash_message(told.subject, told.headers, told.body) == link


def test_headers_that_nats_adds_do_not_count_and_every_other_header_does() -> None:
    told = STORY[1]
    with_more = {**told.headers, "Nats-Msg-Id": "marketplace.any", "Nats-Expected-Stream": STREAM}
    assert chain_hash(told.subject, with_more, told.body) == told.headers["ce-hash"]
    for name in set(told.headers) - {"ce-hash"}:
        changed = {**told.headers, name: told.headers[name] + "x"}
        assert chain_hash(told.subject, changed, told.body) != told.headers["ce-hash"], name


def test_every_header_is_explained() -> None:
    fields = {name: "x" for name in Envelope.__struct_fields__ if name != "time"}
    headers = render_headers(Envelope(time=parse_headers(STORY[0].headers).time, **fields))
    explained = re.findall(r"`([a-z-]+)`", README.partition("## Headers")[2].partition("\n## ")[0])
    assert set(headers) <= set(explained)


def test_the_table_names_every_event_type_once() -> None:
    table = README.partition(BEGIN)[2].partition(END)[0]
    assert sorted(re.findall(r"^\| `([a-z_.0-9]+)` \|", table, re.MULTILINE)) == sorted(EVENT_TYPES)


def test_a_readme_without_a_place_for_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="the README has no place for the table"):
        replace_table("# The contract\n")


@pytest.mark.parametrize("path", [FOLDER / "README.md", FOLDER.parent / "docs" / "how-to-subscribe.md"])
def test_every_link_leads_to_a_file(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if not link.startswith("http")]
    assert links
    assert not [link for link in links if not (path.parent / link).exists()]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers() -> AsyncIterator[NatsServers]:
    """A market of the story whose operator wrote the accounts of the documents into its own file."""
    with temporary_folder("marketplace-own-") as folder:
        (folder / "own.conf").write_text(find_own_accounts(), encoding="utf-8")
        async with open_market(folder, STORY) as running:
            yield running


@pytest.fixture
def port(servers: NatsServers) -> int:
    return servers.members[0].port


@pytest.mark.asyncio(loop_scope="module")
async def test_the_accounts_of_the_readme_suffice_to_follow_and_verify(port: int, tmp_path: Path) -> None:
    for user, chosen, expected in (
        ("reads_all", (), render_expected(STORY)),
        ("reads_grants", ("--aggregate=grant",), GRANTS),
    ):
        arguments = ("--verify-chain", "--consumer", user, *chosen)
        position = tmp_path / f"{user}.sqlite"
        code, lines, said = await run_subscriber(render_own_url(port, user), position, *arguments)
        assert (code, said) == (0, "")
        assert [line.rpartition("\t")[0] for line in lines] == expected
        assert await run_subscriber(render_own_url(port, user), position, *arguments) == (0, [], "")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_filter_that_is_not_allowed_is_told_by_the_subscriber(port: int, tmp_path: Path) -> None:
    url = render_own_url(port, "reads_grants")
    process = await start_subscriber(url, tmp_path / "position.sqlite", "--consumer", "reads_grants")
    assert process.stderr is not None
    said = (await asyncio.wait_for(process.stderr.readline(), PATIENCE_SECONDS)).decode()
    process.kill()
    await process.communicate()
    assert "no answer, trying again" in said


def name_request(kind: str, consumer: str = "reads_grants", filtered: str = "") -> str:
    return ".".join(filter(None, ("$JS.MARKETPLACE.API.CONSUMER", kind, STREAM, consumer, filtered)))


@pytest.mark.asyncio(loop_scope="module")
async def test_a_system_with_an_account_of_its_own_reaches_nothing_else(port: int, servers: NatsServers) -> None:
    """It finds, pulls, re-creates and deletes no other consumer, makes no second one, and hears nobody."""
    heard: list[str] = []

    async def hear(message: Msg) -> None:
        heard.append(message.subject)

    theirs = ConsumerConfig(name="theirs", durable_name="theirs", ack_policy=AckPolicy.NONE)
    async with (
        connected(servers.admin_url) as admin,
        connected(render_own_url(port, "reads_grants")) as client,
        connected(render_own_url(port, "meter_rjukan")) as meter,
    ):
        with suppress(NotFoundError):
            await admin.jsm().delete_consumer(STREAM, "reads_grants")  # of another test
        before = await admin.jsm().add_consumer(STREAM, theirs)
        await meter.subscribe("inbox.meter", cb=hear)
        await meter.flush()
        subjects = [
            "marketplace.grant.grt_01ke6p4ym0exe9fxr9tv3kk9jm",
            "meters.usage",
            *(name_request(kind, "theirs") for kind in ("INFO", "DELETE", "MSG.NEXT")),
            *(name_request("CREATE", name, "marketplace.grant.*") for name in ("theirs", "second")),
            *(
                name_request("CREATE", filtered=one)
                for one in ("", "marketplace.order.*", "marketplace.>", LOG_SUBJECT)
            ),
            *(
                name_request("CREATE", "reads_grants_log", one)
                for one in ("", "marketplace.grant.*", "marketplace.log.*")
            ),
            f"$JS.MARKETPLACE.API.CONSUMER.NAMES.{STREAM}",
            f"$JS.MARKETPLACE.API.CONSUMER.DURABLE.CREATE.{STREAM}.reads_grants",
            *(f"$JS.MARKETPLACE.API.STREAM.{kind}.{STREAM}" for kind in ("DELETE", "PURGE", "INFO", "MSG.GET")),
            f"$JS.MARKETPLACE.API.DIRECT.GET.{STREAM}",
        ]
        for subject in subjects:
            with pytest.raises(NoRespondersError):
                await client.request(subject, b"{}", timeout=PATIENCE_SECONDS)
        with pytest.raises(ServiceUnavailableError, match="not enabled for account"):
            await client.jsm().consumer_info(STREAM, "theirs")
        for reply in ("inbox.meter", "_INBOX_METER.guess", "_INBOX_APP.guess"):
            await client.publish(name_request("INFO"), reply=reply)
            await client.publish(name_request("MSG.NEXT"), reply=reply)
        config = {"name": "reads_grants", "filter_subject": "marketplace.grant.*", "ack_policy": "none"}
        pushed = {"stream_name": STREAM, "config": {**config, "deliver_subject": "inbox.meter"}}
        create = name_request("CREATE", filtered="marketplace.grant.*")
        made = await client.request(create, json.dumps(pushed).encode(), timeout=PATIENCE_SECONDS)
        assert json.loads(made.data)["config"]["deliver_subject"] == "inbox.meter"
        for one in (client, admin, meter):
            await one.flush()
        after = await admin.jsm().consumer_info(STREAM, "theirs")
        assert (after.config, after.delivered, after.num_pending) == (before.config, before.delivered, len(STORY))
        names = {info.name for info in await admin.jsm().consumers_info(STREAM)}
        assert names - {"reads_all", "reads_all_log", "reads_grants_log"} == {"theirs", "reads_grants"}
        await client.jetstream(domain="MARKETPLACE").delete_consumer(STREAM, "reads_grants")
        await admin.jsm().delete_consumer(STREAM, "theirs")
        assert (await admin.jsm().stream_info(STREAM)).state.messages == len(STORY)
        assert heard == []


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "filters",
    [
        {"filter_subject": "marketplace.order.*"},
        {"filter_subjects": ["marketplace.order.*"]},
        {"filter_subject": "marketplace.grant.*", "filter_subjects": ["marketplace.order.*"]},
        {},
    ],
)
async def test_the_filter_of_a_consumer_must_be_the_one_that_is_allowed(port: int, filters: dict[str, object]) -> None:
    config = {"name": "reads_grants", "ack_policy": "none", "inactive_threshold": 1_000_000_000, **filters}
    request = json.dumps({"stream_name": STREAM, "config": config}).encode()
    create = name_request("CREATE", filtered="marketplace.grant.*")
    async with connected(render_own_url(port, "reads_grants")) as client:
        answer = await client.request(create, request, timeout=PATIENCE_SECONDS)
    assert "error" in json.loads(answer.data)


@pytest.mark.asyncio(loop_scope="module")
async def test_an_account_has_limits_of_connections_and_subscriptions(port: int) -> None:
    url = render_own_url(port, "reads_grants")
    closed = asyncio.Event()

    async def note() -> None:
        closed.set()

    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(connected(url, allow_reconnect=False, error_cb=_ignore, closed_cb=note))
            for _ in range(4)
        ]
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        await reader.readline()
        writer.write(b'CONNECT {"user":"reads_grants","pass":"grants","verbose":false}\r\nPING\r\n')
        assert b"maximum account active connections exceeded" in await reader.readline()
        writer.close()
        await writer.wait_closed()
        for number in range(33):
            await clients[0].subscribe(f"more.{number}")
        await asyncio.wait_for(closed.wait(), PATIENCE_SECONDS)
        assert [client.is_connected for client in clients] == [False, True, True, True]
        await clients[1].flush(PATIENCE_SECONDS)


async def _ignore(_: Exception) -> None:
    pass


@pytest.mark.asyncio(loop_scope="module")
async def test_a_subscriber_cannot_let_the_server_write_into_the_stream(port: int) -> None:
    pushed = ConsumerConfig(name="reads_all", filter_subject="marketplace.>", deliver_subject="marketplace.order.ord_1")
    async with connected(render_own_url(port, "reads_all")) as client:
        with pytest.raises(BadRequestError, match="cycle"):
            await client.jetstream(timeout=PATIENCE_SECONDS, domain="MARKETPLACE").add_consumer(STREAM, pushed)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_subscriber_gets_every_event_although_another_account_takes_some_from_its_consumer(
    port: int, servers: NatsServers, tmp_path: Path
) -> None:
    """The server delivers a push consumer to any subject in the log's account, also to one on which others pull."""
    theirs = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.reads_all"
    config = {"name": "reads_grants", "filter_subject": "marketplace.grant.*", "ack_policy": "explicit"}
    pushed = {"stream_name": STREAM, "config": {**config, "deliver_subject": theirs, "headers_only": True}}
    create = name_request("CREATE", filtered="marketplace.grant.*")
    async with connected(servers.admin_url) as admin, connected(render_own_url(port, "reads_grants")) as client:

        async def take() -> None:
            await client.request(create, json.dumps(pushed).encode(), timeout=PATIENCE_SECONDS)
            with suppress(NotFoundError):
                await client.jetstream(domain="MARKETPLACE").delete_consumer(STREAM, "reads_grants")

        over = asyncio.Event()

        async def take_often() -> None:
            while not over.is_set():  # nats-py may swallow a cancellation
                await take()

        with suppress(NotFoundError):
            await admin.jsm().delete_consumer(STREAM, "reads_all")
        victim = ConsumerConfig(name="reads_all", durable_name="reads_all", ack_policy=AckPolicy.NONE)
        await admin.jsm().add_consumer(STREAM, victim)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (await admin.jsm().consumer_info(STREAM, "reads_all")).delivered.consumer_seq:
                await take()
        taking = asyncio.create_task(take_often())
        url, position = render_own_url(port, "reads_all"), tmp_path / "position.sqlite"
        code, lines, _ = await run_subscriber(url, position, "--verify-chain", "--consumer", "reads_all")
        over.set()
        await taking
    assert (code, drop_fields(lines)) == (0, render_expected(STORY))

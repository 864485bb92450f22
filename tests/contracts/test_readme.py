"""What the README for subscribers says is run: its hash recipe on the story, its permissions on a real server."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from nats.js.api import ConsumerConfig
from nats.js.errors import BadRequestError

from events.envelope import Envelope, parse_headers, render_headers
from events.registry import EVENT_TYPES
from events.rendering.reference import BEGIN, END, replace_table
from events.subjects import STREAM
from marketplace.embedded.nats import find_nats_server
from marketplace.embedded.process import LOOPBACK, find_free_port
from marketplace.log.codec import compute_hash
from scripts.contract_files import FOLDER
from tests.contracts.market import lay_stream, publish, render_expected, run_subscriber, start_subscriber
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
        assert compute_hash(told.subject, parse_headers(told.headers), told.body) == link


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


@pytest_asyncio.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    """A server with the README's users and an admin, and the story in its stream."""
    found = find_free_port()
    config = tmp_path / "nats.conf"
    users = find_block("hcl").replace("users: [", "users: [\n{ user: admin, password: admin }", 1)
    store = f'jetstream: {{ store_dir: "{tmp_path / "store"}" }}'
    config.write_text(f"listen: {LOOPBACK}:{found}\n{store}\n{users}", encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        find_nats_server(),
        *("--config", str(config), "--log", str(tmp_path / "server.log")),
        env={**os.environ, "READS_ALL_PASSWORD": "all", "READS_GRANTS_PASSWORD": "grants"},
    )
    try:
        await wait_for_port(found)
        await lay_stream(f"nats://admin:admin@{LOOPBACK}:{found}")
        await publish(f"nats://admin:admin@{LOOPBACK}:{found}", STORY)
        yield found
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)


async def wait_for_port(port: int) -> None:
    for _ in range(3_000):
        with suppress(OSError):
            _, writer = await asyncio.open_connection(LOOPBACK, port)
            writer.close()
            await writer.wait_closed()
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"nats-server does not listen on port {port}")


async def test_the_permissions_of_the_readme_suffice_to_follow_and_verify(port: int, tmp_path: Path) -> None:
    for user, chosen, expected in (
        ("reads_all:all", (), render_expected(STORY)),
        ("reads_grants:grants", ("--aggregate=grant",), GRANTS),
    ):
        position = tmp_path / f"{user.partition(':')[0]}.sqlite"
        code, lines, said = await run_subscriber(
            f"nats://{user}@{LOOPBACK}:{port}", position, "--verify-chain", *chosen
        )
        assert (code, said) == (0, "")
        assert [line.rpartition("\t")[0] for line in lines] == expected


async def test_a_refused_permission_is_told_by_the_subscriber(port: int, tmp_path: Path) -> None:
    process = await start_subscriber(f"nats://reads_grants:grants@{LOOPBACK}:{port}", tmp_path / "position.sqlite")
    assert process.stderr is not None
    said = (await asyncio.wait_for(process.stderr.readline(), PATIENCE_SECONDS)).decode()
    process.kill()
    await process.communicate()
    assert 'permissions violation for publish to "$js.api.consumer.create.marketplace.subscriber' in said.lower()


@pytest.mark.parametrize(
    "subject",
    [
        "marketplace.grant.grt_01ke6p4ym0exe9fxr9tv3kk9jm",
        f"$JS.API.CONSUMER.CREATE.{STREAM}.mine",
        f"$JS.API.CONSUMER.CREATE.{STREAM}.mine.marketplace.order.>",
        f"$JS.API.CONSUMER.CREATE.{STREAM}.mine.marketplace.>",
        f"$JS.API.CONSUMER.DELETE.{STREAM}.theirs",
        f"$JS.API.STREAM.DELETE.{STREAM}",
        f"$JS.API.STREAM.PURGE.{STREAM}",
        f"$JS.API.STREAM.UPDATE.{STREAM}",
        f"$JS.API.STREAM.MSG.GET.{STREAM}",
        f"$JS.API.DIRECT.GET.{STREAM}",
    ],
)
async def test_a_user_for_grants_may_publish_on_nothing_else(port: int, subject: str) -> None:
    refusals: asyncio.Queue[Exception] = asyncio.Queue()
    url = f"nats://reads_grants:grants@{LOOPBACK}:{port}"
    async with connected(url, error_cb=refusals.put) as client:
        await client.publish(subject, b"{}")
        refused = await asyncio.wait_for(refusals.get(), PATIENCE_SECONDS)
    assert f'permissions violation for publish to "{subject}"'.lower() in str(refused).lower()


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
    config = {"name": "mine", "ack_policy": "none", "inactive_threshold": 1_000_000_000, **filters}
    request = json.dumps({"stream_name": STREAM, "config": config}).encode()
    create = f"$JS.API.CONSUMER.CREATE.{STREAM}.mine.marketplace.grant.*"
    async with connected(f"nats://reads_grants:grants@{LOOPBACK}:{port}") as client:
        answer = await client.request(create, request, timeout=PATIENCE_SECONDS)
    assert "error" in json.loads(answer.data)


async def test_a_subscriber_cannot_let_the_server_write_into_the_stream(port: int) -> None:
    pushed = ConsumerConfig(name="mine", deliver_subject="marketplace.order.ord_forged")
    async with connected(f"nats://reads_all:all@{LOOPBACK}:{port}") as client:
        with pytest.raises(BadRequestError, match="cycle"):
            await client.jetstream(timeout=PATIENCE_SECONDS).add_consumer(STREAM, pushed)

"""The Python example as a process against a real server: order, resume, at least once, filters, tampering."""

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from events.envelope import parse_headers
from marketplace.embedded.nats import NatsServers, embedded_nats
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.port import Head, Message, Write
from tests.contracts.damaged import check_damaged, open_damaged
from tests.contracts.market import (
    drop_fields,
    open_market,
    publish,
    render_expected,
    run_subscriber,
    start_subscriber,
)
from tests.contracts.story.book import tell_story
from tests.support.patience import PATIENCE_SECONDS

STORY = tell_story()


@pytest_asyncio.fixture
async def market(tmp_path: Path) -> AsyncIterator[NatsServers]:
    async with open_market(tmp_path / "nats", STORY) as servers:
        yield servers


@pytest.fixture
def position(tmp_path: Path) -> Path:
    return tmp_path / "position.sqlite"


async def test_it_prints_every_event_once_in_stream_order_and_verifies_the_chain(
    market: NatsServers, position: Path
) -> None:
    code, lines, said = await run_subscriber(market.subscriber_url, position, "--verify-chain")
    assert (code, said) == (0, "")
    assert drop_fields(lines) == render_expected(STORY)


async def test_it_goes_on_after_the_last_event_that_it_handled(market: NatsServers, position: Path) -> None:
    await run_subscriber(market.subscriber_url, position, "--verify-chain")
    assert await run_subscriber(market.subscriber_url, position, "--verify-chain") == (0, [], "")
    more = [replace(one, subject=f"{one.subject}0") for one in STORY[:1]]
    await publish(market.admin_url, more)
    code, lines, _ = await run_subscriber(market.subscriber_url, position)
    assert code == 0
    assert [line.split("\t")[0] for line in lines] == [str(len(STORY) + 1)]


async def test_a_position_of_another_log_or_of_a_log_that_went_back_is_refused(
    market: NatsServers, position: Path, tmp_path: Path
) -> None:
    await run_subscriber(market.subscriber_url, position)
    async with open_market(tmp_path / "earlier", STORY[:-1]) as servers:
        for _ in ("nothing is there", "another event is there"):
            code, lines, said = await run_subscriber(servers.subscriber_url, position)
            assert (code, lines) == (3, [])
            assert f"event {len(STORY)}, the last that was handled, is not in this log" in said
            await publish(servers.admin_url, [replace(STORY[0], subject=f"{STORY[0].subject}0")])
    assert await run_subscriber(market.subscriber_url, position) == (0, [], "")


async def test_it_filters_by_aggregate(market: NatsServers, position: Path) -> None:
    for number, wanted in enumerate((["grant"], ["grant", "statement", "clock"])):
        chosen = [f"--aggregate={aggregate}" for aggregate in wanted]
        code, lines, _ = await run_subscriber(
            market.subscriber_url, position.with_name(f"{number}.sqlite"), "--verify-chain", *chosen
        )
        assert code == 0
        expected = [line for line in render_expected(STORY) if line.split("\t")[1].split(".")[1] in wanted]
        assert drop_fields(lines) == expected


async def test_killed_at_any_point_it_repeats_but_never_skips(market: NatsServers, position: Path) -> None:
    printed: list[str] = []
    for lines_before_the_kill in (1, 40, 120):
        process = await start_subscriber(market.subscriber_url, position)
        assert process.stdout is not None
        for _ in range(lines_before_the_kill):
            if len(set(printed)) < len(STORY):
                printed.append(
                    (await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)).decode().rstrip("\n")
                )
        process.kill()
        printed += (await process.stdout.read()).decode().splitlines()
        await process.wait()
    _, lines, _ = await run_subscriber(market.subscriber_url, position)
    assert drop_fields(dict.fromkeys([*printed, *lines])) == render_expected(STORY)
    with closing(sqlite3.connect(position)) as file:
        assert file.execute("SELECT sequence FROM position").fetchone() == (len(STORY),)


async def test_it_survives_a_restart_of_the_server(market: NatsServers, position: Path) -> None:
    process = await start_subscriber(market.subscriber_url, position)
    assert process.stdout is not None
    for _ in STORY:
        await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)
    market.kill(0)
    await market.start(0)
    more = [replace(one, subject=f"{one.subject}0") for one in STORY[:3]]
    await publish(market.admin_url, more)
    lines = [(await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)).decode().rstrip("\n") for _ in more]
    process.send_signal(signal.SIGINT)
    _, said = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert process.returncode == 0, said.decode()
    assert [line.split("\t")[0] for line in lines] == [str(len(STORY) + place) for place in (1, 2, 3)]


@pytest.mark.parametrize(
    ("place", "change"),
    [
        ("body", {"body": STORY[-1].body.removesuffix(b"}") + b" }"}),
        ("attribute", {"headers": {**STORY[-1].headers, "ce-actor": "somebody else"}}),
        ("subject", {"subject": f"{STORY[-1].subject}0"}),
    ],
)
async def test_a_changed_event_is_found(tmp_path: Path, position: Path, place: str, change: dict[str, object]) -> None:
    changed = replace(STORY[-1], **change)  # type: ignore[arg-type]
    async with open_market(tmp_path / "nats", [*STORY[:-1], changed]) as servers:
        code, lines, said = await run_subscriber(servers.subscriber_url, position, "--verify-chain")
    assert code == 1, place
    assert len(lines) == len(STORY) - 1
    assert f"event {len(STORY)} on {changed.subject} says that its hash is" in said


async def test_a_removed_event_is_found(tmp_path: Path, position: Path) -> None:
    subjects = [one.subject for one in STORY]
    removed = next(place for place, subject in enumerate(subjects) if subject in subjects[place + 1 :])
    async with open_market(tmp_path / "nats", [*STORY[:removed], *STORY[removed + 1 :]]) as servers:
        code, _, said = await run_subscriber(servers.subscriber_url, position, "--verify-chain")
    assert code == 1
    assert "but the event before it is" in said


async def test_an_event_type_of_a_later_release_is_told_and_passed_by(tmp_path: Path, position: Path) -> None:
    headers = {**STORY[0].headers, "ce-type": "marketplace.clock.rewound.v1"}
    async with open_market(tmp_path / "nats", [replace(STORY[0], headers=headers), STORY[1]]) as servers:
        code, lines, _ = await run_subscriber(servers.subscriber_url, position)
    assert code == 0
    assert [line.rpartition("\t")[2] == "unknown to this release" for line in lines] == [True, False]


async def test_on_an_empty_stream_it_stops_at_once(tmp_path: Path, position: Path) -> None:
    async with open_market(tmp_path / "nats", []) as servers:
        assert await run_subscriber(servers.subscriber_url, position) == (0, [], "")


async def test_without_the_stream_it_says_so_and_stops(tmp_path: Path, position: Path) -> None:
    async with embedded_nats(tmp_path / "nats") as servers:
        code, lines, said = await run_subscriber(servers.subscriber_url, position)
    assert (code, lines) == (2, [])
    assert "stream not found" in said


async def test_it_verifies_what_the_markets_own_log_stores(tmp_path: Path, position: Path) -> None:
    async with embedded_nats(tmp_path / "nats") as servers:
        log = await JetStreamLog.open(servers.url, admin_url=servers.admin_url)
        heads: dict[str, Head] = {}
        for one in STORY:
            envelope = parse_headers(one.headers)
            head = Head(one.subject, None, envelope.hash)
            before = heads.get(one.subject, Head(one.subject))
            await log.append([Write(before, (Message(envelope, one.body),), head)])
            heads[one.subject] = head
        await log.close()
        code, lines, said = await run_subscriber(servers.subscriber_url, position, "--verify-chain")
    assert (code, said) == (0, "")
    assert drop_fields(lines) == render_expected(STORY)


async def test_it_follows_what_operators_state_of_damaged_and_lost_events(tmp_path: Path) -> None:
    async def run(url: str, position: str, *arguments: str) -> tuple[int, list[str], str]:
        return await run_subscriber(url, tmp_path / position, *arguments)

    async with open_damaged(tmp_path / "nats") as damaged:
        await check_damaged(damaged, run)

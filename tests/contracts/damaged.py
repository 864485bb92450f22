"""A log that is damaged and repaired under a subscriber: what it says and prints at each step, in any language."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from events.envelope import parse_headers
from events.registry import render_type
from marketplace.domain.log import AcceptGap, Annotate
from marketplace.embedded.nats import NatsServers, embedded_nats
from marketplace.execution.log_record import record
from marketplace.log.annotations import AnnotatedLog, Effect, examine
from marketplace.log.connection import Connection
from marketplace.log.gaps import LossEvidence
from marketplace.log.port import Head, Message, Write
from tests.contracts.market import find_own_accounts, render_own_url
from tests.contracts.story.book import tell_story
from tests.e2e.test_damaged_log import Intruder
from tests.log.cases import read_all
from tests.log.test_checks import GOOD, call
from tests.log.test_gaps import open_unchecked

STORY = tell_story()
GRANT = [one for one in STORY if one.subject.startswith("marketplace.grant.")][-1]
"""The last event of a grant: later ones repeat it."""
Run = Callable[..., Awaitable[tuple[int, list[str], str]]]
"""Runs a subscriber until there is nothing new, by URL, name of the position and arguments; gives code, lines, said."""


class DamagedMarket:
    """The story in a log of the market, its intruder and its operator."""

    def __init__(self, servers: NatsServers, admin: Connection, log: AnnotatedLog) -> None:
        self.servers = servers
        self.admin = admin
        self.log = log
        self.head = Head(GRANT.subject)

    async def tell(self) -> None:
        heads: dict[str, Head] = {}
        for one in STORY:
            envelope = parse_headers(one.headers)
            head = Head(one.subject, None, envelope.hash)
            await self.log.append(
                [Write(heads.get(one.subject, Head(one.subject)), (Message(envelope, one.body),), head)]
            )
            heads[one.subject] = head
        self.head = heads[GRANT.subject]

    async def store(self, after: str, *, altered: bool = False) -> tuple[int, str]:
        """Store an event of the grant that follows a hash."""
        return await Intruder(self.admin).seal(
            GRANT.subject, after, render_type(GRANT.tag), GRANT.body, altered=altered
        )

    async def damage(self) -> list[int]:
        """Store what is no event, an event whose body was altered, and one that follows nothing."""
        garbage, _ = await Intruder(self.admin).store(GRANT.subject, {}, b"garbage \xff")
        altered, _ = await self.store(self.head.hash, altered=True)
        unlinked, self.unlinked = await self.store("0" * 64)
        return [garbage, altered, unlinked]

    async def annotate(self, sequence: int, effect: Effect) -> None:
        found, damage = await examine(self.log, sequence)
        said = {"subject": found.subject, "hash": damage.hash, "damage": damage.kind, "effect": effect}
        await record(self.log, Annotate(sequence=sequence, **said, reason="case 12"))  # type: ignore[arg-type]

    async def lose(self, sequence: int) -> None:
        """Delete an event behind the log's back, and accept its proven loss."""
        await call(self.admin, "MSG.DELETE", {"seq": sequence})
        evidence = LossEvidence(sequence)
        for recorded in await read_all(self.log):
            evidence.take(recorded)
        assert evidence.lost
        await record(self.log, AcceptGap(sequence=sequence, lost=tuple(evidence.lost), reason="the disk was full"))


@asynccontextmanager
async def open_damaged(folder: Path) -> AsyncIterator[DamagedMarket]:
    """Run a server whose log has the story, and lets its admin delete."""
    write_own_accounts(folder)
    async with embedded_nats(folder) as servers:
        admin = await Connection.open(servers.admin_url, "tests-admin")
        await call(admin, "CREATE", GOOD | {"deny_delete": False})
        log = await open_unchecked(servers)
        try:
            market = DamagedMarket(servers, admin, await AnnotatedLog.open(log))
            await market.tell()
            yield market
        finally:
            await log.close()
            await admin.close()


def write_own_accounts(folder: Path) -> None:
    folder.mkdir()
    (folder / "own.conf").write_text(find_own_accounts(), encoding="utf-8")


async def check_damaged(market: DamagedMarket, run: Run) -> None:
    """Follow the grants through damage, annotations and a loss, with and without a check of the chain."""
    port = market.servers.members[0].port
    own = (render_own_url(port, "reads_grants"), "own", "--consumer=reads_grants", "--aggregate=grant")
    checks = (*own, "--verify-chain")
    trusts = (market.servers.subscriber_url, "trusts", "--aggregate=grant")
    for each in (checks, trusts):
        code, lines, said = await run(*each)
        assert (code, bool(lines), said) == (0, True, "")
    garbage, altered, unlinked = await market.damage()
    code, lines, said = await run(*checks)
    assert (code, lines) == (1, [])
    assert f"event {garbage} on {GRANT.subject}" in said
    code, lines, said = await run(*trusts)
    assert (code, lines) == (1, [])
    assert f"event {garbage} on {GRANT.subject} cannot be read" in said
    await market.annotate(garbage, "passed_over")
    code, lines, said = await run(*checks)
    assert (code, lines) == (1, [])
    assert f"event {garbage} on {GRANT.subject} is passed over" in said
    assert f"event {altered} on {GRANT.subject} says that its hash is" in said
    code, lines, said = await run(*trusts)
    assert (code, find_sequences(lines)) == (0, [altered, unlinked])
    await market.annotate(altered, "passed_over")
    await market.annotate(unlinked, "kept")
    sound, link = await market.store(market.unlinked)
    code, lines, said = await run(*checks)
    assert (code, find_sequences(lines), "undo" in said) == (0, [unlinked, sound], False), said
    undo = f"event {altered} on {GRANT.subject}, which was handled, is passed over: undo it"
    assert (await run(*trusts))[1:] == (lines[1:], undo + "\n")
    last, _ = await market.store(link)
    await market.lose(sound)
    await market.annotate(last, "kept")
    for each in (checks, trusts):
        code, lines, said = await run(*each)
        assert (code, find_sequences(lines)) == (0, [last]), said
        assert said == f"event {sound} on {GRANT.subject}, which was handled, is lost: undo it\n"
        assert await run(*each) == (0, [], "")


def find_sequences(lines: list[str]) -> list[int]:
    return [int(line.partition("\t")[0]) for line in lines]

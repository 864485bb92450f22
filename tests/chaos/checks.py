"""After each fault: the journal and the auditor agree, and at the end everything that began has ended."""

import asyncio
import json
import re
import time
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

import asyncpg

from marketplace.auditor.report import Audit
from marketplace.auditor.stream import Message, read_stream
from tests.chaos.load import Entry, Journal, Market
from tests.chaos.stack import Stack

DAY_SECONDS: Final = 86_400
STALE_SECONDS_MAX: Final = 60.0
CREATES: Final = re.compile(r"/(deposits|holds|orders)$")
CAUGHT_UP_SECONDS_MAX: Final = 120.0
END_SECONDS_MAX: Final = 240.0
"""How long the log may stand still while something is left hanging."""
WINDOW_DAYS: Final = 8
"""Longer than a statement may be disputed."""
WINDOWS_MAX: Final = 3


def render_line(message: Message) -> str:
    """Return a message as a line of a kept log."""
    line = {
        "sequence": message.sequence,
        "subject": message.subject,
        "headers": message.headers,
        "body": message.body.decode(errors="surrogateescape"),
        "stored_at": None if message.stored_at is None else message.stored_at.isoformat(),
    }
    return json.dumps(line)


def read_line(line: str) -> Message:
    """Return the message of a line of a kept log."""
    kept = json.loads(line)
    body = kept["body"].encode(errors="surrogateescape")
    stored_at = None if kept["stored_at"] is None else datetime.fromisoformat(kept["stored_at"])
    return Message(kept["sequence"], kept["subject"], kept["headers"], body, stored_at)


def audit_kept(path: Path) -> list[str]:
    """Return what the auditor finds in a kept log, and what is left hanging at its end."""
    audit = Audit()
    with path.open() as file:
        for line in file:
            audit.take(read_line(line))
    audit.finish()
    return [f"{rule}: event {sequence}: {text}" for rule, sequence, text in audit.findings.kept] + [
        f"hanging: {text}" for text in audit.list_hanging()
    ]


class Witness:
    """Reads the raw stream as it grows, and remembers which payments it holds."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.audit = Audit()
        self.payments: dict[str, list[int]] = defaultdict(list)
        self.decisions: dict[int, str] = {}

    async def read(self) -> int:
        """Read what was stored since, and return the last sequence."""
        messages = read_stream(self._stack.reader_url, after=self.audit.chains.last)
        async for message in messages:
            self.audit.take(message)
            self._remember(message)
        return self.audit.chains.last

    async def keep(self, path: Path) -> None:
        """Write the raw stream to a file, one message a line, to find out what happened; `audit_kept` reads it."""
        with path.open("w") as file:
            async for message in read_stream(self._stack.reader_url, after=0):
                file.write(f"{render_line(message)}\n")

    def _remember(self, message: Message) -> None:
        self.decisions[message.sequence] = message.decision
        if message.event_type in {"account.deposited.v1", "account.withdrawn.v1"}:
            self.payments[message.read()["reference"]].append(message.sequence)

    def compare(self, entries: Iterable[Entry]) -> list[str]:
        """Return where the answers that clients got and the stream differ."""
        wrong, owners = list[str](), dict[str, Entry]()
        for entry in entries:
            if entry.path.endswith("/deposits"):
                found, expected = len(self.payments[entry.body["reference"]]), {1} if entry.accepted else {0}
                expected = expected if entry.answers else {0, 1}
                if found not in expected:
                    wrong.append(f"{entry.key} was answered {entry.answers or 'nothing'}, and is stored {found} times")
            for status, sequence, _ in entry.answers:
                if status >= 300 or not sequence:
                    continue
                decision = self.decisions.get(sequence)
                if decision is None:
                    wrong.append(f"{entry.key} was acknowledged at {sequence}, which the log does not hold")
                elif CREATES.search(entry.path) and owners.setdefault(decision, entry) is not entry:
                    wrong.append(f"{entry.key} and {owners[decision].key} were both answered by {decision}")
        return wrong


async def check(witness: Witness, journal: Journal) -> list[str]:
    """Return everything that is wrong by now; what is answered while the stream is read is looked at next time.

    A leader that does not know yet that it was followed answers with an older end of the stream, for some seconds: so
    the end is read again until it holds what was acknowledged.
    """
    answers = [(entry, len(entry.answers)) for entry in journal.entries if entry.answers]
    wanted = max((sequence for entry, _ in answers for status, sequence, _ in entry.answers if status < 300), default=0)
    deadline = time.monotonic() + STALE_SECONDS_MAX
    while time.monotonic() < deadline:
        if await witness.read() >= wanted:
            break
        await asyncio.sleep(1)
    found = [f"{rule}: event {sequence}: {text}" for rule, sequence, text in witness.audit.findings.kept]
    settled = [entry for entry, count in answers if len(entry.answers) == count and not entry.is_asked]
    return found + journal.wrong + witness.compare(settled)


async def end_market(market: Market) -> None:
    """Let all time pass that grants, statements and holds need to end."""
    platform = market.platform
    for days in (1, 1, 15, 3, 9, 3):
        await platform.send("/v1/test/clock", {"seconds": days * DAY_SECONDS})
        await asyncio.sleep(6)


async def load_lowest(stack: Stack) -> int:
    """Return the position that every live projection has reached."""
    connection = await asyncpg.connect(stack.database_url.replace("+asyncpg", ""))
    try:
        return int(await connection.fetchval("SELECT min(position) FROM projection_positions WHERE live") or 0)
    finally:
        await connection.close()


async def wait_for_end(stack: Stack, witness: Witness, market: Market) -> list[str]:
    """Wait until nothing is left hanging and the tables stand at the log's end; return what is wrong then.

    A busy worker issues some statements late in the market's time. What may still be disputed gets that time.
    """
    deadline, windows = time.monotonic() + END_SECONDS_MAX, WINDOWS_MAX
    while True:
        last = await witness.read()
        hanging = witness.audit.list_hanging()
        quiet = last == await witness.read()
        if not quiet:
            deadline = time.monotonic() + END_SECONDS_MAX
        if (not hanging and quiet) or time.monotonic() > deadline:
            break
        if quiet and windows:
            windows -= 1
            await market.platform.send("/v1/test/clock", {"seconds": WINDOW_DAYS * DAY_SECONDS})
        await asyncio.sleep(6)
    wrong = [f"hanging: {text}" for text in hanging]
    witness.audit.finish()
    deadline = time.monotonic() + CAUGHT_UP_SECONDS_MAX
    while time.monotonic() < deadline:
        if await load_lowest(stack) >= witness.audit.chains.last:
            break
        await asyncio.sleep(1)
    await witness.audit.compare(stack.database_url)
    return wrong + [f"{rule}: event {sequence}: {text}" for rule, sequence, text in witness.audit.findings.kept]

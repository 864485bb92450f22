"""A NATS server that holds the story as the log stores it, and a subscriber as a process."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from nats.js.api import StorageType, StreamConfig

from events.registry import render_type
from events.subjects import ALL, STREAM
from marketplace.embedded.nats import NatsServers, embedded_nats
from marketplace.embedded.process import LOOPBACK
from tests.contracts.story.teller import Told
from tests.support.clients import connected
from tests.support.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
SUBSCRIBER = ROOT / "examples" / "subscriber_python" / "subscriber.py"
OWN_USERS = {"reads_all": "all", "reads_grants": "grants", "meter_rjukan": "rjukan"}
"""Users with an account of their own, as the documents show them, and their passwords here."""


def find_own_accounts() -> str:
    """Return the accounts that the documents show, with passwords."""
    pages = (ROOT / "events" / "README.md", ROOT / "docs" / "how-to-meter.md")
    shown = [re.findall(r"```hcl\n(.+?)```", page.read_text(encoding="utf-8"), re.DOTALL) for page in pages]
    text = "\n".join(block for blocks in shown for block in blocks)
    for user, password in OWN_USERS.items():
        assert f"${user.upper()}_PASSWORD" in text
        text = text.replace(f"${user.upper()}_PASSWORD", password)
    return text


def render_own_url(port: int, user: str) -> str:
    """Return the URL of a user with an account of its own."""
    return f"nats://{user}:{OWN_USERS[user]}@{LOOPBACK}:{port}"


@asynccontextmanager
async def open_market(folder: Path, told: Iterable[Told]) -> AsyncIterator[NatsServers]:
    """Run a server on a folder of its own, with the events in its stream."""
    async with embedded_nats(folder) as servers:
        await lay_stream(servers.admin_url)
        await publish(servers.admin_url, told)
        yield servers


async def lay_stream(admin_url: str) -> None:
    async with connected(admin_url) as client:
        configuration = StreamConfig(name=STREAM, subjects=[ALL], storage=StorageType.FILE)
        await client.jetstream(timeout=PATIENCE_SECONDS).add_stream(configuration)


async def publish(admin_url: str, told: Iterable[Told]) -> None:
    async with connected(admin_url) as client:
        stream = client.jetstream(timeout=PATIENCE_SECONDS)
        for one in told:
            await stream.publish(one.subject, one.body, headers=one.headers)


async def start_subscriber(url: str, position: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(SUBSCRIBER),
        *("--url", url, "--position", str(position), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )


async def run_subscriber(url: str, position: Path, *arguments: str) -> tuple[int, list[str], str]:
    """Run until there is nothing new; return exit code, lines and what it said on stderr."""
    process = await start_subscriber(url, position, "--once", *arguments)
    output, said = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert process.returncode is not None
    return process.returncode, output.decode().splitlines(), said.decode()


def render_expected(told: Iterable[Told], first_sequence: int = 1) -> list[str]:
    """Return the first five columns of what a subscriber prints of these events."""
    return [
        "\t".join(
            (
                str(sequence),
                render_type(one.tag),
                one.headers["ce-subject"],
                one.headers["ce-time"],
                one.headers["ce-id"],
            )
        )
        for sequence, one in enumerate(told, first_sequence)
    ]


def drop_fields(lines: Iterable[str]) -> list[str]:
    """Return the lines without their last column."""
    return [line.rpartition("\t")[0] for line in lines]

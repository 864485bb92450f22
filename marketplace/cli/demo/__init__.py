"""`marketplace demo`: a whole market, from its first party to the payout of a sale, on servers of its own."""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from cyclopts import App

from marketplace.cli.console import configure_logging, run, stop_on_signals
from marketplace.cli.demo import tables
from marketplace.cli.demo.equity import sell, take_round
from marketplace.cli.demo.play import Play
from marketplace.cli.demo.proof import prove
from marketplace.cli.demo.setup import set_up
from marketplace.cli.output import CONSOLE, ERRORS, mark
from marketplace.cli.scenario import load_scenario
from marketplace.cli.stack import Stack, open_stack
from marketplace.client import MarketplaceClient, ProblemError
from marketplace.core.errors import Corrupt
from marketplace.embedded.folder import temporary_folder

app = App(name="demo")


@app.default
def demo(*, data: Path | None = None, keep: bool = False, port: int = 0) -> int:
    """Start everything in a temporary folder, play the scenario through the HTTP API, and clean up.

    Args:
        data: Use this folder and leave it, so that `marketplace up --data` can continue from it.
        keep: Stay open at the end, with the console on what was played, until Ctrl-C.
        port: Where the API listens on loopback; 0 uses a free one.
    """
    configure_logging("error")
    try:
        if data is not None:
            return run(_demo(data, keep=keep, port=port))
        with temporary_folder("marketplace-demo-") as folder:
            return run(_demo(folder, keep=keep, port=port))
    except ProblemError as problem:
        ERRORS.print(mark("red", "the market refused a request:"), str(problem))
        return 1


async def _demo(folder: Path, *, keep: bool, port: int) -> int:
    begun = time.monotonic()
    async with AsyncExitStack() as contexts:
        with CONSOLE.status("Starting NATS, PostgreSQL, the API and the worker …") as status:
            stack = await contexts.enter_async_context(open_stack(folder, port=port or None))
            CONSOLE.print(mark("green", "✓"), f"the stack is up after {time.monotonic() - begun:.1f} s")
            async with MarketplaceClient(stack.api_url, stack.settings.admin_key) as platform:
                play = Play(load_scenario(), platform, stack.api_url)
                try:
                    await _watched(stack, _play(play, status.update))
                    equal = await prove(stack.settings, platform)
                finally:
                    await play.close()
        _conclude(equal=equal, seconds=time.monotonic() - begun)
        if keep:
            await _stay_open(stack, play)
    return 0 if equal else 1


def _conclude(*, equal: bool, seconds: float) -> None:
    verdict = (mark("green", "✓"), "everything held") if equal else (mark("red", "✗"), "not everything held")
    CONSOLE.print(*verdict, end="")
    CONSOLE.print(f", {seconds:.0f} s in all")
    if not equal:
        ERRORS.print(mark("red", "the replay differs from the live state; see above"))


async def _stay_open(stack: Stack, play: Play) -> None:
    """Print links to the console, and keep the stack running until Ctrl-C."""
    financing = play.scenario.financing
    desks = {"operator": None, "startup": play.tokens[financing.startup], "holder": play.tokens[financing.investor]}
    CONSOLE.print("\nThe console shows what was played. Each link signs in once, within ten minutes:")
    for name, token in desks.items():
        CONSOLE.print(f"  {name:9}", stack.render_link(token), soft_wrap=True, highlight=False)
    CONSOLE.print("Ctrl-C stops it.")
    await _watched(stack, stop_on_signals().wait())


async def _watched(stack: Stack, playing: Coroutine[Any, Any, object]) -> None:
    """Play, and stop at once if a server of the stack cannot be kept running.

    Raises:
        Corrupt: Such a server failed; the text has its last output.
    """
    watching, task = asyncio.create_task(stack.watch(ERRORS.print)), asyncio.create_task(playing)
    await asyncio.wait({watching, task}, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise Corrupt(watching.result())
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    task.result()


async def _play(play: Play, say: "tables.Say") -> None:
    await set_up(play, say)
    await tables.show_inventory(play)
    say("Taking a direct investment …")
    await play.invest()
    say("Placing orders …")
    await play.place_orders()
    say("Letting a conversion slip …")
    await play.slip()
    say("Clearing the auction …")
    await play.clear()
    await tables.show_auction(play)
    await play.deliver(say)
    await tables.show_delivery(play)
    say("Pricing the round …")
    await take_round(play)
    say("Sharing the proceeds of the sale …")
    await sell(play)
    await tables.show_balances(play)

"""`marketplace log`: read the event log, and check that nothing in it was changed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Final

import msgspec
from cyclopts import App, Parameter, validators

from events.registry import AGGREGATES
from events.subjects import render_subject
from marketplace.app import open_log
from marketplace.cli.console import CONSOLE, build_progress, configure_logging, run, stop_on_signals
from marketplace.core.errors import Refusal
from marketplace.log.codec import Chain
from marketplace.log.port import Recorded
from marketplace.runtime.config import load_settings

app = App(name="log")
EVENTS_MAX: Final = 1_000
NatsUrl = Annotated[str | None, Parameter(env_var="MARKETPLACE_NATS_URL")]
Count = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=EVENTS_MAX))]


@app.command
def tail(*, count: Count = 20, follow: bool = False, bodies: bool = False, nats_url: NatsUrl = None) -> int:
    """Print the last events, one a line.

    Args:
        count: How many, at most 1,000.
        follow: Go on with every new event until Ctrl-C.
        bodies: Print the bodies as well.
        nats_url: Servers and the application's user, separated by commas.
    """
    configure_logging()

    async def main() -> None:
        async with open_log(load_settings(nats_url=nats_url)) as log:
            last = (await log.health()).last_sequence
            pages = log.read(max(0, last - count), follow=follow)
            await (_print_until_stopped(pages, bodies=bodies) if follow else _print_all(pages, bodies=bodies))

    return run(main())


@app.command
def show(aggregate: str, id: str, /, *, nats_url: NatsUrl = None) -> int:  # noqa: A002 - the field's word
    """Print every event of one aggregate with its body, oldest first.

    Args:
        aggregate: For example `grant`.
        id: For example `grt_01k…`.
        nats_url: Servers and the application's user, separated by commas.
    """
    configure_logging()

    async def main() -> int:
        if aggregate not in AGGREGATES:
            raise Refusal(
                "aggregate_unknown", f"there is no aggregate {aggregate!r}; choose one of {', '.join(AGGREGATES)}"
            )
        async with open_log(load_settings(nats_url=nats_url)) as log:
            stored = await log.load(render_subject(aggregate, id))
        for recorded in stored:
            _print(recorded, body=True)
        if not stored:
            raise Refusal(
                "aggregate_not_found", f"the log has no event of {aggregate} {id}", aggregate=aggregate, id=id
            )
        return 0

    return run(main())


@app.command
def verify(*, nats_url: NatsUrl = None) -> int:
    """Walk the hash chain from the first event to the last; exits with 1 at the first that does not fit.

    Args:
        nats_url: Servers and the application's user, separated by commas.
    """
    configure_logging()

    async def main() -> None:
        chain = Chain()
        async with open_log(load_settings(nats_url=nats_url)) as log:
            total = (await log.health()).last_sequence
            with build_progress() as progress:
                task = progress.add_task("verify", total=total)
                async for page in log.read(0):
                    for recorded in page:
                        chain.check(recorded)
                    progress.update(task, completed=chain.sequence, total=max(total, chain.sequence))
        CONSOLE.print(
            f"[green]whole[/]: {chain.sequence:,} events of {len(chain.heads):,} aggregates, "
            "every one as it was sealed and none missing"
        )

    return run(main())


async def _print_until_stopped(pages: AsyncIterator[list[Recorded]], *, bodies: bool) -> None:
    reading = asyncio.create_task(_print_all(pages, bodies=bodies))
    stopping = asyncio.create_task(stop_on_signals().wait())
    await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not reading.done():
        reading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reading


async def _print_all(pages: AsyncIterator[list[Recorded]], *, bodies: bool) -> None:
    async for page in pages:
        for recorded in page:
            _print(recorded, body=bodies)


def _print(recorded: Recorded, *, body: bool) -> None:
    envelope = recorded.envelope
    line = f"{recorded.sequence:>8}  {envelope.time:%Y-%m-%dT%H:%M:%SZ}  {envelope.type}  {envelope.subject}"
    CONSOLE.print(f"{line}  by {envelope.actor}", soft_wrap=True, markup=False)
    if body:
        text = msgspec.json.format(recorded.body, indent=2).decode()
        CONSOLE.print(text, soft_wrap=True, markup=False)

"""`marketplace projections`: show how current each read model is, rebuild one, and check one against the log."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

from cyclopts import App
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.cli.console import DatabaseUrl, NatsUrl, build_progress, configure_logging, run
from marketplace.cli.output import CONSOLE, mark
from marketplace.log.port import Log
from marketplace.projections.engine.database import build_engine, reachable
from marketplace.projections.engine.migrate import require_current
from marketplace.projections.engine.positions import load_positions
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.rebuild import Progress as Step
from marketplace.projections.engine.rebuild import rebuild as rebuild_projection
from marketplace.projections.engine.verify import Difference, Verified, verify_all
from marketplace.projections.registry import PROJECTIONS, get_projection
from marketplace.runtime.process.config import load_settings, require_database_url
from marketplace.runtime.process.log import open_log

app = App(name="projections")
EVERYTHING: Final = "all"
DIFFERENT: Final = 3


@app.command(name="list")
def list_all(*, nats_url: NatsUrl = None, database_url: DatabaseUrl = None) -> int:
    """Show the progress of each projection and each running rebuild.

    Args:
        nats_url: Servers and the application's user, separated by commas.
        database_url: postgresql://… of the projections.
    """
    configure_logging()

    async def main() -> None:
        async with open_both(nats_url, database_url) as (log, engine):
            last = (await log.health()).last_sequence
            async with reachable(), engine.connect() as connection:
                positions = await load_positions(connection)
        expected = {projection.name: projection.version for projection in PROJECTIONS}
        table = Table("projection", "version", "state", "position", "behind", "epoch", "made by", "moved at")
        for at in positions:
            state = "live" if at.live else "rebuilding"
            if at.stopped_at is not None:
                state = f"stopped at {at.stopped_at}"
            moved = f"{at.updated_at:%Y-%m-%d %H:%M:%S}"
            counts = (at.position, last - at.position, at.epoch)
            made_by = _compare_versions(at.version, expected.get(at.name, 0))
            table.add_row(at.name, str(at.version), state, *(f"{count:,}" for count in counts), made_by, moved)
        for name in sorted({projection.name for projection in PROJECTIONS} - {at.name for at in positions}):
            table.add_row(name, "", "not begun", "0", f"{last:,}", "", "", "")
        CONSOLE.print(table)
        for at in positions:
            if at.stopped_at is not None:
                CONSOLE.print(mark("bold red", f"{at.name} stopped:"), at.stopped_because, soft_wrap=True)

    return run(main())


@app.command
def rebuild(
    name: str, /, *, replace_newer: bool = False, nats_url: NatsUrl = None, database_url: DatabaseUrl = None
) -> int:
    """Rebuild a projection from the whole log and swap it in. Readers and the projector continue meanwhile.

    Args:
        name: The projection, or `all`, one after the other.
        replace_newer: Also replace rows that a newer release made. Stop the processes of that release first.
        nats_url: Servers and the application's user, separated by commas.
        database_url: postgresql://… of the projections.
    """
    configure_logging()

    async def main() -> None:
        chosen = _choose(name)
        async with open_both(nats_url, database_url) as (log, engine):
            for projection in chosen:
                with _bar(f"rebuild {projection.name}") as report:
                    done = await rebuild_projection(projection, log, engine, report=report, replace_newer=replace_newer)
                rate = done.events / done.seconds if done.seconds else 0.0
                CONSOLE.print(
                    mark("green", "swapped in"),
                    f"{done.name} at event {done.position:,}: "
                    f"{done.events:,} events in {done.seconds:.1f} s, {rate:,.0f} a second",
                )

    return run(main())


@app.command
def verify(name: str = EVERYTHING, /, *, nats_url: NatsUrl = None, database_url: DatabaseUrl = None) -> int:
    """Compare a projection with the rows that the log gives, and name every row that differs.

    Exits with 3 when a row differs.

    Args:
        name: The projection, or `all`.
        nats_url: Servers and the application's user, separated by commas.
        database_url: postgresql://… of the projections.
    """
    configure_logging()

    async def main() -> int:
        chosen = _choose(name)
        async with open_both(nats_url, database_url) as (log, engine):
            with _bar("verify") as report:
                results = await verify_all(chosen, log, engine, report=report)
        for result in results:
            _tell(result)
        return DIFFERENT if any(result.differences for result in results) else 0

    return run(main())


def _compare_versions(rows: int, release: int) -> str:
    if rows == release:
        return "this release"
    return "an older release" if rows < release else "a newer release"


def _choose(name: str) -> tuple[Projection, ...]:
    return PROJECTIONS if name == EVERYTHING else (get_projection(name),)


@contextlib.asynccontextmanager
async def open_both(nats_url: str | None, database_url: str | None) -> AsyncIterator[tuple[Log, AsyncEngine]]:
    """Open the log and the projections' database, checked to have the tables of this release.

    Raises:
        Refusal: ``setting_missing`` if no database is given; ``database_not_migrated``.
    """
    settings = load_settings(nats_url=nats_url, database_url=database_url)
    engine = build_engine(require_database_url(settings))
    try:
        await require_current(engine)
        async with open_log(settings) as log:
            yield log, engine
    finally:
        await engine.dispose()


@contextlib.contextmanager
def _bar(title: str) -> Iterator[Callable[[Step], None]]:
    with build_progress() as progress:
        task = progress.add_task(title, total=None)

        def report(step: Step) -> None:
            progress.update(task, completed=step.done, total=step.total)

        yield report


def _tell(result: Verified) -> None:
    where = f"{result.rows:,} rows at event {result.position:,}"
    if not result.differences:
        CONSOLE.print(mark("green", "equal"), f"{result.name}: {where}")
        return
    told = f"{result.name}: {_count(len(result.differences))}, {where}"
    CONSOLE.print(mark("bold red", "different"), told)
    for difference in result.differences:
        _tell_difference(difference)


def _count(differences: int) -> str:
    return f"{differences} row" if differences == 1 else f"{differences} rows"


def _tell_difference(difference: Difference) -> None:
    key = ", ".join(f"{name}={value}" for name, value in difference.key.items())
    CONSOLE.print(" ", mark("bold", difference.table), key, soft_wrap=True)
    if difference.live is None:
        CONSOLE.print("    the row is missing in the database")
    elif difference.rebuilt is None:
        CONSOLE.print("    the log makes no such row")
    else:
        for name, value in difference.live.items():
            made = difference.rebuilt[name]
            CONSOLE.print(f"    {name}: the database has {value}, the log makes {made}", soft_wrap=True)
    behind = ", ".join(f"{event.sequence} {event.tag}" for event in difference.events) or "none"
    CONSOLE.print(f"    events behind it: {behind}", soft_wrap=True)

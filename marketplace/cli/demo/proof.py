"""The final proof: the log is complete, every projection is rebuilt from it, and it equals the live one."""

from typing import Final

from rich.table import Table

from marketplace.cli.output import CONSOLE, mark
from marketplace.client import MarketplaceClient
from marketplace.log.codec import Chain
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.rebuild import rebuild
from marketplace.projections.engine.verify import verify_all
from marketplace.projections.engine.watch import PositionWatch
from marketplace.projections.registry import PROJECTIONS
from marketplace.runtime.process.config import Settings
from marketplace.runtime.process.log import open_log

SETTLE_SECONDS: Final = 120.0


async def prove(settings: Settings, platform: MarketplaceClient) -> bool:
    """Return whether accounts sum to zero and every rebuilt projection equals the live one.

    The rebuilt projections replace the live ones.

    Raises:
        Corrupt: The hash chain does not hold.
        Unavailable: The projections did not reach the log's end within 120 seconds.
    """
    assert settings.database_url is not None, "a stack has a database"
    engine = build_engine(settings.database_url)
    try:
        async with open_log(settings) as log:
            chain = Chain()
            async for page in log.read(0):
                for recorded in page:
                    chain.check(recorded)
            CONSOLE.print(mark("green", "✓"), f"the hash chain holds over {chain.sequence:,} events")
            await PositionWatch(engine, PROJECTIONS).wait_for(chain.sequence, SETTLE_SECONDS)
            table = Table("projection", "events", "rows", "rebuilt in", "equal", title="Rebuilt from the log")
            live = await verify_all(PROJECTIONS, log, engine)
            rebuilt = [await rebuild(projection, log, engine) for projection in PROJECTIONS]
            again = await verify_all(PROJECTIONS, log, engine)
            equal = True
            for before, done, after in zip(live, rebuilt, again, strict=True):
                differences = before.differences or after.differences
                equal = equal and not differences
                table.add_row(
                    done.name,
                    f"{done.events:,}",
                    f"{after.rows:,}",
                    f"{done.seconds:.1f} s",
                    mark("red", f"no: {differences[0]}") if differences else mark("green", "yes"),
                )
            CONSOLE.print(table)
    finally:
        await engine.dispose()
    sums: dict[str, int] = {}
    for row in await platform.accounts.get_trial_balance():
        sums[row.unit] = sums.get(row.unit, 0) + int(row.amount * 100)
    unbalanced = {unit: cents for unit, cents in sums.items() if cents}
    if unbalanced:
        CONSOLE.print(mark("red", "✗"), f"accounts do not sum to zero: {unbalanced}")
    return equal and not unbalanced

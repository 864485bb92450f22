"""`marketplace migrate`: create or upgrade the tables of this release, by the migrations in the package."""

import os
from typing import Annotated

from cyclopts import App, Parameter

from marketplace.cli.console import configure_logging, run
from marketplace.cli.output import CONSOLE
from marketplace.core.errors import Refusal
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.migrate import downgrade, migrate
from marketplace.runtime.process.config import PREFIX, find_setting

app = App(name="migrate")


@app.default
def main(
    *,
    database_url: Annotated[str | None, Parameter(env_var="MARKETPLACE_DATABASE_URL")] = None,
    down_to: str | None = None,
) -> int:
    """Migrate the database to the tables of this release, in one transaction. A current one is not changed.

    Args:
        database_url: postgresql://… of the projections.
        down_to: Go back to this revision instead. Tables that it does not know are dropped: projections are rebuilt
            from the log, API keys are not.
    """
    configure_logging()

    async def bring() -> None:
        url = database_url or find_setting(os.environ, f"{PREFIX}DATABASE_URL")
        if not url:
            raise Refusal(
                "setting_missing", f"set {PREFIX}DATABASE_URL to a postgresql:// URL, or use `marketplace up`"
            )
        engine = build_engine(url, connections_max=1)
        try:
            if down_to is not None:
                await downgrade(engine, down_to)
            else:
                await migrate(engine)
        finally:
            await engine.dispose()
        CONSOLE.print("The database has the tables of this release." if down_to is None else f"Went back to {down_to}.")

    return run(bring())

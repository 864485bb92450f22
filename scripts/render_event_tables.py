"""Write `docs/events-and-tables.md`: which projections and tables each event type changes.

uv run python scripts/render_event_tables.py    after a change of what a handler writes, or a new event type

It runs on a temporary PostgreSQL server.
"""

import asyncio

from marketplace.embedded.folder import temporary_folder
from marketplace.embedded.postgres import embedded_postgres
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.migrate import migrate
from tests.projections.event_tables import PAGE, record_tables, render_page


async def main() -> None:
    """Project the story into an empty database, and write the page."""
    with temporary_folder("marketplace-event-tables-") as folder:
        async with embedded_postgres(folder / "postgres", durable=False) as server:
            engine = build_engine(await server.create_database("event_tables"))
            try:
                await migrate(engine)
                written = await record_tables(engine)
            finally:
                await engine.dispose()
    PAGE.write_text(render_page(written), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())

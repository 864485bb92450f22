"""`docs/events-and-tables.md` says what the handlers do."""

from sqlalchemy.ext.asyncio import AsyncEngine

from events.registry import EVENT_TYPES
from marketplace.projections.registry import PROJECTIONS
from tests.projections.event_tables import COMMAND, FEED, PAGE, record_tables, render_page


async def test_the_page_says_which_tables_each_event_type_changes(engine: AsyncEngine):
    written = await record_tables(engine)
    assert PAGE.read_text(encoding="utf-8") == render_page(written), f"run `{COMMAND}`"
    assert written.keys() == EVENT_TYPES.keys()
    for projection in PROJECTIONS:
        handled = {tag for tag, changed in written.items() if projection.name in changed}
        assert handled == projection.handles
        tables = set().union(*(written[tag][projection.name] for tag in handled))
        assert tables == {table.name for table in projection.tables}, "no table is left out"
    assert all(changed[FEED] for changed in written.values())

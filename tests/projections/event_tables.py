"""The page that says which projections and tables each event type changes, from what the handlers do in a story."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from events.registry import AGGREGATES, EVENT_TYPES
from marketplace.log.memory import MemoryLog
from marketplace.projections.engine.projection import Projection, get_aggregate, get_tag_of
from marketplace.projections.registry import PROJECTIONS
from tests.projections.conftest import fill, project
from tests.projections.tales import tell_everything

PAGE: Final = Path(__file__).parents[2] / "docs" / "events-and-tables.md"
COMMAND: Final = "uv run python scripts/render_event_tables.py"
FEED: Final = "feed"
_WRITES: Final = frozenset({"put", "update", "add", "append"})
_HEAD: Final = f"""# Events and tables

Which projections and tables each event type changes. `{COMMAND}` writes this page: it projects the
events of `tests/projections/tales.py` (every event type, more than the story of `tests/contracts/story/`), and notes
what each handler writes.

[events/README.md](../events/README.md) describes all event types.
Every event also changes tables of the projection `{FEED}`:

| table of `{FEED}` | what an event changes |
|---|---|
{{feed}}
"""
_WHEN: Final = {
    "event_holders": "rows, if it changes what somebody holds of an issuer, or the holder terms",
    "event_index": "its own row, for every event",
    "event_instruments": "a row, if it is an event of an instrument",
    "event_owners": "a row for each party that it adds to those that see the aggregate's later events",
    "event_parties": "a row for each party that sees the event",
}

Written = Mapping[str, Mapping[str, frozenset[str]]]
"""Names of tables, by event type and projection."""


class _Recorder:
    """A batch that notes the tables that are written to."""

    def __init__(self, changes: Any, tables: set[str]) -> None:
        self._changes = changes
        self._tables = tables

    def __getattr__(self, name: str) -> Any:
        called = getattr(self._changes, name)
        if name not in _WRITES:
            return called

        def write(table: Table, *arguments: Any, **values: Any) -> None:
            self._tables.add(table.name)
            called(table, *arguments, **values)

        return write


async def record_tables(engine: AsyncEngine) -> Written:
    """Project the story into an empty database and return what each event type changed."""
    written: dict[str, dict[str, set[str]]] = {tag: defaultdict(set) for tag in EVENT_TYPES}
    log = MemoryLog()
    await fill(log, tell_everything().recorded)
    await project(engine, log, [_record(projection, written) for projection in PROJECTIONS])
    return {tag: {name: frozenset(tables) for name, tables in changed.items()} for tag, changed in written.items()}


def _record(projection: Projection, written: Mapping[str, Mapping[str, set[str]]]) -> Projection:
    def note(tag: str, handler: Callable[..., None]) -> Callable[..., None]:
        def handle(changes: Any, fact: Any, event: Any) -> None:
            handler(_Recorder(changes, written[tag][projection.name]), fact, event)

        return handle

    handlers = {known: note(get_tag_of(known), handler) for known, handler in projection.handlers.items()}
    return replace(projection, handlers=handlers)


def render_page(written: Written) -> str:
    """Return the page: a table per aggregate, in the order of the registry."""
    feed = sorted(set().union(*(changed[FEED] for changed in written.values())))
    parts = [_HEAD.format(feed="\n".join(f"| `{name}` | {_WHEN[name]} |" for name in feed))]
    for aggregate in AGGREGATES:
        rows = [_render_row(tag, written[tag]) for tag in EVENT_TYPES if get_aggregate(tag) == aggregate]
        parts.append(
            "\n".join([f"## {aggregate}\n", "| event type | projections and tables |", "|---|---|", *rows, ""])
        )
    return "\n".join(parts)


def _render_row(tag: str, changed: Mapping[str, frozenset[str]]) -> str:
    names = [one.name for one in PROJECTIONS if one.name != FEED and changed.get(one.name)]
    cells = [f"{name}: {_render_names(sorted(changed[name]))}" for name in names]
    return f"| `{tag}` | {' · '.join(cells) or 'none'} |"


def _render_names(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)

"""What a projection's rows depend on beside the log, as one hash: tables, events, and the code that makes rows of them.

Rows that another release made may lack what this one keeps: a column that a migration added is empty in them, and a
handler that was mended has made what it made. So the hash of the code that made the rows is kept beside their position,
and where it is not that of the running release they are built anew (`renewal.py`).

The hash follows everything that a projection's tables, its handlers, the events that they handle and its `load` reach
(`log/code_hash.py`); tables are told by their columns. Queries do not count.
"""

import functools
from collections.abc import Iterable

from sqlalchemy import Table
from sqlalchemy.sql import ClauseElement

from marketplace.core.code_walk import CodeWalk
from marketplace.log.code_hash import walk_code
from marketplace.projections.engine.projection import Projection


@functools.cache
def compute_fingerprint(projection: Projection) -> str:
    """Return the SHA-256, in hex, of all that the projection's rows depend on beside the log."""
    return walk(projection).compute_hash()


def walk(projection: Projection) -> CodeWalk:
    """Return all that the projection's rows depend on beside the log."""
    handled = sorted(projection.handlers, key=lambda known: known.__qualname__)
    handlers = [part for event_class in handled for part in (event_class, projection.handlers[event_class])]
    return walk_code((*projection.tables, *handlers, projection.load), _describe)


def _describe(value: object) -> Iterable[object] | None:
    """Return what a table keeps, or the text of another piece of SQL."""
    if not isinstance(value, ClauseElement):
        return None
    if not isinstance(value, Table):
        return [str(value)]
    columns = [f"{value.name}.{column.name} {column.type!r} {column.nullable}" for column in value.columns]
    return columns + [f"key {column.name}" for column in value.primary_key.columns]

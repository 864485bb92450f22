"""Rows that a batch of events makes, folded in memory and written in sets.

Projections describe row changes event by event; `flush` writes each table with one statement per kind of change, by
`unnest`. One statement for a thousand rows costs about as much as one statement for one row.

Invariants:
    1. The rows after a batch do not depend on where batches begin and end.
    2. Every row that is written carries the sequence of the event that changed it last.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import itemgetter
from typing import Any, Final

import msgspec
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

Key = tuple[Any, ...]
Row = dict[str, Any]
_DIALECT: Final = postgresql.asyncpg.dialect()  # type: ignore[no-untyped-call]
_ENCODER: Final = msgspec.json.Encoder(decimal_format="string")


@dataclass(frozen=True, slots=True)
class _Shape:
    """What SQL needs to know of a table."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    types: Mapping[str, str]
    documents: frozenset[str]
    key_of: Callable[[Mapping[str, Any]], Key]

    def unnest(self, columns: Sequence[str]) -> str:
        arrays = ", ".join(f"${place}::{self.types[name]}[]" for place, name in enumerate(columns, 1))
        return f"unnest({arrays})"

    def arrange(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> tuple[list[Any], ...]:
        return tuple(self.render(name, [row[name] for row in rows]) for name in columns)

    def render(self, name: str, values: list[Any]) -> list[Any]:
        return [render_document(value) for value in values] if name in self.documents else values


def _build_key_getter(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], Key]:
    if len(names) == 1:
        (name,) = names
        return lambda row: (row[name],)
    return itemgetter(*names)


@cache
def _shape_of(table: Table) -> _Shape:
    key = tuple(column.name for column in table.primary_key.columns)
    return _Shape(
        name=table.name,
        columns=tuple(column.name for column in table.columns),
        key=key,
        key_of=_build_key_getter(key),
        types={column.name: column.type.compile(dialect=_DIALECT) for column in table.columns},
        documents=frozenset(column.name for column in table.columns if isinstance(column.type, JSONB)),
    )


def render_document(value: Any) -> str | None:
    """Return the JSON text of a value, decimals as strings; None stays None."""
    return None if value is None else _ENCODER.encode(value).decode()


@dataclass(slots=True)
class _Pending:
    """Changes of one table."""

    known: dict[Key, Row | None] = field(default_factory=dict)
    whole: dict[Key, None] = field(default_factory=dict)
    partial: dict[Key, Row] = field(default_factory=dict)
    sums: dict[Key, Row] = field(default_factory=dict)
    appended: list[tuple[Any, ...]] = field(default_factory=list)


class WriteBatch:
    """The rows that one batch changes in one projection's tables."""

    def __init__(self) -> None:
        self._tables: dict[Table, _Pending] = {}
        self._sequence = 0

    def at(self, sequence: int) -> None:
        """Stamp what follows with the sequence of its event."""
        self._sequence = sequence

    def _pending(self, table: Table) -> _Pending:
        pending = self._tables.get(table)
        if pending is None:
            pending = self._tables[table] = _Pending()
        return pending

    async def load(self, connection: AsyncConnection, table: Table, keys: Iterable[Key]) -> None:
        """Read the rows with these keys, so that `find` knows them."""
        known = self._pending(table).known
        wanted = sorted({key for key in keys if key not in known})
        if not wanted:
            return
        shape = _shape_of(table)
        where = f"({_names(shape.key)}) IN (SELECT * FROM {shape.unnest(shape.key)})"  # noqa: S608 - our own names
        await self._load(connection, table, where, [*zip(*wanted, strict=True)])
        for key in wanted:
            known.setdefault(key, None)

    async def load_where(self, connection: AsyncConnection, table: Table, column: str, values: Iterable[str]) -> None:
        """Read all rows whose `column` has one of the values."""
        wanted = sorted(set(values))
        if wanted:
            await self._load(connection, table, f'"{column}" = ANY($1::{_shape_of(table).types[column]}[])', [wanted])

    async def _load(
        self, connection: AsyncConnection, table: Table, where: str, arrays: Sequence[Sequence[Any]]
    ) -> None:
        shape = _shape_of(table)
        known = self._pending(table).known
        statement = f"SELECT {_names(shape.columns)} FROM {shape.name} WHERE {where}"  # noqa: S608 - our own names
        result = await connection.exec_driver_sql(statement, tuple(list(array) for array in arrays))
        for values in result:
            row = dict(zip(shape.columns, values, strict=True))
            known.setdefault(shape.key_of(row), row)

    def find(self, table: Table, *key: Any) -> Mapping[str, Any] | None:
        """Return the row as this batch has left it; None if it was neither loaded nor put."""
        return self._pending(table).known.get(key)

    def rows(self, table: Table) -> list[Mapping[str, Any]]:
        """Return every known row of a table."""
        return [row for row in self._pending(table).known.values() if row is not None]

    def put(self, table: Table, **values: Any) -> None:
        """Write a whole row; columns that are not named are NULL."""
        shape = _shape_of(table)
        row = dict.fromkeys(shape.columns) | values
        row["last_sequence"] = self._sequence
        key = shape.key_of(row)
        pending = self._pending(table)
        pending.known[key] = row
        pending.whole[key] = None
        pending.partial.pop(key, None)

    def update(self, table: Table, *key: Any, **values: Any) -> None:
        """Change columns of a row that exists; the row need not be loaded."""
        values["last_sequence"] = self._sequence
        pending = self._pending(table)
        row = pending.known.get(key)
        if row is not None:
            row.update(values)
            pending.whole[key] = None
        else:
            pending.partial.setdefault(key, {}).update(values)

    def add(self, table: Table, column: str, /, **values: Any) -> None:
        """Add to one `column` of a row, or begin the row with it."""
        shape = _shape_of(table)
        key = shape.key_of(values)
        values["last_sequence"] = self._sequence
        sums = self._pending(table).sums
        row = sums.get(key)
        if row is not None:
            values[column] += row[column]
        sums[key] = values

    def append(self, table: Table, *values: Any) -> None:
        """Write a row of a history, which nothing changes later: its values in the table's order."""
        self._pending(table).appended.append(values)

    async def flush(self, connection: AsyncConnection) -> None:
        """Write everything, one statement per table and kind of change."""
        for table, pending in self._tables.items():
            shape = _shape_of(table)
            if pending.whole:
                rows = [row for key in pending.whole if (row := pending.known[key]) is not None]
                await self._upsert(connection, shape, rows)
            if pending.partial:
                await self._update(connection, shape, pending.partial)
            if pending.sums:
                await self._sum(connection, shape, list(pending.sums.values()))
            if pending.appended:
                await self._append(connection, shape, pending.appended)
        self._tables.clear()

    async def _upsert(self, connection: AsyncConnection, shape: _Shape, rows: list[Row]) -> None:
        sets = ", ".join(f'"{name}" = EXCLUDED."{name}"' for name in shape.columns if name not in shape.key)
        statement = f"{_insert(shape)} ON CONFLICT ({_names(shape.key)}) DO UPDATE SET {sets}"
        await connection.exec_driver_sql(statement, shape.arrange(shape.columns, rows))

    async def _update(self, connection: AsyncConnection, shape: _Shape, partial: Mapping[Key, Row]) -> None:
        kinds: dict[tuple[str, ...], list[Row]] = {}
        for key, values in partial.items():
            kinds.setdefault(tuple(sorted(values)), []).append({**dict(zip(shape.key, key, strict=True)), **values})
        for names, rows in sorted(kinds.items()):
            columns = (*shape.key, *names)
            sets = ", ".join(f'"{name}" = v."{name}"' for name in names)
            where = " AND ".join(f't."{name}" = v."{name}"' for name in shape.key)
            statement = (
                f"UPDATE {shape.name} AS t SET {sets} FROM {shape.unnest(columns)} "  # noqa: S608 - our own names
                f"AS v({_names(columns)}) WHERE {where}"
            )
            await connection.exec_driver_sql(statement, shape.arrange(columns, rows))

    async def _sum(self, connection: AsyncConnection, shape: _Shape, rows: list[Row]) -> None:
        sets = ", ".join(
            f'"{name}" = t."{name}" + EXCLUDED."{name}"'
            if shape.types[name] == "NUMERIC"
            else f'"{name}" = EXCLUDED."{name}"'
            for name in shape.columns
            if name not in shape.key
        )
        statement = f"{_insert(shape, 't')} ON CONFLICT ({_names(shape.key)}) DO UPDATE SET {sets}"
        await connection.exec_driver_sql(statement, shape.arrange(shape.columns, rows))

    async def _append(self, connection: AsyncConnection, shape: _Shape, rows: list[tuple[Any, ...]]) -> None:
        arrays = tuple(
            shape.render(name, list(column))
            for name, column in zip(shape.columns, zip(*rows, strict=True), strict=True)
        )
        await connection.exec_driver_sql(_insert(shape), arrays)


def _insert(shape: _Shape, alias: str = "") -> str:
    target = f"{shape.name} AS {alias}" if alias else shape.name
    return f"INSERT INTO {target} ({_names(shape.columns)}) SELECT * FROM {shape.unnest(shape.columns)}"  # noqa: S608 - our own names


def arrange_insert(table: Table, rows: Sequence[Mapping[str, Any]]) -> tuple[str, tuple[list[Any], ...]]:
    """Return the statement that inserts rows of a table by `unnest`, and its arrays; documents are JSON text."""
    shape = _shape_of(table)
    return _insert(shape), tuple([row[name] for row in rows] for name in shape.columns)


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)

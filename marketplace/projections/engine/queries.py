"""How query functions turn rows into values, and what a page, a list's window and a point in time are."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal, TypeVar

import msgspec
from sqlalchemy import Column, ColumnElement, Numeric, Select, cast, func, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

PAGE_ROWS_MAX: Final = 1_000
COUNT_MAX: Final = 10_000
T = TypeVar("T")
At = int | datetime | None
"""A point in the past: a sequence, or an instant by the time of the events; None for now."""

Amount = Decimal
Sorting = Literal["id", "oldest", "newest"]
"""The order of a list: by id, or by when its rows were created."""
Filter = str | Collection[str] | None
"""One value or several values of a column; None for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which rows of a list are read, in which order, and after which row.

    Attributes:
        limit: Rows, at most 1,000.
        order: By id, or by when they were created, with the id where that is the same.
        after: Key of the row before the first: its id, or when it was created and its id.
        created_from: Only rows that were created at this instant or later.
        created_before: Only rows that were created before this instant.
        counts: Whether to count the rows of the whole list.
    """

    limit: int = 100
    order: Sorting = "id"
    after: str | tuple[datetime, str] | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    counts: bool = False


WINDOW: Final = Window()
"""The first hundred rows by id."""


class Rows(list[T]):
    """Rows of a window.

    Attributes:
        total: Rows of the whole list; None if they were not counted, or are more than 10,000.
    """

    total: int | None = None


async def load_all(connection: AsyncConnection, query: Select[Any], kind: type[T]) -> list[T]:
    """Return the rows of a query as values of `kind`; documents become the structs that the events are made of."""
    result = await connection.execute(query)
    return [parse_row(row, kind) for row in result.mappings()]


async def find_one(connection: AsyncConnection, query: Select[Any], kind: type[T]) -> T | None:
    """Return the first row of a query as a value of `kind`, None where there is none."""
    row = (await connection.execute(query.limit(1))).mappings().first()
    return None if row is None else parse_row(row, kind)


def parse_row(row: Mapping[Any, Any], kind: type[T]) -> T:
    """Return one row as a value of `kind`; its names become plain strings, since msgspec refuses subclasses as keys."""
    return msgspec.convert({str(name): _write_out(value) for name, value in row.items()}, kind)


def _write_out(value: Any) -> Any:
    """Return a number with all of its digits: asyncpg reads 12,800,000 as 1.280E+7."""
    return Decimal(f"{value:f}") if isinstance(value, Decimal) else value


def until(at: At, sequence: Column[Any], time: Column[Any]) -> ColumnElement[bool]:
    """Return the condition that an event had happened at a point in the past, that point included."""
    if at is None:
        return true()
    return sequence <= at if isinstance(at, int) else time <= at


def as_decimal(fraction: ColumnElement[str]) -> ColumnElement[Decimal]:
    """Return a column of exact fractions such as ``7/3`` as decimals with at most 12 places, rounded half up."""
    numerator, denominator = (cast(func.split_part(fraction, "/", part), Numeric) for part in (1, 2))
    return func.trim_scale(func.round(numerator * 10**12 / denominator) * Decimal("1E-12"))


def narrow(query: Select[Any], given: Iterable[tuple[ColumnElement[Any], Filter]]) -> Select[Any]:
    """Return the query with further filters. A text must be the column's value, a sequence contain it; None is none."""
    for column, value in given:
        if value is not None:
            query = query.where(column == value if isinstance(value, str) else column.in_(value))
    return query


async def load_window(
    connection: AsyncConnection, query: Select[Any], kind: type[T], window: Window, *keys: Column[Any]
) -> Rows[T]:
    """Return the rows of a query within a window.

    Args:
        connection: Where to read.
        query: The filtered list, without order and limit.
        kind: Type of a row.
        window: Which of them.
        keys: The column of the ids, and that of the instants at which rows were created.
    """
    id_, created = keys
    if window.created_from is not None:
        query = query.where(created >= window.created_from)
    if window.created_before is not None:
        query = query.where(created < window.created_before)
    ordered = _order(query, window, id_, created)
    rows = Rows(await load_all(connection, page(ordered, window.limit), kind))
    if window.counts:
        counted = select(func.count()).select_from(query.with_only_columns(id_).limit(COUNT_MAX + 1).subquery())
        count = (await connection.execute(counted)).scalar_one()
        rows.total = count if count <= COUNT_MAX else None
    return rows


def _order(query: Select[Any], window: Window, id_: Column[Any], created: Column[Any]) -> Select[Any]:
    after = window.after
    if window.order == "id":
        return (query if after is None else query.where(id_ > after)).order_by(id_)
    key = tuple_(created, id_)
    if isinstance(after, tuple):
        last = tuple_(*after)
        query = query.where(key < last if window.order == "newest" else key > last)
    return query.order_by(created.desc(), id_.desc()) if window.order == "newest" else query.order_by(created, id_)


def page(query: Select[Any], limit: int) -> Select[Any]:
    """Return the query with a bound of rows; a page has at most 1,000."""
    assert limit >= 1, "the caller refuses a limit below one"
    return query.limit(min(limit, PAGE_ROWS_MAX))

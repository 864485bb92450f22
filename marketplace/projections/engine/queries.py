"""How query functions turn rows into values, and what a page and a point in time are."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import Column, ColumnElement, Select, true
from sqlalchemy.ext.asyncio import AsyncConnection

PAGE_ROWS_MAX: Final = 1_000
T = TypeVar("T")
At = int | datetime | None
"""A point in the past: a sequence, or an instant by the time of the events; None for now."""

Amount = Decimal


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


def page(query: Select[Any], limit: int) -> Select[Any]:
    """Return the query with a bound of rows; a page has at most 1,000."""
    assert limit >= 1, "the caller refuses a limit below one"
    return query.limit(min(limit, PAGE_ROWS_MAX))

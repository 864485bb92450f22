"""Keyset pages: what a request asks of a list, and the page that answers it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from litestar.di import NamedDependency
from litestar.params import QueryParameter, SkipValidation

from marketplace.api.http.bodies.answers import Page, T
from marketplace.api.http.cursors import parse_cursor, refuse_cursor, render_cursor
from marketplace.api.http.queries import describe_instant, parse_instant
from marketplace.projections.engine.queries import Rows, Sorting, Window

LIMIT_MAX: Final = 500
CURSOR_CHARACTERS_MAX: Final = 400
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

Limit = Annotated[int, QueryParameter(ge=1, le=LIMIT_MAX, description="Rows of a page")]
Cursor = Annotated[
    str | None, QueryParameter(max_length=CURSOR_CHARACTERS_MAX, description="`next_cursor` of the previous page")
]


Order = Annotated[
    Sorting, QueryParameter(name="order", description="By id, or by when rows were created: `oldest` or `newest` first")
]
CreatedFrom = Annotated[str | None, describe_instant("Only what was created at this RFC 3339 instant or later")]
CreatedBefore = Annotated[str | None, describe_instant("Only what was created before this RFC 3339 instant")]
Counts = Annotated[
    bool, QueryParameter(name="count", description="Whether the page tells `count`, the rows of the whole list")
]


def build_page(rows: Sequence[T], limit: int, key: Callable[[T], Any]) -> Page[T]:
    """Return the page of the first `limit` rows. A further row is not shown, and means that there is a next page."""
    shown = list(rows[:limit])
    return Page(items=shown, next_cursor=render_cursor(key(shown[-1])) if len(rows) > limit else None)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a request asks of a list: a page, an order, and when rows were created.

    Attributes:
        limit: Rows of the page.
        window: The same for a query, with one row more.
    """

    limit: int
    window: Window

    def build_page(self, rows: Rows[Any], shown: Sequence[T], key: Callable[[T], tuple[datetime, str]]) -> Page[T]:
        """Return the page.

        Args:
            rows: What the query found.
            shown: The same rows, as the reader sees them.
            key: When a row was created, and its id.
        """
        by_id = self.window.order == "id"

        def render(row: T) -> Any:
            created, id_ = key(row)
            return id_ if by_id else ((created - _EPOCH) // _MICROSECOND, id_)

        return msgspec.structs.replace(build_page(shown, self.limit, render), count=rows.total)


List = NamedDependency[SkipValidation[Listing]]


def _parse_key(cursor: str, order: Sorting) -> str | tuple[datetime, str]:
    if order == "id":
        return parse_cursor(cursor, "")
    microseconds, id_ = parse_cursor(cursor, (0, ""))
    try:
        return _EPOCH + microseconds * _MICROSECOND, id_
    except OverflowError:
        raise refuse_cursor() from None


def parse_span(created_from: str | None, created_before: str | None) -> tuple[datetime | None, datetime | None]:
    """Return the bounds of when rows were created.

    Raises:
        Refusal: ``request_invalid``.
    """
    return (
        None if created_from is None else parse_instant(created_from, "/created_from"),
        None if created_before is None else parse_instant(created_before, "/created_before"),
    )


def provide_listing(
    *,
    limit: Limit = 100,
    cursor: Cursor = None,
    order: Order = "id",
    created_from: CreatedFrom = None,
    created_before: CreatedBefore = None,
    count: Counts = False,
) -> Listing:
    """Return what a request asks of a list.

    Raises:
        Refusal: ``cursor_invalid`` or ``request_invalid``.
    """
    begin, end = parse_span(created_from, created_before)
    window = Window(
        limit=limit + 1,
        order=order,
        after=None if cursor is None else _parse_key(cursor, order),
        created_from=begin,
        created_before=end,
        counts=count,
    )
    return Listing(limit, window)

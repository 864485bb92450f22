"""Builds the tables and columns of every projection.

All tables share one `METADATA`, so that migrations, rebuilds and verification see the same definition. Every row names
the event that changed it last, in `last_sequence`, or, in a history, the event that made it, in `sequence`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, Column, DateTime, Index, MetaData, Numeric, Select, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the events behind a row are found.

    Attributes:
        aggregate: The aggregate whose events make the row.
        column: The column that holds its id.
        sequences: Returns a query of the sequences of a row's events, if several aggregates make the row.
    """

    aggregate: str = ""
    column: str = ""
    sequences: Callable[[Mapping[str, Any]], Select[int]] | None = None


_ORIGINS: Final[dict[str, Origin]] = {}


def text(name: str, *, key: bool = False, null: bool = False) -> Column[str]:
    """Return a text column."""
    return Column(name, Text, primary_key=key, nullable=null)


def whole(name: str, *, key: bool = False, null: bool = False) -> Column[int]:
    """Return a column of whole numbers of 64 bits."""
    return Column(name, BigInteger, primary_key=key, nullable=null, autoincrement=False)


def exact(name: str, *, null: bool = False) -> Column[Any]:
    """Return a column of exact decimals without a bound of places."""
    return Column(name, Numeric(asdecimal=True), nullable=null)


def instant(name: str, *, key: bool = False, null: bool = False) -> Column[Any]:
    """Return a column of instants."""
    return Column(name, DateTime(timezone=True), primary_key=key, nullable=null)


def document(name: str, *, null: bool = False) -> Column[Any]:
    """Return a column of JSON as it stands in the event: decimals are strings."""
    return Column(name, JSONB(none_as_null=True), nullable=null)


def define(name: str, *parts: Column[Any] | Index, origin: Origin) -> Table:
    """Return a table of a projection; `last_sequence` is added to it."""
    _ORIGINS[name] = origin
    return Table(name, METADATA, *parts, whole("last_sequence"))


def define_history(name: str, *parts: Column[Any] | Index, origin: Origin) -> Table:
    """Return a table whose rows are only ever added.

    One of `parts` is the column `sequence`, which says which event made a row; `last_sequence` is not added.
    """
    _ORIGINS[name] = origin
    return Table(name, METADATA, *parts)


def get_stamp(table: Table) -> Column[Any]:
    """Return the column that says which event touched a row last."""
    return table.c["last_sequence" if "last_sequence" in table.c else "sequence"]


def get_origin(table: Table) -> Origin:
    """Return where the events behind a row of `table` are found."""
    return _ORIGINS[table.name]

"""Columns as the migrations write them; frozen, unlike the tables of the release, which move on."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql


def text(name: str, *, null: bool = False) -> sa.Column[Any]:
    """Return a text column."""
    return sa.Column(name, sa.Text(), nullable=null)


def bigint(name: str, *, null: bool = False) -> sa.Column[Any]:
    """Return a column of 64-bit whole numbers."""
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=null)


def integer(name: str) -> sa.Column[Any]:
    """Return a column of 32-bit whole numbers."""
    return sa.Column(name, sa.Integer(), autoincrement=False, nullable=False)


def numeric(name: str, *, null: bool = False) -> sa.Column[Any]:
    """Return a column of exact decimals without a bound of places."""
    return sa.Column(name, sa.Numeric(), nullable=null)


def timestamp(name: str, *, null: bool = False) -> sa.Column[Any]:
    """Return a column of instants."""
    return sa.Column(name, sa.DateTime(timezone=True), nullable=null)


def day(name: str, *, null: bool = False) -> sa.Column[Any]:
    """Return a column of days."""
    return sa.Column(name, sa.Date(), nullable=null)


def flag(name: str, *, null: bool = False) -> sa.Column[Any]:
    """Return a column of truth values."""
    return sa.Column(name, sa.Boolean(), nullable=null)


def jsonb(name: str, *, null: bool = False) -> sa.Column[Any]:
    """Return a column of JSON."""
    return sa.Column(name, postgresql.JSONB(none_as_null=True), nullable=null)


def binary(name: str) -> sa.Column[Any]:
    """Return a column of bytes."""
    return sa.Column(name, sa.LargeBinary(), nullable=False)


def key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    """Return the primary key of a table."""
    return sa.PrimaryKeyConstraint(*columns, name=f"pk_{table}")

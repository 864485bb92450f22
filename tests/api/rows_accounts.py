"""Rows of explanations and statements of account, read once money has moved."""

from decimal import Decimal

from tests.api.rows import Row

_SPAN = "start=2020-01-01T00:00:00Z&end=2100-01-01T00:00:00Z"
_EMPTY = ("start=2100-01-01T00:00:00Z&end=2020-01-01T00:00:00Z", 422, "request_invalid")


def _sums(statement) -> bool:
    """Whether opening and lines sum to closing, on every ledger account."""
    sums: dict[str, Decimal] = {}
    for row in [*statement["opening"], *statement["lines"]]:
        sums[row["account"]] = sums.get(row["account"], Decimal(0)) + Decimal(row["amount"])
    return sums == {row["account"]: Decimal(row["amount"]) for row in statement["closing"]}


BOOKS = (
    Row(
        "GET",
        "/v1/accounts/{account}/explain?limit=50",
        refused=("limit=51", 422, "request_invalid"),
        check=lambda one: one["entries"][0]["event"]["body"]["type"] == "account.deposited.v1",
    ),
    Row(
        "GET",
        "/v1/accounts/{account}/statement?" + _SPAN,
        refused=_EMPTY,
        check=lambda one: one["lines"] and _sums(one),
    ),
    Row(
        "GET",
        "/v1/accounts/{account}/statement.csv?" + _SPAN + "&basis=occurred",
        refused=_EMPTY,
        check=lambda text: text.startswith("sequence,recorded_at,occurred_at,"),
    ),
    Row(
        "GET",
        "/v1/accounts/{account}/statement.html?" + _SPAN,
        refused=_EMPTY,
        check=lambda text: text.startswith("<!doctype html>"),
    ),
)

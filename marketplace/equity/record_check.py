"""Compare the numbers of an event with those of the certificate in it.

A valid certificate proves nothing about an event that states other numbers. Shares no code with the solver.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

Record = Mapping[str, Any]
KEY = "certificate_json"
DEPTH_MAX = 32


def find_records(value: Any, depth: int = 0) -> Iterator[Record]:
    """Yield every part of a JSON value that carries a certificate as text, such as an event's pricing or waterfall."""
    if depth > DEPTH_MAX:
        return
    if isinstance(value, Mapping):
        if isinstance(value.get(KEY), str):
            yield value
        for member in value.values():
            yield from find_records(member, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from find_records(item, depth + 1)


def read_certificate(record: Record) -> Record:
    """Return the certificate in a record.

    Raises:
        ValueError: It is not a JSON object.
    """
    certificate = json.loads(record[KEY])
    if not isinstance(certificate, dict):
        raise ValueError("the certificate is not a JSON object")  # noqa: TRY004 - it is the text that is wrong
    return certificate


def check_record(record: Record, certificate: Record) -> list[str]:
    """Compare a pricing or a waterfall with its certificate.

    Returns:
        Each number in which the two differ, in words; empty if there is none.
    """
    try:
        if certificate["kind"] == "priced_round":
            return list(_compare(_list_round(record, certificate)))
        return list(_compare(_list_sale(record, certificate)))
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        return [f"the record cannot be read beside its certificate: {type(error).__name__}: {error}"]


def _compare(pairs: Iterable[tuple[str, Any, Any]]) -> Iterator[str]:
    for what, recorded, certified in pairs:
        if recorded != certified:
            yield f"{what} is recorded as {recorded}, but certified as {certified}"


def _list_round(record: Record, certificate: Record) -> Iterator[tuple[str, Any, Any]]:
    result = certificate["result"]
    for name, certified in (
        ("price_exact", result["price_usd"]),
        ("price_usd_per_share", result["price_usd_rounded"]),
        ("pool_increase_exact", result["pool_increase_exact"]),
        ("pool_increase_shares", result["pool_increase"]),
        ("post_money_exact", result["fully_diluted_exact"]),
        ("post_money_shares", result["fully_diluted"]),
    ):
        yield name, Fraction(record[name]), Fraction(certified)
    company = sum(Fraction(value) for value in certificate["company"].values())
    yield "capitalization_exact", Fraction(record["capitalization_exact"]), company
    yield (
        "conversions",
        _rows(record["conversions"], "instrument_id"),
        _rows(certificate["instruments"], "instrument_id"),
    )
    yield "branches", _branches(record["conversions"]), _branches(certificate["instruments"])
    yield "allotments", _rows(record["allotments"], "holder_id"), _rows(result["new_money"], "holder_id")


def _rows(rows: Iterable[Record], name: str) -> list[tuple[str, Fraction, int]]:
    return sorted((row[name].partition("#")[0], Fraction(row["shares_exact"]), row["shares"]) for row in rows)


def _branches(rows: Iterable[Record]) -> list[tuple[str, str]]:
    return sorted((row["instrument_id"].partition("#")[0], row["branch"]) for row in rows)


def _list_sale(record: Record, certificate: Record) -> Iterator[tuple[str, Any, Any]]:
    yield "proceeds_usd", Fraction(record["proceeds_usd"]), Fraction(certificate["proceeds_usd"])
    price = "price_per_common_share_exact"
    yield price, Fraction(record[price]), Fraction(certificate["price_per_common_share_usd"])
    recorded = sorted(
        (row["holder_id"], row["security"], Fraction(row["amount_exact"]), Fraction(row["amount_usd"]))
        for row in record["payouts"]
    )
    certified = sorted(
        (
            row["holder_id"],
            row["item_id"].partition("#")[0],
            Fraction(row["amount_usd_exact"]),
            Fraction(row["amount_usd"]),
        )
        for row in certificate["payouts"]
    )
    yield "payouts", recorded, certified
    if record.get("stock") is not None:
        yield from _list_stock(record)


def _list_stock(record: Record) -> Iterator[tuple[str, Any, Any]]:
    """List what follows from the buyer's price: the ratio, whole shares, cash for the fraction to the cent below."""
    price = Fraction(record["stock"]["price_usd_per_share"])
    ratio = Fraction(record["price_per_common_share_exact"]) / price
    yield "exchange_ratio", Fraction(record["stock"]["exchange_ratio"]), ratio
    for row in record["payouts"]:
        exact = Fraction(row["amount_exact"]) / price
        cents = ((exact - exact.__floor__()) * price * 100).__floor__()
        told = (Fraction(row["buyer_shares_exact"]), row["buyer_shares"], Fraction(row["cash_usd"]))
        yield f"stock of {row['holder_id']}", told, (exact, exact.__floor__(), Fraction(cents, 100))

"""A book with its result in one JSON document: all that an auditor needs to check a clearing without our servers.

The document is what `render_clearing` writes with the `book` beside it. Reading it trusts nothing: types, spans and the
writing of numbers are checked before anything is computed from them, so that a forged document is refused and never
makes the verifier compute for long.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from marketplace.clearing.codec import parse_book, parse_clearing, render_book, render_clearing
from marketplace.clearing.model import Book, Clearing
from marketplace.core.errors import Refusal

BYTES_MAX: Final = 256_000_000
_NUMBER: Final = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,12})?")
_NUMERIC: Final = re.compile(r".*_usd(_per_gpu_hour)?|gap|price_loss_max|amount(_per_node_period)?")


def render_bundle(book: Book, clearing: Clearing) -> dict[str, Any]:
    """Return the document of a book and its result, as JSON-able values."""
    return {"book": render_book(book), **render_clearing(clearing)}


def parse_bundle(value: Any) -> tuple[Book, Clearing]:
    """Read a document that `render_bundle` wrote.

    Raises:
        Refusal: `malformed_bundle` where it has no book, or a number or span that cannot be; else as `parse_book` and
            `parse_clearing`.
    """
    if not isinstance(value, dict) or not isinstance(value.get("book"), dict):
        raise Refusal(
            "malformed_bundle",
            "the document has no book beside its result; take `GET /v1/auctions/{id}/audit`, not `/certificate`, or"
            " export one with `marketplace auction export` or `marketplace clear --certificate`",
        )
    for name, text in _list_numbers(value):
        if not isinstance(text, str) or not _NUMBER.fullmatch(text):
            raise Refusal("malformed_bundle", f"{name} is {text!r:.60}; expected a plain decimal as a string")
    book = parse_book(value["book"])
    clearing = parse_clearing({name: part for name, part in value.items() if name != "book"})
    for begin, end, subject in _list_spans(clearing):
        if not 0 <= begin <= end <= book.periods:
            raise Refusal(
                "malformed_bundle", f"{subject} spans [{begin}, {end}), which is not within {book.periods} periods"
            )
    return book, clearing


def _list_numbers(value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    queue: list[Any] = [value]
    while queue:
        part = queue.pop()
        if isinstance(part, list):
            queue.extend(part)
        elif isinstance(part, dict):
            for name, member in part.items():
                numeric = name != "price_usd_per_gpu_hour" or "value_usd_per_gpu_hour" not in part
                if _NUMERIC.fullmatch(str(name)) and numeric and member is not None:
                    yield str(name), member
                elif name != "facts":
                    queue.append(member)


def _list_spans(clearing: Clearing) -> Iterator[tuple[int, int, str]]:
    for price in clearing.prices:
        yield price.from_period, price.to_period, f"a price of {price.pool_id}"
    for shadow in clearing.shadow_prices:
        yield shadow.from_period, shadow.to_period, f"a shadow price of {shadow.lot_id}"
    for idle in clearing.idle_supply:
        yield idle.from_period, idle.to_period, f"idle supply of {idle.lot_id}"
    for rule in clearing.rule_prices:
        yield rule.from_period or 0, rule.to_period or 0, f"a price of rule {rule.rule_id}"
    for decision in (*clearing.decisions, *clearing.backstops):
        if decision.match is not None:
            yield decision.match.start_period, decision.match.end_period, f"the match of {decision.order_id}"
            for share in decision.match.lots:
                yield share.from_period, share.to_period, f"the match of {decision.order_id} on {share.lot_id}"

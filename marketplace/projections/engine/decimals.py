"""Exact fractions of events as the decimals that views show."""

from typing import Any, TypeVar

import msgspec

from marketplace.core.money import parse_ratio, round_ratio

V = TypeVar("V", bound=msgspec.Struct)


def show_decimals(kind: type[V], fact: msgspec.Struct | None, *ratios: str) -> V | None:
    """Return a view of a part of an event, with decimals of at most 12 places in place of exact fractions.

    Args:
        kind: The view, whose members the part has too.
        fact: The part; None where there is none.
        ratios: The members that are exact fractions.
    """
    if fact is None:
        return None
    told: dict[str, Any] = {name: getattr(fact, name) for name in kind.__struct_fields__}
    return kind(**told | {name: round_ratio(parse_ratio(told[name])) for name in ratios})

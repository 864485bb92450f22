"""Exact fractions of events as the decimals that views show."""

from typing import Any, TypeVar, overload

import msgspec

from marketplace.core.money import parse_ratio, round_ratio

V = TypeVar("V", bound=msgspec.Struct)


@overload
def show_decimals(kind: type[V], fact: msgspec.Struct, *ratios: str, **others: object) -> V: ...


@overload
def show_decimals(kind: type[V], fact: msgspec.Struct | None, *ratios: str, **others: object) -> V | None: ...


def show_decimals(kind: type[V], fact: msgspec.Struct | None, *ratios: str, **others: object) -> V | None:
    """Return a view of a part of an event, with decimals of at most 12 places in place of exact fractions.

    Args:
        kind: The view, whose members the part has too, apart from `others`.
        fact: The part; None where there is none.
        ratios: The members that are exact fractions.
        others: Members of the view that the part has in another form or under another name.
    """
    if fact is None:
        return None
    told: dict[str, Any] = {name: getattr(fact, name) for name in kind.__struct_fields__ if name not in others}
    return kind(**told | {name: round_ratio(parse_ratio(told[name])) for name in ratios} | others)

"""How large an event can be by its types alone, and which of its members no type bounds."""

import re
from collections.abc import Iterator
from typing import Any

from msgspec import inspect


def list_unbounded(of: Any, path: str = "") -> Iterator[str]:
    """Walk the members of a type that it does not bound, by their paths."""
    yield from _Walk().walk(inspect.type_info(of), path)


class _Walk:
    """Walks a type; one that holds itself is walked once."""

    def __init__(self) -> None:
        self._within: list[type] = []

    def walk(self, info: inspect.Type, path: str) -> Iterator[str]:
        match info:
            case inspect.Metadata():
                yield from self.walk(info.type, path)
            case inspect.StructType():
                yield from self._walk_struct(info, path)
            case inspect.UnionType():
                for one in info.types:
                    yield from self.walk(one, path)
            case inspect.VarTupleType() | inspect.ListType() | inspect.DictType():
                yield from self._walk_items(info, path)
            case inspect.StrType():
                yield from [path] * (find_characters_max(info) is None)
            case _:
                assert isinstance(info, _SMALL), f"{path}: {info}"

    def _walk_struct(self, info: inspect.StructType, path: str) -> Iterator[str]:
        if info.cls not in self._within:
            self._within.append(info.cls)
            for field in info.fields:
                yield from self.walk(field.type, f"{path}.{field.name}".lstrip("."))
            self._within.pop()

    def _walk_items(self, info: inspect.VarTupleType | inspect.ListType | inspect.DictType, path: str) -> Iterator[str]:
        brackets = "{}" if isinstance(info, inspect.DictType) else "[]"
        if info.max_length is None:
            yield path + brackets
        if isinstance(info, inspect.DictType):
            yield from self.walk(info.key_type, f"{path}{brackets}.key")
        of = info.value_type if isinstance(info, inspect.DictType) else info.item_type
        yield from self.walk(of, path + brackets)


_SMALL = (
    inspect.BoolType,
    inspect.DateTimeType,
    inspect.DateType,
    inspect.DecimalType,
    inspect.IntType,
    inspect.LiteralType,
    inspect.NoneType,
)


def find_characters_max(info: inspect.StrType) -> int | None:
    """Return the most characters that a string may have by its length or its pattern; None for any number."""
    known = [] if info.max_length is None else [info.max_length]
    if info.pattern is not None and info.pattern.endswith("$"):
        _, longest = re._parser.parse(info.pattern).getwidth()
        known += [longest] if longest < re._constants.MAXREPEAT else []
    return min(known, default=None)

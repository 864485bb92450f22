"""What a projection's rows depend on beside the log, as one hash: tables, events, and the code that makes rows of them.

Rows that another release made may lack what this one keeps: a column that a migration added is empty in them, and a
handler that was mended has made what it made. So the hash of the code that made the rows is kept beside their position,
and where it is not that of the running release they are built anew (`renewal.py`).

The hash follows everything that a projection's handlers and its `load` can reach by name in our own packages: functions
by their bytecode, classes by their fields and methods, tables by their columns, constants by their values, events by
their JSON Schemas. Comments, docstrings, formatting and queries do not count. The bytecode is the interpreter's, so
another minor release of Python makes another hash, and a rebuild that finds the same rows.
"""

import functools
import hashlib
import inspect
import re
import types
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any, Final

from sqlalchemy import Table
from sqlalchemy.sql import ClauseElement

from events.json_schema import fingerprint, render_schema
from events.types import Event
from marketplace.projections.projection import Projection, get_tag_of

_OURS: Final = frozenset({"events", "marketplace"})
_PLAIN: Final = (str, bytes, int, float, type(None), Enum, Decimal, Fraction, date, timedelta, re.Pattern)


@functools.cache
def compute_fingerprint(projection: Projection) -> str:
    """Return the SHA-256, in hex, of all that the projection's rows depend on beside the log."""
    walk = _Walk()
    for table in projection.tables:
        walk.see(table)
    for event_class in sorted(projection.handlers, key=lambda known: known.__qualname__):
        walk.see(event_class)
        walk.see(projection.handlers[event_class])
    walk.see(projection.load)
    return hashlib.sha256("\n".join(walk.lines).encode()).hexdigest()


class _Walk:
    """Everything that can be reached, told once each, in the order in which it is met."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._met: dict[int, object] = {}

    def see(self, value: object) -> None:
        """Tell of a value and of what it leads to."""
        if isinstance(value, _PLAIN):
            self.lines.append(repr(value))
        elif id(value) in self._met:
            self.lines.append("again")
        else:
            self._met[id(value)] = value
            self.lines.append(type(value).__qualname__)
            self._tell(value)

    def _tell(self, value: object) -> None:
        parts = _list_parts(value)
        if parts is not None:
            self._tell_all(parts)
        elif isinstance(value, ClauseElement):
            self.lines.extend(_describe(value))
        elif isinstance(value, types.FunctionType):
            self._tell_function(value)
        elif isinstance(value, type):
            self._tell_class(value)
        else:
            self._tell_object(value)

    def _tell_all(self, values: Iterable[object]) -> None:
        for value in values:
            self.see(value)

    def _tell_function(self, function: types.FunctionType) -> None:
        self.lines.append(_name(function))
        if not _is_ours(function):
            return
        self._tell_all((function.__defaults__, function.__kwdefaults__))
        self._tell_code(function.__code__, function.__globals__, function.__doc__)
        for cell in function.__closure__ or ():
            self.see(cell.cell_contents)

    def _tell_code(self, code: types.CodeType, known: Mapping[str, object], doc: str | None) -> None:
        self.lines.append(code.co_code.hex())
        self.lines.extend((*code.co_names, *code.co_varnames, *code.co_freevars))
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._tell_code(constant, known, None)
            elif doc is None or constant != doc:
                self.see(constant)
        for name in code.co_names:
            found = known.get(name)
            if isinstance(found, types.ModuleType):
                self._tell_all(getattr(found, part) for part in code.co_names if _is_ours_in(found, part))
            elif name in known:
                self.see(found)

    def _tell_class(self, known: type) -> None:
        self.lines.append(_name(known))
        if issubclass(known, Event):
            self.lines.append(_get_schema_hash(known))
        elif _is_ours(known):
            self.lines.append(repr(inspect.get_annotations(known)))
            members = (known.__dict__[name] for name in sorted(known.__dict__) if not name.startswith("__"))
            self._tell_all(member for member in members if isinstance(member, types.FunctionType))

    def _tell_object(self, value: object) -> None:
        """Tell of an instance by its class and its fields, where the class is ours."""
        self.see(type(value))
        if _is_ours(type(value)):
            fields = getattr(type(value), "__annotations__", {})
            self._tell_all(getattr(value, name) for name in fields if hasattr(value, name))


def _list_parts(value: object) -> Iterable[object] | None:
    """Return what a container or a wrapper is made of; None for everything else."""
    wrapped = getattr(value, "__wrapped__", None)
    match value:
        case Mapping():
            return [part for pair in value.items() for part in pair]
        case tuple() | list():
            return value
        case set() | frozenset():
            return sorted(_name(member) for member in value)
        case types.MethodType():
            return [value.__func__, value.__self__]
        case functools.partial():
            return [value.func, *value.args, *sorted(value.keywords.items())]
    return [wrapped] if isinstance(wrapped, types.FunctionType) else None


def _describe(element: ClauseElement) -> list[str]:
    """Return what a table keeps, or the text of another piece of SQL."""
    if not isinstance(element, Table):
        return [str(element)]
    columns = [f"{element.name}.{column.name} {column.type!r} {column.nullable}" for column in element.columns]
    return columns + [f"key {column.name}" for column in element.primary_key.columns]


@functools.cache
def _get_schema_hash(event_class: type[Event]) -> str:
    return fingerprint(render_schema(get_tag_of(event_class)))


def _name(value: Any) -> str:
    """Return what a class or function is called, or the text of a plain value."""
    return f"{value.__module__}.{value.__qualname__}" if hasattr(value, "__qualname__") else repr(value)


def _is_ours(value: Any) -> bool:
    return (value.__module__ or "").split(".", 1)[0] in _OURS


def _is_ours_in(module: types.ModuleType, name: str) -> bool:
    return module.__name__.split(".", 1)[0] in _OURS and hasattr(module, name)

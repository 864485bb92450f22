"""What code does, as one hash: everything of ours that can be reached from some functions and classes, by name.

What was made by code and is kept, such as a projection's rows or a snapshot of a state, is right only for the code that
made it. A list of modules, kept by hand, is forgotten in the one change that matters. So the code itself is walked:
functions by their bytecode, defaults and whatever of ours they name; classes by their members, fields, what those are
typed as and begin with, and their bases; constants by their values. Comments, docstrings and formatting do not count.
The bytecode is the interpreter's, so another minor release of Python makes another hash.

Not followed is what is only called on a value that is given, and whose class none of the above names: whoever begins a
walk begins it also with such classes.
"""

import functools
import hashlib
import inspect
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any, Final, get_args

OURS: Final = frozenset({"events", "marketplace"})
_PLAIN: Final = (str, bytes, int, float, type(None), Enum, Decimal, Fraction, date, timedelta, re.Pattern)
_CONSTANT: Final = (*_PLAIN, tuple, frozenset, Mapping)
_WRAPPED: Final = (staticmethod, classmethod, property, functools.cached_property)
_GENERATED: Final = "<string>"
"""The file of functions that `dataclass` and `namedtuple` write: they say no more than the fields do."""

Describe = Callable[[object], Iterable[object] | None]


def describe_nothing(value: object) -> Iterable[object] | None:
    """Leave every value to the walk."""
    del value
    return None


class CodeWalk:
    """Everything that can be reached from some values, told once each, in the order in which it is met.

    Args:
        roots: Where the walk begins.
        describe: Says in other words what some values are, as values; None of those that the walk is to tell itself.

    Attributes:
        lines: What was told.
        codes: The bytecode that was told, also that of nested functions.
    """

    def __init__(self, roots: Iterable[object], describe: Describe = describe_nothing) -> None:
        self.lines: list[str] = []
        self.codes: set[types.CodeType] = set()
        self._describe = describe
        self._met: dict[int, int] = {}
        self._kept: list[object] = []
        self._see(*roots)
        for number, value in enumerate(self._kept):
            self.lines.append(f"{number}: {type(value).__qualname__}")
            self._tell(value)

    def compute_hash(self) -> str:
        """Return the SHA-256, in hex, of all that was told."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()

    def _see(self, *values: object) -> None:
        """Tell of plain values, and of others which they are in the order in which they are told."""
        for value in values:
            if isinstance(value, _PLAIN):
                self.lines.append(repr(value))
                continue
            if id(value) not in self._met:
                self._met[id(value)] = len(self._kept)
                self._kept.append(value)
            self.lines.append(f"see {self._met[id(value)]}")

    def _tell(self, value: object) -> None:
        described = self._describe(value)
        if described is not None:
            self._see(*described)
        elif (parts := _list_parts(value)) is not None:
            self._see(*parts)
        elif isinstance(value, types.FunctionType):
            self._tell_function(value)
        elif isinstance(value, type):
            self._tell_class(value)
        elif _is_ours(type(value)):
            self._see(type(value), *_list_values(value))
        else:
            self.lines.append(getattr(value, "__qualname__", None) or _name(type(value)))

    def _tell_function(self, function: types.FunctionType) -> None:
        self.lines.append(_name(function))
        if not _is_ours(function):
            return
        self._see(function.__defaults__, function.__kwdefaults__)
        self._tell_code(function.__code__, function.__globals__, function.__doc__)
        self._see(*(cell.cell_contents for cell in function.__closure__ or ()))

    def _tell_code(self, code: types.CodeType, known: Mapping[str, object], doc: str | None) -> None:
        self.codes.add(code)
        self.lines.append(code.co_code.hex())
        self.lines.append(f"{code.co_argcount} {code.co_posonlyargcount} {code.co_kwonlyargcount} {code.co_flags}")
        self.lines.extend((*code.co_names, *code.co_varnames, *code.co_freevars))
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._tell_code(constant, known, None)
            elif doc is None or constant != doc:
                self._see(constant)
        for name in code.co_names:
            found = known.get(name)
            if isinstance(found, types.ModuleType):
                self._see(*(getattr(found, part) for part in code.co_names if _is_ours_in(found, part)))
            elif name in known:
                self._see(found)

    def _tell_class(self, known: type) -> None:
        self.lines.append(_name(known))
        if _is_ours(known):
            annotations = inspect.get_annotations(known)
            self.lines.append(repr(annotations))
            self._see(
                *list_members(known), *_list_defaults(known), *(base for base in known.__bases__ if _is_ours(base))
            )
            self._see(*(part for annotation in annotations.values() for part in _list_types(annotation)))


def _list_parts(value: object) -> Iterable[object] | None:
    """Return what a container or a wrapper is made of; None for everything else."""
    match value:
        case Mapping():
            return [part for pair in value.items() for part in pair]
        case tuple() | list():
            return value
        case set() | frozenset():
            return sorted(value, key=_name)
        case types.MethodType():
            return [value.__func__, value.__self__]
        case functools.partial():
            return [value.func, *value.args, *sorted(value.keywords.items())]
        case staticmethod() | classmethod():
            return [value.__func__]
        case property():
            return [value.fget, value.fset, value.fdel]
        case functools.cached_property():
            return [value.func]
    wrapped = _unwrap(value)
    return None if wrapped is None else [wrapped]


def _unwrap(value: object) -> types.FunctionType | None:
    """Return the function that a decorator of the standard library hides."""
    wrapped = getattr(value, "__wrapped__", None)
    return wrapped if isinstance(wrapped, types.FunctionType) else None


def list_members(known: type) -> Iterator[object]:
    """Walk what the body of a class defines, by name; not what a decorator wrote of its fields."""
    if issubclass(known, Enum):
        yield from known
    for name in sorted(known.__dict__):
        member = known.__dict__[name]
        constant = not name.startswith("__") and isinstance(member, _CONSTANT)
        written = isinstance(member, types.FunctionType) and member.__code__.co_filename != _GENERATED
        if constant or written or isinstance(member, _WRAPPED) or _unwrap(member) is not None:
            yield member


def _list_defaults(known: Any) -> Iterator[object]:
    """Walk what the fields of a class begin with."""
    if is_dataclass(known):
        for field in fields(known):
            yield from (field.name, field.default, field.default_factory)
    for default in getattr(known, "__struct_defaults__", ()):
        yield getattr(default, "factory", default)


def _list_types(annotation: object) -> Iterator[type]:
    """Walk the classes of ours that an annotation names."""
    if isinstance(annotation, type) and _is_ours(annotation):
        yield annotation
    for argument in get_args(annotation):
        yield from _list_types(argument)


def _list_values(value: object) -> Iterator[object]:
    """Walk the fields of an instance of a class of ours."""
    names = (name for known in type(value).__mro__ for name in inspect.get_annotations(known) if _is_ours(known))
    yield from (getattr(value, name) for name in names if hasattr(value, name))


def _name(value: Any) -> str:
    """Return what a class or function is called, or the text of a plain value."""
    return f"{value.__module__}.{value.__qualname__}" if hasattr(value, "__qualname__") else repr(value)


def _is_ours(value: Any) -> bool:
    return (value.__module__ or "").split(".", 1)[0] in OURS


def _is_ours_in(module: types.ModuleType, name: str) -> bool:
    return module.__name__.split(".", 1)[0] in OURS and hasattr(module, name)

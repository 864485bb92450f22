"""Puts a mutant in place: one text of a module's source is another."""

import gc
import linecache
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType

from tests.invariants.corpus import Mutant


class Mutation:
    """A mutant in the functions of a module that is imported already.

    Attributes:
        codes: The bytecode, as it is without the mutant, of each function that the mutant changes, and in it.
    """

    def __init__(self, mutant: Mutant) -> None:
        module = sys.modules[mutant.module]
        assert module.__file__ is not None
        self._path = module.__file__
        source = Path(self._path).read_text(encoding="utf-8")
        self._mutated = mutant.change(source)
        whole = compile(source, self._path, "exec"), compile(self._mutated, self._path, "exec")
        changed = {before: after for before, after in _pair(*whole) if before != after}
        self._functions = {
            function: changed[function.__code__]
            for function in gc.get_objects()
            if isinstance(function, FunctionType)
            and function.__module__ == mutant.module
            and function.__code__ in changed
        }
        assert self._functions, f"{mutant.before!r} is in no function of {mutant.module}"
        self.codes = {inner for function in self._functions for inner, _ in _pair(function.__code__, function.__code__)}

    def put(self) -> None:
        """Put the mutant in place."""
        for function, code in self._functions.items():
            function.__code__ = code
        lines = self._mutated.splitlines(keepends=True)
        linecache.cache[self._path] = (len(self._mutated), None, lines, self._path)


def _pair(before: CodeType, after: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """Walk the bytecode of a text and of its mutant side by side, no deeper where one has a function more."""
    yield before, after
    inner = [[part for part in code.co_consts if isinstance(part, CodeType)] for code in (before, after)]
    if len(inner[0]) == len(inner[1]):
        for parts in zip(*inner, strict=True):
            yield from _pair(*parts)

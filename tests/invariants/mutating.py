"""Imports a module with a mutant in place: one text of its source is another."""

import importlib.abc
import importlib.util
import linecache
from importlib.machinery import PathFinder, SourceFileLoader

from tests.invariants.corpus import Mutant


class _Loader(SourceFileLoader):
    """Loads a module with one text in place of another; never from compiled files."""

    def __init__(self, name: str, path: str, mutant: Mutant) -> None:
        super().__init__(name, path)
        self._mutant = mutant

    def get_code(self, fullname):
        path = self.get_filename(fullname)
        source = self.get_data(path).decode()
        assert source.count(self._mutant.before) == 1, f"{fullname} has {self._mutant.before!r} not once"
        mutated = source.replace(self._mutant.before, self._mutant.after)
        linecache.cache[path] = (len(mutated), None, mutated.splitlines(keepends=True), path)
        return compile(mutated, path, "exec")


class Mutating(importlib.abc.MetaPathFinder):
    """Lets one module be imported with a mutant in place."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, fullname, path, target=None):
        if fullname != self._mutant.module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.origin is not None
        loader = _Loader(fullname, spec.origin, self._mutant)
        return importlib.util.spec_from_file_location(fullname, spec.origin, loader=loader)

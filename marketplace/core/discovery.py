"""Find what the modules of a package define, so that a new module needs no entry in a list."""

import pkgutil
from importlib import import_module
from typing import TypeVar

T = TypeVar("T")


def find_constants(package: str, kind: type[T]) -> list[T]:
    """Import every module of a package and of its folders, and return their constants of one type.

    Each constant is there once, however many modules import it. The order is that of the modules' names.
    """
    found: dict[int, T] = {}
    for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
        for value in vars(import_module(module.name)).values():
            if isinstance(value, kind):
                found[id(value)] = value
    return list(found.values())

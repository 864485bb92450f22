"""Undocumented is red: every query function and every projection stands in the README."""

import inspect
import re
import sys
from pathlib import Path

import pytest

import marketplace.projections
from marketplace.projections.engine import operations
from marketplace.projections.registry import PROJECTIONS

README = (Path(marketplace.projections.__file__).parent / "README.md").read_text()
MODULES = (*(projection.name for projection in PROJECTIONS), "operations")


def find_queries(name):
    """Return the module of a projection, the package where it has one of its own."""
    if name == "operations":
        return operations
    found = [
        module
        for module in list(sys.modules.values())
        if module.__name__.startswith("marketplace.projections.")
        and getattr(getattr(module, "PROJECTION", None), "name", "") == name
    ]
    return min(found, key=lambda module: len(module.__name__))


@pytest.mark.parametrize("name", MODULES)
def test_every_query_function_is_in_the_readme_and_every_name_there_exists(name):
    module = find_queries(name)
    written = {
        function
        for function, value in inspect.getmembers(module, inspect.iscoroutinefunction)
        if value.__module__.startswith(module.__name__) and not function.startswith("_")
    }
    (row,) = [line for line in README.splitlines() if line.startswith(f"| `{name}` |")]
    named = {code.split("(")[0] for code in re.findall(r"`([a-z_]+(?:\([^`]*\))?)`", row)} - {name}
    assert named == written


def test_the_arguments_that_the_readme_names_exist():
    for name in MODULES:
        module = find_queries(name)
        (row,) = [line for line in README.splitlines() if line.startswith(f"| `{name}` |")]
        for function, arguments in re.findall(r"`([a-z_]+)\(([^`)]+)\)`", row):
            parameters = set(inspect.signature(getattr(module, function)).parameters)
            named = {argument.strip() for argument in arguments.split(",")}
            assert named - {"instant"} <= parameters, function

"""Undocumented is red: every query function and every projection stands in the README."""

import inspect
import re

import pytest

from scripts.query_table import NAMES, README, find_module, replace_table

README_TEXT = README.read_text()


def test_the_table_of_queries_is_current():
    assert replace_table(README_TEXT) == README_TEXT, "run scripts/render_contracts.py"


@pytest.mark.parametrize("name", NAMES)
def test_every_query_function_is_in_the_readme_and_every_name_there_exists(name):
    module = find_module(name)
    written = {
        function
        for function, value in inspect.getmembers(module, inspect.iscoroutinefunction)
        if value.__module__.startswith(module.__name__) and not function.startswith("_")
    }
    (row,) = [line for line in README_TEXT.splitlines() if line.startswith(f"| `{name}` |")]
    named = {code.split("(")[0] for code in re.findall(r"`([a-z_]+(?:\([^`]*\))?)`", row)} - {name}
    assert named == written


def test_the_arguments_that_the_readme_names_exist():
    for name in NAMES:
        module = find_module(name)
        (row,) = [line for line in README_TEXT.splitlines() if line.startswith(f"| `{name}` |")]
        for function, arguments in re.findall(r"`([a-z_]+)\(([^`)]+)\)`", row):
            parameters = set(inspect.signature(getattr(module, function)).parameters)
            named = {argument.strip() for argument in arguments.split(",")}
            assert named - {"instant"} <= parameters, function

"""The table of query functions in `marketplace/projections/README.md`, generated from the functions' signatures."""

import inspect
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Final

from marketplace.projections.engine import operations
from marketplace.projections.registry import PROJECTIONS

README: Final = Path(__file__).parent.parent / "marketplace" / "projections" / "README.md"
BEGIN: Final = "<!-- queries: begin, written by scripts/render_contracts.py -->"
END: Final = "<!-- queries: end -->"
NAMES: Final = (*(projection.name for projection in PROJECTIONS), "operations")
_ASSUMED: Final = frozenset({"connection", "limit", "after"})


def find_module(name: str) -> ModuleType:
    """Return the module of a projection; its package, if it has one of its own."""
    if name == "operations":
        return operations
    found = [
        module
        for module in list(sys.modules.values())
        if module.__name__.startswith("marketplace.projections.")
        and getattr(getattr(module, "PROJECTION", None), "name", "") == name
    ]
    return min(found, key=lambda module: len(module.__name__))


def render_row(name: str) -> str:
    """Return one row: the queries of a projection in the order of the source, with the arguments that narrow each."""
    module = find_module(name)
    queries = [
        value
        for function, value in vars(module).items()
        if inspect.iscoroutinefunction(value)
        and value.__module__.startswith(module.__name__)
        and not function.startswith("_")
    ]
    ordered = sorted(queries, key=lambda query: (query.__module__, query.__code__.co_firstlineno))
    return f"| `{name}` | {', '.join(_render_query(query) for query in ordered)} |"


def _render_query(query: object) -> str:
    signature = inspect.signature(query)  # type: ignore[arg-type]
    arguments = [name for name in signature.parameters if name not in _ASSUMED]
    return f"`{query.__name__}({', '.join(arguments)})`" if arguments else f"`{query.__name__}`"  # type: ignore[attr-defined]


def replace_table(readme: str) -> str:
    """Return the README with the table between its markers made current.

    Raises:
        ValueError: A marker is missing.
    """
    return replace_between(readme, BEGIN, END, ["| module | functions |", "|---|---|", *map(render_row, NAMES)])


def replace_between(readme: str, begin: str, end: str, lines: Iterable[str]) -> str:
    """Return a README with these lines between two markers.

    Raises:
        ValueError: A marker is missing.
    """
    before, begun, rest = readme.partition(begin)
    _, ended, after = rest.partition(end)
    if not begun or not ended:
        raise ValueError(f"the README has no place for the table: put {begin!r} and {end!r} into it")
    table = "\n".join(lines)
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"

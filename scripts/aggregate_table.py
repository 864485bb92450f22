"""The table of aggregates in `marketplace/domain/README.md`, generated from the first lines of their modules."""

import sys
from pathlib import Path
from typing import Any, Final

from marketplace.core.decider import Decider
from marketplace.domain.deciders import DECIDERS
from scripts.query_table import replace_between

README: Final = Path(__file__).parent.parent / "marketplace" / "domain" / "README.md"
BEGIN: Final = "<!-- aggregates: begin, written by scripts/render_contracts.py -->"
END: Final = "<!-- aggregates: end -->"
ROOMS: Final = ("supply", "trading", "delivery", "metering", "billing", "equity", "")
"""In the order of the flow; aggregates outside these rooms come last."""


def replace_table(readme: str) -> str:
    """Return the README with the table between its markers made current.

    Raises:
        ValueError: A marker is missing.
    """
    rows = [
        _render_row(room, decider) for room in ROOMS for decider in DECIDERS.values() if _find_room(decider) == room
    ]
    return replace_between(readme, BEGIN, END, ["| room | aggregate | what it is |", "|---|---|---|", *rows])


def _find_room(decider: Decider[Any, Any, Any]) -> str:
    """Return the folder of the domain that a decider is in; empty if it is in none."""
    folder = decider.decide.__module__.split(".")[2]
    return folder if folder in ROOMS else ""


def _render_row(room: str, decider: Decider[Any, Any, Any]) -> str:
    module = decider.decide.__module__
    text = " ".join((sys.modules[module].__doc__ or "").partition("\n\n")[0].split())
    path = "/".join(module.split(".")[2:])
    return f"| {room} | [{decider.aggregate}]({path}.py) | {text} |"

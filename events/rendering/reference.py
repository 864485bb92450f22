"""The table of all event types in `events/README.md`, generated from the docstrings between two markers."""

from typing import Final

from events.registry import AGGREGATES, EVENT_TYPES, list_tags, render_schema_name
from events.rendering.docstrings import parse_docstring

BEGIN: Final = "<!-- event types: begin, written by scripts/render_contracts.py -->"
END: Final = "<!-- event types: end -->"


def render_table() -> str:
    """Return a Markdown table with one line per event type, by aggregate."""
    lines = ["| type | what happened | schema | sample |", "|---|---|---|---|"]
    for aggregate in AGGREGATES:
        lines += [_render_line(tag) for tag in list_tags(aggregate)]
    return "\n".join(lines) + "\n"


def replace_table(readme: str) -> str:
    """Return the README with the table between its markers made current.

    Raises:
        ValueError: A marker is missing.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the README has no place for the table: put {BEGIN!r} and {END!r} into it")
    return f"{before}{BEGIN}\n\n{render_table()}\n{END}{after}"


def _render_line(tag: str) -> str:
    text = parse_docstring(EVENT_TYPES[tag].__doc__ or "").text.replace("|", "\\|")
    file = render_schema_name(tag)
    return f"| `{tag}` | {text} | [schema](schemas/{file}) | [sample](samples/{file}) |"

"""Google docstrings as data, so that what a class says of itself is what its schema says.

Only the text before the sections and the `Attributes:` section are read.
"""

import re
from dataclasses import dataclass, field
from inspect import cleandoc
from textwrap import dedent

_ATTRIBUTE = re.compile(r"^(?P<name>[a-z_0-9]+): (?P<text>.+)$")


@dataclass(frozen=True, slots=True)
class Docstring:
    """A docstring in Markdown: the text, and one sentence per attribute."""

    text: str
    attributes: dict[str, str] = field(default_factory=dict)


def parse_docstring(docstring: str) -> Docstring:
    """Return the text and the attributes of a Google docstring.

    Raises:
        ValueError: A line of the `Attributes:` section neither begins an attribute nor goes on with one.
    """
    text, _, section = cleandoc(docstring).partition("\nAttributes:\n")
    attributes: dict[str, str] = {}
    name = ""
    for line in dedent(section).splitlines():
        begins = _ATTRIBUTE.match(line)
        if begins:
            name = begins["name"]
            attributes[name] = render_markdown(begins["text"])
        elif name and line.startswith(" "):
            attributes[name] += " " + render_markdown(line.strip())
        elif line:
            raise ValueError(f"{line!r} is not an attribute of a Google docstring: write 'name: What it is.'")
    return Docstring(" ".join(render_markdown(text).split()), attributes)


def render_markdown(text: str) -> str:
    """Return a docstring's text for readers of JSON: Markdown code marks, and null for None."""
    return re.sub(r"\bNone\b", "null", text.replace("``", "`"))

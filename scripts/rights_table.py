"""The table of rights in `marketplace/domain/README.md`, generated from the table that the market applies."""

from pathlib import Path
from typing import Final

from marketplace.domain.equity.rights import list_rights
from marketplace.projections.feed.told import tell
from scripts.query_table import replace_between

README: Final = Path(__file__).parent.parent / "marketplace" / "domain" / "README.md"
BEGIN: Final = "<!-- rights: begin, written by scripts/render_contracts.py -->"
END: Final = "<!-- rights: end -->"
HEAD: Final = (
    "| act | who proposes | who must agree | unless | time and silence | who is told, and may see |",
    "|---|---|---|---|---|---|",
)


def replace_table(readme: str) -> str:
    """Return the README with the table between its markers made current.

    Raises:
        ValueError: A marker is missing.
    """
    rows = [f"| {' | '.join((*right[1:], tell(right.name)))} |" for right in list_rights()]
    return replace_between(readme, BEGIN, END, [*HEAD, *rows])

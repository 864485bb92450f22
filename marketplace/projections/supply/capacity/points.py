"""Bind a hand-written query to a point in the past."""

import re
from typing import Any, Final

from sqlalchemy import TextClause, text

from marketplace.projections.engine.queries import At

_MARK: Final = re.compile(r"HAPPENED\((\w+)\)")


def bind(query: str, at: At, **values: Any) -> tuple[TextClause, dict[str, Any]]:
    """Return a query and its parameters. ``HAPPENED(alias)`` in it means that a row's event had happened at `at`."""
    if at is None:
        return text(_MARK.sub("true", query)), values
    bound = r"\1.sequence <= :at" if isinstance(at, int) else r"\1.occurred_at <= :at"
    return text(_MARK.sub(bound, query)), {**values, "at": at}

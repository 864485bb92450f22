"""The share register: rows of who holds how much, and the signed entries that moved the shares."""

from typing import Any, Final

from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.equity.cap_tables import tables

POOL: Final = "pool"


class Register:
    """The share register of one event: moves shares and numbers the lines."""

    def __init__(self, changes: WriteBatch, fact: RecordedEvent) -> None:
        self._changes = changes
        self._fact = fact
        self._line = 0

    def move(
        self, kind: str, holder_id: str, security: str, shares: int, class_id: str | None = None, **values: Any
    ) -> None:
        """Add `shares`, which may be negative, to a row, or create it, and record the difference. 0 changes nothing.

        `values` are further columns of the row.
        """
        if not shares:
            return
        issuer_id = self._fact.id
        row = self._changes.find(tables.holdings, issuer_id, kind, holder_id, security)
        if row is None:
            known: dict[str, Any] = {"shares": 0, "class_id": class_id}
            known |= {"issuer_id": issuer_id, "kind": kind, "holder_id": holder_id, "security": security}
        else:
            known = dict(row)
        known["shares"] += shares
        self._changes.put(tables.holdings, **{**known, **values})
        line, self._line = self._line, self._line + 1
        keys = (self._fact.sequence, line, issuer_id, kind, holder_id, security, known["class_id"])
        self._changes.append(tables.share_entries, *keys, shares, self._fact.time)

    def stock(self, holder_id: str, class_id: str, shares: int) -> None:
        """Add to a holder's shares of a class; a negative number takes them away."""
        self.move("stock", holder_id, class_id, shares, class_id)

    def pool(self, shares: int) -> None:
        """Change the plan's shares that are neither granted nor promised."""
        self.move(POOL, "", POOL, shares)

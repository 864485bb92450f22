"""Trace a balance to its entries, their events, the causes that these name, and readings.

Every entry is shown with its event and the balance after it. If the event names a statement, an order, a grant or a
service line, the events of that are shown too, and for a statement the readings of its period. A dollar can thus be
traced to the intervals that a meter reported.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.log.port import Log
from marketplace.projections.billing.accounts.causes import Causes
from marketplace.projections.billing.accounts.queries import list_balances, list_entries, load_sums
from marketplace.projections.engine.queries import At
from marketplace.projections.views.billing import (
    EntryView,
    ExplainedEntry,
    ExplanationView,
)

EXPLAINED_MAX: Final = 50
ACCOUNTS_MAX: Final = 100


async def explain_balance(
    connection: AsyncConnection,
    log: Log,
    account_id: str,
    *,
    party_id: str | None = None,
    kinds: frozenset[str] | None = None,
    at: At = None,
    occurred_until: datetime | None = None,
    sealed: bool = True,
    after: tuple[int, int] = (0, -1),
    limit: int = 20,
) -> ExplanationView:
    """Return the ledger accounts of one account, grant, instrument or pool, and their entries.

    Args:
        connection: Where to read.
        log: Where the events are.
        account_id: The account, grant, instrument or pool, or one of its ledger accounts, such as ``acc_…/held``.
        party_id: Only this party's, and only events that concern it; None for the platform.
        kinds: Only events of these kinds of aggregates; None: of all. Of others, entries have no body and no cause.
        at: The books at a sequence or an instant; None for now.
        occurred_until: Of those, only what had occurred by this instant.
        sealed: Whether to state what orders and quotes hold.
        after: Cursor ``(sequence, line)`` of the last entry of the previous page.
        limit: Entries, at most `EXPLAINED_MAX`, and one more to see whether there is a next page.

    Raises:
        Corrupt: An entry names an event that the log does not hold.
    """
    assert 1 <= limit <= EXPLAINED_MAX + 1, "the caller bounds the page"
    balances = await list_balances(
        connection,
        party_id=party_id,
        account_id=account_id,
        at=at,
        occurred_until=occurred_until,
        sealed=sealed,
        limit=ACCOUNTS_MAX,
    )
    rows = await list_entries(
        connection,
        party_id=party_id,
        account_id=account_id,
        at=at,
        occurred_until=occurred_until,
        sealed=sealed,
        after=after,
        limit=limit,
    )
    before = await load_sums(connection, account_id, after, at=at, occurred_until=occurred_until, sealed=sealed)
    causes = Causes(connection, log, party_id, kinds)
    entries = [
        ExplainedEntry(entry=row, balance=balance, event=await causes.load_event(row), cause=await causes.explain(row))
        for row, balance in run_balances(rows, before)
    ]
    return ExplanationView(account_id=account_id, balances=tuple(balances), entries=tuple(entries))


def run_balances(rows: Iterable[EntryView], before: Mapping[str, Decimal]) -> list[tuple[EntryView, Decimal]]:
    """Return each entry with the balance of its ledger account after it."""
    sums = dict(before)
    run = []
    for row in rows:
        sums[row.account] = sums.get(row.account, Decimal(0)) + row.amount
        run.append((row, sums[row.account]))
    return run

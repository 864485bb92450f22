"""From a balance to the entries that make it, to the events that posted them, to what those rest on, to readings.

Every entry is shown with the balance after it and with the event that posted it. Where the event names a statement, an
order or a grant, the events of that are shown too, and with a statement the readings of its period: so a dollar leads
down to the intervals that a meter reported.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from events.statement import StatementIssued
from events.subjects import render_subject
from marketplace.core.errors import Corrupt
from marketplace.core.ids import PREFIXES, is_id
from marketplace.log.port import Log, Recorded
from marketplace.projections.accounts.queries import BalanceView, EntryView, list_balances, list_entries, load_sums
from marketplace.projections.facts import parse_fact
from marketplace.projections.feed.queries import list_visible
from marketplace.projections.reading import At
from marketplace.projections.usage import ReadingView, list_readings

EXPLAINED_MAX: Final = 50
ACCOUNTS_MAX: Final = 100
EVENTS_MAX: Final = 20
READINGS_MAX: Final = 200
_EXPANDED: Final = {PREFIXES[aggregate]: aggregate for aggregate in ("statement", "order", "grant")}


class EventBody(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the log with its body as it is stored."""

    sequence: int
    tag: str
    recorded_at: datetime
    actor: str
    body: msgspec.Raw


class CauseView(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry rests on.

    Attributes:
        id: The statement, order or grant.
        events: Its events up to the entry, at most the last 20; those that concern the reader.
        readings: Readings that begin in a statement's period, at most the first 200.
    """

    id: str
    events: tuple[EventBody, ...]
    readings: tuple[ReadingView, ...] = ()


class ExplainedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry, the balance of its ledger account after it, its event, and what that rests on."""

    entry: EntryView
    balance: Decimal
    event: EventBody
    cause: CauseView | None


class ExplanationView(msgspec.Struct, frozen=True, kw_only=True):
    """A balance and what makes it.

    Attributes:
        account_id: The account, grant, instrument or pool.
        balances: Its ledger accounts, as they stood at the point that was asked for.
        entries: Oldest first; with those of all pages they sum to the balances.
        next_cursor: Of the next page of entries; None where this is the last.
    """

    account_id: str
    balances: tuple[BalanceView, ...]
    entries: tuple[ExplainedEntry, ...]
    next_cursor: str | None = None


async def explain_balance(
    connection: AsyncConnection,
    log: Log,
    account_id: str,
    *,
    party_id: str | None = None,
    at: At = None,
    occurred_until: datetime | None = None,
    after: tuple[int, int] = (0, -1),
    limit: int = 20,
) -> ExplanationView:
    """Return the ledger accounts of one account, grant, instrument or pool, and the entries that make them.

    Args:
        connection: Where to read.
        log: Where the events are.
        account_id: The account, grant, instrument or pool.
        party_id: Only this party's, and only events that concern it; None for the platform.
        at: As the books stood at a sequence or an instant; now where none is given.
        occurred_until: Of what the books say then, only what had occurred by this instant.
        after: Cursor ``(sequence, line)`` of the last entry of the page before.
        limit: Entries of a page, at most 50.

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
        limit=ACCOUNTS_MAX,
    )
    rows = await list_entries(
        connection,
        party_id=party_id,
        account_id=account_id,
        at=at,
        occurred_until=occurred_until,
        after=after,
        limit=limit,
    )
    before = await load_sums(connection, account_id, after, at=at, occurred_until=occurred_until)
    reader = _Reader(connection, log, party_id)
    entries = [
        ExplainedEntry(entry=row, balance=balance, event=await reader.load_event(row), cause=await reader.explain(row))
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


class _Reader:
    """Reads events and readings once, and shows what the reader may see."""

    def __init__(self, connection: AsyncConnection, log: Log, party_id: str | None) -> None:
        self._connection = connection
        self._log = log
        self._party_id = party_id
        self._loaded: dict[str, list[Recorded]] = {}
        self._readings: dict[str, tuple[ReadingView, ...]] = {}

    async def load_event(self, entry: EntryView) -> EventBody:
        recorded = await self._log.find(entry.sequence)
        if recorded is None:
            raise Corrupt(f"entry {entry.sequence} of {entry.account} names an event that the log does not hold")
        return _render(recorded)

    async def explain(self, entry: EntryView) -> CauseView | None:
        cause = entry.cause
        aggregate = _EXPANDED.get(cause[:3]) if cause is not None and is_id(cause) else None
        if cause is None or aggregate is None:
            return None
        if cause not in self._loaded:
            self._loaded[cause] = await self._keep_visible(await self._log.load(render_subject(aggregate, cause)))
        stored = [recorded for recorded in self._loaded[cause] if recorded.sequence <= entry.sequence][-EVENTS_MAX:]
        readings = await self._load_readings(cause, stored) if aggregate == "statement" else ()
        return CauseView(id=cause, events=tuple(_render(recorded) for recorded in stored), readings=readings)

    async def _keep_visible(self, stored: Sequence[Recorded]) -> list[Recorded]:
        if self._party_id is None or not stored:
            return list(stored)
        visible = await list_visible(self._connection, [one.sequence for one in stored], self._party_id)
        return [recorded for recorded in stored if recorded.sequence in visible]

    async def _load_readings(self, statement_id: str, stored: Sequence[Recorded]) -> tuple[ReadingView, ...]:
        """Return the readings of a statement's period; who sees the statement sees them."""
        issued = next((event for one in stored if isinstance(event := parse_fact(one).event, StatementIssued)), None)
        if issued is None:
            return ()
        if statement_id not in self._readings:
            rows = await list_readings(
                self._connection,
                grant_id=issued.grant_id,
                start=issued.period_start,
                end=issued.period_end,
                limit=READINGS_MAX,
            )
            self._readings[statement_id] = tuple(row for row in rows if not row.voided)
        return self._readings[statement_id]


def _render(recorded: Recorded) -> EventBody:
    envelope = recorded.envelope
    return EventBody(
        sequence=recorded.sequence,
        tag=envelope.type.partition(".")[2],
        recorded_at=envelope.time,
        actor=envelope.actor,
        body=msgspec.Raw(recorded.body),
    )

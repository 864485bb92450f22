"""The causes of an entry: its event, the aggregate that the event names, and a statement's readings.

The aggregate is a statement, an order, a grant or a service line.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import structs
from sqlalchemy.ext.asyncio import AsyncConnection

from events.statement import StatementCredited, StatementIssued
from events.subjects import parse_subject, render_subject
from marketplace.core.errors import Corrupt
from marketplace.core.ids import is_id
from marketplace.domain.billing.service_line import SERVICE_LINE
from marketplace.domain.billing.statement import STATEMENT
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.trading.order import ORDER
from marketplace.log.port import Log, Recorded
from marketplace.projections.billing.service_lines import list_hours
from marketplace.projections.billing.statements import find_part
from marketplace.projections.engine.recorded_events import parse_fact
from marketplace.projections.feed.queries import list_visible
from marketplace.projections.metering.usage import list_readings
from marketplace.projections.views.billing import CauseView, EntryView, EventBody, HoursReadingView
from marketplace.projections.views.metering import ReadingView

EVENTS_MAX: Final = 20
READINGS_MAX: Final = 200
_WITHHELD: Final = msgspec.Raw(b"{}")
_EXPANDED: Final = {decider.prefix: decider.aggregate for decider in (STATEMENT, ORDER, GRANT, SERVICE_LINE)}

_Issued = StatementIssued | StatementCredited


class Causes:
    """Reads events and readings once, and returns those that the reader may see.

    Args:
        connection: Where to read.
        log: Where the events are.
        party_id: Only events that this party sees as a whole; None for the platform.
        kinds: Only events of these kinds of aggregates, and readings if ``usage`` is one; None: of all.
    """

    def __init__(
        self, connection: AsyncConnection, log: Log, party_id: str | None, kinds: frozenset[str] | None = None
    ) -> None:
        self._connection = connection
        self._log = log
        self._party_id = party_id
        self._kinds = kinds
        self._loaded: dict[str, list[Recorded]] = {}
        self._readings: dict[str, tuple[ReadingView, ...]] = {}
        self._hours: dict[str, tuple[HoursReadingView, ...]] = {}

    async def load_event(self, entry: EntryView) -> EventBody:
        """Return the event that posted an entry, without actor and body if the reader does not see the whole of it.

        Raises:
            Corrupt: The log does not hold it.
        """
        recorded = await self._log.find(entry.sequence)
        if recorded is None:
            raise Corrupt(f"entry {entry.sequence} of {entry.account} names an event that the log does not hold")
        aggregate, _ = parse_subject(recorded.subject)
        shown = _render(recorded)
        if self._sees(aggregate) and await self._keep_visible([recorded]):
            return shown
        return structs.replace(shown, actor="", body=_WITHHELD)

    def _sees(self, aggregate: str) -> bool:
        return self._kinds is None or aggregate in self._kinds

    async def explain(self, entry: EntryView) -> CauseView | None:
        """Return the cause of an entry; None if its event names no statement, order, grant or service line."""
        cause = entry.cause
        aggregate = _EXPANDED.get(cause[:3]) if cause is not None and is_id(cause) else None
        if cause is None or aggregate is None:
            return None
        if not self._sees(aggregate):
            return CauseView(id=cause, events=(), readings=(), hours=())
        if aggregate == "statement":
            cause = await find_part(self._connection, cause) or cause
        if cause not in self._loaded:
            stored = await self._log.load(render_subject(aggregate, cause))
            self._loaded[cause] = await self._keep_visible([recorded for recorded in stored if not recorded.void])
        stored = [recorded for recorded in self._loaded[cause] if recorded.sequence <= entry.sequence][-EVENTS_MAX:]
        issued = _find_issued(stored) if aggregate == "statement" else None
        return CauseView(
            id=cause,
            events=tuple(_render(recorded) for recorded in stored),
            readings=await self._load_readings(issued),
            hours=await self._load_hours(issued),
        )

    async def _keep_visible(self, stored: Sequence[Recorded]) -> list[Recorded]:
        if self._party_id is None or not stored:
            return list(stored)
        visible = await list_visible(self._connection, [one.sequence for one in stored], self._party_id)
        return [recorded for recorded in stored if recorded.sequence in visible]

    async def _load_readings(self, issued: _Issued | None) -> tuple[ReadingView, ...]:
        """Return the readings of a statement's period. Every party that sees the statement may see them."""
        if issued is None or issued.service_line_id is not None or not self._sees("usage"):
            return ()
        if issued.statement_id not in self._readings:
            rows = await list_readings(
                self._connection,
                grant_id=issued.grant_id,
                start=issued.period_start,
                end=issued.period_end,
                limit=READINGS_MAX,
            )
            self._readings[issued.statement_id] = tuple(row for row in rows if not row.voided)
        return self._readings[issued.statement_id]

    async def _load_hours(self, issued: _Issued | None) -> tuple[HoursReadingView, ...]:
        """Return the hours of a service line in a statement's period."""
        if issued is None or issued.service_line_id is None or not self._sees("service_line"):
            return ()
        if issued.statement_id not in self._hours:
            rows = await list_hours(
                self._connection,
                issued.service_line_id,
                start=issued.period_start,
                end=issued.period_end,
                limit=READINGS_MAX,
            )
            self._hours[issued.statement_id] = tuple(row for row in rows if not row.voided)
        return self._hours[issued.statement_id]


def _find_issued(stored: Sequence[Recorded]) -> _Issued | None:
    """Return the first event of a statement; None if the reader may not see it."""
    facts = (parse_fact(one).event for one in stored)
    return next((event for event in facts if isinstance(event, StatementIssued | StatementCredited)), None)


def _render(recorded: Recorded) -> EventBody:
    envelope = recorded.envelope
    return EventBody(
        sequence=recorded.sequence,
        tag=envelope.type.partition(".")[2],
        recorded_at=envelope.time,
        actor=envelope.actor,
        body=msgspec.Raw(recorded.body),
    )

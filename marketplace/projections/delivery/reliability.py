"""Each provider's reliability, as `domain/delivery/reliability.py` computes it."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from sqlalchemy import Boolean, Column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from events.grant import GrantIssued
from events.order import OrderUnmatched
from events.types import Event
from marketplace.core.errors import Corrupt
from marketplace.core.money import round_ratio
from marketplace.domain.delivery.reliability import (
    COUNTED,
    Course,
    Record,
    ReliabilityEvent,
    advance,
    begin,
    compute_reliability,
    count_lost,
)
from marketplace.projections.engine.projection import Handler, Projection, all_of, tags_of
from marketplace.projections.engine.queries import page
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.schema import Origin, define, document, exact, instant, text, whole
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.views.delivery import ReliabilityView

_COURSE: Final = tuple(Course.__slots__)
_RECORD: Final = tuple(Record.__slots__)
_SHOWN: Final = tuple(name for name in _RECORD if name in ReliabilityView.__struct_fields__)
"""Sums of prices are not shown: with the GPU-seconds, they would tell what the provider is paid."""
_VALUES: Final = tuple(name for name in _RECORD if name.startswith("value_"))
"""GPU-seconds times prices, which may exceed 64 bits."""

PROVIDERS_MAX = 100_000
reliability: Final = define(
    "reliability",
    text("provider_id", key=True),
    *(exact(name) if name in _VALUES else whole(name) for name in _RECORD),
    origin=Origin(),
)
courses: Final = define(
    "reliability_courses",
    text("grant_id", key=True),
    text("provider_id"),
    whole("gpus_per_node"),
    whole("nodes"),
    whole("working"),
    instant("counted_until"),
    whole("price"),
    Column("running", Boolean, nullable=False),
    document("resold"),
    instant("stated_until", null=True),
    whole("due_since"),
    whole("lost_since"),
    Column("once_charged", Boolean, nullable=False),
    whole("unpaid"),
    Column("left_out", Boolean, nullable=False),
    whole("worked"),
    whole("completed"),
    whole("accepted"),
    whole("gpu_seconds"),
    whole("kept"),
    whole("cents"),
    whole("cents_kept"),
    Column("broken", Boolean, nullable=False),
    origin=Origin("grant", "grant_id"),
)


def _pick(row: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: row[name] for name in names}


def _read(row: Mapping[str, Any]) -> Record:
    return Record(**{name: int(row[name]) for name in _RECORD})


def _put(changes: WriteBatch, grant_id: str, course: Course) -> None:
    changes.put(courses, grant_id=grant_id, **{name: getattr(course, name) for name in _COURSE})


def _issued(changes: WriteBatch, _: RecordedEvent, event: GrantIssued) -> None:
    _put(changes, event.grant_id, begin(event))


def _count(changes: WriteBatch, fact: RecordedEvent, event: ReliabilityEvent) -> None:
    row = changes.find(courses, event.grant_id)
    if row is None:
        raise Corrupt(f"event {fact.sequence} is about grant {event.grant_id}, which the log never issued")
    before = changes.find(reliability, row["provider_id"])
    record = Record() if before is None else _read(before)
    known = _pick(row, _COURSE)
    resold = tuple((start, end, nodes) for start, end, nodes in known.pop("resold"))
    course, record = advance(event, Course(**known, resold=resold), record)
    _put(changes, event.grant_id, course)
    values = {name: getattr(record, name) for name in _RECORD}
    changes.put(reliability, provider_id=course.provider_id, **values)


def _lose(changes: WriteBatch, _: RecordedEvent, event: OrderUnmatched) -> None:
    if event.lost is None:
        return
    before = changes.find(reliability, event.lost.provider_id)
    record = count_lost(event.lost, Record() if before is None else _read(before))
    values = {name: getattr(record, name) for name in _RECORD}
    changes.put(reliability, provider_id=event.lost.provider_id, **values)


async def _load(changes: WriteBatch, batch: Sequence[RecordedEvent], connection: AsyncConnection) -> None:
    events: list[Any] = [fact.event for fact in batch]
    lost = [event.lost for event in events if isinstance(event, OrderUnmatched) and event.lost is not None]
    grant_ids = {event.grant_id for event in events if not isinstance(event, OrderUnmatched)}
    await changes.load(connection, courses, {(grant_id,) for grant_id in grant_ids})
    providers = {row["provider_id"] for row in changes.rows(courses)} | {match.provider_id for match in lost}
    providers |= {event.provider_id for event in events if isinstance(event, GrantIssued)}
    await changes.load(connection, reliability, {(provider_id,) for provider_id in providers})


_HANDLERS: Final[dict[type[Event], Handler]] = {
    **dict.fromkeys(COUNTED, _count),
    GrantIssued: _issued,
    OrderUnmatched: _lose,
}
PROJECTION: Final = Projection(
    name="reliability",
    version=12,
    tables=(reliability, courses),
    reads=("grant", "order", "statement"),
    handlers=_HANDLERS,
    ignores=all_of("grant", "order", "statement") - tags_of(*COUNTED, OrderUnmatched),
    load=_load,
)


def _render(provider_id: str, record: Record, last_sequence: int) -> ReliabilityView:
    computed = compute_reliability(record)
    return ReliabilityView(
        provider_id=provider_id,
        uptime=round_ratio(computed.uptime),
        completion=round_ratio(computed.completion),
        undisputed=round_ratio(computed.undisputed),
        score=round_ratio(computed.score),
        **{name: getattr(record, name) for name in _SHOWN},
        last_sequence=last_sequence,
    )


async def load_reliability(connection: AsyncConnection, provider_id: str) -> ReliabilityView:
    """Return the reliability of a provider; its score is 1 without a history."""
    rows = await connection.execute(select(reliability).where(reliability.c.provider_id == provider_id))
    row = rows.mappings().first()
    if row is None:
        return _render(provider_id, Record(), 0)
    return _render_row(row)


def _render_row(row: Mapping[Any, Any]) -> ReliabilityView:
    return _render(row["provider_id"], _read(row), row["last_sequence"])


async def list_reliability(connection: AsyncConnection, *, after: str = "", limit: int = 100) -> list[ReliabilityView]:
    """Return the reliability of providers that have a history, by id above `after`."""
    query = select(reliability).where(reliability.c.provider_id > after).order_by(reliability.c.provider_id)
    result = await connection.execute(page(query, limit))
    return [_render_row(row) for row in result.mappings()]


async def load_scores(connection: AsyncConnection) -> dict[str, Fraction]:
    """Return the score of every provider that has a history."""
    result = await connection.execute(select(reliability).limit(PROVIDERS_MAX))
    rows = map(dict[str, Any], result.mappings())
    return {row["provider_id"]: compute_reliability(_read(row)).score for row in rows}

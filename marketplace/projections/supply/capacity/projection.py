"""Capacity: the history of each pool's offers, reservations and failures, and of lots' asks."""

from typing import Any, Final

from events import lot as lot_events
from events import pool as pool_events
from events.types import LotShare
from marketplace.projections.engine.projection import Projection, tags_of
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.supply.capacity.tables import TABLES, lot_terms, offers, outages, releases, reservations


def _offered(changes: WriteBatch, fact: RecordedEvent, event: pool_events.PoolCapacityOffered) -> None:
    span = (event.nodes, event.start, event.end)
    changes.append(offers, event.pool_id, event.lot_id, fact.sequence, *span, event.grant_id, fact.time)


def _recalled(changes: WriteBatch, fact: RecordedEvent, event: pool_events.PoolCapacityRecalled) -> None:
    changes.append(offers, event.pool_id, event.lot_id, fact.sequence, None, None, None, None, fact.time)


def _reserved(changes: WriteBatch, fact: RecordedEvent, event: pool_events.PoolCapacityReserved) -> None:
    _put_shares(changes, fact, event.grant_id, (*event.lots, *event.kept))


def _put_shares(
    changes: WriteBatch,
    fact: RecordedEvent,
    grant_id: str,
    lots: tuple[LotShare, ...],
    resale_lot_id: str | None = None,
) -> None:
    for line, share in enumerate(lots):
        span = (share.lot_id, share.nodes, share.start, share.end)
        changes.append(reservations, fact.id, grant_id, fact.sequence, line, *span, resale_lot_id, False, fact.time)


def _held(changes: WriteBatch, fact: RecordedEvent, event: pool_events.PoolCapacityHeld) -> None:
    span = (event.lot_id, event.nodes, event.start, event.end)
    changes.append(reservations, fact.id, event.grant_id, fact.sequence, 0, *span, None, True, fact.time)


def _resold(changes: WriteBatch, fact: RecordedEvent, event: pool_events.PoolCapacityResold) -> None:
    """End the seller's reservation and the buyer's hold, and write what each has from then on."""
    for grant_id in (event.grant_id_before, event.grant_id):
        changes.append(releases, event.pool_id, grant_id, fact.sequence, None, fact.time)
    _put_shares(changes, fact, event.grant_id_before, event.lots_left)
    _put_shares(changes, fact, event.grant_id, event.lots, event.lot_id)


def _released(changes: WriteBatch, fact: RecordedEvent, event: pool_events.PoolCapacityReleased) -> None:
    changes.append(releases, event.pool_id, event.grant_id, fact.sequence, event.at, fact.time)


def _failed(changes: WriteBatch, fact: RecordedEvent, event: pool_events.PoolNodeFailed) -> None:
    outage = (event.incident_id, event.nodes, event.at)
    changes.append(outages, event.pool_id, fact.sequence, *outage, fact.time)


def _restored(changes: WriteBatch, fact: RecordedEvent, event: pool_events.PoolNodeRestored) -> None:
    outage = (event.incident_id, -event.nodes, event.at)
    changes.append(outages, event.pool_id, fact.sequence, *outage, fact.time)


def _say(changes: WriteBatch, fact: RecordedEvent, **values: Any) -> None:
    names = ("pool_id", "nodes", "status", "start", "end", "ask_usd_per_gpu_hour", "further_asks")
    changes.append(lot_terms, fact.id, fact.sequence, *(values.get(name) for name in names), fact.time)


def _listed(changes: WriteBatch, fact: RecordedEvent, event: lot_events.LotListed) -> None:
    of = {"pool_id": event.pool_id, "nodes": event.nodes, "start": event.start, "end": event.end}
    asks = {"ask_usd_per_gpu_hour": event.ask_usd_per_gpu_hour, "further_asks": event.further_asks}
    _say(changes, fact, status="listed", **of, **asks)


def _repriced(changes: WriteBatch, fact: RecordedEvent, event: lot_events.LotRepriced) -> None:
    asks = {"ask_usd_per_gpu_hour": event.ask_usd_per_gpu_hour, "further_asks": event.further_asks}
    _say(changes, fact, **asks)


def _rescheduled(changes: WriteBatch, fact: RecordedEvent, event: lot_events.LotRescheduled) -> None:
    _say(changes, fact, start=event.start, end=event.end)


def _paused(changes: WriteBatch, fact: RecordedEvent, _: lot_events.LotPaused) -> None:
    _say(changes, fact, status="paused")


def _resumed(changes: WriteBatch, fact: RecordedEvent, _: lot_events.LotResumed) -> None:
    _say(changes, fact, status="listed")


def _withdrawn(changes: WriteBatch, fact: RecordedEvent, _: lot_events.LotWithdrawn) -> None:
    _say(changes, fact, status="withdrawn")


PROJECTION: Final = Projection(
    name="capacity",
    version=1,
    tables=TABLES,
    reads=("pool", "lot"),
    handlers={
        pool_events.PoolCapacityOffered: _offered,
        pool_events.PoolCapacityRecalled: _recalled,
        pool_events.PoolCapacityReserved: _reserved,
        pool_events.PoolCapacityResold: _resold,
        pool_events.PoolCapacityHeld: _held,
        pool_events.PoolCapacityReleased: _released,
        pool_events.PoolNodeFailed: _failed,
        pool_events.PoolNodeRestored: _restored,
        lot_events.LotListed: _listed,
        lot_events.LotRepriced: _repriced,
        lot_events.LotRescheduled: _rescheduled,
        lot_events.LotPaused: _paused,
        lot_events.LotResumed: _resumed,
        lot_events.LotWithdrawn: _withdrawn,
    },
    ignores=tags_of(pool_events.PoolOpened, pool_events.PoolClosingAnnounced),
)

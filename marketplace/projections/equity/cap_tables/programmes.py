"""Folds programmes with their grants and stated purchases, and recorded prices: what warrants are measured by."""

from typing import Any

import msgspec

from events import issuer as issuer_events
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.equity.cap_tables import tables

OnProgramme = issuer_events.IssuerProgrammeGrantAdded | issuer_events.IssuerPurchasesStated


def write_programme(changes: WriteBatch, _: RecordedEvent, event: issuer_events.IssuerProgrammeOpened) -> None:
    """Write the row of a new programme."""
    changes.put(
        tables.programmes,
        issuer_id=event.issuer_id,
        programme_id=event.programme_id,
        name=event.name,
        customer_ids=list(event.customer_ids),
        vendor_ids=list(event.vendor_ids),
        counts_outside=event.counts_outside,
        grant_ids=[],
        purchases=[],
    )


def extend_programme(changes: WriteBatch, fact: RecordedEvent, event: OnProgramme) -> None:
    """Add a grant or a statement of purchases, in place of the one that it replaces."""
    row = changes.find(tables.programmes, fact.id, event.programme_id)
    assert row is not None, "a programme is opened first"
    if isinstance(event, issuer_events.IssuerProgrammeGrantAdded):
        changes.put(tables.programmes, **{**row, "grant_ids": [*row["grant_ids"], event.grant_id]})
        return
    stated: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(event))
    kept = [each for each in row["purchases"] if each["purchases_id"] != event.replaces]
    changes.put(tables.programmes, **{**row, "purchases": [*kept, stated]})


def write_source(changes: WriteBatch, _: RecordedEvent, event: issuer_events.IssuerPriceSourceNamed) -> None:
    """Write the row of a new price source."""
    changes.put(
        tables.price_sources,
        issuer_id=event.issuer_id,
        source_id=event.source_id,
        name=event.name,
        recorder_id=event.recorder_id,
    )


def write_observation(
    changes: WriteBatch,
    _: RecordedEvent,
    event: issuer_events.IssuerPriceObserved | issuer_events.IssuerPriceCorrected,
) -> None:
    """Write the price of a day, as it was recorded or corrected last; later splits do not change it."""
    changes.put(
        tables.price_observations,
        issuer_id=event.issuer_id,
        source_id=event.source_id,
        day=event.day,
        price_usd_per_share=event.price_usd_per_share,
        volume=event.volume,
    )

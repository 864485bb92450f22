"""Parties: who takes part, in which roles, and whether they may trade."""

from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from events.party import PartyCleared, PartyGroupServed, PartyRegistered, PartySuspended
from events.types import Role
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.queries import find_one, load_all, page
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.schema import Origin, define, document, instant, text
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.views.access import PartyView

parties: Final = define(
    "parties",
    text("party_id", key=True),
    text("name"),
    document("roles"),
    text("jurisdiction"),
    text("sector", null=True),
    text("status"),
    text("reason", null=True),
    document("checks"),
    instant("registered_at"),
    origin=Origin("party", "party_id"),
)


def _registered(changes: WriteBatch, fact: RecordedEvent, event: PartyRegistered) -> None:
    changes.put(
        parties,
        party_id=event.party_id,
        name=event.name,
        roles=event.roles,
        jurisdiction=event.jurisdiction,
        sector=event.sector,
        status="registered",
        checks=(),
        registered_at=fact.time,
    )


def _cleared(changes: WriteBatch, _: RecordedEvent, event: PartyCleared) -> None:
    changes.update(parties, event.party_id, status="cleared", reason=None, checks=event.checks)


def _suspended(changes: WriteBatch, _: RecordedEvent, event: PartySuspended) -> None:
    changes.update(parties, event.party_id, status="suspended", reason=event.reason)


def _served(changes: WriteBatch, _: RecordedEvent, event: PartyGroupServed) -> None:
    """Update the row's version to the party's, for `If-Match`."""
    changes.update(parties, event.party_id)


PROJECTION: Final = Projection(
    name="parties",
    version=1,
    tables=(parties,),
    reads=("party",),
    handlers={
        PartyRegistered: _registered,
        PartyCleared: _cleared,
        PartySuspended: _suspended,
        PartyGroupServed: _served,
    },
)


async def find_party(connection: AsyncConnection, party_id: str) -> PartyView | None:
    """Return a party, or None."""
    return await find_one(connection, select(parties).where(parties.c.party_id == party_id), PartyView)


async def list_parties(
    connection: AsyncConnection,
    *,
    role: Role | None = None,
    status: str | None = None,
    after: str = "",
    limit: int = 100,
) -> list[PartyView]:
    """Return parties by id above `after`, optionally of one role or status."""
    query: Any = select(parties).where(parties.c.party_id > after).order_by(parties.c.party_id)
    if role is not None:
        query = query.where(parties.c.roles.contains([role]))
    if status is not None:
        query = query.where(parties.c.status == status)
    return await load_all(connection, page(query, limit), PartyView)

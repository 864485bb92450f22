"""Parties: who takes part, in which roles, and whether they may trade."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from events.party import (
    PartyCleared,
    PartyGroupServed,
    PartyRegistered,
    PartyRoleAdded,
    PartyRoleRequested,
    PartyRoleRequestEnded,
    PartyStageRecorded,
    PartySuspended,
)
from events.types import Role
from marketplace.core.errors import Corrupt
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
    document("roles_requested"),
    text("jurisdiction"),
    text("sector", null=True),
    text("stage", null=True),
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
        roles_requested=(),
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


def _requested(changes: WriteBatch, _: RecordedEvent, event: PartyRoleRequested) -> None:
    asked = _read(changes, event.party_id)["roles_requested"]
    changes.update(parties, event.party_id, roles_requested=[*asked, event.role])


def _ended(changes: WriteBatch, _: RecordedEvent, event: PartyRoleRequestEnded) -> None:
    asked = _read(changes, event.party_id)["roles_requested"]
    changes.update(parties, event.party_id, roles_requested=[role for role in asked if role != event.role])


def _added(changes: WriteBatch, _: RecordedEvent, event: PartyRoleAdded) -> None:
    row = _read(changes, event.party_id)
    asked = [role for role in row["roles_requested"] if role != event.role]
    changes.update(parties, event.party_id, roles=[*row["roles"], event.role], roles_requested=asked)


def _staged(changes: WriteBatch, _: RecordedEvent, event: PartyStageRecorded) -> None:
    changes.update(parties, event.party_id, stage=event.stage)


def _read(changes: WriteBatch, party_id: str) -> Mapping[str, Any]:
    row = changes.find(parties, party_id)
    if row is None:
        raise Corrupt(f"party {party_id} changes its roles and was never registered")
    return row


_ROLES: Final = (PartyRoleRequested, PartyRoleAdded, PartyRoleRequestEnded)


async def _load(changes: WriteBatch, batch: Sequence[RecordedEvent], connection: AsyncConnection) -> None:
    wanted = {(fact.event.party_id,) for fact in batch if isinstance(fact.event, _ROLES)}
    await changes.load(connection, parties, wanted)


PROJECTION: Final = Projection(
    name="parties",
    version=2,
    tables=(parties,),
    reads=("party",),
    handlers={
        PartyRegistered: _registered,
        PartyCleared: _cleared,
        PartySuspended: _suspended,
        PartyGroupServed: _served,
        PartyRoleRequested: _requested,
        PartyRoleAdded: _added,
        PartyRoleRequestEnded: _ended,
        PartyStageRecorded: _staged,
    },
    load=_load,
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

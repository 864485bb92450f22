"""Parties: who takes part, in which roles, whether they may trade, and to whom they are related."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace
from sqlalchemy import Boolean, Column, Index, Text, bindparam, or_, select
from sqlalchemy import text as sql
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
from events.register import RegisterRelationEnded, RegisterRelationFound, RegisterRelationStated
from events.types import Role
from marketplace.core.errors import Corrupt
from marketplace.core.ids import rename_id
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.queries import (
    WINDOW,
    Filter,
    Rows,
    Window,
    find_one,
    load_all,
    load_window,
    narrow,
    page,
)
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.schema import Origin, define, document, instant, text
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.views.access import PartyName, PartyView, RelationView
from marketplace.projections.views.delivery import GrantView

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
    Index("ix_parties_registered", "registered_at", "party_id"),
    origin=Origin("party", "party_id"),
)
relations: Final = define(
    "relations",
    text("relation_id", key=True),
    text("party_id"),
    text("related_id", null=True),
    text("owner", null=True),
    text("kind"),
    document("stated_by"),
    Column("is_found", Boolean, nullable=False),
    instant("since", null=True),
    text("reason"),
    instant("recorded_at"),
    instant("ended_at", null=True),
    Index("ix_relations_party", "party_id"),
    Index("ix_relations_related", "related_id"),
    origin=Origin("register"),
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


def _related(changes: WriteBatch, fact: RecordedEvent, event: RegisterRelationStated | RegisterRelationFound) -> None:
    row = changes.find(relations, event.relation_id)
    if row is None:
        row = {"party_id": event.party_id, "related_id": event.related_id, "stated_by": [], "is_found": False}
        row |= {"owner": event.owner, "since": event.since, "recorded_at": fact.time}
    is_found = isinstance(event, RegisterRelationFound)
    stated_by = row["stated_by"] if is_found else [*row["stated_by"], event.party_id]
    changes.put(
        relations,
        relation_id=event.relation_id,
        **{name: row[name] for name in ("party_id", "related_id", "owner", "recorded_at")},
        kind=event.kind,
        stated_by=stated_by,
        is_found=row["is_found"] or is_found,
        since=event.since if is_found or None in {row["since"], event.since} else min(row["since"], event.since),
        reason=event.reason,
        ended_at=None,
    )


def _unrelated(changes: WriteBatch, _: RecordedEvent, event: RegisterRelationEnded) -> None:
    changes.update(relations, event.relation_id, ended_at=event.at, reason=event.reason)


_ROLES: Final = (PartyRoleRequested, PartyRoleAdded, PartyRoleRequestEnded)
_RELATIONS: Final = (RegisterRelationStated, RegisterRelationFound)


async def _load(changes: WriteBatch, batch: Sequence[RecordedEvent], connection: AsyncConnection) -> None:
    wanted = {(fact.event.party_id,) for fact in batch if isinstance(fact.event, _ROLES)}
    await changes.load(connection, parties, wanted)
    related = {(fact.event.relation_id,) for fact in batch if isinstance(fact.event, _RELATIONS)}
    await changes.load(connection, relations, related)


PROJECTION: Final = Projection(
    name="parties",
    version=3,
    tables=(parties, relations),
    reads=("party", "register"),
    handlers={
        PartyRegistered: _registered,
        PartyCleared: _cleared,
        PartySuspended: _suspended,
        PartyGroupServed: _served,
        PartyRoleRequested: _requested,
        PartyRoleAdded: _added,
        PartyRoleRequestEnded: _ended,
        PartyStageRecorded: _staged,
        RegisterRelationStated: _related,
        RegisterRelationFound: _related,
        RegisterRelationEnded: _unrelated,
    },
    load=_load,
)


async def find_party(connection: AsyncConnection, party_id: str) -> PartyView | None:
    """Return a party, or None."""
    return await find_one(connection, select(parties).where(parties.c.party_id == party_id), PartyView)


async def find_parties(connection: AsyncConnection, party_ids: Collection[str]) -> dict[str, PartyView]:
    """Return those of the parties that exist, by id."""
    query = select(parties).where(parties.c.party_id.in_(party_ids))
    return {view.party_id: view for view in await load_all(connection, query, PartyView)}


async def tell_payers(connection: AsyncConnection, rows: Sequence[GrantView], reader_id: str | None) -> list[GrantView]:
    """Return grants; those that the reader pays for and others use say whether their user is suspended.

    `reader_id` None stands for the platform, which reads it of every grant that another startup uses.
    """
    used = [row for row in rows if row.startup_id != row.payer_id]
    told = {row.grant_id: row.startup_id for row in used if reader_id in {None, row.payer_id}}
    if not told:
        return list(rows)
    query = select(parties.c.party_id).where(parties.c.party_id.in_(told.values()), parties.c.status == "suspended")
    found = set((await connection.execute(query)).scalars())
    return [replace(row, user_suspended=told.get(row.grant_id) in found) for row in rows]


_NAMED: Final = """SELECT :reader
UNION SELECT provider_id FROM sites UNION SELECT provider_id FROM pools
UNION SELECT holder_id FROM mandates WHERE status = 'granted'
UNION SELECT unnest(ARRAY[startup_id, payer_id, provider_id]) FROM grants
    WHERE :reader IN (startup_id, payer_id, provider_id, holder_id)
UNION SELECT holder_id FROM grants WHERE :reader IN (payer_id, provider_id)
UNION SELECT company(issuer_id) FROM instruments WHERE holder_id = :reader
UNION SELECT holder_id FROM instruments WHERE issuer_id = :issuer
UNION SELECT company(issuer_id) FROM holdings WHERE holder_id = :reader
UNION SELECT holder_id FROM holdings WHERE issuer_id = :issuer
UNION SELECT company(issuer_id) FROM mandate_holds
    WHERE mandate_id IN (SELECT mandate_id FROM mandates WHERE holder_id = :reader)
UNION SELECT unnest(ARRAY[proposer_id, company(issuer_id)] || ARRAY(
        SELECT party_id FROM proposal_votes AS votes WHERE votes.proposal_id = proposals.proposal_id
    ))
    FROM proposals WHERE proposal_id IN (
        SELECT proposal_id FROM proposal_votes WHERE party_id = :reader
        UNION SELECT proposal_id FROM proposals WHERE proposer_id = :reader
        UNION SELECT proposal_id FROM proposals WHERE issuer_id = :issuer
    )
""".replace("company(issuer_id)", "'pty' || substr(issuer_id, 4)")
"""The parties whose names a party reads: its own; those of public things; and the other sides of its own things."""


async def list_names(
    connection: AsyncConnection,
    *,
    reader_id: str | None,
    party_ids: Collection[str] | None = None,
    after: str | None = None,
    limit: int,
) -> list[PartyName]:
    """Return the names of parties by id: those that a party may read; None: all."""
    query = narrow(select(parties.c.party_id, parties.c.name), ((parties.c.party_id, party_ids),))
    if after is not None:
        query = query.where(parties.c.party_id > after)
    if reader_id is not None:
        issuer = bindparam("issuer", rename_id("iss", reader_id), Text)
        ids = sql(_NAMED).bindparams(bindparam("reader", reader_id, Text), issuer)
        query = query.where(parties.c.party_id.in_(ids.columns(parties.c.party_id)))
    return await load_all(connection, page(query.order_by(parties.c.party_id), limit), PartyName)


async def list_parties(
    connection: AsyncConnection,
    *,
    role: Role | None = None,
    status: Filter = None,
    window: Window = WINDOW,
) -> Rows[PartyView]:
    """Return parties, optionally of one role or of statuses."""
    query = narrow(select(parties), ((parties.c.status, status),))
    if role is not None:
        query = query.where(parties.c.roles.contains([role]))
    return await load_window(connection, query, PartyView, window, parties.c.party_id, parties.c.registered_at)


async def list_relations(
    connection: AsyncConnection, party_id: str, *, after: str = "", limit: int = 100
) -> list[RelationView]:
    """Return the relations of a party by id above `after`, ended ones too."""
    mine = or_(relations.c.party_id == party_id, relations.c.related_id == party_id)
    query: Any = select(relations).where(mine, relations.c.relation_id > after).order_by(relations.c.relation_id)
    return await load_all(connection, page(query, limit), RelationView)

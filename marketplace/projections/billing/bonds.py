"""Bonds: the money that each provider sets apart, by lot or for all of its grants, and the claims on it."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Index, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from events import bond as bond_events
from marketplace.core.errors import Corrupt
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.queries import WINDOW, Filter, Rows, Window, load_all, load_window, narrow, page
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.schema import Origin, define, document, exact, instant, text
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.views.billing import BondView, ClaimView

ALL_GRANTS: Final = ""
"""Stands for no lot in the key."""
bonds: Final = define(
    "bonds",
    text("bond_id", key=True),
    text("part", key=True),
    text("party_id"),
    text("hold_id"),
    exact("posted_usd"),
    exact("paid_usd"),
    exact("released_usd"),
    instant("stands_until"),
    Index("ix_bonds_party", "party_id", "part"),
    origin=Origin("bond", "bond_id"),
)
bond_claims: Final = define(
    "bond_claims",
    text("bond_id", key=True),
    text("claim_id", key=True),
    text("party_id"),
    text("startup_id"),
    text("holder_id", null=True),
    text("claimed_by"),
    document("lot_ids"),
    text("grant_id"),
    text("statement_id", null=True),
    document("items"),
    exact("credited_usd"),
    exact("amount_usd"),
    exact("holders_usd"),
    text("status"),
    exact("due_usd"),
    exact("demand_usd"),
    exact("paid_usd"),
    text("reason", null=True),
    instant("claimed_at"),
    instant("answer_until"),
    Index("ix_bond_claims_startup", "startup_id", "claim_id"),
    Index("ix_bond_claims_party", "party_id", "claim_id"),
    Index("ix_bond_claims_holder", "holder_id", "claim_id"),
    origin=Origin("bond", "bond_id"),
)


def _posted(changes: WriteBatch, _: RecordedEvent, event: bond_events.BondPosted) -> None:
    part = event.lot_id or ALL_GRANTS
    row = changes.find(bonds, event.bond_id, part)
    if row is not None:
        total = row["posted_usd"] + event.amount_usd
        changes.update(bonds, event.bond_id, part, posted_usd=total, stands_until=event.stands_until)
        return
    changes.put(
        bonds,
        bond_id=event.bond_id,
        part=part,
        party_id=event.party_id,
        hold_id=event.hold_id,
        posted_usd=event.amount_usd,
        paid_usd=Decimal(0),
        released_usd=Decimal(0),
        stands_until=event.stands_until,
    )


def _claimed(changes: WriteBatch, fact: RecordedEvent, event: bond_events.BondClaimed) -> None:
    changes.put(
        bond_claims,
        bond_id=event.bond_id,
        claim_id=event.claim_id,
        party_id=event.party_id,
        startup_id=event.startup_id,
        holder_id=event.holder_id,
        claimed_by=event.by,
        lot_ids=event.lot_ids,
        grant_id=event.grant_id,
        statement_id=event.statement_id,
        items=event.items,
        credited_usd=event.credited_usd,
        amount_usd=event.amount_usd,
        holders_usd=sum((part.amount_usd for part in event.holders), Decimal(0)),
        status="open",
        due_usd=Decimal(0),
        demand_usd=event.amount_usd,
        paid_usd=Decimal(0),
        claimed_at=fact.time,
        answer_until=event.answer_until,
    )


def _answered(changes: WriteBatch, _: RecordedEvent, event: bond_events.BondAnswered) -> None:
    is_settled = event.decide_until is None
    more = {"demand_usd": event.amount_usd} if is_settled else {"answer_until": event.decide_until}
    answer = {"status": "settled" if is_settled else "contested", "due_usd": event.amount_usd, "reason": event.reason}
    changes.update(bond_claims, event.bond_id, event.claim_id, **answer, **more)


def _raise(changes: WriteBatch, fact: RecordedEvent, table: Any, key: tuple[str, str], column: str) -> None:
    event: Any = fact.event
    row = changes.find(table, *key)
    if row is None:
        raise Corrupt(f"event {fact.sequence} is about {key[1] or key[0]}, which no earlier event names")
    changes.update(table, *key, **{column: row[column] + event.amount_usd})


def _paid(changes: WriteBatch, fact: RecordedEvent, event: bond_events.BondPaid) -> None:
    if event.hold_id is not None:
        _raise(changes, fact, bonds, (event.bond_id, event.lot_id or ALL_GRANTS), "paid_usd")
    _raise(changes, fact, bond_claims, (event.bond_id, event.claim_id), "paid_usd")


def _returned(changes: WriteBatch, _: RecordedEvent, event: bond_events.BondReturned) -> None:
    """Lower what a claim is due and was paid by what was returned."""
    row = changes.find(bond_claims, event.bond_id, event.claim_id) or {}
    sums = {name: row[name] - event.amount_usd for name in ("due_usd", "demand_usd", "paid_usd") if row}
    changes.update(bond_claims, event.bond_id, event.claim_id, **sums)


def _released(changes: WriteBatch, fact: RecordedEvent, event: bond_events.BondReleased) -> None:
    _raise(changes, fact, bonds, (event.bond_id, event.lot_id or ALL_GRANTS), "released_usd")


_MOVES: Final = (bond_events.BondPaid, bond_events.BondReturned)


async def _load(changes: WriteBatch, batch: Sequence[RecordedEvent], connection: AsyncConnection) -> None:
    events: list[Any] = [fact.event for fact in batch]
    parts = {(event.bond_id, event.lot_id or ALL_GRANTS) for event in events if hasattr(event, "lot_id")}
    await changes.load(connection, bonds, parts)
    claims = {(event.bond_id, event.claim_id) for event in events if isinstance(event, _MOVES)}
    await changes.load(connection, bond_claims, claims)


PROJECTION: Final = Projection(
    name="bonds",
    version=5,
    tables=(bonds, bond_claims),
    reads=("bond",),
    handlers={
        bond_events.BondPosted: _posted,
        bond_events.BondClaimed: _claimed,
        bond_events.BondAnswered: _answered,
        bond_events.BondPaid: _paid,
        bond_events.BondReturned: _returned,
        bond_events.BondReleased: _released,
    },
    load=_load,
)


STEP_USD: Final = 1_000
"""What claims could still cost is public in these steps: the exact sum would tell the price of a grant."""


async def list_bonds(
    connection: AsyncConnection,
    *,
    party_id: str | None = None,
    after: tuple[str, str] = ("", ""),
    limit: int = 100,
) -> list[BondView]:
    """Return the parts of bonds by bond and lot above `after`, optionally those of one provider."""
    lot_id = func.nullif(bonds.c.part, ALL_GRANTS).label("lot_id")
    free = (bonds.c.posted_usd - bonds.c.paid_usd - bonds.c.released_usd).label("free_usd")
    open_usd = (
        select(
            func.ceil(func.coalesce(func.sum(bond_claims.c.demand_usd - bond_claims.c.paid_usd), 0) / STEP_USD)
            * STEP_USD
        )
        .where(
            bond_claims.c.bond_id == bonds.c.bond_id,
            (bonds.c.part == ALL_GRANTS) | bond_claims.c.lot_ids.has_key(bonds.c.part),
        )
        .scalar_subquery()
        .label("claims_open_usd")
    )
    query = select(bonds, lot_id, free, open_usd).order_by(bonds.c.bond_id, bonds.c.part)
    query = query.where((bonds.c.bond_id > after[0]) | ((bonds.c.bond_id == after[0]) & (bonds.c.part > after[1])))
    if party_id is not None:
        query = query.where(bonds.c.party_id == party_id)
    return await load_all(connection, page(query, limit), BondView)


async def list_claims(
    connection: AsyncConnection,
    *,
    party_id: str | None = None,
    status: Filter = None,
    window: Window = WINDOW,
) -> Rows[ClaimView]:
    """Return claims, optionally those of one payer or against one provider, or of statuses."""
    query = narrow(select(bond_claims), ((bond_claims.c.status, status),))
    if party_id is not None:
        sides = (bond_claims.c.startup_id, bond_claims.c.party_id, bond_claims.c.holder_id)
        query = query.where(or_(*(side == party_id for side in sides)))
    return await load_window(connection, query, ClaimView, window, bond_claims.c.claim_id, bond_claims.c.claimed_at)

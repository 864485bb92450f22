"""Commands to pools; `marketplace.domain.supply.pool` decides them."""

from datetime import datetime

import msgspec

from events.pool import PoolOpened
from events.types import LotShare
from events.usage import Meter
from marketplace.core.intervals import Load


class OpenPool(msgspec.Struct, frozen=True, kw_only=True):
    """Open a pool of equal nodes. The event contains the whole pool."""

    opened: PoolOpened

    @property
    def pool_id(self) -> str:
        """Return the pool's id."""
        return self.opened.pool_id


class OfferCapacity(msgspec.Struct, frozen=True, kw_only=True):
    """Put nodes on sale as a lot, or change what the lot offers. `grant_id` names the grant that resells them."""

    pool_id: str
    lot_id: str
    nodes: int
    start: datetime
    end: datetime
    grant_id: str | None = None


class ResellCapacity(msgspec.Struct, frozen=True, kw_only=True):
    """Take nodes for a grant from a resale lot of another grant."""

    pool_id: str
    grant_id: str
    lot_id: str
    nodes: int
    start: datetime
    end: datetime


class HoldCapacity(msgspec.Struct, frozen=True, kw_only=True):
    """Hold nodes of a resale lot for a quote; `grant_id` is the grant that will be issued if it is taken."""

    pool_id: str
    grant_id: str
    lot_id: str
    nodes: int
    start: datetime
    end: datetime


class RecallCapacity(msgspec.Struct, frozen=True, kw_only=True):
    """Take a lot off sale; no event if it is not on sale."""

    pool_id: str
    lot_id: str


class ReserveCapacity(msgspec.Struct, frozen=True, kw_only=True):
    """Take nodes for a grant. At every instant, `lots` carry `nodes` less `resold`."""

    pool_id: str
    grant_id: str
    nodes: int
    start: datetime
    end: datetime
    lots: tuple[LotShare, ...]
    resold: tuple[Load, ...] = ()


class ShiftCapacity(msgspec.Struct, frozen=True, kw_only=True):
    """Let the reservation of a grant begin later, or earlier in hours that are kept for it.

    What it has or is kept from `start` on stays as it is, also on lots that are off sale and while nodes have failed.
    The other hours take free nodes of the pool, which `further` lots carry, also where no lot offers them any more.
    Those that it has before `start` and `kept_until` are kept for it.
    """

    pool_id: str
    grant_id: str
    nodes: int
    start: datetime
    end: datetime
    further: tuple[LotShare, ...] = ()
    kept_until: datetime | None = None


class ReturnCapacity(msgspec.Struct, frozen=True, kw_only=True):
    """Give what is reserved for a grant to another grant, from an instant on.

    The nodes stay as they are, also on lots that are off sale, in a pool that closes and while nodes have failed.
    """

    pool_id: str
    grant_id: str
    nodes: int
    to_grant_id: str
    at: datetime


class ReleaseCapacity(msgspec.Struct, frozen=True, kw_only=True):
    """Free a grant's nodes from an instant on, or those that a quote holds for it.

    `nodes` is the grant's size if the hours that are kept for it before its start are needed no more; else None.
    """

    pool_id: str
    grant_id: str
    at: datetime
    nodes: int | None = None


class FailNodes(msgspec.Struct, frozen=True, kw_only=True):
    """Report that nodes stopped working.

    Attributes:
        pool_id: The pool.
        incident_id: The id of the new incident.
        nodes: How many failed.
        at: Since when.
        grant_id: The grant whose GPUs' evidence shows it; None for a report.
        reported_at: Now; None counts as `at`.
        meter: Whose meter shows it; None for a report.
        until: When they worked again, at most `reported_at`; None while they do not.
    """

    pool_id: str
    incident_id: str
    nodes: int
    at: datetime
    grant_id: str | None = None
    reported_at: datetime | None = None
    meter: Meter | None = None
    until: datetime | None = None


class RestoreNodes(msgspec.Struct, frozen=True, kw_only=True):
    """Report that the nodes of an incident work again.

    Attributes:
        pool_id: The pool.
        incident_id: The incident.
        at: Since when.
        reported_at: Now; None for the platform, which may date it back.
    """

    pool_id: str
    incident_id: str
    at: datetime
    reported_at: datetime | None = None


class AnnounceClosing(msgspec.Struct, frozen=True, kw_only=True):
    """Give notice that the pool leaves the market, or postpone the announced date. `at` is now."""

    pool_id: str
    closes_at: datetime
    reason: str
    at: datetime


CapacityCommand = ReserveCapacity | ShiftCapacity | ReturnCapacity | ResellCapacity | HoldCapacity | ReleaseCapacity
"""Commands that take nodes of a pool, or give them back."""
PoolCommand = OpenPool | OfferCapacity | RecallCapacity | CapacityCommand | FailNodes | RestoreNodes | AnnounceClosing

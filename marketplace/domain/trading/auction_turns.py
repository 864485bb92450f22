"""When an auction may open and lock, and what waits for it: rules between an auction, the clock and other auctions.

Refusals: lock_past · horizon_before_lock when it opens; auction_waits when it locks; market_deciding for a hold, and
lot_frozen for a withdrawal, while it decides.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from marketplace.core.errors import Refusal
from marketplace.domain.trading.auction import Auction, ClearedAuction, CollectingAuction, LockedAuction


class Rivals(NamedTuple):
    """The other auctions that are not settled, relative to one auction.

    Attributes:
        earlier: Those that lock before it, or at the same instant and were opened before it.
        later: All others.
    """

    earlier: tuple[str, ...]
    later: tuple[str, ...]


NO_RIVALS: Final = Rivals((), ())


def require_opening(locks_at: datetime, horizon_start: datetime, at: datetime) -> None:
    """Refuse to open an auction that would lock in the past, or award capacity of a time before its lock.

    Raises:
        Refusal: ``lock_past`` · ``horizon_before_lock``.
    """
    if locks_at < at:
        raise Refusal(
            "lock_past", f"the lock time {locks_at.isoformat()} has passed; choose a later one", pointer="/locks_at"
        )
    if horizon_start < locks_at:
        raise Refusal(
            "horizon_before_lock",
            "capacity is awarded from the lock on; begin the horizon at the lock or later",
            pointer="/horizon_start",
        )


def require_turn(auction: Auction, earlier: Iterable[Auction], later: Iterable[Auction]) -> None:
    """Refuse to lock an auction while another one awards capacity that its book would contain.

    Args:
        auction: The auction that is to lock.
        earlier: Unsettled auctions that lock before it.
        later: All other unsettled auctions.

    Raises:
        Refusal: ``auction_waits``.
    """
    if not isinstance(auction, CollectingAuction):
        return
    for rivals, is_earlier in ((earlier, True), (later, False)):
        for rival in rivals:
            if holds_up(rival, auction, earlier=is_earlier):
                rival_id = rival.opened.auction_id
                raise Refusal(
                    "auction_waits",
                    f"auction {rival_id} is {rival.status} and awards capacity of the same time;"
                    f" {auction.opened.auction_id} locks once that one has settled",
                    auction_id=rival_id,
                    status=rival.status,
                )


def holds_up(rival: Auction, auction: Auction, *, earlier: bool) -> bool:
    """Return whether an auction must settle before another one may lock.

    A frozen book contains what is unsold. If two auctions award capacity of the same time, the second one's book is
    correct only once every match of the first one was carried out or has become impossible. An auction that failed for
    good settles when its orders are released, so that no auction waits for ever.

    Args:
        rival: The auction that may have to settle first.
        auction: The auction that is to lock.
        earlier: Whether the rival locks first. A later one matters only once it is locked.
    """
    if rival.status == "settled" or (rival.status == "collecting" and not earlier):
        return False
    return rival.horizon_start < auction.horizon_end and auction.horizon_start < rival.horizon_end


def require_not_deciding(auction: Auction, at: datetime) -> None:
    """Refuse to hold capacity while an auction decides on it, because a hold could make its matches impossible.

    This begins at the auction's lock time: new holds would otherwise keep it from freezing its book.

    Raises:
        Refusal: ``market_deciding``.
    """
    is_due = auction.status == "collecting" and auction.opened.locks_at <= at
    if is_due or auction.status not in {"collecting", "settled"}:
        raise Refusal(
            "market_deciding",
            f"auction {auction.opened.auction_id} is deciding who gets what is free; hold again once it has settled",
            auction_id=auction.opened.auction_id,
            allowed="settled",
        )


def require_not_in_book(auction: Auction, lot_id: str) -> None:
    """Refuse to withdraw a resale lot that the frozen book of an undecided auction contains.

    Raises:
        Refusal: ``lot_frozen``.
    """
    if not isinstance(auction, LockedAuction | ClearedAuction):
        return
    if any(row.lot_id == lot_id for row in auction.locked.book.lots):
        raise Refusal(
            "lot_frozen",
            f"auction {auction.opened.auction_id} has lot {lot_id} in its book; wait until it has settled",
            lot_id=lot_id,
            auction_id=auction.opened.auction_id,
        )

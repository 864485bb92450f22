"""Load a published auction from the log, its frozen book and its result, to run it again and check it."""

from dataclasses import dataclass
from typing import Any

from events.auction import AuctionCompleted, AuctionFailed, AuctionOpened
from events.subjects import render_subject
from events.types import Event
from marketplace.clearing import model
from marketplace.clearing.codec import hash_book
from marketplace.clearing.engine import ENGINE_VERSION, clear
from marketplace.core.errors import Corrupt, Refusal
from marketplace.domain.trading.auction import AUCTION, ClearedAuction, CompletedAuction
from marketplace.log.events import parse_event
from marketplace.log.port import Log
from marketplace.runtime.auctions.clearing import parse_book, parse_result


@dataclass(frozen=True, slots=True)
class Published:
    """A cleared auction as stored in the log."""

    opened: AuctionOpened
    book: model.Book
    clearing: model.Clearing


async def load_published(log: Log, auction_id: str) -> Published:
    """Return a cleared auction from the log, whether or not its matches were carried out.

    Raises:
        Refusal: ``auction_not_found`` or ``auction_not_cleared``.
        Corrupt: The stored parts do not make up the frozen book.
        Unavailable: The log cannot be read.
    """
    stored = await log.load(render_subject("auction", auction_id))
    events: list[Any] = [parse_event(recorded) for recorded in stored if not recorded.void]
    if not events:
        raise Refusal("auction_not_found", f"the log has no auction {auction_id}; check the id", auction_id=auction_id)
    auction = AUCTION.fold(events)
    assert auction is not None, "the events of an auction begin with its opening"
    if not isinstance(auction, ClearedAuction | CompletedAuction) or auction.cleared is None:
        raise Refusal("auction_not_cleared", _tell_uncleared(auction_id, events), auction_id=auction_id)
    book = parse_book(auction.locked.book)
    _require_hash(auction_id, book, auction.locked.book_hash)
    backstops = len(auction.locked.book.backstops)
    return Published(auction.opened, book, parse_result(auction.opened, auction.cleared, backstops=backstops))


def _require_hash(auction_id: str, book: model.Book, stated: str) -> None:
    """Check that the parts of a book make up the book that was frozen.

    Raises:
        Corrupt: Their hash differs.
    """
    found = hash_book(book)
    if found != stated:
        raise Corrupt(
            f"the parts of the book of auction {auction_id} have the hash {found}; the frozen book has {stated}"
        )


def _tell_uncleared(auction_id: str, events: list[Event]) -> str:
    failures = [event for event in events if isinstance(event, AuctionFailed)]
    if not failures:
        return f"auction {auction_id} has no result yet; it can be checked once it is cleared"
    count, reason = failures[-1].attempt, failures[-1].reason
    if any(isinstance(event, AuctionCompleted) for event in events):
        return (
            f"auction {auction_id} has no result: it failed {count} times and released its orders; the last reason is:"
            f" {reason}"
        )
    return f"auction {auction_id} has no result yet: attempt {count} failed ({reason}); it is retried automatically"


def repeat(published: Published) -> model.Certificate:
    """Run the engine on the frozen book again, and return its certificate, to compare with the published one.

    Raises:
        Refusal: ``engine_differs`` if another release cleared the auction.
    """
    stated = published.clearing.certificate.engine_version
    if stated != ENGINE_VERSION:
        raise Refusal(
            "engine_differs",
            f"the auction was cleared by {stated}, this release has {ENGINE_VERSION}; run it again with that release",
            stated=stated,
            present=ENGINE_VERSION,
        )
    return clear(published.book, seed=published.opened.seed).certificate

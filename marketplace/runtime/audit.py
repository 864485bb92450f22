"""A published auction taken out of the log again: its frozen book and its result, to be run again and checked."""

from dataclasses import dataclass

from events.auction import AuctionCleared, AuctionFailed, AuctionLocked, AuctionOpened, AuctionSettled
from events.subjects import render_subject
from events.types import Event
from marketplace.clearing import model
from marketplace.clearing.engine import ENGINE_VERSION, clear
from marketplace.core.errors import Refusal
from marketplace.log.events import parse_event
from marketplace.log.port import Log
from marketplace.runtime.clearing import parse_book, parse_result


@dataclass(frozen=True, slots=True)
class Published:
    """A cleared auction as the log has it."""

    opened: AuctionOpened
    book: model.Book
    clearing: model.Clearing


async def load_published(log: Log, auction_id: str) -> Published:
    """Return a cleared auction from the log.

    Raises:
        Refusal: ``auction_not_found`` or ``auction_not_cleared``.
    """
    stored = await log.load(render_subject("auction", auction_id))
    events = [parse_event(recorded) for recorded in stored if not recorded.void]
    opened = next((event for event in events if isinstance(event, AuctionOpened)), None)
    locked = next((event for event in events if isinstance(event, AuctionLocked)), None)
    cleared = next((event for event in events if isinstance(event, AuctionCleared)), None)
    if opened is None:
        raise Refusal("auction_not_found", f"the log has no auction {auction_id}; check the id", auction_id=auction_id)
    if locked is None or cleared is None:
        raise Refusal("auction_not_cleared", _tell_uncleared(auction_id, events), auction_id=auction_id)
    backstops = len(locked.book.backstops)
    return Published(opened, parse_book(locked.book), parse_result(opened, cleared, backstops=backstops))


def _tell_uncleared(auction_id: str, events: list[Event]) -> str:
    failures = [event for event in events if isinstance(event, AuctionFailed)]
    if not failures:
        return f"auction {auction_id} has no result yet; it can be checked once it is cleared"
    count, reason = failures[-1].attempt, failures[-1].reason
    if any(isinstance(event, AuctionSettled) for event in events):
        return (
            f"auction {auction_id} has no result: it failed {count} times and let its orders go, the last time since"
            f" {reason}"
        )
    return f"auction {auction_id} has no result yet: attempt {count} failed since {reason}; it runs again by itself"


def repeat(published: Published) -> model.Certificate:
    """Run the engine on the frozen book again and return the certificate that this gives.

    Raises:
        Refusal: ``engine_differs`` where another release cleared the auction.
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

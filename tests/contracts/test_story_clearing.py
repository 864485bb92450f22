"""The auction of the story is one that the market's own verifier takes, so its numbers can be trusted."""

from events.auction import AuctionCleared, AuctionLocked, AuctionOpened
from events.registry import parse_body
from marketplace.clearing.codec import hash_json, render_decisions, render_prices
from marketplace.clearing.verifier import find_violations
from marketplace.runtime.clearing import compute_book_hash, parse_book, parse_result
from tests.contracts.story.book import tell_story

EVENTS = [parse_body(told.tag, told.body) for told in tell_story()]
OPENED = next(event for event in EVENTS if isinstance(event, AuctionOpened))
LOCKED = next(event for event in EVENTS if isinstance(event, AuctionLocked))
CLEARED = next(event for event in EVENTS if isinstance(event, AuctionCleared))


def test_the_verifier_finds_nothing_wrong_with_the_auction() -> None:
    clearing = parse_result(OPENED, CLEARED)
    assert CLEARED.certificate.prices_hash == hash_json(render_prices(clearing.prices))
    assert CLEARED.certificate.decisions_hash == hash_json(render_decisions(clearing.decisions))
    assert find_violations(parse_book(LOCKED.book), clearing) == ()


def test_the_book_is_named_by_the_hash_that_the_market_gives_it() -> None:
    assert LOCKED.book_hash == CLEARED.certificate.book_hash == compute_book_hash(LOCKED.book)

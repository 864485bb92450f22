"""Auctions: times and prices are public; a decision is for its startup, a book and its certificate for auditors."""

from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from events.book import Book
from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.trading import OpenAuctionBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.cursors import parse_cursor
from marketplace.api.http.paging import Cursor, Limit, List, build_page
from marketplace.api.http.queries import Read, Reader, Statuses, answer_versioned
from marketplace.application.trading.auctions import open_auction
from marketplace.clearing.bundle import render_bundle
from marketplace.core.errors import Refusal
from marketplace.domain.refusals import refuse_unknown
from marketplace.domain.trading.auction import AUCTION, Auction, FrozenAuction
from marketplace.projections.trading.auctions import find_auction, list_auctions, list_decisions
from marketplace.projections.views.trading import AuctionView, CertificateView, DecisionView
from marketplace.runtime.auctions.audit import load_published

PATH: Final = "/v1/auctions"
AUDIT: Final = "auctions:audit"
"""The scope of auditors, who read whole books."""
OF_AUDITORS: Final = ("book_hash", "decisions_hash", "welfare_usd", "lp_bound_usd", "dual_bound_usd")
"""What of a certificate would tell the offers of a book of few orders."""
Status = Literal["collecting", "locked", "cleared", "failed"]
Matched = Annotated[bool | None, QueryParameter(description="Only decisions with a match; false: only those without")]


@post("/", summary="Open an auction")
async def open_one(command: Commanded, data: JSONBody[OpenAuctionBody]) -> Response[ReceiptBody]:
    """Open an auction, which then collects orders; for the platform."""
    receipt = await open_auction(
        command.handler,
        command.context,
        **msgspec.structs.asdict(data),
    )
    return command.answer_created(receipt, PATH)


async def _load(reader: Reader, auction_id: str) -> AuctionView:
    async with reader.connect() as connection:
        view = await find_auction(connection, auction_id)
    if view is None:
        raise refuse_unknown("auction", auction_id)
    return _show(reader, view)


def _show(reader: Reader, view: AuctionView) -> AuctionView:
    """Return an auction without what tells sealed offers, unless an auditor of the platform reads it."""
    if reader.party_id is None and reader.principal.allows(AUDIT):
        return view
    certificate = view.certificate
    if certificate is not None:
        certificate = msgspec.structs.replace(certificate, **dict.fromkeys(OF_AUDITORS))
    return msgspec.structs.replace(view, book_hash=None, certificate=certificate)


def _refuse_uncleared(view: AuctionView) -> Refusal:
    what = f"auction {view.auction_id} is {view.status}; it has a certificate once it is cleared"
    if view.carried_out_at is not None:
        what = f"auction {view.auction_id} failed {view.attempts} times and released its orders: {view.reason}"
    elif view.status == "failed":
        what = (
            f"attempt {view.attempts} at auction {view.auction_id} failed: {view.reason}; it is retried automatically"
        )
    return Refusal(f"auction_{view.status}", what, status=view.status, allowed="cleared")


@get("/{auction_id:str}", summary="Get an auction")
async def get_one(reader: Read, auction_id: FromPath[str]) -> Response[AuctionView]:
    """Return an auction: its times, state, and prices and certificate once it is cleared."""
    view = await _load(reader, auction_id)
    return answer_versioned(view, view.last_sequence)


@get("/{auction_id:str}/certificate", summary="Get an auction's certificate")
async def get_certificate(reader: Read, auction_id: FromPath[str]) -> CertificateView:
    """Return the certificate of a cleared auction: engine, seed, gap and prices; for auditors also hashes and dollars.

    Raises:
        Refusal: ``auction_unknown`` · ``auction_<status>`` until it is cleared.
    """
    view = await _load(reader, auction_id)
    if view.certificate is None:
        raise _refuse_uncleared(view)
    return view.certificate


@get("/{auction_id:str}/book", summary="Get an auction's frozen book", opt={"sealed": True})
async def get_book(reader: Read, auction_id: FromPath[str]) -> Book:
    """Return the frozen book; for the platform, because it contains every startup's offer.

    Raises:
        Refusal: ``platform_only`` · ``auction_unknown`` · ``auction_<status>`` until it is locked.
    """
    reader.require_platform()
    view = await _load(reader, auction_id)
    auction: Auction | None = (await reader.services.handler.cache.load(AUCTION, auction_id)).state
    if not isinstance(auction, FrozenAuction):
        raise Refusal(
            f"auction_{view.status}",
            f"auction {auction_id} is {view.status}; it has a book once it is locked",
            status=view.status,
            allowed="locked",
        )
    return auction.locked.book


@get("/{auction_id:str}/audit", summary="Get an auction's audit data", opt={"scope": AUDIT})
async def get_audit(reader: Read, auction_id: FromPath[str]) -> dict[str, Any]:
    """Return a cleared auction's book and whole result, as `marketplace auction verify` needs them.

    It needs the scope ``auctions:audit``.

    Raises:
        Refusal: ``platform_only`` · ``auction_unknown`` · ``auction_<status>`` until it is cleared.
    """
    reader.require_platform()
    view = await _load(reader, auction_id)
    if view.certificate is None:
        raise _refuse_uncleared(view)
    published = await load_published(reader.services.handler.log, auction_id)
    return render_bundle(published.book, published.clearing)


@get(
    "/{auction_id:str}/decisions",
    operation_id="auctions.list_decisions",
    summary="List an auction's decisions",
    opt={"sealed": True},
)
async def read_decisions(
    reader: Read, auction_id: FromPath[str], limit: Limit = 100, cursor: Cursor = None, matched: Matched = None
) -> Page[DecisionView]:
    """Return the auction's decisions on the startup's own orders; for the platform, on all."""
    after = parse_cursor(cursor, ("", ""))
    await _load(reader, auction_id)
    async with reader.connect() as connection:
        rows = await list_decisions(
            connection,
            auction_id=auction_id,
            startup_id=reader.party_id,
            matched=matched,
            after=after,
            limit=limit + 1,
        )
    return build_page(rows, limit, lambda row: (row.auction_id, row.order_id))


@get("/", summary="List auctions")
async def list_all(reader: Read, listing: List, status: Statuses[Status] = None) -> Page[AuctionView]:
    """Return auctions."""
    async with reader.connect() as connection:
        rows = await list_auctions(connection, status=status, window=listing.window)
    return listing.build_page(rows, [_show(reader, row) for row in rows], lambda row: (row.opened_at, row.auction_id))


ROUTER: Final = Router(
    PATH,
    route_handlers=[open_one, get_one, get_certificate, get_book, get_audit, read_decisions, list_all],
    tags=["auctions"],
    opt={"feature": "auctions"},
)

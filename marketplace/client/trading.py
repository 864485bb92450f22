"""Methods of the client for trade: quotes, orders, and the auctions that decide them."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Literal, Unpack

from events.book import Book
from events.order import OrderTerms
from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.quotes import QuoteAnswer
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.api.http.bodies.trading import (
    AmendOrderBody,
    AskQuoteBody,
    HoldQuoteBody,
    OpenAuctionBody,
    PlaceOrderBody,
)
from marketplace.client.transport import Group, Listed, Point, Statuses, segment
from marketplace.projections.views.trading import (
    AuctionView,
    BookOrderView,
    CertificateView,
    DecisionView,
    OrderView,
    QuoteView,
)


class Quotes(Group):
    """Quotes: answers to orders that are not placed; held ones can be taken."""

    async def ask(self, *, startup_id: str, terms: OrderTerms, order_id: str | None = None) -> QuoteAnswer:
        """Return the value at which an order would win now, and where it would run; nothing is set aside.

        With `order_id`, the terms are an amendment of that order, which does not compete with itself.
        """
        body = AskQuoteBody(startup_id=startup_id, terms=terms, order_id=order_id)
        return await self._api.send("/v1/quotes", QuoteAnswer, body, fresh=True)

    async def hold(self, *, startup_id: str, terms: OrderTerms, hold_seconds: int = 600, **options: Any) -> ReceiptBody:
        """Hold the cheapest free placement at the price that wins now, with the cash and budget for it.

        The book is asked anew, so the price may differ from that of an earlier quote; it never exceeds the offer.
        """
        body = HoldQuoteBody(startup_id=startup_id, terms=terms, hold_seconds=hold_seconds)
        return await self._api.command("/v1/quotes/hold", body, **options)

    async def take(self, quote_id: str, **options: Any) -> ReceiptBody:
        """Place the order of a held quote, which is matched at once; the receipt's id is the order's."""
        return await self._api.command(f"/v1/quotes/{segment(quote_id)}/take", **options)

    async def release(self, quote_id: str, *, reason: str, **options: Any) -> ReceiptBody:
        """Release a held quote, and everything that was set aside for it."""
        return await self._api.command(f"/v1/quotes/{segment(quote_id)}/release", ReasonBody(reason=reason), **options)

    async def get(self, quote_id: str) -> QuoteView:
        """Return a held quote."""
        return await self._api.get(f"/v1/quotes/{segment(quote_id)}", QuoteView)

    def list(
        self, *, startup_id: str | None = None, status: Statuses = None, **listed: Unpack[Listed]
    ) -> AsyncIterator[QuoteView]:
        """Yield the startup's own held quotes by id; ``held``, ``taken``, ``released`` or ``expired``."""
        return self._api.rows("/v1/quotes", QuoteView, startup_id=startup_id, status=status, **listed)


class Orders(Group):
    """Orders: a startup's requests for nodes over time, sealed to everyone else."""

    async def place(self, *, startup_id: str, terms: OrderTerms, **options: Any) -> ReceiptBody:
        """Place an order for the next auction. Its cash and mandates' budgets are held at once.

        Above what one person alone may order for, a second person must approve it; the receipt's id is then the
        request's.
        """
        return await self._api.command("/v1/orders", PlaceOrderBody(startup_id=startup_id, terms=terms), **options)

    async def amend(self, order_id: str, *, terms: OrderTerms, **options: Any) -> ReceiptBody:
        """Change the terms of an open order, and what is held for it.

        Above what one person alone may buy, a second person must approve it; the receipt's id is then the request's.

        Raises:
            ProblemError: ``order_unknown`` · ``bundle_fixed`` · ``order_locked`` from the `no_cancel_at` of an auction
                that takes it · ``order_…`` for one that is over.
        """
        return await self._api.command(
            f"/v1/orders/{segment(order_id)}", AmendOrderBody(terms=terms), method="PUT", **options
        )

    async def cancel(self, order_id: str, *, reason: str, **options: Any) -> ReceiptBody:
        """Cancel an open order.

        Raises:
            ProblemError: ``order_unknown`` · ``order_locked`` from the `no_cancel_at` of an auction that takes it ·
                ``order_…`` for one that is over.
        """
        return await self._api.command(f"/v1/orders/{segment(order_id)}/cancel", ReasonBody(reason=reason), **options)

    async def get(self, order_id: str, *, expand: Sequence[str] = ()) -> OrderView:
        """Return an order; `expand` adds its last ``decision`` and the ``grant`` that it won."""
        return await self._api.get(f"/v1/orders/{segment(order_id)}", OrderView, expand=list(expand))

    def list(
        self,
        *,
        startup_id: str | None = None,
        status: Statuses = None,
        auction_id: str | None = None,
        expand: Sequence[str] = (),
        **listed: Unpack[Listed],
    ) -> AsyncIterator[OrderView]:
        """Yield the startup's own orders; `auction_id` selects those that the auction locked or decided last.

        `expand` as in `get_order`.
        """
        query: dict[str, Any] = {"startup_id": startup_id, "status": status, "auction_id": auction_id}
        return self._api.rows("/v1/orders", OrderView, expand=list(expand), **query, **listed)

    def list_decisions(self, order_id: str) -> AsyncIterator[DecisionView]:
        """Yield the decision of every auction that took an order; a standing order may have several.

        Raises:
            ProblemError: ``order_unknown``, also if it is another startup's.
        """
        return self._api.rows(f"/v1/orders/{segment(order_id)}/decisions", DecisionView)

    def list_book(self, *, at: Point | None = None) -> AsyncIterator[BookOrderView]:
        """Yield the startup's own open or locked orders by id, now or as of a sequence or an instant."""
        return self._api.rows("/v1/orders/book", BookOrderView, at=at)


class Auctions(Group):
    """Auctions: times and prices are public; a decision is for its startup, a book and its certificate for auditors."""

    async def open(
        self,
        *,
        locks_at: datetime,
        horizon_start: datetime,
        period_hours: Literal[1, 24, 120],
        periods: int,
        seed: int,
        indicative_at: datetime | None = None,
        no_cancel_at: datetime | None = None,
        **options: Any,
    ) -> ReceiptBody:
        """Open an auction, which then collects orders; for the platform."""
        body = OpenAuctionBody(
            locks_at=locks_at,
            horizon_start=horizon_start,
            period_hours=period_hours,
            periods=periods,
            seed=seed,
            indicative_at=indicative_at,
            no_cancel_at=no_cancel_at,
        )
        return await self._api.command("/v1/auctions", body, **options)

    async def get(self, auction_id: str) -> AuctionView:
        """Return an auction with its certificate."""
        return await self._api.get(f"/v1/auctions/{segment(auction_id)}", AuctionView)

    def list(self, *, status: Statuses = None, **listed: Unpack[Listed]) -> AsyncIterator[AuctionView]:
        """Yield auctions by id; ``collecting``, ``locked``, ``cleared`` or ``failed``."""
        return self._api.rows("/v1/auctions", AuctionView, status=status, **listed)

    async def get_certificate(self, auction_id: str) -> CertificateView:
        """Return an auction's certificate; to an auditor with the hashes by which the result is checked and repeated.

        Raises:
            ProblemError: ``auction_unknown`` · ``auction_<status>`` until it is cleared.
        """
        return await self._api.get(f"/v1/auctions/{segment(auction_id)}/certificate", CertificateView)

    async def get_book(self, auction_id: str) -> Book:
        """Return the frozen book of an auction, as the platform; it contains every startup's offer.

        Raises:
            ProblemError: ``platform_only`` · ``auction_unknown`` · ``auction_<status>`` until it is locked.
        """
        return await self._api.get(f"/v1/auctions/{segment(auction_id)}/book", Book)

    async def get_audit(self, auction_id: str) -> dict[str, Any]:
        """Return a cleared auction's book and whole result, as `marketplace auction verify` reads them."""
        return await self._api.get(f"/v1/auctions/{segment(auction_id)}/audit", dict[str, Any])

    def list_decisions(self, auction_id: str, *, matched: bool | None = None) -> AsyncIterator[DecisionView]:
        """Yield the decisions of an auction; with `matched`, only those with a match, or only those without."""
        return self._api.rows(f"/v1/auctions/{segment(auction_id)}/decisions", DecisionView, matched=matched)

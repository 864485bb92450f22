"""Mandates and orders."""

from collections.abc import AsyncIterator
from typing import Literal

from events.mandate import MandateTerms
from events.order import OrderTerms
from marketplace.api.bodies.reasons import ReasonBody
from marketplace.api.bodies.trading import AmendMandateBody, AmendOrderBody, GrantMandateBody, PlaceOrderBody
from marketplace.api.commands import ReceiptBody
from marketplace.client.feature import Feature
from marketplace.client.transport import At
from marketplace.projections.mandates import BudgetHoldView, MandateView
from marketplace.projections.orders import BookOrderView, OrderView


class Mandates(Feature):
    """What holders of equity will take."""

    async def grant(
        self, *, holder_id: str, funding: Literal["cash", "own_capacity"], terms: MandateTerms
    ) -> ReceiptBody:
        """Offer to take equity."""
        body = GrantMandateBody(holder_id=holder_id, funding=funding, terms=terms)
        return await self._transport.command("POST", "/v1/mandates", body)

    async def amend(self, mandate_id: str, *, terms: MandateTerms, if_match: int | None = None) -> ReceiptBody:
        """Change the rules for what comes."""
        body = AmendMandateBody(terms=terms)
        return await self._transport.command("PUT", f"/v1/mandates/{mandate_id}", body, if_match=if_match)

    async def revoke(self, mandate_id: str, *, reason: str) -> ReceiptBody:
        """Take nothing new."""
        return await self._transport.command("POST", f"/v1/mandates/{mandate_id}/revoke", ReasonBody(reason=reason))

    async def get(self, mandate_id: str) -> MandateView:
        """Return a mandate."""
        return await self._transport.read(f"/v1/mandates/{mandate_id}", MandateView)

    def list(self, *, holder_id: str | None = None, status: str | None = None) -> AsyncIterator[MandateView]:
        """Yield mandates by id."""
        query = {"holder_id": holder_id, "status": status}
        return self._transport.read_all("/v1/mandates", MandateView, query)

    def list_holds(self, mandate_id: str) -> AsyncIterator[BudgetHoldView]:
        """Yield the holds on a mandate's budget by id."""
        return self._transport.read_all(f"/v1/mandates/{mandate_id}/holds", BudgetHoldView)


class Orders(Feature):
    """Requests for nodes over time."""

    async def place(self, *, startup_id: str, terms: OrderTerms, idempotency_key: str | None = None) -> ReceiptBody:
        """Ask for capacity in the next auction."""
        body = PlaceOrderBody(startup_id=startup_id, terms=terms)
        return await self._transport.command("POST", "/v1/orders", body, idempotency_key=idempotency_key)

    async def amend(self, order_id: str, *, terms: OrderTerms, if_match: int | None = None) -> ReceiptBody:
        """Change an open order."""
        body = AmendOrderBody(terms=terms)
        return await self._transport.command("PUT", f"/v1/orders/{order_id}", body, if_match=if_match)

    async def cancel(self, order_id: str, *, reason: str, if_match: int | None = None) -> ReceiptBody:
        """Take an open order back."""
        body = ReasonBody(reason=reason)
        return await self._transport.command("POST", f"/v1/orders/{order_id}/cancel", body, if_match=if_match)

    async def get(self, order_id: str) -> OrderView:
        """Return an order with why it lost and the price to win."""
        return await self._transport.read(f"/v1/orders/{order_id}", OrderView)

    def list(
        self, *, startup_id: str | None = None, status: str | None = None, auction_id: str | None = None
    ) -> AsyncIterator[OrderView]:
        """Yield orders by id."""
        query = {"startup_id": startup_id, "status": status, "auction_id": auction_id}
        return self._transport.read_all("/v1/orders", OrderView, query)

    def list_book(self, *, at: At = None) -> AsyncIterator[BookOrderView]:
        """Yield the orders that were open or locked, now or as of a point in the past."""
        return self._transport.read_all("/v1/orders/book", BookOrderView, {"at": at})

"""Credit that providers give startups."""

from typing import Final

from litestar import Response, Router, get, post
from litestar.params import JSONBody

from marketplace.api.http.bodies.accounts import CreditBody
from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.cursors import parse_cursor
from marketplace.api.http.paging import Cursor, Limit, build_page
from marketplace.api.http.queries import Read, Word
from marketplace.application.billing.credits import limit_credit
from marketplace.projections.billing.holds import list_credits
from marketplace.projections.views.billing import CreditView

PATH: Final = "/v1/credits"


@post(
    "/",
    status_code=200,
    operation_id="accounts.limit_credit",
    summary="Limit the credit of a startup",
    opt={"scope": "accounts:hold"},
)
async def limit(command: Commanded, data: JSONBody[CreditBody]) -> Response[ReceiptBody]:
    """Set, as a provider, how much of its delivery a startup's new orders may pay by accepted statements alone.

    The limit, in USD, replaces an earlier one; 0 ends it for new orders. Orders and grants keep what they took.
    `If-Match` and `ETag` are versions of its account.
    """
    receipt = await limit_credit(
        command.handler,
        command.context,
        data.provider_id,
        startup_id=data.startup_id,
        limit_usd=data.limit_usd,
    )
    return command.answer(receipt)


@get("/", operation_id="accounts.list_credits", summary="List credits")
async def list_all(reader: Read, limit: Limit = 100, cursor: Cursor = None, party_id: Word = None) -> Page[CreditView]:
    """Return what startups may take on credit, and take now, by account and provider; a tenant sees its own."""
    first, second = parse_cursor(cursor, ("", ""))
    parties = {"party_id": reader.narrow(party_id), "reader_id": reader.party_id}
    async with reader.connect() as connection:
        rows = await list_credits(
            connection, **parties, sealed=reader.sees_sealed, after=(first, second), limit=limit + 1
        )
    return build_page(rows, limit, lambda row: (row.account_id, row.provider_id))


ROUTER: Final = Router(PATH, route_handlers=[limit, list_all], tags=["accounts"], opt={"feature": "accounts"})

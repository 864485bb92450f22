"""Bonds of providers, and the claims of those who pay on them."""

from typing import Final

from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody

from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.bonds import AnswerClaimBody, ClaimBody, PostBondBody, ReleaseBondBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.cursors import parse_cursor
from marketplace.api.http.paging import Cursor, Limit, List, build_page
from marketplace.api.http.queries import Read, Statuses, Word
from marketplace.application.billing.bonds import answer_claim, claim_bond, post_bond, release_bond
from marketplace.domain.billing.bond import Status
from marketplace.projections.billing.bonds import list_bonds, list_claims
from marketplace.projections.views.billing import BondView, ClaimView

PATH: Final = "/v1/bonds"


@post("/", operation_id="bonds.post", summary="Post a bond", opt={"scope": "accounts:hold"})
async def create(command: Commanded, data: JSONBody[PostBondBody]) -> Response[ReceiptBody]:
    """Set money of a seller apart, from which startups are paid for hours that are not delivered.

    It covers the grants of one lot until that ends, or all of its grants until an instant, and can be released 30 days
    later. What is owed already is paid from it at once.
    """
    receipt = await post_bond(
        command.handler,
        command.context,
        data.party_id,
        amount_usd=data.amount_usd,
        lot_id=data.lot_id,
        stands_until=data.stands_until,
    )
    return command.answer_created(receipt, PATH)


@post("/{bond_id:str}/release", status_code=200, summary="Release a bond", opt={"scope": "accounts:hold"})
async def release(command: Commanded, bond_id: FromPath[str], data: JSONBody[ReleaseBondBody]) -> Response[ReceiptBody]:
    """Take back what is left of a bond once its term and 30 days for claims are over, as provider or platform.

    With a `lot_id` what was posted for that lot, without one what was posted for all grants.
    """
    return command.answer(await release_bond(command.handler, command.context, bond_id, lot_id=data.lot_id))


@post("/claims/{grant_id:str}", status_code=200, summary="Claim for undelivered hours")
async def claim(command: Commanded, grant_id: FromPath[str], data: JSONBody[ClaimBody]) -> Response[ReceiptBody]:
    """Claim, as a payer of a grant, what the schedule at its issue owes for hours that were not delivered.

    It is for a settled period in which nodes failed beyond the cure time, or for an early end or hours taken off.
    A holder claims in the last 7 days what the startup has not. Silence of the provider for 72 hours concedes it.
    """
    receipt = await claim_bond(
        command.handler,
        command.context,
        grant_id,
        period_start=data.period_start,
        replacement_ids=data.replacement_ids,
    )
    return command.answer(receipt)


@post(
    "/{bond_id:str}/claims/{claim_id:str}/answer",
    status_code=200,
    operation_id="bonds.answer_claim",
    summary="Answer a claim",
)
async def answer(
    command: Commanded, bond_id: FromPath[str], claim_id: FromPath[str], data: JSONBody[AnswerClaimBody]
) -> Response[ReceiptBody]:
    """Concede or contest a claim as the provider, or decide it as the platform. It is paid after 72 hours."""
    receipt = await answer_claim(
        command.handler, command.context, bond_id, claim_id, amount_usd=data.amount_usd, reason=data.reason
    )
    return command.answer(receipt)


@get("/", summary="List bonds")
async def list_all(reader: Read, limit: Limit = 100, cursor: Cursor = None, party_id: Word = None) -> Page[BondView]:
    """Return what sellers set apart, by bond and lot, to everybody."""
    first, second = parse_cursor(cursor, ("", ""))
    async with reader.connect() as connection:
        rows = await list_bonds(connection, party_id=party_id, after=(first, second), limit=limit + 1)
    return build_page(rows, limit, lambda row: (row.bond_id, row.lot_id or ""))


@get("/claims", operation_id="bonds.list_claims", summary="List claims on bonds")
async def list_all_claims(
    reader: Read,
    listing: List,
    party_id: Word = None,
    status: Statuses[Status] = None,
) -> Page[ClaimView]:
    """Return the claims of a payer or against a provider, by id; a tenant sees its own."""
    party_id = reader.narrow(party_id)
    async with reader.connect() as connection:
        rows = await list_claims(connection, party_id=party_id, status=status, window=listing.window)
    return listing.build_page(rows, rows, lambda row: (row.claimed_at, row.claim_id))


ROUTER: Final = Router(
    PATH,
    route_handlers=[create, release, claim, answer, list_all, list_all_claims],
    tags=["bonds"],
    opt={"feature": "bonds"},
)

"""Proposals: acts that wait for the agreement of others; visible to their proposer, company and voters."""

from decimal import Decimal
from typing import Final

from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody
from msgspec import structs

from events.issuer import IssuerLiquidityDeclared
from events.registry import parse_body
from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.paging import Cursor, Limit, build_page, parse_cursor
from marketplace.api.http.queries import Read, Word, answer_versioned
from marketplace.application.equity import consents
from marketplace.core.ids import rename_id
from marketplace.core.money import ZERO
from marketplace.domain.equity.rights import list_rights
from marketplace.projections.equity.proposals import Concerned, find_proposal, list_proposals
from marketplace.projections.views.equity import ProposalView, RightsView, RightView, SaleSummary

PATH: Final = "/v1/proposals"


def add_sale(view: ProposalView, party_id: str | None) -> ProposalView:
    """Return a proposal with what its sale pays the reader and all holders, if it is one of a sale."""
    events = (parse_body(effect.type, effect.body_json.encode()) for effect in view.effects)
    declared = next((event for event in events if isinstance(event, IssuerLiquidityDeclared)), None)
    if declared is None:
        return view
    waterfall = declared.waterfall
    sums: dict[str, Decimal] = {}
    for payout in waterfall.payouts:
        sums[payout.security] = sums.get(payout.security, ZERO) + payout.amount_usd
    yours = tuple(payout for payout in waterfall.payouts if payout.holder_id == party_id)
    sale = SaleSummary(
        proceeds_usd=waterfall.proceeds_usd,
        yours=yours,
        yours_usd=sum((payout.amount_usd for payout in yours), ZERO),
        by_security=sums,
    )
    return structs.replace(view, sale=sale)


@post("/{proposal_id:str}/agree", status_code=200, summary="Agree to a proposal")
async def agree(command: Commanded, proposal_id: FromPath[str]) -> Response[ReceiptBody]:
    """Agree as a voter. With the last agreement that it needs, the proposal takes effect in the same instant."""
    return command.answer(await consents.agree(command.handler, command.context, proposal_id))


@post("/{proposal_id:str}/refuse", status_code=200, summary="Refuse a proposal")
async def refuse(command: Commanded, proposal_id: FromPath[str], data: JSONBody[ReasonBody]) -> Response[ReceiptBody]:
    """Refuse as a voter. The proposal ends when those who refuse have made an agreement impossible."""
    return command.answer(await consents.refuse(command.handler, command.context, proposal_id, reason=data.reason))


@post("/{proposal_id:str}/withdraw-consent", status_code=200, summary="Withdraw an agreement")
async def withdraw_consent(
    command: Commanded, proposal_id: FromPath[str], data: JSONBody[ReasonBody]
) -> Response[ReceiptBody]:
    """Take an agreement back, as long as the proposal has not taken effect."""
    receipt = await consents.withdraw_consent(command.handler, command.context, proposal_id, reason=data.reason)
    return command.answer(receipt)


@post("/{proposal_id:str}/withdraw", status_code=200, summary="Withdraw a proposal")
async def withdraw(command: Commanded, proposal_id: FromPath[str], data: JSONBody[ReasonBody]) -> Response[ReceiptBody]:
    """Withdraw a proposal, as the one who made it."""
    receipt = await consents.withdraw_proposal(command.handler, command.context, proposal_id, reason=data.reason)
    return command.answer(receipt)


@get("/{proposal_id:str}", summary="Get a proposal")
async def get_one(reader: Read, proposal_id: FromPath[str]) -> Response[ProposalView]:
    """Return a proposal: what it will record, whose agreement it needs, and how they voted."""
    async with reader.connect() as connection:
        view = await find_proposal(connection, proposal_id)
    view = reader.require(
        view,
        "proposal",
        proposal_id,
        lambda row: (row.proposer_id, rename_id("pty", row.issuer_id), *(vote.party_id for vote in row.votes)),
    )
    return answer_versioned(add_sale(view, reader.party_id), view.last_sequence)


@get("/", summary="List proposals")
async def list_all(
    *, reader: Read, limit: Limit = 100, cursor: Cursor = None, issuer_id: Word = None, status: Word = None
) -> Page[ProposalView]:
    """Return the proposals that the party made, votes on, or that concern its own company, by id."""
    after, own = parse_cursor(cursor, ""), reader.party_id
    async with reader.connect() as connection:
        rows = await list_proposals(
            connection,
            concerned=None if own is None else Concerned(own, rename_id("iss", own)),
            issuer_id=issuer_id,
            status=status,
            after=after,
            limit=limit + 1,
        )
    shown = [add_sale(row, own) for row in rows]
    return build_page(shown, limit, lambda row: row.proposal_id)


ROUTER: Final = Router(
    PATH,
    route_handlers=[agree, refuse, withdraw_consent, withdraw, get_one, list_all],
    tags=["proposals"],
    opt={"feature": "proposals"},
)


@get("/", summary="Get the table of rights")
async def get_rights(reader: Read) -> RightsView:
    """Return who must agree before an act changes what someone owns, owes or was promised; for everybody."""
    del reader
    rows = tuple(
        RightView(name=right.name, act=right.act, proposes=right.proposes, agrees=right.agrees, unless=right.unless)
        for right in list_rights()
    )
    return RightsView(rights=rows, decide_within_days=consents.DECIDE_WITHIN.days)


RIGHTS_ROUTER: Final = Router(
    "/v1/rights", route_handlers=[get_rights], tags=["proposals"], opt={"feature": "proposals"}
)

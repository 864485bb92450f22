"""Proposals: acts that wait for the agreement of others; visible to their proposer, company and voters."""

from collections.abc import Sequence
from typing import Final

from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody
from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.api.equity.information import add_classes, limit_changes, limit_proposal, load_voter_sight
from marketplace.api.http.asked import answer_asked
from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.paging import List
from marketplace.api.http.queries import Read, Reader, Statuses, Word, answer_versioned
from marketplace.api.http.visibility import PROPOSAL
from marketplace.application.equity import consents
from marketplace.captable.proposed import ProposedChanges, compare_effects, list_named_classes
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.domain.equity.information import Sight, find_waterfall, limit_class
from marketplace.domain.equity.proposal import DECIDE_WITHIN, Status
from marketplace.domain.equity.rights import list_rights
from marketplace.execution.history import load_history
from marketplace.projections.equity.cap_tables import list_stock_classes, show_waterfall
from marketplace.projections.equity.proposals import Concerned, find_proposal, list_proposals
from marketplace.projections.feed.told import tell
from marketplace.projections.views.equity import ProposalView, RightsView, RightView, WaterfallView

PATH: Final = "/v1/proposals"


async def _load(connection: AsyncConnection, reader: Reader, proposal_id: str) -> ProposalView:
    """Return a proposal that the reader makes, votes on, or that concerns its own company.

    Raises:
        Refusal: ``proposal_unknown``.
    """
    return reader.show(await find_proposal(connection, proposal_id), PROPOSAL, proposal_id)


async def _limit(connection: AsyncConnection, reader: Reader, views: Sequence[ProposalView]) -> list[ProposalView]:
    """Return proposals as the reader may see them: what others get and weigh, to the depth that it sees."""
    issuers = sorted({view.issuer_id for view in views})
    sights = {issuer_id: await load_voter_sight(connection, reader, issuer_id) for issuer_id in issuers}
    shown = [limit_proposal(view, sights[view.issuer_id], reader.now) for view in views]
    named = [list_named_classes(view.issuer_id, view.effects) for view in shown]
    known = {
        (issuer_id, each.class_id): limit_class(each, sights.get(issuer_id, Sight(issuer_id, None, "own")))
        for issuer_id in sorted({issuer_id for classes in named for issuer_id, _ in classes})
        for each in await list_stock_classes(connection, issuer_id)
    }
    return [add_classes(view, classes, known) for view, classes in zip(shown, named, strict=True)]


_VOTES: Final = {"scope": "proposals:agree"}


@post("/{proposal_id:str}/agree", status_code=200, summary="Agree to a proposal", opt=_VOTES)
async def agree(command: Commanded, proposal_id: FromPath[str]) -> Response[ReceiptBody]:
    """Agree as a voter. With the last agreement the proposal takes effect at once.

    Of a proposal that one's refusal ended, this takes the refusal back.
    If it may cost the party more than its account lets one person let go, it waits for a second person (202).
    """
    auction_ids = await command.list_auctions()
    receipt = await consents.agree(command.handler, command.context, proposal_id, auction_ids=auction_ids)
    return await answer_asked(command, receipt, command.principal.party_id) or command.answer(receipt)


@post("/{proposal_id:str}/refuse", status_code=200, summary="Refuse a proposal", opt=_VOTES)
async def refuse(command: Commanded, proposal_id: FromPath[str], data: JSONBody[ReasonBody]) -> Response[ReceiptBody]:
    """Refuse as a voter. The proposal ends once the refusals make the agreement that it needs impossible."""
    return command.answer(await consents.refuse(command.handler, command.context, proposal_id, reason=data.reason))


@post("/{proposal_id:str}/withdraw-consent", status_code=200, summary="Withdraw an agreement", opt=_VOTES)
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
        (view,) = await _limit(connection, reader, [await _load(connection, reader, proposal_id)])
    return answer_versioned(view, view.last_sequence)


@get("/{proposal_id:str}/waterfall", summary="Get the waterfall of a proposed sale")
async def get_waterfall(reader: Read, proposal_id: FromPath[str]) -> WaterfallView:
    """Return what a proposed sale pays the reader, and what it pays others as deep as the reader sees the company.

    Raises:
        Refusal: ``proposal_unknown`` · ``not_a_sale``.
    """
    async with reader.connect() as connection:
        (view,) = await _limit(connection, reader, [await _load(connection, reader, proposal_id)])
        waterfall = find_waterfall(view.effects)
        if waterfall is None:
            raise Refusal(
                "not_a_sale",
                f"proposal {proposal_id} has no waterfall, because it sells nothing; its effects say what it records",
                proposal_id=proposal_id,
            )
        return show_waterfall(waterfall)


@get("/{proposal_id:str}/changes", summary="Get what a proposal changes")
async def get_changes(reader: Read, proposal_id: FromPath[str]) -> ProposedChanges:
    """Return the shares and the principal before and after an open proposal, as deep as the reader sees the company.

    A proposal that is no longer open has none.
    """
    async with reader.connect() as connection:
        view = await _load(connection, reader, proposal_id)
        sight = await load_voter_sight(connection, reader, view.issuer_id)
    history = await load_history(reader.services.handler.histories, view.issuer_id)
    effects = view.effects if view.status == "open" else ()
    return limit_changes(compare_effects(history, proposal_id, effects), sight)


@get("/", summary="List proposals")
async def list_all(
    *,
    reader: Read,
    listing: List,
    issuer_id: Word = None,
    status: Statuses[Status] = None,
) -> Page[ProposalView]:
    """Return the proposals that the party made, votes on, or that concern its own company."""
    own = reader.party_id
    async with reader.connect() as connection:
        rows = await list_proposals(
            connection,
            concerned=None if own is None else Concerned(own, rename_id("iss", own)),
            issuer_id=issuer_id,
            status=status,
            window=listing.window,
        )
        shown = await _limit(connection, reader, rows)
    return listing.build_page(rows, shown, lambda row: (row.proposed_at, row.proposal_id))


ROUTER: Final = Router(
    PATH,
    route_handlers=[agree, refuse, withdraw_consent, withdraw, get_one, get_waterfall, get_changes, list_all],
    tags=["proposals"],
    opt={"feature": "proposals"},
)


@get("/", summary="Get the table of rights")
async def get_rights(reader: Read) -> RightsView:
    """List who must agree to each act, and whom the feed tells of it."""
    del reader
    rows = tuple(RightView(**right._asdict(), told=tell(right.name)) for right in list_rights())
    return RightsView(rights=rows, decide_within_days=DECIDE_WITHIN.days)


RIGHTS_ROUTER: Final = Router(
    "/v1/rights", route_handlers=[get_rights], tags=["proposals"], opt={"feature": "proposals"}
)

"""Statements: the priced usage of a grant in a period; accepted, disputed, resolved."""

from typing import Final, Literal

from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody

from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.delivery import (
    AnswerDisputeBody,
    ConcedePartBody,
    DisputeStatementBody,
    ReferDisputeBody,
    ResolveStatementBody,
)
from marketplace.api.http.commands import Commanded
from marketplace.api.http.paging import List
from marketplace.api.http.queries import InstantText, Read, Statuses, Whose, Word, answer_versioned, parse_instant
from marketplace.api.http.visibility import STATEMENT
from marketplace.application.billing.disputes import answer_dispute, concede_part, refer_dispute
from marketplace.application.billing.statements import accept_statement, dispute_statement, resolve_statement
from marketplace.core.errors import Refusal
from marketplace.core.intervals import require_forward
from marketplace.projections.billing.earnings import load_earnings
from marketplace.projections.billing.statements import find_statement, list_statements
from marketplace.projections.views.billing import EarningsView, StatementView

PATH: Final = "/v1/statements"
Status = Literal["issued", "disputed", "resolved", "accepted", "credited"]


@post("/{statement_id:str}/accept", status_code=200, summary="Accept a statement")
async def accept(command: Commanded, statement_id: FromPath[str]) -> Response[ReceiptBody]:
    """Accept a statement, as its startup or as the holder that pays a part.

    It is paid, and its principal accrues, once all payers accepted it or the acceptance period is over. In a
    dispute it accepts the provider's counter-offer. Where only the meters differ and nobody offers, its startup lets
    that count stand.
    """
    return command.answer(await accept_statement(command.handler, command.context, statement_id))


@post("/{statement_id:str}/dispute", status_code=200, summary="Dispute a statement")
async def dispute(
    command: Commanded, statement_id: FromPath[str], data: JSONBody[DisputeStatementBody]
) -> Response[ReceiptBody]:
    """Dispute a statement until its `accept_until`, as the startup or the holder that pays: count less delivery.

    A count that the other payer, or the difference of the meters, has stated is replaced by a lower one only.
    """
    receipt = await dispute_statement(
        command.handler,
        command.context,
        statement_id,
        gpu_seconds_counted=data.gpu_seconds_counted,
        hours_counted=data.hours_counted,
        reason=data.reason,
        evidence=data.evidence,
    )
    return command.answer(receipt)


@post(
    "/{statement_id:str}/answer", status_code=200, operation_id="statements.answer_dispute", summary="Answer a dispute"
)
async def answer(
    command: Commanded, statement_id: FromPath[str], data: JSONBody[AnswerDisputeBody]
) -> Response[ReceiptBody]:
    """Answer the other side of a dispute, when it is the sender's turn: offer an amount between both, or insist.

    Then the other side has seven days; its silence settles at this answer.
    """
    receipt = await answer_dispute(
        command.handler,
        command.context,
        statement_id,
        gpu_seconds=data.gpu_seconds,
        hours=data.hours,
        reason=data.reason,
        evidence=data.evidence,
    )
    return command.answer(receipt)


@post(
    "/{statement_id:str}/concede",
    status_code=200,
    operation_id="statements.concede_part",
    summary="Concede a part of a dispute by a new total",
)
async def concede(
    command: Commanded, statement_id: FromPath[str], data: JSONBody[ConcedePartBody]
) -> Response[ReceiptBody]:
    """Give up a part of a dispute for good: a payer pays it at once, a provider charges less. The rest stays open.

    The body states the sender's new total for the period, not the part that it gives up.
    """
    receipt = await concede_part(
        command.handler,
        command.context,
        statement_id,
        gpu_seconds=data.gpu_seconds,
        hours=data.hours,
        reason=data.reason,
    )
    return command.answer(receipt)


@post(
    "/{statement_id:str}/refer",
    status_code=200,
    operation_id="statements.refer_dispute",
    summary="Ask the platform to decide a dispute",
)
async def refer(
    command: Commanded, statement_id: FromPath[str], data: JSONBody[ReferDisputeBody]
) -> Response[ReceiptBody]:
    """Ask the platform to decide a dispute, after an answer of each side or 14 days. Its decision is final.

    If it does not decide within 30 days, the dispute settles in the middle between both sides.
    """
    receipt = await refer_dispute(
        command.handler, command.context, statement_id, reason=data.reason, evidence=data.evidence
    )
    return command.answer(receipt)


@post("/{statement_id:str}/resolve", status_code=200, summary="Resolve a dispute")
async def resolve(
    command: Commanded, statement_id: FromPath[str], data: JSONBody[ResolveStatementBody]
) -> Response[ReceiptBody]:
    """End a dispute: as the provider, concede the payers' count or accept their counter-offer; as the platform, decide.

    The platform decides only what a side referred to it.
    """
    receipt = await resolve_statement(
        command.handler,
        command.context,
        statement_id,
        gpu_seconds=data.gpu_seconds,
        hours=data.hours,
        reason=data.reason,
    )
    return command.answer(receipt)


@get("/earnings", operation_id="statements.sum_earnings", summary="Sum what a provider earned")
async def sum_up(reader: Read, start: InstantText, end: InstantText, party_id: Whose = None) -> EarningsView:
    """Return the sums of a provider's statements whose periods end after `start` and not after `end`.

    A tenant sums its own; the platform names a provider.

    Raises:
        Refusal: ``request_invalid`` if the platform names no provider, or the span is empty.
    """
    own = reader.narrow(party_id)
    if own is None:
        raise Refusal("request_invalid", "name the provider whose statements are summed", pointer="/party_id")
    begin, until = parse_instant(start, "/start"), parse_instant(end, "/end")
    require_forward(begin, until)
    async with reader.connect() as connection:
        return await load_earnings(connection, own, start=begin, end=until)


@get("/{statement_id:str}", summary="Get a statement")
async def get_one(reader: Read, statement_id: FromPath[str]) -> Response[StatementView]:
    """Return a statement, to those who pay it and those whom it pays."""
    async with reader.connect() as connection:
        view = await find_statement(connection, statement_id)
    view = reader.show(view, STATEMENT, statement_id)
    return answer_versioned(view, view.last_sequence)


@get("/", summary="List statements")
async def list_all(
    *,
    reader: Read,
    listing: List,
    party_id: Word = None,
    grant_id: Word = None,
    service_line_id: Word = None,
    status: Statuses[Status] = None,
) -> Page[StatementView]:
    """Return the party's statements."""
    party_id = reader.narrow(party_id)
    async with reader.connect() as connection:
        rows = await list_statements(
            connection,
            party_id=party_id,
            grant_id=grant_id,
            service_line_id=service_line_id,
            status=status,
            window=listing.window,
        )
    return listing.build_page(rows, rows, lambda row: (row.issued_at, row.statement_id))


ROUTER: Final = Router(
    PATH,
    route_handlers=[accept, dispute, answer, concede, refer, resolve, sum_up, get_one, list_all],
    tags=["statements"],
    opt={"feature": "statements"},
)

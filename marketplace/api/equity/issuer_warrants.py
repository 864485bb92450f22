"""Warrants of an issuer and what they are measured by.

For the company, holders, the parties that attest or record prices, and the platform.
"""

from datetime import date
from typing import Final

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody
from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.api.equity.issuers import PATH, answer, create
from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.issuers import (
    AddProgrammeGrantBody,
    AttestMilestoneBody,
    CorrectPriceBody,
    ExerciseWarrantBody,
    IssueWarrantBody,
    NamePriceSourceBody,
    ObservePriceBody,
    OpenProgrammeBody,
    StatePurchasesBody,
    TransferRightBody,
)
from marketplace.api.http.commands import Commanded
from marketplace.api.http.cursors import parse_cursor
from marketplace.api.http.paging import Cursor, Limit, build_page
from marketplace.api.http.queries import Read, Reader, answer_versioned
from marketplace.application.equity import warrants as use_cases
from marketplace.application.steps.access import is_company
from marketplace.domain.equity.issuer import programme_commands, rights_commands
from marketplace.domain.equity.issuer.rights.warrant_terms import list_attesters
from marketplace.domain.refusals import refuse_unknown, require_found
from marketplace.projections.equity.cap_tables import (
    find_held_stock,
    find_issuer,
    find_warrant,
    list_price_observations,
    list_price_sources,
    list_programmes,
    list_warrants,
)
from marketplace.projections.views.equity import PriceObservationView, PriceSourceView, ProgrammeView, WarrantView

SOURCES_MAX: Final = 1_000


@post("/warrants", summary="Issue a warrant")
async def issue(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[IssueWarrantBody]
) -> Response[ReceiptBody]:
    """Issue a right to buy shares, exercisable at once or at milestones."""
    warrant_id = command.derive("wrt")
    deed = rights_commands.IssueWarrant(
        issuer_id=issuer_id,
        warrant_id=warrant_id,
        **msgspec.structs.asdict(data),
    )
    receipt = await use_cases.issue_warrant(command.handler, command.context, deed)
    return await answer(command, receipt, f"{PATH}/{issuer_id}/warrants", warrant_id)


@get("/warrants", summary="List warrants")
async def list_all(
    reader: Read, issuer_id: FromPath[str], limit: Limit = 100, cursor: Cursor = None
) -> Page[WarrantView]:
    """Return warrants with their tranches: all to the company; to others those that they hold or attest.

    Raises:
        Refusal: ``issuer_unknown``, also for a party without a warrant.
    """
    after = parse_cursor(cursor, "")
    async with reader.connect() as connection:
        party_id = await _find_holder(connection, reader, issuer_id)
        rows = await list_warrants(connection, issuer_id, party_id=party_id, after=after, limit=limit + 1)
    if party_id is not None and not rows:
        raise refuse_unknown("issuer", issuer_id)
    return build_page(rows, limit, lambda row: row.warrant_id)


async def _find_holder(connection: AsyncConnection, reader: Reader, issuer_id: str) -> str | None:
    """Return the reader, who sees only what it has a part in; None: the company or the platform, which sees all.

    Raises:
        Refusal: ``issuer_unknown``.
    """
    if reader.party_id is not None and not is_company(reader.party_id, issuer_id):
        return reader.party_id
    require_found("issuer", issuer_id, await find_issuer(connection, issuer_id))
    return None


@get("/warrants/{warrant_id:str}", summary="Get a warrant")
async def get_one(reader: Read, issuer_id: FromPath[str], warrant_id: FromPath[str]) -> Response[WarrantView]:
    """Return a warrant, with what has vested and may be exercised of each tranche, to company, holder and attesters.

    Raises:
        Refusal: ``issuer_unknown``, also for another party. ``warrant_unknown``.
    """
    async with reader.connect() as connection:
        party_id = await _find_holder(connection, reader, issuer_id)
        view = await find_warrant(connection, issuer_id, warrant_id)
    named = set[str]() if view is None else {view.holder_id, *list_attesters(view.terms.tranches)}
    if party_id is not None and party_id not in named:
        raise refuse_unknown("issuer", issuer_id)
    if view is None:
        raise refuse_unknown("warrant", warrant_id)
    return answer_versioned(view, view.last_sequence)


@post("/warrants/{warrant_id:str}/exercise", status_code=200, summary="Exercise a warrant")
async def exercise(
    command: Commanded, issuer_id: FromPath[str], warrant_id: FromPath[str], data: JSONBody[ExerciseWarrantBody]
) -> Response[ReceiptBody]:
    """Exercise what has vested of a warrant, in part or in full: for cash, or net at the fair value of a share."""
    receipt = await use_cases.exercise_warrant(
        command.handler,
        command.context,
        issuer_id,
        exercise_id=command.derive("exr"),
        warrant_id=warrant_id,
        shares=data.shares,
        net=data.settlement == "net",
        tranche=data.tranche,
    )
    return await answer(command, receipt)


@post("/warrants/{warrant_id:str}/transfer", status_code=200, summary="Transfer a warrant")
async def transfer(
    command: Commanded, issuer_id: FromPath[str], warrant_id: FromPath[str], data: JSONBody[TransferRightBody]
) -> Response[ReceiptBody]:
    """Transfer a whole warrant to an affiliate of its first holder, or back."""
    receipt = await use_cases.transfer_warrant(
        command.handler,
        command.context,
        issuer_id,
        warrant_id,
        holder_id=data.holder_id,
        holder_id_after=data.holder_id_after,
    )
    return await answer(command, receipt)


@post(
    "/warrants/{warrant_id:str}/attestations",
    status_code=200,
    operation_id="warrants.attest_milestone",
    summary="Attest a milestone",
)
async def attest(
    command: Commanded, issuer_id: FromPath[str], warrant_id: FromPath[str], data: JSONBody[AttestMilestoneBody]
) -> Response[ReceiptBody]:
    """Attest a milestone of a warrant, as the attester that its terms state."""
    receipt = await use_cases.attest_milestone(
        command.handler,
        command.context,
        issuer_id,
        warrant_id,
        milestone=data.milestone,
        document=data.document,
    )
    return await answer(command, receipt)


@post("/programmes", summary="Open a programme")
async def open_programme(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[OpenProgrammeBody]
) -> Response[ReceiptBody]:
    """Let purchases between named customers and vendors count together for warrants."""
    programme_id = command.derive("prg")
    deed = programme_commands.OpenProgramme(
        issuer_id=issuer_id,
        programme_id=programme_id,
        **msgspec.structs.asdict(data),
    )
    return await create(command, "programmes", programme_id, deed)


@get("/programmes", operation_id="warrants.list_programmes", summary="List programmes")
async def read_programmes(
    reader: Read, issuer_id: FromPath[str], limit: Limit = 100, cursor: Cursor = None
) -> Page[ProgrammeView]:
    """Return the programmes with what counts in them: all for holders, its own for a customer or vendor.

    Raises:
        Refusal: ``issuer_unknown``, also for a party that neither holds anything nor takes part in a programme.
    """
    after = parse_cursor(cursor, "")
    async with reader.connect() as connection:
        party_id = await _find_outsider(connection, reader, issuer_id)
        rows = await list_programmes(connection, issuer_id, party_id=party_id, after=after, limit=limit + 1)
    if party_id is not None and not rows:
        raise refuse_unknown("issuer", issuer_id)
    return build_page(rows, limit, lambda row: row.programme_id)


async def _find_outsider(connection: AsyncConnection, reader: Reader, issuer_id: str) -> str | None:
    """Return a reader that holds nothing; None for holders, the company and the platform, which see all.

    Raises:
        Refusal: ``issuer_unknown``.
    """
    party_id = await _find_holder(connection, reader, issuer_id)
    sees_all = party_id is None or await find_held_stock(connection, issuer_id, party_id) is not None
    return None if sees_all else party_id


@post(
    "/programmes/{programme_id:str}/grants",
    status_code=200,
    operation_id="warrants.add_programme_grant",
    summary="Add a grant to a programme",
)
async def add_grant(
    command: Commanded, issuer_id: FromPath[str], programme_id: FromPath[str], data: JSONBody[AddProgrammeGrantBody]
) -> Response[ReceiptBody]:
    """Let a grant between parties of a programme count in it, as the company or a side of the grant."""
    receipt = await use_cases.add_programme_grant(
        command.handler, command.context, issuer_id, programme_id, data.grant_id
    )
    return await answer(command, receipt)


@post("/programmes/{programme_id:str}/purchases", status_code=200, summary="State purchases outside this market")
async def state_purchases(
    command: Commanded, issuer_id: FromPath[str], programme_id: FromPath[str], data: JSONBody[StatePurchasesBody]
) -> Response[ReceiptBody]:
    """State purchases that parties of a programme made outside this market."""
    deed = programme_commands.StatePurchases(
        issuer_id=issuer_id,
        purchases_id=command.derive("pur"),
        programme_id=programme_id,
        at=command.context.at,
        **msgspec.structs.asdict(data),
    )
    return await answer(command, await use_cases.state_purchases(command.handler, command.context, deed))


@post("/price-sources", summary="Name a price source")
async def name_price_source(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[NamePriceSourceBody]
) -> Response[ReceiptBody]:
    """Name the independent party that records the price of a share. Security holders vote on it."""
    source_id = command.derive("src")
    deed = programme_commands.NamePriceSource(
        issuer_id=issuer_id, source_id=source_id, name=data.name, recorder_id=data.recorder_id
    )
    return await create(command, "price-sources", source_id, deed)


@get("/price-sources", operation_id="warrants.list_price_sources", summary="List price sources")
async def read_price_sources(
    reader: Read, issuer_id: FromPath[str], limit: Limit = 100, cursor: Cursor = None
) -> Page[PriceSourceView]:
    """Return the price sources: all to holders, its own to a recorder.

    Raises:
        Refusal: ``issuer_unknown``, also for any other party.
    """
    after = parse_cursor(cursor, "")
    async with reader.connect() as connection:
        recorder_id = await _find_outsider(connection, reader, issuer_id)
        rows = await list_price_sources(connection, issuer_id, recorder_id=recorder_id, after=after, limit=limit + 1)
    if recorder_id is not None and not rows:
        raise refuse_unknown("issuer", issuer_id)
    return build_page(rows, limit, lambda row: row.source_id)


@get(
    "/price-sources/{source_id:str}/observations",
    operation_id="warrants.list_price_observations",
    summary="List recorded prices",
)
async def read_observations(
    reader: Read, issuer_id: FromPath[str], source_id: FromPath[str], limit: Limit = 100, cursor: Cursor = None
) -> Page[PriceObservationView]:
    """Return the prices that a source recorded, by day.

    Raises:
        Refusal: ``issuer_unknown``, also for any other party. ``price_source_unknown``.
    """
    after = parse_cursor(cursor, date.min)
    async with reader.connect() as connection:
        recorder_id = await _find_outsider(connection, reader, issuer_id)
        sources = await list_price_sources(connection, issuer_id, recorder_id=recorder_id, limit=SOURCES_MAX)
        if source_id not in {row.source_id for row in sources}:
            if recorder_id is not None:
                raise refuse_unknown("issuer", issuer_id)
            raise refuse_unknown("price_source", source_id)
        rows = await list_price_observations(connection, issuer_id, source_id, after=after, limit=limit + 1)
    return build_page(rows, limit, lambda row: row.day)


@post("/price-sources/{source_id:str}/observations", status_code=200, summary="Record a price")
async def observe_price(
    command: Commanded, issuer_id: FromPath[str], source_id: FromPath[str], data: JSONBody[ObservePriceBody]
) -> Response[ReceiptBody]:
    """Record the price of a share on a day, as the source's recorder. Warrants may vest at it."""
    receipt = await use_cases.observe_price(
        command.handler,
        command.context,
        issuer_id,
        source_id,
        day=data.day,
        price_usd_per_share=data.price_usd_per_share,
        volume=data.volume,
    )
    return await answer(command, receipt)


@post("/price-sources/{source_id:str}/corrections", status_code=200, summary="Correct a recorded price")
async def correct_price(
    command: Commanded, issuer_id: FromPath[str], source_id: FromPath[str], data: JSONBody[CorrectPriceBody]
) -> Response[ReceiptBody]:
    """Correct the price of a day, as the source's recorder. If a warrant counted with it, its holder agrees first."""
    deed = programme_commands.CorrectPrice(
        issuer_id=issuer_id,
        source_id=source_id,
        recorder_id=command.context.party_id,
        **msgspec.structs.asdict(data),
    )
    return await answer(command, await use_cases.correct_price(command.handler, command.context, deed))


ROUTER: Final = Router(
    f"{PATH}/{{issuer_id:str}}",
    route_handlers=[
        issue,
        list_all,
        get_one,
        exercise,
        transfer,
        attest,
        open_programme,
        read_programmes,
        read_price_sources,
        read_observations,
        add_grant,
        state_purchases,
        name_price_source,
        observe_price,
        correct_price,
    ],
    tags=["warrants"],
    opt={"feature": "issuers"},
)

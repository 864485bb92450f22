"""Cap tables and their details, as of any sequence or instant; and a holder's securities."""

from typing import Final

from litestar import Response, Router, get
from litestar.params import FromPath
from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.api.equity.explanations import EXPLANATION_HANDLERS
from marketplace.api.equity.information import limit_cap_table, load_seen, load_sight
from marketplace.api.http.bodies.answers import Page
from marketplace.api.http.bodies.cap_tables import HoldingView
from marketplace.api.http.cursors import parse_cursor
from marketplace.api.http.paging import Cursor, Limit, build_page
from marketplace.api.http.queries import AtText, KnownSequence, Read, Reader, Whose, answer_versioned, parse_at
from marketplace.api.http.visibility import ISSUER
from marketplace.application.steps.access import is_company
from marketplace.core.errors import Refusal
from marketplace.domain.equity.information import limit_class
from marketplace.domain.refusals import refuse_unknown
from marketplace.projections.equity.cap_tables import (
    find_issuer,
    holds_rights,
    list_holdings,
    list_issuers,
    list_stakeholders,
    list_stock_classes,
    list_valuations,
    load_cap_table,
    load_options,
)
from marketplace.projections.equity.instruments import list_principal
from marketplace.projections.views.equity import (
    CapTableView,
    IssuerView,
    PrincipalView,
    StakeholderView,
    StockClassView,
    ValuationView,
)


async def load_issuer(connection: AsyncConnection, reader: Reader, issuer_id: str) -> IssuerView:
    """Return an issuer, to its own startup and to the platform.

    Raises:
        Refusal: ``issuer_unknown``, also for a holder of its securities; `load_seen` admits holders.
    """
    if reader.party_id is not None and not is_company(reader.party_id, issuer_id):
        raise refuse_unknown("issuer", issuer_id)
    return reader.show(await find_issuer(connection, issuer_id), ISSUER, issuer_id)


@get("/", summary="List issuers")
async def list_all(reader: Read, limit: Limit = 100, cursor: Cursor = None) -> Page[IssuerView]:
    """Return the startup's own issuer; for the platform, all issuers by id."""
    after = parse_cursor(cursor, "")
    async with reader.connect() as connection:
        rows = await list_issuers(connection, party_id=reader.party_id, after=after, limit=limit + 1)
    return build_page(rows, limit, lambda row: row.issuer_id)


@get("/{issuer_id:str}", summary="Get an issuer")
async def get_one(reader: Read, issuer_id: FromPath[str]) -> Response[IssuerView]:
    """Return an issuer, to its startup, the platform and holders of its securities."""
    async with reader.connect() as connection:
        view = (await load_seen(connection, reader, issuer_id)).view
    return answer_versioned(view, view.last_sequence)


@get("/{issuer_id:str}/cap-table", operation_id="cap_tables.get", summary="Read a cap table")
async def read_cap_table(
    reader: Read, issuer_id: FromPath[str], at: AtText = None, known: KnownSequence = None
) -> CapTableView:
    """Return who owns what, now or as of `at`, by the events up to the sequence `known`.

    The holder terms say how much of it a holder sees.
    """
    point = await parse_at(reader, at)
    async with reader.connect() as connection:
        sight = await load_sight(connection, reader, issuer_id)
        return limit_cap_table(await load_cap_table(connection, issuer_id, at=point, known=known), sight)


@get(
    "/{issuer_id:str}/principal", operation_id="issuers.list_principal", summary="List principal that is not converted"
)
async def read_principal(
    reader: Read, issuer_id: FromPath[str], limit: Limit = 100, cursor: Cursor = None, at: AtText = None
) -> Page[PrincipalView]:
    """Return the principal that may become shares, by instrument, now or as of `at`.

    At the depth ``full`` a holder sees all, else its own.
    """
    after, point = parse_cursor(cursor, ""), await parse_at(reader, at)
    async with reader.connect() as connection:
        sight = await load_sight(connection, reader, issuer_id)
        holder_id = None if sight.depth == "full" else sight.party_id
        rows = await list_principal(connection, issuer_id, holder_id=holder_id, at=point, after=after, limit=limit + 1)
    return build_page(rows, limit, lambda row: row.instrument_id)


@get("/{issuer_id:str}/stakeholders", operation_id="issuers.list_stakeholders", summary="List stakeholders")
async def read_stakeholders(
    reader: Read, issuer_id: FromPath[str], limit: Limit = 100, cursor: Cursor = None
) -> Page[StakeholderView]:
    """Return the stakeholders, who may hold securities, by id; for the company and the platform."""
    after = parse_cursor(cursor, "")
    async with reader.connect() as connection:
        await load_issuer(connection, reader, issuer_id)
        rows = await list_stakeholders(connection, issuer_id, after=after, limit=limit + 1)
    return build_page(rows, limit, lambda row: row.holder_id)


@get("/{issuer_id:str}/stock-classes", operation_id="issuers.list_stock_classes", summary="List classes of stock")
async def read_stock_classes(reader: Read, issuer_id: FromPath[str]) -> list[StockClassView]:
    """Return the classes of stock with their outstanding shares, which the depth ``own`` does not show."""
    async with reader.connect() as connection:
        sight = await load_sight(connection, reader, issuer_id)
        return [limit_class(each, sight) for each in await list_stock_classes(connection, issuer_id)]


@get("/{issuer_id:str}/valuations", operation_id="issuers.list_valuations", summary="List valuations")
async def read_valuations(
    reader: Read, issuer_id: FromPath[str], limit: Limit = 100, cursor: Cursor = None
) -> Page[ValuationView]:
    """Return the valuations, oldest first. The depth ``own`` shows them to holders of options and warrants only."""
    after = parse_cursor(cursor, 0)
    async with reader.connect() as connection:
        sight = await load_sight(connection, reader, issuer_id)
        if sight.depth == "own" and not await holds_rights(connection, issuer_id, sight.party_id or ""):
            raise refuse_unknown("issuer", issuer_id)
        rows = await list_valuations(connection, issuer_id, after=after, limit=limit + 1)
    return build_page(rows, limit, lambda row: row.recorded_sequence)


@get("/v1/holdings", operation_id="issuers.list_holdings", summary="List a party's holdings")
async def read_holdings(
    reader: Read, limit: Limit = 100, cursor: Cursor = None, holder_id: Whose = None
) -> Page[HoldingView]:
    """Return the securities that a party holds, of every issuer, with strike and vesting of options.

    A tenant reads its own.

    Raises:
        Refusal: ``request_invalid`` if the platform names no holder.
    """
    after, holder_id = parse_cursor(cursor, ("", "", "")), reader.narrow(holder_id)
    if holder_id is None:
        raise Refusal("request_invalid", "name the holder: holder_id=pty_…", pointer="/holder_id")
    async with reader.connect() as connection:
        found = await list_holdings(connection, holder_id, after=after, limit=limit + 1)
        named = {row.security for _, row in found if row.kind == "option"}
        options = await load_options(connection, holder_id, named, on_day=reader.now.date()) if named else {}
    rows = [HoldingView(issuer_id=issuer_id, row=row, option=options.get(row.security)) for issuer_id, row in found]
    return build_page(rows, limit, lambda row: (row.issuer_id, row.row.kind, row.row.security))


ISSUER_HANDLERS: Final = (
    list_all,
    get_one,
    read_principal,
    read_stakeholders,
    read_stock_classes,
    read_valuations,
)
HOLDINGS: Final = Router("/", route_handlers=[read_holdings], tags=["issuers"], opt={"feature": "issuers"})
ROUTER: Final = Router(
    "/v1/issuers",
    route_handlers=[read_cap_table, *EXPLANATION_HANDLERS],
    tags=["cap tables"],
    opt={"feature": "issuers"},
)

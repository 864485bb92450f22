"""Explanations and statements of account: every number traced to its events, in forms for people and spreadsheets."""

from typing import Annotated, Final

from litestar import Response, Router, get
from litestar.params import FromPath, QueryParameter
from sqlalchemy.ext.asyncio import AsyncConnection

from events.registry import AGGREGATES
from marketplace.api.http.cursors import parse_cursor, render_cursor
from marketplace.api.http.paging import Cursor
from marketplace.api.http.queries import (
    AtText,
    InstantText,
    OptionalInstantText,
    Read,
    Reader,
    list_kinds,
    parse_at,
    parse_instant,
)
from marketplace.api.http.visibility import ACCOUNT, GRANT, INSTRUMENT, SERVICE_LINE
from marketplace.core.ids import is_id
from marketplace.domain.deciders import PREFIXES
from marketplace.domain.refusals import refuse_unknown
from marketplace.projections.billing.accounts import (
    explain_balance,
    find_account,
    load_account_statement,
    render_csv,
    render_html,
)
from marketplace.projections.billing.accounts.explain import EXPLAINED_MAX
from marketplace.projections.billing.accounts.statement import LINES_MAX
from marketplace.projections.billing.service_lines import find_service_line
from marketplace.projections.delivery.grants import find_grant
from marketplace.projections.equity.instruments import find_instrument
from marketplace.projections.supply.inventory import find_pool
from marketplace.projections.views import billing as views
from marketplace.projections.views.billing import AccountStatementView, ExplanationView

Last = Annotated[int | None, QueryParameter(ge=1, le=LINES_MAX, description="Only so many of the latest lines")]
PATH: Final = "/v1/accounts"
Basis = Annotated[
    views.Basis,
    QueryParameter(description="Whether lines count by when they were recorded or when they occurred"),
]
ExplainedLimit = Annotated[int, QueryParameter(ge=1, le=EXPLAINED_MAX, description="Entries of a page")]
_LOCKED: Final = "default-src 'none'; style-src 'unsafe-inline'"


def _list_kinds(reader: Reader) -> frozenset[str] | None:
    """Return the kinds of aggregates whose events the key sees, orders only if it sees sealed offers; None for all."""
    kinds = list_kinds(reader.principal)
    return kinds if reader.sees_sealed else (frozenset(AGGREGATES) if kinds is None else kinds) - {"order"}


async def _require_seen(reader: Reader, connection: AsyncConnection, subject_id: str) -> None:
    """Refuse a subject without entries that is none of the reader's.

    Raises:
        Refusal: ``account_unknown`` · ``grant_unknown`` · ``instrument_unknown`` · ``pool_unknown`` ·
            ``service_line_unknown``.
    """
    if subject_id.startswith(f"{PREFIXES['pool']}_"):
        pool = await find_pool(connection, subject_id)
        if pool is None or reader.party_id not in {None, pool.provider_id}:
            raise refuse_unknown("pool", subject_id)
    elif subject_id.startswith(f"{PREFIXES['service_line']}_"):
        reader.show(await find_service_line(connection, subject_id), SERVICE_LINE, subject_id)
    elif subject_id.startswith(f"{PREFIXES['grant']}_"):
        reader.show(await find_grant(connection, subject_id), GRANT, subject_id)
    elif subject_id.startswith(f"{PREFIXES['instrument']}_"):
        reader.show(await find_instrument(connection, subject_id), INSTRUMENT, subject_id)
    else:
        reader.show(await find_account(connection, subject_id, now=reader.now), ACCOUNT, subject_id)


@get("/{subject_id:str}/explain", operation_id="accounts.explain_balance", summary="Explain a balance")
async def explain(
    *,
    reader: Read,
    subject_id: FromPath[str],
    at: AtText = None,
    occurred_until: OptionalInstantText = None,
    limit: ExplainedLimit = 20,
    cursor: Cursor = None,
) -> ExplanationView:
    """Return balances, their entries, the event behind each, and for statements their readings; none before the first.

    `subject_id` may name an account, a grant, a service line, an instrument or a pool. A tenant sees its own lines.
    """
    if not is_id(subject_id):
        raise refuse_unknown("account", subject_id if subject_id.isprintable() else "of unprintable characters")
    after = parse_cursor(cursor, (0, -1))
    until = None if occurred_until is None else parse_instant(occurred_until, "/occurred_until")
    point = await parse_at(reader, at)
    async with reader.connect() as connection:
        found = await explain_balance(
            connection,
            reader.services.handler.log,
            subject_id,
            party_id=reader.party_id,
            kinds=_list_kinds(reader),
            at=point,
            occurred_until=until,
            sealed=reader.sees_sealed,
            after=after,
            limit=limit + 1,
        )
        if not found.balances:
            await _require_seen(reader, connection, subject_id)
    shown = found.entries[:limit]
    last = shown[-1].entry if len(found.entries) > limit else None
    return ExplanationView(
        account_id=subject_id,
        balances=found.balances,
        entries=shown,
        next_cursor=None if last is None else render_cursor((last.sequence, last.line)),
    )


async def _load(
    reader: Reader, account_id: str, start: str, end: str, *, basis: Basis, last_lines: int | None = None
) -> AccountStatementView:
    first, last = parse_instant(start, "/start"), parse_instant(end, "/end")
    async with reader.connect() as connection:
        account = reader.show(await find_account(connection, account_id, now=reader.now), ACCOUNT, account_id)
        return await load_account_statement(
            connection,
            account,
            start=first,
            end=last,
            basis=basis,
            last=last_lines,
            sealed=reader.sees_sealed,
        )


@get("/{account_id:str}/statement", operation_id="accounts.get_statement", summary="Read a statement of account")
async def read_statement(
    *,
    reader: Read,
    account_id: FromPath[str],
    start: InstantText,
    end: InstantText,
    basis: Basis = "recorded",
    last: Last = None,
) -> AccountStatementView:
    """Return the opening balance of an account, every line of ``[start, end)``, and the closing balance.

    With `last`, only so many of the latest lines are listed.
    """
    return await _load(reader, account_id, start, end, basis=basis, last_lines=last)


@get(
    "/{account_id:str}/statement.csv",
    operation_id="accounts.get_statement_csv",
    summary="Read a statement of account as CSV",
    media_type="text/csv",
)
async def read_statement_csv(
    reader: Read, account_id: FromPath[str], start: InstantText, end: InstantText, basis: Basis = "recorded"
) -> Response[str]:
    """Return the statement for a spreadsheet."""
    text = render_csv(await _load(reader, account_id, start, end, basis=basis))
    headers = {"Content-Disposition": f'attachment; filename="{account_id}.csv"'}
    return Response(text, media_type="text/csv; header=present", headers=headers)


@get(
    "/{account_id:str}/statement.html",
    operation_id="accounts.get_statement_html",
    summary="Read a statement of account as a page",
    media_type="text/html",
)
async def read_statement_page(
    reader: Read, account_id: FromPath[str], start: InstantText, end: InstantText, basis: Basis = "recorded"
) -> Response[str]:
    """Return the statement as a page to print."""
    text = render_html(await _load(reader, account_id, start, end, basis=basis))
    headers = {"Content-Security-Policy": _LOCKED, "X-Content-Type-Options": "nosniff"}
    return Response(text, media_type="text/html", headers=headers)


ROUTER: Final = Router(
    PATH,
    route_handlers=[explain, read_statement, read_statement_csv, read_statement_page],
    tags=["accounts"],
    opt={"feature": "accounts"},
)

"""Cap tables: who owns what, at any event of the past, and the events behind each number."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from litestar import Request, Response, Router, get
from litestar.params import FromPath
from litestar.response import Template

from marketplace.api.http.bodies.cap_tables import HoldingView
from marketplace.api.http.bodies.feed import FeedItem, FeedPage
from marketplace.captable.explanation import ExplainedRow
from marketplace.console.desk import Desk, Desked, attempt, collect
from marketplace.console.forms import parse_local
from marketplace.projections.views.equity import CapTableRow, CapTableView, IssuerView, PrincipalView

PATH: Final = "/console/cap-tables"
_EVENTS_MAX: Final = 1_000
_KINDS: Final = {"option": "Options", "warrant": "Warrants", "promised": "Promised", "pool": "Pool"}


class Moment(NamedTuple):
    """The point in time that a page shows.

    Attributes:
        events: The events of the issuer that the key sees, oldest first: the steps of the slider.
        step: How many of them have happened.
        at: A sequence or an instant; None: now.
        known: Only what the log held at this sequence; None: now.
        stated: The instant as the form states it.
    """

    events: Sequence[FeedItem]
    step: int
    at: int | str | None
    known: int | None
    stated: str

    @property
    def event(self) -> FeedItem | None:
        """The last event that had happened then; None if none had, or the key sees no events."""
        return self.events[self.step - 1] if self.events and self.step else None


class Holding(NamedTuple):
    """One line of the table: a holder, or others together, with its shares by column."""

    holder_id: str
    name: str
    cells: dict[str, CapTableRow]
    shares: int


@get("/")
async def list_all(desk: Desked) -> Response[Any] | Template:
    """List the companies whose cap table the key may see; lead to the cap table if there is one only."""
    found = [(one.issuer_id, one.legal_name, one.status) async for one in desk.client.issuers.list()]
    if desk.principal.party_id is not None and desk.principal.allows("parties:read"):
        portfolio = await desk.client.parties.get_portfolio(desk.party_id)
        known = {issuer_id for issuer_id, _, _ in found}
        held = {line.issuer_id: line for line in portfolio.positions if line.issuer_id not in known}
        found += [(line.issuer_id, line.issuer_name, "") for line in held.values()]
    if len(found) == 1:
        return desk.go(f"{PATH}/{found[0][0]}")
    return desk.show("equity/cap_tables.html", issuers=sorted(found, key=lambda one: one[1]))


@get("/{issuer_id:str}")
async def show(request: Request[Any, Any, Any], desk: Desked, issuer_id: FromPath[str]) -> Template:
    """Show a cap table, as of an event or an instant, and as known at a sequence."""
    issuer = await desk.client.issuers.get(issuer_id)
    moment = await _find_moment(desk, issuer_id, request.query_params)
    table = await desk.client.cap_tables.get(issuer_id, at=moment.at, known=moment.known)
    columns = list_columns(table)
    principal: list[PrincipalView] = await attempt(
        collect(desk.client.issuers.list_principal(issuer_id, at=moment.at)), []
    )
    return desk.show(
        "equity/cap_table.html",
        options=await _list_options(desk, issuer_id),
        live=f"aggregate_id={issuer_id}",
        issuer=issuer,
        moment=moment,
        table=table,
        columns=columns,
        holdings=group_rows(table, issuer, desk.principal.party_id),
        principal=principal,
        names=await desk.load_names(one.holder_id for one in principal),
    )


@get("/{issuer_id:str}/events")
async def explain(request: Request[Any, Any, Any], desk: Desked, issuer_id: FromPath[str]) -> Template:
    """Show the events behind one cell: the rows of a holder in one security."""
    query = request.query_params
    kind, security = query.get("kind"), query.get("security") or None
    explained = await desk.client.cap_tables.explain(
        issuer_id,
        known=_parse_sequence(query.get("known")),
        at=parse_local(query.get("at")),
        holder_id=query.get("holder_id") or None,
        security=security,
    )
    rows: list[ExplainedRow] = [row for row in explained.rows if kind in (None, row.kind)]
    return desk.show("equity/explained.html", rows=rows, issuer_id=issuer_id)


async def _list_options(desk: Desk, issuer_id: str) -> list[HoldingView]:
    """Return the reader's own options of a company, as they are now."""
    party_id = desk.principal.party_id
    if party_id is None:
        return []
    held: list[HoldingView] = await attempt(collect(desk.client.issuers.list_holdings(holder_id=party_id)), [])
    return [one for one in held if one.issuer_id == issuer_id and one.option is not None]


def list_columns(table: CapTableView) -> list[str]:
    """Return the columns that have shares: classes of stock, the largest first, then other securities, and the pool."""
    classes = Counter[str]()
    for row in table.rows:
        if row.kind == "stock":
            classes[row.security] += row.shares
    kinds = [title for kind, title in _KINDS.items() if any(row.kind == kind for row in table.rows)]
    return [*(name for name, _ in classes.most_common()), *kinds]


def group_rows(table: CapTableView, issuer: IssuerView, party_id: str | None) -> list[Holding]:
    """Return a line per holder, the largest first. Sums of others stand under the issuer's id; the pool comes last."""
    lines: dict[str, list[CapTableRow]] = {}
    for row in table.rows:
        lines.setdefault(row.holder_id, []).append(row)
    holdings = []
    for holder_id, rows in lines.items():
        cells: dict[str, CapTableRow] = {}
        for row in rows:
            column = row.security if row.kind == "stock" else _KINDS[row.kind]
            cells[column] = _add(cells[column], row) if column in cells else row
        name = next((row.name for row in rows if row.name), None) or _name(holder_id, issuer, party_id)
        holdings.append(Holding(holder_id, name, cells, sum(row.shares for row in rows)))
    return sorted(holdings, key=lambda one: (not one.holder_id, -one.shares, one.holder_id))


def _add(cell: CapTableRow, row: CapTableRow) -> CapTableRow:
    """Return a cell of several options or warrants; it has no security of its own."""
    return CapTableRow(
        kind=row.kind,
        holder_id=row.holder_id,
        name=row.name,
        security="",
        class_id=row.class_id,
        shares=cell.shares + row.shares,
        last_sequence=max(cell.last_sequence, row.last_sequence),
    )


def _name(holder_id: str, issuer: IssuerView, party_id: str | None) -> str:
    if not holder_id:
        return "Not granted"
    if holder_id == issuer.issuer_id:
        return "All others"
    return "You" if holder_id == party_id else holder_id


async def _find_moment(desk: Desk, issuer_id: str, query: Any) -> Moment:
    events = await list_events(desk, issuer_id)
    stated, known = query.get("at") or "", _parse_sequence(query.get("known"))
    if stated:
        at = parse_local(stated)
        instant = datetime.fromisoformat(at) if at is not None else desk.now
        step = sum(datetime.fromisoformat(one.event.time) <= instant for one in events)
        return Moment(events, step, at, known, stated)
    step = min(_parse_sequence(query.get("step")) or len(events), len(events))
    at_event = events[step - 1].sequence if step < len(events) else None
    return Moment(events, step, at_event, known, "")


async def list_events(desk: Desk, issuer_id: str) -> list[FeedItem]:
    """Return the events of an issuer that the key sees, oldest first, at most the first 1,000.

    A key without ``events:read`` sees none.
    """
    if not desk.principal.allows("events:read"):
        return []
    page = await desk.client.get("/v1/events", FeedPage, after=0, limit=_EVENTS_MAX, aggregate_id=issuer_id)
    return page.items


def _parse_sequence(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 16 else None  # noqa: PLR2004 - a sequence's digits


ROUTER: Final = Router("/cap-tables", route_handlers=[list_all, show, explain])

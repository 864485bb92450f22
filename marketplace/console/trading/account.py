"""The balance: what is available, what is held for what and until when, entries of a span, and requests to approve."""

import asyncio
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any, Final, NamedTuple

from litestar import Response, Router, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from marketplace.api.http.bodies.accounts import TransferBody
from marketplace.api.http.bodies.answers import Page
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.client import ProblemError
from marketplace.console.desk import Desk, Desked, collect
from marketplace.console.forms import Filed
from marketplace.core.ids import rename_id
from marketplace.projections.views.billing import HoldView, LineView

PATH: Final = "/console/account"
_SPAN: Final = timedelta(days=30)
_DAY: Final = timedelta(days=1)
_LINES_MAX: Final = 400
"""The most lines that a page reads; an entry has one or two."""
_HOLDS_MAX: Final = 100


class Entry(NamedTuple):
    """What one event moved on an account, in USD.

    Attributes:
        line: The first of its lines.
        available: The change of what is available; negative where money leaves.
        held: The change of what is held.
        balance: What was available after it; None if the event did not change that.
    """

    line: LineView
    available: Decimal
    held: Decimal
    balance: Decimal | None


class Span(NamedTuple):
    """The days in UTC whose entries are shown, the first and the last one included."""

    start: date
    end: date

    def find_bounds(self) -> tuple[datetime, datetime]:
        """Return the first instant, and the one after the last."""
        return datetime.combine(self.start, time(), UTC), datetime.combine(self.end + _DAY, time(), UTC)


@get("/")
async def show_own(desk: Desked, start: FromQuery[str | None] = None, end: FromQuery[str | None] = None) -> Template:
    """Show the account of the party that is signed in."""
    return await _show(desk, rename_id("acc", desk.party_id), start, end)


@get("/{account_id:str}")
async def show(
    desk: Desked,
    account_id: FromPath[str],
    start: FromQuery[str | None] = None,
    end: FromQuery[str | None] = None,
) -> Template:
    """Show an account that the key may see."""
    return await _show(desk, account_id, start, end)


@get("/{account_id:str}/entries.csv")
async def download(
    desk: Desked,
    account_id: FromPath[str],
    start: FromQuery[str | None] = None,
    end: FromQuery[str | None] = None,
) -> Response[bytes]:
    """Return the entries of a span, by default of the last 30 days, as a CSV file."""
    begin, last = _parse_span(desk, start, end).find_bounds()
    content = await desk.client.accounts.get_statement_csv(account_id, start=begin, end=last)
    headers = {"Content-Disposition": f'attachment; filename="{account_id}.csv"'}
    return Response(content, media_type="text/csv", headers=headers)


@post("/{account_id:str}/withdraw")
async def withdraw(desk: Desked, form: Filed, account_id: FromPath[str]) -> Response[Any]:
    """Withdraw available money; above the limit, ask a second person."""
    body = form.read(TransferBody)
    await desk.client.accounts.withdraw(account_id, amount_usd=body.amount_usd, reference=body.reference, key=form.key)
    return desk.go(f"{PATH}/{account_id}")


@post("/{account_id:str}/deposit")
async def deposit(desk: Desked, form: Filed, account_id: FromPath[str]) -> Response[Any]:
    """Record a deposit, as the operator."""
    body = form.read(TransferBody)
    await desk.client.accounts.deposit(account_id, amount_usd=body.amount_usd, reference=body.reference, key=form.key)
    return desk.go(f"{PATH}/{account_id}")


@post("/{account_id:str}/approvals/{approval_id:str}/approve")
async def approve(desk: Desked, form: Filed, account_id: FromPath[str], approval_id: FromPath[str]) -> Response[Any]:
    """Approve, as a second person, what another one asked for."""
    await desk.client.accounts.approve(account_id, approval_id, key=form.key)
    return desk.go(f"{PATH}/{account_id}")


@post("/{account_id:str}/approvals/{approval_id:str}/refuse")
async def refuse(desk: Desked, form: Filed, account_id: FromPath[str], approval_id: FromPath[str]) -> Response[Any]:
    """Refuse, as a second person, what another one asked for."""
    await desk.client.accounts.refuse_approval(
        account_id, approval_id, reason=form.read(ReasonBody).reason, key=form.key
    )
    return desk.go(f"{PATH}/{account_id}")


async def _show(desk: Desk, account_id: str, start: str | None, end: str | None) -> Template:
    account = await desk.client.accounts.get(account_id)
    span = _parse_span(desk, start, end)
    (entries, has_more), holds, approvals = await asyncio.gather(
        _load_entries(desk, account_id, span),
        desk.client.get(f"/v1/accounts/{account_id}/holds", Page[HoldView], limit=_HOLDS_MAX, order="newest"),
        collect(desk.client.accounts.list_approvals(account_id, status="open")),
    )
    return desk.show(
        "trading/account.html",
        live=f"aggregate_id={account_id}",
        account=account,
        holds=[one for one in holds.items if one.left_usd and not one.expired],
        holds_max=_HOLDS_MAX,
        more_holds=holds.next_cursor is not None,
        entries=entries,
        has_more=has_more,
        approvals=approvals,
        span=span,
        may_withdraw=desk.principal.party_id is not None and desk.may("accounts:withdraw"),
        may_deposit=desk.principal.party_id is None and desk.may("accounts:deposit"),
        may_approve=desk.may("accounts:write"),
    )


async def _load_entries(desk: Desk, account_id: str, span: Span) -> tuple[list[Entry], bool]:
    """Return the latest entries of a span, the last first, and whether there are more."""
    start, end = span.find_bounds()
    statement = await desk.client.accounts.get_statement(account_id, start=start, end=end, last=_LINES_MAX)
    entries = list(_join(statement.lines))[::-1]
    if len(statement.lines) == _LINES_MAX:
        return entries[:-1], True  # the first one may have lines before
    return entries, False


def _parse_span(desk: Desk, start: str | None, end: str | None) -> Span:
    """Return the days that a page asks for, by default the last 30.

    Raises:
        ProblemError: ``form_invalid``: a day is not one, or they are in the wrong order.
    """
    try:
        last = date.fromisoformat(end) if end else desk.now.astimezone(UTC).date()
        first = date.fromisoformat(start) if start else last - _SPAN
        Span(first, last).find_bounds()
    except (ValueError, OverflowError):
        first, last = date.max, date.min
    if first > last:
        raise ProblemError(422, {"code": "form_invalid", "detail": "state two days, the earlier one first"})
    return Span(first, last)


def _join(lines: Iterable[LineView]) -> Iterator[Entry]:
    """Yield one entry for each event: money that is set aside leaves one ledger account and comes to the other."""
    for _, group in groupby(lines, key=lambda line: line.sequence):
        rows = list(group)
        moved = {"available": Decimal(0), "held": Decimal(0)}
        balance = None
        for line in rows:
            kind = line.account.rpartition("/")[2]
            moved[kind] = moved.get(kind, Decimal(0)) + line.amount
            balance = line.balance if kind == "available" else balance
        yield Entry(rows[0], moved["available"], moved["held"], balance)


ROUTER: Final = Router("/account", route_handlers=[show_own, show, download, withdraw, deposit, approve, refuse])

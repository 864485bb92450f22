"""Statements: what waits for an answer, and one statement with its readings beside the evidence, line by line."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple, get_args

from litestar import Response, Router, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Template
from msgspec.structs import asdict

from marketplace.api.billing.statements import Status
from marketplace.api.http.bodies.delivery import (
    AnswerDisputeBody,
    ConcedePartBody,
    DisputeStatementBody,
    ReferDisputeBody,
    ResolveStatementBody,
)
from marketplace.console.desk import Desk, Desked, attempt, collect
from marketplace.console.forms import Filed, parse_form
from marketplace.console.history import load_history
from marketplace.domain.billing.dispute import find_payer, is_awaited
from marketplace.domain.metering.contradictions import Contradiction
from marketplace.projections.views.billing import HoursReadingView, StatementView
from marketplace.projections.views.metering import ReadingView

PATH: Final = "/console/statements"
_PAGE: Final = 100
_DAY: Final = timedelta(days=1)
_SECONDS: Final = frozenset({"gpu_seconds", "gpu_seconds_counted"})
"""Fields in which a form states GPU-hours and the API takes GPU-seconds."""


class Line(NamedTuple):
    """One reading, and what contradicts it."""

    reading: ReadingView
    remarks: tuple[str, ...]


class Day(NamedTuple):
    """The readings of one day: sums of both meters in GPU-seconds, and what machines say beside them."""

    day: date
    provider: int
    startup: int | None
    utilisation: Decimal | None
    energy_kwh: Decimal | None
    xid_errors: int
    remarks: tuple[str, ...]
    lines: tuple[Line, ...]

    @property
    def difference(self) -> int | None:
        """What the provider's meters count beyond the startup's; None where those did not report."""
        return None if self.startup is None else self.provider - self.startup


@get("/")
async def list_own(
    desk: Desked, status: FromQuery[str | None] = None, cursor: FromQuery[str | None] = None
) -> Template:
    """List statements, the newest first, a page at a time."""
    chosen = {"status": status}
    page = await desk.load_page("/v1/statements", StatementView, PATH, cursor, chosen, limit=_PAGE, order="newest")
    names = await desk.load_names(party for one in page.items for party in (one.startup_id, one.provider_id))
    shown: dict[str, Any] = {"page": page, "names": names, "status": status, "statuses": get_args(Status)}
    shown["find_due"] = lambda one: _find_due(desk, one)
    return desk.show("trading/statements.html", live="aggregate=statement", **shown)


@get("/{statement_id:str}")
async def show(desk: Desked, statement_id: FromPath[str], day: FromQuery[str | None] = None) -> Template:
    """Show one statement. One of its days is shown reading by reading: `day`, or else the first that needs a look."""
    statement = await desk.client.statements.get(statement_id)
    days, hours, steps = await asyncio.gather(
        _load_days(desk, statement), _load_hours(desk, statement), load_history(desk, statement_id)
    )
    chosen = next((one for one in days if one.day.isoformat() == day), None)
    chosen = (
        chosen
        or next((one for one in days if one.remarks or one.difference or one.xid_errors), None)
        or next(iter(days), None)
    )
    return desk.show(
        "trading/statement.html",
        live=f"aggregate_id={statement_id}",
        statement=statement,
        names=await desk.load_names((statement.startup_id, statement.provider_id)),
        days=days,
        chosen=chosen,
        hours=hours,
        side=_find_side(desk, statement),
        due=_find_due(desk, statement),
        acts=list_acts(desk, statement),
        steps=steps,
    )


@post("/{statement_id:str}/accept")
async def accept(desk: Desked, form: Filed, statement_id: FromPath[str]) -> Response[Any]:
    """Accept a statement, or the other side's offer."""
    await desk.client.statements.accept(statement_id, key=form.key)
    return desk.go(f"{PATH}/{statement_id}")


@post("/{statement_id:str}/dispute")
async def dispute(desk: Desked, form: Filed, statement_id: FromPath[str]) -> Response[Any]:
    """State a lower count."""
    body = parse_form(_convert(form.fields), DisputeStatementBody)
    await desk.client.statements.dispute(statement_id, **asdict(body), key=form.key)
    return desk.go(f"{PATH}/{statement_id}")


@post("/{statement_id:str}/answer")
async def answer(desk: Desked, form: Filed, statement_id: FromPath[str]) -> Response[Any]:
    """Offer an amount between both positions, or insist."""
    body = parse_form(_convert(form.fields), AnswerDisputeBody)
    await desk.client.statements.answer_dispute(statement_id, **asdict(body), key=form.key)
    return desk.go(f"{PATH}/{statement_id}")


@post("/{statement_id:str}/concede")
async def concede(desk: Desked, form: Filed, statement_id: FromPath[str]) -> Response[Any]:
    """Give up a part of a dispute."""
    body = parse_form(_convert(form.fields), ConcedePartBody)
    await desk.client.statements.concede_part(statement_id, **asdict(body), key=form.key)
    return desk.go(f"{PATH}/{statement_id}")


@post("/{statement_id:str}/refer")
async def refer(desk: Desked, form: Filed, statement_id: FromPath[str]) -> Response[Any]:
    """Ask the platform to decide."""
    body = parse_form(_convert(form.fields), ReferDisputeBody)
    await desk.client.statements.refer_dispute(statement_id, **asdict(body), key=form.key)
    return desk.go(f"{PATH}/{statement_id}")


@post("/{statement_id:str}/resolve")
async def resolve(desk: Desked, form: Filed, statement_id: FromPath[str]) -> Response[Any]:
    """Concede the count or accept the payers' offer, as the provider; decide, as the platform."""
    body = parse_form(_convert(form.fields), ResolveStatementBody)
    await desk.client.statements.resolve(statement_id, **asdict(body), key=form.key)
    return desk.go(f"{PATH}/{statement_id}")


def _convert(fields: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    """Yield the fields with GPU-hours as GPU-seconds."""
    for name, text in fields:
        if name in _SECONDS and text.strip():
            try:
                yield name, f"{(Decimal(text.strip().replace(',', '')) * 3_600).quantize(Decimal(1))}"
            except InvalidOperation:
                yield name, text
        else:
            yield name, text


async def _load_hours(desk: Desk, statement: StatementView) -> list[HoursReadingView]:
    """Return the readings of a service line that end in the statement's period."""
    if statement.service_line_id is None:
        return []
    hours = await collect(desk.client.service_lines.list_hours(statement.service_line_id))
    return [one for one in hours if statement.period_start < one.end <= statement.period_end]


async def _load_days(desk: Desk, statement: StatementView) -> list[Day]:
    if statement.service_line_id is not None:
        return []
    grant_id, start, end = statement.grant_id, statement.period_start, statement.period_end
    readings, found = await asyncio.gather(
        attempt(collect(desk.client.usage.list_readings(grant_id, start=start, end=end)), []),
        attempt(desk.client.usage.find_contradictions(grant_id, start=start, end=end), [], "span_too_wide"),
    )
    by_day: dict[date, list[ReadingView]] = defaultdict(list)
    for reading in sorted(readings, key=lambda one: (one.start, one.meter, one.reading_id)):
        by_day[reading.start.astimezone(UTC).date()].append(reading)
    return [_sum_day(day, own, found) for day, own in sorted(by_day.items())]


def _sum_day(day: date, readings: Sequence[ReadingView], found: Sequence[Contradiction]) -> Day:
    begin = datetime.combine(day, time(), UTC)
    counted = [one for one in readings if not one.voided]
    evidence = [(one.gpu_seconds, one.evidence) for one in counted if one.evidence is not None]
    busy = [(seconds, one.gpu_utilisation) for seconds, one in evidence if one.gpu_utilisation is not None]
    drawn = [one.energy_kwh for _, one in evidence if one.energy_kwh is not None]
    weight = sum(seconds for seconds, _ in busy)
    return Day(
        day=day,
        provider=sum(one.gpu_seconds for one in counted if one.meter == "provider"),
        startup=sum(own) if (own := [one.gpu_seconds for one in counted if one.meter == "startup"]) else None,
        utilisation=sum((seconds * share for seconds, share in busy), Decimal(0)) / weight if weight else None,
        energy_kwh=sum(drawn, Decimal(0)) if drawn else None,
        xid_errors=sum(one.xid_errors for _, one in evidence),
        remarks=tuple(one.message for one in found if one.start < begin + _DAY and one.end > begin),
        lines=tuple(Line(one, tuple(_list_remarks(one, found))) for one in readings),
    )


def _list_remarks(reading: ReadingView, found: Sequence[Contradiction]) -> Iterable[str]:
    if reading.voided:
        yield f"voided: {reading.reason}"
    elif reading.corrections:
        yield f"corrected: {reading.reason}"
    for one in found:
        named = {(each.source, each.reading_id) for each in one.readings}
        if named and (reading.source, reading.reading_id) not in named:
            continue
        if one.start < reading.end and one.end > reading.start:
            yield one.message


def _find_side(desk: Desk, statement: StatementView) -> str | None:
    """Return how the key's party stands to a statement: ``startup``, ``provider``, or ``holder`` if it pays a part."""
    holder_id = statement.holder_id if statement.charges.holder_usd else None
    sides = {statement.startup_id: "startup", holder_id: "holder", statement.provider_id: "provider"}
    return sides.get(desk.principal.party_id or "")


def _list_disputing(statement: StatementView) -> set[str | None]:
    """Return the sides that may argue about a statement: the provider, and the payers that dispute."""
    return {"provider", *(find_payer(one.by) for one in statement.remarks if one.act == "disputed")}


def _is_unheard(statement: StatementView, side: str | None) -> bool:
    """Return whether a side is a payer that has neither accepted nor disputed."""
    is_open = statement.status in {"issued", "disputed"}
    return is_open and side is not None and side not in {statement.agreed_by, *_list_disputing(statement)}


def _may_widen(desk: Desk, statement: StatementView, side: str | None) -> bool:
    """Return whether a startup may lower the count of its meter: it has time, and has not acted itself."""
    spoke = {statement.agreed_by, *(one.by for one in statement.remarks)}
    return side == "startup" and "meters" in spoke and side not in spoke and desk.now < statement.accept_until


def _find_due(desk: Desk, statement: StatementView) -> datetime | None:
    """Return by when the key's party has to act; None: it has not."""
    side = _find_side(desk, statement)
    if _is_unheard(statement, side):
        return statement.accept_until if statement.status == "issued" else None
    if side is None or side not in _list_disputing(statement):
        return None
    return statement.answer_until if is_awaited(statement.awaits, side) else None


def list_acts(desk: Desk, statement: StatementView) -> set[str]:
    """Return what the key may do with a statement now."""
    side = _find_side(desk, statement)
    if not desk.may("statements:write"):
        return set()
    if desk.principal.party_id is None and statement.awaits == "platform":
        return {"decide"}
    if _is_unheard(statement, side):
        return {"accept", "dispute"} if desk.now < statement.accept_until else {"accept"}
    if statement.status != "disputed" or side not in _list_disputing(statement):
        return set()
    acts = {"concede"} | ({"answer"} if _find_due(desk, statement) else set())
    acts |= {"refer"} if statement.awaits != "platform" else set()
    acts |= {"dispute"} if _may_widen(desk, statement, side) else set()
    if side == "provider":
        return acts | {"resolve"}
    is_theirs = statement.offered_by == "provider" or statement.awaits == side
    return acts | ({"accept"} if is_theirs and statement.offered_by is not None else set())


ROUTER: Final = Router("/statements", route_handlers=[list_own, show, accept, dispute, answer, concede, refer, resolve])

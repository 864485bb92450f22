"""Grants: the list, and one grant with what is left of it against time, its stages, incidents and statements."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple, get_args

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Template
from msgspec.structs import asdict

from marketplace.api.http.bodies.delivery import DegradeGrantBody, ResumeGrantBody, TerminateGrantBody
from marketplace.console.desk import Desk, Desked, attempt, collect
from marketplace.console.forms import Filed
from marketplace.console.history import Step, load_history
from marketplace.console.trading.deals import load_deals
from marketplace.domain.delivery.grant import OPEN, RESELLABLE, Status, is_delivering
from marketplace.domain.delivery.grant_notice import find_notice
from marketplace.domain.supply.stages import find_due
from marketplace.plots.burn_down import Point, render_burn_down
from marketplace.projections.views.billing import StatementView
from marketplace.projections.views.delivery import GrantView
from marketplace.projections.views.metering import UsageDay

PATH: Final = "/console/grants"
_PAGE: Final = 100
_HOUR: Final = timedelta(hours=1)


class Burn(NamedTuple):
    """A grant's granted GPU-hours, its delivered and billed GPU-seconds, and how many statements billed them."""

    granted: Decimal
    delivered: Decimal
    billed: Decimal
    statements: int


class Incident(msgspec.Struct, kw_only=True):
    """A span in which nodes did not work, or in which delivery was withheld; `end` is None while it lasts.

    `nodes` counts the nodes concerned, and `lost` their GPU-seconds.
    """

    kind: str
    start: datetime
    end: datetime | None = None
    nodes: int | None = None
    lost: int | None = None
    reason: str | None = None


class Stages(NamedTuple):
    """How many stages a grant has, and when the next one is due; None if no further one is."""

    whole: int
    next_at: datetime | None


@get("/")
async def list_own(
    desk: Desked, status: FromQuery[str | None] = None, cursor: FromQuery[str | None] = None
) -> Template:
    """List grants, the newest first, a page at a time."""
    page = await desk.load_page("/v1/grants", GrantView, PATH, cursor, {"status": status}, limit=_PAGE, order="newest")
    names = await desk.load_names(party for one in page.items for party in (one.startup_id, one.provider_id))
    shown = {"page": page, "names": names, "status": status, "statuses": get_args(Status)}
    return desk.show("trading/grants.html", live="aggregate=grant", **shown)


@get("/{grant_id:str}")
async def show(desk: Desked, grant_id: FromPath[str]) -> Template:
    """Show one grant."""
    grant = await desk.client.grants.get(grant_id)
    listed = collect(desk.client.statements.list(grant_id=grant_id, order="oldest"))
    statements, days, steps, deals = await asyncio.gather(
        attempt(listed, []),
        attempt(desk.client.usage.sum_days(grant_id), []),
        load_history(desk, grant_id),
        load_deals(desk, grant),
    )
    incidents, acts = list_incidents(grant, steps, desk.now), list_acts(desk, grant)
    notice = find_notice(grant.service, grant.ends)
    is_metered = grant.service is not None and grant.service.measure == "metered"
    if not incidents and not is_metered and grant.status != "terminated":
        acts.discard("claim")
    billed = [one for one in statements if one.service_line_id is None]
    burn = Burn(
        granted=_count_granted(grant),
        delivered=sum((day.gpu_seconds for day in days), Decimal(0)),
        billed=Decimal(sum(one.gpu_seconds_net for one in billed)),
        statements=len(billed),
    )
    return desk.show(
        "trading/grant.html",
        live="aggregate=grant&aggregate=statement&aggregate=usage&aggregate=bond&aggregate=service_line",
        grant=grant,
        burn=burn,
        chart=_draw(grant, burn, days, billed, desk.now),
        stages=_find_stages(grant),
        incidents=incidents,
        statements=list(reversed(statements)),
        steps=steps,
        deals=deals,
        names=await desk.load_names((grant.startup_id, grant.provider_id)),
        day=timedelta(days=1),
        acts=acts,
        notice_hours=notice // _HOUR,
        ends=desk.now + _HOUR + notice,
    )


@post("/{grant_id:str}/stages")
async def pay_stage(desk: Desked, form: Filed, grant_id: FromPath[str]) -> Response[Any]:
    """Set the cash of the next stage aside."""
    await desk.client.grants.pay_stage(grant_id, key=form.key)
    return desk.go(f"{PATH}/{grant_id}")


@post("/{grant_id:str}/degrade")
async def degrade(desk: Desked, form: Filed, grant_id: FromPath[str]) -> Response[Any]:
    """Report an incident, as the provider."""
    await desk.client.grants.degrade(grant_id, **asdict(form.read(DegradeGrantBody)), key=form.key)
    return desk.go(f"{PATH}/{grant_id}")


@post("/{grant_id:str}/resume")
async def resume(desk: Desked, form: Filed, grant_id: FromPath[str]) -> Response[Any]:
    """Report that all nodes work again, as the provider."""
    await desk.client.grants.resume(grant_id, at=form.read(ResumeGrantBody).at, key=form.key)
    return desk.go(f"{PATH}/{grant_id}")


@post("/{grant_id:str}/terminate")
async def terminate(desk: Desked, form: Filed, grant_id: FromPath[str]) -> Response[Any]:
    """End a grant early."""
    await desk.client.grants.terminate(grant_id, **asdict(form.read(TerminateGrantBody)), key=form.key)
    return desk.go(f"{PATH}/{grant_id}")


def _count_granted(grant: GrantView) -> Decimal:
    """Return the GPU-hours of a grant, less those that it resold."""
    node_hours = grant.nodes * _count_hours(grant.start, grant.end)
    node_hours -= sum(one.nodes * _count_hours(one.start, one.end) for one in grant.resold)
    return node_hours * grant.gpus_per_node


def _count_hours(start: datetime, end: datetime) -> Decimal:
    return Decimal((end - start) // timedelta(seconds=1)) / 3_600


def _draw(
    grant: GrantView, burn: Burn, days: Sequence[UsageDay], statements: Sequence[StatementView], now: datetime
) -> str:
    delivered, left = [(grant.start, burn.granted)], burn.granted
    for day in days:
        left -= day.gpu_seconds / 3_600
        over = datetime.combine(day.day, time(), UTC) + timedelta(days=1)
        delivered.append((min(max(over, grant.start), grant.end, max(now, grant.start)), left))
    billed, left = [(grant.start, burn.granted)], burn.granted
    for statement in statements:
        billed.append((statement.period_end, left))
        left -= Decimal(statement.gpu_seconds_net) / 3_600
        billed.append((statement.period_end, left))
    plan: list[Point] = [(grant.start, burn.granted), (grant.end, Decimal(0))]
    projected = _project(grant, delivered[-1])
    return render_burn_down(plan, delivered, billed, projected, now)


def _project(grant: GrantView, last: Point) -> list[Point]:
    """Return the line from the last delivery to the end at the rate of the nodes that work."""
    at, left = last
    if grant.status not in OPEN or at >= grant.end:
        return []
    rate = Decimal(grant.nodes_available * grant.gpus_per_node)
    return [last, (grant.end, max(left - rate * _count_hours(at, grant.end), Decimal(0)))]


def _find_stages(grant: GrantView) -> Stages | None:
    if grant.stages is None or grant.stage is None:
        return None
    count = -(-(grant.end - grant.start) // (grant.stages.hours * _HOUR))
    due = find_due(grant.start, grant.stages, grant.stage.stages_paid)
    is_open = grant.status in OPEN and due < grant.end
    return Stages(count, due if is_open else None)


def list_incidents(grant: GrantView, steps: Sequence[Step], now: datetime) -> list[Incident]:
    """Return a grant's incidents and withheld spans, from its history, the latest first.

    What an open one lost counts until `now`, or until the grant's end.
    """
    found: list[Incident] = []
    current: Incident | None = None
    for step in steps:
        if step.kind in {"degraded", "suspended", "resumed", "completed", "terminated"} and current is not None:
            current.end = current.end or _parse(step.data.get("at")) or grant.ended_at
            current = None
        if step.kind in {"degraded", "suspended"}:
            lost = grant.nodes - step.data.get("nodes_available", 0)
            start, end = _parse(step.data["at"]) or step.at, _parse(step.data.get("until"))
            one = Incident(kind=step.kind, start=start, end=end, nodes=lost, reason=step.data["reason"])
            found.append(one)
            current = one if end is None else None
        elif step.kind == "withheld":
            start = _parse(step.data["at"]) or step.at
            found.append(Incident(kind="withheld", start=start, nodes=grant.nodes, reason="a stage is not paid"))
        elif step.kind == "withholding_ended":
            for held in [one for one in found if one.kind == "withheld" and one.end is None]:
                held.end, held.lost = _parse(step.data["at"]), step.data["gpu_seconds"]
                held.reason = "until the stage was paid" if step.data.get("is_paid") else "until the grant ended"
    for one in found:
        if one.lost is None and one.nodes is not None:
            end = one.end or max(min(now, grant.end), one.start)
            one.lost = one.nodes * grant.gpus_per_node * ((end - one.start) // timedelta(seconds=1))
    return found[::-1]


def _parse(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def list_acts(desk: Desk, grant: GrantView) -> set[str]:
    """Return what the key may do with a grant now."""
    own, acts = desk.principal.party_id, set[str]()
    if own == grant.payer_id and desk.may("bonds:write"):
        acts.add("claim")
    if not desk.may("grants:write"):
        return acts
    is_open, delivers = grant.status in OPEN, is_delivering(grant.status, grant.ended_at or grant.end, desk.now)
    if own == grant.payer_id and grant.stage is not None and (_find_stages(grant) or Stages(0, None)).next_at:
        acts.add("stages")
    if own == grant.provider_id and delivers:
        acts |= {"degrade"} if grant.status == "active" else {"degrade", "resume"}
    if own in {grant.startup_id, grant.payer_id, grant.provider_id} and (is_open or delivers):
        acts.add("terminate")
    if own == grant.provider_id and is_open:
        acts.add("propose")
    if own == grant.startup_id and is_open:
        acts.add("transfer")
    is_whole = grant.startup_id == grant.payer_id and grant.resale is None and grant.stages is None
    if own == grant.startup_id and grant.status in RESELLABLE and is_whole:
        acts.add("resell")
    return acts


ROUTER: Final = Router("/grants", route_handlers=[list_own, show, pay_stage, degrade, resume, terminate])

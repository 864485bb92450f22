"""A company's rounds as a flow of ownership, and what a sale would pay: both as charts, with a scenario to edit."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from litestar import Request, Router, get
from litestar.params import FromPath
from litestar.response import Template
from msgspec.structs import asdict

from marketplace.api.http.bodies.cap_tables import PlotExitsBody
from marketplace.captable.plots import ExitPoint
from marketplace.client import MarketplaceClient, ProblemError
from marketplace.console.desk import Desk, Desked, attempt, collect
from marketplace.console.equity.cap_tables import group_rows
from marketplace.console.forms import parse_form
from marketplace.plots.areas import render_waterfall
from marketplace.plots.flow import Stage, render_flow
from marketplace.projections.views.equity import CapTableView, FinancingView, IssuerView, LiquidityView

_ROUNDS_MAX: Final = 6
_NAMES_MAX: Final = 7
_OTHERS: Final = "Others"
_POINTS: Final = 61
_ROWS: Final = 6
_ROUND: Final = "rounds.0."
_SALE: Final = {"range.low_usd": "1000000", "range.high_usd": "60000000"}
_CONVENTIONS: Final = {
    "class_id": "scenario",
    "pool_timing": "pre_money",
    "pricing_convention": "percent_ownership",
    "capitalization_definition": "yc_standard",
    "share_rounding": "floor",
    "price_places": "6",
    "price_rounding": "half_even",
    "conversion_price_places": "6",
}
"""What the form does not ask of a round that is played before a sale."""


@get("/{issuer_id:str}/rounds")
async def show_rounds(desk: Desked, issuer_id: FromPath[str]) -> Template:
    """Show who owned which part before and after each closed round."""
    issuer = await desk.client.issuers.get(issuer_id)
    rounds = [one async for one in desk.client.financings.list(issuer_id)]
    stages = await list_stages(desk.client, issuer, rounds, desk.principal.party_id)
    names = list(dict.fromkeys(name for stage in stages for name in stage.parts))
    chart = render_flow(issuer.legal_name, stages) if any(stage.parts for stage in stages) else ""
    shown = {"issuer": issuer, "rounds": rounds, "stages": stages, "names": names, "chart": chart}
    return desk.show("equity/rounds.html", live=f"aggregate_id={issuer_id}", **shown)


@get("/{issuer_id:str}/sale")
async def show_sale(request: Request[Any, Any, Any], desk: Desked, issuer_id: FromPath[str]) -> Template:
    """Show what a sale would pay each holder over a range of proceeds, after a round if one is stated.

    The sales that were declared stand above. A company that was sold has no scenario any more.
    """
    issuer = await desk.client.issuers.get(issuer_id)
    sales = [one async for one in desk.client.financings.list_liquidity_events(issuer_id)]
    fields = _SALE | {name: text for name, text in request.query_params.items() if text.strip()}
    investors = await _list_investors(desk, issuer_id)
    points, problem = list[ExitPoint](), None
    if issuer.status != "ended":
        try:
            points = await desk.client.cap_tables.plot_exits(
                issuer_id, **asdict(parse_form(_complete(fields, investors), PlotExitsBody))
            )
        except ProblemError as error:
            problem = error
    played = [point for point in points if not point.refused]
    step = max(1, (len(played) - 1) // (_ROWS - 1)) if played else 1
    return desk.show(
        "equity/sale.html",
        live="aggregate=issuer&aggregate=instrument",
        issuer=issuer,
        fields=fields,
        investors=investors,
        problem=problem,
        refused=next((point for point in points if point.refused), None),
        chart=render_waterfall(issuer.legal_name, points) if played else "",
        rows=played[::step],
        names={each.holder_id: each.name for point in played for each in point.holders},
        sales=[(sale, _sum_payouts(sale)) for sale in reversed(sales)],
        paid_names={issuer_id: "All others"}
        | dict(investors)
        | await desk.load_names(one.holder_id for sale in sales for one in sale.waterfall.payouts),
    )


def _sum_payouts(sale: LiquidityView) -> list[tuple[str, Decimal, int]]:
    """Return what each holder gets for all its securities, the most first: USD in cash, and shares of the buyer."""
    found: dict[str, tuple[Decimal, int]] = {}
    for one in sale.waterfall.payouts:
        usd, shares = found.get(one.holder_id, (Decimal(0), 0))
        found[one.holder_id] = (usd + one.cash_usd, shares + (one.buyer_shares or 0))
    return sorted(((holder, *got) for holder, got in found.items()), key=lambda row: (-row[1], -row[2]))


def _complete(fields: dict[str, str], investors: Sequence[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    """Yield the fields of a request: a round only where its valuation is stated."""
    yield "range.points", str(_POINTS)
    has_round = f"{_ROUND}pre_money_usd" in fields
    investor = f"{_ROUND}investments.0.holder_id"
    for name, text in fields.items():
        if has_round or not name.startswith(_ROUND):
            yield name, text
    if has_round:
        yield from ((_ROUND + name, text) for name, text in _CONVENTIONS.items())
        if investor not in fields and investors:
            yield investor, investors[0][0]


async def _list_investors(desk: Desk, issuer_id: str) -> list[tuple[str, str]]:
    """Return who may invest in the scenario's round: stakeholders, as far as the key sees them; else the party."""
    found = await attempt(collect(desk.client.issuers.list_stakeholders(issuer_id)), None)
    return [(desk.party_id, "You")] if found is None else [(one.holder_id, one.name) for one in found]


async def list_stages(
    client: MarketplaceClient, issuer: IssuerView, rounds: Sequence[FinancingView], party_id: str | None
) -> list[Stage]:
    """Return who owned which part before the first of the rounds, after each, and now if the table changed since.

    Args:
        client: The API.
        issuer: The company.
        rounds: Its rounds in order; only the last six that closed count.
        party_id: Who looks; its own part is named ``You``.
    """
    issuer_id, tables = issuer.issuer_id, list[tuple[str, CapTableView]]()
    closed = [one for one in rounds if one.status == "closed"][-_ROUNDS_MAX:]
    if closed and closed[0].priced_sequence:
        first = await client.cap_tables.get(issuer_id, at=closed[0].priced_sequence - 1)
        tables.append((f"Before {closed[0].name}", first))
    for one in closed:
        tables.append((one.name, await client.cap_tables.get(issuer_id, at=one.closed_at)))
    now = await client.cap_tables.get(issuer_id)
    if not tables or now.last_sequence != tables[-1][1].last_sequence:
        tables.append(("Now", now))
    parts = [(title, _sum_parts(table, issuer, party_id)) for title, table in tables]
    largest: dict[str, Fraction] = {}
    for _, found in parts:
        for name, part in found.items():
            largest[name] = max(part, largest.get(name, Fraction(0)))
    shown = sorted(largest, key=lambda name: -largest[name])[:_NAMES_MAX]
    return [Stage(title, _fold(found, shown)) for title, found in parts]


def _sum_parts(table: CapTableView, issuer: IssuerView, party_id: str | None) -> dict[str, Fraction]:
    """Return parts of all shares by holder; where others stand together, by class or kind of security."""
    parts: dict[str, Fraction] = {}
    for line in group_rows(table, issuer, party_id):
        summed = line.holder_id == issuer.issuer_id
        for column, cell in line.cells.items():
            name = column if summed else line.name
            parts[name] = parts.get(name, Fraction(0)) + Fraction(cell.shares, table.fully_diluted_shares)
    return parts


def _fold(parts: dict[str, Fraction], shown: Sequence[str]) -> dict[str, Fraction]:
    folded = {name: parts[name] for name in shown if name in parts}
    rest = sum((part for name, part in parts.items() if name not in shown), Fraction(0))
    return folded | ({_OTHERS: rest} if rest else {})


ROUTER: Final = Router("/cap-tables", route_handlers=[show_rounds, show_sale])

"""Market data with its history: the index of each class, curves of auctions, list prices, and the schedule."""

from datetime import date, timedelta
from typing import Any, Final

from litestar import Request, Response, Router, get, post
from litestar.params import JSONBody

from events.schedule import ScheduleTerms
from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.market import PublicMarket, PublishPricelistBody, PublishScheduleBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.cursors import parse_cursor
from marketplace.api.http.known_values import require_known
from marketplace.api.http.paging import Cursor, Limit, build_page
from marketplace.api.http.queries import OptionalInstantText, Read, Word, parse_instant
from marketplace.api.http.services import get_services
from marketplace.api.trading.market import PATH, GpuClassText
from marketplace.application.supply.pricelists import publish_pricelist
from marketplace.application.supply.schedules import publish_schedule
from marketplace.core.errors import Refusal
from marketplace.domain.refusals import refuse_unknown
from marketplace.domain.supply.schedule import SCHEDULE, SCHEDULE_ID, Schedule
from marketplace.projections.engine.database import reachable
from marketplace.projections.supply.capacity import list_classes, load_public_depth
from marketplace.projections.trading.auctions import find_auction
from marketplace.projections.trading.market.queries import list_list_prices, load_curves, load_index
from marketplace.projections.trading.market.vendors import load_generations
from marketplace.projections.views.trading import CurveStep, GenerationView, IndexPoint, ListPriceView

INDEX_DAYS: Final = 30
INDEX_DAYS_MAX: Final = 366
PUBLIC_DAYS: Final = 90


@get("/index", operation_id="market.get_index", summary="Read the index of a GPU class")
async def read_index(
    reader: Read, gpu_class: GpuClassText, start: OptionalInstantText = None, end: OptionalInstantText = None
) -> list[IndexPoint]:
    """Return the index of each day, from paid fills of unrelated parties alone, beside public list prices.

    The days are those from `start` until before `end`, at most 366; by default, the last 30 with today. A day with too
    few fills carries the latest print.
    """
    first, last = _parse_days(reader, start, end)
    async with reader.connect() as connection:
        points = await load_index(connection, gpu_class, start=first, end=last, now=reader.now)
        if all(point.index_usd_per_gpu_hour is None and point.list_usd_per_gpu_hour_min is None for point in points):
            await require_known(connection, "gpu_class", gpu_class)
    return points


def _parse_days(reader: Read, start: str | None, end: str | None) -> tuple[date, date]:
    today = reader.now.date()
    last = today + timedelta(days=1) if end is None else parse_instant(end, "/end").date()
    first = last - timedelta(days=INDEX_DAYS) if start is None else parse_instant(start, "/start").date()
    if not timedelta(0) < last - first <= timedelta(days=INDEX_DAYS_MAX):
        raise Refusal(
            "request_invalid",
            f"{first} to {last} is not a span of 1 to {INDEX_DAYS_MAX} days; end after the start",
            pointer="/end",
        )
    return first, last


@get(
    "/public",
    operation_id="market.get_public",
    summary="Read what everybody may see of the market",
    security=[{"apiKey": []}, {}],
    opt={"public": True},
)
async def read_public(request: Request[Any, Any, Any], gpu_class: Word = None) -> PublicMarket:
    """Return a class's index, list prices and depth, without a key where the operator allows it.

    Prices and volumes of fewer than three parties are not shown.
    """
    services = get_services(request)
    now = services.handler.clock.now()
    today = now.date()
    async with reachable(), services.get_engine().connect() as connection:
        classes = await list_classes(connection)
        if gpu_class is None and classes:
            gpu_class = classes[0]
        if gpu_class is None:
            return PublicMarket(classes=(), gpu_class=None, index=(), depth=())
        if gpu_class not in classes:
            await require_known(connection, "gpu_class", gpu_class)
        first = today - timedelta(days=PUBLIC_DAYS - 1)
        index = await load_index(connection, gpu_class, start=first, end=today + timedelta(days=1), now=now)
        depth = await load_public_depth(connection, gpu_class, now=now)
    return PublicMarket(classes=tuple(classes), gpu_class=gpu_class, index=tuple(index), depth=tuple(depth))


@get("/generations", operation_id="market.list_generations", summary="Read the market by vendor and generation of GPUs")
async def read_generations(reader: Read) -> list[GenerationView]:
    """Return supply, awards and index of each vendor's generations of GPUs, with their classes."""
    async with reader.connect() as connection:
        return await load_generations(connection, now=reader.services.handler.clock.now())


@get("/curves", operation_id="market.get_curves", summary="Read supply and demand of a GPU class")
async def read_curves(reader: Read, gpu_class: GpuClassText, auction_id: Word = None) -> list[CurveStep]:
    """Return the steps of both curves of a cleared auction; by default the last one's. Single offers stay sealed."""
    async with reader.connect() as connection:
        if auction_id is not None and await find_auction(connection, auction_id) is None:
            raise refuse_unknown("auction", auction_id)
        steps = await load_curves(connection, gpu_class, auction_id=auction_id)
        if not steps:
            await require_known(connection, "gpu_class", gpu_class)
    return steps


@get("/list-prices", operation_id="market.list_pricelists", summary="List public prices of other clouds")
async def read_list_prices(
    reader: Read, limit: Limit = 100, cursor: Cursor = None, gpu_class: Word = None
) -> Page[ListPriceView]:
    """Return dated public prices with their sources, by class and provider."""
    after = parse_cursor(cursor, ("", "", "", "", date.min))
    async with reader.connect() as connection:
        rows = await list_list_prices(connection, gpu_class=gpu_class, after=after, limit=limit + 1)
        if not rows and cursor is None:
            await require_known(connection, "gpu_class", gpu_class)
    return build_page(rows, limit, lambda row: (row.gpu_class, row.provider, row.product, row.region, row.listed_on))


@post("/list-prices", operation_id="market.publish_pricelist", summary="Import public prices of other clouds")
async def publish(command: Commanded, data: JSONBody[PublishPricelistBody]) -> Response[ReceiptBody]:
    """Publish a dated table of other clouds' list prices; for the platform."""
    receipt = await publish_pricelist(command.handler, command.context, name=data.name, prices=data.prices)
    return command.answer_created(receipt, f"{PATH}/list-prices")


@get("/schedule", operation_id="market.get_schedule", summary="Read the schedule of quotas and fees")
async def read_schedule(reader: Read) -> ScheduleTerms:
    """Return the least order value, quotas, and what held quotes and early ends cost, as they apply now."""
    entry = await reader.services.handler.cache.load(SCHEDULE, SCHEDULE_ID)
    schedule: Schedule = entry.state
    return schedule.terms


@post("/schedule", operation_id="market.publish_schedule", summary="Publish the schedule of quotas and fees")
async def change_schedule(command: Commanded, data: JSONBody[PublishScheduleBody]) -> Response[ReceiptBody]:
    """Publish the schedule for what begins from now on; for the platform. Shares of 0 waive fees."""
    receipt = await publish_schedule(command.handler, command.context, terms=data.terms)
    return command.answer_created(receipt, f"{PATH}/schedule")


ROUTER: Final = Router(
    PATH,
    route_handlers=[
        read_index,
        read_public,
        read_generations,
        read_curves,
        read_list_prices,
        publish,
        read_schedule,
        change_schedule,
    ],
    tags=["market"],
    opt={"feature": "market"},
)

"""Sites: a provider's data centers; the inventory is public to every tenant."""

from typing import Final

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody

from events.site import SiteStatus
from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.supply import (
    DerateSiteBody,
    EnergiseSiteBody,
    RegisterSiteBody,
    ScheduleConversionBody,
    SlipConversionBody,
)
from marketplace.api.http.commands import Commanded
from marketplace.api.http.cursors import parse_cursor
from marketplace.api.http.paging import Cursor, Limit, build_page
from marketplace.api.http.queries import Read, Statuses, Word, answer_versioned
from marketplace.application.supply.sites import (
    derate_site,
    energise_site,
    register_site,
    schedule_conversion,
    slip_conversion,
)
from marketplace.domain.refusals import refuse_unknown
from marketplace.projections.supply.inventory import find_site, list_sites
from marketplace.projections.views.supply import SiteView

PATH: Final = "/v1/sites"


@post("/", summary="Register a site")
async def register(command: Commanded, data: JSONBody[RegisterSiteBody]) -> Response[ReceiptBody]:
    """Register a data center."""
    receipt = await register_site(
        command.handler,
        command.context,
        **msgspec.structs.asdict(data),
    )
    return command.answer_created(receipt, PATH)


@post("/{site_id:str}/energise", status_code=200, summary="Report more live power")
async def energise(
    command: Commanded, site_id: FromPath[str], data: JSONBody[EnergiseSiteBody]
) -> Response[ReceiptBody]:
    """Report how much of the contracted power is live, in total. A planned or converting site operates at once."""
    power = data.power_energised_kw
    return command.answer(
        await energise_site(command.handler, command.context, site_id, power_energised_kw=power, at=data.at)
    )


@post("/{site_id:str}/derate", status_code=200, summary="Report less live power")
async def derate(command: Commanded, site_id: FromPath[str], data: JSONBody[DerateSiteBody]) -> Response[ReceiptBody]:
    """Report that less power is live than before. Grants that it cannot power are degraded, the last ones first."""
    receipt = await derate_site(
        command.handler,
        command.context,
        site_id,
        power_energised_kw=data.power_energised_kw,
        at=data.at,
        reason=data.reason,
    )
    return command.answer(receipt)


@post(
    "/{site_id:str}/schedule-conversion",
    status_code=200,
    operation_id="sites.schedule_conversion",
    summary="Schedule a conversion",
)
async def schedule(
    command: Commanded, site_id: FromPath[str], data: JSONBody[ScheduleConversionBody]
) -> Response[ReceiptBody]:
    """State when a site of another use becomes a data center."""
    receipt = await schedule_conversion(
        command.handler, command.context, site_id, former_use=data.former_use, ready_at=data.ready_at
    )
    return command.answer(receipt)


@post(
    "/{site_id:str}/slip-conversion",
    status_code=200,
    operation_id="sites.slip_conversion",
    summary="Move the date of a conversion",
)
async def slip(command: Commanded, site_id: FromPath[str], data: JSONBody[SlipConversionBody]) -> Response[ReceiptBody]:
    """Report that a conversion is late.

    Lots that would begin before it are moved. Grants stay, without nodes until then. The startup of one may shorten or
    move it, or end it for cause if the site is over 24 hours late.
    """
    receipt = await slip_conversion(
        command.handler, command.context, site_id, ready_at=data.ready_at, reason=data.reason
    )
    return command.answer(receipt)


@get("/{site_id:str}", summary="Get a site")
async def get_one(reader: Read, site_id: FromPath[str]) -> Response[SiteView]:
    """Return a site of any provider.

    Raises:
        Refusal: ``site_unknown``.
    """
    async with reader.connect() as connection:
        view = await find_site(connection, site_id)
    if view is None:
        raise refuse_unknown("site", site_id)
    return answer_versioned(view, view.last_sequence)


@get("/", summary="List sites")
async def list_all(
    *,
    reader: Read,
    limit: Limit = 100,
    cursor: Cursor = None,
    provider_id: Word = None,
    status: Statuses[SiteStatus] = None,
) -> Page[SiteView]:
    """Return sites by id, of one provider or all."""
    after = parse_cursor(cursor, "")
    async with reader.connect() as connection:
        rows = await list_sites(connection, provider_id=provider_id, status=status, after=after, limit=limit + 1)
    return build_page(rows, limit, lambda row: row.site_id)


ROUTER: Final = Router(
    PATH,
    route_handlers=[register, energise, derate, schedule, slip, get_one, list_all],
    tags=["sites"],
    opt={"feature": "sites"},
)

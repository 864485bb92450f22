"""The test clock of the embedded mode: market time moves forward for every process that follows the log."""

from datetime import datetime
from typing import Final

import msgspec
from litestar import Response, Router, get, post
from litestar.params import JSONBody

from marketplace.api.http.bodies.trading import AdvanceClockBody
from marketplace.api.http.commands import Commanded, ReceiptBody
from marketplace.api.http.queries import Read
from marketplace.application.clock import advance_clock
from marketplace.core.errors import Refusal

PATH: Final = "/v1/test/clock"


class ClockView(msgspec.Struct, frozen=True, kw_only=True):
    """Market time.

    Attributes:
        now: The present instant of the market.
        offset_seconds: How far market time is ahead of the wall clock.
    """

    now: datetime
    offset_seconds: int


@post("/", status_code=200, summary="Move the test clock forward")
async def advance(command: Commanded, data: JSONBody[AdvanceClockBody]) -> Response[ReceiptBody]:
    """Advance market time; in the embedded mode only, for the platform."""
    if not command.services.settings.embedded:
        raise Refusal("embedded_only", "market time cannot be advanced here; the test clock is for the embedded mode")
    return command.answer(await advance_clock(command.handler, command.context, seconds=data.seconds))


@get("/", summary="Tell market time")
async def tell(reading: Read) -> ClockView:
    """Return market time as this process knows it."""
    clock = reading.services.handler.clock
    return ClockView(now=clock.now(), offset_seconds=clock.offset_seconds)


ROUTER: Final = Router(PATH, route_handlers=[advance, tell], tags=["test clock"])

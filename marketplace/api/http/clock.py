"""The test clock of the embedded mode: market time moves forward for every process that follows the log."""

from typing import Final

from litestar import Response, Router, get, post
from litestar.params import JSONBody

from marketplace.api.http.bodies.answers import ClockView, ReceiptBody
from marketplace.api.http.bodies.trading import AdvanceClockBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.queries import Read
from marketplace.application.clock import advance_clock
from marketplace.core.errors import Refusal

PATH: Final = "/v1/test/clock"


@post("/", status_code=200, summary="Move the test clock forward")
async def advance(command: Commanded, data: JSONBody[AdvanceClockBody]) -> Response[ReceiptBody]:
    """Advance market time; in the embedded mode only, for the platform.

    Raises:
        Refusal: ``platform_only`` · ``embedded_only``.
    """
    if not command.services.settings.embedded:
        raise Refusal("embedded_only", "market time cannot be advanced here; the test clock is for the embedded mode")
    return command.answer(await advance_clock(command.handler, command.context, seconds=data.seconds))


@get("/", operation_id="clock.get", summary="Get market time")
async def tell(reader: Read) -> ClockView:
    """Return market time as this process knows it."""
    clock = reader.services.handler.clock
    return ClockView(now=clock.now(), offset_seconds=clock.offset_seconds)


ROUTER: Final = Router(PATH, route_handlers=[advance, tell], tags=["clock"], opt={"feature": "clock"})

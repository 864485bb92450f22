"""``GET /v1/events``: the feed as pages, or as server-sent events if the client requests them."""

import re
from typing import Annotated, Any, Final

from litestar import Request, Response, Router, get
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from marketplace.api.feed.feed import load_page, stream
from marketplace.api.http.bodies.feed import FeedPage
from marketplace.api.http.queries import Read, Word
from marketplace.core.errors import Refusal

PATH: Final = "/v1/events"
STREAM_TYPE: Final = "text/event-stream"
_SEQUENCE: Final = re.compile(r"^[0-9]{1,18}$")
After = Annotated[int, QueryParameter(ge=0, le=2**53 - 1, description="Only events above this sequence")]
EventLimit = Annotated[int, QueryParameter(ge=1, le=1_000, description="Events of a page")]
LastEventId = Annotated[
    str | None, HeaderParameter(name="Last-Event-ID", max_length=18, description="Where a stream is resumed")
]


@get("/", summary="Read the event feed", opt={"streams": True, "sealed": True})
async def read(
    *,
    request: Request[Any, Any, Any],
    reader: Read,
    after: After = 0,
    limit: EventLimit = 500,
    aggregate_id: Word = None,
    last_event_id: LastEventId = None,
) -> Response[FeedPage]:
    """Return a page of events, or with ``Accept: text/event-stream`` all later events as they happen."""
    if STREAM_TYPE not in request.headers.get("accept", ""):
        return Response(await load_page(reader, after, limit, aggregate_id))
    if last_event_id is not None:
        if not _SEQUENCE.match(last_event_id):
            raise Refusal("header_invalid", "Last-Event-ID must be a sequence that the stream gave")
        after = int(last_event_id)
    if reader.party_id is not None:
        reader.services.get_engine()
    reader.services.streams.require_room(reader.principal.key_id, reader.principal.tenant)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Stream(stream(reader, after), media_type=STREAM_TYPE, headers=headers)  # type: ignore[return-value]


ROUTER: Final = Router(PATH, route_handlers=[read], tags=["events"], opt={"feature": "events"})

"""Meters over HTTP: CloudEvents in, one answer for each reading out."""

from dataclasses import dataclass
from typing import Any, Final

from litestar import Request, Response, Router, post
from litestar.openapi.spec import OpenAPIMediaType, Operation, Reference, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType

from marketplace.api.http.bodies.meters import BATCHED, HOURS_TYPE, READING_TYPE, IngestionReceipt
from marketplace.api.http.commands import IdempotencyKey, TraceParent
from marketplace.api.http.keys import Principal
from marketplace.api.http.services import get_services
from marketplace.api.metering.ingestion import BODY_BYTES_MAX, ENCODINGS, MEDIA_TYPES, STRUCTURED, ingest_request
from marketplace.domain.metering.usage import READINGS_MAX

PATH: Final = "/v1/usage"
_EVENT: Final = "A CloudEvent 1.0 of type marketplace.meter.reading.v1, or marketplace.meter.hours.v1 of a service line"
READ_HEADERS: Final = ("content-type", "content-encoding", "idempotency-key", "traceparent")


@dataclass
class MeterOperation(Operation):
    """Describes the body in the OpenAPI document. No argument does, because the body is decoded reading by reading."""

    def __post_init__(self) -> None:
        """Set the description of the body."""
        text = Schema(type=OpenAPIType.STRING, min_length=1)
        known: dict[str, Reference | Schema] = {
            "specversion": Schema(type=OpenAPIType.STRING, const="1.0"),
            "type": Schema(type=OpenAPIType.STRING, enum=[READING_TYPE, HOURS_TYPE]),
            "id": text,
            "source": text,
            "subject": Schema(type=OpenAPIType.STRING, description="The grant, or the service line"),
            "data": Schema(type=OpenAPIType.OBJECT, description="`start`, `end`, and `nodes`, `gpus` or `hours`"),
        }
        event = Schema(type=OpenAPIType.OBJECT, description=_EVENT, required=[*known], properties=known)
        batch = Schema(type=OpenAPIType.ARRAY, items=event, min_items=1, max_items=READINGS_MAX)
        self.request_body = RequestBody(
            content={
                STRUCTURED.decode(): OpenAPIMediaType(schema=event),
                BATCHED.decode(): OpenAPIMediaType(schema=batch),
            },
            required=True,
        )


@post(
    "/",
    status_code=200,
    operation_id="usage.ingest",
    summary="Report readings of meters",
    opt={"media_types": MEDIA_TYPES, "encodings": ENCODINGS, "repeatable": True},
    request_max_body_size=BODY_BYTES_MAX,
    operation_class=MeterOperation,
)
async def take(
    request: Request[Principal, Any, Any], idempotency_key: IdempotencyKey = None, traceparent: TraceParent = None
) -> Response[IngestionReceipt]:
    """Take up to 1,000 readings as CloudEvents, and answer each. A reading counts once however often it is sent.

    `Idempotency-Key` is optional here: source and id serve for it.
    """
    del idempotency_key, traceparent
    headers = {name: request.headers[name] for name in READ_HEADERS if name in request.headers}
    ingested = await ingest_request(get_services(request), request.user, headers, await request.body())
    return Response(ingested.receipt, headers=ingested.headers)


ROUTER: Final = Router(PATH, route_handlers=[take], tags=["usage"], opt={"feature": "usage"})

"""Meters over HTTP: CloudEvents in, one answer for each reading out."""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import uuid_utils
from litestar import Request, Response, Router, post
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType

from marketplace.api.commands import IdempotencyKey, TraceParent, build_context, parse_key
from marketplace.api.ingestion import (
    BATCHED,
    BODY_BYTES_MAX,
    STRUCTURED,
    IngestionReceipt,
    decompress,
    ingest,
)
from marketplace.api.keys import Principal
from marketplace.api.services import get_services

PATH: Final = "/v1/usage"
ENCODINGS: Final = (b"identity", b"gzip")


@dataclass
class MeterOperation(Operation):
    """Describes the body, which no handler argument does: it is decoded reading by reading."""

    def __post_init__(self) -> None:
        """Describe it."""
        event = Schema(type=OpenAPIType.OBJECT, description="A CloudEvent 1.0 of type marketplace.meter.reading.v1")
        batch = Schema(type=OpenAPIType.ARRAY, items=event, min_items=1, max_items=1_000)
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
    summary="Take readings of meters",
    opt={"media_types": (STRUCTURED, BATCHED), "encodings": ENCODINGS},
    request_max_body_size=BODY_BYTES_MAX,
    operation_class=MeterOperation,
)
async def take(
    request: Request[Principal, Any, Any], idempotency_key: IdempotencyKey = None, traceparent: TraceParent = None
) -> Response[IngestionReceipt]:
    """Take up to 1,000 readings as CloudEvents, and answer each; a reading counts once however often it is sent.

    `Idempotency-Key` is optional here: source and id of each reading are what makes it safe to send again.
    """
    body = await request.body()
    if request.headers.get("content-encoding") == "gzip":
        body = decompress(body)
    services = get_services(request)
    key = parse_key(idempotency_key or str(uuid_utils.uuid7()), request.method)
    context = build_context(services, request.user, key, hashlib.sha256(body).hexdigest(), traceparent=traceparent)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower().encode()
    receipt = await ingest(services.handler, context, media_type, body)
    return Response(receipt, headers={"Commit-Seq": str(receipt.sequence)})


ROUTER: Final = Router(PATH, route_handlers=[take], tags=["usage"])

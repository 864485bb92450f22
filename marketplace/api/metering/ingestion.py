"""Ingest readings from any transport: decode one by one, group, report, and answer in order.

A reading that cannot be read or counted gets its own answer and does not affect others. Readings of one source on one
grant become one event. The groups of a request are decided at once and share the log's atomic batches. Under an
idempotency key the first group is stored before the others, so that it reserves the key for the request.

Refusals of a body, in order: body_too_large · body_malformed · body_invalid · readings_missing · readings_too_many.
"""

import asyncio
import zlib
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any, Final, NamedTuple, get_type_hints

import msgspec
from msgspec import structs

from events.service_line import HoursReading
from marketplace.api.http.bodies.meters import (
    BATCHED,
    HoursData,
    HoursEvent,
    IngestionReceipt,
    ReadingData,
    ReadingEvent,
    ReadingOutcome,
)
from marketplace.api.http.body_faults import count_more, find_faults
from marketplace.api.http.commands import REPLAYED, REUSED, build_context, parse_key, split_context
from marketplace.api.http.keys import Principal
from marketplace.api.http.media_types import parse_media_type, require_utf8
from marketplace.api.http.services import Services
from marketplace.api.http.strict_json import (
    TOO_LARGE,
    BodyInvalid,
    build_twin,
    get_decoders,
    parse_validation_error,
    refuse_malformed,
    refuse_nested,
)
from marketplace.api.http.strict_text import require_readable
from marketplace.application.billing.service_hours import report_hours
from marketplace.application.metering.usage import report_usage
from marketplace.application.steps.records import record_rejections
from marketplace.core.errors import Refusal
from marketplace.domain.metering.usage import require_report
from marketplace.domain.metering.usage_commands import Answer, Measurement
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context

STRUCTURED: Final = b"application/cloudevents+json"
GZIP: Final = b"gzip"
MEDIA_TYPES: Final = (STRUCTURED, BATCHED)
ENCODINGS: Final = (b"identity", GZIP)
BODY_BYTES_MAX: Final = 4 * 1024 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_EVENT: Final = msgspec.json.Decoder(ReadingEvent | HoursEvent)
_NAMED: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_DATA: Final = get_decoders(ReadingData)
_HOURS: Final = get_decoders(HoursData)
_SHOWN_MAX: Final = 5
"""The most faults of one reading that its answer names."""


def _include_data(event: type[msgspec.Struct], data: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Return an event's type with that of its data in place of what it leaves unread, to find the faults of both."""
    hints, config = get_type_hints(event, include_extras=True), event.__struct_config__
    fields: list[Any] = [
        (
            field.name,
            build_twin(data) if field.name == "data" else hints[field.name],
            *(() if field.required else (None,)),
        )
        for field in structs.fields(event)
    ]
    return msgspec.defstruct(event.__name__, fields, kw_only=True, tag_field=config.tag_field, tag=config.tag)


_WHOLE: Final = _include_data(ReadingEvent, ReadingData) | _include_data(HoursEvent, HoursData)


class Ingested(NamedTuple):
    """The answer to a request, and whether it had already taken effect."""

    receipt: IngestionReceipt
    repeated: bool

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that the answer carries."""
        return {"Commit-Seq": str(self.receipt.sequence)} | (REPLAYED if self.repeated else {})


class _Parsed(NamedTuple):
    """One readable reading, and its place in the request."""

    place: int
    source: str
    subject_id: str
    measurement: Measurement | HoursReading


def decompress(body: bytes) -> bytes:
    """Return the content of a gzip body.

    Raises:
        Refusal: ``body_too_large``, before more than that is in memory, or ``body_malformed``.
    """
    stream = zlib.decompressobj(_GZIP)
    try:
        plain = stream.decompress(body, BODY_BYTES_MAX + 1)
    except zlib.error as error:
        raise Refusal("body_malformed", f"the body is not gzip: {error}") from None
    require_size(plain)
    if not stream.eof or stream.unused_data:
        raise Refusal("body_malformed", "the body is not one whole gzip member")
    return plain


def require_size(body: bytes) -> None:
    """Refuse a body above 4 MiB.

    Raises:
        Refusal: ``body_too_large``.
    """
    if len(body) > BODY_BYTES_MAX:
        raise Refusal(
            "body_too_large", f"a body of readings may have {BODY_BYTES_MAX} bytes, unpacked; split the batch"
        )


async def ingest_request(services: Services, principal: Principal, headers: Mapping[str, str], body: bytes) -> Ingested:
    """Ingest readings with lower-case headers, from HTTP or a NATS message.

    Raises:
        Refusal: ``media_type_unsupported`` · ``encoding_unsupported`` · ``header_invalid``, and those of `ingest`.
        Conflict: See `ingest`.
        Unavailable: See `ingest`.
    """
    media_type, charset = parse_media_type(headers.get("content-type", "").encode())
    if media_type not in MEDIA_TYPES:
        known = " or ".join(known.decode() for known in MEDIA_TYPES)
        raise Refusal("media_type_unsupported", f"readings are CloudEvents; send Content-Type: {known}")
    require_utf8(charset)
    encoding = headers.get("content-encoding", "identity").lower().encode()
    if encoding not in ENCODINGS:
        raise Refusal("encoding_unsupported", "readings may be sent plain or as gzip; send no other Content-Encoding")
    require_size(body)
    plain = decompress(body) if encoding == GZIP else body
    key = parse_key(headers["idempotency-key"], "POST") if "idempotency-key" in headers else None
    context = build_context(services, principal, key, plain, traceparent=headers.get("traceparent"))
    if context.recorded:
        await services.handler.check_key(context)
    return await ingest(services.handler, context, media_type, plain)


async def ingest(handler: Handler, context: Context, media_type: bytes, body: bytes) -> Ingested:
    """Report the readings of a body, and return the answer to each. All accepted ones are durable then.

    Raises:
        Refusal: The body as a whole is malformed.
        Conflict: Other writers were first on every attempt. Send it again; what was stored is then a duplicate.
        Unavailable: The log cannot be reached. Send it again; what was stored is then a duplicate.
    """
    items = _split(media_type, body)
    outcomes: list[ReadingOutcome | None] = [None] * len(items)
    groups: dict[tuple[str, str], list[_Parsed]] = {}
    prefix = "/{}" if media_type == BATCHED else ""
    for index, item in enumerate(items):
        try:
            parsed = _parse(index, item)
        except Refusal as refusal:
            outcomes[index] = _reject(prefix.format(index), item, refusal)
        else:
            groups.setdefault((parsed.source, parsed.subject_id), []).append(parsed)
    reports = [
        _report(handler, split_context(context, place, "readings"), source, subject_id, group)
        for place, ((source, subject_id), group) in enumerate(groups.items())
    ]
    sequence, repeated = 0, bool(groups)
    done = await _gather(reports, first_alone=context.recorded)
    for group, result in zip(groups.values(), done, strict=True):
        if isinstance(result, BaseException):
            raise result
        receipt, answers = result
        sequence = max(sequence, receipt.sequence)
        repeated &= receipt.repeated
        for parsed, answer in zip(group, answers, strict=True):
            outcomes[parsed.place] = _render(prefix.format(parsed.place), parsed.source, answer)
    readings = tuple(outcome for outcome in outcomes if outcome is not None)
    return Ingested(IngestionReceipt(sequence=sequence, readings=readings), repeated)


_Reported = tuple[Receipt, list[Answer]]


async def _gather(
    reports: list[Coroutine[None, None, _Reported]], *, first_alone: bool
) -> list[_Reported | BaseException]:
    """Run the parts of a request concurrently, and return what each returned or raised.

    The first part has the request's own id. With `first_alone` the others wait until it is stored, and raise what it
    raised. Otherwise another process could store the first part of another request with the same key, and each request
    would have a part of the key that the other one needs.
    """
    first = await asyncio.gather(*reports[: int(first_alone)], return_exceptions=True)
    if first and isinstance(first[0], BaseException):
        for report in reports[1:]:
            report.close()
        return first * len(reports)
    return first + await asyncio.gather(*reports[len(first) :], return_exceptions=True)


def _split(media_type: bytes, body: bytes) -> list[msgspec.Raw]:
    try:
        items = _ITEMS.decode(body) if media_type == BATCHED else [msgspec.json.decode(body, type=msgspec.Raw)]
    except msgspec.ValidationError as error:
        raise parse_validation_error(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refuse_malformed(error) from None
    except RecursionError:
        raise refuse_nested() from None
    require_report(len(items), "")
    return items


def _parse(index: int, item: msgspec.Raw) -> _Parsed:
    """Return a reading.

    Raises:
        Refusal: ``body_malformed`` · ``member_repeated`` · ``text_blank`` · ``text_unprintable`` · ``body_invalid``
            with pointers into the event.
    """
    decoded: Any = msgspec.UNSET
    try:
        decoded = require_readable(bytes(item))
        event = _EVENT.decode(item)
    except msgspec.ValidationError as error:
        raise _list_faults(decoded) or parse_validation_error(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refuse_malformed(error) from None
    except RecursionError:
        raise refuse_nested() from None
    try:
        measurement = _parse_hours(event) if isinstance(event, HoursEvent) else _parse_reading(event)
    except BodyInvalid as refusal:
        raise _list_faults(decoded) or refusal from None
    except Refusal as refusal:
        raise Refusal(refusal.code, refusal.message, pointer=f"/data{refusal.pointer or ''}") from None
    return _Parsed(index, event.source, event.subject, measurement)


def _list_faults(decoded: Any) -> Refusal | None:
    """Return the refusal of an event that names its first faults; None if it was not read, or none is found."""
    if decoded is msgspec.UNSET:
        return BodyInvalid(TOO_LARGE)
    faults = find_faults(_WHOLE, decoded)
    if not faults:
        return None
    text = "; ".join(f"{fault.pointer or 'the event'}: {fault.detail}" for fault in faults[:_SHOWN_MAX])
    rest = len(faults) - _SHOWN_MAX
    more = f"; {count_more(rest, 'members')}" if rest > 0 else ""
    return Refusal("body_invalid", f"{text}{more}", pointer=faults[0].pointer)


def _parse_reading(event: ReadingEvent) -> Measurement:
    data: ReadingData = _DATA.decode(event.data, is_readable=True)
    if data.nodes is None and data.gpus is None:
        raise Refusal("body_invalid", "state the nodes, or the GPUs, that were allocated", pointer="/nodes")
    return Measurement(reading_id=event.id, **structs.asdict(data))


def _parse_hours(event: HoursEvent) -> HoursReading:
    data: HoursData = _HOURS.decode(event.data, is_readable=True)
    return HoursReading(reading_id=event.id, **structs.asdict(data))


async def _report(
    handler: Handler, context: Context, source: str, subject_id: str, group: list[_Parsed]
) -> tuple[Receipt, list[Answer]]:
    """Report one source's readings of one grant or service line. A refusal of the whole applies to each reading."""
    gpus = tuple(each.measurement for each in group if isinstance(each.measurement, Measurement))
    hours = tuple(each.measurement for each in group if isinstance(each.measurement, HoursReading))
    try:
        if hours:
            receipt, answers = await report_hours(handler, context, subject_id, source=source, readings=hours)
        else:
            receipt, answers = await report_usage(handler, context, subject_id, source=source, measurements=gpus)
    except Refusal as refusal:
        if refusal.code in REUSED:
            raise
        names = [each.measurement.reading_id for each in group]
        receipt, answers = await record_rejections(handler, context, names, refusal)
    return receipt, answers


def _render(pointer: str, source: str, answer: Answer) -> ReadingOutcome:
    return ReadingOutcome(
        outcome=answer.outcome,
        source=source,
        reading_id=answer.reading_id,
        pointer=None if answer.outcome in {"accepted", "duplicate"} else pointer,
        code=answer.code,
        message=answer.message,
    )


def _reject(pointer: str, item: msgspec.Raw, refusal: Refusal) -> ReadingOutcome:
    names = dict(_find_names(item))
    return ReadingOutcome(
        outcome="rejected",
        source=names.get("source"),
        reading_id=names.get("id"),
        pointer=f"{pointer}{refusal.pointer or ''}",
        code=refusal.code,
        message=refusal.message,
    )


def _find_names(item: msgspec.Raw) -> Iterator[tuple[str, str]]:
    """Yield the readable parts of the key of an unreadable reading."""
    try:
        members = _NAMED.decode(item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    for name in ("id", "source"):
        try:
            yield name, msgspec.json.decode(members[name], type=str)
        except (KeyError, msgspec.DecodeError):
            continue

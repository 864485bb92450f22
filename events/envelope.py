"""CloudEvents 1.0 in the NATS binary binding: attributes are headers, the body is the event.

Names follow https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/nats-protocol-binding.md
and the `correlationid`, `causationid` extensions in common use. Header names are case-sensitive in NATS.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

SPEC_VERSION = "1.0"
TYPE_PREFIX = "marketplace."
CONTENT_TYPE = "application/json"


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """The attributes of an event, beside its body.

    Attributes:
        id: Unique for the source, forever; derived from the command and the event's place in its answer.
        source: URI reference of the marketplace that recorded it.
        type: ``marketplace.<aggregate>.<past tense>.v<N>``.
        subject: The aggregate as ``<aggregate>/<id>``.
        time: When the event occurred, UTC.
        dataschema: URI reference of the JSON Schema of the body.
        correlationid: The command that began the whole chain.
        causationid: The command that recorded this event.
        actor: The party or worker that asked for it.
        actorkey: The API key that it used, without its secret; empty for workers and operators' tools.
        actorperson: The person whom that key names, by the party's own identifier; empty if it names nobody.
        fingerprint: HMAC of the causing command, which reveals a repeated id with another body.
        previoushash: Hash of the aggregate's previous event, empty for its first.
        hash: SHA-256 (hex) over the subject, all other headers, `previoushash` among them, and the body.
        traceparent: W3C trace context, empty when there was none.
    """

    id: str
    source: str
    type: str
    subject: str
    time: datetime
    dataschema: str
    correlationid: str
    causationid: str
    actor: str
    actorkey: str = ""
    actorperson: str = ""
    fingerprint: str = ""
    previoushash: str = ""
    hash: str = ""
    traceparent: str = ""


_TIME_LENGTH = len("2026-01-01T00:00:00.000000")
_ATTRIBUTES = tuple(name for name in Envelope.__struct_fields__ if name not in {"time", "traceparent"})
_HEADERS = tuple((name, f"ce-{name}") for name in _ATTRIBUTES)
_MEMBERS = tuple("traceparent" if name == "traceparent" else f"ce-{name}" for name in Envelope.__struct_fields__)
"""The headers of all members, in the order of `Envelope`."""


@lru_cache(maxsize=256)  # the events of a command have one time, which is hashed and stored
def render_time(time: datetime) -> str:
    """Return the ``time`` of an event as it is stored and hashed, in UTC to the microsecond."""
    return time.isoformat(timespec="microseconds")[:_TIME_LENGTH] + "Z"


def render_headers(envelope: Envelope) -> dict[str, str]:
    """Return the NATS headers of one event; empty attributes are left out."""
    headers = {"content-type": CONTENT_TYPE, "ce-specversion": SPEC_VERSION, "ce-time": ""}
    headers |= {name: value for name, value in zip(_MEMBERS, msgspec.structs.astuple(envelope), strict=True) if value}
    headers["ce-time"] = render_time(envelope.time)
    return headers


def parse_headers(headers: Mapping[str, str]) -> Envelope:
    """Return the envelope in the headers of one stored message.

    Raises:
        ValueError: A required attribute is missing, or the specversion is not 1.0.
    """
    if headers.get("ce-specversion") != SPEC_VERSION:
        raise ValueError(f"ce-specversion is {headers.get('ce-specversion')!r}, this release reads '1.0'")
    attributes = {name: headers[header] for name, header in _HEADERS if header in headers}
    try:
        return Envelope(
            time=datetime.fromisoformat(headers["ce-time"]),
            traceparent=headers.get("traceparent", ""),
            **attributes,
        )
    except (KeyError, TypeError) as missing:
        raise ValueError(f"not a marketplace event, a CloudEvents attribute is missing: {missing}") from None


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def salvage_headers(headers: Mapping[str, str]) -> Envelope:
    """Return what can be read of the headers of a message that `parse_headers` refuses.

    A missing attribute is empty. A missing or unreadable time is the epoch.
    """
    attributes = dict.fromkeys(_ATTRIBUTES, "") | {
        name: headers[f"ce-{name}"] for name in _ATTRIBUTES if f"ce-{name}" in headers
    }
    try:
        time = datetime.fromisoformat(headers.get("ce-time", ""))
    except ValueError:
        time = _EPOCH
    return Envelope(time=time, traceparent=headers.get("traceparent", ""), **attributes)

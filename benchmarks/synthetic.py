"""Events of 300 bytes, or as many as asked for, with real envelopes, for benchmarks of the log."""

import itertools
from datetime import UTC, datetime

from events.envelope import Envelope
from events.subjects import render_subject
from marketplace.log.codec import seal
from marketplace.log.port import Head, Write

_BODY = b'{"nodes":4,"note":"%b"}'
_BODY_BYTES = 297
_AT = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = itertools.count(1)


def make_write(after: Head | None = None, *, body_bytes: int = _BODY_BYTES) -> Write:
    """Return a write of one event with a body of so many bytes, to a new order or after a head."""
    number = next(_numbers)
    before = after or Head(render_subject("order", f"ord_{number:026d}"))
    aggregate, id = before.subject.split(".")[1:]  # noqa: A001
    envelope = Envelope(
        id=f"evt_{number:026d}",
        source="/marketplaces/benchmark",
        type="marketplace.order.placed.v1",
        subject=f"{aggregate}/{id}",
        time=_AT,
        dataschema="urn:marketplace:order.placed.v1",
        correlationid=f"cmd_{number:026d}",
        causationid=f"cmd_{number:026d}",
        actor="pty_benchmark",
        fingerprint="0" * 64,
    )
    body = _BODY % (b"x" * (body_bytes - len(_BODY % b"")))
    message = seal(before.subject, before.hash, envelope, body)
    return Write(before, (message,), Head(before.subject, None, message.envelope.hash))

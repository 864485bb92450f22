"""A publish as headers and as bytes, built in one place: NATS ignores a guard header in another letter case."""

from collections.abc import Mapping
from dataclasses import dataclass

from events.envelope import render_headers
from marketplace.log.port import Message

_GUARD = "Nats-Expected-Last-Subject-Sequence"
_DISTANCE = "Marketplace-Previous-Distance"


@dataclass(frozen=True, slots=True)
class BatchPlace:
    """The position of a message in an atomic batch."""

    batch: str
    number: int
    last: bool


def render_publish(
    subject: str, message: Message, guard: int | None, place: BatchPlace | None, distance: int = 1
) -> dict[str, str]:
    """Return all headers of one message.

    The id for the server's duplicate window is the subject and the chain hash. A repeat of the same bytes thus differs
    from another decision of the same command, and an id never occurs on two subjects. A message with a `once` name has
    that name as its id: a second one is answered as a duplicate on any subject, and the publisher must check whether
    the stored one is its own.

    Args:
        subject: The literal subject it goes to.
        message: The sealed event.
        guard: Sequence that must be the subject's last, 0 for none yet; None if an earlier message of the same batch
            guards the subject.
        place: None for a plain publish.
        distance: Without a guard, how many messages earlier in the batch the subject's previous event is.
    """
    if message.headers is None:
        headers = render_headers(message.envelope) if message.rendered is None else dict(message.rendered)
        headers["Nats-Msg-Id"] = message.once or f"{subject}/{message.envelope.hash}"
    else:
        headers = dict(message.headers)
    if guard is not None:
        headers[_GUARD] = str(guard)
    else:
        headers[_DISTANCE] = str(distance)
    if place is not None:
        headers["Nats-Batch-Id"] = place.batch
        headers["Nats-Batch-Sequence"] = str(place.number)
        if place.last:
            headers["Nats-Batch-Commit"] = "1"
    return headers


def render_block(headers: Mapping[str, str]) -> bytes:
    """Return headers as the NATS protocol has them.

    nats-py takes six times as long, because it checks what `codec.seal` already ensures: no value contains a line end.
    """
    return b"NATS/1.0\r\n%b\r\n" % "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode()


def render_wire(subject: str, reply: str, block: bytes, body: bytes) -> bytes:
    """Return the command of the NATS protocol that publishes a message."""
    size = len(block) + len(body)
    return b"HPUB %b %b %d %d\r\n%b%b\r\n" % (subject.encode(), reply.encode(), len(block), size, block, body)


def parse_block(block: bytes) -> tuple[str, dict[str, str]]:
    """Return the status (empty for an ordinary message) and the headers of one message in the protocol."""
    first, *lines = block.decode("utf-8", "replace").split("\r\n")
    try:
        # Every header as the market and the servers write it; the last two lines are empty.
        return first[8:].strip(), dict([line.split(": ", 1) for line in lines[:-2]])
    except ValueError:
        headers = {}
        for line in lines:
            name, found, value = line.partition(":")
            if found:
                headers[name] = value.strip()
        return first[8:].strip(), headers


def find_previous(sequence: int, headers: Mapping[str, str]) -> int | None:
    """Return the sequence of the subject's previous event as the writer stated it; 0 if there was none.

    None if it is not stated. It is a hint: the event at that sequence is the previous one only if its hash agrees.
    """
    try:
        if _GUARD in headers:
            return int(headers[_GUARD])
        return sequence - int(headers[_DISTANCE]) if _DISTANCE in headers else None
    except ValueError:
        return None

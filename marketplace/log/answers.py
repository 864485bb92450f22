"""The meaning of the server's answer to a publish.

| answer | meaning |
|---|---|
| acknowledged | stored, on disk |
| acknowledged as a duplicate | the id was used before: read the tails |
| 10071 | the guard is stale: a conflict, unless the tail holds our own events |
| 10201 | an id of the batch was used before: read the tails |
| 10164, 10158, 10210, 10176, 10008 | not now: back off and send the same bytes |
| no responders, no answer, connection lost | unknown: back off and send the same bytes |
| 10077, 10023 | no room to store: unavailable, nothing was stored |
| anything else | our mistake or a foreign stream: stop |

10176 (incomplete batch) and 10008 (no leader) come from a leader that was elected in the middle of a batch. An answer
that cannot belong to this publish is dropped first (`find_foreign`).
"""

import enum
import re
from dataclasses import dataclass

import msgspec

_LAST_SEQUENCE = re.compile(r"wrong last sequence: (\d+)")
_RETRIED = frozenset({10164, 10158, 10210, 10176, 10008})
_NO_ROOM = frozenset({10077, 10023})
_REFUSED = 10071
_REPEATED = 10201


class Kind(enum.Enum):
    """The meaning of an answer, as in the table above."""

    STORED = "stored"
    REFUSED = "refused"
    REPEATED = "repeated"
    RETRY = "retry"
    NO_ROOM = "no room"
    FATAL = "fatal"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        kind: Its meaning.
        sequence: With STORED, of the last stored event. With REFUSED, of the subject's last event; None if not stated.
            Otherwise None.
        text: The server's text, for people.
    """

    kind: Kind
    sequence: int | None = None
    text: str = ""


class _Error(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Acknowledgement(msgspec.Struct):
    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    batch: str = ""
    count: int = 0
    error: _Error | None = None


_decode = msgspec.json.Decoder(_Acknowledgement).decode


def find_foreign(payload: bytes, *, above: int, batch: str | None, count: int) -> str:
    """Return why a message cannot be the answer to a publish; empty if it can.

    Args:
        payload: The message.
        above: The highest sequence among the publish's guards. Anything stored has a higher one.
        batch: Id of the atomic batch, None for a plain publish.
        count: How many messages were published.
    """
    try:
        acknowledgement = _decode(payload)
    except msgspec.DecodeError as error:
        return f"it is not an acknowledgement ({error}): {payload[:200]!r}"
    if acknowledgement.error is not None:
        return "" if acknowledgement.error.err_code > 0 else f"it names no error: {payload[:200]!r}"
    if not acknowledgement.stream:
        return f"it names no stream: {payload[:200]!r}"
    if not acknowledgement.duplicate and acknowledgement.seq < above + count:
        return f"it states sequence {acknowledgement.seq}, but {count} messages had to follow {above}"
    if batch is not None and (acknowledgement.batch, acknowledgement.count) != (batch, count):
        return f"it is for batch {acknowledgement.batch!r} of {acknowledgement.count}, not {batch!r} of {count}"
    return ""


def parse_answer(payload: bytes, stream: str) -> Answer:
    """Return the meaning of an acknowledgement. It is FATAL if another stream than `stream` stored the events."""
    try:
        acknowledgement = _decode(payload)
    except msgspec.DecodeError:
        return Answer(Kind.FATAL, text=f"an unreadable acknowledgement: {payload[:200]!r}")
    error = acknowledgement.error
    if error is None:
        if acknowledgement.stream != stream:
            return Answer(Kind.FATAL, text=f"stored by stream {acknowledgement.stream!r}, not {stream!r}")
        if acknowledgement.seq < 1:
            return Answer(Kind.FATAL, text=f"an acknowledgement without a sequence: {payload[:200]!r}")
        if acknowledgement.duplicate:
            return Answer(Kind.REPEATED, text=f"its id was stored at {acknowledgement.seq}")
        return Answer(Kind.STORED, acknowledgement.seq)
    text = f"{error.description} (error {error.err_code})"
    if error.err_code == _REFUSED:
        told = _LAST_SEQUENCE.search(error.description)
        return Answer(Kind.REFUSED, int(told.group(1)) if told else None, text)
    if error.err_code == _REPEATED:
        return Answer(Kind.REPEATED, text=text)
    if error.err_code in _RETRIED:
        return Answer(Kind.RETRY, text=text)
    return Answer(Kind.NO_ROOM if error.err_code in _NO_ROOM else Kind.FATAL, text=text)

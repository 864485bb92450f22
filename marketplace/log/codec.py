"""Between an event and its bytes: sealing into the hash chain, and walking the chain.

The chain hash of an event is the SHA-256, in hex, of one line of JSON, a line feed, and the body. The line is an array
of the NATS subject and of every header that the marketplace writes except the hash itself, each as ``[name, value]``
and sorted by name, without white space. It covers `ce-previoushash`, so each event vouches for all before it in its
aggregate, and anyone can recompute it from what a subscriber receives (ADR 0001).
"""

import hashlib
import re
from collections.abc import Iterable, Mapping

import msgspec

from events.envelope import Envelope, parse_headers, render_headers, salvage_headers
from marketplace.core.errors import Corrupt, UnreadableEvent
from marketplace.log.port import Damage, Message, Recorded

_HASH_HEADER = "ce-hash"
_TEXT_ATTRIBUTES = tuple(name for name in Envelope.__struct_fields__ if name != "time")
_PLAIN = re.compile(r"[!#$&-~]*")
_encode = msgspec.json.Encoder().encode


def seal(subject: str, previous_hash: str, envelope: Envelope, body: bytes) -> Message:
    """Return the event as bytes, linked to the previous event of its subject.

    Args:
        subject: The literal NATS subject that it will be stored on.
        previous_hash: Hash of the subject's last event, empty for its first.
        envelope: The attributes; `previoushash` and `hash` are replaced.
        body: JSON.

    Raises:
        AssertionError: An attribute holds what a header cannot carry.
    """
    linked = msgspec.structs.replace(envelope, previoushash=previous_hash, hash="")
    _check_attributes(linked)
    return Message(msgspec.structs.replace(linked, hash=compute_hash(subject, linked, body)), body)


def _check_attributes(envelope: Envelope) -> None:
    """Headers carry ASCII without spaces as it is; anything else would come back changed and break the chain."""
    values: list[str] = [getattr(envelope, name) for name in _TEXT_ATTRIBUTES]
    if _PLAIN.fullmatch("".join(values)):
        return
    name, value = next(pair for pair in zip(_TEXT_ATTRIBUTES, values, strict=True) if not _PLAIN.fullmatch(pair[1]))
    raise AssertionError(f"attribute {name} is {value!r}: only printable ASCII without spaces, % and quotes")


def compute_hash(subject: str, envelope: Envelope, body: bytes) -> str:
    """Return the chain hash in hex that these attributes and this body must have."""
    headers = render_headers(envelope)
    headers.pop(_HASH_HEADER, None)
    return hashlib.sha256(b"%b\n%b" % (_encode([subject, sorted(headers.items())]), body)).hexdigest()


def parse_recorded(sequence: int, subject: str, headers: Mapping[str, str], body: bytes) -> Recorded:
    """Return a stored message as an event; one whose headers cannot be read says so in `damage`."""
    try:
        return Recorded(sequence, subject, parse_headers(headers), body)
    except ValueError as error:
        envelope = salvage_headers(headers)
        damage = Damage("headers", f"it is not a marketplace event: {error}", compute_hash(subject, envelope, body))
        return Recorded(sequence, subject, envelope, body, damage)


def refuse_damaged(recorded: Recorded, damage: Damage) -> UnreadableEvent:
    """Return the error that names a damaged message."""
    return UnreadableEvent(recorded.sequence, recorded.subject, damage.kind, damage.reason, damage.hash)


class Chain:
    """Walks stored events in stream order and stops at the first that does not fit.

    Attributes:
        heads: The hash of the last event seen of each subject.
        sequence: The last sequence seen.
    """

    def __init__(self, after: int = 0) -> None:
        self.heads: dict[str, str] = {}
        self.sequence = after
        self._whole = after == 0

    def check(self, event: Recorded) -> None:
        """Take the next event.

        Raises:
            Corrupt: A sequence is missing, the message is no event, the bytes are not those that were sealed, or the
                event does not follow the one that is stored before it.
        """
        where = f"event {event.sequence} on {event.subject}"
        if event.sequence != self.sequence + 1:
            raise Corrupt(f"{where} follows sequence {self.sequence}: the events between are missing; restore the log")
        if event.damage is not None:
            raise refuse_damaged(event, event.damage)
        computed = compute_hash(event.subject, event.envelope, event.body)
        if computed != event.envelope.hash:
            raise Corrupt(f"{where} was changed after it was stored: it says {event.envelope.hash}, it is {computed}")
        known = self.heads.get(event.subject, "" if self._whole else event.envelope.previoushash)
        if event.envelope.previoushash != known:
            raise Corrupt(
                f"{where} follows {event.envelope.previoushash or 'nothing'}, but the event before it is "
                f"{known or 'nothing'}: an event was removed, inserted or moved"
            )
        self.heads[event.subject] = event.envelope.hash
        self.sequence = event.sequence


def verify_chain(events: Iterable[Recorded]) -> int:
    """Check a whole log from its first event, and return how many events it has.

    Raises:
        Corrupt: As `Chain.check`.
    """
    chain = Chain()
    for event in events:
        chain.check(event)
    return chain.sequence

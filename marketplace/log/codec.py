"""Convert between events and bytes: seal an event into the hash chain, and check what is read against it.

The chain hash of an event is the SHA-256, in hex, of one line of JSON, a line feed, and the body. The line is an array
of the NATS subject and of every header that the marketplace writes except the hash itself, each as ``[name, value]``
and sorted by name, without white space. It covers `ce-previoushash`. Each event therefore confirms all earlier events
of its aggregate, and anyone can recompute the hash from what a subscriber receives (ADR 0001).

Every path that reads the log checks each message: its headers are those of an event, its subject matches the aggregate
that they name, its hash matches, and it follows the previous event of its subject (ADR 13). A message that fails has
`Recorded.damage`.
"""

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import msgspec

from events.envelope import CONTENT_TYPE, TYPE_PREFIX, Envelope, parse_headers, render_headers, salvage_headers
from events.subjects import EMPTY_SUBJECT
from marketplace.core.errors import Corrupt, UnreadableEvent
from marketplace.log.port import Damage, Message, Recorded

LINKS_MAX = 1 << 15
"""A reader of the whole log remembers the last hashes of at least this many subjects, and of at most twice as many."""

EMPTY_MAX = 1_000
"""At the start, a whole log may have this many empty positions; while it is read, this many in a row. With more, a
disk was lost."""

_ATTRIBUTE = "ce-"
_SERVERS = ("Nats-", "Marketplace-Previous-Distance")
"""Headers of the transport, which differ if the same message is stored again."""
_HASH_HEADER = "ce-hash"
_KNOWN = frozenset(
    {"content-type", "traceparent", "ce-specversion"}
    | {f"{_ATTRIBUTE}{name}" for name in Envelope.__struct_fields__ if name not in {"traceparent", "hash"}}
)
_TIME_LENGTH = len("2026-01-01T00:00:00.000000Z")
_HASH = re.compile(r"[0-9a-f]{64}")
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
    sealed = msgspec.structs.replace(envelope, previoushash=previous_hash, hash="")
    headers = render_headers(sealed)
    _check_headers(headers)
    headers[_HASH_HEADER] = chain_hash = hash_message(subject, headers, body)
    msgspec.structs.force_setattr(sealed, "hash", chain_hash)  # Nobody else has this copy yet.
    return Message(sealed, body, rendered=headers)


def _check_headers(headers: Mapping[str, str]) -> None:
    """Refuse values that change in transport: headers carry only ASCII without spaces unchanged."""
    written = "".join(headers.values())
    if written.isascii() and written.isprintable() and not (" " in written or "%" in written or '"' in written):
        return
    name, value = next(pair for pair in headers.items() if not _PLAIN.fullmatch(pair[1]))
    raise AssertionError(f"header {name} is {value!r}; only printable ASCII without spaces, % and quotes is allowed")


@lru_cache(maxsize=256)
def _sort_names(names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return the headers that are hashed, sorted, and those among them that no event of the market has."""
    hashed = sorted(name for name in names if name in _KNOWN or (name.startswith(_ATTRIBUTE) and name != _HASH_HEADER))
    return hashed, [name for name in hashed if name not in _KNOWN]


def hash_message(subject: str, headers: Mapping[str, str], body: bytes) -> str:
    """Return the chain hash of any stored message, whatever headers it has."""
    hashed, _ = _sort_names(tuple(headers))
    written = list(zip(hashed, map(headers.__getitem__, hashed), strict=True))
    return hashlib.sha256(b"%b\n%b" % (_encode([subject, written]), body)).hexdigest()


EMPTY_HASH = hash_message(EMPTY_SUBJECT, {}, b"")
"""Chain hash of every empty position."""


def build_empty(sequence: int) -> Recorded:
    """Return the event for a position without a message."""
    damage = Damage("empty", describe_empty(sequence), EMPTY_HASH, headers={})
    return Recorded(sequence, EMPTY_SUBJECT, salvage_headers({}), b"", damage)


def describe_empty(sequence: int) -> str:
    """Return the probable cause of a position without a message, and the remedy."""
    return (
        "it has no message. Probably the disk of a single nats-server was full while an append was written, and the"
        " append "
        "was never acknowledged; but it may be a lost event that was acknowledged. Nothing is "
        "written until this is settled: restore a copy of the log that has the event (a replica, an archive, an"
        " earlier "
        f"disk), or run `marketplace log accept-gap {sequence} --reason …`, which looks for proof of a loss and "
        "lets every reader pass the position"
    )


def parse_recorded(sequence: int, subject: str, headers: Mapping[str, str], body: bytes) -> Recorded:
    """Return a stored message as an event. If it is no event, `damage` says why.

    Its link to the previous event is not checked here: see `Links` and `check_history`. A placeholder that an import
    stored for an empty position is an empty position.
    """
    if subject == EMPTY_SUBJECT:
        return build_empty(sequence)
    try:
        envelope = parse_headers(headers)
    except ValueError as error:
        envelope = salvage_headers(headers)
        damage = Damage("headers", f"it is not a marketplace event: {error}", hash_message(subject, headers, body))
    else:
        found = _find_damage(subject, headers, envelope, body)
        if found is None:
            return Recorded(sequence, subject, envelope, body)
        damage = found
    own = {name: value for name, value in headers.items() if not name.startswith(_SERVERS)}
    return Recorded(sequence, subject, envelope, body, dataclasses.replace(damage, headers=own))


def _find_damage(subject: str, headers: Mapping[str, str], envelope: Envelope, body: bytes) -> Damage | None:
    """Return the damage of a message with readable headers, or None."""
    computed = hash_message(subject, headers, body)
    if envelope.hash != computed:
        return Damage(
            "hash",
            f"it was changed after it was stored: it states the hash {envelope.hash}, its content has {computed}",
            computed,
        )
    aggregate, _, key = subject.partition(".")[2].partition(".")
    if envelope.subject != f"{aggregate}/{key}" or not envelope.type.startswith(f"{TYPE_PREFIX}{aggregate}."):
        return Damage("subject", f"it is a {envelope.type} of {envelope.subject}, stored on another subject", computed)
    foreign = _sort_names(tuple(headers))[1]
    if foreign or len(headers["ce-time"]) != _TIME_LENGTH or headers.get("content-type") != CONTENT_TYPE:
        return Damage(
            "headers",
            f"it is not written as the marketplace writes events: time {headers['ce-time']}, content type "
            f"{headers.get('content-type')}, other attributes: {', '.join(foreign) or 'none'}",
            computed,
        )
    return None


def check_recorded(event: Recorded) -> Recorded:
    """Return an event that was not read from a server, checked like one that was."""
    return parse_recorded(event.sequence, event.subject, render_headers(event.envelope), event.body)


Before = str | tuple[str, str] | None
"""The hash to which a subject's next event must link.

After a damaged event there are two: the hash before it, and its own. None if unknown: then any link is accepted."""


def check_link(event: Recorded, before: Before) -> tuple[Recorded, Before]:
    """Return an event, damaged if it does not link to `before`, and the hash to which the next one must link."""
    envelope = event.envelope
    follows = envelope.previoushash
    if event.damage is None and before is not None and not _may_follow(follows, before):
        event = dataclasses.replace(event, damage=_describe_link(event, before))
    return event, envelope.hash if event.damage is None else _pass(event, before)


def _pass(event: Recorded, before: Before) -> Before:
    """Return what the event after a damaged one may follow."""
    last = before if isinstance(before, str) else before[0] if before else event.envelope.previoushash
    return last, event.envelope.hash


def _may_follow(hash_before: str, before: str | tuple[str, str]) -> bool:
    return hash_before == before if isinstance(before, str) else hash_before in before


def _describe_link(event: Recorded, before: str | tuple[str, str]) -> Damage:
    known = before if isinstance(before, str) else before[0]
    return Damage(
        "link",
        f"it follows {event.envelope.previoushash or 'nothing'}, but the event before it is {known or 'nothing'}: an "
        "event was removed, inserted or moved",
        event.envelope.hash,
    )


def check_history(events: Sequence[Recorded], before: str | None) -> list[Recorded]:
    """Return events of one subject, with damage for those that do not follow the previous one.

    Args:
        events: In order.
        before: Hash of the event before the first one; empty for none, None if unknown.
    """
    checked: list[Recorded] = []
    following: Before = before
    for event in events:
        linked, following = check_link(event, following)
        checked.append(linked)
    return checked


class Links:
    """Remembers the last hash of the subjects that a reader of the whole log saw most recently.

    For other subjects the link cannot be checked here. Their events are checked by their own hash, and by their links
    when the aggregate is loaded.

    Args:
        after: The sequence after which the reader begins.
    """

    def __init__(self, after: int) -> None:
        self._whole = after == 0
        self._recent: dict[str, Before] = {}
        self._older: dict[str, Before] = {}

    def check(self, event: Recorded) -> Recorded:
        """Check the next event of the log. Return it with damage if it does not follow the previous one."""
        before = self._recent.get(event.subject)
        if before is None:
            before = self._older.get(event.subject, "" if self._whole else None)
            if len(self._recent) >= LINKS_MAX:
                self._whole = self._whole and not self._older
                self._older, self._recent = self._recent, {}
        event, self._recent[event.subject] = check_link(event, before)
        return event


def refuse_damaged(recorded: Recorded, damage: Damage) -> UnreadableEvent:
    """Return the error that names a damaged message."""
    return UnreadableEvent(recorded.sequence, recorded.subject, damage.kind, damage.reason, damage.hash)


def get_link(recorded: Recorded, before: str) -> str:
    """Return the hash that the event after a message must link to.

    It is the hash that the message states. If the message is damaged and states no valid hash, it is `before`, the hash
    of the previous event.
    """
    stated = recorded.envelope.hash
    return stated if recorded.damage is None or _HASH.fullmatch(stated) else before


class Chain:
    """Checks stored events in stream order and stops at the first that does not fit.

    Args:
        after: The sequence after which the events begin. If it is not 0, the first event of each subject may link to
            any hash.

    Attributes:
        heads: By subject, the hash to which its next event must link.
        sequence: Sequence of the last checked event.
        annotated: How many damaged events have an annotation.
        empty: How many positions are empty and accepted.
    """

    annotated = 0
    empty = 0

    def __init__(self, after: int = 0) -> None:
        self.heads: dict[str, Before] = {}
        self.sequence = after
        self._whole = after == 0

    def check(self, event: Recorded) -> None:
        """Check the next event. The damage of an annotated event is accepted.

        Raises:
            UnreadableEvent: The message is no event, its bytes do not match its hash, or it does not follow the
                previous event.
            Corrupt: A sequence is missing.
        """
        where = f"event {event.sequence} on {event.subject}"
        if event.sequence != self.sequence + 1:
            raise Corrupt(f"{where} follows sequence {self.sequence}: the events between are missing; restore the log")
        before = self.heads.get(event.subject, "" if self._whole else None)
        if event.annotated and event.is_empty:
            self.empty += 1
        elif event.annotated:
            self.annotated += 1
            self.heads[event.subject] = _pass(event, before)
        else:
            if event.damage is None:
                event = check_recorded(event)
            linked, following = check_link(event, before)
            if linked.damage is not None:
                raise refuse_damaged(linked, linked.damage)
            self.heads[event.subject] = following
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

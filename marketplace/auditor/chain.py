"""Checks positions, guards, hashes and ids of events, from the stored messages."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Final

from marketplace.auditor.stream import EMPTY, Findings, Message

GUARD: Final = "Nats-Expected-Last-Subject-Sequence"
_EMPTY_MAX: Final = 1_000
_REQUIRED: Final = (
    "ce-id", "ce-source", "ce-type", "ce-subject", "ce-time", "ce-dataschema", "ce-correlationid", "ce-causationid",
    "ce-actor", "ce-hash",
)  # fmt: skip


def compute_hash(message: Message) -> str:
    """Return the chain hash that ADR 1 prescribes for a stored message.

    It is the SHA-256 of one line of JSON, a line feed and the body. The line holds the subject and every header of the
    event but the hash, each as a pair, sorted by name, without white space.
    """
    headers = sorted(
        [name, value]
        for name, value in message.headers.items()
        if name != "ce-hash" and (name.startswith("ce-") or name in {"content-type", "traceparent"})
    )
    line = json.dumps([message.subject, headers], separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(line.encode() + b"\n" + message.body).hexdigest()


@dataclass(slots=True)
class Chains:
    """Walks all chains at once.

    Attributes:
        annotated: An operator's annotation of each damaged message, by sequence: ``passed_over`` or ``kept``.
        accepted: Positions that an operator accepted as empty, with the number of events stated as lost there.
        empty: Positions without a message.
        ids: Sequence of every event id.
    """

    findings: Findings
    annotated: dict[int, str] = field(default_factory=dict)
    accepted: dict[int, int] = field(default_factory=dict)
    empty: list[int] = field(default_factory=list)
    last: int = 0
    heads: dict[str, tuple[int, str]] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    _batch: tuple[str, int] | None = None

    def take(self, message: Message) -> None:
        """Check the next message, and remember it as the last of its subject."""
        require = self.findings.require
        sequence, subject = message.sequence, message.subject
        require(sequence > self.last, "position", sequence, f"it follows {self.last}")
        self._pass_empty(sequence if subject == EMPTY else sequence - 1)
        self.last = sequence
        if subject == EMPTY:
            self._check_batch(message)
            return
        before, hash_before = self.heads.get(subject, (0, ""))
        effect = self.annotated.get(sequence)
        if effect is None:
            self._check_event(message, hash_before)
            if message.headers.get("ce-previoushash", "") != hash_before:
                self._check_lost(message, before)
            self._check_guard(message, before)
        self.heads[subject] = (sequence, message.headers.get("ce-hash", hash_before))
        self._check_batch(message)

    def _pass_empty(self, last: int) -> None:
        """Pass the empty positions before a sequence; an operator must have accepted each."""
        found = range(self.last + 1, last + 1)
        self.empty += found[:_EMPTY_MAX]
        for sequence in found[:_EMPTY_MAX]:
            text = "the position is empty, and no operator accepted that: an event may be lost"
            self.findings.require(sequence in self.accepted, "position", sequence, text)
        if len(found) > _EMPTY_MAX:
            self.findings.add("position", last, f"messages {found[0]} to {last} are missing")

    def _list_empty(self, after: int, before: int) -> list[int]:
        """Return the empty positions between two sequences."""
        return [sequence for sequence in self.empty if after < sequence < before]

    def _check_lost(self, message: Message, before: int) -> None:
        """Report an event that is missing at an empty position, if the next event of its subject names its hash."""
        places = self._list_empty(before, message.sequence)
        told = message.headers.get("ce-previoushash", "")
        if places and told:
            text = (
                f"an event of {message.subject} with the hash {told[:12]} was stored here or near and is lost: event "
            )
            self.findings.add("lost", places[-1], f"{text}{message.sequence} follows it")

    def _check_event(self, message: Message, hash_before: str) -> None:
        require, headers, sequence = self.findings.require, message.headers, message.sequence
        missing = [name for name in _REQUIRED if name not in headers]
        if not require(not missing, "event", sequence, f"headers are missing: {', '.join(missing)}"):
            return
        require(compute_hash(message) == headers["ce-hash"], "hash", sequence, "its hash is not that of its bytes")
        told = headers.get("ce-previoushash", "")
        require(
            told == hash_before,
            "chain",
            sequence,
            f"it follows {told[:12] or 'nothing'}, the last event of {message.subject} is {hash_before[:12] or 'none'}",
        )
        known = self.ids.setdefault(headers["ce-id"], sequence)
        require(known == sequence, "event_id", sequence, f"the id {headers['ce-id']} is that of event {known}")
        aggregate, _, name = message.subject.removeprefix("marketplace.").partition(".")
        require(
            headers["ce-subject"] == f"{aggregate}/{name}", "subject", sequence, f"it is of {headers['ce-subject']}"
        )
        require(
            message.event_type.split(".")[0] == aggregate and message.read().get("type", "") == message.event_type,
            "type",
            sequence,
            f"{message.event_type} is stored on {message.subject} with body type {message.read().get('type')!r}",
        )

    def _check_guard(self, message: Message, before: int) -> None:
        """Check that the first message of a subject in an append carries the sequence that it follows."""
        headers, sequence = message.headers, message.sequence
        guard = headers.get(GUARD)
        if guard is not None:
            text = f"it was guarded by {guard}, the event before it on {message.subject} is {before}"
            self.findings.require(guard == str(before), "guard", sequence, text)
            return
        distance = headers.get("Marketplace-Previous-Distance", "")
        place = headers.get("Nats-Batch-Sequence", "0")
        inside = distance.isdecimal() and place.isdecimal() and 0 < int(distance) < int(place)
        follows = inside and sequence - int(distance) == before
        self.findings.require(follows, "guard", sequence, f"no guard, and event {before} is not of the same append")

    def _check_batch(self, message: Message) -> None:
        """Check that an atomic batch is stored whole: numbered from one, without a gap, up to its commit."""
        batch, place = message.headers.get("Nats-Batch-Id"), message.headers.get("Nats-Batch-Sequence", "0")
        open_batch, self._batch = self._batch, None
        if open_batch is not None:
            whole = (batch, place) == (open_batch[0], str(open_batch[1] + 1))
            text = f"batch {open_batch[0]} has no commit before it"
            if not self.findings.require(whole, "batch", message.sequence, text):
                open_batch = None
        elif batch is not None:
            self.findings.require(place == "1", "batch", message.sequence, f"batch {batch} begins with {place}")
        if batch is not None and "Nats-Batch-Commit" not in message.headers and place.isdecimal():
            self._batch = (batch, int(place))

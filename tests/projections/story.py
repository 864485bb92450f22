"""A market's log, told event by event: coherent, sealed into its hash chain, the same every time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from events.envelope import Envelope
from events.registry import EVENT_TYPES, get_tag, render_body, render_schema_name, render_type
from events.subjects import render_subject
from events.types import Event
from marketplace.log.codec import seal
from marketplace.log.port import Head, Message, Recorded, Write

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = date(2025, 3, 1)


def make_id(prefix: str, number: int) -> str:
    return f"{prefix}_{number:026d}"


@dataclass(slots=True)
class Story:
    """Collects events as the log would store them."""

    recorded: list[Recorded] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)
    now: datetime = BEGIN
    commands: int = 0

    def tell(self, *events: Event, actor: str = "platform") -> int:
        """Record the events of one command, a second after what came before; return the last sequence."""
        self.commands += 1
        self.now += timedelta(seconds=1)
        command_id = make_id("cmd", self.commands)
        for place, event in enumerate(events):
            self._record(event, command_id, place, actor)
        return len(self.recorded)

    def _record(self, event: Event, command_id: str, place: int, actor: str) -> None:
        tag = get_tag(event)
        aggregate = tag.split(".", 1)[0]
        identity = getattr(event, f"{aggregate}_id")
        subject = render_subject(aggregate, identity)
        envelope = Envelope(
            id=f"{command_id}/{place}",
            source="/marketplace",
            type=render_type(tag),
            subject=f"{aggregate}/{identity}",
            time=self.now,
            dataschema=render_schema_name(tag),
            correlationid=command_id,
            causationid=command_id,
            actor=actor,
            fingerprint=f"f{self.commands}",
        )
        message = seal(subject, self.hashes.get(subject, ""), envelope, render_body(event))
        self.hashes[subject] = message.envelope.hash
        self.recorded.append(Recorded(len(self.recorded) + 1, subject, message.envelope, message.body))

    def tags(self) -> set[str]:
        return {recorded.envelope.type.removeprefix("marketplace.") for recorded in self.recorded}

    def until(self, sequence: int) -> list[Recorded]:
        return self.recorded[:sequence]


@dataclass(slots=True)
class Heads:
    """The heads of a log that a story is being written to."""

    known: dict[str, Head] = field(default_factory=dict)

    def follow(self, recorded: Sequence[Recorded]) -> None:
        """Take over what is stored already."""
        for event in recorded:
            self.known[event.subject] = Head(event.subject, event.sequence, event.envelope.hash)

    def writes(self, recorded: Sequence[Recorded]) -> list[Write]:
        """Return the writes of a run of events: one per subject and run, in the story's order."""
        made: list[Write] = []
        for event in recorded:
            after = self.known.get(event.subject) or Head(event.subject)
            head = Head(event.subject, None, event.envelope.hash)
            made.append(Write(after, (Message(event.envelope, event.body),), head))
            self.known[event.subject] = head
        return made


def usd(amount: str | int) -> Decimal:
    return Decimal(amount)


ALL_TAGS = frozenset(EVENT_TYPES)

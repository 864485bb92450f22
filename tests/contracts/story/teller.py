"""How the story is told: commands cause events, and each event is sealed as the log stores it."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from events.envelope import Envelope, render_headers
from events.registry import get_tag, render_body, render_type
from events.rendering.json_schema import render_schema_id
from events.subjects import render_subject
from events.types import Event
from tests.contracts.recipe import chain_hash
from tests.contracts.story.identifiers import name

SOURCE = "/marketplace"


@dataclass(frozen=True, slots=True)
class Told:
    """One event as the log stores it."""

    tag: str
    subject: str
    headers: dict[str, str]
    body: bytes

    @property
    def sample(self) -> dict[str, object]:
        """The golden sample: headers and body, in the order in which they are stored."""
        return {"headers": self.headers, "body": json.loads(self.body)}


@dataclass(slots=True)
class Teller:
    """What happened, one entry per command."""

    commands: list[tuple[datetime, str, tuple[Event, ...]]] = field(default_factory=list)

    def tell(self, when: str, actor: str, *events: Event) -> None:
        """Record what one command caused, at an instant such as ``2026-01-05T09:00``."""
        self.commands.append((datetime.fromisoformat(when).replace(tzinfo=UTC), actor, events))

    def seal(self) -> list[Told]:
        """Return every event in the order of time, chained as the log chains them."""
        hashes: dict[str, str] = {}
        told: list[Told] = []
        ordered = sorted(self.commands, key=lambda entry: entry[0])
        for number, (time, actor, events) in enumerate(ordered, start=1):
            command = name("cmd", f"command {number}")
            for place, event in enumerate(events):
                envelope = Envelope(
                    id=name("evt", f"{command} {place}"),
                    source=SOURCE,
                    type="",
                    subject="",
                    time=time,
                    dataschema="",
                    correlationid=command,
                    causationid=command,
                    actor=actor,
                    fingerprint=hashlib.sha256(command.encode()).hexdigest(),
                )
                told.append(_seal(event, hashes, envelope))
        return told


def _seal(event: Event, hashes: dict[str, str], envelope: Envelope) -> Told:
    tag = get_tag(event)
    aggregate = tag.partition(".")[0]
    key: str = getattr(event, f"{aggregate}_id")
    subject = render_subject(aggregate, key)
    body = render_body(event)
    linked = msgspec.structs.replace(
        envelope,
        type=render_type(tag),
        subject=f"{aggregate}/{key}",
        dataschema=render_schema_id(tag),
        previoushash=hashes.get(subject, ""),
    )
    hashes[subject] = chain_hash(subject, render_headers(linked), body)
    return Told(tag, subject, render_headers(msgspec.structs.replace(linked, hash=hashes[subject])), body)

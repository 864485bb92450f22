"""One decision over one or several aggregates, stored in one atomic append.

What is only looked at is not guarded: a decision that rests on another aggregate's fact changes that aggregate too,
or accepts that the fact may change as the decision is stored. ADR 17 says which rule is kept by what.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from events.command import ReadingNotTaken
from events.envelope import Envelope
from events.json_schema import render_schema_id
from events.registry import get_tag, render_body, render_type
from events.subjects import render_subject
from events.types import Event
from marketplace.core.ids import derive_id
from marketplace.domain.command import COMMAND, RecordCommand
from marketplace.execution.command_records import CommandRecord
from marketplace.execution.state_cache import AnyDecider, Cache, Entry
from marketplace.log.codec import seal
from marketplace.log.port import Head, Message, Write


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for a decision, when, and under which id.

    Attributes:
        command_id: Names the command; what it creates derives from it.
        fingerprint: Hash of its content, so that a repeated id with other content is found out.
        actor: Party or worker, written into every event.
        party_id: The tenant, whose own aggregates alone it may touch; None for the platform itself.
        at: Market time.
        correlation_id: The command that began the chain; its own id where it began one.
        traceparent: W3C trace context, empty where there is none.
        if_match: The version that the primary aggregate must have; None for any.
        recorded: Whether it leaves a record where its other events do not say how it was answered: true for what a
            client may send again under the same key; false for a worker's, which is named by its cause and does no
            harm when it is done again.
    """

    command_id: str
    fingerprint: str
    actor: str
    party_id: str | None
    at: datetime
    correlation_id: str = ""
    traceparent: str = ""
    if_match: int | None = None
    recorded: bool = True

    @property
    def request_id(self) -> str:
        """Return what the idempotency key names: the command, or the one that this is a part of."""
        return self.correlation_id or self.command_id


@dataclass(slots=True)
class _Part:
    """One aggregate in the decision: as it was, as it will be, and the events between."""

    decider: AnyDecider
    id: str
    before: Entry
    state: Any
    events: list[Event] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    after: Entry | None = None


class UnitOfWork:
    """Loads aggregates, lets their deciders decide, and collects the events.

    Attributes:
        context: Who asks.
        says_no: Set by what answers with no and appends nothing: that rests on what the log holds at its end, as a
            refusal does, and no guard will find out that it held more.
        not_taken: Set by what reports readings: those that were not accepted, so that a repeat is answered the same.
    """

    def __init__(self, cache: Cache, context: Context) -> None:
        self.context = context
        self._cache = cache
        self._parts: dict[str, _Part] = {}
        self.rejected = False
        self.not_taken: tuple[ReadingNotTaken, ...] = ()

    async def begin(self, decider: AnyDecider, id: str) -> Entry:  # noqa: A002 - the field's word
        """Load the aggregate that the command is for, and return it as it is before the decision."""
        await self.load(decider, id)
        return self._parts[render_subject(decider.aggregate, id)].before

    async def load(self, decider: AnyDecider, id: str) -> Any:  # noqa: A002
        """Return the state of an aggregate, with what this unit has decided so far."""
        subject = render_subject(decider.aggregate, id)
        part = self._parts.get(subject)
        if part is None:
            entry = await self._cache.load(decider, id)
            part = self._parts[subject] = _Part(decider, id, entry, entry.state)
        return part.state

    def assume_new(self, decider: AnyDecider, id: str) -> None:  # noqa: A002
        """Take an aggregate that this decision begins for empty, without a read; the append finds out if it is not."""
        self._cache.assume_new(decider, render_subject(decider.aggregate, id))

    async def reload(self, decider: AnyDecider, id: str) -> Any:  # noqa: A002
        """Return the state of an aggregate that was only looked at so far, as the log has it at its end.

        What guards such a look is loaded before: then whatever changes both is seen here, or refused there.
        """
        await self.load(decider, id)
        part = self._parts.pop(render_subject(decider.aggregate, id))
        assert not part.events, "what was decided on rests on the state before"
        await part.before.head.wait()
        reading = self._cache.refresh(decider, part.before)
        if reading is not None:
            await asyncio.shield(reading)
        return await self.load(decider, id)

    async def decide(
        self,
        decider: AnyDecider,
        id: str,  # noqa: A002
        command: Any,
        times: Sequence[datetime] | None = None,
        *,
        long: bool = False,
    ) -> Any:
        """Let an aggregate decide, and return its state after.

        Args:
            decider: The aggregate's.
            id: Which.
            command: What is asked.
            times: When each of the events occurred, where they are taken over from elsewhere; None: now.
            long: Whether it may take seconds. It then decides in a thread, while the process answers others; whatever
                changes the aggregate meanwhile makes the command decide again.

        Raises:
            Refusal: A rule said no; the unit is void.
        """
        await self.load(decider, id)
        part = self._parts[render_subject(decider.aggregate, id)]
        if long:
            events = await asyncio.to_thread(decider.decide, command, part.state)
        else:
            events = decider.decide(command, part.state)
        part.events.extend(events)
        part.times.extend([self.context.at] * len(events) if times is None else times[: len(events)])
        assert len(part.times) == len(part.events), "every event has its time"
        part.state = decider.fold(events, part.state)
        return part.state

    def list_events(self, decider: AnyDecider, id: str) -> list[Event]:  # noqa: A002
        """Return what this unit has decided so far of an aggregate."""
        part = self._parts.get(render_subject(decider.aggregate, id))
        return [] if part is None else part.events

    def heads(self, *, unchanged: bool = False) -> list[Head]:
        """Return the heads of everything that was looked at; with `unchanged`, of what the append will not guard."""
        return [part.before.head for part in self._parts.values() if not (unchanged and part.events)]

    def list_written(self) -> list[str]:
        """Return the subjects of which events were decided."""
        return [subject for subject, part in self._parts.items() if part.events]

    def is_current(self) -> bool:
        """Tell whether everything that was loaded is still what the cache holds."""
        return all(
            (now := self._cache.find(subject)) is None or now is part.before for subject, part in self._parts.items()
        )

    def changes(self, entry: Entry) -> bool:
        """Tell whether events of the aggregate of `entry` were decided, so that the append guards it."""
        return bool(self._parts[entry.head.subject].events)

    def get_version(self, entry: Entry) -> int:
        """Return the version of the aggregate of `entry` after the append, for `If-Match`."""
        after = self._parts[entry.head.subject].after
        return (entry if after is None else after).head.sequence or 0

    def count_events(self) -> int:
        """Return how many events were decided."""
        return sum(len(part.events) for part in self._parts.values())

    async def record(self, primary: Entry) -> bool:
        """Record how the command is answered where its other events will not say so; False where it is recorded."""
        if self.changes(primary) and not self.not_taken:
            return True
        part, command_id = self._parts[primary.head.subject], self.context.command_id
        record = RecordCommand(
            command_id=command_id,
            aggregate=part.decider.aggregate,
            aggregate_id=part.id,
            version=None if part.events else primary.head.sequence,
            not_taken=self.not_taken,
        )
        self._cache.assume_new(COMMAND, render_subject(COMMAND.aggregate, command_id))
        await self.decide(COMMAND, command_id, record)
        return bool(self.list_events(COMMAND, command_id))

    def seal(self, source: str, primary: str) -> list[Write]:
        """Return the writes, that of the primary subject and then the record at the end; the cache has them then."""
        changed = [part for part in self._parts.values() if part.events]
        changed.sort(key=lambda part: (part.decider is COMMAND, part.before.head.subject == primary))
        writes = [self._seal_part(part, source) for part in changed]
        if self.context.recorded:
            write, (first, *rest) = writes[0], writes[0].messages
            once = Message(first.envelope, first.body, self.context.command_id)
            writes[0] = Write(write.after, (once, *rest), write.head)
        return writes

    def _seal_part(self, part: _Part, source: str) -> Write:
        before, subject = part.before.head, part.before.head.subject
        messages: list[Message] = []
        previous = before.hash
        for index, event in enumerate(part.events):
            envelope = self._build_envelope(part, event, index, source)
            message = seal(subject, previous, envelope, render_body(event))
            messages.append(message)
            previous = message.envelope.hash
        head = Head(subject, None, previous)
        part.after = self._cache.put_pending(part.before, part.state, head)
        part.after.commands.put(self.context.command_id, CommandRecord(self.context.fingerprint, head))
        return Write(before, tuple(messages), head)

    def _build_envelope(self, part: _Part, event: Event, index: int, source: str) -> Envelope:
        context, tag = self.context, get_tag(event)
        return Envelope(
            id=derive_id("evt", context.command_id, f"{part.decider.aggregate}/{part.id}#{index}"),
            source=source,
            type=render_type(tag),
            subject=f"{part.decider.aggregate}/{part.id}",
            time=part.times[index],
            dataschema=render_schema_id(tag),
            correlationid=context.correlation_id or context.command_id,
            causationid=context.command_id,
            actor=context.actor,
            fingerprint=context.fingerprint,
            traceparent=context.traceparent,
        )

    def roll_back(self) -> None:
        """Forget what was sealed; what was read of the same command from the log meanwhile stays."""
        for part in self._parts.values():
            if part.after is not None and part.after.line is not None:
                part.after.head.failed = part.after.line.void = True
                part.after.commands.drop(self.context.command_id, part.after.head)

    async def refresh(self, *, to_end: bool = True) -> bool:
        """Bring everything that was looked at up to date, and tell whether anything of it had changed.

        Args:
            to_end: Whether it must be as the log has it at its end; else guards find out whether it was not.
        """
        begun = [self._cache.refresh(part.decider, part.before, to_end=to_end) for part in self._parts.values()]
        await asyncio.gather(*(asyncio.shield(reading) for reading in begun if reading is not None))
        return any(self._cache.find(subject) is not part.before for subject, part in self._parts.items())

"""One decision over one or several aggregates, stored in one atomic append.

An aggregate that is only read is not guarded. A decision that depends on the state of another aggregate must therefore
change that aggregate too, or accept that its state may change before the append. ADR 17 lists what protects each rule.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar, overload

import msgspec

from events.command import ReadingNotTaken
from events.envelope import Envelope
from events.registry import get_tag, render_body, render_type
from events.rendering.json_schema import render_schema_id
from events.subjects import render_subject
from events.types import Event
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id
from marketplace.domain.command import COMMAND, RecordCommand
from marketplace.domain.refusals import require_instants
from marketplace.execution.command_records import CommandRecord
from marketplace.execution.state_cache import AnyDecider, Cache, CachedState
from marketplace.log.codec import seal
from marketplace.log.port import Head, Message, Write

C = TypeVar("C")
E = TypeVar("E", bound=Event)
S = TypeVar("S")
K = TypeVar("K")


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for a decision, when, and under which id.

    Attributes:
        command_id: Names the command. The ids of what it creates derive from it.
        fingerprint: Hash of the command's content. It detects an id that is reused with other content.
        actor: Party or worker, written into every event.
        actor_key: The API key that the request used, written into every event; empty for none.
        actor_person: The person whom that key names, written into every event; empty for nobody.
        actor_operator: Who of the platform stands behind that key, who could also act with its other keys; None for
            the platform's first key, for keys that it issued to parties, and for workers.
        party_id: The tenant, which may touch only its own aggregates; None for the platform.
        at: Market time.
        correlation_id: The command that began the chain; its own id if it began one.
        traceparent: W3C trace context, or empty.
        if_match: The version that the primary aggregate must have; None for any.
        recorded: Whether the command leaves a record if its other events do not show its answer. True for clients'
            commands, which may be sent again under the same key. False for workers' commands, which are named by their
            cause and harmless to repeat.
        decides: Whether the platform decides in place of parties. False for a platform's key without that scope.
        agrees: Whether the sender may agree for its party. False for a party's key without that scope.
        sees_sealed: Whether the platform may read what orders hold of accounts. False for its keys without that scope.
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
    actor_key: str = ""
    actor_person: str = ""
    actor_operator: str | None = None
    decides: bool = True
    agrees: bool = True
    sees_sealed: bool = True

    @property
    def request_id(self) -> str:
        """Return the id that the idempotency key names: the command, or the command that this one is a part of."""
        return self.correlation_id or self.command_id


@dataclass(slots=True)
class _Part:
    """One aggregate in the decision: its state before and after, and the events between."""

    decider: AnyDecider
    id: str
    before: CachedState
    state: Any
    events: list[Event] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    after: CachedState | None = None


class UnitOfWork:
    """Loads aggregates, runs their deciders, and collects the events.

    Attributes:
        context: Who asks.
        rejected: True when the command was rejected without events. Such a rejection must be confirmed against the end
            of the log, as a refusal must: no guard detects that the log held more.
        not_taken: The readings of a report that were not accepted, recorded so that a repeat gets the same answer.
        answers: The id in the answer, if it does not follow from the command's id; None for the primary aggregate. It
            is recorded too.
        stale: The refusal of a command that states another version of the primary aggregate.
    """

    def __init__(self, cache: Cache, context: Context) -> None:
        self.context = context
        self._cache = cache
        self._parts: dict[str, _Part] = {}
        self.rejected = False
        self.not_taken: tuple[ReadingNotTaken, ...] = ()
        self.answers: str | None = None
        self.stale: Refusal | None = None

    def require_version(self) -> None:
        """Refuse to decide if the primary aggregate has another version than the command states.

        A use case first checks whose the aggregate is, so that nobody reads the version of another party's.

        Raises:
            Refusal: ``version_stale``.
        """
        if self.stale is not None:
            raise self.stale

    async def begin(self, decider: AnyDecider, id: str) -> CachedState:  # noqa: A002 - the field's word
        """Load the primary aggregate, and return its cached state before the decision. It raises what `load` raises."""
        await self.load(decider, id)
        return self._parts[render_subject(decider.aggregate, id)].before

    async def load(self, decider: Decider[Any, Any, S], id: str) -> S:  # noqa: A002
        """Return the state of an aggregate, including what this unit has decided so far.

        Raises:
            Unavailable: The log cannot be reached.
            UnreadableEvent: An event of the aggregate cannot be read.
        """
        subject = render_subject(decider.aggregate, id)
        part = self._parts.get(subject)
        if part is None:
            entry = self._cache.get(subject) or await self._cache.load(decider, id)
            part = self._parts[subject] = _Part(decider, id, entry, entry.state)
        state: S = part.state
        return state

    @overload
    async def get(self, decider: Decider[Any, Any, S | None], id: str) -> S: ...

    @overload
    async def get(self, decider: AnyDecider, id: str, kind: type[K]) -> K: ...

    async def get(self, decider: AnyDecider, id: str, kind: type[K] | None = None) -> Any:  # noqa: A002
        """Return the state of an aggregate that must exist, because something that was loaded before names it.

        Args:
            decider: The aggregate's.
            id: The aggregate's id.
            kind: The class that its state must have; None for any.

        Raises:
            LookupError: It does not exist, or its state is of another kind.
        """
        state = await self.load(decider, id)
        if state is None or (kind is not None and not isinstance(state, kind)):
            raise LookupError(f"{decider.aggregate} {id} is {state!r:.80}, but something that exists names it")
        return state

    def assume_new(self, decider: AnyDecider, id: str) -> None:  # noqa: A002
        """Assume that an aggregate that this decision creates is empty, without a read. The append detects an error."""
        self._cache.assume_new(decider, render_subject(decider.aggregate, id))

    async def reload(self, decider: Decider[Any, Any, S], id: str) -> S:  # noqa: A002
        """Return the state, at the end of the log, of an aggregate that this unit has only read so far.

        Load a guard before: an aggregate that this decision changes, and that every command changes which changes `id`.
        The read sees each such command that was stored before it, and the guard refuses the append after a later one.
        """
        await self.load(decider, id)
        part = self._parts.pop(render_subject(decider.aggregate, id))
        assert not part.events, "what was decided on rests on the state before"
        await part.before.head.wait()
        reading = self._cache.refresh(decider, part.before)
        if reading is not None:
            await asyncio.shield(reading)
        return await self.load(decider, id)

    @overload
    async def decide(
        self,
        decider: Decider[C, E, S | None],
        id: str,
        command: C,
        times: Sequence[datetime] | None = None,
        *,
        long: bool = False,
    ) -> S: ...

    @overload
    async def decide(
        self,
        decider: Decider[C, E, S],
        id: str,
        command: C,
        times: Sequence[datetime] | None = None,
        *,
        long: bool = False,
    ) -> S: ...

    async def decide(
        self,
        decider: Decider[C, E, Any],
        id: str,  # noqa: A002
        command: C,
        times: Sequence[datetime] | None = None,
        *,
        long: bool = False,
    ) -> Any:
        """Run an aggregate's decider, and return the state after it.

        Args:
            decider: The aggregate's decider.
            id: The aggregate's id.
            command: The command.
            times: When each event occurred, if events are imported; None for the command's own time.
            long: Whether the decision may take seconds. It then runs in a thread while the process serves others. If
                the aggregate changes meanwhile, the handler runs the whole command again.

        Raises:
            Refusal: A rule refused the command, or ``value_out_of_bounds``: an event would hold an instant or a date
                at which every reader would stop. The unit must not be used further.
        """
        self.require_version()
        subject = render_subject(decider.aggregate, id)
        if subject not in self._parts:
            await self.load(decider, id)
        part = self._parts[subject]
        if long:
            events = await asyncio.to_thread(decider.decide, command, part.state)
        else:
            events = decider.decide(command, part.state)
        for event in events:
            require_instants(event)
        part.events.extend(events)
        part.times.extend([self.context.at] * len(events) if times is None else times[: len(events)])
        assert len(part.times) == len(part.events), "every event has its time"
        part.state = decider.fold(events, part.state)
        return part.state

    async def decide_at_end(self, decider: Decider[C, E, Any], id: str, command: C) -> None:  # noqa: A002
        """Run an aggregate's decider; if it decides nothing, run it again on the state at the end of the log.

        No guard protects a decision that appends nothing. See `reload` for what has to be loaded first.

        Raises:
            Refusal: A rule refused the command. The unit must not be used further.
        """
        await self.decide(decider, id, command)
        if not self.list_events(decider, id):
            await self.reload(decider, id)
            await self.decide(decider, id, command)

    def branch(self) -> "UnitOfWork":
        """Return a new unit of the same command, for a decision that is proposed and not stored with this one."""
        return UnitOfWork(self._cache, self.context)

    def list_events(self, decider: AnyDecider, id: str) -> list[Event]:  # noqa: A002
        """Return the events that this unit has decided so far for an aggregate."""
        part = self._parts.get(render_subject(decider.aggregate, id))
        return [] if part is None else part.events

    def list_effects(self, without: AnyDecider | None = None) -> list[tuple[str, Event]]:
        """Return the events that this unit has decided so far, each with the id of its aggregate.

        Args:
            without: The decider whose aggregates are left out; None for none.
        """
        return [
            (part.id, event) for part in self._parts.values() if part.decider is not without for event in part.events
        ]

    def discard(self, keep: AnyDecider | None = None) -> None:
        """Drop the events that this unit has decided, except for the aggregates of the decider `keep`."""
        for part in self._parts.values():
            if part.decider is not keep:
                part.events, part.times, part.state = [], [], part.before.state

    async def read_before(self, decider: Decider[Any, Any, S], id: str) -> S:  # noqa: A002
        """Return the state that an aggregate had before this unit decided anything for it."""
        await self.load(decider, id)
        state: S = self._parts[render_subject(decider.aggregate, id)].before.state
        return state

    def heads(self, *, unchanged: bool = False) -> list[Head]:
        """Return the heads of everything that was read; with `unchanged`, only those that the append does not guard."""
        return [part.before.head for part in self._parts.values() if not (unchanged and part.events)]

    def list_written(self) -> list[str]:
        """Return the subjects for which events were decided."""
        return [subject for subject, part in self._parts.items() if part.events]

    def is_current(self) -> bool:
        """Return whether everything that was loaded is still what the cache holds."""
        for subject, part in self._parts.items():
            now = self._cache.find(subject)
            if now is not None and now is not part.before:
                return False
        return True

    def changes(self, entry: CachedState) -> bool:
        """Return whether events were decided for the aggregate of `entry`, so that the append guards it."""
        return bool(self._parts[entry.head.subject].events)

    def get_version(self, entry: CachedState) -> int:
        """Return the sequence of the aggregate's last event, after the append if it writes it; 0 if it has none."""
        after = self._parts[entry.head.subject].after
        return (entry if after is None else after).head.sequence or 0

    def count_events(self) -> int:
        """Return how many events were decided."""
        return sum([len(part.events) for part in self._parts.values()])

    async def record(self, primary: CachedState) -> bool:
        """Add a record of the command if its other events do not show its answer. False if it is already recorded."""
        if self.changes(primary) and not self.not_taken and self.answers is None:
            return True
        part, command_id = self._parts[primary.head.subject], self.context.command_id
        record = RecordCommand(
            command_id=command_id,
            aggregate=part.decider.aggregate,
            aggregate_id=self.answers or part.id,
            version=None if part.events else primary.head.sequence,
            not_taken=self.not_taken,
        )
        self._cache.assume_new(COMMAND, render_subject(COMMAND.aggregate, command_id))
        await self.decide(COMMAND, command_id, record)
        return bool(self.list_events(COMMAND, command_id))

    def seal(self, source: str, primary: str) -> list[Write]:
        """Return the writes, with the primary subject and the command record last, and put them into the cache."""
        changed = [part for part in self._parts.values() if part.events]
        changed.sort(key=lambda part: (part.decider is COMMAND, part.before.head.subject == primary))
        writes = [self._seal_part(part, source) for part in changed]
        if self.context.recorded:
            write, (first, *rest) = writes[0], writes[0].messages
            once = Message(first.envelope, first.body, self.context.command_id, rendered=first.rendered)
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
            actorkey=context.actor_key,
            actorperson=context.actor_person,
            fingerprint=context.fingerprint,
            traceparent=context.traceparent,
        )

    def settle(self) -> None:
        """Let the stored states go from the ones before them, which would stay in memory with them."""
        for part in self._parts.values():
            if part.after is not None and part.after.is_stored():
                part.after.chain = None

    def roll_back(self) -> None:
        """Undo `seal` in the cache. Records of the same command that were read from the log meanwhile stay."""
        for part in self._parts.values():
            if part.after is not None and part.after.chain is not None:
                part.after.chain.void = True
                part.after.head.fail()
                part.after.commands.drop(self.context.command_id, part.after.head)

    async def refresh(self, *, to_end: bool = True) -> bool:
        """Bring everything that was read up to date, and return whether any of it had changed.

        Args:
            to_end: Whether to read to the end of the log. Otherwise guards detect what is missing.
        """
        begun = [self._cache.refresh(part.decider, part.before, to_end=to_end) for part in self._parts.values()]
        await asyncio.gather(*(asyncio.shield(reading) for reading in begun if reading is not None))
        return any(self._cache.find(subject) is not part.before for subject, part in self._parts.items())

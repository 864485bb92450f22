"""What a projection is: tables, the aggregates that it reads, and how a batch of their events becomes rows."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from events.registry import EVENT_TYPES
from events.types import Event
from marketplace.core.errors import Corrupt
from marketplace.log.port import Recorded
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.write_batch import WriteBatch

Handler = Callable[[WriteBatch, RecordedEvent, Any], None]
Load = Callable[[WriteBatch, Sequence[RecordedEvent], AsyncConnection], Awaitable[None]]


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """One read model, rebuilt from the log at any time.

    Attributes:
        name: What the command line calls it.
        version: Increased with every change of the content of its rows, so that they are rebuilt.
        tables: Its tables; no other projection writes them.
        reads: The aggregates whose events it handles or ignores, type by type. It skips the events of others.
        handlers: What each event type changes.
        ignores: Event types of those aggregates that change nothing. A type that it neither handles nor ignores stops
            it.
        load: Reads the rows that the handlers need; None if they need none.
    """

    name: str
    version: int
    tables: tuple[Table, ...]
    reads: tuple[str, ...]
    handlers: Mapping[type[Event], Handler]
    ignores: frozenset[str] = frozenset()
    load: Load | None = None

    def __post_init__(self) -> None:
        named = {get_aggregate(tag) for tag in self.handles | self.ignores}
        assert named == set(self.reads), f"projection {self.name} names event types of {sorted(named)}"

    @property
    def handles(self) -> frozenset[str]:
        """Return the tags of the event types that change its rows."""
        return frozenset(get_tag_of(event_class) for event_class in self.handlers)

    def needs(self, recorded: Recorded) -> bool:
        """Return whether a message that cannot be read may change its rows.

        An empty position counts as such a message: any event may have been lost there.
        """
        if recorded.is_empty:
            return True
        parts = recorded.subject.split(".")
        return len(parts) > 1 and parts[1] in self.reads

    def check(self, fact: RecordedEvent) -> None:
        """Stop at an event of an aggregate that the projection reads, of a type that it neither handles nor ignores.

        Raises:
            Corrupt: It is of such a type.
        """
        known = type(fact.event) in self.handlers or fact.tag in self.ignores
        if not known and get_aggregate(fact.tag) in self.reads:
            raise Corrupt(
                f"projection {self.name} neither handles nor ignores {fact.tag} (event {fact.sequence}); "
                "upgrade this process before it reads on"
            )

    async def apply(self, batch: Sequence[RecordedEvent], connection: AsyncConnection) -> None:
        """Write what a batch changes; the caller moves the position in the same transaction.

        Raises:
            Corrupt: As `check`.
        """
        handled: list[RecordedEvent] = []
        for fact in batch:
            if type(fact.event) in self.handlers:
                handled.append(fact)
            else:
                self.check(fact)
        if not handled:
            return
        changes = WriteBatch()
        if self.load is not None:
            await self.load(changes, handled, connection)
        for fact in handled:
            changes.at(fact.sequence)
            self.handlers[type(fact.event)](changes, fact, fact.event)
        await changes.flush(connection)


def get_tag_of(event_class: type[Event]) -> str:
    """Return the tag of an event class."""
    tag = event_class.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def get_aggregate(tag: str) -> str:
    """Return the aggregate that an event type belongs to."""
    return tag.split(".", 1)[0]


def all_of(*aggregates: str) -> frozenset[str]:
    """Return the tags of every event type of some aggregates."""
    found = frozenset(tag for tag in EVENT_TYPES if get_aggregate(tag) in aggregates)
    assert {get_aggregate(tag) for tag in found} == set(aggregates), "an aggregate is misspelled"
    return found


def tags_of(*event_classes: type[Event]) -> frozenset[str]:
    """Return the tags of event types, such as those that a projection ignores."""
    return frozenset(get_tag_of(event_class) for event_class in event_classes)


__all__ = ["Handler", "Load", "Projection", "all_of", "get_tag_of", "tags_of"]

"""What a projection is: tables, the event types it handles, those it ignores, and how a batch becomes rows."""

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
        version: Version of its tables; a change of their meaning counts it up.
        tables: Its tables; no other projection writes them.
        handlers: What each event type changes.
        ignores: Event types that it has nothing to do with. What is in neither stops the projector.
        load: Reads the rows that the handlers look at; None where they look at none.
    """

    name: str
    version: int
    tables: tuple[Table, ...]
    handlers: Mapping[type[Event], Handler]
    ignores: frozenset[str]
    load: Load | None = None

    @property
    def handles(self) -> frozenset[str]:
        """Return the tags of the event types that change its rows."""
        return frozenset(get_tag_of(event_class) for event_class in self.handlers)

    def needs(self, recorded: Recorded) -> bool:
        """Tell whether a message that cannot be read may be one of those that change its rows.

        At an empty position there may have been any.
        """
        if recorded.is_empty:
            return True
        parts = recorded.subject.split(".")
        return len(parts) > 1 and any(tag.split(".", 1)[0] == parts[1] for tag in self.handles)

    def check(self, fact: RecordedEvent) -> None:
        """Stop at an event that the projection neither handles nor ignores.

        Raises:
            Corrupt: It names neither.
        """
        if type(fact.event) not in self.handlers and fact.tag not in self.ignores:
            raise Corrupt(
                f"projection {self.name} neither handles nor ignores {fact.tag} (event {fact.sequence}); "
                "upgrade this process before it reads on"
            )

    async def apply(self, batch: Sequence[RecordedEvent], connection: AsyncConnection) -> None:
        """Write what a batch changes; the caller moves the position in the same transaction.

        Raises:
            Corrupt: An event is neither handled nor ignored.
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


def all_of(*aggregates: str) -> frozenset[str]:
    """Return the tags of every event type of aggregates that a projection has nothing to do with."""
    found = frozenset(tag for tag in EVENT_TYPES if tag.split(".", 1)[0] in aggregates)
    assert {tag.split(".", 1)[0] for tag in found} == set(aggregates), "an aggregate is misspelled"
    return found


def tags_of(*event_classes: type[Event]) -> frozenset[str]:
    """Return the tags of event types that a projection names as changing nothing."""
    return frozenset(get_tag_of(event_class) for event_class in event_classes)


__all__ = ["Handler", "Load", "Projection", "all_of", "get_tag_of", "tags_of"]

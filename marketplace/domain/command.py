"""Command records: a command whose answer its other events do not show is recorded, once.

Subject: ``marketplace.command.<command_id>``.

Invariant: a command is recorded once, and its record never changes.
"""

from collections.abc import Sequence

import msgspec

from events.command import CommandEvent, CommandRecorded, ReadingNotTaken
from marketplace.core.decider import Decider

CommandState = CommandRecorded | None


class RecordCommand(msgspec.Struct, frozen=True, kw_only=True):
    """Record how a command was answered; see `CommandRecorded`."""

    command_id: str
    aggregate: str
    aggregate_id: str
    version: int | None
    not_taken: tuple[ReadingNotTaken, ...] = ()


def decide(command: RecordCommand, state: CommandState) -> Sequence[CommandEvent]:
    """Return the record, unless the command is already recorded."""
    if state is not None:
        return []
    recorded = CommandRecorded(
        command_id=command.command_id,
        aggregate=command.aggregate,
        aggregate_id=command.aggregate_id,
        version=command.version,
        not_taken=command.not_taken,
    )
    return [recorded]


def evolve(state: CommandState, event: CommandEvent) -> CommandState:  # noqa: ARG001 - a record has one event
    """Return the record."""
    return event


COMMAND: Decider[RecordCommand, CommandEvent, CommandState] = Decider("command", "cmd", None, decide, evolve)

"""Command records: the answer to a client's command, if the events that it caused do not show it."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.types import Event, Id


class ReadingNotTaken(msgspec.Struct, frozen=True, kw_only=True):
    """A reading of a report that was not accepted; of machine samples, the first that was left out for a cause.

    Attributes:
        place: Its place in the report, from 0.
        reading_id: The reading; of a sample, its device.
        outcome: ``duplicate``, ``conflict`` or ``rejected``.
        code: Why it was not taken; None for a duplicate.
        message: Why, in a sentence; None for a duplicate.
    """

    place: Annotated[int, Meta(ge=0)]
    reading_id: str
    outcome: Literal["duplicate", "conflict", "rejected"]
    code: str | None = None
    message: str | None = None


class CommandRecorded(Event, frozen=True, kw_only=True, tag="command.recorded.v1"):
    """A command was accepted, and its other events do not show its answer, for example because it changed nothing.

    The batch of a new statement also contains such a record. Its id derives from the statement's number, so that no
    other statement of the grant or service line can get the same number.

    Attributes:
        command_id: The command. For the number of a statement, an id that derives from the grant or line, and from the
            number.
        aggregate: The kind of the aggregate that it was for.
        aggregate_id: That aggregate, or the part of it that the answer names, such as a relation.
        version: The version of that aggregate that was answered; None: the event before this one.
        not_taken: The readings of a report that were not accepted; the others were. Of machine samples, one for each
            cause for which some were left out.
    """

    command_id: Id
    aggregate: Annotated[str, Meta(pattern=r"^[a-z_]{1,40}(?!\n)$")]
    aggregate_id: Id
    version: Annotated[int, Meta(ge=0)] | None
    not_taken: tuple[ReadingNotTaken, ...] = ()


CommandEvent = CommandRecorded

"""Answers that routes of several rooms give."""

from datetime import datetime
from typing import Generic, TypeVar

import msgspec


class ReceiptBody(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a command.

    Attributes:
        id: The aggregate that the command was for, or what it created.
        sequence: Position in the log; send it as `Min-Seq` to read what the command did.
        version: The aggregate's version, for `If-Match`.
    """

    id: str
    sequence: int
    version: int


T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A page.

    Attributes:
        items: Rows.
        next_cursor: Next page.
        count: If asked.
    """

    items: list[T]
    next_cursor: str | None = None
    count: int | None = None


class ClockView(msgspec.Struct, frozen=True, kw_only=True):
    """Market time.

    Attributes:
        now: The present instant of the market.
        offset_seconds: How far market time is ahead of the wall clock.
    """

    now: datetime
    offset_seconds: int


class Liveness(msgspec.Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: str


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """What the process can do now.

    Attributes:
        commands: Whether commands are stored: NATS answers, and appends do not fail.
        reads: Whether PostgreSQL answers reads.
        log_sequence: Last event in the log.
        projected_sequence: Position that every projection that did not stop has reached.
        reason: Why commands or reads are not served, or the rows stand still; None: all is well.
        unreadable: Sequences of unreadable events that no operator annotated. Only what depends on them waits. A
            worker reports those from before this process began. While a position without a message is there, no command
            is accepted.
        stopped_projections: Position of each stopped projection, by name; its reads show the state there.
        stuck_tasks: Tasks of the market that are refused again and again, counted by the refusal's code. The workers'
            logs show which and why.
    """

    commands: bool
    reads: bool
    log_sequence: int | None
    projected_sequence: int | None
    reason: str | None = None
    unreadable: tuple[int, ...] = ()
    stopped_projections: dict[str, int] = {}
    stuck_tasks: dict[str, int] = {}

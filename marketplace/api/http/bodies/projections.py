"""Bodies of the operation of projections."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

JobKind = Literal["rebuild", "verify"]


class ProjectionBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which projection.

    Attributes:
        name: Its name, such as ``orders``.
    """

    name: Annotated[str, Meta(min_length=1, max_length=60)]


class RowDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A row that differs from what the log makes.

    Attributes:
        table: Its table.
        key: Its key, by column.
    """

    table: str
    key: dict[str, str]


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """A rebuild or a verification that this process runs, or the last one that it ran.

    Attributes:
        kind: ``rebuild`` or ``verify``.
        status: ``running``, ``done``, ``different`` (a verification found rows that differ) or ``failed``.
        began_at: When it began.
        done: Events so far.
        total: Events in all; null before the first page.
        seconds: How long it has run, or ran.
        result: What came of it, in words; null while it runs.
        differences: The first 20 rows that differ.
    """

    kind: JobKind
    status: Literal["running", "done", "different", "failed"]
    began_at: datetime
    done: int = 0
    total: int | None = None
    seconds: float = 0.0
    result: str | None = None
    differences: tuple[RowDifference, ...] = ()


class ProjectionView(msgspec.Struct, frozen=True, kw_only=True):
    """How far one projection has come.

    Attributes:
        name: The projection.
        state: ``live``, ``stopped`` before an event that it cannot pass, ``outdated`` (an older release made its rows,
            and they are rebuilt), ``newer`` (a newer release made them) or ``absent`` (it has not begun).
        version: The version that made its rows.
        position: The last event in its rows.
        lag: Events behind the log's end.
        moved_at: When its position moved last.
        stopped_at: The event that it cannot pass; null while it continues.
        stopped_because: What is wrong there, and the remedy.
        rebuild_position: How far a rebuild beside it has come, in any process; null if none runs.
        rebuild_target: Up to which event it goes.
        job: The last rebuild or verification of the process that answers.
    """

    name: str
    state: Literal["live", "stopped", "outdated", "newer", "absent"]
    version: int
    position: int
    lag: int
    moved_at: datetime | None
    stopped_at: int | None
    stopped_because: str | None
    rebuild_position: int | None
    rebuild_target: int | None
    job: JobView | None


class StuckTaskView(msgspec.Struct, frozen=True, kw_only=True):
    """A task that a worker repeats without success, or an event that it cannot read.

    Attributes:
        worker: The process.
        task: Which command; ``read_event`` for an event that cannot be read.
        subject: What it is for: an id, or the sequence of the event.
        code: Why it is refused.
        reason: The same in words.
        reported_at: When the worker reported it last.
    """

    worker: str
    task: str
    subject: str
    code: str
    reason: str
    reported_at: datetime

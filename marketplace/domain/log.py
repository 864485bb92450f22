"""The log's own record: which damaged messages are passed over, and which losses were accepted.

Subject: ``marketplace.log.<log_id>``; there is one log.

Invariants:
    1. A message is annotated at most once, so that every reader takes it in the same way for ever.
    2. `Annotate` is only asked of a message that was found to be damaged: `log/annotations.py` looks.

Refusals in order: annotation_exists.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from events.log import DamageKind, LogAnnotated, LogEvent, LogLossAccepted
from events.subjects import LOG_ID
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal


class Annotate(msgspec.Struct, frozen=True, kw_only=True):
    """State how every reader takes a damaged message."""

    sequence: int
    subject: str
    hash: str
    damage: DamageKind
    effect: Literal["passed_over", "kept"]
    reason: str


class AcceptLoss(msgspec.Struct, frozen=True, kw_only=True):
    """Accept that the events after the log's end are lost."""

    expected_sequence: int
    expected_hash: str
    last_sequence: int
    reason: str


@dataclass(frozen=True, slots=True)
class LogRecord:
    """Annotations by the sequence of the message."""

    annotations: Mapping[int, LogAnnotated] = field(default_factory=dict)


def decide(command: Annotate | AcceptLoss, state: LogRecord) -> Sequence[LogEvent]:
    """Return what a command changes; see the module for the order of refusals."""
    if isinstance(command, AcceptLoss):
        return [LogLossAccepted(log_id=LOG_ID, **msgspec.structs.asdict(command))]
    annotated = LogAnnotated(log_id=LOG_ID, **msgspec.structs.asdict(command))
    known = state.annotations.get(command.sequence)
    if known == annotated:
        return []
    if known is not None:
        raise Refusal(
            "annotation_exists",
            f"event {command.sequence} is annotated already: it is {known.effect.replace('_', ' ')}, since "
            f"{known.reason}; an annotation is for ever",
            sequence=command.sequence,
            effect=known.effect,
        )
    return [annotated]


def evolve(state: LogRecord, event: LogEvent) -> LogRecord:
    """Return the state after an event."""
    if isinstance(event, LogLossAccepted):
        return state
    return LogRecord({**state.annotations, event.sequence: event})


LOG: Decider[Annotate | AcceptLoss, LogEvent, LogRecord] = Decider("log", "log", LogRecord(), decide, evolve)

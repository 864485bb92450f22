"""The log's record of itself: damaged messages that are passed over, accepted losses and accepted empty positions.

Subject: ``marketplace.log.<log_id>``; there is one log.

Invariants:
    1. A message is annotated at most once, so that every reader treats it the same way for ever.
    2. `Annotate` is used only for a message that was found to be damaged: `log/annotations.py` checks.
    3. `AcceptGap` is used only for a position that was found to be empty: `log/gaps.py` checks.

Refusals in order: annotation_exists · gap_accepted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import msgspec

from events.log import DamageKind, LogAnnotated, LogEvent, LogGapAccepted, LogLossAccepted, LostEvent
from events.subjects import LOG_ID
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal


class Annotate(msgspec.Struct, frozen=True, kw_only=True):
    """State for ever how every reader treats the damaged message at a sequence."""

    sequence: int
    subject: str
    hash: str
    damage: DamageKind
    effect: Literal["passed_over", "kept"]
    reason: str


class AcceptLoss(msgspec.Struct, frozen=True, kw_only=True):
    """Accept that the events after the log's end are lost.

    Attributes:
        expected_sequence: The last event that is known to have been stored.
        expected_hash: Its hash.
        last_sequence: The last event that the log has.
        reason: Why.
    """

    expected_sequence: int
    expected_hash: str
    last_sequence: int
    reason: str


class AcceptGap(msgspec.Struct, frozen=True, kw_only=True):
    """Accept that a position of the log is empty; `lost` are the events that are known to have stood there."""

    sequence: int
    lost: tuple[LostEvent, ...]
    reason: str


Command = Annotate | AcceptLoss | AcceptGap


@dataclass(frozen=True, slots=True)
class LogRecord:
    """Annotations by the sequence of the message, and accepted gaps by their position."""

    annotations: Mapping[int, LogAnnotated] = field(default_factory=dict)
    gaps: Mapping[int, LogGapAccepted] = field(default_factory=dict)


def decide(command: Command, state: LogRecord) -> Sequence[LogEvent]:
    """Return the events of a command; the module lists the order of refusals."""
    match command:
        case AcceptLoss():
            return [LogLossAccepted(log_id=LOG_ID, **msgspec.structs.asdict(command))]
        case AcceptGap():
            return _accept_gap(command, state)
        case Annotate():
            return _annotate(command, state)


def _accept_gap(command: AcceptGap, state: LogRecord) -> Sequence[LogEvent]:
    accepted = LogGapAccepted(log_id=LOG_ID, **msgspec.structs.asdict(command))
    known = state.gaps.get(command.sequence)
    if known is not None and known != accepted:
        raise Refusal(
            "gap_accepted",
            f"position {command.sequence} is already accepted as empty ({known.reason}); every reader passes it",
            sequence=command.sequence,
        )
    return [accepted] if known is None else []


def _annotate(command: Annotate, state: LogRecord) -> Sequence[LogEvent]:
    annotated = LogAnnotated(log_id=LOG_ID, **msgspec.structs.asdict(command))
    known = state.annotations.get(command.sequence)
    if known == annotated:
        return []
    if known is not None:
        raise Refusal(
            "annotation_exists",
            f"event {command.sequence} is already annotated as {known.effect.replace('_', ' ')} ({known.reason}); "
            f"an annotation cannot be changed",
            sequence=command.sequence,
            effect=known.effect,
        )
    return [annotated]


def evolve(state: LogRecord, event: LogEvent) -> LogRecord:
    """Return the state after an event."""
    match event:
        case LogLossAccepted():
            return state
        case LogGapAccepted():
            return replace(state, gaps={**state.gaps, event.sequence: event})
        case LogAnnotated():
            return replace(state, annotations={**state.annotations, event.sequence: event})


LOG: Decider[Command, LogEvent, LogRecord] = Decider("log", "log", LogRecord(), decide, evolve)

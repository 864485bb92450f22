"""The log's record of itself: damaged messages, empty positions, and losses that an operator accepted.

Every reader loads these events before any other, and follows them while it reads.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.types import Event, Id, Text

Sequence = Annotated[int, Meta(ge=1, description="Position in the log")]
ChainHash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}(?!\n)$", description="Chain hash, SHA-256 in hex")]
DamageKind = Literal["headers", "subject", "hash", "link", "type", "body", "orphan"]
"""What is wrong with a stored message.

``headers``: they are not those of an event. ``subject``: it is stored on another aggregate's subject, or on none's.
``hash``: it differs from what was sealed. ``link``: it does not follow the previous event. ``type``: no release knows
its type. ``body``: its body does not match its type. ``orphan``: it is sound, but depends on a message that is passed
over or lost: one of its subject, one of its command, or the first one of an aggregate that it names.
"""


class LogAnnotated(Event, frozen=True, kw_only=True, tag="log.annotated.v1"):
    """An operator stated how every reader treats one damaged message.

    Attributes:
        log_id: The log.
        sequence: Position of the message.
        subject: The NATS subject that it is stored on.
        hash: Chain hash of the message, computed from its bytes as found.
        damage: What is wrong with it.
        effect: ``passed_over``: every reader skips it. ``kept``: it counts as any event; only where
            nothing but its link is broken.
        reason: Why, in the operator's words.
    """

    log_id: Id
    sequence: Sequence
    subject: Annotated[str, Meta(min_length=1, max_length=1_000)]
    hash: ChainHash
    damage: DamageKind
    effect: Literal["passed_over", "kept"]
    reason: Text


class LogLossAccepted(Event, frozen=True, kw_only=True, tag="log.loss_accepted.v1"):
    """The log went back, and an operator accepted the loss of the later events. The projections were reset.

    Attributes:
        log_id: The log.
        expected_sequence: The last event that PostgreSQL had seen.
        expected_hash: Its chain hash.
        last_sequence: The last event of the log when the loss was accepted.
        reason: Why, in the operator's words.
    """

    log_id: Id
    expected_sequence: Sequence
    expected_hash: ChainHash
    last_sequence: Annotated[int, Meta(ge=0)]
    reason: Text


class LostEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was provably stored and is no longer in the log.

    Attributes:
        subject: The NATS subject that it was stored on.
        hash: Its chain hash; None where that is not known.
        known_from: What proves it, in words.
    """

    subject: Annotated[str, Meta(max_length=1_000)]
    hash: ChainHash | None = None
    known_from: Text


class LogGapAccepted(Event, frozen=True, kw_only=True, tag="log.gap_accepted.v1"):
    """An operator accepted that one position of the log is empty; every reader passes it.

    Attributes:
        log_id: The log.
        sequence: The position at which the log has no message.
        lost: The events that were provably stored there, or at another empty position close to it; empty without
            proof.
        reason: Why, in the operator's words.
    """

    log_id: Id
    sequence: Sequence
    lost: Annotated[tuple[LostEvent, ...], Meta(max_length=100)]
    reason: Text


LogEvent = LogAnnotated | LogLossAccepted | LogGapAccepted

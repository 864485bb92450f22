"""The log about itself: stored messages that nobody can read, and a loss that the operator accepted.

Every reader loads these events before any other, and follows them as it goes on.
"""

from typing import Annotated, Literal

from msgspec import Meta

from events.types import Event, Id, Text

Sequence = Annotated[int, Meta(ge=1, description="Position in the log")]
ChainHash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}(?!\n)$", description="Chain hash, SHA-256 in hex")]
DamageKind = Literal["headers", "subject", "hash", "link", "type", "body"]
"""What is wrong with a stored message.

``headers``: they are not those of an event. ``subject``: it is stored on another aggregate's subject, or on none's.
``hash``: it is not what was sealed. ``link``: it does not follow the event before it. ``type``: no release knows its
type. ``body``: its body is not what its type says.
"""


class LogAnnotated(Event, frozen=True, kw_only=True, tag="log.annotated.v1"):
    """An operator states how every reader takes one damaged message.

    Attributes:
        log_id: The log.
        sequence: Position of the message.
        subject: The NATS subject that it is stored on.
        hash: Chain hash of the message, computed anew from its bytes as they were found.
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
    """The log went back and an operator accepted that what came after is lost; the projections were reset.

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


LogEvent = LogAnnotated | LogLossAccepted

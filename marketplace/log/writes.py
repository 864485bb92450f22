"""The checks of an append that do not depend on the stream."""

from collections.abc import Sequence

from marketplace.core.errors import Refusal
from marketplace.log.port import Head, Limits, Write

_NOT_LITERAL = frozenset("*> \t\r\n")


def check_writes(writes: Sequence[Write], limits: Limits) -> int:
    """Check the writes of one append, and return how many messages they hold.

    Raises:
        Refusal: ``append_too_large`` when they are more than one atomic batch may hold.
        AssertionError: There is no event, a subject is not literal, or the heads of a write do not belong together.
    """
    heads: dict[str, Head] = {}
    for write in writes:
        _check_write(write)
        if heads.setdefault(write.after.subject, write.after) is not write.after:
            raise AssertionError(f"the second write to {write.after.subject} must follow the first one's head")
        heads[write.after.subject] = write.head
    count = sum(len(write.messages) for write in writes)
    if not count:
        raise AssertionError("an append holds no event")
    if count > limits.batch_messages_max:
        raise Refusal(
            "append_too_large",
            f"one decision makes {count} events and the log stores at most {limits.batch_messages_max} at once; "
            "split it into several commands",
            events=count,
            events_max=limits.batch_messages_max,
        )
    return count


def _check_write(write: Write) -> None:
    subject = write.after.subject
    if not write.messages:
        raise AssertionError(f"a write to {subject} holds no event")
    if write.head.subject != subject:
        raise AssertionError(f"{write.head.subject} cannot follow {subject}")
    if write.head.sequence is not None:
        raise AssertionError(f"the head of a new write to {subject} must be pending")
    if not _NOT_LITERAL.isdisjoint(subject):
        raise AssertionError(f"{subject!r} is not a literal subject")

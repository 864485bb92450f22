"""Appends that wait for their answer."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from marketplace.log.port import Head, Write


@dataclass(slots=True, eq=False)
class PendingAppend:
    """One caller's writes, and the future that it waits for."""

    writes: tuple[Write, ...]
    count: int
    size: int
    deadline: float
    answer: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def succeed(self, last: int) -> int:
        """Resolve the heads backwards from the sequence of the last event; return the one before the first."""
        sequence = last
        for write in reversed(self.writes):
            write.head.sequence = sequence
            sequence -= len(write.messages)
        self._succeed(last)
        return sequence

    def succeed_found(self, sequences: Sequence[int]) -> None:
        """Resolve each head to where its event was found."""
        for write, sequence in zip(self.writes, sequences, strict=True):
            write.head.sequence = sequence
        self._succeed(max(sequences))

    def fail(self, error: BaseException) -> None:
        """Fail the heads, so that whatever builds on them conflicts, and the caller; one that succeeded stays so."""
        if self.answer.done():
            return
        for write in self.writes:
            write.head.failed = True
        self.answer.set_exception(error)

    def _succeed(self, last: int) -> None:
        if not self.answer.done():
            self.answer.set_result(last)


def succeed_if_stored(group: list[PendingAppend], tails: dict[str, dict[str, int]]) -> bool:
    """Return whether the tails hold every event of the group; its appends then have succeeded.

    Args:
        group: Appends whose outcome is not known.
        tails: For each of their subjects, sequences by chain hash.
    """
    found: list[list[int]] = []
    for append in group:
        for write in append.writes:
            if any(message.envelope.hash not in tails[write.after.subject] for message in write.messages):
                return False
        found.append([tails[write.after.subject][write.messages[-1].envelope.hash] for write in append.writes])
    for append, sequences in zip(group, found, strict=True):
        append.succeed_found(sequences)
    return True


def follows(write: Write, heads: dict[str, Head]) -> bool:
    """Return whether the write continues what the group already says of its subject, and note its head."""
    before = heads.get(write.after.subject, write.after)
    heads[write.after.subject] = write.head
    return before is write.after


def fail_all(group: list[PendingAppend], error: BaseException) -> None:
    """Fail what has no answer yet."""
    for append in group:
        append.fail(error)


def retrieve(answer: asyncio.Future[int]) -> None:
    """Look at the outcome, so that an append whose caller left is not reported as forgotten."""
    if not answer.cancelled():
        answer.exception()

"""Appends that wait for their answer, and the one place where guards are made."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from marketplace.core.errors import Conflict
from marketplace.log.port import Head, Message, Recorded, Write


@dataclass(slots=True, eq=False)
class PendingAppend:
    """One caller's writes, and the future that it waits for.

    Attributes:
        writes: What is to be stored, in order.
        count: How many messages they hold.
        size: Bytes of all bodies.
        deadline: By `time.monotonic`.
        in_doubt: It was sent and not answered: it may be stored already, or later.
        settled: Whether it is known to be stored, or not.
        answer: Sequence of the last event, or why it was not stored. The caller may cancel it, which settles nothing.
    """

    writes: tuple[Write, ...]
    count: int
    size: int
    deadline: float
    in_doubt: bool = False
    settled: bool = False
    answer: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def succeed(self, last: int) -> int:
        """Resolve the heads backwards from the sequence of the last event.

        Return the sequence before the first event, which is the last one of the append before this in the group.
        """
        sequence = last
        for write in reversed(self.writes):
            write.head.settle(sequence)
            sequence -= len(write.messages)
        self._tell(last)
        return sequence

    def fail(self, error: BaseException) -> None:
        """Fail the caller and the heads, so that appends which build on them conflict. A stored append stays."""
        if self.settled:
            return
        for write in self.writes:
            write.head.fail()
        self.settled = True
        if not self.answer.done():
            self.answer.set_exception(error)

    def settle_by(self, tails: Mapping[str, Sequence[Recorded]]) -> None:
        """Succeed if the tails hold all events, and fail if another event follows one of the guards.

        The append stays open if the tails show neither: it may be on its way, or the server that was asked may be
        behind.

        Args:
            tails: By subject, the events after its guard. Subjects that could not be read are missing.
        """
        found: list[int | None] = []
        heres: dict[str, list[Recorded]] = {}
        for write in self.writes:
            subject, after = write.after.subject, write.after.sequence
            if subject not in heres and after is not None and subject in tails:
                here = heres[subject] = [event for event in tails[subject] if event.sequence > after]
                if here and here[0].envelope.hash != write.messages[0].envelope.hash:
                    self.fail(Conflict(subject, after, here[-1].sequence))
                    return
            hashes = {event.envelope.hash: event.sequence for event in heres.get(subject, ())}
            found.append(hashes.get(write.messages[-1].envelope.hash))
        sequences = [sequence for sequence in found if sequence is not None]
        if len(sequences) == len(self.writes):
            self._succeed(sequences)

    def _succeed(self, sequences: Sequence[int]) -> None:
        for write, sequence in zip(self.writes, sequences, strict=True):
            write.head.settle(sequence)
        self._tell(sequences[-1])

    def _tell(self, last: int) -> None:
        self.settled = True
        if not self.answer.done():
            self.answer.set_result(last)


class Guarded(NamedTuple):
    """A message to send.

    Attributes:
        subject: The literal subject.
        guard: The sequence that must be the subject's last; None if an earlier message of the group guards the subject.
        distance: Without a guard, how many messages earlier in the group the subject's previous message is.
        message: The message.
    """

    subject: str
    guard: int | None
    distance: int
    message: Message


def guard_messages(group: Sequence[PendingAppend]) -> list[Guarded]:
    """Return the messages of appends that are sent together, with a guard on each subject's first message.

    Raises:
        AssertionError: A write follows a head that failed, or a pending head that these appends do not make before it.
            Sent without a guard, it would be stored after any event, so nothing may be sent.
    """
    messages: list[Guarded] = []
    made: dict[str, tuple[Head, int]] = {}
    for append in group:
        for write in append.writes:
            after, (before, place) = write.after, made.get(write.after.subject, (None, 0))
            if after.failed or (after.sequence is None if before is None else after is not before):
                raise AssertionError(f"a write to {after.subject} follows a head that guards nothing; nothing was sent")
            for message in write.messages:
                guard = None if place else after.sequence
                messages.append(Guarded(after.subject, guard, len(messages) + 1 - place, message))
                place = len(messages)
            made[after.subject] = write.head, place
    return messages


def follows(write: Write, heads: dict[str, Head]) -> bool:
    """Return whether the write follows the group's head of its subject, and record its new head."""
    before = heads.get(write.after.subject, write.after)
    heads[write.after.subject] = write.head
    return before is write.after


def are_independent(group: Sequence[PendingAppend]) -> bool:
    """Return whether all are single events that do not depend on one another."""
    subjects = {append.writes[0].after.subject for append in group if append.count == 1}
    return len(subjects) == len(group)


def list_chains(group: Sequence[PendingAppend]) -> list[list[PendingAppend]]:
    """Split a group into parts without common subjects. Each keeps its order, and none can make another fail."""
    parents = list(range(len(group)))

    def find(number: int) -> int:
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    homes: dict[str, int] = {}
    for number, append in enumerate(group):
        for write in append.writes:
            parents[find(number)] = find(homes.setdefault(write.after.subject, number))
    chains: dict[int, list[PendingAppend]] = {}
    for number, append in enumerate(group):
        chains.setdefault(find(number), []).append(append)
    return list(chains.values())


def fail_all(group: Sequence[PendingAppend], error: BaseException) -> None:
    """Fail all appends without an answer."""
    for append in group:
        append.fail(error)

"""What is sent together has the guard of each subject's first write, or is not sent at all."""

import math

import pytest

from marketplace.log.pending import PendingAppend, guard_messages
from marketplace.log.port import Head, Write
from tests.log.build import make_write, make_writes, new_subject


def queue(*writes: Write) -> PendingAppend:
    return PendingAppend(writes, sum(len(write.messages) for write in writes), 1, math.inf)


async def test_the_first_message_of_each_subject_is_guarded_and_the_others_tell_where_their_previous_one_is() -> None:
    first, other = make_write(Head(new_subject(), 7), b"1", b"2"), make_write(Head(new_subject()))
    second = make_write(first.head)
    sent = guard_messages([queue(first, other), queue(second)])
    assert [(each.guard, each.distance) for each in sent] == [(7, 1), (None, 1), (0, 3), (None, 2)]


async def test_a_write_after_a_pending_head_of_another_batch_is_not_sent() -> None:
    elsewhere = make_write(Head(new_subject()))
    with pytest.raises(AssertionError, match="nothing was sent"):
        guard_messages([queue(*make_writes(1)), queue(make_write(elsewhere.head))])


@pytest.mark.parametrize("sequence", [None, 4])
async def test_a_write_after_a_head_that_failed_is_not_sent(sequence: int | None) -> None:
    before = make_write(Head(new_subject()))
    before.head.failed, before.head.sequence = True, sequence
    with pytest.raises(AssertionError, match="nothing was sent"):
        guard_messages([queue(make_write(before.head))])


async def test_a_dependent_before_what_it_builds_on_is_not_sent() -> None:
    first = make_write(Head(new_subject()))
    second = make_write(first.head)
    with pytest.raises(AssertionError, match="nothing was sent"):
        guard_messages([queue(second), queue(first)])


async def test_two_writes_after_one_head_are_not_sent_together() -> None:
    head = Head(new_subject())
    with pytest.raises(AssertionError, match="nothing was sent"):
        guard_messages([queue(make_write(head)), queue(make_write(head))])

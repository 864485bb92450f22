"""What every log does, whatever it stands on: one set of cases for memory, one server and a cluster of three."""

import asyncio
from dataclasses import replace

import pytest

from marketplace.core.errors import Conflict, Refusal
from marketplace.log.codec import verify_chain
from marketplace.log.port import Head, Log, Recorded, Write
from tests.log.build import make_write, make_writes, new_subject, read_hashes
from tests.support.patience import PATIENCE_SECONDS


async def read_all(log: Log, after: int = 0) -> list[Recorded]:
    return [event async for page in log.read(after) for event in page]


def name_once(name: str, count: int = 1) -> list[Write]:
    """Return writes to new subjects, in an append that the log takes once under this name."""
    first, *rest = make_writes(count)
    named = replace(first, messages=tuple(replace(message, once=name) for message in first.messages))
    return [named, *rest]


class AppendCases:
    """Guards, atomicity, pending heads, order."""

    async def test_an_event_is_read_back_as_it_was_written(self, log: Log) -> None:
        write = make_write(Head(new_subject()), b'{"price":"2.10","note":"caf\xc3\xa9"}')
        sequence = await log.append([write])
        expected = Recorded(sequence, write.after.subject, write.messages[0].envelope, write.messages[0].body)
        assert await log.load(write.after.subject) == [expected]
        assert await log.find(sequence) == expected
        assert await read_all(log) == [expected]

    async def test_an_append_resolves_its_heads(self, log: Log) -> None:
        first, second = make_write(Head(new_subject()), b"1", b"2"), make_write(Head(new_subject()))
        last = await log.append([first, second])
        assert (first.head.sequence, second.head.sequence) == (last - 1, last)
        assert (first.head.failed, second.head.failed) == (False, False)

    async def test_a_write_after_a_stale_head_conflicts_and_stores_nothing(self, log: Log) -> None:
        subject = new_subject()
        last = await log.append([make_write(Head(subject))])
        late = make_write(Head(subject))
        with pytest.raises(Conflict) as caught:
            await log.append([late])
        assert (caught.value.subject, caught.value.expected, caught.value.actual) == (subject, 0, last)
        assert late.head.failed
        assert len(await read_all(log)) == 1

    async def test_a_write_after_a_head_that_does_not_exist_conflicts(self, log: Log) -> None:
        ahead = make_write(Head(new_subject(), sequence=7, hash="0" * 64))
        with pytest.raises(Conflict):
            await log.append([ahead])
        assert await read_all(log) == []

    async def test_a_guard_looks_at_its_own_subject_only(self, log: Log) -> None:
        one, other = make_write(Head(new_subject())), make_write(Head(new_subject()))
        await log.append([one])
        await log.append([other])
        await log.append([make_write(one.head)])
        assert len(await read_all(log)) == 3

    async def test_an_append_that_is_named_is_stored_once_whatever_its_subjects(self, log: Log) -> None:
        for first, *rest in ((name_once("a"), name_once("a")), (name_once("b", 2), name_once("b", 2), name_once("b"))):
            await log.append(first)
            for second in rest:
                others = [log.append([write]) for write in make_writes(3)]
                conflict, *stored = await asyncio.gather(log.append(second), *others, return_exceptions=True)
                assert isinstance(conflict, Conflict)
                assert all(isinstance(sequence, int) for sequence in stored)
                assert all(write.head.failed for write in second)
        sequence = await log.append(name_once("c"))
        assert len(await read_all(log)) == sequence == 1 + 3 + 2 + 6 + 1

    async def test_of_appends_with_one_name_at_once_one_is_stored(self, log: Log) -> None:
        for number in range(8):
            appends = [log.append(name_once(f"n{number}", 1 + place % 2)) for place in range(4)]
            answers = await asyncio.gather(*appends, return_exceptions=True)
            assert sorted(type(answer).__name__ for answer in answers) == ["Conflict", "Conflict", "Conflict", "int"]

    async def test_all_writes_of_an_append_are_stored_or_none(self, log: Log) -> None:
        subject = new_subject()
        await log.append([make_write(Head(subject))])
        good, stale = make_write(Head(new_subject())), make_write(Head(subject))
        with pytest.raises(Conflict):
            await log.append([good, stale])
        assert good.head.failed
        assert await log.load(good.after.subject) == []

    async def test_a_thousand_events_are_one_append_and_one_more_is_refused(self, log: Log) -> None:
        writes = make_writes(1_000)
        last = await log.append(writes)
        assert [write.head.sequence for write in writes] == list(range(last - 999, last + 1))
        above = make_writes(1_001)
        with pytest.raises(Refusal, match="1001 events"):
            await log.append(above)
        assert all(write.head.failed for write in above)
        assert (await log.health()).messages == 1_000

    async def test_many_events_of_one_aggregate_are_one_append(self, log: Log) -> None:
        write = make_write(Head(new_subject()), *(b"%d" % number for number in range(100)))
        await log.append([write])
        assert [event.body for event in await log.load(write.after.subject)] == [b"%d" % n for n in range(100)]

    async def test_a_decision_may_build_on_one_that_is_still_in_flight(self, log: Log) -> None:
        first = make_write(Head(new_subject()))
        second = make_write(first.head)
        third = make_write(second.head)
        positions = await asyncio.gather(*(log.append([write]) for write in (first, second, third)))
        assert positions == sorted(positions)
        assert [event.envelope.hash for event in await log.load(first.after.subject)] == read_hashes(
            [first, second, third]
        )

    async def test_a_decision_on_a_head_that_failed_conflicts(self, log: Log) -> None:
        subject = new_subject()
        await log.append([make_write(Head(subject))])
        stale = make_write(Head(subject))
        dependent = make_write(stale.head)
        answers = await asyncio.gather(log.append([stale]), log.append([dependent]), return_exceptions=True)
        assert [type(answer) for answer in answers] == [Conflict, Conflict]
        assert dependent.head.failed
        assert len(await log.load(subject)) == 1

    async def test_appends_are_stored_in_call_order(self, log: Log) -> None:
        writes = make_writes(500)
        positions = await asyncio.gather(*(log.append([write]) for write in writes))
        assert positions == list(range(1, 501))
        assert [event.envelope.hash for event in await read_all(log)] == read_hashes(writes)

    async def test_one_conflict_among_many_appends_fails_one_caller(self, log: Log) -> None:
        subject = new_subject()
        await log.append([make_write(Head(subject))])
        writes = make_writes(60)
        writes[30] = make_write(Head(subject))
        answers = await asyncio.gather(*(log.append([write]) for write in writes), return_exceptions=True)
        assert [number for number, answer in enumerate(answers) if isinstance(answer, Conflict)] == [30]
        assert [type(answer) for answer in answers].count(int) == 59
        assert [event.envelope.hash for event in await read_all(log, 1)] == read_hashes(writes[:30] + writes[31:])

    async def test_two_decisions_on_one_head_are_not_both_stored(self, log: Log) -> None:
        head = Head(new_subject())
        rivals = [make_write(head) for _ in range(10)]
        answers = await asyncio.gather(*(log.append([write]) for write in rivals), return_exceptions=True)
        assert [type(answer) for answer in answers] == [int] + [Conflict] * 9
        assert len(await log.load(head.subject)) == 1

    @pytest.mark.parametrize("subject", ["marketplace.order.*", "marketplace.>", "marketplace.order.a b"])
    async def test_a_guard_on_anything_but_a_literal_subject_is_our_mistake(self, log: Log, subject: str) -> None:
        write = make_write(Head("marketplace.order.x"))
        wild = Write(Head(subject), write.messages, Head(subject, None, write.head.hash))
        with pytest.raises(AssertionError, match="not a literal subject"):
            await log.append([wild])
        assert wild.head.failed

    async def test_the_same_append_again_answers_as_the_first_time(self, log: Log) -> None:
        subjects = [new_subject(), new_subject()]
        writes = [make_write(Head(subject)) for subject in subjects]
        again = [
            type(write)(Head(write.after.subject), write.messages, Head(write.after.subject, None, write.head.hash))
            for write in writes
        ]
        first = await log.append(writes)
        await log.append([make_write(writes[0].head)])
        assert await log.append(again) == first
        assert [write.head.sequence for write in again] == [write.head.sequence for write in writes]
        assert (await log.health()).messages == 3


class ReadCases:
    """Load, read, follow, find, health."""

    async def test_load_returns_what_is_after_a_position(self, log: Log) -> None:
        write = make_write(Head(new_subject()), b"1", b"2", b"3")
        last = await log.append([write])
        assert [event.body for event in await log.load(write.after.subject, last - 2)] == [b"2", b"3"]
        assert await log.load(write.after.subject, last) == []
        assert await log.load(new_subject()) == []

    async def test_load_returns_more_than_a_page(self, log: Log) -> None:
        subject = new_subject()
        first = make_write(Head(subject), *(b"1" for _ in range(700)))
        await log.append([first, *make_writes(10)])
        await log.append([make_write(first.head, *(b"2" for _ in range(700)))])
        assert [event.body for event in await log.load(subject)] == [b"1"] * 700 + [b"2"] * 700

    async def test_a_position_without_an_event_is_not_found(self, log: Log) -> None:
        assert await log.find(1) is None
        last = await log.append(make_writes(1))
        assert await log.find(last + 1) is None
        assert await log.find(0) is None

    async def test_read_yields_bounded_pages_to_the_end_it_saw_at_the_beginning(self, log: Log) -> None:
        for _ in range(3):
            await log.append(make_writes(800))
        pages: list[list[Recorded]] = []
        async for page in log.read(100):
            if not pages:
                await log.append(make_writes(1))
            pages.append(page)
        assert [event.sequence for page in pages for event in page] == list(range(101, 2_401))
        assert max(len(page) for page in pages) <= 1_000

    async def test_reading_an_empty_log_ends_at_once(self, log: Log) -> None:
        assert await read_all(log) == []
        assert await read_all(log, 10) == []

    async def test_follow_goes_on_with_what_is_appended_later(self, log: Log) -> None:
        await log.append(make_writes(5))
        seen: list[int] = []

        async def follow() -> None:
            async for page in log.read(2, follow=True):
                seen.extend(event.sequence for event in page)
                if seen[-1] >= 1_205:
                    return

        follower = asyncio.create_task(follow())
        for _ in range(6):
            await asyncio.sleep(0.01)
            await log.append(make_writes(200))
        await asyncio.wait_for(follower, PATIENCE_SECONDS)
        assert seen == list(range(3, 1_206))

    async def test_health_tells_the_extent(self, log: Log) -> None:
        assert (await log.health()).messages == 0
        await log.append(make_writes(3))
        health = await log.health()
        assert (health.first_sequence, health.last_sequence, health.messages) == (1, 3, 3)

    async def test_the_hash_chain_is_whole_whatever_ran_at_once(self, log: Log) -> None:
        head = Head(new_subject())
        appends = []
        for _ in range(50):
            write = make_write(head)
            appends.append(log.append([write, *make_writes(1)]))
            head = write.head
        await asyncio.gather(*appends)
        assert verify_chain(await read_all(log)) == 100

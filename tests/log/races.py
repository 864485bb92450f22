"""Two processes decide on the same aggregates at once: whatever happens, the log's invariants hold."""

import asyncio
import copy
import random

import pytest

from marketplace.core.errors import Conflict
from marketplace.embedded.nats import NatsServers
from marketplace.log.answers import Answer
from marketplace.log.codec import verify_chain
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.pending import PendingAppend
from marketplace.log.port import Head, Write
from tests.log.build import make_write, make_writes, new_subject, read_hashes
from tests.log.cases import read_all

ROUNDS = 12
WORKERS = 16
SUBJECTS = 10


class Process:
    """A log and its cache of heads, which may be pending, as the runtime keeps them."""

    def __init__(self, log: JetStreamLog, seed: int) -> None:
        self.log = log
        self.heads: dict[str, Head] = {}
        self.stored: list[tuple[int, list[Write]]] = []
        self.conflicts = 0
        self._random = random.Random(seed)

    async def load(self, subject: str) -> Head:
        events = await self.log.load(subject)
        return Head(subject, events[-1].sequence, events[-1].envelope.hash) if events else Head(subject)

    async def work(self, subjects: list[str]) -> None:
        for _ in range(ROUNDS):
            chosen = self._random.sample(subjects, self._random.randint(1, 3))
            for subject in chosen:
                head = self.heads.get(subject)
                if head is None or head.failed:
                    self.heads[subject] = await self.load(subject)
            bodies = [b"{}"] * self._random.randint(1, 3)
            writes = [make_write(self.heads[subject], *bodies) for subject in chosen]
            self.heads |= {write.head.subject: write.head for write in writes}
            try:
                self.stored.append((await self.log.append(writes), writes))
            except Conflict:
                self.conflicts += 1


class RaceCases:
    """Needs the fixtures `log` and `servers`."""

    async def test_racing_processes_store_each_acknowledged_append_whole_and_once(
        self, log: JetStreamLog, servers: NatsServers
    ) -> None:
        other = await JetStreamLog.open(servers.url, replicas=len(servers.members))
        processes = [Process(log, 1), Process(other, 2)]
        subjects = [new_subject() for _ in range(SUBJECTS)]
        try:
            await asyncio.gather(*(process.work(subjects) for process in processes for _ in range(WORKERS)))
        finally:
            await other.close()
        events = await read_all(log)
        stored = {event.envelope.hash: event for event in events}
        appends = [append for process in processes for append in process.stored]
        acknowledged = [name for _, writes in appends for name in read_hashes(writes)]
        assert sum(process.conflicts for process in processes) > 0
        assert len(events) == len(stored) == len(acknowledged)
        assert stored.keys() == set(acknowledged)
        assert verify_chain(events) == len(events)
        for last, writes in appends:
            sequences = [stored[name].sequence for name in read_hashes(writes)]
            assert sequences == list(range(last - len(sequences) + 1, last + 1))
            for write in writes:
                assert write.head.sequence == stored[write.head.hash].sequence

    async def test_a_dependent_of_what_was_refused_in_a_later_parting_is_not_stored(
        self, log: JetStreamLog, servers: NatsServers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A rival is first on the subject of two that build on one another, right before they are sent again."""
        stale, known, *others = make_writes(8)
        await log.append([make_write(Head(stale.after.subject))])
        await log.append([known])
        first = make_write(known.head)
        second = make_write(first.head)
        rival = await JetStreamLog.open(servers.url, replicas=len(servers.members))
        rivals = [make_write(copy.copy(known.head))]
        send, sent = log._appender._send, []

        async def send_after_rival(group: list[PendingAppend]) -> Answer:
            sent.append(group)
            if len(sent) > 1 and rivals and any(write is first for append in group for write in append.writes):
                await rival.append([rivals.pop()])
            return await send(group)

        monkeypatch.setattr(log._appender, "_send", send_after_rival)
        try:
            answers = await asyncio.gather(
                *(log.append([write]) for write in (stale, first, second, *others)), return_exceptions=True
            )
        finally:
            await rival.close()
        assert [type(answer) for answer in answers] == [Conflict] * 3 + [int] * 6
        assert (first.head.failed, second.head.failed) == (True, True)
        assert len(await log.load(known.after.subject)) == 2
        assert verify_chain(await read_all(log)) == 9

    async def test_a_rival_that_is_always_first_somewhere_does_not_hold_off_the_rest(
        self, log: JetStreamLog, servers: NatsServers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before each round of answers a rival is first on the first subject that is left."""
        created = make_writes(256)
        await asyncio.gather(*(log.append([write]) for write in created))
        heads = [write.head for write in created]
        send, taken, in_flight = log._appender._send, [], set[int]()
        rival = await JetStreamLog.open(servers.url, replicas=len(servers.members))

        async def send_after_rival(group: list[PendingAppend]) -> Answer:
            alone = not in_flight
            in_flight.add(id(group))
            try:
                head = group[0].writes[0].after
                if alone and head not in taken:
                    taken.append(head)
                    await rival.append([make_write(copy.copy(head))])
                return await send(group)
            finally:
                in_flight.discard(id(group))

        monkeypatch.setattr(log._appender, "_send", send_after_rival)
        writes = [make_write(head) for head in heads]
        try:
            answers = await asyncio.gather(*(log.append([write]) for write in writes), return_exceptions=True)
        finally:
            await rival.close()
        lost = [answer for answer in answers if isinstance(answer, Conflict)]
        assert len(lost) == len(taken) <= 16, f"{len(lost)} of {len(writes)} lost, to {len(taken)} that were first"
        assert [head for write, head in zip(writes, heads, strict=True) if write.head.failed] == [
            head for head in heads if head in taken
        ]
        for write, head in zip(writes, heads, strict=True):
            last = (await log.load(head.subject))[-1]
            assert (last.envelope.hash == write.head.hash) is not write.head.failed

"""Group commit: appends queue while one is in flight, and are sent together as one atomic batch.

One worker sends. Events are therefore stored in call order, and a later decision may build on a head that is still
pending. An append is settled once: stored, refused, or given up at its own deadline. Before each attempt, each append
of the group is checked again: one that builds on a failed head is a conflict, also when that head was in another batch.

An append that was sent and not answered is in doubt. Its outcome is found by looking for its events, by chain hash, in
the tails of its subjects. Until then it is never reported as not stored.
"""

import asyncio
import collections
import contextlib
import itertools
import math
import random
import time
import uuid
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from nats.aio.msg import Msg

from marketplace.core.errors import Conflict, Corrupt, MarketplaceError, Refusal, Unavailable
from marketplace.log.answers import Answer, Kind, find_foreign, parse_answer
from marketplace.log.connection import Connection, NoAnswer
from marketplace.log.headers import BatchPlace, render_block, render_publish, render_wire
from marketplace.log.pending import (
    PendingAppend,
    are_independent,
    fail_all,
    follows,
    guard_messages,
    list_chains,
)
from marketplace.log.port import Head, Limits, Recorded, Write
from marketplace.log.reader import Reader
from marketplace.log.writes import check_writes

_HEADER_BYTES_MAX = 4_096
_PARTINGS_MAX = 3
_CHAINS_AT_ONCE_MAX = 16
_GROUP_BYTES_MAX = 4 * 1024 * 1024
_CLOSE_SECONDS_MAX = 1.0
_BACKOFF_SECONDS_MIN = 0.01
_BACKOFF_SECONDS_MAX = 1.0
_LOOKED_UP = frozenset({Kind.REFUSED, Kind.REPEATED})


class Appender:
    """Publishes appends.

    Args:
        connection: The connection to publish on.
        stream: Name of the stream that must acknowledge.
        limits: Bounds of queue, batch, attempts and time.
        reader: Reads the last events of subjects, to find the outcome of appends in doubt.
        plain_max: Up to this many independent single events are published one by one rather than as a batch.
    """

    def __init__(self, connection: Connection, stream: str, limits: Limits, reader: Reader, plain_max: int) -> None:
        self._connection = connection
        self._stream = stream
        self._limits = limits
        self._reader = reader
        self._plain_max = plain_max
        self._queue: collections.deque[PendingAppend] = collections.deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._session = uuid.uuid4().hex
        self._batches = itertools.count(1)
        self._worker = asyncio.get_running_loop().create_task(self._work(), name="log-appender")

    def submit(self, writes: Sequence[Write]) -> asyncio.Future[int]:
        """Queue an append and return a future with its result, as `Log.append` returns or raises it.

        Cancelling the future does not stop the append.

        Raises:
            Refusal: ``append_too_large`` · ``event_too_large``, as `Log.append`.
            Unavailable: The log is being closed, or its queue is full.
        """
        try:
            count = check_writes(writes, self._limits)
            size = self._check_sizes(writes)
            self._check_open()
        except (MarketplaceError, AssertionError):
            for write in writes:
                write.head.fail()
            raise
        append = PendingAppend(tuple(writes), count, size, time.monotonic() + self._limits.append_seconds_max)
        self._queue.append(append)
        self._wake.set()
        return append.answer

    async def close(self) -> None:
        """Store what is queued, for at most a second. Appends without an answer by then fail as `Unavailable`."""
        self._closing = True
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(_CLOSE_SECONDS_MAX, self._limits.append_seconds_max)):
                await asyncio.shield(self._worker)
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)
        while self._queue:
            self._queue.popleft().fail(Unavailable("the log", "it was closed"))

    def _check_sizes(self, writes: Sequence[Write]) -> int:
        """Return the bytes of all bodies. Refuse a body that is larger than the servers accept.

        Raises:
            Refusal: ``event_too_large``.
        """
        bytes_max = self._connection.client.max_payload - _HEADER_BYTES_MAX
        total = 0
        for write in writes:
            for message in write.messages:
                size = len(message.body)
                total += size
                if size > bytes_max:
                    raise Refusal(
                        "event_too_large",
                        f"an event for {write.after.subject} has {size} bytes; the log accepts {bytes_max}",
                        bytes=size,
                        bytes_max=bytes_max,
                    )
        return total

    def _check_open(self) -> None:
        if self._closing:
            raise Unavailable("the log", "it is being closed")
        if len(self._queue) >= self._limits.queue_appends_max:
            raise Unavailable("the log", f"{len(self._queue)} appends wait already")

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                group = self._take_group()
                try:
                    await self._store_chains(self._split(group))
                except asyncio.CancelledError:
                    fail_all(group, Unavailable("the log", "the log was closed before the answer came"))
                    raise
            if self._closing:
                return

    def _take_group(self) -> list[PendingAppend]:
        """Take as many appends as fit in one batch, in a consistent order within each subject."""
        group: list[PendingAppend] = []
        heads: dict[str, Head] = {}
        room = self._limits.batch_messages_max
        room_bytes = _GROUP_BYTES_MAX
        while self._queue and self._queue[0].count <= room and (self._queue[0].size <= room_bytes or not group):
            after = dict(heads)
            if not all(follows(write, after) for write in self._queue[0].writes) and group:
                break
            append = self._queue.popleft()
            heads = after
            room -= append.count
            room_bytes -= append.size
            group.append(append)
        return group

    def _split(self, group: list[PendingAppend]) -> list[list[PendingAppend]]:
        """Return what to send concurrently: a few single events, or everything together."""
        if len(group) <= self._plain_max and are_independent(group):
            return [[append] for append in group]
        return [group]

    async def _store_chains(self, chains: list[list[PendingAppend]], parted: int = 0) -> None:
        """Settle groups that share no subject, at most `_CHAINS_AT_ONCE_MAX` at once: a server bounds open batches."""
        if len(chains) == 1:
            await self._store(chains[0], parted)
            return
        gate = asyncio.Semaphore(_CHAINS_AT_ONCE_MAX)

        async def store(chain: list[PendingAppend]) -> None:
            async with gate:
                await self._store(chain, parted)

        await asyncio.gather(*(store(chain) for chain in chains))

    async def _store(self, group: list[PendingAppend], parted: int = 0) -> None:
        """Settle every append of a group, sent together."""
        try:
            await self._store_together(group, parted)
        except Exception as error:  # noqa: BLE001 - top of the worker: the callers get it, the worker lives on
            fail_all(group, error)

    async def _store_together(self, group: list[PendingAppend], parted: int) -> None:
        """Send what is ready of a group, repeatedly until all of it is settled."""
        left, reason = group, "earlier appends took all of its time"
        for attempt in range(self._limits.attempts_max):
            await self._give_up(left, time.monotonic(), reason)
            left = self._take_ready(left)
            deadline = min((append.deadline for append in left), default=0.0)
            try:
                if left and not self._connection.is_connected:
                    await self._connection.wait_connected(deadline)
                    left = self._take_ready(left)
                if left:
                    reason = await self._try(left, parted)
            except NoAnswer as error:
                reason = str(error).removeprefix("NATS is unavailable: ")
            if all(append.settled for append in left):
                return
            pause = min(_BACKOFF_SECONDS_MIN * 2**attempt, _BACKOFF_SECONDS_MAX) * random.uniform(0.5, 1)  # noqa: S311
            await asyncio.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        await self._give_up(left, math.inf, reason)

    async def _give_up(self, group: list[PendingAppend], now: float, reason: str) -> None:
        """Settle the appends whose deadline has passed. The log decides those that may be stored."""
        late = [append for append in group if not append.settled and append.deadline <= now]
        if self._connection.is_connected:
            await self._look([append for append in late if append.in_doubt])
        for append in late:
            known = "nothing was stored"
            if append.in_doubt:
                known = "it is not known whether it was stored; send the same command again to find out"
            append.fail(Unavailable("NATS", f"no answer to an append in time: {reason}; {known}"))

    def _take_ready(self, group: list[PendingAppend]) -> list[PendingAppend]:
        """Return the unanswered appends that may be sent. Those that may not are failed."""
        made: set[int] = set()
        return [append for append in group if not append.settled and self._is_ready(append, made)]

    @staticmethod
    def _is_ready(append: PendingAppend, made: set[int]) -> bool:
        """Return whether an append may be sent. Fail it if its own head, or one that it builds on, has failed.

        Args:
            append: The append.
            made: Ids of the heads that earlier appends of the group make; this one's are added.
        """
        for write in append.writes:
            if write.after.failed or write.head.failed:
                append.fail(Conflict(write.after.subject))
                return False
            if write.after.sequence is None and id(write.after) not in made:
                append.fail(AssertionError(f"the head before a write to {write.after.subject} was never appended"))
                return False
            made.add(id(write.head))
        return True

    async def _send(self, group: list[PendingAppend]) -> Answer:
        """Publish all messages of the group; as one atomic batch if there are several."""
        messages = guard_messages(group)
        batch = f"{self._session}-{next(self._batches)}" if len(messages) > 1 else None

        def render(reply: str) -> bytes:
            commands = []
            for number, (subject, guard, distance, message) in enumerate(messages, 1):
                last = number == len(messages)
                place = BatchPlace(batch, number, last) if batch else None
                block = render_block(render_publish(subject, message, guard, place, distance))
                if message.headers is None:
                    self._connection.sent.put(subject, block, message)
                commands.append(render_wire(subject, reply if last else "", block, message.body))
            return b"".join(commands)

        def check(answer: Msg) -> str:
            above = max(guard or 0 for _, guard, _, _ in messages)
            return find_foreign(answer.data, above=above, batch=batch, count=len(messages))

        acknowledgement = await self._connection.request_wire(
            messages[0].subject, render, check=check, seconds_max=self._limits.ack_seconds_max
        )
        return parse_answer(acknowledgement.data, self._stream)

    async def _try(self, group: list[PendingAppend], parted: int) -> str:
        """Send a group once, and settle what the answer decides. Return the answer's text.

        Args:
            group: What is ready.
            parted: How many times conflicting appends were taken out of it.

        Raises:
            NoAnswer: The outcome of the whole group is in doubt.
        """
        try:
            answer = await self._send(group)
        except NoAnswer:
            self._doubt(group)
            raise
        match answer.kind:
            case Kind.STORED:
                last = answer.sequence or 0
                for append in reversed(group):
                    last = append.succeed(last)
            case Kind.RETRY:
                self._doubt(group)
            case Kind.REFUSED | Kind.REPEATED | Kind.FATAL if len(group) > 1:
                await self._part(group, parted)
            case _:
                await asyncio.gather(*(self._settle_refused(append, answer) for append in group))
        return answer.text

    @staticmethod
    def _doubt(group: list[PendingAppend]) -> None:
        for append in group:
            append.in_doubt = True

    async def _settle_refused(self, append: PendingAppend, answer: Answer) -> None:
        """Settle an append that this attempt did not store: by the log if an earlier one may have, or by the answer."""
        known = await self._look([append]) if append.in_doubt or answer.kind in _LOOKED_UP else True
        # Its id is taken by another append, so no attempt of this one was or can be stored.
        is_taken = answer.kind is Kind.REPEATED and bool(append.writes[0].messages[0].once)
        match answer.kind:
            case Kind.REFUSED | Kind.REPEATED if known and (not append.in_doubt or is_taken):
                after = append.writes[0].after
                append.fail(Conflict(after.subject, after.sequence, answer.sequence))
            case Kind.NO_ROOM:
                stored = (
                    "it is not known whether an earlier attempt was stored" if append.in_doubt else "nothing was stored"
                )
                append.fail(Unavailable("NATS", f"{answer.text}; {stored}", retry_after_seconds=30))
            case Kind.FATAL:
                append.fail(Corrupt(f"stream {self._stream} does not accept events as it must: {answer.text}"))

    async def _part(self, group: list[PendingAppend], parted: int) -> None:
        """Store a refused group again, so that a conflict fails only its own caller.

        Appends that the tails show to be stale are conflicts; the others are sent again together, with one sync of the
        disk. If the tails show nothing (for example, a replica is behind), or after three rounds, parts without common
        subjects are sent concurrently. A part that is refused again is sent append by append, in order.
        """
        await self._look([append for append in group if append.in_doubt])
        left = [append for append in group if not append.settled]
        ready = self._take_ready(left)
        if len(ready) == len(left):
            stale = await self._find_stale(left) if parted < _PARTINGS_MAX else []
            await self._look(stale)
            ready = self._take_ready(left)
        if len(ready) < len(left):
            await self._store(ready, parted + 1)
            return
        chains = list_chains(left)
        if len(chains) > 1:
            await self._store_chains(chains, parted)
            return
        for append in left:
            await self._store([append], parted + 1)

    async def _find_stale(self, group: list[PendingAppend]) -> list[PendingAppend]:
        """Return the appends whose guards are no longer the last events of their subjects."""
        guards = [
            (write.after.subject, write.after.sequence, append)
            for append in group
            for write in append.writes
            if write.after.sequence is not None
        ]
        lasts = await self._reader.gets.find_lasts(list({subject for subject, _, _ in guards}))
        return [append for subject, sequence, append in guards if lasts.get(subject, 0) > sequence]

    async def _load_tail(self, subject: str, after: int, own: AbstractSet[str]) -> list[Recorded]:
        """Return the events after a guard; only the first if somebody else wrote it, which is a conflict.

        Args:
            subject: The guard's subject.
            after: The guard's sequence.
            own: Hashes of the first events of our writes that may be stored there.
        """
        first = await self._reader.gets.find_from_leader(sequence=after + 1, next_of=subject)
        if first is None:
            return []
        if first.event.damage is None and first.event.envelope.hash not in own:
            return [first.event]
        return await self._reader.load(subject, after)

    async def _look(self, group: list[PendingAppend]) -> bool:
        """Settle appends by what the log holds after their guards. Return whether all of it could be read.

        An append fails as `Corrupt` if its subject is damaged, because its outcome cannot be known.
        """
        guards: dict[str, int] = {}
        own = {write.messages[0].envelope.hash for append in group for write in append.writes}
        for write in (write for append in group for write in append.writes):
            if write.after.sequence is not None:
                guards.setdefault(write.after.subject, write.after.sequence)
        loads = (self._load_tail(subject, after, own) for subject, after in guards.items())
        loaded = dict(zip(guards, await asyncio.gather(*loads, return_exceptions=True), strict=True))
        tails = {subject: tail for subject, tail in loaded.items() if not isinstance(tail, BaseException)}
        errors = {subject: error for subject, error in loaded.items() if isinstance(error, BaseException)}
        for append in group:
            append.settle_by(tails)
            for write in append.writes:
                error = errors.get(write.after.subject)
                if error is not None and not isinstance(error, Unavailable):
                    append.fail(error)
        return not errors

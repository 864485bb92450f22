"""Group commit: appends queue while one is in flight, and go out together as one atomic batch.

One worker sends, so events are stored in call order and a later decision may build on a head that is still pending.
An append is settled once: stored, refused, or given up in time. Whatever is not known is found out by looking for our
own events, which their chain hashes identify, in the tails of their subjects.
"""

import asyncio
import collections
import contextlib
import itertools
import random
import time
import uuid
from collections.abc import Sequence

from marketplace.core.errors import Conflict, Corrupt, MarketplaceError, Refusal, Unavailable
from marketplace.log.answers import Answer, Kind, parse_answer
from marketplace.log.connection import Connection, NoAnswer
from marketplace.log.headers import BatchPlace, render_publish, render_wire
from marketplace.log.pending import PendingAppend, fail_all, follows, retrieve, succeed_if_stored
from marketplace.log.port import Head, Limits, Write
from marketplace.log.reader import Reader
from marketplace.log.writes import check_writes

_HEADER_BYTES_MAX = 4_096
_PARTINGS_MAX = 3
_PARTS = 4
_GROUP_BYTES_MAX = 4 * 1024 * 1024
_BACKOFF_SECONDS_MIN = 0.01
_BACKOFF_SECONDS_MAX = 1.0


class Appender:
    """The one who publishes.

    Args:
        connection: Where to.
        stream: Name of the stream that must acknowledge.
        limits: Bounds of queue, batch, attempts and time.
        reader: Reads the ends of subjects.
        plain_max: Up to how many independent single events are published one by one rather than as a batch;
            measured: 8 on one server, 1 in a cluster.
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

    async def append(self, writes: Sequence[Write]) -> int:
        """See `Log.append`. A caller that is cancelled leaves its append to be stored or refused."""
        try:
            count = check_writes(writes, self._limits)
            size = self._check_sizes(writes)
            self._check_open()
        except (MarketplaceError, AssertionError):
            for write in writes:
                write.head.failed = True
            raise
        append = PendingAppend(tuple(writes), count, size, time.monotonic() + self._limits.append_seconds_max)
        append.answer.add_done_callback(retrieve)
        self._queue.append(append)
        self._wake.set()
        return await asyncio.shield(append.answer)

    async def close(self) -> None:
        """Store what is queued, within the time of one append, and fail the rest."""
        self._closing = True
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.append_seconds_max):
                await asyncio.shield(self._worker)
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)
        while self._queue:
            self._queue.popleft().fail(Unavailable("the log", "it was closed"))

    def _check_sizes(self, writes: Sequence[Write]) -> int:
        """Return the bytes of all bodies; refuse one that is larger than the servers take."""
        bytes_max = self._connection.client.max_payload - _HEADER_BYTES_MAX
        total = 0
        for write in writes:
            for message in write.messages:
                size = len(message.body)
                total += size
                if size > bytes_max:
                    raise Refusal(
                        "event_too_large",
                        f"an event for {write.after.subject} has {size} bytes, the log takes {bytes_max}",
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
                    await self._store(group)
                except asyncio.CancelledError:
                    fail_all(group, Unavailable("the log", "it was closed before the answer came"))
                    raise
                except Exception as error:  # noqa: BLE001 - top of the worker: the callers get it, the worker lives on
                    fail_all(group, error)
            if self._closing:
                return

    def _take_group(self) -> list[PendingAppend]:
        """Take as many appends as fit one batch and agree on the order within each subject."""
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

    async def _store(self, group: list[PendingAppend]) -> None:
        ready = self._take_ready(group)
        if 1 < len(ready) <= self._plain_max and self._are_independent(ready):
            ready = await self._store_plain(ready)
        await self._store_ready(ready, 0)

    @staticmethod
    def _are_independent(group: list[PendingAppend]) -> bool:
        """Tell whether all are single events, of which none needs another's answer."""
        subjects = {append.writes[0].after.subject for append in group if append.count == 1}
        return len(subjects) == len(group)

    def _take_ready(self, group: list[PendingAppend]) -> list[PendingAppend]:
        made: set[int] = set()
        return [append for append in group if self._is_ready(append, made)]

    def _is_ready(self, append: PendingAppend, made: set[int]) -> bool:
        """Fail at once what builds on a failed head, and what has waited too long.

        Args:
            append: The one in question.
            made: Ids of the heads that earlier appends of the group make; this one's are added.
        """
        for write in append.writes:
            if write.after.failed:
                append.fail(Conflict(write.after.subject))
                return False
            if write.after.sequence is None and id(write.after) not in made:
                append.fail(AssertionError(f"the head before a write to {write.after.subject} was never appended"))
                return False
            made.add(id(write.head))
        if time.monotonic() > append.deadline:
            append.fail(Unavailable("NATS", "it was away for as long as an append may wait; nothing was stored"))
            return False
        return True

    async def _store_plain(self, group: list[PendingAppend]) -> list[PendingAppend]:
        """Publish independent single events side by side, and return those that were neither stored nor refused."""
        settled = await asyncio.gather(*(self._try_plain(append) for append in group), return_exceptions=True)
        left = []
        for append, outcome in zip(group, settled, strict=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, NoAnswer):
                append.fail(outcome)
            elif outcome is not True:
                left.append(append)
        return left

    async def _try_plain(self, append: PendingAppend) -> bool:
        """Return whether a single event was stored, or refused since another was first."""
        answer = await self._send([append])
        if answer.kind is Kind.STORED:
            append.succeed(answer.sequence or 0)
        elif answer.kind is Kind.REFUSED:
            await self._settle_refused(append, answer)
        else:
            return False
        return True

    async def _send(self, group: list[PendingAppend]) -> Answer:
        """Publish all messages of the group, as one atomic batch where they are more than one."""
        messages = [
            (write.after.subject, write.after.sequence if number == 0 else None, message)
            for append in group
            for write in append.writes
            for number, message in enumerate(write.messages)
        ]
        batch = f"{self._session}-{next(self._batches)}" if len(messages) > 1 else None

        def render(reply: str) -> bytes:
            commands, places = [], dict[str, int]()
            for number, (subject, guard, message) in enumerate(messages, 1):
                last = number == len(messages)
                place = BatchPlace(batch, number, last) if batch else None
                headers = render_publish(subject, message, guard, place, number - places.get(subject, 0))
                commands.append(render_wire(subject, reply if last else "", message, headers))
                places[subject] = number
            return b"".join(commands)

        acknowledgement = await self._connection.request_wire(
            messages[0][0], render, seconds_max=self._limits.ack_seconds_max
        )
        return parse_answer(acknowledgement.data, self._stream)

    async def _store_together(self, group: list[PendingAppend], parted: int = 0) -> None:
        deadline = min(append.deadline for append in group)
        answer = Answer(Kind.LATER)
        for attempt in range(self._limits.attempts_max):
            try:
                await self._connection.wait_connected(deadline)
                answer = await self._send(group)
                if await self._settle(group, answer, again=attempt > 0, parted=parted):
                    return
            except NoAnswer as error:
                answer = Answer(Kind.LATER, text=str(error))
            pause = min(_BACKOFF_SECONDS_MIN * 2**attempt, _BACKOFF_SECONDS_MAX) * random.uniform(0.5, 1)  # noqa: S311
            if time.monotonic() + pause > deadline:
                break
            await asyncio.sleep(pause)
        await self._give_up(group, answer.text)

    async def _settle(self, group: list[PendingAppend], answer: Answer, *, again: bool, parted: int) -> bool:
        """Return whether the answer settles the group.

        Args:
            group: What was sent.
            answer: What came back.
            again: Whether it was sent before, so that it may be stored although this answer says otherwise.
            parted: How many times conflicting appends were taken out of it.
        """
        match answer.kind:
            case Kind.STORED:
                last = answer.sequence or 0
                for append in reversed(group):
                    last = append.succeed(last)
                return True
            case Kind.REFUSED | Kind.REPEATED | Kind.FATAL if len(group) > 1:
                if not (again and await self._find_stored(group)):
                    await self._store_apart(group, answer, parted)
                return True
            case Kind.REFUSED:
                await self._settle_refused(group[0], answer)
                return True
            case Kind.REPEATED:
                return await self._find_stored(group)
            case Kind.NO_ROOM:
                fail_all(group, Unavailable("NATS", f"nothing was stored: {answer.text}", retry_after_seconds=30))
                return True
            case Kind.FATAL:
                fail_all(group, Corrupt(f"stream {self._stream} does not take events as it must: {answer.text}"))
                return True
            case Kind.LATER:
                return False

    async def _store_apart(self, group: list[PendingAppend], answer: Answer, parted: int) -> None:
        """Store a refused group in order, so that a conflict fails its own caller only.

        What is stale by the tails is a conflict already. The others go again in smaller groups, so that a rival who
        goes on meanwhile parts one of them only; single events that are refused together once more go side by side,
        where no rival is faster. Where the tails tell nothing (a replica that is behind), and in the end, each is tried
        alone.
        """
        stale = await self._find_stale(group) if parted < _PARTINGS_MAX else set[PendingAppend]()
        await asyncio.gather(*(self._settle_refused(append, answer) for append in group if append in stale))
        left = [append for append in group if append not in stale]
        if (parted or not stale) and self._are_independent(left):
            for append in await self._store_plain(left):
                await self._store_ready([append], parted + 1)
            return
        size = -(-len(left) // _PARTS) if stale else 1
        for first in range(0, len(left), size or 1):
            await self._store_ready(left[first : first + size], parted + 1)

    async def _store_ready(self, group: list[PendingAppend], parted: int) -> None:
        ready = self._take_ready(group)
        if ready:
            await self._store_together(ready, parted)

    async def _find_stale(self, group: list[PendingAppend]) -> set[PendingAppend]:
        """Return the appends before which somebody else stored an event, by the ends of their subjects."""
        guards = [
            (write.after.subject, write.after.sequence, append)
            for append in group
            for write in append.writes
            if write.after.sequence is not None
        ]
        lasts = await self._reader.gets.find_lasts(list({subject for subject, _, _ in guards}))
        return {append for subject, sequence, append in guards if lasts.get(subject, 0) > sequence}

    async def _settle_refused(self, append: PendingAppend, answer: Answer) -> None:
        tails = await self._load_tails([append])
        if succeed_if_stored([append], tails):
            return
        guarded = [write.after for write in append.writes if write.after.sequence is not None]
        moved = next((after for after in guarded if tails[after.subject]), guarded[0])
        actual = max(tails[moved.subject].values(), default=answer.sequence)
        append.fail(Conflict(moved.subject, moved.sequence, actual))

    async def _find_stored(self, group: list[PendingAppend]) -> bool:
        """Return whether every event of the group is in the log already; its appends then have succeeded."""
        return succeed_if_stored(group, await self._load_tails(group))

    async def _load_tails(self, group: list[PendingAppend]) -> dict[str, dict[str, int]]:
        """Return, for each subject of the group, the sequences by hash of the events after the first guard."""
        tails: dict[str, dict[str, int]] = {}
        for write in (write for append in group for write in append.writes):
            subject = write.after.subject
            if subject not in tails:
                events = await self._reader.load(subject, write.after.sequence or 0)
                tails[subject] = {event.envelope.hash: event.sequence for event in events}
        return tails

    async def _give_up(self, group: list[PendingAppend], reason: str) -> None:
        """Settle each append by what is in the log, now that no answer came in time."""
        for append in group:
            if append.answer.done():
                continue
            with contextlib.suppress(NoAnswer):
                if self._connection.is_connected and await self._find_stored([append]):
                    continue
            append.fail(Unavailable("NATS", f"no answer to an append in time: {reason}"))

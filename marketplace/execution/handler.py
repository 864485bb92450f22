"""Run commands: load, decide, append. Retry on a conflict; never apply a command twice.

A command has an id, which its events carry. A client's repeat is found among the ids of all commands in the log
(`processed_commands.py`), on any aggregate; a worker's on its aggregate. Both get the same answer as the first time,
after any restart. A decision may depend on another append that is still in flight. It then joins the same group commit,
and its answer waits until both are stored.

Invariants:
    1. A command is answered only after its events, and those it depends on, are durable.
    2. A refusal, or a rejection without events, is confirmed against the end of the log. It never depends on an
       append that failed.
    3. A command id that is reused with other content is refused. So is one that is still running in this process.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from events.command import CommandRecorded, ReadingNotTaken
from events.subjects import parse_subject, render_subject
from marketplace.core.errors import Conflict, Refusal, Unavailable
from marketplace.domain.billing.transfer import conceal_balance
from marketplace.execution.archive import Archive
from marketplace.execution.clock import MarketClock
from marketplace.execution.command_records import CommandRecord
from marketplace.execution.history import Histories
from marketplace.execution.processed_commands import ProcessedCommands
from marketplace.execution.state_cache import AnyDecider, Cache, CachedState
from marketplace.execution.unit_of_work import Context, UnitOfWork
from marketplace.log.events import parse_event
from marketplace.log.port import Head, Log
from marketplace.log.turns import Claim

ATTEMPTS_MAX = 16
"""How often a command is decided before it fails with `Conflict`."""
SETTLE_SECONDS_MAX = 20.0
"""How long a command waits for appends that its decision depends on."""

Work = Callable[[UnitOfWork], Awaitable[None]]


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a command.

    Attributes:
        id: The aggregate that the command was for, or the part of it that it recorded, such as a relation.
        command_id: The command's id.
        sequence: Position in the log at which the effect is complete.
        version: The aggregate's version after the command, for `If-Match`. A repeat returns the original version.
        repeated: Whether the command had already taken effect.
        not_taken: The readings of a report that were not accepted.
    """

    id: str
    command_id: str
    sequence: int
    version: int
    repeated: bool = False
    not_taken: tuple[ReadingNotTaken, ...] = ()


def refuse_reused(command_id: str | None = None) -> Refusal:
    """Return the refusal of a key that named another request before: ``idempotency_key_reused``."""
    text = "this idempotency key was used for another request; use a new key"
    if command_id is None:
        return Refusal("idempotency_key_reused", text)
    return Refusal("idempotency_key_reused", text, command_id=command_id)


class Handler:
    """Runs commands against one log.

    Args:
        log: Where events are stored.
        clock: Market time.
        source: URI reference that events carry as `ce-source`.
        archive: Where long-lived aggregates are stored between processes; None for the log alone.
    """

    def __init__(
        self, log: Log, clock: MarketClock, source: str = "/marketplace", *, archive: Archive | None = None
    ) -> None:
        self.log = log
        self.clock = clock
        self.archive = archive
        self.cache = Cache(log, archive=archive)
        self.histories = Histories(log)
        self._source = source
        self.processed = ProcessedCommands(log, archive)
        self._in_flight: dict[str, dict[str, str]] = {}

    async def run(
        self,
        context: Context,
        decider: AnyDecider,
        id: str,  # noqa: A002
        work: Work,
        *,
        new: bool = False,
    ) -> Receipt:
        """Run the command `work`, whose primary aggregate is `id`, until its events are stored.

        Args:
            context: Who asks, when, and under which command id.
            decider: The decider of the primary aggregate.
            id: The primary aggregate.
            work: The decision to make.
            new: Whether `id` derives from the command id. Only a repeat can then have created the aggregate, so it is
                not read first.

        Raises:
            Refusal: A rule refused the command; or ``idempotency_key_reused``, ``command_in_flight``,
                ``version_stale``.
            Conflict: No attempt succeeded: other writers were first, or what was decided on failed to be stored.
            Unavailable: The log cannot be reached. Events are stored together or not at all; a repeat shows which.
            LookupError: Something that exists names an aggregate that does not.
        """
        claims = self._in_flight.setdefault(context.request_id, {})
        if claims and (context.command_id in claims or set(claims.values()) != {context.fingerprint}):
            raise Refusal(
                "command_in_flight",
                "a request with this idempotency key is still running; wait for its answer or send it again later",
                command_id=context.command_id,
            )
        claims[context.command_id] = context.fingerprint
        try:
            async with self.log.turns.claim() as claim:
                return await self._run(context, decider, id, work, claim, new=new)
        finally:
            del claims[context.command_id]
            if not claims:
                del self._in_flight[context.request_id]

    async def _run(
        self,
        context: Context,
        decider: AnyDecider,
        id: str,  # noqa: A002
        work: Work,
        claim: Claim,
        *,
        new: bool,
    ) -> Receipt:
        confirmed = False
        for _ in range(ATTEMPTS_MAX):
            repeat = await self._find_repeat(context)
            if repeat is not None:
                return repeat
            unit = UnitOfWork(self.cache, context)
            if new:
                unit.assume_new(decider, id)
            primary = await unit.begin(decider, id)
            record = primary.commands.find(context.command_id)
            if record is not None:
                receipt = await self._answer_repeat(context, id, record)
                if receipt is not None:
                    return receipt
                continue
            refusal = await self._decide(unit, primary, work)
            if not confirmed and (refusal is not None or unit.rejected or not unit.changes(primary)):
                confirmed = await self._confirm(unit)
                continue
            if refusal is not None:
                if await self._wait_until_durable(unit.heads()):
                    raise refusal
                continue
            receipt = await self._store(unit, primary, id, claim)
            if receipt is not None:
                return receipt
        raise Conflict(render_subject(decider.aggregate, id))

    async def _decide(self, unit: UnitOfWork, primary: CachedState, work: Work) -> Refusal | None:
        """Run the decision, and return its refusal; None if it was not refused."""
        try:
            unit.stale = await self._find_stale(unit.context, primary.head)
            await work(unit)
            unit.require_version()
        except Refusal as refusal:
            return conceal_balance(refusal, unit.context.party_id, sealed=unit.context.sees_sealed)
        return None

    async def _confirm(self, unit: UnitOfWork) -> bool:
        """Read again what a rejection depends on. False if it depends on an append that failed."""
        if not await self._wait_until_durable(unit.heads()):
            return False
        await unit.refresh()
        return True

    async def _store(self, unit: UnitOfWork, primary: CachedState, id: str, claim: Claim) -> Receipt | None:  # noqa: A002
        """Store the decision, with a command record where needed. None if it must be decided again."""
        if not await self._wait_until_durable(unit.heads(unchanged=True)) or not unit.is_current():
            return None
        if unit.context.recorded and not await unit.record(primary):
            await self.processed.read_on()
            return None
        if not unit.count_events():
            return self._build_receipt(unit, primary, id, primary.head.sequence or 0)
        try:
            sequence = await self.log.append(unit.seal(self._source, primary.head.subject))
        except Conflict:
            unit.roll_back()
            await self.log.turns.ask(claim, unit.list_written())
            if not await unit.refresh(to_end=False) and unit.context.recorded:
                await self.processed.read_on()
            return None
        except asyncio.CancelledError:
            raise  # The append continues without its caller; its heads show the outcome.
        except BaseException:
            unit.roll_back()
            raise
        unit.settle()
        if unit.context.recorded:
            self.processed.put(unit.context.command_id, unit.context.fingerprint, sequence)
        return self._build_receipt(unit, primary, id, sequence)

    def _build_receipt(self, unit: UnitOfWork, primary: CachedState, id: str, sequence: int) -> Receipt:  # noqa: A002
        return Receipt(
            id=unit.answers or id,
            command_id=unit.context.command_id,
            sequence=sequence,
            version=unit.get_version(primary),
            not_taken=unit.not_taken,
        )

    async def check_key(self, context: Context) -> None:
        """Refuse a command if its key already named another one with other content.

        Raises:
            Refusal: ``idempotency_key_reused``.
            Unavailable: The log cannot be reached, and this process has not read it yet.
        """
        record = await self.processed.find(context.request_id)
        if record is not None:
            self._require_same(context, record)

    async def _find_repeat(self, context: Context) -> Receipt | None:
        """Return the answer of a client's command that already took effect on any aggregate; None if it is new.

        Raises:
            Refusal: ``idempotency_key_reused``.
        """
        if not context.recorded:
            return None
        record = await self.processed.find(context.command_id)
        if record is not None:
            self._require_same(context, record)
        elif context.request_id != context.command_id:
            await self.check_key(context)
        return None if record is None else await self._answer_processed(context, record)

    async def _answer_processed(self, context: Context, record: CommandRecord) -> Receipt:
        """Give the original answer, built from the last event of the command."""
        last = await self.processed.find_last(context.command_id, record.head.sequence or 0)
        event = parse_event(last)
        if not isinstance(event, CommandRecorded):
            _, id_ = parse_subject(last.subject)
            return Receipt(
                id=id_,
                command_id=context.command_id,
                sequence=last.sequence,
                version=last.sequence,
                repeated=True,
            )
        return Receipt(
            id=event.aggregate_id,
            command_id=context.command_id,
            sequence=last.sequence,
            version=last.sequence - 1 if event.version is None else event.version,
            repeated=True,
            not_taken=event.not_taken,
        )

    async def _answer_repeat(self, context: Context, id: str, record: CommandRecord) -> Receipt | None:  # noqa: A002
        if not await self._wait_until_durable([record.head]):
            return None
        self._require_same(context, record)
        if context.recorded:
            return await self._answer_processed(context, record)
        assert record.head.sequence is not None, "a settled head has a sequence"
        sequence = record.head.sequence
        return Receipt(id=id, command_id=context.command_id, sequence=sequence, version=sequence, repeated=True)

    def _require_same(self, context: Context, record: CommandRecord) -> None:
        if not record.is_of(context.fingerprint):
            raise refuse_reused(context.command_id)

    async def _find_stale(self, context: Context, head: Head) -> Refusal | None:
        if context.if_match is None:
            return None
        await self._wait_until_durable([head])
        if head.sequence == context.if_match:
            return None
        return Refusal(
            "version_stale",
            f"the version is {head.sequence}, not {context.if_match}; read the resource again and repeat",
            pointer=None,
            version=head.sequence,
        )

    async def _wait_until_durable(self, heads: Iterable[Head]) -> bool:
        """Wait until every head is stored. False if an append failed, which voids every decision that depends on it.

        Raises:
            Unavailable: An append was not answered within `SETTLE_SECONDS_MAX`.
        """
        pending = [head for head in heads if head.sequence is None or head.failed]
        if not pending:
            return True
        try:
            async with asyncio.timeout(SETTLE_SECONDS_MAX):
                for head in pending:
                    if not await head.wait():
                        return False
        except TimeoutError:
            raise Unavailable("NATS", f"an append to {head.subject} was not answered in time") from None
        return True

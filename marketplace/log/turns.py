"""Turns between processes that write to the same aggregates (ADR 19).

Guards keep the log correct but not fair: a process that always has its next append ready when one is stored keeps every
other process from the aggregate. A command that was refused several times therefore asks for its turn. The other
processes then delay new commands on its aggregates until it is served or a short time is over. The oldest command goes
first.

Messages are hints. They go through NATS, are not stored, and affect only timing: if they are lost, late or refused,
guards decide as before.
"""

import asyncio
import contextlib
import math
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Self

import msgspec

REFUSED_BEFORE_ASKING: Final = 4
"""How often a command is refused by a guard before it asks for its turn."""
WAIT_SECONDS_MAX: Final = 0.5
"""The longest time that a command waits for others."""
_ASKED_SECONDS: Final = 0.25
"""How long a request delays others, unless it is repeated."""
_AGAIN_SECONDS: Final = 0.05
_SUBJECTS_MAX: Final = 1_000
_PROCESSES_MAX: Final = 64


class TurnRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The message by which a process asks for a turn, or withdraws that request.

    Attributes:
        process: The process that asks, by a random id.
        subjects: The aggregates' subjects.
        waited_seconds: How long ago the command began for which it asks; None to withdraw the request.
    """

    process: str
    subjects: list[str]
    waited_seconds: float | None


@dataclass(slots=True)
class _Asked:
    since: float
    until: float


async def _tell_nobody(_: bytes) -> None:
    pass


@dataclass(slots=True, eq=False)
class Claim:
    """One command: when it began, how often it was refused, and where it asked for its turn.

    As an asynchronous context manager, it withdraws its requests at the end.
    """

    turns: "Turns"
    since: float
    refused: int = 0
    subjects: set[str] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.subjects:
            await self.turns.end(self)


class Turns:
    """The requests for a turn of this process and of the others.

    Args:
        tell: Sends a message to the other processes.
    """

    def __init__(self, tell: Callable[[bytes], Awaitable[None]] = _tell_nobody) -> None:
        self._tell = tell
        self._process = uuid.uuid4().hex
        self._own: dict[str, set[Claim]] = {}
        self._told: dict[str, float] = {}
        self._asked: dict[str, dict[str, _Asked]] = {}
        self._served: dict[str, asyncio.Event] = {}

    def claim(self) -> Claim:
        """Return a claim to turns for one command, which begins now."""
        return Claim(self, time.monotonic())

    async def ask(self, claim: Claim, subjects: Iterable[str]) -> None:
        """Count a refusal of a command. From the fourth on, ask the other processes for a turn on the subjects."""
        claim.refused += 1
        if claim.refused < REFUSED_BEFORE_ASKING:
            return
        now = time.monotonic()
        claim.subjects.update(subjects)
        for subject in claim.subjects:
            self._own.setdefault(subject, set()).add(claim)
        due = [subject for subject in claim.subjects if self._told.get(subject, -math.inf) + _AGAIN_SECONDS <= now]
        if due:
            self._told |= dict.fromkeys(due, now)
            await self._tell(msgspec.json.encode(TurnRequest(self._process, due, now - claim.since)))

    async def end(self, claim: Claim) -> None:
        """Withdraw the requests of a claim."""
        free = []
        for subject in claim.subjects:
            claims = self._own[subject]
            claims.remove(claim)
            if not claims:
                del self._own[subject], self._told[subject]
                free.append(subject)
        if free:
            await self._tell(msgspec.json.encode(TurnRequest(self._process, free, None)))

    def hear(self, message: bytes) -> str:
        """Handle a message of another process. Return why it is invalid, or an empty text."""
        try:
            request = msgspec.json.decode(message, type=TurnRequest)
        except msgspec.DecodeError as error:
            return f"it is not a request for a turn: {error}"
        if request.process == self._process:
            return ""
        for subject in request.subjects:
            asked = self._asked.setdefault(subject, {})
            asked.pop(request.process, None)
            if request.waited_seconds is not None:
                now = time.monotonic()
                asked[request.process] = _Asked(now - request.waited_seconds, now + _ASKED_SECONDS)
            elif subject in self._served:
                self._served.pop(subject).set()
        return ""

    def find_end(self, subject: str) -> float:
        """Return until when (monotonic) new commands on an aggregate wait for another process; 0 if they do not."""
        asked = self._asked.get(subject)
        if asked is None:
            return 0.0
        now = time.monotonic()
        own = min((claim.since for claim in self._own.get(subject, ())), default=now)
        for process in [process for process, each in asked.items() if each.until <= now]:
            del asked[process]
        if not asked:
            del self._asked[subject]
        return max((each.until for each in asked.values() if each.since < own), default=0.0)

    async def wait(self, subject: str) -> None:
        """Wait while older commands of other processes have their turn on a subject, for at most 0.5 s."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while (end := min(self.find_end(subject), deadline)) > (now := time.monotonic()):
            served = self._served.setdefault(subject, asyncio.Event())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(end - now):
                    await served.wait()

"""The errors that the project raises on purpose.

::

    MarketplaceError
    ├── Refusal       a rule said no: a stable code, a sentence, facts; the caller can act on it
    ├── Conflict      another writer was first; the command is decided again, a bounded number of times
    ├── Unavailable   NATS or PostgreSQL cannot be reached now; a write is stored whole or not at all; try again later
    └── Corrupt       the log or a data folder holds what this release cannot read; the process stops
        ├── LogChanged        the log was rolled back or is another one; every process stops
        └── UnreadableEvent   one stored event is damaged; only what depends on its aggregate waits for an operator

An `AssertionError` is always a mistake in the code. HTTP status codes stand in `marketplace/api/http/problems.py` only.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

Fact = str | int | bool | None | list[str]
_DOLLARS: Final = re.compile(r"(?<![\w.,/+-])(\d+)(?:\.(\d+))?(?= (?:USD|dollars?)\b)")


class MarketplaceError(Exception):
    """Root of every error that this project raises on purpose."""


class Refusal(MarketplaceError):  # noqa: N818 - a refusal is an answer, not a fault
    """A rule said no, and nothing was changed.

    Args:
        code: Stable, in snake case, documented; clients branch on it.
        message: What happened, with which values, and the remedy. Dollars in it get two places, or as many as needed.
        pointer: JSON pointer to the member of the request that is wrong; None if no single member is.
        facts: The values in the message, for machines. `allowed` names the states in which the command is accepted;
            HTTP answers 409 then.

    Attributes:
        others: Refusals of other members of the same request.
        choices: The values that the member may have, where these can be listed.
    """

    others: "tuple[Refusal, ...]" = ()
    choices: tuple[str, ...] = ()

    def __init__(self, code: str, message: str, *, pointer: str | None = None, **facts: Fact) -> None:
        text = _DOLLARS.sub(_write_dollars, message)
        super().__init__(text)
        self.code = code
        self.message = text
        self.pointer = pointer
        self.facts: Mapping[str, Fact] = facts

    def __repr__(self) -> str:
        return f"Refusal({self.code!r}, {self.message!r}, {dict(self.facts)!r})"


def join_refusals(refusals: Sequence[Refusal]) -> Refusal:
    """Return the first of several refusals, with the rest as its `others`."""
    refusals[0].others = tuple(refusals[1:])
    return refusals[0]


def _write_dollars(found: re.Match[str]) -> str:
    return f"{found[1]}.{(found[2] or '').rstrip('0').ljust(2, '0')}"


class Conflict(MarketplaceError):  # noqa: N818
    """Another writer appended to an aggregate first.

    Args:
        subject: The subject whose guard was refused.
        expected: The sequence that the writer believed to be the last.
        actual: The true last sequence, if the server states it.
    """

    def __init__(self, subject: str, expected: int | None = None, actual: int | None = None) -> None:
        found = "" if actual is None else f": its last event is {actual}, not {expected}"
        super().__init__(f"another writer changed {subject} first{found}")
        self.subject = subject
        self.expected = expected
        self.actual = actual


class Unavailable(MarketplaceError):  # noqa: N818
    """Something that the marketplace needs cannot be used now, for example a server that cannot be reached.

    Args:
        what: Its name, for example ``NATS`` or ``PostgreSQL``.
        message: What was tried and what came back.
        retry_after_seconds: After how many seconds the caller should try again.
    """

    def __init__(self, what: str, message: str, retry_after_seconds: int = 1) -> None:
        super().__init__(f"{what} is unavailable: {message}")
        self.what = what
        self.retry_after_seconds = retry_after_seconds


class Corrupt(MarketplaceError):  # noqa: N818
    """Stored data that this release cannot read or that contradicts itself.

    It ends a worker. After an `UnreadableEvent`, the worker goes on and tries the task again later.
    """


class LogChanged(Corrupt):
    """The log is not the one that was seen before.

    Args:
        code: ``log_rolled_back`` or ``log_replaced``.
        message: What was expected, what was found, and the remedy.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class UnreadableEvent(Corrupt):
    """One stored event cannot be read, or is not what was sealed; its aggregate waits for an operator's annotation.

    Args:
        sequence: Position of the event.
        subject: The subject that it is stored on.
        kind: As `Damage.kind` (`log/port.py`).
        reason: The same in words, with the values.
        hash: Chain hash of what is stored, computed from its bytes, whatever hash the message states. An annotation
            must state it.
    """

    def __init__(self, sequence: int, subject: str, kind: str, reason: str, hash: str) -> None:  # noqa: A002
        text = self._describe(sequence, subject, kind, reason, hash)
        super().__init__(text)
        self.sequence = sequence
        self.subject = subject
        self.kind = kind
        self.reason = reason
        self.hash = hash

    @staticmethod
    def _describe(sequence: int, subject: str, kind: str, reason: str, hash: str) -> str:  # noqa: A002
        if kind == "empty":
            return f"position {sequence} of the log is empty: {reason}"
        remedy = f"`marketplace log annotate {sequence} --hash {hash} --reason …` lets every reader pass over it"
        if kind == "type":
            remedy = f"upgrade this process; where no release knows the type, {remedy}"
        return f"event {sequence} on {subject} cannot be read: {reason}; {remedy}"

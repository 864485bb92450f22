"""Get single messages and short runs of them, from a replica if that suffices and otherwise from the leader.

An answer is accepted only if it matches the request: the requested stream, sequence and subject, and in a run each
message right after the previous one. Others are dropped, and the true answer is still awaited.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
from nats.aio.msg import Msg

from marketplace.log.codec import parse_recorded
from marketplace.log.connection import Connection, call_api
from marketplace.log.headers import find_previous, parse_block
from marketplace.log.port import Recorded
from marketplace.log.retry import ask_again
from marketplace.log.stream import read_error, refuse_for_now

_MULTI_SUBJECTS_MAX = 1_000
_MESSAGE_NOT_FOUND = 10037
_NOTHING = "404"
_END = "204"


@dataclass(frozen=True, slots=True)
class Stored:
    """An event, and its writer's statement of the subject's previous sequence: 0 for none, None if not stated."""

    event: Recorded
    previous: int | None


@dataclass(frozen=True, slots=True)
class Gets:
    """Gets from one stream.

    Each is repeated for at most `seconds_max` while no answer comes, for example because a leader is being elected.
    Then it raises `NoAnswer`.
    """

    connection: Connection
    stream: str
    seconds_max: float

    async def find_from_leader(self, *, sequence: int = 0, last_of: str = "", next_of: str = "") -> Stored | None:
        """Return one message as the leader has it; None if there is none.

        Args:
            sequence: Its sequence; with `next_of` the lowest that it may have.
            last_of: The subject whose last message is wanted.
            next_of: The subject whose next message is wanted.

        Raises:
            Unavailable: No answer, or an error of the server.
        """
        request: dict[str, object] = {"seq": sequence} if sequence else {}
        if last_of or next_of:
            request["last_by_subj" if last_of else "next_by_subj"] = last_of or next_of
        stored = _StoredMessage("", 0)

        def check(answer: dict[str, object]) -> str:
            nonlocal stored
            try:
                stored = msgspec.convert(answer.get("message"), _StoredMessage)
            except msgspec.ValidationError as error:
                return f"it holds no message: {error}"
            fits = stored.seq >= sequence if next_of else not sequence or stored.seq == sequence
            if fits and stored.subject == (last_of or next_of or stored.subject):
                return ""
            return f"it holds message {stored.seq} on {stored.subject}; the request was {request}"

        async def ask(seconds_max: float) -> dict[str, object]:
            return await call_api(
                self.connection,
                f"$JS.API.STREAM.MSG.GET.{self.stream}",
                request,
                seconds_max=seconds_max,
                answers="stream_msg_get_response",
                check=check,
            )

        error = read_error(await ask_again(ask, self.seconds_max))
        if error is None:
            _, headers = parse_block(stored.hdrs)
            return _read_stored(stored.seq, stored.subject, headers, stored.data)
        if error[0] == _MESSAGE_NOT_FOUND:
            return None
        raise refuse_for_now(f"stream {self.stream} cannot be read", error)

    async def find(self, sequence: int) -> Stored | None:
        """Return the message at a sequence as some replica has it; None if that replica has none."""
        payload = b'{"seq":%d}' % sequence
        run = _Run(self.stream, lambda _, found: found == sequence)

        async def ask(seconds_max: float) -> Msg:
            return await self.connection.request(self._direct, payload, check=run.check, seconds_max=seconds_max)

        message = await ask_again(ask, self.seconds_max)
        return None if _read_status(message) else _read_direct(message)

    async def load_page(
        self, subject: str, after: int, count: int, *, any_subject: bool = False
    ) -> tuple[list[Recorded], bool]:
        """Return the next messages of a subject as some replica has them, and whether that replica has more.

        Args:
            subject: A literal subject; a pattern with `any_subject`.
            after: The sequence after which they begin.
            count: The most messages.
            any_subject: Whether messages of every subject belong to the answer.
        """
        *found, end = await self._get_many(
            {"seq": after + 1, "next_by_subj": subject, "batch": count},
            lambda name, sequence: sequence > after and (any_subject or name == subject),
        )
        pending = (end.headers or {}).get("Nats-Num-Pending", "0") != "0"
        return [_read_direct(message).event for message in found], pending

    async def find_lasts(self, subjects: Sequence[str]) -> dict[str, int]:
        """Return the last sequence of each subject that has one, as some replica has it."""
        lasts: dict[str, int] = {}
        for first in range(0, len(subjects), _MULTI_SUBJECTS_MAX):
            asked = subjects[first : first + _MULTI_SUBJECTS_MAX]
            *found, _ = await self._get_many({"multi_last": asked}, partial(_is_among, frozenset(asked)))
            for message in found:
                headers = message.headers or {}
                lasts[headers["Nats-Subject"]] = int(headers["Nats-Sequence"])
        return lasts

    @property
    def _direct(self) -> str:
        return f"$JS.API.DIRECT.GET.{self.stream}"

    async def _get_many(self, request: Mapping[str, object], belongs: Callable[[str, int], bool]) -> list[Msg]:
        """Return the answers to a direct get, including the closing status."""
        payload = msgspec.json.encode(request)

        async def ask(seconds_max: float) -> list[Msg]:
            return await self.connection.request_many(
                self._direct,
                payload,
                check=_Run(self.stream, belongs, last=0).check,
                is_last=lambda message: bool(_read_status(message)),
                seconds_max=seconds_max,
            )

        return await ask_again(ask, self.seconds_max)


@dataclass(slots=True)
class _Run:
    """Recognises the answers to one direct get.

    Attributes:
        stream: The stream that they must be from.
        belongs: Returns whether a message of this subject and sequence was requested.
        last: Sequence of the previous message of the run; None if one message was requested.
    """

    stream: str
    belongs: Callable[[str, int], bool]
    last: int | None = None

    def check(self, message: Msg) -> str:
        """Return why a message does not answer the request; empty if it does."""
        headers = message.headers or {}
        status = _read_status(message)
        before = headers.get("Nats-Last-Sequence")
        if self.last is not None and status != _NOTHING and before != str(self.last):
            return f"it follows message {before} of the answer, but the one before it is {self.last}"
        if status:
            return "" if status in {_NOTHING, _END} else f"the server answers with status {status}"
        subject, told, stream = (headers.get(name, "") for name in ("Nats-Subject", "Nats-Sequence", "Nats-Stream"))
        sequence = int(told) if told.isascii() and told.isdigit() else 0
        if stream != self.stream or not subject or not sequence or not self.belongs(subject, sequence):
            return (
                f"it holds message {told or 'without sequence'} on {subject or 'no subject'} of {stream or 'no stream'}"
            )
        if self.last is not None:
            if sequence <= self.last:
                return f"it holds message {sequence} after message {self.last}"
            self.last = sequence
        return ""


class _StoredMessage(msgspec.Struct):
    subject: str
    seq: int
    hdrs: bytes = b""
    data: bytes = b""


def _is_among(subjects: frozenset[str], subject: str, _: int) -> bool:
    return subject in subjects


def _read_direct(message: Msg) -> Stored:
    headers = message.headers or {}
    return _read_stored(int(headers["Nats-Sequence"]), headers["Nats-Subject"], headers, message.data)


def _read_stored(sequence: int, subject: str, headers: Mapping[str, str], body: bytes) -> Stored:
    event = parse_recorded(sequence, subject, headers, body)
    return Stored(event, find_previous(sequence, headers))


def _read_status(message: Msg) -> str:
    """Return the status of a server's answer; empty for a message."""
    return "" if message.data else (message.headers or {}).get("Status", "")

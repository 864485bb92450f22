"""Getting single messages and short runs of them, from a replica where that is enough and from the leader where not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from nats.aio.msg import Msg

from marketplace.core.errors import Unavailable
from marketplace.log.codec import parse_recorded
from marketplace.log.connection import Connection, call_api
from marketplace.log.headers import find_previous, parse_block
from marketplace.log.patience import ask_again
from marketplace.log.port import Recorded
from marketplace.log.stream import read_error

_MULTI_SUBJECTS_MAX = 1_000
_MESSAGE_NOT_FOUND = 10037


@dataclass(frozen=True, slots=True)
class Stored:
    """An event, and the sequence of its subject's previous one as its writer knew it: 0 for none, None if untold."""

    event: Recorded
    previous: int | None


@dataclass(frozen=True, slots=True)
class Gets:
    """Gets from one stream; each is asked again while a leader is in election, for `seconds_max` at most."""

    connection: Connection
    stream: str
    seconds_max: float

    async def find_from_leader(self, request: Mapping[str, object]) -> Stored | None:
        """Return the message that a request describes (`seq`, `last_by_subj`, `next_by_subj`), as the leader has it.

        Raises:
            Unavailable: No answer.
        """

        async def ask(seconds_max: float) -> dict[str, object]:
            return await call_api(
                self.connection, f"$JS.API.STREAM.MSG.GET.{self.stream}", request, seconds_max=seconds_max
            )

        answer = await ask_again(ask, self.seconds_max)
        error = read_error(answer)
        if error is None:
            return _parse_stored(answer)
        if error[0] == _MESSAGE_NOT_FOUND:
            return None
        raise Unavailable("NATS", f"stream {self.stream} cannot be read: {error[1]} (error {error[0]})")

    async def find(self, sequence: int) -> Stored | None:
        """Return the message at a sequence as some replica has it."""
        payload = b'{"seq":%d}' % sequence

        async def ask(seconds_max: float) -> Msg:
            return await self.connection.request(self._direct, payload, seconds_max=seconds_max)

        message = await ask_again(ask, self.seconds_max)
        return None if _is_status(message) else _parse_direct(message)

    async def load_page(self, subject: str, after: int, count: int) -> tuple[list[Recorded], bool]:
        """Return the next events of a subject, which may have wildcards, and whether a replica has more."""
        *found, end = await self._get_many({"seq": after + 1, "next_by_subj": subject, "batch": count})
        pending = int((end.headers or {}).get("Nats-Num-Pending", "0"))
        return [_parse_direct(message).event for message in found], pending > 0

    async def find_lasts(self, subjects: Sequence[str]) -> dict[str, int]:
        """Return the last sequence of each subject that has one, as some replica has it."""
        lasts: dict[str, int] = {}
        for first in range(0, len(subjects), _MULTI_SUBJECTS_MAX):
            *found, _ = await self._get_many({"multi_last": subjects[first : first + _MULTI_SUBJECTS_MAX]})
            for message in found:
                headers = message.headers or {}
                lasts[headers["Nats-Subject"]] = int(headers["Nats-Sequence"])
        return lasts

    @property
    def _direct(self) -> str:
        return f"$JS.API.DIRECT.GET.{self.stream}"

    async def _get_many(self, request: Mapping[str, object]) -> list[Msg]:
        """Return the answers to a direct get, the closing status included."""
        payload = msgspec.json.encode(request)

        async def ask(seconds_max: float) -> list[Msg]:
            return await self.connection.request_many(
                self._direct, payload, is_last=_is_status, seconds_max=seconds_max
            )

        return await ask_again(ask, self.seconds_max)


class _StoredMessage(msgspec.Struct):
    subject: str
    seq: int
    hdrs: bytes = b""
    data: bytes = b""


def _parse_direct(message: Msg) -> Stored:
    headers = message.headers or {}
    sequence = int(headers["Nats-Sequence"])
    event = parse_recorded(sequence, headers["Nats-Subject"], headers, message.data)
    return Stored(event, find_previous(sequence, headers))


def _parse_stored(answer: Mapping[str, object]) -> Stored:
    stored = msgspec.convert(answer["message"], _StoredMessage)
    _, headers = parse_block(stored.hdrs)
    return Stored(parse_recorded(stored.seq, stored.subject, headers, stored.data), find_previous(stored.seq, headers))


def _is_status(message: Msg) -> bool:
    return not message.data and "Status" in (message.headers or {})

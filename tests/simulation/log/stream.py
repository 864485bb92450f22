"""A model of the answers of JetStream 2.15 to publishes and gets, for one server and for a cluster of three.

Read in nats-server's `processJetStreamMsg`, `processClusteredInboundMsg`, `processJetStreamAtomicBatchMsg` and
`checkMsgHeadersPreClusteredProposal`, and compared with both by `test_model.py`.

- One server looks at the guard first and then at the id; a cluster looks at the id first.
- In a cluster a message is proposed, and stored once a majority has it. Until then a guard on its subject is answered
  with 10164 and its id with 10158.
- A batch is kept by the leader until its commit, and checked message by message: id, then guard. A subject that the
  batch wrote already cannot be guarded any more.
- An id is remembered for a time, whatever subject it was stored on. Header names are case-sensitive.
"""

from collections import Counter, deque
from dataclasses import dataclass, field

BATCH_MESSAGES_MAX = 1_000
BATCHES_MAX = 50
GUARD, GUARDED = "Nats-Expected-Last-Subject-Sequence", "Nats-Expected-Last-Subject-Sequence-Subject"
ID = "Nats-Msg-Id"
BATCH, NUMBER, COMMIT = "Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"
TEXTS = {
    10071: "wrong last sequence: {}",
    10158: "duplicate message id is in process",
    10164: "wrong last sequence",
    10175: "atomic publish sequence is missing",
    10176: "atomic publish batch is incomplete",
    10199: "atomic publish batch is too large: {}",
    10201: "atomic publish batch contains duplicate message id",
    10210: "atomic publish too many inflight",
}


@dataclass(slots=True, eq=False)
class Wire:
    """A message as it arrives."""

    subject: str
    block: bytes
    headers: dict
    body: bytes


@dataclass(slots=True, eq=False)
class Stored:
    """A message as it is kept; `batch` tells those of one batch."""

    sequence: int
    wire: Wire
    batch: str = ""
    parsed: object = None

    @property
    def subject(self):
        return self.wire.subject


@dataclass(slots=True, eq=False)
class Proposal:
    """Messages that the leader wants stored, and what takes the answer."""

    wires: list
    batch: str
    answer: object
    subjects: list = field(default_factory=list)


class RefusedError(Exception):
    """An error answer."""

    def __init__(self, code, value=""):
        super().__init__(code)
        self.answer = {"error": {"err_code": code, "description": TEXTS[code].format(value)}}


class StreamModel:
    """One stream.

    Attributes:
        stored: Every message, in order.
        proposed: In a cluster, what waits for a majority.
        clock: Tells the time, for the duplicate window.
    """

    def __init__(self, name, *, clustered, clock, window_seconds=120.0):
        self.name = name
        self.clustered = clustered
        self.stored = []
        self.subjects = {}
        self.proposed = deque()
        self.clock = clock
        self._window_seconds = window_seconds
        self._ids = {}
        self._subjects_in_process = Counter()
        self._ids_in_process = set()
        self._batches = {}

    def last(self, subject):
        tail = self.subjects.get(subject)
        return tail[-1] if tail else 0

    def publish(self, wire, answer):
        """Take a message; `answer` gets the answer as a dict, at once or when it is stored."""
        try:
            if BATCH in wire.headers:
                self._take_into_batch(wire, answer)
            else:
                self._take(wire, answer)
        except RefusedError as refused:
            answer({**refused.answer, "stream": self.name, "seq": 0})

    def _take(self, wire, answer):
        seen = self._find_id(wire)
        if not self.clustered:
            self._check_guard(wire, ())
        if seen:
            answer({"stream": self.name, "seq": seen, "duplicate": True})
            return
        if self.clustered:
            if ID in wire.headers and wire.headers[ID] in self._ids_in_process:
                raise RefusedError(10158)
            self._check_guard(wire, ())
        self._propose(Proposal([wire], "", answer))

    def _find_id(self, wire):
        name = wire.headers.get(ID)
        sequence, at = self._ids.get(name, (0, 0.0)) if name else (0, 0.0)
        return sequence if self.clock() - at <= self._window_seconds else 0

    def _check_guard(self, wire, written):
        guard = wire.headers.get(GUARD)
        if guard is None:
            return
        subject = wire.headers.get(GUARDED, wire.subject)
        if subject in written or self._subjects_in_process.get(subject):
            raise RefusedError(10164)
        last = self.last(subject)
        if last != int(guard):
            raise RefusedError(10071, last)

    def _take_into_batch(self, wire, answer):
        name = wire.headers[BATCH]
        if NUMBER not in wire.headers:
            raise RefusedError(10175)
        number = int(wire.headers[NUMBER])
        staged = self._batches.get(name)
        if staged is None:
            if number > BATCH_MESSAGES_MAX:
                raise RefusedError(10199, BATCH_MESSAGES_MAX)
            if number != 1:
                raise RefusedError(10176)
            if len(self._batches) >= BATCHES_MAX:
                raise RefusedError(10210)
            staged = self._batches[name] = []
        staged.append(wire)
        if len(staged) != number or number > BATCH_MESSAGES_MAX:
            del self._batches[name]
            raise RefusedError(10176) if len(staged) != number else RefusedError(10199, BATCH_MESSAGES_MAX)
        if COMMIT in wire.headers:
            del self._batches[name]
            self._check_batch(staged)
            self._propose(Proposal(staged, name, answer))

    def _check_batch(self, wires):
        written, names = set(), set()
        for wire in wires:
            name = wire.headers.get(ID)
            if name is not None and (name in names or self._find_id(wire)):
                raise RefusedError(10201)
            if name is not None and name in self._ids_in_process:
                raise RefusedError(10158)
            names.add(name)
            self._check_guard(wire, written)
            written.add(wire.subject)

    def _propose(self, proposal):
        if not self.clustered:
            self._store(proposal)
            return
        self.proposed.append(proposal)
        for wire in proposal.wires:
            self._subjects_in_process[wire.subject] += 1
            self._ids_in_process.add(wire.headers.get(ID))

    def commit(self):
        """Store what was proposed first, and answer."""
        self._store(self._withdraw())

    def _withdraw(self):
        proposal = self.proposed.popleft()
        for wire in proposal.wires:
            self._subjects_in_process[wire.subject] -= 1
            self._ids_in_process.discard(wire.headers.get(ID))
        return proposal

    def _store(self, proposal, *, answered=True):
        now = self.clock()
        for wire in proposal.wires:
            sequence = len(self.stored) + 1
            self.stored.append(Stored(sequence, wire, proposal.batch))
            self.subjects.setdefault(wire.subject, []).append(sequence)
            name = wire.headers.get(ID)
            if name:
                self._ids[name] = (sequence, now)
        if answered:
            answer = {"stream": self.name, "seq": len(self.stored)}
            if proposal.batch:
                answer |= {"batch": proposal.batch, "count": len(proposal.wires)}
            proposal.answer(answer)

    def change_leader(self, kept):
        """Let another server lead, which has the first `kept` of what was proposed; open batches are gone."""
        for _ in range(min(kept, len(self.proposed))):
            self._store(self._withdraw(), answered=False)
        while self.proposed:
            self._withdraw()
        self._batches.clear()


def parse_commands(data):
    """Return the messages in commands of the NATS protocol, and the subject to answer the last one to."""
    wires, reply, place = [], "", 0
    while place < len(data):
        end = data.index(b"\r\n", place)
        verb, subject, *more = data[place:end].decode().split(" ")
        assert verb == "HPUB", f"not a publish: {verb}"
        head, size = int(more[-2]), int(more[-1])
        reply = more[0] if len(more) == 3 and more[0] else ""
        start = end + 2
        block, body = data[start : start + head], data[start + head : start + size]
        lines = block.decode().split("\r\n")
        wires.append(Wire(subject, block, dict(line.split(": ", 1) for line in lines[1:] if line), body))
        place = start + size + 2
    return wires, reply

"""Reads the raw stream of the model after a run, with code of its own, and says what is wrong with it.

Nothing here is imported from `marketplace`: the hash, the guards and the money are computed from what is stored.
"""

import hashlib
import json
from bisect import bisect_right
from collections import Counter, defaultdict
from decimal import Decimal

GUARD, BATCH, DISTANCE = "Nats-Expected-Last-Subject-Sequence", "Nats-Batch-Id", "Marketplace-Previous-Distance"
SIGNS = {"account.deposited.v1": 1, "account.withdrawn.v1": -1, "account.hold_placed.v1": -1}
SIGNS |= {"account.hold_released.v1": 1}


class BrokenInvariantError(AssertionError):
    """An invariant of the log does not hold."""


def demand(condition, text):
    if not condition:
        raise BrokenInvariantError(text)


def compute_hash(subject, headers, body):
    written = {"content-type", "traceparent"}
    kept = sorted(
        [name, value]
        for name, value in headers.items()
        if (name in written or name.startswith("ce-")) and name != "ce-hash"
    )
    line = json.dumps([subject, kept], separators=(",", ":"), ensure_ascii=False).encode()
    return hashlib.sha256(line + b"\n" + body).hexdigest()


class Checker:
    """What the stream holds.

    Attributes:
        by_hash: Sequence of each event.
        by_command: Sequences of the events of each command.
    """

    def __init__(self, stored, begin):
        self.stored = stored
        self.by_hash = {}
        self.by_command = defaultdict(list)
        self.available = defaultdict(lambda: [(0, Decimal(0))])
        self.held = defaultdict(Decimal)
        self.lasts = {}
        self._ids = {}
        for message in stored:
            self._take(message, checked=message.sequence > begin)

    def _take(self, message, *, checked):
        headers, subject = message.wire.headers, message.wire.subject
        where = f"message {message.sequence} on {subject}"
        before, before_hash, before_batch = self.lasts.get(subject, (0, "", None))
        if checked:
            guard, batch = headers.get(GUARD), headers.get(BATCH, "")
            if guard is None:
                demand(batch and batch == before_batch, f"{where} is stored without a guard")
                demand(headers[DISTANCE] == str(message.sequence - before), f"{where} tells another place before it")
            else:
                demand(int(guard) == before, f"{where} is guarded by {guard}, but follows {before}")
            demand(headers["ce-hash"] == compute_hash(subject, headers, message.wire.body), f"{where}: wrong hash")
        demand(headers.get("ce-previoushash", "") == before_hash, f"{where}: the chain is broken")
        demand(
            headers["ce-id"] not in self._ids, f"{where} stores the event of {self._ids.get(headers['ce-id'])} again"
        )
        self._ids[headers["ce-id"]] = message.sequence
        self.lasts[subject] = message.sequence, headers["ce-hash"], headers.get(BATCH)
        self.by_hash[headers["ce-hash"]] = message.sequence
        self.by_command[headers["ce-causationid"]].append(message.sequence)
        self._post(subject, message, where)

    def _post(self, subject, message, where):
        kind, body = message.wire.headers["ce-type"].removeprefix("marketplace."), json.loads(message.wire.body)
        if kind not in SIGNS:
            return
        amount = SIGNS[kind] * Decimal(body["amount_usd"])
        total = self.available[subject][-1][1] + amount
        demand(total >= 0, f"{where}: {total} is available")
        self.available[subject].append((message.sequence, total))
        if "hold" in kind:
            self.held[subject] -= amount

    def check_appends(self, appends):
        """Check what the log answered to each append.

        A decision that is made again may have the very same events; of those only what was acknowledged is checked.
        """
        count = Counter(
            message.envelope.hash for writes, _ in appends for write in writes for message in write.messages
        )
        for writes, answer in appends:
            hashes = [message.envelope.hash for write in writes for message in write.messages]
            found = [self.by_hash.get(name) for name in hashes]
            if isinstance(answer, int):
                demand(None not in found, f"an append was acknowledged at {answer} and is not stored")
                demand(
                    found == list(range(answer - len(found) + 1, answer + 1)), f"{found} was acknowledged at {answer}"
                )
                for write in writes:
                    place = self.by_hash[write.messages[-1].envelope.hash]
                    demand(write.head.sequence == place, f"a head says {write.head.sequence}, its event is at {place}")
                continue
            demand(not isinstance(answer, AssertionError), f"our mistake: {answer}")
            alone = all(count[name] == 1 for name in hashes)
            demand(not alone or found.count(None) in {0, len(found)}, f"an append is stored in part: {found}")
            untrue = alone and None not in found and "nothing was stored" in str(answer)
            demand(not untrue, f"{answer}; but it is stored at {found}")
            refused = alone and None not in found and getattr(answer, "expected", None) is not None
            demand(not refused, f"{answer}; but it is stored at {found}")
            for write in writes:
                demand(write.head.failed or answer is None, "an append failed and its head did not")

    def check_command(self, command, answer, began, ended):
        """Check what a caller was told: a position, or that money was short."""
        sequences = self.by_command.get(command.id, [])
        kind, value = answer
        if kind == "stored":
            demand(sequences, f"{command} was answered with {value}, and nothing is stored")
            last = sequences[-1]
            demand(value == last, f"{command} was answered with {value}, and its last event is at {last}")
        if sequences:
            whole = sequences == list(range(sequences[0], sequences[-1] + 1))
            moves = [each for each in sequences if self.stored[each - 1].subject.startswith("marketplace.account.")]
            demand(whole and len(moves) == command.events, f"{command}: {sequences}")
        if kind == "short":
            demand(not sequences or sequences[0] > began, f"{command} was refused, and was stored at {sequences}")
            points = self.available[command.pays]
            first = bisect_right(points, (began, Decimal("Infinity"))) - 1
            seen = [total for sequence, total in points[first:] if sequence <= ended or sequence == points[first][0]]
            demand(
                min(seen) < command.needs, f"{command} was refused for want of {command.needs}, but there was {seen}"
            )

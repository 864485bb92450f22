"""Which commands an aggregate has seen, so that a repeat is found for ever; the older ones in some 30 bytes each."""

from dataclasses import dataclass
from typing import Final

from marketplace.core.packed import Packed, digest
from marketplace.log.port import Head

RECENT_MAX: Final = 1_024
FINGERPRINT_BYTES: Final = 8
SEQUENCE_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """What a command left on an aggregate: its fingerprint or a digest of it, and the head that its last event made."""

    fingerprint: str | bytes
    head: Head

    def is_of(self, fingerprint: str) -> bool:
        """Tell whether a command with this fingerprint left it."""
        if isinstance(self.fingerprint, str):
            return self.fingerprint == fingerprint
        return self.fingerprint == digest(fingerprint, FINGERPRINT_BYTES)


class CommandRecords:
    """The traces of one aggregate; those of appends in flight are in it too.

    Attributes:
        kept: How many there were when the aggregate was last put into the archive.
    """

    __slots__ = ("_packed", "_recent", "_recent_max", "kept")

    def __init__(self, packed: Packed | None = None) -> None:
        self._packed = packed or Packed(FINGERPRINT_BYTES + SEQUENCE_BYTES)
        self._recent: dict[str, CommandRecord] = {}
        self._recent_max = RECENT_MAX
        self.kept = self._packed.count

    def __len__(self) -> int:
        return len(self._recent) + self._packed.count

    def find(self, command_id: str) -> CommandRecord | None:
        """Return the trace of a command, None where it left none or its append failed."""
        recent = self._recent.get(command_id)
        if recent is not None and recent.head.failed:
            del self._recent[command_id]
            recent = None
        if recent is not None or not self._packed.count:
            return recent
        row = self._packed.find(digest(command_id))
        if row is None:
            return None
        return CommandRecord(row[:FINGERPRINT_BYTES], Head("", int.from_bytes(row[FINGERPRINT_BYTES:])))

    def put(self, command_id: str, trace: CommandRecord) -> None:
        """Keep the trace of a command, in place of the one that it left before."""
        self._recent[command_id] = trace
        if len(self._recent) > self._recent_max:
            self.pack()
            self._recent_max = len(self._recent) + RECENT_MAX

    def drop(self, command_id: str, head: Head) -> None:
        """Forget what a command left where that made this head."""
        trace = self._recent.get(command_id)
        if trace is not None and trace.head is head:
            del self._recent[command_id]

    def pack(self) -> Packed:
        """Make the traces of stored events small, and return all that are."""
        stored = {key: trace for key, trace in self._recent.items() if trace.head.sequence is not None}
        rows = {digest(key): _render(trace) for key, trace in stored.items()}
        for key in stored:
            del self._recent[key]
        self._packed = self._packed.update(rows)
        return self._packed


def _render(trace: CommandRecord) -> bytes:
    known = trace.fingerprint
    fingerprint = digest(known, FINGERPRINT_BYTES) if isinstance(known, str) else known
    return fingerprint + (trace.head.sequence or 0).to_bytes(SEQUENCE_BYTES)

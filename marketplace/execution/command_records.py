"""Records of the commands that an aggregate has processed. They detect a repeat at any later time.

Older records are packed into 26 bytes each.
"""

from typing import Final, NamedTuple

from marketplace.core.packed import Packed, digest
from marketplace.log.port import Head

RECENT_MAX: Final = 1_024
"""After this many further records, those of stored events are packed."""
FINGERPRINT_BYTES: Final = 8
SEQUENCE_BYTES: Final = 8
"""A packed record has a digest of the command id, one of the fingerprint, and the sequence of its last event."""
_NONE: Final = Packed(FINGERPRINT_BYTES + SEQUENCE_BYTES)


class CommandRecord(NamedTuple):
    """The record of one command on an aggregate.

    Attributes:
        fingerprint: Hash of the command's content, as the event has it; only a digest of it in a packed record.
        head: The aggregate's head after the command's last event; without subject and hash in a packed record.
    """

    fingerprint: str | bytes
    head: Head

    def is_of(self, fingerprint: str) -> bool:
        """Return whether the record belongs to a command with this fingerprint."""
        if isinstance(self.fingerprint, str):
            return self.fingerprint == fingerprint
        return self.fingerprint == digest(fingerprint, FINGERPRINT_BYTES)


class CommandRecords:
    """The command records of one aggregate, including those of appends in flight.

    Args:
        packed: The records of a snapshot; None for an aggregate without one.

    Attributes:
        kept: How many records the last snapshot had.
    """

    __slots__ = ("_packed", "_recent", "_recent_max", "kept")

    def __init__(self, packed: Packed | None = None) -> None:
        self._packed = _NONE if packed is None else packed
        self._recent: dict[str, CommandRecord] = {}
        self._recent_max = RECENT_MAX
        self.kept = self._packed.count

    def __len__(self) -> int:
        return len(self._recent) + self._packed.count

    def find(self, command_id: str) -> CommandRecord | None:
        """Return the record of a command; None where it left none or its append failed."""
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

    def is_recent(self, command_id: str, sequence: int) -> bool:
        """Return whether a record that is not packed yet names this event of its command, or a later one."""
        recent = self._recent.get(command_id)
        return recent is not None and (recent.head.sequence or 0) >= sequence

    def put(self, command_id: str, record: CommandRecord) -> None:
        """Store the record of a command, and replace its earlier one."""
        self._recent[command_id] = record
        if len(self._recent) > self._recent_max:
            self.pack()
            self._recent_max = len(self._recent) + RECENT_MAX

    def drop(self, command_id: str, head: Head) -> None:
        """Remove the record of a command if it was made with this head."""
        record = self._recent.get(command_id)
        if record is not None and record.head is head:
            del self._recent[command_id]

    def pack(self) -> Packed:
        """Pack the records of stored events, and return all packed records."""
        stored = {key: record for key, record in self._recent.items() if record.head.sequence is not None}
        rows = {digest(key): _render(record) for key, record in stored.items()}
        for key in stored:
            del self._recent[key]
        self._packed = self._packed.update(rows)
        return self._packed


def _render(record: CommandRecord) -> bytes:
    known = record.fingerprint
    fingerprint = digest(known, FINGERPRINT_BYTES) if isinstance(known, str) else known
    return fingerprint + (record.head.sequence or 0).to_bytes(SEQUENCE_BYTES)

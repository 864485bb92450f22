"""The state of usage: a few bytes for each reading, and the GPUs that count at every second.

A record lives as long as its grant and may have ten million readings. It keeps only what decides about the next
reading: that an id is used, and a digest of its content (ADR 5). `usage.py` decides what is added.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from immutables import Map

from events.usage import Evidence, Reading
from marketplace.core.intervals import Load
from marketplace.core.packed import Packed, digest
from marketplace.core.timeline import EMPTY, Tally, Timeline

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
CONTENT_BYTES: Final = 6
VOIDED: Final = bytes(CONTENT_BYTES)
"""Replaces the digest of a reading that was voided."""
PARTS_BYTES: Final = 8
SPREAD_VOIDED: Final = bytes(CONTENT_BYTES + PARTS_BYTES)
HOME_BYTES: Final = 4
DEVICE_SECONDS: Final = 1 << 21
"""Seconds per block. A GPU is mostly metered without a gap, so that some 24 days of it are one run."""


class Limits(NamedTuple):
    """The limits last copied from the grant: when it ends, and what was resold."""

    end: datetime
    resold: tuple[Load, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage of one grant. A source's record has only `homes` and `grants`, a tenant's only `spreads`.

    Attributes:
        readings: A digest of each reading's content, by source and id; `VOIDED` for a voided one.
        timeline: GPUs that count, by second.
        devices: The same for each named GPU, in blocks of `DEVICE_SECONDS`.
        homes: The grant for which each id of the source was used, as an index into `grants`.
        grants: The grants for which the source used ids.
        closed: Whether the grant is fully settled.
        looked: The time of each source's last sample of each device.
        spreads: Digests of each reading of a tenant and its allocation, by source and id.
        limits: The limits since the grant changed; None while it is as issued.
    """

    readings: Packed = field(default_factory=lambda: Packed(CONTENT_BYTES))
    timeline: Timeline = EMPTY
    devices: Map[str, Timeline] = field(default_factory=Map)
    homes: Packed = field(default_factory=lambda: Packed(HOME_BYTES))
    grants: tuple[str, ...] = ()
    closed: bool = False
    looked: Map[str, datetime] = field(default_factory=Map)
    spreads: Packed = field(default_factory=lambda: Packed(CONTENT_BYTES + PARTS_BYTES))
    limits: Limits | None = None

    def find_content(self, source: str, reading_id: str) -> bytes | None:
        """Return the digest of a reading's content; None if there is no such reading."""
        return self.readings.find(digest_key(source, reading_id))

    def find_homes(self, reading_ids: Sequence[str]) -> dict[str, str]:
        """Return, for those of the ids that the source has used, the grants that they named."""
        numbers = self.homes.find_all([digest(reading_id) for reading_id in reading_ids])
        found = zip(reading_ids, numbers, strict=True)
        return {name: self.grants[int.from_bytes(number)] for name, number in found if number is not None}


UsageState = Usage


class Said(NamedTuple):
    """The content of a reading besides its id."""

    start: datetime
    end: datetime
    nodes: int
    gpus: int | None
    devices: tuple[str, ...]
    evidence: Evidence | None


class Count:
    """The counted GPUs of a record, while readings are added and removed."""

    def __init__(self, state: Usage) -> None:
        self._state = state
        self._total = Tally(state.timeline)
        self._devices: dict[str, Tally] = {}

    def find_peak(self, start: datetime, end: datetime) -> tuple[int, datetime]:
        """Return the most GPUs that count at any instant of a span, and the first such instant."""
        peak, where = self._total.find_peak(to_second(start), to_second(end))
        return peak, EPOCH + where * SECOND

    def find_device(self, devices: tuple[str, ...], start: datetime, end: datetime) -> str | None:
        """Return a device that is already counted at some instant of a span, or None."""
        span = to_second(start), to_second(end)
        return next((device for device in devices if self._get_device(device).find_peak(*span)[0]), None)

    def add(self, reading: Reading, sign: int = 1) -> None:
        """Add the GPUs of a reading; with a sign of -1, remove them."""
        start, end = to_second(reading.start), to_second(reading.end)
        self._total.add(start, end, sign * (reading.gpu_seconds // (end - start)))
        for device in reading.devices:
            self._get_device(device).add(start, end, sign)

    def _get_device(self, device: str) -> Tally:
        tally = self._devices.get(device)
        if tally is None:
            tally = self._devices[device] = Tally(self._state.devices.get(device, EMPTY), DEVICE_SECONDS)
        return tally

    def seal(self, readings: Mapping[bytes, bytes]) -> Usage:
        """Return the state with these readings (content by key) and the present counts."""
        devices = self._state.devices
        if self._devices:
            mutation = devices.mutate()
            for device, tally in self._devices.items():
                mutation[device] = tally.seal()
                if not mutation[device]:
                    del mutation[device]
            devices = mutation.finish()
        kept = self._state.readings.update(readings)
        return replace(self._state, readings=kept, timeline=self._total.seal(), devices=devices)


def to_second(at: datetime) -> int:
    """Return the whole seconds since 1970."""
    return (at - EPOCH) // SECOND


def digest_key(source: str, reading_id: str) -> bytes:
    """Return the key of a reading in the state."""
    return digest(f"{source}\n{reading_id}")


def digest_reading(reading: Reading) -> bytes:
    """Return the digest of a reading's content."""
    said = Said(reading.start, reading.end, reading.nodes, reading.gpus, reading.devices, reading.evidence)
    return digest_content(said)


def digest_content(said: Said) -> bytes:
    """Return the digest of content. It is the same for equal instants and numbers, however they are written."""
    start, end, nodes, gpus, devices, evidence = said
    first, last = start - EPOCH, end - EPOCH
    text = (
        f"{first.days} {first.seconds} {first.microseconds} {last.days} {last.seconds} {last.microseconds}"
        f" {nodes} {gpus} {devices or ''}"
    )
    if evidence is not None:
        share, energy = evidence.gpu_utilisation, evidence.energy_kwh
        share = share if share is None else share.normalize()
        energy = energy if energy is None else energy.normalize()
        text = f"{text} {share} {energy} {evidence.xid_errors}"
    found = digest(text, CONTENT_BYTES)
    return found if found != VOIDED else VOIDED[1:] + b"\x01"

"""The state of usage: what is known of each reading in a few bytes, and the GPUs that count at every second.

A record lives as long as its grant and may have ten million readings, so it keeps of each no more than decides about
the next one: that its id is used, and a digest of what it said (ADR 5). `usage.py` decides what is added to it.
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
"""Stands where the digest of a reading that was voided stood."""
PARTS_BYTES: Final = 8
SPREAD_VOIDED: Final = bytes(CONTENT_BYTES + PARTS_BYTES)
HOME_BYTES: Final = 4
DEVICE_SECONDS: Final = 1 << 21
"""A GPU is mostly metered without a gap, so that some 24 days of it are one run."""


class Limits(NamedTuple):
    """What a record was told last of its grant: when it ends, and what was resold of it."""

    end: datetime
    resold: tuple[Load, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """What was metered of one grant; a source's record has only `homes` and `grants`, a tenant's only `spreads`.

    Attributes:
        readings: What each reading said, as a digest, by source and id; `VOIDED` where it was voided.
        timeline: GPUs that count, second by second.
        devices: The same of each GPU that was named, in blocks of `DEVICE_SECONDS`.
        homes: For which of the grants each id of the source was used.
        grants: The grants for which the source used ids.
        closed: Whether the grant is settled in full.
        looked: When each source looked last at each device.
        spreads: What each reading of a tenant said and how it was spread, as digests, by source and id.
        limits: What may be counted since the grant changed; None while it is as it was issued.
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
        """Return what a reading said, as a digest, None where there is none."""
        return self.readings.find(digest_key(source, reading_id))

    def find_homes(self, reading_ids: Sequence[str]) -> dict[str, str]:
        """Return the grants for which the source used ids, of those that it used."""
        numbers = self.homes.find_all([digest(reading_id) for reading_id in reading_ids])
        found = zip(reading_ids, numbers, strict=True)
        return {name: self.grants[int.from_bytes(number)] for name, number in found if number is not None}


UsageState = Usage


class Said(NamedTuple):
    """What a reading says besides its id."""

    start: datetime
    end: datetime
    nodes: int
    gpus: int | None
    devices: tuple[str, ...]
    evidence: Evidence | None


class Count:
    """The GPUs of a record while readings are added and taken away."""

    def __init__(self, state: Usage) -> None:
        self._state = state
        self._total = Tally(state.timeline)
        self._devices: dict[str, Tally] = {}

    def find_peak(self, start: datetime, end: datetime) -> tuple[int, datetime]:
        """Return the most GPUs that count at any instant of a span, and the first such instant."""
        peak, where = self._total.find_peak(to_second(start), to_second(end))
        return peak, EPOCH + where * SECOND

    def find_device(self, devices: tuple[str, ...], start: datetime, end: datetime) -> str | None:
        """Return a device that counts already at some instant of a span, None where none does."""
        span = to_second(start), to_second(end)
        return next((device for device in devices if self._get_device(device).find_peak(*span)[0]), None)

    def add(self, reading: Reading, sign: int = 1) -> None:
        """Count the GPUs of a reading; with a sign of -1, no longer."""
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
        """Return the state with these readings, content by key, and with what was counted."""
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
    """Return the digest of what a reading says."""
    said = Said(reading.start, reading.end, reading.nodes, reading.gpus, reading.devices, reading.evidence)
    return digest_content(said)


def digest_content(said: Said) -> bytes:
    """Return the digest of what is said: the same for equal instants and numbers, however they are written."""
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

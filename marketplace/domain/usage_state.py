"""The state of usage: readings by id, and the GPUs that count at every second.

`usage.py` decides what is added to it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from immutables import Map

from events.usage import Reading
from marketplace.core.timeline import EMPTY, Tally, Timeline

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Usage:
    """What was metered of one grant; of a source's record, only `homes` is filled.

    Attributes:
        readings: By source and id; None where a reading was voided.
        timeline: GPUs that count, second by second.
        devices: The same of each GPU that was named.
        homes: The grant for which each id of the source was used.
        closed: Whether the grant is settled in full.
        looked: When each source looked last at each device.
    """

    readings: Map[str, Reading | None] = field(default_factory=Map)
    timeline: Timeline = EMPTY
    devices: Map[str, Timeline] = field(default_factory=Map)
    homes: Map[str, str] = field(default_factory=Map)
    closed: bool = False
    looked: Map[str, datetime] = field(default_factory=Map)

    def counted(self) -> Iterable[Reading]:
        """Return the readings that count."""
        return (reading for reading in self.readings.values() if reading is not None)


UsageState = Usage


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
            tally = self._devices[device] = Tally(self._state.devices.get(device, EMPTY))
        return tally

    def seal(self, readings: Mapping[str, Reading | None]) -> Usage:
        """Return the state with these readings and with what was counted."""
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

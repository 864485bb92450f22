"""What the events of usage say, kept in full: the plain thing that the packed state of the decider stands for."""

import msgspec

from events.usage import UsageCorrected, UsageReported, UsageVoided
from marketplace.domain.metering.usage_commands import CorrectUsage, VoidUsage


class Told:
    """Readings by source and id, None where one was voided."""

    def __init__(self, events=()):
        self.readings = {}
        for event in events:
            self.hear(event)

    def hear(self, event):
        match event:
            case UsageReported():
                self.readings |= {(event.source, reading.reading_id): reading for reading in event.readings}
            case UsageCorrected():
                self.readings[event.source, event.after.reading_id] = event.after
            case UsageVoided():
                self.readings[event.source, event.reading.reading_id] = None

    def counted(self):
        return [reading for reading in self.readings.values() if reading is not None]

    def bring(self, command):
        """Return a command with the reading that it is about."""
        match command:
            case CorrectUsage():
                reading_id = command.measurement.reading_id
            case VoidUsage():
                reading_id = command.reading_id
            case _:
                return command
        return msgspec.structs.replace(command, before=self.readings.get((command.source, reading_id)))

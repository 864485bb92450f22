"""Last chapter: a lot that is paused already is paused again, and a report holds a reading that is known."""

from events.command import CommandRecorded, ReadingNotTaken
from tests.contracts.story.identifiers import name
from tests.contracts.story.supply import NORTHFJORD, SPARE_LOT
from tests.contracts.story.teller import Teller


def tell_repeats(teller: Teller) -> None:
    """Record two commands whose other events do not say how they were answered."""
    known = ReadingNotTaken(place=0, reading_id="2026-04-01T00", outcome="duplicate")
    report = CommandRecorded(
        command_id=name("cmd", "report again"),
        aggregate="usage",
        aggregate_id=name("usg", "report again"),
        version=412,
        not_taken=(known,),
    )
    teller.tell("2031-01-08T09:00", NORTHFJORD, report)
    paused = CommandRecorded(
        command_id=name("cmd", "pause again"), aggregate="lot", aggregate_id=SPARE_LOT, version=417
    )
    teller.tell("2031-01-08T10:00", NORTHFJORD, paused)

"""Histories that a process keeps: each read asks only for what was added, and gives what a new reader would read."""

import dataclasses

import pytest

from events.envelope import parse_headers
from events.subjects import parse_subject
from marketplace.core.errors import UnreadableEvent
from marketplace.execution import history
from marketplace.execution.history import Histories
from marketplace.log.annotations import AnnotatedLog
from marketplace.log.codec import check_history
from marketplace.log.port import Recorded
from tests.contracts.story.book import tell_story
from tests.execution.test_orphans import Stored

STORY = [
    Recorded(number, told.subject, parse_headers(told.headers), told.body)
    for number, told in enumerate(tell_story(), start=1)
]
SUBJECT = next(each.subject for each in STORY if each.subject.startswith("marketplace.issuer."))
EVENTS = [each for each in STORY if each.subject == SUBJECT]
ISSUER = parse_subject(SUBJECT)


class Growing(Stored):
    """A log that notes from where each subject is read."""

    def __init__(self, events):
        super().__init__(list(events))
        self.asked = []

    async def load(self, subject, after=0, *, previous_hash=None):
        self.asked.append(after)
        return check_history(await super().load(subject, after), previous_hash if after else "")

    def put(self, *events):
        self._listed.extend(events)


async def test_only_later_events_are_read_and_the_oldest_kept_go_first(monkeypatch):
    log = Growing(EVENTS[:3])
    histories = Histories(log)
    first = await histories.load(*ISSUER)
    assert await histories.load(*ISSUER) == first
    log.put(*EVENTS[3:])
    whole = await histories.load(*ISSUER)
    assert whole == await Histories(log).load(*ISSUER)
    assert (len(first), len(whole)) == (3, len(EVENTS))
    assert log.asked == [0, EVENTS[2].sequence, EVENTS[2].sequence, 0]
    monkeypatch.setattr(history, "KEPT_MAX", len(EVENTS) - 1)
    await histories.load(*ISSUER)
    await histories.load(*ISSUER)
    assert log.asked[4:] == [EVENTS[-1].sequence, 0], "what exceeds the bound is read whole"


async def test_a_log_that_went_on_otherwise_is_read_whole_and_damage_is_refused():
    log = Growing(EVENTS[:3])
    histories = Histories(log)
    await histories.load(*ISSUER)
    log.put(EVENTS[4])
    with pytest.raises(UnreadableEvent):
        await histories.load(*ISSUER)
    assert log.asked == [0, EVENTS[2].sequence, 0]


async def test_a_subject_with_an_annotation_is_read_whole_each_time():
    log = Growing(EVENTS)
    annotated = AnnotatedLog(log)
    histories = Histories(annotated)
    whole = await histories.load(*ISSUER)
    annotated.annotations.touches = lambda subject: subject == SUBJECT
    log._listed[-1] = dataclasses.replace(EVENTS[-1], void=True, annotated=True)
    assert await histories.load(*ISSUER) == whole[:-1]
    assert log.asked == [0, 0]

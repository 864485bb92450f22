"""A command is recorded once."""

from events.command import CommandRecorded
from marketplace.domain.command import COMMAND, RecordCommand
from tests.domain.build import id_of
from tests.support.spec import Given

ID, LOT = id_of("cmd"), id_of("lot")


def test_a_command_is_recorded_once_as_it_was_answered():
    recorded = CommandRecorded(command_id=ID, aggregate="lot", aggregate_id=LOT, version=7)
    record = RecordCommand(command_id=ID, aggregate="lot", aggregate_id=LOT, version=7)
    Given(COMMAND).when(record).then(recorded)
    Given(COMMAND, recorded).when(record).then_nothing()
    later = RecordCommand(command_id=ID, aggregate="lot", aggregate_id=LOT, version=9)
    Given(COMMAND, recorded).when(later).then_nothing()

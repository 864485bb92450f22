"""A long-lived record is restored from its snapshot, and equals a fold of all its events."""

import contextlib
import random
from dataclasses import replace
from typing import get_args

import msgspec
import pytest

from events.usage import UsageEvent
from marketplace.core.errors import Refusal
from marketplace.domain.metering.usage import USAGE
from marketplace.domain.metering.usage_record import Usage
from marketplace.domain.metering.usage_snapshot import parse_usage, render_usage
from marketplace.execution import snapshots
from marketplace.execution.command_records import CommandRecord, CommandRecords
from marketplace.execution.snapshots import CODECS, EVENTS_MIN
from marketplace.log.events import parse_event
from marketplace.log.memory import MemoryLog
from marketplace.log.port import Head
from tests.projections.tales import tell_everything
from tests.support.code_versions import walk_codec
from tests.support.market.meter import SUBJECT, MemoryArchive, Process, fold
from tests.support.running import recording

MANY = range(EVENTS_MIN + 10)
LAST = MANY[-1]


@pytest.fixture
def log():
    return MemoryLog()


@pytest.fixture
def archive():
    return MemoryArchive()


@pytest.fixture
async def kept(log, archive):
    """The first process: it reported every minute by itself, and its record was kept."""
    process = Process(log, archive)
    await process.begin()
    for number in MANY:
        await process.report(number, devices=("GPU-1",))
    await process.keep()
    return process


async def test_after_a_restart_only_what_came_after_the_snapshot_is_read(log, archive, kept):
    await kept.report(LAST + 1)
    again = Process(log, archive)
    state = await again.load()
    assert state == await kept.load() == await fold(log)
    assert [after for subject, after in again.log.loads if subject == SUBJECT] == [archive.snapshots[SUBJECT].sequence]


async def test_what_was_said_before_a_snapshot_is_known_for_ever(log, archive, kept):
    again = Process(log, archive)
    assert await again.report(3, 4, name="again", devices=("GPU-1",)) == ["duplicate", "duplicate"]
    assert await again.report(5, nodes=2) == ["conflict"]
    receipt = await again.correct(5, 2)
    assert await Process(log, archive).report(5, nodes=2, name="the correction") == ["duplicate"]
    await again.void(6)
    assert await Process(log, archive).report(6, name="the void") == ["conflict"]
    assert await Process(log, archive).load() == await fold(log)
    assert (await Process(log, archive).correct(5, 2)).sequence == receipt.sequence


async def test_a_command_from_before_a_snapshot_is_answered_as_the_first_time(log, archive, kept):
    corrected = await kept.correct(7, 2, name="first")
    await kept.correct(7, 1, name="back")
    for number in range(LAST + 1, LAST + EVENTS_MIN + 10):
        await kept.report(number)
    await kept.keep()
    again = Process(log, archive)
    assert archive.snapshots[SUBJECT].sequence > corrected.sequence
    repeat = await again.correct(7, 2, name="first")
    assert (repeat.sequence, repeat.repeated) == (corrected.sequence, True)
    assert await again.load() == await fold(log)
    other = msgspec.structs.replace(again.context("first"), fingerprint="other content")
    again.context = {"correct 7 2": other}.get
    with pytest.raises(Refusal) as caught:
        await again.correct(7, 2)
    assert caught.value.code == "idempotency_key_reused"


async def test_a_snapshot_of_another_version_of_another_log_or_damaged_is_not_believed(log, archive, kept):
    snapshot, expected = archive.snapshots[SUBJECT], await fold(log)
    nothing = msgspec.msgpack.encode((b"", []))
    for wrong in (
        {"version": snapshot.version - 1, "content": nothing},
        {"version": snapshot.version + 1, "content": nothing},
        {"hash": "0" * 64, "content": nothing},
        {"sequence": 10_000, "content": nothing},
        {"sequence": snapshot.sequence - 1, "content": nothing},
        {"content": snapshot.content[:-1]},
        {"content": nothing},
    ):
        archive.snapshots[SUBJECT] = msgspec.structs.replace(snapshot, **wrong)
        again = Process(log, archive)
        assert await again.load() == expected
        assert [after for subject, after in again.log.loads if subject == SUBJECT] == [0]
    archive.away = True
    away = Process(log, archive)
    assert await away.load() == expected
    await away.correct(8, 2)
    await away.keep()


async def test_what_another_process_reports_costs_its_tail_only(log, archive, kept):
    other = Process(log, None)
    await other.report(LAST + 1)
    kept.log.loads.clear()
    head = (await log.load(SUBJECT))[-1]
    kept.handler.cache.notice(head)
    assert await kept.load() == await fold(log)
    assert len(kept.log.loads) == 1
    assert kept.log.loads[0][1] > 0


async def test_the_memory_of_long_lives_is_bounded(log, archive, kept):
    small = Process(log, archive, bytes_max=1)
    await small.load()
    assert await small.report(0, devices=("GPU-1",), name="again") == ["duplicate"]
    cache = small.handler.cache
    assert len([subject for subject in cache._entries if subject.startswith("marketplace.usage.")]) == 1
    assert cache._heavy_bytes == sum(cache._heavy.values())


def test_a_state_that_was_kept_is_the_same_state():
    assert parse_usage(render_usage(USAGE.initial)) == USAGE.initial
    closed = replace(USAGE.initial, closed=True, grants=("a", "b"))
    assert parse_usage(render_usage(closed)) == closed


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_processes_do_and_whenever_they_are_restarted_the_record_is_the_fold_of_its_log(seed):
    chance, log, archive = random.Random(seed), MemoryLog(), MemoryArchive()
    process = Process(log, archive)
    await process.begin()
    for _ in range(300):
        number, act = chance.randrange(80), chance.random()
        with contextlib.suppress(Refusal):
            if act < 0.1:
                process = Process(log, archive)
            elif act < 0.2:
                await process.correct(number, chance.choice([1, 2]), name=str(chance.random()))
            elif act < 0.25:
                await process.void(number)
            else:
                await process.report(number, nodes=chance.choice([1, 1, 2]), name=str(chance.random()))
        if chance.random() < 0.2:
            await process.keep()
    assert archive.snapshots
    assert await process.load() == await Process(log, archive).load() == await fold(log)


def test_the_version_covers_whatever_code_folds_and_keeps_a_state():
    codec, ran = CODECS[Usage], set()
    told = (one for one in tell_everything().recorded if one.subject.startswith("marketplace.usage."))
    events = [parse_event(one) for one in told]
    assert {type(event) for event in events} == set(get_args(UsageEvent))
    traces = CommandRecords()
    traces.put("command", CommandRecord("fingerprint", Head("subject", 1)))
    with recording(ran):
        state = USAGE.fold(events)
        kept = snapshots._render_content(codec, state, traces)
        restored, _ = snapshots._parse_content(codec, kept)
    assert restored == state
    walk = walk_codec(codec)
    missed = {code.co_qualname for code in ran if not walk.covers(code)}
    assert missed == {"Decider.fold"}, "nothing else runs that the version does not cover"


def test_a_snapshot_outlives_a_change_of_what_is_refused():
    names = {at.name for at in walk_codec(CODECS[Usage]).definitions}
    assert {"evolve", "_evolve_count", "Packed", "CommandRecords"} <= names
    assert "decide" not in names

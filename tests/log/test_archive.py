"""An archive is the log: whole or refused, and the same log again when it is restored."""

import gzip
import json
import os
from pathlib import Path

import pytest

from marketplace.core.errors import Conflict, Corrupt, Refusal
from marketplace.log.archive import BATCH_EVENTS_MAX, ArchiveWriter, Restored, read_archive, restore
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.memory import MemoryLog
from marketplace.log.port import Head, Log, Recorded
from tests.log.build import make_write, make_writes, new_subject
from tests.log.cases import read_all

LONG = 2 * BATCH_EVENTS_MAX + 7


async def fill(log: Log, count: int = LONG) -> None:
    """Store chains of three aggregates in turn, bodies with all that JSON may hold."""
    heads = [Head(new_subject()) for _ in range(3)]
    bodies = [b'{"a":1.50,"b":"caf\xc3\xa9 \\u0000 \\n"}', b'{ "spaced" : [1, 2 , {}] }', b"null"]
    for first in range(0, count, 300):
        writes = []
        for number in range(first, min(first + 300, count)):
            heads[number % 3] = (write := make_write(heads[number % 3], bodies[number % 3])).head
            writes.append(write)
        await log.append(writes)


def write(path: Path, events: list[Recorded]) -> None:
    with ArchiveWriter(path, 5) as archive:
        for event in events:
            archive.add(event)


async def export(log: Log, path: Path) -> Path:
    with ArchiveWriter(path, (await log.health()).last_sequence) as archive:
        for event in await read_all(log):
            archive.add(event)
    return path


@pytest.fixture
async def archive(memory_log: MemoryLog, tmp_path: Path) -> Path:
    await fill(memory_log)
    return await export(memory_log, tmp_path / "log.gz")


def read_lines(path: Path) -> list[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines(keepends=True)


def rewrite(path: Path, number: int, change: tuple[bytes, bytes] | None) -> None:
    """Change a line of an archive, or take it out."""
    lines = read_lines(path)
    lines[number : number + 1] = [] if change is None else [lines[number].replace(*change)]
    path.write_bytes(gzip.compress(b"".join(lines)))


async def test_what_is_read_is_what_was_stored(memory_log: MemoryLog, archive: Path):
    assert list(read_archive(archive)) == await read_all(memory_log)


def test_only_its_owner_may_read_it(archive: Path):
    assert archive.stat().st_mode & 0o777 == 0o600


async def test_a_restored_log_is_the_same_log_and_goes_on(memory_log: MemoryLog, archive: Path):
    restored = MemoryLog()
    assert await restore(restored, archive) == Restored(stored=LONG, found=0)
    events = await read_all(restored)
    assert events == await read_all(memory_log)
    last = events[-1]
    await restored.append([make_write(Head(last.subject, last.sequence, last.envelope.hash))])
    with pytest.raises(Conflict):
        await restored.append([make_write(Head(last.subject))])


@pytest.mark.parametrize("there", [1, 300, 900, LONG])
async def test_a_restore_that_was_interrupted_goes_on(memory_log: MemoryLog, tmp_path: Path, there: int):
    target = MemoryLog()
    await fill(memory_log, there)
    await restore(target, await export(memory_log, tmp_path / "beginning.gz"))
    await memory_log.append(make_writes(5))
    whole = await export(memory_log, tmp_path / "whole.gz")
    assert await restore(target, whole) == Restored(stored=5, found=there)
    assert await restore(target, whole) == Restored(stored=0, found=there + 5)
    assert await read_all(target) == await read_all(memory_log)


async def test_jetstream_takes_an_archive_and_gives_the_same(
    memory_log: MemoryLog, jetstream_log: JetStreamLog, archive: Path, tmp_path: Path
):
    await restore(jetstream_log, archive)
    assert await read_all(jetstream_log) == await read_all(memory_log)
    again = await export(jetstream_log, tmp_path / "again.gz")
    assert read_lines(again)[1:] == read_lines(archive)[1:]


async def test_another_log_is_refused_and_left_alone(memory_log: MemoryLog, archive: Path):
    other = MemoryLog()
    await other.append(make_writes(2))
    before = await read_all(other)
    with pytest.raises(Refusal, match=r"event 1 is not the archive's: the log holds a different one") as caught:
        await restore(other, archive)
    assert caught.value.code == "log_differs"
    assert await read_all(other) == before
    await memory_log.append(make_writes(1))
    with pytest.raises(Refusal, match=f"event {LONG + 1} is not the archive's"):
        await restore(memory_log, archive)


async def test_a_writer_beside_a_restore_is_found_out(archive: Path):
    class Shared(MemoryLog):
        async def append(self, writes):
            await super().append(make_writes(1))
            return await super().append(writes)

    with pytest.raises(Refusal, match="something else writes to it"):
        await restore(Shared(), archive)


@pytest.mark.parametrize(
    ("number", "change", "said"),
    [
        (4, (b"1.50", b"1.60"), "event 4 on .* was changed after it was stored"),
        (5, (b'"ce-actor":"', b'"ce-actor":"x'), "event 5 on .* was changed after it was stored"),
        (5, (b'"ce-actor":"', b'"ce-actress":"'), "event 5 on .* is not a marketplace event"),
        (5, None, "event 6 on .* follows sequence 4"),
        (LONG, None, f"holds {LONG - 1} events and states {LONG}"),
        (3, (b'"sequence":', b'"position":'), "line 4 of .* is not an event"),
    ],
)
def test_a_changed_archive_is_refused(archive: Path, number: int, change: tuple[bytes, bytes] | None, said: str):
    rewrite(archive, number, change)
    with pytest.raises(Corrupt, match=said):
        list(read_archive(archive))


def test_an_archive_that_was_cut_is_refused(archive: Path):
    archive.write_bytes(archive.read_bytes()[:-400])
    with pytest.raises(Corrupt, match="was cut or changed after event"):
        list(read_archive(archive))


@pytest.mark.parametrize("content", [None, b"{}\n", b'{"format":"x"', b""])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes | None):
    path = tmp_path / "other"
    path.write_bytes(b"no gzip" if content is None else gzip.compress(content))
    with pytest.raises(Refusal) as caught:
        list(read_archive(path))
    assert caught.value.code == "archive_unknown"
    with pytest.raises(Refusal) as caught:
        list(read_archive(tmp_path / "missing"))
    assert caught.value.code == "file_unreadable"


def test_an_archive_of_a_later_release_is_refused(archive: Path):
    rewrite(archive, 0, (b"log-1", b"log-9"))
    with pytest.raises(Refusal, match="log-9; this release reads"):
        list(read_archive(archive))


async def test_an_export_that_fails_leaves_nothing(memory_log: MemoryLog, tmp_path: Path):
    await fill(memory_log, 5)
    events = await read_all(memory_log)
    path = tmp_path / "log.gz"
    with pytest.raises(Corrupt, match="ended at event 4, before event 5"):
        write(path, events[:4])
    with pytest.raises(Corrupt, match="follows sequence 0"):
        write(path, events[1:])
    assert os.listdir(tmp_path) == []  # noqa: PTH208
    await export(memory_log, path)
    with pytest.raises(Refusal, match="exists"):
        ArchiveWriter(path, 5)


async def test_the_first_line_says_what_follows(memory_log: MemoryLog, tmp_path: Path):
    path = await export(memory_log, tmp_path / "empty.gz")
    header = json.loads(gzip.decompress(path.read_bytes()))
    assert header["last_sequence"] == 0
    assert await restore(MemoryLog(), path) == Restored(stored=0, found=0)

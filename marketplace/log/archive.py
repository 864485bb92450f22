"""The log as one file: a backup that anyone can check, and from which the same log can be restored.

An archive is gzip of JSON lines. The first line is the header. Each further line is one event with its position, its
literal subject, its headers as stored and its body byte for byte. The hash chain can thus be checked without a server,
and a restored log has the same hashes at the same positions. An annotated damaged message is included as found, with
its body in base64 as `raw`; a damaged message without an annotation ends an export. The count, gzip's checksum and the
chain reveal archives that were cut or changed.
"""

import gzip
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from events.envelope import render_headers
from events.subjects import LOG_SUBJECT
from marketplace.core.errors import Corrupt, Refusal
from marketplace.log.annotations import Annotations, get_hash
from marketplace.log.codec import Chain, parse_recorded
from marketplace.log.port import Head, Log, Message, Recorded, Write

FORMAT: Final = "compute-equity-marketplace-log-1"
BATCH_EVENTS_MAX: Final = 500
_LINE_BYTES_MAX: Final = 16 * 1024 * 1024
_COMPRESSION: Final = 6
_PRIVATE: Final = 0o600
_NOTHING: Final = msgspec.Raw(b"")


class ArchiveHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line.

    Attributes:
        format: `FORMAT`.
        last_sequence: Position of the last event, which is also how many events follow.
        exported_at: When the export began.
    """

    format: str
    last_sequence: int
    exported_at: datetime


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    sequence: int
    subject: str
    headers: dict[str, str]
    body: msgspec.Raw = _NOTHING
    raw: bytes | None = None


@dataclass(frozen=True, slots=True)
class Restored:
    """The result of a restore: how many events it stored, and how many were already there."""

    stored: int
    found: int


class ArchiveWriter:
    """Writes events to a temporary file and moves it into place when complete: an archive is whole or absent.

    Args:
        path: The file to make. Only its owner can read it, because the log contains confidential data.
        last_sequence: Position of the last event that will be written.

    Raises:
        Refusal: ``file_exists``, or ``file_missing`` if the folder does not take it.
    """

    def __init__(self, path: Path, last_sequence: int) -> None:
        if path.exists():
            raise Refusal("file_exists", f"{path} exists; name a new file", file=str(path))
        self._path, self._part = path, path.with_name(f"{path.name}.part")
        self._last_sequence = last_sequence
        self._chain = Chain()

    def __enter__(self) -> Self:
        """Begin the file."""
        try:
            descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE)
        except OSError as error:
            text = f"{self._path} cannot be written: {error.strerror}; check the path"
            raise Refusal("file_missing", text, file=str(self._path)) from error
        self._raw = os.fdopen(descriptor, "wb")
        self._file = gzip.GzipFile(filename="", fileobj=self._raw, mode="wb", compresslevel=_COMPRESSION)
        self._write(ArchiveHeader(FORMAT, self._last_sequence, datetime.now(UTC)))
        return self

    def add(self, event: Recorded) -> None:
        """Add the next event. Events stored after the export began are ignored.

        Raises:
            Corrupt: It does not fit the hash chain, or is damaged without an annotation.
        """
        if event.sequence > self._last_sequence:
            return
        self._chain.check(event)
        if not event.annotated:
            line = _Line(event.sequence, event.subject, render_headers(event.envelope), body=msgspec.Raw(event.body))
        else:
            line = _Line(event.sequence, event.subject, _get_headers(event), raw=event.body)
        self._write(line)

    def _write(self, line: msgspec.Struct) -> None:
        self._file.write(msgspec.json.encode(line) + b"\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Put the file in place, or remove it after an error.

        Raises:
            Corrupt: Fewer events were added than the header states.
        """
        self._file.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        self._raw.close()
        whole = error is None and self._chain.sequence == self._last_sequence
        if whole:
            self._part.rename(self._path)
        else:
            self._part.unlink()
        if error is None and not whole:
            raise Corrupt(f"the log ended at event {self._chain.sequence}, before event {self._last_sequence}")


def read_archive(path: Path) -> Iterator[Recorded]:
    """Yield the events of an archive in order, checked against the hash chain and with annotations applied.

    Raises:
        Refusal: ``file_unreadable``: the operating system cannot read it. ``archive_unknown``: it is no archive of a
            log, or has another format.
        Corrupt: It was cut or changed.
    """
    chain = Chain()
    try:
        annotations = _read_annotations(path)
        with gzip.open(path, "rb") as file:
            header = _parse_header(path, file.readline(_LINE_BYTES_MAX))
            while line := file.readline(_LINE_BYTES_MAX):
                event = annotations.apply(_parse_line(path, chain.sequence + 2, line))
                chain.check(event)
                yield event
    except (EOFError, zlib.error) as error:
        raise Corrupt(f"{path} was cut or changed after event {chain.sequence}: {error}") from error
    except gzip.BadGzipFile as error:
        raise Refusal("archive_unknown", f"{path} is not an archive of a log: {error}", file=str(path)) from error
    except OSError as error:
        raise Refusal("file_unreadable", f"{path} cannot be read: {error.strerror}", file=str(path)) from error
    if chain.sequence != header.last_sequence:
        raise Corrupt(f"{path} holds {chain.sequence} events and states {header.last_sequence}; it was cut or extended")


def _read_annotations(path: Path) -> Annotations:
    """Return the annotations of an archive. They come after the messages that they annotate."""
    annotations, mark = Annotations(), f'"{LOG_SUBJECT}"'.encode()
    with gzip.open(path, "rb") as file:
        _parse_header(path, file.readline(_LINE_BYTES_MAX))
        number = 1
        while line := file.readline(_LINE_BYTES_MAX):
            number += 1
            if mark in line:
                annotations.take(_parse_line(path, number, line))
    return annotations


def _get_headers(event: Recorded) -> dict[str, str]:
    """Return the headers of a message as it was stored."""
    own = None if event.damage is None else event.damage.headers
    return render_headers(event.envelope) if own is None else dict(own)


def _parse_header(path: Path, line: bytes) -> ArchiveHeader:
    try:
        header = msgspec.json.decode(line, type=ArchiveHeader)
    except msgspec.DecodeError as error:
        raise Refusal("archive_unknown", f"{path} is not an archive of a log: {error}", file=str(path)) from error
    if header.format != FORMAT:
        raise Refusal("archive_unknown", f"{path} is of format {header.format}; this release reads {FORMAT}")
    return header


def _parse_line(path: Path, number: int, line: bytes) -> Recorded:
    try:
        parsed = msgspec.json.decode(line, type=_Line)
    except msgspec.DecodeError as error:
        raise Corrupt(f"line {number} of {path} is not an event: {error}") from error
    body = bytes(parsed.body) if parsed.raw is None else parsed.raw
    return parse_recorded(parsed.sequence, parsed.subject, parsed.headers, body)


async def restore(log: Log, path: Path) -> Restored:
    """Store an archive's events at their original positions.

    The log must be empty, or hold the first events of the archive: an interrupted restore continues when run again.

    Raises:
        Refusal: As `read_archive`; ``log_differs`` if the log holds anything else, or something else writes to it.
        Corrupt: As `read_archive`.
        Conflict: Something else writes to the log.
        Unavailable: The servers did not store them in time. The restore can be run again.
    """
    events = read_archive(path)
    heads = await _match_stored(log, events)
    found, stored = max((head.sequence or 0 for head in heads.values()), default=0), 0
    while batch := list(islice(events, BATCH_EVENTS_MAX)):
        reached = await log.append([_follow(heads, event) for event in batch])
        if reached != batch[-1].sequence:
            raise _differ(batch[-1].sequence, f"the log stored it at {reached}, because something else writes to it")
        stored += len(batch)
    return Restored(stored, found)


async def _match_stored(log: Log, events: Iterator[Recorded]) -> dict[str, Head]:
    """Compare the log's events with the archive's, and return the heads of its aggregates.

    Raises:
        Refusal: ``log_differs``: an event of the log is not the archive's.
    """
    heads: dict[str, Head] = {}
    async for page in log.read():
        for stored in page:
            event = next(events, None)
            if event is None or (event.subject, get_hash(event)) != (stored.subject, get_hash(stored)):
                raise _differ(stored.sequence, "the log holds a different one")
            heads[stored.subject] = Head(stored.subject, stored.sequence, stored.envelope.hash)
    return heads


def _follow(heads: dict[str, Head], event: Recorded) -> Write:
    after = heads.get(event.subject) or Head(event.subject)
    head = heads[event.subject] = Head(event.subject, sequence=None, hash=event.envelope.hash)
    own = None if event.damage is None else _get_headers(event)
    return Write(after, (Message(event.envelope, event.body, headers=own),), head)


def _differ(sequence: int, why: str) -> Refusal:
    return Refusal(
        "log_differs",
        f"event {sequence} is not the archive's: {why}; stop all writers, and restore into an empty log",
        sequence=sequence,
    )

"""A persistent map from digests to short values that takes a few bytes for each row, for ids that are kept for ever.

New rows go into a small map. When it is full, they become a run: arrays of rows in the order of their keys, with an
index (`runs.py`). A run is merged with the one before it unless that is at least twice as large, so that there are few
runs (a log-structured merge tree: O'Neil and others, "The log-structured merge-tree (LSM-tree)", Acta Informatica 33,
1996). Keys are digests and thus evenly spread. A lookup reads a few rows of each run, so it takes nearly the same time
with a thousand rows as with ten million.

Invariants:
    1. A key has one value: the last one put.
    2. Maps with equal keys and values are equal, in whatever order they were put.
    3. An update returns a new map and does not change the old one.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final, Self

import msgspec
from immutables import Map

from marketplace.core.runs import KEY_BYTES, Needles, SortedRun, build_run

RECENT_MAX: Final = 4_096
RECENT_BYTES: Final = 200
"""The approximate bytes of a row in the small map."""
MERGED_MAX: Final = 1 << 18
"""Two runs with more rows together are not merged, which bounds the time of an update."""
DIGESTS_MAX: Final = 1 << 14
"""How many digests are remembered, at some 250 bytes each."""
FEW: Final = 8
"""Up to this many keys are looked up one by one, which is faster than by arrays."""


@lru_cache(maxsize=DIGESTS_MAX)  # a command digests the same ids to decide, and again to fold its events
def digest(text: str, size: int = KEY_BYTES) -> bytes:
    """Return the digest of a text, `size` bytes long (BLAKE2b, RFC 7693)."""
    return blake2b(text.encode(), digest_size=size).digest()


class Parts(msgspec.Struct, frozen=True, array_like=True):
    """A map as it is stored.

    Attributes:
        count: How many keys it has.
        rows: Keys, each followed by its value, in parts; if a key occurs twice, its last value counts.
    """

    count: int
    rows: list[bytes]


class Packed:
    """A map from keys of `KEY_BYTES` bytes to values of `width` bytes. It never changes; `update` returns a new one."""

    __slots__ = ("_recent", "_runs", "count", "width")

    def __init__(
        self, width: int, recent: Map[bytes, bytes] | None = None, runs: tuple[SortedRun, ...] = (), count: int = 0
    ) -> None:
        self.width = width
        self.count = count
        self._recent = Map[bytes, bytes]() if recent is None else recent
        self._runs = runs

    @classmethod
    def restore(cls, width: int, parts: Parts) -> Self:
        """Return the map that `list_parts` gave.

        Raises:
            msgspec.DecodeError: The parts are not those of a map.
        """
        if any(len(rows) % (KEY_BYTES + width) for rows in parts.rows):
            raise msgspec.DecodeError(f"a part has no whole number of rows of {KEY_BYTES + width} bytes")
        runs: tuple[SortedRun, ...] = ()
        for rows in parts.rows:
            runs = _append(runs, build_run(rows, width))
        return cls(width, None, runs, parts.count)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Packed) and (self.width, self.to_dict()) == (other.width, other.to_dict())

    def __hash__(self) -> int:
        return hash((self.width, self.count))

    def __len__(self) -> int:
        return self.count

    @property
    def size_bytes(self) -> int:
        """Return its approximate size in memory."""
        return sum(run.size_bytes for run in self._runs) + len(self._recent) * (RECENT_BYTES + self.width)

    def to_dict(self) -> dict[bytes, bytes]:
        """Return all keys and values."""
        size = KEY_BYTES + self.width
        rows = (part[at : at + size] for part in self.list_parts().rows for at in range(0, len(part), size))
        return {row[:KEY_BYTES]: row[KEY_BYTES:] for row in rows}

    def list_parts(self) -> Parts:
        """Return the parts from which `restore` makes an equal map."""
        recent = [_join(self._recent)] if self._recent else []
        return Parts(self.count, [*(run.render() for run in self._runs), *recent])

    def find(self, key: bytes) -> bytes | None:
        """Return the value of a key; None if it is absent."""
        value = self._recent.get(key)
        if value is not None:
            return value
        found = (run.find(key) for run in reversed(self._runs))
        return next((value for value in found if value is not None), None)

    def find_all(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the value of each key; None for absent ones."""
        if len(keys) <= FEW:
            return [self.find(key) for key in keys]
        found = [self._recent.get(key) for key in keys]
        missing = [number for number, value in enumerate(found) if value is None] if self._runs else []
        if missing:
            needles = Needles.of(keys, missing)
            for run in reversed(self._runs):
                needles = run.find_all(needles, found)
        return found

    def update(self, values: Mapping[bytes, bytes]) -> Self:
        """Return a new map with these keys and values added. A value replaces that of an equal key."""
        count = self.count + self.find_all(list(values)).count(None)
        recent, runs = self._recent.update(values), self._runs
        if len(recent) > RECENT_MAX:
            recent, runs = Map(), _append(runs, build_run(_join(recent), self.width))
        return type(self)(self.width, recent, runs, count)


def _join(rows: Mapping[bytes, bytes]) -> bytes:
    return b"".join([key + value for key, value in rows.items()])


def _append(runs: tuple[SortedRun, ...], newest: SortedRun) -> tuple[SortedRun, ...]:
    """Return the runs with a new one at the end. While the run before it is less than twice as large, merge the two."""
    while runs and len(runs[-1]) < 2 * len(newest) and len(runs[-1]) + len(newest) <= MERGED_MAX:
        runs, newest = runs[:-1], runs[-1].merge(newest)
    return *runs, newest

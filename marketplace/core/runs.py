"""Sorted runs: rows of equal width in the order of their keys, as arrays that never change, with an index.

A row is a key of `KEY_BYTES` and a value. The first 8 bytes of each key are stored separately, as ascending numbers. An
index by their first bits narrows a lookup to two to four rows on average if keys are digests. If keys are chosen to
share these bits, a lookup is a binary search.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

KEY_BYTES: Final = 10
"""Two of ten million keys are the same by chance with a probability below 10^-10."""
_PREFIX_BYTES: Final = 8
_TAIL_BYTES: Final = KEY_BYTES - _PREFIX_BYTES
_SLOT_ROWS: Final = 4
"""The most rows that a slot of the index has on average."""
_SLOT_ROWS_MAX: Final = 32
"""A slot with more rows is searched by bisection."""

Prefixes = NDArray[np.uint64]
Rows = NDArray[np.uint8]
Places = NDArray[np.int64]


class Needles(NamedTuple):
    """Keys to look up.

    Attributes:
        places: Index of each key's answer.
        prefixes: Their first 8 bytes.
        tails: The rest of each key, one row each.
    """

    places: Places
    prefixes: Prefixes
    tails: Rows

    @classmethod
    def of(cls, keys: Sequence[bytes], places: Sequence[int]) -> Self:
        """Return the keys at some places of a sequence."""
        matrix = np.frombuffer(b"".join([keys[place] for place in places]), np.uint8).reshape(-1, KEY_BYTES)
        return cls(np.array(places, np.int64), _read_prefixes(matrix), np.ascontiguousarray(matrix[:, _PREFIX_BYTES:]))


def _read_prefixes(matrix: Rows) -> Prefixes:
    """Return the first 8 bytes of each row as a big-endian number."""
    return np.ascontiguousarray(matrix[:, :_PREFIX_BYTES]).view(">u8").ravel().astype(np.uint64)


class SortedRun:
    """Rows in the order of the first 8 bytes of their keys; no two have the same key.

    Attributes:
        prefixes: The first 8 bytes of each key, in order.
        tails: The rest of each row, key and value.
    """

    __slots__ = ("_shift", "_starts", "prefixes", "tails")

    def __init__(self, prefixes: Prefixes, tails: Rows) -> None:
        self.prefixes = prefixes
        self.tails = tails
        bits = max((len(prefixes) // _SLOT_ROWS).bit_length(), 1)
        self._shift = np.uint64(64 - bits)
        counts = np.bincount((prefixes >> self._shift).astype(np.int64), minlength=1 << bits)
        self._starts = np.zeros((1 << bits) + 1, np.uint32)
        np.cumsum(counts, out=self._starts[1:])

    def __len__(self) -> int:
        return len(self.prefixes)

    @property
    def size_bytes(self) -> int:
        """Return its size in memory."""
        return self.prefixes.nbytes + self.tails.nbytes + self._starts.nbytes

    def render(self) -> bytes:
        """Return its rows, each key followed by its value."""
        matrix = np.empty((len(self), _PREFIX_BYTES + self.tails.shape[1]), np.uint8)
        matrix[:, :_PREFIX_BYTES] = self.prefixes.astype(">u8").view(np.uint8).reshape(-1, _PREFIX_BYTES)
        matrix[:, _PREFIX_BYTES:] = self.tails
        return matrix.tobytes()

    def find(self, key: bytes) -> bytes | None:
        """Return the value of a key; None if it is absent."""
        prefix, tail = int.from_bytes(key[:_PREFIX_BYTES]), key[_PREFIX_BYTES:]
        slot = prefix >> int(self._shift)
        start, stop = int(self._starts[slot]), int(self._starts[slot + 1])
        if stop - start > _SLOT_ROWS_MAX:
            within = self.prefixes[start:stop]
            start, stop = (start + int(np.searchsorted(within, np.uint64(prefix), side)) for side in ("left", "right"))
        for at, there in enumerate(self.prefixes[start:stop].tolist(), start):
            if there == prefix:
                row: bytes = self.tails[at].tobytes()
                if row.startswith(tail):
                    return row[_TAIL_BYTES:]
        return None

    def find_all(self, needles: Needles, found: list[bytes | None]) -> Needles:
        """Look up keys: write the value of each key that the run has into `found`, and return the other keys."""
        at = self._locate(needles)
        (hits,) = np.nonzero(at >= 0)
        if not len(hits):
            return needles
        values = np.ascontiguousarray(self.tails[at[hits], _TAIL_BYTES:])
        width = values.shape[1]
        joined = values.tobytes()
        for number, place in enumerate(needles.places[hits].tolist()):
            found[place] = joined[number * width : (number + 1) * width]
        missing = at < 0
        return Needles(needles.places[missing], needles.prefixes[missing], needles.tails[missing])

    def _locate(self, needles: Needles) -> Places:
        """Return the row of each key; -1 if absent."""
        slots = (needles.prefixes >> self._shift).astype(np.int64)
        at, stop = self._starts[slots].astype(np.int64), self._starts[slots + 1].astype(np.int64)
        if np.max(stop - at, initial=0) > _SLOT_ROWS_MAX:
            at = np.searchsorted(self.prefixes, needles.prefixes).astype(np.int64)
        located = np.full(len(slots), -1, np.int64)
        (left,) = np.nonzero(at < stop)
        while len(left):
            rows, sought = at[left], needles.prefixes[left]
            there = self.prefixes[rows]
            same = there == sought
            if same.any():
                hit, row = left[same], rows[same]
                whole = (self.tails[row, :_TAIL_BYTES] == needles.tails[hit]).all(axis=1)
                located[hit[whole]] = row[whole]
            at[left] += 1
            left = left[(there <= sought) & (at[left] < stop[left]) & (located[left] < 0)]
        return located

    def merge(self, newer: "SortedRun") -> "SortedRun":
        """Return one run with the rows of both; for a key in both, the newer run's row."""
        places = np.searchsorted(self.prefixes, newer.prefixes, side="right") + np.arange(len(newer))
        older = np.ones(len(self) + len(newer), np.bool_)
        older[places] = False
        prefixes = np.empty(len(older), np.uint64)
        tails = np.empty((len(older), self.tails.shape[1]), np.uint8)
        prefixes[places], prefixes[older] = newer.prefixes, self.prefixes
        tails[places], tails[older] = newer.tails, self.tails
        kept = _find_last(prefixes, tails)
        return SortedRun(prefixes, tails) if kept is None else SortedRun(prefixes[kept], tails[kept])


def _find_last(prefixes: Prefixes, tails: Rows) -> NDArray[np.bool_] | None:
    """Return which rows are the last of their key; None if all are. Few rows have equal prefixes."""
    (twins,) = np.nonzero(prefixes[1:] == prefixes[:-1])
    if not len(twins):
        return None
    last: dict[tuple[int, bytes], int] = {}
    kept = np.ones(len(prefixes), np.bool_)
    for at in sorted({*twins.tolist(), *(twins + 1).tolist()}):
        key = int(prefixes[at]), tails[at, :_TAIL_BYTES].tobytes()
        if key in last:
            kept[last[key]] = False
        last[key] = at
    return kept


def build_run(rows: bytes, width: int) -> SortedRun:
    """Return a run of rows.

    Args:
        rows: Keys, each followed by its value, in any order. No two keys may be the same.
        width: Bytes of a value.
    """
    matrix = np.frombuffer(rows, np.uint8).reshape(-1, KEY_BYTES + width)
    prefixes = _read_prefixes(matrix)
    order = np.argsort(prefixes, kind="stable")
    return SortedRun(prefixes[order], matrix[order, _PREFIX_BYTES:])

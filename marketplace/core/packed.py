"""A persistent map from digests to short values, in a few bytes a row: for what grows and must be known for ever.

Rows of equal width lie side by side in buckets of some `FILL` rows; where there are more, one bucket is split (linear
hashing: Litwin, "Linear hashing: a new tool for file and table addressing", VLDB 1980). So a question or a row more
costs the same whether a thousand rows are known or ten million, and no single one pays for a growth of the whole.

Invariants:
    1. A key has one value, the last one that it was given.
    2. Equal keys and values are equal maps, in whatever order they were put.
    3. A map that was changed leaves the one before as it was.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Final, Self

from immutables import Map

KEY_BYTES: Final = 10
"""Two of ten million keys are the same by chance with a probability below 10^-10."""
FILL: Final = 24
BUCKET_BYTES: Final = 120
"""What a bucket takes in memory besides its rows, about."""
_EMPTY: Final[Map[int, bytes]] = Map({0: b""})


def digest(text: str, size: int = KEY_BYTES) -> bytes:
    """Return the digest of a text, `size` bytes long (BLAKE2b, RFC 7693)."""
    return blake2b(text.encode(), digest_size=size).digest()


class Packed:
    """Values of `width` bytes by keys of `KEY_BYTES`."""

    __slots__ = ("_buckets", "count", "width")

    def __init__(self, width: int, buckets: Map[int, bytes] = _EMPTY, count: int = 0) -> None:
        self.width = width
        self.count = count
        self._buckets = buckets

    @classmethod
    def restore(cls, width: int, buckets: Sequence[bytes]) -> Self:
        """Return the map whose buckets these are, as `list_buckets` gave them."""
        return cls(width, Map(enumerate(buckets)), sum(map(len, buckets)) // (KEY_BYTES + width))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Packed) and (self.width, sorted(self.rows())) == (other.width, sorted(other.rows()))

    def __hash__(self) -> int:
        return hash((self.width, self.count))

    def __len__(self) -> int:
        return self.count

    @property
    def size_bytes(self) -> int:
        """Return what it takes in memory, about."""
        return self.count * (KEY_BYTES + self.width) + len(self._buckets) * BUCKET_BYTES

    def rows(self) -> Iterable[bytes]:
        """Return each key with its value behind it, in no order."""
        size = KEY_BYTES + self.width
        return (bucket[at : at + size] for bucket in self._buckets.values() for at in range(0, len(bucket), size))

    def list_buckets(self) -> list[bytes]:
        """Return what `restore` makes the same map of."""
        return [self._buckets[number] for number in range(len(self._buckets))]

    def find(self, key: bytes) -> bytes | None:
        """Return the value of a key, None where it has none."""
        bucket = self._buckets[_find_bucket(key, len(self._buckets))]
        if key not in bucket:
            return None
        at = _locate(bucket, key, KEY_BYTES + self.width)
        return None if at < 0 else bucket[at + KEY_BYTES : at + KEY_BYTES + self.width]

    def update(self, values: Mapping[bytes, bytes]) -> Self:
        """Return the map with these keys and values."""
        size, count = KEY_BYTES + self.width, self.count
        there, buckets = len(self._buckets), self._buckets.mutate()
        for key, value in values.items():
            number = _find_bucket(key, there)
            bucket = buckets[number]
            at = _locate(bucket, key, size)
            if at >= 0:
                buckets[number] = bucket[: at + KEY_BYTES] + value + bucket[at + size :]
                continue
            buckets[number] = bucket + key + value
            count += 1
            if count > there * FILL:
                source = there - (1 << (there.bit_length() - 1))
                buckets[source], buckets[there] = _split(buckets[source], size, there)
                there += 1
        return type(self)(self.width, buckets.finish(), count)


def _find_bucket(key: bytes, buckets: int) -> int:
    """Return which of so many buckets a key is in."""
    doubled = 1 << buckets.bit_length()
    number = int.from_bytes(key[:6]) & (doubled - 1)
    return number if number < buckets else number & ((doubled >> 1) - 1)


def _locate(bucket: bytes, key: bytes, size: int) -> int:
    """Return where the row of a key begins, -1 where there is none; bytes across two rows are none."""
    at = bucket.find(key)
    while at >= 0 and at % size:
        at = bucket.find(key, at + 1)
    return at


def _split(bucket: bytes, size: int, newest: int) -> tuple[bytes, bytes]:
    """Return the rows that stay in a bucket, and those that the newest bucket takes."""
    stay, go = list[bytes](), list[bytes]()
    for at in range(0, len(bucket), size):
        row = bucket[at : at + size]
        (go if _find_bucket(row[:KEY_BYTES], newest + 1) == newest else stay).append(row)
    return b"".join(stay), b"".join(go)

"""A packed map is the map it stands for, however large it has become and however it was merged."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.core import packed as module
from marketplace.core.packed import FEW, RECENT_MAX, Packed, Parts, digest
from marketplace.core.runs import KEY_BYTES

TWIN = b"\x07" * 8
keys = st.one_of(
    st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES),
    st.sampled_from([bytes(KEY_BYTES), b"\x00\x01" * 5, b"\x01\x00" * 5, b"\x01" * KEY_BYTES, b"\xff" * KEY_BYTES]),
    st.integers(0, 5).map(lambda number: TWIN + number.to_bytes(2)),
    st.integers(0, 60).map(lambda number: b"\x09" + number.to_bytes(9)),
)
values = st.sampled_from([b"\x00\x00", b"\x00\x01", b"\x01\x00", b"\x01\x01"])
steps = st.lists(st.dictionaries(keys, values, max_size=60), max_size=8)
sizes = st.sampled_from([(0, 1), (0, 20), (3, 1 << 18), (20, 100), (RECENT_MAX, 1 << 18)])


@pytest.fixture(scope="module")
def sized():
    """Return what lets maps be built with other bounds, so that small ones have as many runs as large ones."""
    with pytest.MonkeyPatch.context() as patch:

        def resize(recent_max, merged_max):
            patch.setattr(module, "RECENT_MAX", recent_max)
            patch.setattr(module, "MERGED_MAX", merged_max)

        yield resize


@given(steps, sizes)
def test_it_says_what_a_plain_map_says(sized, walk, bounds):
    sized(*bounds)
    packed, plain = Packed(2), {}
    for step in walk:
        before, known = packed, dict(plain)
        packed, plain = packed.update(step), plain | step
        assert {key: packed.find(key) for key in plain} == plain
        assert packed.find_all(list(plain)) == list(plain.values())
        assert before.find_all(list(plain)) == [known.get(key) for key in plain]
        assert {key: before.find(key) for key in plain} == {key: known.get(key) for key in plain}
    assert packed.count == len(packed) == len(plain)
    asked = [b"\x02" * KEY_BYTES, *plain, TWIN + b"\x00\x09", b"\x02" * KEY_BYTES, *[b"\x03" * KEY_BYTES] * FEW]
    assert packed.find_all(asked) == [packed.find(key) for key in asked] == [plain.get(key) for key in asked]


@given(st.dictionaries(keys, values, max_size=100), st.dictionaries(keys, values, max_size=9), sizes, st.data())
def test_equal_rows_are_equal_maps_in_any_order_and_after_being_stored(sized, rows, old, bounds, data):
    sized(*bounds)
    shuffled = list(data.draw(st.permutations(list(rows.items()))))
    packed = Packed(2).update({key: value for key, value in old.items() if key in rows}).update(rows)
    one_by_one = Packed(2)
    for key, value in shuffled:
        one_by_one = one_by_one.update({key: value})
    restored = Packed.restore(2, packed.list_parts())
    assert packed == one_by_one == restored
    assert packed.to_dict() == rows
    assert len(restored) == len(rows)
    assert restored.update(rows) == packed
    assert rows == {} or packed != Packed(2)
    assert packed != Packed(2).update(rows | {b"\x02" * KEY_BYTES: b"no"})


def test_parts_that_are_no_rows_are_named():
    with pytest.raises(msgspec.DecodeError, match="no whole number of rows of 12 bytes"):
        Packed.restore(2, Parts(1, [bytes(13)]))


def test_many_rows_take_little_more_than_their_bytes_in_few_runs():
    packed = Packed(6)
    for start in range(0, 100_000, 1_000):
        packed = packed.update({digest(str(number)): number.to_bytes(6) for number in range(start, start + 1_000)})
    assert [packed.find(digest(str(number))) for number in (0, 54_321, 99_999, 100_000)] == [
        bytes(6),
        (54_321).to_bytes(6),
        (99_999).to_bytes(6),
        None,
    ]
    assert packed.find_all([digest(str(number)) for number in range(90_000, 110_000)]) == [
        number.to_bytes(6) if number < 100_000 else None for number in range(90_000, 110_000)
    ]
    assert packed.size_bytes < 22 * packed.count
    assert len(packed.list_parts().rows) <= 6


def test_keys_that_are_chosen_to_be_alike_are_found_too():
    rows = {b"\x05\x05\x05" + number.to_bytes(7): number.to_bytes(2) for number in range(3 * RECENT_MAX)}
    packed = Packed(2).update(rows)
    assert packed.find_all(list(rows)) == list(rows.values())
    assert packed.find(b"\x05\x05\x05" + (77).to_bytes(7)) == (77).to_bytes(2)
    assert packed.find(b"\x05\x05\x05" + (1 << 20).to_bytes(7)) is None

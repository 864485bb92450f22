"""A packed map is the map it stands for, however large it has become."""

from hypothesis import given
from hypothesis import strategies as st

from marketplace.core.packed import KEY_BYTES, Packed, digest

keys = st.one_of(
    st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES),
    st.sampled_from([bytes(KEY_BYTES), b"\x00\x01" * 5, b"\x01\x00" * 5, b"\x01" * KEY_BYTES]),
)
values = st.sampled_from([b"\x00\x00", b"\x00\x01", b"\x01\x00", b"\x01\x01"])
steps = st.lists(st.dictionaries(keys, values, max_size=200), max_size=6)


@given(steps)
def test_it_says_what_a_plain_map_says(walk):
    packed, plain = Packed(2), {}
    for step in walk:
        before, known = packed, dict(plain)
        packed, plain = packed.update(step), plain | step
        assert {key: packed.find(key) for key in plain} == plain
        assert {key: before.find(key) for key in plain} == {key: known.get(key) for key in plain}
    assert packed.count == len(packed) == len(plain)
    assert packed.find(b"\x02" * KEY_BYTES) == plain.get(b"\x02" * KEY_BYTES)


@given(st.dictionaries(keys, values, max_size=300), st.data())
def test_equal_rows_are_equal_maps_in_any_order_and_after_being_stored(rows, data):
    shuffled = dict(data.draw(st.permutations(list(rows.items()))))
    packed = Packed(2).update(rows)
    assert packed == Packed(2).update(shuffled) == Packed.restore(2, packed.list_buckets())
    assert rows == {} or packed != Packed(2)
    assert packed != Packed(2).update(rows | {b"\x02" * KEY_BYTES: b"no"})


def test_many_rows_take_little_more_than_their_bytes_and_no_bucket_grows_with_them():
    packed = Packed(6)
    for start in range(0, 100_000, 1_000):
        packed = packed.update({digest(str(number)): number.to_bytes(6) for number in range(start, start + 1_000)})
    assert [packed.find(digest(str(number))) for number in (0, 54_321, 99_999, 100_000)] == [
        bytes(6),
        (54_321).to_bytes(6),
        (99_999).to_bytes(6),
        None,
    ]
    assert packed.size_bytes < 22 * packed.count
    assert max(map(len, packed.list_buckets())) < 200 * (KEY_BYTES + 6)

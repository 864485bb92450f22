"""Ids: TypeID's own writing, compared with its reference implementation; names that derive from names."""

from uuid import UUID, uuid4

import pytest
import uuid_utils
from hypothesis import given
from hypothesis import strategies as st
from typeid import TypeID

from marketplace.core.ids import derive_command_id, derive_id, is_id, parse_uuid, rename_id, render_id

UUID_7 = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


@given(st.integers(min_value=0, max_value=2**128 - 1))
def test_an_id_is_what_typeid_says_it_is(number):
    rendered = render_id("ord", UUID(int=number))
    assert rendered == str(TypeID.from_uuid(suffix=uuid_utils.UUID(int=number), prefix="ord"))
    assert parse_uuid(rendered).int == number == TypeID.from_string(rendered).uuid.int
    assert is_id(rendered, "ord")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ord",
        "ord_",
        "ord_8zzzzzzzzzzzzzzzzzzzzzzzzz",
        "ord_0l000000000000000000000000",
        "ORD_00000000000000000000000000",
    ],
)
def test_what_is_no_id_is_refused(text):
    assert not is_id(text)
    with pytest.raises(ValueError, match="not an id"):
        parse_uuid(text)


def test_ids_of_a_version_7_key_sort_by_its_time():
    command = derive_command_id("pty", str(UUID_7))
    created = derive_id("ord", command)
    for id in (command, created):  # noqa: A001
        assert (parse_uuid(id).version, parse_uuid(id).int >> 80) == (7, UUID_7.int >> 80)


def test_ids_of_any_other_key_are_version_8():
    command = derive_command_id("pty", "a key")
    assert {parse_uuid(command).version, parse_uuid(derive_id("ord", command)).version} == {8}
    assert parse_uuid(derive_command_id("pty", str(uuid4()))).version == 8


def test_what_a_command_creates_is_named_by_it_and_by_nothing_else():
    command = derive_command_id("pty", "a key")
    assert derive_id("ord", command) == derive_id("ord", command)
    assert len({derive_id("ord", command), derive_id("ord", command, "2"), derive_id("hld", command)[4:]}) == 3
    assert derive_command_id("pty", "a key") != derive_command_id("other", "a key")


def test_a_renamed_id_keeps_its_uuid():
    command = derive_command_id("pty", "a key")
    assert parse_uuid(rename_id("acc", command)) == parse_uuid(command)

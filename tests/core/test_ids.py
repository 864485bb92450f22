"""Ids: derived, typed by prefix, sorted by time where the key has one."""

from uuid import UUID

import pytest
import uuid_utils
from hypothesis import given
from hypothesis import strategies as st
from typeid import TypeID

from marketplace.core.ids import derive_command_id, derive_id, is_id, parse_uuid, rename_id, render_id
from marketplace.domain.deciders import PREFIXES

uuids = st.uuids(allow_nil=True)
prefixes = st.sampled_from(sorted(PREFIXES.values()))
keys = st.text(min_size=1, max_size=60)


def uuid7(milliseconds, tail=0):
    return UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62) | tail)


@given(prefixes, uuids)
def test_an_id_keeps_its_uuid(prefix, uuid):
    text = render_id(prefix, uuid)
    assert is_id(text)
    assert is_id(text, prefix)
    assert parse_uuid(text) == uuid


@given(prefixes, uuids)
def test_an_id_is_the_typeid_that_the_package_of_that_name_makes(prefix, uuid):
    made = TypeID.from_uuid(suffix=uuid_utils.UUID(int=uuid.int), prefix=prefix)
    assert render_id(prefix, uuid) == str(made)
    assert parse_uuid(str(made)).int == made.uuid.int


def test_the_typeid_of_a_known_uuid():
    """The example of the TypeID specification, version 0.3."""
    text = render_id("prf", UUID("01890a5d-ac96-774b-bcce-b302099a8057"))
    assert text == "prf_01h455vb4pex5vsknk084sn02q"
    assert parse_uuid(text) == UUID("01890a5d-ac96-774b-bcce-b302099a8057")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ord",
        "ord_",
        "ord_01h455vb4pex5vsknk084sn02",
        "ord_01h455vb4pex5vsknk084sn02qq",
        "ord_81h455vb4pex5vsknk084sn02q",
        "ord_01H455VB4PEX5VSKNK084SN02Q",
        "ord_01h455vb4pex5vsknk084sn0lq",
        "ord_01h455vb4pex5vsknk084sn02q\n",
        "\nord_01h455vb4pex5vsknk084sn02q",
        "ord_01h455vb4pex5vsknk084sn02q ",
        "ord-01h455vb4pex5vsknk084sn02q",
        "or_01h455vb4pex5vsknk084sn02q",
        "Ord_01h455vb4pex5vsknk084sn02q",
        "order_01h455vb4pex5vsknk084sn02q",
        "ord_01h455vb4pex5vsknk084sn0٢q",
        "ord_01h455vb4pex5.sknk084sn02q",
        "ord_01h455vb4pex5>sknk084sn02q",
    ],
)
def test_what_is_no_id_is_rejected(text):
    assert not is_id(text)
    with pytest.raises(ValueError, match="is not an id"):
        parse_uuid(text)


def test_an_id_of_another_prefix_is_not_of_this_one():
    assert not is_id(render_id("ord", uuid7(1)), "grt")


@given(keys, keys)
def test_a_command_is_named_by_its_tenant_and_its_key_alone(tenant, key):
    first = derive_command_id(tenant, key)
    assert first == derive_command_id(tenant, key)
    assert is_id(first, "cmd")
    assert first != derive_command_id(f"{tenant}2", key)
    assert first != derive_command_id(tenant, f"{key}2")


def test_derivation_is_the_same_on_every_machine_and_release():
    assert derive_command_id("pty_a", "key") == "cmd_3p7kg3efvphvdbf9ceg84k8jfn"
    assert derive_id("ord", derive_command_id("pty_a", "key")) == "ord_11b8ee7w1bhz39t62yrgr66bwa"
    timed = derive_command_id("pty_a", "01890a5d-ac96-774b-bcce-b302099a8057")
    assert timed == "cmd_01h455vb4pfzassrx9704799nb"
    assert derive_id("ord", timed) == "ord_01h455vb4pe7s963vne456vdqm"


@given(st.lists(st.integers(0, 2**48 - 1), min_size=2, max_size=6, unique=True))
def test_uuid7_keys_keep_their_time_order_through_every_derivation(milliseconds):
    times = sorted(milliseconds)
    commands = [derive_command_id("pty_a", str(uuid7(time, time))) for time in times]
    orders = [derive_id("ord", command) for command in commands]
    grants = [derive_id("grt", order, "3") for order in orders]
    for ids in (commands, orders, grants):
        assert ids == sorted(ids)
        assert [parse_uuid(each).int >> 80 for each in ids] == times
        assert {parse_uuid(each).version for each in ids} == {7}


@given(keys)
def test_a_key_without_a_time_gives_a_uuid_of_version_8(key):
    uuid = parse_uuid(derive_command_id("pty_a", f"k{key}"))
    assert (uuid.version, uuid.variant) == (8, "specified in RFC 4122")


def test_random_uuids_are_keys_like_any_text():
    uuid = parse_uuid(derive_command_id("pty_a", "6a1f0c6e-9f37-4f1b-8a55-0d9f4c9f3c11"))
    assert uuid.version == 8


@given(uuids)
def test_prefix_and_salt_tell_ids_of_one_cause_apart(uuid):
    cause = render_id("cmd", uuid)
    derived = [derive_id(prefix, cause, salt) for prefix in ("ord", "grt") for salt in ("", "0", "1")]
    assert len({each[4:] for each in derived}) == len(derived)
    assert derived == [derive_id(prefix, cause, salt) for prefix in ("ord", "grt") for salt in ("", "0", "1")]


def test_an_id_derives_from_an_id_alone():
    with pytest.raises(ValueError, match="is not an id"):
        derive_id("ord", "retry-1")


def test_a_renamed_id_keeps_its_uuid():
    party = render_id("pty", uuid7(5))
    assert is_id(rename_id("acc", party), "acc")
    assert parse_uuid(rename_id("acc", party)) == parse_uuid(party)


def test_prefixes_are_three_letters_and_differ():
    assert all(len(prefix) == 3 and prefix.isalpha() and prefix.islower() for prefix in PREFIXES.values())
    assert len(set(PREFIXES.values())) == len(PREFIXES)

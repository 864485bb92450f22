"""Whatever is done to a package, a dry run answers with findings or takes it, and never falls over."""

import copy
import json
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.core.errors import Refusal
from marketplace.ocf.container import parse_zip, render_zip
from marketplace.ocf.package import MANIFEST, render_package
from tests.captable.company import live
from tests.ocf.foreign import CANCELLED, OPTION, REST, SAFE, SPLIT, STOCK, WARRANT, note, pack
from tests.ocf.package_tools import judge, seal, strip_sidecar, take_in

PACKAGES = (
    strip_sidecar(render_package(live().history)),
    pack((STOCK, OPTION, CANCELLED, REST, SAFE, WARRANT, SPLIT)),
    pack((STOCK, note())),
)
ODD = (
    *(None, "", 0, -1, 1.5, True, [], {}, [None], "x" * 300, "9" * 99, "9" * 5_000, 10**400, "-1", "+1.0", "0", "NaN"),
    *("0.0000000001", "1e5", "2024-02-30", "0001-01-01", "9999-12-31", "\x00", "tx-1", "common", "s1", "issuer"),
    *({"amount": "-0", "currency": "USD"}, {"numerator": "0", "denominator": "0"}, ["a", "a"], [[]], "UNLIMITED"),
)


def list_places(value, place=()):
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*place, key)
        yield from list_places(value[key], (*place, key))


def look_up(document, place):
    for key in place:
        document = document[key]
    return document


def damage(document, random):
    """Take something out, put something odd in its place, or something from elsewhere in the file."""
    places = list(list_places(document))
    *above, last = random.choice(places)
    parent = look_up(document, above)
    act = random.choice(["take out", "put odd", "put odd", "copy"])
    if act == "take out":
        del parent[last]
    elif act == "put odd":
        parent[last] = copy.deepcopy(random.choice(ODD))
    else:
        parent[last] = copy.deepcopy(look_up(document, random.choice(places)))


@settings(max_examples=150)
@given(st.integers(0, 10**6))
def test_a_damaged_package_is_told_or_taken(seed):
    random = Random(seed)
    files = dict(random.choice(PACKAGES))
    name = random.choice([*sorted(files), *["Transactions.ocf.json"] * 6])
    document = json.loads(files[name])
    for _ in range(random.choice([1, 1, 2])):
        damage(document, random)
    files[name] = json.dumps(document).encode()
    verdict = judge(files if name == MANIFEST else seal(files))
    problems = [each for each in verdict.findings if each.level == "problem"]
    assert (verdict.intake is None) == bool(problems)
    if verdict.intake is not None:
        render_package(take_in(seal(files)))


@given(st.binary(max_size=200), st.integers(0, 2_000))
def test_bytes_that_are_changed_in_a_zip_are_read_or_refused(noise, at):
    data = bytearray(render_zip(PACKAGES[2]))
    data[at : at + len(noise)] = noise
    refused = None
    try:
        judge(parse_zip(bytes(data)))
    except Refusal as refusal:
        refused = refusal.code
    assert refused in {None, "package_unreadable", "package_too_large", "path_unsafe"}


@pytest.mark.parametrize("member", ["quantity", "share_price"])
def test_a_number_of_thousands_of_digits_is_refused(member):
    long = "9" * 5_000
    value = long if member == "quantity" else {"amount": long, "currency": "USD"}
    assert {each.code for each in judge(pack(({**STOCK, member: value},))).findings} >= {"item_invalid"}

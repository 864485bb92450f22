"""The hash of source changes with all that the source reaches, and with nothing else."""

import pytest

from tests.support.source_walk import Name, SourceWalk

MODULE = '''
import functools
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from marketplace.prices import fees as charges
from marketplace.taxes import find_tax, unused

RATES = {"card": 3}
LIMIT = 7

def _round(value, places=2):
    """Round it."""
    return value // 10**places

class Plain:
    """What others begin with."""

    SHARE = 5

    def begin(self):
        return 11

class Kept:
    def __init__(self, first):
        self.first = first

    def __len__(self):
        return 12

    @classmethod
    def restore(cls, first):
        return cls(first + 13)

class Pair(NamedTuple):
    left: int
    right: int = 14

@dataclass(frozen=True, slots=True)
class State(Plain):
    kept: Kept
    pairs: tuple[Pair, ...] = ()
    most: int = 15
    found: list = field(default_factory=lambda: [16])

    @property
    def share(self):
        return 17

    @staticmethod
    def choose(value):
        return value + 18

    @functools.cached_property
    def whole(self):
        return 19

class Row(msgspec.Struct):
    least: int = 20
    more: list[int] = msgspec.field(default_factory=lambda: [21])

def fold(state: State, event):
    """Fold it."""
    if event > LIMIT:
        return [_round(part) for part in range(22)]
    return Row(state.share, RATES["card"], charges.find_fee(event), find_tax(event))

def query(connection):
    return connection.execute("SELECT 23")

PROJECTION = declare(name="trial", version=24, handlers={"row": fold}, ignores=frozenset((unused(),)))
'''
OTHERS = {
    "marketplace.prices": "",
    "marketplace.prices.fees": "def find_fee(event):\n    return 25\n",
    "marketplace.taxes": "from marketplace.taxes.rules import find_tax, unused\n",
    "marketplace.taxes.rules": "def find_tax(event):\n    return 26\n\ndef unused():\n    return 27\n",
}


def walk(source, others=OTHERS, stops=()):
    roots = [Name("marketplace.trial", name) for name in ("State", "PROJECTION")]
    sources = {**others, "marketplace.trial": source}
    return SourceWalk(roots, stops=stops, omits=("version", "ignores"), read=sources.get).compute_hash()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"card": 3}', '{"card": 4}'),
        ("LIMIT = 7", "LIMIT = 8"),
        ("places=2", "places=3"),
        ("// 10", "// 100"),
        ("SHARE = 5", "SHARE = 6"),
        ("return 11", "return 0"),
        ("self.first = first", "self.first = -first"),
        ("return 12", "return 0"),
        ("first + 13", "first + 0"),
        ("right: int = 14", "right: int = 0"),
        ("left: int", "left: str"),
        ("most: int = 15", "most: int = 0"),
        ("most: int", "most: str"),
        ("[16]", "[0]"),
        ("return 17", "return 0"),
        ("value + 18", "value + 0"),
        ("return 19", "return 0"),
        ("least: int = 20", "least: int = 0"),
        ("[21]", "[0]"),
        ("range(22)", "range(0)"),
        ("event > LIMIT", "event >= LIMIT"),
        ('{"row": fold}', '{"rows": fold}'),
    ],
)
def test_it_changes_with_what_is_reached(before, after):
    assert MODULE.count(before) == 1
    assert walk(MODULE.replace(before, after)) != walk(MODULE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"""Round it."""', '"""Round it down."""'),
        ('"""What others begin with."""', '"""The first one."""'),
        ("    if event", "    # the dear ones\n\n    if event"),
        ("SELECT 23", "SELECT 0"),
        ("def fold(state: State, event):", "def fold(state: object, event) -> Row:"),
        ("value // 10**places", "(value  //  10 ** places)"),
        ("version=24", "version=0"),
    ],
)
def test_it_does_not_change_with_words_lines_and_what_is_not_reached(before, after):
    assert MODULE.count(before) == 1
    assert walk(MODULE.replace(before, after)) == walk(MODULE)


@pytest.mark.parametrize(("number", "counts"), [("25", True), ("26", True), ("27", False)])
def test_it_follows_names_into_other_modules(number, counts):
    changed = {module: source.replace(number, "0") for module, source in OTHERS.items()}
    assert (walk(MODULE, changed) != walk(MODULE)) == counts


def test_it_stops_where_it_is_told_to():
    changed = {module: source.replace("26", "0") for module, source in OTHERS.items()}
    stops = ["marketplace.taxes.rules"]
    assert walk(MODULE, changed, stops) == walk(MODULE, stops=stops)
    assert walk(MODULE.replace("LIMIT = 7", "LIMIT = 8"), stops=stops) != walk(MODULE, stops=stops)


def test_a_root_that_is_not_there_is_said():
    with pytest.raises(AssertionError, match="trial defines no Absent"):
        SourceWalk([Name("marketplace.trial", "Absent")], read={"marketplace.trial": MODULE}.get)

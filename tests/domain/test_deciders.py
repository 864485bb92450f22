"""What holds of every decider, on every row of every table of refusals."""

import copy

import pytest

from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from scripts import aggregate_table, rights_table
from tests.domain.test_refusals import AGGREGATES, load_domain
from tests.support.modules import find_module


def get_decider(aggregate):
    (decider,) = {value for value in vars(load_domain(aggregate)).values() if isinstance(value, Decider)}
    return decider


def list_rows():
    for aggregate in AGGREGATES:
        module = find_module("tests.domain", f"test_{aggregate}")
        for row in (*module.REFUSALS, *module.PRECEDENCE):
            yield pytest.param(get_decider(aggregate), row, id=f"{aggregate}-{row.code}")


ROWS = list(list_rows())


@pytest.mark.parametrize(("decider", "row"), ROWS)
def test_a_refusal_changes_nothing_and_is_repeated_word_for_word(decider, row):
    state = decider.fold(row.given)
    before = copy.deepcopy(state)
    said = []
    for _ in range(2):
        with pytest.raises(Refusal) as caught:
            decider.decide(row.command, state)
        said.append((caught.value.code, caught.value.message, caught.value.facts))
    assert said[0] == said[1]
    assert state == before == decider.fold(row.given)


@pytest.mark.parametrize(("decider", "row"), ROWS)
def test_a_fold_in_two_parts_is_the_fold_of_the_whole(decider, row):
    for cut in range(len(row.given) + 1):
        assert decider.fold(row.given[cut:], decider.fold(row.given[:cut])) == decider.fold(row.given)


def test_the_table_of_aggregates_is_current():
    readme = aggregate_table.README.read_text()
    assert aggregate_table.replace_table(readme) == readme, "run scripts/render_contracts.py"


def test_the_table_of_rights_is_current():
    readme = rights_table.README.read_text()
    assert rights_table.replace_table(readme) == readme, "run scripts/render_contracts.py"


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_a_decider_is_named_as_its_module(aggregate):
    decider = get_decider(aggregate)
    assert decider.aggregate == aggregate

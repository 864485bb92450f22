"""Pending conversions in a cap table: under a stated round, as of any instant and as known at a sequence."""

from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest

from marketplace.captable.branch import begin_branch
from marketplace.captable.report import build_report
from marketplace.captable.scenario import play_scenario
from marketplace.core.errors import Refusal
from tests.captable.company import FORMED_ON, ROUND, Life, borrow, found, live

TERMS = msgspec.structs.replace(ROUND, class_id="series-s", pre_money_usd=Decimal(30_000_000))


@pytest.fixture(scope="module")
def life():
    life = Life()
    for chapter in (found, borrow):
        chapter(life)
    return life


def test_what_is_outstanding_becomes_shares_and_the_rest_of_the_table_stays(life):
    scenario = play_scenario(life.history, TERMS, life.time)
    assert scenario.before == build_report(life.history, life.time)
    converted = sum(each.shares for each in scenario.conversions)
    pricing = begin_branch(life.history, life.time).close_round(TERMS)[1]
    bought = sum(each.shares for each in pricing.allotments)
    before, after = scenario.before, scenario.after
    assert converted > 0
    assert after.outstanding_shares - before.outstanding_shares == converted + bought
    assert sum(line.outstanding_usd for line in before.instruments) > 0
    assert {line.outstanding_usd for line in after.instruments} == {Decimal(0)}
    held = sum(line.as_converted_shares for line in after.holders)
    assert abs(held + after.plan.available_shares - after.as_converted_shares) < Decimal("0.0001")
    assert scenario.price_usd_per_share == pricing.price_usd_per_share
    assert [(each.instrument_id, each.shares) for each in scenario.conversions] == [
        (each.instrument_id, each.shares) for each in pricing.conversions
    ]


def test_it_is_of_the_table_that_was_and_that_was_known():
    life = live()
    acts = [act for act in life.history.acts if type(act.event).__name__ == "InstrumentPrincipalAccrued"]
    first = acts[0]
    unknown = play_scenario(life.history, TERMS, first.time, first.sequence - 1)
    known = play_scenario(life.history, TERMS, first.time, first.sequence)
    assert unknown.before.known == unknown.after.known == first.sequence - 1
    assert sum(each.shares for each in unknown.conversions) < sum(each.shares for each in known.conversions)
    with pytest.raises(Refusal) as caught:
        play_scenario(life.history, TERMS, FORMED_ON)
    assert caught.value.code == "issuer_unknown"


def test_nothing_of_it_is_recorded(life):
    before = replace(life.history)
    play_scenario(life.history, TERMS, life.time)
    assert life.history == before

"""The auditor counts what has vested of an option as the market does, and finds a sale that pays for more."""

from datetime import date
from fractions import Fraction
from typing import get_args

import pytest
from msgspec import structs

from events.vesting import Allocation, VestingSchedule
from marketplace.auditor.equity import Equity
from marketplace.auditor.sales import Sales
from marketplace.auditor.stream import Findings
from marketplace.auditor.vesting import count_vested
from marketplace.domain.equity.issuer.rights import vesting
from marketplace.domain.equity.issuer.state import Option
from tests.auditor.test_votes import BASE, OF, TINY, build
from tests.domain.issuer_samples import GRANTED

STARTS_ON = date(2024, 1, 31)


@pytest.mark.parametrize("allocation", get_args(Allocation))
@pytest.mark.parametrize("cliff", [0, 3])
def test_what_has_vested_is_counted_as_the_market_counts_it(allocation, cliff):
    terms = {"tranches": 7, "months_between": 1, "cliff_tranches": cliff, "allocation": allocation}
    schedule = VestingSchedule(starts_on=STARTS_ON, **terms)
    for shares in (0, 1, 5, 1_000_003):
        granted = structs.replace(GRANTED, vesting=schedule)
        option = Option(granted, granted.holder_id, shares, shares, Fraction(granted.exercise_price_usd), shares)
        for day in (date(2024, 1, 31), date(2024, 2, 28), date(2024, 2, 29), date(2024, 5, 1), date(2025, 1, 1)):
            counted = count_vested({"starts_on": "2024-01-31", **terms}, shares, day)
            assert counted == vesting.count_vested(option, day)
    assert count_vested(None, 9, STARTS_ON) == 9


def declare(shares, *events, gain=2, day="2026-02-01"):
    """Return what is found of a sale that may be paid until a day and counts shares of an option on 100."""
    findings = Findings()
    equity = Equity(findings)
    sales = Sales(findings, equity)
    terms = {"starts_on": "2025-11-30", "tranches": 4, "months_between": 1, "cliff_tranches": 0}
    terms |= {"allocation": "CUMULATIVE_ROUNDING"}
    option = {"option_id": "opt_1", "holder_id": TINY, "shares": 100, "exercise_price_usd": "1", "vesting": terms}
    row = {"holder_id": TINY, "security": "opt_1", "shares": shares, "amount_exact": f"{Fraction(shares * gain)}"}
    waterfall = {"price_per_common_share_exact": "3/1", "proceeds_usd": "1", "payouts": [row] if shares else []}
    sold = {"liquidity_id": "liq_1", "waterfall": waterfall, "pay_until": f"{day}T00:00:00Z"}
    granted = ("issuer.option_granted", OF | option | {"termination_exercise_days": 30})
    for event in (*BASE, granted, *events, ("issuer.liquidity_declared", OF | sold)):
        decision = [build(event, "platform")]
        equity.take(decision)
        sales.take(decision)
    return [text for rule, _, text in findings.kept if rule == "sale"]


LEFT = {"cancellation_id": "can_1", "option_id": "opt_1", "holder_id": TINY, "shares": 0}
USED = {"exercise_id": "exr_1", "option_id": "opt_1", "holder_id": TINY, "shares": 30, "class_id": "common"}


@pytest.mark.parametrize(
    ("events", "most", "gain"),
    [
        ([], 50, 2),
        ([("issuer.option_cancelled", LEFT | {"service_ended_on": "2026-01-15"})], 25, 2),
        ([("issuer.option_exercised", USED)], 20, 2),
        ([("issuer.stock_split", {"split_id": "spl_1", "numerator": 2, "denominator": 1})], 100, Fraction(5, 2)),
    ],
    ids=["vested", "left", "exercised", "split"],
)
def test_a_sale_that_pays_for_more_of_an_option_than_vests_in_time_is_found(events, most, gain):
    events = [(name, OF | body) for name, body in events]
    assert declare(most, *events, gain=gain) == []
    [text] = declare(most + 1, *events, gain=gain)
    assert f"{most} that vest in time" in text

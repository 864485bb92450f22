"""The schedule: what it refuses, and what holds and early ends cost under it."""

from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from events.schedule import EndTerms, NearHold, NoticeFee, PlatformFee, ScheduleDepositCounted, SchedulePublished
from marketplace.domain.supply.schedule import (
    DEPOSITS_COUNTED,
    SCHEDULE,
    SCHEDULE_ID,
    STANDARD,
    CountDeposit,
    PublishSchedule,
    compute_end_fee,
    compute_hold_fee,
)
from tests.domain import build
from tests.domain.build import NAN, NOW, Row, usd
from tests.support.spec import Given


def publish(**changes):
    return PublishSchedule(schedule_id=SCHEDULE_ID, terms=replace(STANDARD, **changes))


def end(value, *notices, share="0.1"):
    fees = tuple(NoticeFee(notice_hours_min=hours, share=usd(share)) for hours in notices)
    return EndTerms(value_usd_min=usd(value), notice_hours_min=72, fees=fees)


def fee(provider="0", startup="0"):
    return PlatformFee(account_id="acc", provider_share=usd(provider), startup_share=usd(startup))


WAIVED = publish(hold_share_per_hour=usd(0), ends=())
REFUSALS = [
    Row("not_a_number", (), publish(order_usd_min=NAN), "/terms/order_usd_min"),
    Row("amount_not_positive", (), publish(order_usd_min=usd(-1)), "/terms/order_usd_min"),
    Row("amount_not_positive", (), publish(platform_fee=fee(startup="-1")), "/terms/platform_fee/startup_share"),
    Row("amount_too_large", (), publish(hold_share_per_hour=usd("1.1")), "/terms/hold_share_per_hour"),
    Row("amount_too_large", (), publish(platform_fee=fee(provider="1.1")), "/terms/platform_fee/provider_share"),
    Row("amount_too_precise", (), publish(order_usd_min=usd("0.001")), "/terms/order_usd_min"),
    *(
        Row(
            "multiple_out_of_range", (), publish(near=(NearHold(hours_max=9, multiple=each),)), "/terms/near/0/multiple"
        )
        for each in (usd(-1), usd("0.99"), NAN)
    ),
    Row("steps_unordered", (), publish(near=(NearHold(hours_max=9, multiple=usd(2)),) * 2), "/terms/near"),
    Row("steps_unordered", (), publish(ends=(end(5, 0), end(5, 0))), "/terms/ends"),
    Row("steps_unordered", (), publish(ends=(end(0, 9, 9),)), "/terms/ends/0/fees"),
]
PRECEDENCE = [Row("amount_not_positive", (), publish(order_usd_min=usd(-1), ends=(end(5, 0), end(5, 0))))]


@pytest.mark.parametrize("row", [*REFUSALS, *PRECEDENCE], ids=lambda row: row.code)
def test_refuses(row):
    build.check(SCHEDULE, row)


def test_is_published_anew_and_the_standard_one_applies_until_then():
    Given(SCHEDULE).when(publish()).then_nothing()
    Given(SCHEDULE).when(WAIVED).then(SchedulePublished(schedule_id=SCHEDULE_ID, terms=WAIVED.terms))


@given(
    price=st.fractions(min_value=0, max_value=10**10, max_denominator=100),
    held=st.integers(min_value=1, max_value=3_600),
    ahead=st.integers(min_value=0, max_value=10**7),
    more=st.integers(min_value=1, max_value=10**7),
)
def test_a_hold_costs_more_the_longer_the_nearer_and_the_larger_it_is_and_never_more_than_its_price(
    price, held, ahead, more
):
    def cost(price=price, held=held, ahead=ahead, terms=STANDARD):
        return compute_hold_fee(terms, price, NOW, NOW + timedelta(seconds=held), NOW + timedelta(seconds=ahead))

    assert cost(held=held - 1) <= cost() <= cost(price=price + 1)
    assert cost(ahead=ahead + more) <= cost(ahead=ahead + 1) <= cost() <= price + Fraction(1, 100)
    assert cost(terms=WAIVED.terms) == 0


def test_an_early_end_costs_less_at_a_longer_notice():
    terms = STANDARD.ends[0]
    notices = [timedelta(hours=hours) for hours in (0, 73, 168, 719, 720, 9_000)]
    fees = [compute_end_fee(terms.fees, Fraction(1_000), notice) for notice in notices]
    assert fees == [100, 100, 50, 50, 20, 20]


@given(
    price=st.fractions(min_value=0, max_value=10**10, max_denominator=100),
    notice=st.integers(min_value=0, max_value=10_000),
    more=st.integers(min_value=0, max_value=10_000),
    index=st.integers(min_value=0, max_value=len(STANDARD.ends) - 1),
)
def test_an_early_end_costs_no_more_at_a_longer_notice_and_never_more_than_its_price(price, notice, more, index):
    def cost(hours, price=price):
        return compute_end_fee(STANDARD.ends[index].fees, price, timedelta(hours=hours))

    assert 0 <= cost(notice + more) <= cost(notice) <= cost(notice, price + 1)
    assert cost(notice) <= price + Fraction(1, 100)


def test_a_person_records_deposits_alone_up_to_the_limit_of_a_week_once_there_is_one():
    told = {
        "schedule_id": SCHEDULE_ID,
        "person": "clerk",
        "account_id": build.id_of("acc", 1),
        "cause": build.id_of("cmd", 1),
    }
    count = CountDeposit(**told, amount_usd=usd(400), at=NOW)
    Given(SCHEDULE).when(count).then_nothing()
    published = SchedulePublished(schedule_id=SCHEDULE_ID, terms=replace(STANDARD, deposit_alone_usd=usd(1_000)))
    counted = ScheduleDepositCounted(**told, amount_usd=usd(400), at=NOW)
    Given(SCHEDULE, published).when(count).then(counted)
    state = SCHEDULE.fold([published, counted])
    ask = [(person, usd(amount), NOW) for person, amount in (("clerk", 600), ("clerk", 601), ("head", 1_000), ("", 1))]
    assert [state.needs_second(*each) for each in ask] == [False, True, False, True]
    assert not state.needs_second("clerk", usd(1_000), NOW + DEPOSITS_COUNTED)

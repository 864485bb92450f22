"""Settlement: exact to the cent, whatever the periods, and never over the holds."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.schedule import PlatformFee
from events.statement import Charges
from marketplace.core.money import CENT, ceil_cents, floor_cents, round_cents
from marketplace.domain.billing.settlement import (
    Tariff,
    build_tariff,
    compute_charges,
    compute_holder_rate,
    compute_service_credit,
    compute_totals,
    drop_equity,
    leave_cash,
    leave_to_reseller,
    settle_without_equity,
    subtract_credit,
)
from marketplace.domain.trading.order_terms import (
    compute_budget_hold,
    compute_cash_hold,
    compute_gpu_hours,
    compute_principal_max,
    compute_value,
)
from tests.domain import build
from tests.domain.build import class_offer, grant_issued, order_terms, usd
from tests.domain.walk import WALK

micros = st.one_of(st.just(0), st.integers(1, 50_000_000), st.sampled_from([1, 999_999, 1_000_000, 333_333]))
prices = micros.map(lambda number: Decimal(number).scaleb(-6))
thousandths = st.integers(0, 50_000).map(lambda number: Decimal(number).scaleb(-3))
credited = st.one_of(
    st.tuples(prices, st.sampled_from([Decimal(0), Decimal(1)])),
    st.tuples(thousandths, st.integers(0, 1_000).map(lambda number: Decimal(number).scaleb(-3))),
)
shares = st.one_of(st.just(Fraction(1)), st.fractions(0, 1, max_denominator=10**6))


@st.composite
def cases(draw):
    """Return terms, equity credit, tariff and GPU-seconds of an order whose value is above nothing."""
    equity, credit = draw(credited)
    offer = class_offer(cash_usd_per_gpu_hour=draw(prices), equity_usd_per_gpu_hour=equity)
    value = compute_value(offer, credit)
    if not value:
        offer, value = class_offer(cash_usd_per_gpu_hour=usd(1), equity_usd_per_gpu_hour=usd(0)), usd(1)
    terms = order_terms(
        nodes=draw(st.integers(1, 64)),
        gpus_per_node=draw(st.sampled_from([1, 4, 8])),
        duration_hours=draw(st.integers(1, 2_000)),
        offers=(offer,),
    )
    tariff = Tariff(
        price=Fraction(value) * draw(shares),
        cash_share=Fraction(offer.cash_usd_per_gpu_hour) / Fraction(value),
        principal_share=Fraction(offer.equity_usd_per_gpu_hour) / Fraction(value),
    )
    return terms, credit, tariff, compute_gpu_hours(terms) * 3_600


def add(parts):
    return Charges(**{name: sum(getattr(part, name) for part in parts) for name in Charges.__struct_fields__})


@WALK
@given(cases(), st.lists(st.fractions(0, 1), max_size=6))
def test_periods_sum_to_one_statement_over_the_whole(case, cuts):
    _, _, tariff, whole = case
    bounds = sorted({0, whole, *(int(whole * cut) for cut in cuts)})
    parts = [compute_charges(tariff, begin, end - begin) for begin, end in pairwise(bounds)]
    assert add(parts) == compute_charges(tariff, 0, whole)
    for part in parts:
        assert part.provider_usd == part.cash_usd + part.holder_usd
        assert min(part.provider_usd, part.cash_usd, part.holder_usd, part.principal_usd) >= 0


@WALK
@given(cases(), st.integers(0, 200), st.integers(1, 200))
def test_no_second_more_costs_anyone_less(case, before, more):
    _, _, tariff, _ = case
    charges = compute_charges(tariff, before, more)
    totals = compute_totals(tariff, before + more)
    assert totals.holder_usd <= totals.principal_usd
    assert min(charges.provider_usd, charges.cash_usd, charges.holder_usd, charges.principal_usd) >= 0


@WALK
@given(cases(), st.integers(1, 10), st.one_of(st.none(), prices))
def test_delivery_at_a_price_costs_at_least_a_cent(case, gpu_seconds, owed):
    _, _, tariff, _ = case
    totals = compute_totals(replace(tariff, owed=None if owed is None else Fraction(owed)), gpu_seconds)
    assert (totals.paid_usd >= CENT) == (tariff.price > 0)
    assert (totals.provider_usd >= CENT) == ((tariff.price if owed is None else owed) > 0)
    assert compute_totals(tariff, 0).paid_usd == 0


def test_small_usage_is_charged_a_cent_and_then_nothing_until_the_next_cent_is_due():
    tariff = Tariff(price=Fraction(1, 1_000), cash_share=Fraction(1), principal_share=Fraction(0))
    hourly = [compute_charges(tariff, hour * 3_600, 3_600).cash_usd for hour in range(16)]
    assert [hour for hour, cash in enumerate(hourly) if cash] == [0, 14]
    assert sum(hourly) == usd("0.02")


@WALK
@given(cases())
def test_nobody_pays_over_its_hold_nor_owes_over_its_offer(case):
    terms, credit, tariff, whole = case
    charges = compute_charges(tariff, 0, whole)
    assert charges.cash_usd <= compute_cash_hold(terms)
    assert charges.holder_usd <= compute_budget_hold(terms, credit)
    assert charges.holder_usd <= charges.principal_usd <= compute_principal_max(terms)
    value = Fraction(compute_value(terms.offers[0], credit))
    assert charges.provider_usd <= max(round_cents(value * compute_gpu_hours(terms)), CENT)


@WALK
@given(cases())
def test_each_share_is_within_a_cent_of_its_exact_amount(case):
    terms, credit, tariff, whole = case
    offer, hours = terms.offers[0], Fraction(whole, 3_600)
    theta = tariff.price / Fraction(compute_value(offer, credit))
    cash, equity = Fraction(offer.cash_usd_per_gpu_hour), Fraction(offer.equity_usd_per_gpu_hour)
    charges = compute_charges(tariff, 0, whole)
    least = Fraction(1, 100) if charges.provider_usd == CENT else Fraction(1, 200)
    assert abs(Fraction(charges.provider_usd) - tariff.price * hours) <= least
    assert abs(Fraction(charges.cash_usd) - theta * cash * hours) <= Fraction(1, 100)
    assert abs(Fraction(charges.holder_usd) - theta * Fraction(credit) * equity * hours) <= Fraction(3, 200)
    assert abs(Fraction(charges.principal_usd) - theta * equity * hours) <= Fraction(3, 200)


@WALK
@given(cases(), prices, st.lists(st.fractions(0, 1), max_size=6))
def test_what_is_resold_is_paid_in_full_by_buyer_and_seller_in_every_statement(case, owed, cuts):
    _, _, plain, whole = case
    tariff = replace(plain, owed=Fraction(owed))
    bounds = sorted({0, whole, *(int(whole * cut) for cut in cuts)})
    parts = [compute_charges(tariff, begin, end - begin) for begin, end in pairwise(bounds)]
    assert add(parts) == compute_charges(tariff, 0, whole)
    for part in parts:
        got = part.provider_usd + part.reseller_receives_usd
        assert got == part.cash_usd + part.holder_usd + part.reseller_pays_usd
        assert min(got, part.provider_usd, part.reseller_pays_usd, part.reseller_receives_usd) >= 0
        assert not part.reseller_pays_usd or not part.reseller_receives_usd
    assert add(parts).cash_usd == compute_charges(plain, 0, whole).cash_usd
    due = Fraction(owed) * Fraction(whole, 3_600)
    assert abs(Fraction(add(parts).provider_usd) - due) <= Fraction(1, 50)


@WALK
@given(cases(), prices, shares, shares, st.lists(st.fractions(0, 1), max_size=6))
def test_the_platform_takes_its_share_of_what_a_reseller_is_paid_or_adds(case, owed, provider_fee, startup_fee, cuts):
    _, _, plain, whole = case
    tariff = replace(plain, owed=Fraction(owed), provider_fee=provider_fee, startup_fee=startup_fee)
    bounds = sorted({0, whole, *(int(whole * cut) for cut in cuts)})
    parts = [compute_charges(tariff, begin, end - begin) for begin, end in pairwise(bounds)]
    total, totals = add(parts), compute_totals(tariff, whole)
    added, received = totals.reseller_pays_usd, totals.reseller_receives_usd
    due = Fraction(added) * startup_fee + Fraction(received) * provider_fee
    assert total.reseller_fee_usd == round_cents(due) <= added + received
    assert min(part.reseller_fee_usd for part in parts) >= 0
    assert totals.reseller_usd == (added + total.reseller_fee_usd if added else 0)
    fee = PlatformFee(account_id="acc", provider_share=Decimal("0.05"), startup_share=Decimal("0.02"))
    left = drop_equity(total, None, fee)
    assert 0 <= left.reseller_fee_usd <= total.reseller_fee_usd


@WALK
@given(cases(), prices, st.fractions(0, 1), st.booleans())
def test_a_credit_without_what_a_reseller_keeps_is_paid_in_full_by_the_others(case, owed, kept, own):
    _, _, plain, whole = case
    fee = PlatformFee(account_id="acc", provider_share=Decimal("0.05"), startup_share=Decimal("0.02"))
    rates = {"provider_fee": Fraction("0.05"), "startup_fee": Fraction("0.02"), "is_own_capacity": own}
    charged = compute_charges(replace(plain, owed=Fraction(owed), **rates), 0, whole)
    keeps = floor_cents(Fraction(charged.reseller_receives_usd) * kept)
    left = leave_to_reseller(charged, keeps, fee, is_own_capacity=own)
    assert left.provider_usd == charged.provider_usd
    assert left.reseller_receives_usd == charged.reseller_receives_usd - keeps
    assert left.provider_usd + left.reseller_receives_usd == left.cash_usd + left.holder_usd + left.reseller_pays_usd
    assert all(0 <= getattr(left, name) <= getattr(charged, name) for name in charged.__struct_fields__)
    assert left.holder_usd <= left.principal_usd


@WALK
@given(cases(), shares, shares, st.booleans(), st.lists(st.fractions(0, 1), max_size=6))
def test_the_platform_s_fees_sum_to_its_shares_and_no_fee_exceeds_what_it_is_a_part_of(
    case, provider_fee, startup_fee, own, cuts
):
    _, _, plain, whole = case
    tariff = replace(plain, provider_fee=provider_fee, startup_fee=startup_fee, is_own_capacity=own)
    bounds = sorted({0, whole, *(int(whole * cut) for cut in cuts)})
    parts = [compute_charges(tariff, begin, end - begin) for begin, end in pairwise(bounds)]
    total, totals = add(parts), compute_totals(tariff, whole)
    received = totals.cash_usd if own else totals.provider_usd
    assert total.provider_fee_usd == round_cents(Fraction(received) * provider_fee) <= received
    assert total.startup_fee_usd == round_cents(Fraction(totals.cash_usd) * startup_fee) <= totals.cash_usd
    assert min(min(part.provider_fee_usd, part.startup_fee_usd) for part in parts) >= 0
    credit = compute_service_credit(total, Decimal("0.25"))
    assert 0 <= credit.provider_fee_usd <= total.provider_fee_usd
    assert 0 <= credit.startup_fee_usd <= total.startup_fee_usd


@WALK
@given(cases(), shares)
def test_no_fee_is_above_what_was_held_for_it(case, startup_fee):
    terms, _, plain, whole = case
    cash_usd = compute_cash_hold(terms)
    paid_usd = compute_totals(replace(plain, startup_fee=startup_fee), whole).startup_usd
    assert paid_usd <= cash_usd + ceil_cents(Fraction(cash_usd) * startup_fee)


def test_without_its_equity_part_a_charge_costs_the_fee_of_what_the_provider_still_receives():
    fee = PlatformFee(account_id="acc", provider_share=Decimal("0.1"), startup_share=Decimal(0))
    tariff = Tariff(Fraction(2), Fraction(1, 2), Fraction(1, 2), provider_fee=Fraction(1, 10))
    charges, settled = compute_charges(tariff, 0, 360_000), compute_charges(tariff, 0, 180_000)
    assert (charges.provider_usd, charges.provider_fee_usd) == (200, 20)
    assert drop_equity(charges, None, fee).provider_fee_usd == 10
    assert drop_equity(charges, settled, fee).provider_fee_usd == 15
    left = leave_cash(charges, None, fee)
    assert (left.provider_usd, left.holder_usd, left.cash_usd, left.provider_fee_usd) == (100, 100, 0, 10)
    assert left.principal_usd == charges.principal_usd
    more = leave_cash(charges, settled, fee)
    assert (more.provider_usd, more.holder_usd, more.cash_usd, more.provider_fee_usd) == (150, 100, 50, 15)


@pytest.mark.parametrize("in_cash", [True, False])
def test_charges_without_an_equity_part_cost_after_a_sale_what_they_cost_before_it(in_cash):
    """The fee was rounded anew from one statement's cash: a cent off its part of the running sum."""
    tariff = Tariff(
        Fraction("2.017"), Fraction(1), Fraction(0), provider_fee=Fraction("0.05"), startup_fee=Fraction("0.0213")
    )
    fee = PlatformFee(account_id="acc", provider_share=Decimal("0.05"), startup_share=Decimal("0.0213"))
    ended = {"issuer_ended": True, "in_cash": in_cash, "is_own_capacity": False, "fee": fee}
    for day in range(30):
        charges = compute_charges(tariff, day * 86_400, 86_400)
        assert settle_without_equity(charges, None, **ended) == charges
    both = msgspec.structs.replace(charges, holder_usd=CENT, principal_usd=CENT)
    assert settle_without_equity(both, both, **ended) == both
    assert settle_without_equity(both, None, **ended).principal_usd == 0


def test_the_holder_s_rate_is_what_it_pays_for_an_hour():
    grant = grant_issued(price_usd_per_gpu_hour="1/1")
    totals = compute_totals(build_tariff(grant), 1_000 * 3_600)
    assert compute_holder_rate(grant) * 1_000 == totals.holder_usd == 400
    assert compute_holder_rate(grant_issued(equity=None)) == 0


def test_the_tariff_is_the_grant_s():
    assert build_tariff(grant_issued()) == Tariff(Fraction(2), Fraction(3, 5), Fraction(4, 5))
    cash = grant_issued(equity=None, price_usd_per_gpu_hour="7/3", cash_share="1/1")
    assert build_tariff(cash) == Tariff(Fraction(7, 3), Fraction(1), Fraction(0))


def test_a_grant_at_its_offer_costs_its_offer():
    tariff = build_tariff(grant_issued())
    assert compute_charges(tariff, 0, 57_600) == build.charges()


def test_a_cent_that_rounding_leaves_to_the_holder_is_owed_as_principal():
    tariff = Tariff(price=Fraction(2), cash_share=Fraction(1, 2), principal_share=Fraction(1, 2))
    totals = compute_totals(tariff, 18)
    assert (totals.provider_usd, totals.cash_usd, totals.principal_usd) == (usd("0.01"), 0, usd("0.01"))


def test_a_price_below_the_offer_lowers_cash_principal_and_holder_alike():
    tariff = Tariff(price=Fraction(1), cash_share=Fraction(3, 5), principal_share=Fraction(4, 5))
    totals = compute_totals(tariff, 100 * 3_600)
    assert (totals.provider_usd, totals.cash_usd) == (usd("100.00"), usd("60.00"))
    assert (totals.holder_usd, totals.principal_usd) == (usd("40.00"), usd("80.00"))


@WALK
@given(cases(), st.integers(0, 10**9), st.integers(0, 1_000).map(lambda number: Decimal(number).scaleb(-3)))
def test_a_service_credit_is_a_share_of_what_was_charged_and_is_conserved_to_the_cent(case, begin, share):
    _, _, tariff, whole = case
    before = begin % whole
    charges = compute_charges(tariff, before, whole - before)
    credit = compute_service_credit(charges, share)
    assert credit.provider_usd == credit.cash_usd + credit.holder_usd
    for name in ("provider_usd", "cash_usd", "holder_usd", "principal_usd"):
        assert 0 <= getattr(credit, name) <= getattr(charges, name)
    assert abs(Fraction(credit.cash_usd) - Fraction(charges.cash_usd) * Fraction(share)) <= Fraction(1, 200)
    net = subtract_credit(charges, credit)
    assert net.provider_usd == net.cash_usd + net.holder_usd
    # Of a period in the middle, rounding may leave a cent to the holder alone; a credit never makes it more.
    assert net.holder_usd - net.principal_usd <= max(0, charges.holder_usd - charges.principal_usd)
    assert subtract_credit(charges, None) == charges

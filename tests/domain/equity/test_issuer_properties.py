"""Standing invariants of an issuer over random acts, rounds and sales."""

from collections import Counter
from decimal import Decimal
from fractions import Fraction

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from events.financing import Investment
from events.issuer import IssuerStockIssued
from events.types import SafeTerms
from marketplace.core.errors import Refusal
from marketplace.domain.equity.issuer.commands import PayDistribution
from marketplace.domain.equity.issuer.financing.financing import list_conversions
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.rights_commands import (
    CancelOption,
    ExerciseOption,
    ExerciseWarrant,
    ExpireWarrant,
    PromiseOption,
    WithdrawPromise,
)
from marketplace.domain.equity.issuer.state import capitalization_of, list_rows, measure_ownership, total_shares
from marketplace.domain.equity.issuer.stock_commands import (
    AdjustAuthorisedShares,
    AdjustStockPlan,
    ConvertStock,
    RepurchaseStock,
    SplitStock,
    TransferStock,
)
from marketplace.equity.checker import verify
from tests.domain.issuer_samples import (
    COMPANY,
    EMPLOYEE,
    EXPIRY,
    FIN,
    FOUNDER,
    FUND,
    LIQ,
    NOON,
    OF_ISS,
    PROVIDER,
    close,
    converting,
    declare,
    grant,
    issue,
    list_owed,
    make_id,
    open_round,
    price,
    signed,
    warrant,
)

HOLDERS = st.sampled_from([FOUNDER, EMPLOYEE, PROVIDER])
CLASSES = st.sampled_from(["common", "seed"])
SHARES = st.sampled_from([1, 3, 999, 50_000, 400_000, 2_000_000])
NUMBERS = st.integers(1, 9)
EXPIRY_OVER = EXPIRY.replace(year=2031)
IDS = st.integers(1, 10**6)
ACTS = st.one_of(
    st.builds(
        lambda number, **fields: issue(security_id=make_id("sec", number), **fields),
        NUMBERS,
        holder_id=HOLDERS,
        class_id=CLASSES,
        shares=SHARES,
    ),
    st.builds(
        lambda number, **fields: TransferStock(**OF_ISS, transfer_id=make_id("trf", number), at=NOON, **fields),
        IDS,
        holder_id=HOLDERS,
        holder_id_after=HOLDERS,
        class_id=CLASSES,
        shares=SHARES,
    ),
    st.builds(
        lambda number, **fields: RepurchaseStock(
            **OF_ISS, repurchase_id=make_id("rep", number), price_usd_per_share=Decimal(1), **fields
        ),
        IDS,
        holder_id=HOLDERS,
        class_id=CLASSES,
        shares=SHARES,
    ),
    st.builds(
        lambda number, **fields: ConvertStock(
            **OF_ISS, conversion_id=make_id("cnv", number), class_id="seed", class_id_after="common", **fields
        ),
        IDS,
        holder_id=HOLDERS,
        shares=SHARES,
    ),
    st.builds(
        lambda number, **fields: SplitStock(**OF_ISS, split_id=make_id("spl", number), **fields),
        IDS,
        numerator=st.sampled_from([1, 2, 10]),
        denominator=st.sampled_from([1, 2, 10]),
    ),
    st.builds(lambda reserved: AdjustStockPlan(**OF_ISS, shares_reserved=reserved), SHARES),
    st.builds(
        lambda class_id, most: AdjustAuthorisedShares(**OF_ISS, class_id=class_id, shares_authorised=most),
        CLASSES,
        st.sampled_from([1_000, 9_000_000, 50_000_000]),
    ),
    st.builds(
        lambda number, holder, shares: PromiseOption(
            **OF_ISS, promise_id=make_id("prm", number), holder_id=holder, shares=shares
        ),
        NUMBERS,
        HOLDERS,
        SHARES,
    ),
    st.builds(lambda number: WithdrawPromise(**OF_ISS, promise_id=make_id("prm", number), reason="x"), NUMBERS),
    st.builds(
        lambda number, shares, promise: grant(
            option_id=make_id("opt", number), shares=shares, promise_id=promise and make_id("prm", promise)
        ),
        NUMBERS,
        SHARES,
        st.none() | NUMBERS,
    ),
    st.builds(
        lambda number, act, shares: ExerciseOption(
            **OF_ISS,
            exercise_id=make_id("exr", act),
            option_id=make_id("opt", number),
            class_id="common",
            shares=shares,
            at=NOON,
        ),
        NUMBERS,
        IDS,
        SHARES,
    ),
    st.builds(
        lambda number, act, shares: CancelOption(
            **OF_ISS,
            cancellation_id=make_id("can", act),
            option_id=make_id("opt", number),
            shares=shares,
            kind="cancelled",
            reason="x",
            at=NOON,
        ),
        NUMBERS,
        IDS,
        SHARES,
    ),
    st.builds(lambda number, shares: warrant(warrant_id=make_id("wrt", number), shares=shares), NUMBERS, SHARES),
    st.builds(
        lambda number, act, shares, value: ExerciseWarrant(
            **OF_ISS,
            exercise_id=make_id("exr", act),
            warrant_id=make_id("wrt", number),
            shares=shares,
            fair_value_usd=value,
            at=NOON,
        ),
        NUMBERS,
        IDS,
        SHARES,
        st.none() | st.integers(1, 9).map(Decimal),
    ),
    st.builds(lambda number: ExpireWarrant(**OF_ISS, warrant_id=make_id("wrt", number), at=EXPIRY_OVER), NUMBERS),
)


def play(commands, state):
    """Return the state after the commands that were not refused."""
    for command in commands:
        try:
            state = ISSUER.fold(ISSUER.decide(command, state), state)
        except Refusal:
            continue
    return state


@given(st.lists(ACTS, max_size=30))
def test_the_rows_of_the_cap_table_sum_to_its_total(acts):
    state = play(acts, ISSUER.fold(COMPANY))
    totals, rows = total_shares(state), list_rows(state)
    by_kind = Counter()
    for row in rows:
        by_kind[row.kind] += row.shares
    assert sum(row.shares for row in rows) == totals.fully_diluted
    assert [by_kind[kind] for kind in ("stock", "option", "warrant", "promised", "pool")] == list(totals[:5])
    assert all(row.shares > 0 for row in rows[:-1])
    assert capitalization_of(state).fully_diluted == totals.fully_diluted
    assert sum(measure_ownership(state).values()) == (1 if totals.fully_diluted else 0)


@given(st.lists(ACTS, max_size=30))
def test_no_class_is_over_issued_and_no_pool_overdrawn(acts):
    state = play(acts, ISSUER.fold(COMPANY))
    for class_id, stock_class in state.classes.items():
        held = sum(shares for (_, of_class), shares in state.holdings.items() if of_class == class_id)
        assert stock_class.shares_outstanding == held
        assert held <= stock_class.shares_authorised
    assert state.shares_available >= 0


TERMS = st.builds(
    SafeTerms,
    conversion_timing=st.sampled_from(["post_money", "pre_money"]),
    valuation_cap_usd=st.none() | st.integers(6_000_000, 60_000_000).map(Decimal),
    discount=st.none() | st.integers(0, 40).map(lambda percent: Decimal(percent).scaleb(-2)),
)
STACKS = st.lists(st.tuples(st.integers(1, 100_000_000), TERMS), max_size=8).map(
    lambda stack: tuple(
        converting(number, Decimal(cents).scaleb(-2), terms, make_id("pty", 50 + number % 3))
        for number, (cents, terms) in enumerate(stack)
    )
)
ROUNDS = st.fixed_dictionaries(
    {
        "pre_money_usd": st.integers(5_000_000, 80_000_000).map(Decimal),
        "investments": st.integers(100_000, 20_000_000).map(
            lambda amount: (
                Investment(holder_id=FUND, amount_usd=Decimal(amount)),
                Investment(holder_id=PROVIDER, amount_usd=Decimal(amount) / 4),
            )
        ),
        "pool_post_money": st.integers(0, 20).map(lambda percent: Decimal(percent).scaleb(-2)),
        "pricing_convention": st.sampled_from(["percent_ownership", "dollars_invested", "pre_money_method"]),
        "share_rounding": st.sampled_from(["floor", "nearest", "ceiling"]),
        "capitalization_definition": st.sampled_from(["yc_standard", "existing_fully_diluted", "outstanding"]),
        "pool_timing": st.sampled_from(["pre_money", "post_money"]),
        "price_rounding": st.sampled_from(["floor", "ceiling", "half_up", "half_even"]),
    }
)


@given(STACKS, ROUNDS, st.randoms())
def test_a_round_with_any_stack_of_safes_closes_on_what_was_priced(stack, terms, random):
    state = play([open_round(**terms)], ISSUER.fold([*COMPANY, *signed(*stack)]))
    try:
        (event,) = ISSUER.decide(price(*stack), state)
    except Refusal:
        return
    state = ISSUER.fold([event], state)
    pricing = event.pricing
    assert verify(msgspec.json.decode(pricing.certificate_json)) == []
    shuffled = random.sample(stack, len(stack))
    closing = ISSUER.decide(close(*shuffled), state)
    after = ISSUER.fold(closing, state)
    assert total_shares(after).fully_diluted == pricing.post_money_shares
    assert sum(measure_ownership(after).values()) == 1
    issued = [event for event in closing if isinstance(event, IssuerStockIssued)]
    assert len({event.security_id for event in issued}) == len(issued)
    assert sum(conversion.shares for conversion in list_conversions(after, FIN)) == sum(
        conversion.shares for conversion in pricing.conversions
    )
    for row in (*pricing.conversions, *pricing.allotments):
        assert abs(row.shares - Fraction(row.shares_exact)) < 1


@given(STACKS, st.integers(1, 10**10))
def test_a_sale_pays_out_its_proceeds_to_the_cent(stack, cents):
    proceeds = Decimal(cents).scaleb(-2)
    state = ISSUER.fold([*COMPANY, *signed(*stack)])
    try:
        (declared,) = ISSUER.decide(declare(proceeds, *stack), state)
    except Refusal:
        return
    assert all(payout.amount_usd >= 0 for payout in declared.waterfall.payouts)
    (paid,) = ISSUER.decide(
        PayDistribution(**OF_ISS, liquidity_id=LIQ, outstanding=list_owed(*stack), at=NOON),
        ISSUER.fold([declared], state),
    )
    assert paid.amount_usd == proceeds

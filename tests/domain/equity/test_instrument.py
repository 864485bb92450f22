"""Instruments: how principal accrues, reverses, converts and is repaid, and what is refused in which order."""

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from events.financing import ConvertingInstrument
from events.instrument import (
    InstrumentAmended,
    InstrumentCancelled,
    InstrumentConverted,
    InstrumentIssued,
    InstrumentLapsed,
    InstrumentPrincipalAccrued,
    InstrumentPrincipalReversed,
    InstrumentRepaid,
    InstrumentResumed,
    InstrumentSuspended,
    InstrumentTransferred,
)
from events.types import SafeTerms, StockTerms, WarrantTerms
from marketplace.core.errors import Refusal
from marketplace.core.money import render_ratio
from marketplace.domain.equity.instrument.commands import (
    AccruePrincipal,
    AmendInstrument,
    CancelInstrument,
    ConvertInstrument,
    IssueInstrument,
    LapseInstrument,
    RepayInstrument,
    ResumeInstrument,
    ReversePrincipal,
    SuspendInstrument,
    TransferInstrument,
)
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from tests.domain.build import draw
from tests.support.spec import Given


def make_id(prefix, number):
    return f"{prefix}_{number:026d}"


INS, ISS, FUND, GRANT = make_id("ins", 1), make_id("iss", 1), make_id("pty", 9), make_id("grt", 1)
ROUND, SALE = make_id("fin", 1), make_id("liq", 1)
CAP_10M = SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal(10_000_000), service_consequence="credit")
CAP_12M = SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal(12_000_000), service_consequence="credit")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OF_INS = {"instrument_id": INS, "issuer_id": ISS, "holder_id": FUND}

DRAWDOWN = {"funding": "drawdown", "grant_id": GRANT, "draw": draw()}
AT_ONCE = {"funding": "paid_at_once", "grant_id": None, "draw": None}
ISSUED = InstrumentIssued(**OF_INS, **DRAWDOWN, terms=CAP_10M, commitment_usd=Decimal(1000))
PAID_AT_ONCE = InstrumentIssued(**OF_INS, terms=CAP_10M, commitment_usd=Decimal(1000), funding="paid_at_once")
SUSPENDED = InstrumentSuspended(instrument_id=INS, reason="provider in dispute")
LAPSED = InstrumentLapsed(**OF_INS, undrawn_usd=Decimal(1000), reason="grant completed")
CANCELLED = InstrumentCancelled(instrument_id=INS, reason="never signed", at=NOON)


def accrued(number, principal, version=1, statement=True):
    return InstrumentPrincipalAccrued(
        **OF_INS,
        tranche_id=make_id("trn", number),
        principal_usd=Decimal(principal),
        statement_id=make_id("stm", number) if statement else None,
        terms_version=version,
        interest_from=date(2026, 3, 1),
    )


def reversal(number, principal, reason="clawback"):
    return InstrumentPrincipalReversed(
        **OF_INS, tranche_id=make_id("trn", number), principal_usd=Decimal(principal), reason=reason
    )


def converted(principal, shares=100, cause=ROUND):
    return InstrumentConverted(
        **OF_INS,
        cause=cause,
        principal_usd=Decimal(principal),
        amount_exact=render_ratio(Decimal(principal)),
        branch="cap",
        price_usd_per_share="7/3",
        class_id="series-a",
        shares_exact="401/4",
        shares=shares,
    )


def repaid(principal, amount):
    return InstrumentRepaid(**OF_INS, cause=SALE, principal_usd=Decimal(principal), amount_usd=Decimal(amount))


def amended(terms, version, earlier):
    return InstrumentAmended(instrument_id=INS, terms=terms, terms_version=version, applies_to_earlier=earlier)


def issue(**changes):
    fields = {
        **OF_INS,
        **DRAWDOWN,
        "terms": CAP_10M,
        "commitment_usd": Decimal(1000),
    }
    return IssueInstrument(**{**fields, **changes})


def accrue(number, principal, **changes):
    fields = {
        "instrument_id": INS,
        "tranche_id": make_id("trn", number),
        "principal_usd": Decimal(principal),
        "statement_id": make_id("stm", number),
        "on_day": date(2026, 3, 1),
    }
    return AccruePrincipal(**{**fields, **changes})


def take_back(number, principal, reason="clawback", **settled):
    return ReversePrincipal(
        instrument_id=INS,
        tranche_id=make_id("trn", number),
        principal_usd=Decimal(principal),
        reason=reason,
        **settled,
    )


def convert(principal, **changes):
    fields = {
        "instrument_id": INS,
        "cause": ROUND,
        "principal_usd": Decimal(principal),
        "amount_exact": Fraction(principal),
        "branch": "cap",
        "price": Fraction(7, 3),
        "class_id": "series-a",
        "shares_exact": Fraction(401, 4),
        "shares": 100,
    }
    return ConvertInstrument(**{**fields, **changes})


def amend(terms, earlier=False):
    return AmendInstrument(instrument_id=INS, terms=terms, applies_to_earlier=earlier)


def repay(amount, cause=SALE):
    return RepayInstrument(instrument_id=INS, cause=cause, amount_usd=Decimal(amount))


SUSPEND = SuspendInstrument(instrument_id=INS, reason="provider in dispute")
RESUME = ResumeInstrument(instrument_id=INS)
LAPSE = LapseInstrument(instrument_id=INS, reason="grant completed")
CANCEL = CancelInstrument(instrument_id=INS, reason="never signed", at=NOON)

ACCEPTED = {
    "an instrument is issued": ([], issue(), [ISSUED]),
    "an accepted statement makes a tranche": ([ISSUED], accrue(1, "12.34"), [accrued(1, "12.34")]),
    "the whole commitment accrues": ([ISSUED, accrued(1, 400)], accrue(2, 600), [accrued(2, 600)]),
    "a payment makes a tranche": (
        [PAID_AT_ONCE],
        accrue(1, 1000, statement_id=None),
        [accrued(1, 1000, statement=False)],
    ),
    "part of a tranche is reversed": ([ISSUED, accrued(1, 400)], take_back(1, 150), [reversal(1, 150)]),
    "what was reversed may be drawn again": (
        [ISSUED, accrued(1, 1000), reversal(1, 300)],
        accrue(2, 300),
        [accrued(2, 300)],
    ),
    "a second reversal has a reason of its own": (
        [ISSUED, accrued(1, 400), reversal(1, 150)],
        take_back(1, 250, "terminated"),
        [reversal(1, 250, "terminated")],
    ),
    "a lapsed instrument is still clawed back": (
        [ISSUED, accrued(1, 400), LAPSED],
        take_back(1, 400),
        [reversal(1, 400)],
    ),
    "it is suspended": ([ISSUED], SUSPEND, [SUSPENDED]),
    "it is resumed": ([ISSUED, SUSPENDED], RESUME, [InstrumentResumed(instrument_id=INS)]),
    "it lapses with what was not drawn": (
        [ISSUED, accrued(1, 400), reversal(1, 100)],
        LAPSE,
        [InstrumentLapsed(**OF_INS, undrawn_usd=Decimal(700), reason="grant completed")],
    ),
    "a suspended instrument lapses": ([ISSUED, SUSPENDED], LAPSE, [LAPSED]),
    "terms are amended": ([ISSUED], amend(CAP_12M), [amended(CAP_12M, 2, earlier=False)]),
    "an amendment is widened to earlier tranches": (
        [ISSUED, amended(CAP_12M, 2, earlier=False)],
        amend(CAP_12M, earlier=True),
        [amended(CAP_12M, 3, earlier=True)],
    ),
    "a tranche is born under the latest terms": (
        [ISSUED, amended(CAP_12M, 2, earlier=False)],
        accrue(1, 10),
        [accrued(1, 10, version=2)],
    ),
    "all that is outstanding converts": (
        [ISSUED, accrued(1, 400), accrued(2, 300), reversal(1, 100)],
        convert(600),
        [converted(600)],
    ),
    "a lapsed instrument converts": ([ISSUED, accrued(1, 400), LAPSED], convert(400), [converted(400)]),
    "delivery after a conversion accrues": ([ISSUED, accrued(1, 400), converted(400)], accrue(2, 50), [accrued(2, 50)]),
    "later tranches convert in the next financing": (
        [ISSUED, accrued(1, 400), converted(400), accrued(2, 50)],
        convert(50, cause=make_id("fin", 2)),
        [converted(50, cause=make_id("fin", 2))],
    ),
    "a run under other terms converts at its own price": (
        [ISSUED, accrued(1, 400), amended(CAP_12M, 2, earlier=False), accrued(2, 400, version=2), converted(400)],
        convert(400, position=1),
        [converted(400)],
    ),
    "it is repaid for less than its principal": ([ISSUED, accrued(1, 400)], repay("0"), [repaid(400, 0)]),
    "it is cancelled": ([ISSUED], CANCEL, [CANCELLED]),
    "it is cancelled when all was reversed": ([ISSUED, accrued(1, 400), reversal(1, 400)], CANCEL, [CANCELLED]),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name):
    events, command, expected = ACCEPTED[name]
    Given(INSTRUMENT, *events).when(command).then(*expected)


NOTHING_NEW = {
    "a statement accepted twice": ([ISSUED, accrued(1, 400), SUSPENDED], accrue(1, 400)),
    "a conversion for the same cause": ([ISSUED, accrued(1, 400), converted(400), accrued(2, 9)], convert(400)),
    "a reversal for the same reason": ([ISSUED, accrued(1, 400), reversal(1, 150)], take_back(1, 150)),
    "a resumption of what is active": ([ISSUED], RESUME),
    "an amendment to the present terms": ([ISSUED], amend(CAP_10M)),
}


@pytest.mark.parametrize("name", NOTHING_NEW)
def test_nothing_new(name):
    events, command = NOTHING_NEW[name]
    Given(INSTRUMENT, *events).when(command).then_nothing()


MEMBERS = {"conversion_timing": "post_money", "service_consequence": "credit"}
WHOLE = SafeTerms(**MEMBERS, discount=Decimal(1))
TINY_CAP = SafeTerms(**MEMBERS, valuation_cap_usd=Decimal(1000))
DRAWN = [ISSUED, accrued(1, 400)]
KEYLESS = make_id("stk", 1)
OF_KEYLESS = [replace(PAID_AT_ONCE, holder_id=KEYLESS)]
PASSED_ON = InstrumentTransferred(**{**OF_INS, "holder_id": KEYLESS}, holder_id_after=FUND, principal_usd=Decimal(0))


def pass_on(**sides):
    return TransferInstrument(**{"instrument_id": INS, "holder_id": KEYLESS, "holder_id_after": FUND, **sides})


def test_an_instrument_of_a_holder_without_a_key_passes_to_the_party_that_it_is():
    """It stayed with a holder that could neither vote with it nor be paid here."""
    Given(INSTRUMENT, *OF_KEYLESS).when(pass_on()).then(PASSED_ON)
    Given(INSTRUMENT, *OF_KEYLESS, PASSED_ON).when(pass_on()).then()
    (event,) = INSTRUMENT.decide(accrue(1, 9, statement_id=None), INSTRUMENT.fold([*OF_KEYLESS, PASSED_ON]))
    assert event.holder_id == FUND


REFUSED = {
    "issue": [
        ("instrument_exists", [ISSUED], issue(commitment_usd=Decimal(2000))),
        ("amount_not_positive", [], issue(commitment_usd=Decimal(0), terms=WHOLE)),
        ("amount_too_large", [], issue(commitment_usd=Decimal("1e15") + 1)),
        ("amount_too_precise", [], issue(commitment_usd=Decimal("1e-6"))),
        ("not_a_number", [], issue(terms=SafeTerms(**MEMBERS, valuation_cap_usd=Decimal("NaN")))),
        ("amount_too_large", [], issue(terms=SafeTerms(**MEMBERS, discount=Decimal(2)))),
        ("discount_whole", [], issue(terms=WHOLE)),
        ("cap_below_commitment", [], issue(terms=TINY_CAP, grant_id=None)),
        ("consequence_missing", [], issue(terms=SafeTerms(conversion_timing="post_money"), grant_id=None)),
        ("grant_missing", [], issue(grant_id=None)),
        ("grant_unexpected", [], issue(funding="paid_at_once")),
    ],
    "accrue": [
        ("instrument_unknown", [], accrue(1, 0)),
        ("amount_not_positive", DRAWN, accrue(1, 0)),
        ("tranche_exists", DRAWN, accrue(1, 401)),
        ("statement_accrued", [*DRAWN, SUSPENDED], accrue(2, 400, statement_id=make_id("stm", 1))),
        ("instrument_suspended", [*DRAWN, SUSPENDED], accrue(2, 10, statement_id=None)),
        ("instrument_lapsed", [*DRAWN, LAPSED], accrue(2, 10)),
        ("instrument_cancelled", [ISSUED, CANCELLED], accrue(2, 10)),
        ("instrument_repaid", [*DRAWN, repaid(400, 400)], accrue(2, 10)),
        ("statement_missing", DRAWN, accrue(2, 9999, statement_id=None)),
        ("statement_unexpected", [PAID_AT_ONCE], accrue(2, 9999)),
        ("payment_made", [PAID_AT_ONCE, accrued(1, 9, statement=False)], accrue(2, 9999, statement_id=None)),
        ("commitment_exceeded", DRAWN, accrue(2, "600.01")),
    ],
    "reverse": [
        ("instrument_unknown", [], take_back(1, 10)),
        ("amount_not_positive", DRAWN, take_back(7, -1)),
        ("tranche_unknown", DRAWN, take_back(7, 10)),
        ("reversal_exists", [*DRAWN, reversal(1, 5)], take_back(1, 9999)),
        ("tranche_exceeded", DRAWN, take_back(1, 401)),
        ("tranche_exceeded", [*DRAWN, converted(400)], take_back(1, 401)),
        ("missing_convention", [*DRAWN, converted(400)], take_back(1, 1)),
    ],
    "draw": [
        ("instrument_lapsed", [ISSUED, LAPSED], SUSPEND),
        ("instrument_cancelled", [ISSUED, CANCELLED], RESUME),
        ("instrument_repaid", [*DRAWN, repaid(400, 400)], LAPSE),
    ],
    "amend": [
        ("discount_whole", [ISSUED, CANCELLED], amend(WHOLE)),
        ("cap_below_commitment", [ISSUED, CANCELLED], amend(TINY_CAP)),
        ("instrument_cancelled", [ISSUED, CANCELLED], amend(CAP_12M)),
    ],
    "transfer": [
        ("instrument_not_held", OF_KEYLESS, pass_on(holder_id=make_id("stk", 2))),
        ("transfer_excluded", DRAWN, pass_on(holder_id=FUND)),
        ("transfer_excluded", OF_KEYLESS, pass_on(holder_id_after=make_id("stk", 2))),
        ("transfer_excluded", [*OF_KEYLESS, CANCELLED], pass_on()),
        ("instrument_not_held", [*OF_KEYLESS, PASSED_ON], pass_on(holder_id_after=make_id("pty", 7))),
    ],
    "convert": [
        ("conversion_exists", [*DRAWN, converted(400)], convert(0)),
        ("amount_not_positive", [ISSUED], convert(0)),
        ("nothing_to_convert", [ISSUED], convert(400)),
        ("nothing_to_convert", [*DRAWN, converted(400)], convert(400, cause=make_id("fin", 2))),
        ("principal_stale", DRAWN, convert(399, shares=-1)),
        ("principal_stale", DRAWN, convert(400, position=1)),
        ("shares_missing", DRAWN, convert(400, shares=-1)),
        ("shares_missing", DRAWN, convert(400, price=Fraction(0))),
    ],
    "repay": [
        ("amount_not_positive", [*DRAWN, repaid(400, 400)], repay(-1)),
        ("repayment_exists", [*DRAWN, repaid(400, 400)], repay(399)),
        ("nothing_to_repay", [ISSUED], repay(1)),
        ("nothing_to_repay", [*DRAWN, repaid(400, 400)], repay(1, cause=make_id("liq", 2))),
    ],
    "cancel": [
        ("time_naive", DRAWN, CancelInstrument(instrument_id=INS, reason="x", at=NOON.replace(tzinfo=None))),
        ("principal_accrued", DRAWN, CANCEL),
        ("principal_accrued", [*DRAWN, converted(400)], CANCEL),
    ],
}


@pytest.mark.parametrize(
    ("code", "events", "command"),
    [row for rows in REFUSED.values() for row in rows],
    ids=[f"{name}-{row[0]}" for name, rows in REFUSED.items() for row in rows],
)
def test_refused(code, events, command):
    Given(INSTRUMENT, *events).when(command).refused(code)


@pytest.mark.parametrize("cap", [500, 1000])
def test_a_pre_money_cap_that_does_not_exceed_the_money_is_refused_at_signing_as_it_would_be_in_every_round(cap):
    terms = SafeTerms(conversion_timing="pre_money", valuation_cap_usd=Decimal(cap), service_consequence="credit")
    Given(INSTRUMENT).when(issue(terms=terms)).refused("cap_below_commitment", "/terms/valuation_cap_usd")


def test_priced_stock_that_could_never_buy_a_share_is_refused_at_signing():
    terms = StockTerms(class_id="common", price_usd_per_share=Decimal("1000.01"), service_consequence="credit")
    Given(INSTRUMENT).when(issue(terms=terms)).refused("conversion_empty", "/terms/price_usd_per_share")


@pytest.mark.parametrize(("price", "lost"), [("600", True), ("990.01", False), ("1.25", False), ("501", True)])
def test_priced_stock_that_forfeits_more_than_a_hundredth_of_its_money_is_refused_at_signing(price, lost):
    """1,999,999 USD bought one share at a million, and the rest was gone to the company."""
    ends = datetime(2030, 1, 1, tzinfo=UTC)
    for terms in (
        StockTerms(class_id="common", price_usd_per_share=Decimal(price)),
        WarrantTerms(
            class_id="common",
            price_usd_per_share=Decimal(price),
            exercise_price_usd=Decimal("0.01"),
            expires_at=ends,
            settlement="cash",
        ),
    ):
        if lost:
            Given(INSTRUMENT).when(issue(terms=terms, **AT_ONCE)).refused(
                "conversion_coarse", "/terms/price_usd_per_share"
            )
        else:
            assert INSTRUMENT.decide(issue(terms=terms, **AT_ONCE), None)


def test_runs_split_where_terms_change_and_join_where_an_amendment_reaches_back():
    events = [ISSUED, accrued(1, 400), amended(CAP_12M, 2, earlier=False), accrued(2, 300, version=2)]
    state = INSTRUMENT.fold(events)
    assert [(run.terms, run.principal_usd) for run in state.list_runs()] == [(CAP_10M, 400), (CAP_12M, 300)]
    joined = INSTRUMENT.fold([amended(CAP_12M, 3, earlier=True)], state)
    assert joined.list_converting() == (
        ConvertingInstrument(instrument_id=INS, holder_id=FUND, principal_usd=Decimal(700), terms=CAP_12M),
    )


AMOUNTS = st.integers(1, 60_000).map(lambda cents: Decimal(cents).scaleb(-2))
LARGE = st.sampled_from([Decimal(400), Decimal(600), Decimal(1000)])
NUMBERS = st.integers(1, 6)
ACTS = st.one_of(
    *[st.builds(accrue, NUMBERS, LARGE)] * 5,
    *[st.builds(accrue, NUMBERS, AMOUNTS)] * 2,
    st.builds(
        take_back,
        NUMBERS,
        AMOUNTS,
        st.sampled_from(["clawback", "termination", "audit"]),
        reduction=st.sampled_from([None, "debt", "cancel_shares"]),
        shares_held=st.integers(0, 60),
    ),
    st.builds(lambda principal, number: convert(principal, cause=make_id("fin", number)), AMOUNTS, NUMBERS),
    st.builds(lambda number: ("convert all", number), NUMBERS),
    st.builds(repay, AMOUNTS),
    st.builds(amend, st.sampled_from([CAP_10M, CAP_12M]), st.booleans()),
    st.sampled_from([SUSPEND, RESUME, LAPSE, CANCEL]),
)


@given(st.lists(ACTS, min_size=1, max_size=25))
def test_principal_is_accrued_less_reversed_and_within_the_commitment(acts):
    state, log = INSTRUMENT.fold([ISSUED]), []
    for act in acts:
        command = act
        if isinstance(act, tuple):
            runs = state.list_runs()
            command = convert(runs[0].principal_usd if runs else 1, cause=make_id("fin", act[1]))
        try:
            new = INSTRUMENT.decide(command, state)
        except Refusal:
            continue
        log.extend(new)
        state = INSTRUMENT.fold(new, state)
        total = {kind: sum((e.principal_usd for e in log if isinstance(e, kind)), Decimal(0)) for kind in MOVEMENTS}
        assert state.principal_usd == total[InstrumentPrincipalAccrued] - total[InstrumentPrincipalReversed]
        assert 0 <= state.principal_usd <= state.issued.commitment_usd
        assert state.converted_usd == total[InstrumentConverted] - sum_taken(log, "shares")
        settled = total[InstrumentConverted] + total[InstrumentRepaid] - sum_taken(log, "shares", "money")
        assert state.outstanding_usd == state.principal_usd - settled
        assert all(tranche.outstanding_usd >= 0 for tranche in state.tranches)
        statements = [tranche.statement_id for tranche in state.tranches]
        assert len(statements) == len(set(statements))


def sum_taken(log, *became):
    taken = [event for event in log if isinstance(event, InstrumentPrincipalReversed) and event.became in became]
    return sum((event.principal_usd for event in taken), Decimal(0))


MOVEMENTS = (InstrumentPrincipalAccrued, InstrumentPrincipalReversed, InstrumentConverted, InstrumentRepaid)

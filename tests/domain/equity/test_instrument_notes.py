"""Convertible notes and most-favoured SAFEs: from the agreement through a financing and a repayment."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from msgspec import structs

from events.financing import ConvertingInstrument, DatedPrincipal
from events.instrument import (
    InstrumentAmended,
    InstrumentIssued,
    InstrumentMatured,
    InstrumentMfnElected,
    InstrumentMfnNoticed,
    InstrumentRepaid,
)
from events.types import NoteTerms, SafeTerms
from marketplace.domain.equity.instrument.commands import (
    AccruePrincipal,
    AmendInstrument,
    ElectMfn,
    ImportInstrument,
    IssueInstrument,
    MatureNote,
    NoticeMfn,
    RepayNote,
)
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.instrument.mfn import gives_up
from marketplace.domain.equity.issuer.financing.financing import list_conversions
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.equity.checker import verify
from tests.domain.build import draw
from tests.domain.equity.test_instrument import FUND, INS, ISS, SALE, accrued, issue, repay
from tests.domain.equity.test_instrument import ISSUED as SAFE_ISSUED
from tests.domain.issuer_samples import COMPANY, FIN, NOON, PROVIDER, close, make_id, open_round, price, signed
from tests.support.spec import Given

OF_INS = {"instrument_id": INS, "issuer_id": ISS, "holder_id": FUND}
NOTE = NoteTerms(
    service_consequence="credit",
    annual_rate=Decimal("0.08"),
    interest="simple",
    day_count="actual_365",
    matures_on=date(2028, 3, 1),
    valuation_cap_usd=Decimal(8_000_000),
    discount=Decimal("0.20"),
)
ISSUED = InstrumentIssued(**OF_INS, terms=NOTE, commitment_usd=Decimal(1_000_000), funding="paid_at_once")
PAID = [ISSUED, accrued(1, 100_000, statement=False)]
REPAYMENT = make_id("pay", 1)


def repay_note(day, cause=REPAYMENT):
    return RepayNote(instrument_id=INS, cause=cause, on_day=day)


def test_a_note_is_signed():
    command = IssueInstrument(**OF_INS, terms=NOTE, commitment_usd=Decimal(1_000_000), funding="paid_at_once")
    Given(INSTRUMENT).when(command).then(ISSUED)


def test_a_note_converts_by_the_day_from_which_each_part_earns_interest():
    state = INSTRUMENT.fold(PAID)
    assert state.list_converting() == (
        ConvertingInstrument(
            instrument_id=INS,
            holder_id=FUND,
            principal_usd=Decimal(100_000),
            terms=NOTE,
            accruals=(DatedPrincipal(interest_from=date(2026, 3, 1), principal_usd=Decimal(100_000)),),
        ),
    )


def mature(day):
    return MatureNote(instrument_id=INS, at=datetime(day.year, day.month, day.day, tzinfo=UTC))


def matured(day, amount_exact, amount_usd, principal=100_000):
    return InstrumentMatured(
        **OF_INS,
        matures_on=day,
        principal_usd=Decimal(principal),
        amount_exact=amount_exact,
        amount_usd=Decimal(amount_usd),
    )


def test_a_note_falls_due_the_day_after_its_last_and_once():
    owed = 100_000 * (1 + Fraction(8, 100) * Fraction(731, 365))
    due = matured(date(2028, 3, 1), f"{owed.numerator}/{owed.denominator}", "116021.92")
    Given(INSTRUMENT, *PAID).when(mature(date(2028, 3, 1))).refused("note_runs")
    Given(INSTRUMENT, *PAID).when(mature(date(2028, 3, 2))).then(due)
    Given(INSTRUMENT, *PAID, due).when(mature(date(2030, 1, 1))).then_nothing()
    Given(INSTRUMENT).when(ImportInstrument(instrument_id=INS, acts=(*PAID, due))).then(*PAID, due)


def test_an_extended_note_falls_due_again_on_its_new_day():
    extended = msgspec.structs.replace(NOTE, matures_on=date(2029, 3, 1))
    amended = InstrumentAmended(instrument_id=INS, terms=extended, terms_version=2, applies_to_earlier=True)
    owed = 100_000 * (1 + Fraction(8, 100) * Fraction(731, 365))
    due = matured(date(2028, 3, 1), f"{owed.numerator}/{owed.denominator}", "116021.92")
    state = INSTRUMENT.fold([*PAID, due, amended])
    assert INSTRUMENT.decide(mature(date(2028, 5, 1)), state) == []
    (again,) = INSTRUMENT.decide(mature(date(2029, 3, 2)), state)
    assert again.matures_on == date(2029, 3, 1)


def test_a_safe_never_falls_due():
    Given(INSTRUMENT, SAFE_ISSUED).when(mature(date(2030, 1, 1))).refused("not_a_note")


REPAID = {
    "simple, ACT/365, one year": ({}, date(2027, 3, 1), Decimal("108000.00")),
    "interest stops when it falls due": ({}, date(2031, 1, 1), Decimal("116021.92")),
    "simple, ACT/360, one year": ({"day_count": "actual_360"}, date(2027, 3, 1), Decimal("108111.12")),
    "simple, 30/360, half a year": ({"day_count": "thirty_360"}, date(2026, 9, 1), Decimal("104000.00")),
    "compound, yearly, two years": (
        {"day_count": "thirty_360", "interest": "compound_annual"},
        date(2028, 3, 1),
        Decimal("116640.00"),
    ),
    "compound, quarterly, one year": (
        {"day_count": "thirty_360", "interest": "compound_quarterly"},
        date(2027, 3, 1),
        Decimal("108243.22"),
    ),
    "on the day of its birth": ({}, date(2026, 3, 1), Decimal("100000.00")),
}


@pytest.mark.parametrize("name", REPAID)
def test_a_note_is_paid_back_with_its_interest_to_the_cent_above(name):
    changes, day, amount = REPAID[name]
    issued = InstrumentIssued(
        **OF_INS,
        terms=msgspec.structs.replace(NOTE, **changes),
        commitment_usd=Decimal(1_000_000),
        funding="paid_at_once",
    )
    paid = {"principal_usd": Decimal(100_000), "amount_usd": amount}
    repaid = InstrumentRepaid(**OF_INS, cause=REPAYMENT, **paid, early=day < NOTE.matures_on)
    Given(INSTRUMENT, issued, PAID[1]).when(repay_note(day)).then(repaid)


def test_an_extension_is_an_amendment_that_applies_to_earlier_tranches():
    later = msgspec.structs.replace(NOTE, matures_on=date(2030, 3, 1))
    extend = AmendInstrument(instrument_id=INS, terms=later, applies_to_earlier=True)
    events = [*PAID, *INSTRUMENT.decide(extend, INSTRUMENT.fold(PAID))]
    (repaid,) = INSTRUMENT.decide(repay_note(date(2030, 3, 1)), INSTRUMENT.fold(events))
    assert repaid.amount_usd == Decimal("132021.92")


CAP_20M = SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal(20_000_000), service_consequence="credit")
CAP_10M = SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal(10_000_000), service_consequence="credit")
DRAWDOWN = {"funding": "drawdown", "grant_id": SALE, "draw": draw()}
SAFE = InstrumentIssued(**OF_INS, **DRAWDOWN, terms=CAP_10M, commitment_usd=Decimal(1000))
FAVOURED = InstrumentIssued(
    **OF_INS,
    terms=SafeTerms(conversion_timing="post_money", most_favoured_nation=True, service_consequence="credit"),
    commitment_usd=Decimal(1_000_000),
    funding="paid_at_once",
)
LATER = make_id("ins", 2)
NOTICED = InstrumentMfnNoticed(
    instrument_id=INS,
    later_instrument_id=LATER,
    terms=CAP_10M,
    elect_until=NOON + timedelta(days=14),
    principal_usd=Decimal(1_000_000),
)
EXTENDED = structs.replace(NOTICED, elect_until=NOON + timedelta(days=44))
NOTICED_THIRD = structs.replace(NOTICED, later_instrument_id=make_id("ins", 3), elect_until=NOON + timedelta(days=30))
ELECTED = InstrumentMfnElected(instrument_id=INS, later_instrument_id=LATER, terms=CAP_10M)
DECLINED = InstrumentMfnElected(instrument_id=INS, later_instrument_id=None, terms=FAVOURED.terms)


def notice(**changes):
    fields = {"instrument_id": INS, "later_instrument_id": LATER, "terms": CAP_10M, "at": NOON}
    return NoticeMfn(**{**fields, "elect_until": NOON + timedelta(days=14), **changes})


def elect(later=LATER, at=NOON):
    return ElectMfn(instrument_id=INS, later_instrument_id=later, at=at)


DONE = {
    "notice is given": ([FAVOURED], notice(), NOTICED),
    "a window is extended by thirty days in all": (
        [FAVOURED, NOTICED],
        notice(elect_until=EXTENDED.elect_until),
        EXTENDED,
    ),
    "other terms open a window of their own": (
        [FAVOURED, NOTICED, EXTENDED],
        notice(terms=CAP_20M, elect_until=NOON + timedelta(days=50)),
        structs.replace(NOTICED, terms=CAP_20M, elect_until=NOON + timedelta(days=50)),
    ),
    "the later terms are elected at the last instant": (
        [FAVOURED, NOTICED],
        elect(at=NOON + timedelta(days=14)),
        ELECTED,
    ),
    "while a later window is open, an earlier notice may be elected": (
        [FAVOURED, NOTICED, NOTICED_THIRD],
        elect(at=NOON + timedelta(days=30)),
        ELECTED,
    ),
    "the own terms are kept": ([FAVOURED, NOTICED], elect(None), DECLINED),
}


def terms(cap=None, discount=None, timing="post_money"):
    cap, discount = (None if each is None else Decimal(each) for each in (cap, discount))
    return SafeTerms(conversion_timing=timing, valuation_cap_usd=cap, discount=discount, most_favoured_nation=True)


MEASURED = [
    (terms(), terms(10), None, False),
    (terms(10), terms(10), None, False),
    (terms(10), terms(11), None, "terms_worse"),
    (terms(10), terms(), None, "terms_worse"),
    (terms(10), terms(10, timing="pre_money"), None, "terms_worse"),
    (terms(10, "0.2"), terms(10, "0.1"), None, "terms_worse"),
    (terms(10), terms(9, timing="pre_money"), None, True),
    (terms(10, timing="pre_money"), terms(10), None, False),
    (terms(10), terms(11, "0.2"), None, True),
    (terms(10, "0.2"), terms(9), None, True),
    (terms(10), terms(9, "0.1"), terms(8, "0.1"), True),
    (terms(10), terms(9, "0.1"), terms(8), False),
]


@pytest.mark.parametrize(("own", "elected", "beside", "result"), MEASURED)
def test_terms_are_measured_by_cap_and_discount(own, elected, beside, result):
    """A result of True is an election that gives something up, a text the code of a refusal."""
    signed = msgspec.structs.replace(FAVOURED, terms=own)
    events = [signed, msgspec.structs.replace(NOTICED, terms=elected)]
    if beside is not None:
        events.append(msgspec.structs.replace(NOTICED_THIRD, terms=beside))
    if isinstance(result, str):
        Given(INSTRUMENT, *events).when(elect()).refused(result, "/later_instrument_id")
    else:
        state = INSTRUMENT.fold(events)
        assert gives_up(INSTRUMENT.decide(elect(), state)[0].terms, state, NOON) is result


def test_who_keeps_its_terms_while_better_ones_may_be_elected_gives_these_up():
    own = terms(10)
    state = INSTRUMENT.fold(
        [msgspec.structs.replace(FAVOURED, terms=own), msgspec.structs.replace(NOTICED, terms=terms(9))]
    )
    assert [gives_up(own, state, NOON + timedelta(days=days)) for days in (14, 15)] == [True, False]


@pytest.mark.parametrize("name", DONE)
def test_the_clause_is_used_once(name):
    events, command, expected = DONE[name]
    Given(INSTRUMENT, *events).when(command).then(expected)


NOTICED_LOW = structs.replace(
    NOTICED,
    later_instrument_id=make_id("ins", 4),
    terms=structs.replace(CAP_10M, conversion_timing="pre_money", valuation_cap_usd=Decimal(9)),
)
FAVOURED_10M = structs.replace(CAP_10M, most_favoured_nation=True)


@pytest.mark.parametrize(
    ("events", "counted", "offered"),
    [
        ([NOTICED, NOTICED_LOW, NOTICED_THIRD], FAVOURED.terms, 10_000_000),
        ([NOTICED, DECLINED], structs.replace(FAVOURED.terms, most_favoured_nation=False), None),
        ([structs.replace(NOTICED, terms=FAVOURED_10M), structs.replace(ELECTED, terms=FAVOURED_10M)], CAP_10M, None),
    ],
)
def test_a_clause_counts_at_the_lowest_post_money_cap_of_a_notice_until_it_is_used(events, counted, offered):
    (exposure,) = INSTRUMENT.fold([FAVOURED, *events]).list_exposures(NOON.date())
    assert (exposure.terms, exposure.offered_cap_usd) == (counted, offered)


def test_a_clause_counts_at_the_best_discount_and_pre_money_cap_of_a_notice():
    """A most-favoured SAFE of 100,000 elected a discount of 0.99 after a fund had paid 900,000 within its range."""
    offer = {"later_instrument_id": make_id("ins", 5), "terms": structs.replace(CAP_10M, discount=Decimal("0.99"))}
    events = [FAVOURED, NOTICED, NOTICED_LOW, structs.replace(NOTICED_THIRD, **offer)]
    (exposure,) = INSTRUMENT.fold(events).list_exposures(NOON.date())
    assert (exposure.offered_pre_money_cap_usd, exposure.offered_discount) == (9, Decimal("0.99"))
    (used,) = INSTRUMENT.fold([*events, DECLINED]).list_exposures(NOON.date())
    assert (used.offered_pre_money_cap_usd, used.offered_discount) == (None, None)


OVERDUE = AccruePrincipal(
    instrument_id=INS,
    tranche_id=make_id("trn", 2),
    principal_usd=Decimal(1),
    statement_id=make_id("stm", 2),
    on_day=date(2028, 3, 2),
)
DRAWN = [InstrumentIssued(**OF_INS, **DRAWDOWN, terms=NOTE, commitment_usd=Decimal(1000))]
REFUSED = [
    ("discount_whole", [], issue(terms=msgspec.structs.replace(NOTE, discount=Decimal(1)))),
    ("amount_too_large", [], issue(terms=msgspec.structs.replace(NOTE, annual_rate=Decimal(2)))),
    ("amount_not_positive", [], issue(terms=msgspec.structs.replace(NOTE, repayment_multiple=Decimal(0)))),
    ("multiple_out_of_range", [], issue(terms=msgspec.structs.replace(NOTE, repayment_multiple=Decimal("0.99")))),
    ("note_matured", DRAWN, OVERDUE),
    ("terms_kind_differs", PAID, AmendInstrument(instrument_id=INS, terms=CAP_10M, applies_to_earlier=True)),
    ("not_a_note", [SAFE, accrued(1, 10)], repay_note(date(2027, 1, 1))),
    ("nothing_to_repay", [ISSUED], repay_note(date(2027, 1, 1))),
    (
        "repayment_exists",
        [*PAID, *INSTRUMENT.decide(repay(5), INSTRUMENT.fold(PAID))],
        repay_note(date(2027, 1, 1)),
    ),
    ("not_most_favoured", [SAFE], notice()),
    ("not_most_favoured", PAID, elect(None)),
    ("election_made", [FAVOURED, NOTICED, ELECTED], notice(later_instrument_id=make_id("ins", 3))),
    ("election_made", [FAVOURED, NOTICED, ELECTED], elect(None)),
    (
        "election_made",
        [FAVOURED, NOTICED, ELECTED],
        AmendInstrument(instrument_id=INS, terms=FAVOURED_10M, applies_to_earlier=True),
    ),
    ("notice_exists", [FAVOURED, NOTICED], notice(elect_until=NOON + timedelta(days=13))),
    ("time_naive", [FAVOURED], notice(elect_until=NOON.replace(tzinfo=None))),
    ("window_over", [FAVOURED], notice(elect_until=NOON)),
    ("window_short", [FAVOURED], notice(elect_until=NOON + timedelta(days=10) - timedelta(microseconds=1))),
    ("window_long", [FAVOURED, NOTICED], notice(elect_until=NOON + timedelta(days=44, microseconds=1))),
    ("window_long", [FAVOURED, NOTICED, EXTENDED], notice(elect_until=NOON + timedelta(days=45))),
    ("window_long", [FAVOURED, NOTICED], notice(elect_until=NOON.replace(year=2190))),
    ("notice_unknown", [FAVOURED], elect()),
    ("window_over", [FAVOURED, NOTICED], elect(at=NOON + timedelta(days=15))),
]


@pytest.mark.parametrize(("code", "events", "command"), REFUSED)
def test_refused(code, events, command):
    Given(INSTRUMENT, *events).when(command).refused(code)


def of(number, terms, principal, **more):
    return ConvertingInstrument(
        instrument_id=make_id("ins", number),
        holder_id=PROVIDER,
        principal_usd=Decimal(principal),
        terms=terms,
        **more,
    )


TWO_DAYS = (
    DatedPrincipal(interest_from=date(2025, 3, 1), principal_usd=Decimal(60_000)),
    DatedPrincipal(interest_from=date(2026, 3, 1), principal_usd=Decimal(40_000)),
)
STACK = (
    of(1, NOTE, 100_000, accruals=TWO_DAYS),
    of(2, SafeTerms(conversion_timing="pre_money", valuation_cap_usd=Decimal(6_000_000)), 250_000),
    of(3, FAVOURED.terms, 300_000, mfn_election=CAP_10M),
    of(4, FAVOURED.terms, 50_000, mfn_election="declined"),
    of(5, SafeTerms(conversion_timing="post_money", discount=Decimal("0.15")), 120_000),
)


def test_a_mixed_stack_of_notes_and_safes_converts_in_one_round():
    events = [*COMPANY, *signed(*STACK)]
    events += ISSUER.decide(open_round(closing_date=date(2026, 3, 1)), ISSUER.fold(events))
    events += ISSUER.decide(price(*STACK), ISSUER.fold(events))
    pricing = events[-1].pricing
    assert verify(msgspec.json.decode(pricing.certificate_json)) == []
    assert [each.branch for each in pricing.conversions] == ["cap", "cap", "cap", "round_price", "discount"]
    note = pricing.conversions[0]
    assert Fraction(note.amount_exact) == 60_000 * Fraction(108, 100) + 40_000
    events += ISSUER.decide(close(*STACK), ISSUER.fold(events))
    commands = list_conversions(ISSUER.fold(events), FIN)
    assert [command.amount_exact for command in commands] == [
        Fraction(each.amount_exact) for each in pricing.conversions
    ]
    assert ISSUER.fold(events).financings[FIN].status == "closed"


def test_a_note_in_a_round_without_a_closing_date_is_refused_by_name():
    events = [*COMPANY, *signed(STACK[0])]
    events += ISSUER.decide(open_round(), ISSUER.fold(events))
    Given(ISSUER, *events).when(price(STACK[0])).refused("missing_convention", "/terms/closing_date")


def test_a_note_that_fell_due_before_the_closing_is_refused():
    events = [*COMPANY, *signed(STACK[0])]
    events += ISSUER.decide(open_round(closing_date=date(2028, 3, 2)), ISSUER.fold(events))
    Given(ISSUER, *events).when(price(STACK[0])).refused("note_matured")

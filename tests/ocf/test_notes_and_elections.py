"""Notes and elections of ours in a package: byte for byte the same with the sidecar, and their terms without it."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from events.types import NoteTerms, SafeTerms
from marketplace.domain.equity.instrument import commands
from marketplace.domain.equity.instrument.state import Instrument
from marketplace.ocf.importing import check_files
from marketplace.ocf.package import render_package
from tests.captable.company import FUND, PROVIDER, Life, found, make_id
from tests.ocf.foreign import STOCK, note, pack
from tests.ocf.package_tools import strip_sidecar, take_in

NOTE, FAVOURED, LATER = (make_id("ins", number) for number in (11, 12, 13))
CAPPED = SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal(9_000_000), discount=Decimal("0.1"))
OPEN = SafeTerms(conversion_timing="post_money", most_favoured_nation=True)


def lend(interest="compound_quarterly", day_count="thirty_360"):
    """Let a fund lend, and the holder of a most-favoured SAFE elect the terms of a later one."""
    life = Life()
    found(life)
    terms = NoteTerms(
        annual_rate=Decimal("0.075"),
        interest=interest,
        day_count=day_count,
        matures_on=date(2031, 3, 1),
        valuation_cap_usd=Decimal(12_000_000),
        discount=Decimal("0.2"),
    )
    life.sign(NOTE, FUND, terms, 75_000)
    life.accrue(NOTE, 11, 75_000)
    life.sign(FAVOURED, PROVIDER, OPEN, 40_000)
    life.accrue(FAVOURED, 12, 40_000)
    life.sign(LATER, FUND, CAPPED, 60_000)
    life.accrue(LATER, 13, 60_000)
    until = life.time + timedelta(days=14)
    notice = {"instrument_id": FAVOURED, "later_instrument_id": LATER}
    life.deed(commands.NoticeMfn(**notice, terms=CAPPED, elect_until=until, at=life.time))
    life.deed(commands.ElectMfn(**notice, at=life.time))
    return life


def by_amount(history) -> dict[Decimal, Instrument]:
    return {each.outstanding_usd: each for each in history.list_instruments().values()}


@pytest.mark.parametrize(
    ("interest", "day_count"),
    [("simple", "actual_365"), ("compound_annual", "thirty_360"), ("compound_monthly", "actual_365")],
)
def test_without_the_sidecar_notes_and_elected_terms_come_through(interest, day_count):
    life = lend(interest, day_count)
    files = render_package(life.history)
    assert check_files(files) == ()
    taken = by_amount(take_in(strip_sidecar(files)))
    note = taken[Decimal(75_000)]
    assert note.terms == life.instruments[NOTE].terms
    assert note.tranches[0].interest_from == life.instruments[NOTE].tranches[0].interest_from
    assert taken[Decimal(40_000)].terms == CAPPED


def test_with_the_sidecar_a_matured_note_and_an_election_come_back_byte_for_byte():
    life = lend()
    due = datetime(2031, 3, 2, tzinfo=life.time.tzinfo)
    life.time = due
    life.deed(commands.MatureNote(instrument_id=NOTE, at=due))
    files = render_package(life.history)
    again = take_in(files, now=due + timedelta(days=9))
    assert render_package(again) == files
    instruments = by_amount(again)
    assert instruments[Decimal(75_000)].matured == {date(2031, 3, 1)}
    assert instruments[Decimal(40_000)].election.terms == CAPPED


def test_days_that_ocf_cannot_count_travel_in_the_sidecar():
    files = render_package(lend("simple", "actual_360").history)
    assert check_files(files) == ()
    assert render_package(take_in(files)) == files


def test_a_note_of_others_is_taken_over_with_its_rate_days_and_maturity():
    history = take_in(pack(transactions=(STOCK, note(exit_multiple={"numerator": "2", "denominator": "1"}))))
    (instrument,) = history.list_instruments().values()
    assert instrument.terms == NoteTerms(
        annual_rate=Decimal("0.08"),
        interest="simple",
        day_count="thirty_360",
        matures_on=date(2031, 6, 15),
        valuation_cap_usd=Decimal(8_000_000),
        discount=Decimal("0.2"),
    )
    (tranche,) = instrument.tranches
    assert (tranche.interest_from, tranche.outstanding_usd) == (date(2021, 6, 15), 100_000)


def test_a_note_that_compounds_says_how_often():
    days = {"day_count_convention": "ACTUAL_365"}
    compound = note(compounding_type="COMPOUNDING", interest_accrual_period="QUARTERLY", **days)
    (instrument,) = take_in(pack(transactions=(STOCK, compound))).list_instruments().values()
    assert (instrument.terms.interest, instrument.terms.day_count) == ("compound_quarterly", "actual_365")

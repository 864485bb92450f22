"""The issuer's own limit: what is counted under it, to the fraction, and that no act of the issuer goes above it."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from events.issuer import (
    IssuerConversionPriceAdjusted,
    IssuerDilutionLimited,
    IssuerExposureRecorded,
    IssuerInstrumentSigned,
    IssuerStockClassCreated,
    IssuerStockConverted,
    IssuerStockIssued,
    IssuerStockOffered,
    IssuerStockSplit,
    IssuerStockTransferred,
)
from events.issuer_dilution import CountedInstrument, Exposure
from events.proposal import ProposalMade
from events.types import MaturityConversion, NoteTerms, SafeTerms, StockTerms, WarrantTerms
from marketplace.core.errors import Refusal
from marketplace.core.money import render_ratio
from marketplace.domain.equity.ground import is_ground_lost, measure_rights
from marketplace.domain.equity.issuer.as_converted import measure_preference
from marketplace.domain.equity.issuer.commands import LimitDilution, RecordExposure, SignInstrument
from marketplace.domain.equity.issuer.dilution import measure_claims, measure_dilution, sum_principal
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.state import capitalization_of
from marketplace.domain.equity.issuer.stock_commands import AdjustStockPlan, RepurchaseStock
from marketplace.equity import model
from marketplace.equity.rounds import price_round
from tests.domain.issuer_samples import (
    ANGEL,
    CAPPED,
    COMPANY,
    EMPLOYEE,
    EXPIRY,
    FIN,
    FOUNDER,
    FUND,
    NOON,
    OF_ISS,
    PROVIDER,
    SEED,
    WARRANTED,
    close,
    converting,
    make_id,
    open_round,
    price,
    waive,
    warrant,
)
from tests.support.spec import Given

ORDER, INS, OTHER = make_id("ord", 1), make_id("ins", 1), make_id("ins", 2)
PRE_9M = SafeTerms(conversion_timing="pre_money", valuation_cap_usd=Decimal(9_000_000))
UNCAPPED = SafeTerms(conversion_timing="post_money", discount=Decimal("0.20"))
NOTE = NoteTerms(
    annual_rate=Decimal("0.10"),
    interest="simple",
    day_count="thirty_360",
    matures_on=date(2028, 3, 1),
    valuation_cap_usd=Decimal(9_000_000),
)


def limited(most="0.10", valuation=None, *instruments):
    return IssuerDilutionLimited(
        **OF_ISS,
        dilution_max=None if most is None else Decimal(most),
        valuation_usd=None if valuation is None else Decimal(valuation),
        instruments=instruments,
    )


def limit(most="0.10", valuation=None, *instruments):
    event = limited(most, valuation, *instruments)
    return LimitDilution(
        **OF_ISS,
        dilution_max=event.dilution_max,
        valuation_usd=event.valuation_usd,
        instruments=event.instruments,
    )


def expose(amount, terms=CAPPED, since=None):
    return Exposure(terms=terms, amount_usd=Decimal(amount), interest_from=since)


def record(*exposures, subject=ORDER, owed=False, **more):
    return RecordExposure(**OF_ISS, subject_id=subject, exposures=exposures, owed=owed, **more)


def recorded(*exposures, subject=ORDER):
    return IssuerExposureRecorded(**OF_ISS, subject_id=subject, exposures=exposures)


def sign(amount, terms=CAPPED, number=1):
    return SignInstrument(
        **OF_ISS,
        instrument_id=make_id("ins", number),
        holder_id=PROVIDER,
        commitment_usd=Decimal(amount),
        terms=terms,
    )


def noted(amount, terms=CAPPED, number=1):
    command = sign(amount, terms, number)
    return IssuerInstrumentSigned(
        **OF_ISS,
        instrument_id=command.instrument_id,
        holder_id=PROVIDER,
        commitment_usd=command.commitment_usd,
        terms=terms,
    )


MEASURED = {
    "nothing": ([], 0),
    "half a million at a post-money cap of ten is five percent": ([noted(500_000)], Fraction(1, 20)),
    "an order counts like a signed instrument": ([recorded(expose(500_000))], Fraction(1, 20)),
    "a million at a pre-money cap of nine is a tenth of the company with it": ([noted(1_000_000, PRE_9M)], "1/10"),
    "both meet: 9M of shares times 10/9 over 19/20": (
        [noted(500_000), noted(1_000_000, PRE_9M, 2)],
        1 - Fraction(9, 10) * Fraction(19, 20),
    ),
    "a note counts with interest to maturity": ([recorded(expose(1_000_000, NOTE, date(2026, 3, 1)))], "12/102"),
    "what has no cap counts at the stated value less its discount": (
        [limited("0.99", "10000000"), recorded(expose(1_000_000, UNCAPPED))],
        "1/9",
    ),
    "a cap above the stated value gives way to it": (
        [limited("0.99", "5000000"), noted(500_000)],
        Fraction(1, 11),
    ),
    "without an order it is gone again": ([recorded(expose(500_000)), recorded()], 0),
}


@pytest.mark.parametrize(("events", "part"), MEASURED.values(), ids=MEASURED)
def test_measured(events, part):
    state = ISSUER.fold([*COMPANY, limited("0.99"), *events])
    assert measure_dilution(state).part == Fraction(part)


def test_a_limit_counts_what_it_found_and_orders_stay_counted():
    counted = CountedInstrument(instrument_id=INS, exposures=(expose(500_000),))
    Given(ISSUER, *COMPANY, noted(900_000)).when(limit("0.05", None, counted)).then(limited("0.05", None, counted))
    state = ISSUER.fold([*COMPANY, limited("0.5"), recorded(expose(500_000)), limited("0.4", None, counted)])
    assert measure_dilution(state).part == Fraction(1, 10)
    lifted = ISSUER.fold([limited(None)], state)
    assert (lifted.limit, dict(lifted.exposures)) == (None, {INS: (expose(500_000),), ORDER: (expose(500_000),)})


def test_up_to_the_limit_is_allowed_and_a_cent_more_is_refused_with_the_numbers():
    given_ = Given(ISSUER, *COMPANY, limited(), noted(500_000))
    given_.when(record(expose(500_000))).then(recorded(expose(500_000)))
    refusal = given_.when(record(expose("500000.01"))).refused("dilution_exceeded")
    assert refusal.facts["dilution_max"] == "0.10"
    assert Fraction(refusal.facts["dilution_exact"]) == Fraction("1000000.01") / 10_000_000
    assert refusal.facts["pending_usd"] == "1000000.01"


REFUSED = {
    "an instrument": ([noted(500_000)], sign(500_001, number=2)),
    "a warrant": ([], warrant(shares=1_000_001)),
    "a share bought back from the founders": (
        [recorded(expose(1_000_000))],
        RepurchaseStock(
            **OF_ISS,
            repurchase_id=make_id("rep", 1),
            holder_id=FOUNDER,
            class_id="common",
            shares=100,
            price_usd_per_share=Decimal(1),
        ),
    ),
    "a lower limit": ([noted(500_000)], limit("0.049", None, CountedInstrument(instrument_id=INS, exposures=(
        expose(500_000),
    )))),
}  # fmt: skip


@pytest.mark.parametrize(("events", "command"), REFUSED.values(), ids=REFUSED)
def test_refused(events, command):
    before = [warrant_issued()] if command.__class__ is RepurchaseStock else []
    Given(ISSUER, *COMPANY, *before, limited(), *events).when(command).refused("dilution_exceeded")


def safe(cap=10_000_000, *, favoured=False, timing="post_money"):
    return SafeTerms(
        conversion_timing=timing,
        valuation_cap_usd=None if cap is None else Decimal(cap),
        most_favoured_nation=favoured,
    )


FAVOURED = noted(4_000_000, safe(favoured=True))
FAVOURED_UNCAPPED = noted(4_000_000, safe(None, favoured=True))
NOTICED = structs.replace(expose(4_000_000, safe(None, favoured=True)), offered_pre_money_cap_usd=Decimal(2_000))


def note(cap):
    return structs.replace(NOTE, valuation_cap_usd=Decimal(cap))


STACKS = {
    "a note at a cap above what may elect it": ([FAVOURED], expose(1_000_000, note(5_000_001)), None),
    "a note at the cap of what may elect it": ([FAVOURED], expose(1_000_000, note(5_000_000)), "5000000.00 USD"),
    "a dollar at a low cap that an uncapped SAFE may elect": (
        [FAVOURED_UNCAPPED],
        expose(1, safe(2_000, timing="pre_money")),
        "4000001.00 USD of principal",
    ),
    "two that may elect it": (
        [FAVOURED, noted(2_000_000, safe(None, favoured=True), 2)],
        expose(1, safe(6_000_000, timing="pre_money")),
        "6000001.00 USD of principal",
    ),
    "one without the clause": ([noted(4_000_000, safe(None))], expose(1, safe(2_000, timing="pre_money")), None),
    "one that got notice of as low a cap": (
        [FAVOURED_UNCAPPED, recorded(NOTICED, subject=INS)],
        expose(1, safe(2_000, timing="pre_money")),
        None,
    ),
    "a pre-money SAFE at a cap above what may elect it": (
        [FAVOURED],
        expose(1_000_000, safe(5_000_001, timing="pre_money")),
        None,
    ),
    "a SAFE at a cap that a most-favoured one may elect": (
        [FAVOURED],
        expose(50_000, safe(4_000_000)),
        "at a cap of 4000000.00 USD",
    ),
    "a most-favoured SAFE without a cap, beside an order": (
        [recorded(expose(50_000, safe(4_000_000)))],
        expose(4_000_000, safe(None, favoured=True)),
        "at a cap of 4000000.00 USD",
    ),
    "a most-favoured SAFE that may elect the cap of an order's note": (
        [recorded(expose(1, note(4_000_001)))],
        expose(4_000_000, safe(None, favoured=True)),
        "that an open order offers",
    ),
    "two that may elect it together": (
        [recorded(expose(1, note(4_000_002))), noted(1, safe(None, favoured=True))],
        expose(4_000_000, safe(None, favoured=True)),
        "that an open order offers",
    ),
    "a most-favoured SAFE beside a note's order at a cap above it": (
        [recorded(expose(1, note(4_000_002)))],
        expose(4_000_000, safe(None, favoured=True)),
        None,
    ),
    "a SAFE without the clause beside a note's order": (
        [recorded(expose(1, note(2_000)))],
        expose(4_000_000, safe(None)),
        None,
    ),
    "a SAFE beside one of whose lower cap a most-favoured one got notice": (
        [
            FAVOURED,
            noted(50_000, safe(5_000_000), 2),
            recorded(
                structs.replace(expose(4_000_000, safe(favoured=True)), offered_cap_usd=Decimal(5_000_000)), subject=INS
            ),
        ],
        expose(4_000_000),
        "at a cap of 10000000.00 USD",
    ),
    "a pre-money SAFE that may elect a post-money cap": (
        [noted(4_000_000, safe(3_900_000, favoured=True, timing="pre_money"))],
        expose(50_000, safe(4_100_000)),
        None,
    ),
}


@pytest.mark.parametrize(("events", "exposure", "text"), STACKS.values(), ids=STACKS)
def test_most_favoured_safes_count_at_the_post_money_cap_that_they_may_elect(events, exposure, text):
    when = Given(ISSUER, *COMPANY, *events).when(record(exposure, subject=make_id("ins", 9)))
    if text is None:
        when.then(recorded(exposure, subject=make_id("ins", 9)))
    else:
        assert text in when.refused("stack_exceeds_company").message


def issued(number, holder_id, class_id, shares, usd):
    return IssuerStockIssued(
        **OF_ISS,
        security_id=make_id("sec", number),
        holder_id=holder_id,
        class_id=class_id,
        shares=shares,
        price_usd_per_share=Decimal(usd),
    )


def stock(usd, class_id="common"):
    return expose(100_000, StockTerms(class_id=class_id, price_usd_per_share=Decimal(usd)))


LEAD = issued(2, FUND, "common", 1_000, "0.75")
HELD = [LEAD, issued(3, ANGEL, "common", 900, "0.75"), limited("0.9")]
MERGED = IssuerStockSplit(**OF_ISS, split_id=make_id("spl", 1), numerator=1, denominator=10)
VALUED = {
    "who decided the limit pays less": (HELD, stock("0.5"), {FUND}, None, False),
    "the lowest price": (HELD, stock("0.000000001"), {FUND}, None, False),
    "an affiliate of who decided it": (HELD, stock("0.5"), {PROVIDER, FUND}, None, False),
    "what others paid": (HELD, stock("0.75"), {FUND}, None, True),
    "less than half of the class": (HELD, stock("0.5"), {ANGEL}, None, True),
    "most of a small class": ([*HELD, issued(4, PROVIDER, "seed", 100, "0.5")], stock("0.5"), {PROVIDER}, None, True),
    "a cap below it": (HELD, expose(1, CAPPED), {FUND}, None, True),
    "a price before a consolidation": ([*HELD, MERGED], stock("0.75"), {FUND}, "1", True),
    "a preference before a consolidation": (
        [issued(2, PROVIDER, "seed", 100, "0.5"), limited("0.9"), MERGED],
        stock("0.5", "seed"),
        {FUND},
        "1",
        True,
    ),
    "a price after it": ([*HELD, MERGED], stock("0.75"), {FUND}, None, False),
    "without a limit": ([LEAD], expose(1, safe(6_750_749)), {ANGEL}, None, False),
    "without a limit, enough": ([LEAD], expose(1, safe(6_750_750)), {ANGEL}, None, True),
}


@pytest.mark.parametrize(("events", "exposure", "takers", "ratio", "passes"), VALUED.values(), ids=VALUED)
def test_a_holder_takes_no_instrument_below_what_others_paid_within_a_limit_that_it_decided(
    events, exposure, takers, ratio, passes
):
    command = record(exposure, offered_to=(frozenset(takers),), split_ratio=ratio)
    when = Given(ISSUER, *COMPANY, *events).when(command)
    if passes:
        when.then(recorded(exposure))
    else:
        when.refused("cap_below_holders")


RIGHTS = WarrantTerms(
    class_id="common", price_usd_per_share=Decimal("1.00"), exercise_price_usd=Decimal("0.25"), expires_at=EXPIRY
)
BESIDE = IssuerStockClassCreated(**{**SEED, "class_id": "beside", "participation": "full"})
"""Its share has a preference for 0.5, and as much of the rest as the common stock for which others paid 0.75."""
SENIOR = IssuerStockClassCreated(**{**SEED, "class_id": "senior", "seniority": 2})
NEAR, ENOUGH = Decimal("1.249999999"), Decimal("1.25")
PAID = [LEAD, issued(3, ANGEL, "common", 900, "0.75"), limited("0.9"), BESIDE]
SEEDED = [LEAD, issued(3, ANGEL, "seed", 100, "0.5")]


def become(cap):
    become = MaturityConversion(
        class_id="beside", capitalization_definition="existing_fully_diluted", share_rounding="floor"
    )
    return expose(100_000, structs.replace(NOTE, valuation_cap_usd=Decimal(cap), at_maturity=become))


def buy_rights(usd):
    return expose(1, structs.replace(RIGHTS, class_id="beside", price_usd_per_share=usd - Decimal("0.25")))


CLASSES = {
    "at its preference": (PAID, stock("0.5", "beside"), None, "price_below_preference"),
    "nearly at both": (PAID, stock(NEAR, "beside"), None, "price_below_preference"),
    "at both": (PAID, stock(ENOUGH, "beside"), None, None),
    "rights nearly at both": (PAID, buy_rights(NEAR), None, "price_below_preference"),
    "rights at both": (PAID, buy_rights(ENOUGH), None, None),
    "a note nearly at both": (PAID, become(9_001_900 * ENOUGH - 1), None, "price_below_preference"),
    "a note at both": (PAID, become(9_001_900 * ENOUGH), None, None),
    "at both before a consolidation": ([*PAID, MERGED], stock(ENOUGH, "beside"), "1", None),
    "at what was both before it": ([*PAID, MERGED], stock(ENOUGH, "beside"), None, "price_below_preference"),
    "where nobody paid": ([limited("0.9"), BESIDE], stock("0.5", "beside"), None, None),
    "a senior class of before the limit": ([*SEEDED, SENIOR, limited("0.9")], stock("0.75", "senior"), None, None),
    "one of after it": ([*SEEDED, limited("0.9"), SENIOR], stock("0.75", "senior"), None, "dilution_unagreed"),
    "once agreed on again": ([*SEEDED, limited("0.9"), SENIOR, limited("0.9")], stock("1", "senior"), None, None),
    "one of after it that ranks alike": (
        [*SEEDED, limited("0.9"), structs.replace(SENIOR, seniority=1)],
        stock("0.75", "senior"),
        None,
        None,
    ),
    "beside common stock alone": ([LEAD, limited("0.9"), SENIOR], stock("0.75", "senior"), None, None),
}


@pytest.mark.parametrize(("events", "exposure", "ratio", "code"), CLASSES.values(), ids=CLASSES)
def test_compute_buys_no_stock_that_takes_more_of_a_sale_than_it_pays_or_others_agreed_to(
    events, exposure, ratio, code
):
    """7,372 USD of compute at its preference took that and its share of the rest; a senior class took all first."""
    command = record(exposure, offered_to=(frozenset({PROVIDER}),), split_ratio=ratio)
    when = Given(ISSUER, *COMPANY, *events).when(command)
    if code is None:
        when.then(recorded(exposure))
    else:
        when.refused(code)


def test_what_is_large_to_an_investor_is_offered_for_compute_within_a_limit_that_it_agreed_to():
    large = record(expose(1, safe(9_000_000)), offered_to=(frozenset({PROVIDER}),), outweighed=frozenset({FUND}))
    for events in ([LEAD], [limited("0.9"), LEAD]):
        refused = Given(ISSUER, *COMPANY, *events).when(large).refused("dilution_unagreed")
        assert refused.facts["holders"] == [FUND]
    Given(ISSUER, *COMPANY, LEAD, limited("0.9")).when(large).then(recorded(*large.exposures))
    small = structs.replace(large, outweighed=frozenset())
    Given(ISSUER, *COMPANY, LEAD).when(small).then(recorded(*large.exposures))
    free = structs.replace(large, exposures=())
    Given(ISSUER, *COMPANY, LEAD, recorded(*large.exposures)).when(free).then(recorded())


def test_the_same_limit_is_agreed_on_again_once_a_class_ranks_before_stock_of_others():
    known = [*COMPANY, *SEEDED, limited("0.9"), structs.replace(SENIOR, class_id="alike", seniority=1)]
    Given(ISSUER, *known).when(limit("0.9")).then()
    Given(ISSUER, *known, SENIOR).when(limit("0.9")).then(limited("0.9"))


GOT = {**OF_ISS, "transfer_id": make_id("trf", 1), "holder_id": FUND, "holder_id_after": ANGEL, "class_id": "common"}
OFFERED = IssuerStockOffered(**GOT, shares=1_000, price_usd_per_share=Decimal("2.00"), decide_until=EXPIRY)
SEEN = {
    "rights that were bought": ([noted(900_000, RIGHTS)], PROVIDER, 9_000_000, "1.25"),
    "rights before a split": (
        [noted(900_000, RIGHTS), structs.replace(MERGED, numerator=2, denominator=1)],
        PROVIDER,
        18_000_000,
        "0.625",
    ),
    "rights that a customer got": (
        [WARRANTED],
        PROVIDER,
        9_100_000,
        "0.25",
    ),
    "stock that is not delivered": (
        [noted(900_000, StockTerms(class_id="common", price_usd_per_share=Decimal("1.25")))],
        PROVIDER,
        9_000_000,
        "1.25",
    ),
    "an option": ([], EMPLOYEE, 9_000_000, "0.10"),
    "stock that an affiliate bought": (
        [LEAD, IssuerStockTransferred(**GOT, shares=1_000)],
        ANGEL,
        9_001_000,
        "0.75",
    ),
    "stock that was offered at a price": (
        [LEAD, OFFERED, IssuerStockTransferred(**GOT, shares=1_000)],
        ANGEL,
        9_001_000,
        "2.00",
    ),
    "stock that was converted and handed on": (
        [
            issued(2, FUND, "seed", 1_000, "0.75"),
            IssuerStockConverted(
                **OF_ISS,
                conversion_id=make_id("cnv", 1),
                holder_id=FUND,
                class_id="seed",
                shares=1_000,
                class_id_after="common",
                shares_after=1_000,
                shares_exact="1000/1",
                reason="voluntary",
            ),
            IssuerStockTransferred(**GOT, shares=1_000),
        ],
        ANGEL,
        9_001_000,
        "0.75",
    ),
}


@pytest.mark.parametrize(("events", "holder_id", "shares", "usd"), SEEN.values(), ids=SEEN)
def test_a_cap_is_compared_with_all_that_another_holder_bought_or_may_buy(events, holder_id, shares, usd):
    paid = shares * Fraction(usd)
    given, taker = Given(ISSUER, *COMPANY, *events), frozenset({make_id("pty", 9)})
    low, enough = expose(1, safe(int(paid) - 1)), expose(1, safe(int(paid)))
    refused = given.when(record(low, offered_to=(taker,))).refused("cap_below_holders")
    assert holder_id in refused.facts["holders"]
    given.when(record(enough, offered_to=(taker,))).then(recorded(enough))


CHEAP = noted(1_000_000, StockTerms(class_id="common", price_usd_per_share=Decimal("0.000001")))
DEAR = noted(1_000_000, safe(900_000_000), 2)
OPEN_SAFE = noted(1_000_000, safe(None))
GROUNDS = {
    "low, beside cheap stock": (
        [CHEAP, DEAR],
        recorded(expose(1_000_000, safe(1_100_000)), subject=OTHER),
        True,
    ),
    "hardly lower": ([CHEAP, DEAR], recorded(expose(1_000_000, safe(899_000_000)), subject=OTHER), False),
    "a small SAFE beside one without a cap": ([OPEN_SAFE], noted(100, safe(25_000_000), 2), False),
    "a cap where there was none": ([OPEN_SAFE], recorded(expose(1_000_000, safe(20_000_000)), subject=INS), True),
    "a discount where there is no cap": ([OPEN_SAFE], recorded(expose(1_000_000, UNCAPPED), subject=INS), True),
}


@pytest.mark.parametrize(("events", "then", "lost"), GROUNDS.values(), ids=GROUNDS)
def test_a_proposal_is_void_once_instruments_ask_for_more_of_the_company(events, then, lost):
    state = ISSUER.fold([*COMPANY, *events])
    made = ProposalMade(
        **OF_ISS,
        proposal_id=make_id("prp", 1),
        proposer_id=FOUNDER,
        split_ratio="1",
        proposed_at=NOON,
        effects=(),
        consents=(),
        decide_until=NOON,
        company_exact=render_ratio(measure_rights(state)),
        preference_exact=render_ratio(measure_preference(state)),
        principal_usd=sum_principal(state),
        claims_exact=render_ratio(measure_claims(state, measure_rights(state))),
    )
    assert is_ground_lost(made, [LEAD], ISSUER.fold([then], state)) is lost


def warrant_issued():
    (event,) = ISSUER.decide(warrant(shares=1_000), ISSUER.fold(COMPANY))
    return event


def test_what_has_no_cap_needs_a_value_of_the_company():
    refusal = Given(ISSUER, *COMPANY, limited()).when(sign(1, UNCAPPED)).refused("missing_convention")
    assert refusal.facts["convention"] == "valuation_usd"
    Given(ISSUER, *COMPANY, limited("0.10", "10000000")).when(sign(1, UNCAPPED)).then(noted(1, UNCAPPED))


def test_what_a_holder_has_a_right_to_is_counted_and_not_refused():
    cheaper = expose(500_000, SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal(2_000_000)))
    command = record(cheaper, subject=INS, owed=True)
    events = [*COMPANY, limited(), noted(500_000)]
    Given(ISSUER, *events).when(command).then(recorded(cheaper, subject=INS))
    after = [*events, recorded(cheaper, subject=INS)]
    Given(ISSUER, *after).when(record(expose(1))).refused("dilution_exceeded")


def test_without_a_limit_an_order_is_counted_and_not_refused_and_no_limit_is_set_below_it():
    given_ = Given(ISSUER, *COMPANY, noted(9_000_000))
    given_.when(record(expose(900_000))).then(recorded(expose(900_000)))
    Given(ISSUER, *COMPANY, recorded(expose(900_000))).when(limit("0.05")).refused("dilution_exceeded")


def test_a_round_turns_what_was_pending_into_shares_that_still_count():
    safe = converting(1, 500_000)
    state = ISSUER.fold([*COMPANY, limited("0.06"), noted(600_000), waive(PROVIDER)])
    state = ISSUER.fold(ISSUER.decide(open_round(), state), state)
    state = ISSUER.fold(ISSUER.decide(price(safe), state), state)
    state = ISSUER.fold(ISSUER.decide(close(safe), state), state)
    (conversion,) = state.financings[FIN].pricing.conversions
    assert dict(state.instrument_shares) == {"series-a-1": conversion.shares}
    assert dict(state.exposures) == {INS: (expose(100_000),)}
    measured = measure_dilution(state)
    assert measured.converted == conversion.shares
    assert measured.part == (conversion.shares + measured.pending) / measured.whole < Fraction("0.06")
    taken_back = RepurchaseStock(
        **OF_ISS,
        repurchase_id=make_id("rep", 1),
        holder_id=PROVIDER,
        class_id="series-a-1",
        shares=conversion.shares,
        price_usd_per_share=Decimal(0),
        cause=INS,
    )
    assert dict(ISSUER.fold(ISSUER.decide(taken_back, state), state).instrument_shares) == {"series-a-1": 0}


TERMS = st.sampled_from([CAPPED, PRE_9M, UNCAPPED])
AMOUNTS = st.integers(1, 400_000_000).map(lambda cents: Decimal(cents).scaleb(-2))
ACTS = st.one_of(
    st.builds(sign, AMOUNTS, TERMS, st.integers(1, 6)),
    st.builds(
        lambda amount, terms, number: record(expose(amount, terms), subject=make_id("ord", number)),
        AMOUNTS,
        TERMS,
        st.integers(1, 6),
    ),
    st.builds(lambda number: record(subject=make_id("ord", number)), st.integers(1, 6)),
    st.builds(
        lambda number, shares: warrant(warrant_id=make_id("wrt", number), shares=shares),
        st.integers(1, 4),
        st.integers(1, 10**6),
    ),
    st.builds(lambda reserved: AdjustStockPlan(**OF_ISS, shares_reserved=reserved), st.integers(500_000, 3_000_000)),
    st.builds(
        lambda number, shares: RepurchaseStock(
            **OF_ISS,
            repurchase_id=make_id("rep", number),
            holder_id=FOUNDER,
            class_id="common",
            shares=shares,
            price_usd_per_share=Decimal(1),
        ),
        st.integers(1, 100),
        st.integers(1, 2_000_000),
    ),
)  # fmt: skip


def test_a_series_of_instruments_whose_price_was_protected_counts_for_what_it_converts_into():
    safe = converting(1, 500_000)
    state = ISSUER.fold([*COMPANY, limited("0.50"), noted(500_000), waive(PROVIDER)])
    for command in (open_round(), price(safe), close(safe)):
        state = ISSUER.fold(ISSUER.decide(command, state), state)
    before = measure_dilution(state)
    series = state.classes["series-a-1"]
    cheaper = IssuerConversionPriceAdjusted(
        **OF_ISS,
        class_id="series-a-1",
        conversion_price_usd_before=render_ratio(series.conversion_price_usd),
        conversion_price_usd=render_ratio(series.conversion_price_usd / 3),
        cause=FIN,
    )
    after = measure_dilution(ISSUER.fold([cheaper], state))
    added = 2 * before.converted
    assert after.converted == before.converted + added
    assert (after.whole, after.part) == (before.whole + added, (before.converted + added) / (before.whole + added))
    assert after.whole == capitalization_of(ISSUER.fold([cheaper], state)).fully_diluted


def convert_everything(state):
    """Return what instruments would be of the company if the equity engine converted everything now."""
    value = state.limit.valuation_usd
    safes = []
    for subject_id, exposures in sorted(state.exposures.items()):
        for exposure in exposures:
            cap, timing = exposure.terms.valuation_cap_usd, exposure.terms.conversion_timing
            valued = None if value is None else Fraction(value) * (1 - Fraction(exposure.terms.discount or 0))
            if cap is None or (valued is not None and valued < cap):
                cap, timing = valued, "pre_money"
            terms = model.SafeTerms(conversion_timing=timing, valuation_cap_usd=cap)
            safes.append(model.Safe(subject_id, "holder", exposure.amount_usd, terms))
    result = price_round(
        capitalization_of(state),
        safes,
        model.RoundTerms(
            pre_money_usd=10**15,
            investments=(model.Investment("new money", Decimal("0.01")),),
            pricing_convention="percent_ownership",
            capitalization_definition="yc_standard",
            share_rounding="floor",
            price_places=12,
            price_rounding="half_even",
        ),
    )
    converted = sum(conversion.shares_exact for conversion in result.conversions)
    warrants = capitalization_of(state).warrants
    return (converted + warrants) / result.company_capitalization_exact


@given(st.sampled_from(["0.05", "0.10", "0.35"]), st.lists(ACTS, max_size=14))
def test_no_act_goes_above_the_limit_and_the_engine_counts_alike(most, acts):
    state = ISSUER.fold([*COMPANY, limited(most, "12000000")])
    for command in acts:
        try:
            new = ISSUER.decide(command, state)
        except Refusal:
            continue
        state = ISSUER.fold(new, state)
        measured = measure_dilution(state)
        assert measured.part <= Fraction(most)
        if state.exposures:
            assert measured.part == convert_everything(state)

"""Priced rounds: opened, priced, closed on what was priced, and what is refused in which order."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest

from events.financing import Investment
from events.instrument import InstrumentIssued, InstrumentPrincipalAccrued
from events.issuer import (
    IssuerFinancingAbandoned,
    IssuerFinancingClosed,
    IssuerFinancingPriced,
    IssuerOptionGranted,
    IssuerProRataAnswered,
    IssuerStakeholderAdded,
    IssuerStockClassCreated,
    IssuerStockIssued,
    IssuerStockPlanAdjusted,
    IssuerStockRepurchased,
    IssuerStockSplit,
    IssuerWarrantExercised,
)
from events.issuer_holders import ProRataOffer
from events.types import SafeTerms
from marketplace.core.ids import derive_id
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.issuer.commands import AbandonFinancing, NewStakeholder
from marketplace.domain.equity.issuer.financing.financing import INSTRUMENTS_MAX, list_conversions
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.state import measure_ownership, total_shares
from marketplace.domain.equity.issuer.terms import INVESTMENTS_MAX
from marketplace.equity.checker import verify
from tests.domain.issuer_samples import (
    ANGEL,
    APPROVAL,
    CAPPED,
    COMPANY,
    FIN,
    FORMED,
    FOUNDED,
    FUND,
    ISS,
    NOON,
    OF_ISS,
    OPENED,
    PROVIDER,
    SEED,
    STOCK,
    UNCAPPED,
    WARRANTED,
    add,
    close,
    converting,
    create,
    declare,
    make_id,
    open_round,
    price,
    signed,
)
from tests.support.spec import Given

SAFE = converting(1, 1_000_000)
LATE_SAFE = converting(2, 250_000, UNCAPPED, ANGEL)
ABANDON = AbandonFinancing(**OF_ISS, financing_id=FIN, reason="no lead")
LAPSE = AbandonFinancing(**OF_ISS, financing_id=FIN, reason="not closed in time", overdue_at=NOON)
DATED = msgspec.structs.replace(OPENED, open_until=NOON)
ABANDONED = IssuerFinancingAbandoned(**OF_ISS, financing_id=FIN, reason="no lead")
CLOSED = IssuerFinancingClosed(**OF_ISS, financing_id=FIN, approval=APPROVAL)


def priced(events, *instruments):
    """Return the events with the financing opened and priced on them."""
    opened = [*events, *signed(*instruments), OPENED]
    return [*opened, *ISSUER.decide(price(*instruments), ISSUER.fold(opened))]


def closed(events, *instruments, **changes):
    return list(ISSUER.decide(close(*instruments, **changes), ISSUER.fold(events)))


def test_a_round_is_opened():
    Given(ISSUER, *COMPANY).when(open_round()).then(
        msgspec.structs.replace(OPENED, open_until=NOON + timedelta(days=120))
    )


def test_a_round_is_abandoned():
    Given(ISSUER, *COMPANY, OPENED).when(ABANDON).then(ABANDONED)


def test_another_round_opens_after_one_was_abandoned():
    again = open_round(make_id("fin", 2))
    (event,) = ISSUER.decide(again, ISSUER.fold([*COMPANY, OPENED, ABANDONED]))
    assert event.financing_id == make_id("fin", 2)


def test_a_priced_round_records_exact_and_rounded_results():
    """At a post-money cap of 10,000,000 a SAFE of 1,000,000 is a tenth of the 9,000,000 shares and itself.

    After 5,000,000 on 20,000,000 the investor owns a fifth; the pool of a tenth is topped up inside the pre-money:
    T = (8,200,000 + 1,000,000) / (1 - 1/5 - 1/10).
    """
    *_, event = priced(COMPANY, SAFE)
    pricing = event.pricing
    assert Fraction(pricing.capitalization_exact) == 9_000_000
    assert Fraction(pricing.price_exact) == Fraction(25_000_000 * 7, 10 * 9_200_000)
    assert pricing.price_usd_per_share == Decimal("1.9022")
    (conversion,) = pricing.conversions
    assert (conversion.branch, conversion.shares) == ("cap", 1_000_000)
    assert Fraction(conversion.price_usd_per_share) == 1
    assert set(conversion.alternatives) == {"cap", "round_price"}
    assert [allotment.shares for allotment in pricing.allotments] == [2_628_571]
    assert pricing.pool_increase_shares == 514_285
    assert pricing.post_money_shares == 9_000_000 + 1_000_000 + 2_628_571 + 514_285


def test_pricing_holds_for_an_independent_checker():
    *_, event = priced(COMPANY, SAFE, LATE_SAFE)
    assert verify(msgspec.json.decode(event.pricing.certificate_json)) == []


@pytest.mark.parametrize("definition", ["outstanding", "outstanding_and_granted", "existing_fully_diluted"])
def test_a_rounds_definition_of_the_capitalization_does_not_lessen_the_cap_of_a_safe(definition):
    signed_on = [*COMPANY, *signed(SAFE), OPENED]
    (standard,) = ISSUER.decide(price(SAFE), ISSUER.fold(signed_on))[-1].pricing.conversions
    (other,) = ISSUER.decide(open_round(capitalization_definition=definition), ISSUER.fold(COMPANY))
    events = [*COMPANY, *signed(SAFE), other]
    (conversion,) = ISSUER.decide(price(SAFE), ISSUER.fold(events))[-1].pricing.conversions
    assert (conversion.branch, conversion.shares) == (standard.branch, standard.shares) == ("cap", 1_000_000)


def test_pricing_again_on_the_same_company_is_nothing_new():
    events = priced(COMPANY, SAFE, LATE_SAFE)
    Given(ISSUER, *events).when(price(LATE_SAFE, SAFE)).then_nothing()


def test_pricing_again_replaces_what_was_priced():
    events = priced(COMPANY, SAFE)
    events += signed(LATE_SAFE)
    (again,) = ISSUER.decide(price(SAFE, LATE_SAFE), ISSUER.fold(events))
    assert isinstance(again, IssuerFinancingPriced)
    assert ISSUER.fold([*events, again]).financings[FIN].pricing.instruments == (SAFE, LATE_SAFE)


def test_a_warrant_that_expired_before_the_pricing_does_not_count():
    opened = ISSUER.fold([*COMPANY, WARRANTED, OPENED])
    shares = [
        Fraction(ISSUER.decide(price(at=at), opened)[0].pricing.capitalization_exact)
        for at in (NOON, NOON.replace(year=2031))
    ]
    assert shares == [9_100_000, 9_000_000]


def issued(class_id, holder_id, shares, price_usd, salt):
    return IssuerStockIssued(
        **OF_ISS,
        security_id=derive_id("sec", FIN, salt),
        holder_id=holder_id,
        class_id=class_id,
        shares=shares,
        price_usd_per_share=Decimal(price_usd),
        cause=FIN,
        approval=APPROVAL,
    )


def preferred(class_id, shares, price_usd):
    return IssuerStockClassCreated(
        **OF_ISS,
        class_id=class_id,
        kind="preferred",
        shares_authorised=shares,
        price_per_share_usd=Decimal(price_usd),
        liquidation_multiple=Decimal(1),
        seniority=2,
    )


def test_closing_issues_what_was_priced_in_one_batch():
    named = (NewStakeholder(holder_id=FUND, name="Ridge Ventures", kind="investor"),)
    Given(ISSUER, *priced(COMPANY, SAFE)).when(close(SAFE, stakeholders=named)).then(
        preferred("series-a", 2_628_571, "1.9022"),
        preferred("series-a-1", 1_000_000, "1.0000"),
        IssuerStockPlanAdjusted(**OF_ISS, shares_reserved=1_514_285, cause=FIN, approval=APPROVAL),
        IssuerStakeholderAdded(**OF_ISS, holder_id=FUND, name="Ridge Ventures", kind="investor"),
        issued("series-a-1", PROVIDER, 1_000_000, "1.0000", f"{SAFE.instrument_id}/0"),
        issued("series-a", FUND, 2_628_571, "1.9022", FUND),
        CLOSED,
    )


def test_what_converts_at_the_rounds_price_gets_its_class_and_an_unnamed_holder_is_shown_by_id():
    events = closed(priced(COMPANY, SAFE, LATE_SAFE), SAFE, LATE_SAFE)
    classes = {event.holder_id: event.class_id for event in events if isinstance(event, IssuerStockIssued)}
    assert classes == {PROVIDER: "series-a-1", ANGEL: "series-a", FUND: "series-a"}
    added = [event for event in events if isinstance(event, IssuerStakeholderAdded)]
    assert [(event.holder_id, event.name, event.kind) for event in added] == [
        (ANGEL, ANGEL, "investor"),
        (FUND, FUND, "investor"),
    ]


def test_after_the_closing_the_cap_table_is_the_post_money_that_was_priced():
    events = priced(COMPANY, SAFE, LATE_SAFE)
    state = ISSUER.fold([*events, *closed(events, SAFE, LATE_SAFE)])
    assert total_shares(state).fully_diluted == events[-1].pricing.post_money_shares
    assert sum(measure_ownership(state).values()) == 1
    assert abs(measure_ownership(state)[FUND] - Fraction(1, 5)) < Fraction(1, 1_000_000)


def test_a_safe_whose_price_prints_like_the_rounds_does_not_join_its_series():
    """After a split both print as 0.01 at two places; at that price the SAFE's preference was 30 M for 1 M."""
    split = IssuerStockSplit(**OF_ISS, split_id=make_id("spl", 1), numerator=3_000, denominator=1)
    coarse = open_round(price_places=2, price_rounding="ceiling")
    given = [*COMPANY, split]
    opened = [*given, *signed(SAFE), *ISSUER.decide(coarse, ISSUER.fold(given))]
    events = [*opened, *ISSUER.decide(price(SAFE), ISSUER.fold(opened))]
    assert events[-1].pricing.price_usd_per_share == Decimal("0.01")
    state = ISSUER.fold([*events, *closed(events, SAFE)])
    shadow, (conversion,) = state.classes["series-a-1"], events[-1].pricing.conversions
    assert state.holdings[PROVIDER, "series-a-1"] == conversion.shares
    assert 0 <= Fraction(SAFE.principal_usd) - conversion.shares * shadow.price_usd < Fraction(1, 100)
    assert state.holdings[FUND, "series-a"] == state.classes["series-a"].shares_authorised


def test_the_preference_of_a_conversion_is_its_principal():
    events = priced(COMPANY, SAFE)
    state = ISSUER.fold([*events, *closed(events, SAFE)])
    shadow = state.classes["series-a-1"]
    assert shadow.price_usd * shadow.shares_outstanding == 1_000_000


def test_a_round_in_which_principal_would_become_less_than_a_share_is_refused():
    crumb = converting(3, "0.01", SafeTerms(conversion_timing="post_money"), ANGEL)
    refusal = Given(ISSUER, *COMPANY, *signed(crumb), OPENED).when(price(crumb)).refused("conversion_empty")
    assert refusal.facts["instrument_id"] == crumb.instrument_id
    assert Fraction(refusal.facts["shares_exact"]) < 1


def found_small(shares):
    """Return a company with a few shares of common stock, and no plan."""
    founded = [
        each
        for each in COMPANY
        if not isinstance(each, IssuerStockIssued | IssuerStockPlanAdjusted | IssuerOptionGranted)
    ]
    return [*founded, msgspec.structs.replace(STOCK, shares=shares)]


@pytest.mark.parametrize("share_rounding", ["ceiling", "nearest", "floor"])
def test_rounding_up_gives_no_share_worth_a_million_for_a_dollar(share_rounding):
    """Four friends paid a dollar each, and got preferences of 4 M before a holder that had paid a million."""
    small = found_small(10)
    lead = (Investment(holder_id=FUND, amount_usd=Decimal(2_000_000)),)
    friends = (*lead, Investment(holder_id=ANGEL, amount_usd=Decimal(600_000)))
    terms = {"share_rounding": share_rounding, "pre_money_usd": Decimal(10_000_000), "pool_post_money": Decimal(0)}
    for investments, code in (
        (friends, {"floor": "allotment_empty"}.get(share_rounding, "allotment_coarse")),
        (lead, None),
    ):
        opened = [*small, *ISSUER.decide(open_round(**terms, investments=investments), ISSUER.fold(small))]
        if code is None:
            assert ISSUER.decide(price(), ISSUER.fold(opened))
        else:
            assert Given(ISSUER, *opened).when(price()).refused(code).facts["holder_id"] == ANGEL
    crumb = converting(3, 600_000, SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal(10_000_000)))
    opened = [*small, *signed(crumb), *ISSUER.decide(open_round(**terms, investments=lead), ISSUER.fold(small))]
    code = "conversion_empty" if share_rounding == "floor" else "conversion_coarse"
    Given(ISSUER, *opened).when(price(crumb)).refused(code)


def test_a_share_that_costs_less_than_a_dollar_is_rounded_up_as_stated():
    cheap = (
        Investment(holder_id=FUND, amount_usd=Decimal(2_000_000)),
        Investment(holder_id=ANGEL, amount_usd=Decimal("0.01")),
    )
    opened = [
        *COMPANY,
        *ISSUER.decide(
            open_round(share_rounding="ceiling", investments=cheap, pre_money_usd=Decimal(1_000_000)),
            ISSUER.fold(COMPANY),
        ),
    ]
    (event,) = [each for each in ISSUER.decide(price(), ISSUER.fold(opened)) if isinstance(each, IssuerFinancingPriced)]
    assert [each.shares for each in event.pricing.allotments][1] == 1


def test_a_safe_of_a_company_of_one_share_waits_until_the_stock_is_split():
    one = found_small(1)
    safe = converting(3, 999_999, SafeTerms(conversion_timing="post_money"), ANGEL)
    Given(ISSUER, *one, *signed(safe), OPENED).when(price(safe)).refused("conversion_empty")


def test_the_conversions_of_a_round_are_what_its_instruments_accept():
    events = priced(COMPANY, SAFE)
    (command,) = list_conversions(ISSUER.fold(events), FIN)
    after = ISSUER.fold([*events, *closed(events, SAFE)])
    assert list_conversions(after, FIN) == (command,)
    of_safe = {"instrument_id": SAFE.instrument_id, "issuer_id": ISS, "holder_id": PROVIDER}
    instrument = INSTRUMENT.fold(
        [
            InstrumentIssued(**of_safe, terms=CAPPED, commitment_usd=Decimal(2_000_000), funding="paid_at_once"),
            InstrumentPrincipalAccrued(
                **of_safe,
                tranche_id=make_id("trn", 1),
                principal_usd=SAFE.principal_usd,
                statement_id=None,
                terms_version=1,
                interest_from=date(2026, 3, 1),
            ),
        ]
    )
    assert instrument.list_converting() == (SAFE,)
    (converted,) = INSTRUMENT.decide(command, instrument)
    assert (converted.class_id, converted.shares, converted.principal_usd) == ("series-a-1", 1_000_000, 1_000_000)


def test_runs_of_one_instrument_convert_each_under_their_terms():
    runs = (SAFE, converting(1, 250_000, UNCAPPED))
    events = priced(COMPANY, *runs)
    commands = list_conversions(ISSUER.fold(events), FIN)
    assert [(each.position, each.branch, each.class_id) for each in commands] == [
        (0, "cap", "series-a-1"),
        (1, "round_price", "series-a"),
    ]
    securities = [event.security_id for event in closed(events, *runs) if isinstance(event, IssuerStockIssued)]
    assert len(set(securities)) == 3


def invest(count):
    return tuple(Investment(holder_id=make_id("pty", 100 + n), amount_usd=Decimal(1000)) for n in range(count))


BUYBACK = IssuerStockRepurchased(
    **OF_ISS,
    repurchase_id=make_id("rep", 1),
    holder_id=COMPANY[6].holder_id,
    class_id="common",
    shares=1,
    price_usd_per_share=Decimal(1),
)
EMPTY = [FORMED, *FOUNDED[1:]]
PRICED = priced(COMPANY, SAFE)
SIGNED = signed(SAFE, converting(3, 1))
OTHER = make_id("fin", 2)
MOST_FAVOURED = SafeTerms(conversion_timing="post_money", most_favoured_nation=True)
THE_COMPANY = [Investment(holder_id=each, amount_usd=Decimal(10)) for each in (FORMED.party_id, ISS)]

REFUSED = {
    "open": [
        ("financing_exists", [*COMPANY, OPENED], open_round(class_id="B")),
        ("id_malformed", [*COMPANY, OPENED], open_round("series a", class_id="B")),
        ("financing_open", [*COMPANY, OPENED], open_round(OTHER, class_id="B")),
        ("class_id_malformed", COMPANY, open_round(class_id="B", pre_money_usd=Decimal(0))),
        ("class_id_malformed", COMPANY, open_round(class_id="b" * 37)),
        ("amount_not_positive", COMPANY, open_round(pre_money_usd=Decimal(0), investments=())),
        ("investments_out_of_range", COMPANY, open_round(investments=(), pool_post_money=Decimal(2))),
        ("investments_out_of_range", COMPANY, open_round(investments=invest(INVESTMENTS_MAX + 1))),
        ("investment_repeated", COMPANY, open_round(investments=invest(1) * 2, pool_post_money=Decimal(2))),
        ("amount_too_large", COMPANY, open_round(pool_post_money=Decimal(2), price_places=1)),
        ("price_places_out_of_range", COMPANY, open_round(price_places=1, seniority=101)),
        ("amount_not_positive", COMPANY, open_round(liquidation_multiple=Decimal(-1), seniority=101)),
        ("seniority_out_of_range", COMPANY, open_round(seniority=101, class_id="seed")),
        ("stock_class_exists", COMPANY, open_round(class_id="seed")),
        *(("company_invests", COMPANY, open_round(investments=[buyer])) for buyer in THE_COMPANY),
    ],
    "price": [
        ("financing_unknown", COMPANY, price()),
        ("financing_abandoned", [*COMPANY, OPENED, ABANDONED], price(at=NOON.replace(tzinfo=None))),
        ("financing_closed", [*PRICED, CLOSED], price(at=NOON.replace(tzinfo=None))),
        ("time_naive", [*COMPANY, OPENED], price(*[SAFE] * (INSTRUMENTS_MAX + 1), at=NOON.replace(tzinfo=None))),
        ("financing_overdue", [*COMPANY, DATED], price(*[SAFE] * (INSTRUMENTS_MAX + 1))),
        ("too_many_instruments", [*COMPANY, OPENED], price(*[SAFE] * (INSTRUMENTS_MAX + 1))),
        ("instrument_unsigned", [*EMPTY, OPENED], price(SAFE)),
        ("instrument_unsigned", [*COMPANY, *SIGNED, OPENED], price(converting(1, 10, holder_id=ANGEL))),
        ("no_shares", [*EMPTY, *SIGNED, OPENED], price(SAFE)),
        ("cap_below_principal", [*COMPANY, *SIGNED, OPENED], price(converting(1, 10_000_000))),
        ("stack_exceeds_company", [*COMPANY, *SIGNED, OPENED], price(*(converting(n, 9_000_000) for n in (1, 3)))),
        ("mfn_election_missing", [*COMPANY, *SIGNED, OPENED], price(converting(1, 10, MOST_FAVOURED))),
    ],
    "close": [
        ("financing_unknown", COMPANY, close()),
        ("financing_abandoned", [*PRICED, ABANDONED], close(at=NOON.replace(tzinfo=None))),
        ("time_naive", [*COMPANY, OPENED], close(at=NOON.replace(tzinfo=None))),
        ("financing_unpriced", [*COMPANY, OPENED], close()),
        ("financing_stale", PRICED, close()),
        ("financing_stale", PRICED, close(SAFE, LATE_SAFE)),
        ("financing_stale", PRICED, close(converting(1, 1_000_001))),
        ("financing_stale", [*PRICED, BUYBACK], close(SAFE)),
        ("financing_stale", priced([*COMPANY, WARRANTED], SAFE), close(SAFE, at=NOON.replace(year=2031))),
    ],
    "abandon": [
        ("financing_unknown", COMPANY, ABANDON),
        ("financing_closed", [*PRICED, CLOSED], LAPSE),
        ("financing_not_due", [*COMPANY, OPENED], LAPSE),
    ],
}


@pytest.mark.parametrize(
    ("code", "events", "command"),
    [row for rows in REFUSED.values() for row in rows],
    ids=[f"{name}-{row[0]}" for name, rows in REFUSED.items() for row in rows],
)
def test_refused(code, events, command):
    Given(ISSUER, *events).when(command).refused(code)


def test_a_price_that_vanishes_at_its_places_is_refused():
    opened = [
        *COMPANY,
        *ISSUER.decide(
            open_round(price_places=2, pre_money_usd=Decimal(20_000), investments=invest(1)), ISSUER.fold(COMPANY)
        ),
    ]
    Given(ISSUER, *opened).when(price()).refused("price_rounds_to_zero")


def test_an_investment_below_the_price_of_a_share_is_refused():
    crumbs = (*invest(1), Investment(holder_id=ANGEL, amount_usd=Decimal("0.01")))
    opened = [*COMPANY, *ISSUER.decide(open_round(investments=crumbs), ISSUER.fold(COMPANY))]
    refusal = Given(ISSUER, *opened).when(price()).refused("allotment_empty")
    assert refusal.facts["holder_id"] == ANGEL


@pytest.mark.parametrize(
    ("amount", "code"), [("150000", "allotment_empty"), ("350000", "allotment_coarse"), ("9000", None)]
)
def test_who_joins_a_round_by_right_with_a_hundredth_of_its_money_is_not_rounded_away(amount, code):
    """With few shares a fund's part was less than one, so that it got nothing, or paid for one and a half."""
    small, angel = found_small(50), {"holder_id": ANGEL, "amount_usd": Decimal(amount)}
    lead = (Investment(holder_id=FUND, amount_usd=Decimal(2_000_000)),)
    terms = {"share_rounding": "floor", "pre_money_usd": Decimal(10_000_000), "pool_post_money": Decimal(0)}
    (opened,) = ISSUER.decide(open_round(**terms, investments=lead), ISSUER.fold(small))
    offer = ProRataOffer(holder_id=ANGEL, amount_max_usd=Decimal(amount))
    opened = msgspec.structs.replace(opened, pro_rata=(offer,), pro_rata_until=NOON + timedelta(days=30))
    joined = [*small, opened, IssuerProRataAnswered(**OF_ISS, financing_id=FIN, **angel)]
    if code is None:
        (event,) = ISSUER.decide(price(), ISSUER.fold(joined))
        assert [each.holder_id for each in event.pricing.allotments] == [FUND], "its part is tiny, and stops no round"
    else:
        assert Given(ISSUER, *joined).when(price()).refused(code).facts["holder_id"] == ANGEL


@pytest.mark.parametrize("count", [1, 2])
def test_no_round_leaves_out_many_small_parts_that_together_are_a_hundredth_of_its_money(count):
    """A crowd of investors, each with less than a hundredth, would lose all its parts to the lead."""
    part, small = Decimal(19_000), found_small(1_000)
    lead = (Investment(holder_id=FUND, amount_usd=Decimal(2_000_000)),)
    terms = {"share_rounding": "floor", "pre_money_usd": Decimal(10_000_000), "pool_post_money": Decimal(0)}
    (opened,) = ISSUER.decide(open_round(**terms, investments=lead), ISSUER.fold(small))
    joining = [ANGEL, STOCK.holder_id][:count]
    offers = tuple(ProRataOffer(holder_id=each, amount_max_usd=part) for each in joining)
    opened = msgspec.structs.replace(opened, pro_rata=offers, pro_rata_until=NOON + timedelta(days=30))
    answers = [IssuerProRataAnswered(**OF_ISS, financing_id=FIN, holder_id=each, amount_usd=part) for each in joining]
    if count == 1:
        (event,) = ISSUER.decide(price(), ISSUER.fold([*small, opened, *answers]))
        assert [each.holder_id for each in event.pricing.allotments] == [FUND], "its part is tiny, and stops no round"
    else:
        Given(ISSUER, *small, opened, *answers).when(price()).refused("allotment_coarse")


def test_conversions_of_an_unpriced_round_are_refused():
    state = ISSUER.fold([*COMPANY, OPENED])
    for financing_id, code in ((FIN, "financing_unpriced"), (OTHER, "financing_unknown")):
        with pytest.raises(Exception, match="financing") as caught:
            list_conversions(state, financing_id)
        assert caught.value.code == code


def test_a_closing_is_never_larger_than_one_atomic_batch():
    instruments = tuple(
        converting(
            n,
            1000 + n,
            SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal(5_000_000 + 50_000 * n)),
            make_id("pty", 500 + n),
        )
        for n in range(INSTRUMENTS_MAX)
    )
    terms = open_round(investments=invest(INVESTMENTS_MAX), pre_money_usd=Decimal(50_000_000))
    opened = [*COMPANY, *signed(*instruments), *ISSUER.decide(terms, ISSUER.fold(COMPANY))]
    events = [*opened, *ISSUER.decide(price(*instruments), ISSUER.fold(opened))]
    assert len(closed(events, *instruments)) + INSTRUMENTS_MAX <= 1000


def test_a_sale_waits_for_the_round():
    Given(ISSUER, *PRICED).when(declare(1000)).refused("financing_open")
    Given(ISSUER, *PRICED, ABANDONED).when(add(holder_id=FUND)).then(add_event(FUND))
    Given(ISSUER, *PRICED, ABANDONED).when(create(SEED)).then_nothing()


def add_event(holder_id):
    return IssuerStakeholderAdded(**OF_ISS, holder_id=holder_id, name="Founder", kind="founder")


def test_an_exercise_that_leaves_the_shares_as_they_are_stalls_no_closing():
    """A holder voided every proposal to close a round by exercising one share of its warrant for a cent."""
    used = priced([*COMPANY, WARRANTED], SAFE)
    before = ISSUER.fold(used)
    exercised = IssuerWarrantExercised(
        issuer_id=WARRANTED.issuer_id,
        exercise_id=make_id("exr", 1),
        warrant_id=WARRANTED.warrant_id,
        holder_id=WARRANTED.holder_id,
        class_id=WARRANTED.class_id,
        shares=1,
    )
    after = ISSUER.fold([*used, exercised])
    assert ISSUER.decide(close(SAFE), after) == ISSUER.decide(close(SAFE), before)


def test_a_round_says_which_class_takes_the_name_of_one_that_it_may_create():
    taken = create(base=SEED, class_id="series-a-1")
    events = [*COMPANY, *ISSUER.decide(taken, ISSUER.fold(COMPANY))]
    refusal = Given(ISSUER, *events).when(open_round()).refused("stock_class_exists", "/terms/class_id")
    assert "series-a-1 exists, and a round of series-a creates that class" in refusal.message

"""The table of rights: complete, and what it asks for each event."""

import json
from datetime import date, timedelta
from typing import get_args

import pytest
from msgspec.structs import replace

from events import issuer as events
from events.financing import Approval
from events.instrument import (
    InstrumentAmended,
    InstrumentMfnNoticed,
    InstrumentPrincipalReversed,
    InstrumentRepaid,
    InstrumentTransferred,
)
from events.issuer import IssuerEvent
from events.issuer_dilution import CountedInstrument, Exposure
from events.proposal import Consent, ProposedEvent, Voter
from events.registry import get_tag, render_body
from events.types import SafeTerms
from events.vesting import DateMilestone, WarrantTranche
from marketplace.domain.equity.disinterest import Prices, is_fair_investment
from marketplace.domain.equity.information import Sight, limit_consents, limit_effects, limit_event, list_hidden
from marketplace.domain.equity.issuer.financing.pro_rata import list_investors
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.rights import CONSEQUENCES, RIGHTS, Setting, list_consents, list_rights
from tests.domain.build import NOW, id_of, usd

COMPANY, FUND, BANK, FOUNDER = id_of("pty", 1), id_of("pty", 2), id_of("pty", 3), id_of("stk", 1)
ANGEL = id_of("pty", 4)
ISSUER_ID = id_of("iss", 1)
OWN_BOOK = {
    events.IssuerFormed,
    events.IssuerImported,
    events.IssuerStakeholderAdded,
    events.IssuerFirstRefusalWaived,
    events.IssuerWarrantExpired,
    events.IssuerFinancingOpened,
    events.IssuerFinancingPriced,
    events.IssuerFinancingAbandoned,
    events.IssuerConversionPriceAdjusted,
    events.IssuerValuationRecorded,
    events.IssuerDistributionPaid,
    events.IssuerProgrammeOpened,
}
"""Events of the company's own book: they take nothing from a holder, or follow from what holders agreed to."""


def issue(holder_id, shares, class_id="common", number=1):
    return events.IssuerStockIssued(
        issuer_id=ISSUER_ID,
        security_id=id_of("sec", number),
        holder_id=holder_id,
        class_id=class_id,
        shares=shares,
        price_usd_per_share=usd(1),
    )


GIVEN = (
    events.IssuerFormed(issuer_id=ISSUER_ID, party_id=COMPANY, legal_name="A", jurisdiction="US", formed_on=NOW.date()),
    events.IssuerStockClassCreated(issuer_id=ISSUER_ID, class_id="common", kind="common", shares_authorised=10_000),
    events.IssuerStockClassCreated(
        issuer_id=ISSUER_ID,
        class_id="seed",
        kind="preferred",
        shares_authorised=10_000,
        price_per_share_usd=usd(1),
        liquidation_multiple=usd(1),
    ),
    issue(FOUNDER, 900, number=1),
    issue(FUND, 100, number=2),
    issue(FUND, 60, "seed", number=3),
    issue(BANK, 50, "seed", number=4),
)


def owe(principal):
    """Return the events by which holders have principal, in cents, that may still become equity."""
    terms = SafeTerms(conversion_timing="post_money", valuation_cap_usd=usd(1_000))
    for number, (holder_id, cents) in enumerate(principal.items(), 1):
        named = {"issuer_id": ISSUER_ID, "instrument_id": id_of("ins", number)}
        amount = usd(cents) / 100
        yield events.IssuerInstrumentSigned(**named, holder_id=holder_id, commitment_usd=amount, terms=terms)
        exposure = Exposure(terms=terms, amount_usd=amount)
        yield events.IssuerExposureRecorded(issuer_id=ISSUER_ID, subject_id=id_of("ins", number), exposures=(exposure,))


def ask(*effects, proposer=COMPANY, principal=None, given=GIVEN):
    setting = Setting(ISSUER.fold((*given, *owe(principal or {}))), COMPANY, effects, NOW)
    return {
        consent.electorate: {voter.party_id: voter.weight for voter in consent.voters}
        for consent in list_consents(setting, proposer)
    }


def repurchase(holder_id, shares=10, price=1, class_id="common", cause=None):
    return events.IssuerStockRepurchased(
        issuer_id=ISSUER_ID,
        repurchase_id=id_of("rep", 1),
        holder_id=holder_id,
        class_id=class_id,
        shares=shares,
        price_usd_per_share=usd(price),
        cause=cause,
    )


def warrant(holder_id):
    return events.IssuerWarrantIssued(
        issuer_id=ISSUER_ID,
        warrant_id=id_of("wrt", 1),
        holder_id=holder_id,
        class_id="common",
        shares=10,
        exercise_price_usd=usd(1),
        expires_at=NOW + timedelta(days=900),
        settlement="cash",
    )


SPLIT = events.IssuerStockSplit(
    issuer_id=ISSUER_ID, split_id=id_of("spl", 1), numerator=1, denominator=30, fractions="cash_in_lieu"
)
VALUED = events.IssuerValuationRecorded(
    issuer_id=ISSUER_ID, price_usd_per_share=usd(3), method="409A", effective_on=NOW.date(), recorded_by="platform"
)


def test_every_event_of_an_issuer_has_a_right_or_is_of_the_companys_own_book():
    types = set(get_args(IssuerEvent))
    of_instruments = {
        InstrumentAmended,
        InstrumentMfnNoticed,
        InstrumentPrincipalReversed,
        InstrumentRepaid,
        InstrumentTransferred,
    }
    assert types | of_instruments == set(RIGHTS) | OWN_BOOK | set(CONSEQUENCES)
    assert not set(RIGHTS) & (OWN_BOOK | set(CONSEQUENCES))
    assert len({right.name for right in list_rights()}) == len(list_rights())


@pytest.mark.parametrize(
    ("event", "holders"),
    [
        (repurchase(ANGEL), {ANGEL}),
        (
            events.IssuerStockTransferred(
                issuer_id=ISSUER_ID,
                transfer_id=id_of("trf", 1),
                holder_id=FUND,
                holder_id_after=BANK,
                class_id="common",
                shares=1,
            ),
            {FUND, BANK},
        ),
        (
            events.IssuerStockConverted(
                issuer_id=ISSUER_ID,
                conversion_id=id_of("cnv", 1),
                holder_id=FUND,
                class_id="seed",
                shares=1,
                class_id_after="common",
                shares_exact="1/1",
                shares_after=1,
                reason="voluntary",
            ),
            {FUND},
        ),
    ],
)
def test_a_party_whose_own_position_changes_is_asked_alone(event, holders):
    given = (*GIVEN, issue(ANGEL, 10, number=9))
    assert ask(event, given=given) == {f"holder/{holder}": {holder: 1} for holder in holders}
    for holder in holders:
        assert f"holder/{holder}" not in ask(event, proposer=holder, given=given)


VOTE = {"class/common": {FUND: 100}, "class/seed": {FUND: 60, BANK: 50}}


@pytest.mark.parametrize(
    "event",
    [
        repurchase(FOUNDER),
        events.IssuerStockTransferred(
            issuer_id=ISSUER_ID,
            transfer_id=id_of("trf", 1),
            holder_id=FOUNDER,
            holder_id_after=id_of("pty", 9),
            class_id="common",
            shares=1,
        ),
        events.IssuerStockSplit(issuer_id=ISSUER_ID, split_id=id_of("spl", 2), numerator=1, denominator=2),
        events.IssuerAuthorisedSharesAdjusted(issuer_id=ISSUER_ID, class_id="common", shares_authorised=1_000),
    ],
)
def test_what_shrinks_the_company_or_lets_a_party_join_is_put_to_a_vote(event):
    """A vote could be packed by a shell, and holders be shrunk before a maturity, by acts on founders' stock alone."""
    asked = ask(event)
    assert {electorate: asked[electorate] for electorate in VOTE} == VOTE


def test_what_grows_the_company_for_all_alike_asks_nobody():
    split = events.IssuerStockSplit(issuer_id=ISSUER_ID, split_id=id_of("spl", 2), numerator=2, denominator=1)
    more = events.IssuerAuthorisedSharesAdjusted(issuer_id=ISSUER_ID, class_id="common", shares_authorised=20_000)
    assert ask(split, more) == {}


def test_a_holder_that_proposes_asks_the_company_where_it_must_agree():
    given = (*GIVEN, issue(ANGEL, 10, number=9))
    assert ask(repurchase(ANGEL), proposer=ANGEL, given=given) == {"company": {COMPANY: 1}}
    stakeholder = events.IssuerStakeholderAdded(issuer_id=ISSUER_ID, holder_id=BANK, name="Bank", kind="investor")
    assert ask(stakeholder, proposer=FUND) == {"company": {COMPANY: 1}}
    assert ask(stakeholder) == {}


def test_a_vote_asks_every_group_with_its_weights_and_never_the_company():
    sold = ask(issue(FOUNDER, 1, number=9), principal={FUND: 500, BANK: 100})
    assert sold == {
        "class/common": {FUND: 100},
        "class/seed": {FUND: 60, BANK: 50},
        "instruments": {FUND: 500, BANK: 100},
        "disinterested_class/seed": {BANK: 50},
        "disinterested_instruments": {BANK: 100},
        "pro_rata": {FUND: 764_101, BANK: 236_112},
    }
    own = (*GIVEN, issue(COMPANY, 5_000, number=8))
    assert COMPANY not in {party for voters in ask(issue(FOUNDER, 1, number=9), given=own).values() for party in voters}


HIDDEN = {
    "stock for a holder without a key": (issue(FOUNDER, 1, number=9), True),
    "stock for the company itself": (issue(COMPANY, 1, number=9), True),
    "stock for a party": (issue(ANGEL, 1, number=9), False),
    "a warrant for a holder without a key": (warrant(FOUNDER), True),
    "a warrant for a party": (warrant(ANGEL), False),
    "a greater pool": (events.IssuerStockPlanAdjusted(issuer_id=ISSUER_ID, shares_reserved=100), True),
    "a dear buyback from a holder without a key": (repurchase(FOUNDER, price=2), True),
    "a buyback at cost": (repurchase(FOUNDER, price=1), False),
}


@pytest.mark.parametrize(("event", "apart"), HIDDEN.values(), ids=HIDDEN)
def test_who_has_most_of_a_group_does_not_bind_it_where_it_is_not_known_who_gains(event, apart):
    """A founder's party let a holder without a key have stock that ranks before everybody, and sold the company."""
    asked = ask(event)
    assert ("disinterested_class/seed" in asked) is apart
    assert asked.get("disinterested_class/seed", {BANK: 50}) == {BANK: 50}, "the fund has 60 of 110"
    assert "disinterested_class/common" not in asked, "nobody else has common stock"
    even = ask(event, given=(*GIVEN, issue(BANK, 10, "seed", number=8)))
    assert "disinterested_class/seed" not in even, "nobody has most of it"


@pytest.mark.parametrize(("price", "apart"), [(3, False), (2, True)])
def test_a_fair_price_for_a_holder_without_a_key_asks_nobody_apart(price, apart):
    bought = events.IssuerStockIssued(**{**to_fields(issue(FOUNDER, 1, number=9)), "price_usd_per_share": usd(price)})
    assert ("disinterested_class/seed" in ask(bought, given=(*GIVEN, VALUED))) is apart


def test_options_from_an_agreed_pool_go_to_holders_without_a_key_without_a_vote():
    promised = events.IssuerOptionPromised(
        issuer_id=ISSUER_ID, promise_id=id_of("pms", 1), holder_id=FOUNDER, shares=10
    )
    assert ask(promised) == {}


@pytest.mark.parametrize(
    ("price", "first_refusal", "taker", "asked"),
    [
        ("0.01", True, BANK, {BANK}),
        ("0.01", True, FOUNDER, {FUND}),
        ("0", True, BANK, {FUND, BANK}),
        ("0.01", False, BANK, {FUND, BANK}),
        ("0.01", False, ANGEL, {ANGEL}),
        ("0", False, ANGEL, {ANGEL}),
    ],
    ids=["a party", "without a key", "a gift", "without the right", "the named buyer", "the named receiver"],
)
def test_offered_stock_goes_to_another_than_its_giver_named_only_by_right_and_for_money(
    price, first_refusal, taker, asked
):
    """A fund offered stock to its sister for 0, or at little, and the company let its friend or founder take it."""
    given, common = list(GIVEN), GIVEN[1]
    given[1] = replace(common, first_refusal=first_refusal)
    named = {"issuer_id": ISSUER_ID, "transfer_id": id_of("trf", 1)}
    moved = {"holder_id": FUND, "class_id": "common", "shares": 1}
    offered = events.IssuerStockOffered(
        **named, **moved, holder_id_after=ANGEL, price_usd_per_share=usd(price), decide_until=NOW
    )
    taken = (
        events.IssuerFirstRefusalExercised(**named, holder_id=taker),
        events.IssuerStockTransferred(**named, **moved, holder_id_after=taker),
    )
    assert ask(*taken, given=(*given, offered)) == {f"holder/{holder}": {holder: 1} for holder in asked}


SMALL = events.IssuerStockClassCreated(issuer_id=ISSUER_ID, class_id="small", kind="common", shares_authorised=100)
OPTION = events.IssuerOptionGranted(
    issuer_id=ISSUER_ID, option_id=id_of("opt", 1), holder_id=BANK, shares=10, exercise_price_usd=usd(1)
)


@pytest.mark.parametrize(("class_id", "asks"), [("common", False), ("small", True)])
def test_a_second_class_of_common_stock_holds_up_no_option_on_the_largest(class_id, asks):
    """A company created a class of one share by itself, and every exercise then waited for its agreement."""
    given = (*GIVEN, SMALL, issue(FOUNDER, 1, "small", number=9), OPTION)
    names = {"exercise_id": id_of("exe", 1), "option_id": id_of("opt", 1), "holder_id": BANK}
    act = events.IssuerOptionExercised(issuer_id=ISSUER_ID, **names, class_id=class_id, shares=1)
    assert ("company" in ask(act, proposer=BANK, given=given)) is asks


@pytest.mark.parametrize(("shares", "investors"), [(900, set()), (90_000_000, {FUND})])
def test_who_bought_stock_of_a_company_that_is_worth_something_is_an_investor(shares, investors):
    """Founders' stock at a stated price, for which nobody paid, made the fund that paid it no investor."""
    state = ISSUER.fold((*GIVEN[:3], issue(FOUNDER, shares, number=1), issue(FUND, 100, number=2)))
    assert list_investors(state) == investors


def test_stock_with_a_cause_was_agreed_to_before():
    caused = events.IssuerStockIssued(**{**to_fields(issue(FUND, 5, number=9)), "cause": id_of("ins", 1)})
    assert ask(caused) == {}


@pytest.mark.parametrize(
    ("price", "shares", "valued", "asked"),
    [(3, 10, True, False), (2, 10, True, True), (3, 10, False, True), (3, 11, True, True)],
)
def test_a_fraction_is_taken_at_a_fair_price_if_it_is_a_thousandth_of_the_class(price, shares, valued, asked):
    """Who kept a share lost all others by one consolidation after the other, without being asked."""
    given = (*GIVEN, issue(FOUNDER, 9_900, number=9), *((VALUED,) if valued else ()))
    taken = repurchase(FUND, shares, price, cause=SPLIT.split_id)
    assert (f"holder/{FUND}" in ask(taken, SPLIT, given=given)) is asked


GUARDED = (
    *GIVEN,
    events.IssuerStockClassCreated(
        issuer_id=ISSUER_ID,
        class_id="guard",
        kind="preferred",
        shares_authorised=10_000,
        price_per_share_usd=usd(1),
        liquidation_multiple=usd(1),
        price_protection="full_ratchet",
    ),
    issue(BANK, 10, "guard", number=5),
    issue(ANGEL, 500, "guard", number=6),
)
CHEAP = {
    "stock": lambda price: replace(issue(FOUNDER, 1, number=9), price_usd_per_share=usd(price)),
    "a warrant": lambda price: replace(warrant(FOUNDER), exercise_price_usd=usd(price)),
}


@pytest.mark.parametrize("price", ["0.99", "1"])
@pytest.mark.parametrize("build", CHEAP.values(), ids=CHEAP)
def test_cheaper_stock_without_a_round_asks_each_holder_that_is_protected_against_it(build, price):
    """A friend carried its class, and 8,000,000 shares at 0.05 left a fund's full ratchet at 1.25."""
    asked = ask(build(price), given=GUARDED)
    protected = {f"holder/{each}" for each in (BANK, ANGEL)}
    assert protected & asked.keys() == (protected if price == "0.99" else set())
    assert not protected & ask(build(price)).keys(), "their other classes are not protected"


def test_nobody_is_asked_where_no_party_holds_anything():
    assert ask(issue(FOUNDER, 1, number=9), given=GIVEN[:4]) == {}


@pytest.mark.parametrize(("price", "shares", "asked"), [(3, 100, False), (2, 100, True), (3, 101, True)])
def test_a_thousandth_of_a_class_stops_no_consolidation_that_pays_a_fair_price_for_it(price, shares, asked):
    given = (*GIVEN[:3], issue(FOUNDER, 100_000 - shares, number=1), issue(FUND, shares, number=2), VALUED)
    taken = repurchase(FUND, shares, price, cause=SPLIT.split_id)
    assert (f"holder/{FUND}" in ask(taken, SPLIT, given=given)) is asked


TIMES = events.IssuerStockSplit(issuer_id=ISSUER_ID, split_id=id_of("spl", 8), numerator=30, denominator=1)


def test_voters_are_in_the_order_of_their_ids():
    setting = Setting(ISSUER.fold(GIVEN), COMPANY, (issue(FOUNDER, 1, number=9),), NOW)
    seed = next(each for each in list_consents(setting, COMPANY) if each.electorate == "class/seed")
    assert seed.voters == (Voter(party_id=FUND, weight=60), Voter(party_id=BANK, weight=50))


def to_fields(event):
    return {name: getattr(event, name) for name in event.__struct_fields__}


@pytest.mark.parametrize(("denominator", "asks"), [(30, False), (40, True)])
def test_everybody_agrees_to_a_consolidation_that_leaves_few_shares(denominator, asks):
    """A fund's part of a round, and its note, became less than a share, and nobody had to ask it before."""
    given = (*GIVEN[:3], issue(FOUNDER, 6_800, number=1), issue(FUND, 3_400, number=2))
    split = events.IssuerStockSplit(issuer_id=ISSUER_ID, split_id=SPLIT.split_id, numerator=1, denominator=denominator)
    assert (f"holder/{FUND}" in ask(split, given=given)) is asks


@pytest.mark.parametrize("again", [False, True])
def test_from_the_second_consolidation_on_who_loses_a_share_agrees(again):
    """Ninety-nine consolidations took less than a thousandth each, and most of a stake together."""
    given = (*GIVEN, issue(FOUNDER, 19_900, number=9), VALUED, *((SPLIT, TIMES) if again else ()))
    taken = repurchase(FUND, 10, 3, cause=SPLIT.split_id)
    assert (f"holder/{FUND}" in ask(taken, SPLIT, given=given)) is again


def test_who_shrinks_because_others_are_rounded_up_agrees():
    """Shells of a hundredth of a new share each were rounded up to a whole one, beside who had ten."""
    fill = events.IssuerStockIssued(**{**to_fields(issue(BANK, 10, "seed", number=9)), "cause": SPLIT.split_id})
    twice = events.IssuerStockSplit(issuer_id=ISSUER_ID, split_id=SPLIT.split_id, numerator=1, denominator=2)
    assert ask(fill, twice) == {f"holder/{FUND}": {FUND: 1}, **VOTE}
    few = (*GIVEN, issue(FUND, 20_000, number=8))
    small = events.IssuerStockIssued(**{**to_fields(issue(BANK, 10, number=9)), "cause": SPLIT.split_id})
    assert f"holder/{FUND}" not in ask(small, SPLIT, given=few), "a thousandth is a fraction"


def test_others_weights_are_shown_as_one_and_a_buyers_groups_to_the_buyer_only():
    """A company that proposed to be bought read who holds how much of the company that it named as its buyer."""
    buyer, holder, other = id_of("pty", 5), id_of("pty", 6), id_of("pty", 7)

    def consent(electorate, *voters):
        named = tuple(Voter(party_id=party_id, weight=weight) for party_id, weight in voters)
        return Consent(electorate=electorate, right="sale", voters=named)

    consents = (
        consent("class/common", (FUND, 70), (BANK, 20), (other, 10)),
        consent("buyer", (buyer, 1)),
        consent("buyer_class/common", (holder, 777)),
    )

    def read(party_id, depth):
        shown = limit_consents(consents, Sight(ISSUER_ID, party_id, depth))
        return [{voter.party_id: voter.weight for voter in each.voters} for each in shown]

    rest = {FUND: 70, BANK: 20, other: 10}
    assert read(FUND, "own") == [{FUND: 70, ISSUER_ID: 30}, {buyer: 1}]
    assert read(COMPANY, "full") == [rest, {buyer: 1}], "neither how many shares it has nor in which classes"
    assert read(buyer, "own") == [{ISSUER_ID: 100}, {buyer: 1}, {holder: 777}]
    assert read(holder, "own") == [{ISSUER_ID: 100}, {buyer: 1}, {holder: 777}]
    assert read(None, "full") == [rest, {buyer: 1}, {holder: 777}]
    assert list_hidden(consents, Sight(ISSUER_ID, COMPANY, "full")) == {holder}
    assert list_hidden(consents, Sight(ISSUER_ID, buyer, "own")) == frozenset()


@pytest.mark.parametrize(
    "of_each",
    [
        events.IssuerFinancingClosed(
            issuer_id=ISSUER_ID, financing_id=id_of("fin", 1), approval=Approval(document="consent")
        ),
        events.IssuerStockSplit(issuer_id=ISSUER_ID, split_id=id_of("spl", 1), numerator=1, denominator=100),
    ],
)
def test_what_is_recorded_for_every_holder_shows_what_is_ones_own(of_each):
    proposed = propose(issue(FUND, 5, number=8), issue(BANK, 7, number=9), of_each)
    assert limit_effects(proposed, Sight(ISSUER_ID, FUND, "summary")) == (proposed[0], proposed[2])
    assert limit_effects(proposed, Sight(ISSUER_ID, FUND, "full")) == proposed
    assert limit_effects(proposed[:2], Sight(ISSUER_ID, FUND, "own")) == proposed[:2], "whom a vote dilutes reads it"


def test_a_limit_on_dilution_shows_no_terms_of_others():
    """Every holder read amount and cap of all instruments in the feed, and who voted in the proposal."""
    terms = SafeTerms(conversion_timing="post_money", valuation_cap_usd=usd(9_000), service_consequence="credit")
    exposure = Exposure(terms=terms, amount_usd=usd(5_000))
    counted = CountedInstrument(instrument_id=id_of("ins", 1), exposures=(exposure,))
    limit = events.IssuerDilutionLimited(issuer_id=ISSUER_ID, dilution_max=usd("0.2"), instruments=(counted,))
    (shown,) = limit_effects(propose(limit), Sight(ISSUER_ID, FUND, "summary"))
    assert json.loads(shown.body_json)["instruments"] == []
    assert limit_event(limit, FUND, "own").instruments == ()
    assert limit_event(limit, COMPANY, "full") == limit


def propose(*effects):
    return tuple(
        ProposedEvent(aggregate_id=ISSUER_ID, type=get_tag(event), body_json=render_body(event).decode())
        for event in effects
    )


@pytest.mark.parametrize(("owed", "cap", "is_fair"), [(400, 1_850, True), (400, 1_849, False), (1_000, 10**9, False)])
def test_a_post_money_cap_is_fair_if_it_values_all_that_instruments_become(owed, cap, is_fair):
    """1,110 shares at 1 USD; instruments that ask for two fifths of the company make them 1,850."""
    safe = SafeTerms(conversion_timing="post_money", valuation_cap_usd=usd(1_000))
    state = ISSUER.fold(
        [
            *GIVEN,
            events.IssuerValuationRecorded(
                issuer_id=ISSUER_ID,
                price_usd_per_share=usd(1),
                method="409A",
                effective_on=NOW.date(),
                recorded_by="platform",
            ),
            events.IssuerExposureRecorded(
                issuer_id=ISSUER_ID,
                subject_id=id_of("ord", 1),
                exposures=(Exposure(terms=safe, amount_usd=usd(owed)),),
            ),
        ]
    )
    terms = SafeTerms(conversion_timing="post_money", valuation_cap_usd=usd(cap))
    assert is_fair_investment(Prices(state, frozenset(), NOW.date()), terms) == is_fair


def give_right(number, holder_id, shares, price, **terms):
    named = {"warrant_id": id_of("wrt", number), "shares": shares, "exercise_price_usd": usd(price)}
    return replace(warrant(holder_id), **named, **terms)


WITHDRAWN = events.IssuerLiquidityWithdrawn(
    issuer_id=ISSUER_ID, liquidity_id=id_of("liq", 1), cause="agreed", reason="No buyer."
)


@pytest.mark.parametrize(
    ("bought", "paid", "rights", "weights"),
    [
        (100, 200, [(BANK, 3_000, 1_000), (ANGEL, 2_000, 0)], {BANK: 6, ANGEL: 2_000}),
        (100, 200, [(BANK, 3_000, 200), (ANGEL, 2_000, 100)], {BANK: 60, ANGEL: 2_000}),
        (100, 1_000, [(BANK, 3_000, 500), (ANGEL, 2_000, 0)], {BANK: 1_500, ANGEL: 2_000}),
        (50, 1_000, [(BANK, 3_000, 500), (ANGEL, 2_000, 0)], {BANK: 1_500, ANGEL: 2_000}),
        (47, 1_000, [(BANK, 3_000, 5_000), (ANGEL, 2_000, 0)], {BANK: 64, ANGEL: 2_000}),
        (100, "0.01", [(BANK, 3_000, 1_000), (ANGEL, 2_000, 50)], {BANK: 300, ANGEL: 2_000}),
        (100, "0.01", [(BANK, 3_000, 7), (ANGEL, 2_000, 9)], {BANK: 3_000, ANGEL: 2_000}),
        (100, 200, [(BANK, 5, 20), (BANK, 6, 20), (ANGEL, 7, 20)], {BANK: 11, ANGEL: 7}),
    ],
)
def test_rights_to_stock_vote_by_what_they_are_worth_at_the_best_known_price(bought, paid, rights, weights):
    """A friend's free rights far above every price were the majority beside a customer's, which were worth millions."""
    stock = replace(issue(FUND, bought, number=2), price_usd_per_share=usd(paid))
    founders = replace(issue(FOUNDER, 900, number=1), price_usd_per_share=usd("0.01"))
    given = (*GIVEN[:2], founders, stock, *(give_right(number, *row) for number, row in enumerate(rights, 1)))
    assert ask(WITHDRAWN, given=given)["warrants"] == weights


def test_rights_that_have_not_vested_are_a_group_of_their_own():
    never = WarrantTranche(shares=3_000, conditions=((DateMilestone(day=date(2999, 1, 1)),),))
    given = (*GIVEN, give_right(1, BANK, 3_000, 0, tranches=(never,)), give_right(2, ANGEL, 20, 0))
    asked = ask(WITHDRAWN, given=given)
    assert (asked["warrants"], asked["unvested_warrants"]) == ({ANGEL: 20}, {BANK: 3_000})

"""Who is an investor, and how much money makes a price count: by what was paid in and not paid back."""

import dataclasses
import json
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from msgspec.structs import replace

from events.financing import Investment
from events.issuer import (
    IssuerHolderTermsAgreed,
    IssuerInstrumentSigned,
    IssuerOptionCancelled,
    IssuerOptionExercised,
    IssuerOptionGranted,
    IssuerStockClassCreated,
    IssuerStockConverted,
    IssuerStockIssued,
    IssuerStockOffered,
    IssuerStockPlanAdjusted,
    IssuerStockRepurchased,
    IssuerStockSplit,
    IssuerStockTransferred,
    IssuerValuationRecorded,
    IssuerWarrantExercised,
    IssuerWarrantIssued,
)
from events.issuer_holders import HolderTerms
from events.registry import get_tag, render_body
from events.vesting import VestingSchedule
from marketplace.auditor.stream import Findings, Message
from marketplace.domain.equity.issuer.financing.pro_rata import (
    PRO_RATA_MAX,
    is_redemption,
    list_investors,
    list_late_offers,
)
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.rights.fair_value import is_enough
from marketplace.domain.equity.preemption import OVERCOME
from marketplace.domain.equity.rights import Setting, list_consents
from tests.domain.build import NOW
from tests.domain.issuer_samples import (
    ANGEL,
    APPROVAL,
    CAPPED,
    COMMON,
    EXPIRY,
    FIN,
    FORMED,
    FOUNDER,
    FUND,
    ISS,
    OF_ISS,
    PROVIDER,
    create,
    make_id,
    open_round,
    stakeholder,
)
from tests.support.market.auditing import CountedVotes, OfferedParts

HEADERS = {"ce-actor": "platform", "ce-time": "2026-03-01T12:00:00Z"}
KEYLESS, INSTRUMENT, OFFER = make_id("stk", 1), make_id("ins", 1), make_id("trf", 1)
START = [
    FORMED,
    *(stakeholder(each, "Somebody", "investor") for each in (FOUNDER, KEYLESS, ANGEL, FUND, PROVIDER)),
    *ISSUER.decide(create(COMMON | {"shares_authorised": 10**9}), ISSUER.fold([FORMED])),
]


def issued(number, holder_id, shares, price, cause=None):
    security_id, price = make_id("sec", number), Decimal(price)
    row = {"security_id": security_id, "holder_id": holder_id, "class_id": "common", "shares": shares}
    return IssuerStockIssued(**OF_ISS, **row, price_usd_per_share=price, cause=cause)


def bought_back(number, holder_id, shares, price, cause=None):
    row = {"repurchase_id": make_id("rep", number), "holder_id": holder_id, "class_id": "common", "shares": shares}
    return IssuerStockRepurchased(**OF_ISS, **row, price_usd_per_share=Decimal(price), cause=cause)


def handed_on(giver, taker, shares, price=None):
    row = {"transfer_id": OFFER, "holder_id": giver, "holder_id_after": taker, "class_id": "common", "shares": shares}
    moved = IssuerStockTransferred(**OF_ISS, **row, approval=APPROVAL)
    if price is None:
        return [moved]
    offered = IssuerStockOffered(**OF_ISS, **row, price_usd_per_share=Decimal(price), decide_until=EXPIRY)
    return [offered, moved]


SIGNED = IssuerInstrumentSigned(
    **OF_ISS, instrument_id=INSTRUMENT, holder_id=PROVIDER, commitment_usd=Decimal(500), terms=CAPPED
)
SPLIT = IssuerStockSplit(**OF_ISS, split_id=make_id("spl", 1), numerator=10, denominator=1)
FUNDED = [issued(1, KEYLESS, 8_000, "0.0001"), issued(2, FUND, 1_000, 1), issued(3, ANGEL, 4_000, 1)]


def warranted(price, exercised_at=None, **paid):
    """Return a warrant of 100 shares and its exercise; `exercised_at` is the price of a tranche that has its own."""
    row = {"warrant_id": make_id("wrt", 1), "holder_id": PROVIDER, "class_id": "common", "shares": 100}
    terms = {"exercise_price_usd": Decimal(price), "expires_at": EXPIRY, "settlement": "either"}
    used = {"exercise_id": make_id("exe", 1), "exercise_price_usd": exercised_at, **paid}
    return [IssuerWarrantIssued(**OF_ISS, **row, **terms), IssuerWarrantExercised(**OF_ISS, **row, **used)]


NET = {"fair_value_usd": Decimal(4), "shares_surrendered": 100}


def opted(price, holder_id=PROVIDER):
    """Return an option of 100 shares and its exercise."""
    row = {"option_id": make_id("opt", 1), "holder_id": holder_id, "shares": 100}
    granted = IssuerOptionGranted(**OF_ISS, **row, exercise_price_usd=Decimal(price))
    return [granted, IssuerOptionExercised(**OF_ISS, **row, exercise_id=make_id("exe", 1), class_id="common")]


PAID = {
    "nothing back": ([], 5_000),
    "all back": ([bought_back(1, ANGEL, 4_000, 1)], 1_000),
    "half back": ([bought_back(1, ANGEL, 2_000, 1)], 3_000),
    "half of the price back": ([bought_back(1, ANGEL, 4_000, "0.5")], 3_000),
    "a gift back": ([bought_back(1, ANGEL, 4_000, 0)], 5_000),
    "more than was paid": ([bought_back(1, ANGEL, 4_000, 9)], 1_000),
    "shares of others as well": ([*handed_on(KEYLESS, ANGEL, 8_000), bought_back(1, ANGEL, 12_000, 1)], 1_000),
    "what a founder never paid": ([bought_back(1, KEYLESS, 8_000, 1)], 5_000),
    "after a split": ([SPLIT, bought_back(1, ANGEL, 20_000, "0.1")], 3_000),
    "before a split": ([bought_back(1, ANGEL, 2_000, 1), SPLIT], 3_000),
    "by an offer to the company": (handed_on(ANGEL, FOUNDER, 2_000, price="0.5"), 4_000),
    "as a gift to the company": (handed_on(ANGEL, FOUNDER, 2_000), 5_000),
    "a warrant in cash": (warranted(2), 5_200),
    "a warrant in cash before a split": ([*warranted(2), SPLIT], 5_200),
    "a warrant in cash at the price of a tranche": (warranted(2, "3"), 5_300),
    "a warrant that pays with rights": (warranted(2, **NET), 5_000),
    "an option": (opted(2), 5_200),
    "an option before a split": ([*opted(2), SPLIT], 5_200),
    "an option whose stock the company bought back": ([*opted(2), bought_back(1, PROVIDER, 50, 2)], 5_100),
    "an option of a holder without a key": (opted(2, KEYLESS), 5_000),
    "principal": ([SIGNED], 5_500),
    "principal that was clawed back as stock": (
        [SIGNED, issued(4, PROVIDER, 300, 2, INSTRUMENT), bought_back(1, PROVIDER, 100, 0, INSTRUMENT)],
        5_900,
    ),
}


def audit(events):
    votes = CountedVotes(Findings())
    votes.consents.parties |= {ANGEL, FUND, PROVIDER}
    for event in events:
        votes.take([Message(7, "subject", HEADERS | {"ce-type": get_tag(event)}, render_body(event))])
    return votes


@pytest.mark.parametrize(("events", "paid_usd"), PAID.values(), ids=PAID)
def test_a_price_counts_with_a_twentieth_of_what_was_paid_in_and_not_paid_back(events, paid_usd):
    known = [*START, *FUNDED, *events]
    state, company = ISSUER.fold(known), audit(known).gains.find_company(ISS)
    for usd, counts in ((Fraction(paid_usd, 20), True), (Fraction(paid_usd, 20) - Fraction(1, 100), False)):
        assert is_enough(state, Fraction(1), Fraction(1), usd) is counts
        assert company.is_enough(Fraction(1), Fraction(1), usd) is counts


FOUNDED = issued(1, KEYLESS, 8_000_000, "0.001")
FOUNDING_ANGEL = issued(1, ANGEL, 8_000_000, "0.001")
GROWTH = issued(9, KEYLESS, 9 * 10**8, "0.1", cause=make_id("fin", 9))
FOUNDING = {
    "founders' price": ([issued(1, ANGEL, 8_000_000, "0.001")], set()),
    "of a company that grew since": ([issued(1, ANGEL, 8_000_000, "0.001"), GROWTH], set()),
    "of a company that was split since": ([issued(1, ANGEL, 8_000_000, "0.001"), SPLIT], set()),
    "a stated price that is none": ([issued(1, KEYLESS, 8_000_000, 1), issued(2, FUND, 1_000, 1)], {FUND}),
    "of a company that shrank since": (
        [issued(1, KEYLESS, 8_000_000, "0.02"), issued(2, FUND, 1_000, "0.02"), bought_back(1, KEYLESS, 7_999_000, 0)],
        {FUND},
    ),
    "the first of all": ([issued(1, FUND, 1_000, 1), issued(2, KEYLESS, 8_000_000, 1)], {FUND}),
    "a fund that bought a founder's stock": ([FOUNDED, *handed_on(KEYLESS, FUND, 1_000, price=1)], {FUND}),
    "at the founders' price": ([FOUNDED, *handed_on(KEYLESS, FUND, 1_000, price="0.001")], set()),
    "for nothing": ([FOUNDED, *handed_on(KEYLESS, FUND, 1_000)], set()),
    "a fund that bought before a split": (
        [FOUNDED, *handed_on(KEYLESS, FUND, 9, price="0.002"), SPLIT],
        {FUND},
    ),
    "from an investor for nothing": ([FOUNDED, issued(2, FUND, 9, 1), *handed_on(FUND, ANGEL, 9)], {ANGEL}),
    "from an investor that kept some": ([FOUNDED, issued(2, FUND, 9, 1), *handed_on(FUND, ANGEL, 8)], {ANGEL, FUND}),
    "back to the company": ([FOUNDED, *handed_on(KEYLESS, FOUNDER, 9, price=1)], set()),
    "from a buyer in a sale": ([FOUNDED, issued(2, FUND, 9, 1, cause=make_id("liq", 9))], {FUND}),
    "a customer that exercised a warrant in cash": ([FOUNDED, *warranted(2)], {PROVIDER}),
    "in cash after a split": ([FOUNDED, SPLIT, *warranted("0.001")], {PROVIDER}),
    "in cash before a split": ([FOUNDED, *warranted("0.001"), SPLIT], set()),
    "that paid with rights": ([FOUNDED, *warranted(2, **NET)], set()),
    "an employee that exercised an option": ([FOUNDED, *opted(1)], {PROVIDER}),
    "by an option before a split": ([FOUNDED, *opted("0.002"), SPLIT], {PROVIDER}),
    "by an option at the least price": ([FOUNDED, *opted("0.001")], set()),
    "by an option after a split": ([FOUNDED, SPLIT, *opted("0.0001")], set()),
    "by an option that cost nothing": ([FOUNDED, *opted(0)], set()),
    "by an option of a holder without a key": ([FOUNDED, *opted(1, KEYLESS)], set()),
    "from who exercised an option without a key": (
        [FOUNDED, *opted(1, KEYLESS), *handed_on(KEYLESS, ANGEL, 9)],
        {ANGEL},
    ),
    "filled up to a whole share": ([FOUNDED, issued(2, FUND, 9, 0, cause=make_id("spl", 9))], set()),
    "beside an adviser's for nothing": ([FOUNDING_ANGEL, issued(2, KEYLESS, 800_000, 0)], set()),
    "beside founders' for nothing": ([issued(1, KEYLESS, 8_000, 0), issued(2, FUND, 1_000, 1)], {FUND}),
    "above the least": ([issued(1, KEYLESS, 8_000_000, "0.001"), issued(2, FUND, 1_000, "0.002")], {FUND}),
}


@pytest.mark.parametrize(("events", "investors"), FOUNDING.values(), ids=FOUNDING)
def test_founders_are_those_who_got_stock_while_all_of_it_was_worth_little_at_their_price(events, investors):
    known = [*START, *events]
    votes = audit(known)
    assert list_investors(ISSUER.fold(known)) == investors
    assert votes.list_entitled(ISS) == investors


STOCK = {"class_id": "common", "shares": 100}
POOL = IssuerStockPlanAdjusted(**OF_ISS, shares_reserved=1_000)
GRANTED = IssuerOptionGranted(
    **OF_ISS, option_id=make_id("opt", 1), holder_id=KEYLESS, shares=100, exercise_price_usd=Decimal("0.25")
)
EXERCISED = IssuerOptionExercised(
    **OF_ISS, **STOCK, exercise_id=make_id("exe", 1), option_id=make_id("opt", 1), holder_id=KEYLESS
)
FOUNDED = [issued(1, PROVIDER, 8_000, "0.0001"), issued(2, FUND, 1_000, 1)]
EARLY = {"class_id": "ff", "kind": "preferred", "shares_authorised": 10**6, "price_per_share_usd": Decimal("0.0002")}
EARLY = IssuerStockClassCreated(
    **OF_ISS, **EARLY, liquidation_multiple=Decimal(1), participation="none", seniority=1, price_protection=None
)
TURNED = IssuerStockConverted(
    **OF_ISS,
    conversion_id=make_id("cnv", 1),
    holder_id=PROVIDER,
    class_id="ff",
    shares=4_000,
    class_id_after="common",
    shares_exact="4000/1",
    shares_after=4_000,
    reason="voluntary",
)
PREFERRED = [EARLY, replace(FOUNDED[0], class_id="ff", shares=4_000, price_usd_per_share=Decimal("0.0002"))]
PREFERRED += [issued(3, ANGEL, 4_000, "0.0002"), FOUNDED[1], TURNED]
OPTED = [*FOUNDED, POOL, GRANTED, EXERCISED]
BACK = {
    "a founder's at cost": (FOUNDED, bought_back(1, PROVIDER, 8_000, "0.0001"), False),
    "a founder's that was preferred": (PREFERRED, bought_back(1, PROVIDER, 4_000, "0.0002"), False),
    "more than was preferred": (
        [*PREFERRED, *handed_on(ANGEL, PROVIDER, 1)],
        bought_back(1, PROVIDER, 4_001, "0.0002"),
        True,
    ),
    "above cost, that was preferred": (PREFERRED, bought_back(1, PROVIDER, 1, "0.0003"), True),
    "for nothing, above that": (
        [*FOUNDED, issued(3, ANGEL, 100, 0)],
        bought_back(1, ANGEL, 100, "0.0001"),
        True,
    ),
    "a founder's above cost": (FOUNDED, bought_back(1, PROVIDER, 8_000, "0.0002"), True),
    "more than a founder got": ([*FOUNDED, *handed_on(FUND, PROVIDER, 1)], bought_back(1, PROVIDER, 8_001, 0), True),
    "an investor's at cost": (FOUNDED, bought_back(1, FUND, 1_000, 1), True),
    "an investor's for nothing": (FOUNDED, bought_back(1, FUND, 1, 0), True),
    "an investor's that another one has": (
        [*FOUNDED, *handed_on(FUND, ANGEL, 500)],
        bought_back(1, ANGEL, 500, 1),
        True,
    ),
    "an investor's without a key": ([*FOUNDED, issued(3, KEYLESS, 9, 1)], bought_back(1, KEYLESS, 9, 1), True),
    "a founder's that invests too": ([*FOUNDED, issued(3, PROVIDER, 9, 1)], bought_back(1, PROVIDER, 9, 0), True),
    "an employee's at cost": (OPTED, bought_back(1, KEYLESS, 100, "0.25"), False),
    "an employee's with a key that paid more than founders, at cost": (
        [*FOUNDED, *opted("0.25", ANGEL)],
        bought_back(1, ANGEL, 100, "0.25"),
        True,
    ),
    "an employee's with a key, at the founders' price": (
        [*FOUNDED, *opted("0.0001", ANGEL)],
        bought_back(1, ANGEL, 100, "0.0001"),
        False,
    ),
    "an employee's with a key, above cost": (
        [*FOUNDED, *opted("0.25", ANGEL)],
        bought_back(1, ANGEL, 100, "0.26"),
        True,
    ),
    "an employee's above cost": (OPTED, bought_back(1, KEYLESS, 100, "0.26"), True),
    "an employee's after a split": ([*OPTED, SPLIT], bought_back(1, KEYLESS, 1_000, "0.025"), False),
    "more than an employee got before a split": ([*OPTED, SPLIT], bought_back(1, KEYLESS, 1_001, "0.025"), True),
    "a founder's after a split": ([*FOUNDED, SPLIT], bought_back(1, PROVIDER, 80_000, "0.00001"), False),
    "a founder's above cost after a split": ([*FOUNDED, SPLIT], bought_back(1, PROVIDER, 1, "0.0001"), True),
    "the company's own": ([*FOUNDED, *handed_on(FUND, FOUNDER, 9)], bought_back(1, FOUNDER, 9, 0), False),
}


@pytest.mark.parametrize(("given", "back", "asks"), BACK.values(), ids=BACK)
def test_an_investor_has_its_money_back_alone_only_if_the_others_do_not_refuse(given, back, asks):
    """A straw that made a price, carried a round or voted was bought out at cost in the same minute, by its own answer.

    One voted for a pool with stock that it had bought by an option.
    """
    state, votes = ISSUER.fold([*START, *given]), audit([*START, *given])
    at_price = (back.holder_id, back.class_id, back.shares, Fraction(back.price_usd_per_share))
    assert is_redemption(state, *at_price) is asks
    assert votes.gains.is_redeemed("issuer.stock_repurchased", json.loads(render_body(back))) is asks
    consents = list_consents(Setting(state, FOUNDER, (back,), NOW), FOUNDER)
    heard = {each.electorate: each for each in consents}
    assert ("pro_rata" in heard) is (asks and back.holder_id != FUND)
    if "pro_rata" in heard:
        assert heard["pro_rata"].share_needed == 1, "any refusal ends it"
    assert ("class/common" in heard) is (asks or back.holder_id in {KEYLESS, FOUNDER})


STRAWS = tuple(make_id("pty", number) for number in range(200, 200 + PRO_RATA_MAX))
CROWD = [
    issued(1, PROVIDER, 8_000_000, "0.0001"),
    *(issued(number, each, 1 if each == STRAWS[0] else 100, 1) for number, each in enumerate(STRAWS, 10)),
    IssuerHolderTermsAgreed(**OF_ISS, terms=HolderTerms(pro_rata=STRAWS), approval=APPROVAL),
]
LATE = issued(2, FUND, 720_000, "1.25")
OPEN = open_round(investments=(Investment(holder_id=ANGEL, amount_usd=Decimal(1_000_000)),))


def offer(given):
    """Return the opening of a round, and what each holder is offered."""
    (opened,) = ISSUER.decide(OPEN, ISSUER.fold([*START, *given]))
    return opened, {each.holder_id: each.amount_max_usd for each in opened.pro_rata}


def find_unoffered(events):
    """Return what the auditor finds of the offers of rounds."""
    findings = Findings()
    parts = OfferedParts(findings)
    parts.votes.consents.parties |= {ANGEL, FUND, PROVIDER, *STRAWS}
    for event in events:
        parts.take([Message(7, "subject", HEADERS | {"ce-type": get_tag(event)}, render_body(event))])
    return [text for rule, _, text in findings.kept if rule == "pro_rata"]


def test_no_smaller_part_of_a_round_leaves_out_a_larger_one():
    """Fifty holders of a share, whom the holder terms named before, left a fund with a twelfth out of every round."""
    given = [*CROWD, LATE]
    opened, offers = offer(given)
    assert (len(offers), STRAWS[0] in offers) == (PRO_RATA_MAX, False)
    assert offers[FUND] == Decimal("82522.42")
    assert find_unoffered([*START, *given, opened]) == []
    small = [each for each in opened.pro_rata if each.holder_id != FUND]
    small = replace(opened, pro_rata=(*small, replace(small[0], holder_id=STRAWS[0])))
    (text,) = find_unoffered([*START, *given, small])
    assert f"{FUND} is offered 0 USD" in text


def test_who_joins_a_round_with_a_larger_part_takes_the_place_of_the_smallest_one():
    opened, offers = offer(CROWD)
    assert FUND not in offers
    state = ISSUER.fold([*START, *CROWD, opened, LATE])
    financing = state.financings[FIN]
    later = {each.holder_id: each for each in list_late_offers(financing, state, NOW)}
    assert later.keys() == {*STRAWS[1:], FUND}
    assert (later[FUND].until, later[STRAWS[1]].until) == (NOW + timedelta(days=10), None)
    assert list_late_offers(dataclasses.replace(financing, offers=tuple(later.values())), state, NOW) == ()


VALUED = IssuerValuationRecorded(
    **OF_ISS, price_usd_per_share=Decimal(3), method="409A", effective_on=NOW.date(), recorded_by="platform"
)
LATER = VestingSchedule(
    starts_on=NOW.date(), tranches=2, months_between=1, cliff_tranches=1, allocation="CUMULATIVE_ROUNDING"
)
EARLIER = replace(LATER, starts_on=NOW.date() - timedelta(days=31))
LEFT = IssuerOptionCancelled(
    **OF_ISS,
    cancellation_id=make_id("can", 1),
    option_id=make_id("opt", 1),
    holder_id=ANGEL,
    shares=0,
    kind="forfeited",
    reason="It left.",
    service_ended_on=NOW.date() - timedelta(days=10),
)
CHEAP = issued(5, PROVIDER, 9, "0.99")
OPTION_WORD = {
    "stock below its exercise price": ({}, [], CHEAP, True),
    "stock at its exercise price": ({}, [], issued(5, PROVIDER, 9, 1), False),
    "a warrant below it": ({}, [], warranted("0.99")[0], True),
    "a warrant at it": ({}, [], warranted(1)[0], False),
    "an option at the known price": ({"exercise_price_usd": Decimal(3)}, [], CHEAP, False),
    "nothing has vested": ({"vesting": LATER}, [], CHEAP, False),
    "a half has vested": ({"vesting": EARLIER}, [], CHEAP, True),
    "a half has vested and was exercised": ({"vesting": EARLIER}, [replace(EXERCISED, shares=50)], CHEAP, False),
    "it has a day left": ({"termination_exercise_days": 10}, [LEFT], CHEAP, True),
    "its days are over": ({"termination_exercise_days": 9}, [LEFT], CHEAP, False),
    "nothing is left": ({}, [replace(LEFT, shares=100, kind="by_agreement", service_ended_on=None)], CHEAP, False),
    "its holder has no key": ({"holder_id": KEYLESS}, [], CHEAP, False),
    "after a split": ({}, [SPLIT], CHEAP, False),
    "below it after a split": ({}, [SPLIT], issued(5, PROVIDER, 9, "0.099"), True),
}


@pytest.mark.parametrize(("terms", "since", "sold", "asked"), OPTION_WORD.values(), ids=OPTION_WORD)
def test_who_may_exercise_an_option_with_a_gain_refuses_what_is_cheaper(terms, since, sold, asked):
    """The founder's free rights outvoted an employee's, and took all that its options were worth."""
    row = {"exercise_price_usd": Decimal(1), "holder_id": ANGEL} | terms
    since = [replace(each, holder_id=ANGEL) if isinstance(each, IssuerOptionExercised) else each for each in since]
    known = [*START, issued(1, FUND, 8_000, 1), VALUED, POOL, replace(GRANTED, **row), *since]
    votes = audit(known)
    consents = list_consents(Setting(ISSUER.fold(known), FOUNDER, (sold,), NOW), FOUNDER)
    (offered,) = [each for each in consents if each.electorate == "pro_rata"] or [None]
    voters = set() if offered is None else {each.party_id for each in offered.voters}
    name = get_tag(sold).removesuffix(".v1")
    undercut = votes.list_undercut(name, json.loads(render_body(sold)), NOW)
    assert (ANGEL in voters, ANGEL in undercut) == (asked, asked)


@pytest.mark.parametrize(("reserved", "asks"), [(1_000, False), (1_001, True)])
def test_investors_may_refuse_a_pool_of_more_than_a_tenth_of_stock_and_pool(reserved, asks):
    grown = replace(POOL, shares_reserved=reserved)
    consents = list_consents(Setting(ISSUER.fold([*START, *FOUNDED]), FOUNDER, (grown,), NOW), FOUNDER)
    heard = {each.electorate: each for each in consents}
    assert ("pro_rata" in heard) is asks
    assert not asks or heard["pro_rata"].share_needed == OVERCOME, "who bears little stops no pool"

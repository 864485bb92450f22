"""Which investors may refuse an issue without a round, and whose refusal the others overcome."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from msgspec import structs

from events.issuer import IssuerExposureRecorded, IssuerInstrumentSigned, IssuerRefusalCounted
from events.issuer_dilution import Exposure
from events.registry import get_tag, render_body
from events.types import SafeTerms, StockTerms
from marketplace.auditor.refusals import Refusals, measure_stock, weigh
from marketplace.auditor.stream import Findings, Message
from marketplace.domain.equity.disinterest import list_leaning
from marketplace.domain.equity.issuer.dilution import list_principal
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.rights.fair_value import VALID
from marketplace.domain.equity.preemption import (
    OVERCOME,
    REFUSED_FOR,
    Hearing,
    Issue,
    hear,
    list_harmed,
    list_outweighed,
    list_outweighed_by_order,
)
from marketplace.domain.register import Register
from tests.domain.build import NOW, id_of, usd
from tests.domain.equity.test_rights import BANK, COMPANY, FOUNDER, FUND, ISSUER_ID, give_right, issue, repurchase
from tests.domain.equity.test_rights import GIVEN as COMPANY_FORMED
from tests.support.market.auditing import CountedVotes

FRIEND, TAKER = id_of("pty", 6), id_of("pty", 7)
HEADERS = {"ce-actor": "platform", "ce-time": "2026-03-01T12:00:00Z"}
ASKED = {FUND, BANK}
GIVEN = (*COMPANY_FORMED[:3], issue(FOUNDER, 4_000, number=1))
"""A company whose founder has no key and says that a share cost a dollar."""
SMALL_BESIDE_BIG = (*GIVEN, issue(FUND, 100, number=2), issue(BANK, 900, number=3))


def refused(party_id, days_ago=1):
    at = NOW - timedelta(days=days_ago)
    return IssuerRefusalCounted(issuer_id=ISSUER_ID, proposal_id=id_of("prp", 1), party_id=party_id, refused_at=at)


def ask(*given, price=None, shares=0, asked=ASKED, takers=(COMPANY, TAKER), outweighed=()):
    terms = None if price is None else StockTerms(class_id="common", price_usd_per_share=usd(price))
    offered = Issue(terms, frozenset(takers), Fraction(shares), frozenset(outweighed))
    issuer = ISSUER.fold(given)
    heard, audited = (
        hear(issuer, offered, asked, NOW),
        audit(given, offered, list_harmed(issuer, offered, asked), asked),
    )
    assert audited.apart == set(heard.apart)
    assert audited.is_overcome is (heard.share != 1)
    if audited.is_overcome:
        assert audited.weights == heard.weights
    return heard


def audit(given, offered, harmed, asked):
    """Return what the auditor computes from the same events."""
    votes, refusals = CountedVotes(Findings()), Refusals()
    for event in given:
        votes.take([Message(7, "subject", HEADERS | {"ce-type": get_tag(event)}, render_body(event))])
        if isinstance(event, IssuerRefusalCounted):
            row = refusals.standing.setdefault((ISSUER_ID, event.party_id), {})
            row[event.proposal_id] = event.refused_at
    company, holdings = votes.gains.find_company(ISSUER_ID), votes.equity.issuers[ISSUER_ID].holdings
    stock = measure_stock(company, holdings)
    is_small = offered.terms is None and offered.shares * 10 <= sum(stock.values(), offered.shares)
    weights = weigh(company, holdings, set(asked), set(offered.takers))
    return refusals.hear(ISSUER_ID, weights, harmed, NOW, is_small=is_small)


WHOLE = 5_000
SMALLEST = Decimal("0.999999")
OVERCOMES = {"a fair price": {"price": 1}, "a small warrant": {"shares": Fraction(WHOLE, 9)}}
"""A tenth of the company with its shares is a ninth of the company without them."""
ENDS = {"a cheap price": {"price": SMALLEST}, "a great warrant": {"shares": Fraction(WHOLE, 9) + 1}}


@pytest.mark.parametrize("offered", OVERCOMES.values(), ids=OVERCOMES)
def test_who_bears_a_tenth_is_overcome_by_the_others(offered):
    assert ask(*SMALL_BESIDE_BIG, **offered) == Hearing((), {FUND: 100_000, BANK: 900_000}, OVERCOME)


@pytest.mark.parametrize("offered", ENDS.values(), ids=ENDS)
def test_any_refusal_ends_what_undercuts_an_investor_and_a_warrant_of_more_than_a_tenth(offered):
    assert ask(*SMALL_BESIDE_BIG, **offered) == Hearing((), {FUND: 1, BANK: 1}, Decimal(1))


def test_what_one_paid_or_what_it_holds_counts_whichever_is_more():
    """A friend with most shares for next to nothing, or with most dollars for next to no part, outweighs nobody."""
    cheap = structs.replace(issue(FRIEND, 9_000, number=4), price_usd_per_share=usd("0.001"))
    weights = ask(*GIVEN, cheap, issue(FUND, 1_000, number=2), price=1, asked={FUND, FRIEND}).weights
    assert weights == {FRIEND: 900_000, FUND: 991_081}
    dear = SafeTerms(conversion_timing="post_money", valuation_cap_usd=usd(10**9))
    row = {"issuer_id": ISSUER_ID, "instrument_id": id_of("ins", 1), "holder_id": FRIEND}
    signed = IssuerInstrumentSigned(**row, commitment_usd=usd(9_000), terms=dear)
    weights = ask(*GIVEN, signed, issue(FUND, 1_000, number=2), price=1, asked={FUND, FRIEND}).weights
    assert weights == {FRIEND: 900_000, FUND: 999_956}


def test_rights_that_cost_nothing_give_no_weight_and_make_no_warrant_small():
    """A friend's free rights at a price that nobody pays halved the weight of others, and made the company great."""
    free = give_right(1, BANK, 1_000_000, 10**6)
    for offered in (*OVERCOMES.values(), *ENDS.values()):
        if "shares" in offered:
            assert ask(*SMALL_BESIDE_BIG, free, **offered) == ask(*SMALL_BESIDE_BIG, **offered)


def test_money_that_was_paid_back_counts_for_nobody():
    given = (*GIVEN, issue(FUND, 100, number=2), issue(BANK, 900, number=3))
    back = repurchase(BANK, 899)
    assert ask(*given, back, price=1).weights == {FUND: 990_100, BANK: 9_901}


@pytest.mark.parametrize("takers", [(COMPANY, BANK), (BANK, TAKER)], ids=["company", "taker"])
def test_who_is_related_to_the_company_or_the_taker_counts_next_to_nothing(takers):
    assert ask(*SMALL_BESIDE_BIG, price=1, takers=takers).weights == {FUND: 1_000_000, BANK: 1}


LARGE_TO_FUND = {"price": 1, "outweighed": {FUND}}
STANDING = {
    "it undercuts nobody": ({"price": 1}, (), {FUND, BANK}),
    "it undercuts who refused": ({"price": SMALLEST}, (FUND,), {BANK}),
    "a small warrant": ({"shares": 1}, (FUND,), {BANK}),
    "it is large to who refused": (LARGE_TO_FUND, (FUND,), {BANK}),
}


@pytest.mark.parametrize(("offered", "apart", "silent"), STANDING.values(), ids=STANDING)
def test_who_refused_lately_agrees_by_no_silence_to_what_may_take_from_it(offered, apart, silent):
    known = refused(FUND)
    heard = ask(*SMALL_BESIDE_BIG, known, **offered)
    assert (heard.apart, set(heard.weights)) == (apart, silent)


def test_who_bears_more_than_a_tenth_agrees_by_no_silence_at_all_once_it_refused():
    heard = ask(*SMALL_BESIDE_BIG, refused(BANK), price=1)
    assert (heard.apart, set(heard.weights)) == ((BANK,), {FUND})


@pytest.mark.parametrize("offered", [{"shares": 1}, LARGE_TO_FUND], ids=["a small warrant", "what is large"])
@pytest.mark.parametrize(("days", "stands"), [(REFUSED_FOR.days, False), (REFUSED_FOR.days - 1, True)])
def test_a_refusal_stands_for_half_a_year(days, stands, offered):
    heard = ask(*SMALL_BESIDE_BIG, refused(FUND, days), **offered)
    assert (heard.apart == (FUND,)) is stands
    assert (FUND in heard.weights) is not stands, "then its silence agrees again"


def test_without_investors_nobody_is_asked():
    assert ask(*GIVEN, price=1, asked=()) == Hearing((), {}, OVERCOME)


DAY = NOW.date()


def sign(number, holder_id, amount, *, cap=None, on=None, kind="pre_money", favoured=False):
    """Return the events by which a holder has a SAFE, for cash if it states its day."""
    terms = SafeTerms(
        conversion_timing=kind, valuation_cap_usd=None if cap is None else usd(cap), most_favoured_nation=favoured
    )
    row = {"issuer_id": ISSUER_ID, "instrument_id": id_of("ins", number), "holder_id": holder_id}
    return IssuerInstrumentSigned(**row, commitment_usd=usd(amount), terms=terms, invested_on=on)


def outweigh(*given, amount, holder_id=TAKER, price=None, asked=ASKED):
    """Return to whom a new SAFE is large beside what was signed."""
    issuer = ISSUER.fold((*GIVEN, *given))
    principal = {name: (each, sum_) for name, each, sum_ in list_principal(issuer, DAY - VALID)}
    principal["new"] = holder_id, Fraction(amount)
    return list_outweighed(issuer, principal, asked, frozenset({COMPANY, TAKER}), price)


LARGE = {
    "a tenth": ({"amount": 500}, set()),
    "more than a tenth": ({"amount": 501}, {BANK}),
    "an independent price makes it worth more": ({"amount": 501, "price": Fraction(2)}, set()),
    "a lower price counts for nothing": ({"amount": 501, "price": Fraction(1, 2)}, {BANK}),
}


@pytest.mark.parametrize(("offered", "to"), LARGE.values(), ids=LARGE)
def test_principal_is_large_above_a_tenth_to_who_bears_more_than_a_tenth(offered, to):
    free = give_right(1, FRIEND, 1_000_000, 10**6)
    assert outweigh(issue(FUND, 100, number=2), issue(BANK, 900, number=3), **offered) == to
    assert outweigh(issue(FUND, 100, number=2), issue(BANK, 900, number=3), free, **offered) == to


BESIDE = {
    "cash of the last year": (sign(1, FRIEND, 100, cap=5_000, on=DAY - VALID), True),
    "cash of before": (sign(1, FRIEND, 100, cap=5_000, on=DAY - VALID - timedelta(days=1)), False),
    "for compute": (sign(1, FRIEND, 100, cap=5_000), False),
    "its own": (sign(1, BANK, 100, cap=5_000, on=DAY), False),
}


@pytest.mark.parametrize(("signed", "is_large"), BESIDE.values(), ids=BESIDE)
def test_what_others_invested_in_cash_in_the_last_year_counts_together(signed, is_large):
    assert (BANK in outweigh(issue(BANK, 1_000, number=3), signed, amount=401, asked={BANK, FRIEND})) is is_large


def order(*given, amount, takers=(TAKER,), terms=None):
    """Return to whom an order for compute is large."""
    safe = SafeTerms(conversion_timing="post_money", valuation_cap_usd=usd(9_000))
    offered = Exposure(terms=safe if terms is None else terms, amount_usd=usd(amount))
    founder = structs.replace(issue(FOUNDER, 4_000, number=1), price_usd_per_share=usd("0.01"))
    issuer = ISSUER.fold((*COMPANY_FORMED[:3], founder, issue(BANK, 1_000, number=3), *given))
    groups, related = [frozenset(takers)], frozenset({COMPANY})
    return list_outweighed_by_order(issuer, id_of("ord", 1), offered, groups, related=related, on_day=DAY)


def placed(number, amount):
    offered = Exposure(terms=sign(1, BANK, 1, cap=9_000).terms, amount_usd=usd(amount))
    return IssuerExposureRecorded(issuer_id=ISSUER_ID, subject_id=id_of("ord", number), exposures=(offered,))


COMPUTE = {
    "a tenth": ((), {"amount": 500}, False),
    "more than a tenth": ((), {"amount": 501}, True),
    "with what its taker has": ((sign(1, TAKER, 400, cap=9_000),), {"amount": 101}, True),
    "a tenth with it": ((sign(1, TAKER, 400, cap=9_000),), {"amount": 100}, False),
    "beside what another has": ((sign(1, FRIEND, 400, cap=9_000),), {"amount": 101}, False),
    "beside what an affiliate has": (
        (sign(1, FRIEND, 400, cap=9_000),),
        {"amount": 101, "takers": (TAKER, FRIEND)},
        True,
    ),
    "with another open order": ((placed(2, 400),), {"amount": 101}, True),
    "in place of what it offered": ((placed(1, 400),), {"amount": 101}, False),
    "to the investor itself": ((), {"amount": 501, "takers": (BANK,)}, False),
    "stock": ((), {"amount": 501, "terms": StockTerms(class_id="common", price_usd_per_share=usd(1))}, False),
}


@pytest.mark.parametrize(("given", "offered", "is_large"), COMPUTE.values(), ids=COMPUTE)
def test_principal_for_compute_counts_with_what_its_taker_has_and_open_orders_offer(given, offered, is_large):
    """A friend's mandate took a sale by many small orders, each at a cap that undercut nobody."""
    assert order(*given, **offered) == ({BANK} if is_large else set())


def test_cash_counts_with_what_its_investor_has_for_compute():
    issuer = ISSUER.fold((*GIVEN, issue(BANK, 1_000, number=3), sign(1, FRIEND, 400), sign(2, FUND, 400)))
    found = list_principal(issuer, DAY, frozenset({FRIEND}))
    assert [(name, usd) for name, _, usd in found] == [(id_of("ins", 1), 400)]


def test_friends_of_the_last_year_outweigh_nobody_by_money_that_is_counted():
    """A friend's SAFE just below the tenth bore so much of what was paid that the fund's refusal was overcome."""
    friend = sign(1, FRIEND, 500, cap=5_010, on=DAY)
    to = outweigh(issue(FUND, 10, number=2), friend, amount=1, asked={FUND, FRIEND})
    assert to == {FUND}


def test_principal_takes_nothing_from_who_has_a_stated_part_or_no_price():
    stated = sign(1, FUND, 900, cap=1_000, kind="post_money")
    uncapped = sign(2, BANK, 900)
    assert outweigh(stated, uncapped, amount=10**6) == set()
    assert outweigh(stated, issue(FUND, 1, number=3), amount=10**6) == {FUND}


def test_a_high_value_that_another_states_makes_nothing_small():
    """A straw's dollar at a billion would have made a friend's millions a small part of it."""
    dear = sign(1, FRIEND, 1, cap=10**9, on=DAY - VALID - timedelta(days=9))
    assert outweigh(issue(BANK, 1_000, number=3), dear, amount=501, asked={BANK, FRIEND}) == {BANK}


def test_rights_that_cost_more_than_stock_hide_nobody_who_owns_more_of_a_buyer():
    """Free rights made a friend's part of the sold company great, and everybody's part of the buyer small."""
    sold = (*GIVEN, issue(FUND, 900, number=2), issue(FRIEND, 100, number=3))
    buyer = (*COMPANY_FORMED[:3], issue(FUND, 100, number=2), issue(FRIEND, 900, number=3))
    free, beside = give_right(1, FRIEND, 1_000_000, 10**6), give_right(1, BANK, 1_000_000, 10**6)
    for own, other in ((sold, buyer), ((*sold, free), buyer), (sold, (*buyer, beside))):
        assert FRIEND in list_leaning(ISSUER.fold(own), ISSUER.fold(other), Register())
        assert list_audited_leaning(own, other) >= {FRIEND}


def list_audited_leaning(sold, buyer):
    """Return who the auditor finds to own more of a buyer, whose events are given as those of the same issuer."""
    votes, other_id = CountedVotes(Findings()), id_of("iss", 2)
    for events, issuer_id in ((sold, ISSUER_ID), (buyer, other_id)):
        for event in events:
            body = render_body(structs.replace(event, issuer_id=issuer_id))
            votes.take([Message(7, "subject", HEADERS | {"ce-type": get_tag(event)}, body)])
    sale = {"issuer_id": ISSUER_ID, "waterfall": {"stock": {"buyer_issuer_id": other_id}}}
    return votes.gains.list_leaning(ISSUER_ID, sale)

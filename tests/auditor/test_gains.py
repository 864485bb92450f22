"""The auditor computes who gains by an act: the others of each group agree by themselves, unless the price is fair."""

from fractions import Fraction

import pytest

from marketplace.auditor.prices import Company
from tests.auditor.test_votes import BIG, CO, DRAG, DRAWN, NOTE, OF, OTHER, SMALL, TINY, WARRANT, audit, stock

OUT = "pty_out"
JOINED = [("party.registered", {"party_id": OUT})]
APART = ["0 of 40 disinterested stock common agreed"]
VALUE = {"price_usd_per_share": "2", "effective_on": "2025-12-01", "recorded_by": "platform"}
VALUED = [("issuer.valuation_recorded", OF | VALUE)]
BY_COMPANY = [("issuer.valuation_recorded", OF | VALUE | {"recorded_by": "company"})]
OLD = [("issuer.valuation_recorded", OF | VALUE | {"effective_on": "2024-12-01"})]
SPLIT = [("issuer.stock_split", OF | {"numerator": 2, "denominator": 1, "split_id": "spl_1"})]
FAMILY = [("register.relation_found", {"relation_id": "f", "party_id": BIG, "related_id": SMALL})]
CLASS = {"class_id": "pref", "kind": "preferred", "shares_authorised": 9, "price_per_share_usd": "3"}
PREFERRED = [("issuer.stock_class_created", OF | CLASS | {"liquidation_multiple": "1"})]
JOINING = CLASS | {"liquidation_multiple": "1", "participation": "full"}
PARTICIPATING = [("issuer.stock_class_created", OF | JOINING)]
LOWER = {"class_id": "pref", "conversion_price_usd_before": "3/1", "conversion_price_usd": "3/2"}
ADJUSTED = [*PREFERRED, ("issuer.conversion_price_adjusted", OF | LOWER)]
SECOND = [("issuer.stock_class_created", OF | {"class_id": "b", "kind": "common", "shares_authorised": 9})]
SHARES = {"class_id": "common", "shares": 1, "holder_id": BIG}
DEAR = [("issuer.stock_issued", stock(BIG, 20)[1] | {"security_id": "dear", "price_usd_per_share": "9"})]
OWN = [("issuer.stock_issued", OF | SHARES | {"security_id": "own", "price_usd_per_share": "1"})]
"""A founder's share, as no import and no round gave it."""
BOUGHT = [("issuer.stock_issued", OF | SHARES | {"security_id": "more", "price_usd_per_share": "1.01"})]
OFFER = SHARES | {"transfer_id": "trf_1", "holder_id_after": CO, "price_usd_per_share": "5"}
OFFERED = [("issuer.stock_offered", OF | OFFER)]
OFFERED_TO = [("issuer.stock_offered", OF | OFFER | {"holder_id_after": TINY})]
PASSED = ("issuer.stock_transferred", {name: OFFER[name] for name in OFFER if not name.startswith("price")})
SAFE = {"kind": "safe", "conversion_timing": "pre_money", "valuation_cap_usd": "200"}
POST = {"conversion_timing": "post_money"}
EARNING = {
    "kind": "note",
    "annual_rate": "0.1",
    "interest": "simple",
    "day_count": "actual_365",
    "matures_on": "2027-01-01",
}
BOTH = [stock(BIG, 100, OTHER)]
FOR_STOCK = {"proceeds_usd": "1", "payouts": [], "stock": {"buyer_issuer_id": OTHER}}
SALE = [("issuer.liquidity_declared", OF | {"waterfall": FOR_STOCK})]
FOR_CASH = {"waterfall": {"proceeds_usd": "1", "payouts": []}, "assumed": {"issuer_id": OTHER}}
TAKEOVER = [("issuer.liquidity_declared", OF | FOR_CASH)]


def sign(cap, *, amount="60", issuer_id=OTHER, **more):
    """Return an instrument of the larger holder, of which so much may still become equity."""
    terms = {"kind": "safe", "conversion_timing": "pre_money", "valuation_cap_usd": cap} | more
    named = {"issuer_id": issuer_id, "instrument_id": "ins_3"}
    exposure = {"terms": terms, "amount_usd": amount} | ({"interest_from": "2026-01-01"} if "interest" in more else {})
    return [
        ("issuer.instrument_signed", named | {"holder_id": BIG, "commitment_usd": "1", "terms": terms}),
        ("issuer.exposure_recorded", {"issuer_id": issuer_id, "subject_id": "ins_3", "exposures": [exposure]}),
    ]


def order(usd=None):
    """Return an open order in which so much may become equity, post-money at a cap of 4.50 USD; None: it has ended."""
    exposures = [] if usd is None else [{"terms": SAFE | POST | {"valuation_cap_usd": "4.5"}, "amount_usd": usd}]
    return [("issuer.exposure_recorded", OF | {"subject_id": "ord_1", "exposures": exposures})]


def converted(usd):
    """Return a round of the buyer in which so much of the instrument converts, and another part stays."""
    terms = sign("99")[0][1]["terms"]
    instrument = {"instrument_id": "ins_3", "principal_usd": usd, "terms": terms}
    named = {"issuer_id": OTHER, "financing_id": "fin_2"}
    pricing = {"price_usd_per_share": "1", "post_money_shares": 1, "instruments": [instrument]}
    return [
        ("issuer.financing_opened", named | {"terms": {"investments": []}}),
        ("issuer.financing_priced", named | {"pricing": pricing}),
        ("issuer.financing_closed", named),
    ]


LEANS = ["10 of 40 disinterested stock common agreed"]
BOTH_LEAN = ["0 of 30 disinterested stock common agreed"]
EXPOSED = sign(None, amount="2.25", issuer_id=OF["issuer_id"])
LIMITED = [("issuer.dilution_limited", OF | {"dilution_max": "0.2", "valuation_usd": "9"})]
UNLIMITED = [("issuer.dilution_limited", OF | {"dilution_max": None})]
LIMIT = ("issuer.dilution_limited", {"issuer_id": OTHER, "dilution_max": "0.5", "valuation_usd": "99"})
ALL = [BIG, TINY]
SALES = [
    (VALUED, SALE, ALL, []),
    (BOTH, SALE, ALL, LEANS),
    (BOTH, TAKEOVER, ALL, LEANS),
    ([*DRAG, *BOTH], SALE, ALL, ["10 of 40 holders here agreed"]),
    (sign("100"), SALE, ALL, []),
    (sign("99"), SALE, ALL, BOTH_LEAN),
    (sign(None), SALE, ALL, BOTH_LEAN),
    ([LIMIT, *sign(None, amount="59")], SALE, ALL, []),
    ([LIMIT, *sign("100")], SALE, ALL, BOTH_LEAN),
    ([*sign("99"), LIMIT], SALE, ALL, []),
    ([*sign("99"), *converted("0.5")], SALE, ALL, BOTH_LEAN),
    ([*sign("99"), *converted("0.6")], SALE, ALL, []),
    ([*BOTH, *sign("100", amount="99", issuer_id=OF["issuer_id"])], SALE, ALL, []),
    (sign("110", **EARNING), SALE, ALL, []),
    (sign("109.99", **EARNING), SALE, ALL, BOTH_LEAN),
    ([*DRAG, *sign("109.99", **EARNING)], SALE, ALL, ["0 of 30 holders here agreed"]),
    (sign(None, kind="stock", class_id="common", price_usd_per_share="11"), SALE, ALL, []),
    (sign(None, kind="stock", class_id="common", price_usd_per_share="9"), SALE, ALL, BOTH_LEAN),
]


def issue(usd, holder_id=BIG, class_id="common"):
    body = {"holder_id": holder_id, "class_id": class_id, "price_usd_per_share": usd, "security_id": "s"}
    return [("issuer.stock_issued", OF | SHARES | body)]


def option(usd):
    return [("issuer.option_granted", OF | SHARES | {"option_id": "opt_1", "exercise_price_usd": usd})]


def paid(holder_id):
    """Return a share that a holder bought for 3 USD."""
    return issue("3", holder_id)


SIGNED = [("issuer.instrument_signed", NOTE | {"holder_id": SMALL, "commitment_usd": "1"})]
SIGNED[0][1]["terms"] = SAFE | {"valuation_cap_usd": "300"}


def buy_back(usd, **more):
    return [("issuer.stock_repurchased", OF | SHARES | {"price_usd_per_share": usd} | more)]


def invest(**terms):
    body = NOTE | {"terms": SAFE | terms, "commitment_usd": "1"}
    return [("issuer.instrument_signed", body), ("instrument.principal_accrued", {"instrument_id": "ins_2"})]


def raise_money(*, price="1", buyers=((BIG, 50),), offers=(), named_by_terms=True, conversions=(), results=(), **terms):
    """Return a round of these buyers, who pay a dollar a share, and its closing."""
    right = {"pro_rata": [holder for holder, _ in offers] if named_by_terms else []}
    named = [{"holder_id": holder, "shares": shares, "amount_usd": str(shares)} for holder, shares in buyers]
    rights = [{"holder_id": holder, "amount_max_usd": usd} for holder, usd in offers]
    forfeits = [{"holder_id": each["holder_id"]} for each in terms.get("pay_to_play", {}).get("duties", ())]
    pricing = {"price_usd_per_share": price, "allotments": named, "conversions": list(conversions)}
    pricing |= {"forfeits": forfeits, "post_money_shares": 150, **dict(results)}
    opened = OF | {"financing_id": "fin_1", "terms": terms | {"investments": named}, "pro_rata": rights}
    priced = OF | {"financing_id": "fin_1", "pricing": pricing, "close_until": "2026-01-30T00:00:00Z"}
    return (
        [
            ("issuer.holder_terms_agreed", OF | {"terms": right}),
            ("issuer.financing_opened", opened),
            ("issuer.financing_priced", priced),
        ],
        [("issuer.financing_closed", OF | {"financing_id": "fin_1"})],
    )


def warrant_and(played, **terms):
    before, act = played
    return [("issuer.warrant_issued", OF | WARRANT | SHARES | {"cause": "imported"} | terms), *before], act


def oblige(small, big="30", tiny="5"):
    """Return duties for common stock, in USD; those of 60, 30 and 10 shares are in proportion. None: no duty."""
    owed = {SMALL: small, BIG: big, TINY: tiny}
    duties = [
        {"holder_id": holder_id, "obligation_usd": usd, "class_id": "common"} for holder_id, usd in owed.items() if usd
    ]
    return {"pay_to_play": {"duties": duties}}


OUTSIDE = [(BIG, 50), (OUT, 8)]


def follow(*, closed_until="2026-01-30", earlier=(), later=()):
    """Return a round of outsiders after another one of the same kind, with these results."""
    first = raise_money(buyers=[(OUT, 50)], results=dict(earlier))
    told = [
        (name, body | ({"close_until": f"{closed_until}T00:00:00Z"} if name == "issuer.financing_priced" else {}))
        for part in first
        for name, body in part
    ]
    before, act = raise_money(buyers=OUTSIDE, results=dict(later))
    return [*told, *before], act


def protect(shares):
    """Return what a round gives a protected class: so many common shares in place of one."""
    row = {"class_id": "guard", "triggered": True, "as_converted_before": "1/1", "as_converted": shares}
    return {"adjustments": [row]}


ROUNDS = [
    (raise_money(), [BIG], APART),
    (raise_money(offers=[(SMALL, "15")]), [BIG], ["0 of 10 disinterested stock common agreed"]),
    (raise_money(offers=[(SMALL, "15")], named_by_terms=False), [BIG], APART),
    (raise_money(offers=[(SMALL, "14.99")]), [BIG], APART),
    (raise_money(buyers=[(BIG, 50), (OUT, 8)]), [BIG, OUT], []),
    (raise_money(buyers=[(BIG, 50), (OUT, 7)]), [BIG, OUT], APART),
    (raise_money(buyers=[(BIG, 50), (OUT, 7)]), [BIG, SMALL], ["pty_out did not agree"]),
    (raise_money(buyers=OUTSIDE, liquidation_multiple="1"), [BIG, OUT], []),
    (raise_money(buyers=OUTSIDE, liquidation_multiple="1.1"), [BIG, OUT], APART),
    (raise_money(buyers=OUTSIDE, participation="full"), [BIG, OUT], APART),
    (raise_money(buyers=OUTSIDE, price_protection="full_ratchet"), [BIG, OUT], APART),
    (raise_money(buyers=OUTSIDE, price_protection="weighted_average"), [BIG, OUT], []),
    (raise_money(buyers=OUTSIDE, results={"pool_increase_shares": 15}), [BIG, OUT], []),
    (raise_money(buyers=OUTSIDE, results={"pool_increase_shares": 16}), [BIG, OUT], APART),
    (raise_money(buyers=OUTSIDE, results=protect("17/2")), [BIG, OUT], []),
    (raise_money(buyers=OUTSIDE, results=protect("9/1")), [BIG, OUT], APART),
    (raise_money(offers=[(SMALL, "15")], conversions=[{"holder_id": SMALL}]), [BIG, TINY], []),
    (raise_money(buyers=OUTSIDE, conversions=[{"holder_id": SMALL}]), [BIG, OUT], []),
    (
        raise_money(buyers=OUTSIDE, conversions=[{"holder_id": SMALL}], liquidation_multiple="0.99"),
        [BIG, OUT],
        ["pty_small did not agree"],
    ),
    (
        raise_money(buyers=[(BIG, 7)], conversions=[{"holder_id": SMALL}]),
        [BIG, TINY],
        ["pty_small did not agree", *LEANS],
    ),
    (raise_money(offers=[(SMALL, "15")], **oblige("15")), [BIG, TINY], []),
    (raise_money(offers=[(SMALL, "15")], **oblige("15", "29.99")), [BIG, TINY], []),
    (raise_money(offers=[(SMALL, "15")], **oblige("15", "29.98")), [BIG, TINY], ["pty_small did not agree"]),
    (raise_money(offers=[(SMALL, "15")], **oblige("0.01", tiny=None)), [BIG, TINY], ["pty_small did not agree"]),
    (raise_money(**oblige("15.01")), [BIG, TINY], ["pty_small did not agree", *LEANS]),
]
PRICED = {"shares": 5, "conditions": [[{"kind": "price", "price_usd_per_share": "2"}]]}
POOLS = {"earlier": {"pool_increase_shares": 1}, "later": {"pool_increase_shares": 15}}
GUARDED = {"earlier": protect("2/1"), "later": protect("17/2")}
ROUNDS += [
    (follow(**POOLS), [BIG, OUT], APART),
    (follow(**POOLS, closed_until="2025-01-30"), [BIG, OUT], APART),
    (follow(**POOLS, closed_until="2025-01-29"), [BIG, OUT], []),
    (follow(earlier=POOLS["later"]), [BIG, OUT], []),
    (follow(**GUARDED), [BIG, OUT], APART),
    (follow(**GUARDED, closed_until="2025-01-29"), [BIG, OUT], []),
    (follow(earlier=GUARDED["later"]), [BIG, OUT], []),
]
VALUED_ROUNDS = [
    (raise_money(price="2"), []),
    (raise_money(price="2", liquidation_multiple="1.01"), APART),
    (raise_money(price="2", participation="full"), APART),
    (raise_money(price="2", price_protection="full_ratchet"), APART),
    (raise_money(price="1.99"), APART),
    (warrant_and(raise_money(price="2")), APART),
    (warrant_and(raise_money(price="2"), settlement="cash"), []),
    (warrant_and(raise_money(price="2"), settlement="cash", tranches=[PRICED]), APART),
    (warrant_and(raise_money(price="1.99")), APART),
]
CLOSED = [event for part in raise_money(price="2", buyers=[(OUT, 50)]) for event in part]
CLOSED_BY_BIG = [event for part in raise_money(price="2") for event in part]


@pytest.mark.parametrize(
    ("before", "act", "agreed", "wrong"),
    [
        ([], issue("1"), [BIG], APART),
        ([], issue("1"), [BIG, SMALL], []),
        (FAMILY, issue("1"), [BIG, SMALL], ["0 of 10 disinterested stock common agreed"]),
        (VALUED, issue("2"), [BIG], []),
        (VALUED, issue("1.99"), [BIG], APART),
        ([*VALUED, *SPLIT], issue("1"), [BIG], []),
        (CLOSED, issue("2"), [BIG], []),
        (CLOSED_BY_BIG, issue("2"), [BIG], APART),
        (BY_COMPANY, issue("2"), [BIG], APART),
        (OLD, issue("2"), [BIG], APART),
        ([*VALUED, *PREFERRED], issue("2.99", class_id="pref"), [BIG], APART),
        ([*VALUED, *PREFERRED], issue("3", class_id="pref"), [BIG], []),
        ([*VALUED, *ADJUSTED], issue("3.99", class_id="pref"), [BIG], APART),
        ([*VALUED, *PARTICIPATING], issue("4.99", class_id="pref"), [BIG], APART),
        ([*VALUED, *PARTICIPATING], issue("5", class_id="pref"), [BIG], []),
        (VALUED, [("issuer.option_granted", OF | SHARES | {"option_id": "opt_1"})], [BIG], APART),
        (VALUED, option("2"), [BIG], []),
        (VALUED, option("1.99"), [BIG], APART),
        (VALUED, [("issuer.option_promised", OF | SHARES | {"promise_id": "prm_1"})], [BIG], APART),
        (VALUED, [("issuer.warrant_issued", OF | WARRANT | SHARES)], [BIG], APART),
        (
            [stock("stk_1", 1)],
            [("issuer.stock_transferred", PASSED[1] | OF | {"holder_id": "stk_1", "holder_id_after": BIG})],
            [BIG],
            APART,
        ),
        (OWN, buy_back("1"), [], []),
        (OWN, buy_back("1.01"), [BIG], APART),
        ([*OWN, *SPLIT], buy_back("0.5", shares=2), [], []),
        ([*OWN, *SPLIT], buy_back("0.5", shares=3), [BIG], ["0 of 80 disinterested stock common agreed"]),
        ([*OWN, *DEAR], buy_back("1"), [BIG], APART),
        ([*OWN, *BOUGHT], buy_back("1"), [BIG], APART),
        ([*PREFERRED, *OWN], buy_back("1", class_id="pref"), [BIG], APART),
        (DRAWN, [("instrument.repaid", NOTE | {"early": True})], [BIG], APART),
        (DRAWN, [("instrument.repaid", NOTE)], [], []),
        ([], buy_back("1"), [BIG], APART),
        ([], buy_back("1"), [BIG, SMALL], []),
        ([], buy_back("1.01"), [SMALL, TINY], ["40 of 100 stock common agreed"]),
        ([], buy_back("1.01"), [BIG], APART),
        (VALUED, buy_back("2"), [BIG, SMALL], []),
        (VALUED, buy_back("2.01"), [BIG], APART),
        (DEAR, buy_back("3"), [BIG, SMALL], []),
        (DEAR, buy_back("3.01"), [BIG], APART),
        ([*DEAR, *SPLIT], buy_back("1.51"), [BIG], ["0 of 80 disinterested stock common agreed"]),
        (OFFERED, buy_back("5", cause="trf_1"), [BIG], APART),
        ([], buy_back("5", cause="ins_1"), [], []),
        (OFFERED, [(PASSED[0], OF | PASSED[1])], [BIG], APART),
        (OFFERED_TO, [(PASSED[0], OF | PASSED[1] | {"holder_id_after": TINY})], [BIG], []),
        (VALUED, invest(), [BIG], []),
        (VALUED, invest(valuation_cap_usd="199.99"), [BIG], APART),
        ([*VALUED, *paid(TINY)], invest(), [BIG], ["0 of 41 disinterested stock common agreed"]),
        ([*VALUED, *paid(TINY)], invest(valuation_cap_usd="303"), [BIG], []),
        ([*VALUED, *paid(BIG)], invest(valuation_cap_usd="202"), [BIG], []),
        ([*VALUED, *paid(TINY)], issue("2.99"), [BIG], ["0 of 41 disinterested stock common agreed"]),
        ([*VALUED, *paid(TINY)], issue("3"), [BIG], []),
        ([*VALUED, *SIGNED], invest(valuation_cap_usd="299"), [BIG], APART),
        ([*VALUED, *SIGNED], invest(valuation_cap_usd="300"), [BIG], []),
        ([*VALUED, *SIGNED], issue("2.99"), [BIG], APART),
        ([*VALUED, *SIGNED], issue("3"), [BIG], []),
        (VALUED, invest(valuation_cap_usd=None), [BIG], APART),
        (VALUED, invest(discount="0.2"), [BIG], APART),
        (VALUED, invest(**EARNING, valuation_cap_usd="220", at_maturity={"class_id": "common"}), [BIG], []),
        (VALUED, invest(**EARNING, valuation_cap_usd="219.99"), [BIG], APART),
        ([*VALUED, *EXPOSED], invest(), [BIG], []),
        ([*VALUED, *EXPOSED], invest(**POST, valuation_cap_usd="250"), [BIG], []),
        ([*VALUED, *EXPOSED], invest(**POST, valuation_cap_usd="249.99"), [BIG], APART),
        ([*VALUED, *EXPOSED, *UNLIMITED], invest(**POST, valuation_cap_usd="250"), [BIG], APART),
        ([*VALUED, *order("2.25"), *LIMITED], invest(**POST, valuation_cap_usd="400"), [BIG], []),
        ([*VALUED, *order("2.25"), *LIMITED], invest(**POST, valuation_cap_usd="399.99"), [BIG], APART),
        ([*VALUED, *order("2.25"), *order()], invest(**POST), [BIG], []),
        ([*VALUED, *order("4.5")], invest(**POST, valuation_cap_usd="9999"), [BIG], APART),
        (VALUED, invest(kind="note", repayment_multiple="1.01"), [BIG], APART),
        (VALUED, invest(kind="note", at_maturity={"class_id": "b"}), [BIG], APART),
        (VALUED, invest(kind="stock", class_id="common", price_usd_per_share="2"), [BIG], []),
        (VALUED, invest(kind="stock", class_id="common", price_usd_per_share="1"), [BIG], APART),
        (VALUED, invest(kind="warrant"), [BIG], APART),
        (DRAWN, [("instrument.amended", NOTE | {"terms": {}})], [BIG], APART),
        (
            SECOND,
            [
                (
                    "issuer.stock_converted",
                    OF | SHARES | {"class_id": "common", "class_id_after": "b", "shares_after": 1},
                )
            ],
            [BIG],
            APART,
        ),
        (
            SECOND,
            [
                (
                    "issuer.stock_converted",
                    OF | SHARES | {"class_id": "b", "class_id_after": "common", "shares_after": 1},
                )
            ],
            [],
            [],
        ),
        (SECOND, [("issuer.option_exercised", OF | SHARES | {"class_id": "b", "option_id": "opt_1"})], [BIG], APART),
        (
            [("issuer.warrant_issued", OF | WARRANT | SHARES | {"cause": "imported"})],
            [("issuer.purchases_stated", OF | {"programme_id": "prg_1"})],
            [BIG],
            APART,
        ),
        *((before, act, agreed, wrong) for (before, act), agreed, wrong in ROUNDS),
        *(([*VALUED, *before], act, [BIG], wrong) for (before, act), wrong in VALUED_ROUNDS),
        *SALES,
    ],
)
def test_a_majority_that_gains_does_not_bind_the_rest(before, act, agreed, wrong):
    assert audit([*JOINED, *before], act, agreed) == wrong


@pytest.mark.parametrize(("before", "wrong"), [([], APART), (VALUED, [])])
def test_a_net_exercise_at_a_value_of_nobody_else_is_voted_on(before, wrong):
    right = ("issuer.warrant_issued", OF | WARRANT | SHARES | {"cause": "imported"})
    used = OF | SHARES | {"warrant_id": WARRANT["warrant_id"], "fair_value_usd": "2"}
    for body, found in ((used, wrong), (used | {"fair_value_usd": None}, [])):
        assert audit([*JOINED, *before, right], [("issuer.warrant_exercised", body)], [BIG]) == found


def test_what_others_paid_counts_rights_and_stock_that_they_bought_before_they_get_them():
    company = Company()
    company.take("stock_class_created", {"class_id": "common", "kind": "common"}, "pty_co")
    terms = {"kind": "warrant", "class_id": "common", "price_usd_per_share": "1.00", "exercise_price_usd": "0.25"}
    named = {"instrument_id": "ins_1", "holder_id": SMALL, "commitment_usd": "900"}
    company.take("instrument_signed", {**named, "terms": terms}, "pty_co")
    assert company.find_paid({SMALL}, Fraction(100)) == 125
    company.take("stock_split", {"numerator": 2, "denominator": 1}, "pty_co")
    assert company.find_paid({SMALL}, Fraction(200)) == 125
    assert company.find_paid({BIG}, Fraction(200)) == 0


def test_what_others_invested_counts_stock_that_they_bought_from_holders():
    company, row = Company(), {"class_id": "common", "shares": 9}
    company.take("stock_class_created", {"class_id": "common", "kind": "common"}, "pty_co")
    company.take("stock_issued", {**row, "holder_id": BIG, "price_usd_per_share": "1.25"}, "pty_co")
    moved = {**row, "transfer_id": "t", "holder_id": BIG, "holder_id_after": SMALL}
    company.take("stock_offered", {**moved, "price_usd_per_share": "1.00"}, "pty_co")
    company.take("stock_transferred", moved, "pty_co")
    assert company.find_invested({SMALL}, Fraction(100), with_caps=False) == 125
    assert company.find_invested({"pty_else"}, Fraction(100)) == 0
    company.take("stock_offered", {**moved, "transfer_id": "u", "price_usd_per_share": "2.00"}, "pty_co")
    company.take("stock_transferred", {**moved, "transfer_id": "u"}, "pty_co")
    assert company.find_invested({SMALL}, Fraction(100), with_caps=False) == 200

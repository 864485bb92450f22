"""What an issuer's acts refuse, one row per code in the order that the module documents."""

from datetime import date
from decimal import Decimal

import pytest

from events.issuer import IssuerStockIssued, IssuerStockSplit, IssuerStockTransferred
from marketplace.core.ids import rename_id
from marketplace.domain.equity.issuer.commands import RecordValuation, SignInstrument
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.rights_commands import ExerciseOption, ExerciseWarrant
from marketplace.domain.equity.issuer.rules import CLASS_IDS_RESERVED
from marketplace.domain.equity.issuer.stock_commands import AdjustStockPlan, RepurchaseStock, SplitStock, TransferStock
from tests.domain.issuer_samples import (
    CAPPED,
    COMPANY,
    EXPIRY,
    FORMED,
    FOUNDED,
    FOUNDER,
    FOUNDERS_STOCK,
    FUND,
    NOON,
    OF_ISS,
    OPENED,
    OPTION,
    PROVIDER,
    SEED,
    WARRANT,
    WARRANTED,
    add,
    converting,
    create,
    form,
    grant,
    issue,
    make_id,
    signed,
    warrant,
)
from tests.support.spec import Given

MILLIONTH_OF_MILLIONTH = Decimal("1e-13")


def transfer(**changes):
    fields = {"holder_id": FOUNDER, "holder_id_after": PROVIDER, "class_id": "common", "shares": 1, "at": NOON}
    return TransferStock(**OF_ISS, transfer_id=make_id("trf", 2), **{**fields, **changes})


def repurchase(**changes):
    fields = {"holder_id": FOUNDER, "class_id": "common", "shares": 1, "price_usd_per_share": Decimal(1)}
    return RepurchaseStock(**OF_ISS, repurchase_id=make_id("rep", 2), **{**fields, **changes})


def exercise(**changes):
    fields = {"exercise_id": make_id("exr", 1), "option_id": OPTION, "class_id": "common", "shares": 1, "at": NOON}
    return ExerciseOption(**OF_ISS, **{**fields, **changes})


def use_warrant(**changes):
    fields = {"exercise_id": make_id("exr", 2), "warrant_id": WARRANT, "shares": 1, "at": NOON}
    return ExerciseWarrant(**OF_ISS, **{**fields, **changes})


def split(numerator, denominator=1):
    return SplitStock(**OF_ISS, split_id=make_id("spl", 2), numerator=numerator, denominator=denominator)


def value(**changes):
    fields = {"price_usd_per_share": Decimal(1), "method": "409A", "effective_on": date(2026, 1, 1)}
    return RecordValuation(**OF_ISS, **{**fields, **changes})


def sign(commitment_usd):
    instrument_id = make_id("ins", 1)
    return SignInstrument(
        **OF_ISS, instrument_id=instrument_id, holder_id=PROVIDER, commitment_usd=commitment_usd, terms=CAPPED
    )


def plan(shares):
    return AdjustStockPlan(**OF_ISS, shares_reserved=shares)


FULL = [*COMPANY, IssuerStockIssued(**{**FOUNDERS_STOCK, "security_id": make_id("sec", 2), "shares": 2_000_000})]
ODD = [
    *COMPANY,
    IssuerStockTransferred(
        **OF_ISS,
        transfer_id=make_id("trf", 1),
        holder_id=FOUNDER,
        holder_id_after=PROVIDER,
        class_id="common",
        shares=1,
    ),
]

REFUSED = {
    "form": [("issuer_exists", [FORMED], form(legal_name="Other")), ("country_unlisted", [], form(jurisdiction="ZZ"))],
    "stakeholder": [
        ("issuer_unknown", [], add()),
        ("stakeholder_exists", FOUNDED, add(name="Other")),
    ],
    "class": [
        ("issuer_unknown", [], create()),
        ("stock_class_exists", FOUNDED, create(shares_authorised=0)),
        ("stock_class_exists", [FORMED, OPENED], create(class_id="series-a")),
        ("stock_class_exists", [FORMED, OPENED], create(class_id="series-a-12")),
        ("class_id_malformed", [FORMED], create(class_id="Series A", shares_authorised=0)),
        ("class_id_malformed", [FORMED], create(class_id="a" * 41)),
        *(("class_id_malformed", [FORMED], create(class_id=name)) for name in sorted(CLASS_IDS_RESERVED)),
        ("class_id_malformed", [FORMED], create(class_id=rename_id("ins", FUND))),
        ("class_id_malformed", [FORMED], create(class_id="unrelated_common")),
        ("shares_not_positive", [FORMED], create(shares_authorised=0, liquidation_multiple=Decimal(1))),
        ("shares_too_many", [FORMED], create(shares_authorised=10**15 + 1)),
        ("preference_unexpected", [FORMED], create(liquidation_multiple=Decimal(1), seniority=101)),
        ("preference_missing", [FORMED], create(SEED, price_per_share_usd=None)),
        ("preference_missing", [FORMED], create(SEED, liquidation_multiple=None)),
        ("amount_not_positive", [FORMED], create(SEED, price_per_share_usd=Decimal(0), seniority=101)),
        ("amount_too_precise", [FORMED], create(SEED, price_per_share_usd=MILLIONTH_OF_MILLIONTH)),
        ("amount_not_positive", [FORMED], create(SEED, liquidation_multiple=Decimal(-1))),
        ("seniority_out_of_range", [FORMED], create(SEED, seniority=101)),
        ("seniority_out_of_range", [FORMED], create(SEED, seniority=-1)),
    ],
    "stock": [
        ("issuer_unknown", [], issue()),
        ("security_exists", COMPANY, issue(holder_id=FUND)),
        ("stakeholder_unknown", FOUNDED, issue(holder_id=FUND, class_id="none")),
        ("stock_class_unknown", FOUNDED, issue(class_id="none", shares=0)),
        ("shares_not_positive", FOUNDED, issue(shares=0, price_usd_per_share=Decimal(-1))),
        ("not_a_number", FOUNDED, issue(price_usd_per_share=Decimal("Infinity"), shares=10**15)),
        ("amount_too_large", FOUNDED, issue(price_usd_per_share=Decimal("1e15"))),
        ("stock_class_over_authorised", FOUNDED, issue(shares=10_000_001)),
    ],
    "transfer": [
        ("stakeholder_unknown", COMPANY, transfer(holder_id=FUND, holder_id_after=FUND)),
        ("stakeholder_unknown", COMPANY, transfer(holder_id_after=FUND)),
        ("transfer_to_self", COMPANY, transfer(holder_id_after=FOUNDER, class_id="none")),
        ("stock_class_unknown", COMPANY, transfer(class_id="none", shares=0)),
        ("shares_not_positive", COMPANY, transfer(shares=0)),
        ("shares_not_held", COMPANY, transfer(shares=8_000_001)),
        ("shares_not_held", COMPANY, transfer(holder_id=PROVIDER, holder_id_after=FOUNDER)),
    ],
    "repurchase": [
        ("stakeholder_unknown", COMPANY, repurchase(holder_id=FUND, class_id="none")),
        ("stock_class_unknown", COMPANY, repurchase(class_id="none", shares=-1)),
        ("shares_not_positive", COMPANY, repurchase(shares=-1, price_usd_per_share=Decimal(-1))),
        ("amount_not_positive", COMPANY, repurchase(price_usd_per_share=Decimal(-1), shares=9_000_000)),
        ("shares_not_held", COMPANY, repurchase(shares=8_000_001)),
    ],
    "split": [
        ("split_out_of_range", COMPANY, split(0, 0)),
        ("split_out_of_range", COMPANY, split(1, 1_000_001)),
        ("split_changes_nothing", COMPANY, split(7, 7)),
        ("financing_open", [*COMPANY, OPENED], split(2, 1)),
        ("missing_convention", ODD, split(1, 2)),
        ("split_leaves_fractions", [FORMED, *FOUNDED[4:]], split(1, 3)),
        (
            "shares_too_many",
            [*FULL, IssuerStockSplit(**OF_ISS, split_id=make_id("spl", 1), numerator=1000, denominator=1)],
            split(1_000_000),
        ),
    ],
    "plan": [
        ("shares_not_positive", COMPANY, plan(-1)),
        ("pool_below_granted", COMPANY, plan(199_999)),
    ],
    "option": [
        ("option_exists", COMPANY, grant(shares=0)),
        ("stakeholder_unknown", FOUNDED, grant(holder_id=FUND, shares=0)),
        ("shares_not_positive", FOUNDED, grant(shares=0, exercise_price_usd=Decimal(-1))),
        ("amount_not_positive", FOUNDED, grant(exercise_price_usd=Decimal(-1))),
        ("common_stock_missing", FOUNDED[:4], grant()),
        ("pool_exhausted", FOUNDED, grant()),
        ("pool_exhausted", COMPANY, grant(option_id=make_id("opt", 2), shares=800_001)),
    ],
    "option exercised": [
        ("option_unknown", FOUNDED, exercise(class_id="none")),
        ("stock_class_unknown", COMPANY, exercise(class_id="none", shares=0)),
        ("stock_class_not_common", COMPANY, exercise(class_id="seed", shares=0)),
        ("shares_not_positive", COMPANY, exercise(shares=0)),
        ("option_overdrawn", FULL, exercise(shares=200_001)),
    ],
    "warrant": [
        ("warrant_exists", [*COMPANY, WARRANTED], warrant(shares=1)),
        ("stakeholder_unknown", COMPANY, warrant(holder_id=FUND, class_id="none")),
        ("stock_class_unknown", COMPANY, warrant(class_id="none", shares=0)),
        ("shares_not_positive", COMPANY, warrant(shares=0, exercise_price_usd=Decimal(-1))),
        ("amount_not_positive", COMPANY, warrant(exercise_price_usd=Decimal(-1), expires_at=NOON.replace(tzinfo=None))),
        ("time_naive", COMPANY, warrant(expires_at=NOON.replace(tzinfo=None, year=2000))),
        ("date_before_formation", COMPANY, warrant(expires_at=NOON.replace(year=2000))),
    ],
    "warrant exercised": [
        ("warrant_unknown", COMPANY, use_warrant(at=NOON.replace(tzinfo=None))),
        ("time_naive", [*COMPANY, WARRANTED], use_warrant(at=NOON.replace(tzinfo=None))),
        ("warrant_expired", [*COMPANY, WARRANTED], use_warrant(at=EXPIRY.replace(microsecond=1), shares=0)),
        ("shares_not_positive", [*COMPANY, WARRANTED], use_warrant(shares=0)),
        ("warrant_overdrawn", [*FULL, WARRANTED], use_warrant(shares=100_001)),
        ("exercise_worthless", [*FULL, WARRANTED], use_warrant(shares=100, fair_value_usd=Decimal("0.25"))),
    ],
    "instrument": [
        ("instrument_exists", [FORMED, *signed(converting(1, 1))], sign(Decimal(0))),
        ("amount_not_positive", [FORMED], sign(Decimal(0))),
    ],
    "valuation": [
        ("amount_not_positive", [FORMED], value(price_usd_per_share=Decimal(-1), effective_on=date(2000, 1, 1))),
        ("date_before_formation", [FORMED], value(effective_on=date(2024, 4, 30), on_day=date(2024, 4, 29))),
        ("valuation_in_future", [FORMED], value(effective_on=date(2026, 3, 2), on_day=date(2026, 3, 1))),
    ],
}


@pytest.mark.parametrize(
    ("code", "events", "command"),
    [row for rows in REFUSED.values() for row in rows],
    ids=[f"{name}-{row[0]}" for name, rows in REFUSED.items() for row in rows],
)
def test_refused(code, events, command):
    Given(ISSUER, *events).when(command).refused(code)


@pytest.mark.parametrize("command", [transfer(), repurchase(), split(2), plan(0), exercise(), use_warrant(), value()])
def test_nothing_happens_to_an_unknown_issuer(command):
    Given(ISSUER).when(command).refused("issuer_unknown")

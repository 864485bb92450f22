"""Issuers: the acts on stakeholders, stock, pool, options and warrants, the cap table, and the import."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest

from events.issuer import (
    IssuerImported,
    IssuerInstrumentSigned,
    IssuerOptionExercised,
    IssuerOptionGranted,
    IssuerStakeholderAdded,
    IssuerStockClassCreated,
    IssuerStockIssued,
    IssuerStockPlanAdjusted,
    IssuerStockRepurchased,
    IssuerStockSplit,
    IssuerStockTransferred,
    IssuerValuationRecorded,
    IssuerWarrantExercised,
    IssuerWarrantIssued,
)
from marketplace.domain.equity.issuer.commands import ImportIssuer, RecordValuation, SignInstrument
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.rights_commands import ExerciseOption, ExerciseWarrant
from marketplace.domain.equity.issuer.state import (
    Row,
    Totals,
    capitalization_of,
    list_rows,
    measure_ownership,
    total_shares,
)
from marketplace.domain.equity.issuer.stock_commands import AdjustStockPlan, RepurchaseStock, SplitStock, TransferStock
from tests.domain.issuer_samples import (
    APPROVAL,
    CAPPED,
    COMMON,
    COMPANY,
    EMPLOYEE,
    EXPIRY,
    FORMED,
    FOUNDED,
    FOUNDER,
    FOUNDERS_STOCK,
    FUND,
    GRANT,
    GRANTED,
    HOLDER,
    ISS,
    NOON,
    OF_ISS,
    OPTION,
    POOL,
    PROVIDER,
    SEED,
    STOCK,
    WARRANT,
    WARRANT_TERMS,
    WARRANTED,
    add,
    create,
    form,
    grant,
    issue,
    make_id,
    warrant,
)
from tests.support.spec import Given

VALUATION = {
    **OF_ISS,
    "price_usd_per_share": Decimal("0.31"),
    "method": "409A",
    "effective_on": date(2026, 1, 1),
}
TRANSFER = {
    **OF_ISS,
    "transfer_id": make_id("trf", 1),
    "holder_id": FOUNDER,
    "holder_id_after": PROVIDER,
    "class_id": "common",
    "shares": 5,
}
REPURCHASE = {
    **OF_ISS,
    "repurchase_id": make_id("rep", 1),
    "holder_id": FOUNDER,
    "class_id": "common",
    "shares": 8_000_000,
    "price_usd_per_share": Decimal("0.0001"),
    "approval": APPROVAL,
}

SIGNED = {
    **OF_ISS,
    "instrument_id": make_id("ins", 1),
    "holder_id": FUND,
    "commitment_usd": Decimal(250_000),
    "terms": CAPPED,
}

NAMED = {
    "an issuer is formed": ([], form(), FORMED),
    "a stakeholder is added": ([FORMED], add(), IssuerStakeholderAdded(**HOLDER)),
    "a class of common stock is created": ([FORMED], create(), IssuerStockClassCreated(**COMMON)),
    "a class of preferred stock is created": ([FORMED], create(SEED), IssuerStockClassCreated(**SEED)),
    "stock is issued": (FOUNDED, issue(), STOCK),
    "stock is issued up to what is authorised": (
        FOUNDED,
        issue(shares=10_000_000),
        IssuerStockIssued(**{**FOUNDERS_STOCK, "shares": 10_000_000}),
    ),
    "the pool is sized": (
        [FORMED],
        AdjustStockPlan(**OF_ISS, shares_reserved=1_000_000, approval=APPROVAL),
        IssuerStockPlanAdjusted(**OF_ISS, shares_reserved=1_000_000, approval=APPROVAL),
    ),
    "the pool shrinks to what is granted": (
        COMPANY,
        AdjustStockPlan(**OF_ISS, shares_reserved=200_000),
        IssuerStockPlanAdjusted(**OF_ISS, shares_reserved=200_000),
    ),
    "an option is granted": ([*FOUNDED, POOL], grant(), GRANTED),
    "the whole pool is granted": (
        [*FOUNDED, POOL],
        grant(shares=1_000_000),
        IssuerOptionGranted(**{**GRANT, "shares": 1_000_000}),
    ),
    "a warrant is issued": (FOUNDED, warrant(), WARRANTED),
    "an instrument is signed": (
        [FORMED],
        SignInstrument(**SIGNED),
        IssuerInstrumentSigned(**SIGNED),
    ),
    "a valuation is recorded": ([FORMED], RecordValuation(**VALUATION), IssuerValuationRecorded(**VALUATION)),
}


@pytest.mark.parametrize("name", NAMED)
def test_what_has_a_name_happens_once(name):
    events, command, expected = NAMED[name]
    Given(ISSUER, *events).when(command).then(expected)


EXERCISE = {**OF_ISS, "exercise_id": make_id("exr", 1), "option_id": OPTION, "class_id": "common", "shares": 50_000}
NET_EXERCISE = {**OF_ISS, "exercise_id": make_id("exr", 2), "warrant_id": WARRANT}
NET = {**NET_EXERCISE, "shares": 75_000, "shares_surrendered": 25_000, "fair_value_usd": Decimal(1)}
SPLIT = {**OF_ISS, "split_id": make_id("spl", 1), "numerator": 3, "denominator": 2}
DONE = {
    "stock is transferred": (COMPANY, TransferStock(**TRANSFER, at=NOON), IssuerStockTransferred(**TRANSFER)),
    "all shares are bought back": (COMPANY, RepurchaseStock(**REPURCHASE), IssuerStockRepurchased(**REPURCHASE)),
    "stock is split": (COMPANY, SplitStock(**SPLIT), IssuerStockSplit(**SPLIT)),
    "part of an option is exercised": (
        COMPANY,
        ExerciseOption(**EXERCISE, at=NOON),
        IssuerOptionExercised(**EXERCISE, holder_id=EMPLOYEE),
    ),
    "a warrant is exercised for itself at its last instant": (
        [*COMPANY, WARRANTED],
        ExerciseWarrant(**NET_EXERCISE, shares=100_000, fair_value_usd=Decimal(1), at=EXPIRY),
        IssuerWarrantExercised(**NET, holder_id=PROVIDER, class_id="common"),
    ),
}


@pytest.mark.parametrize("name", DONE)
def test_what_is_done_has_a_name_and_is_done_once(name):
    events, command, expected = DONE[name]
    Given(ISSUER, *events).when(command).then(expected)


def test_a_command_repeated_after_a_split_is_still_known():
    split = IssuerStockSplit(**{**SPLIT, "numerator": 10, "denominator": 1})
    for command in (create(), create(SEED), issue(), grant(), warrant()):
        Given(ISSUER, *COMPANY, WARRANTED, split).when(command).then_nothing()


def test_the_cap_table_lists_stock_options_warrants_and_pool():
    state = ISSUER.fold([*COMPANY, WARRANTED])
    assert list_rows(state) == (
        Row("stock", FOUNDER, "common", 8_000_000),
        Row("option", EMPLOYEE, OPTION, 200_000),
        Row("warrant", PROVIDER, WARRANT, 100_000),
        Row("pool", None, "pool", 800_000),
    )
    assert total_shares(state) == Totals(8_000_000, 200_000, 100_000, 0, 800_000, 9_100_000)
    assert measure_ownership(state)[FOUNDER] == Fraction(80, 91)
    assert capitalization_of(state).fully_diluted == 9_100_000


def test_an_expired_warrant_counts_no_more():
    state = ISSUER.fold([*COMPANY, WARRANTED])
    late = EXPIRY.replace(year=2031)
    assert total_shares(state, EXPIRY).warrants == 100_000
    assert total_shares(state, late) == Totals(8_000_000, 200_000, 0, 0, 800_000, 9_000_000)
    assert capitalization_of(state, late).warrants == 0


def test_an_exercised_option_leaves_the_available_pool_as_it_was():
    state = ISSUER.fold([*COMPANY, IssuerOptionExercised(**EXERCISE, holder_id=EMPLOYEE)])
    assert total_shares(state) == Totals(8_050_000, 150_000, 0, 0, 800_000, 9_000_000)


def test_a_net_exercise_dilutes_by_the_shares_issued_alone():
    exercised = IssuerWarrantExercised(**NET, holder_id=PROVIDER, class_id="common")
    state = ISSUER.fold([*COMPANY, WARRANTED, exercised])
    assert total_shares(state) == Totals(8_075_000, 200_000, 0, 0, 800_000, 9_075_000)


def test_a_split_multiplies_shares_and_divides_prices():
    seed = IssuerStockIssued(**{**FOUNDERS_STOCK, "security_id": make_id("sec", 2), "class_id": "seed", "shares": 10})
    events = [*COMPANY, WARRANTED, seed]
    before, after = (
        ISSUER.fold([*events, *extra]) for extra in ([], [IssuerStockSplit(**{**SPLIT, "denominator": 1})])
    )
    assert measure_ownership(after) == measure_ownership(before)
    assert total_shares(after).fully_diluted == 3 * total_shares(before).fully_diluted
    assert after.classes["seed"].price_usd == Fraction(1, 6)
    assert after.classes["seed"].shares_authorised == 3_000_000
    assert after.options[OPTION].exercise_price_usd == Fraction(1, 30)
    assert after.warrants[WARRANT].exercise_price_usd == Fraction(1, 12)


IMPORTED = IssuerImported(**OF_ISS, source="lattice.ocf.zip", package_hash="ab" * 32)
EXERCISED = IssuerWarrantExercised(**NET, holder_id=PROVIDER, class_id="common")
ACTS = (*COMPANY, WARRANTED, EXERCISED, IssuerStockTransferred(**TRANSFER), IssuerValuationRecorded(**VALUATION))


def bring_in(*acts, source="lattice.ocf.zip"):
    return ImportIssuer(**OF_ISS, source=source, package_hash="ab" * 32, acts=acts)


def test_an_import_records_itself_and_its_acts():
    Given(ISSUER).when(bring_in(*ACTS)).then(IMPORTED, *ACTS)
    assert ISSUER.fold([IMPORTED, *ACTS]).imported == IMPORTED


def test_an_import_is_refused_at_the_act_that_breaks_a_rule():
    greedy = IssuerStockTransferred(**{**TRANSFER, "shares": 9_000_000})
    refusal = Given(ISSUER).when(bring_in(*COMPANY, greedy)).refused("shares_not_held", f"/acts/{len(COMPANY)}")
    assert refusal.facts["shares_held"] == 8_000_000


IMPORTS_REFUSED = [
    ("issuer_exists", [FORMED], bring_in()),
    ("issuer_exists", [IMPORTED, FORMED], bring_in(FORMED, source="other.zip")),
    ("acts_out_of_range", [], bring_in()),
    ("acts_out_of_range", [], bring_in(*[FORMED] * 1000)),
    ("formation_misplaced", [], bring_in(STOCK)),
    ("formation_misplaced", [], bring_in(FORMED, FORMED)),
    ("act_not_importable", [], bring_in(FORMED, IMPORTED)),
    ("issuer_differs", [], bring_in(FORMED, IssuerStakeholderAdded(**{**HOLDER, "issuer_id": make_id("iss", 2)}))),
    ("stakeholder_unknown", [], bring_in(FORMED, STOCK)),
    ("act_repeated", [], bring_in(*COMPANY, STOCK)),
    ("act_repeated", [], bring_in(*COMPANY, IssuerOptionExercised(**EXERCISE, holder_id=FUND))),
]


@pytest.mark.parametrize(("code", "events", "command"), IMPORTS_REFUSED)
def test_import_refused(code, events, command):
    Given(ISSUER, *events).when(command).refused(code)


def test_an_import_does_not_ask_whether_a_warrant_had_expired():
    expired = IssuerWarrantIssued(**{**WARRANT_TERMS, "expires_at": NOON.replace(year=2025)})
    state = ISSUER.fold(ISSUER.decide(bring_in(*COMPANY, expired, EXERCISED), None))
    assert state.holdings[PROVIDER, "common"] == 75_000
    assert state.formed.issuer_id == ISS

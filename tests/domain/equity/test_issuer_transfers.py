"""Shares that change hands: the right of first refusal, conversions of preferred stock, authorised shares."""

from datetime import timedelta
from decimal import Decimal

import pytest

from events.issuer import (
    IssuerAuthorisedSharesAdjusted,
    IssuerConversionPriceAdjusted,
    IssuerFirstRefusalExercised,
    IssuerFirstRefusalWaived,
    IssuerStockClassCreated,
    IssuerStockConverted,
    IssuerStockIssued,
    IssuerStockOffered,
    IssuerStockOfferWithdrawn,
    IssuerStockRepurchased,
    IssuerStockTransferred,
)
from marketplace.core.ids import derive_id
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.stock_commands import (
    AdjustAuthorisedShares,
    ConvertStock,
    ExerciseFirstRefusal,
    OfferStock,
    RepurchaseStock,
    TransferStock,
    WaiveFirstRefusal,
    WithdrawOffer,
)
from tests.domain.issuer_samples import (
    APPROVAL,
    COMMON,
    COMPANY,
    EMPLOYEE,
    FOUNDED,
    FOUNDER,
    FOUNDERS_STOCK,
    FUND,
    NOON,
    OF_ISS,
    PROVIDER,
    STOCK,
    make_id,
)
from tests.support.spec import Given

BOUND = [
    *FOUNDED[:4],
    IssuerStockClassCreated(**COMMON, first_refusal=True),
    FOUNDED[5],
    STOCK,
]
TRANSFER = make_id("trf", 1)
SHARES = {"holder_id": FOUNDER, "holder_id_after": PROVIDER, "class_id": "common", "shares": 1_000}
OFFER = {
    **OF_ISS,
    "transfer_id": TRANSFER,
    **SHARES,
    "price_usd_per_share": Decimal("1.25"),
    "decide_until": NOON + timedelta(days=30),
}
OFFERED = IssuerStockOffered(**OFFER)
WAIVED = IssuerFirstRefusalWaived(**OF_ISS, transfer_id=TRANSFER, approval=APPROVAL)
WITHDRAWN = IssuerStockOfferWithdrawn(**OF_ISS, transfer_id=TRANSFER, reason="keeps them")
MOVED = IssuerStockTransferred(**OF_ISS, transfer_id=TRANSFER, **SHARES)
LATE = NOON + timedelta(days=31)


def offer(**changes):
    return OfferStock(**{**OFFER, "at": NOON, **changes})


def transfer(at=NOON, **changes):
    return TransferStock(**{**OF_ISS, "transfer_id": TRANSFER, **SHARES, "at": at, **changes})


def use(holder_id=None, at=NOON):
    return ExerciseFirstRefusal(**OF_ISS, transfer_id=TRANSFER, holder_id=holder_id, at=at, approval=APPROVAL)


def exercised(holder_id=None):
    return IssuerFirstRefusalExercised(**OF_ISS, transfer_id=TRANSFER, holder_id=holder_id, approval=APPROVAL)


WAIVE = WaiveFirstRefusal(**OF_ISS, transfer_id=TRANSFER, approval=APPROVAL)
WITHDRAW = WithdrawOffer(**OF_ISS, transfer_id=TRANSFER, reason="keeps them")
DONE = {
    "shares are offered": (BOUND, offer(), [OFFERED]),
    "the right is waived": ([*BOUND, OFFERED], WAIVE, [WAIVED]),
    "an offer is withdrawn": ([*BOUND, OFFERED], WITHDRAW, [WITHDRAWN]),
    "a waived offer is withdrawn": ([*BOUND, OFFERED, WAIVED], WITHDRAW, [WITHDRAWN]),
    "shares go to the buyer after the waiver": ([*BOUND, OFFERED, WAIVED], transfer(), [MOVED]),
    "silence waives the right": ([*BOUND, OFFERED], transfer(LATE), [MOVED]),
    "another holder takes the shares": (
        [*BOUND, OFFERED],
        use(EMPLOYEE),
        [
            exercised(EMPLOYEE),
            IssuerStockTransferred(
                **OF_ISS,
                transfer_id=TRANSFER,
                **{**SHARES, "holder_id_after": EMPLOYEE},
                approval=APPROVAL,
            ),
        ],
    ),
    "the issuer takes the shares": (
        [*BOUND, OFFERED],
        use(),
        [
            exercised(),
            IssuerStockRepurchased(
                **OF_ISS,
                repurchase_id=derive_id("rep", TRANSFER),
                holder_id=FOUNDER,
                class_id="common",
                shares=1_000,
                price_usd_per_share=Decimal("1.25"),
                cause=TRANSFER,
                approval=APPROVAL,
            ),
        ],
    ),
    "an offer without the right moves on as well": ([*COMPANY, OFFERED, WAIVED], transfer(), [MOVED]),
}


@pytest.mark.parametrize("name", DONE)
def test_done_once(name):
    events, command, expected = DONE[name]
    Given(ISSUER, *events).when(command).then(*expected)


TAKEN = DONE["another holder takes the shares"][2]
REFUSED = {
    "offer": [
        ("transfer_exists", [*BOUND, OFFERED], offer(shares=1)),
        ("stakeholder_unknown", BOUND, offer(holder_id=FUND)),
        ("stakeholder_unknown", BOUND, offer(holder_id_after=FUND)),
        ("transfer_to_self", BOUND, offer(holder_id_after=FOUNDER)),
        ("stock_class_unknown", BOUND, offer(class_id="none")),
        ("shares_not_positive", BOUND, offer(shares=0)),
        ("shares_not_held", BOUND, offer(shares=8_000_001)),
        ("amount_not_positive", BOUND, offer(price_usd_per_share=Decimal(-1))),
        ("time_naive", BOUND, offer(decide_until=NOON.replace(tzinfo=None))),
        ("offer_over", BOUND, offer(decide_until=NOON)),
    ],
    "waive": [
        ("offer_unknown", BOUND, WAIVE),
        ("offer_withdrawn", [*BOUND, OFFERED, WITHDRAWN], WAIVE),
        ("offer_exercised", [*BOUND, OFFERED, *TAKEN], WAIVE),
    ],
    "use": [
        ("offer_unknown", BOUND, use()),
        ("offer_waived", [*BOUND, OFFERED, WAIVED], use()),
        ("offer_exercised", [*BOUND, OFFERED, *TAKEN], use(PROVIDER)),
        ("offer_over", [*BOUND, OFFERED], use(EMPLOYEE, LATE)),
        ("stakeholder_unknown", [*BOUND, OFFERED], use(FUND)),
        ("transfer_to_self", [*BOUND, OFFERED], use(FOUNDER)),
    ],
    "withdraw": [
        ("offer_unknown", BOUND, WITHDRAW),
        ("offer_transferred", [*BOUND, OFFERED, WAIVED, MOVED], WITHDRAW),
    ],
    "transfer": [
        ("transfer_exists", [*BOUND, OFFERED, WAIVED, MOVED], transfer(shares=2)),
        ("first_refusal_unanswered", BOUND, transfer()),
        ("first_refusal_unanswered", [*BOUND, OFFERED], transfer()),
        ("offer_withdrawn", [*BOUND, OFFERED, WITHDRAWN], transfer()),
        ("transfer_differs", [*BOUND, OFFERED, WAIVED], transfer(shares=2_000)),
        ("transfer_differs", [*BOUND, OFFERED, WAIVED], transfer(holder_id_after=EMPLOYEE)),
    ],
}


@pytest.mark.parametrize(
    ("code", "events", "command"),
    [row for rows in REFUSED.values() for row in rows],
    ids=[f"{name}-{row[0]}" for name, rows in REFUSED.items() for row in rows],
)
def test_refused(code, events, command):
    Given(ISSUER, *events).when(command).refused(code)


SEED_STOCK = IssuerStockIssued(
    **{**FOUNDERS_STOCK, "security_id": make_id("sec", 2), "holder_id": PROVIDER, "class_id": "seed", "shares": 1_000}
)
CHEAPER = IssuerConversionPriceAdjusted(
    **OF_ISS,
    class_id="seed",
    conversion_price_usd_before="1/2",
    conversion_price_usd="3/7",
    cause=make_id("fin", 1),
)
CONVERSION = {**OF_ISS, "conversion_id": make_id("cnv", 1), "holder_id": PROVIDER, "class_id": "seed", "shares": 1_000}


def convert(**changes):
    return ConvertStock(**{**CONVERSION, "class_id_after": "common", **changes})


def test_preferred_stock_converts_at_its_conversion_price():
    Given(ISSUER, *COMPANY, SEED_STOCK, CHEAPER).when(convert()).then(
        IssuerStockConverted(
            **CONVERSION,
            class_id_after="common",
            shares_exact="3500/3",
            shares_after=1_166,
            reason="voluntary",
        )
    )


CONVERSIONS_REFUSED = [
    ("stakeholder_unknown", convert(holder_id=FUND)),
    ("stock_class_unknown", convert(class_id="none")),
    ("stock_class_not_preferred", convert(class_id="common")),
    ("stock_class_not_common", convert(class_id_after="seed")),
    ("shares_not_positive", convert(shares=0)),
    ("shares_not_held", convert(shares=1_001)),
]


@pytest.mark.parametrize(("code", "command"), CONVERSIONS_REFUSED)
def test_conversion_refused(code, command):
    Given(ISSUER, *COMPANY, SEED_STOCK).when(command).refused(code)


def test_authorised_shares_are_raised_and_lowered_to_what_is_outstanding():
    raise_ = AdjustAuthorisedShares(**OF_ISS, class_id="common", shares_authorised=20_000_000, approval=APPROVAL)
    Given(ISSUER, *COMPANY).when(raise_).then(
        IssuerAuthorisedSharesAdjusted(**OF_ISS, class_id="common", shares_authorised=20_000_000, approval=APPROVAL)
    )
    lowest = AdjustAuthorisedShares(**OF_ISS, class_id="common", shares_authorised=8_000_000)
    assert len(ISSUER.decide(lowest, ISSUER.fold(COMPANY))) == 1


def test_authorised_shares_below_what_is_outstanding_are_refused_with_the_number():
    below = AdjustAuthorisedShares(**OF_ISS, class_id="common", shares_authorised=7_999_999)
    refusal = Given(ISSUER, *COMPANY).when(below).refused("authorised_below_outstanding", "/shares_authorised")
    assert refusal.facts["shares_outstanding"] == 8_000_000


def test_a_repurchase_under_a_used_id_is_refused():
    terms = {"repurchase_id": make_id("rep", 1), "holder_id": FOUNDER, "class_id": "common"}
    once = RepurchaseStock(**OF_ISS, **terms, shares=1, price_usd_per_share=Decimal(1))
    again = RepurchaseStock(**OF_ISS, **terms, shares=2, price_usd_per_share=Decimal(1))
    done = ISSUER.decide(once, ISSUER.fold(COMPANY))
    Given(ISSUER, *COMPANY, *done).when(again).refused("repurchase_exists")

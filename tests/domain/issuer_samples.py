"""One small company, as events and as commands, that the tests of the issuer share."""

from datetime import UTC, date, datetime
from decimal import Decimal

from events.financing import Approval, ConvertingInstrument, Investment, LaterPrincipal, RoundTerms
from events.issuer import (
    IssuerFinancingOpened,
    IssuerFormed,
    IssuerHolderTermsAgreed,
    IssuerInstrumentSigned,
    IssuerOptionGranted,
    IssuerStakeholderAdded,
    IssuerStockClassCreated,
    IssuerStockIssued,
    IssuerStockPlanAdjusted,
    IssuerWarrantIssued,
)
from events.issuer_holders import HolderTerms
from events.types import SafeTerms
from marketplace.domain.equity.issuer.commands import (
    AddStakeholder,
    CloseFinancing,
    DeclareLiquidity,
    FormIssuer,
    OpenFinancing,
    PriceFinancing,
)
from marketplace.domain.equity.issuer.rights_commands import GrantOption, IssueWarrant
from marketplace.domain.equity.issuer.stock_commands import CreateStockClass, IssueStock
from marketplace.domain.equity.issuer.terms import RoundDraft


def make_id(prefix, number):
    return f"{prefix}_{number:026d}"


ISS = make_id("iss", 1)
FOUNDER, EMPLOYEE, FUND, PROVIDER, ANGEL = (make_id("pty", number) for number in range(1, 6))
OPTION, WARRANT, FIN, LIQ = make_id("opt", 1), make_id("wrt", 1), make_id("fin", 1), make_id("liq", 1)
OF_ISS = {"issuer_id": ISS}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EXPIRY = datetime(2030, 1, 1, tzinfo=UTC)
APPROVAL = Approval(document="board consent 7")

FORM = {
    **OF_ISS,
    "party_id": FOUNDER,
    "legal_name": "Lattice Labs Inc.",
    "jurisdiction": "US",
    "formed_on": date(2024, 5, 1),
}
HOLDER = {**OF_ISS, "holder_id": FOUNDER, "name": "Founder", "kind": "founder"}
COMMON = {**OF_ISS, "class_id": "common", "kind": "common", "shares_authorised": 10_000_000}
SEED = {
    **OF_ISS,
    "class_id": "seed",
    "kind": "preferred",
    "shares_authorised": 1_000_000,
    "price_per_share_usd": Decimal("0.5"),
    "liquidation_multiple": Decimal(1),
    "seniority": 1,
}
FOUNDERS_STOCK = {
    **OF_ISS,
    "security_id": make_id("sec", 1),
    "holder_id": FOUNDER,
    "class_id": "common",
    "shares": 8_000_000,
    "price_usd_per_share": Decimal("0.0001"),
}
GRANT = {
    **OF_ISS,
    "option_id": OPTION,
    "holder_id": EMPLOYEE,
    "shares": 200_000,
    "exercise_price_usd": Decimal("0.10"),
}
WARRANT_TERMS = {
    **OF_ISS,
    "warrant_id": WARRANT,
    "holder_id": PROVIDER,
    "class_id": "common",
    "shares": 100_000,
    "exercise_price_usd": Decimal("0.25"),
    "expires_at": EXPIRY,
    "settlement": "either",
}

FORMED = IssuerFormed(**FORM)


def stakeholder(holder_id, name, kind):
    return IssuerStakeholderAdded(**OF_ISS, holder_id=holder_id, name=name, kind=kind)


FOUNDED = [
    FORMED,
    IssuerStakeholderAdded(**HOLDER),
    stakeholder(EMPLOYEE, "Employee", "employee"),
    stakeholder(PROVIDER, "Provider", "provider"),
    IssuerStockClassCreated(**COMMON),
    IssuerStockClassCreated(**SEED),
]
POOL = IssuerStockPlanAdjusted(**OF_ISS, shares_reserved=1_000_000)
STOCK = IssuerStockIssued(**FOUNDERS_STOCK)
GRANTED = IssuerOptionGranted(**GRANT)
WARRANTED = IssuerWarrantIssued(**WARRANT_TERMS)
COMPANY = [*FOUNDED, STOCK, POOL, GRANTED]

CAPPED = SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal(10_000_000))
UNCAPPED = SafeTerms(conversion_timing="post_money")


def converting(number, principal, terms=CAPPED, holder_id=PROVIDER):
    return ConvertingInstrument(
        instrument_id=make_id("ins", number), holder_id=holder_id, principal_usd=Decimal(principal), terms=terms
    )


def list_owed(*instruments):
    """Return the outstanding principal of instruments, as the payment of a sale reads it."""
    return tuple(
        LaterPrincipal(instrument_id=each.instrument_id, holder_id=each.holder_id, amount_usd=each.principal_usd)
        for each in instruments
    )


def waive(*holders):
    """Return terms by which investors gave up their pro rata right, so that a round is priced at once."""
    terms = HolderTerms(pro_rata_waived=holders)
    return IssuerHolderTermsAgreed(**OF_ISS, terms=terms, approval=APPROVAL)


def signed(*instruments):
    """Return the signing of instruments whose holders waive their pro rata right."""
    return [
        IssuerInstrumentSigned(
            **OF_ISS,
            instrument_id=instrument.instrument_id,
            holder_id=instrument.holder_id,
            commitment_usd=Decimal(10_000_000),
            terms=instrument.terms,
        )
        for instrument in instruments
    ] + [waive(*sorted({instrument.holder_id for instrument in instruments}))]


ROUND = {
    "class_id": "series-a",
    "pre_money_usd": Decimal(20_000_000),
    "investments": (Investment(holder_id=FUND, amount_usd=Decimal(5_000_000)),),
    "pool_post_money": Decimal("0.10"),
    "pool_timing": "pre_money",
    "pricing_convention": "percent_ownership",
    "capitalization_definition": "yc_standard",
    "share_rounding": "floor",
    "price_places": 4,
    "price_rounding": "half_even",
    "liquidation_multiple": Decimal(1),
    "seniority": 2,
    "participation": "none",
}
OPENED = IssuerFinancingOpened(**OF_ISS, financing_id=FIN, name="Series A", terms=RoundTerms(**ROUND))


def form(**changes):
    return FormIssuer(**{**FORM, **changes})


def add(**changes):
    return AddStakeholder(**{**HOLDER, **changes})


def create(base=COMMON, **changes):
    return CreateStockClass(**{**base, **changes})


def issue(**changes):
    return IssueStock(**{**FOUNDERS_STOCK, **changes})


def grant(**changes):
    return GrantOption(**{**GRANT, **changes})


def warrant(**changes):
    return IssueWarrant(**{**WARRANT_TERMS, **changes})


def open_round(financing_id=FIN, **changes):
    return OpenFinancing(
        **OF_ISS, financing_id=financing_id, name="Series A", at=NOON, terms=RoundDraft(**{**ROUND, **changes})
    )


def price(*instruments, at=NOON, financing_id=FIN):
    return PriceFinancing(**OF_ISS, financing_id=financing_id, instruments=instruments, at=at)


def close(*instruments, at=NOON, financing_id=FIN, stakeholders=()):
    return CloseFinancing(
        **OF_ISS,
        financing_id=financing_id,
        instruments=instruments,
        approval=APPROVAL,
        at=at,
        stakeholders=stakeholders,
    )


def declare(proceeds, *instruments, at=NOON, liquidity_id=LIQ, safe_seniority=None):
    return DeclareLiquidity(
        **OF_ISS,
        liquidity_id=liquidity_id,
        proceeds_usd=Decimal(proceeds),
        instruments=instruments,
        at=at,
        safe_seniority=safe_seniority,
    )

"""Fifth chapter: the startup's capitalisation, a direct investment, and the round in which its SAFEs convert."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

from events.account import AccountCredited, AccountDebited
from events.financing import (
    Allotment,
    Approval,
    Conversion,
    ConvertingInstrument,
    Investment,
    RoundPricing,
    RoundTerms,
)
from events.instrument import (
    InstrumentAmended,
    InstrumentCancelled,
    InstrumentConverted,
    InstrumentIssued,
    InstrumentPrincipalAccrued,
)
from events.issuer import (
    IssuerFinancingAbandoned,
    IssuerFinancingClosed,
    IssuerFinancingOpened,
    IssuerFinancingPriced,
    IssuerFormed,
    IssuerImported,
    IssuerInstrumentSigned,
    IssuerOptionGranted,
    IssuerStakeholderAdded,
    IssuerStockClassCreated,
    IssuerStockIssued,
    IssuerStockPlanAdjusted,
    IssuerStockSplit,
    IssuerValuationRecorded,
)
from events.types import Event, SafeTerms
from tests.contracts.story.certificates import load_certificate
from tests.contracts.story.clearing import COMPUTE_SAFE
from tests.contracts.story.demand import LATTICE_ISSUER, QUILLWORK_ISSUER, SAFE
from tests.contracts.story.identifiers import name
from tests.contracts.story.limit import AMENDED, DIRECT_SAFE, tell_limit
from tests.contracts.story.supply import (
    LATTICE,
    LATTICE_CASH,
    NORTHFJORD,
    QUILLWORK,
    TIDEWATER,
    TIDEWATER_CASH,
    at,
)
from tests.contracts.story.teller import Teller

FOUNDERS = name("stk", "founders' holding")
EMPLOYEES = name("stk", "employee trust")
HARBOUR = name("stk", "Harbour Growth")
SERIES_A = name("fin", "Series A")
RESOLUTION = Approval(document="minutes/2026-05-18.pdf", note="board and stockholders consent")
_SEED_ROUND = name("fin", "Seed")


def tell_equity(teller: Teller) -> None:
    """Form the issuer, invest directly, price and close Series A."""
    _tell_formation(teller)
    _tell_import(teller)
    _tell_direct_investment(teller)
    tell_limit(teller)
    _tell_series_a(teller)


def build_terms(pre_money: str, amount: str) -> RoundTerms:
    """Return a round of preferred stock with a ten percent pool, every convention stated."""
    return RoundTerms(
        class_id="series-a",
        pre_money_usd=Decimal(pre_money),
        investments=(Investment(holder_id=HARBOUR, amount_usd=Decimal(amount)),),
        pool_post_money=Decimal("0.10"),
        pool_timing="pre_money",
        pricing_convention="percent_ownership",
        capitalization_definition="yc_standard",
        share_rounding="floor",
        price_places=4,
        price_rounding="half_even",
        liquidation_multiple=Decimal(1),
        seniority=1,
        participation="none",
    )


def issue_safe(instrument: str, amount: str, terms: SafeTerms) -> tuple[Event, ...]:
    """Return a SAFE that the fund pays at once: signed, paid, accrued."""
    paid = Decimal(amount)
    return (
        InstrumentIssued(
            instrument_id=instrument,
            issuer_id=LATTICE_ISSUER,
            holder_id=TIDEWATER,
            terms=terms,
            commitment_usd=paid,
            funding="paid_at_once",
        ),
        IssuerInstrumentSigned(
            issuer_id=LATTICE_ISSUER,
            instrument_id=instrument,
            holder_id=TIDEWATER,
            commitment_usd=paid,
            terms=terms,
        ),
        AccountDebited(
            account_id=TIDEWATER_CASH,
            party_id=TIDEWATER,
            amount_usd=paid,
            payee_account_id=LATTICE_CASH,
            cause=instrument,
        ),
        AccountCredited(
            account_id=LATTICE_CASH,
            party_id=LATTICE,
            amount_usd=paid,
            payer_account_id=TIDEWATER_CASH,
            cause=instrument,
        ),
        InstrumentPrincipalAccrued(
            instrument_id=instrument,
            tranche_id=name("trn", instrument),
            issuer_id=LATTICE_ISSUER,
            holder_id=TIDEWATER,
            principal_usd=paid,
            statement_id=None,
            terms_version=1,
            interest_from=date(2026, 3, 1),
        ),
    )


def _tell_formation(teller: Teller) -> None:
    holders = (
        (FOUNDERS, "Founders' holding", "founder"),
        (EMPLOYEES, "Employee trust", "employee"),
        (TIDEWATER, "Tidewater Ventures LP", "investor"),
        (NORTHFJORD, "Northfjord Compute AS", "provider"),
        (HARBOUR, "Harbour Growth LP", "investor"),
    )
    issuer = LATTICE_ISSUER
    teller.tell(
        "2026-01-09T09:00",
        LATTICE,
        IssuerFormed(
            issuer_id=issuer,
            party_id=LATTICE,
            legal_name="Lattice Bio, Inc.",
            jurisdiction="US",
            formed_on=date(2025, 6, 2),
        ),
        *(
            IssuerStakeholderAdded(issuer_id=issuer, holder_id=holder, name=text, kind=kind)
            for holder, text, kind in holders
        ),
        IssuerStockClassCreated(issuer_id=issuer, class_id="common", kind="common", shares_authorised=15_000_000),
        IssuerStockIssued(
            issuer_id=issuer,
            security_id=name("sec", "founders' common"),
            holder_id=FOUNDERS,
            class_id="common",
            shares=4_000_000,
            price_usd_per_share=Decimal("0.0001"),
            approval=Approval(document="minutes/2025-06-02.pdf"),
        ),
        IssuerStockSplit(issuer_id=issuer, split_id=name("spl", "two for one"), numerator=2, denominator=1),
        IssuerStockPlanAdjusted(issuer_id=issuer, shares_reserved=1_000_000),
        IssuerValuationRecorded(
            issuer_id=issuer,
            price_usd_per_share=Decimal("0.25"),
            method="409A",
            effective_on=date(2026, 1, 1),
        ),
        IssuerOptionGranted(
            issuer_id=issuer,
            option_id=name("opt", "first grant"),
            holder_id=EMPLOYEES,
            shares=500_000,
            exercise_price_usd=Decimal("0.25"),
        ),
    )
    teller.tell(
        "2026-01-12T10:00",
        LATTICE,
        IssuerFinancingOpened(
            issuer_id=issuer, financing_id=_SEED_ROUND, name="Seed", terms=build_terms("12000000.00", "3000000.00")
        ),
        IssuerFinancingAbandoned(issuer_id=issuer, financing_id=_SEED_ROUND, reason="replaced by a SAFE of the fund"),
    )


def _tell_import(teller: Teller) -> None:
    teller.tell(
        "2026-01-13T09:00",
        QUILLWORK,
        IssuerImported(
            issuer_id=QUILLWORK_ISSUER,
            source="quillwork-robotics.ocf.zip",
            package_hash="7d5c36eae9de1fc0f5a1ea0a60ba2c7c7c7b8e0a6c6b9d3d5f7ad1a0f2b4c6d8",
        ),
        IssuerFormed(
            issuer_id=QUILLWORK_ISSUER,
            party_id=QUILLWORK,
            legal_name="Quillwork Robotics, Inc.",
            jurisdiction="US",
            formed_on=date(2024, 11, 4),
        ),
    )


def _tell_direct_investment(teller: Teller) -> None:
    mistaken = name("ins", "SAFE with a wrong cap")
    wrong = SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal("2000000.00"))
    teller.tell(
        "2026-03-20T09:00",
        TIDEWATER,
        InstrumentIssued(
            instrument_id=mistaken,
            issuer_id=LATTICE_ISSUER,
            holder_id=TIDEWATER,
            terms=wrong,
            commitment_usd=Decimal("250000.00"),
            funding="paid_at_once",
        ),
        IssuerInstrumentSigned(
            issuer_id=LATTICE_ISSUER,
            instrument_id=mistaken,
            holder_id=TIDEWATER,
            commitment_usd=Decimal("250000.00"),
            terms=wrong,
        ),
        InstrumentCancelled(instrument_id=mistaken, reason="the cap lacked a zero", at=at("2026-03-20T09:00")),
    )
    teller.tell("2026-03-20T09:30", TIDEWATER, *issue_safe(DIRECT_SAFE, "250000.00", SAFE))
    teller.tell(
        "2026-04-01T09:00",
        TIDEWATER,
        InstrumentAmended(instrument_id=COMPUTE_SAFE, terms=AMENDED, terms_version=2, applies_to_earlier=True),
    )


def _tell_series_a(teller: Teller) -> None:
    teller.tell(
        "2026-05-04T09:00",
        LATTICE,
        IssuerFinancingOpened(
            issuer_id=LATTICE_ISSUER,
            financing_id=SERIES_A,
            name="Series A",
            terms=build_terms("40000000.00", "10000000.00"),
        ),
    )
    pricing = _price_series_a()
    teller.tell(
        "2026-05-11T09:00",
        LATTICE,
        IssuerFinancingPriced(issuer_id=LATTICE_ISSUER, financing_id=SERIES_A, pricing=pricing),
    )
    teller.tell("2026-05-18T09:00", LATTICE, *_close(pricing))


def _close(pricing: RoundPricing) -> tuple[Event, ...]:
    issuer, price = LATTICE_ISSUER, pricing.price_usd_per_share
    allotted = pricing.allotments[0]
    converted = tuple(
        InstrumentConverted(
            instrument_id=conversion.instrument_id,
            issuer_id=issuer,
            holder_id=conversion.holder_id,
            cause=SERIES_A,
            principal_usd=instrument.principal_usd,
            amount_exact=conversion.amount_exact,
            branch=conversion.branch,
            price_usd_per_share=conversion.price_usd_per_share,
            class_id="series-a",
            shares_exact=conversion.shares_exact,
            shares=conversion.shares,
        )
        for instrument, conversion in zip(pricing.instruments, pricing.conversions, strict=True)
    )
    return (
        IssuerFinancingClosed(issuer_id=issuer, financing_id=SERIES_A, approval=RESOLUTION),
        IssuerStockClassCreated(
            issuer_id=issuer,
            class_id="series-a",
            kind="preferred",
            shares_authorised=5_000_000,
            price_per_share_usd=price,
            liquidation_multiple=Decimal(1),
            seniority=1,
        ),
        _issued(HARBOUR, allotted.shares, price, SERIES_A),
        *(
            _issued(TIDEWATER, conversion.shares, _places(conversion.price_usd_per_share), conversion.instrument_id)
            for conversion in pricing.conversions
        ),
        IssuerStockPlanAdjusted(
            issuer_id=issuer,
            shares_reserved=1_000_000 + pricing.pool_increase_shares,
            cause=SERIES_A,
            approval=RESOLUTION,
        ),
        *converted,
    )


def _issued(holder: str, shares: int, price: Decimal, cause: str) -> IssuerStockIssued:
    return IssuerStockIssued(
        issuer_id=LATTICE_ISSUER,
        security_id=name("sec", f"series A for {cause}"),
        holder_id=holder,
        class_id="series-a",
        shares=shares,
        price_usd_per_share=price,
        cause=cause,
        approval=RESOLUTION,
    )


def _price_series_a() -> RoundPricing:
    """Return the priced round: capitalisation C = 9,000,000 / (1 - sum of principal over cap), exact."""
    safes = (
        ConvertingInstrument(
            instrument_id=COMPUTE_SAFE, holder_id=TIDEWATER, principal_usd=Decimal("7116.00"), terms=AMENDED
        ),
        ConvertingInstrument(
            instrument_id=DIRECT_SAFE, holder_id=TIDEWATER, principal_usd=Decimal("250000.00"), terms=SAFE
        ),
    )
    caps = [safe.terms.valuation_cap_usd or Decimal(0) for safe in safes]
    owned = [Fraction(safe.principal_usd) / Fraction(cap) for safe, cap in zip(safes, caps, strict=True)]
    capitalization = 9_000_000 / (1 - sum(owned))
    total = (8_500_000 + capitalization * sum(owned)) / Fraction(7, 10)
    price_exact = 50_000_000 / total
    price = _places(_text(price_exact))
    conversions = tuple(
        Conversion(
            instrument_id=safe.instrument_id,
            holder_id=safe.holder_id,
            branch="cap",
            amount_exact=_text(Fraction(safe.principal_usd)),
            price_usd_per_share=_text(Fraction(cap) / capitalization),
            shares_exact=_text(capitalization * share),
            shares=int(capitalization * share),
            alternatives={
                "cap": _text(Fraction(cap) / capitalization),
                "discount": _text(price_exact * Fraction(4, 5)),
                "round_price": _text(price_exact),
            },
        )
        for safe, cap, share in zip(safes, caps, owned, strict=True)
    )
    new_shares = 10_000_000 / price_exact
    pool_exact = total / 10 - 500_000
    allotment = Allotment(
        holder_id=HARBOUR,
        amount_usd=Decimal("10000000.00"),
        shares_exact=_text(new_shares),
        shares=int(new_shares),
    )
    pool_increase = int(pool_exact)
    converted = sum(conversion.shares for conversion in conversions)
    return RoundPricing(
        engine_version="equity-1",
        capitalization_exact="9000000/1",
        instruments=safes,
        price_usd_per_share=price,
        price_exact=_text(price_exact),
        conversions=conversions,
        allotments=(allotment,),
        adjustments=(),
        forfeits=(),
        pool_increase_shares=pool_increase,
        pool_increase_exact=_text(pool_exact),
        post_money_shares=9_000_000 + converted + allotment.shares + pool_increase,
        post_money_exact=_text(total),
        certificate_json=load_certificate("round"),
    )


def _text(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"


def _places(ratio: str) -> Decimal:
    """Return the nearest price of four places, as the terms of the round say."""
    return Decimal(round(Fraction(ratio) * 10_000)).scaleb(-4)

"""A chapter of its own: another startup's rights, promises, refusals and conversions, one of each."""

from datetime import date
from decimal import Decimal

from events.instrument import (
    InstrumentIssued,
    InstrumentMfnElected,
    InstrumentMfnNoticed,
    InstrumentPrincipalAccrued,
    InstrumentTransferred,
)
from events.issuer import (
    IssuerAuthorisedSharesAdjusted,
    IssuerConversionPriceAdjusted,
    IssuerExposureRecorded,
    IssuerFirstRefusalExercised,
    IssuerFirstRefusalWaived,
    IssuerInstrumentSigned,
    IssuerOptionCancelled,
    IssuerOptionGranted,
    IssuerOptionPromised,
    IssuerOptionPromiseWithdrawn,
    IssuerOptionTransferred,
    IssuerStakeholderAdded,
    IssuerStockClassCreated,
    IssuerStockConverted,
    IssuerStockIssued,
    IssuerStockOffered,
    IssuerStockOfferWithdrawn,
    IssuerStockPlanAdjusted,
    IssuerStockTransferred,
    IssuerWarrantExpired,
    IssuerWarrantIssued,
    IssuerWarrantVested,
)
from events.issuer_dilution import Exposure
from events.types import Event, SafeTerms
from events.vesting import DateMilestone, PriceMilestone, VestingSchedule, WarrantTranche
from tests.contracts.story.bought import tell_bought_warrant
from tests.contracts.story.demand import QUILLWORK_ISSUER
from tests.contracts.story.identifiers import name
from tests.contracts.story.note import tell_note
from tests.contracts.story.supply import NORTHFJORD, QUILLWORK, TIDEWATER, at
from tests.contracts.story.teller import Teller

_FOUNDER = name("stk", "Quillwork's founder")
_ENGINEER = name("stk", "Quillwork's engineer")
_SEED = name("fin", "a cheaper round of Quillwork")
_OF = {"issuer_id": QUILLWORK_ISSUER}


def tell_rights(teller: Teller) -> None:
    """Tell what happens to the rights in an imported company."""
    _tell_company(teller)
    _tell_options(teller)
    _tell_offers(teller)
    _tell_warrant(teller)
    _tell_preferred(teller)
    tell_note(teller)
    _tell_mfn(teller)
    tell_bought_warrant(teller)


def _tell_company(teller: Teller) -> None:
    holders = ((_FOUNDER, "Ada Quill", "founder"), (_ENGINEER, "Bo Work", "employee"))
    funds = ((TIDEWATER, "Tidewater Ventures LP", "investor"), (NORTHFJORD, "Northfjord Compute AS", "provider"))
    teller.tell(
        "2026-01-13T10:00",
        QUILLWORK,
        *(
            IssuerStakeholderAdded(**_OF, holder_id=holder, name=text, kind=kind)
            for holder, text, kind in (*holders, *funds)
        ),
        IssuerStockClassCreated(
            **_OF, class_id="common", kind="common", shares_authorised=9_000_000, first_refusal=True
        ),
        IssuerStockClassCreated(
            **_OF,
            class_id="seed",
            kind="preferred",
            shares_authorised=1_000_000,
            price_per_share_usd=Decimal("1.00"),
            liquidation_multiple=Decimal(1),
            seniority=1,
            price_protection="weighted_average",
            protection_basis="outstanding_and_options",
        ),
        IssuerAuthorisedSharesAdjusted(**_OF, class_id="common", shares_authorised=12_000_000),
        _issue("founder's common", _FOUNDER, "common", 6_000_000, "0.0001"),
        _issue("seed of the fund", TIDEWATER, "seed", 900_000, "1.00"),
        IssuerStockPlanAdjusted(**_OF, shares_reserved=1_000_000),
    )


def _issue(security: str, holder: str, class_id: str, shares: int, price: str) -> Event:
    return IssuerStockIssued(
        **_OF,
        security_id=name("sec", security),
        holder_id=holder,
        class_id=class_id,
        shares=shares,
        price_usd_per_share=Decimal(price),
    )


def _tell_options(teller: Teller) -> None:
    kept, broken, option = name("prm", "kept"), name("prm", "broken"), name("opt", "engineer's option")
    teller.tell(
        "2026-01-14T09:00",
        QUILLWORK,
        IssuerOptionPromised(**_OF, promise_id=kept, holder_id=_ENGINEER, shares=48_000),
        IssuerOptionPromised(**_OF, promise_id=broken, holder_id=_ENGINEER, shares=10_000),
        IssuerOptionPromiseWithdrawn(**_OF, promise_id=broken, reason="one grant for both"),
        IssuerOptionGranted(
            **_OF,
            option_id=option,
            holder_id=_ENGINEER,
            shares=48_000,
            exercise_price_usd=Decimal("0.20"),
            vesting=VestingSchedule(
                starts_on=date(2026, 1, 14),
                tranches=48,
                months_between=1,
                cliff_tranches=12,
                allocation="CUMULATIVE_ROUND_DOWN",
            ),
            promise_id=kept,
            termination_exercise_days=90,
        ),
    )
    teller.tell(
        "2026-03-02T09:00",
        QUILLWORK,
        IssuerOptionCancelled(
            **_OF,
            cancellation_id=name("can", "engineer left"),
            option_id=option,
            holder_id=_ENGINEER,
            shares=48_000,
            kind="forfeited",
            reason="left before the cliff",
            service_ended_on=date(2026, 3, 2),
        ),
    )


_ENGINEERS_SAFE = SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal("9000000.00"))


def tell_option_transfer(teller: Teller) -> None:
    """Another engineer, who had no key, registers as a party; its option and its SAFE pass to it."""
    option = {**_OF, "option_id": name("opt", "of another engineer"), "holder_id": _ENGINEER, "shares": 500}
    teller.tell(
        "2031-12-30T16:00",
        QUILLWORK,
        IssuerOptionGranted(**option, exercise_price_usd=Decimal("0.20")),
        IssuerOptionTransferred(**option, transfer_id=name("trf", "the option"), holder_id_after=TIDEWATER),
    )
    safe = {**_OF, "instrument_id": name("ins", "of another engineer"), "holder_id": _ENGINEER}
    signed = {"terms": _ENGINEERS_SAFE, "commitment_usd": Decimal("10000.00")}
    exposures = (Exposure(terms=_ENGINEERS_SAFE, amount_usd=Decimal("10000.00")),)
    paid = {"tranche_id": name("trn", "of another engineer"), "statement_id": None, "terms_version": 1}
    teller.tell(
        "2031-12-30T17:00",
        QUILLWORK,
        InstrumentIssued(**safe, **signed, funding="paid_at_once"),
        InstrumentPrincipalAccrued(**safe, **paid, principal_usd=Decimal("10000.00"), interest_from=date(2031, 12, 30)),
        IssuerInstrumentSigned(**safe, **signed),
        InstrumentTransferred(**safe, holder_id_after=TIDEWATER, principal_usd=Decimal("10000.00")),
        IssuerExposureRecorded(**_OF, subject_id=safe["instrument_id"], exposures=exposures, holder_id=TIDEWATER),
    )


def _tell_offers(teller: Teller) -> None:
    waived, taken, withdrawn = (name("trf", which) for which in ("waived", "taken", "withdrawn"))
    terms = {"holder_id": _FOUNDER, "class_id": "common", "shares": 50_000}
    offer = {**_OF, **terms, "price_usd_per_share": Decimal("0.80"), "decide_until": at("2026-03-31T00:00")}
    teller.tell(
        "2026-03-03T09:00",
        QUILLWORK,
        *(
            IssuerStockOffered(**offer, transfer_id=transfer, holder_id_after=NORTHFJORD)
            for transfer in (waived, taken, withdrawn)
        ),
        IssuerFirstRefusalWaived(**_OF, transfer_id=waived),
        IssuerFirstRefusalExercised(**_OF, transfer_id=taken, holder_id=TIDEWATER),
        IssuerStockTransferred(**_OF, **terms, transfer_id=taken, holder_id_after=TIDEWATER),
        IssuerStockOfferWithdrawn(**_OF, transfer_id=withdrawn, reason="the founder keeps them"),
        IssuerStockTransferred(**_OF, **terms, transfer_id=waived, holder_id_after=NORTHFJORD),
    )


def _tell_warrant(teller: Teller) -> None:
    warrant = name("wrt", "provider's warrant on Quillwork")
    teller.tell(
        "2026-03-04T09:00",
        QUILLWORK,
        IssuerWarrantIssued(
            **_OF,
            warrant_id=warrant,
            holder_id=NORTHFJORD,
            class_id="common",
            shares=20_000,
            exercise_price_usd=Decimal("0.80"),
            expires_at=at("2026-06-04T00:00"),
            settlement="either",
            tranches=(
                WarrantTranche(shares=15_000, conditions=((DateMilestone(day=date(2026, 4, 1)),),)),
                WarrantTranche(shares=5_000, conditions=((PriceMilestone(price_usd_per_share=Decimal("2.00")),),)),
            ),
        ),
    )
    teller.tell(
        "2026-04-01T00:00",
        "worker:timer",
        IssuerWarrantVested(
            **_OF,
            warrant_id=warrant,
            holder_id=NORTHFJORD,
            tranche=0,
            shares=15_000,
            is_whole=True,
            on_day=date(2026, 4, 1),
            gpu_seconds=0,
            purchased_usd=Decimal("0.00"),
            paid_usd=Decimal("0.00"),
            price_usd_per_share=None,
        ),
    )
    teller.tell(
        "2026-06-04T00:01",
        "worker:timer",
        IssuerWarrantExpired(**_OF, warrant_id=warrant, holder_id=NORTHFJORD, shares=20_000),
    )


def _tell_preferred(teller: Teller) -> None:
    teller.tell(
        "2026-06-10T09:00",
        QUILLWORK,
        IssuerConversionPriceAdjusted(
            **_OF,
            class_id="seed",
            conversion_price_usd_before="1/1",
            conversion_price_usd="9/10",
            cause=_SEED,
        ),
        IssuerStockConverted(
            **_OF,
            conversion_id=name("cnv", "part of the seed"),
            holder_id=TIDEWATER,
            class_id="seed",
            shares=90_000,
            class_id_after="common",
            shares_exact="100000/1",
            shares_after=100_000,
            reason="voluntary",
        ),
    )


def _tell_mfn(teller: Teller) -> None:
    favoured, later = name("ins", "most-favoured SAFE"), name("ins", "later SAFE")
    capped = SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal("9000000.00"))
    uncapped = SafeTerms(conversion_timing="post_money", most_favoured_nation=True)
    for when, instrument, terms in (("2026-06-11T09:00", favoured, uncapped), ("2026-06-12T09:00", later, capped)):
        teller.tell(
            when,
            QUILLWORK,
            InstrumentIssued(
                instrument_id=instrument,
                issuer_id=QUILLWORK_ISSUER,
                holder_id=NORTHFJORD,
                terms=terms,
                commitment_usd=Decimal("50000.00"),
                funding="paid_at_once",
            ),
            IssuerInstrumentSigned(
                **_OF,
                instrument_id=instrument,
                holder_id=NORTHFJORD,
                commitment_usd=Decimal("50000.00"),
                terms=terms,
                invested_on=at(when).date(),
            ),
        )
    teller.tell(
        "2026-06-12T10:00",
        QUILLWORK,
        InstrumentMfnNoticed(
            instrument_id=favoured,
            later_instrument_id=later,
            terms=capped,
            elect_until=at("2026-06-26T00:00"),
            principal_usd=Decimal("50000.00"),
        ),
    )
    teller.tell(
        "2026-06-15T09:00",
        NORTHFJORD,
        InstrumentMfnElected(instrument_id=favoured, later_instrument_id=later, terms=capped),
    )

"""Quillwork warrants shares to its provider for compute: counted, priced, attested, transferred, used in part."""

from datetime import date
from decimal import Decimal

from events.issuer import (
    IssuerMilestoneAttested,
    IssuerPriceCorrected,
    IssuerPriceObserved,
    IssuerPriceSourceNamed,
    IssuerProgrammeGrantAdded,
    IssuerProgrammeOpened,
    IssuerPurchasesStated,
    IssuerStakeholderAdded,
    IssuerWarrantExercised,
    IssuerWarrantIssued,
    IssuerWarrantPriced,
    IssuerWarrantReleased,
    IssuerWarrantTransferred,
    IssuerWarrantVested,
    IssuerWarrantVestingReversed,
)
from events.vesting import AttestedMilestone, LaterPrice, PriceAverage, Proportion, WarrantTranche
from tests.contracts.story.demand import QUILLWORK_ISSUER
from tests.contracts.story.identifiers import name
from tests.contracts.story.supply import LATTICE, NORTHFJORD, QUILLWORK, TIDEWATER, at
from tests.contracts.story.teller import Teller

_OF = {"issuer_id": QUILLWORK_ISSUER}
_PROGRAMME, _SOURCE = name("prg", "Northfjord's compute"), name("src", "Quillwork's exchange")
_WARRANT = name("wrt", "Northfjord's warrant for payments")
_PURCHASES = name("pur", "payments of December 2030")
_SIDES = {"customer_id": QUILLWORK, "vendor_id": NORTHFJORD}
_AFFILIATE = name("stk", "Northfjord's holding company")
_MEAN = PriceAverage(source_id=_SOURCE, days=30)


def tell_warrants(teller: Teller) -> None:
    """Tell the life of a warrant that vests by payments."""
    _tell_measures(teller)
    _tell_issue(teller)
    _tell_vesting(teller)
    _tell_use(teller)


def _tell_measures(teller: Teller) -> None:
    teller.tell(
        "2031-01-21T09:00",
        QUILLWORK,
        IssuerProgrammeOpened(
            **_OF,
            programme_id=_PROGRAMME,
            name="Compute of Northfjord",
            customer_ids=(QUILLWORK,),
            vendor_ids=(NORTHFJORD,),
            counts_outside=True,
        ),
        IssuerStakeholderAdded(**_OF, holder_id=_AFFILIATE, name="Northfjord Holding AS", kind="other"),
    )
    teller.tell(
        "2031-01-21T10:00",
        NORTHFJORD,
        IssuerProgrammeGrantAdded(
            **_OF, **_SIDES, programme_id=_PROGRAMME, grant_id=name("grt", "compute of winter 2030")
        ),
    )
    teller.tell(
        "2031-01-22T09:00",
        QUILLWORK,
        IssuerPriceSourceNamed(**_OF, source_id=_SOURCE, name="Exchange", recorder_id=LATTICE),
    )


def _tell_issue(teller: Teller) -> None:
    works = AttestedMilestone(name="works", description="Quillwork trains on it", attester_id=TIDEWATER)
    teller.tell(
        "2031-01-23T09:00",
        QUILLWORK,
        IssuerWarrantIssued(
            **_OF,
            warrant_id=_WARRANT,
            holder_id=NORTHFJORD,
            class_id="common",
            shares=3_000,
            exercise_price_usd=Decimal("1.20"),
            expires_at=at("2035-01-23T00:00"),
            settlement="either",
            tranches=(
                WarrantTranche(
                    shares=2_000,
                    proportion=Proportion(basis="paid", from_usd=Decimal("0.00"), to_usd=Decimal("200000.00")),
                    exercise_conditions=((works,),),
                ),
                WarrantTranche(
                    shares=1_000, later_price=LaterPrice(tranche=1, multiple=Decimal("0.9"), average=_MEAN, places=4)
                ),
            ),
            programme_id=_PROGRAMME,
            on_reduction="claw_back",
            transfer="affiliates",
            affiliate_ids=(_AFFILIATE,),
            fair_value=_MEAN,
        ),
        _vest(1, 1_000, "0.00", whole=True),
    )


def _vest(tranche: int, shares: int, usd: str, *, whole: bool = False) -> IssuerWarrantVested:
    return IssuerWarrantVested(
        **_OF,
        warrant_id=_WARRANT,
        holder_id=NORTHFJORD,
        tranche=tranche,
        shares=shares,
        is_whole=whole,
        on_day=date(2031, 1, 23),
        gpu_seconds=0,
        purchased_usd=Decimal(usd),
        paid_usd=Decimal(usd),
        price_usd_per_share=None,
    )


def _state(purchases_id: str, usd: str, replaces: str | None = None) -> IssuerPurchasesStated:
    return IssuerPurchasesStated(
        **_OF,
        **_SIDES,
        purchases_id=purchases_id,
        programme_id=_PROGRAMME,
        starts_on=date(2030, 12, 1),
        ends_on=date(2030, 12, 31),
        gpu_seconds=0,
        kilowatts=0,
        purchased_usd=Decimal(usd),
        paid_usd=Decimal(usd),
        document="statement of accounts, December 2030",
        excludes_market=True,
        replaces=replaces,
    )


def _tell_vesting(teller: Teller) -> None:
    names = {**_OF, "warrant_id": _WARRANT, "holder_id": NORTHFJORD}
    teller.tell("2031-01-24T09:00", NORTHFJORD, _state(_PURCHASES, "100000.00"), _vest(0, 1_000, "100000.00"))
    teller.tell(
        "2031-01-25T09:00",
        NORTHFJORD,
        _state(name("pur", "payments of December 2030, corrected"), "80000.00", _PURCHASES),
        IssuerWarrantVestingReversed(
            **names,
            tranche=0,
            shares=200,
            gpu_seconds=0,
            purchased_usd=Decimal("80000.00"),
            paid_usd=Decimal("80000.00"),
        ),
    )
    teller.tell(
        "2031-01-26T18:00",
        LATTICE,
        IssuerPriceObserved(
            **_OF, source_id=_SOURCE, day=date(2031, 1, 23), price_usd_per_share=Decimal("2.00"), volume=5_000
        ),
        IssuerWarrantPriced(
            **names,
            tranche=1,
            on_day=date(2031, 1, 23),
            average_usd="2/1",
            exercise_price_usd=Decimal("1.8000"),
        ),
    )
    teller.tell(
        "2031-01-27T09:00",
        TIDEWATER,
        IssuerMilestoneAttested(
            **_OF,
            attestation_id=name("att", "Quillwork trains"),
            warrant_id=_WARRANT,
            milestone="works",
            attester_id=TIDEWATER,
            document="report of the training run",
        ),
        IssuerWarrantReleased(**names, tranche=0),
    )


def _tell_use(teller: Teller) -> None:
    teller.tell(
        "2031-01-28T09:00",
        NORTHFJORD,
        IssuerWarrantExercised(
            **_OF,
            exercise_id=name("exr", "part of the priced tranche"),
            warrant_id=_WARRANT,
            holder_id=NORTHFJORD,
            class_id="common",
            shares=10,
            shares_surrendered=90,
            tranche=1,
            exercise_price_usd="9/5",
            fair_value_usd=Decimal(2),
            fair_value_source=f"mean of 30 days to 2031-01-23, {_SOURCE}",
        ),
    )
    teller.tell(
        "2031-01-29T09:00",
        NORTHFJORD,
        IssuerWarrantTransferred(
            **_OF,
            transfer_id=name("trf", "the warrant, to the holding company"),
            warrant_id=_WARRANT,
            holder_id=NORTHFJORD,
            holder_id_after=_AFFILIATE,
            shares=2_900,
        ),
    )
    teller.tell(
        "2031-01-29T10:00",
        LATTICE,
        IssuerPriceCorrected(
            **_OF,
            source_id=_SOURCE,
            day=date(2031, 1, 23),
            price_usd_per_share=Decimal("2.00"),
            volume=5_100,
            reason="a block trade was missing",
            recorder_id=LATTICE,
            used_by=(_WARRANT,),
        ),
    )

"""A company's rights in the story: promises, offers, a warrant that ends, preferred stock that converts, a split."""

from datetime import timedelta

from events import issuer
from events.vesting import AttestedMilestone, LaterPrice, PriceAverage, Proportion, WarrantTranche
from tests.projections.company import BRIDGE, FOUNDER
from tests.projections.market import PROVIDER, STARTUP, STRANGER
from tests.projections.story import BEGIN, DAY, Story, make_id, usd

BOUND = make_id("iss", 3)
HEIR = make_id("hol", 3)
WARRANTED = make_id("iss", 5)


def tell_rights(story: Story) -> None:
    """Tell promises, a cancelled option, offers, a warrant that ends, and preferred stock that converts."""
    common = {"issuer_id": BOUND, "class_id": "common"}
    kept, broken = make_id("prm", 1), make_id("prm", 2)
    story.tell(
        issuer.IssuerFormed(
            issuer_id=BOUND, party_id=make_id("pty", 77), legal_name="Bound Inc", jurisdiction="US", formed_on=DAY
        ),
        issuer.IssuerStockClassCreated(**common, kind="common", shares_authorised=10_000_000, first_refusal=True),
        issuer.IssuerStockIssued(
            **common, security_id=make_id("sec", 7), holder_id=FOUNDER, shares=900_000, price_usd_per_share=usd("0.01")
        ),
        issuer.IssuerStockPlanAdjusted(issuer_id=BOUND, shares_reserved=100_000),
        issuer.IssuerDilutionLimited(issuer_id=BOUND, dilution_max=usd("0.25"), valuation_usd=usd("5000000")),
        issuer.IssuerExposureRecorded(issuer_id=BOUND, subject_id=make_id("ord", 77), exposures=()),
    )
    story.tell(
        issuer.IssuerAuthorisedSharesAdjusted(**common, shares_authorised=12_000_000),
        issuer.IssuerOptionPromised(issuer_id=BOUND, promise_id=kept, holder_id=FOUNDER, shares=8_000),
        issuer.IssuerOptionPromised(issuer_id=BOUND, promise_id=broken, holder_id=FOUNDER, shares=4_000),
        issuer.IssuerOptionPromiseWithdrawn(issuer_id=BOUND, promise_id=broken, reason="mistaken"),
        issuer.IssuerOptionGranted(
            issuer_id=BOUND,
            option_id=make_id("opt", 8),
            holder_id=FOUNDER,
            shares=6_000,
            exercise_price_usd=usd("0.50"),
            promise_id=kept,
        ),
        issuer.IssuerOptionCancelled(
            issuer_id=BOUND,
            cancellation_id=make_id("can", 1),
            option_id=make_id("opt", 8),
            holder_id=FOUNDER,
            shares=2_000,
            kind="cancelled",
            reason="by agreement",
        ),
        issuer.IssuerOptionPromised(issuer_id=BOUND, promise_id=make_id("prm", 3), holder_id=FOUNDER, shares=1_000),
    )
    _tell_offers(story)
    _tell_warrant(story)
    _tell_customer_warrant(story)
    _tell_preferred(story)
    story.tell(
        issuer.IssuerStockSplit(issuer_id=BOUND, split_id=make_id("spl", 2), numerator=3, denominator=2),
        issuer.IssuerOptionTransferred(
            issuer_id=BOUND,
            transfer_id=make_id("trf", 11),
            option_id=make_id("opt", 8),
            holder_id=FOUNDER,
            holder_id_after=HEIR,
            shares=6_000,
        ),
    )


def _tell_warrant(story: Story) -> None:
    warrant = {"issuer_id": BOUND, "warrant_id": make_id("war", 9)}
    story.tell(
        issuer.IssuerWarrantIssued(
            **warrant,
            class_id="common",
            holder_id=PROVIDER,
            shares=500,
            exercise_price_usd=usd("0.50"),
            expires_at=BEGIN,
            settlement="cash",
        ),
        issuer.IssuerWarrantVested(
            **warrant,
            holder_id=PROVIDER,
            tranche=0,
            shares=500,
            is_whole=True,
            on_day=BEGIN.date(),
            gpu_seconds=0,
            purchased_usd=usd("0"),
            paid_usd=usd("0"),
            price_usd_per_share=None,
        ),
        issuer.IssuerWarrantCancelled(
            **warrant, cancellation_id=make_id("can", 9), holder_id=PROVIDER, shares=100, cause=make_id("ins", 9)
        ),
        issuer.IssuerWarrantExpired(**warrant, holder_id=PROVIDER, shares=400),
    )


_OF_WARRANT = {"issuer_id": WARRANTED, "warrant_id": make_id("war", 10)}
_PROGRAMME, _SOURCE = make_id("prg", 1), make_id("src", 1)
_SIDES = {"customer_id": STARTUP, "vendor_id": PROVIDER}
_PAID = {"gpu_seconds": 0, "purchased_usd": usd("400"), "paid_usd": usd("400")}


def _tell_customer_warrant(story: Story) -> None:
    story.tell(
        issuer.IssuerFormed(
            issuer_id=WARRANTED, party_id=make_id("pty", 78), legal_name="Bent Inc", jurisdiction="US", formed_on=DAY
        ),
        issuer.IssuerStockClassCreated(
            issuer_id=WARRANTED, class_id="common", kind="common", shares_authorised=10_000_000
        ),
        issuer.IssuerProgrammeOpened(
            issuer_id=WARRANTED,
            programme_id=_PROGRAMME,
            name="Compute",
            customer_ids=(STARTUP,),
            vendor_ids=(PROVIDER,),
            counts_outside=True,
        ),
        issuer.IssuerProgrammeGrantAdded(
            issuer_id=WARRANTED, programme_id=_PROGRAMME, grant_id=make_id("grt", 77), **_SIDES
        ),
        issuer.IssuerPriceSourceNamed(issuer_id=WARRANTED, source_id=_SOURCE, name="Exchange", recorder_id=STRANGER),
        _build_customer_warrant(),
    )
    _tell_vesting(story)


def _build_customer_warrant() -> issuer.IssuerWarrantIssued:
    works = AttestedMilestone(name="works", description="it trains", attester_id=STRANGER)
    ratable = Proportion(basis="paid", from_usd=usd("0"), to_usd=usd("600"))
    later = LaterPrice(tranche=1, multiple=usd("0.9"), average=PriceAverage(source_id=_SOURCE, days=30))
    return issuer.IssuerWarrantIssued(
        **_OF_WARRANT,
        class_id="common",
        holder_id=PROVIDER,
        shares=900,
        exercise_price_usd=usd("0.50"),
        expires_at=BEGIN + timedelta(days=900),
        settlement="cash",
        programme_id=_PROGRAMME,
        tranches=(
            WarrantTranche(shares=600, proportion=ratable, exercise_conditions=((works,),)),
            WarrantTranche(shares=300, later_price=later),
        ),
    )


def _tell_vesting(story: Story) -> None:
    first, second = ({**_OF_WARRANT, "holder_id": PROVIDER, "tranche": tranche} for tranche in (0, 1))
    vested = {"on_day": DAY, "price_usd_per_share": None, **_PAID}
    of_source = {"issuer_id": WARRANTED, "source_id": _SOURCE}
    story.tell(
        issuer.IssuerPurchasesStated(
            issuer_id=WARRANTED,
            purchases_id=make_id("pur", 1),
            programme_id=_PROGRAMME,
            **_SIDES,
            starts_on=DAY,
            ends_on=DAY,
            kilowatts=0,
            document="statement",
            excludes_market=True,
            **_PAID,
        ),
        issuer.IssuerWarrantVested(**first, shares=400, is_whole=False, **vested),
        issuer.IssuerWarrantVested(**second, shares=300, is_whole=True, **vested),
        issuer.IssuerWarrantVestingReversed(**first, shares=100, **_PAID),
        issuer.IssuerPriceObserved(**of_source, day=DAY, price_usd_per_share=usd("3"), volume=100),
        issuer.IssuerPriceCorrected(
            **of_source, day=DAY, price_usd_per_share=usd("3"), volume=120, reason="a trade", recorder_id=STRANGER
        ),
        issuer.IssuerWarrantPriced(**second, on_day=DAY, average_usd="3/1", exercise_price_usd=usd("2.70")),
        issuer.IssuerMilestoneAttested(
            **_OF_WARRANT,
            attestation_id=make_id("att", 1),
            milestone="works",
            attester_id=STRANGER,
            document="report",
        ),
        issuer.IssuerWarrantReleased(**first),
        issuer.IssuerWarrantTransferred(
            **_OF_WARRANT, transfer_id=make_id("trf", 10), holder_id=PROVIDER, holder_id_after=HEIR, shares=900
        ),
        issuer.IssuerWarrantExercised(
            **_OF_WARRANT,
            exercise_id=make_id("exr", 10),
            holder_id=HEIR,
            class_id="common",
            shares=200,
            tranche=0,
        ),
        issuer.IssuerStockSplit(issuer_id=WARRANTED, split_id=make_id("spl", 3), numerator=3, denominator=2),
    )


def _tell_preferred(story: Story) -> None:
    seed = {"issuer_id": BOUND, "class_id": "seed"}
    story.tell(
        issuer.IssuerStockClassCreated(
            **seed,
            kind="preferred",
            shares_authorised=10_000,
            price_per_share_usd=usd("1.00"),
            liquidation_multiple=usd("1"),
            price_protection="full_ratchet",
        ),
        issuer.IssuerStockIssued(
            **seed, security_id=make_id("sec", 8), holder_id=HEIR, shares=3_000, price_usd_per_share=usd("1.00")
        ),
        issuer.IssuerConversionPriceAdjusted(
            **seed, conversion_price_usd_before="1/1", conversion_price_usd="1/2", cause=BRIDGE
        ),
        issuer.IssuerStockConverted(
            **seed,
            conversion_id=make_id("cnv", 1),
            holder_id=HEIR,
            shares=1_000,
            class_id_after="common",
            shares_exact="2000/1",
            shares_after=2_000,
            reason="voluntary",
        ),
    )


def _tell_offers(story: Story) -> None:
    taken, kept, sold = (make_id("trf", number) for number in (2, 3, 4))
    shares = {"issuer_id": BOUND, "holder_id": FOUNDER, "class_id": "common", "shares": 100}
    for transfer_id in (taken, kept, sold):
        story.tell(
            issuer.IssuerStockOffered(
                **shares,
                transfer_id=transfer_id,
                holder_id_after=PROVIDER,
                price_usd_per_share=usd("0.50"),
                decide_until=BEGIN + timedelta(days=400),
            )
        )
    story.tell(
        issuer.IssuerFirstRefusalExercised(issuer_id=BOUND, transfer_id=taken, holder_id=HEIR),
        issuer.IssuerStockTransferred(**shares, transfer_id=taken, holder_id_after=HEIR),
        issuer.IssuerStockOfferWithdrawn(issuer_id=BOUND, transfer_id=kept, reason="keeps them"),
        issuer.IssuerFirstRefusalWaived(issuer_id=BOUND, transfer_id=sold),
        issuer.IssuerStockTransferred(**shares, transfer_id=sold, holder_id_after=PROVIDER),
    )

"""The startup's company in the story: founded, granted, financed; another one imported, split and sold."""

from datetime import timedelta

from events import instrument as ins
from events import issuer
from events.financing import (
    Allotment,
    Approval,
    Conversion,
    ConvertingInstrument,
    Investment,
    Payout,
    RoundPricing,
    RoundTerms,
    Waterfall,
)
from events.issuer_holders import HolderTerms, ProRataOffer
from tests.projections.market import FUND, ISSUER, PROVIDER, SAFE, STARTUP, STRANGER
from tests.projections.story import BEGIN, DAY, Story, make_id, usd

PAY_UNTIL = BEGIN + timedelta(days=60)
SOLD = make_id("iss", 2)
FOUNDER = make_id("hol", 1)
ROUND, BRIDGE, SALE = make_id("fin", 1), make_id("fin", 2), make_id("liq", 1)
REPLACED_SALE = make_id("liq", 3)
PAPER = Approval(document="board/2026-01.pdf")


def form(story: Story) -> None:
    """Found the company: 8,000,000 founder shares, a pool of 1,500,000, options, a warrant."""
    issuer_id = ISSUER
    formed = issuer.IssuerFormed(
        issuer_id=issuer_id, party_id=STARTUP, legal_name="Startup Inc", jurisdiction="US", formed_on=DAY
    )
    story.tell(formed, actor=STARTUP)
    for holder_id, name, kind in ((FOUNDER, "Founder", "founder"), (FUND, "Fund LP", "investor")):
        story.tell(issuer.IssuerStakeholderAdded(issuer_id=issuer_id, holder_id=holder_id, name=name, kind=kind))
    common = {"issuer_id": issuer_id, "class_id": "common"}
    story.tell(issuer.IssuerStockClassCreated(**common, kind="common", shares_authorised=20_000_000))
    story.tell(
        issuer.IssuerStockIssued(
            **common,
            security_id=make_id("sec", 1),
            holder_id=FOUNDER,
            shares=8_000_000,
            price_usd_per_share=usd("0.0001"),
        )
    )
    story.tell(issuer.IssuerStockPlanAdjusted(issuer_id=issuer_id, shares_reserved=1_500_000, approval=PAPER))
    terms = HolderTerms(pro_rata=(FUND,), depths={"common": "full"})
    story.tell(issuer.IssuerHolderTermsAgreed(issuer_id=issuer_id, terms=terms, approval=PAPER))
    story.tell(
        issuer.IssuerOptionGranted(
            issuer_id=issuer_id,
            option_id=make_id("opt", 1),
            holder_id=make_id("hol", 2),
            shares=100_000,
            exercise_price_usd=usd("0.25"),
        )
    )
    story.tell(
        issuer.IssuerOptionExercised(
            **common,
            exercise_id=make_id("exr", 1),
            option_id=make_id("opt", 1),
            holder_id=make_id("hol", 2),
            shares=40_000,
        )
    )
    story.tell(
        issuer.IssuerStockRepurchased(
            **common, repurchase_id=make_id("rep", 1), holder_id=FOUNDER, shares=100_000, price_usd_per_share=usd("0.1")
        )
    )
    story.tell(
        issuer.IssuerStockTransferred(
            **common, transfer_id=make_id("trf", 1), holder_id=FOUNDER, holder_id_after=FUND, shares=200_000
        )
    )
    _tell_warrant(story)


def _tell_warrant(story: Story) -> None:
    common = {"issuer_id": ISSUER, "class_id": "common"}
    warrant = {**common, "warrant_id": make_id("war", 1), "holder_id": PROVIDER}
    story.tell(
        issuer.IssuerWarrantIssued(
            **warrant,
            shares=50_000,
            exercise_price_usd=usd("1.50"),
            expires_at=BEGIN + timedelta(days=900),
            settlement="net",
        )
    )
    story.tell(
        issuer.IssuerWarrantExercised(**warrant, exercise_id=make_id("exr", 2), shares=10_000, shares_surrendered=5_000)
    )
    valued = {"price_usd_per_share": usd("0.30"), "method": "409A", "effective_on": DAY}
    story.tell(issuer.IssuerValuationRecorded(issuer_id=ISSUER, **valued))


def _open_rounds(story: Story, terms: RoundTerms) -> None:
    for financing_id, name in ((BRIDGE, "Bridge"), (ROUND, "Series A")):
        offers = (ProRataOffer(holder_id=FUND, amount_max_usd=usd("250000")),) if financing_id == BRIDGE else ()
        opened = issuer.IssuerFinancingOpened(
            issuer_id=ISSUER,
            financing_id=financing_id,
            name=name,
            terms=terms,
            pro_rata=offers,
            pro_rata_until=PAY_UNTIL if offers else None,
        )
        story.tell(opened, actor=STARTUP)
        if financing_id == BRIDGE:
            answer = {"issuer_id": ISSUER, "financing_id": BRIDGE, "holder_id": FUND}
            story.tell(issuer.IssuerProRataAnswered(**answer, amount_usd=usd("100000")))
            story.tell(issuer.IssuerFinancingAbandoned(issuer_id=ISSUER, financing_id=BRIDGE, reason="no lead"))


def finance(story: Story, instrument_id: str) -> None:
    """Open, price and close a priced round in which one instrument converts; abandon a bridge before."""
    terms = RoundTerms(
        class_id="series-a",
        pre_money_usd=usd("12000000"),
        investments=(Investment(holder_id=FUND, amount_usd=usd("3000000")),),
        pool_post_money=usd("0.1"),
        pool_timing="pre_money",
        pricing_convention="percent_ownership",
        capitalization_definition="yc_standard",
        share_rounding="floor",
        price_places=4,
        price_rounding="half_even",
        liquidation_multiple=usd("1"),
        seniority=1,
        participation="none",
    )
    _open_rounds(story, terms)
    priced = _pricing(instrument_id)
    story.tell(issuer.IssuerFinancingPriced(issuer_id=ISSUER, financing_id=ROUND, pricing=priced))
    series = {"issuer_id": ISSUER, "class_id": "series-a"}
    story.tell(
        issuer.IssuerStockClassCreated(
            **series,
            kind="preferred",
            shares_authorised=5_000_000,
            price_per_share_usd=usd("1.2000"),
            liquidation_multiple=usd("1"),
            seniority=1,
        ),
        issuer.IssuerStockPlanAdjusted(issuer_id=ISSUER, shares_reserved=1_600_000, cause=ROUND),
        _issue(2, 2_500_000, usd("1.2000"), ROUND),
        convert(instrument_id, FUND, 384),
        _issue(3, 384, usd("1.0000"), instrument_id),
        issuer.IssuerFinancingClosed(issuer_id=ISSUER, financing_id=ROUND, approval=PAPER),
        actor=STARTUP,
    )


def claw_back(story: Story, instrument_id: str) -> None:
    """Take principal back that became shares: they are cancelled but for one, which is owed and paid."""
    both = {"instrument_id": instrument_id, "issuer_id": ISSUER, "holder_id": FUND}
    payment = make_id("pay", 1)
    story.tell(
        ins.InstrumentPrincipalReversed(
            **both,
            tranche_id=make_id("trn", 1),
            principal_usd=usd("24.00"),
            reason="an audit",
            became="shares",
            reduction="cancel_shares",
            taken=ins.TakenShares(
                cause=ROUND,
                class_id="series-a",
                amount_exact="24/1",
                price_usd_per_share="1/1",
                shares_exact="24/1",
                shares_due=24,
                shares=23,
            ),
            debt_exact="1/1",
            debt_usd=usd("1.00"),
        ),
        issuer.IssuerStockRepurchased(
            issuer_id=ISSUER,
            repurchase_id=make_id("rep", 2),
            holder_id=FUND,
            class_id="series-a",
            shares=23,
            price_usd_per_share=usd("0"),
            cause=instrument_id,
        ),
    )
    story.tell(ins.InstrumentDebtPaid(**both, cause=payment, amount_usd=usd("0.40")), actor=FUND)


def _issue(number: int, shares: int, price: object, cause: str) -> issuer.IssuerStockIssued:
    return issuer.IssuerStockIssued(
        issuer_id=ISSUER,
        class_id="series-a",
        security_id=make_id("sec", number),
        holder_id=FUND,
        shares=shares,
        price_usd_per_share=price,
        cause=cause,
    )


def _pricing(instrument_id: str) -> RoundPricing:
    return RoundPricing(
        engine_version="1",
        capitalization_exact="9500000/1",
        instruments=(
            ConvertingInstrument(instrument_id=instrument_id, holder_id=FUND, principal_usd=usd("384.00"), terms=SAFE),
        ),
        price_usd_per_share=usd("1.2000"),
        price_exact="6/5",
        conversions=(
            Conversion(
                instrument_id=instrument_id,
                holder_id=FUND,
                branch="cap",
                amount_exact="384/1",
                price_usd_per_share="1/1",
                shares_exact="384/1",
                shares=384,
                alternatives={"round_price": "6/5"},
            ),
        ),
        allotments=(Allotment(holder_id=FUND, amount_usd=usd("3000000"), shares_exact="2500000/1", shares=2_500_000),),
        adjustments=(),
        forfeits=(),
        pool_increase_shares=100_000,
        pool_increase_exact="100000/1",
        post_money_shares=12_000_384,
        post_money_exact="12000384/1",
        certificate_json="{}",
    )


def sell(story: Story, instrument_id: str) -> None:
    """Import another company, split its stock two for one, sell it and pay everyone out."""
    common = {"issuer_id": SOLD, "class_id": "common"}
    option = {"option_id": make_id("opt", 9), "holder_id": make_id("hol", 9)}
    story.tell(
        issuer.IssuerImported(issuer_id=SOLD, source="other.ocf.zip", package_hash="ab" * 32),
        issuer.IssuerFormed(issuer_id=SOLD, party_id=STRANGER, legal_name="Sold Inc", jurisdiction="US", formed_on=DAY),
        issuer.IssuerStockClassCreated(**common, kind="common", shares_authorised=10_000_000),
        issuer.IssuerStockIssued(
            **common, security_id=make_id("sec", 9), holder_id=FOUNDER, shares=900_000, price_usd_per_share=usd("0.01")
        ),
        issuer.IssuerStockPlanAdjusted(issuer_id=SOLD, shares_reserved=100_000),
        issuer.IssuerOptionGranted(issuer_id=SOLD, **option, shares=30_000, exercise_price_usd=usd("0.50")),
    )
    story.tell(issuer.IssuerStockSplit(issuer_id=SOLD, split_id=make_id("spl", 1), numerator=3, denominator=2))
    payout = Payout(
        holder_id=FOUNDER,
        security="common",
        amount_exact="999808/1",
        amount_usd=usd("999808"),
        cash_usd=usd("999808"),
        as_converted=False,
    )
    safe = Payout(
        holder_id=FUND,
        security=instrument_id,
        amount_exact="192/1",
        amount_usd=usd("192"),
        cash_usd=usd("192"),
        as_converted=False,
    )
    waterfall = Waterfall(
        engine_version="1",
        proceeds_usd=usd("1000000"),
        price_per_common_share_exact="1/1",
        instruments=(
            ConvertingInstrument(instrument_id=instrument_id, holder_id=FUND, principal_usd=usd("192"), terms=SAFE),
        ),
        payouts=(payout, safe),
        certificate_json="{}",
    )
    declare_sales(story, waterfall)
    story.tell(
        ins.InstrumentRepaid(
            instrument_id=instrument_id,
            issuer_id=SOLD,
            holder_id=FUND,
            cause=SALE,
            principal_usd=usd("192"),
            amount_usd=usd("192"),
        ),
        issuer.IssuerDistributionPaid(issuer_id=SOLD, liquidity_id=SALE, amount_usd=usd("1000000")),
    )


def declare_sales(story: Story, waterfall: Waterfall) -> None:
    """Declare a sale that is withdrawn, one that is replaced, and the one that replaces it."""

    def declare(liquidity_id: str, replaces: str | None = None) -> issuer.IssuerLiquidityDeclared:
        terms = {"issuer_id": SOLD, "kind": "acquisition", "waterfall": waterfall, "pay_until": PAY_UNTIL}
        return issuer.IssuerLiquidityDeclared(liquidity_id=liquidity_id, replaces=replaces, **terms)

    former = make_id("liq", 2)
    story.tell(declare(former))
    story.tell(
        issuer.IssuerLiquidityWithdrawn(issuer_id=SOLD, liquidity_id=former, cause="agreed", reason="the buyer left")
    )
    story.tell(declare(REPLACED_SALE), declare(SALE, REPLACED_SALE))


def convert(instrument_id: str, holder_id: str, shares: int) -> ins.InstrumentConverted:
    """Return that an instrument's principal became shares in the round, at a dollar a share."""
    return ins.InstrumentConverted(
        instrument_id=instrument_id,
        issuer_id=ISSUER,
        holder_id=holder_id,
        cause=ROUND,
        principal_usd=usd(f"{shares}.00"),
        amount_exact=f"{shares}/1",
        branch="cap",
        price_usd_per_share="1/1",
        class_id="series-a",
        shares_exact=f"{shares}/1",
        shares=shares,
    )

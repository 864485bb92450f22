"""A warrant that vests by payments in a random life: measured, priced, attested, reduced and transferred."""

from datetime import date, timedelta
from decimal import Decimal

from events.vesting import AttestedMilestone, DateMilestone, LaterPrice, PriceAverage, Proportion, WarrantTranche
from marketplace.domain.equity.issuer import programme_commands, rights_commands
from tests.domain.issuer_samples import make_id

CUSTOMER, RECORDER, ENGINEER = (make_id("pty", number) for number in (91, 92, 93))


def play_customer_warrant(life):
    """Tell the whole life of one warrant, as far as the company allows it."""
    programme, source, warrant = life.number("prg"), life.number("src"), life.number("wrt")
    company = life.issuer.formed.party_id
    sides = {"customer_id": CUSTOMER, "vendor_id": company}
    life.act(
        programme_commands.OpenProgramme,
        programme_id=programme,
        name="Purchases",
        customer_ids=(CUSTOMER,),
        vendor_ids=(company,),
        counts_outside=True,
    )
    life.act(programme_commands.AddProgrammeGrant, programme_id=programme, grant_id=life.number("grt"), **sides)
    life.act(programme_commands.NamePriceSource, source_id=source, name="Exchange", recorder_id=RECORDER)
    holder, affiliate = life.pick(set(life.issuer.stakeholders)), life.pick(set(life.issuer.stakeholders))
    shares = 2 * life.shares(10**8)
    life.act(
        rights_commands.IssueWarrant,
        warrant_id=warrant,
        holder_id=holder,
        class_id=life.pick(set(life.issuer.classes)),
        shares=shares,
        exercise_price_usd=life.price(),
        expires_at=life.time + timedelta(days=4_000),
        settlement="cash",
        tranches=build_tranches(shares, source),
        programme_id=programme,
        on_reduction="claw_back",
        transfer="affiliates",
        affiliate_ids=(affiliate,),
        approval=life.paper(),
    )
    seen = {"source_id": source, "volume": 100, "recorder_id": RECORDER, "at": life.time}
    observed = life.time.date()
    life.act(programme_commands.ObservePrice, day=observed, price_usd_per_share=Decimal(4), **seen)
    first = life.number("pur")
    pay(life, programme, sides, 60, purchases_id=first)
    vest(life)
    pay(life, programme, sides, 20, purchases_id=life.number("pur"), replaces=first)
    vest(life)
    attested = {"attestation_id": life.number("att"), "warrant_id": warrant, "milestone": "works"}
    life.act(rights_commands.AttestMilestone, document="report", attester_id=ENGINEER, at=life.time, **attested)
    vest(life)
    again = {"source_id": source, "day": observed, "volume": 120, "reason": "a trade", "recorder_id": RECORDER}
    life.act(programme_commands.CorrectPrice, price_usd_per_share=Decimal(4), **again)
    moved = {"transfer_id": life.number("trf"), "warrant_id": warrant, "holder_id": holder}
    life.act(rights_commands.TransferWarrant, holder_id_after=affiliate, at=life.time, **moved)


def build_tranches(shares, source):
    works = AttestedMilestone(name="works", description="it trains", attester_id=ENGINEER)
    ratable = Proportion(basis="paid", from_usd=Decimal(0), to_usd=Decimal(100))
    later = LaterPrice(tranche=1, multiple=Decimal("0.9"), average=PriceAverage(source_id=source, days=30))
    day = DateMilestone(day=date(2025, 1, 1))
    return (
        WarrantTranche(shares=shares // 2, proportion=ratable, exercise_conditions=((works,),)),
        WarrantTranche(shares=shares // 2, conditions=((day,),), later_price=later),
    )


def pay(life, programme, sides, usd, **names):
    day = life.time.date() - timedelta(days=1)
    life.act(
        programme_commands.StatePurchases,
        programme_id=programme,
        starts_on=day,
        ends_on=day,
        gpu_seconds=0,
        kilowatts=0,
        purchased_usd=Decimal(usd),
        paid_usd=Decimal(usd),
        document="statement",
        excludes_market=True,
        at=life.time,
        **sides,
        **names,
    )


def vest(life):
    life.act(rights_commands.VestWarrants, delivered={}, at=life.time)

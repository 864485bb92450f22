"""First chapter: who trades, the hall that was a bitcoin mine, and what it sells."""

from datetime import UTC, date, datetime
from decimal import Decimal

from events.account import (
    AccountClosed,
    AccountDeposited,
    AccountHoldExpired,
    AccountHoldPlaced,
    AccountHoldReleased,
    AccountOpened,
    AccountWithdrawn,
)
from events.clock import ClockAdvanced
from events.lot import LotListed, LotPaused, LotRepriced, LotRescheduled, LotResumed, LotWithdrawn
from events.mandate import MandateAmended, MandateGranted, MandateRevoked, MandateTerms
from events.party import PartyCleared, PartyRegistered, PartySuspended
from events.pool import PoolCapacityOffered, PoolCapacityRecalled, PoolClosingAnnounced, PoolOpened
from events.pricelist import ListPrice, PricelistPublished
from events.service import STANDARD_SERVICE, CreditStep, ServiceTerms
from events.site import (
    PowerDraw,
    SiteConversionScheduled,
    SiteConversionSlipped,
    SiteDerated,
    SiteEnergised,
    SitePowerReserved,
    SiteRegistered,
)
from events.types import LotShare
from tests.contracts.story.identifiers import name
from tests.contracts.story.teller import Teller

LOT_SERVICE = ServiceTerms(
    availability_min=Decimal("0.95"),
    credits=(CreditStep(availability_below=Decimal("0.80"), credit=Decimal("0.50")),),
    consequence="roll_forward",
)
PLATFORM = name("pty", "platform")
LATTICE = name("pty", "Lattice Bio")
QUILLWORK = name("pty", "Quillwork Robotics")
NORTHFJORD = name("pty", "Northfjord Compute")
TIDEWATER = name("pty", "Tidewater Ventures")
HALL = name("sit", "Rjukan hall 2")
POOL = name("pol", "Rjukan H100")
SPARE_POOL = name("pol", "Rjukan H100 spare")
LOT = name("lot", "sixteen nodes")
SPARE_LOT = name("lot", "eight spare nodes")
_PILOT = name("mnd", "Tidewater pilot")
_PILOT_HOLD = name("hld", "Tidewater pilot")
_WITHDRAWN_LOT = name("lot", "eight early nodes")
MANDATE = name("mnd", "Tidewater compute fund")
MANDATE_HOLD = name("hld", "Tidewater compute fund")
LATTICE_CASH = name("acc", "Lattice Bio USD")
QUILLWORK_CASH = name("acc", "Quillwork Robotics USD")
NORTHFJORD_CASH = name("acc", "Northfjord Compute USD")
TIDEWATER_CASH = name("acc", "Tidewater Ventures USD")


def at(text: str) -> datetime:
    """Return an instant of the story, UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def tell_supply(teller: Teller) -> None:
    """Register and clear the parties, energise the site, list its lots, fund the accounts, grant the mandates."""
    _tell_parties(teller)
    _tell_site(teller)
    _tell_capacity(teller)
    _tell_money(teller)
    _tell_mandates(teller)
    _tell_list_prices(teller)
    _tell_closing(teller)


def _tell_closing(teller: Teller) -> None:
    closing = PoolClosingAnnounced(
        pool_id=SPARE_POOL,
        announced_at=at("2026-03-20T09:00"),
        closes_at=at("2027-03-01T00:00"),
        reason="the lease ends",
    )
    teller.tell("2026-03-20T09:00", NORTHFJORD, closing)


def _tell_list_prices(teller: Teller) -> None:
    row = ListPrice(
        gpu_class="H100_SXM",
        provider="RunPod",
        product="secure cloud",
        usd_per_gpu_hour=Decimal("3.49"),
        listed_on=date(2026, 2, 1),
        source="https://www.runpod.io/pricing",
    )
    published = PricelistPublished(pricelist_id=name("prl", "February"), name="list prices of February", prices=(row,))
    teller.tell("2026-02-02T09:00", "operator", published)


def _tell_parties(teller: Teller) -> None:
    teller.tell("2026-01-05T09:00", "operator", ClockAdvanced(clock_id=name("clk", "market"), offset_seconds=86_400))
    for party, legal_name, role, country, sector in (
        (LATTICE, "Lattice Bio, Inc.", "startup", "US", "biotech"),
        (NORTHFJORD, "Northfjord Compute AS", "provider", "NO", None),
        (TIDEWATER, "Tidewater Ventures LP", "fund", "US", None),
        (QUILLWORK, "Quillwork Robotics, Inc.", "startup", "US", "robotics"),
    ):
        teller.tell(
            "2026-01-05T09:05",
            party,
            PartyRegistered(party_id=party, name=legal_name, roles=(role,), jurisdiction=country, sector=sector),
        )
        teller.tell(
            "2026-01-06T10:00",
            PLATFORM,
            PartyCleared(party_id=party, checks=("sanctions", "beneficial owners")),
        )
    teller.tell(
        "2026-01-07T08:00",
        PLATFORM,
        PartySuspended(party_id=QUILLWORK, reason="registry extract older than 90 days"),
        PartyCleared(party_id=QUILLWORK, checks=("registry extract",)),
    )


def _tell_site(teller: Teller) -> None:
    teller.tell(
        "2026-01-08T12:00",
        NORTHFJORD,
        SiteRegistered(
            site_id=HALL,
            provider_id=NORTHFJORD,
            name="Rjukan hall 2",
            region="eu-north",
            jurisdiction="NO",
            status="converting",
            power_contracted_kw=12_000,
            power_energised_kw=0,
            power_usage_effectiveness=Decimal("1.12"),
            renewable_share=Decimal("0.98"),
        ),
        SiteConversionScheduled(site_id=HALL, former_use="bitcoin mining", ready_at=at("2026-02-16T00:00")),
    )
    teller.tell(
        "2026-02-10T07:30",
        NORTHFJORD,
        SiteConversionSlipped(
            site_id=HALL,
            ready_at_before=at("2026-02-16T00:00"),
            ready_at=at("2026-03-02T00:00"),
            reason="the second transformer arrives two weeks late",
        ),
    )
    teller.tell(
        "2026-03-02T06:00",
        NORTHFJORD,
        SiteEnergised(site_id=HALL, power_energised_kw=8_000, at=at("2026-03-02T00:00")),
    )
    teller.tell(
        "2026-03-03T06:00",
        NORTHFJORD,
        SiteDerated(
            site_id=HALL,
            power_energised_kw=6_500,
            at=at("2026-03-03T00:00"),
            reason="one cooling loop is flushed",
            reported_at=at("2026-03-03T06:00"),
        ),
    )


def _tell_capacity(teller: Teller) -> None:
    for pool, nodes in ((POOL, 32), (SPARE_POOL, 8)):
        teller.tell(
            "2026-02-11T09:00",
            NORTHFJORD,
            PoolOpened(
                pool_id=pool,
                provider_id=NORTHFJORD,
                site_id=HALL,
                region="eu-north",
                gpu_class="H100_SXM",
                interconnect="infiniband",
                gpus_per_node=8,
                nodes=nodes,
                power_per_node_kw=11,
                service=STANDARD_SERVICE,
            ),
        )
    start, end = at("2026-03-02T00:00"), at("2026-03-16T00:00")
    later_start, later_end = at("2026-03-09T00:00"), at("2026-03-23T00:00")
    for lot, pool, nodes in ((LOT, POOL, 16), (SPARE_LOT, SPARE_POOL, 8), (_WITHDRAWN_LOT, POOL, 8)):
        teller.tell(
            "2026-02-11T09:10",
            NORTHFJORD,
            LotListed(
                lot_id=lot,
                pool_id=pool,
                provider_id=NORTHFJORD,
                nodes=nodes,
                start=start,
                end=end,
                ask_usd_per_gpu_hour=Decimal("2.35"),
                nodes_min=1,
                duration_hours_min=24,
                mandate_ids=(MANDATE,),
                service=LOT_SERVICE if lot == LOT else None,
            ),
            PoolCapacityOffered(pool_id=pool, lot_id=lot, nodes=nodes, start=start, end=end),
        )
    teller.tell("2026-02-12T09:00", NORTHFJORD, LotRepriced(lot_id=LOT, ask_usd_per_gpu_hour=Decimal("2.20")))
    reason = "power checks need one more week"
    teller.tell(
        "2026-03-02T06:10",
        NORTHFJORD,
        LotRescheduled(lot_id=LOT, start=later_start, end=later_end, reason=reason),
        PoolCapacityOffered(pool_id=POOL, lot_id=LOT, nodes=16, start=later_start, end=later_end),
    )
    teller.tell("2026-03-03T06:05", NORTHFJORD, LotPaused(lot_id=LOT, reason="the site is derated"))
    teller.tell("2026-03-03T18:00", NORTHFJORD, LotResumed(lot_id=LOT))
    teller.tell(
        "2026-03-03T18:05",
        NORTHFJORD,
        LotWithdrawn(lot_id=_WITHDRAWN_LOT, reason="promised outside the market"),
        PoolCapacityRecalled(pool_id=POOL, lot_id=_WITHDRAWN_LOT),
    )


def drawn(pool_id: str, grant_id: str, *shares: LotShare) -> SitePowerReserved:
    """Return what the nodes that a pool of the hall reserves for a grant draw."""
    draws = tuple(PowerDraw(power_kw=11 * share.nodes, start=share.start, end=share.end) for share in shares)
    return SitePowerReserved(site_id=HALL, pool_id=pool_id, grant_id=grant_id, draws=draws)


def _tell_mandates(teller: Teller) -> None:
    for mandate, hold in ((MANDATE, MANDATE_HOLD), (_PILOT, _PILOT_HOLD)):
        teller.tell(
            "2026-02-25T15:00",
            TIDEWATER,
            MandateGranted(
                mandate_id=mandate, holder_id=TIDEWATER, funding="cash", terms=_mandate_terms("250000.00", "50000.00")
            ),
            _budget_set_aside(hold, "250000.00", mandate),
        )
    teller.tell(
        "2026-02-26T11:00",
        TIDEWATER,
        MandateRevoked(mandate_id=_PILOT, reason="its budget moves to the other mandate"),
        AccountHoldReleased(
            account_id=TIDEWATER_CASH,
            party_id=TIDEWATER,
            hold_id=_PILOT_HOLD,
            amount_usd=Decimal("250000.00"),
            reason="mandate revoked",
        ),
    )
    teller.tell(
        "2026-02-26T11:05",
        TIDEWATER,
        MandateAmended(mandate_id=MANDATE, terms=_mandate_terms("500000.00", "100000.00")),
        _budget_set_aside(MANDATE_HOLD, "250000.00", MANDATE),
    )


def _mandate_terms(budget: str, issuer_max: str) -> MandateTerms:
    return MandateTerms(
        instrument_kinds=("safe",),
        equity_credit=Decimal("0.80"),
        budget_usd=Decimal(budget),
        issuer_usd_max=Decimal(issuer_max),
        valuation_cap_usd_min=Decimal("5000000.00"),
        valuation_cap_usd_max=Decimal("40000000.00"),
        sectors=("biotech", "robotics"),
        expires_at=at("2027-01-01T00:00"),
    )


def _budget_set_aside(hold: str, amount: str, mandate: str) -> AccountHoldPlaced:
    return AccountHoldPlaced(
        account_id=TIDEWATER_CASH, party_id=TIDEWATER, hold_id=hold, amount_usd=Decimal(amount), purpose=mandate
    )


def _tell_money(teller: Teller) -> None:
    for party, account, deposit in (
        (LATTICE, LATTICE_CASH, "50000.00"),
        (TIDEWATER, TIDEWATER_CASH, "750000.00"),
        (QUILLWORK, QUILLWORK_CASH, "60000.00"),
        (NORTHFJORD, NORTHFJORD_CASH, None),
    ):
        teller.tell("2026-02-23T09:00", party, AccountOpened(account_id=account, party_id=party, unit="USD"))
        if deposit is not None:
            reference = f"wire 2026-02-24 {account[-6:]}"
            teller.tell(
                "2026-02-24T14:00",
                PLATFORM,
                AccountDeposited(
                    account_id=account,
                    party_id=party,
                    amount_usd=Decimal(deposit),
                    reference=reference,
                    booked_at=at("2026-02-24T06:00"),
                ),
            )
    teller.tell(
        "2026-02-25T10:00",
        LATTICE,
        AccountWithdrawn(
            account_id=LATTICE_CASH, party_id=LATTICE, amount_usd=Decimal("5000.00"), reference="payout 2026-02-25"
        ),
    )
    _tell_a_hold_that_expires(teller)


def _tell_a_hold_that_expires(teller: Teller) -> None:
    """Hold money for the provider's help with the set-up, which it never asks for; close an account nobody uses."""
    hold, spare, over = name("hld", "set-up"), name("acc", "Quillwork spare USD"), at("2026-02-27T09:00")
    held = {"account_id": QUILLWORK_CASH, "party_id": QUILLWORK, "hold_id": hold, "amount_usd": Decimal("1500.00")}
    teller.tell("2026-02-25T09:00", QUILLWORK, AccountHoldPlaced(**held, purpose=NORTHFJORD_CASH, expires_at=over))
    teller.tell("2026-02-27T09:00", "timer", AccountHoldExpired(**held, at=over))
    teller.tell("2026-02-23T09:30", QUILLWORK, AccountOpened(account_id=spare, party_id=QUILLWORK, unit="USD"))
    teller.tell(
        "2026-02-23T10:00", QUILLWORK, AccountClosed(account_id=spare, party_id=QUILLWORK, reason="opened twice")
    )

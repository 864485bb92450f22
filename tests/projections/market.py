"""The market that the projections' tests look at: three organisations, one pool, orders that win and lose."""

from datetime import date, timedelta
from decimal import Decimal

from events import (
    account,
    auction,
    clock,
    command,
    grant,
    issuer,
    lot,
    mandate,
    order,
    party,
    pool,
    site,
    statement,
    usage,
)
from events import instrument as ins
from events.draw import DrawTerms, PriceSource
from events.types import LotShare, Reason, SafeTerms
from tests.projections.story import BEGIN, HOUR, Story, make_id, usd

STARTUP, PROVIDER, FUND, STRANGER = (make_id("pty", number) for number in (1, 2, 3, 4))
SITE, POOL, POOL_B = make_id("sit", 1), make_id("pol", 1), make_id("pol", 2)
LOT, LOT_B = make_id("lot", 1), make_id("lot", 2)
MANDATE, ISSUER = make_id("mnd", 1), make_id("iss", 1)
CASH, PAID, FUNDS = make_id("acc", 1), make_id("acc", 2), make_id("acc", 3)
AUCTION = make_id("auc", 1)
SAFE = SafeTerms(conversion_timing="post_money", valuation_cap_usd=usd("10000000"), service_consequence="credit")
START = BEGIN + timedelta(days=2)
END = START + timedelta(days=300)
TERMS = order.OrderTerms(
    nodes=2,
    duration_hours=24,
    start_earliest=START,
    start_latest=START,
    offers=(
        order.ClassOffer(gpu_class="H100_SXM", cash_usd_per_gpu_hour=usd("2.00"), equity_usd_per_gpu_hour=usd("1.00")),
    ),
    mandate_ids=(MANDATE,),
    instrument=SAFE,
    standing=True,
)
MANDATE_TERMS = mandate.MandateTerms(
    instrument_kinds=("safe",), equity_credit=usd("0.5"), budget_usd=usd("100000"), issuer_usd_max=usd("50000")
)
GPU_SECONDS = 2 * 8 * 24 * 3600
CHARGES = statement.Charges(
    gpu_seconds=GPU_SECONDS,
    provider_usd=usd("960.00"),
    cash_usd=usd("768.00"),
    holder_usd=usd("192.00"),
    principal_usd=usd("384.00"),
)


def tell_parties(story: Story) -> None:
    roles = ((STARTUP, "startup"), (PROVIDER, "provider"), (FUND, "fund"), (STRANGER, "startup"))
    for party_id, role in roles:
        registered = party.PartyRegistered(
            party_id=party_id, name=f"{role} Inc", roles=(role,), jurisdiction="US", sector="ai"
        )
        story.tell(registered, actor=party_id)
        story.tell(party.PartyCleared(party_id=party_id, checks=("sanctions",)))
    story.tell(party.PartySuspended(party_id=STRANGER, reason="papers expired"))
    story.tell(party.PartyGroupServed(party_id=STARTUP, group="either", order_id=make_id("ord", 1)))
    for account_id, party_id in ((CASH, STARTUP), (PAID, PROVIDER), (FUNDS, FUND)):
        story.tell(account.AccountOpened(account_id=account_id, party_id=party_id, unit="USD"))
    for account_id, party_id in ((CASH, STARTUP), (FUNDS, FUND)):
        deposited = account.AccountDeposited(
            account_id=account_id, party_id=party_id, amount_usd=usd("100000000"), reference="wire-1"
        )
        story.tell(deposited)
    story.tell(account.AccountWithdrawn(account_id=CASH, party_id=STARTUP, amount_usd=usd("0.01"), reference="out-1"))


def tell_supply(story: Story) -> None:
    story.tell(
        site.SiteRegistered(
            site_id=SITE,
            provider_id=PROVIDER,
            name="Old mine",
            region="us-east",
            jurisdiction="US",
            status="planned",
            power_contracted_kw=5000,
            power_energised_kw=0,
            power_usage_effectiveness=usd("1.25"),
            renewable_share=usd("0.4"),
        ),
        site.SiteConversionScheduled(site_id=SITE, former_use="bitcoin mining", ready_at=BEGIN + 24 * HOUR),
        actor=PROVIDER,
    )
    slipped = {"ready_at_before": BEGIN + 24 * HOUR, "ready_at": START, "reason": "transformer late"}
    story.tell(site.SiteConversionSlipped(site_id=SITE, **slipped))
    story.tell(site.SiteEnergised(site_id=SITE, power_energised_kw=4000, at=START))
    story.tell(site.SiteDerated(site_id=SITE, power_energised_kw=3500, at=START, reason="heat"))
    drawn = {"site_id": SITE, "pool_id": POOL, "grant_id": make_id("grt", 1)}
    draw = site.PowerDraw(power_kw=44, start=START, end=START + 24 * HOUR)
    story.tell(site.SitePowerReserved(**drawn, draws=(draw,)), site.SitePowerReleased(**drawn))
    for pool_id in (POOL, POOL_B):
        story.tell(
            pool.PoolOpened(
                pool_id=pool_id,
                provider_id=PROVIDER,
                site_id=SITE,
                region="us-east",
                gpu_class="H100_SXM",
                interconnect="infiniband",
                gpus_per_node=8,
                nodes=64,
                power_per_node_kw=11,
            ),
            actor=PROVIDER,
        )
    _tell_mandate(story)
    for lot_id, pool_id in ((LOT, POOL), (LOT_B, POOL_B)):
        _tell_lot(story, lot_id, pool_id)


def _tell_lot(story: Story, lot_id: str, pool_id: str) -> None:
    story.tell(
        lot.LotListed(
            lot_id=lot_id,
            pool_id=pool_id,
            provider_id=PROVIDER,
            nodes=64,
            start=START,
            end=END,
            ask_usd_per_gpu_hour=usd("2.10"),
            mandate_ids=(MANDATE,),
        ),
        pool.PoolCapacityOffered(pool_id=pool_id, lot_id=lot_id, nodes=64, start=START, end=END),
        actor=PROVIDER,
    )
    story.tell(lot.LotRepriced(lot_id=lot_id, ask_usd_per_gpu_hour=usd("1.95")))
    story.tell(lot.LotRescheduled(lot_id=lot_id, start=START, end=END, reason="site late"))
    story.tell(lot.LotPaused(lot_id=lot_id, reason="audit"))
    story.tell(lot.LotResumed(lot_id=lot_id))


def _tell_mandate(story: Story) -> None:
    granted = mandate.MandateGranted(mandate_id=MANDATE, holder_id=FUND, funding="cash", terms=MANDATE_TERMS)
    story.tell(granted, actor=FUND)
    story.tell(mandate.MandateAmended(mandate_id=MANDATE, terms=MANDATE_TERMS), actor=FUND)


def place_order(story: Story, number: int, startup_id: str = STARTUP) -> int:
    order_id, hold_id = make_id("ord", number), make_id("hld", number)
    budget = order.BudgetHold(mandate_id=MANDATE, holder_id=FUND, equity_credit=usd("0.5"), amount_usd=usd("192.00"))
    placed = order.OrderPlaced(
        order_id=order_id,
        startup_id=startup_id,
        issuer_id=ISSUER,
        account_id=CASH,
        hold_id=hold_id,
        terms=TERMS,
        cash_hold_usd=usd("768.00"),
        budget_holds=(budget,),
    )
    return story.tell(
        placed,
        account.AccountHoldPlaced(
            account_id=CASH, party_id=STARTUP, hold_id=hold_id, amount_usd=usd("800.00"), purpose=order_id
        ),
        mandate.MandateBudgetHeld(
            mandate_id=MANDATE, hold_id=hold_id, order_id=order_id, issuer_id=ISSUER, amount_usd=usd("200.00")
        ),
        actor=startup_id,
    )


def lose_order(story: Story, number: int, *, again: bool) -> None:
    reason = Reason(code="outbid", text="Others offered more.", facts={"price_to_win": "3.10"})
    lost = order.LostMatch(
        provider_id=PROVIDER, pool_id=POOL, gpu_seconds=3_600, price_usd=Decimal(2), cause="nodes_failed"
    )
    story.tell(
        order.OrderUnmatched(
            order_id=make_id("ord", number),
            auction_id=AUCTION,
            reasons=(reason,),
            price_to_win_usd_per_gpu_hour=usd("3.10"),
            open_again=again,
            lost=None if again else lost,
        )
    )


DRAW = DrawTerms(
    start=START,
    end=START + 24 * HOUR,
    gpu_class="H100_SXM",
    price_usd_per_gpu_hour="5/2",
    cash_usd_per_gpu_hour="2/1",
    principal_usd_per_gpu_hour="1/1",
    acceptance_hours=168,
    source=PriceSource(kind="auction", id=AUCTION),
)


def _sign(number: int, grant_id: str) -> tuple[ins.InstrumentIssued, issuer.IssuerInstrumentSigned]:
    signed = {"instrument_id": make_id("ins", number), "issuer_id": ISSUER, "holder_id": FUND}
    terms = {"terms": SAFE, "commitment_usd": usd("384.00")}
    return (
        ins.InstrumentIssued(**signed, **terms, funding="drawdown", grant_id=grant_id, mandate_id=MANDATE, draw=DRAW),
        issuer.IssuerInstrumentSigned(**signed, **terms),
    )


def issue_grant(story: Story, number: int) -> None:
    """Match one order: order, pool, grant, account, mandate and instrument in one command."""
    order_id, grant_id, hold_id = make_id("ord", number), make_id("grt", number), make_id("hld", number)
    span = {"start": START, "end": START + 24 * HOUR}
    lots = (LotShare(lot_id=LOT, nodes=2, **span),)
    equity = grant.EquityPart(
        mandate_id=MANDATE,
        holder_id=FUND,
        holder_account_id=FUNDS,
        instrument_id=make_id("ins", number),
        principal_share="2/5",
        equity_credit=usd("0.5"),
        principal_commitment_usd=usd("384.00"),
        budget_commitment_usd=usd("192.00"),
    )
    issued = grant.GrantIssued(
        grant_id=grant_id,
        order_id=order_id,
        auction_id=AUCTION,
        startup_id=STARTUP,
        provider_id=PROVIDER,
        pool_id=POOL,
        gpu_class="H100_SXM",
        nodes=2,
        gpus_per_node=8,
        **span,
        lots=lots,
        price_usd_per_gpu_hour="5/2",
        cash_share="4/5",
        startup_account_id=CASH,
        provider_account_id=PAID,
        hold_id=hold_id,
        cash_commitment_usd=usd("768.00"),
        equity=equity,
    )
    held = {"mandate_id": MANDATE, "hold_id": hold_id}
    cash = {"account_id": CASH, "party_id": STARTUP, "hold_id": hold_id}
    story.tell(
        order.OrderMatched(order_id=order_id, auction_id=AUCTION, grant_id=grant_id),
        pool.PoolCapacityReserved(pool_id=POOL, grant_id=grant_id, nodes=2, **span, lots=lots),
        issued,
        account.AccountHoldReleased(**cash, amount_usd=usd("32.00"), reason="cleared lower"),
        mandate.MandateBudgetCaptured(**held, grant_id=grant_id, amount_usd=usd("192.00")),
        mandate.MandateBudgetReleased(**held, amount_usd=usd("8.00"), reason="cleared lower"),
        *_sign(number, grant_id),
        actor="auctioneer",
    )


def report_usage(story: Story, number: int, hours: int = 24) -> None:
    """Report a grant's life hour by hour."""
    grant_id = make_id("grt", number)
    for hour in range(hours):
        story.tell(
            usage.UsageReported(
                usage_id=make_id("usg", number),
                grant_id=grant_id,
                source="dcgm",
                readings=(make_reading(hour),),
            ),
            actor=PROVIDER,
        )


def make_reading(hour: int, nodes: int = 2) -> usage.Reading:
    return usage.Reading(
        reading_id=f"h{hour}",
        start=START + hour * HOUR,
        end=START + (hour + 1) * HOUR,
        nodes=nodes,
        gpu_seconds=nodes * 8 * 3600,
        evidence=usage.Evidence(gpu_utilisation=Decimal("0.9"), energy_kwh=Decimal("15.5")),
    )


def settle(story: Story, number: int) -> None:
    """Issue and accept one statement, pay it and accrue its principal."""
    statement_id, grant_id = make_id("stm", number), make_id("grt", number)
    hold_id, instrument_id = make_id("hld", number), make_id("ins", number)
    story.tell(
        statement.StatementIssued(
            statement_id=statement_id,
            grant_id=grant_id,
            startup_id=STARTUP,
            provider_id=PROVIDER,
            period_start=START,
            period_end=START + 24 * HOUR,
            charges=CHARGES,
            accept_until=START + 72 * HOUR,
        )
    )
    payer = {"payer_account_id": CASH, "cause": statement_id}
    story.tell(
        statement.StatementAccepted(statement_id=statement_id, grant_id=grant_id, charges=CHARGES, by="acceptance"),
        account.AccountHoldCaptured(
            account_id=CASH,
            party_id=STARTUP,
            hold_id=hold_id,
            amount_usd=usd("768.00"),
            payee_account_id=PAID,
            cause=statement_id,
        ),
        account.AccountDebited(
            account_id=FUNDS, party_id=FUND, amount_usd=usd("192.00"), payee_account_id=PAID, cause=statement_id
        ),
        account.AccountCredited(account_id=PAID, party_id=PROVIDER, amount_usd=usd("960.00"), **payer),
        ins.InstrumentPrincipalAccrued(
            instrument_id=instrument_id,
            tranche_id=make_id("trn", number),
            issuer_id=ISSUER,
            holder_id=FUND,
            principal_usd=usd("384.00"),
            statement_id=statement_id,
            terms_version=1,
            interest_from=date(2026, 3, 1),
        ),
        actor=STARTUP,
    )


def open_auction(story: Story) -> None:
    story.tell(clock.ClockAdvanced(clock_id=make_id("clk", 1), offset_seconds=60))
    story.tell(
        command.CommandRecorded(
            command_id=make_id("cmd", 1), aggregate="lot", aggregate_id=make_id("lot", 1), version=1
        )
    )
    opened = auction.AuctionOpened(
        auction_id=AUCTION, locks_at=BEGIN + HOUR, horizon_start=START, period_hours=1, periods=336, seed=7
    )
    story.tell(opened)


def tell_a_hold_that_expires(story: Story) -> None:
    """Hold money for the provider, which never asks for it; and close an account that nobody uses."""
    held = {"account_id": CASH, "party_id": STARTUP, "hold_id": make_id("hld", 90), "amount_usd": usd("3.00")}
    story.tell(account.AccountHoldPlaced(**held, purpose=PAID, expires_at=story.now + HOUR))
    story.tell(account.AccountHoldExpired(**held, at=story.now + HOUR))
    spare = make_id("acc", 9)
    story.tell(account.AccountOpened(account_id=spare, party_id=STRANGER, unit="USD"))
    story.tell(account.AccountClosed(account_id=spare, party_id=STRANGER, reason="opened twice"))


def tell_approvals(story: Story) -> None:
    """Limit an account, and ask for two withdrawals above the limit: one is approved, one refused."""
    mine = {"account_id": CASH, "party_id": STARTUP}
    story.tell(account.AccountLimitSet(**mine, limit_usd=usd("5.00")))
    story.tell(account.AccountLimitUsed(**mine, amount_usd=usd("1.00"), at=story.now))
    reserved = {"amount_usd": usd("1.00"), "until": story.now + 72 * HOUR, "cause": make_id("stm", 1)}
    story.tell(account.AccountReserved(**mine, **reserved))
    story.tell(account.AccountCreditLimited(**mine, provider_id=PROVIDER, limit_usd=usd("9.00")))
    story.tell(
        account.AccountCreditCommitted(**mine, lender_id=PROVIDER, hold_id=make_id("hld", 1), amount_usd=usd("0.00"))
    )
    for number in (1, 2):
        approval_id, until = make_id("apv", number), story.now + 72 * HOUR
        act = account.WithdrawalAct(amount_usd=usd("6.00"), reference=f"large {number}")
        asked = {**mine, "approval_id": approval_id}
        requested = account.AccountApprovalRequested(**asked, act=act, person="p1", hold_id=None, approve_until=until)
        story.tell(requested)
        if number == 1:
            story.tell(account.AccountApprovalGiven(**asked, person="p2"))
        else:
            story.tell(account.AccountApprovalEnded(**asked, outcome="refused", reason="no", person="p2"))


def credit_nothing(story: Story, number: int) -> None:
    """Adjust a settled period whose charge a dispute had brought below what is metered now.

    Only its service credit is greater now.
    """
    nothing = statement.Charges(
        gpu_seconds=0, provider_usd=usd("0.00"), cash_usd=usd("0.00"), holder_usd=usd("0.00"), principal_usd=usd("0.00")
    )
    more = statement.ServiceCredit(
        provider_usd=usd("-2.00"), cash_usd=usd("-2.00"), holder_usd=usd("0.00"), principal_usd=usd("0.00")
    )
    change = statement.Adjustment(
        statement_id=make_id("stm", number), gpu_seconds_before=GPU_SECONDS, gpu_seconds_after=GPU_SECONDS - 8
    )
    story.tell(
        statement.StatementCredited(
            statement_id=make_id("stm", 90 + number),
            grant_id=make_id("grt", number),
            startup_id=STARTUP,
            provider_id=PROVIDER,
            period_start=START,
            period_end=START + 24 * HOUR,
            charges=nothing,
            adjustment=change,
            service_credit=more,
        )
    )

"""Valid ids, terms, commands and events, varied by keyword.

`build.place_order(order_id=…)` is the default command with that member changed; an unknown keyword is an error.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple, TypeVar
from uuid import UUID

import msgspec

from events.draw import DrawTerms, PriceSource
from events.grant import EquityPart, GrantIssued, ResalePart
from events.lot import LotListed
from events.mandate import MandateTerms
from events.order import BudgetHold, ClassOffer, OrderTerms
from events.pool import PoolOpened
from events.service import CreditStep, ServiceTerms
from events.site import SiteRegistered
from events.statement import Charges, StatementIssued
from events.types import LotShare, SafeTerms
from marketplace.core.decider import Decider
from marketplace.core.ids import render_id
from marketplace.domain import party
from marketplace.domain.billing import account_commands, statement
from marketplace.domain.delivery import grant_commands
from marketplace.domain.metering import usage_commands
from marketplace.domain.supply import lot, pool_commands, site
from marketplace.domain.trading import auction, mandate, order
from tests.support.spec import Given

T = TypeVar("T", bound=msgspec.Struct)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
NAIVE = datetime(2026, 3, 1)  # noqa: DTZ001 - what a careless client sends
NAN, INFINITY = Decimal("NaN"), Decimal("Infinity")


class Row(NamedTuple):
    """One row of a table of refusals: after these events this command is refused with this code."""

    code: str
    given: tuple
    command: object
    pointer: str | None = None


def check(decider: Decider, row: Row) -> None:
    refusal = Given(decider, *row.given).when(row.command).refused(row.code, row.pointer)
    assert len(refusal.message) > len(row.code), "a refusal says what happened in a sentence"


def usd(text: str | int) -> Decimal:
    return Decimal(text)


def id_of(prefix: str, number: int = 1) -> str:
    """Return an id under a prefix; ids of greater numbers sort later."""
    return render_id(prefix, UUID(int=(number << 80) | (7 << 76) | (2 << 62) | number))


def hour(number: float) -> datetime:
    return NOW + timedelta(hours=number)


def builder(default: T) -> Callable[..., T]:
    def build(**changes: object) -> T:
        return msgspec.structs.replace(default, **changes)

    return build


STARTUP, PROVIDER, FUND = (id_of("pty", number) for number in (1, 2, 3))
SITE, POOL, LOT, MANDATE, ORDER, AUCTION = (id_of(prefix) for prefix in ("sit", "pol", "lot", "mnd", "ord", "auc"))
GRANT, USAGE, STATEMENT, ISSUER, INSTRUMENT = (id_of(prefix) for prefix in ("grt", "usg", "stm", "iss", "ins"))
STARTUP_ACCOUNT, PROVIDER_ACCOUNT, FUND_ACCOUNT = (id_of("acc", number) for number in (1, 2, 3))
HOLD, QUOTE, COMMAND = id_of("hld"), id_of("quo"), id_of("cmd")

register_party = builder(
    party.RegisterParty(party_id=STARTUP, name="Acme Models", roles=("startup",), jurisdiction="US", sector="biotech")
)
site_registered = builder(
    SiteRegistered(
        site_id=SITE,
        provider_id=PROVIDER,
        name="Plains 1",
        region="us-central",
        jurisdiction="US",
        status="planned",
        power_contracted_kw=1_000,
        power_energised_kw=0,
        power_usage_effectiveness=usd("1.25"),
        renewable_share=usd("0.4"),
    )
)


def register_site(**changes: object) -> site.RegisterSite:
    return site.RegisterSite(registered=site_registered(**changes))


service_terms = builder(
    ServiceTerms(
        availability_min=usd("0.95"),
        credits=(
            CreditStep(availability_below=usd("0.95"), credit=usd("0.10")),
            CreditStep(availability_below=usd("0.80"), credit=usd("0.30")),
        ),
    )
)
draw = builder(
    DrawTerms(
        start=hour(0),
        end=hour(100),
        gpu_class="H100_SXM",
        price_usd_per_gpu_hour="5/2",
        cash_usd_per_gpu_hour="5/4",
        principal_usd_per_gpu_hour="3/2",
        acceptance_hours=168,
        source=PriceSource(kind="auction", id=AUCTION),
    )
)
pool_opened = builder(
    PoolOpened(
        pool_id=POOL,
        provider_id=PROVIDER,
        site_id=SITE,
        region="us-central",
        gpu_class="H100_SXM",
        interconnect="infiniband",
        gpus_per_node=8,
        nodes=10,
        power_per_node_kw=11,
    )
)


def open_pool(**changes: object) -> pool_commands.OpenPool:
    return pool_commands.OpenPool(opened=pool_opened(**changes))


offer = builder(pool_commands.OfferCapacity(pool_id=POOL, lot_id=LOT, nodes=6, start=hour(0), end=hour(100)))
share = builder(LotShare(lot_id=LOT, nodes=4, start=hour(10), end=hour(20)))
resell_capacity = builder(
    pool_commands.ResellCapacity(
        pool_id=POOL, grant_id=id_of("grt", 2), lot_id=id_of("lot", 3), nodes=1, start=hour(12), end=hour(14)
    )
)
hold_capacity = builder(
    pool_commands.HoldCapacity(
        pool_id=POOL, grant_id=id_of("grt", 2), lot_id=id_of("lot", 3), nodes=1, start=hour(12), end=hour(14)
    )
)
reserve = builder(
    pool_commands.ReserveCapacity(pool_id=POOL, grant_id=GRANT, nodes=4, start=hour(10), end=hour(20), lots=(share(),))
)
release = builder(pool_commands.ReleaseCapacity(pool_id=POOL, grant_id=GRANT, at=hour(15)))
fail_nodes = builder(pool_commands.FailNodes(pool_id=POOL, incident_id="INC-1", nodes=2, at=hour(0)))
restore_nodes = builder(pool_commands.RestoreNodes(pool_id=POOL, incident_id="INC-1", at=hour(5)))
lot_listed = builder(
    LotListed(
        lot_id=LOT,
        pool_id=POOL,
        provider_id=PROVIDER,
        nodes=6,
        start=hour(0),
        end=hour(100),
        ask_usd_per_gpu_hour=usd("1.90"),
        nodes_min=1,
        duration_hours_min=4,
        mandate_ids=(MANDATE,),
    )
)


def list_lot(**changes: object) -> lot.ListLot:
    return lot.ListLot(listed=lot_listed(**changes))


mandate_terms = builder(
    MandateTerms(
        instrument_kinds=("safe",),
        equity_credit=usd("0.5"),
        budget_usd=usd(1_000),
        issuer_usd_max=usd(600),
        valuation_cap_usd_min=usd(5_000_000),
        valuation_cap_usd_max=usd(50_000_000),
        sectors=("biotech", "robotics"),
        expires_at=hour(1_000),
    )
)
grant_mandate = builder(mandate.GrantMandate(mandate_id=MANDATE, holder_id=FUND, funding="cash", terms=mandate_terms()))
safe = builder(
    SafeTerms(
        conversion_timing="post_money",
        valuation_cap_usd=usd(20_000_000),
        discount=usd("0.2"),
        service_consequence="credit",
    )
)
hold_budget = builder(
    mandate.HoldBudget(
        mandate_id=MANDATE,
        hold_id=HOLD,
        order_id=ORDER,
        issuer_id=ISSUER,
        instrument=safe(),
        sector="biotech",
        amount_usd=usd(400),
        at=NOW,
    )
)
capture_budget = builder(mandate.CaptureBudget(mandate_id=MANDATE, hold_id=HOLD, grant_id=GRANT, amount_usd=usd(300)))
release_budget = builder(mandate.ReleaseBudget(mandate_id=MANDATE, hold_id=HOLD, keep_usd=usd(0), reason="not matched"))
open_account = builder(account_commands.OpenAccount(account_id=STARTUP_ACCOUNT, party_id=STARTUP))
deposit = builder(account_commands.Deposit(account_id=STARTUP_ACCOUNT, amount_usd=usd(100), reference="wire 1"))
withdraw = builder(account_commands.Withdraw(account_id=STARTUP_ACCOUNT, amount_usd=usd(30), reference="wire 2"))
place_hold = builder(
    account_commands.PlaceHold(account_id=STARTUP_ACCOUNT, hold_id=HOLD, amount_usd=usd(60), purpose=ORDER)
)
capture_hold = builder(
    account_commands.CaptureHold(
        account_id=STARTUP_ACCOUNT,
        hold_id=HOLD,
        amount_usd=usd(25),
        payee_account_id=PROVIDER_ACCOUNT,
        cause=STATEMENT,
    )
)
adjust_hold = builder(
    account_commands.AdjustHold(account_id=STARTUP_ACCOUNT, hold_id=HOLD, amount_usd=usd(0), reason="cancelled")
)
expire_hold = builder(account_commands.ExpireHold(account_id=STARTUP_ACCOUNT, hold_id=HOLD, at=hour(5)))
close_account = builder(account_commands.CloseAccount(account_id=STARTUP_ACCOUNT, reason="wound up"))
debit = builder(
    account_commands.Debit(
        account_id=STARTUP_ACCOUNT, amount_usd=usd(40), payee_account_id=PROVIDER_ACCOUNT, cause=INSTRUMENT
    )
)
credit = builder(
    account_commands.Credit(
        account_id=STARTUP_ACCOUNT, amount_usd=usd(7), payer_account_id=FUND_ACCOUNT, cause=INSTRUMENT
    )
)
class_offer = builder(
    ClassOffer(gpu_class="H100_SXM", cash_usd_per_gpu_hour=usd("1.20"), equity_usd_per_gpu_hour=usd("1.60"))
)
order_terms = builder(
    OrderTerms(
        nodes=2,
        gpus_per_node=8,
        duration_hours=10,
        start_earliest=hour(10),
        start_latest=hour(20),
        offers=(class_offer(),),
        mandate_ids=(MANDATE,),
        instrument=safe(),
    )
)
budget_hold = builder(
    BudgetHold(mandate_id=MANDATE, holder_id=FUND, equity_credit=usd("0.5"), amount_usd=usd("128.00"))
)
place_order = builder(
    order.PlaceOrder(
        order_id=ORDER,
        startup_id=STARTUP,
        issuer_id=ISSUER,
        account_id=STARTUP_ACCOUNT,
        hold_id=HOLD,
        terms=order_terms(),
        cash_hold_usd=usd("192.00"),
        budget_holds=(budget_hold(),),
        at=NOW,
    )
)
open_auction = builder(
    auction.OpenAuction(auction_id=AUCTION, locks_at=hour(1), horizon_start=hour(2), period_hours=1, periods=48, seed=7)
)
equity_part = builder(
    EquityPart(
        mandate_id=MANDATE,
        holder_id=FUND,
        holder_account_id=FUND_ACCOUNT,
        instrument_id=INSTRUMENT,
        principal_share="4/5",
        equity_credit=usd("0.5"),
        principal_commitment_usd=usd("256.00"),
        budget_commitment_usd=usd("128.00"),
    )
)
grant_issued = builder(
    GrantIssued(
        grant_id=GRANT,
        order_id=ORDER,
        auction_id=AUCTION,
        startup_id=STARTUP,
        provider_id=PROVIDER,
        pool_id=POOL,
        gpu_class="H100_SXM",
        nodes=2,
        gpus_per_node=8,
        start=hour(10),
        end=hour(20),
        lots=(share(nodes=2),),
        price_usd_per_gpu_hour="2/1",
        cash_share="3/5",
        startup_account_id=STARTUP_ACCOUNT,
        provider_account_id=PROVIDER_ACCOUNT,
        hold_id=HOLD,
        cash_commitment_usd=usd("192.00"),
        equity=equity_part(),
    )
)
resale_part = builder(
    ResalePart(
        grant_id=id_of("grt", 7),
        lot_id=id_of("lot", 7),
        seller_id=id_of("pty", 7),
        seller_account_id=id_of("acc", 7),
        hold_id=id_of("hld", 7),
        owed_usd_per_gpu_hour="2/1",
        commitment_usd=usd(0),
    )
)
issue_grant = builder(grant_commands.IssueGrant(issued=grant_issued()))
measurement = builder(usage_commands.Measurement(reading_id="r1", start=hour(10), end=hour(11), nodes=2))
metered = builder(usage_commands.Metered(start=hour(10), end=hour(20), nodes=2, gpus_per_node=8))
report_usage = builder(
    usage_commands.ReportUsage(
        usage_id=USAGE,
        grant_id=GRANT,
        source="/meters/1",
        measurements=(measurement(),),
        metered=metered(),
        at=hour(12),
    )
)
charges = builder(
    Charges(
        gpu_seconds=57_600,
        provider_usd=usd("32.00"),
        cash_usd=usd("19.20"),
        holder_usd=usd("12.80"),
        principal_usd=usd("25.60"),
    )
)
statement_issued = builder(
    StatementIssued(
        statement_id=STATEMENT,
        grant_id=GRANT,
        startup_id=STARTUP,
        provider_id=PROVIDER,
        period_start=hour(10),
        period_end=hour(11),
        charges=charges(),
        accept_until=hour(35),
    )
)


def issue_statement(**changes: object) -> statement.IssueStatement:
    return statement.IssueStatement(issued=statement_issued(**changes))

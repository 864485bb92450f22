"""A period below its promise: part of the charges is given back, and the grant goes on for an hour."""

from events import account, grant, pool, statement
from events.service import ServiceResult
from events.types import LotShare
from tests.projections.market import CASH, LOT_B, PAID, POOL_B, PROVIDER, START, STARTUP
from tests.projections.story import HOUR, Story, make_id, usd

GPU_SECONDS = 2 * 8 * 24 * 3600
LOST = 2 * 8 * 3600


def tell_service(story: Story, number: int) -> None:
    """Give a dollar and twenty back for an hour that was lost, and add the hour to the end of the grant."""
    ids = {"statement_id": make_id("stm", number), "grant_id": make_id("grt", number)}
    result = ServiceResult(
        gpu_seconds_promised=GPU_SECONDS,
        gpu_seconds_unavailable=LOST,
        gpu_seconds_delivered=GPU_SECONDS - LOST,
        availability="23/24",
        availability_min=usd("0.99"),
        met=False,
        credit=usd("0.1"),
        consequence="credit",
    )
    back = statement.ServiceCredit(
        provider_usd=usd("1.20"), cash_usd=usd("1.20"), holder_usd=usd("0.00"), principal_usd=usd("0.00")
    )
    paid = {"amount_usd": usd("1.20"), "cause": make_id("stm", number)}
    story.tell(
        statement.StatementServiceCredited(
            **ids, startup_id=STARTUP, provider_id=PROVIDER, service=result, credit=back
        ),
        account.AccountDebited(account_id=PAID, party_id=PROVIDER, payee_account_id=CASH, **paid),
        account.AccountCredited(account_id=CASH, party_id=STARTUP, payer_account_id=PAID, **paid),
    )
    span = {"start": START + 24 * HOUR, "end": START + 25 * HOUR}
    lots = (LotShare(lot_id=LOT_B, nodes=2, **span),)
    story.tell(
        pool.PoolCapacityReserved(pool_id=POOL_B, grant_id=ids["grant_id"], nodes=2, **span, lots=lots),
        grant.GrantExtended(**ids, **span, lots=lots, gpu_seconds=LOST),
    )

"""A node of Northfjord's spare pool, awarded to Quillwork for cash."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from events.grant import GrantIssued
from events.order import OrderMatched
from events.pool import PoolCapacityReserved
from events.types import LotShare
from tests.contracts.story.supply import (
    LOT_SERVICE,
    NORTHFJORD,
    NORTHFJORD_CASH,
    QUILLWORK,
    QUILLWORK_CASH,
    SPARE_POOL,
    drawn,
)
from tests.contracts.story.teller import Teller


def award_spare(
    teller: Teller,
    when: str,
    ids: tuple[str, str, str, str],
    start: datetime,
    end: datetime,
    cash_usd: str,
    **more: Any,
) -> None:
    """Match an order on a lot at 2 USD; `ids` are those of lot, order, hold and grant."""
    lot_id, order_id, hold_id, grant_id = ids
    shares = (LotShare(lot_id=lot_id, nodes=1, start=start, end=end),)
    issued = GrantIssued(
        grant_id=grant_id,
        order_id=order_id,
        startup_id=QUILLWORK,
        provider_id=NORTHFJORD,
        pool_id=SPARE_POOL,
        gpu_class="H100_SXM",
        nodes=1,
        gpus_per_node=8,
        start=start,
        end=end,
        lots=shares,
        price_usd_per_gpu_hour="2/1",
        cash_share="1/1",
        startup_account_id=QUILLWORK_CASH,
        provider_account_id=NORTHFJORD_CASH,
        hold_id=hold_id,
        cash_commitment_usd=Decimal(cash_usd),
        service=LOT_SERVICE,
        **more,
    )
    reserved = PoolCapacityReserved(pool_id=SPARE_POOL, grant_id=grant_id, nodes=1, start=start, end=end, lots=shares)
    matched = OrderMatched(order_id=order_id, grant_id=grant_id)
    teller.tell(when, "auctioneer", matched, reserved, drawn(SPARE_POOL, grant_id, *shares), issued)

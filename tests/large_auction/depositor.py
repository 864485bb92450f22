"""Deposits, one after the other, and prints how many seconds each took: ``python -m …depositor URL PARTY REPLICAS``."""

import asyncio
import sys
import time
from decimal import Decimal

from marketplace.application.billing import accounts
from marketplace.core.ids import rename_id
from marketplace.log.jetstream import JetStreamLog
from tests.support.market.market import Market

PAUSE_SECONDS = 0.02


async def main(url: str, party: str, replicas: str) -> None:
    log = await JetStreamLog.open(url, replicas=int(replicas))
    market = Market(log, "depositor")
    while True:
        began = time.monotonic()
        context = market.context()
        await accounts.deposit(
            market.handler, context, rename_id("acc", party), amount_usd=Decimal(1), reference=context.command_id
        )
        print(time.monotonic() - began, flush=True)  # noqa: T201
        await asyncio.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

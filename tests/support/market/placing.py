"""Places orders as fast as it can and says each one that was acknowledged: a process for tests to kill.

``python -m tests.support.market.placing URL STARTUP_ID COUNT AT_ONCE``
"""

import asyncio
import os
import sys
from datetime import timedelta

import msgspec

from marketplace.log.jetstream import JetStreamLog
from tests.support.market.market import Market


async def place_all(url, startup_id, count, at_once):
    log = await JetStreamLog.open(url)
    market = Market(log)
    market.clock.at += timedelta(microseconds=os.getpid())
    numbers = iter(range(count))

    async def place():
        for number in numbers:
            receipt = await market.place(startup_id, key=f"k{number}")
            sys.stdout.buffer.write(msgspec.json.encode({"number": number, "receipt": receipt}) + b"\n")
            sys.stdout.buffer.flush()

    await asyncio.gather(*(place() for _ in range(at_once)))
    await log.close()


if __name__ == "__main__":
    asyncio.run(place_all(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))

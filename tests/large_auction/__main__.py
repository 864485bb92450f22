"""Run it: ``python -m tests.large_auction --orders 10000 --servers 1``; `just large-auction` does.

Prints what one auction of so many orders took in time and memory, and how long other commands waited.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

import msgspec

from marketplace.embedded.nats import embedded_nats
from tests.large_auction.market import Sizes, run_auction


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=10_000)
    parser.add_argument("--pools", type=int, default=10)
    parser.add_argument("--servers", type=int, choices=(1, 3), default=1)
    parser.add_argument("--seconds-max", type=float, default=1_800.0, help="for each phase")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        async with embedded_nats(Path(folder), servers=asked.servers) as servers:
            figures = await run_auction(servers, Sizes(asked.orders, asked.pools), asked.seconds_max)
    print(msgspec.json.format(msgspec.json.encode(figures)).decode())  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())

"""A process that quotes, on the market of these tests."""

import asyncio
from contextlib import asynccontextmanager

from marketplace.application.trading.orders import preview_order
from marketplace.execution.follower import Follower
from marketplace.runtime.quotes.quoting import Quoter


class Desk:
    """One process that quotes: it begins with what the log holds then, and follows it."""

    def __init__(self, market):
        self.market = market
        self.scores = {}
        self.follower = Follower(market.handler)
        self.quoter = Quoter(market.handler, self.follower, self.load_open, self.load_scores)

    async def load_open(self):
        found = {"order": {}, "lot": {}, "auction": {}}
        async for page in self.market.log.read():
            for recorded in page:
                _, aggregate, id = recorded.subject.split(".")  # noqa: A001
                found.get(aggregate, {})[id] = None
        return tuple(found["order"]), tuple(found["lot"]), tuple(found["auction"])

    async def load_scores(self):
        return self.scores

    async def ask(self, startup, **terms):
        """Return the quote on everything that is in the log by now."""
        position = (await self.market.log.health()).last_sequence
        return await self.ask_from(position, startup, **terms)

    async def ask_from(self, position, startup, order_id=None, **terms):
        """Return the quote on a book that has seen the log up to a position or further."""
        context, terms = self.market.context(startup), self.market.terms(**terms)
        order = await preview_order(self.market.handler, context, startup_id=startup, terms=terms, order_id=order_id)
        return await self.quoter.quote(order, min_sequence=position)


@asynccontextmanager
async def open_desk(market):
    desk = Desk(market)
    await desk.follower.start()
    task = asyncio.create_task(desk.follower.run())
    try:
        yield desk
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

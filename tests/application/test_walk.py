"""A market walked at random, by two processes and two workers at once; every invariant holds after every decision."""

import asyncio
import random
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import pytest

from marketplace.application.billing import accounts, statements
from marketplace.application.delivery import grants
from marketplace.application.equity import instruments
from marketplace.application.metering import usage
from marketplace.application.supply import inventory
from marketplace.application.trading import mandates, orders
from marketplace.application.trading.resale import resell_grant
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.metering.usage_commands import Measurement
from marketplace.log.memory import MemoryLog
from tests.support.market.invariants import Ledger, check_log
from tests.support.market.market import SAFE, Market
from tests.support.market.walk_lines import dispute, share, share_settled

STEPS = 250
FINISH_SECONDS_MAX = 300  # so that a market that hangs fails; how fast it ends is not measured here
OFTEN = ("do_list", "do_place", "do_auction", "do_pass_time", "do_report", "do_resell", "do_buy")


class Walk:
    """Does one random thing after another; what the market refuses is counted and forgotten.

    Attributes:
        done: How often each thing was done.
        refused: How often each code was the answer.
    """

    def __init__(self, seed, log):
        self.random = random.Random(seed)
        self.market = Market(log)
        self.processes = [self.market, self.market.process("two")]
        self.ledger = Ledger()
        self.position = 0
        self.done = {}
        self.refused = {}

    async def build(self):
        market = self.market
        self.provider = await market.party("Provider", "provider")
        self.fund = await market.party("Fund", "fund", "provider", usd=300_000)
        self.startups = [await market.party("Startup", "startup", usd=20_000, sector="robotics") for _ in range(3)]
        for startup in self.startups:
            await market.issuer(startup)
        self.mandates = [
            await market.mandate(self.fund, budget=40_000, credit="0.5"),
            await market.mandate(self.provider, "own_capacity", budget=40_000, credit="1"),
        ]
        self.pools = [(await market.pool(owner, nodes=6))[1] for owner in (self.provider, self.fund)]
        self.incidents = 0

    async def follow(self):
        """Take what the log has more than at the last step."""
        async for page in self.market.log.read(self.position):
            for recorded in page:
                self.ledger.take(recorded)
                self.position = recorded.sequence

    def pick(self, aggregate, *statuses):
        states = sorted(self.ledger.states[aggregate].items())
        chosen = [(name, state) for name, state in states if not statuses or state.status in statuses]
        return self.random.choice(chosen) if chosen else None

    async def step(self):
        await self.follow()
        names = [name for name in dir(self) if name.startswith("do_")]
        name = self.random.choice([*names, *OFTEN, *OFTEN])
        process = self.random.choice(self.processes)
        try:
            await getattr(self, name)(process)
            self.done[name] = self.done.get(name, 0) + 1
        except Refusal as refusal:
            self.refused[refusal.code] = self.refused.get(refusal.code, 0) + 1

    async def do_list(self, market):
        pool = self.random.choice(self.pools)
        owner = self.provider if pool == self.pools[0] else self.fund
        start = max((self.market.clock.now() - market.day(0)).days, 0) + 1
        mandate_ids = tuple(self.random.sample(self.mandates, self.random.randint(0, 2)))
        ask, nodes = self.random.choice(["0.5", "1", "2"]), self.random.randint(1, 4)
        further = ((1, "2.5"),) if nodes > 1 and self.random.random() < 0.3 else ()
        terms = {"start": start, "end": start + 40, "mandate_ids": mandate_ids, "further": further}
        await market.lot(owner, pool, ask=ask, nodes=nodes, **terms)

    async def do_withdraw(self, market):
        if found := self.pick("lot", "listed"):
            lot, state = found
            await inventory.withdraw_lot(market.handler, market.context(state.listed.provider_id), lot, reason="sold")

    async def do_place(self, market):
        await market.place(self.random.choice(self.startups), **self.draw_terms())

    async def do_promise(self, market):
        """Let the fund promise to buy what is left."""
        terms = self.draw_terms() | {
            "equity": "0",
            "mandate_ids": (),
            "cash": self.random.choice(["0.6", "1.2", "2.6"]),
        }
        await market.place(self.fund, **terms, nodes_min=1, backstop=True)

    async def do_resell(self, market):
        if found := self.pick("grant", "issued", "active"):
            grant, state = found
            now, issued = market.clock.now(), state.issued
            days = [day for day in range((state.end - issued.start).days) if issued.start + timedelta(days=day) >= now]
            if not days:
                return
            first = self.random.choice(days)
            last = self.random.randint(first + 1, days[-1] + 1)
            await resell_grant(
                market.handler,
                market.context(issued.startup_id),
                grant,
                nodes=self.random.randint(1, issued.nodes),
                start=issued.start + timedelta(days=first),
                end=issued.start + timedelta(days=last),
                ask_usd_per_gpu_hour=Decimal(self.random.choice(["0.5", "1", "2.4"])),
                mandate_ids=tuple(self.random.sample(self.mandates, self.random.randint(0, 1))),
            )

    async def do_buy(self, market):
        """Want what a startup sells on, for as long as it does, and call for orders."""
        now, begin = market.clock.now(), market.day(0)
        lots = sorted(self.ledger.states["lot"].items())
        lots = [state for _, state in lots if state.listed.grant_id and state.status == "listed" and state.start > now]
        if not lots:
            return
        lot = self.random.choice(lots)
        first, days = (lot.start - begin).days, (lot.end - lot.start).days
        buyer = self.random.choice([*self.startups, self.fund])
        more = {"backstop": True} if buyer == self.fund else {}
        await market.place(buyer, cash="3", nodes=1, days=days, earliest=first, latest=first, **more)
        today = (now - begin) / timedelta(days=1)
        await market.auction(locks_at=today + 0.1, horizon=int(today + 0.1) + 1, periods=60)

    async def do_place_many(self, _):
        startup = self.random.choice(self.startups)
        terms = [self.draw_terms() for _ in range(6)]
        placed = (self.random.choice(self.processes).place(startup, **each) for each in terms)
        for answer in await asyncio.gather(*placed, return_exceptions=True):
            if isinstance(answer, Exception):
                raise answer

    def draw_terms(self):
        today = max((self.market.clock.now() - self.market.day(0)).days, 0) + 1
        equity = self.random.choice(["0", "1", "2.5"])
        mandate_ids = tuple(self.random.sample(self.mandates, self.random.randint(1, 2))) if equity != "0" else ()
        cash = self.random.choice(["0", "1.5", "3"] if equity != "0" else ["0.7", "1.5", "3"])
        return {
            "cash": cash,
            "equity": equity,
            "mandate_ids": mandate_ids,
            "nodes": self.random.randint(1, 3),
            "days": self.random.randint(1, 9),
            "earliest": today,
            "latest": today + self.random.randint(1, 12),
            "standing": self.random.random() < 0.7,
        }

    async def do_cancel(self, market):
        if found := self.pick("order", "open", "locked"):
            order, state = found
            await market.cancel(state.placed.startup_id, order)

    async def do_amend(self, market):
        if found := self.pick("order", "open"):
            order, state = found
            terms = market.terms(**self.draw_terms())
            await orders.amend_order(market.handler, market.context(state.placed.startup_id), order, terms=terms)

    async def do_auction(self, market):
        today = max((self.market.clock.now() - market.day(0)).days, 0)
        await market.auction(locks_at=today + 0.5 * (1 + self.random.randint(1, 2)), horizon=today + 2, periods=30)

    async def do_pass_time(self, _):
        self.market.clock.at += timedelta(hours=self.random.choice([6, 12, 12, 24, 24 * 3]))
        await asyncio.sleep(0.06)

    async def do_report(self, market):
        if found := self.pick("grant", "active"):
            grant, state = found
            day = self.random.randrange((state.end - state.issued.start).days + 1)
            start = state.issued.start + timedelta(days=day)
            reading = Measurement(
                reading_id=f"day-{day}",
                start=start,
                end=start + timedelta(days=1),
                nodes=self.random.randint(1, state.issued.nodes),
            )
            await usage.report_usage(
                market.handler,
                market.context(state.issued.provider_id),
                grant,
                source="dcgm",
                measurements=(reading,),
            )

    async def do_terminate(self, market):
        if self.random.random() < 0.4 and (found := self.pick("grant", "issued", "active")):
            grant, _ = found
            context, at = market.context(), self.market.clock.now()
            by = self.random.choice(["provider", "startup"])
            await grants.terminate_grant(market.handler, context, grant, at=at, reason="fire", by=by)

    async def do_judge(self, market):
        if found := self.pick("statement", "issued"):
            statement, state = found
            context = market.context(state.issued.startup_id)
            if self.random.random() < 0.5:
                await statements.accept_statement(market.handler, context, statement)
            else:
                await dispute(market, context, statement, state)

    async def do_resolve(self, market):
        if found := self.pick("statement", "disputed"):
            statement, state = found
            settled = share(state, self.random.choice([Decimal("0.5"), 1]))
            provider = market.context(state.issued.provider_id)
            await statements.resolve_statement(market.handler, provider, statement, **settled, reason="conceded")

    async def do_fail_nodes(self, market):
        self.incidents += 1
        await inventory.fail_nodes(
            market.handler,
            market.context(),
            self.random.choice(self.pools),
            incident_id=f"inc_{self.incidents}",
            nodes=self.random.randint(1, 3),
            at=self.market.clock.now(),
        )

    async def do_restore_nodes(self, market):
        pool = self.random.choice(self.pools)
        open_incidents = sorted(self.ledger.states["pool"][pool].incidents)
        if open_incidents:
            incident = self.random.choice(open_incidents)
            at = self.market.clock.now() + timedelta(seconds=1)
            await inventory.restore_nodes(market.handler, market.context(), pool, incident_id=incident, at=at)

    async def do_move_money(self, market):
        account = rename_id("acc", self.random.choice([*self.startups, self.fund]))
        amount, reference = Decimal(self.random.randint(1, 900_000)) / 100, f"wire-{market.name}-{market.count}"
        move = self.random.choice([accounts.deposit, accounts.withdraw])
        await move(market.handler, market.context(), account, amount_usd=amount, reference=reference)

    async def do_invest(self, market):
        startup = self.random.choice(self.startups)
        await instruments.invest(
            market.handler,
            market.context(startup),
            startup_id=startup,
            mandate_id=self.mandates[0],
            amount_usd=Decimal(self.random.randint(1, 400_000)) / 100,
            terms=SAFE,
        )

    async def do_amend_mandate(self, market):
        mandate, state = self.pick("mandate")
        budget = state.used_usd + self.random.randint(1_000, 60_000)
        terms = (await self.market.state("mandate", mandate)).terms
        changed = {name: getattr(terms, name) for name in terms.__struct_fields__}
        terms = type(terms)(
            **{
                **changed,
                "budget_usd": Decimal(budget),
                "issuer_usd_max": Decimal(budget),
                "direct_budget_usd": Decimal(budget),
            }
        )
        await mandates.amend_mandate(market.handler, market.context(state.granted.holder_id), mandate, terms=terms)

    async def finish(self):
        """Let time run until all that was awarded is settled; meters go on, so that a slow machine has usage too."""
        async with asyncio.timeout(FINISH_SECONDS_MAX):
            while True:
                await self.follow()
                await self.concede()
                for _ in range(4):
                    with suppress(Refusal):
                        await self.do_report(self.market)
                if not self.list_unsettled():
                    return
                self.market.clock.at += timedelta(days=4)
                await asyncio.sleep(0.12)

    async def concede(self):
        """End every dispute with what nobody disputed and is paid, or nothing."""
        for statement, state in self.ledger.states["statement"].items():
            if state.status == "disputed":
                provider = self.market.context(state.issued.provider_id)
                with suppress(Refusal):
                    await statements.resolve_statement(
                        self.market.handler, provider, statement, **share_settled(state), reason="nobody cares"
                    )

    def list_unsettled(self):
        """Return grants whose money is not settled or still held, and orders that are neither awarded nor over."""
        states = self.ledger.states
        running = [
            grant_id for grant_id, grant in states["grant"].items() if grant.status not in {"completed", "terminated"}
        ]
        waiting = [
            grant_id
            for grant_id, grant in states["grant"].items()
            for period in list_periods(grant)
            if getattr(states["statement"].get(period.statement_id), "status", None) != "accepted"
        ]
        holding = [
            grant_id
            for grant_id, grant in states["grant"].items()
            if states["account"][grant.issued.startup_account_id].holds[grant.issued.hold_id].left_usd
        ]
        return (
            running
            + waiting
            + holding
            + [order_id for order_id, order in states["order"].items() if order.status in {"open", "locked"}]
        )


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_happens_the_sums_hold_and_everything_ends_settled(seed):
    walk = Walk(seed, MemoryLog())
    await walk.build()
    async with walk.market.worker(), walk.market.worker():
        for _ in range(STEPS):
            await walk.step()
        await walk.finish()
    ledger = await check_log(walk.market.log)
    assert walk.list_unsettled() == []
    assert sum(account.held_usd for account in ledger.states["account"].values()) == sum(
        hold.left_usd
        for mandate_id, mandate in ledger.states["mandate"].items()
        if mandate.granted.funding == "cash"
        for hold in [ledger.states["account"][rename_id("acc", walk.fund)].holds[rename_id("hld", mandate_id)]]
    )
    assert sum(walk.done.values()) > STEPS / 2
    assert ledger.states["grant"]
    assert any(statement.charges.gpu_seconds for statement in ledger.states["statement"].values())

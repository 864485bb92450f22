"""A market walked at random, with bonds, held quotes, early ends, late sites and no-cancel phases.

Every invariant holds after every decision, and the auditor, which shares no code with the market, finds nothing.
"""

from datetime import timedelta
from decimal import Decimal

import pytest

from marketplace.application.billing import accounts, bonds
from marketplace.application.delivery import grants
from marketplace.application.delivery.rescheduling import reschedule_grant
from marketplace.application.supply import inventory, sites
from marketplace.application.trading.quotes import hold_quote, release_quote, take_quote
from marketplace.core.ids import rename_id
from marketplace.domain.delivery.periods import list_periods
from marketplace.log.memory import MemoryLog
from tests.application.test_walk import Walk
from tests.support.market.auditing import audit_log
from tests.support.market.desk import open_desk
from tests.support.market.invariants import check_log

STEPS = 200


class BondedWalk(Walk):
    """A walk whose providers are bonded, one of them at a site that is late."""

    async def build(self):
        await super().build()
        await self.market.deposit(self.provider, 30_000)
        for startup in self.startups:
            await accounts.deposit(
                self.market.handler,
                self.market.context(),
                rename_id("acc", startup),
                amount_usd=Decimal(60_000),
                reference=f"more for {startup}",
            )
        late = (await self.market.pool(self.provider, nodes=4, status="planned"))[1]
        self.pools.append(late)
        self.site = (await self.market.state("pool", late)).opened.site_id
        self.ready = 12
        await sites.schedule_conversion(
            self.market.handler,
            self.market.context(self.provider),
            self.site,
            former_use="bitcoin mining",
            ready_at=self.market.day(self.ready),
        )
        for pool in self.pools:
            owner = self.fund if pool == self.pools[1] else self.provider
            start = 13 if pool == late else 1
            await self.market.lot(owner, pool, ask=self.random.choice(["0.5", "1"]), nodes=3, start=start, end=60)

    def list_auctions(self):
        known = self.ledger.states["auction"].items()
        return tuple(name for name, state in known if state.status != "completed")

    async def do_list(self, market):
        pool = self.random.choice(self.pools)
        owner = self.fund if pool == self.pools[1] else self.provider
        start = max((self.market.clock.now() - market.day(0)).days, 0) + 1
        await market.lot(owner, pool, ask=self.random.choice(["0.5", "1", "2"]), nodes=1, start=start, end=start + 40)

    async def do_auction(self, market):
        today = max((self.market.clock.now() - market.day(0)).days, 0)
        first = today + 0.5 * (1 + self.random.randint(1, 2))
        bind = first - 0.2 if self.random.random() < 0.6 else None
        await market.auction(locks_at=first, horizon=today + 2, periods=30, no_cancel_at=bind)

    async def do_withdraw(self, market):
        if self.random.random() < 0.4 and (found := self.pick("lot", "listed")):
            lot, state = found
            owner = market.context(state.listed.provider_id)
            act = self.random.choice([inventory.withdraw_lot, inventory.pause_lot])
            await act(market.handler, owner, lot, reason="sold", auction_ids=self.list_auctions())

    async def do_reprice(self, market):
        if found := self.pick("lot", "listed"):
            lot, state = found
            ask = Decimal(self.random.choice(["0.5", "1", "2"]))
            await inventory.reprice_lot(
                market.handler,
                market.context(state.listed.provider_id),
                lot,
                ask_usd_per_gpu_hour=ask,
                auction_ids=self.list_auctions(),
            )

    async def do_post(self, market):
        party = self.random.choice([self.provider, self.fund])
        lots = [name for name, lot in sorted(self.ledger.states["lot"].items()) if lot.listed.provider_id == party]
        lot = self.random.choice([None, *lots[:3]])
        until = None if lot else market.clock.now() + timedelta(days=self.random.randint(60, 90))
        amount = Decimal(self.random.randint(100, 400_000)) / 100
        await bonds.post_bond(
            market.handler, market.context(party), party, amount_usd=amount, lot_id=lot, stands_until=until
        )

    async def do_claim(self, market):
        if found := self.pick("grant"):
            grant_id, grant = found
            context, periods = market.context(grant.issued.startup_id), list_periods(grant)
            starts = [None, *(period.start for period in periods[:2])]
            others = [
                name
                for name, other in sorted(self.ledger.states["grant"].items())
                if other.issued.startup_id == grant.issued.startup_id and name != grant_id
            ]
            replacements = self.random.sample(others, self.random.randint(0, min(1, len(others))))
            await bonds.claim_bond(
                market.handler,
                context,
                grant_id,
                period_start=self.random.choice(starts),
                replacement_ids=replacements,
            )

    async def do_answer(self, market):
        for party in (self.provider, self.fund):
            bond_id = rename_id("bnd", party)
            bond = self.ledger.states["bond"].get(bond_id)
            for claim in () if bond is None else bond.claims:
                if claim.status != "settled":
                    context = market.context(self.random.choice([None, party]))
                    share = self.random.choice([None, Decimal(0), claim.claimed.amount_usd / 2])
                    amount = None if share is None else share.quantize(Decimal("0.01"))
                    await bonds.answer_claim(
                        market.handler, context, bond_id, claim.claimed.claim_id, amount_usd=amount, reason="seen"
                    )
                    return

    async def do_free(self, market):
        party = self.random.choice([self.provider, self.fund])
        bond = self.ledger.states["bond"].get(rename_id("bnd", party))
        if bond is not None and bond.parts:
            lot = self.random.choice(sorted(bond.parts, key=str))
            await bonds.release_bond(market.handler, market.context(party), rename_id("bnd", party), lot_id=lot)

    async def do_hold(self, market):
        startup = self.random.choice(self.startups)
        terms = self.draw_terms() | {"cash": "3", "equity": "0", "mandate_ids": ()}
        del terms["standing"]
        async with open_desk(market) as desk:
            await hold_quote(
                market.handler,
                market.context(startup),
                desk.quoter,
                startup_id=startup,
                terms=market.terms(**terms),
                hold_seconds=self.random.choice([60, 600, 3_600]),
            )

    async def do_take(self, market):
        if found := self.pick("quote", "held"):
            quote, state = found
            context = market.context(state.held.startup_id)
            if self.random.random() < 0.6:
                await take_quote(market.handler, context, quote)
            else:
                await release_quote(market.handler, context, quote, reason="changed plans")

    do_take_again = do_take

    async def do_terminate(self, market):
        if self.random.random() < 0.5 and (found := self.pick("grant", "issued", "active", "degraded", "terminated")):
            grant_id, grant = found
            by = self.random.choice(["provider", "startup", "platform"])
            party = {"provider": grant.issued.provider_id, "startup": grant.startup_id, "platform": None}[by]
            end = {"at": market.clock.now() + timedelta(hours=self.random.choice([0, 80, 200])), "reason": "fire"}
            await grants.terminate_grant(
                market.handler,
                market.context(party),
                grant_id,
                **end,
                by=by,
                for_cause=self.random.random() < 0.4,
                auction_ids=self.list_auctions(),
            )

    async def do_end_degraded(self, market):
        if found := self.pick("grant", "degraded"):
            grant_id, grant = found
            context = market.context(grant.startup_id)
            end = {"at": market.clock.now(), "reason": "dark", "for_cause": True}
            await grants.terminate_grant(market.handler, context, grant_id, **end, auction_ids=self.list_auctions())

    async def do_slip(self, market):
        self.ready = max(self.ready + self.random.randint(-2, 6), (market.clock.now() - market.day(0)).days)
        context = market.context(self.random.choice([None, self.provider]))
        at = market.day(self.ready)
        if self.random.random() < 0.6:
            await sites.slip_conversion(market.handler, context, self.site, ready_at=at, reason="a transformer")
        else:
            more = {"power_energised_kw": 10_000, "at": market.clock.now()}
            await sites.energise_site(market.handler, context, self.site, **more)

    async def do_derate(self, market):
        pool = await self.market.state("pool", self.random.choice(self.pools[:2]))
        site, owner = pool.opened.site_id, market.context(pool.opened.provider_id)
        power, at = self.random.choice([0, 11, 33, 10_000]), market.clock.now()
        if power < (await self.market.state("site", site)).power_energised_kw:
            await sites.derate_site(market.handler, owner, site, power_energised_kw=power, at=at, reason="heat")
        else:
            await sites.energise_site(market.handler, owner, site, power_energised_kw=10_000, at=at)

    do_derate_again = do_derate

    async def do_reschedule(self, market):
        if found := self.pick("grant", "issued", "active", "degraded"):
            grant_id, grant = found
            choice = self.random.choice(["shortened", "moved"])
            context = market.context(grant.startup_id)
            await reschedule_grant(market.handler, context, grant_id, choice=choice, auction_ids=self.list_auctions())

    do_reschedule_again = do_reschedule

    async def settle_claims(self):
        """Let the time of all claims end."""
        for _ in range(12):
            await self.follow()
            self.market.clock.at += timedelta(days=4)
            await self.market.tick()


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_happens_bonds_and_capacity_add_up_and_the_auditor_finds_nothing(seed):
    walk = BondedWalk(seed, MemoryLog())
    await walk.build()
    async with walk.market.worker(), walk.market.worker():
        for _ in range(STEPS):
            await walk.step()
        await walk.finish()
        await walk.settle_claims()
    await check_log(walk.market.log)
    assert await audit_log(walk.market.log) == []
    assert walk.list_unsettled() == []
    assert sum(walk.done.values()) > STEPS / 2
    assert walk.ledger.states["bond"]

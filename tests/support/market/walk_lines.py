"""Steps of the walk for service lines: proposed, approved, agreed on, worked, corrected, and stated in hours.

A step may be sent again: what it chooses rests on the seed, on the ledger as the step found it, and on nothing else.
"""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from events.service_line import HoursReading
from marketplace.application.billing import service_hours, service_lines, statements


class LineSteps:
    """What a walk does with service lines; `pick`, `random` and `market` are the walk's."""

    async def do_propose_line(self, market):
        if found := self.pick("grant", "issued", "active"):
            grant, state = found
            receipt = await service_lines.propose_service_line(
                market.handler,
                market.context(state.issued.provider_id),
                grant,
                name="support",
                price_usd_per_hour=Decimal(self.random.choice(["0.333333", "20", "45.5"])),
                hours=Decimal(self.random.randint(1, 400_000)).scaleb(-4),
                workers=self.random.randint(1, 12),
            )
            if self.random.random() < 0.7:
                equity, provider = state.issued.equity, state.issued.provider_id
                holder = equity.holder_id if equity is not None and equity.holder_id != provider else None
                await self.agree(market, receipt.id, state.issued.startup_id, holder)

    async def agree(self, market, line, startup, holder):
        """Let all who have to say yes."""
        if holder is not None:
            await service_lines.approve_service_line(market.handler, market.context(holder), line)
        await service_lines.agree_service_line(market.handler, market.context(startup), line)

    async def do_agree_line(self, market):
        if found := self.pick("service_line", "proposed"):
            line, state = found
            proposed = state.proposed
            if self.random.random() < 0.1:
                context = market.context(proposed.provider_id)
                await service_lines.decline_service_line(market.handler, context, line, reason="nobody is free")
                return
            await self.agree(market, line, proposed.startup_id, proposed.holder_id)

    def draw_hours(self, line):
        """Return a reading that ends before now and within the grant; it may begin before the agreement."""
        grant = self.ledger.states["grant"][line.proposed.grant_id]
        latest = min(self.market.clock.now(), grant.end).replace(microsecond=0)
        end = latest - timedelta(hours=self.random.choice([0, 0, 1, 6, 30]))
        hours = Decimal(self.random.randint(1, 120_000)).scaleb(-4)
        name = f"hours-{self.random.randrange(12)}"
        return HoursReading(reading_id=name, start=end - timedelta(hours=1), end=end, hours=hours)

    async def do_report_hours(self, market):
        if found := self.pick("service_line", "agreed"):
            line, state = found
            readings = tuple(self.draw_hours(state) for _ in range(self.random.randint(1, 3)))
            context = market.context(state.proposed.provider_id)
            await service_hours.report_hours(market.handler, context, line, source=line, readings=readings)

    do_report_more = do_report_hours
    do_report_most = do_report_hours

    async def do_correct_hours(self, market):
        if found := self.pick("service_line", "agreed", "closed"):
            line, state = found
            context, handler = market.context(state.proposed.provider_id), market.handler
            reading, source = self.draw_hours(state), {"source": line, "reason": "a slip"}
            if self.random.random() < 0.3:
                await service_hours.void_hours(handler, context, line, reading_id=reading.reading_id, **source)
            else:
                await service_hours.correct_hours(handler, context, line, reading=reading, **source)

    def list_unsettled(self):
        """Return what else is not settled, and what was agreed on and is not closed."""
        lines = self.ledger.states["service_line"].items()
        return super().list_unsettled() + [line_id for line_id, line in lines if line.status == "agreed"]


def share(state, part):
    """Return a part of what a statement charges, in its own unit, as the member of a dispute or a resolution."""
    if state.issued.service_line_id is None:
        return {"gpu_seconds": int(state.charges.gpu_seconds * part)}
    return {"hours": (state.charges.service_hours * part).quantize(Decimal("0.0001"))}


def share_settled(state):
    """Return what of a disputed statement is paid already, in its own unit."""
    return share(state, 0) if state.settled is None else share(replace(state, charges=state.settled.charges), 1)


async def dispute(market, context, statement_id, state):
    """Claim half of what is stated."""
    counted = {f"{name}_counted": value for name, value in share(state, Decimal("0.5")).items()}
    await statements.dispute_statement(market.handler, context, statement_id, **counted, reason="it was down")

"""Steps of the walk for service lines: proposed, approved, agreed on, worked, corrected, and stated in hours."""

from datetime import timedelta
from decimal import Decimal

from events.service_line import HoursReading
from marketplace.runtime.commands import service_hours, service_lines, statements

SHEET = "sheet"


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
            )
            await self.follow()
            if self.random.random() < 0.7:
                await self.begin_work(market, receipt.id)

    async def begin_work(self, market, line):
        """Let all who have to say yes, and report what was worked in the next hours."""
        proposed = self.ledger.states["service_line"][line].proposed
        if proposed.holder_id is not None:
            await service_lines.approve_service_line(market.handler, market.context(proposed.holder_id), line)
        await service_lines.agree_service_line(market.handler, market.context(proposed.startup_id), line)
        self.market.clock.at += timedelta(hours=self.random.choice([1, 3, 30]))
        await self.follow()
        await self.report_hours(market, line, self.ledger.states["service_line"][line])

    async def do_agree_line(self, market):
        if found := self.pick("service_line", "proposed"):
            line, state = found
            proposed = state.proposed
            if self.random.random() < 0.1:
                context = market.context(proposed.provider_id)
                await service_lines.decline_service_line(market.handler, context, line, reason="nobody is free")
                return
            await self.begin_work(market, line)

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
            await self.report_hours(market, line, state)

    async def report_hours(self, market, line, state):
        readings = tuple(self.draw_hours(state) for _ in range(self.random.randint(1, 3)))
        context = market.context(state.proposed.provider_id)
        await service_hours.report_hours(market.handler, context, line, source=line, readings=readings)

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


async def dispute(market, context, statement_id, state):
    """Claim half of what is stated."""
    claim = {f"{name}_claimed": value for name, value in share(state, Decimal("0.5")).items()}
    await statements.dispute_statement(market.handler, context, statement_id, **claim, reason="it was down")

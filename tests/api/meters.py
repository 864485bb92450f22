"""Grants that meters report of, without the market that would award them, and the CloudEvents that meters send."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx

from marketplace.core.ids import derive_command_id, rename_id
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.delivery.grant_commands import ActivateGrant, IssueGrant
from marketplace.domain.metering.usage import USAGE, name_usage
from marketplace.domain.metering.usage_record import Usage
from marketplace.execution.unit_of_work import Context, UnitOfWork
from marketplace.log.events import parse_event
from marketplace.log.port import Log
from marketplace.projections.engine.operations import ApiKey
from tests.api.stage import Stage, open_stage
from tests.domain import build

HOURS = 40
NODES, GPUS = 2, 8
BATCH = {"Content-Type": "application/cloudevents-batch+json"}
ONE = {"Content-Type": "application/cloudevents+json"}


class Site:
    """A stage with grants of one provider, and clients of the two sides."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        now = stage.services.handler.clock.now()
        self.begin = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS)

    def hour(self, number: float) -> datetime:
        return self.begin + timedelta(hours=number)

    async def grant(self, number: int = 1, hours: int = HOURS, **changes) -> str:
        """Put a grant of two nodes in the log, active since hour 0."""
        handler, grant_id = self.stage.services.handler, build.id_of("grt", number)
        issued = build.grant_issued(grant_id=grant_id, start=self.hour(0), end=self.hour(hours), **changes)

        async def work(unit: UnitOfWork) -> None:
            await unit.decide(GRANT, grant_id, IssueGrant(issued=issued))
            await unit.decide(GRANT, grant_id, ActivateGrant(grant_id=grant_id, at=issued.start))

        await handler.run(self.context(f"issue-{number}"), GRANT, grant_id, work)
        return grant_id

    def context(self, name: str) -> Context:
        command_id = derive_command_id("tests", name)
        at = self.stage.services.handler.clock.now()
        return Context(command_id=command_id, fingerprint=name, actor="tests", party_id=None, at=at)

    async def client(self, party_id: str, scopes: tuple[str, ...] = ("*",)) -> httpx.AsyncClient:
        keys, key_id = self.stage.services.keys, rename_id("key", party_id)
        since = datetime.now(UTC)
        record = ApiKey(
            key_id=key_id,
            party_id=party_id,
            name="meter",
            scopes=scopes,
            hmac=b"",
            created_at=since,
            expires_at=since + timedelta(days=1),
        )
        keys.remember((keys.seal(record),))
        return await self.stage.open_client(keys.derive_token(key_id))

    def event(self, grant_id: str, reading_id: str, start: float = 0, end: float = 1, **data) -> dict:
        span = {"start": self.hour(start).isoformat(), "end": self.hour(end).isoformat()}
        return {
            "specversion": "1.0",
            "type": "marketplace.meter.reading.v1",
            "source": data.pop("source", "urn:meter:1"),
            "id": reading_id,
            "subject": grant_id,
            "data": {**span, **(data or {"nodes": NODES})},
        }

    async def count(self, grant_id: str, meter: str = "provider") -> Usage:
        """Return what the log says of a grant, read from its first event."""
        state = USAGE.initial
        for recorded in await self.stage.services.handler.log.load(f"marketplace.usage.{name_usage(grant_id, meter)}"):
            state = USAGE.evolve(state, parse_event(recorded))
        return state


@asynccontextmanager
async def open_site(log: Log, **settings):
    async with open_stage(log, **settings) as stage:
        yield Site(stage)

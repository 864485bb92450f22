"""Grants to meter, put in the log without the market that would award them, and the readings of their meters."""

from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec

from events.grant import GrantIssued
from marketplace.core.ids import derive_command_id, derive_id
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.delivery.grant_commands import ActivateGrant, IssueGrant
from marketplace.execution.handler import Handler
from marketplace.execution.unit_of_work import Context, UnitOfWork
from tests.domain import build

NODES = 1_000
GPUS = 8
DAYS = 120
DAYS_BEFORE = 8
"""Days between the grants' start and now: enough for the readings, and no statement falls due, which needs parties."""
BATCH = 1_000
BEGIN = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=DAYS_BEFORE)
MINUTE = timedelta(minutes=1)


async def issue(handler: Handler, grants: int) -> list[str]:
    """Issue grants of a thousand nodes that began some days ago, and return their ids."""
    ids = []
    for number in range(grants):
        context = Context(
            command_id=derive_command_id("benchmark", f"issue-{number}"),
            fingerprint=f"issue-{number}",
            actor="benchmark",
            party_id=None,
            at=datetime.now(UTC),
        )
        grant_id = derive_id("grt", context.command_id)
        issued = build.grant_issued(
            grant_id=grant_id, nodes=NODES, gpus_per_node=GPUS, start=BEGIN, end=BEGIN + timedelta(days=DAYS)
        )

        await handler.run(context, GRANT, grant_id, partial(_begin, issued))
        ids.append(grant_id)
    return ids


async def _begin(issued: GrantIssued, unit: UnitOfWork) -> None:
    await unit.decide(GRANT, issued.grant_id, IssueGrant(issued=issued))
    await unit.decide(GRANT, issued.grant_id, ActivateGrant(grant_id=issued.grant_id, at=issued.start))


def build_batch(grant_id: str, minute: int, readings: int = BATCH) -> bytes:
    """Return one minute of a grant: a reading of each of its nodes, with evidence."""
    start, end = (BEGIN + minute * MINUTE).isoformat(), (BEGIN + (minute + 1) * MINUTE).isoformat()
    evidence = {"gpu_utilisation": "0.91", "energy_kwh": "0.09"}
    events = [
        {
            "specversion": "1.0",
            "type": "marketplace.meter.reading.v1",
            "source": f"urn:meter:{grant_id}",
            "id": f"node-{node}/{minute}",
            "subject": grant_id,
            "data": {"start": start, "end": end, "nodes": 1, "evidence": evidence},
        }
        for node in range(readings)
    ]
    return msgspec.json.encode(events)

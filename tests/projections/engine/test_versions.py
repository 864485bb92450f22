"""What a view calls its last sequence is the version of its aggregate, which a command's `If-Match` asks for.

Each type of event is looked at where it first happens: a later one would hide that a row did not follow.
"""

from typing import Final

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.log.memory import MemoryLog
from marketplace.log.port import Recorded
from marketplace.projections.access import parties
from marketplace.projections.billing import service_lines, statements
from marketplace.projections.delivery import grants
from marketplace.projections.equity import instruments
from marketplace.projections.equity.cap_tables import tables as cap_tables
from marketplace.projections.supply import inventory
from marketplace.projections.trading import auctions, mandates, orders, quotes
from tests.projections.conftest import fill, project
from tests.projections.tales import tell_everything

VERSIONED: Final[dict[str, Table]] = {
    "auction": auctions.auctions,
    "grant": grants.grants,
    "instrument": instruments.instruments,
    "issuer": cap_tables.issuers,
    "lot": inventory.lots,
    "mandate": mandates.mandates,
    "order": orders.orders,
    "party": parties.parties,
    "quote": quotes.quotes,
    "service_line": service_lines.service_lines,
    "site": inventory.sites,
    "statement": statements.statements,
}
"""Tables whose rows the API answers with an entity tag."""


TOLD_BEFORE: Final = "marketplace.issuer.imported.v1"
"""Stands before the company that it brings, in one append with it."""


def list_firsts(recorded: list[Recorded]) -> list[Recorded]:
    """Return the first event of each type of the aggregates whose version is told."""
    firsts: dict[str, Recorded] = {}
    for each in recorded:
        if each.subject.split(".")[1] in VERSIONED and each.envelope.type != TOLD_BEFORE:
            firsts.setdefault(each.envelope.type, each)
    return list(firsts.values())


async def test_each_event_of_an_aggregate_is_the_version_of_its_view(engine: AsyncEngine, memory_log: MemoryLog):
    recorded = tell_everything().recorded
    behind = {}
    for first in list_firsts(recorded):
        await fill(memory_log, recorded[: first.sequence])
        await project(engine, memory_log)
        _, kind, aggregate_id = first.subject.split(".")
        table = VERSIONED[kind]
        (key,) = table.primary_key.columns
        async with engine.connect() as connection:
            told = await connection.scalar(select(table.c.last_sequence).where(key == aggregate_id))
        if told != first.sequence:
            behind[first.envelope.type] = (told, first.sequence)
    assert behind == {}, "these events are not told as versions: (told, version)"

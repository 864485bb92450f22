"""A disputed statement as its parties see it: whose word it awaits, whose count stands, and what is on offer."""

from datetime import timedelta

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from events.statement import StatementAgreed, StatementAnswered, StatementConceded, StatementDisputed, StatementIssued
from marketplace.domain.billing.statement import STATEMENT
from marketplace.log.memory import MemoryLog
from marketplace.projections.billing import statements
from tests.projections import market
from tests.projections.conftest import fill, project
from tests.projections.market import START
from tests.projections.story import Story, make_id

FULL = market.GPU_SECONDS
NAMED = {"statement_id": make_id("stm", 2), "grant_id": make_id("grt", 2)}
SAID = {**NAMED, "reason": "the logs say so", "answer_until": START}
ISSUED = StatementIssued(
    **NAMED,
    startup_id=market.STARTUP,
    provider_id=market.PROVIDER,
    period_start=START,
    period_end=START + timedelta(days=1),
    charges=market.CHARGES,
    accept_until=START + timedelta(days=3),
)
STARTUP = StatementDisputed(**SAID, gpu_seconds_counted=FULL - 1000)
HOLDER = StatementDisputed(**SAID, gpu_seconds_counted=0, by="holder")
INSISTS = StatementAnswered(**SAID, by="provider")
OFFERS = StatementAnswered(**SAID, by="startup", gpu_seconds_offered=FULL - 100, awaits="holder")
AGREES = StatementAgreed(**NAMED, by="holder", answer_until=START + timedelta(days=7))


def concede(by, gpu_seconds, count, counted_by):
    position = gpu_seconds if by == "provider" else FULL
    return StatementConceded(
        **NAMED,
        by=by,
        reason="right",
        charges=msgspec.structs.replace(market.CHARGES, gpu_seconds=position),
        gpu_seconds=gpu_seconds,
        gpu_seconds_counted=count,
        counted_by=counted_by,
    )


@pytest.mark.parametrize(
    ("argued", "shown"),
    [
        ((STARTUP, HOLDER, INSISTS, OFFERS), ("holder", "startup", FULL - 100, "holder", 0)),
        ((STARTUP, HOLDER, INSISTS, OFFERS, AGREES), ("provider", "startup", FULL - 100, "holder", 0)),
        (
            (STARTUP, HOLDER, INSISTS, OFFERS, concede("provider", FULL - 200, 0, "holder")),
            ("payers", None, None, "holder", 0),
        ),
        (
            (STARTUP, HOLDER, INSISTS, OFFERS, concede("holder", FULL - 500, FULL - 1000, "startup")),
            ("holder", "startup", FULL - 100, "startup", FULL - 1000),
        ),
        (
            (STARTUP, INSISTS, msgspec.structs.replace(OFFERS, awaits=None), HOLDER),
            ("provider", None, None, "holder", 0),
        ),
    ],
)
async def test_a_view_names_who_is_awaited_whose_count_stands_and_what_is_offered(
    engine: AsyncEngine, memory_log: MemoryLog, argued, shown
):
    story = Story()
    for event in (ISSUED, *argued):
        story.tell(event)
    await fill(memory_log, story.recorded)
    await project(engine, memory_log, [statements.PROJECTION])
    async with engine.connect() as connection:
        view = await statements.find_statement(connection, NAMED["statement_id"])
    assert view is not None
    assert (view.awaits, view.offered_by, view.gpu_seconds_offered) == shown[:3]
    assert (view.disputed_by, view.gpu_seconds_counted) == shown[3:]
    dispute = STATEMENT.fold((ISSUED, *argued)).dispute
    offer = dispute.offer
    assert (dispute.awaits, offer and offer.by, offer and offer.amount) == shown[:3]
    assert (dispute.counted_by, dispute.count) == shown[3:]

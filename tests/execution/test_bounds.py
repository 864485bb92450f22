"""An instant that no reader could store: it is never stored, and one that a log holds is named, with a way past it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from immutables import Map

from events.envelope import Envelope
from events.instants import FIRST, FOREVER
from events.pool import PoolNodeFailed
from events.registry import get_tag, render_body, render_type
from events.subjects import LOG_SUBJECT, render_subject
from marketplace.application.supply import sites
from marketplace.core.errors import Refusal, UnreadableEvent
from marketplace.core.instants import render_instant
from marketplace.log.annotations import AnnotatedLog
from marketplace.log.codec import seal
from marketplace.log.memory import MemoryLog
from marketplace.log.port import Head, Write
from tests.execution.test_orphans import pass_over
from tests.support.market.market import Market

EDGES = [
    datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=23, minutes=59))),
    datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(-timedelta(hours=23, minutes=59))),
    FIRST - timedelta(seconds=1),
    FOREVER + timedelta(seconds=1),
]


@pytest.mark.parametrize("at", EDGES)
async def test_no_command_stores_an_instant_out_of_bounds_whoever_calls_it(at):
    market = Market(MemoryLog())
    provider = await market.party("Provider", "provider")
    site, _ = await market.pool(provider, status="planned")
    before = (await market.log.health()).last_sequence
    with pytest.raises(Refusal) as caught:
        await sites.schedule_conversion(
            market.handler, market.context(provider), site, former_use="mining", ready_at=at
        )
    assert (caught.value.code, caught.value.pointer) == ("value_out_of_bounds", "/ready_at")
    assert (await market.log.health()).last_sequence == before


async def store(log, event, aggregate, id_):
    """Store an event as a release would that knew no bounds."""
    subject = render_subject(aggregate, id_)
    last = (await log.load(subject))[-1]
    envelope = Envelope(
        id="evt_edge",
        source="tests",
        type=render_type(get_tag(event)),
        subject=f"{aggregate}/{id_}",
        time=last.envelope.time,
        dataschema=last.envelope.dataschema,
        correlationid="c",
        causationid="c",
        actor="tests",
    )
    message = seal(subject, last.envelope.hash, envelope, render_body(event))
    head = Head(subject, None, message.envelope.hash)
    return await log.append([Write(Head(subject, last.sequence, last.envelope.hash), (message,), head)])


@pytest.mark.parametrize("at", EDGES)
async def test_an_instant_out_of_bounds_in_a_log_is_named_and_passed_over_once_it_is_annotated(at):
    log = await AnnotatedLog.open(MemoryLog())
    market = Market(log)
    provider = await market.party("Provider", "provider")
    _, pool = await market.pool(provider)
    failed = PoolNodeFailed(pool_id=pool, incident_id="i1", nodes=1, at=at)
    sequence = await store(log, failed, "pool", pool)
    with pytest.raises(UnreadableEvent, match=r"/at must lie between .* annotate") as caught:
        await Market(log, "new").state("pool", pool)
    assert (caught.value.sequence, caught.value.kind) == (sequence, "body")
    await pass_over(log, sequence)
    await log.load(LOG_SUBJECT)
    assert (await Market(log, "after").state("pool", pool)).incidents == Map()


def test_any_instant_can_be_rendered():
    assert [render_instant(at) for at in EDGES[:2]] == ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"]
    assert render_instant(datetime(2026, 1, 31, 5, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))) == (
        render_instant(datetime(2026, 1, 31, tzinfo=UTC))
    )

"""An append over two aggregates of which one part is lost: what the other part may still do, and its way out."""

from dataclasses import replace

import pytest

from events.envelope import parse_headers
from events.log import LostEvent
from events.subjects import parse_subject, render_subject
from marketplace.core.errors import Refusal, UnreadableEvent
from marketplace.core.ids import rename_id
from marketplace.domain.deciders import DECIDERS
from marketplace.domain.log import AcceptGap, Annotate
from marketplace.embedded.nats import embedded_nats
from marketplace.execution.log_record import record
from marketplace.execution.state_cache import Cache
from marketplace.log.annotations import AnnotatedLog, check_annotation, examine
from marketplace.log.connection import Connection
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.memory import MemoryLog
from marketplace.log.port import Recorded
from tests.contracts.story.book import tell_story
from tests.log.test_checks import GOOD, call
from tests.log.test_gaps import open_unchecked
from tests.support.market.market import Market


async def place_and_lose(servers):
    """Place two orders, lose the hold of the second, and return its startup, itself and the lost position."""
    admin = await Connection.open(servers.admin_url, "tests-admin")
    try:
        await call(admin, "CREATE", GOOD | {"deny_delete": False})
        log = await open_unchecked(servers)
        market = Market(log)
        startup = await market.party("Startup", "startup", usd=100_000)
        kept, lost = await market.order(startup), await market.order(startup)
        account = render_subject("account", rename_id("acc", startup))
        position = (await log.load(account))[-1].sequence
        await log.close()
        await call(admin, "MSG.DELETE", {"seq": position})
        await call(admin, "UPDATE", GOOD)
    finally:
        await admin.close()
    return startup, kept, lost, position


async def pass_over(log, sequence):
    found, damage = await examine(log, sequence)
    check_annotation(found, damage, effect="passed_over", hash=damage.hash, type_is_final=False)
    command = Annotate(
        sequence=sequence,
        subject=found.subject,
        hash=damage.hash,
        damage=damage.kind,
        effect="passed_over",
        reason="the hold of its order is lost",
    )
    await record(log, command)


async def test_an_order_whose_hold_is_lost_is_refused_by_name_until_it_is_annotated_and_the_rest_goes_on(tmp_path):
    async with embedded_nats(tmp_path / "nats") as servers:
        startup, kept, orphan, position = await place_and_lose(servers)
        stream = await JetStreamLog.open(servers.url)
        try:
            log = await AnnotatedLog.open(stream)
            [placed] = await log.load(render_subject("order", orphan))
            with pytest.raises(Refusal) as caught:
                await examine(log, placed.sequence)
            assert caught.value.code == "event_readable"
            lost = LostEvent(subject=render_subject("account", rename_id("acc", startup)), known_from="PostgreSQL")
            await record(log, AcceptGap(sequence=position, lost=(lost,), reason="a disk lost it"))
            before = Market(log, "before")
            with pytest.raises(Refusal) as caught:
                await before.cancel(startup, orphan)
            assert caught.value.code == "hold_unknown"
            with pytest.raises(Refusal, match="one that may depend on another") as caught:
                await examine(log, (await log.load(render_subject("party", startup)))[-1].sequence)
            assert caught.value.code == "event_readable"
            _, damage = await examine(log, placed.sequence)
            assert (damage.kind, f"event {position} is lost" in damage.reason) == ("orphan", True)
            await pass_over(log, placed.sequence)
            after = Market(log, "after")
            with pytest.raises(Refusal) as caught:
                await after.cancel(startup, orphan)
            assert caught.value.code == "order_unknown"
            await after.cancel(startup, kept)
            await after.cancel(startup, await after.order(startup))
            account = await after.state("account", rename_id("acc", startup))
            assert (account.available_usd, account.held_usd) == (100_000, 0)
        finally:
            await stream.close()


class Stored(MemoryLog):
    """A log whose subjects are read from a list of events."""

    def __init__(self, events):
        super().__init__()
        self._listed = events

    async def load(self, subject, after=0, **_):
        return [each for each in self._listed if each.subject == subject and each.sequence > after]


async def test_an_aggregate_whose_first_event_is_passed_over_is_named_with_the_way_out():
    events = [
        Recorded(number, told.subject, parse_headers(told.headers), told.body)
        for number, told in enumerate(tell_story(), start=1)
    ]
    followed = {each.subject for each in events if each.envelope.previoushash}
    log = Stored([each if each.envelope.previoushash else replace(each, void=True, annotated=True) for each in events])
    named = set()
    for subject in followed:
        aggregate, id_ = parse_subject(subject)
        if DECIDERS[aggregate].initial is None:
            with pytest.raises(UnreadableEvent, match=r"first event of its aggregate was passed over .* annotate"):
                await Cache(log).load(DECIDERS[aggregate], id_)
            named.add(aggregate)
        else:
            await Cache(log).load(DECIDERS[aggregate], id_)
    assert len(named) >= 15

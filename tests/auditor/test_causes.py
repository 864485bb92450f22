"""The auditor finds ends for cause without one, and failures that no evidence shows, in copies of real logs."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from events.grant import GrantActivated, GrantDegraded, GrantTerminated, GrantWithheld, GrantWithholdingEnded
from events.service import DetectionTerms, ServiceTerms
from marketplace.application.access.parties import suspend_party
from marketplace.application.delivery.grants import resume_grant, suspend_grant, terminate_grant
from marketplace.auditor.capacity import Capacity
from marketplace.auditor.causes import Causes
from marketplace.auditor.evidence import Evidence
from marketplace.auditor.spans import parse_instant, render_instant
from marketplace.auditor.stream import Findings, Message
from marketplace.domain.billing.delivered import is_chronic
from marketplace.domain.delivery.cause import find_failing_since, list_unanswered
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.delivery.grant_notice import find_answer_time
from marketplace.domain.metering.usage import USAGE
from marketplace.domain.supply.pool import POOL
from marketplace.log.memory import MemoryLog
from tests.application.supply.test_sites import convert, end_for_cause, slip
from tests.auditor.test_disputes import change, read
from tests.domain import build
from tests.domain.build import hour
from tests.domain.delivery.test_cause import MINE, degrade, fail, resume
from tests.domain.delivery.test_cause import restore as mend
from tests.domain.delivery.test_grant import RESOLD
from tests.runtime.scheduling.test_health_monitor import Hall
from tests.support.market.market import INCIDENTS, Market

pytestmark = pytest.mark.xdist_group("auditor")
_PLAYED = {}


async def end_by_evidence():
    """The startup's meter shows a failed GPU, its provider is silent for a day, and it ends the grant."""
    hall = Hall(MemoryLog())
    hall.market.service = structs.replace(INCIDENTS, detection=DetectionTerms(meters="both"))
    async with hall.market.worker():
        await hall.begin()
        await hall.see(hall.trade.startup, (-1, 79), (0, 79))
        await hall.until_nodes(1)
        hall.market.clock.at += timedelta(days=1)
        await end_for_cause(hall.market, hall.trade, hall.grant_id, hall.market.clock.now())
    return hall.market.log


async def end_chronic():
    """The startup's meter shows all nodes failed each day, and its provider restores them and meters nothing."""
    hall = Hall(MemoryLog())
    hall.market.service = structs.replace(INCIDENTS, detection=DetectionTerms(meters="both"))
    async with hall.market.worker():
        await hall.begin()
        for day in range(3):
            await hall.darken(day)
            await hall.brighten()
        await hall.darken(3)
        await end_for_cause(hall.market, hall.trade, hall.grant_id, hall.market.clock.now())
    return hall.market.log


async def end_late():
    """The site slips by more than a day, and the startup ends the grant at its start."""
    market = Market(MemoryLog())
    trade, site = await convert(market, 1)
    async with market.worker():
        grant = await market.award(trade)
        await slip(market, trade, site, 20)
        await end_for_cause(market, trade, grant.issued.grant_id, market.day(1))
    return market.log


async def end_suspended(is_of="startup", by="provider"):
    """The startup is suspended, and the provider ends the grant."""
    market = Market(MemoryLog())
    trade = await market.trade()
    async with market.worker():
        grant = await market.award(trade)
        await suspend_party(market.handler, market.context(), getattr(trade, is_of), reason="sanctions")
        end = {"at": market.day(3), "reason": "suspended", "by": by, "for_cause": True}
        await terminate_grant(market.handler, market.context(getattr(trade, by)), grant.issued.grant_id, **end)
    return market.log


async def leave_suspended():
    """The provider is suspended, and the startup ends the grant."""
    return await end_suspended(is_of="provider", by="startup")


async def answer_silence():
    """The startup reports that nothing came, and the provider, which meters in batches, answers by its readings."""
    market = Market(MemoryLog())
    trade = await market.trade()
    async with market.worker():
        grant = await market.award(trade)
        grant_id = grant.issued.grant_id
        market.clock.at = market.day(3.5)
        await market.until("grant", grant_id, "active")
        told = {"at": market.day(3.5), "reason": "no node answers"}
        await suspend_grant(market.handler, market.context(trade.startup), grant_id, **told)
        await market.deliver(grant, 3)
        await resume_grant(market.handler, market.context(trade.provider), grant_id, at=market.day(2))
    return market.log


async def play(story):
    if story not in _PLAYED:
        _PLAYED[story] = await read(await story())
    return list(_PLAYED[story])


def audit(messages):
    capacity = Capacity(Findings())
    causes = Causes(Findings(), capacity)
    evidence = Evidence(causes.findings)
    for message in messages:
        for part in (evidence, causes, capacity):
            part.take([message])
    return [(rule, text) for rule, _, text in causes.findings.kept]


def drop(event_type):
    return lambda log: [each for each in log if each.event_type != event_type]


def tell_later(log):
    """Let the outage be reported a second later."""
    for event_type in ("grant.degraded.v1", "pool.node_failed.v1"):
        told = next(each.read()["reported_at"] for each in log if each.event_type == event_type)
        log = change(log, event_type, reported_at=told.replace(":00Z", ":01Z"))
    return log


def enlarge(log):
    """Let the failed node be one of forty."""
    return change(change(log, "grant.issued.v1", nodes=40), "grant.degraded.v1", nodes_available=39)


def let_provider_alone_count(log):
    return change(log, "grant.issued.v1", service=lambda body: {**body["service"], "detection": {"meters": "provider"}})


def restore(log):
    """Let the nodes work again when the grant ends, before any worker applies that."""
    place = next(place for place, each in enumerate(log) if each.event_type == "grant.terminated.v1")
    failed = next(each for each in log if each.event_type == "pool.node_failed.v1")
    restored = replace(failed, headers={**log[place].headers, "ce-type": "marketplace.pool.node_restored.v1"})
    at = log[place].read()["noticed_at"]
    return [*log[:place], *change([restored], "pool.node_restored.v1", at=at), *log[place:]]


def say_as_provider(log):
    return change(log, "pool.node_failed.v1", meter="provider")


def see_as_provider(log):
    return change(log, "usage.evidenced.v1", meter="provider")


def say_as_party(log):
    failed = next(each for each in log if each.event_type == "pool.node_failed.v1")
    return [replace(each, headers={**each.headers, "ce-actor": "pty_1"}) if each is failed else each for each in log]


def date_back(log):
    return change(log, "pool.node_failed.v1", at="2026-01-02T22:59:59Z")


def count_all(log):
    """Let the provider's meter have counted all nodes until the grant ends."""
    place = next(place for place, each in enumerate(log) if each.event_type == "grant.terminated.v1")
    issued, ended = next(each for each in log if each.event_type == "grant.issued.v1").read(), log[place]
    seconds = (parse_instant(ended.read()["at"]) - parse_instant(issued["start"])) // timedelta(seconds=1)
    reading = {"start": issued["start"], "end": ended.read()["at"], "gpu_seconds": 16 * seconds}
    told = replace(ended, headers={**ended.headers, "ce-type": "marketplace.usage.reported.v1"})
    return [*log[:place], *change([told], "usage.reported.v1", readings=[reading], source="dcgm"), *log[place:]]


def repair_early(log):
    """Let the nodes have worked again 17 hours before."""
    return [
        change(
            [each], each.event_type, at=lambda body: render_instant(parse_instant(body["at"]) - timedelta(hours=17))
        )[0]
        if each.event_type == "grant.resumed.v1"
        else each
        for each in log
    ]


def slip_less(log):
    return change(log, "site.conversion_slipped.v1", ready_at="2026-01-03T00:00:00Z")


def end_later(log):
    return change(log, "grant.terminated.v1", at="2026-01-02T00:00:01Z")


def move(log):
    """Let the startup move the grant to another day in place of ending it."""
    place = next(place for place, each in enumerate(log) if each.event_type == "grant.terminated.v1")
    moved = replace(log[place], headers={**log[place].headers, "ce-type": "marketplace.grant.rescheduled.v1"})
    at = log[place].read()["noticed_at"]
    return [
        *log[:place],
        *change([moved], "grant.rescheduled.v1", at=at, start="2026-01-09T00:00:00Z", end="2026-02-09T00:00:00Z"),
    ]


def move_early(log):
    return move(tell_later(log))


@pytest.mark.parametrize(
    ("story", "plant", "rule", "words"),
    [
        (end_by_evidence, None, None, None),
        (end_by_evidence, tell_later, "cause", "could answer the failure until 2026-01-04T00:00:01Z"),
        (end_by_evidence, enlarge, "cause", "few nodes failed, and may be repaired until"),
        (end_by_evidence, drop("grant.degraded.v1"), "cause", "all of its nodes work"),
        (end_by_evidence, restore, "cause", "all of its nodes work, or work again"),
        (end_by_evidence, drop("pool.node_failed.v1"), "cause", "all of its nodes work, or work again"),
        (end_by_evidence, drop("usage.evidenced.v1"), "evidence", "its meters showed failed GPUs of 0 nodes"),
        (end_by_evidence, let_provider_alone_count, "evidence", "its meters showed failed GPUs of 0 nodes"),
        (end_by_evidence, say_as_provider, "evidence", "1 of 1 incidents of"),
        (end_by_evidence, see_as_provider, "evidence", "0 of 1 incidents of"),
        (end_by_evidence, say_as_party, "evidence", "pty_1 reports meters/"),
        (end_by_evidence, move, None, None),
        (end_by_evidence, move_early, "cause", "gets another span: its provider could answer the failure until"),
        (end_by_evidence, date_back, "evidence", "is dated back to 2026-01-02T22:59:59Z"),
        (end_chronic, None, None, None),
        (end_chronic, count_all, "cause", "could answer the failure until 2026-01-07T00:00:00Z"),
        (end_chronic, repair_early, "cause", "could answer the failure until 2026-01-07T00:00:00Z"),
        (answer_silence, None, None, None),
        (answer_silence, drop("usage.reported.v1"), "cause", "its provider's meter is silent, or was since then"),
        (
            answer_silence,
            lambda log: change(log, "grant.suspended.v1", at="2026-01-02T00:00:01Z"),
            "cause",
            "is not handed over",
        ),
        (end_late, None, None, None),
        (end_late, slip_less, "cause", "its site is not late by more than a day"),
        (end_late, end_later, "cause", "it ends after its start"),
        (end_suspended, None, None, None),
        (end_suspended, drop("party.suspended.v1"), "cause", "its startup is not suspended"),
        (leave_suspended, None, None, None),
        (leave_suspended, drop("party.suspended.v1"), "cause", "it had not begun"),
    ],
)
async def test_an_end_without_cause_and_a_failure_without_evidence_are_found(story, plant, rule, words):
    played = await play(story)
    found = audit(played if plant is None else plant(played))
    assert [kind for kind, _ in found] == ([] if rule is None else [rule]), found
    assert all(words in text for _, text in found), found


def tell(outages):
    """Return the events that report outages, sorted by time, and the hour after the last outage began.

    Each outage is a tuple: the hours since the outage before it, its length in hours, the nodes that still work, whose
    meter shows it, and four flags. They say whether the grant's own GPUs failed, whether the outage ends, whether the
    grant then resumes, and whether the grant follows its pool.
    """
    found, at = [], 0
    for number, (gap, hours, nodes, meter, is_own, is_over, is_resumed, follows) in enumerate(outages):
        at += gap
        found.append((at, fail(f"incident {number}", at, build.GRANT if is_own else None, meter)))
        found.append((at + 1, degrade(nodes, at + 1, follows_pool=follows)))
        if is_over:
            found.append((at + hours, mend(f"incident {number}", at + hours)))
        if is_resumed:
            found.append((at + hours, resume(at + hours)))
    return [event for _, event in sorted(found, key=lambda one: one[0])], at + 1


truth = st.sampled_from([True, True, True, False])
outages = st.tuples(
    st.sampled_from([1, 2, 5, 30, 200, 700]),
    st.sampled_from([2, 3, 10, 24, 25, 26]),
    st.integers(0, 3),
    st.sampled_from(["provider", "startup", "startup"]),
    truth,
    truth,
    truth,
    truth,
)


def count(grant, *readings):
    """Return the provider's record of readings in hours from the start, as events, and folded."""
    issued, usage, found = grant.issued, USAGE.initial, []
    for number, (start, hours, nodes) in enumerate(readings):
        measured = build.measurement(reading_id=str(number), start=hour(start), end=hour(start + hours), nodes=nodes)
        metered = build.metered(start=issued.start, end=issued.end, nodes=issued.nodes, resold=grant.list_resold())
        command = build.report_usage(measurements=(measured,), metered=metered, at=hour(start + hours))
        for event in USAGE.decide(command, usage):
            usage = USAGE.evolve(usage, event)
            found.append(event)
    return usage, found


def write(events):
    """Return events as the messages that an auditor reads."""
    return [
        Message(
            number,
            "marketplace.x.x",
            {"ce-type": f"marketplace.{each.__struct_config__.tag}", "ce-time": hour(0).isoformat()},
            msgspec.json.encode(each),
        )
        for number, each in enumerate(events)
    ]


outage_lists = st.lists(outages, max_size=5)
readings = st.lists(st.tuples(st.integers(0, 90), st.integers(1, 30), st.integers(1, 4)), max_size=6)


@settings(max_examples=200)
@given(outage_lists, st.sampled_from(["both", "provider"]), st.sampled_from([0, 1, 22, 23, 24, 60]), readings)
def test_the_auditor_finds_the_time_to_answer_that_the_market_finds(outages, meters, later, measured):
    told, at = tell(outages)
    end = hour(at + later)
    told = [each for each in told if each.at <= end]
    service = ServiceTerms(availability_min=Decimal(0), detection=DetectionTerms(meters=meters))
    issued = build.grant_issued(nodes=4, start=hour(0), end=hour(9_000), service=service)
    begun = [issued, GrantActivated(**MINE, at=hour(0))]
    of_grant = [each for each in told if hasattr(each, "grant_id") and not hasattr(each, "incident_id")]
    grant = GRANT.fold([*begun, *of_grant])
    pool = POOL.fold([build.pool_opened(), *(each for each in told if hasattr(each, "incident_id"))])
    since = find_failing_since(grant, pool, None, end)
    usage, counted = count(grant, *((at + later - 100 + start, hours, nodes) for start, hours, nodes in measured))
    chronic = is_chronic(usage, grant, end)
    due = find_answer_time(since, list_unanswered(grant, [pool]))
    ended = GrantTerminated(**MINE, at=end, by="startup", noticed_at=end, reason="broken", for_cause=True)
    messages = write([build.site_registered(), build.pool_opened(), *begun, *told, *counted, ended])
    found = [text for rule, text in audit(messages) if rule == "cause"]
    if since is None:
        assert "all of its nodes work" in found[0]
    elif due > end and not chronic:
        assert f"until {due.isoformat().removesuffix('+00:00')}Z" in found[0]
    else:
        assert found == []


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(20, 60), st.integers(0, 2)), min_size=1, max_size=4),
    readings,
    st.lists(st.integers(0, 100), max_size=4, unique=True).map(sorted),
    st.lists(st.tuples(st.integers(0, 90), st.integers(1, 60), st.integers(1, 2)), max_size=1),
)
def test_the_auditor_finds_outages_chronic_that_the_market_does(told, measured, withheld, sold):
    """Nodes may fail, be counted and be withheld or resold, at the same time. No staged grant is resold."""
    spans = [] if sold else list(zip(withheld[::2], withheld[1::2], strict=False))
    events = [build.grant_issued(nodes=4, start=hour(0), end=hour(200)), GrantActivated(**MINE, at=hour(0))]
    events += [
        GrantDegraded(**MINE, nodes_available=nodes, at=hour(start), reason="xid", until=hour(start + hours))
        for start, hours, nodes in told
    ]
    for start, stop in spans:
        events.append(GrantWithheld(**MINE, at=hour(start), ends_at=hour(200)))
        paid = {"gpu_seconds": 0, "damages_usd": Decimal(0), "payment_id": build.id_of("dmg"), "is_paid": True}
        events.append(GrantWithholdingEnded(**MINE, since=hour(start), at=hour(stop), **paid))
    events += [
        structs.replace(RESOLD, start=hour(start), end=hour(start + hours), nodes=nodes) for start, hours, nodes in sold
    ]
    grant = GRANT.fold(events)
    usage, counted = count(grant, *measured)
    causes = Causes(Findings(), Capacity(Findings()))
    causes.take(write([*events, *counted]))
    known = causes.grants[grant.issued.grant_id]
    for at in range(0, 200, 3):
        found = known.counted.is_chronic(known.start, hour(at), known.count_failed, known.list_cuts())
        assert found is is_chronic(usage, grant, hour(at))

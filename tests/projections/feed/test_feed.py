"""Each tenant's feed shows what concerns it, and nothing else."""

import re
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta

from msgspec import structs
from sqlalchemy.ext.asyncio import AsyncEngine

from events.envelope import render_headers
from events.register import RegisterRelationEnded, RegisterRelationFound, RegisterRelationStated
from events.registry import EVENT_TYPES, parse_body, render_body
from marketplace.api.feed.feed import hides_hash
from marketplace.domain.register import REGISTER_ID
from marketplace.log.codec import hash_message
from marketplace.log.memory import MemoryLog
from marketplace.projections import feed
from marketplace.projections.engine.recorded_events import parse_facts
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.equity.cap_tables import find_depth, find_issuer
from marketplace.projections.feed import holders
from marketplace.projections.feed.projection import BLOCK_ROWS, event_index
from marketplace.projections.feed.queries import EventFilter
from marketplace.projections.feed.visibility import FULL, PUBLIC, get_named, limit_seen
from tests.projections import market, resales
from tests.projections.conftest import fill, project
from tests.projections.market import FUND, PROVIDER, STARTUP, STRANGER
from tests.projections.story import BEGIN, Story, make_id
from tests.projections.tales import begin, tell_everything


async def _seen(engine: AsyncEngine, party_id: str | None) -> list[feed.EventView]:
    async with engine.connect() as connection:
        return await feed.list_events(connection, party_id=party_id, limit=1_000)


async def _project(engine: AsyncEngine, log: MemoryLog) -> Story:
    story = tell_everything()
    await fill(log, story.recorded)
    await project(engine, log)
    return story


async def test_the_platform_sees_everything_in_order(engine: AsyncEngine, memory_log: MemoryLog):
    story = await _project(engine, memory_log)
    seen = await _seen(engine, None)
    assert [event.sequence for event in seen] == list(range(1, len(story.recorded) + 1))
    assert [event.tag for event in seen] == [fact.tag for fact in parse_facts(story.recorded)]


async def test_no_hash_covers_an_amount_that_its_reader_does_not_see(engine: AsyncEngine, memory_log: MemoryLog):
    """The hash of an event covers all earlier ones of its aggregate, so that amounts in these could be found by trying.

    What a pool's reader does not see names grants, whose ids nobody guesses, or holds no amount. What a reader of an
    instrument does not see, the routes show it.
    """
    story = await _project(engine, memory_log)
    facts = {fact.sequence: fact for fact in parse_facts(story.recorded)}
    parties = {party_id for fact in facts.values() for party_id in get_named(fact.event)} | {STRANGER}
    covered: set[tuple[str, str]] = set()
    for party_id in parties:
        seen = {event.sequence: event.depth for event in await _seen(engine, party_id)}
        hidden: dict[str, str] = {}
        for recorded in story.recorded:
            fact, depth = facts[recorded.sequence], seen.get(recorded.sequence)
            if depth is not None and fact.id in hidden and not hides_hash(recorded, depth, party_id):
                covered.add((hidden[fact.id], fact.tag))
            if depth != FULL:
                hidden[fact.id] = fact.tag
    assert {tag.partition(".")[0] for _, tag in covered} <= {"pool", "instrument"}, covered


async def test_a_startup_sees_its_orders_grants_money_and_equity(engine: AsyncEngine, memory_log: MemoryLog):
    await _project(engine, memory_log)
    tags = {event.tag for event in await _seen(engine, STARTUP)}
    assert tags >= {
        "order.placed.v1",
        "order.unmatched.v1",
        "grant.issued.v1",
        "grant.activated.v1",
        "usage.reported.v1",
        "statement.accepted.v1",
        "account.hold_placed.v1",
        "instrument.principal_accrued.v1",
        "issuer.financing_priced.v1",
        "lot.listed.v1",
        "auction.opened.v1",
    }
    assert not tags & {"auction.cleared.v1", "auction.locked.v1", "mandate.budget_held.v1", "mandate.granted.v1"}


async def test_everybody_learns_which_positions_have_no_effect_but_not_whose_they_were(
    engine: AsyncEngine, memory_log: MemoryLog
):
    story = await _project(engine, memory_log)
    statements = [fact for fact in parse_facts(story.recorded) if fact.aggregate == "log"]
    seen = {event.sequence: event.depth for event in await _seen(engine, STRANGER)}
    assert [seen[fact.sequence] for fact in statements] == ["own"] * 3
    for fact in statements:
        shown = limit_seen(fact.event, STRANGER, "own")
        hidden = {name for name in fact.event.__struct_fields__ if getattr(shown, name) != getattr(fact.event, name)}
        assert hidden <= {"subject", "hash", "expected_hash", "lost", "reason"}
        assert render_body(parse_body(fact.tag, render_body(shown))) == render_body(shown)
        assert not {"order", "disk was full", "no event", "no newer backup"} & set(str(shown).split("'"))


async def test_a_seller_sees_what_is_held_of_its_grant_and_let_go_again(engine: AsyncEngine, memory_log: MemoryLog):
    story = await _project(engine, memory_log)
    held = [
        fact.sequence
        for fact in parse_facts(story.recorded)
        if fact.aggregate == "pool" and getattr(fact.event, "grant_id_before", None) == resales.SELLER
    ]
    assert [fact.tag for fact in parse_facts(story.recorded) if fact.sequence in held][:3] == [
        "pool.capacity_held.v1",
        "pool.capacity_released.v1",
        "pool.capacity_held.v1",
    ]
    told = {event.sequence for event in await _seen(engine, STARTUP)}
    assert set(held[:3]) <= told


async def test_sealed_orders_and_others_terms_are_not_shown(engine: AsyncEngine, memory_log: MemoryLog):
    facts = parse_facts((await _project(engine, memory_log)).recorded)
    facts = [fact for fact in facts if fact.aggregate == "issuer"]
    names = {
        fact.sequence: {getattr(fact.event, "holder_id", ""), getattr(fact.event, "holder_id_after", "")}
        for fact in facts
    }
    for party_id in (PROVIDER, FUND):
        seen = await _seen(engine, party_id)
        tags = {event.tag for event in seen}
        assert not {tag for tag in tags if tag.startswith("order.")}
        assert not tags & {"auction.cleared.v1", "auction.locked.v1", "issuer.liquidity_declared.v1"}
        shown = [event for event in seen if event.tag in {"issuer.financing_priced.v1", "issuer.option_granted.v1"}]
        joined = next(sequence for sequence, named in names.items() if party_id in named)
        assert all(event.sequence > joined for event in shown), "of common stock, whose holders see everything"
    provider = {event.tag for event in await _seen(engine, PROVIDER)}
    assert not {tag for tag in provider if tag.startswith(("instrument.", "mandate."))}
    assert provider >= {"grant.issued.v1", "pool.capacity_reserved.v1", "usage.reported.v1", "statement.issued.v1"}
    fund = {event.tag for event in await _seen(engine, FUND)}
    assert fund >= {"mandate.budget_held.v1", "grant.issued.v1", "instrument.converted.v1", "issuer.stock_issued.v1"}


async def test_nobody_sees_anothers_money_but_the_provider_its_credit(engine: AsyncEngine, memory_log: MemoryLog):
    story = await _project(engine, memory_log)
    accounts = [fact for fact in parse_facts(story.recorded) if fact.aggregate == "account"]
    owners = {fact.sequence: {fact.event.party_id, getattr(fact.event, "provider_id", None)} for fact in accounts}
    for party_id in (STARTUP, PROVIDER, FUND, STRANGER):
        money = [event for event in await _seen(engine, party_id) if event.aggregate == "account"]
        assert {event.tag for event in money if party_id not in owners[event.sequence]} == set(), party_id


async def test_every_type_of_event_is_for_everybody_for_nobody_or_for_those_whom_its_resource_names(
    engine: AsyncEngine, memory_log: MemoryLog
):
    """A party sees what is of an aggregate, or of a grant, service line or issuer, whose events so far name it."""
    story = await _project(engine, memory_log)
    facts = parse_facts(story.recorded)
    assert {fact.tag for fact in facts} == set(EVENT_TYPES)
    parties = {fact.id for fact in facts if fact.aggregate == "party"}
    seen = {party_id: {event.sequence for event in await _seen(engine, party_id)} for party_id in sorted(parties)}
    named, first = defaultdict[str, set[str]](set), dict[str, str]()
    for fact, recorded in zip(facts, story.recorded, strict=True):
        text = recorded.body.decode()
        related = re.findall(r"(?:grt|iss|svl)_[0-9a-z]{26}", text + first.setdefault(fact.id, text))
        shown = {party_id for party_id in parties if fact.sequence in seen[party_id]}
        named[fact.id] |= parties & set(re.findall(r"pty_[0-9a-z]{26}", text))
        if fact.tag in PUBLIC:
            assert shown == parties, fact.tag
        elif fact.aggregate in {"auction", "command"}:
            assert shown == set(), fact.tag
        else:
            assert shown <= named[fact.id].union(*(named[each] for each in related)), fact.tag


async def test_a_stranger_sees_the_public_market_only_until_a_grant_is_handed_to_it(
    engine: AsyncEngine, memory_log: MemoryLog
):
    story = tell_everything()
    transfer = next(r.sequence for r in story.recorded if r.envelope.type.endswith("grant.transferred.v1"))
    await fill(memory_log, story.until(transfer - 1))
    await project(engine, memory_log)
    before = {event.tag for event in await _seen(engine, STRANGER)}
    own = {"party.registered.v1", "party.cleared.v1", "party.suspended.v1"}
    assert before - own <= PUBLIC
    await fill(memory_log, story.recorded)
    await project(engine, memory_log)
    after = [event.tag for event in await _seen(engine, STRANGER) if event.sequence >= transfer]
    assert "grant.transferred.v1" in after


async def test_the_feed_goes_on_after_a_sequence_without_a_gap_or_a_repeat(engine: AsyncEngine, memory_log: MemoryLog):
    await _project(engine, memory_log)
    whole = await _seen(engine, STARTUP)
    async with engine.connect() as connection:
        after, pages = 0, []
        while page := await feed.list_events(connection, party_id=STARTUP, after=after, limit=9):
            assert len(page) <= 9
            pages += page
            after = page[-1].sequence
        assert pages == whole
        chosen = EventFilter(aggregate_id=make_id("ord", 1), until=whole[-1].sequence)
        one = await feed.list_events(connection, party_id=STARTUP, chosen=chosen)
        assert [event.tag for event in one][:2] == ["order.placed.v1", "order.amended.v1"]
        assert await feed.list_events(connection, party_id=FUND, chosen=chosen) == []
        assert await feed.is_visible(connection, whole[0].sequence, STARTUP)
        assert not await feed.is_visible(connection, one[0].sequence, FUND)


async def test_an_event_that_repeats_the_id_of_another_is_listed_beside_it(engine: AsyncEngine, memory_log: MemoryLog):
    """Whoever may store anything repeats a ``ce-id``; the tables take both, and the auditor names the second."""
    story = Story()
    begin(story)
    market.place_order(story, 1)
    *before, last = story.recorded
    envelope = structs.replace(last.envelope, id=before[0].envelope.id)
    envelope = structs.replace(envelope, hash=hash_message(last.subject, render_headers(envelope), last.body))
    await fill(memory_log, [*before, replace(last, envelope=envelope)])
    await project(engine, memory_log)
    chosen = EventFilter(event_id=envelope.id, until=last.sequence)
    async with engine.connect() as connection:
        found = await feed.list_events(connection, party_id=None, chosen=chosen)
    assert [event.sequence for event in found] == [before[0].sequence, last.sequence]


async def test_a_command_is_found_by_its_id_with_all_that_it_did(engine: AsyncEngine, memory_log: MemoryLog):
    story = Story()
    begin(story)
    last = market.place_order(story, 1)
    await fill(memory_log, story.recorded)
    await project(engine, memory_log)
    command_id = story.recorded[last - 1].envelope.causationid
    async with engine.connect() as connection:
        found = await feed.list_command_events(connection, command_id)
        assert [event.tag for event in found] == [
            "order.placed.v1",
            "account.hold_placed.v1",
            "mandate.budget_held.v1",
        ]
        assert {event.fingerprint for event in found} == {story.recorded[last - 1].envelope.fingerprint}
        assert await feed.list_command_events(connection, make_id("cmd", 999)) == []
        begun = story.recorded[0].envelope.time
        assert await feed.find_sequence_before(connection, begun) == 0
        assert await feed.find_sequence_before(connection, begun + timedelta(microseconds=1)) == 1
        assert await feed.find_sequence_before(connection, story.now + timedelta(days=1)) == last
        row = (await connection.execute(event_index.select().where(event_index.c.sequence == last))).mappings().one()
        far, later = 2 * BLOCK_ROWS + 5, story.now + timedelta(days=2)
        await connection.execute(event_index.insert().values({**row, "sequence": far, "occurred_at": later}))
        assert await feed.find_sequence_before(connection, later) == far - 1
        earlier = event_index.update().where(event_index.c.sequence == last)
        await connection.execute(earlier.values(occurred_at=begun - timedelta(days=1)))
        assert await feed.find_sequence_before(connection, begun) == 0, "an event of an earlier time hides none"


async def test_holders_see_as_deep_on_the_feed_as_over_http(engine: AsyncEngine, memory_log: MemoryLog):
    story = await _project(engine, memory_log)
    facts = parse_facts(story.recorded)
    parties = {fact.id for fact in facts if fact.aggregate == "party"}
    async with engine.connect() as connection:
        changes = WriteBatch()
        await holders.load(changes, facts, connection)
        for issuer_id in sorted({fact.id for fact in facts if fact.aggregate == "issuer"}):
            view = await find_issuer(connection, issuer_id)
            read = {party_id: await find_depth(connection, view, party_id) for party_id in sorted(parties)}
            assert holders.list_depths(changes, issuer_id) == {id: depth for id, depth in read.items() if depth}  # noqa: A001
    assert FUND in parties


async def test_a_relation_is_for_those_whom_it_names_and_others_see_only_marks(
    engine: AsyncEngine, memory_log: MemoryLog
):
    story = Story()
    register = {"register_id": REGISTER_ID, "reason": "the public register of owners"}
    first = {"relation_id": make_id("rel", 1), "party_id": STARTUP, "owner": "lei:5967007lieexzx4lpk21"}
    story.tell(RegisterRelationStated(**register, **first, kind="owner"))
    between = {"relation_id": make_id("rel", 2), "party_id": FUND, "related_id": PROVIDER}
    story.tell(RegisterRelationFound(**register, **between, kind="affiliate"))
    story.tell(RegisterRelationEnded(**register, **between, at=BEGIN))
    await fill(memory_log, story.recorded)
    await project(engine, memory_log)
    seen = {party_id: [event.sequence for event in await _seen(engine, party_id)] for party_id in (STARTUP, FUND)}
    assert seen == {STARTUP: [1], FUND: [2, 3]}
    assert [event.sequence for event in await _seen(engine, PROVIDER)] == [2, 3]
    assert await _seen(engine, STRANGER) == []

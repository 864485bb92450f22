"""What is in memory is never a state that the log did not have, however reads and events overtake one another."""

import gc
from dataclasses import replace
from decimal import Decimal

import pytest

from events.subjects import render_subject
from marketplace.application.billing import accounts
from marketplace.core.ids import rename_id
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.deciders import DECIDERS
from marketplace.execution.command_records import CommandRecord
from marketplace.execution.state_cache import Cache, CachedState
from marketplace.log.events import parse_event
from marketplace.log.port import Head
from tests.support.market.market import Market
from tests.support.market.meddling import Meddling


@pytest.fixture
async def market(memory_log):
    market = Market(memory_log)
    market.startup = await market.party("Startup", "startup", usd=100)
    market.account_id = rename_id("acc", market.startup)
    market.subject = render_subject("account", market.account_id)
    return market


async def deposit(market, reference):
    await accounts.deposit(
        market.handler, market.context(), market.account_id, amount_usd=Decimal(1), reference=reference
    )
    return (await market.log.load(market.subject))[-1]


async def test_an_event_that_is_noticed_while_its_aggregate_is_read_is_not_missed(market):
    slow = Meddling(market.log)
    cache = Cache(slow)

    async def overtake():
        cache.notice(await deposit(market, "overtaking"))

    slow.after_load = overtake
    assert (await cache.load(ACCOUNT, market.account_id)).state.available_usd == 101
    assert cache.find(market.subject).state.available_usd == 101
    assert len(slow.loads) == 2


async def test_an_event_that_is_noticed_while_an_append_is_in_flight_is_not_missed(market):
    cache = market.handler.cache
    entry = await cache.load(ACCOUNT, market.account_id)
    subject, last = entry.head.subject, entry.head.sequence
    head = Head(subject, None, "0" * 64)
    ahead = cache.put_pending(entry, entry.state, head)
    [stored] = [event for event in await market.log.load(subject) if event.sequence == last]
    cache.notice(replace(stored, sequence=last + 1))
    head.settle(last + 1)
    assert cache.find(subject) is ahead
    head = Head(subject, None, "1" * 64)
    cache.put_pending(ahead, entry.state, head)
    cache.notice(replace(stored, sequence=last + 3))
    head.settle(last + 2)
    assert cache.find(subject) is None


async def test_an_event_of_an_own_append_in_flight_is_part_of_the_state_and_no_other_is(market):
    cache = Cache(market.log)
    entry = await cache.load(ACCOUNT, market.account_id)
    head = Head(market.subject, None, "0" * 64)
    ahead = cache.put_pending(entry, entry.state, head)
    own = await deposit(market, "own")
    ahead.commands.put(own.envelope.causationid, CommandRecord("", head))
    foreign = await deposit(market, "foreign")
    assert not cache.includes(foreign)
    assert ahead.noticed < own.sequence
    assert cache.includes(own)
    assert ahead.noticed == own.sequence
    head.fail()
    assert not cache.includes(own)


async def test_an_event_that_does_not_follow_what_is_in_memory_is_not_folded_onto_it(market):
    cache = Cache(market.log)
    await cache.load(ACCOUNT, market.account_id)
    await deposit(market, "missed")
    last = await deposit(market, "seen")
    cache.apply(ACCOUNT, last, parse_event(last))
    assert cache.find(market.subject) is None
    assert (await cache.load(ACCOUNT, market.account_id)).state.available_usd == 102


async def test_what_another_process_stored_first_takes_the_place_of_what_is_in_flight(market):
    counted = Meddling(market.log)
    cache = Cache(counted)
    entry = await cache.load(ACCOUNT, market.account_id)
    heads = [Head(market.subject, None, "0" * 64), Head(market.subject, None, "1" * 64)]
    ahead = cache.put_pending(entry, entry.state, heads[0])
    cache.put_pending(ahead, entry.state, heads[1])
    counted.loads.clear()
    last = await deposit(market, "first")
    cache.apply(ACCOUNT, last, parse_event(last))
    assert [head.failed for head in heads] == [True, True]
    assert cache.find(market.subject).state.available_usd == 101
    assert counted.loads == []


async def test_what_a_feed_brought_is_read_on_before_a_no_rests_on_it(market):
    cache = Cache(market.log)
    entry = await cache.load(ACCOUNT, market.account_id)
    fed = await deposit(market, "fed")
    await deposit(market, "not fed yet")
    cache.apply(ACCOUNT, fed, parse_event(fed))
    assert cache.refresh(ACCOUNT, entry, to_end=False) is None
    assert (await cache.refresh(ACCOUNT, entry)).state.available_usd == 102
    assert cache.find(market.subject).state.available_usd == 102


async def test_a_reader_from_the_first_event_on_has_every_state_without_a_read(market):
    await deposit(market, "first")
    counted = Meddling(market.log)
    cache = Cache(counted)
    async for page in market.log.read():
        for recorded in page:
            aggregate = recorded.subject.split(".")[1]
            cache.apply(DECIDERS[aggregate], recorded, parse_event(recorded), from_first=True)
    assert (await cache.load(ACCOUNT, market.account_id)).state == await market.account(market.startup)
    assert counted.loads == []


async def test_the_aggregates_used_the_longest_ago_are_forgotten_first(market):
    cache = Cache(market.log, entries_max=2)
    other = await market.party("Other", "startup")
    third = await market.party("Third", "startup")
    for party in (market.startup, other, market.startup, third):
        await cache.load(ACCOUNT, rename_id("acc", party))
    kept = [cache.find(render_subject("account", rename_id("acc", party))) for party in (market.startup, other, third)]
    assert [entry is not None for entry in kept] == [True, False, True]


def list_entries(subject):
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, CachedState) and one.head.subject == subject]


async def test_of_an_aggregate_that_goes_on_and_on_only_its_last_states_are_kept(market):
    others = {id(one): one for one in list_entries(market.subject)}  # markets of other tests have the same ids
    for number in range(40):
        await deposit(market, f"deposit-{number}")
    assert 1 <= sum(id(one) not in others for one in list_entries(market.subject)) <= 2


async def test_a_stored_state_does_not_keep_the_one_before_it_in_memory(market):
    await deposit(market, "one")
    entry = market.handler.cache.find(market.subject)
    assert entry.is_stored()
    assert entry.chain is None

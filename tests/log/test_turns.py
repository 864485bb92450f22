"""Turns: whose command waits for whose, and for how long at most."""

import asyncio
import time

import pytest

from marketplace.log.jetstream import JetStreamLog
from marketplace.log.turns import REFUSED_BEFORE_ASKING, WAIT_SECONDS_MAX, Turns
from tests.support.patience import PATIENCE_SECONDS

SUBJECT = "marketplace.account.acc_1"
OTHER = "marketplace.account.acc_2"


def connect(count):
    """Return the turns of some processes that hear one another at once, and the messages between them."""
    messages, processes = [], []

    async def tell(message):
        messages.append(message)
        for each in processes:
            assert each.hear(message) == ""

    processes.extend(Turns(tell) for _ in range(count))
    return processes, messages


async def refuse(turns, claim, times=REFUSED_BEFORE_ASKING):
    for _ in range(times):
        await turns.ask(claim, [SUBJECT])


async def test_one_who_was_refused_often_is_let_go_first_until_it_is_served():
    (one, two), messages = connect(2)
    async with one.claim() as claim:
        await refuse(one, claim, REFUSED_BEFORE_ASKING - 1)
        assert messages == []
        await refuse(one, claim, 1)
        assert two.find_end(SUBJECT) > time.monotonic()
        assert (one.find_end(SUBJECT), two.find_end(OTHER)) == (0.0, 0.0)
        waiting = asyncio.create_task(two.wait(SUBJECT))
        await asyncio.sleep(0)
        assert not waiting.done()
    await asyncio.wait_for(waiting, PATIENCE_SECONDS)
    assert two.find_end(SUBJECT) == 0.0


async def test_of_several_the_oldest_goes_first():
    (one, two, three), _ = connect(3)
    async with one.claim() as oldest:
        await asyncio.sleep(0.002)
        async with two.claim() as younger:
            await refuse(two, younger)
            await refuse(one, oldest)
            assert one.find_end(SUBJECT) == 0.0
            assert two.find_end(SUBJECT)
            assert three.find_end(SUBJECT)
    assert three.find_end(SUBJECT) == 0.0


async def test_a_process_that_asks_and_is_never_heard_of_again_holds_nobody_for_long():
    (one, two), _ = connect(2)
    async with one.claim() as claim:
        await refuse(one, claim)
        begun = time.monotonic()
        await asyncio.wait_for(two.wait(SUBJECT), PATIENCE_SECONDS)
        assert time.monotonic() - begun <= WAIT_SECONDS_MAX + PATIENCE_SECONDS
        assert two.find_end(SUBJECT) == 0.0


async def test_many_refusals_of_many_commands_make_few_messages():
    (one, _), messages = connect(2)
    for _ in range(2):
        async with one.claim() as first, one.claim() as second:
            await refuse(one, first, 10)
            await refuse(one, second, 10)
    assert len(messages) < 10


@pytest.mark.parametrize("message", [b"", b"[]", b'{"process":"a"}', b'{"process":1,"subjects":[],"waited_seconds":1}'])
async def test_what_is_no_question_is_named(message):
    assert "it is not a request for a turn" in Turns().hear(message)


async def test_processes_hear_one_another_through_nats(jetstream_log, nats_server):
    other = await JetStreamLog.open(nats_server.url, stream=jetstream_log._stream.name)
    try:
        async with jetstream_log.turns.claim() as claim:
            await refuse(jetstream_log.turns, claim)
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not other.turns.find_end(SUBJECT):
                    await refuse(jetstream_log.turns, claim, 1)
                    await asyncio.sleep(0.01)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await other.turns.wait(SUBJECT)
    finally:
        await other.close()

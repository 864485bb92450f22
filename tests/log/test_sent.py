"""What a process sent comes back in its feed: only the very bytes are taken without a check."""

import pytest

from marketplace.log import feed
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.port import Head
from marketplace.log.sent import SENT_MAX, Sent
from tests.log.build import make_write, make_writes, new_subject


def build_message():
    (message,) = make_write(Head(new_subject())).messages
    return message


@pytest.mark.parametrize("changed", ["subject", "block", "body"])
def test_other_bytes_than_those_sent_are_not_taken(changed):
    message, known = build_message(), Sent()
    delivered = {"subject": "marketplace.order.one", "block": b"NATS/1.0\r\nce-id: a\r\n\r\n", "body": message.body}
    known.put(delivered["subject"], delivered["block"], message)
    other = {name: value + (b" " if isinstance(value, bytes) else "x") for name, value in delivered.items()}
    assert known.take(**delivered | {changed: other[changed]}) is None


def test_the_bytes_sent_are_taken_once():
    message, known = build_message(), Sent()
    known.put("s", b"block", message)
    assert known.take("s", b"block", message.body) is message.envelope
    assert known.take("s", b"block", message.body) is None


def test_what_never_comes_back_is_forgotten():
    message, known = build_message(), Sent()
    for number in range(SENT_MAX + 1):
        known.put("s", b"%d" % number, message)
    assert known.take("s", b"0", message.body) is None
    assert known.take("s", b"1", message.body) is message.envelope


@pytest.mark.parametrize("count", [1, 3], ids=["alone", "batch"])
async def test_a_follower_takes_own_events_as_any_reader_reads_them(jetstream_log: JetStreamLog, monkeypatch, count):
    """A server gives back exactly the header block that it got, also of an atomic batch."""
    parsed, parse = [], feed.parse_recorded
    monkeypatch.setattr(feed, "parse_recorded", lambda *given: parsed.append(given[0]) or parse(*given))
    last = await jetstream_log.append(make_writes(count))
    followed = jetstream_log.read(last, follow=True)
    writes = make_writes(count)
    end = await jetstream_log.append(writes)
    taken = []
    async for page in followed:
        taken += page
        if taken[-1].sequence == end:
            break
    assert taken == [await jetstream_log.find(one.sequence) for one in taken]
    assert [one.sequence for one in taken] == list(range(last + 1, end + 1))
    assert parsed == []

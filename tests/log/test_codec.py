"""The hash chain: recomputed independently, and every kind of tampering found."""

import hashlib
import json
from collections.abc import Callable

import msgspec
import pytest

from events.envelope import render_headers
from marketplace.core.errors import Corrupt
from marketplace.log.codec import Chain, seal, verify_chain
from marketplace.log.port import Head, Recorded
from tests.log.build import make_envelope, make_write, new_subject


def _record(count: int) -> list[Recorded]:
    head, rival = Head(new_subject()), Head(new_subject())
    events: list[Recorded] = []
    for number in range(count):
        write = make_write(head if number % 3 else rival, b'{"n":%d}' % number)
        message = write.messages[0]
        events.append(Recorded(number + 1, write.after.subject, message.envelope, message.body))
        head, rival = (write.head, rival) if number % 3 else (head, write.head)
    return events


def test_an_untouched_log_is_verified_to_its_end() -> None:
    assert verify_chain(_record(30)) == 30
    assert verify_chain([]) == 0


def test_the_hash_can_be_recomputed_from_the_headers_alone() -> None:
    event = _record(5)[-1]
    headers = render_headers(event.envelope)
    stored = headers.pop("ce-hash")
    line = json.dumps([event.subject, sorted(map(list, headers.items()))], separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(line.encode() + b"\n" + event.body).hexdigest() == stored


def _replace(index: int, **changes: object) -> Callable[[list[Recorded]], list[Recorded]]:
    def tamper(events: list[Recorded]) -> list[Recorded]:
        event = events[index]
        fields = {name: getattr(event, name) for name in ("sequence", "subject", "envelope", "body")} | changes
        return [*events[:index], Recorded(**fields), *events[index + 1 :]]

    return tamper


def _replace_attribute(index: int, **changes: object) -> Callable[[list[Recorded]], list[Recorded]]:
    def tamper(events: list[Recorded]) -> list[Recorded]:
        envelope = msgspec.structs.replace(events[index].envelope, **changes)
        return _replace(index, envelope=envelope)(events)

    return tamper


def _renumber(events: list[Recorded]) -> list[Recorded]:
    return [Recorded(n, event.subject, event.envelope, event.body) for n, event in enumerate(events, 1)]


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        pytest.param(_replace(4, body=b'{"n":9}'), "event 5 .* was changed", id="another body"),
        pytest.param(_replace(4, subject="marketplace.order.x"), "event 5 .* was changed", id="another subject"),
        pytest.param(_replace_attribute(4, actor="pty_thief"), "event 5 .* was changed", id="another actor"),
        pytest.param(_replace_attribute(4, previoushash=""), "event 5 .* was changed", id="unlinked"),
        pytest.param(_replace_attribute(4, hash="f" * 64), "event 5 .* was changed", id="another hash"),
        pytest.param(lambda events: events[:4] + events[5:], "event 6 .* follows sequence 4", id="a gap"),
        pytest.param(lambda events: _renumber(events[:4] + events[5:]), "was removed", id="removed, numbers closed up"),
        pytest.param(lambda events: _renumber([*events[:5], events[4], *events[5:]]), "inserted", id="stored twice"),
        pytest.param(lambda events: events[1:], "event 2 .* follows sequence 0", id="the first is missing"),
    ],
)
def test_tampering_is_found(tamper: Callable[[list[Recorded]], list[Recorded]], message: str) -> None:
    with pytest.raises(Corrupt, match=message):
        verify_chain(tamper(_record(9)))


@pytest.mark.parametrize("value", ["two words", "line\nfeed", "caf\u00e9", "100%", 'say "x"', " edge"])
def test_what_a_header_would_change_is_not_sealed(value: str) -> None:
    envelope = msgspec.structs.replace(make_envelope(new_subject()), actor=value)
    with pytest.raises(AssertionError, match="header ce-actor"):
        seal("marketplace.order.x", "", envelope, b"{}")


def test_a_walk_may_begin_in_the_middle() -> None:
    chain = Chain(after=4)
    for event in _record(9)[4:]:
        chain.check(event)
    assert chain.sequence == 9

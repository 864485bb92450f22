"""Faults that the simulator must find: that of the issue first, then one for each rule of the log.

Each is a change of the real code for as long as it is planted. Those marked as found were in the code until the
simulator showed them.
"""

import asyncio
import contextlib
from dataclasses import replace
from unittest.mock import patch

from marketplace.execution import state_cache
from marketplace.execution.command_records import CommandRecords
from marketplace.execution.handler import Handler
from marketplace.execution.processed_commands import ProcessedCommands
from marketplace.execution.state_cache import Cache, CachedState
from marketplace.execution.unit_of_work import UnitOfWork
from marketplace.log import appender, headers, pending
from marketplace.log.answers import Kind
from marketplace.log.appender import Appender
from marketplace.log.headers import render_block, render_publish, render_wire
from marketplace.log.pending import Guarded, PendingAppend
from tests.simulation.log.network import Servers

PLANTED = {}


def plant(name):
    def register(make):
        PLANTED[name] = contextlib.contextmanager(make)
        return make

    return register


def send_as_it_comes(group):
    """Make guards as the code once did: a pending head gives none."""
    messages, places = [], {}
    for append in group:
        for write in append.writes:
            for number, message in enumerate(write.messages):
                guard = write.after.sequence if number == 0 else None
                distance = len(messages) + 1 - places.get(write.after.subject, 0)
                messages.append(Guarded(write.after.subject, guard, distance, message))
                places[write.after.subject] = len(messages)
    return messages


@plant("what was refused in a second parting has its dependents sent without a guard")
def drop_guard_of_dependents():
    store, take_ready = Appender._store, Appender._take_ready

    async def store_loosely(self, group, parted=0):
        self.loose = getattr(self, "loose", 0) + (parted > 0)
        try:
            await store(self, group, parted)
        finally:
            self.loose -= parted > 0

    def take(self, group):
        if getattr(self, "loose", 0):
            return [append for append in group if not append.answer.done()]
        return take_ready(self, group)

    with (
        patch.object(Appender, "_store", store_loosely),
        patch.object(Appender, "_take_ready", take),
        patch.object(appender, "guard_messages", send_as_it_comes),
    ):
        yield


@plant("only the first subject of a batch is guarded")
def guard_one_subject():
    guard_messages = pending.guard_messages

    def guard_first(group):
        first, *others = guard_messages(group)
        return [first, *(each._replace(guard=None) for each in others)]

    with patch.object(appender, "guard_messages", guard_first):
        yield


@plant("the guard's header is in lower case")
def write_lower_case():
    with patch.object(headers, "_GUARD", headers._GUARD.lower()):
        yield


@plant("a decision is published event by event")
def publish_apart():
    async def send(self, group):
        for subject, guard, distance, message in pending.guard_messages(group):
            written = render_publish(subject, message, guard, None, distance)
            acknowledgement = await self._connection.request_wire(
                subject,
                lambda reply, s=subject, m=message, w=written: render_wire(s, reply, render_block(w), m.body),
                seconds_max=5,
            )
            answer = appender.parse_answer(acknowledgement.data, self._stream)
            if answer.kind is not Kind.STORED:
                return answer
        return answer

    with patch.object(Appender, "_send", send):
        yield


@plant("what builds on a refused append is kept")
def keep_dependents():
    def fail(self, error):
        if not self.answer.done():
            self.answer.set_exception(error)

    with patch.object(PendingAppend, "fail", fail):
        yield


@plant("an append without an answer is sent again without a look at the tails")
def look_nowhere():
    async def look(_, group):
        return True

    with patch.object(Appender, "_look", look), patch.object(Appender, "_doubt", staticmethod(lambda _: None)):
        yield


@plant("nothing was stored is said of an append whose answer was lost")
def forget_doubt():
    with patch.object(Appender, "_doubt", staticmethod(lambda _: None)):
        yield


@plant("ids do not name the event's subject and bytes, and a duplicate is taken for stored")
def rely_on_ids():
    def render(subject, message, *more):
        written = render_publish(subject, message, *more)
        return written | {"Nats-Msg-Id": message.envelope.causationid}

    parse_answer = appender.parse_answer

    def parse(payload, stream):
        answer = parse_answer(payload, stream)
        if answer.kind is Kind.REPEATED:
            return replace(answer, kind=Kind.STORED, sequence=1)
        return answer

    with patch.object(appender, "render_publish", render), patch.object(appender, "parse_answer", parse):
        yield


@plant("a repeated id is a failure of the server")
def name_the_command_only():
    def render(subject, message, *more):
        return render_publish(subject, message, *more) | {"Nats-Msg-Id": message.envelope.causationid}

    with patch.object(appender, "render_publish", render):
        yield


@plant("every head of an append is resolved to its last event")
def resolve_wrongly():
    def succeed(self, last):
        for write in self.writes:
            write.head.settle(last)
        if not self.answer.done():
            self.answer.set_result(last)
        return last - self.count

    with patch.object(PendingAppend, "succeed", succeed):
        yield


@plant("two decisions on one head go out together")
def take_rivals():
    with patch.object(appender, "follows", lambda *_: True):
        yield


@plant("a no is not confirmed at the end of the log")
def confirm_nothing():
    async def confirm(*_):
        return True

    with patch.object(Handler, "_confirm", confirm):
        yield


@plant("ends are read from a replica that may be behind")
def read_replicas():
    def find(self, request):
        end, last, find_last = self.look(), self.stream.last, find_from_leader
        with patch.object(self.stream, "last", lambda subject: self._last_at(subject, end) if last(subject) else 0):
            return find_last(self, request)

    find_from_leader = Servers.find_from_leader
    with patch.object(Servers, "find_from_leader", find):
        yield


@plant("an answer does not wait for what it rests on")
def wait_for_nothing():
    async def settle(*_):
        return True

    with patch.object(Handler, "_wait_until_durable", settle):
        yield


@plant("what a failed append left is taken for a repeat")
def keep_failed_traces():
    with (
        patch.object(CommandRecords, "find", lambda self, name: self._recent.get(name)),
        patch.object(UnitOfWork, "roll_back", lambda _: None),
    ):
        yield


@plant("a state that rests on a failed append is used")
def use_void_states():
    with patch.object(CachedState, "is_void", lambda _: False):
        yield


@plant("commands are forgotten when an aggregate is read")
def forget_commands():
    extend = state_cache._extend_by

    def extend_silently(decider, entry, recorded, event):
        extended = extend(decider, entry, recorded, event)
        extended.commands._recent.pop(recorded.envelope.causationid, None)
        return extended

    with patch.object(state_cache, "_extend_by", extend_silently):
        yield


@plant("the command of a caller that left is stored and forgotten, here, in the index of ids and by the server (found)")
def forget_who_left():
    async def find(self, command_id):
        return None

    def render(subject, message, *more):
        return render_publish(subject, replace(message, once=""), *more)

    append = Handler._store

    async def append_or_retract(self, unit, *more):
        try:
            return await append(self, unit, *more)
        except asyncio.CancelledError:
            for part in unit._parts.values():
                if part.after is not None:
                    part.after.chain.void = True
                    part.after.commands.drop(unit.context.command_id, part.after.head)
            raise

    with (
        patch.object(Handler, "_store", append_or_retract),
        patch.object(Cache, "apply", lambda self, _, recorded, *__: self.notice(recorded)),
        patch.object(ProcessedCommands, "find", find),
        patch.object(appender, "render_publish", render),
    ):
        yield


@plant("an event that is noticed while an append is in flight is missed (found)")
def miss_events():
    apply = Cache.apply

    def absorb_stored(self, decider, recorded, *more):
        entry = self._entries.get(recorded.subject)
        if entry is None or entry.head.sequence is not None:
            apply(self, decider, recorded, *more)

    with patch.object(Cache, "apply", absorb_stored):
        yield

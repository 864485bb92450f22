"""The model of JetStream answers as one real server and a real cluster of three do.

Both run the same scripts in step, made at random from a seed by the state of the model: publishes and batches
with right, stale, missing, misspelt and foreign guards, new and repeated ids, gaps and missing ends, and gets of every
kind that the log uses.
"""

import asyncio
import base64
import json
import random
from types import SimpleNamespace

import pytest

from tests.log.wire import reach
from tests.simulation.log.network import Faults, Servers
from tests.simulation.log.stream import BATCH, BATCHES_MAX, COMMIT, GUARD, GUARDED, ID, NUMBER, Wire
from tests.support.clients import connected
from tests.support.patience import PATIENCE_SECONDS

SEEDS = 8
STEPS = 50
STREAM = "MARKETPLACE"
CLUSTER = pytest.mark.xdist_group("nats-cluster")


def build_model(*, clustered, seed=0):
    """Return modelled servers that answer at once, as real ones do to a client that waits for each answer."""
    loop = SimpleNamespace(
        random=random.Random(seed), time=lambda: 0.0, now=0.0, steps=0, call_later=lambda _, call: call()
    )
    return Servers(loop, STREAM, clustered=clustered, faults=Faults(), window_seconds=120.0)


class Both:
    """A model and a real stream that get the same messages."""

    def __init__(self, client, servers, chance):
        self.client = client
        self.servers = servers
        self.random = chance
        self.ids = []
        self.seen = set()

    def make_message(self, subjects):
        """Return a subject and headers, whose guard may be right or wrong in every way."""
        chance, subject = self.random, self.random.choice(subjects)
        stream, headers = self.servers.stream, {}
        match chance.randrange(10):
            case 0:
                pass
            case 1:
                headers[GUARD.lower()] = str(chance.randrange(9))
            case 2:
                other = chance.choice(subjects)
                headers |= {GUARDED: other, GUARD: str(chance.choice([stream.last(other), 1]))}
            case 3 | 4:
                headers[GUARD] = str(chance.randrange(len(stream.stored) + 2))
            case _:
                headers[GUARD] = str(stream.last(subject))
        if chance.random() < 0.8:
            name = chance.choice(self.ids) if self.ids and chance.random() < 0.25 else f"id-{chance.random()}"
            self.ids.append(name)
            headers[ID] = name
        return subject, headers

    async def publish(self, messages):
        """Publish messages of which the last asks for an answer; both answers are the same."""
        answers = []
        for number, (subject, headers) in enumerate(messages, 1):
            take = answers.append if number == len(messages) else (lambda _: None)
            self.servers.publish(Wire(subject, b"", headers, b"{}"), take)
            if number < len(messages):
                await self.client.publish(subject, b"{}", headers=headers)
        subject, headers = messages[-1]
        answer = await self.client.request(subject, b"{}", headers=headers, timeout=PATIENCE_SECONDS)
        real = read_answer(json.loads(answer.data) if answer.data else None)
        model = read_answer(answers[-1] if answers else None)
        assert model == real, f"the model answers {model} to {messages}, the server {real}"
        self.seen.add(real[0])

    async def publish_batch(self, name, messages):
        """Publish a batch, which may have a gap, or a message without a number."""
        chance, numbered = self.random, []
        for number, (subject, headers) in enumerate(messages, 1):
            place = {BATCH: name, NUMBER: str(number)} | ({COMMIT: "1"} if number == len(messages) else {})
            if chance.random() < 0.03:
                del place[NUMBER]
            numbered.append((subject, headers | place))
        if len(numbered) > 1 and chance.random() < 0.1:
            del numbered[chance.randrange(len(numbered) - 1)]
        await self.publish(numbered)

    async def get(self, subjects):
        """Ask the leader and a replica; a replica that is behind is asked again."""
        chance, end = self.random, len(self.servers.stream.stored)
        subject = chance.choice(subjects)
        for request in (
            {"last_by_subj": subject},
            {"seq": chance.randint(1, end + 1)},
            {"seq": chance.randint(1, end + 1), "next_by_subj": subject},
        ):
            answer = await self.client.request(
                f"$JS.API.STREAM.MSG.GET.{STREAM}", json.dumps(request).encode(), timeout=PATIENCE_SECONDS
            )
            real, model = read_message(json.loads(answer.data)), read_message(self.servers.find_from_leader(request))
            assert model == real, f"the model answers {model} to {request}, the server {real}"
        for request in (
            {"seq": chance.randint(1, end + 1)},
            {"multi_last": chance.sample(subjects, 2)},
            {"seq": chance.randint(1, end + 1), "next_by_subj": subject, "batch": 2},
            {"seq": chance.randint(1, end + 1), "next_by_subj": "marketplace.>", "batch": 5},
        ):
            model = [read_direct(answer.data, answer.headers) for answer in self.servers.get_direct(request)]
            async with asyncio.timeout(PATIENCE_SECONDS):
                while (real := await self.get_direct(request)) != model:
                    assert len(self.servers.stream.stored) == end
                    await asyncio.sleep(0.05)

    async def get_direct(self, request):
        inbox = self.client.new_inbox()
        heard = await self.client.subscribe(inbox)
        await self.client.publish(f"$JS.API.DIRECT.GET.{STREAM}", json.dumps(request).encode(), reply=inbox)
        answers = []
        while True:
            message = await heard.next_msg(timeout=PATIENCE_SECONDS)
            answers.append(read_direct(message.data, message.headers or {}))
            if "batch" not in request and "multi_last" not in request:
                break
            if answers[-1][0] == "status":
                break
        await heard.unsubscribe()
        return answers


def read_answer(answer):
    """Return what a publish was answered, without its words."""
    if answer is None:
        return ("nothing",)
    error = answer.get("error")
    if error is not None:
        told = error["description"] if error["err_code"] == 10071 else ""
        return error["err_code"], told
    return "stored", answer["seq"], bool(answer.get("duplicate")), answer.get("batch"), answer.get("count")


def read_message(answer):
    error = answer.get("error")
    if error is not None:
        return error["err_code"]
    message = answer["message"]
    return message["subject"], message["seq"], base64.b64decode(message.get("data", ""))


def read_direct(data, headers):
    """Return subject, sequence and the one before, or the status that ends an answer."""
    last = headers.get("Nats-Last-Sequence")
    if not data:
        pending = headers.get("Nats-Num-Pending") if headers["Status"] == "204" else None
        return "status", headers["Status"], pending
    return headers["Nats-Subject"], int(headers["Nats-Sequence"]), last, headers["Nats-Stream"]


async def compare(servers, seed):
    """Run one script on a model and on real servers."""
    clustered = len(servers.members) > 1
    async with connected(servers.admin_url) as client:
        await reach(client)
        chance = random.Random(seed)
        both = Both(client, build_model(clustered=clustered), chance)
        subjects = [f"marketplace.order.m{number}" for number in range(4)]
        for number in range(STEPS):
            match chance.randrange(5):
                case 0 | 1:
                    await both.publish([both.make_message(subjects)])
                case 2 | 3:
                    messages = [both.make_message(subjects) for _ in range(chance.randint(1, 5))]
                    await both.publish_batch(f"batch-{number}", messages)
                case _:
                    await both.get(subjects)
        return both.seen


@pytest.mark.usefixtures("log")
class ModelCases:
    """Needs the fixtures `log`, an empty stream, and `servers`."""

    @pytest.mark.parametrize("seed", range(SEEDS))
    async def test_it_answers_as_the_servers_do(self, servers, seed):
        assert await compare(servers, seed) >= {"stored", 10071, 10201}

    async def test_it_takes_no_batch_that_is_too_large_and_not_too_many_at_once(self, servers):
        async with connected(servers.admin_url) as client:
            await reach(client)
            model = build_model(clustered=len(servers.members) > 1)
            both = Both(client, model, SimpleNamespace(random=lambda: 1.0))
            subject = "marketplace.order.large"
            for number in range(BATCHES_MAX + 1):
                opening = {BATCH: f"open-{number}", NUMBER: "1"}
                answers = []
                model.publish(Wire(subject, b"", opening, b"{}"), answers.append)
                answer = await client.request(subject, b"{}", headers=opening, timeout=PATIENCE_SECONDS)
                real = read_answer(json.loads(answer.data) if answer.data else None)
                assert real == read_answer(answers[-1] if answers else None)
            assert real[0] == 10210
        async with connected(servers.admin_url) as client:
            both = Both(client, build_model(clustered=len(servers.members) > 1), SimpleNamespace(random=lambda: 1.0))
            late = {BATCH: "open-0", NUMBER: "1001", COMMIT: "1"}
            await both.publish([(subject, late | {BATCH: "unknown"})])
            assert both.seen == {10199}

    async def test_rivals_that_arrive_at_once_are_answered_as_the_model_may(self, servers):
        clustered = len(servers.members) > 1
        async with connected(servers.admin_url) as client:
            await reach(client)
            seen = set()
            for number in range(30):
                subject = f"marketplace.order.rival{number}"
                answers = await asyncio.gather(
                    *(
                        client.request(
                            subject, b"{}", headers={GUARD: "0", ID: f"{subject}/{rival % 2}"}, timeout=PATIENCE_SECONDS
                        )
                        for rival in range(4)
                    )
                )
                read = [read_answer(json.loads(answer.data)) for answer in answers]
                assert len({each[1] for each in read if each[0] == "stored"}) == 1
                seen |= {(each[0], each[2] if each[0] == "stored" else None) for each in read}
            allowed = {("stored", False), (10071, None)}
            assert seen <= (allowed | {("stored", True), (10158, None), (10164, None)} if clustered else allowed)


class TestOneServer(ModelCases):
    @pytest.fixture
    def log(self, jetstream_log):
        return jetstream_log

    @pytest.fixture
    def servers(self, nats_server):
        return nats_server


@CLUSTER
class TestCluster(ModelCases):
    @pytest.fixture
    def log(self, jetstream_cluster_log):
        return jetstream_cluster_log

    @pytest.fixture
    def servers(self, nats_cluster):
        return nats_cluster

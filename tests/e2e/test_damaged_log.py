"""A market whose log is damaged or put back, on real servers: what goes on, what waits, and what an operator does."""

import asyncio
import base64
import os
import shutil

import httpx
import msgspec
import nats.errors
import pytest

from events.subjects import LOG_ID, render_subject
from marketplace.cli.console import LOG_CHANGED
from marketplace.cli.stack import open_stack
from marketplace.core.errors import MarketplaceError
from marketplace.embedded.folder import temporary_folder
from marketplace.embedded.nats import embedded_nats
from marketplace.embedded.postgres import embedded_postgres
from marketplace.log.codec import parse_recorded, seal
from marketplace.log.connection import Connection
from marketplace.log.headers import parse_block, render_publish
from marketplace.log.port import Message
from marketplace.runtime.process.config import render_environment
from tests.log.build import make_envelope
from tests.support.commands import run_command
from tests.support.disk import small_disk
from tests.support.patience import PATIENCE_SECONDS

PARTY = {"roles": ["startup"], "jurisdiction": "US"}


class Market:
    """A running stack, as its clients and its operator see it."""

    def __init__(self, stack):
        self.stack = stack
        headers = {"Authorization": f"Bearer {stack.settings.admin_key}"}
        self.client = httpx.AsyncClient(base_url=stack.api_url, headers=headers, timeout=PATIENCE_SECONDS)
        self.count = 0

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.client.aclose()

    async def post(self, path, body=None, key=None):
        self.count += 1
        headers = {"Idempotency-Key": key or f"key-{os.urandom(8).hex()}"}
        return await self.client.post(path, json=body or {}, headers=headers)

    async def register(self, name):
        answer = await self.post("/v1/parties", {"name": name, **PARTY})
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def ready(self):
        return (await self.client.get("/health/ready")).json()

    async def wait_for(self, question, wanted):
        for _ in range(int(PATIENCE_SECONDS * 5)):
            found = await question()
            if found == wanted:
                return
            await asyncio.sleep(0.2)
        raise AssertionError(
            found, wanted, {name: role.log.read_text()[-2_000:] for name, role in self.stack.roles.items()}
        )

    async def command(self, *arguments):
        """Run our command line as an operator does."""
        return await run_command(*arguments, environment=render_environment(self.stack.settings))


class Intruder:
    """Somebody with the rights to store anything."""

    def __init__(self, connection):
        self.connection = connection

    async def store(self, subject, headers, body):
        """Store a message as it is, and return its sequence and its hash."""
        answer = await self.connection.client.request(subject, body, headers=headers or None, timeout=PATIENCE_SECONDS)
        sequence = msgspec.json.decode(answer.data)["seq"]
        return sequence, parse_recorded(sequence, subject, headers, body).damage

    async def seal(self, subject, after, event_type, body, *, altered=False):
        """Store an event that is sealed onto the last one of its subject, its body altered afterwards if so wished."""
        named = msgspec.structs.replace(make_envelope(subject), type=event_type)
        message = seal(subject, after, named, body)
        headers = render_publish(subject, Message(message.envelope, message.body), None, None)
        del headers["Marketplace-Previous-Distance"]
        sequence, damage = await self.store(subject, headers, body + b" " if altered else body)
        return sequence, damage.hash if altered else message.envelope.hash


async def find_last(connection, subject):
    answer = await connection.client.request(
        "$JS.API.STREAM.MSG.GET.MARKETPLACE", msgspec.json.encode({"last_by_subj": subject}), timeout=PATIENCE_SECONDS
    )
    message = msgspec.json.decode(answer.data)["message"]
    return parse_block(base64.b64decode(message["hdrs"]))[1]["ce-hash"]


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("stack")
async def test_events_that_nobody_can_read_stop_what_rests_on_them_until_they_are_annotated(tmp_path):
    with temporary_folder("marketplace-damaged-") as folder:
        async with open_stack(folder / "data") as stack, Market(stack) as market:
            damaged = await damage(market)
            await what_goes_on(market, damaged)
        async with open_stack(folder / "data") as stack, Market(stack) as market:  # `up` starts again on such a log
            assert (await market.ready())["commands"]
            await what_goes_on(market, damaged)
            await is_named_as_unreadable(market, [sequence for _, sequence, _ in damaged])
            await annotate(market, damaged)
            await is_named_as_unreadable(market, [])
            await take_away_and_bring_back(market, folder)


async def damage(market):
    """Store what is no event, what no release knows, a body that is none, altered bytes, and what follows nothing."""
    parties = [await market.register(name) for name in ("Garbage", "Future", "Nonsense", "Altered", "Unlinked")]
    subjects = [render_subject("party", party["id"]) for party in parties]
    connection = await Connection.open(market.stack.settings.nats_admin_url, "tests-admin")
    intruder = Intruder(connection)
    try:
        sequence, found = await intruder.store(subjects[0], {}, b"garbage \xff")
        future = await intruder.seal(
            subjects[1], await find_last(connection, subjects[1]), "marketplace.party.promoted.v1", b'{"type":"?"}'
        )
        body = await intruder.seal(
            subjects[2], await find_last(connection, subjects[2]), "marketplace.party.cleared.v1", b"{"
        )
        cleared = b'{"type":"party.cleared.v1","party_id":"%b","checks":["sanctions"]}'
        last = await find_last(connection, subjects[3])
        altered = await intruder.seal(
            subjects[3], last, "marketplace.party.cleared.v1", cleared % parties[3]["id"].encode(), altered=True
        )
        unlinked = await intruder.seal(
            subjects[4], "0" * 64, "marketplace.party.cleared.v1", cleared % parties[4]["id"].encode()
        )
    finally:
        await connection.close()
    found_all = [(sequence, found.hash), future, body, altered, unlinked]
    return [(party["id"], *each) for party, each in zip(parties, found_all, strict=True)]


async def what_goes_on(market, damaged):
    fine = await market.register(f"Fine {os.urandom(4).hex()}")
    assert (await market.post(f"/v1/parties/{fine['id']}/clear", {"checks": ["sanctions"]})).status_code == 200
    for party_id, sequence, _ in damaged:
        refused = await market.post(f"/v1/parties/{party_id}/suspend", {"reason": "late"})
        assert (refused.status_code, refused.json()["code"]) == (503, "event_unreadable")
        assert refused.json()["facts"]["sequence"] == sequence
    assert (await market.client.get("/v1/orders")).status_code == 200
    ready = await market.ready()
    assert ready["commands"], ready
    first = min(sequence for _, sequence, _ in damaged)

    async def find_stopped():
        return (await market.ready())["stopped_projections"]

    async def find_names():
        return set(await find_stopped()) & {"feed", "parties"}

    await market.wait_for(find_names, {"feed", "parties"})
    assert set((await find_stopped()).values()) == {first - 1}
    late = {"Min-Seq": str(fine["sequence"])}
    stale = await market.client.get(f"/v1/parties/{fine['id']}", headers=late)
    assert (stale.status_code, stale.json()["code"]) == (503, "projection_stopped")
    assert (await market.client.get("/v1/orders", headers=late)).status_code == 200
    assert (await market.client.get(f"/v1/parties/{damaged[0][0]}")).status_code == 200
    code, said = await market.command("projections", "list")
    assert (code, f"stopped at {first}" in said) == (0, True), said
    assert all(role.child.running for role in market.stack.roles.values())
    assert f'"sequence": {first}' in market.stack.roles["worker"].log.read_text()


async def is_named_as_unreadable(market, sequences):
    """Ready names what was damaged before the process began: the worker, which reads the whole log, says so."""

    async def find_unreadable():
        ready = await market.ready()
        return ready["unreadable"], ready["stuck_tasks"]

    await market.wait_for(find_unreadable, (sequences, {}))


async def annotate(market, damaged):
    (_, first, first_hash), (_, future, future_hash), (_, body, body_hash), altered, (kept_id, unlinked, link) = damaged
    reason = ("--reason", "stored by an intruder; the case is in our records")
    code, said = await market.command("log", "annotate", str(first), "--hash", "0" * 64, *reason)
    assert (code, "hash_differs" in said) == (2, True), said
    code, said = await market.command("log", "annotate", "1", "--hash", "0" * 64, *reason)
    assert (code, "event_readable" in said) == (2, True), said
    code, said = await market.command("log", "annotate", str(future), "--hash", future_hash, *reason)
    assert (code, "type_maybe_newer" in said) == (2, True), said
    code, said = await market.command("log", "annotate", str(first), "--hash", first_hash, "--keep", *reason)
    assert (code, "event_not_keepable" in said) == (2, True), said
    code, said = await market.command("log", "verify")
    assert (code, f"event {first} " in said) == (1, True), said
    for arguments in (
        (str(first), "--hash", first_hash),
        (str(future), "--hash", future_hash, "--no-release-knows-it"),
        (str(body), "--hash", body_hash),
        (str(altered[1]), "--hash", altered[2]),
        (str(unlinked), "--hash", link, "--keep"),
    ):
        code, said = await market.command("log", "annotate", *arguments, *reason)
        said_effect = "is kept" if "--keep" in arguments else "is passed over"
        assert (code, said_effect in said) == (0, True), said

    async def find_stopped():
        return (await market.ready())["stopped_projections"]

    await market.wait_for(find_stopped, {})
    states = {one: (await market.client.get(f"/v1/parties/{one}")).json()["status"] for one, _, _ in damaged}
    assert {one for one, status in states.items() if status == "cleared"} == {kept_id}
    for party_id, _, _ in damaged:

        async def suspend(party_id=party_id):
            return (await market.post(f"/v1/parties/{party_id}/suspend", {"reason": "late"})).status_code

        await market.wait_for(suspend, 200)
    assert all(role.child.running for role in market.stack.roles.values())
    code, said = await market.command("projections", "verify")
    assert (code, "different" in said) == (0, False), said


async def take_away_and_bring_back(market, folder):
    code, said = await market.command("log", "verify")
    assert (code, "except 5 annotated" in said) == (0, True), said
    file = folder / "log.gz"
    code, said = await market.command("log", "export", "--to", str(file))
    assert code == 0, said
    code, said = await market.command("log", "verify", "--file", str(file))
    assert (code, "except 5 annotated" in said) == (0, True), said
    code, said = await market.command("log", "import", str(file), "--data", str(folder / "again"))
    assert code == 0, said
    async with open_stack(folder / "again") as stack, Market(stack) as again:
        code, said = await again.command("log", "verify")
        assert (code, "except 5 annotated" in said) == (0, True), said
        await again.register("After the import")


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("stack")
async def test_an_old_store_under_a_market_is_refused_until_the_loss_is_accepted(tmp_path):
    with temporary_folder("marketplace-rolled-") as folder:
        data, store = folder / "data", folder / "data" / "nats" / "server-1" / "store"
        async with open_stack(data) as stack, Market(stack) as market:
            kept = await market.register("Kept")
        shutil.copytree(store, folder / "copy")
        async with open_stack(data) as stack, Market(stack) as market:
            lost = [await market.register(f"Lost {number}") for number in range(30)]
            late = {"Min-Seq": str(lost[-1]["sequence"])}
            assert (await market.client.get(f"/v1/parties/{lost[-1]['id']}", headers=late)).status_code == 200
            settings = stack.settings
        put_back(store, folder / "copy")
        with pytest.raises(MarketplaceError, match=r"log_rolled_back.*accept-loss"):
            async with open_stack(data):
                raise AssertionError("a market opened on a log that went back")
        async with embedded_nats(data / "nats") as servers, embedded_postgres(data / "postgres") as database:
            settings = msgspec.structs.replace(
                settings,
                nats_url=servers.url,
                nats_admin_url=servers.admin_url,
                nats_system_url=servers.system_url,
                database_url=database.url,
            )
            code, said = await accept_loss(settings, "no newer backup")
            assert (code, "the projections begin anew" in said) == (0, True), said
            code, said = await accept_loss(settings, "again")
            assert (code, "log_not_changed" in said) == (2, True), said
        async with open_stack(data) as stack, Market(stack) as market:
            new = await market.register("New")
            late = {"Min-Seq": str(new["sequence"])}
            found = (await market.client.get("/v1/parties", headers=late)).json()["items"]
            assert {party["name"] for party in found} == {"Kept", "New"}
            assert kept["id"] in {party["party_id"] for party in found}
            code, said = await market.command("log", "show", "log", LOG_ID)
            assert "log.loss_accepted.v1" in said


async def accept_loss(settings, reason):
    environment = render_environment(settings)
    return await run_command("log", "accept-loss", "--reason", reason, environment=environment)


def put_back(store, copy):
    shutil.rmtree(store)
    shutil.copytree(copy, store)


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("stack")
async def test_every_process_stops_by_name_when_an_old_store_comes_up_under_it():
    with temporary_folder("marketplace-swapped-") as folder:
        store = folder / "nats" / "server-1" / "store"
        async with embedded_nats(folder / "nats") as servers:
            async with open_stack(folder / "data", nats_url=servers.admin_url) as stack, Market(stack) as market:
                await market.register("Kept")
            servers.kill(0)
            shutil.copytree(store, folder / "copy")
            await servers.start(0)
            async with open_stack(folder / "data", nats_url=servers.admin_url) as stack, Market(stack) as market:
                for number in range(30):
                    await market.register(f"Lost {number}")
                servers.kill(0)
                put_back(store, folder / "copy")
                await servers.start(0)
                acknowledged = await asyncio.gather(
                    *(market.post("/v1/parties", {"name": f"Late {number}", **PARTY}) for number in range(10)),
                    return_exceptions=True,
                )
                assert [answer for answer in acknowledged if getattr(answer, "status_code", 0) == 201] == []
                ended = await asyncio.wait_for(stack.watch(print), PATIENCE_SECONDS)
                assert "log_rolled_back" in ended
                for name, role in stack.roles.items():
                    for _ in range(int(PATIENCE_SECONDS * 5)):
                        if not role.child.running:
                            break
                        await asyncio.sleep(0.2)
                    assert role.child.exit_code == LOG_CHANGED, name
                    assert "log_rolled_back" in role.log.read_text(), name


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("stack")
async def test_a_position_that_a_full_disk_left_empty_stops_a_market_until_an_operator_accepts_it():
    with temporary_folder("marketplace-gap-") as folder, small_disk(folder) as disk:
        async with embedded_nats(disk.folder / "nats", free_bytes_min=1) as servers:
            async with open_stack(folder / "data", nats_url=servers.admin_url) as stack, Market(stack) as market:
                await leave_empty(servers, market, disk)
                await what_an_empty_position_stops(market)
            async with open_stack(folder / "data", nats_url=servers.admin_url) as stack, Market(stack) as market:
                await what_an_empty_position_stops(market)
                await accept_the_gap(market)
                await take_a_gap_away_and_bring_it_back(market, folder)


async def leave_empty(servers, market, disk):
    """Let the first append to a market's log find no room on the disk of its only server; then make room."""
    assert (await market.ready())["log_sequence"] == 0
    disk.fill(servers.members[0].child.pid)
    connection = await Connection.open(servers.admin_url, "tests-admin")
    try:
        with pytest.raises(nats.errors.TimeoutError):  # a lone message; of a batch the server keeps all or nothing
            await connection.client.request(render_subject("party", "one"), b"{}", timeout=2)
    finally:
        await connection.close()
        disk.free(servers.members[0].child.pid)
    await servers.restart(0)


async def what_an_empty_position_stops(market):
    async def find_named():
        ready = await market.ready()
        return (
            ready["commands"],
            ready["unreadable"],
            "`marketplace log accept-gap 1 --reason" in (ready["reason"] or ""),
        )

    await market.wait_for(find_named, (False, [1], True))
    refused = await market.post("/v1/parties", {"name": "Refused", **PARTY}, "refused")
    assert (refused.status_code, refused.json()["code"]) == (503, "log_gap"), refused.text
    assert "accept-gap 1" in refused.json()["detail"]
    assert all(role.child.running for role in market.stack.roles.values())
    for arguments in (("verify",), ("audit",)):
        code, said = await market.command("log", *arguments)
        assert (code, "empty" in said) == ({"verify": 1, "audit": 3}[arguments[0]], True), said


async def accept_the_gap(market):
    database = ("--database-url", market.stack.settings.database_url)
    code, said = await market.command("log", "annotate", "1", "--hash", "0" * 64, "--reason", "x")
    assert (code, "position_empty" in said) == (2, True), said
    code, said = await market.command("log", "accept-gap", "1", "--event-is-lost", "--reason", "disk", *database)
    assert (code, "event_not_lost" in said) == (2, True), said
    code, said = await market.command("log", "accept-gap", "1", "--reason", "the disk was full", *database)
    assert (code, "accepted as empty at event 2: nothing proves" in said) == (0, True), said

    async def register():
        return (await market.post("/v1/parties", {"name": "Refused", **PARTY}, "refused")).status_code

    await market.wait_for(register, 201)
    fine = await market.register("Fine")

    async def find_open():
        ready = await market.ready()
        return ready["commands"], ready["unreadable"], ready["stopped_projections"]

    await market.wait_for(find_open, (True, [], {}))
    late = {"Min-Seq": str(fine["sequence"])}
    found = (await market.client.get("/v1/parties", headers=late)).json()["items"]
    assert {party["name"] for party in found} == {"Refused", "Fine"}
    events = (await market.client.get("/v1/events?after=0")).json()
    sequences = [item["sequence"] for item in events["items"]]
    assert sequences == list(range(2, len(sequences) + 2))
    for arguments in (("log", "audit"), ("projections", "rebuild", "parties"), ("projections", "verify")):
        code, said = await market.command(*arguments)
        assert (code, "different" in said) == (0, False), said


async def take_a_gap_away_and_bring_it_back(market, folder):
    file = folder / "gap.gz"
    for arguments in (("verify",), ("export", "--to", str(file)), ("verify", "--file", str(file))):
        code, said = await market.command("log", *arguments)
        assert code == 0, said
        assert "verify" not in arguments or "except 1 accepted as empty" in said, said
    code, said = await market.command("log", "import", str(file), "--data", str(folder / "again"))
    assert code == 0, said
    async with open_stack(folder / "again") as stack, Market(stack) as again:
        after = await again.register("After the import")
        assert after["sequence"] > 3
        for arguments in (("verify",), ("audit",)):
            code, said = await again.command("log", *arguments)
            assert (code, "empty" in said) == (0, True), said

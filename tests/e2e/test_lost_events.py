"""Events that the database has seen and the log no longer has, on real servers and running processes."""

import asyncio
import os
import shutil
import sys
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial

import httpx
import pytest

from marketplace.cli.console import LOG_CHANGED
from marketplace.cli.stack import open_stack
from marketplace.embedded.folder import temporary_folder
from marketplace.embedded.nats import embedded_nats
from marketplace.embedded.process import find_free_port
from marketplace.log.connection import Connection
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.migrate import migrate
from marketplace.projections.engine.runner import Projector
from marketplace.projections.engine.watch import WAIT_SECONDS_MAX, watch
from marketplace.projections.registry import PROJECTIONS
from marketplace.runtime.process.config import Settings, render_environment
from marketplace.runtime.process.secrets import new_admin_key, new_secret
from tests.api.stage import build_terms
from tests.chaos.stack import Process
from tests.e2e.test_damaged_log import Market, put_back
from tests.log.test_checks import GOOD, call
from tests.log.test_gaps import open_unchecked
from tests.support.commands import run_command
from tests.support.market.market import Market as Desk
from tests.support.patience import PATIENCE_SECONDS

NEW = {"name": "New", "roles": ["startup"], "jurisdiction": "US"}
REASON = ("--reason", "a disk lost it")
BUSY = {"nats_unavailable", "postgresql_unavailable", "projection_behind", "follower_behind"}


async def write_events(servers):
    """Store three parties' events in a stream that still lets events be deleted; return each one's last sequence."""
    admin = await Connection.open(servers.admin_url, "tests-admin")
    settings = GOOD | {"deny_delete": False, "num_replicas": len(servers.members)}
    try:
        await call(admin, "CREATE", settings)
        log = await open_unchecked(servers)
        desk, last = Desk(log), {}
        for name in ("One", "Two", "Three"):
            party_id = await desk.party(name, "startup")
            last[party_id] = (await log.health()).last_sequence
        await log.close()
    finally:
        await admin.close()
    return last


async def lose(servers, *sequences):
    """Delete events behind the log's back, if any, and set the stream up as a log."""
    admin = await Connection.open(servers.admin_url, "tests-admin")
    try:
        for sequence in sequences:
            await call(admin, "MSG.DELETE", {"seq": sequence})
        await call(admin, "UPDATE", GOOD | {"num_replicas": len(servers.members)})
    finally:
        await admin.close()


@asynccontextmanager
async def running_market(folder):
    """Yield a market that has projected every event, the servers, and each party's last event; a copy can lose some."""
    store = folder / "nats" / "server-1" / "store"
    async with embedded_nats(folder / "nats") as servers:
        last = await write_events(servers)
        servers.kill(0)
        shutil.copytree(store, folder / "copy")
        await servers.start(0)
        await lose(servers)
        async with open_stack(folder / "data", nats_url=servers.admin_url) as stack, Market(stack) as market:

            async def find_projected():
                return (await market.ready())["projected_sequence"]

            await market.wait_for(find_projected, max(last.values()))
            yield market, servers, last


async def put_a_copy_without(servers, folder, sequence):
    servers.kill(0)
    put_back(folder / "nats" / "server-1" / "store", folder / "copy")
    await servers.start(0)
    await lose(servers, sequence)


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("stack")
async def test_the_loss_of_the_newest_event_stops_every_process_by_name():
    with temporary_folder("marketplace-lost-") as folder:
        async with running_market(folder) as (market, servers, last):
            lost = max(last.values())
            hearing = asyncio.create_task(hear_until_it_ends(market))
            await put_a_copy_without(servers, folder, lost)
            said = await hearing
            assert not said[-1]["commands"]
            assert f"position {lost} " in said[-1]["reason"], [one["reason"] for one in said]
            settings = market.stack.settings
            ended = await asyncio.wait_for(market.stack.watch(print), PATIENCE_SECONDS)
            assert "log_rolled_back" in ended
            for name, role in market.stack.roles.items():
                await wait_until_ended(role)
                assert role.child.exit_code == LOG_CHANGED, name
                printed = role.log.read_text()
                assert f"has seen event {lost} with the hash" in printed, name
                assert f"position {lost} is empty" in printed, name
            await accept_the_loss(settings, lost)
        async with embedded_nats(folder / "nats") as servers:
            await goes_on_after_a_loss(folder, servers, lost)


async def hear_until_it_ends(market):
    """Return what ready says until the API answers no more."""
    said = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                said.append(await market.ready())
            except httpx.TransportError:
                return said
            await asyncio.sleep(0.05)


async def wait_until_ended(role):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while role.child.running:  # noqa: ASYNC110 - a process does not tell
            await asyncio.sleep(0.1)


async def accept_the_loss(settings, lost):
    environment = render_environment(settings)
    code, said = await run_command("log", "accept-gap", str(lost), *REASON, environment=environment)
    assert (code, "log_rolled_back" in said, "accept-loss" in said) == (LOG_CHANGED, True, True), said
    code, said = await run_command("log", "accept-loss", *REASON, environment=environment)
    assert (code, f"event {lost}" in said) == (0, True), said
    code, said = await run_command("log", "accept-gap", str(lost), *REASON, environment=environment)
    assert (code, "nothing proves" in said) == (0, True), said


async def goes_on_after_a_loss(folder, servers, lost):
    async with open_stack(folder / "data", nats_url=servers.admin_url) as stack, Market(stack) as market:
        new = await market.register("New")
        late = {"Min-Seq": str(new["sequence"])}
        found = (await market.client.get("/v1/parties", headers=late)).json()["items"]
        assert sorted((party["name"], party["status"]) for party in found) == [
            ("New", "registered"),
            ("One", "cleared"),
            ("Three", "registered"),
            ("Two", "cleared"),
        ]
        assert lost not in [item["sequence"] for item in (await market.client.get("/v1/events")).json()["items"]]


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("stack")
async def test_an_event_that_only_the_database_knows_is_lost_by_the_operators_word_alone_and_its_party_goes_on():
    with temporary_folder("marketplace-lost-") as folder:
        async with running_market(folder) as (market, servers, last):
            party_id, lost = sorted(last.items(), key=lambda item: item[1])[1]
            order = {"startup_id": party_id, "terms": build_terms(lambda days: f"2099-01-{days:02}T00:00:00Z")}
            refused = await market.post("/v1/orders", order)  # the API has this party in memory now
            assert refused.json()["code"] == "funds_insufficient", refused.text
            await put_a_copy_without(servers, folder, lost)
            settings = market.stack.settings
            await what_a_lost_event_stops([market.client], lost)
            feed = f"/v1/events?aggregate_id={party_id}&after={lost - 1}"
            unread = await market.client.get(feed)  # the index in PostgreSQL still names the event
            assert (unread.status_code, unread.json()["code"]) == (503, "event_unreadable"), unread.text
            assert f"accept-gap {lost}" in unread.json()["detail"]
            await accept_the_lost_event(settings, party_id, lost)
            for act, body in (("clear", {"checks": ["sanctions"]}), ("suspend", {"reason": "late"})):

                async def ask(act=act, body=body):
                    return (await market.post(f"/v1/parties/{party_id}/{act}", body)).status_code

                await market.wait_for(ask, 200)
            page = await market.client.get(feed, headers={"Min-Seq": str(lost + 6)})
            sequences = [item["sequence"] for item in page.json()["items"]]
            assert sequences == [lost + 5, lost + 6], sequences
            assert "market_read_again" in market.stack.roles["worker"].log.read_text()
            code, said = await market.command("projections", "rebuild", "parties")
            assert code == 0, said
            code, said = await market.command("projections", "verify", "parties")
            assert (code, "different" in said) == (0, False), said
            assert all(role.child.running for role in market.stack.roles.values())
            printed = "".join(role.log.read_text() for role in market.stack.roles.values())
            assert not [word for word in ("Traceback", "projections_stopped", "log annotate") if word in printed], (
                printed
            )


async def wait_until_ready(client, reason="", **wanted):
    """Wait until a process, which may still begin, says all of this; `reason` is a part of its reason."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with suppress(httpx.ConnectError):
                ready = (await client.get("/health/ready")).json()
                if {name: ready.get(name) for name in wanted} == wanted and reason in (ready.get("reason") or ""):
                    return
            await asyncio.sleep(0.1)


async def ask(send):
    """Return the answer of a process that is not busy: one that is behind, or hears no server, is asked again."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            answer = await send()
            if answer.status_code != 503 or answer.json()["code"] not in BUSY:
                return answer
            await asyncio.sleep(0.1)


async def what_a_lost_event_stops(clients, lost):
    """Every API says that the position is empty, and takes no command."""
    for number, client in enumerate(clients):
        said = f"`marketplace log accept-gap {lost} --reason"
        await wait_until_ready(client, reason=said, commands=False, unreadable=[lost])
        headers = {"Idempotency-Key": f"refused-{number}"}
        refused = await ask(partial(client.post, "/v1/parties", json=NEW, headers=headers))
        assert (refused.status_code, refused.json()["code"]) == (503, "log_gap"), refused.text


async def accept_the_lost_event(settings, party_id, lost):
    environment = render_environment(settings)
    code, said = await run_command("log", "accept-gap", str(lost), *REASON, environment=environment)
    assert (code, "event_lost" in said) == (2, True), said
    assert "PostgreSQL has applied a party.cleared.v1 of 2026" in said, said
    assert f"marketplace.party.{party_id}" in said, said
    code, said = await run_command("log", "accept-gap", str(lost), "--event-is-lost", *REASON, environment=environment)
    assert (code, "an event is lost there" in said, "projections rebuild all" in said) == (0, True, True), said


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("stack")
async def test_two_apis_and_two_workers_on_a_cluster_follow_the_acceptance_of_a_lost_event_and_go_on(
    database_url, tmp_path
):
    with temporary_folder("marketplace-lost-") as folder:
        async with embedded_nats(folder / "nats", servers=3) as servers:
            last = await write_events(servers)
            party_id, lost = sorted(last.items(), key=lambda item: item[1])[1]
            await project(servers, database_url, max(last.values()))
            await lose(servers, lost)
            settings = Settings(
                nats_url=servers.url,
                nats_admin_url=servers.admin_url,
                nats_system_url=servers.system_url,
                nats_replicas=3,
                database_url=database_url,
                api_key_secret=new_secret(),
                admin_key=new_admin_key(),
            )
            with running_processes(settings, tmp_path) as (processes, clients):
                await what_a_lost_event_stops(clients, lost)
                await accept_the_lost_event(settings, party_id, lost)
                await go_on(clients, party_id)
                assert all(process.running for process in processes.values())
                printed = "".join(process.read_log() for process in processes.values())
                assert not [word for word in ("Traceback", "log_changed", "task_ended") if word in printed], printed
        for client in clients:
            await client.aclose()


async def project(servers, database_url, last):
    """Let the projections see every event, as they did before one was lost."""
    log, engine = await open_unchecked(servers), build_engine(database_url)
    await migrate(engine)
    projecting = asyncio.create_task(Projector(log, engine, PROJECTIONS).run())
    try:
        async with watch(engine, PROJECTIONS) as followed:
            await followed.wait_for(last, WAIT_SECONDS_MAX)
    finally:
        projecting.cancel()
        await asyncio.gather(projecting, return_exceptions=True)
        await engine.dispose()
        await log.close()


@contextmanager
def running_processes(settings, folder):
    """Yield two APIs and two workers by name, and clients of the APIs with the operator's key."""
    environment, processes, clients = os.environ | render_environment(settings), {}, []
    try:
        for number in (1, 2):
            port = find_free_port()
            roles = {f"api-{number}": ("api", "--port", str(port)), f"worker-{number}": ("worker",)}
            for name, arguments in roles.items():
                command = [sys.executable, "-m", "marketplace", "serve", "--role", *arguments]
                processes[name] = Process(name, command, environment, folder / f"{name}.log")
                processes[name].start()
            headers = {"Authorization": f"Bearer {settings.admin_key}"}
            base_url = f"http://127.0.0.1:{port}"
            clients.append(httpx.AsyncClient(base_url=base_url, headers=headers, timeout=PATIENCE_SECONDS))
        yield processes, clients
    finally:
        for process in processes.values():
            process.kill()


async def go_on(clients, party_id):
    """Each API takes commands, also on the aggregate that lost an event, and reads what the other one stored."""
    for number, client in enumerate(clients):
        await wait_until_ready(client, commands=True, unreadable=[], stuck_tasks={})
        path, body = (
            (f"/v1/parties/{party_id}/clear", {"checks": ["sanctions"]}),
            (f"/v1/parties/{party_id}/suspend", {"reason": "late"}),
        )[number]
        answer = await ask(partial(client.post, path, json=body, headers={"Idempotency-Key": f"on-{number}"}))
        assert answer.status_code == 200, answer.text
        late = {"Min-Seq": str(answer.json()["sequence"])}
        read = await ask(partial(clients[1 - number].get, f"/v1/parties/{party_id}", headers=late))
        assert read.json()["status"] == ("cleared", "suspended")[number], read.text
        await wait_until_ready(client, stopped_projections={})

"""nats-server from the wheel: users, durability, clusters, data that stays."""

import asyncio
import json
import socket
from pathlib import Path

import nats.errors
import nats.js.errors
import pytest

from marketplace.core.errors import Corrupt, Refusal
from marketplace.embedded.nats import NatsServers, embedded_nats
from marketplace.embedded.process import LOOPBACK
from tests.support.clients import ask_until_answered, connected
from tests.support.patience import PATIENCE_SECONDS


async def _ignore(_: Exception) -> None:
    pass


async def test_every_server_syncs_each_write_before_it_is_acknowledged(nats_cluster: NatsServers) -> None:
    async with connected(nats_cluster.system_url) as client:

        async def ask_each() -> list[bytes]:
            answers = await client.subscribe(inbox := client.new_inbox(), max_msgs=3)
            await client.publish("$SYS.REQ.SERVER.PING.JSZ", b'{"config":true}', reply=inbox)
            return [(await answers.next_msg(timeout=5)).data for _ in range(3)]

        configs = [json.loads(answer)["data"]["config"] for answer in await ask_until_answered(ask_each)]
    assert [config["sync_always"] for config in configs] == [True, True, True]


async def test_the_application_may_not_delete_change_or_purge_a_stream(nats_server: NatsServers) -> None:
    async with connected(nats_server.admin_url) as admin, connected(nats_server.url, error_cb=_ignore) as application:
        manager = admin.jetstream(timeout=PATIENCE_SECONDS)
        await manager.add_stream(name="GUARDED", subjects=["guarded"])
        stream = application.jetstream(timeout=0.2)
        for forbidden in (stream.delete_stream, stream.purge_stream):
            with pytest.raises(nats.errors.TimeoutError):
                await forbidden("GUARDED")
        with pytest.raises(nats.errors.TimeoutError):
            await stream.update_stream(name="GUARDED", subjects=["guarded", "more"])
        with pytest.raises(nats.errors.TimeoutError):
            await stream.add_stream(name="ANOTHER", subjects=["another"])
        assert (await manager.stream_info("GUARDED")).config.subjects == ["guarded"]
        await manager.delete_stream("GUARDED")


async def test_a_subscriber_may_read_but_neither_publish_nor_delete_consumers(nats_server: NatsServers) -> None:
    said: list[str] = []

    async def listen(error: Exception) -> None:
        said.append(str(error).lower())

    async with connected(nats_server.subscriber_url, error_cb=listen) as client:
        assert await client.jetstream(timeout=PATIENCE_SECONDS).account_info()
        await client.publish("marketplace.order.ord_1", b"{}")
        await client.publish("$JS.API.CONSUMER.DELETE.MARKETPLACE.other", b"")
        await client.flush()
        await client.flush()
    assert ["permissions violation" in text for text in said] == [True, True]


async def test_a_wrong_password_is_refused(nats_server: NatsServers) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", nats_server.members[0].port)
    await reader.readline()
    writer.write(b'CONNECT {"user":"admin","pass":"guess","verbose":false}\r\nPING\r\n')
    assert await reader.readline() == b"-ERR 'Authorization Violation'\r\n"
    writer.close()
    await writer.wait_closed()


async def test_what_was_stored_is_there_after_a_restart_with_the_port_and_the_operators_users(tmp_path: Path) -> None:
    folder = tmp_path / "nats"
    async with embedded_nats(folder) as servers, connected(servers.admin_url) as client:
        stream = client.jetstream(timeout=PATIENCE_SECONDS)
        await stream.add_stream(name="KEPT", subjects=["kept"])
        await stream.publish("kept", b"once")
        port = servers.members[0].port
    with (folder / "own.conf").open("a") as own:
        own.write("OURS: { users: [{ user: ours, password: ours }] }\n")
    async with embedded_nats(folder) as servers, connected(servers.admin_url) as client:
        assert (servers.members[0].port, servers.port_taken) == (port, None)
        assert (await client.jetstream(timeout=PATIENCE_SECONDS).get_msg("KEPT", 1)).data == b"once"
        async with connected(f"nats://ours:ours@{LOOPBACK}:{port}") as ours:
            await ours.flush(PATIENCE_SECONDS)
    with socket.create_server((LOOPBACK, port)):
        async with embedded_nats(folder) as servers, connected(servers.url):
            moved = servers.members[0].port
            assert (servers.port_taken, moved != port) == (port, True)
    (folder / "own.conf").write_text("OURS: {")
    with pytest.raises(Corrupt, match=r"own\.conf"):
        async with embedded_nats(folder):
            pass


async def test_passwords_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    async with embedded_nats(tmp_path / "nats"):
        for name in ("passwords.json", "own.conf", "server-1/server.conf"):
            assert (tmp_path / "nats" / name).stat().st_mode & 0o777 == 0o600


async def test_a_damaged_stream_stops_the_start(tmp_path: Path) -> None:
    async with embedded_nats(tmp_path / "nats") as servers, connected(servers.admin_url) as client:
        await client.jetstream(timeout=PATIENCE_SECONDS).add_stream(name="DAMAGED", subjects=["damaged"])
    for meta in (tmp_path / "nats").rglob("DAMAGED/meta.inf"):
        meta.write_bytes(meta.read_bytes().replace(b"damaged", b"garbled"))
    with pytest.raises(Corrupt, match=r"damaged.*restore it"):
        async with embedded_nats(tmp_path / "nats"):
            pass


async def test_a_store_that_is_no_folder_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "nats" / "server-1").mkdir(parents=True)
    (tmp_path / "nats" / "server-1" / "store").write_text("not a folder")
    with pytest.raises(Corrupt, match="did not start"):
        async with embedded_nats(tmp_path / "nats"):
            pass


async def test_a_full_disk_stops_the_start_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match=r"full: \d+ bytes are free and 1000000000000000 are needed"):
        async with embedded_nats(tmp_path / "nats", free_bytes_min=10**15):
            pass


async def test_a_folder_of_one_server_is_not_started_as_a_cluster(tmp_path: Path) -> None:
    async with embedded_nats(tmp_path / "nats"):
        pass
    with pytest.raises(Refusal, match="laid out for 1"):
        async with embedded_nats(tmp_path / "nats", servers=3):
            pass

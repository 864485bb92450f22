"""The NATS configuration that is shipped, run as a cluster of three: durable, and the log cannot be rewritten."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import nats
import pytest
from nats.aio.msg import Msg
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import StreamConfig

from tests.support.clients import ask_until_answered
from tests.support.deployment import NAMES, Cluster
from tests.support.patience import PATIENCE_SECONDS


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    servers = Cluster(tmp_path)
    try:
        servers.start()
        await servers.wait()
        yield servers
    finally:
        servers.stop()


async def test_the_log_can_be_written_and_read_but_not_rewritten(cluster: Cluster) -> None:
    for name in NAMES:
        assert cluster.get_variables(name)["jetstream"]["config"]["sync_always"] is True
    app = await cluster.connect("app")
    try:
        stream = app.jetstream()
        configuration = StreamConfig(name="MARKETPLACE", subjects=["marketplace.>"], num_replicas=3, allow_direct=True)
        await ask_until_answered(lambda: stream.add_stream(configuration))
        for number in ("1", "2"):
            headers = {"Nats-Msg-Id": number}
            await ask_until_answered(partial(stream.publish, "marketplace.party.one", b"{}", headers=headers))
        await _check_app_cannot_rewrite(app)
        await _check_subscriber_only_reads(cluster)
        await _check_meter_only_asks(cluster, app)
        information = await stream.stream_info("MARKETPLACE")
        assert information.state.messages == 2
        assert information.cluster is not None
        assert len(information.cluster.replicas or []) == 2
    finally:
        await app.close()


async def _check_app_cannot_rewrite(app: nats.NATS) -> None:
    bodies = {
        "$JS.API.STREAM.DELETE.MARKETPLACE": b"",
        "$JS.API.STREAM.PURGE.MARKETPLACE": b"",
        "$JS.API.STREAM.MSG.DELETE.MARKETPLACE": b'{"seq":1}',
        "$JS.API.STREAM.UPDATE.MARKETPLACE": b'{"name":"MARKETPLACE","subjects":["marketplace.>"],"max_msgs":1}',
    }
    for subject, body in bodies.items():
        with pytest.raises(NatsTimeoutError):
            await app.request(subject, body, timeout=0.3)


async def _check_subscriber_only_reads(cluster: Cluster) -> None:
    subscriber = await cluster.connect("subscriber")
    try:
        with pytest.raises(NatsTimeoutError):
            await subscriber.request("marketplace.party.one", b"{}", timeout=0.3)
        subscription = await subscriber.jetstream(timeout=PATIENCE_SECONDS).subscribe(
            "marketplace.>", ordered_consumer=True
        )
        received = [await subscription.next_msg(timeout=PATIENCE_SECONDS) for _ in range(2)]
        assert [message.metadata.sequence.stream for message in received] == [1, 2]
    finally:
        await subscriber.close()


async def _check_meter_only_asks(cluster: Cluster, app: nats.NATS) -> None:
    async def answer(message: Msg) -> None:
        await message.respond(b"heard")

    await app.subscribe("meters.usage", cb=answer)
    await app.flush()
    meter = await cluster.connect("meter")
    try:
        heard = await ask_until_answered(lambda: meter.request("meters.usage", b"[]", timeout=5))
        assert heard.data == b"heard"
        for subject in ("marketplace.party.one", "$JS.API.STREAM.INFO.MARKETPLACE"):
            with pytest.raises(NatsTimeoutError):
                await meter.request(subject, b"", timeout=0.3)
    finally:
        await meter.close()

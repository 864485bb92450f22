"""The log's cases on one nats-server."""

import pytest

from marketplace.embedded.nats import NatsServers
from marketplace.log.jetstream import JetStreamLog
from tests.log.cases import AppendCases, ReadCases
from tests.log.races import RaceCases
from tests.log.wire import WireCases


@pytest.fixture
def log(jetstream_log: JetStreamLog) -> JetStreamLog:
    return jetstream_log


@pytest.fixture
def servers(nats_server: NatsServers) -> NatsServers:
    return nats_server


class TestAppend(AppendCases):
    pass


class TestRead(ReadCases):
    pass


class TestWire(WireCases):
    pass


class TestRaces(RaceCases):
    pass

"""The log's cases on a cluster of three."""

import pytest

from marketplace.embedded.nats import NatsServers
from marketplace.log.jetstream import JetStreamLog
from tests.log.cases import AppendCases, ReadCases
from tests.log.races import RaceCases
from tests.log.wire import WireCases

pytestmark = pytest.mark.xdist_group("nats-cluster")


@pytest.fixture
def log(jetstream_cluster_log: JetStreamLog) -> JetStreamLog:
    return jetstream_cluster_log


@pytest.fixture
def servers(nats_cluster: NatsServers) -> NatsServers:
    return nats_cluster


class TestAppend(AppendCases):
    pass


class TestRead(ReadCases):
    pass


class TestWire(WireCases):
    pass


class TestRaces(RaceCases):
    pass

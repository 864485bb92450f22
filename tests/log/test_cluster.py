"""The log's cases on a cluster of three."""

import pytest

from marketplace.log.jetstream import JetStreamLog
from tests.log.cases import AppendCases, ReadCases

pytestmark = pytest.mark.xdist_group("nats-cluster")


@pytest.fixture
def log(jetstream_cluster_log: JetStreamLog) -> JetStreamLog:
    return jetstream_cluster_log


class TestAppend(AppendCases):
    pass


class TestRead(ReadCases):
    pass

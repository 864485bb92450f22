"""The log's cases on one nats-server."""

import pytest

from marketplace.log.jetstream import JetStreamLog
from tests.log.cases import AppendCases, ReadCases


@pytest.fixture
def log(jetstream_log: JetStreamLog) -> JetStreamLog:
    return jetstream_log


class TestAppend(AppendCases):
    pass


class TestRead(ReadCases):
    pass

"""The log in memory passes the same cases as JetStream's."""

import pytest

from marketplace.core.errors import Unavailable
from marketplace.log.memory import MemoryLog
from tests.log.build import make_writes
from tests.log.cases import AppendCases, ReadCases


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


class TestAppend(AppendCases):
    pass


class TestRead(ReadCases):
    pass


async def test_a_closed_log_takes_nothing(log: MemoryLog) -> None:
    await log.close()
    with pytest.raises(Unavailable, match="closed"):
        await log.append(make_writes(1))

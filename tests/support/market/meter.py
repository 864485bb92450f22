"""One grant that meters report of, and processes that come and go on its log and archive."""

from datetime import UTC, datetime, timedelta

import msgspec

from marketplace.application.metering import usage
from marketplace.core.errors import Unavailable
from marketplace.core.ids import derive_command_id
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.delivery.grant_commands import ActivateGrant, IssueGrant
from marketplace.domain.metering.usage import USAGE, name_usage
from marketplace.execution.clock import MarketClock
from marketplace.execution.handler import Handler
from marketplace.execution.state_cache import Cache
from marketplace.execution.unit_of_work import Context
from marketplace.log.events import parse_event
from tests.domain import build
from tests.support.market.meddling import Meddling

NODES, HOURS = 2, 48
SOURCE = "urn:meter:1"
BEGIN = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS)
SUBJECT = f"marketplace.usage.{name_usage(build.GRANT)}"


class MemoryArchive:
    """An archive that lasts as long as its test, and may be away."""

    def __init__(self):
        self.snapshots = {}
        self.away = False

    def _require(self):
        if self.away:
            raise Unavailable("the archive", "it is away")

    async def find(self, subject):
        self._require()
        return self.snapshots.get(subject)

    async def put(self, snapshot):
        self._require()
        self.snapshots[snapshot.subject] = snapshot

    async def list_commands(self, *, after, limit):  # noqa: ARG002 - it knows none
        self._require()
        return []

    async def find_reading(self, name):  # noqa: ARG002 - it knows none, whatever its name
        self._require()

    async def list_readings_over(self, name, spans):  # noqa: ARG002 - likewise
        self._require()
        return []


class Process:
    """One process of many: its handler, and what its log was asked for."""

    def __init__(self, log, archive, **cache):
        self.log = Meddling(log)
        self.handler = Handler(self.log, MarketClock(), archive=archive)
        self.handler.cache = Cache(self.log, archive=archive, **cache)

    def context(self, name):
        command_id = derive_command_id("tests", name)
        at = self.handler.clock.now()
        return Context(command_id=command_id, fingerprint=command_id, actor="tests", party_id=None, at=at)

    async def begin(self):
        """Put the grant in the log."""
        issued = build.grant_issued(
            grant_id=build.GRANT, nodes=NODES, gpus_per_node=8, start=BEGIN, end=BEGIN + timedelta(hours=HOURS)
        )

        async def work(unit):
            await unit.decide(GRANT, build.GRANT, IssueGrant(issued=issued))
            await unit.decide(GRANT, build.GRANT, ActivateGrant(grant_id=build.GRANT, at=BEGIN))

        await self.handler.run(self.context("issue"), GRANT, build.GRANT, work)

    async def report(self, *numbers, nodes=1, name=None, devices=()):
        """Report the minutes of these numbers; return what became of each."""
        measurements = tuple(self.measure(number, nodes, devices) for number in numbers)
        context = self.context(name or f"report {numbers} {nodes}")
        _, answers = await usage.report_usage(
            self.handler, context, build.GRANT, source=SOURCE, measurements=measurements
        )
        return [answer.outcome for answer in answers]

    async def repeat(self, number, reading_id, *, nodes=1):
        """Report a minute under another id; return its outcome and code."""
        measurement = msgspec.structs.replace(self.measure(number, nodes), reading_id=reading_id)
        _, (answer,) = await usage.report_usage(
            self.handler, self.context(reading_id), build.GRANT, source=SOURCE, measurements=(measurement,)
        )
        return answer.outcome, answer.code

    @staticmethod
    def measure(number, nodes=1, devices=()):
        start = BEGIN + timedelta(minutes=number)
        return build.measurement(
            reading_id=f"r{number}", start=start, end=start + timedelta(minutes=1), nodes=nodes, devices=devices
        )

    async def correct(self, number, nodes, name=None):
        return await usage.correct_usage(
            self.handler,
            self.context(name or f"correct {number} {nodes}"),
            build.GRANT,
            source=SOURCE,
            measurement=self.measure(number, nodes),
            reason="the meter was restarted",
        )

    async def void(self, number):
        return await usage.void_usage(
            self.handler,
            self.context(f"void {number}"),
            build.GRANT,
            source=SOURCE,
            reading_id=f"r{number}",
            reason="?",
        )

    async def load(self):
        return (await self.handler.cache.load(USAGE, name_usage(build.GRANT))).state

    async def keep(self):
        """Let what has grown be kept."""
        await self.load()
        await self.handler.cache.snapshots.flush()


async def fold(log):
    """Return what the log says of the grant's usage, from its first event."""
    return USAGE.fold(parse_event(recorded) for recorded in await log.load(SUBJECT))

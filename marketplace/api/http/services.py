"""The services of the HTTP application; `marketplace/app.py` creates them."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request

from marketplace.api.http.connections import Connections
from marketplace.api.http.keys import KeyRing
from marketplace.api.http.projection_jobs import ProjectionJobs
from marketplace.api.http.streams import Streams
from marketplace.application.billing.payment_provider import MANUAL, PaymentProvider
from marketplace.core.errors import Unavailable
from marketplace.execution.follower import Follower
from marketplace.execution.handler import Handler
from marketplace.projections.delivery.reliability import load_scores
from marketplace.projections.engine.database import reachable
from marketplace.projections.trading.open_market import load_open_market
from marketplace.runtime.quotes.quoting import Quoter

if TYPE_CHECKING:
    import asyncio

    from sqlalchemy.ext.asyncio import AsyncEngine

    from marketplace.projections.engine.watch import PositionWatch


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits and switches of the application.

    Attributes:
        embedded: Whether the test clock may be moved.
        public_market: Whether market data may be read without a key.
        requests_per_minute_max: Requests of one API key.
        anonymous_requests_per_minute_max: Requests without a valid key from one address.
        requests_at_once_max: Concurrent requests of one API key, not counting streams.
        body_bytes_max: Largest request body.
        head_bytes_max: Largest head of a request.
        read_wait_seconds_max: How long a read waits for `Min-Seq`.
        connections_max: Connections of this process.
        connections_per_address_max: Connections of one address.
        streams_max: Event streams (SSE) of this process.
        streams_per_key_max: Event streams of one API key.
        streams_per_party_max: Event streams of one party's keys together.
        head_seconds_max: How long a head may take, and a new connection stay silent.
        body_seconds_max: How long a body may take.
        idle_seconds_max: How long a connection stays open between requests.
        write_seconds_max: How long a client may leave an answer unread, plus a second for each 16 KiB of it.
    """

    embedded: bool = False
    public_market: bool = False
    requests_per_minute_max: int = 600_000
    anonymous_requests_per_minute_max: int = 600
    requests_at_once_max: int = 512
    body_bytes_max: int = 1_048_576
    head_bytes_max: int = 65_536
    read_wait_seconds_max: float = 5.0
    connections_max: int = 4_096
    connections_per_address_max: int = 512
    streams_max: int = 1_000
    streams_per_key_max: int = 64
    streams_per_party_max: int = 256
    head_seconds_max: int = 10
    body_seconds_max: int = 30
    idle_seconds_max: int = 75
    write_seconds_max: int = 30


@dataclass(slots=True)
class Services:
    """The services that routes use.

    Attributes:
        handler: Runs commands.
        follower: Follows the log for this process.
        keys: Verifies API keys.
        settings: Limits and switches.
        engine: The projections' database; None if there is none.
        watch: Knows how far the projections are; None without a database.
        payments: Confirms money in and out.
        streams: The open event streams; close them before the server is stopped.
        log_watch: A task that ends with `LogChanged` once the log was replaced or went back; None if nothing checks it.
        connections: The open connections.
        quoter: Answers quotes.
        jobs: Rebuilds and verifications of projections that this process runs.
        known: GPU classes and regions of the market that this process has seen; see `known_values.py`.
    """

    handler: Handler
    follower: Follower
    keys: KeyRing
    settings: ApiSettings
    engine: "AsyncEngine | None" = None
    watch: "PositionWatch | None" = None
    streams: Streams = field(init=False)
    connections: Connections = field(init=False)
    payments: PaymentProvider = MANUAL
    log_watch: "asyncio.Task[None] | None" = None
    quoter: Quoter = field(init=False)
    jobs: ProjectionJobs = field(default_factory=ProjectionJobs)
    known: dict[str, set[str]] = field(default_factory=lambda: {"gpu_class": set(), "region": set()})

    def __post_init__(self) -> None:
        """Create the tables of streams and connections and the quoter. Let the key ring end the streams of a key."""
        bounds = self.settings
        self.streams = Streams(bounds.streams_max, bounds.streams_per_key_max, bounds.streams_per_party_max)
        self.connections = Connections(bounds.connections_max, bounds.connections_per_address_max)
        self.keys.list_streaming, self.keys.end_streams = self.streams.list_keys, self.streams.end_key
        self.quoter = Quoter(self.handler, self.follower, self._load_open, self._load_reliability)

    async def _load_open(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        self.get_engine()
        if self.watch is None:
            raise Unavailable("projections", "this process does not know how far the projections are")
        async with self.watch.connect(self.follower.position, self.settings.read_wait_seconds_max) as connection:
            found = await load_open_market(connection)
        return found.orders, found.lots, found.auctions

    async def _load_reliability(self) -> dict[str, Fraction]:
        async with reachable(), self.get_engine().connect() as connection:
            return await load_scores(connection)

    def get_engine(self) -> "AsyncEngine":
        """Return the engine of the projections' database.

        Raises:
            Unavailable: There is none.
        """
        if self.engine is None:
            raise Unavailable("PostgreSQL", "this process was started without a database")
        return self.engine


def get_services(request: Request[Any, Any, Any]) -> Services:
    """Return the services of the application that a request came to."""
    services: Services = request.app.state["services"]
    return services

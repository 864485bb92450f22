"""Prometheus metrics of one application."""

from collections.abc import Callable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from events.auction import AuctionCompleted
from events.registry import render_type
from marketplace.api.http.services import Services
from marketplace.log.events import parse_event
from marketplace.log.port import Recorded

CONTENT_TYPE: Final = "text/plain; version=1.0.0"
_COMPLETED: Final = render_type("auction.completed.v1")
_SECONDS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counts requests, and shows the positions of the log and the projections."""

    def __init__(self, services: Services) -> None:
        self._registry = CollectorRegistry()
        labels = ("method", "route")
        self._requests = Counter(
            "marketplace_http_requests", "HTTP requests answered", (*labels, "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "marketplace_http_request_seconds",
            "Seconds from a request to the start of its answer",
            labels,
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._show("event_streams", "Open event streams", services.streams.count)
        self._show("http_connections", "Open connections", services.connections.count)
        self._show(
            "http_connections_displaced",
            "Connections closed since the start to make room for others",
            lambda: services.connections.displaced,
        )
        self._show(
            "http_connections_refused",
            "Connections refused since the start, since every other one was in use",
            lambda: services.connections.refused,
        )
        self._show("log_sequence", "Last event that this process has seen", lambda: services.follower.position)
        self._show(
            "projected_sequence",
            "Position that every projection has reached",
            lambda: 0 if services.watch is None else services.watch.position,
        )
        self._matches = Counter(
            "marketplace_auction_matches",
            "Orders that won an auction, by outcome: granted, or impossible meanwhile",
            ("outcome",),
            registry=self._registry,
        )
        services.follower.listen(self._count_matches)
        self._stuck = Gauge(
            "marketplace_worker_tasks_stuck",
            "Tasks of the workers that are refused again and again",
            ("task", "code"),
            registry=self._registry,
        )

    def _show(self, name: str, text: str, read: Callable[[], float]) -> None:
        Gauge(f"marketplace_{name}", text, registry=self._registry).set_function(read)

    def _count_matches(self, page: list[Recorded]) -> None:
        """Count the outcomes of completed auctions' matches."""
        for recorded in page:
            if recorded.envelope.type != _COMPLETED or recorded.void:
                continue
            event = parse_event(recorded)
            assert isinstance(event, AuctionCompleted), "the type says so"
            self._matches.labels("granted").inc(event.matched)
            self._matches.labels("impossible").inc(event.impossible)

    def set_stuck(self, stuck: Mapping[tuple[str, str], int]) -> None:
        """Set the stuck tasks that workers report, by kind and code. What is not reported is no longer stuck."""
        self._stuck.clear()
        for (task, code), count in stuck.items():
            self._stuck.labels(task, code).set(count)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        key = (method, route, status)
        children = self._children.get(key)
        if children is None:
            children = self._children[key] = (
                self._requests.labels(method, route, str(status)),
                self._seconds.labels(method, route),
            )
        children[0].inc()
        children[1].observe(seconds)

    def render(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self._registry)

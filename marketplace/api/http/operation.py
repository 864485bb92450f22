"""Health and readiness, open to everyone who can reach the process, and metrics, for a key of the platform."""

import contextlib
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from litestar import Request, Response, Router, get
from litestar.openapi.datastructures import ResponseSpec

from marketplace.api.http.bodies.answers import Liveness, Readiness
from marketplace.api.http.metrics import CONTENT_TYPE
from marketplace.api.http.problems import describe_unavailable
from marketplace.api.http.queries import Read
from marketplace.api.http.services import Services, get_services
from marketplace.core.errors import LogChanged, Refusal, Unavailable
from marketplace.projections.engine.stuck_tasks import READ_EVENT, count_stuck, list_unreadable

METRICS: Final = "metrics:scrape"
STANDSTILL_SECONDS: Final = 20.0
"""After this long without a row while the log has more events, `/health/ready` says so."""
"""The scope of the platform's keys that read the metrics."""


def sum_by_code(stuck: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """Return the number of stuck tasks by the code of their refusal. Unreadable events are not counted."""
    codes: Counter[str] = Counter()
    for (kind, code), count in stuck.items():
        if kind != READ_EVENT:
            codes[code] += count
    return dict(codes)


@get("/health/live", operation_id="operation.get_liveness", summary="Check that the process answers", security=[{}])
async def tell_live() -> Liveness:
    """Answer while the process runs. Restart the process if this fails."""
    return Liveness(status="live")


@get(
    "/health/ready",
    operation_id="operation.get_readiness",
    summary="Check that commands are accepted",
    security=[{}],
    responses={503: ResponseSpec(Readiness, generate_examples=False)},
)
async def tell_ready(request: Request[Any, Any, Any]) -> Response[Readiness]:
    """Answer 200 if commands are accepted, 503 if not. Reads may fail independently.

    The operator's key is not needed. With it, `reason` names servers, addresses and folders too.
    """
    services = get_services(request)
    is_operator = await _is_operator(services, request.headers.get("Authorization"))
    follower, log_sequence, reasons = services.follower, None, list[str]()
    unreadable, seen = set(follower.unreadable), _find_seen(services)
    try:
        health = await services.handler.log.health()
        log_sequence = health.last_sequence
        if log_sequence < seen:
            reasons.append(f"the log ends at event {log_sequence}, and this process has seen event {seen}")
        unreadable.update(health.empty)
        failure = health.append_failure if is_operator else health.append_failure_public
        reasons += [failure] if failure else []
    except Unavailable as error:
        reasons.append(describe_unavailable(error, is_operator=is_operator))
    except LogChanged as error:
        reasons.append(str(error))
    if fault := follower.find_fault():
        reasons.append(f"the follower is not current with the log: {fault}")
    takes_commands = not reasons
    projected, stuck = None, dict[tuple[str, str], int]()
    if services.watch is not None:
        try:
            projected = await services.watch.refresh()
            stuck = await count_stuck(services.get_engine())
            unreadable |= await list_unreadable(services.get_engine())
        except Unavailable as error:
            reasons.append(describe_unavailable(error, is_operator=is_operator))
        else:
            seconds = services.watch.count_standstill(log_sequence or 0, time.monotonic())
            if seconds >= STANDSTILL_SECONDS:
                reasons.append(
                    f"the rows stand still for {seconds:.0f} s, though the log has more; read the worker's log"
                )
    body = Readiness(
        commands=takes_commands,
        reads=projected is not None,
        log_sequence=log_sequence,
        projected_sequence=projected,
        reason="; ".join(reasons) or None,
        unreadable=tuple(sorted(unreadable)),
        stopped_projections={} if services.watch is None else dict(services.watch.stopped),
        stuck_tasks=sum_by_code(stuck),
    )
    return Response(body, status_code=200 if body.commands else 503)


def _find_seen(services: Services) -> int:
    """Return the last event that this process or its tables have seen."""
    return max(services.follower.position, 0 if services.watch is None else services.watch.position)


async def _is_operator(services: Services, authorization: str | None) -> bool:
    """Return whether a request has the operator's key."""
    try:
        return (await services.keys.verify(authorization)).party_id is None
    except (Refusal, Unavailable):
        return False


@get(
    "/metrics",
    media_type=CONTENT_TYPE,
    include_in_schema=False,
    opt={"feature": "metrics", "scope": METRICS},
)
async def tell_metrics(request: Request[Any, Any, Any], reader: Read) -> bytes:
    """Return the metrics in Prometheus' text format."""
    reader.require_platform()
    services, metrics = get_services(request), request.app.state["metrics"]
    if services.engine is not None:
        with contextlib.suppress(Unavailable):
            metrics.set_stuck(await count_stuck(services.engine))
    rendered: bytes = metrics.render()
    return rendered


ROUTER: Final = Router("/", route_handlers=[tell_live, tell_ready, tell_metrics], tags=["operation"])

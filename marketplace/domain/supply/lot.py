"""Lots: nodes of a pool for sale over a span at an ask price.

Subject: ``marketplace.lot.<lot_id>``. The pool keeps the capacity; the lot keeps the terms of sale.

Invariants:
    1. A lot that is withdrawn stays withdrawn.
    2. Its nodes and pool never change. Its ask may change, and so may its span unless it is a resale.
    3. It never asks for less than its floor.
    4. Its asks rise from step to step, and its first step has at least one node.

Refusals in order: lot_unknown · lot_exists · lot_withdrawn · time_naive · span_empty · not_a_number ·
amount_not_positive · amount_too_large · amount_too_precise · ask_below_principal · nodes_min_above_nodes ·
duration_min_above_span · steps_too_many · steps_not_rising · steps_above_nodes · resale_fixed ·
credits_above_promise · credits_out_of_order · security_too_short · value_out_of_bounds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import Final, Literal

import msgspec

from events.lot import AskStep, LotEvent, LotListed, LotPaused, LotRepriced, LotRescheduled, LotResumed, LotWithdrawn
from events.order import OrderTerms
from events.pool import PoolOpened
from events.service import ServiceTerms
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.intervals import require_span
from marketplace.core.money import ZERO, require_price
from marketplace.domain.refusals import refuse_exists, refuse_status, refuse_unknown, require_all, require_bounds
from marketplace.domain.supply.service_level import require_service
from marketplace.domain.supply.stages import require_stages

Status = Literal["listed", "paused", "withdrawn"]

NOTICE_HOURS_MAX: Final = 720
"""The most notice that an order which states none accepts, in hours: that of the largest deals, by the standard."""
STEPS_MAX: Final = 16
"""The most asks of a lot, including the first one."""


class ListLot(msgspec.Struct, frozen=True, kw_only=True):
    """Offer nodes for a span. The event contains the whole lot; not its lowest allowed ask, which tells of equity."""

    listed: LotListed
    floor_usd_per_gpu_hour: Decimal = ZERO

    @property
    def lot_id(self) -> str:
        """Return the lot's id."""
        return self.listed.lot_id


class RepriceLot(msgspec.Struct, frozen=True, kw_only=True):
    """Replace the first ask and all further asks. Without `further_asks`, all nodes are at the first ask."""

    lot_id: str
    ask_usd_per_gpu_hour: Decimal
    further_asks: tuple[AskStep, ...] = ()
    floor_usd_per_gpu_hour: Decimal = ZERO


class RescheduleLot(msgspec.Struct, frozen=True, kw_only=True):
    """Replace the span. The span of a resale cannot change."""

    lot_id: str
    start: datetime
    end: datetime
    reason: str


class PauseLot(msgspec.Struct, frozen=True, kw_only=True):
    """Stop taking new orders until the lot is resumed."""

    lot_id: str
    reason: str


class ResumeLot(msgspec.Struct, frozen=True, kw_only=True):
    """Take new orders again."""

    lot_id: str


class WithdrawLot(msgspec.Struct, frozen=True, kw_only=True):
    """Withdraw the lot for good."""

    lot_id: str
    reason: str


LotCommand = ListLot | RepriceLot | RescheduleLot | PauseLot | ResumeLot | WithdrawLot


@dataclass(frozen=True, slots=True)
class Lot:
    """A listed lot. `listed` is the original listing; the other fields are current."""

    listed: LotListed
    status: Status
    ask_usd_per_gpu_hour: Decimal
    start: datetime
    end: datetime
    further_asks: tuple[AskStep, ...] = ()

    def list_steps(self) -> list[AskStep]:
        """Return nodes and ask of each step, cheapest first. The nodes sum to the lot's."""
        first = self.listed.nodes - sum(step.nodes for step in self.further_asks)
        return [AskStep(nodes=first, ask_usd_per_gpu_hour=self.ask_usd_per_gpu_hour), *self.further_asks]

    def split_free(self, free: int) -> list[int]:
        """Return how many of `free` unsold nodes belong to each step of `list_steps`. The cheapest are sold first."""
        left, parts = free, []
        for step in reversed(self.list_steps()):
            part = min(left, step.nodes)
            left -= part
            parts.append(part)
        return parts[::-1]

    def split_periods(self, free: Sequence[int]) -> list[tuple[AskStep, list[int]]]:
        """Return each step with its unsold nodes per period, given those of the whole lot."""
        columns = zip(*(self.split_free(nodes) for nodes in free), strict=True)
        return [(step, list(nodes)) for step, nodes in zip(self.list_steps(), columns, strict=True)]

    def count_at_most(self, free: int, price: Fraction) -> int:
        """Return how many of `free` unsold nodes ask at most `price`, in USD per GPU-hour."""
        parts = zip(self.list_steps(), self.split_free(free), strict=True)
        return sum(nodes for step, nodes in parts if step.ask_usd_per_gpu_hour <= price)


LotState = Lot | None


def find_promise(listed: LotListed, opened: PoolOpened) -> ServiceTerms | None:
    """Return the service level that a lot promises: its own, else its pool's. None without one, and for a resale."""
    return None if listed.grant_id is not None else listed.service or opened.service


def get_availability(promise: ServiceTerms | None) -> Decimal:
    """Return the promised availability; 0 without a promise."""
    return ZERO if promise is None else promise.availability_min


def get_notice_hours(promise: ServiceTerms | None) -> int:
    """Return the promised notice of an early end, in hours; 0 without a promise."""
    return 0 if promise is None else promise.notice_hours_min


def list_unpromised(terms: OrderTerms, promise: ServiceTerms | None) -> Iterator[str]:
    """Yield ``availability`` or ``notice``, or both, where a lot promises less than an order asks."""
    if get_availability(promise) < (terms.availability_min or ZERO):
        yield "availability"
    if get_notice_hours(promise) < terms.notice_hours_min:
        yield "notice"


def decide(command: LotCommand, state: LotState) -> Sequence[LotEvent]:
    """Return the events of a command; the module lists the order of refusals."""
    if isinstance(command, ListLot):
        return _list(command, state)
    if state is None:
        raise refuse_unknown("lot", command.lot_id)
    if isinstance(command, WithdrawLot):
        return [] if state.status == "withdrawn" else [LotWithdrawn(lot_id=command.lot_id, reason=command.reason)]
    if state.status == "withdrawn":
        raise refuse_status("lot", command.lot_id, state.status, "listed or paused")
    if isinstance(command, RepriceLot):
        return _reprice(command, state)
    if isinstance(command, RescheduleLot):
        return _reschedule(command, state)
    if isinstance(command, PauseLot):
        return [] if state.status == "paused" else [LotPaused(lot_id=command.lot_id, reason=command.reason)]
    return [] if state.status == "listed" else [LotResumed(lot_id=command.lot_id)]


def _list(command: ListLot, state: LotState) -> Sequence[LotEvent]:
    listed = command.listed
    if state is not None:
        if state.listed == listed:
            return []
        raise refuse_exists("lot", listed.lot_id)
    require_all(
        partial(require_span, listed.start, listed.end, "/end"),
        partial(_require_ask, listed.ask_usd_per_gpu_hour, command.floor_usd_per_gpu_hour),
        partial(_require_nodes, listed),
    )
    require_all(
        partial(_require_duration, listed.duration_hours_min, listed.start, listed.end, "/duration_hours_min"),
        partial(_require_steps, listed.ask_usd_per_gpu_hour, listed.further_asks, listed.nodes),
        partial(_require_terms, listed),
    )
    require_bounds(listed)
    return [listed]


def _require_nodes(listed: LotListed) -> None:
    if listed.nodes_min > listed.nodes:
        raise Refusal(
            "nodes_min_above_nodes",
            f"the smallest order is {listed.nodes_min} nodes, and the lot has {listed.nodes}; state that or less",
            pointer="/nodes_min",
        )


def _require_terms(listed: LotListed) -> None:
    if listed.service is not None:
        require_service(listed.service, "/service")
    if listed.stages is not None:
        require_stages(listed.stages, "/stages")


def _require_duration(hours_min: int, start: datetime, end: datetime, pointer: str) -> None:
    if timedelta(hours=hours_min) > end - start:
        raise Refusal(
            "duration_min_above_span",
            f"the shortest order is {hours_min} hours, longer than the lot; state fewer",
            pointer=pointer,
            hours_min=hours_min,
        )


def _require_ask(ask: Decimal, floor: Decimal) -> None:
    require_price(ask, "/ask_usd_per_gpu_hour", zero=True)
    if ask < floor:
        raise Refusal(
            "ask_below_principal",
            f"a resold hour must first repay its equity part, {floor} USD; ask that or more",
            pointer="/ask_usd_per_gpu_hour",
            floor_usd_per_gpu_hour=str(floor),
        )


def _require_steps(ask: Decimal, further: tuple[AskStep, ...], nodes: int) -> None:
    for index, step in enumerate(further):
        require_price(step.ask_usd_per_gpu_hour, f"/further_asks/{index}/ask_usd_per_gpu_hour", zero=True)
    if len(further) >= STEPS_MAX:
        raise Refusal("steps_too_many", f"a lot has at most {STEPS_MAX} asks", pointer="/further_asks")
    asks = [ask, *(step.ask_usd_per_gpu_hour for step in further)]
    for index, (before, after) in enumerate(pairwise(asks)):
        if after <= before:
            raise Refusal(
                "steps_not_rising",
                f"the ask of step {index + 1} is {after}, not above {before}; let asks rise from step to step",
                pointer=f"/further_asks/{index}/ask_usd_per_gpu_hour",
            )
    stated = sum(step.nodes for step in further)
    if further and stated >= nodes:
        raise Refusal(
            "steps_above_nodes",
            f"the lot has {nodes} nodes and {stated} of them are at further asks; leave at least one at the first ask",
            pointer="/further_asks",
        )


def _reprice(command: RepriceLot, state: Lot) -> Sequence[LotEvent]:
    _require_ask(command.ask_usd_per_gpu_hour, command.floor_usd_per_gpu_hour)
    _require_steps(command.ask_usd_per_gpu_hour, command.further_asks, state.listed.nodes)
    asks = (command.ask_usd_per_gpu_hour, command.further_asks)
    if asks == (state.ask_usd_per_gpu_hour, state.further_asks):
        return []
    repriced = LotRepriced(lot_id=command.lot_id, ask_usd_per_gpu_hour=asks[0], further_asks=asks[1])
    require_bounds(repriced)
    return [repriced]


def _reschedule(command: RescheduleLot, state: Lot) -> Sequence[LotEvent]:
    require_span(command.start, command.end, "/end")
    if (command.start, command.end) == (state.start, state.end):
        return []
    if state.listed.grant_id is not None:
        raise Refusal(
            "resale_fixed",
            f"lot {command.lot_id} resells nodes of grant {state.listed.grant_id}; withdraw it and offer another span",
            pointer="/start",
            grant_id=state.listed.grant_id,
        )
    _require_duration(state.listed.duration_hours_min, command.start, command.end, "/end")
    return [LotRescheduled(lot_id=command.lot_id, start=command.start, end=command.end, reason=command.reason)]


def evolve(state: LotState, event: LotEvent) -> LotState:
    """Return the state after an event."""
    if isinstance(event, LotListed):
        return Lot(event, "listed", event.ask_usd_per_gpu_hour, event.start, event.end, event.further_asks)
    assert state is not None, "a lot is listed first"
    if isinstance(event, LotRepriced):
        return replace(state, ask_usd_per_gpu_hour=event.ask_usd_per_gpu_hour, further_asks=event.further_asks)
    if isinstance(event, LotRescheduled):
        return replace(state, start=event.start, end=event.end)
    if isinstance(event, LotPaused):
        return replace(state, status="paused")
    if isinstance(event, LotResumed):
        return replace(state, status="listed")
    return replace(state, status="withdrawn")


LOT: Decider[LotCommand, LotEvent, LotState] = Decider("lot", "lot", None, decide, evolve)

"""The schedule: least order value, quotas, what holds, early ends and undelivered hours cost, the platform's fee.

Subject: ``marketplace.schedule.<schedule_id>``. A market has one. Until the platform publishes another, `STANDARD`
applies. With shares of 0 it waives fees.

It also counts the deposits that each person of the platform records alone, over all accounts together.

Invariants:
    1. A schedule applies to what begins after it. A grant keeps the end terms of its issue, a quote those of its hold.
    2. A fee never exceeds the price of what is held or not delivered.
    3. A person's deposits count for 7 days, from when there is a limit.
    4. The platform's fee of an order is the one of its placing or last amendment, and its grant's too.

Refusals in order: not_a_number · amount_not_positive · amount_too_large · amount_too_precise · multiple_out_of_range ·
steps_unordered.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Final

import msgspec
from immutables import Map

from events.schedule import (
    EndTerms,
    NearHold,
    NoticeFee,
    RemedyTerms,
    ScheduleDepositCounted,
    ScheduleEvent,
    SchedulePublished,
    ScheduleTerms,
)
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.money import CENT, ZERO, ceil_cents, require_share, require_usd

SCHEDULE_ID: Final = "sch_00000000000000000000000000"
DEPOSITS_COUNTED: Final = timedelta(days=7)
"""How long a deposit that one person alone recorded counts toward that person's limit."""
_HOUR: Final = timedelta(hours=1)
_TICK: Final = timedelta(microseconds=1)


def _state_fees(*shares: str) -> tuple[NoticeFee, ...]:
    hours = (0, 168, 720)
    return tuple(
        NoticeFee(notice_hours_min=notice, share=Decimal(share)) for notice, share in zip(hours, shares, strict=True)
    )


_REMEDIES: Final = RemedyTerms(cure_hours=24, damages_share=Decimal("0.25"), make_whole_share=Decimal("0.25"))
STANDARD: Final = ScheduleTerms(
    order_usd_min=Decimal(1),
    orders_max=20_000,
    quotes_max=16,
    hold_share_per_hour=Decimal("0.001"),
    near=(NearHold(hours_max=24, multiple=Decimal(4)), NearHold(hours_max=168, multiple=Decimal(2))),
    ends=(
        EndTerms(value_usd_min=ZERO, notice_hours_min=0, fees=_state_fees("0.10", "0.05", "0.02"), remedies=_REMEDIES),
        EndTerms(
            value_usd_min=Decimal(1_000_000),
            notice_hours_min=168,
            fees=_state_fees("0.10", "0.05", "0.02"),
            remedies=_REMEDIES,
        ),
        EndTerms(
            value_usd_min=Decimal(100_000_000),
            notice_hours_min=720,
            fees=_state_fees("0.10", "0.10", "0.05"),
            remedies=_REMEDIES,
        ),
    ),
)


class PublishSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """Publish a schedule."""

    schedule_id: str
    terms: ScheduleTerms


class CountDeposit(msgspec.Struct, frozen=True, kw_only=True):
    """Count a deposit that one person of the platform records alone, in the same append. No event without a limit."""

    schedule_id: str
    person: str
    account_id: str
    amount_usd: Decimal
    at: datetime
    cause: str


ScheduleCommand = PublishSchedule | CountDeposit


@dataclass(frozen=True, slots=True)
class Schedule:
    """The schedule in force, and by person the deposits that count toward its limit."""

    terms: ScheduleTerms = STANDARD
    deposited: Map[str, tuple[ScheduleDepositCounted, ...]] = field(default_factory=Map)

    def needs_second(self, person: str, amount_usd: Decimal, at: datetime) -> bool:
        """Return whether a second person of the platform must agree to a deposit.

        True if it and those that the person recorded alone in 7 days exceed the limit, or if there is a limit and
        `person` is empty; False without a limit.
        """
        limit = self.terms.deposit_alone_usd
        counted = (one.amount_usd for one in self.deposited.get(person, ()) if one.at > at - DEPOSITS_COUNTED)
        return limit is not None and (not person or sum(counted, amount_usd) > limit)


def decide(command: ScheduleCommand, state: Schedule) -> Sequence[ScheduleEvent]:
    """Return the events of a command; the module lists the order of refusals."""
    return _publish(command, state) if isinstance(command, PublishSchedule) else _count(command, state)


def _count(command: CountDeposit, state: Schedule) -> Sequence[ScheduleEvent]:
    before = state.deposited.get(command.person, ())
    if state.terms.deposit_alone_usd is None or any(one.cause == command.cause for one in before):
        return []
    return [
        ScheduleDepositCounted(
            schedule_id=command.schedule_id,
            person=command.person,
            account_id=command.account_id,
            amount_usd=command.amount_usd,
            at=command.at,
            cause=command.cause,
        )
    ]


def _publish(command: PublishSchedule, state: Schedule) -> Sequence[ScheduleEvent]:
    terms = command.terms
    if terms == state.terms:
        return []
    require_usd(terms.order_usd_min, "/terms/order_usd_min", zero=True)
    if terms.deposit_alone_usd is not None:
        require_usd(terms.deposit_alone_usd, "/terms/deposit_alone_usd", zero=True)
    require_share(terms.hold_share_per_hour, "/terms/hold_share_per_hour")
    if terms.platform_fee is not None:
        require_share(terms.platform_fee.provider_share, "/terms/platform_fee/provider_share")
        require_share(terms.platform_fee.startup_share, "/terms/platform_fee/startup_share")
    for index, near in enumerate(terms.near):
        _require_multiple(near.multiple, f"/terms/near/{index}/multiple")
    _require_rising("near", [near.hours_max for near in terms.near])
    _require_rising("ends", [end.value_usd_min for end in terms.ends])
    for index, end in enumerate(terms.ends):
        require_usd(end.value_usd_min, f"/terms/ends/{index}/value_usd_min", zero=True)
        _require_rising(f"ends/{index}/fees", [fee.notice_hours_min for fee in end.fees])
        for fee in end.fees:
            require_share(fee.share, f"/terms/ends/{index}/fees")
        if end.remedies is not None:
            require_share(end.remedies.damages_share, f"/terms/ends/{index}/remedies/damages_share")
            require_share(end.remedies.make_whole_share, f"/terms/ends/{index}/remedies/make_whole_share")
    return [SchedulePublished(schedule_id=command.schedule_id, terms=terms)]


def _require_multiple(multiple: Decimal, pointer: str) -> None:
    if not (multiple.is_finite() and multiple >= 1):
        raise Refusal(
            "multiple_out_of_range",
            f"{pointer} is {multiple}; near capacity costs more, so state 1 or above",
            pointer=pointer,
        )


def _require_rising(name: str, steps: Iterable[Decimal | int]) -> None:
    if any(after <= before for before, after in pairwise(steps)):
        raise Refusal(
            "steps_unordered",
            f"the steps of {name} do not rise; state each once, the lowest first",
            pointer=f"/terms/{name}",
        )


def evolve(state: Schedule, event: ScheduleEvent) -> Schedule:
    """Return the schedule after an event."""
    if isinstance(event, SchedulePublished):
        return replace(state, terms=event.terms)
    recent = (one for one in state.deposited.get(event.person, ()) if one.at > event.at - DEPOSITS_COUNTED)
    return replace(state, deposited=state.deposited.set(event.person, (*recent, event)))


def compute_hold_fee(
    terms: ScheduleTerms, price_usd: Fraction, begun: datetime, end: datetime, start: datetime
) -> Decimal:
    """Return the fee in USD for holding capacity that is not taken, rounded up to a cent; at most `price_usd`.

    Args:
        terms: The schedule.
        price_usd: The price of all that is held.
        begun: Since when it is held.
        end: Until when it is held.
        start: When the capacity begins.
    """
    near = next((each.multiple for each in terms.near if start - begun <= each.hours_max * _HOUR), Decimal(1))
    share = Fraction(terms.hold_share_per_hour) * Fraction(near) * Fraction((end - begun) // _TICK, _HOUR // _TICK)
    return ceil_cents(price_usd * min(share, Fraction(1)))


def compute_fee_hold(fee_usd: Decimal) -> Decimal:
    """Return the dollars that a held quote sets aside for its fee: at least a cent.

    Held quotes are counted by these holds, so that each needs one.
    """
    return max(fee_usd, CENT)


def compute_end_fee(fees: Sequence[NoticeFee], price_usd: Fraction, notice: timedelta) -> Decimal:
    """Return the fee in USD for an early end, rounded up to a cent.

    Args:
        fees: The fee of the longest notice that is kept applies; none applies below the shortest.
        price_usd: The price of what is not delivered.
        notice: How long ahead the end was announced.
    """
    share = next((fee.share for fee in reversed(fees) if notice >= fee.notice_hours_min * _HOUR), ZERO)
    return ceil_cents(price_usd * Fraction(share))


SCHEDULE: Decider[ScheduleCommand, ScheduleEvent, Schedule] = Decider("schedule", "sch", Schedule(), decide, evolve)

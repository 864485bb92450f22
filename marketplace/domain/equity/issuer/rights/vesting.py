"""Vesting of options: equal tranches at equal intervals, with a cliff. Warrants vest by `milestones`."""

from calendar import monthrange
from datetime import date

from events.vesting import VestingSchedule
from marketplace.core.errors import Refusal
from marketplace.domain.equity.issuer.state import Option
from marketplace.equity.vesting import spread

_MONTHS_PER_YEAR = 12
_YEAR_MAX = 9_999


def require_schedule(vesting: VestingSchedule | None) -> None:
    """Refuse an impossible schedule.

    Raises:
        Refusal: ``vesting_impossible``.
    """
    if vesting is None:
        return
    if vesting.tranches < 1 or vesting.months_between < 1 or not 0 <= vesting.cliff_tranches <= vesting.tranches:
        raise Refusal(
            "vesting_impossible",
            f"{vesting.tranches} tranches every {vesting.months_between} months with a cliff of "
            f"{vesting.cliff_tranches}; state one or more, and a cliff that is not longer",
            pointer="/vesting",
        )
    months = vesting.tranches * vesting.months_between
    if vesting.starts_on.year + months // _MONTHS_PER_YEAR + 1 > _YEAR_MAX:
        raise Refusal(
            "vesting_impossible",
            f"{months} months from {vesting.starts_on} is beyond the calendar",
            pointer="/vesting",
        )


def count_vested(option: Option, on_day: date) -> int:
    """Return the shares of an option that have vested by a day, exercised ones included; none after service ended."""
    vesting = option.granted.vesting
    if vesting is None:
        return option.shares_granted
    on_day = on_day if option.service_ended_on is None else min(on_day, option.service_ended_on)
    due = sum(
        add_months(vesting.starts_on, number * vesting.months_between) <= on_day
        for number in range(1, vesting.tranches + 1)
    )
    if due < vesting.cliff_tranches:
        return 0
    parts = spread(option.shares_granted, vesting.tranches, vesting.allocation)
    return int(sum(parts[:due]))


def add_months(day: date, months: int) -> date:
    """Return the same day of a later month, or its last day if it has fewer days."""
    month = day.month - 1 + months
    year, month = day.year + month // _MONTHS_PER_YEAR, month % _MONTHS_PER_YEAR + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def count_exercisable(option: Option, on_day: date) -> int:
    """Return the shares of an option that have vested by a day and were not exercised."""
    exercised = option.shares - option.shares_outstanding
    return max(0, min(option.shares_outstanding, count_vested(option, on_day) - exercised))

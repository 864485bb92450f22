"""How many shares of an option have vested by a day, without the code of the market."""

from calendar import monthrange
from datetime import date
from typing import Any, Final

_MONTHS: Final = 12


def count_vested(schedule: dict[str, Any] | None, granted: int, day: date) -> int:
    """Return the shares of an option that have vested by a day, of all that were granted."""
    if schedule is None:
        return granted
    starts_on, due = date.fromisoformat(schedule["starts_on"]), 0
    tranches: int = schedule["tranches"]
    while due < tranches and _step(starts_on, (due + 1) * schedule["months_between"]) <= day:
        due += 1
    if due < schedule["cliff_tranches"]:
        return 0
    each, rest = divmod(granted, tranches)
    match schedule["allocation"]:
        case "CUMULATIVE_ROUNDING":
            return (2 * granted * due + tranches) // (2 * tranches)
        case "CUMULATIVE_ROUND_DOWN":
            return granted * due // tranches
        case "FRONT_LOADED":
            return each * due + min(due, rest)
        case "BACK_LOADED":
            return each * due + max(due + rest - tranches, 0)
        case "FRONT_LOADED_TO_SINGLE_TRANCHE":
            return each * due + (rest if due else 0)
        case _:
            return each * due + (rest if due == tranches else 0)


def _step(day: date, months: int) -> date:
    """Return the same day so many months later, or the last one of a shorter month."""
    years, month = divmod(day.month - 1 + months, _MONTHS)
    year, month = day.year + years, month + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))

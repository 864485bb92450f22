"""How many shares of an option have vested by a day, without the code of the market."""

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any, Final

_MONTHS: Final = 12


@dataclass(slots=True)
class Option:
    """An option: its holder, and how it vests.

    Attributes:
        issuer_id: Whose stock it buys.
        holder_id: Who holds it.
        granted: Its shares, cancelled ones included.
        schedule: How it vests; None: at once.
        window: The days in which it may be exercised after its holder's service ended.
        taken: The shares that it bought.
        ended_on: When the service ended; nothing vests after it.
    """

    issuer_id: str
    holder_id: str
    granted: int
    schedule: dict[str, Any] | None
    window: int | None
    taken: int = 0
    ended_on: date | None = None

    def count_vested(self, held: int, at: date, until: date) -> int:
        """Return how many of the held shares vest until a day; 0 if the time to exercise was over before `at`."""
        if self.ended_on is not None:
            if self.window is not None and at > self.ended_on + timedelta(days=self.window):
                return 0
            until = min(until, self.ended_on)
        return max(0, min(held, count_vested(self.schedule, self.granted, until) - self.taken))


def fold_option(options: dict[str, Option], name: str, body: Mapping[str, Any]) -> None:
    """Fold an event of an issuer into its options by id."""
    match name:
        case "option_granted":
            terms = body.get("vesting"), body.get("termination_exercise_days")
            options[body["option_id"]] = Option(body["issuer_id"], body["holder_id"], body["shares"], *terms)
        case "option_transferred" if body["option_id"] in options:
            options[body["option_id"]].holder_id = body["holder_id_after"]
        case "option_exercised" if body["option_id"] in options:
            options[body["option_id"]].taken += body["shares"]
        case "option_cancelled" if body.get("service_ended_on") is not None:
            options[body["option_id"]].ended_on = date.fromisoformat(body["service_ended_on"])
        case "stock_split":
            ratio = Fraction(body["numerator"], body["denominator"])
            for each in options.values():
                if each.issuer_id == body["issuer_id"]:
                    each.granted, each.taken = int(each.granted * ratio), int(each.taken * ratio)


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

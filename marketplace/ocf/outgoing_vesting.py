"""Vesting terms of options and warrants in a package.

OCF knows dates, periods and events. A schedule of an option becomes a first condition on its day and others relative to
it. A warrant's tranche becomes a condition of its own: on a date, or an event that its description states in full.
"""

from datetime import date
from typing import Any, Final

from events.issuer import IssuerWarrantIssued
from events.plain_json import encode_event
from events.vesting import DateMilestone, VestingSchedule, WarrantTranche
from marketplace.ocf import objects as ocf

_DAY: Final = "VESTING_START_DAY_OR_LAST_DAY_OF_MONTH"
Plain = dict[str, Any]


def build_schedule(option_id: str, schedule: VestingSchedule) -> ocf.VestingTerms:
    """Return the vesting terms of an option: its cliff, and equal tranches after it."""
    terms_id, months = f"vesting-{option_id}", schedule.months_between
    cliff = max(schedule.cliff_tranches, 1)
    rest = schedule.tranches - cliff
    start = _build_condition(f"{terms_id}-start", {"type": "VESTING_SCHEDULE_ABSOLUTE", "date": schedule.starts_on})
    first = _build_condition(f"{terms_id}-first", _wait(start["id"], months * cliff, 1), (cliff, schedule.tranches))
    conditions = [{**start, "quantity": "0", "next_condition_ids": [first["id"]]}, first]
    if rest > 0:
        last = _build_condition(f"{terms_id}-rest", _wait(first["id"], months, rest), (1, schedule.tranches))
        conditions[1:] = [{**first, "next_condition_ids": [last["id"]]}, last]
    return ocf.VestingTerms(
        id=terms_id,
        name=f"{schedule.tranches} tranches, every {months} months",
        description=f"From {schedule.starts_on}; the first {cliff} of {schedule.tranches} tranches vest together.",
        allocation_type=schedule.allocation,
        vesting_conditions=tuple(conditions),
    )


def _build_condition(condition_id: str, trigger: Plain, portion: tuple[int, int] | None = None) -> Plain:
    condition: Plain = {"id": condition_id, "trigger": trigger, "next_condition_ids": []}
    if portion is not None:
        numerator, denominator = portion
        condition["portion"] = {"numerator": str(numerator), "denominator": str(denominator)}
    return condition


def _wait(condition_id: str, months: int, occurrences: int) -> Plain:
    period = {"type": "MONTHS", "length": months, "occurrences": occurrences, "day_of_month": _DAY}
    return {"type": "VESTING_SCHEDULE_RELATIVE", "period": period, "relative_to_condition_id": condition_id}


def build_tranches(event: IssuerWarrantIssued, issued_on: date) -> ocf.VestingTerms:
    """Return the vesting terms of a warrant: a condition per tranche."""
    terms_id = f"vesting-{event.warrant_id}"
    conditions = []
    for number, tranche in enumerate(event.tranches):
        condition = _build_condition(
            f"{terms_id}-{number}", _find_trigger(tranche, issued_on), (tranche.shares, event.shares)
        )
        conditions.append({**condition, "description": _describe(tranche)})
    return ocf.VestingTerms(
        id=terms_id,
        name=f"{len(event.tranches)} tranches",
        description="Each tranche vests by itself; its description states its conditions, prices and proportion.",
        allocation_type="CUMULATIVE_ROUND_DOWN",
        vesting_conditions=tuple(conditions),
    )


def _find_trigger(tranche: WarrantTranche, issued_on: date) -> Plain:
    """Return the trigger of a tranche: the day of the issue, another day, or an event."""
    match tranche:
        case WarrantTranche(conditions=(), proportion=None):
            return {"type": "VESTING_SCHEDULE_ABSOLUTE", "date": issued_on}
        case WarrantTranche(conditions=((DateMilestone(day=day),),), proportion=None):
            return {"type": "VESTING_SCHEDULE_ABSOLUTE", "date": day}
        case _:
            return {"type": "VESTING_EVENT"}


def _describe(tranche: WarrantTranche) -> str:
    """Return the tranche as its event states it: every condition holds once any of its milestones is reached."""
    return encode_event(tranche).decode()

"""Slurm: jobs from ``sacct --json``, as readings of GPUs.

Newer releases write numbers as objects with ``set`` and ``number``, older ones as plain numbers. A job's GPUs are the
generic ``gres/gpu`` of its allocation; the typed entries beside it (``gpu:h100``) count the same GPUs again.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from marketplace.api.http.bodies.meters import READING_TYPE
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.domain.metering.usage_record import INTERVAL_MAX


class Account(NamedTuple):
    """The content of an accounting file: readings as CloudEvents, and how many jobs gave none, by reason."""

    events: list[dict[str, Any]]
    skipped: dict[str, int]


_UNFINISHED: Final = "still running"
_WITHOUT_GPUS: Final = "without GPUs"


def parse_accounting(text: str, grant_id: str) -> Account:
    """Return the jobs of an accounting file as readings of a grant. A job longer than 31 days becomes several.

    Raises:
        Refusal: ``accounting_invalid`` if it is not what ``sacct --json`` writes.
    """
    found = [_parse_job(index, job, grant_id) for index, job in enumerate(_list_jobs(text))]
    skipped: dict[str, int] = {}
    events: list[dict[str, Any]] = []
    for built, reason in found:
        if reason is None:
            events.extend(built)
        else:
            skipped[reason] = skipped.get(reason, 0) + 1
    return Account(events, skipped)


def _list_jobs(text: str) -> list[Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _refuse(f"it is not JSON: {error}") from None
    jobs = document.get("jobs") if isinstance(document, dict) else None
    if not isinstance(jobs, list):
        raise _refuse("it has no list of jobs")
    return jobs


def _parse_job(index: int, job: Any, grant_id: str) -> tuple[list[dict[str, Any]], str | None]:
    """Return a job as readings, or why it has none."""
    try:
        return _build_events(job, grant_id), _find_reason(job)
    except KeyError as error:
        raise _refuse(f"jobs[{index}] has no member {error.args[0]}") from None
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise _refuse(f"jobs[{index}] is not a job of an accounting database") from None


def _refuse(why: str) -> Refusal:
    return Refusal("accounting_invalid", f"this is not what `sacct --json` writes: {why}")


def _find_reason(job: Mapping[str, Any]) -> str | None:
    """Return why a job has no readings; None if it has."""
    start, end = (_parse_number(job["time"][name]) for name in ("start", "end"))
    if not start or not end:
        return _UNFINISHED if start else "never started"
    if not _count_gpus(job):
        return _WITHOUT_GPUS
    return None if end > start else "without duration"


def _build_events(job: Mapping[str, Any], grant_id: str) -> list[dict[str, Any]]:
    start, end = (datetime.fromtimestamp(_parse_number(job["time"][name]), UTC) for name in ("start", "end"))
    cluster, number = str(job["cluster"]), _parse_number(job["job_id"])
    return [
        {
            "specversion": "1.0",
            "type": READING_TYPE,
            "source": f"urn:slurm:{cluster}",
            "id": f"{number}/{int(begin.timestamp())}",
            "subject": grant_id,
            "data": {"start": render_instant(begin), "end": render_instant(stop), "gpus": _count_gpus(job)},
        }
        for begin, stop in _split(start, end)
    ]


def _split(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    step: timedelta = INTERVAL_MAX
    while start < end:
        yield start, min(start + step, end)
        start += step


def _count_gpus(job: Mapping[str, Any]) -> int:
    allocated = [entry for entry in job["tres"]["allocated"] if entry["type"] == "gres"]
    counts = {str(entry["name"]): _parse_number(entry["count"]) for entry in allocated}
    typed = sum(count for name, count in counts.items() if name.startswith("gpu:"))
    return counts.get("gpu", typed)


def _parse_number(value: Any) -> int:
    """Return a number of either form; 0 if it is not set."""
    if isinstance(value, Mapping):
        return int(value["number"]) if value.get("set", True) else 0
    return int(value)

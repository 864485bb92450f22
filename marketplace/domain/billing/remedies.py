"""What a provider owes for undelivered hours of a grant, by the grant's remedies and the log alone.

An hour is undelivered if its nodes are reported as failed once the cure time is over, or if it follows an early end by
the provider, or by the startup for cause. Of the undelivered hours

1. ``replacement``: those that the startup bought in a later auction cost the difference of the two prices;
2. ``damages``: the others that failed cost a share of their price;
3. ``make_whole``: the others that an early end leaves cost a share of their price.

What was credited or paid for the same hours is subtracted. A claim is about one statement period, once that is settled,
or about the early end. So no hour is recovered twice.

Invariants:
    1. The parts of a claim cover each undelivered GPU-second at most once, and no others.
    2. A claim is never negative.

Refusals in order: term_missing when a bond is posted; period_unknown · remedies_missing · grant_not_defaulted ·
claim_late · hours_remedied · replacement_unfit · nothing_owed when it is claimed from.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Final

from events.bond import REPLACEMENTS_MAX, ClaimItem, Remedy
from events.schedule import RemedyTerms
from marketplace.core.errors import Refusal
from marketplace.core.intervals import Load, build_steps
from marketplace.core.money import SECONDS_PER_HOUR, ZERO, parse_ratio, round_cents
from marketplace.domain.billing.statement import Statement
from marketplace.domain.delivery.grant import Grant
from marketplace.domain.delivery.periods import Period, list_periods
from marketplace.domain.delivery.service_level import list_failed

CLAIM_WITHIN: Final = timedelta(days=30)
"""How long after the end of a period, or after an early end, a claim may be made."""
ANSWER_WITHIN: Final = timedelta(hours=72)
"""Silence of the provider for so long concedes a claim."""
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Default:
    """Undelivered GPUs over time, in runs, since when the provider is in default, and which share of the price is due.

    `statement_id` is the period's; None for an early end.
    """

    gaps: tuple[Load, ...]
    since: datetime
    remedy: Remedy
    share: Decimal
    statement_id: str | None


def find_period(grant: Grant, period_start: datetime) -> Period:
    """Return the statement period that begins at an instant.

    Raises:
        Refusal: ``period_unknown``.
    """
    for period in list_periods(grant):
        if period.start == period_start:
            return period
    raise Refusal(
        "period_unknown",
        f"no statement period of grant {grant.issued.grant_id} begins at {period_start.isoformat()}; state the"
        " period_start of its statement",
        pointer="/period_start",
    )


def require_remedies(grant: Grant) -> RemedyTerms:
    """Return what the provider of a grant owes for undelivered hours.

    Raises:
        Refusal: ``remedies_missing``.
    """
    ends = grant.issued.ends
    if ends is None or ends.remedies is None:
        raise Refusal(
            "remedies_missing",
            f"the schedule at the issue of grant {grant.issued.grant_id} granted no remedies besides service credits",
        )
    return ends.remedies


def find_failures(grant: Grant, period: Period, at: datetime) -> Default:
    """Return what failed in a period after the cure time.

    Raises:
        Refusal: ``remedies_missing`` · ``grant_not_defaulted`` · ``claim_late``.
    """
    terms = require_remedies(grant)
    failed = list(_list_uncured(grant, period.end, timedelta(hours=terms.cure_hours)))
    gaps = tuple(_cap(grant, failed, period.start, period.end))
    if not gaps:
        raise Refusal(
            "grant_not_defaulted",
            f"no node of grant {grant.issued.grant_id} failed for longer than the {terms.cure_hours} hours of cure time"
            f" in the period from {period.start.isoformat()} to {period.end.isoformat()}",
        )
    _require_early(period.end, at)
    return Default(gaps, gaps[0].start, "damages", terms.damages_share, period.statement_id)


def _list_uncured(grant: Grant, end: datetime, cure: timedelta) -> Iterable[Load]:
    """Return the failed nodes of a grant, each unbroken failure without its cure time.

    More or fewer failed nodes continue a failure; only when all work does it end.
    """
    begun = stopped = None
    for run in list_failed(grant, grant.issued.start, end):
        if begun is None or run.start != stopped:
            begun = run.start
        stopped = run.end
        start = max(run.start, begun + cure)
        if start < run.end:
            yield Load(start, run.end, run.amount)


def _cap(grant: Grant, failed: Sequence[Load], start: datetime, end: datetime) -> Iterable[Load]:
    """Return the GPUs of failed nodes over a span, no more than the grant's own at each instant."""
    sold = [Load(load.start, load.end, -load.amount) for load in grant.list_resold()]
    for run in failed:
        first, last = max(run.start, start), min(run.end, end)
        if first >= last:
            continue
        for own in build_steps([Load(first, last, grant.issued.nodes), *sold], first, last):
            gpus = min(run.amount, own.amount) * grant.issued.gpus_per_node
            if gpus > 0:
                yield Load(own.start, own.end, gpus)


def find_ending(grant: Grant, at: datetime) -> Default:
    """Return what the early end of a grant by its provider's fault leaves undelivered.

    Raises:
        Refusal: ``remedies_missing`` · ``grant_not_defaulted`` · ``claim_late``.
    """
    terms, ended = require_remedies(grant), grant.terminated
    if ended is None or (ended.by, ended.for_cause) not in {("provider", False), ("startup", True)}:
        raise Refusal(
            "grant_not_defaulted",
            f"grant {grant.issued.grant_id} was not ended early by its provider, nor by its startup for cause; state"
            " the period_start of a period in which its nodes failed",
        )
    spans = ((grant.issued.start, grant.issued.end), *grant.extensions)
    rest = [Load(max(start, ended.at), end, grant.issued.nodes) for start, end in spans if end > ended.at]
    gaps = tuple(gap for load in rest for gap in _cap(grant, [load], load.start, load.end))
    _require_early(max(ended.at, ended.noticed_at), at)
    return Default(gaps, ended.noticed_at, "make_whole", terms.make_whole_share, None)


def _require_early(end: datetime, at: datetime) -> None:
    until = end + CLAIM_WITHIN
    if at >= until:
        raise Refusal("claim_late", f"this could be claimed until {until.isoformat()}", due=until.isoformat())


def find_credited(grant: Grant, chain: Sequence[Statement]) -> Decimal:
    """Return what the startup and the holder got for a period already; for an early end, without a chain, the fee.

    Raises:
        Refusal: ``hours_remedied``: the period rolls forward or is left out, by agreement.
    """
    if not chain:
        ended = grant.terminated
        return grant.end_fee_usd if ended is not None and ended.by == "provider" else ZERO
    service = chain[-1].service
    if service is not None and service.consequence in {"roll_forward", "exclude"}:
        raise Refusal(
            "hours_remedied",
            f"the undelivered hours of statement {chain[0].issued.statement_id} are remedied by {service.consequence}",
        )
    given = (known.sign * known.service_credit.provider_usd for known in chain if known.service_credit is not None)
    return sum(given, ZERO)


def require_term(lot_end: datetime | None, stands_until: datetime | None) -> datetime:
    """Return how long a bond stands: until the end of its lot, or as its provider states.

    Raises:
        Refusal: ``term_missing``: neither, or both.
    """
    if (lot_end is None) == (stands_until is None):
        raise Refusal(
            "term_missing",
            "a bond stands for one lot, until the lot ends, or for all grants until an instant; state either lot_id or"
            " stands_until",
            pointer="/stands_until",
        )
    return lot_end or stands_until  # type: ignore[return-value]


def require_distinct(grant_ids: Sequence[str]) -> Sequence[str]:
    """Refuse that a grant is named twice, or too many are.

    Raises:
        Refusal: ``replacement_unfit``.
    """
    if len(set(grant_ids)) < len(grant_ids) or len(grant_ids) > REPLACEMENTS_MAX:
        raise Refusal(
            "replacement_unfit",
            f"name each replacement once, and at most {REPLACEMENTS_MAX}",
            pointer="/replacement_ids",
        )
    return grant_ids


def require_replacement(grant: Grant, bought: Grant, locked_at: datetime | None, default: Default) -> None:
    """Refuse a grant of another class, or one that was not bought in an auction after the default.

    Raises:
        Refusal: ``replacement_unfit``.
    """
    issued, new = grant.issued, bought.issued
    if new.startup_id != issued.startup_id:
        fault = f"is {new.startup_id}'s"
    elif new.gpu_class != issued.gpu_class:
        fault = f"is of {new.gpu_class}, not {issued.gpu_class}"
    elif locked_at is None or bought.mark is not None:
        fault = "was not bought of strangers in an auction"
    elif locked_at <= default.since:
        fault = f"was bought at {locked_at.isoformat()}, before the default at {default.since.isoformat()}"
    else:
        return
    raise Refusal(
        "replacement_unfit", f"grant {new.grant_id} {fault}, and so replaces nothing", pointer="/replacement_ids"
    )


def compute_items(grant: Grant, default: Default, bought: Sequence[Grant]) -> tuple[ClaimItem, ...]:
    """Return the parts of a claim: what each replacement costs more, in their order, and the share for the rest."""
    price = parse_ratio(grant.issued.price_usd_per_gpu_hour)
    working = [list(_list_working(one)) for one in bought]
    counts, rest = [0] * len(bought), 0
    bounds = {at for loads in (default.gaps, *working) for load in loads for at in (load.start, load.end)}
    for start, end in pairwise(sorted(bounds)):
        missing, span = _sum_at(default.gaps, start), (end - start) // _MICROSECOND
        for index, loads in enumerate(working):
            covered = min(missing, _sum_at(loads, start))
            counts[index] += covered * span
            missing -= covered
        rest += missing * span
    items = [
        _price("replacement", count, max(parse_ratio(one.issued.price_usd_per_gpu_hour) - price, Fraction(0)), one)
        for one, count in zip(bought, counts, strict=True)
    ]
    items.append(_price(default.remedy, rest, price * Fraction(default.share)))
    return tuple(item for item in items if item.gpu_seconds)


def _list_working(grant: Grant) -> Iterable[Load]:
    """Return the GPUs of a grant that work and are its own, until its end."""
    issued = grant.issued
    taken = [*list_failed(grant, issued.start, grant.end), *grant.list_resold()]
    nodes = [Load(issued.start, grant.end, issued.nodes)] if issued.start < grant.end else []
    loads = [*nodes, *(Load(load.start, load.end, -load.amount) for load in taken)]
    for run in build_steps(loads, issued.start, grant.end) if nodes else ():
        yield Load(run.start, run.end, max(run.amount, 0) * issued.gpus_per_node)


def _sum_at(loads: Iterable[Load], at: datetime) -> int:
    return sum(load.amount for load in loads if load.start <= at < load.end)


def _price(remedy: Remedy, gpu_microseconds: int, rate: Fraction, bought: Grant | None = None) -> ClaimItem:
    seconds = gpu_microseconds // 1_000_000
    return ClaimItem(
        remedy=remedy,
        gpu_seconds=seconds,
        amount_usd=round_cents(rate * Fraction(seconds, SECONDS_PER_HOUR)),
        replacement_id=None if bought is None else bought.issued.grant_id,
    )


def sum_claim(items: Iterable[ClaimItem], credited_usd: Decimal) -> Decimal:
    """Return what a claim comes to.

    Raises:
        Refusal: ``nothing_owed``.
    """
    total = sum((item.amount_usd for item in items), ZERO)
    if total <= credited_usd:
        raise Refusal(
            "nothing_owed",
            f"the undelivered hours come to {total}, and {credited_usd} was credited or paid for them already",
        )
    return total - credited_usd

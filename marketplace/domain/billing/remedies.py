"""What a provider owes for undelivered hours of a grant, by the grant's remedies and the log alone.

An hour is undelivered if its nodes are reported as failed once the cure time is over, if it follows an early end by the
provider, or by the startup for cause, or if the startup took it off a grant whose site was late. Under the measure
``metered``, nodes that the provider's meter did not count have failed too. Of the undelivered hours

1. ``replacement``: those that the startup bought in a later auction, and got before it claims, cost the difference of
   the two prices, at most the price of the lost hour. Of the replacement, only the hours count that its provider's
   meter counted of working nodes, as far as its statements charge them, at their price less service credits. So what
   was not delivered, or not paid, replaces nothing. The order for them asks for nothing that the lost hours did not
   have, and another provider offered capacity for it in the same auction: so the price is the market's, not a friend's;
2. ``damages``: the others that failed cost a share of their price;
3. ``make_whole``: the others that an early end leaves cost a share of their price. For an end for cause, these are the
   hours of the nodes that did not work when it was declared, by the reports until then; of all nodes if it was before
   the start, because the site is late. The hours that a startup took off a grant (`grant.rescheduled`) are such hours
   too, once the cure time is over, which counts once for the grant. Hours that were moved are delivered later, and
   nothing is owed for them.

The price is what the provider is owed for the hour. Where the capacity was resold for more, its seller owes by the rest
of the price in the same way, in a claim of its own (`list_debtors`). At the sale the seller posts, for its lot, a share
of what it receives at its ask (`compute_deposit`). It owes no more than it staked and earned by the resale: what it
posted, and what its buyer paid above its own price. So its provider and a buyer that are one take no other money of
its account, whatever price they set. The cure time counts once in each
statement period, however often nodes fail in it. If a failure began before the period, the time that it lasted before
counts toward the cure time.

Who bears the price gets what is owed: of the hours of a grant, the holder of its equity gets the share of the price
that it pays, rounded down to the cent, and the startup the rest. A reseller that adds to the buyer's price gets that
part before. Of a replacement, its own holder does. Where the provider takes the equity itself, or is related to who
takes it, all is the startup's: nobody owes itself. A holder is paid on its account, as with service credits; its
mandate's budget does not grow.

What was credited or paid for the same hours is subtracted. A claim is about one statement period, once that is settled
or disputed, or about the early ends, and hours taken off, since the last such claim. So no hour is recovered twice,
whoever claims. The startup chooses when to claim and what it bought instead; in the last `HOLDER_WITHIN` of the time to
claim, the holder that bears a part of the price claims what the startup has not. By then every replacement has
delivered what counts, so the startup loses nothing. A claim is computed again when it is answered; it only falls. Once
a replacement charges less than a paid claim counted, the difference is returned (`bond.ReturnClaim`). A period whose
claim is settled is claimed again for what the log shows beyond it, because readings that lowered the claim were
corrected, voided or conceded since.

Invariants:
    1. The parts of a claim cover each undelivered GPU-second at most once, and no others.
    2. A claim is never negative.
    3. A grant replaces the hours of one default, whoever provides it.
    4. Provider and seller together owe for an hour what its price would make one provider owe, to the cent, as far as
       the seller's bond and earnings of the resale reach.

Refusals in order: term_missing when a bond is posted; period_unknown · remedies_missing · grant_not_defaulted ·
claim_late · claim_early · statement_<status> · hours_remedied · replacement_unfit · nothing_owed · replacement_claimed
when it is claimed from.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Final, Literal

from events.bond import REPLACEMENTS_MAX, ClaimItem, HolderPart, Remedy
from events.grant import EquityPart, GrantIssued, GrantRescheduled, GrantTerminated
from events.order import OrderTerms
from events.schedule import EndTerms, RemedyTerms
from events.service import ServiceResult
from events.statement import StatementIssued
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.intervals import Load
from marketplace.core.money import CENT, SECONDS_PER_HOUR, ZERO, ceil_cents, floor_cents, parse_ratio, round_cents
from marketplace.core.timeline_sums import list_runs
from marketplace.domain.billing.account_state import RESERVED_FOR
from marketplace.domain.billing.dispute import DECISION
from marketplace.domain.billing.settlement import build_tariff, compute_service_credit, compute_totals
from marketplace.domain.billing.statement import Statement
from marketplace.domain.delivery.grant import Grant, count_failed
from marketplace.domain.delivery.grant_notice import compute_reseller_share, find_owed
from marketplace.domain.delivery.periods import Period, list_periods
from marketplace.domain.delivery.rescheduling import find_cure_left
from marketplace.domain.delivery.service_level import counts_gaps, list_failed
from marketplace.domain.metering.usage_record import EPOCH, SECOND, Usage, to_second
from marketplace.domain.refusals import refuse_status
from marketplace.domain.supply.lot import Lot
from marketplace.domain.supply.outages import BACKDATED_MAX
from marketplace.domain.supply.schedule import compute_end_fee

CLAIM_WITHIN: Final = timedelta(days=30)
"""How long a claim may be made after the end of a period or the last report of an outage in it, or after the last hour
that an early end leaves."""
HOLDER_WITHIN: Final = timedelta(days=7)
"""How long before the time to claim ends a holder may claim what the startup has not."""
ANSWER_WITHIN: Final = timedelta(hours=72)
"""Silence of the provider for so long concedes a claim."""
DECIDE_WITHIN: Final = DECISION
"""Silence of the platform for so long settles a contested claim in the middle of what is claimed and conceded."""
NOTHING: Final = frozenset({"grant_not_defaulted", "hours_remedied", "nothing_owed"})
"""Refusals that mean that nothing is owed."""
_WISHES: Final = {
    "interconnect": "any",
    "provider_reliability_min": None,
    "availability_min": None,
    "notice_hours_min": 0,
    "notice_hours_max": None,
    "power_usage_effectiveness_max": None,
    "renewable_share_min": None,
    "stages": None,
    "credit": None,
}
"""The terms of an order that fewer may be able to serve than without them, and each one's value without a wish."""
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Default:
    """A provider's default on a grant.

    Attributes:
        gaps: The undelivered GPUs over time.
        since: When it began; for an end for cause, when the nodes failed. Only what was bought after that replaces
            something.
        remedy: What is owed for hours without a replacement.
        share: The share of their price.
        statement_id: The statement of the period; None for an early end.
        until: When the time to claim ends.
        fees_usd: What the provider paid for the early ends.
    """

    gaps: tuple[Load, ...]
    since: datetime
    remedy: Remedy
    share: Decimal
    statement_id: str | None
    until: datetime
    fees_usd: Decimal = ZERO


def compute_broken(ends: Sequence[EndTerms], price_usd: Decimal, notice: timedelta) -> Decimal:
    """Return the USD that a provider owes for a match that it broke after the lock.

    It is what an end of the grant that it would have become owes at that notice, by the schedule in force: the fee, or
    the make-whole if that is more. At shorter notice than any fee states, it is the fee of the shortest.

    Args:
        ends: The end terms of the schedule.
        price_usd: The price of the match.
        notice: How long before its start the match broke.
    """
    terms = next((each for each in reversed(ends) if price_usd >= each.value_usd_min), None)
    if terms is None:
        return ZERO
    make_whole_usd = (
        ZERO if terms.remedies is None else round_cents(Fraction(price_usd) * Fraction(terms.remedies.make_whole_share))
    )
    shortest = timedelta(hours=terms.fees[0].notice_hours_min) if terms.fees else notice
    return max(compute_end_fee(terms.fees, Fraction(price_usd), max(notice, shortest)), make_whole_usd)


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
        f"no statement period of grant {grant.issued.grant_id} begins at {render_instant(period_start)}; state the"
        " period_start of its statement",
        pointer="/period_start",
    )


def require_remedies(grant: Grant) -> RemedyTerms:
    """Return the terms by which the provider of a grant owes for undelivered hours.

    Raises:
        Refusal: ``remedies_missing``, if the grant was issued without.
    """
    ends = grant.issued.ends
    if ends is None or ends.remedies is None:
        raise Refusal(
            "remedies_missing",
            f"the schedule at the issue of grant {grant.issued.grant_id} granted no remedies besides service credits",
        )
    return ends.remedies


def find_failures(grant: Grant, usage: Usage, period: Period, chain: Sequence[Statement] = ()) -> Default:
    """Return what did not work in a period once the cure time was used up.

    Args:
        grant: The grant.
        usage: What its provider's meter counted.
        period: The period.
        chain: Its statements. What the provider conceded, or the platform decided, was not delivered: it is taken off
            the last hours that were metered in the period.

    Raises:
        Refusal: ``remedies_missing`` · ``grant_not_defaulted``, if that is nothing.
    """
    terms = require_remedies(grant)
    missing = _list_missing(grant, usage, period, _find_conceded(chain))
    gaps = tuple(_list_uncured(missing, period.start, timedelta(hours=terms.cure_hours)))
    if not gaps:
        raise Refusal(
            "grant_not_defaulted",
            f"from {render_instant(period.start)} to {render_instant(period.end)} no node of grant"
            f" {grant.issued.grant_id} failed for longer than the {terms.cure_hours} hours of cure time, so nothing is"
            " owed",
        )
    reports = [
        outage.reported_at
        for outage in grant.outages
        if outage.reported_at is not None
        and outage.start < period.end
        and (outage.end is None or outage.end > period.start)
    ]
    until = max([period.end, *reports, *_list_decided(chain)]) + CLAIM_WITHIN
    return Default(gaps, gaps[0].start, "damages", terms.damages_share, period.statement_id, until)


def _find_conceded(chain: Sequence[Statement]) -> Fraction:
    """Return which share of a period's metered GPUs is left after disputes that ended by more than silence for all."""
    ended = [known.ended_by for known in chain if known.disputed is not None]
    return _find_charged(chain)[0] if ended and not {None, "undecided"} & set(ended) else Fraction(1)


def _list_decided(chain: Sequence[Statement]) -> Iterator[datetime]:
    """Yield when each statement of a period that adjusts it, or was disputed, is settled at the latest."""
    for known in chain:
        if isinstance(known.issued, StatementIssued) and (known.disputed or known.issued.adjustment):
            yield known.issued.accept_until + (DECISION if known.disputed else timedelta())


def _list_missing(grant: Grant, usage: Usage, period: Period, left: Fraction) -> Iterator[Load]:
    """Yield the GPUs of a grant that did not work until a period ends, as runs in order; none where all worked.

    Of what was metered in the period, the first hours worked, up to the share `left`.
    """
    issued, end = grant.issued, period.end
    failed = list_failed(grant, issued.start, end)
    is_metered, counted = counts_gaps(grant, period.start, end), list[Load]()
    if is_metered and counts_gaps(grant, issued.start, period.start):
        counted = [*_list_counted(usage, issued.start, period.start), *_list_first(usage, period, left)]
    elif is_metered:  # Gaps of earlier periods break no promise.
        before = Load(issued.start, period.start, issued.nodes * issued.gpus_per_node)
        counted = [*([before] if before.start < before.end else ()), *_list_first(usage, period, left)]
    for start, stop, (own, lost, gpus) in _sweep(_list_own(grant, end), failed, counted):
        missing = min(lost, own) * issued.gpus_per_node
        if is_metered:
            missing = max(missing, own * issued.gpus_per_node - gpus)
        if missing > 0:
            yield Load(start, stop, missing)


def _list_first(usage: Usage, period: Period, left: Fraction) -> Iterator[Load]:
    """Yield the first GPUs that were metered in a period, up to a share of all."""
    loads = _list_counted(usage, period.start, period.end)
    budget = int(sum(load.amount * ((load.end - load.start) // _MICROSECOND) for load in loads) * left)
    for load in loads:
        span = min((load.end - load.start) // _MICROSECOND, budget // load.amount)
        budget -= span * load.amount
        if span:
            yield Load(load.start, load.start + span * _MICROSECOND, load.amount)


def _list_counted(usage: Usage, start: datetime, end: datetime) -> list[Load]:
    """Return the GPUs that the provider's meter counted over a span."""
    runs = list_runs(usage.timeline, to_second(start), to_second(end))
    return [Load(EPOCH + begin * SECOND, EPOCH + stop * SECOND, gpus) for begin, stop, gpus in runs]


def _list_own(grant: Grant, end: datetime) -> list[Load]:
    """Return the nodes of a grant before `end`, less resold and withheld ones, as loads to add up."""
    spans = [(start, min(stop, end)) for start, stop in ((grant.issued.start, grant.issued.end), *grant.extensions)]
    away = (*grant.list_resold(), *grant.list_withheld(end))
    less = [Load(load.start, min(load.end, end), -load.amount) for load in away]
    own = [*(Load(start, stop, grant.issued.nodes) for start, stop in spans), *less]
    return [load for load in own if load.start < load.end]


def _sweep(*tracks: Iterable[Load]) -> Iterator[tuple[datetime, datetime, list[int]]]:
    """Return the sum of each track over every run in which none of them changes. Cost: n log n."""
    changes: dict[datetime, list[int]] = {}
    for index, track in enumerate(tracks):
        for load in track:
            for at, amount in ((load.start, load.amount), (load.end, -load.amount)):
                changes.setdefault(at, [0] * len(tracks))[index] += amount
    sums = [0] * len(tracks)
    for start, end in pairwise(sorted(changes)):
        sums = [known + more for known, more in zip(sums, changes[start], strict=True)]
        yield start, end, sums


def _list_uncured(missing: Iterable[Load], since: datetime, cure: timedelta) -> Iterator[Load]:
    """Yield what is missing from `since` on, after the first `cure` of it in all.

    If a failure lasts without a break from before `since`, the time before counts toward `cure`.
    """
    left, stopped = cure, None
    for run in missing:
        if run.start != stopped and (stopped is None or stopped <= since):
            left = cure
        used, stopped = min(left, run.end - run.start), run.end
        left -= used
        start = max(run.start + used, since)
        if start < run.end:
            yield Load(start, run.end, run.amount)


def _find_since(grant: Grant, ended: GrantTerminated) -> datetime:
    """Return since when nodes had failed when an end for cause was declared; of another end, when it was announced.

    A repair that lasted, or was dated back, by no more than `BACKDATED_MAX` interrupts nothing.
    """
    since = ended.noticed_at
    if ended.for_cause:
        for run in reversed(list_failed(grant, grant.issued.start, since)):
            if run.end < since - BACKDATED_MAX:
                break
            since = run.start
    return since


def find_ending(grant: Grant, after: datetime | None = None, until: datetime | None = None) -> Default:
    """Return what early ends of a grant, and hours taken off it, leave undelivered by its provider's fault.

    Args:
        grant: The grant.
        after: When an earlier claim was made. Only ends that were announced later count; None: no claim was.
        until: When this claim was made; None: it is made now.

    Raises:
        Refusal: ``remedies_missing`` · ``grant_not_defaulted``, if it did not end so.
    """
    terms = require_remedies(grant)
    defaults = [
        (ended, last)
        for ended, last in _list_defaults(grant)
        if (after is None or ended.noticed_at > after) and (until is None or ended.noticed_at <= until)
    ]
    cuts = [
        (cut, gap)
        for cut, gap in _list_cuts(grant, timedelta(hours=terms.cure_hours))
        if (after is None or cut.at > after) and (until is None or cut.at <= until)
    ]
    if not (defaults or cuts):
        raise Refusal(
            "grant_not_defaulted",
            f"grant {grant.issued.grant_id} was not ended early by its provider, nor by its startup for cause, and no"
            " hours beyond the cure time were taken off it; state the period_start of a period in which its nodes"
            " failed",
        )
    gaps = tuple(gap for ended, last in defaults for gap in _list_gaps(grant, ended, last))
    gaps += tuple(gap for _, gap in cuts)
    since = min([*(_find_since(grant, ended) for ended, _ in defaults), *(cut.at for cut, _ in cuts)])
    last_day = find_last(grant) + CLAIM_WITHIN
    fees_usd = sum((ended.fee_usd for ended, _ in defaults if ended.by == "provider"), ZERO)
    return Default(gaps, since, "make_whole", terms.make_whole_share, None, last_day, fees_usd)


def _list_cuts(grant: Grant, cure: timedelta) -> Iterator[tuple[GrantRescheduled, Load]]:
    """Yield its own GPUs that the startup took off a late grant, each time beyond what is left of the cure time."""
    for number, cut in enumerate(grant.rescheduled):
        if cut.gpu_seconds_cut:
            used = min(find_cure_left(grant.rescheduled[:number], cure), cut.start - cut.start_before)
            begin, nodes = cut.start_before + used, grant.issued.nodes
            if begin < cut.start:
                sold = (
                    Load(max(one.start, begin), min(one.end, cut.start), -one.amount) for one in grant.list_resold()
                )
                own = [Load(begin, cut.start, nodes), *(load for load in sold if load.start < load.end)]
                for start, end, (left_nodes,) in _sweep(own):
                    if left_nodes > 0:
                        yield cut, Load(start, end, left_nodes * grant.issued.gpus_per_node)


def _list_gaps(grant: Grant, ended: GrantTerminated, last: datetime) -> Iterator[Load]:
    """Yield the GPUs that an early end by the provider's fault leaves undelivered until an instant.

    What is reported after an end for cause only adds to the nodes that had failed when it was declared: a repair that
    is dated back to before it takes none of them away.
    """
    most = grant.issued.nodes
    if ended.for_cause:
        most = max(ended.nodes_failed, count_failed(grant, ended.noticed_at))
    for start, stop, (own,) in _sweep(_list_own(grant, last)):
        if stop > ended.at and min(own, most) > 0:
            yield Load(max(start, ended.at), stop, min(own, most) * grant.issued.gpus_per_node)


def _list_defaults(grant: Grant) -> Iterator[tuple[GrantTerminated, datetime]]:
    """Yield each early end that is the provider's fault, the latest first, with when the grant ended before it."""
    ends = [_find_whole_end(grant), *(ended.at for ended in grant.terminations)]
    for ended, last in zip(grant.terminations[::-1], ends[-2::-1], strict=True):
        if is_default(ended):
            yield ended, last


def limit_time(default: Default, chain: Sequence[Statement]) -> Default:
    """Return a default of a period as the seller of resold hours answers for it: no longer than it gives money back.

    A later word of its provider is the provider's alone.
    """
    if not chain or not isinstance(chain[0].issued, StatementIssued):
        return default
    return replace(default, until=min(default.until, chain[0].issued.accept_until + RESERVED_FOR))


def require_time(default: Default, by: Literal["startup", "holder"], at: datetime) -> None:
    """Refuse a claim that comes too late, or one of a holder while the startup alone may claim.

    Raises:
        Refusal: ``claim_late`` · ``claim_early``.
    """
    if at >= default.until:
        due = render_instant(default.until)
        raise Refusal("claim_late", f"the time to claim this ended at {due}", due=due)
    if by == "holder" and at < default.until - HOLDER_WITHIN:
        due = render_instant(default.until - HOLDER_WITHIN)
        text = f"until {due} only the startup may claim this; claim then what it has not"
        raise Refusal("claim_early", text, due=due)


def require_answered(chain: Sequence[Statement]) -> None:
    """Refuse to claim for a period whose statement was neither accepted nor disputed.

    Raises:
        Refusal: ``statement_issued``.
    """
    for known in chain:
        if known.status == "issued":
            raise refuse_status("statement", known.issued.statement_id, known.status, "accepted or disputed")


def find_credited(default: Default, chain: Sequence[Statement], service: ServiceResult | None = None) -> Decimal:
    """Return the USD that the startup and the holder got already for what is claimed.

    For a period that is the service credits of its statements. Of a disputed one it is the highest credit that is
    possible: on all that it states, at the higher of the stated share and the share that is due by the lowest count and
    by what is known now. What a dispute may still decide is therefore not claimed. For an early end it is the
    provider's fee.

    Args:
        default: What is claimed.
        chain: The statements of the period; empty for an early end.
        service: The service result of a disputed statement of the chain by its lowest count and what is known now.

    Raises:
        Refusal: ``hours_remedied``: the period rolls forward or is left out, by agreement.
    """
    if not chain:
        return default.fees_usd
    result = service or chain[-1].service
    if result is not None and result.consequence in {"roll_forward", "exclude"}:
        raise Refusal(
            "hours_remedied",
            f"undelivered hours of statement {chain[0].issued.statement_id} have the consequence"
            f" {result.consequence} by the service level, so no bond pays for them",
        )
    return sum((known.sign * _find_given(known, service) for known in chain), ZERO)


def _find_given(statement: Statement, service: ServiceResult | None) -> Decimal:
    credit = statement.service_credit
    if credit is None and statement.status == "disputed":
        shares = [result.credit for result in (statement.service, service) if result is not None]
        credit = compute_service_credit(statement.charges, max(shares, default=ZERO))
    return ZERO if credit is None else credit.provider_usd


def require_term(lot_end: datetime | None, stands_until: datetime | None) -> datetime:
    """Return until when a bond stands: the end of its lot, or what its provider states for all grants.

    Raises:
        Refusal: ``term_missing``, if neither or both are given.
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
    """Return the ids of the replacements; refuse one that is named twice, or too many.

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


@dataclass(frozen=True, slots=True)
class Purchase:
    """A grant that is named as a replacement.

    Attributes:
        grant: The grant.
        terms: What its order asked.
        locked_at: When the auction locked that awarded it; None if no auction did.
        is_contested: Whether another provider offered capacity for its order in that auction.
    """

    grant: Grant
    terms: OrderTerms
    locked_at: datetime | None
    is_contested: bool


def require_replacement(grant: Grant, terms: OrderTerms, bought: Purchase, default: Default) -> None:
    """Refuse a replacement of another startup or class, or one whose price no auction after the default has set.

    The auction sets it if the order could have got what the others of the class sell, and others sell.

    Args:
        grant: The grant that was not delivered.
        terms: What its order asked.
        bought: The replacement.
        default: The default.

    Raises:
        Refusal: ``replacement_unfit``.
    """
    issued, new, since = grant.issued, bought.grant.issued, default.since
    wish = find_narrower_wish(terms, bought.terms)
    if new.startup_id != issued.startup_id:
        fault = f"belongs to {new.startup_id}"
    elif new.gpu_class != issued.gpu_class:
        fault = f"is of {new.gpu_class}, not {issued.gpu_class}"
    elif bought.locked_at is None or bought.grant.mark is not None:
        fault = "was not bought at the price of an auction from an unrelated provider"
    elif bought.locked_at <= since:
        fault = f"was bought at {render_instant(bought.locked_at)}, before the default at {render_instant(since)}"
    elif wish is not None:
        fault = f"was bought by an order that asks more by its {wish} than the order of {issued.grant_id} did"
    elif not bought.is_contested:
        fault = "was bought where no other provider offered anything for its order, so no market set its price"
    else:
        return
    raise Refusal(
        "replacement_unfit",
        f"grant {new.grant_id} {fault}, so it is no replacement; name another one or none",
        pointer="/replacement_ids",
    )


def find_narrower_wish(asked: OrderTerms, asks: OrderTerms) -> str | None:
    """Return a term by which an order could be served by fewer than an earlier one; None if there is none."""
    if asks.gpus_per_node != asked.gpus_per_node:
        return "gpus_per_node"
    if asks.nodes > asked.nodes:
        return "nodes"
    if asks.duration_hours > asked.duration_hours:
        return "duration_hours"
    if asks.backstop:
        return "backstop"
    for wish in ("regions", "mandate_ids"):
        wanted, before = set(getattr(asks, wish)), set(getattr(asked, wish))
        if wanted and not (before and wanted >= before):
            return wish
    more = (wish for wish, none in _WISHES.items() if getattr(asks, wish) not in (none, getattr(asked, wish)))
    return next(more, None)


@dataclass(frozen=True, slots=True)
class Delivered:
    """GPUs of a replacement that worked and were counted, of one statement period.

    Attributes:
        load: The GPUs over time.
        charged: The share of them that its statements charge; 1 before they are stated.
        paid: The share of their price that was paid, after service credits.
    """

    load: Load
    charged: Fraction
    paid: Fraction


@dataclass(frozen=True, slots=True)
class Bought:
    """A replacement, and what it delivered, in order."""

    grant: Grant
    delivered: tuple[Delivered, ...]

    def find(self, at: datetime) -> Delivered:
        """Return what it delivered at an instant at which it delivered."""
        return self.delivered[bisect_right(self.delivered, at, key=lambda each: each.load.start) - 1]


def find_delivered(
    grant: Grant, usage: Usage, periods: Iterable[tuple[Period, Sequence[Statement]]], at: datetime
) -> Bought:
    """Return what a replacement delivered before `at`.

    Args:
        grant: The replacement.
        usage: What its provider's meter counted.
        periods: Its statement periods, each with its statements.
        at: When the claim is made.
    """
    end = min(grant.end, at)
    failed, counted = list_failed(grant, grant.issued.start, end), _list_counted(usage, grant.issued.start, end)
    known = list(periods)
    marks = [Load(period.start, period.end, number) for number, (period, _) in enumerate(known, 1)]
    rates = [_find_charged(chain) for _, chain in known]
    found: list[Delivered] = []
    for start, stop, (own, lost, gpus, number) in _sweep(_list_own(grant, end), failed, counted, marks):
        working = min((own - lost) * grant.issued.gpus_per_node, gpus)
        if number and working > 0:
            found.append(Delivered(Load(start, stop, working), *rates[number - 1]))
    return Bought(grant, tuple(found))


def _find_charged(chain: Sequence[Statement]) -> tuple[Fraction, Fraction]:
    """Return which share of a period's metered GPUs its statements charge, and which share of their price was paid.

    Of a disputed statement, the lowest count of a payer is what is charged.
    """
    metered = chain[-1].gpu_seconds_metered if chain else 0
    if not metered:
        return Fraction(1), Fraction(1)
    least = [int(one.amount if one.dispute is None else one.dispute.count) for one in chain]
    charged = sum(one.sign * amount for one, amount in zip(chain, least, strict=True))
    gross = sum((one.sign * one.charges.provider_usd for one in chain), ZERO)
    net = sum((one.sign * one.net.provider_usd for one in chain), ZERO)
    paid = Fraction(net) / Fraction(gross) if gross > 0 else Fraction(1)
    return min(max(Fraction(charged, metered), Fraction(0)), Fraction(1)), max(paid, Fraction(0))


@dataclass(frozen=True, slots=True)
class Debtor:
    """Who owes for undelivered hours of a grant, by the part of their price that it is paid.

    Attributes:
        party_id: The provider, or the seller of resold hours.
        lot_ids: The lots whose bonds pay.
        above: The USD per GPU-hour of the price that others are paid, and owe by, before it.
        until: The price up to its own part.
        is_seller: Whether it is the seller of resold hours.
    """

    party_id: str
    lot_ids: tuple[str, ...]
    above: Fraction
    until: Fraction
    is_seller: bool = False


def list_debtors(issued: GrantIssued) -> list[Debtor]:
    """Return who owes for undelivered hours of a grant: its provider, then the seller that resold them for more."""
    price, owed, resale = parse_ratio(issued.price_usd_per_gpu_hour), find_owed(issued), issued.resale
    lot_ids = tuple(dict.fromkeys(share.lot_id for share in issued.lots))
    debtors = [Debtor(issued.provider_id, lot_ids, Fraction(0), owed)]
    if resale is not None and price > owed:
        debtors.append(Debtor(resale.seller_id, (resale.lot_id,), owed, price, is_seller=True))
    return debtors


def compute_deposit(issued: GrantIssued, ask_usd: Decimal) -> Decimal:
    """Return what the seller of resold hours posts at the sale: of what it gets at its ask, what it may come to owe.

    What the buyer pays beyond the ask adds nothing: otherwise its bids would set what the seller may lose. The bond is
    public, so it is rounded up to one digit: what the seller itself pays shows only roughly.
    """
    terms = None if issued.ends is None else issued.ends.remedies
    if issued.resale is None or terms is None:
        return ZERO
    seconds = issued.nodes * issued.gpus_per_node * int((issued.end - issued.start).total_seconds())
    tariff = build_tariff(issued)
    asked = replace(tariff, price=min(tariff.price, Fraction(ask_usd)))
    received = Fraction(compute_totals(asked, seconds).reseller_receives_usd)
    amount = ceil_cents(received * Fraction(max(terms.make_whole_share, terms.damages_share)))
    return (
        max(amount.quantize(Decimal(1).scaleb(amount.adjusted()), ROUND_CEILING).quantize(CENT), CENT)
        if amount
        else ZERO
    )


def compute_items(grant: Grant, debtor: Debtor, default: Default, bought: Sequence[Bought]) -> tuple[ClaimItem, ...]:
    """Return the parts of a claim: the extra cost of each replacement, in order, and the share for the other hours.

    Args:
        grant: The grant that was not delivered.
        debtor: Who owes, by its part of the price.
        default: The default.
        bought: The replacements. An earlier one replaces first.
    """
    price = parse_ratio(grant.issued.price_usd_per_gpu_hour)
    counts, costs, rest = [0] * len(bought), [Fraction(0)] * len(bought), 0
    for start, end, (missing, *working) in _sweep(
        default.gaps, *([each.load for each in one.delivered] for one in bought)
    ):
        left, span = missing, (end - start) // _MICROSECOND
        for index, one in enumerate(bought):
            if covered := min(left, working[index]):
                known = one.find(start)
                count = int(covered * span * known.charged)
                cost = parse_ratio(one.grant.issued.price_usd_per_gpu_hour) * known.paid
                counts[index] += count
                costs[index] += count * _find_difference(price, cost, debtor)
                left -= covered
                rest += covered * span - count
        rest += left * span
    items = [
        _price("replacement", count, cost / max(count, 1), one.grant)
        for one, count, cost in zip(bought, counts, costs, strict=True)
    ]
    items.append(_price(default.remedy, rest, (debtor.until - debtor.above) * Fraction(default.share)))
    return tuple(item for item in items if item.gpu_seconds)


def _find_difference(paid: Fraction, price: Fraction, debtor: Debtor) -> Fraction:
    """Return what a debtor owes of how much more `price` is than `paid`, in USD per GPU-hour, up to its part."""
    return min(max(price - paid - debtor.above, Fraction(0)), debtor.until - debtor.above)


def _price(remedy: Remedy, gpu_microseconds: int, rate: Fraction, bought: Grant | None = None) -> ClaimItem:
    seconds = gpu_microseconds // 1_000_000
    return ClaimItem(
        remedy=remedy,
        gpu_seconds=seconds,
        amount_usd=round_cents(rate * Fraction(seconds, SECONDS_PER_HOUR)),
        replacement_id=None if bought is None else bought.issued.grant_id,
    )


def sum_claim(items: Iterable[ClaimItem], credited_usd: Decimal, reach_usd: Decimal | None = None) -> Decimal:
    """Return the USD that a claim comes to: its parts less what was credited or paid already, at most `reach_usd`.

    Raises:
        Refusal: ``nothing_owed``, if that is not above 0.
    """
    total = sum((item.amount_usd for item in items), ZERO)
    if reach_usd is not None and reach_usd <= 0:
        raise Refusal(
            "nothing_owed",
            "the seller of resold hours owes no more than what it posted and earned by their resale, and that is"
            " claimed already",
        )
    if total <= credited_usd:
        raise Refusal(
            "nothing_owed",
            f"the undelivered hours come to {total} USD, and {credited_usd} USD was credited or paid for them already",
        )
    return total - credited_usd if reach_usd is None else min(total - credited_usd, reach_usd)


def find_payee(grant: Grant) -> EquityPart | None:
    """Return the equity part whose holder bears a part of a grant's price beside the startup; None if nobody does."""
    equity = grant.issued.equity
    bears = equity is not None and equity.holder_account_id is not None and grant.mark != "own_capacity"
    return equity if bears else None


def compute_holder_part(grant: Grant, amount_usd: Decimal) -> Decimal:
    """Return what the holder of a grant's equity gets of USD that its provider owes for undelivered hours."""
    return floor_cents(_find_part(grant, amount_usd))


def _find_part(grant: Grant, amount_usd: Decimal) -> Fraction:
    return Fraction(amount_usd) * (1 - parse_ratio(grant.issued.cash_share)) if find_payee(grant) else Fraction(0)


def find_holder_id(grant: Grant) -> str | None:
    """Return who bears a part of a grant's price beside the startup, and claims what that has not; None if nobody does.

    That is the holder of its equity or, without one, the seller of resold capacity that adds to the buyer's price.
    """
    payee, resale = find_payee(grant), grant.issued.resale
    if payee is not None:
        return payee.holder_id
    return resale.seller_id if resale is not None and compute_reseller_share(grant.issued) else None


def list_holder_parts(
    grant: Grant, bought: Iterable[Bought], items: Sequence[ClaimItem], amount_usd: Decimal
) -> tuple[HolderPart, ...]:
    """Return what those get of a claim who bear a part of the price beside the startup.

    Those are holders of equity and, for hours that no replacement replaces, the seller that adds to the price of resold
    capacity. What was credited is subtracted from all items in proportion.

    Args:
        grant: The grant that was not delivered.
        bought: The replacements.
        items: The items.
        amount_usd: What the claim comes to.
    """
    grants: dict[str | None, Grant] = {None: grant, **{one.grant.issued.grant_id: one.grant for one in bought}}
    added, resale = compute_reseller_share(grant.issued), grant.issued.resale
    parts: dict[tuple[str, str], Fraction] = {}
    for item in items:
        borne, share = grants[item.replacement_id], Fraction(0)
        if item.replacement_id is None and resale is not None and added:
            share, key = added, (resale.seller_id, resale.seller_account_id)
            parts[key] = parts.get(key, Fraction(0)) + Fraction(item.amount_usd) * share
        if (equity := find_payee(borne)) is not None:
            key = (equity.holder_id, str(equity.holder_account_id))
            parts[key] = parts.get(key, Fraction(0)) + _find_part(borne, item.amount_usd) * (1 - share)
    share = Fraction(amount_usd) / Fraction(sum((item.amount_usd for item in items), ZERO))
    found = [
        HolderPart(party_id=party_id, account_id=account_id, amount_usd=floor_cents(part * share))
        for (party_id, account_id), part in parts.items()
    ]
    return tuple(part for part in found if part.amount_usd)


def require_unclaimed(grant_id: str, claim_id: str | None) -> None:
    """Refuse a replacement that another claim names already.

    Args:
        grant_id: The replacement.
        claim_id: The claim that it replaces hours of, of any provider; None if there is none.

    Raises:
        Refusal: ``replacement_claimed``.
    """
    if claim_id is not None:
        raise Refusal(
            "replacement_claimed",
            f"grant {grant_id} replaces the hours of claim {claim_id} already; name another, or none",
            pointer="/replacement_ids",
        )


def find_last(grant: Grant) -> datetime:
    """Return the end of the last hour of a grant for which something may be owed.

    That is its end or, after an early end by its provider's fault, when it would have ended.
    """
    return max([grant.end, *(max(last, ended.noticed_at) for ended, last in _list_defaults(grant))])


def find_notice(grant: Grant) -> datetime | None:
    """Return when the last early end that is the provider's fault was announced, or hours were taken off; or None."""
    cuts = [cut.at for cut in grant.rescheduled if cut.gpu_seconds_cut]
    return max([*(ended.noticed_at for ended, _ in _list_defaults(grant)), *cuts], default=None)


def is_default(ended: GrantTerminated) -> bool:
    """Return whether an early end is its provider's fault."""
    return (ended.by, ended.for_cause) in {("provider", False), ("startup", True)}


def _find_whole_end(grant: Grant) -> datetime:
    """Return when a grant ends if nobody ends it early."""
    return max([grant.issued.end, *(end for _, end in grant.extensions)])


def find_needed(lot: Lot, ends: Iterable[datetime]) -> datetime | None:
    """Return until when a lot needs its bond: while it may be sold, and until what it carries is over.

    Args:
        lot: The lot.
        ends: When each grant, or held quote, that it carries or carried is over.

    Returns:
        The instant; None for a withdrawn lot without grants and quotes.
    """
    return max(ends if lot.status == "withdrawn" else [lot.end, *ends], default=None)

"""When a grant may be ended early, after notice or for cause, and what that costs.

`marketplace.domain.delivery.grant` documents the order of refusals.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from events.grant import GrantIssued
from events.schedule import EndTerms, NoticeStep
from events.service import ServiceTerms
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.money import SECONDS_PER_HOUR, ZERO, floor_cents, parse_ratio
from marketplace.domain.delivery.grant_commands import TerminateGrant
from marketplace.domain.supply.schedule import compute_end_fee

_HOUR = timedelta(hours=1)
ANSWERED_WITHIN: Final = timedelta(hours=24)
"""How long the provider may repair nodes, or answer evidence against them, before the startup has cause."""
FEW_FAILED: Final = Fraction(1, 10)
"""Fewer failed nodes than this part of a grant are few: a large grant has one at most times."""
FEW_ANSWERED_WITHIN: Final = timedelta(days=7)
"""As `ANSWERED_WITHIN`, while few nodes of a grant failed."""
ANSWERED_ONCE: Final = timedelta(days=30)
"""Outages of so many days share one `ANSWERED_WITHIN`, as the outages of a statement period share one cure time."""
CHRONIC_WITHIN: Final = timedelta(days=3)
"""Outages are chronic if in so many days nodes failed for `ANSWERED_WITHIN` in all."""

SILENT_AFTER: Final = timedelta(hours=48)
"""After how long without a reading of the provider's meter a startup may report that no node works."""


def find_answer_time(failing_since: datetime | None, before: Iterable[tuple[datetime, datetime]]) -> datetime | None:
    """Return until when the provider may answer an outage. What earlier outages took of the time is gone.

    Args:
        failing_since: When the outage was reported; None without one.
        before: From when to when earlier outages lasted, each since its report.
    """
    if failing_since is None:
        return None
    first = failing_since - ANSWERED_ONCE
    used = sum((end - max(start, first) for start, end in before if end > first), timedelta())
    return failing_since + max(ANSWERED_WITHIN - used, timedelta())


def require_cause(
    command: TerminateGrant, status: str, answer_by: datetime | None, start: datetime, *, is_withheld: bool
) -> None:
    """Refuse to end a grant for cause without a cause, or before the provider could answer.

    A startup has cause while the grant is degraded or suspended and its provider let `answer_by` pass, which is
    `ANSWERED_WITHIN` after the report or earlier (`find_answer_time`), and `FEW_ANSWERED_WITHIN` after it or earlier
    (`find_few_time`) while few nodes failed; None while outages are chronic. It has cause too while its provider is
    suspended, and while its last settled statement, which both sides could dispute, charges too little of what was
    promised. Before its start it has cause while the provider states that the site is late by more than that; it ends
    the grant at its `start`, since the site may be ready in time after all. A provider has cause while the startup that
    pays is suspended, and while delivery is withheld because a stage is not paid. The platform always has cause.

    Raises:
        Refusal: ``cause_missing`` · ``cause_unanswered``.
    """
    is_late = status == "issued" and command.is_late
    has_cause = {
        "startup": (status in {"degraded", "suspended"} and not command.is_repaired)
        or is_late
        or bool(command.nodes_uncharged)
        or command.provider_suspended,
        "provider": command.startup_suspended or is_withheld,
        "platform": True,
    }[command.by]
    if not has_cause:
        raise Refusal(
            "cause_missing",
            f"grant {command.grant_id} is {status}, and neither side is suspended. A startup has cause to end a"
            " grant while nodes of it do not work, while its provider is suspended, while its last settled"
            " statement charges far less than was promised, at an instant for which the closing of its pool was"
            " announced and put off, or before its start if its site is late by more than a day. A provider has"
            " cause while the startup is suspended or delivery is withheld. Give notice instead",
            pointer="/for_cause",
            status=status,
        )
    if command.by == "startup" and is_late and command.at > start:
        raise Refusal(
            "cause_missing",
            f"grant {command.grant_id} has not begun, and that its site is late is cause to end it at its start,"
            f" {render_instant(start)}, alone; end it then or before, or give notice",
            pointer="/at",
            start=render_instant(start),
        )
    due = answer_by or command.noticed_at
    if command.by == "startup" and command.noticed_at < due:
        raise Refusal(
            "cause_unanswered",
            f"grant {command.grant_id} was reported as {status}; its provider may repair its nodes, or answer the"
            f" evidence, until {render_instant(due)}; end it then, or give notice",
            pointer="/for_cause",
            due=render_instant(due),
        )


def require_notice(command: TerminateGrant, issued: GrantIssued, at: datetime, end: datetime) -> None:
    """Refuse to end a grant before the notice period of its terms is over. Its regular end is always allowed.

    Args:
        command: The early end, with the time of its notice and the size of the deal.
        issued: The grant.
        at: When delivery would end.
        end: The grant's regular end.

    Raises:
        Refusal: ``notice_too_short``.
    """
    notice = find_deal_notice(issued, command.deal_usd)
    earliest = min(command.noticed_at + notice, end)
    if at < earliest:
        raise Refusal(
            "notice_too_short",
            f"the terms of grant {command.grant_id} require {notice // _HOUR} hours of notice; end it at"
            f" {render_instant(earliest)} or later",
            pointer="/at",
            grant_id=command.grant_id,
            earliest=render_instant(earliest),
        )


def find_notice(service: ServiceTerms | None, ends: EndTerms | None) -> timedelta:
    """Return the notice that ends a grant early without cause: of its service terms or its end terms, if longer."""
    return max((each.notice_hours_min for each in (service, ends) if each is not None), default=0) * _HOUR


def find_deal_notice(issued: GrantIssued, deal_usd: Fraction) -> timedelta:
    """Return the notice that ends a grant early: `find_notice`, or that of a deal of its size, if longer.

    A deal is all that the startup has from the provider; `deal_usd` is its price.
    """
    sized = (step.notice_hours_min for step in reversed(issued.notices) if deal_usd >= step.value_usd_min)
    return max(find_notice(issued.service, issued.ends), next(sized, 0) * _HOUR)


def _find_end_terms(issued: GrantIssued, deal_usd: Fraction) -> EndTerms | NoticeStep | None:
    """Return the terms whose fee applies: of the grant's own size or of its deal's, if that is larger."""
    known: list[EndTerms | NoticeStep] = [] if issued.ends is None else [issued.ends]
    known += (step for step in issued.notices if deal_usd >= step.value_usd_min)
    return max(known, key=lambda each: each.value_usd_min, default=None)


def bind_resale(ends: EndTerms | None, source: GrantIssued, deal_usd: Fraction) -> EndTerms | None:
    """Return the end terms of resold capacity: `ends`, at least with notice and fees of the grant that it comes from.

    So nobody leaves a deal early through a buyer of its own.

    Args:
        ends: The terms for the resale's own price.
        source: The seller's grant.
        deal_usd: The price of all that the seller has from the provider.
    """
    terms, notice_hours = _find_end_terms(source, deal_usd), find_deal_notice(source, deal_usd) // _HOUR
    if terms is None and not notice_hours:
        return ends
    binding = max(
        (each for each in (ends, terms) if each is not None), key=lambda each: each.value_usd_min, default=None
    )
    return EndTerms(
        value_usd_min=ZERO if binding is None else binding.value_usd_min,
        notice_hours_min=max(notice_hours, 0 if ends is None else ends.notice_hours_min),
        fees=() if binding is None else binding.fees,
        remedies=None if ends is None else ends.remedies,
    )


def find_owed(issued: GrantIssued) -> Fraction:
    """Return the USD per GPU-hour that the provider of a grant is owed: of a resale, the seller's price."""
    return parse_ratio(issued.price_usd_per_gpu_hour if issued.resale is None else issued.resale.owed_usd_per_gpu_hour)


class Cut(NamedTuple):
    """What an end leaves undelivered: its GPU-seconds, when it was announced, and the end of the grant before."""

    gpu_seconds: int
    noticed_at: datetime
    end: datetime


class EndFee(NamedTuple):
    """The USD that the side pays that ends a grant; of that, what the seller of resold capacity gets; what it adds."""

    fee_usd: Decimal = ZERO
    reseller_receives_usd: Decimal = ZERO
    reseller_pays_usd: Decimal = ZERO


def compute_reseller_share(issued: GrantIssued) -> Fraction:
    """Return the share of what a provider is owed that the seller of resold capacity adds; 0 if the buyer pays all."""
    price, owed = parse_ratio(issued.price_usd_per_gpu_hour), find_owed(issued)
    return 1 - price / owed if price < owed else Fraction(0)


def find_end_fee(
    command: TerminateGrant, issued: GrantIssued, at: datetime, cut: Cut, earlier: Iterable[Cut]
) -> EndFee:
    """Return what the side that ends a grant without cause pays, rounded up to a cent, and a reseller's part of it.

    It is a share, by the length of notice and the size of the deal, of the price of the GPU-seconds left: for a startup
    the price of its grant, for a provider what it is owed. If the side brings an end of its own forward, the notice of
    that one is shorter too, and it pays the difference. So an end costs no less in parts. It is 0 for cause, for an end
    by the platform, and without end terms.

    The seller of resold hours gets all that their buyer pays if it has the hours again. Otherwise the provider gets
    the share of what it is owed, as if the seller had ended its own grant: the seller gets what the buyer pays beyond
    that, or adds what is missing. Of a provider's fee it gets the part of the price that it adds.

    Args:
        command: The end.
        issued: The grant.
        at: When delivery ends.
        cut: What that leaves.
        earlier: What earlier ends by the same side without cause left, with the present end of the grant.
    """
    if command.for_cause or command.by == "platform":
        return EndFee()
    terms = _find_end_terms(issued, command.deal_usd)
    if terms is None:
        return EndFee()
    paid, owed, known = parse_ratio(issued.price_usd_per_gpu_hour), find_owed(issued), tuple(earlier)

    def compute(rate: Fraction) -> Decimal:
        def price(one: Cut, end: datetime) -> Decimal:
            price_usd = rate * Fraction(one.gpu_seconds, SECONDS_PER_HOUR)
            return compute_end_fee(terms.fees, price_usd, end - one.noticed_at)

        return sum((max(price(one, at) - price(one, one.end), ZERO) for one in known), price(cut, at))

    by_startup = command.by == "startup"
    fee_usd = compute(paid if by_startup else owed)
    if command.payable_usd is not None:
        fee_usd = min(fee_usd, command.payable_usd)
    if command.returned_grant_id is not None:
        return EndFee(fee_usd, fee_usd)
    if not by_startup:
        return EndFee(fee_usd, floor_cents(Fraction(fee_usd) * compute_reseller_share(issued)))
    due_usd = compute(owed)
    return EndFee(fee_usd, max(fee_usd - due_usd, ZERO), min(max(due_usd - fee_usd, ZERO), command.seller_usd))

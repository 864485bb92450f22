"""Staged prepayment: what is set aside when, and what is left of it for a stage that is not paid.

The cash of a staged grant is set aside ahead of its hours. At the match it covers the first stage and the security; as
each stage begins, it has to cover one stage more, up to the whole run. So what is set aside always covers the security
beyond the stages that were paid. A stage that is not paid when it begins may be paid within `CURE`; delivery goes on,
covered by the security. Then the provider withholds delivery, and the notice of the grant's terms runs. The nodes stay
the grant's, so nobody else buys them, and the startup owes the cash price of each hour in which they worked and were
withheld, as far as the security goes. It ends either by payment or, after the notice, with the grant.

Refusals: security_too_short.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

from events.grant import GrantIssued
from events.stages import StageTerms
from marketplace.core.errors import Refusal
from marketplace.core.money import SECONDS_PER_HOUR, ZERO, round_cents
from marketplace.domain.billing.settlement import build_tariff, compute_totals

CURE: Final = timedelta(hours=72)
"""How long a stage may be late before delivery is withheld. The security covers at least as much."""
_HOUR: Final = timedelta(hours=1)
_SECOND: Final = timedelta(seconds=1)


def require_stages(stages: StageTerms, pointer: str) -> None:
    """Refuse a security that does not cover the cure time.

    Raises:
        Refusal: ``security_too_short``.
    """
    least = CURE // _HOUR
    if stages.security_hours < least:
        raise Refusal(
            "security_too_short",
            f"a security of {stages.security_hours} hours does not cover the {least} hours in which a late stage may be"
            f" paid; state {least} or more",
            pointer=f"{pointer}/security_hours",
            least=least,
        )


def accepts_stages(accepted: StageTerms | None, asked: StageTerms) -> bool:
    """Return whether a lot serves a staged order: its stages and security are as long as the lot states, or longer.

    A lot serves every order that sets all of its cash aside.
    """
    if accepted is None:
        return False
    return accepted.hours <= asked.hours and accepted.security_hours <= asked.security_hours


def count_hours_held(stages: StageTerms, duration_hours: int) -> int:
    """Return the hours of a staged run whose cash is set aside at the match."""
    return min(stages.hours + stages.security_hours, duration_hours)


def compute_funding(issued: GrantIssued, stages_paid: int, end: datetime) -> Decimal:
    """Return what is set aside in all, in US dollars, once stages are paid of a staged grant with an end."""
    assert issued.stages is not None, "the grant is staged"
    covered = (stages_paid * issued.stages.hours + issued.stages.security_hours) * _HOUR
    span = min(covered, min(end, issued.end) - issued.start)
    return compute_totals(build_tariff(issued), _count(issued, span)).startup_usd


def count_due(issued: GrantIssued, at: datetime) -> int:
    """Return how many stages of a staged grant have begun; the first one has at the match."""
    assert issued.stages is not None, "the grant is staged"
    return max((at - issued.start) // (issued.stages.hours * _HOUR), 0) + 1


def find_due(start: datetime, stages: StageTerms, stages_paid: int) -> datetime:
    """Return when the next stage of a staged grant begins, given when the grant starts."""
    return start + stages_paid * stages.hours * _HOUR


def find_spare(issued: GrantIssued, set_aside_usd: Decimal, delivered: timedelta, damages_usd: Decimal) -> Decimal:
    """Return what is set aside beyond the hours that a staged grant delivered so far, in US dollars.

    Args:
        issued: The grant.
        set_aside_usd: What its hold has and what it paid.
        delivered: How long the grant has run, without the time in which delivery was withheld.
        damages_usd: What was paid for withheld hours.
    """
    due_usd = compute_totals(build_tariff(issued), _count(issued, delivered)).startup_usd
    return max(set_aside_usd - due_usd - damages_usd, ZERO)


def compute_damages(issued: GrantIssued, gpu_seconds: int) -> Decimal:
    """Return the cash price of withheld GPU-seconds, in US dollars. They add no principal, and no holder pays."""
    tariff = build_tariff(issued)
    return round_cents(tariff.price * tariff.cash_share * Fraction(gpu_seconds, SECONDS_PER_HOUR))


def _count(issued: GrantIssued, span: timedelta) -> int:
    """Return the GPU-seconds of all nodes over a span, a part of a second as a whole one."""
    return issued.nodes * issued.gpus_per_node * -(-max(span, timedelta()) // _SECOND)

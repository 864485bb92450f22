"""Staged prepayment: when cash is set aside, and what follows if a stage is not paid.

The cash of a staged grant is set aside ahead of its hours. At the match it covers the first stage and the security; as
each stage begins, it has to cover one stage more, up to the whole run. So what is set aside always covers the security
beyond the stages that were paid. A stage that is not paid when it begins may be paid within `CURE`; delivery goes on,
covered by the security. Then the provider withholds delivery, and the notice of the grant's terms runs. The nodes stay
the grant's, so nobody else buys them, and the startup owes the cash price of each hour in which they worked and were
withheld, as far as the security goes. Withholding ends by payment or, after the notice, with the grant.

A grant may have credit of its provider. The credit is subtracted from what has to be set aside: so much of the
delivered hours is paid by accepted statements alone. The price of delivered hours less what is set aside never exceeds
the credit. A statement whose time for disputes is over and that is not paid has the consequences of a missed stage.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

from events.grant import GrantIssued
from marketplace.core.money import SECONDS_PER_HOUR, ZERO, round_cents
from marketplace.domain.billing.settlement import Totals, build_tariff, compute_totals
from marketplace.domain.delivery.grant import Grant
from marketplace.domain.delivery.grant_commands import CollectStage
from marketplace.domain.delivery.grant_notice import find_deal_notice
from marketplace.domain.delivery.service_level import count_withheld
from marketplace.domain.supply.stages import count_due

_HOUR: Final = timedelta(hours=1)
_SECOND: Final = timedelta(seconds=1)


def compute_funding(issued: GrantIssued, stages_paid: int, end: datetime) -> Decimal:
    """Return the USD that are set aside in all, paid money included, once so many stages of a grant are paid.

    Args:
        issued: The grant, which is staged.
        stages_paid: How many stages, from the first one.
        end: The grant's present end.
    """
    assert issued.stages is not None, "the grant is staged"
    covered = (stages_paid * issued.stages.hours + issued.stages.security_hours) * _HOUR
    span = min(covered, min(end, issued.end) - issued.start)
    return max(compute_totals(build_tariff(issued), _count(issued, span)).startup_usd - issued.credit_usd, ZERO)


def compute_needed(grant: Grant, totals: Totals) -> Decimal:
    """Return the USD that are set aside for a grant without deliveries; `totals` is what all of it costs."""
    if grant.issued.stages is None:
        return totals.startup_usd
    return compute_funding(grant.issued, grant.stages_paid, grant.end)


def find_spare(issued: GrantIssued, set_aside_usd: Decimal, delivered: timedelta, damages_usd: Decimal) -> Decimal:
    """Return the USD that are set aside beyond the cost of the hours delivered so far; at least 0.

    Args:
        issued: The grant.
        set_aside_usd: What is left of its hold and what was paid from it.
        delivered: How long the grant has run, without the time in which delivery was withheld.
        damages_usd: What was paid for withheld hours.
    """
    due_usd = compute_totals(build_tariff(issued), _count(issued, delivered)).startup_usd
    return max(set_aside_usd - due_usd - damages_usd, ZERO)


def build_collection(
    grant: Grant,
    at: datetime,
    *,
    available_usd: Decimal,
    free_usd: Decimal,
    set_aside_usd: Decimal,
    spare_usd: Decimal,
    due_usd: Decimal = ZERO,
    deal_usd: Fraction = Fraction(0),
    is_asked: bool = False,
    is_chased: bool = True,
    is_silent: bool = False,
) -> CollectStage:
    """Return the command that pays for the stages of a grant, or records the consequence if money is missing.

    Args:
        grant: The grant.
        at: Now.
        available_usd: What the startup's account has available. All of it may pay statements that are due.
        free_usd: That less the account's reserves, which pay no stage.
        set_aside_usd: What is left of the grant's hold and what was paid from it.
        spare_usd: What `find_spare` returns.
        due_usd: Of a grant on credit, what was paid, and what is needed for statements that can no longer be disputed.
        deal_usd: The price of all that the startup buys from the provider; the notice depends on it.
        is_asked: Whether the startup asks to pay, perhaps before a stage begins; False for the scheduler.
        is_chased: Whether missing money has its next consequence.
        is_silent: Whether the provider's meter counted nearly nothing before delivery was withheld.
    """
    issued, gpu_seconds = grant.issued, count_withheld(grant, at)
    stages = 0 if issued.stages is None else max(count_due(issued, at), grant.stages_paid + is_asked)
    funding_usd = compute_funding(issued, stages, grant.end) if stages else ZERO
    return CollectStage(
        grant_id=issued.grant_id,
        at=at,
        available_usd=free_usd if funding_usd > due_usd else available_usd,
        stages=stages,
        needed_usd=max(funding_usd, due_usd) if stages else ZERO,
        set_aside_usd=set_aside_usd,
        is_asked=is_asked,
        is_chased=is_chased,
        is_silent=is_silent,
        gpu_seconds_withheld=gpu_seconds,
        notice=find_deal_notice(issued, deal_usd),
        damages_usd=min(compute_damages(issued, gpu_seconds), spare_usd),
    )


def compute_damages(issued: GrantIssued, gpu_seconds: int) -> Decimal:
    """Return the cash part of the price of withheld GPU-seconds, in USD. No equity part is owed."""
    tariff = build_tariff(issued)
    return round_cents(tariff.price * tariff.cash_share * Fraction(gpu_seconds, SECONDS_PER_HOUR))


def _count(issued: GrantIssued, span: timedelta) -> int:
    """Return the GPU-seconds of all nodes over a span, its seconds rounded up."""
    return issued.nodes * issued.gpus_per_node * -(-max(span, timedelta()) // _SECOND)

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
from marketplace.domain.billing.settlement import build_tariff, compute_totals
from marketplace.domain.delivery.grant import Grant
from marketplace.domain.delivery.grant_commands import CollectStage
from marketplace.domain.delivery.grant_notice import find_deal_notice
from marketplace.domain.delivery.service_level import count_withheld
from marketplace.domain.supply.stages import count_due

_HOUR: Final = timedelta(hours=1)
_SECOND: Final = timedelta(seconds=1)


def compute_funding(issued: GrantIssued, stages_paid: int, end: datetime) -> Decimal:
    """Return what is set aside in all, in US dollars, once stages are paid of a staged grant with an end."""
    assert issued.stages is not None, "the grant is staged"
    covered = (stages_paid * issued.stages.hours + issued.stages.security_hours) * _HOUR
    span = min(covered, min(end, issued.end) - issued.start)
    return max(compute_totals(build_tariff(issued), _count(issued, span)).startup_usd - issued.credit_usd, ZERO)


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
) -> CollectStage:
    """Return the command that pays what the stages of a grant need by now, or takes the next step without it.

    Args:
        grant: The grant.
        at: Now.
        available_usd: What the startup's account has available. All of it may pay statements that are due.
        free_usd: The same without what it keeps for other statements and corrections, which pays no stage.
        set_aside_usd: What the grant's hold has and what it paid.
        spare_usd: What the hold has beyond the delivered hours.
        due_usd: On a grant with credit: what was paid, and what its statements need whose time for disputes is over.
        deal_usd: The price of all that the startup buys from the provider; the notice depends on it.
        is_asked: Whether the startup itself pays, perhaps before a stage begins; otherwise a timer does.
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
        gpu_seconds_withheld=gpu_seconds,
        notice=find_deal_notice(issued, deal_usd),
        damages_usd=min(compute_damages(issued, gpu_seconds), spare_usd),
    )


def compute_damages(issued: GrantIssued, gpu_seconds: int) -> Decimal:
    """Return the cash price of withheld GPU-seconds, in US dollars. They add no principal, and no holder pays."""
    tariff = build_tariff(issued)
    return round_cents(tariff.price * tariff.cash_share * Fraction(gpu_seconds, SECONDS_PER_HOUR))


def _count(issued: GrantIssued, span: timedelta) -> int:
    """Return the GPU-seconds of all nodes over a span, a part of a second as a whole one."""
    return issued.nodes * issued.gpus_per_node * -(-max(span, timedelta()) // _SECOND)

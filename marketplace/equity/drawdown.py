"""Equity for delivered compute only: accepted delivery draws a commitment down, and a missed service level changes it.

The principal of a drawdown instrument is accepted GPU-hours times the price that was fixed at signing, up to the
commitment. What is never delivered lapses and gives no equity.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from marketplace.core.errors import Refusal
from marketplace.equity.exact import ZERO, Exact, not_negative, positive, proper_fraction

ServiceLevelConsequence = Literal["roll_forward", "exclude", "credit"]


@dataclass(frozen=True, slots=True)
class DrawdownTerms:
    """What was fixed at signing.

    Attributes:
        commitment_usd: The most that may accrue.
        price_usd_per_gpu_hour: Price that turns hours into principal.
        uptime_min: Service level of a period, 0.95 for 95%.
        consequence: A period under the level accrues nothing; ``roll_forward`` leaves its hours to be delivered later,
            ``exclude`` takes them out of the commitment, ``credit`` accrues its hours in proportion to uptime over the
            level.
    """

    commitment_usd: Exact
    price_usd_per_gpu_hour: Exact
    uptime_min: Exact
    consequence: ServiceLevelConsequence | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One period's accepted statement: its delivered GPU-hours, and its uptime as a fraction of one."""

    statement_id: str
    gpu_hours: Exact
    uptime: Exact


@dataclass(frozen=True, slots=True)
class Accrual:
    """The tranche of one statement.

    Attributes:
        statement_id: The statement.
        met: Whether its period kept the service level.
        gpu_hours: The hours that accrue; they may differ from those delivered if the level was missed.
        principal_usd: The principal that accrues.
    """

    statement_id: str
    met: bool
    gpu_hours: Fraction
    principal_usd: Fraction


@dataclass(frozen=True, slots=True)
class Drawdown:
    """The state of a commitment: its tranches, and their sums.

    Principal and the undrawn part never sum to more than the commitment; the rest lapsed.
    """

    accruals: tuple[Accrual, ...]
    gpu_hours: Fraction
    principal_usd: Fraction
    undrawn_usd: Fraction


def draw_down(terms: DrawdownTerms, deliveries: Sequence[Delivery]) -> Drawdown:
    """Turn accepted statements into principal, in the order given.

    Raises:
        Refusal: ``missing_convention`` without a consequence; ``not_positive``, ``negative``,
            ``fraction_out_of_range``; ``statement_repeated`` if a statement is given twice.
    """
    if terms.consequence is None:
        raise Refusal(
            "missing_convention",
            "what a missed service level does is not given; state roll_forward, exclude or credit",
            pointer="/consequence",
            convention="consequence",
        )
    price = positive(terms.price_usd_per_gpu_hour, "price_usd_per_gpu_hour")
    left = positive(terms.commitment_usd, "commitment_usd")
    accruals: list[Accrual] = []
    seen: set[str] = set()
    for delivery in deliveries:
        if delivery.statement_id in seen:
            raise Refusal(
                "statement_repeated",
                f"statement {delivery.statement_id} was given twice; each accrues once",
                statement_id=delivery.statement_id,
            )
        seen.add(delivery.statement_id)
        met, hours = _counted(terms, delivery)
        principal = min(left, hours * price)
        left -= principal
        if not met and terms.consequence == "exclude":
            left -= min(left, Fraction(delivery.gpu_hours) * price)
        accruals.append(Accrual(delivery.statement_id, met, principal / price, principal))
    return Drawdown(
        accruals=tuple(accruals),
        gpu_hours=sum((each.gpu_hours for each in accruals), ZERO),
        principal_usd=sum((each.principal_usd for each in accruals), ZERO),
        undrawn_usd=left,
    )


def gpu_hours(gpus: Exact, hours_per_day: Exact, days: Exact) -> Fraction:
    """Count the GPU-hours of an allocation that runs every day."""
    return not_negative(gpus, "gpus") * not_negative(hours_per_day, "hours_per_day") * not_negative(days, "days")


def _counted(terms: DrawdownTerms, delivery: Delivery) -> tuple[bool, Fraction]:
    hours = not_negative(delivery.gpu_hours, f"gpu_hours of {delivery.statement_id}")
    uptime = not_negative(delivery.uptime, f"uptime of {delivery.statement_id}")
    level = proper_fraction(terms.uptime_min, "uptime_min")
    if uptime >= level:
        return True, hours
    return False, hours * uptime / level if terms.consequence == "credit" else ZERO

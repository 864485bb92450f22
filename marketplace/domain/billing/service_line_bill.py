"""The cost of a service line and the holds that pay it: like its grant, at its own price.

Of each hour the startup pays the same share in cash as of a GPU-hour of its grant, and owes principal for the rest.
"""

from dataclasses import replace
from datetime import datetime
from fractions import Fraction

import msgspec

from events.draw import DrawTerms, PriceSource
from events.grant import EquityPart
from events.service_line import ServiceLineProposed
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import ZERO, render_ratio
from marketplace.domain.billing.draw import ACCEPTANCE_HOURS
from marketplace.domain.billing.service_line import ServiceLine
from marketplace.domain.billing.service_line_commands import AgreeServiceLine, Spans
from marketplace.domain.billing.settlement import Tariff, build_tariff, compute_totals_of_hours
from marketplace.domain.delivery.grant import Grant
from marketplace.domain.delivery.periods import Period, list_periods
from marketplace.domain.refusals import refuse_status


def require_agreed(line: ServiceLine) -> None:
    """Refuse hours of a service line that is not agreed on.

    Raises:
        Refusal: ``service_line_<status>``.
    """
    if line.agreed is None:
        raise refuse_status("service_line", line.proposed.service_line_id, line.status, "agreed or closed")


def list_spans(grant: Grant) -> Spans:
    """Return when a grant runs: its span as issued and its extensions, each up to its present end."""
    spans = ((grant.issued.start, grant.issued.end), *grant.extensions)
    return tuple((start, min(end, grant.end)) for start, end in spans if start < grant.end)


def list_service_periods(grant: Grant, line: ServiceLine) -> dict[int, Period]:
    """Return the statement periods in which hours of a service line may end, by their number in the grant."""
    line_id = line.proposed.service_line_id
    return {
        index: Period(derive_id("stm", line_id, str(index)), period.start, period.end)
        for index, period in enumerate(list_periods(grant))
        if period.end > line.terms.at
    }


def build_service_tariff(grant: Grant, proposed: ServiceLineProposed) -> Tariff:
    """Return the prices of a service line: its own price, in the same shares of cash and principal as its grant."""
    return replace(build_tariff(grant.issued), price=Fraction(proposed.price_usd_per_hour), owed=None)


def build_bill(grant: Grant, line: ServiceLine) -> Grant:
    """Return the grant with price, hold and instrument of a service line, as the code that settles statements reads it.

    Its price is per hour of work. Resale, service level and credit are left out.
    """
    agreed = line.terms
    issued = msgspec.structs.replace(
        grant.issued,
        price_usd_per_gpu_hour=render_ratio(line.proposed.price_usd_per_hour),
        hold_id=agreed.hold_id,
        cash_commitment_usd=agreed.cash_commitment_usd,
        equity=agreed.equity,
        resale=None,
        service=None,
        credit_usd=ZERO,
    )
    return replace(grant, issued=issued)


def build_agreement(grant: Grant, proposed: ServiceLineProposed, at: datetime) -> AgreeServiceLine:
    """Return the agreement on a proposal: the cost of all its hours, and who pays it from which holds."""
    line_id = proposed.service_line_id
    totals = compute_totals_of_hours(build_service_tariff(grant, proposed), Fraction(proposed.hours))
    equity: EquityPart | None = None
    if grant.issued.equity is not None and totals.principal_usd:
        equity = msgspec.structs.replace(
            grant.issued.equity,
            instrument_id=rename_id("ins", line_id),
            principal_commitment_usd=totals.principal_usd,
            budget_commitment_usd=totals.holder_usd,
        )
    return AgreeServiceLine(
        service_line_id=line_id,
        hold_id=rename_id("hld", line_id),
        cash_commitment_usd=totals.startup_usd,
        equity=equity,
        at=at,
    )


def build_service_draw(grant: Grant, proposed: ServiceLineProposed, at: datetime) -> DrawTerms:
    """Return the terms at which a service line accrues as principal, from `at` to the grant's end.

    Prices are per hour of work, though the members' names say GPU-hour.
    """
    tariff = build_service_tariff(grant, proposed)
    return DrawTerms(
        start=at,
        end=grant.end,
        gpu_class=grant.issued.gpu_class,
        unit="service_hour",
        price_usd_per_gpu_hour=render_ratio(tariff.price),
        cash_usd_per_gpu_hour=render_ratio(tariff.price * tariff.cash_share),
        principal_usd_per_gpu_hour=render_ratio(tariff.price * tariff.principal_share),
        acceptance_hours=ACCEPTANCE_HOURS,
        source=PriceSource(kind="service_line", id=proposed.service_line_id),
    )

"""A holder's portfolio: positions, multiples, rates of return, concentration, the cost of a provider's failure."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final, get_args

import msgspec

from marketplace.captable.marks import MarkSource
from marketplace.captable.positions import Held
from marketplace.core.errors import Refusal
from marketplace.core.money import round_cents
from marketplace.core.rounding import round_places
from marketplace.equity.portfolio import (
    Dimension,
    MarkMethod,
    concentration,
    exposure_to_provider_usd,
    sum_positions,
)
from marketplace.equity.rates import Flow, RateResult, xirr
from marketplace.equity.recovery import Assumptions, recovery_table, simulate

DIMENSIONS: Final[tuple[Dimension, ...]] = get_args(Dimension)
_PLACES: Final = 6
TABLE_MAX: Final = 50


class PositionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One position; amounts are in dollars, to the cent.

    Attributes:
        instrument_id: The instrument, option or warrant; issuer and class for stock bought without an instrument.
        issuer_id: Whose equity.
        issuer_name: Legal name of the company.
        sector: Of the issuer.
        gpu_vendor: Of the compute; ``none`` for cash.
        kind: The instrument's kind, such as ``safe``, or ``stock``, ``option`` or ``warrant``.
        status: ``open``; ``ended`` after a sale of the company, or once nothing of it is left.
        provider_id: Whose delivery it depends on; None for cash.
        gpu_hours: GPU-hours delivered and accepted, to two places.
        cost_usd: What the holder paid, at the signed price.
        retail_usd: The same compute at list price; None without a list price.
        own_cost_usd: What the delivery cost the holder itself; None without a cost.
        shares: Shares that are held now; of an option or warrant, shares that it still gives.
        principal_usd: Principal that is not converted.
        mark_usd: Value of what is held.
        mark_method: ``last_round``: by the price of a round; ``cost``: at cost, without such a round; ``write_off``: 0,
            because the position ended.
        mark_source: The round that the mark follows, and whose money was in it; None if it follows none.
        undrawn_usd: Principal that may still accrue.
        distributed_usd: What the holder received.
        realised_usd: What was received, less the cost of what is no longer held.
        unrealised_usd: The mark, less the cost of what is held.
    """

    instrument_id: str
    issuer_id: str
    issuer_name: str
    sector: str
    gpu_vendor: str
    kind: str
    status: str
    provider_id: str | None
    gpu_hours: Decimal
    cost_usd: Decimal
    retail_usd: Decimal | None
    own_cost_usd: Decimal | None
    shares: int
    principal_usd: Decimal
    mark_usd: Decimal
    mark_method: MarkMethod
    mark_source: MarkSource | None
    undrawn_usd: Decimal
    distributed_usd: Decimal
    realised_usd: Decimal
    unrealised_usd: Decimal


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """Totals of a portfolio; multiples are None if nothing was paid in.

    Attributes:
        cost_usd: What the holder paid, at the signed price.
        distributed_usd: What the holder received.
        mark_usd: Value of what is held.
        undrawn_usd: Principal that may still accrue.
        realised_usd: What was received, less the cost of what is no longer held.
        unrealised_usd: The mark, less the cost of what is held.
        moic: Mark and distributions per dollar paid; equal to `tvpi`.
        dpi: Distributions per dollar paid.
        rvpi: Mark per dollar paid.
        tvpi: Mark and distributions per dollar paid.
        xirr_status: How many rates there are: ``unique``, ``multiple`` or ``none``.
        xirr: Every annual internal rate of return, as a fraction: 0.08 is 8%.
    """

    cost_usd: Decimal
    distributed_usd: Decimal
    mark_usd: Decimal
    undrawn_usd: Decimal
    realised_usd: Decimal
    unrealised_usd: Decimal
    moic: Decimal | None
    dpi: Decimal | None
    rvpi: Decimal | None
    tvpi: Decimal | None
    xirr_status: str
    xirr: tuple[Decimal, ...]


class ConcentrationLine(msgspec.Struct, frozen=True, kw_only=True):
    """The part, from 0 to 1, of the amount at risk (mark and undrawn commitment) that depends on one name.

    `dimension` says what is named.
    """

    dimension: str
    name: str
    exposure_usd: Decimal
    part: Decimal


class ProviderLine(msgspec.Struct, frozen=True, kw_only=True):
    """What one provider's failure would affect: undrawn commitments, and the positions that draw them."""

    provider_id: str
    undrawn_usd: Decimal
    instrument_ids: tuple[str, ...]


class Portfolio(msgspec.Struct, frozen=True, kw_only=True):
    """A holder's portfolio as of an instant.

    Attributes:
        holder_id: The holder.
        at: As of when.
        sums: Of all positions.
        positions: By issuer.
        concentration: Within each dimension, the largest first.
        providers: What the failure of each provider would affect.
    """

    holder_id: str
    at: datetime
    sums: Sums
    positions: tuple[PositionLine, ...]
    concentration: tuple[ConcentrationLine, ...]
    providers: tuple[ProviderLine, ...]


def build_portfolio(holder_id: str, at: datetime, held: Sequence[Held]) -> Portfolio:
    """Return the portfolio of positions as of an instant."""
    positions = [each.position for each in held]
    lines = tuple(_render_position(each) for each in held)
    return Portfolio(
        holder_id=holder_id,
        at=at,
        sums=_sum(at, held, lines),
        positions=lines,
        concentration=tuple(
            ConcentrationLine(
                dimension=dimension,
                name=row.name,
                exposure_usd=round_cents(row.exposure_usd),
                part=_round(row.part),
            )
            for dimension in DIMENSIONS
            for row in concentration(positions, dimension)
        ),
        providers=tuple(
            ProviderLine(
                provider_id=provider_id,
                undrawn_usd=round_cents(exposure_to_provider_usd(positions, provider_id)),
                instrument_ids=tuple(each.instrument_id for each in positions if each.provider_id == provider_id),
            )
            for provider_id in sorted({each.provider_id for each in positions if each.provider_id is not None})
        ),
    )


def _render_position(held: Held) -> PositionLine:
    of = held.position
    cost, mark, back = Fraction(of.paid_in_usd), Fraction(of.mark_usd), Fraction(of.distributed_usd)
    gone = held.cost_gone_usd
    return PositionLine(
        instrument_id=of.instrument_id,
        issuer_id=of.issuer_id,
        issuer_name=held.issuer_name,
        sector=of.sector,
        gpu_vendor=of.gpu_vendor,
        kind=of.instrument_kind,
        status=held.status,
        provider_id=of.provider_id,
        gpu_hours=round_places(held.gpu_hours, 2, "half_even"),
        cost_usd=round_cents(cost),
        retail_usd=None if of.retail_usd is None else round_cents(Fraction(of.retail_usd)),
        own_cost_usd=None if of.own_cost_usd is None else round_cents(Fraction(of.own_cost_usd)),
        shares=held.shares,
        principal_usd=held.principal_usd,
        mark_usd=round_cents(mark),
        mark_method=of.mark_method,
        mark_source=held.mark_source,
        undrawn_usd=round_cents(Fraction(of.undrawn_usd)),
        distributed_usd=round_cents(back),
        realised_usd=round_cents(back - gone),
        unrealised_usd=round_cents(mark - (cost - gone)),
    )


def _sum(at: datetime, held: Sequence[Held], lines: Sequence[PositionLine]) -> Sums:
    summed = sum_positions([each.position for each in held])
    multiples = summed.multiples
    flows = [flow for each in held for flow in each.flows]
    rates = _find_rates([*flows, Flow(at.date(), summed.mark_usd)])
    return Sums(
        cost_usd=round_cents(summed.paid_in_usd),
        distributed_usd=round_cents(summed.distributed_usd),
        mark_usd=round_cents(summed.mark_usd),
        undrawn_usd=round_cents(summed.undrawn_usd),
        realised_usd=sum((line.realised_usd for line in lines), Decimal(0)),
        unrealised_usd=sum((line.unrealised_usd for line in lines), Decimal(0)),
        moic=_show(multiples.moic),
        dpi=_show(multiples.dpi),
        rvpi=_show(multiples.rvpi),
        tvpi=_show(multiples.tvpi),
        xirr_status=rates.status,
        xirr=tuple(rate.quantize(Decimal("1e-6")) for rate in rates.rates),
    )


def _find_rates(flows: Sequence[Flow]) -> RateResult:
    """Return the rates of return, with the flows of one day summed."""
    days: dict[date, Fraction] = {}
    for flow in flows:
        days[flow.day] = days.get(flow.day, Fraction(0)) + Fraction(flow.amount_usd)
    return xirr([Flow(day, amount) for day, amount in sorted(days.items())])


def _show(value: Fraction | None) -> Decimal | None:
    return None if value is None else _round(value)


def _round(value: Fraction) -> Decimal:
    return round_places(value, _PLACES, "half_even")


class RecoveryRow(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the granted compute that must succeed at one multiple, for each cost; above 1 is impossible.

    Attributes:
        parts: That part by cost, in the order of `costs_per_granted_usd`.
    """

    multiple: Decimal
    parts: tuple[Decimal, ...]


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """How likely returns repay the granted compute.

    Attributes:
        costs_per_granted_usd: Dollars that a granted dollar may have cost the holder: one column of `table` each.
        table: A row per multiple.
        success_part: Assumed chance of one company's success, independent of the others.
        multiple: Assumed return of a success per dollar granted; a failure returns nothing.
        cost_per_granted_usd: Assumed cost of a granted dollar.
        grants: Companies, each granted the same.
        trials: Portfolios drawn.
        seed: The same seed draws the same portfolios.
        paid_back_part: The part of the trials in which returns repaid the cost.
        mean_multiple: Return per dollar of cost, on average.
        deciles: The nine deciles of the return per dollar of cost over the trials.
    """

    costs_per_granted_usd: tuple[Decimal, ...]
    table: tuple[RecoveryRow, ...]
    success_part: Decimal
    multiple: Decimal
    cost_per_granted_usd: Decimal
    grants: int
    trials: int
    seed: int
    paid_back_part: Decimal
    mean_multiple: Decimal
    deciles: tuple[Decimal, ...]


def ask_recovery(
    assumptions: Assumptions, multiples: Sequence[Decimal], costs_per_granted_usd: Sequence[Decimal]
) -> Recovery:
    """Return how likely returns repay granted compute: a table for given multiples, and a simulated portfolio.

    Raises:
        Refusal: ``table_too_large`` above 50 rows or columns; those of `marketplace.equity.recovery`.
    """
    if not 1 <= len(multiples) <= TABLE_MAX or not 1 <= len(costs_per_granted_usd) <= TABLE_MAX:
        raise Refusal("table_too_large", f"a table has 1 to {TABLE_MAX} multiples and 1 to {TABLE_MAX} costs")
    simulated = simulate(assumptions)
    return Recovery(
        costs_per_granted_usd=tuple(costs_per_granted_usd),
        table=tuple(
            RecoveryRow(multiple=multiple, parts=tuple(_round(part) for part in parts))
            for multiple, (_, parts) in zip(multiples, recovery_table(multiples, costs_per_granted_usd), strict=True)
        ),
        success_part=Decimal(str(assumptions.success_part)),
        multiple=Decimal(str(assumptions.multiple)),
        cost_per_granted_usd=Decimal(str(assumptions.cost_per_granted_usd)),
        grants=assumptions.grants,
        trials=assumptions.trials,
        seed=assumptions.seed,
        paid_back_part=_round(simulated.paid_back_part),
        mean_multiple=_round(simulated.mean_multiple),
        deciles=tuple(_round(decile) for decile in simulated.deciles),
    )

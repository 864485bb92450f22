"""A holder's portfolio: positions at cost and mark, distributions, concentration, and what must succeed to be repaid.

Multiples are exact fractions. If nothing was paid in, a multiple is None.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from marketplace.equity.exact import ZERO, Exact, not_negative, positive

MarkMethod = Literal["cost", "last_round", "model", "write_off"]
Dimension = Literal["issuer", "sector", "gpu_vendor", "instrument", "provider"]


@dataclass(frozen=True, slots=True)
class Position:
    """One instrument in the portfolio.

    Attributes:
        paid_in_usd: Cost at the signed price: cash, or compute delivered and accepted.
        retail_usd: The same compute at list price; None if it was not compute or no list price is stated.
        own_cost_usd: What the delivery cost the holder itself; None if that is not stated.
        distributed_usd: Received so far.
        mark_usd: Value of what is still held, by `mark_method`.
        undrawn_usd: Commitment not yet drawn.
        provider_id: The provider on whose delivery the position depends, or None.
    """

    instrument_id: str
    issuer_id: str
    sector: str
    gpu_vendor: str
    instrument_kind: str
    paid_in_usd: Exact
    mark_usd: Exact
    mark_method: MarkMethod
    distributed_usd: Exact = 0
    undrawn_usd: Exact = 0
    retail_usd: Exact | None = None
    own_cost_usd: Exact | None = None
    provider_id: str | None = None


@dataclass(frozen=True, slots=True)
class Multiples:
    """Distributed, residual and total value per dollar paid in; None if nothing was paid in. MOIC equals the total."""

    dpi: Fraction | None
    rvpi: Fraction | None
    tvpi: Fraction | None

    @property
    def moic(self) -> Fraction | None:
        """Multiple on invested capital, gross; None if nothing was paid in."""
        return self.tvpi


@dataclass(frozen=True, slots=True)
class Concentration:
    """One name's part of the portfolio, by what is at risk: mark and undrawn commitment."""

    name: str
    exposure_usd: Fraction
    part: Fraction


@dataclass(frozen=True, slots=True)
class Totals:
    """The totals of a portfolio, in USD. The gain is mark and distributions less cost."""

    paid_in_usd: Fraction
    distributed_usd: Fraction
    mark_usd: Fraction
    undrawn_usd: Fraction
    gain_usd: Fraction
    multiples: Multiples


def multiples(paid_in_usd: Exact, distributed_usd: Exact, mark_usd: Exact) -> Multiples:
    """Compute DPI, RVPI and TVPI; all are None if nothing was paid in."""
    paid = not_negative(paid_in_usd, "paid_in_usd")
    back = not_negative(distributed_usd, "distributed_usd")
    mark = not_negative(mark_usd, "mark_usd")
    if paid == 0:
        return Multiples(None, None, None)
    return Multiples(back / paid, mark / paid, (back + mark) / paid)


def sum_positions(positions: Sequence[Position]) -> Totals:
    """Return the totals of positions."""
    paid = _sum([position.paid_in_usd for position in positions])
    back = _sum([position.distributed_usd for position in positions])
    mark = _sum([position.mark_usd for position in positions])
    return Totals(
        paid_in_usd=paid,
        distributed_usd=back,
        mark_usd=mark,
        undrawn_usd=_sum([position.undrawn_usd for position in positions]),
        gain_usd=mark + back - paid,
        multiples=multiples(paid, back, mark),
    )


def concentration(positions: Sequence[Position], dimension: Dimension) -> tuple[Concentration, ...]:
    """Return each name's part of the portfolio, largest first. Positions without such a name are left out."""
    exposures: dict[str, Fraction] = {}
    for position in positions:
        name = _name(position, dimension)
        if name is not None:
            exposure = _sum([position.mark_usd, position.undrawn_usd])
            exposures[name] = exposures.get(name, ZERO) + exposure
    whole = _sum([value for each in positions for value in (each.mark_usd, each.undrawn_usd)])
    rows = (Concentration(name, amount, amount / whole if whole else ZERO) for name, amount in exposures.items())
    return tuple(sorted(rows, key=lambda row: (-row.exposure_usd, row.name)))


def exposure_to_provider_usd(positions: Sequence[Position], provider_id: str) -> Fraction:
    """Sum the undrawn commitments that would never be delivered if one provider failed."""
    return _sum([position.undrawn_usd for position in positions if position.provider_id == provider_id])


def success_part_needed(multiple: Exact, cost_per_granted_usd: Exact = 1) -> Fraction:
    """Compute the part of the granted compute that must succeed to pay the programme back, if the rest is lost.

    Args:
        multiple: What a success returns per dollar granted.
        cost_per_granted_usd: What a granted dollar cost the holder itself, 1 at signed price.

    Returns:
        A part; above 1 means that it cannot be paid back.
    """
    return not_negative(cost_per_granted_usd, "cost_per_granted_usd") / positive(multiple, "multiple")


def _name(position: Position, dimension: Dimension) -> str | None:
    names = {
        "issuer": position.issuer_id,
        "sector": position.sector,
        "gpu_vendor": position.gpu_vendor,
        "instrument": position.instrument_kind,
        "provider": position.provider_id,
    }
    return names[dimension]


def _sum(values: Sequence[Exact]) -> Fraction:
    return sum((Fraction(value) for value in values), ZERO)

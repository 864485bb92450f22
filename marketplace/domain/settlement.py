"""What usage costs: who pays whom, and how much principal accrues, exact to the cent.

At price p per GPU-hour on an offer of value w = cash + h · equity, with θ = p / w: the provider receives p, the
startup pays θ · cash and owes θ · equity as principal, the mandate's holder pays θ · h · equity.

Every amount is the difference of two cumulative amounts, each rounded once, so that the statements of a grant sum
to what one statement over the whole would have been, whatever the periods. Invariants:

1. provider = cash + holder, to the cent, in every statement.
2. No amount of a statement is negative while usage grows.
3. The startup never pays more than its offer in whole cents, nor the holder more than its hold.
4. The holder never pays more than a dollar per dollar of principal, whatever the rounding, also after a service credit.
5. A service credit is at most what was charged, and what the provider gives back is what startup and holder get.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from events.grant import GrantIssued
from events.service import ServiceResult
from events.statement import Charges, ServiceCredit
from marketplace.core.money import SECONDS_PER_HOUR, ZERO, parse_ratio, round_cents


@dataclass(frozen=True, slots=True)
class Tariff:
    """The prices of one grant, dollars per GPU-hour.

    Attributes:
        price: p.
        value: w, above 0.
        cash: Cash of the offer.
        equity: Principal of the offer.
    """

    price: Fraction
    value: Fraction
    cash: Fraction
    equity: Fraction


@dataclass(frozen=True, slots=True)
class Totals:
    """Cumulative dollars from the first GPU-second on."""

    provider_usd: Decimal
    cash_usd: Decimal
    principal_usd: Decimal

    @property
    def holder_usd(self) -> Decimal:
        """Return what the holder of the equity pays."""
        return self.provider_usd - self.cash_usd


def build_tariff(grant: GrantIssued) -> Tariff:
    """Return the prices of a grant."""
    equity = grant.equity
    return Tariff(
        price=parse_ratio(grant.price_usd_per_gpu_hour),
        value=Fraction(grant.value_usd_per_gpu_hour),
        cash=Fraction(grant.cash_usd_per_gpu_hour),
        equity=Fraction(equity.equity_usd_per_gpu_hour if equity is not None else ZERO),
    )


def compute_totals(tariff: Tariff, gpu_seconds: int) -> Totals:
    """Return what the first `gpu_seconds` of a grant cost."""
    hours = Fraction(gpu_seconds, SECONDS_PER_HOUR)
    provider = round_cents(tariff.price * hours)
    cash = round_cents(Fraction(provider) * tariff.cash / tariff.value)
    principal = round_cents(tariff.price / tariff.value * tariff.equity * hours)
    return Totals(provider, cash, max(principal, provider - cash))


def compute_charges(tariff: Tariff, gpu_seconds_before: int, gpu_seconds: int) -> Charges:
    """Return what `gpu_seconds` cost that come after `gpu_seconds_before` of the same grant."""
    before = compute_totals(tariff, gpu_seconds_before)
    after = compute_totals(tariff, gpu_seconds_before + gpu_seconds)
    return Charges(
        gpu_seconds=gpu_seconds,
        provider_usd=after.provider_usd - before.provider_usd,
        cash_usd=after.cash_usd - before.cash_usd,
        holder_usd=after.holder_usd - before.holder_usd,
        principal_usd=after.principal_usd - before.principal_usd,
    )


def apply_consequence(charges: Charges, service: ServiceResult | None) -> Charges:
    """Return what is charged of a period, by what its availability does; the GPU-seconds stay."""
    if service is None or service.consequence not in {"roll_forward", "exclude"}:
        return charges
    cash = charges.cash_usd if service.consequence == "exclude" else ZERO
    return Charges(
        gpu_seconds=charges.gpu_seconds, provider_usd=cash, cash_usd=cash, holder_usd=ZERO, principal_usd=ZERO
    )


def compute_service_credit(charges: Charges, share: Decimal) -> ServiceCredit:
    """Return what a share of a period's charges comes to, each amount rounded once to the cent."""
    cash = round_cents(Fraction(charges.cash_usd) * Fraction(share))
    holder = round_cents(Fraction(charges.holder_usd) * Fraction(share))
    principal = round_cents(Fraction(charges.principal_usd) * Fraction(share))
    return ServiceCredit(
        provider_usd=cash + holder,
        cash_usd=cash,
        holder_usd=holder,
        principal_usd=principal,
    )


def subtract_credit(charges: Charges, credit: ServiceCredit | None) -> Charges:
    """Return what is left of charges after a service credit; the GPU-seconds stay."""
    if credit is None:
        return charges
    return Charges(
        gpu_seconds=charges.gpu_seconds,
        provider_usd=charges.provider_usd - credit.provider_usd,
        cash_usd=charges.cash_usd - credit.cash_usd,
        holder_usd=charges.holder_usd - credit.holder_usd,
        principal_usd=charges.principal_usd - credit.principal_usd,
    )

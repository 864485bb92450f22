"""What usage costs: who pays whom, and how much principal accrues, exact to the cent.

At price p per GPU-hour on an offer of value w = cash + h · equity, with θ = p / w: the provider receives p, the
startup pays θ · cash and owes θ · equity as principal, the mandate's holder pays θ · h · equity.

Capacity that a startup resold is delivered to the buyer by the same provider, who is owed p' per GPU-hour, the price
that the seller had agreed to. The buyer pays p. The provider receives p' and the seller the rest; if p is less than p',
the seller adds the difference. A resold hour adds no principal for the seller.

The platform's fee is paid beside this: the provider's part is a share of the money that it receives, without what it
takes in equity itself; the startup's part is a share of the cash that it pays. Of a resale, so is the seller's: the
provider's share of what it receives, or the startup's share of what it adds.

Every amount is the difference of two cumulative amounts, each rounded once. The statements of a grant therefore sum to
one statement over the whole, however the periods are cut. A cent is the least charge: once anything is delivered at a
price above 0, the cumulative amount is at least a cent. Whole cents more are charged as they fill. Invariants:

1. provider + what the reseller receives = cash + holder + what the reseller pays, to the cent, in every statement.
2. No amount of a statement is negative while usage grows.
3. The startup never pays more than its offer in whole cents, nor the holder more than its hold.
4. The holder never pays more than a dollar per dollar of principal, after rounding and after a service credit.
5. A service credit is at most what was charged. The provider pays back exactly what startup and holder receive.
6. The platform's fees of a grant sum to its shares of the sums, to the cent. No fee exceeds what it is a part of.
7. Delivery at a price above 0 costs at least a cent in all, and the provider gets it.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import msgspec

from events.grant import GrantIssued
from events.schedule import PlatformFee
from events.statement import Charges, ServiceCredit
from marketplace.core.money import CENT, PRICE_PLACES, SECONDS_PER_HOUR, ZERO, parse_ratio, round_cents
from marketplace.core.rounding import round_places


@dataclass(frozen=True, slots=True)
class Tariff:
    """The prices of one grant, dollars per GPU-hour.

    Attributes:
        price: p.
        cash_share: The part of the price that is paid in cash, from 0 to 1.
        principal_share: Principal per dollar of the price.
        owed: p', what the provider is owed for resold capacity; None if the provider is the seller.
        provider_fee: The platform's share of what the provider receives.
        startup_fee: The platform's share of what the startup pays in cash, beside it.
        is_own_capacity: Whether the provider takes the equity itself, so that the holder's part is not paid.
    """

    price: Fraction
    cash_share: Fraction
    principal_share: Fraction
    owed: Fraction | None = None
    provider_fee: Fraction = Fraction(0)
    startup_fee: Fraction = Fraction(0)
    is_own_capacity: bool = False


@dataclass(frozen=True, slots=True)
class Totals:
    """Dollars from the first GPU-second, or hour of a service line, on.

    `paid_usd` is what startup and holder pay together without fees, `cash_usd` the startup's part of that, and
    `startup_usd` that part with the startup's fee to the platform.
    """

    paid_usd: Decimal
    cash_usd: Decimal
    principal_usd: Decimal
    reseller_pays_usd: Decimal = ZERO
    reseller_receives_usd: Decimal = ZERO
    provider_fee_usd: Decimal = ZERO
    startup_fee_usd: Decimal = ZERO
    startup_usd: Decimal = ZERO
    reseller_fee_usd: Decimal = ZERO

    @property
    def provider_usd(self) -> Decimal:
        """Return what the provider receives, its fee to the platform not subtracted."""
        return self.paid_usd + self.reseller_pays_usd - self.reseller_receives_usd

    @property
    def reseller_usd(self) -> Decimal:
        """Return what the seller of a resale adds, with its fee to the platform; 0 of one that is paid."""
        return self.reseller_pays_usd + self.reseller_fee_usd if self.reseller_pays_usd else ZERO

    @property
    def holder_usd(self) -> Decimal:
        """Return what the holder of the equity pays."""
        return self.paid_usd - self.cash_usd


def build_tariff(grant: GrantIssued) -> Tariff:
    """Return the prices of a grant."""
    equity, fee = grant.equity, grant.platform_fee
    return Tariff(
        price=parse_ratio(grant.price_usd_per_gpu_hour),
        cash_share=parse_ratio(grant.cash_share),
        principal_share=Fraction(0) if equity is None else parse_ratio(equity.principal_share),
        owed=None if grant.resale is None else parse_ratio(grant.resale.owed_usd_per_gpu_hour),
        provider_fee=Fraction(0 if fee is None else fee.provider_share),
        startup_fee=Fraction(0 if fee is None else fee.startup_share),
        is_own_capacity=equity is not None and equity.holder_account_id is None,
    )


def compute_totals(tariff: Tariff, gpu_seconds: int) -> Totals:
    """Return what the first `gpu_seconds` of a grant cost."""
    return compute_totals_of_hours(tariff, Fraction(gpu_seconds, SECONDS_PER_HOUR))


def compute_totals_of_hours(tariff: Tariff, hours: Fraction) -> Totals:
    """Return what the first `hours` cost, of GPUs of a grant or of a service line."""
    paid = _round_charge(tariff.price * hours)
    cash = round_cents(Fraction(paid) * tariff.cash_share)
    principal = round_cents(tariff.price * tariff.principal_share * hours)
    pays, receives = _compute_resale(tariff, paid, hours)
    received = cash if tariff.is_own_capacity else paid + pays - receives
    startup_fee = round_cents(Fraction(cash) * tariff.startup_fee)
    return Totals(
        paid,
        cash,
        max(principal, paid - cash),
        pays,
        receives,
        provider_fee_usd=round_cents(Fraction(received) * tariff.provider_fee),
        startup_fee_usd=startup_fee,
        startup_usd=cash + startup_fee,
        reseller_fee_usd=_compute_reseller_fee(tariff, pays, receives),
    )


def _compute_resale(tariff: Tariff, paid: Decimal, hours: Fraction) -> tuple[Decimal, Decimal]:
    """Return the USD that a reseller pays, and that it receives; at least one of them is 0."""
    owed, price = tariff.owed, tariff.price
    if owed is None or owed == price:
        return ZERO, ZERO
    if owed > price:
        return (round_cents if price else _round_charge)((owed - price) * hours), ZERO
    return ZERO, paid - _round_charge(Fraction(paid) * owed / price)


def _compute_reseller_fee(tariff: Tariff, pays: Decimal, receives: Decimal) -> Decimal:
    """Return the platform's fee on what a reseller receives, or adds."""
    return round_cents(Fraction(receives) * tariff.provider_fee + Fraction(pays) * tariff.startup_fee)


def _round_charge(amount: Fraction) -> Decimal:
    """Return what an exact amount is charged as: rounded to the cent, and at least a cent above 0."""
    return max(round_cents(amount), CENT) if amount else ZERO


def compute_holder_rate(grant: GrantIssued) -> Fraction:
    """Return the exact USD per GPU-hour that the holder of a grant's equity pays; 0 without equity."""
    tariff = build_tariff(grant)
    return tariff.price * (1 - tariff.cash_share) if grant.equity is not None else Fraction(0)


def compute_ask_floor(grant: GrantIssued) -> Decimal:
    """Return the lowest ask in USD per GPU-hour at which a grant may be resold: what the holder of its equity pays."""
    return round_places(compute_holder_rate(grant), PRICE_PLACES, "ceiling")


def compute_charges(tariff: Tariff, gpu_seconds_before: int, gpu_seconds: int) -> Charges:
    """Return the cost of `gpu_seconds` that follow `gpu_seconds_before` of the same grant."""
    before = compute_totals(tariff, gpu_seconds_before)
    after = compute_totals(tariff, gpu_seconds_before + gpu_seconds)
    return _charge(before, after, gpu_seconds=gpu_seconds)


def compute_service_charges(tariff: Tariff, hours_before: Decimal, hours: Decimal) -> Charges:
    """Return the cost of `hours` that follow `hours_before` of the same service line."""
    before = compute_totals_of_hours(tariff, Fraction(hours_before))
    after = compute_totals_of_hours(tariff, Fraction(hours_before) + Fraction(hours))
    return _charge(before, after, service_hours=hours)


def _charge(before: Totals, after: Totals, *, gpu_seconds: int = 0, service_hours: Decimal = ZERO) -> Charges:
    return Charges(
        gpu_seconds=gpu_seconds,
        service_hours=service_hours,
        provider_usd=after.provider_usd - before.provider_usd,
        cash_usd=after.cash_usd - before.cash_usd,
        holder_usd=after.holder_usd - before.holder_usd,
        principal_usd=after.principal_usd - before.principal_usd,
        reseller_pays_usd=after.reseller_pays_usd - before.reseller_pays_usd,
        reseller_receives_usd=after.reseller_receives_usd - before.reseller_receives_usd,
        provider_fee_usd=after.provider_fee_usd - before.provider_fee_usd,
        startup_fee_usd=after.startup_fee_usd - before.startup_fee_usd,
        reseller_fee_usd=after.reseller_fee_usd - before.reseller_fee_usd,
    )


def compute_service_credit(charges: Charges, share: Decimal) -> ServiceCredit:
    """Return a share, from 0 to 1, of a period's charges, each amount rounded once to the cent."""
    cash = round_cents(Fraction(charges.cash_usd) * Fraction(share))
    holder = round_cents(Fraction(charges.holder_usd) * Fraction(share))
    principal = round_cents(Fraction(charges.principal_usd) * Fraction(share))
    return ServiceCredit(
        provider_usd=cash + holder,
        cash_usd=cash,
        holder_usd=holder,
        principal_usd=principal,
        provider_fee_usd=round_cents(Fraction(charges.provider_fee_usd) * Fraction(share)),
        startup_fee_usd=round_cents(Fraction(charges.startup_fee_usd) * Fraction(share)),
    )


def drop_equity(charges: Charges, settled: Charges | None = None, fee: PlatformFee | None = None) -> Charges:
    """Return charges without their equity part: no principal accrues, and no holder pays.

    In a resale the seller, and then the provider, receives less by what the holder would have paid.

    Args:
        charges: The charges.
        settled: The part of them that is settled already and keeps its equity part; None: no part.
        fee: The platform's fee; what provider and seller pay of it is computed again from what they then receive.
            None: no fee.
    """
    kept = ZERO if settled is None else settled.holder_usd
    dropped = charges.holder_usd - kept
    received = ZERO if settled is None else settled.reseller_receives_usd
    seller_loses = min(charges.reseller_receives_usd - received, dropped)
    provider_usd = charges.provider_usd - (dropped - seller_loses)
    before, fee_before = (ZERO, ZERO) if settled is None else (settled.provider_usd, settled.provider_fee_usd)
    share = Fraction(0 if fee is None else fee.provider_share)
    reseller_fee_usd = charges.reseller_fee_usd
    if seller_loses:
        less = round_cents(Fraction(charges.reseller_receives_usd - seller_loses - received) * share)
        reseller_fee_usd = min(reseller_fee_usd, less + (ZERO if settled is None else settled.reseller_fee_usd))
    return msgspec.structs.replace(
        charges,
        provider_usd=provider_usd,
        holder_usd=kept,
        principal_usd=ZERO if settled is None else settled.principal_usd,
        reseller_receives_usd=charges.reseller_receives_usd - seller_loses,
        reseller_fee_usd=reseller_fee_usd,
        provider_fee_usd=min(
            charges.provider_fee_usd, fee_before + round_cents(Fraction(provider_usd - before) * share)
        ),
    )


def leave_to_reseller(
    charges: Charges, keeps_usd: Decimal, fee: PlatformFee | None, *, is_own_capacity: bool
) -> Charges:
    """Return a credit of resold hours without what their seller keeps, and the platform its fee of that.

    The startup paid the seller first, so it is paid back less, and the holder only where its cash is too little; then
    principal is reversed in proportion.

    Args:
        charges: What is credited, of which the seller gives back its whole part.
        keeps_usd: What it keeps of that.
        fee: The platform's fee, of which each part is computed again from what is moved; None: no fee.
        is_own_capacity: As in `Tariff`.
    """
    cash_usd = max(charges.cash_usd - keeps_usd, ZERO)
    holder_usd = charges.holder_usd - (keeps_usd - (charges.cash_usd - cash_usd))
    share = Fraction(holder_usd) / Fraction(charges.holder_usd) if charges.holder_usd else Fraction(1)
    of_provider, of_startup = (ZERO, ZERO) if fee is None else (fee.provider_share, fee.startup_share)
    receives_usd = charges.reseller_receives_usd - keeps_usd
    fees_usd = [charges.provider_fee_usd, charges.startup_fee_usd, charges.reseller_fee_usd]
    moved = ((cash_usd, of_provider), (cash_usd, of_startup), (receives_usd, of_provider))
    lower = [
        min(known, round_cents(Fraction(usd) * Fraction(part)))
        for known, (usd, part) in zip(fees_usd, moved, strict=True)
    ]
    return msgspec.structs.replace(
        charges,
        cash_usd=cash_usd,
        holder_usd=holder_usd,
        principal_usd=round_cents(Fraction(charges.principal_usd) * share),
        reseller_receives_usd=receives_usd,
        provider_fee_usd=lower[0] if is_own_capacity else charges.provider_fee_usd,
        startup_fee_usd=lower[1],
        reseller_fee_usd=lower[2],
    )


def settle_without_equity(
    charges: Charges,
    settled: Charges | None,
    *,
    issuer_ended: bool,
    in_cash: bool,
    is_own_capacity: bool,
    fee: PlatformFee | None,
) -> Charges:
    """Return what is settled of charges: themselves, unless no principal accrues by them; see `AcceptStatement`.

    Charges that have no equity part beside what is settled stay as they are, to the cent.
    """
    kept = (ZERO, ZERO) if settled is None else (settled.holder_usd, settled.principal_usd)
    if not issuer_ended or (charges.holder_usd, charges.principal_usd) == kept:
        return charges
    if in_cash:
        return move_to_cash(charges, settled, fee, is_own_capacity=is_own_capacity)
    return drop_equity(charges, settled, fee)


def move_to_cash(
    charges: Charges, settled: Charges | None = None, fee: PlatformFee | None = None, *, is_own_capacity: bool
) -> Charges:
    """Return charges whose equity part the startup pays in cash: no principal accrues, and no holder pays.

    What provider and seller receive does not change.

    Args:
        charges: The charges.
        settled: The part of them that is settled already and keeps its equity part; None: no part.
        fee: The platform's fee, which is computed again from the cash. None: no fee.
        is_own_capacity: As in `Tariff`.
    """
    before = Charges(gpu_seconds=0, provider_usd=ZERO, cash_usd=ZERO, holder_usd=ZERO, principal_usd=ZERO)
    before = before if settled is None else settled
    cash_usd = charges.cash_usd + charges.holder_usd - before.holder_usd
    paid = Fraction(cash_usd - before.cash_usd)
    provider_fee_usd = charges.provider_fee_usd
    if fee is not None and is_own_capacity:
        provider_fee_usd = before.provider_fee_usd + round_cents(paid * Fraction(fee.provider_share))
    startup_share = Fraction(0 if fee is None else fee.startup_share)
    return msgspec.structs.replace(
        charges,
        cash_usd=cash_usd,
        holder_usd=before.holder_usd,
        principal_usd=before.principal_usd,
        provider_fee_usd=provider_fee_usd,
        startup_fee_usd=before.startup_fee_usd + round_cents(paid * startup_share),
    )


def leave_cash(charges: Charges, settled: Charges | None = None, fee: PlatformFee | None = None) -> Charges:
    """Return charges without the cash that the startup has not paid: the holder pays its part and principal accrues.

    Args:
        charges: The charges, of no resale.
        settled: The part of them that is settled already, cash included; None: no part.
        fee: The platform's fee; the provider's part is computed again from what it then receives. None: no fee.
    """
    before = Charges(gpu_seconds=0, provider_usd=ZERO, cash_usd=ZERO, holder_usd=ZERO, principal_usd=ZERO)
    before = before if settled is None else settled
    received = charges.holder_usd - before.holder_usd
    share = Fraction(0 if fee is None else fee.provider_share)
    return msgspec.structs.replace(
        charges,
        provider_usd=before.provider_usd + received,
        cash_usd=before.cash_usd,
        provider_fee_usd=min(
            charges.provider_fee_usd, before.provider_fee_usd + round_cents(Fraction(received) * share)
        ),
        startup_fee_usd=before.startup_fee_usd,
    )


def subtract_settled(charges: Charges, settled: Charges | None) -> Charges:
    """Return charges less the part of them that is settled already; None: no part."""
    if settled is None:
        return charges
    return Charges(**{name: getattr(charges, name) - getattr(settled, name) for name in Charges.__struct_fields__})


def subtract_credit(charges: Charges, credit: ServiceCredit | None) -> Charges:
    """Return charges less a service credit; their GPU-seconds and hours stay. None: no credit."""
    if credit is None:
        return charges
    return msgspec.structs.replace(
        charges,
        provider_usd=charges.provider_usd - credit.provider_usd,
        cash_usd=charges.cash_usd - credit.cash_usd,
        holder_usd=charges.holder_usd - credit.holder_usd,
        principal_usd=charges.principal_usd - credit.principal_usd,
        provider_fee_usd=charges.provider_fee_usd - credit.provider_fee_usd,
        startup_fee_usd=charges.startup_fee_usd - credit.startup_fee_usd,
    )

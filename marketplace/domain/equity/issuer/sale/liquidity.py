"""The sale of an issuer; `marketplace.domain.equity.issuer.issuer` documents the order of refusals."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from events.issuer import IssuerDistributionPaid, IssuerEvent, IssuerLiquidityDeclared
from marketplace.core.errors import Refusal
from marketplace.core.intervals import require_aware
from marketplace.core.money import ZERO, require_price_per_share, require_usd
from marketplace.domain.equity.instrument.commands import RepayInstrument
from marketplace.domain.equity.issuer.commands import DeclareLiquidity, PayDistribution
from marketplace.domain.equity.issuer.financing.pricing import order_instruments
from marketplace.domain.equity.issuer.rules import (
    require_fits,
    require_no_financing,
    require_seniority,
    require_signed,
)
from marketplace.domain.equity.issuer.sale.payouts import share_proceeds
from marketplace.domain.equity.issuer.state import Issuer, Sale, capitalization_of
from marketplace.domain.refusals import refuse_exists, refuse_unknown

INSTRUMENTS_MAX: Final = 999
"""The limit that keeps the payment and the end of every instrument within one atomic batch of 1,000."""


def declare_liquidity(command: DeclareLiquidity, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the declaration with its waterfall, unless it is recorded. It replaces an earlier unpaid one."""
    known = state.sales.get(command.liquidity_id)
    if known is not None:
        waterfall = known.declared.waterfall
        if waterfall.proceeds_usd == command.proceeds_usd and (waterfall.stock is None) == (command.stock is None):
            return []
        raise refuse_exists("liquidity", command.liquidity_id)
    require_usd(command.proceeds_usd, "/proceeds_usd")
    require_aware(command.at, "/at")
    if len(command.instruments) > INSTRUMENTS_MAX:
        raise Refusal(
            "too_many_instruments",
            f"{len(command.instruments)} instruments are outstanding; one payment can end {INSTRUMENTS_MAX}",
            pointer="/instruments",
            instruments_max=INSTRUMENTS_MAX,
        )
    require_signed(state, command.instruments)
    if command.safe_seniority is not None:
        require_seniority(command.safe_seniority)
    if command.stock is not None:
        require_price_per_share(command.stock.price_usd_per_share, "/stock/price_usd_per_share")
    require_no_financing(state)
    waterfall = share_proceeds(
        state,
        command.proceeds_usd,
        command.instruments,
        at=command.at,
        safe_seniority=command.safe_seniority,
        stock=command.stock,
    )
    event = IssuerLiquidityDeclared(
        issuer_id=command.issuer_id,
        liquidity_id=command.liquidity_id,
        kind="acquisition" if command.stock is None else "stock_acquisition",
        waterfall=waterfall,
    )
    require_fits(event)
    return [event]


def pay_distribution(command: PayDistribution, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the payment that ends the issuer."""
    sale = _get_sale(state, command.liquidity_id)
    if sale.status == "paid":
        return []
    if state.liquidity_id is None:
        raise Refusal(
            "liquidity_withdrawn",
            f"a round was opened after liquidity event {command.liquidity_id} was declared, which withdraws the sale;"
            " close or abandon the round, and declare the sale again",
            liquidity_id=command.liquidity_id,
        )
    if state.liquidity_id != command.liquidity_id:
        raise Refusal(
            "liquidity_replaced",
            f"liquidity event {state.liquidity_id} was declared after {command.liquidity_id}; pay the later one",
            liquidity_id=command.liquidity_id,
            later=state.liquidity_id,
        )
    changed = []
    if order_instruments(command.instruments) != sale.declared.waterfall.instruments:
        changed.append("instruments")
    if sale.basis != capitalization_of(state):
        changed.append("holdings")
    if changed:
        raise Refusal(
            "liquidity_stale",
            f"{' and '.join(changed)} changed since liquidity event {command.liquidity_id} was declared;"
            " declare it again with a new id",
            liquidity_id=command.liquidity_id,
            changed=changed,
        )
    return [
        IssuerDistributionPaid(
            issuer_id=command.issuer_id,
            liquidity_id=command.liquidity_id,
            amount_usd=sum((payout.cash_usd for payout in sale.declared.waterfall.payouts), ZERO),
        )
    ]


def require_delivery_settled(liquidity_id: str, grants: Sequence[str]) -> None:
    """Refuse to pay a sale while delivered compute that becomes equity is not settled.

    Args:
        liquidity_id: The sale.
        grants: Grants with metered usage that no accepted statement covers.

    Raises:
        Refusal: ``delivery_unsettled``.
    """
    if grants:
        raise Refusal(
            "delivery_unsettled",
            f"usage of {', '.join(grants[:5])} is metered and not accepted; accept or resolve its statements, then"
            f" declare the sale again in place of {liquidity_id}, so that what accrues has its part of the proceeds",
            liquidity_id=liquidity_id,
            grants=list(grants),
        )


def list_repayments(state: Issuer, liquidity_id: str) -> tuple[RepayInstrument, ...]:
    """Return the commands that end the instruments of a declared sale, for the batch that pays it.

    Raises:
        Refusal: ``liquidity_unknown``.
    """
    amounts: dict[str, Decimal] = {}
    for payout in _get_sale(state, liquidity_id).declared.waterfall.payouts:
        if payout.security.startswith("ins_"):
            amounts[payout.security] = amounts.get(payout.security, ZERO) + payout.amount_usd
    return tuple(
        RepayInstrument(instrument_id=instrument_id, cause=liquidity_id, amount_usd=amount)
        for instrument_id, amount in amounts.items()
    )


def _get_sale(state: Issuer, liquidity_id: str) -> Sale:
    sale = state.sales.get(liquidity_id)
    if sale is None:
        raise refuse_unknown("liquidity", liquidity_id)
    return sale

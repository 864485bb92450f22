"""Clawbacks: reversal of principal from statements that later proved wrong, whatever the principal became.

A clawback is a negative tranche. If the principal is *outstanding*, the clawback reduces it. If it became *shares*, the
clawback takes back the shares that this principal bought: its dollars over the conversion's price. The dollars of a
note include interest to the day of the closing. If it became *money*, the clawback takes back its part of the payment.

Shares are returned in whole numbers, without payment. All clawbacks of one conversion are added up and rounded down, so
that a fraction waits for the next clawback; the last one takes every remaining share of the conversion. If the holder
has too few of the shares by now (sold, converted, paid out), the holder owes the rest at the conversion's price. If
both sides agreed on a debt instead, nothing is cancelled and all dollars are owed. A debt is rounded down to the cent.

`marketplace.domain.equity.instrument.instrument` documents the order of refusals.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import Final

from events.instrument import InstrumentDebtPaid, InstrumentEvent, InstrumentPrincipalReversed, TakenShares
from events.types import Reduction
from marketplace.core.errors import Refusal
from marketplace.core.money import ZERO, floor_cents, render_ratio, require_usd
from marketplace.core.rounding import round_whole
from marketplace.domain.equity.instrument.commands import PayDebt, ReversePrincipal
from marketplace.domain.equity.instrument.state import ClawedBack, Instrument, Tranche
from marketplace.domain.refusals import refuse_exists, require_found

REDUCE_WITHIN: Final = timedelta(days=180)
"""How long after a tranche accrued it may be reversed, if it became shares or money."""
SETTLED_AFTER: Final = timedelta(days=30)
"""How long after a tranche accrued it may be reversed without its holder, if it is outstanding; see `needs_holder`."""


def reverse(command: ReversePrincipal, state: Instrument) -> Sequence[InstrumentEvent]:
    """Return the clawback of a tranche, in part or in full; nothing if it is recorded."""
    require_usd(command.principal_usd, "/principal_usd")
    tranche = require_found("tranche", command.tranche_id, state.find_tranche(command.tranche_id))
    known = tranche.reversals.get(command.reason)
    if known is not None:
        if known.principal_usd == command.principal_usd:
            return []
        raise refuse_exists("reversal", command.tranche_id)
    if command.principal_usd > tranche.principal_usd:
        raise Refusal(
            "tranche_exceeded",
            f"tranche {tranche.tranche_id} has {tranche.principal_usd} USD that were not reversed; "
            f"{command.principal_usd} USD cannot be reversed; lower the amount",
            pointer="/principal_usd",
            tranche_id=tranche.tranche_id,
            principal_usd=str(tranche.principal_usd),
        )
    _require_reducible(command, tranche)
    return [_build(command, state, tranche)]


def is_late(tranche: Tranche, on_day: date) -> bool:
    """Return whether it is too late to reduce what a tranche became. Outstanding principal may always be reduced."""
    became = tranche.converted_usd or tranche.repaid_usd
    return bool(became) and on_day > tranche.interest_from + REDUCE_WITHIN


def needs_holder(tranche: Tranche, on_day: date, *, is_pending: bool, accepts: bool) -> bool:
    """Return whether a reversal of a tranche needs its holder's agreement.

    It does if any of these holds: the holder accepts statements itself, the tranche became shares or money, a round or
    sale is pending, or `SETTLED_AFTER` is over.

    Args:
        tranche: The tranche.
        on_day: The day of the reversal.
        is_pending: Whether a round is open or a sale is declared.
        accepts: Whether the holder pays for it, and did not let the startup accept statements alone.
    """
    became = tranche.converted_usd or tranche.repaid_usd
    return accepts or bool(became) or is_pending or on_day > tranche.interest_from + SETTLED_AFTER


def _require_reducible(command: ReversePrincipal, tranche: Tranche) -> None:
    if command.issuer_ended:
        raise Refusal(
            "issuer_ended",
            f"the issuer of {command.instrument_id} was sold and its proceeds are paid; nothing is reversed any more",
            instrument_id=command.instrument_id,
        )
    if command.on_day is not None and is_late(tranche, command.on_day):
        until = tranche.interest_from + REDUCE_WITHIN
        raise Refusal(
            "reduction_late",
            f"tranche {tranche.tranche_id} became shares or money, which could be reduced until {until.isoformat()}",
            tranche_id=tranche.tranche_id,
            until=until.isoformat(),
        )


def _build(command: ReversePrincipal, state: Instrument, tranche: Tranche) -> InstrumentPrincipalReversed:
    taken, debt = None, Fraction(0)
    reduction: Reduction | None = None
    if tranche.converted_usd:
        reduction = _require_reduction(command, tranche)
        taken, debt = _take_shares(command, state, tranche)
    elif tranche.repaid_usd:
        assert state.repaid is not None, "money was paid by a repayment"
        paid = state.repaid
        debt = Fraction(command.principal_usd) * Fraction(paid.amount_usd) / Fraction(paid.principal_usd)
    return InstrumentPrincipalReversed(
        instrument_id=command.instrument_id,
        tranche_id=command.tranche_id,
        issuer_id=state.issued.issuer_id,
        holder_id=state.holder_id,
        principal_usd=command.principal_usd,
        reason=command.reason,
        became="shares" if tranche.converted_usd else "money" if tranche.repaid_usd else "outstanding",
        reduction=reduction,
        taken=taken,
        debt_exact=render_ratio(debt),
        debt_usd=floor_cents(debt),
    )


def _require_reduction(command: ReversePrincipal, tranche: Tranche) -> Reduction:
    if command.reduction is None:
        raise Refusal(
            "missing_convention",
            f"tranche {tranche.tranche_id} became shares; state what happens to them as reduction: "
            "cancel_shares or debt",
            pointer="/reduction",
            convention="reduction",
            converted_usd=str(tranche.converted_usd),
        )
    return command.reduction


def _take_shares(command: ReversePrincipal, state: Instrument, tranche: Tranche) -> tuple[TakenShares, Fraction]:
    """Return the shares that are returned, and the exact dollars that are owed instead of others."""
    assert tranche.conversion is not None, "shares were bought in a conversion"
    conversion = state.conversions[tranche.conversion]
    amount = Fraction(command.principal_usd) * tranche.dollars_per_principal
    price = Fraction(conversion.price_usd_per_share) / command.split
    due = 0
    if command.reduction == "cancel_shares":
        before = state.takings.get(tranche.conversion, ClawedBack())
        last = before.principal_usd + command.principal_usd == conversion.principal_usd
        bought = (before.amount + amount) / Fraction(conversion.price_usd_per_share)
        counted = Fraction(conversion.shares) if last else min(bought, Fraction(conversion.shares))
        whole = round_whole(counted * command.split, "floor")
        due = max(round_whole(whole - before.shares * command.split, "floor"), 0)
    shares = min(due, command.shares_held)
    taken = TakenShares(
        cause=conversion.cause,
        class_id=conversion.class_id,
        amount_exact=render_ratio(amount),
        price_usd_per_share=render_ratio(price),
        shares_exact=render_ratio(amount / price),
        shares_due=due,
        shares=shares,
    )
    return taken, amount if command.reduction == "debt" else (due - shares) * price


def pay_debt(command: PayDebt, state: Instrument) -> Sequence[InstrumentEvent]:
    """Return the payment of a debt; nothing if it is recorded."""
    require_usd(command.amount_usd, "/amount_usd")
    known = state.debts_paid.get(command.cause)
    if known is not None:
        if known == command.amount_usd:
            return []
        raise refuse_exists("payment", command.cause)
    if command.amount_usd > state.debt_usd:
        what = f"owes {state.debt_usd} USD" if state.debt_usd > ZERO else "owes nothing"
        raise Refusal(
            "debt_exceeded",
            f"the holder of instrument {command.instrument_id} {what} for principal that was clawed back; "
            f"{command.amount_usd} USD are too much",
            pointer="/amount_usd",
            debt_usd=str(state.debt_usd),
        )
    return [
        InstrumentDebtPaid(
            instrument_id=command.instrument_id,
            issuer_id=state.issued.issuer_id,
            holder_id=state.holder_id,
            cause=command.cause,
            amount_usd=command.amount_usd,
        )
    ]


def build_reversal(event: InstrumentPrincipalReversed, on_day: date) -> ReversePrincipal:
    """Return the command that records a proposed clawback, to decide it again as of `on_day`, the day proposed.

    Shares held and splits are to be added.
    """
    return ReversePrincipal(
        instrument_id=event.instrument_id,
        tranche_id=event.tranche_id,
        principal_usd=event.principal_usd,
        reason=event.reason,
        reduction=event.reduction,
        on_day=on_day,
    )

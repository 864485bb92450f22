"""Clawbacks: principal that is reversed, the shares or rights that it bought, and the debts that remain.

The instrument says how many shares are returned, and the issuer cancels them, in one atomic append.
"""

from decimal import Decimal
from fractions import Fraction

from events.financing import Approval
from events.instrument import InstrumentPrincipalReversed, TakenShares
from events.types import Reduction
from marketplace.application.steps.access import require_decider, require_platform, require_side, require_unfrozen
from marketplace.application.steps.dilution import track_instrument
from marketplace.application.steps.paying import pay
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.account_commands import Debit
from marketplace.domain.equity.instrument.commands import PayDebt, ReversePrincipal
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.instrument.state import Instrument
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.rights_commands import CancelWarrant
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.equity.issuer.stock_commands import RepurchaseStock
from marketplace.domain.refusals import require_found
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def reverse_principal(
    handler: Handler,
    context: Context,
    instrument_id: str,
    *,
    tranche_id: str,
    principal_usd: Decimal,
    reason: str,
    reduction: Reduction | None = None,
    approval: Approval | None = None,
) -> Receipt:
    """Reverse a tranche, as the platform, in part or in full, even if it became shares or money.

    Raises:
        Refusal: ``platform_only`` · ``scope_missing`` · as `claw_back`.
    """
    require_platform(context)
    require_decider(context)
    command = ReversePrincipal(
        instrument_id=instrument_id,
        tranche_id=tranche_id,
        principal_usd=principal_usd,
        reason=reason,
        reduction=reduction,
        on_day=context.at.date(),
    )

    async def work(unit: UnitOfWork) -> None:
        await claw_back(unit, command, approval)

    return await handler.run(context, INSTRUMENT, instrument_id, work)


async def claw_back(unit: UnitOfWork, command: ReversePrincipal, approval: Approval | None = None) -> None:
    """Decide a clawback, with the shares that the holder has now, and cancel the returned ones at the issuer.

    Raises:
        Refusal: ``instrument_unknown`` · refusals of the instrument and of the issuer.
    """
    instrument = require_found("instrument", command.instrument_id, await unit.load(INSTRUMENT, command.instrument_id))
    held, split = await _find_shares(unit, instrument, command.tranche_id)
    after: Instrument = await unit.decide(
        INSTRUMENT,
        command.instrument_id,
        ReversePrincipal(
            instrument_id=command.instrument_id,
            tranche_id=command.tranche_id,
            principal_usd=command.principal_usd,
            reason=command.reason,
            reduction=command.reduction,
            shares_held=held,
            split=split,
            on_day=command.on_day,
            issuer_ended=(await unit.get(ISSUER, instrument.issued.issuer_id, Issuer)).is_ended,
        ),
    )
    tranche = after.find_tranche(command.tranche_id)
    assert tranche is not None, "the reversal was decided just before"
    event = tranche.reversals[command.reason]
    if event.taken is not None and event.taken.shares:
        await _cancel(unit, event, event.taken, approval)
    await track_instrument(unit, command.instrument_id, owed=True)


async def _cancel(
    unit: UnitOfWork, event: InstrumentPrincipalReversed, taken: TakenShares, approval: Approval | None
) -> None:
    """Cancel, at the issuer, the returned shares, or rights of a warrant."""
    issuer = await unit.get(ISSUER, event.issuer_id, Issuer)
    if taken.cause in issuer.warrants:
        rights = CancelWarrant(
            issuer_id=event.issuer_id,
            cancellation_id=derive_id("can", event.tranche_id, event.reason),
            warrant_id=taken.cause,
            shares=taken.shares,
            cause=event.instrument_id,
            approval=approval,
        )
        await unit.decide(ISSUER, event.issuer_id, rights)
        return
    cancel = RepurchaseStock(
        issuer_id=event.issuer_id,
        repurchase_id=derive_id("rep", event.tranche_id, event.reason),
        holder_id=event.holder_id,
        class_id=taken.class_id,
        shares=taken.shares,
        price_usd_per_share=ZERO,
        cause=event.instrument_id,
        approval=approval,
    )
    await unit.decide(ISSUER, event.issuer_id, cancel)


async def _find_shares(unit: UnitOfWork, instrument: Instrument, tranche_id: str) -> tuple[int, Fraction]:
    """Return how many shares or rights the holder of a tranche may return, and the split factor since its conversion.

    That is 0 and 1 if the tranche did not convert.
    """
    tranche = instrument.find_tranche(tranche_id)
    if tranche is None or tranche.conversion is None:
        return 0, Fraction(1)
    conversion = instrument.conversions[tranche.conversion]
    issuer = await unit.get(ISSUER, instrument.issued.issuer_id, Issuer)
    warrant = issuer.warrants.get(conversion.cause)
    if warrant is not None:
        return 0 if issuer.is_ended else warrant.shares_outstanding, warrant.split
    made = (conversion.holder_id, conversion.class_id, conversion.shares)
    causes = {conversion.cause, conversion.instrument_id}
    found = (
        security_id
        for security_id, event in issuer.securities.items()
        if (event.holder_id, event.class_id, event.shares) == made and event.cause in causes
    )
    security_id = conversion.cause if conversion.cause in issuer.securities else next(found, None)
    held = 0 if issuer.is_ended else issuer.holdings.get((conversion.holder_id, conversion.class_id), 0)
    since = issuer.split_ratio if security_id is None else issuer.split_at_issue[security_id]
    return held, issuer.split_ratio / since


async def pay_debt(handler: Handler, context: Context, instrument_id: str, *, amount_usd: Decimal) -> Receipt:
    """Pay, as the holder, a debt to the startup for principal that was clawed back, in part or in full.

    Raises:
        Refusal: ``instrument_unknown`` · ``wrong_side`` · ``party_suspended`` · ``debt_exceeded`` · refusals of the
            account.
    """
    cause = derive_id("pay", context.command_id)

    async def work(unit: UnitOfWork) -> None:
        instrument = require_found("instrument", instrument_id, await unit.load(INSTRUMENT, instrument_id))
        holder_id = instrument.holder_id
        parties = {"holder": holder_id, "issuer": rename_id("pty", instrument.issued.issuer_id)}
        require_side(context, parties, ("holder",), "instrument", instrument_id)
        await require_unfrozen(unit)
        await unit.decide(
            INSTRUMENT, instrument_id, PayDebt(instrument_id=instrument_id, cause=cause, amount_usd=amount_usd)
        )
        debit = Debit(
            account_id=rename_id("acc", holder_id),
            amount_usd=amount_usd,
            payee_account_id=rename_id("acc", rename_id("pty", instrument.issued.issuer_id)),
            cause=cause,
            at=context.at,
        )
        await pay(unit, debit)

    return await handler.run(context, INSTRUMENT, instrument_id, work)

"""Instruments: direct cash investments besides compute, and later agreements of both sides.

A direct investment needs two consents. The holder's mandate is its consent, within the mandate's rules and budget. The
startup consents by sending the command.
"""

from datetime import datetime
from decimal import Decimal
from typing import Literal

from events.types import PrincipalTerms
from marketplace.application.equity.consents import Act, carry_out, do_or_propose
from marketplace.application.steps import company_acts
from marketplace.application.steps.access import (
    load_mandate,
    require_agreeing,
    require_decider,
    require_platform,
    require_side,
    require_tenant,
    require_unfrozen,
)
from marketplace.application.steps.dilution import track_instrument
from marketplace.application.steps.investing import take_investment
from marketplace.application.steps.two_persons import count_own
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.equity.instrument.commands import (
    AmendInstrument,
    CancelInstrument,
    ElectMfn,
    InstrumentCommand,
    IssueInstrument,
    NoticeMfn,
    ResumeInstrument,
    SuspendInstrument,
    TransferInstrument,
)
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.instrument.mfn import require_electable
from marketplace.domain.equity.instrument.state import Instrument, InstrumentState
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.refusals import refuse_unknown
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork

Side = Literal["holder", "issuer"]


async def invest(
    handler: Handler,
    context: Context,
    *,
    startup_id: str,
    mandate_id: str,
    amount_usd: Decimal,
    terms: PrincipalTerms,
) -> Receipt:
    """Accept a cash investment under a mandate, as the startup, or propose it to those whom it dilutes.

    Raises:
        Refusal: ``scope_missing`` · ``issuer_unknown`` · ``mandate_unknown`` · refusals of `take_investment`.
    """
    require_decider(context)
    require_tenant(context, startup_id)
    instrument_id, issuer_id = derive_id("ins", context.command_id), rename_id("iss", startup_id)

    async def work(unit: UnitOfWork) -> None:
        mandate = await load_mandate(unit, mandate_id)
        issue = IssueInstrument(
            instrument_id=instrument_id,
            issuer_id=issuer_id,
            holder_id=mandate.granted.holder_id,
            terms=terms,
            commitment_usd=amount_usd,
            funding="paid_at_once",
            mandate_id=mandate_id,
        )
        await take_investment(unit, issue, tranche_id=derive_id("trn", context.command_id), at=context.at)

    return await carry_out(handler, context, issuer_id, work, creates=instrument_id)


async def _change(handler: Handler, context: Context, instrument_id: str, command: InstrumentCommand) -> Receipt:
    """Record, as the platform, an agreement of both sides whose document the operator has seen.

    Raises:
        Refusal: ``platform_only`` · ``scope_missing`` · refusals of the instrument and of the issuer.
    """
    require_platform(context)
    require_decider(context)

    async def work(unit: UnitOfWork) -> None:
        await unit.decide(INSTRUMENT, instrument_id, command)
        await track_instrument(unit, instrument_id)

    return await handler.run(context, INSTRUMENT, instrument_id, work)


async def suspend_instrument(handler: Handler, context: Context, instrument_id: str, *, reason: str) -> Receipt:
    """Stop accrual until it is resumed, as the platform.

    Raises:
        Refusal: ``platform_only`` · ``scope_missing`` · refusals of the instrument and of the issuer.
    """
    return await _change(handler, context, instrument_id, SuspendInstrument(instrument_id=instrument_id, reason=reason))


async def resume_instrument(handler: Handler, context: Context, instrument_id: str) -> Receipt:
    """Let principal accrue again, as the platform.

    Raises:
        Refusal: ``platform_only`` · ``scope_missing`` · refusals of the instrument and of the issuer.
    """
    return await _change(handler, context, instrument_id, ResumeInstrument(instrument_id=instrument_id))


async def amend_instrument(
    handler: Handler, context: Context, instrument_id: str, *, terms: PrincipalTerms, applies_to_earlier: bool
) -> Receipt:
    """Propose new terms, as the holder or the startup; the other side and a vote agree.

    The platform records what was agreed on.

    Raises:
        Refusal: ``instrument_unknown`` · refusals of the instrument and of the issuer's limit.
    """
    command = AmendInstrument(instrument_id=instrument_id, terms=terms, applies_to_earlier=applies_to_earlier)

    async def work(unit: UnitOfWork) -> None:
        await company_acts.amend_instrument(unit, command)

    return await _act(handler, context, instrument_id, work, "holder", "issuer")


async def transfer_instrument(
    handler: Handler, context: Context, instrument_id: str, *, holder_id: str, holder_id_after: str
) -> Receipt:
    """Propose, as the startup, that an instrument of a holder without a key passes to the party that it is.

    That party agrees, and the groups vote, because it votes with it from then on.

    Raises:
        Refusal: ``instrument_unknown`` · refusals of the instrument and of the issuer.
    """
    command = TransferInstrument(instrument_id=instrument_id, holder_id=holder_id, holder_id_after=holder_id_after)

    async def work(unit: UnitOfWork) -> None:
        await company_acts.transfer_instrument(unit, command)

    return await _act(handler, context, instrument_id, work, "issuer")


async def _act(handler: Handler, context: Context, instrument_id: str, act: Act, *sides: Side) -> Receipt:
    """Carry out an act of one of these sides on an instrument, or propose it to those whose agreement it needs."""

    async def work(unit: UnitOfWork) -> None:
        known = _require_sides(context, instrument_id, await unit.load(INSTRUMENT, instrument_id), sides)
        holders = frozenset({known.holder_id})
        await unit.reload(ISSUER, known.issued.issuer_id)  # which lists every instrument that is signed
        await do_or_propose(unit, known.issued.issuer_id, act, allows=lambda _: holders)

    return await handler.run(context, INSTRUMENT, instrument_id, work)


async def cancel_instrument(
    handler: Handler, context: Context, instrument_id: str, *, reason: str, at: datetime
) -> Receipt:
    """End an agreement under which nothing accrued, or all was reversed, as the platform.

    Raises:
        Refusal: ``platform_only`` · ``scope_missing`` · refusals of the instrument and of the issuer.
    """
    command = CancelInstrument(instrument_id=instrument_id, reason=reason, at=at)
    return await _change(handler, context, instrument_id, command)


async def _load_instrument(unit: UnitOfWork, instrument_id: str, side: Side) -> Instrument:
    """Return an instrument if the tenant is on the given side: its holder, or the issuer's startup.

    Raises:
        Refusal: ``instrument_unknown`` · ``wrong_side`` for the other side.
    """
    return _require_sides(unit.context, instrument_id, await unit.load(INSTRUMENT, instrument_id), (side,))


def _require_sides(
    context: Context, instrument_id: str, instrument: InstrumentState, sides: tuple[Side, ...]
) -> Instrument:
    if instrument is None:
        raise refuse_unknown("instrument", instrument_id)
    parties = {"holder": instrument.holder_id, "issuer": rename_id("pty", instrument.issued.issuer_id)}
    require_side(context, parties, sides, "instrument", instrument_id)
    return instrument


async def repay_note(handler: Handler, context: Context, instrument_id: str) -> Receipt:
    """Repay a note with its interest, as the startup, from its account. Before the maturity its holder must agree.

    Raises:
        Refusal: ``instrument_unknown`` · ``funds_insufficient`` · refusals of the instrument.
    """
    cause = derive_id("pay", context.command_id)

    async def work(unit: UnitOfWork) -> None:
        await company_acts.repay_note(unit, instrument_id, cause=cause, at=context.at)

    return await _act(handler, context, instrument_id, work, "issuer")


async def notice_mfn(
    handler: Handler, context: Context, instrument_id: str, *, later_instrument_id: str, elect_until: datetime
) -> Receipt:
    """Extend, as the startup, the window in which the holder of a most-favoured SAFE may elect a later one's terms.

    The first notice is part of the append that signs or amends the later instrument.

    Raises:
        Refusal: ``instrument_unknown`` · ``not_most_favoured`` · ``not_electable`` · ``notice_unknown`` · refusals of
            the instrument.
    """

    async def work(unit: UnitOfWork) -> None:
        instrument = await _load_instrument(unit, instrument_id, "issuer")
        later = await _load_instrument(unit, later_instrument_id, "issuer")
        terms = require_electable(instrument, later)
        command = NoticeMfn(
            instrument_id=instrument_id,
            later_instrument_id=later_instrument_id,
            terms=terms,
            elect_until=elect_until,
            at=context.at,
        )
        await unit.decide(INSTRUMENT, instrument_id, command)

    return await handler.run(context, INSTRUMENT, instrument_id, work)


async def elect_mfn(
    handler: Handler, context: Context, instrument_id: str, *, later_instrument_id: str | None
) -> Receipt:
    """Adopt, as the holder of a most-favoured SAFE, the terms of a later SAFE or note; with None, keep its own.

    Raises:
        Refusal: ``instrument_unknown`` · ``scope_missing`` · ``party_suspended`` · ``limit_exceeded``, if one person
            gives up more than it may · refusals of the instrument.
    """

    async def work(unit: UnitOfWork) -> None:
        await _load_instrument(unit, instrument_id, "holder")
        require_agreeing(context)
        await require_unfrozen(unit)
        command = ElectMfn(instrument_id=instrument_id, later_instrument_id=later_instrument_id, at=context.at)
        await unit.decide(INSTRUMENT, instrument_id, command)
        await count_own(unit, unit.list_events(INSTRUMENT, instrument_id))
        await track_instrument(unit, instrument_id, owed=True)

    return await handler.run(context, INSTRUMENT, instrument_id, work)

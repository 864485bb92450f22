"""Instruments: agreements whose principal accrues from accepted delivery and later becomes shares or money.

Subject: ``marketplace.instrument.<instrument_id>``.

The draw and the principal are tracked separately. The draw (`Instrument.status`) says whether principal may still
accrue. Accrued principal is reversed, converted, repaid or outstanding. A conversion uses up principal but does not
change the draw: a grant that is delivered beyond a financing accrues tranches for the next one.

Invariants:
    1. Principal is accrued less reversed, and never exceeds the commitment.
    2. Principal is converted, repaid or outstanding; older tranches convert first. A reversal of converted or repaid
       principal takes back the shares, or becomes a debt of the holder; see `clawback`.
    3. A statement makes at most two tranches: one for the part that nobody disputed, one for the rest. A payment is the
       only tranche of its instrument.
    4. A drawdown keeps the signed window, unit and prices. An instrument that is paid at once has none.
    5. A tranche keeps the terms under which it accrued, unless a later amendment applies to earlier tranches.

Consecutive tranches of equal terms form a *run*, which converts at one price. A conversion is identified by its cause
and the position of its run, a reversal by its tranche and reason. A repeat of either changes nothing.

Refusals in order, of each command: instrument_unknown · instrument_exists · refusals of `marketplace.core.money` ·
conversion_empty · conversion_coarse · missing_convention · discount_whole · cap_below_commitment ·
consequence_missing · grant_missing · grant_unexpected · draw_missing · draw_unexpected · time_naive · span_empty ·
tranche_exists · statement_accrued · conversion_exists · repayment_exists · instrument_suspended, _lapsed, _cancelled
or _repaid · statement_missing · statement_unexpected · payment_made · note_matured · commitment_exceeded ·
tranche_unknown · reversal_exists · tranche_exceeded · issuer_ended · reduction_late · missing_convention ·
reduction_exists · reduction_above_undrawn · payment_exists · debt_exceeded · principal_accrued · nothing_to_convert ·
principal_stale · shares_missing · not_a_note · note_runs · nothing_to_repay · terms_kind_differs ·
instrument_not_held · transfer_excluded · notice_exists · notice_unknown · not_most_favoured · election_made ·
window_over · window_short · window_long.
An import refuses instrument_differs · refusals of the command of each event · act_repeated.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import msgspec

from events.instrument import (
    InstrumentAmended,
    InstrumentCancelled,
    InstrumentEvent,
    InstrumentIssued,
    InstrumentLapsed,
    InstrumentResumed,
    InstrumentSuspended,
    InstrumentTransferred,
)
from events.types import PricedTerms, PrincipalTerms, SafeTerms
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.intervals import require_aware, require_span
from marketplace.core.money import ZERO, require_usd
from marketplace.core.rounding import round_whole
from marketplace.domain.equity.instrument.clawback import pay_debt, reverse
from marketplace.domain.equity.instrument.commands import (
    AccruePrincipal,
    AmendInstrument,
    CancelInstrument,
    ConvertInstrument,
    ElectMfn,
    ImportInstrument,
    InstrumentCommand,
    IssueInstrument,
    LapseInstrument,
    MatureNote,
    NoticeMfn,
    PayDebt,
    ReduceCommitment,
    RepayInstrument,
    RepayNote,
    ResumeInstrument,
    ReversePrincipal,
    SuspendInstrument,
    TransferInstrument,
)
from marketplace.domain.equity.instrument.mfn import elect_mfn, notice_mfn, refuse_decided
from marketplace.domain.equity.instrument.notes import mature_note, repay_note
from marketplace.domain.equity.instrument.principal import accrue, convert, reduce, repay
from marketplace.domain.equity.instrument.state import Instrument, InstrumentState, evolve
from marketplace.domain.equity.instrument.takeover import import_instrument
from marketplace.domain.equity.instrument.terms import require_consequence, require_instrument
from marketplace.domain.equity.whole_shares import takes_much
from marketplace.domain.party import is_joining
from marketplace.domain.refusals import refuse_exists, refuse_status, refuse_unknown


def decide(command: InstrumentCommand, state: InstrumentState) -> Sequence[InstrumentEvent]:
    """Return the events of a command; the module lists the order of refusals."""
    if isinstance(command, IssueInstrument):
        return _issue(command, state)
    if isinstance(command, ImportInstrument):
        return import_instrument(command, state, decide)
    if state is None:
        raise refuse_unknown("instrument", command.instrument_id)
    return _DECIDE.get(type(command), _steer_draw)(command, state)


def _issue(command: IssueInstrument, state: InstrumentState) -> Sequence[InstrumentEvent]:
    event = InstrumentIssued(**msgspec.structs.asdict(command))
    if state is not None:
        if state.issued == event:
            return []
        raise refuse_exists("instrument", command.instrument_id)
    require_usd(command.commitment_usd, "/commitment_usd")
    require_instrument(command.terms, command.commitment_usd, "/terms")
    if command.funding == "drawdown":
        require_consequence(command.terms, "/terms")
    else:
        _require_fine(command.terms, command.commitment_usd)
    if command.funding == "drawdown" and command.grant_id is None:
        raise Refusal("grant_missing", "a drawdown instrument is drawn by a grant; name it", pointer="/grant_id")
    if command.funding == "paid_at_once" and command.grant_id is not None:
        raise Refusal(
            "grant_unexpected",
            f"an instrument that is paid at once has no grant, but grant {command.grant_id} is named; leave it out",
            pointer="/grant_id",
            grant_id=command.grant_id,
        )
    _require_draw(command)
    return [event]


def _require_draw(command: IssueInstrument) -> None:
    draw = command.draw
    if draw is None:
        if command.funding == "drawdown":
            raise Refusal(
                "draw_missing", "a drawdown instrument needs its window, unit and prices; state them", pointer="/draw"
            )
        return
    if command.funding == "paid_at_once":
        raise Refusal(
            "draw_unexpected",
            "an instrument that is paid at once is not drawn down; leave window, unit and prices out",
            pointer="/draw",
        )
    require_span(draw.start, draw.end, "/draw/end")


def _require_fine(terms: PrincipalTerms, commitment_usd: Decimal) -> None:
    """Refuse priced stock of which rounding takes much: nothing accrues later that the rest could be carried into.

    Raises:
        Refusal: ``conversion_coarse``.
    """
    if not isinstance(terms, PricedTerms):
        return
    exact = Fraction(commitment_usd) / Fraction(terms.price_usd_per_share)
    shares = round_whole(exact, "floor")
    if takes_much(exact, shares):
        raise Refusal(
            "conversion_coarse",
            f"{commitment_usd} USD buy {shares} whole shares at {terms.price_usd_per_share} USD, and the rest of the"
            " principal would be lost; pay for whole shares, or split the stock and state the price of a new share",
            pointer="/terms/price_usd_per_share",
            price_usd_per_share=str(terms.price_usd_per_share),
            commitment_usd=str(commitment_usd),
            shares=shares,
        )


def _amend(command: AmendInstrument, state: Instrument) -> Sequence[InstrumentEvent]:
    require_instrument(command.terms, state.issued.commitment_usd, "/terms")
    if state.issued.funding == "drawdown":
        require_consequence(command.terms, "/terms")
    latest = state.versions[-1]
    if latest.terms == command.terms and (latest.applies_to_earlier or not command.applies_to_earlier):
        return []
    if type(latest.terms) is not type(command.terms):
        raise Refusal(
            "terms_kind_differs",
            f"the kind of instrument {command.instrument_id} cannot change; sign another instrument",
            pointer="/terms/kind",
        )
    if state.status in {"cancelled", "repaid"}:
        raise refuse_status("instrument", command.instrument_id, state.status, "active, suspended or lapsed")
    if state.election is not None and isinstance(command.terms, SafeTerms) and command.terms.most_favoured_nation:
        raise refuse_decided(command.instrument_id)
    return [
        InstrumentAmended(
            instrument_id=command.instrument_id,
            terms=command.terms,
            terms_version=len(state.versions) + 1,
            applies_to_earlier=command.applies_to_earlier,
        )
    ]


def _transfer(command: TransferInstrument, state: Instrument) -> Sequence[InstrumentEvent]:
    """Return the transfer to the party that the holder is; nothing if it is recorded."""
    event = InstrumentTransferred(
        instrument_id=command.instrument_id,
        issuer_id=state.issued.issuer_id,
        holder_id=command.holder_id,
        holder_id_after=command.holder_id_after,
        principal_usd=state.outstanding_usd if state.transferred is None else state.transferred.principal_usd,
    )
    if state.transferred == event:
        return []
    if command.holder_id != state.holder_id:
        raise Refusal(
            "instrument_not_held",
            f"instrument {command.instrument_id} is held by {state.holder_id}, not by {command.holder_id}",
            pointer="/holder_id",
        )
    is_live = state.outstanding_usd > ZERO or state.open_usd > ZERO
    if not is_live or not is_joining(command.holder_id, command.holder_id_after):
        raise Refusal(
            "transfer_excluded",
            f"instrument {command.instrument_id} stays with its holder: only outstanding principal of a holder without"
            " a key passes, to the party that this holder is",
            pointer="/holder_id_after",
        )
    return [event]


def _cancel(command: CancelInstrument, state: Instrument) -> Sequence[InstrumentEvent]:
    require_aware(command.at, "/at")
    if state.status == "cancelled":
        return []
    if state.principal_usd > ZERO:
        raise Refusal(
            "principal_accrued",
            f"instrument {command.instrument_id} has accrued {state.principal_usd} USD of principal; lapse it instead",
            principal_usd=str(state.principal_usd),
        )
    return [InstrumentCancelled(instrument_id=command.instrument_id, reason=command.reason, at=command.at)]


def _steer_draw(
    command: SuspendInstrument | ResumeInstrument | LapseInstrument, state: Instrument
) -> Sequence[InstrumentEvent]:
    match command:
        case SuspendInstrument():
            after, allowed = "suspended", "active"
        case ResumeInstrument():
            after, allowed = "active", "suspended"
        case LapseInstrument():
            after, allowed = "lapsed", "active or suspended"
    if state.status == after:
        return []
    if not state.is_open:
        raise refuse_status("instrument", command.instrument_id, state.status, allowed)
    match command:
        case SuspendInstrument(reason=reason):
            return [InstrumentSuspended(instrument_id=command.instrument_id, reason=reason)]
        case ResumeInstrument():
            return [InstrumentResumed(instrument_id=command.instrument_id)]
        case LapseInstrument(reason=reason):
            return [
                InstrumentLapsed(
                    instrument_id=command.instrument_id,
                    issuer_id=state.issued.issuer_id,
                    holder_id=state.holder_id,
                    undrawn_usd=state.undrawn_usd,
                    reason=reason,
                )
            ]


_DECIDE: Final[dict[type[InstrumentCommand], Callable[[Any, Instrument], Sequence[InstrumentEvent]]]] = {
    AccruePrincipal: accrue,
    ReversePrincipal: reverse,
    ReduceCommitment: reduce,
    PayDebt: pay_debt,
    AmendInstrument: _amend,
    TransferInstrument: _transfer,
    ConvertInstrument: convert,
    RepayInstrument: repay,
    RepayNote: repay_note,
    MatureNote: mature_note,
    NoticeMfn: notice_mfn,
    ElectMfn: elect_mfn,
    CancelInstrument: _cancel,
}
INSTRUMENT: Decider[InstrumentCommand, InstrumentEvent, InstrumentState] = Decider(
    "instrument", "ins", None, decide, evolve
)

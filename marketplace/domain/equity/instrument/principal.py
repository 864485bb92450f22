"""The life of principal: accrual, reduction, conversion, repayment.

`marketplace.domain.equity.instrument.instrument` documents the rules and the order of refusals.
"""

from collections.abc import Sequence

from events.instrument import (
    InstrumentCommitmentReduced,
    InstrumentConverted,
    InstrumentEvent,
    InstrumentPrincipalAccrued,
    InstrumentRepaid,
)
from events.types import NoteTerms
from marketplace.core.errors import Refusal
from marketplace.core.money import ZERO, render_ratio, require_usd, round_ratio
from marketplace.domain.equity.instrument.commands import (
    AccruePrincipal,
    ConvertInstrument,
    ReduceCommitment,
    RepayInstrument,
)
from marketplace.domain.equity.instrument.state import Instrument
from marketplace.domain.refusals import refuse_exists, refuse_status


def accrue(command: AccruePrincipal, state: Instrument) -> Sequence[InstrumentEvent]:
    """Return the tranche of an accepted statement, or of the payment; nothing if it is recorded."""
    require_usd(command.principal_usd, "/principal_usd")
    if _is_known_tranche(command, state):
        return []
    if state.status != "active":
        raise refuse_status("instrument", command.instrument_id, state.status, "active")
    _require_source(command, state)
    terms = state.terms
    if isinstance(terms, NoteTerms) and command.on_day > terms.matures_on:
        raise Refusal(
            "note_matured",
            f"note {command.instrument_id} matured on {terms.matures_on}; record its extension or repayment first",
            matures_on=terms.matures_on.isoformat(),
        )
    if command.principal_usd > state.undrawn_usd:
        raise Refusal(
            "commitment_exceeded",
            f"{command.principal_usd} USD on top of {state.principal_usd} USD exceeds the commitment of "
            f"{state.commitment_usd} USD; at most {state.undrawn_usd} USD may accrue",
            pointer="/principal_usd",
            principal_usd=str(command.principal_usd),
            undrawn_usd=str(state.undrawn_usd),
        )
    return [
        InstrumentPrincipalAccrued(
            instrument_id=command.instrument_id,
            tranche_id=command.tranche_id,
            issuer_id=state.issued.issuer_id,
            holder_id=state.holder_id,
            principal_usd=command.principal_usd,
            statement_id=command.statement_id,
            terms_version=len(state.versions),
            interest_from=command.on_day,
            service=command.service,
        )
    ]


def _is_known_tranche(command: AccruePrincipal, state: Instrument) -> bool:
    known = state.find_tranche(command.tranche_id)
    if known is not None:
        if (known.statement_id, known.accrued_usd) == (command.statement_id, command.principal_usd):
            return True
        raise refuse_exists("tranche", command.tranche_id)
    for tranche in state.tranches:
        is_part = tranche.tranche_id in command.part_ids
        if command.statement_id is not None and tranche.statement_id == command.statement_id and not is_part:
            raise Refusal(
                "statement_accrued",
                f"statement {command.statement_id} already made tranche {tranche.tranche_id} of {tranche.accrued_usd}"
                " USD; "
                "each part of a statement accrues once",
                pointer="/statement_id",
                statement_id=command.statement_id,
                tranche_id=tranche.tranche_id,
            )
    return False


def _require_source(command: AccruePrincipal, state: Instrument) -> None:
    drawdown = state.issued.funding == "drawdown"
    if drawdown and command.statement_id is None:
        raise Refusal(
            "statement_missing",
            f"instrument {command.instrument_id} accrues only from accepted statements; name the statement",
            pointer="/statement_id",
        )
    if not drawdown and command.statement_id is not None:
        raise Refusal(
            "statement_unexpected",
            f"instrument {command.instrument_id} is paid at once and does not accrue from statements",
            pointer="/statement_id",
            statement_id=command.statement_id,
        )
    if not drawdown and state.tranches:
        raise Refusal(
            "payment_made",
            f"instrument {command.instrument_id} was already paid, with tranche {state.tranches[0].tranche_id}; sign"
            " another",
            tranche_id=state.tranches[0].tranche_id,
        )


def reduce(command: ReduceCommitment, state: Instrument) -> Sequence[InstrumentEvent]:
    """Return the events that reduce the undrawn commitment, once for each cause."""
    if command.cause in state.reductions:
        if state.reductions[command.cause] == command.amount_usd:
            return []
        raise refuse_exists("reduction", command.instrument_id)
    require_usd(command.amount_usd, "/amount_usd")
    if not state.is_open:
        raise refuse_status("instrument", command.instrument_id, state.status, "active or suspended")
    if command.amount_usd > state.undrawn_usd:
        raise Refusal(
            "reduction_above_undrawn",
            f"{state.undrawn_usd} USD of instrument {command.instrument_id} are undrawn; the commitment cannot be"
            " reduced by"
            f" {command.amount_usd}",
            pointer="/amount_usd",
            undrawn_usd=str(state.undrawn_usd),
        )
    return [
        InstrumentCommitmentReduced(
            instrument_id=command.instrument_id,
            issuer_id=state.issued.issuer_id,
            holder_id=state.holder_id,
            amount_usd=command.amount_usd,
            cause=command.cause,
        )
    ]


def convert(command: ConvertInstrument, state: Instrument) -> Sequence[InstrumentEvent]:
    """Return the conversion of the oldest run of outstanding tranches; nothing if it is recorded."""
    event = InstrumentConverted(
        instrument_id=command.instrument_id,
        issuer_id=state.issued.issuer_id,
        holder_id=state.holder_id,
        cause=command.cause,
        principal_usd=command.principal_usd,
        amount_exact=render_ratio(command.amount_exact),
        branch=command.branch,
        price_usd_per_share=render_ratio(command.price),
        class_id=command.class_id,
        shares_exact=render_ratio(command.shares_exact),
        shares=command.shares,
        interest_until=command.interest_until,
    )
    made = [known for known in state.conversions if known.cause == command.cause]
    if command.position < len(made):
        if made[command.position] == event:
            return []
        raise refuse_exists("conversion", command.cause)
    require_usd(command.principal_usd, "/principal_usd")
    _require_run(command, state, len(made))
    if command.price <= 0 or command.shares < 0 or command.shares_exact < 0:
        raise Refusal(
            "shares_missing",
            f"{command.shares} shares at {round_ratio(command.price):f} USD are not a valid conversion; price the"
            " round again",
            shares=command.shares,
        )
    return [event]


def _require_run(command: ConvertInstrument, state: Instrument, made: int) -> None:
    runs = state.list_runs()
    if not runs:
        raise Refusal(
            "nothing_to_convert",
            f"instrument {command.instrument_id} has no outstanding principal",
            instrument_id=command.instrument_id,
        )
    if command.position > made or command.principal_usd != runs[0].principal_usd:
        raise Refusal(
            "principal_stale",
            f"of instrument {command.instrument_id}, {runs[0].principal_usd} USD that accrued at event {made} convert "
            f"next, not {command.principal_usd} USD at event {command.position}; price the round again",
            pointer="/principal_usd",
            principal_usd=str(runs[0].principal_usd),
            position=made,
        )


def require_outstanding(state: Instrument) -> None:
    """Refuse to repay an instrument without outstanding principal.

    Raises:
        Refusal: ``nothing_to_repay``.
    """
    if state.outstanding_usd == ZERO:
        instrument_id = state.issued.instrument_id
        text = f"instrument {instrument_id} has no outstanding principal"
        raise Refusal("nothing_to_repay", text, instrument_id=instrument_id)


def repay(command: RepayInstrument, state: Instrument) -> Sequence[InstrumentEvent]:
    """Return the repayment of all outstanding principal; nothing if it is recorded."""
    require_usd(command.amount_usd, "/amount_usd", zero=True)
    if state.repaid is not None and state.repaid.cause == command.cause:
        if state.repaid.amount_usd == command.amount_usd:
            return []
        raise refuse_exists("repayment", command.cause)
    require_outstanding(state)
    return [
        InstrumentRepaid(
            instrument_id=command.instrument_id,
            issuer_id=state.issued.issuer_id,
            holder_id=state.holder_id,
            cause=command.cause,
            principal_usd=state.outstanding_usd,
            amount_usd=command.amount_usd,
            early=command.early,
        )
    ]

"""Import an agreement: each event must be what its own command would have recorded.

`marketplace.domain.equity.instrument.instrument` documents the order of refusals.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Final

from events.instrument import (
    InstrumentAmended,
    InstrumentCancelled,
    InstrumentCommitmentReduced,
    InstrumentConverted,
    InstrumentDebtPaid,
    InstrumentEvent,
    InstrumentIssued,
    InstrumentLapsed,
    InstrumentMatured,
    InstrumentMfnElected,
    InstrumentMfnNoticed,
    InstrumentPrincipalAccrued,
    InstrumentPrincipalReversed,
    InstrumentRepaid,
    InstrumentResumed,
    InstrumentSuspended,
    InstrumentTransferred,
    TakenShares,
)
from marketplace.core.errors import Refusal
from marketplace.core.money import parse_ratio
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
    ResumeInstrument,
    ReversePrincipal,
    SuspendInstrument,
    TransferInstrument,
)
from marketplace.domain.equity.instrument.state import Instrument, InstrumentState, evolve, find_maturity, find_split
from marketplace.domain.refusals import refuse_exists, require_same

COMMANDS: Final[dict[type[InstrumentEvent], type[Any]]] = {
    InstrumentIssued: IssueInstrument,
    InstrumentPrincipalAccrued: AccruePrincipal,
    InstrumentPrincipalReversed: ReversePrincipal,
    InstrumentDebtPaid: PayDebt,
    InstrumentSuspended: SuspendInstrument,
    InstrumentResumed: ResumeInstrument,
    InstrumentLapsed: LapseInstrument,
    InstrumentCommitmentReduced: ReduceCommitment,
    InstrumentAmended: AmendInstrument,
    InstrumentTransferred: TransferInstrument,
    InstrumentMfnNoticed: NoticeMfn,
    InstrumentMfnElected: ElectMfn,
    InstrumentConverted: ConvertInstrument,
    InstrumentCancelled: CancelInstrument,
    InstrumentMatured: MatureNote,
    InstrumentRepaid: RepayInstrument,
}
_LONG_AGO: Final = datetime(1, 1, 1, tzinfo=UTC)
"""The instant as of which an import checks notices and elections, so that no window is over."""
Decide = Callable[[InstrumentCommand, InstrumentState], Sequence[InstrumentEvent]]


def import_instrument(command: ImportInstrument, state: InstrumentState, decide: Decide) -> Sequence[InstrumentEvent]:
    """Return the imported events; nothing if the instrument was imported from the same first event.

    `decide` decides the commands of instruments.

    Raises:
        Refusal: ``instrument_exists`` · ``instrument_differs`` · the refusals of the command of each event, with its
            pointer · ``act_repeated``.
    """
    if state is not None:
        if command.acts and state.issued == command.acts[0]:
            return []
        raise refuse_exists("instrument", command.instrument_id)
    current: InstrumentState = None
    for index, act in enumerate(command.acts):
        _require_allowed(command, index, act, current, decide)
        current = evolve(current, act)
    return command.acts


def _require_allowed(
    command: ImportInstrument, index: int, act: InstrumentEvent, current: InstrumentState, decide: Decide
) -> None:
    pointer = f"/acts/{index}"
    if act.instrument_id != command.instrument_id:
        raise Refusal("instrument_differs", f"{pointer}: the event belongs to {act.instrument_id}", pointer=pointer)
    try:
        recorded = decide(_build_command(act, current), current)
    except Refusal as refusal:
        raise Refusal(refusal.code, f"{pointer}: {refusal.message}", pointer=pointer, **refusal.facts) from refusal
    require_same(act, recorded, pointer)


def _build_command(act: InstrumentEvent, current: InstrumentState) -> InstrumentCommand:
    command_type = COMMANDS[type(act)]
    fields = {name: getattr(act, name) for name in command_type.__struct_fields__ if hasattr(act, name)}
    if isinstance(act, InstrumentPrincipalAccrued):
        fields["on_day"] = act.interest_from
    if isinstance(act, InstrumentMatured):
        fields["at"] = find_maturity(act.matures_on)
    if command_type in {NoticeMfn, ElectMfn}:
        fields["at"] = _LONG_AGO
    if isinstance(act, InstrumentPrincipalReversed) and act.taken is not None:
        fields |= {"shares_held": act.taken.shares, "split": _measure_split(act, act.taken, current)}
    if isinstance(act, InstrumentConverted):
        fields["price"] = parse_ratio(act.price_usd_per_share)
        fields["shares_exact"] = parse_ratio(act.shares_exact)
        fields["amount_exact"] = parse_ratio(act.amount_exact)
        fields["position"] = _count_conversions(current, act.cause)
    command: InstrumentCommand = command_type(**fields)
    return command


def _measure_split(act: InstrumentPrincipalReversed, taken: TakenShares, current: InstrumentState) -> Fraction:
    tranche = None if current is None else current.find_tranche(act.tranche_id)
    if current is None or tranche is None or tranche.conversion is None:
        return Fraction(1)
    return find_split(current.conversions[tranche.conversion], taken)


def _count_conversions(current: InstrumentState, cause: str) -> int:
    if not isinstance(current, Instrument):
        return 0
    return sum(conversion.cause == cause for conversion in current.conversions)

"""Taking a capitalisation over: every act has to be what its own command would have recorded.

`marketplace.domain.issuer` documents the order of refusals.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from events.issuer import (
    IssuerAuthorisedSharesAdjusted,
    IssuerEvent,
    IssuerFormed,
    IssuerImported,
    IssuerOptionCancelled,
    IssuerOptionExercised,
    IssuerOptionGranted,
    IssuerOptionPromised,
    IssuerOptionPromiseWithdrawn,
    IssuerStakeholderAdded,
    IssuerStockClassCreated,
    IssuerStockConverted,
    IssuerStockIssued,
    IssuerStockPlanAdjusted,
    IssuerStockRepurchased,
    IssuerStockSplit,
    IssuerStockTransferred,
    IssuerValuationRecorded,
    IssuerWarrantExercised,
    IssuerWarrantExpired,
    IssuerWarrantIssued,
)
from marketplace.core.errors import Refusal
from marketplace.domain.issuer_commands import (
    AddStakeholder,
    AdjustAuthorisedShares,
    AdjustStockPlan,
    CancelOption,
    ConvertStock,
    CreateStockClass,
    ExerciseOption,
    ExerciseWarrant,
    ExpireWarrant,
    FormIssuer,
    GrantOption,
    ImportIssuer,
    IssuerCommand,
    IssueStock,
    IssueWarrant,
    PromiseOption,
    RecordValuation,
    RepurchaseStock,
    SplitStock,
    TransferStock,
    WithdrawPromise,
)
from marketplace.domain.issuer_evolve import evolve
from marketplace.domain.issuer_state import Issuer, IssuerState
from marketplace.domain.refusals import refuse_exists

ACTS_MAX: Final = 999
"""With the import itself they are one atomic batch of 1,000."""
_COMMANDS: Final[dict[type[IssuerEvent], type[Any]]] = {
    IssuerFormed: FormIssuer,
    IssuerStakeholderAdded: AddStakeholder,
    IssuerStockClassCreated: CreateStockClass,
    IssuerAuthorisedSharesAdjusted: AdjustAuthorisedShares,
    IssuerStockPlanAdjusted: AdjustStockPlan,
    IssuerStockIssued: IssueStock,
    IssuerStockTransferred: TransferStock,
    IssuerStockRepurchased: RepurchaseStock,
    IssuerStockSplit: SplitStock,
    IssuerStockConverted: ConvertStock,
    IssuerOptionPromised: PromiseOption,
    IssuerOptionPromiseWithdrawn: WithdrawPromise,
    IssuerOptionGranted: GrantOption,
    IssuerOptionExercised: ExerciseOption,
    IssuerOptionCancelled: CancelOption,
    IssuerWarrantIssued: IssueWarrant,
    IssuerWarrantExercised: ExerciseWarrant,
    IssuerWarrantExpired: ExpireWarrant,
    IssuerValuationRecorded: RecordValuation,
}
_LONG_AGO: Final = datetime(1, 1, 1, tzinfo=UTC)
_FAR_AHEAD: Final = datetime(9999, 12, 31, tzinfo=UTC)
_AT: Final[dict[type[Any], datetime]] = {
    ExerciseWarrant: _LONG_AGO,
    TransferStock: _FAR_AHEAD,
    ExerciseOption: _FAR_AHEAD,
    CancelOption: _LONG_AGO,
    ExpireWarrant: _FAR_AHEAD,
}
"""A package says on which day, not when an act was allowed: an import takes the instant at which each one is."""

Decide = Callable[[IssuerCommand, IssuerState], Sequence[IssuerEvent]]


def import_issuer(command: ImportIssuer, state: IssuerState, decide: Decide) -> Sequence[IssuerEvent]:
    """Return the import and its acts, unless known."""
    event = IssuerImported(issuer_id=command.issuer_id, source=command.source, package_hash=command.package_hash)
    if isinstance(state, Issuer):
        if state.imported == event:
            return []
        raise refuse_exists("issuer", command.issuer_id)
    if not 1 <= len(command.acts) <= ACTS_MAX:
        raise Refusal(
            "acts_out_of_range",
            f"an import has 1 to {ACTS_MAX} acts, not {len(command.acts)}; record the later ones by their own commands",
            pointer="/acts",
        )
    current = evolve(state, event)
    for index, act in enumerate(command.acts):
        _require_allowed(command, index, act, current, decide)
        current = evolve(current, act)
    return [event, *command.acts]


def _require_allowed(command: ImportIssuer, index: int, act: IssuerEvent, current: IssuerState, decide: Decide) -> None:
    pointer = f"/acts/{index}"
    if isinstance(act, IssuerFormed) != (index == 0):
        raise Refusal("formation_misplaced", f"{pointer}: the formation is the first act and no other", pointer=pointer)
    if type(act) not in _COMMANDS:
        raise Refusal(
            "act_not_importable",
            f"{pointer}: {type(act).__struct_config__.tag} is recorded by the marketplace only",
            pointer=pointer,
        )
    if act.issuer_id != command.issuer_id:
        raise Refusal("issuer_differs", f"{pointer}: the act is of issuer {act.issuer_id}", pointer=pointer)
    try:
        recorded = decide(_build_command(act), current)
    except Refusal as refusal:
        raise Refusal(refusal.code, f"{pointer}: {refusal.message}", pointer=pointer, **refusal.facts) from refusal
    if list(recorded) != [act]:
        raise Refusal("act_repeated", f"{pointer}: the act is there already, or names another holder", pointer=pointer)


def _build_command(act: IssuerEvent) -> IssuerCommand:
    command_type = _COMMANDS[type(act)]
    fields = {name: getattr(act, name) for name in command_type.__struct_fields__ if hasattr(act, name)}
    if command_type in _AT:
        fields["at"] = _AT[command_type]
    if isinstance(act, IssuerWarrantExercised):
        fields |= {"shares": act.shares + act.shares_surrendered, "shares_issued": act.shares}
    command: IssuerCommand = command_type(**fields)
    return command

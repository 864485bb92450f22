"""Taking a capitalisation over: every act has to be what its own command would have recorded.

Results of the equity engine (a priced round, a waterfall) are not computed again, since the release that computed them
may have been another one; their certificates are checked instead.

`marketplace.domain.issuer` documents the order of refusals.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from events.issuer import (
    IssuerDistributionPaid,
    IssuerEvent,
    IssuerFinancingAbandoned,
    IssuerFinancingClosed,
    IssuerFinancingOpened,
    IssuerFinancingPriced,
    IssuerFormed,
    IssuerImported,
    IssuerInstrumentSigned,
    IssuerLiquidityDeclared,
    IssuerOptionExercised,
    IssuerOptionGranted,
    IssuerStakeholderAdded,
    IssuerStockClassCreated,
    IssuerStockIssued,
    IssuerStockPlanAdjusted,
    IssuerStockRepurchased,
    IssuerStockSplit,
    IssuerStockTransferred,
    IssuerValuationRecorded,
    IssuerWarrantExercised,
    IssuerWarrantIssued,
)
from marketplace.core.errors import Refusal
from marketplace.domain.issuer_commands import (
    AbandonFinancing,
    AddStakeholder,
    AdjustStockPlan,
    CreateStockClass,
    ExerciseOption,
    ExerciseWarrant,
    FormIssuer,
    GrantOption,
    ImportIssuer,
    IssuerCommand,
    IssueStock,
    IssueWarrant,
    OpenFinancing,
    RecordValuation,
    RepurchaseStock,
    SignInstrument,
    SplitStock,
    TransferStock,
)
from marketplace.domain.issuer_evolve import evolve
from marketplace.domain.issuer_rules import require_signed
from marketplace.domain.issuer_state import Issuer, IssuerState
from marketplace.domain.refusals import refuse_exists, refuse_status, refuse_unknown
from marketplace.equity.checker import verify

ACTS_MAX: Final = 999
"""With the import itself they are one atomic batch of 1,000."""
_COMMANDS: Final[dict[type[IssuerEvent], type[Any]]] = {
    IssuerFormed: FormIssuer,
    IssuerStakeholderAdded: AddStakeholder,
    IssuerStockClassCreated: CreateStockClass,
    IssuerStockPlanAdjusted: AdjustStockPlan,
    IssuerStockIssued: IssueStock,
    IssuerStockTransferred: TransferStock,
    IssuerStockRepurchased: RepurchaseStock,
    IssuerStockSplit: SplitStock,
    IssuerOptionGranted: GrantOption,
    IssuerOptionExercised: ExerciseOption,
    IssuerWarrantIssued: IssueWarrant,
    IssuerWarrantExercised: ExerciseWarrant,
    IssuerValuationRecorded: RecordValuation,
    IssuerInstrumentSigned: SignInstrument,
    IssuerFinancingOpened: OpenFinancing,
    IssuerFinancingAbandoned: AbandonFinancing,
}
_LONG_AGO: Final = datetime(1, 1, 1, tzinfo=UTC)
"""A package does not say when a warrant was exercised, so an import does not ask whether it had expired."""

Decide = Callable[[IssuerCommand, IssuerState], Sequence[IssuerEvent]]


def import_issuer(command: ImportIssuer, state: IssuerState, decide: Decide) -> Sequence[IssuerEvent]:
    """Return the import and its acts, unless known."""
    event = _build_event(command)
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


def list_refused(command: ImportIssuer, decide: Decide) -> list[tuple[int, Refusal]]:
    """Return every act that would be refused, by its index, as if the refused ones before it had not been there."""
    refused: list[tuple[int, Refusal]] = []
    current = evolve(None, _build_event(command))
    for index, act in enumerate(command.acts):
        try:
            _require_allowed(command, index, act, current, decide)
        except Refusal as refusal:
            refused.append((index, refusal))
            if index == 0:
                break
        else:
            current = evolve(current, act)
    return refused


def _build_event(command: ImportIssuer) -> IssuerImported:
    return IssuerImported(
        issuer_id=command.issuer_id,
        source=command.source,
        package_hash=command.package_hash,
        origins=command.origins,
    )


def _require_allowed(command: ImportIssuer, index: int, act: IssuerEvent, current: IssuerState, decide: Decide) -> None:
    pointer = f"/acts/{index}"
    if isinstance(act, IssuerFormed) != (index == 0):
        raise Refusal("formation_misplaced", f"{pointer}: the formation is the first act and no other", pointer=pointer)
    if type(act) not in _COMMANDS and type(act) not in _CERTIFIED:
        raise Refusal(
            "act_not_importable",
            f"{pointer}: {type(act).__struct_config__.tag} is recorded by the marketplace only",
            pointer=pointer,
        )
    if act.issuer_id != command.issuer_id:
        raise Refusal("issuer_differs", f"{pointer}: the act is of issuer {act.issuer_id}", pointer=pointer)
    try:
        recorded = _decide_again(act, current, decide)
    except Refusal as refusal:
        raise Refusal(refusal.code, f"{pointer}: {refusal.message}", pointer=pointer, **refusal.facts) from refusal
    if list(recorded) != [act]:
        raise Refusal("act_repeated", f"{pointer}: the act is there already, or names another holder", pointer=pointer)


def _decide_again(act: IssuerEvent, current: IssuerState, decide: Decide) -> Sequence[IssuerEvent]:
    if type(act) in _CERTIFIED:
        assert isinstance(current, Issuer), "the formation is the first act"
        _CERTIFIED[type(act)](act, current)
        return [act]
    if isinstance(act, IssuerStockClassCreated) and isinstance(current, Issuer):
        current = _leave_rounds_out(current)
    return decide(_build_command(act), current)


def _leave_rounds_out(state: Issuer) -> Issuer:
    """Return the issuer without its open round, which keeps the names of its classes for its own closing."""
    financing = state.find_open_financing()
    if financing is None:
        return state
    return replace(state, financings=state.financings.delete(financing.opened.financing_id))


def _build_command(act: IssuerEvent) -> IssuerCommand:
    command_type = _COMMANDS[type(act)]
    fields = {name: getattr(act, name) for name in command_type.__struct_fields__ if hasattr(act, name)}
    if command_type is ExerciseWarrant:
        fields["at"] = _LONG_AGO
    command: IssuerCommand = command_type(**fields)
    return command


def _check_priced(act: IssuerFinancingPriced, state: Issuer) -> None:
    _require_open(state, act.financing_id)
    require_signed(state, act.pricing.instruments)
    _require_certified("the round", act.pricing.certificate_json)


def _check_closed(act: IssuerFinancingClosed, state: Issuer) -> None:
    _require_open(state, act.financing_id)
    if state.financings[act.financing_id].pricing is None:
        raise Refusal("financing_unpriced", f"financing {act.financing_id} was closed without a price")


def _require_open(state: Issuer, financing_id: str) -> None:
    financing = state.financings.get(financing_id)
    if financing is None:
        raise refuse_unknown("financing", financing_id)
    if financing.status != "open":
        raise refuse_status("financing", financing_id, financing.status, "open")


def _check_declared(act: IssuerLiquidityDeclared, state: Issuer) -> None:
    if act.liquidity_id in state.sales:
        raise refuse_exists("liquidity", act.liquidity_id)
    require_signed(state, act.waterfall.instruments)
    _require_certified("the sale", act.waterfall.certificate_json)


def _check_paid(act: IssuerDistributionPaid, state: Issuer) -> None:
    if act.liquidity_id != state.liquidity_id:
        raise refuse_unknown("liquidity", act.liquidity_id)
    paid = sum(payout.amount_usd for payout in state.sales[act.liquidity_id].declared.waterfall.payouts)
    if act.amount_usd != paid:
        raise Refusal(
            "payment_differs",
            f"{act.amount_usd} USD were paid, and the waterfall shares {paid} USD",
            amount_usd=str(act.amount_usd),
            payouts_usd=str(paid),
        )


def _require_certified(what: str, certificate_json: str) -> None:
    problems = verify(json.loads(certificate_json))
    if problems:
        raise Refusal(
            "certificate_fails", f"{what} does not follow from its inputs: {problems[0]}", problems=len(problems)
        )


_CERTIFIED: Final[dict[type[IssuerEvent], Callable[[Any, Issuer], None]]] = {
    IssuerFinancingPriced: _check_priced,
    IssuerFinancingClosed: _check_closed,
    IssuerLiquidityDeclared: _check_declared,
    IssuerDistributionPaid: _check_paid,
}

"""Issuers: a startup's capitalisation, its financings, and its sale.

Subject: ``marketplace.issuer.<issuer_id>``.

Invariants:
    1. Rows of the cap table sum to its total: stock, options, warrants and pool are the fully diluted company.
    2. No class has more shares outstanding than authorised, and no more of the pool is granted than reserved.
    3. Nobody transfers, sells back or exercises more than they hold.
    4. One financing is open at a time; it closes on the very company and instruments that were priced.
    5. A sale pays out its proceeds to the cent, on the company whose holders were declared; then the issuer has ended.

What a command creates is named by it, and the same again is nothing new. Transfers, repurchases, splits and exercises
create nothing with a name: a repeated one is known by the id of the command, which the runtime keeps.

Modules: `issuer_commands` · `issuer_state` (states, and the company for the equity mathematics) · `issuer_evolve` ·
`issuer_rules` · `issuer_stock` · `issuer_rights` · `issuer_financing` and `issuer_liquidity`, which compute by
`issuer_pricing` · `issuer_import`.

Refusals in order, of each command:

- all: issuer_unknown first; issuer_ended last, where everything else would have allowed it
- form: issuer_exists
- import: issuer_exists · acts_out_of_range · formation_misplaced · act_not_importable · issuer_differs · what the act's
  own command refuses · certificate_fails · payment_differs · act_repeated
- stakeholder: stakeholder_exists
- class: stock_class_exists · class_id_malformed · shares · preference_unexpected · preference_missing · price ·
  seniority_out_of_range
- stock: security_exists · stakeholder_unknown · stock_class_unknown · shares · price · stock_class_over_authorised
- transfer: stakeholder_unknown · transfer_to_self · stock_class_unknown · shares · shares_not_held
- repurchase: stakeholder_unknown · stock_class_unknown · shares · price · shares_not_held
- split: split_out_of_range · split_changes_nothing · split_leaves_fractions · shares_too_many
- plan: shares · pool_below_granted
- option: option_exists · stakeholder_unknown · shares · price · pool_exhausted
- option exercised: option_unknown · stock_class_unknown · stock_class_not_common · shares · option_overdrawn ·
  stock_class_over_authorised
- warrant: warrant_exists · stakeholder_unknown · stock_class_unknown · shares · price · time_naive ·
  date_before_formation
- warrant exercised: warrant_unknown · time_naive · warrant_expired · shares · warrant_overdrawn ·
  stock_class_over_authorised
- valuation: price · date_before_formation
- instrument signed: instrument_exists · amounts
- financing opened: financing_exists · id_malformed · financing_open · class_id_malformed · amounts ·
  investments_out_of_range · investment_repeated · price_places_out_of_range · seniority_out_of_range ·
  stock_class_exists
- priced: financing_unknown · financing_closed, financing_abandoned · time_naive · too_many_instruments ·
  instrument_unsigned · refusals of `marketplace.equity.rounds` · price_rounds_to_zero · allotment_empty
- closed: financing_unknown · financing_abandoned · time_naive · financing_unpriced · financing_stale
- abandoned: financing_unknown · financing_closed
- liquidity: liquidity_exists · amounts · time_naive · too_many_instruments · instrument_unsigned ·
  seniority_out_of_range · financing_open · refusals of `marketplace.equity.waterfall`
- distribution: liquidity_unknown · liquidity_replaced · liquidity_stale

Shares: shares_not_positive, shares_too_many. Prices and amounts: those of `marketplace.core.money`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from events.issuer import IssuerEvent, IssuerFormed
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.domain.issuer_commands import (
    AbandonFinancing,
    AddStakeholder,
    AdjustStockPlan,
    CloseFinancing,
    CreateStockClass,
    DeclareLiquidity,
    ExerciseOption,
    ExerciseWarrant,
    FormIssuer,
    GrantOption,
    ImportIssuer,
    IssuerCommand,
    IssueStock,
    IssueWarrant,
    NewStakeholder,
    OpenFinancing,
    PayDistribution,
    PriceFinancing,
    RecordValuation,
    RepurchaseStock,
    SignInstrument,
    SplitStock,
    TransferStock,
)
from marketplace.domain.issuer_evolve import evolve
from marketplace.domain.issuer_financing import (
    abandon_financing,
    close_financing,
    list_conversions,
    open_financing,
    price_financing,
)
from marketplace.domain.issuer_import import import_issuer
from marketplace.domain.issuer_liquidity import declare_liquidity, list_repayments, pay_distribution
from marketplace.domain.issuer_rights import (
    adjust_plan,
    exercise_option,
    exercise_warrant,
    grant_option,
    issue_warrant,
    sign_instrument,
)
from marketplace.domain.issuer_state import (
    Issuer,
    IssuerState,
    Row,
    Totals,
    capitalization_of,
    list_rows,
    measure_ownership,
    total_shares,
)
from marketplace.domain.issuer_stock import (
    add_stakeholder,
    create_class,
    issue_stock,
    record_valuation,
    repurchase_stock,
    split_stock,
    transfer_stock,
)
from marketplace.domain.refusals import refuse_exists, refuse_unknown

__all__ = [
    "ISSUER",
    "AbandonFinancing",
    "AddStakeholder",
    "AdjustStockPlan",
    "CloseFinancing",
    "CreateStockClass",
    "DeclareLiquidity",
    "ExerciseOption",
    "ExerciseWarrant",
    "FormIssuer",
    "GrantOption",
    "ImportIssuer",
    "IssueStock",
    "IssueWarrant",
    "Issuer",
    "IssuerCommand",
    "IssuerState",
    "NewStakeholder",
    "OpenFinancing",
    "PayDistribution",
    "PriceFinancing",
    "RecordValuation",
    "RepurchaseStock",
    "Row",
    "SignInstrument",
    "SplitStock",
    "Totals",
    "TransferStock",
    "capitalization_of",
    "decide",
    "list_conversions",
    "list_repayments",
    "list_rows",
    "measure_ownership",
    "total_shares",
]

_DECIDE: Final[dict[type[IssuerCommand], Callable[[Any, Issuer], Sequence[IssuerEvent]]]] = {
    AddStakeholder: add_stakeholder,
    CreateStockClass: create_class,
    AdjustStockPlan: adjust_plan,
    IssueStock: issue_stock,
    TransferStock: transfer_stock,
    RepurchaseStock: repurchase_stock,
    SplitStock: split_stock,
    GrantOption: grant_option,
    ExerciseOption: exercise_option,
    IssueWarrant: issue_warrant,
    ExerciseWarrant: exercise_warrant,
    SignInstrument: sign_instrument,
    OpenFinancing: open_financing,
    PriceFinancing: price_financing,
    CloseFinancing: close_financing,
    AbandonFinancing: abandon_financing,
    RecordValuation: record_valuation,
    DeclareLiquidity: declare_liquidity,
    PayDistribution: pay_distribution,
}


def decide(command: IssuerCommand, state: IssuerState) -> Sequence[IssuerEvent]:
    """Return what a command changes; see the module for the order of refusals."""
    if isinstance(command, ImportIssuer):
        return import_issuer(command, state, decide)
    if isinstance(command, FormIssuer):
        return _form(command, state)
    if not isinstance(state, Issuer):
        raise refuse_unknown("issuer", command.issuer_id)
    events = _DECIDE[type(command)](command, state)
    if events and state.is_ended:
        raise Refusal(
            "issuer_ended",
            f"issuer {command.issuer_id} was sold and its proceeds are paid out; nothing more happens to it",
            issuer_id=command.issuer_id,
            liquidity_id=state.liquidity_id,
        )
    return events


def _form(command: FormIssuer, state: IssuerState) -> Sequence[IssuerEvent]:
    event = IssuerFormed(
        issuer_id=command.issuer_id,
        party_id=command.party_id,
        legal_name=command.legal_name,
        jurisdiction=command.jurisdiction,
        formed_on=command.formed_on,
    )
    if not isinstance(state, Issuer):
        return [event]
    if state.formed == event:
        return []
    raise refuse_exists("issuer", command.issuer_id)


ISSUER: Decider[IssuerCommand, IssuerEvent, IssuerState] = Decider("issuer", "iss", None, decide, evolve)

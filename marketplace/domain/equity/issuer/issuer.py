"""Issuers: a startup's capitalisation, its financings, and its sale.

Subject: ``marketplace.issuer.<issuer_id>``.

Invariants:
    1. Rows of the cap table sum to its total: stock, options, warrants and pool are the fully diluted company.
    2. No class has more shares outstanding than authorised, and no more of the pool is granted than reserved.
    3. Nobody transfers, sells back or exercises more than they hold.
    4. One financing is open at a time. It closes only if company and instruments still equal those that were priced.
    5. A sale pays out its proceeds to the cent, to the holders that were declared. Then the issuer has ended.
    6. No act of the issuer takes its instruments, converted or not, above its own dilution limit.

Every command names what it creates or does. A repeat of the same name and content changes nothing.

Modules: `commands` (with `stock_commands`, `rights_commands`, `programme_commands`, `holder_commands`) · `terms` ·
`state` (also the company for the equity mathematics) · `evolve` · `rules` · `own_acts` · `stock/` (stock, splits,
offers, transfers, conversions) · `rights/` (options with vesting, warrants with milestones, programmes, price sources)
· `instruments` · `note_conversion` · `as_converted` · `dilution` · `holder_terms` · `financing/` (with pricing and pro
rata rights) · `sale/` (liquidity with payouts) · `payments` · `takeover` (imports).

Refusals in order, of each command:

- all: issuer_unknown first; last, after all refusals below, issuer_ended · sale_declared, if the company would make its
  declared sale stale by its own act · shares_too_many, if by its own act it would have too many shares for its
  instruments to become stock · missing_convention of the limit · dilution_exceeded, if instruments would exceed the
  issuer's limit; see `dilution`
- form: issuer_exists · country_unlisted
- import: issuer_exists · acts_out_of_range · formation_misplaced · act_not_importable · issuer_differs · refusals of
  the command of each event · certificate_fails · payment_differs · act_repeated
- stakeholder: stakeholder_exists
- class: stock_class_exists · class_id_malformed · shares · preference_unexpected · preference_missing · price ·
  missing_convention · participation_cap_unexpected · protection_basis_unexpected · seniority_out_of_range
- authorised: stock_class_unknown · shares · authorised_below_outstanding
- stock: security_exists · stakeholder_unknown · stock_class_unknown · shares · price · stock_class_over_authorised
- offered: transfer_exists · stakeholder_unknown · transfer_to_self · stock_class_unknown · shares · shares_not_held ·
  price · time_naive · offer_over · offer_window_short
- right waived: offer_unknown · offer_<status> · offer_split
- right exercised: offer_unknown · offer_<status> · offer_split · offer_over · stakeholder_unknown · transfer_to_self ·
  shares_not_held
- offer withdrawn: offer_unknown · offer_<status>
- transfer: transfer_exists · stakeholder_unknown · transfer_to_self · stock_class_unknown · shares · shares_not_held ·
  offer_<status> · offer_split · transfer_differs · first_refusal_unanswered
- repurchase: repurchase_exists · stakeholder_unknown · stock_class_unknown · shares · price · shares_not_held
- split: split_exists · split_out_of_range · split_changes_nothing · financing_open · missing_convention · price ·
  stock_class_over_authorised · split_too_wide · split_leaves_fractions · shares_too_many
- converted: sale_declared · stakeholder_unknown · stock_class_unknown · stock_class_not_preferred,
  stock_class_not_common · shares · shares_not_held
- plan: shares · pool_below_granted
- promise: promise_exists · stakeholder_unknown · shares · pool_exhausted
- promise withdrawn: promise_unknown
- option: option_exists · stakeholder_unknown · shares · price · common_stock_missing · vesting_impossible ·
  promise_unknown · promise_differs · pool_exhausted
- option exercised: option_unknown · exercise_exists · stock_class_unknown · stock_class_not_common · shares ·
  sale_declared · time_naive · option_overdrawn · option_expired · option_unvested
- option transferred: option_unknown · transfer_exists · option_not_held · sale_declared · transfer_excluded ·
  stakeholder_unknown
- option cancelled: option_unknown · cancellation_exists · shares · time_naive · option_overdrawn · option_vested
- warrant: warrant_exists · stakeholder_unknown · stock_class_unknown · shares · price · time_naive ·
  date_before_formation · programme_unknown · threshold_missing, threshold_unexpected ·
  price_source_unknown · recorder_interested · average_impossible · of each tranche: shares, its milestones
  (grant_missing, amounts, attester_interested, tranche_unknown, warrant_unknown), proportion_empty, price_stated_twice,
  multiple_out_of_range · missing_convention · milestone_differs · tranches_circular · tranches_differ
- warrants vested: time_naive
- warrant exercised: warrant_unknown · exercise_exists · time_naive · warrant_expired · shares · warrant_overdrawn ·
  sale_declared · tranche_unknown · warrant_unvested, warrant_not_exercisable · tranche_missing ·
  settlement_excluded · price · exercise_worthless
- warrant transferred: warrant_unknown · transfer_exists · time_naive · warrant_expired · warrant_not_held ·
  sale_declared · transfer_excluded
- milestone attested: warrant_unknown · milestone_unknown · attested_by_beneficiary, attested_by_issuer, not_attester ·
  milestone_attested · time_naive · milestone_lapsed
- programme: programme_exists · company_missing · sides_overlap
- programme's grant: programme_unknown · outside_programme · grants_too_many
- purchases: programme_unknown · purchases_exists · outside_excluded · outside_programme · market_included · amounts ·
  time_naive · span_impossible · purchases_differ · purchases_overlap
- price source: price_source_exists · recorder_interested
- price observed: price_source_unknown · not_recorder · recorder_interested · price · shares · time_naive ·
  observation_in_future · observation_too_old · observation_exists, observation_out_of_order · observation_far_off
- price corrected: price_source_unknown · not_recorder · observation_unknown · recorder_interested · price · shares ·
  observation_far_off
- warrant expired: warrant_unknown · time_naive · warrant_runs
- warrant cancelled: warrant_unknown · cancellation_exists · shares · warrant_overdrawn
- valuation: price · date_before_formation · valuation_in_future
- instrument signed: instrument_exists · sale_declared · amounts · stock_class_unknown · stack_exceeds_company ·
  dilution_unagreed · price_below_preference · terms_unagreed · cap_below_holders
- dilution limited: share · amounts · missing_convention · dilution_exceeded
- exposure recorded: stock_class_unknown · sale_declared · dilution_unagreed · price_below_preference ·
  terms_unagreed · cap_below_holders · stack_exceeds_company
- proposal counted: proposals_too_many
- holder terms: share_not_majority · stock_class_unknown · party_repeated · party_unknown ·
  stakeholder_unknown
- financing opened: missing_convention · financing_exists · time_naive · id_malformed · financing_open · sale_declared ·
  class_id_malformed · amounts · investments_out_of_range · investment_repeated · price_places_out_of_range ·
  conversion_price_places_unexpected · rounding_needs_percent_ownership · seniority_out_of_range ·
  participation_cap_unexpected · protection_basis_unexpected · duties_out_of_range · duty_repeated ·
  stock_class_exists · stock_class_unknown · company_invests
- pro rata answered: financing_unknown · financing_closed, financing_abandoned · pro_rata_unknown ·
  pro_rata_answered · time_naive · pro_rata_closed · amounts · amount_above_pro_rata
- priced: financing_unknown · financing_closed, financing_abandoned · time_naive · financing_overdue · pro_rata_open ·
  too_many_instruments · instrument_unsigned · missing_convention · classes of pay-to-play ·
  stock_class_over_authorised · refusals of `marketplace.equity.rounds` · price_rounds_to_zero · conversion_empty ·
  conversion_coarse · allotment_empty · allotment_coarse · closing_date_far · too_many_protected_classes ·
  prices · calculation_too_large
- closed: financing_unknown · financing_abandoned · time_naive · pro_rata_open · financing_unpriced ·
  closing_date_far · financing_stale
- abandoned: financing_unknown · financing_closed · financing_not_due
- liquidity: liquidity_exists · amounts · time_naive · too_many_instruments · instrument_unsigned ·
  seniority_out_of_range · price · financing_open · refusals of `marketplace.equity.waterfall` ·
  calculation_too_large
- withdrawal of a sale: liquidity_unknown · liquidity_paid · liquidity_replaced · time_naive · liquidity_not_due
- liquidity in stock of a buyer that is here: buyer_missing · issuer_unknown · buyer_is_sold · class_missing ·
  stock_class_unknown; at its payment buyer_sold · buyer_split · buyer_diluted · buyer_drained · refusals of
  the buyer's issue of stock
- distribution: liquidity_unknown · liquidity_withdrawn · liquidity_replaced · time_naive · liquidity_overdue ·
  liquidity_stale

Shares: shares_not_positive, shares_too_many. Prices and amounts: those of `marketplace.core.money`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from events.issuer import IssuerEvent, IssuerFormed
from marketplace.core.countries import require_country
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.domain.equity.issuer.commands import (
    AbandonFinancing,
    AddStakeholder,
    CloseFinancing,
    DeclareLiquidity,
    FormIssuer,
    ImportIssuer,
    IssuerCommand,
    LimitDilution,
    OpenFinancing,
    PayDistribution,
    PriceFinancing,
    RecordExposure,
    RecordValuation,
    SignInstrument,
    WithdrawLiquidity,
)
from marketplace.domain.equity.issuer.dilution import (
    limit_dilution,
    record_exposure,
    require_convertible,
    require_limit,
)
from marketplace.domain.equity.issuer.evolve import evolve
from marketplace.domain.equity.issuer.financing.financing import (
    abandon_financing,
    close_financing,
    open_financing,
    price_financing,
)
from marketplace.domain.equity.issuer.financing.pro_rata import answer_pro_rata
from marketplace.domain.equity.issuer.holder_commands import (
    AgreeHolderTerms,
    AnswerProRata,
    CountProposal,
    CountRefusal,
)
from marketplace.domain.equity.issuer.holder_terms import agree_terms, count_proposal, count_refusal
from marketplace.domain.equity.issuer.instruments import sign_instrument
from marketplace.domain.equity.issuer.own_acts import OWN_ACTS
from marketplace.domain.equity.issuer.programme_commands import (
    AddProgrammeGrant,
    CorrectPrice,
    NamePriceSource,
    ObservePrice,
    OpenProgramme,
    StatePurchases,
)
from marketplace.domain.equity.issuer.rights.milestones import vest_warrants
from marketplace.domain.equity.issuer.rights.options import (
    adjust_plan,
    cancel_option,
    exercise_option,
    grant_option,
    promise_option,
    transfer_option,
    withdraw_promise,
)
from marketplace.domain.equity.issuer.rights.programmes import (
    add_programme_grant,
    attest_milestone,
    correct_price,
    name_price_source,
    observe_price,
    open_programme,
    state_purchases,
)
from marketplace.domain.equity.issuer.rights.warrants import (
    cancel_warrant,
    exercise_warrant,
    expire_warrant,
    issue_warrant,
    transfer_warrant,
)
from marketplace.domain.equity.issuer.rights_commands import (
    AttestMilestone,
    CancelOption,
    CancelWarrant,
    ExerciseOption,
    ExerciseWarrant,
    ExpireWarrant,
    GrantOption,
    IssueWarrant,
    PromiseOption,
    TransferOption,
    TransferWarrant,
    VestWarrants,
    WithdrawPromise,
)
from marketplace.domain.equity.issuer.sale.liquidity import (
    declare_liquidity,
    pay_distribution,
    require_sale_kept,
    withdraw_liquidity,
)
from marketplace.domain.equity.issuer.state import (
    Issuer,
    IssuerState,
)
from marketplace.domain.equity.issuer.stock.conversions import convert_stock
from marketplace.domain.equity.issuer.stock.offers import (
    exercise_first_refusal,
    offer_stock,
    waive_first_refusal,
    withdraw_offer,
)
from marketplace.domain.equity.issuer.stock.splits import split_stock
from marketplace.domain.equity.issuer.stock.stock import (
    add_stakeholder,
    adjust_authorised,
    create_class,
    issue_stock,
    record_valuation,
)
from marketplace.domain.equity.issuer.stock.transfers import repurchase_stock, transfer_stock
from marketplace.domain.equity.issuer.stock_commands import (
    AdjustAuthorisedShares,
    AdjustStockPlan,
    ConvertStock,
    CreateStockClass,
    ExerciseFirstRefusal,
    IssueStock,
    OfferStock,
    RepurchaseStock,
    SplitStock,
    TransferStock,
    WaiveFirstRefusal,
    WithdrawOffer,
)
from marketplace.domain.equity.issuer.takeover import import_issuer, list_refused
from marketplace.domain.refusals import refuse_unknown

_DECIDE: Final[dict[type[IssuerCommand], Callable[[Any, Issuer], Sequence[IssuerEvent]]]] = {
    AddStakeholder: add_stakeholder,
    CreateStockClass: create_class,
    AdjustAuthorisedShares: adjust_authorised,
    AdjustStockPlan: adjust_plan,
    IssueStock: issue_stock,
    OfferStock: offer_stock,
    WaiveFirstRefusal: waive_first_refusal,
    ExerciseFirstRefusal: exercise_first_refusal,
    WithdrawOffer: withdraw_offer,
    TransferStock: transfer_stock,
    RepurchaseStock: repurchase_stock,
    SplitStock: split_stock,
    ConvertStock: convert_stock,
    PromiseOption: promise_option,
    WithdrawPromise: withdraw_promise,
    GrantOption: grant_option,
    ExerciseOption: exercise_option,
    CancelOption: cancel_option,
    TransferOption: transfer_option,
    IssueWarrant: issue_warrant,
    VestWarrants: vest_warrants,
    ExerciseWarrant: exercise_warrant,
    ExpireWarrant: expire_warrant,
    CancelWarrant: cancel_warrant,
    TransferWarrant: transfer_warrant,
    AttestMilestone: attest_milestone,
    OpenProgramme: open_programme,
    AddProgrammeGrant: add_programme_grant,
    StatePurchases: state_purchases,
    NamePriceSource: name_price_source,
    ObservePrice: observe_price,
    CorrectPrice: correct_price,
    SignInstrument: sign_instrument,
    LimitDilution: limit_dilution,
    RecordExposure: record_exposure,
    AgreeHolderTerms: agree_terms,
    CountProposal: count_proposal,
    CountRefusal: count_refusal,
    OpenFinancing: open_financing,
    AnswerProRata: answer_pro_rata,
    PriceFinancing: price_financing,
    CloseFinancing: close_financing,
    AbandonFinancing: abandon_financing,
    RecordValuation: record_valuation,
    DeclareLiquidity: declare_liquidity,
    WithdrawLiquidity: withdraw_liquidity,
    PayDistribution: pay_distribution,
}


def decide(command: IssuerCommand, state: IssuerState) -> Sequence[IssuerEvent]:
    """Return the events of a command; the module lists the order of refusals."""
    events = _decide_unlimited(command, state)
    if events and isinstance(state, Issuer) and not isinstance(command, ImportIssuer):
        after: IssuerState = state
        is_chosen = isinstance(command, OWN_ACTS)
        if state.limit is not None or is_chosen:
            for event in events:
                after = evolve(after, event)
            assert isinstance(after, Issuer), "what was formed stays"
            if is_chosen:
                require_sale_kept(command, state, after)
                require_convertible(command, state, after)
            require_limit(command, state, after)
    return events


def list_refused_acts(command: ImportIssuer) -> list[tuple[int, Refusal]]:
    """Return index and refusal of every event that an import would refuse; later ones are judged without it."""
    return list_refused(command, _decide_unlimited)


def _decide_unlimited(command: IssuerCommand, state: IssuerState) -> Sequence[IssuerEvent]:
    """Return the events of a command by every rule except the dilution limit."""
    if isinstance(command, ImportIssuer):
        return import_issuer(command, state, _decide_unlimited)
    if isinstance(command, FormIssuer):
        return _form(command, state)
    if not isinstance(state, Issuer):
        raise refuse_unknown("issuer", command.issuer_id)
    events = _DECIDE[type(command)](command, state)
    if events and state.is_ended:
        raise Refusal(
            "issuer_ended",
            f"issuer {command.issuer_id} was sold and its proceeds are paid out; it accepts no further commands",
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
    if isinstance(state, Issuer):
        if state.formed == event:
            return []
        raise Refusal(
            "issuer_exists",
            f"{command.party_id} has formed {command.issuer_id} before; a party has one issuer for ever, also after its"
            " sale",
            id=command.issuer_id,
        )
    require_country(command.jurisdiction, "/jurisdiction")
    return [event]


ISSUER: Decider[IssuerCommand, IssuerEvent, IssuerState] = Decider("issuer", "iss", None, decide, evolve)

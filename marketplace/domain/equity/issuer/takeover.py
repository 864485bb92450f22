"""Import a capitalisation: each event must be what its own command would have recorded.

Results of the equity engine (a priced round, a waterfall) are not computed again, because another release may have
computed them. Their certificates are checked instead.

`marketplace.domain.equity.issuer.issuer` documents the order of refusals.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, time
from fractions import Fraction
from typing import Any, Final

from msgspec import structs

from events.issuer import (
    IssuerAuthorisedSharesAdjusted,
    IssuerConversionPriceAdjusted,
    IssuerDilutionLimited,
    IssuerDistributionPaid,
    IssuerEvent,
    IssuerExposureRecorded,
    IssuerFinancingAbandoned,
    IssuerFinancingClosed,
    IssuerFinancingOpened,
    IssuerFinancingPriced,
    IssuerFirstRefusalExercised,
    IssuerFirstRefusalWaived,
    IssuerFormed,
    IssuerHolderTermsAgreed,
    IssuerImported,
    IssuerInstrumentSigned,
    IssuerLiquidityDeclared,
    IssuerLiquidityWithdrawn,
    IssuerMilestoneAttested,
    IssuerOptionCancelled,
    IssuerOptionExercised,
    IssuerOptionGranted,
    IssuerOptionPromised,
    IssuerOptionPromiseWithdrawn,
    IssuerOptionTransferred,
    IssuerPriceCorrected,
    IssuerPriceObserved,
    IssuerPriceSourceNamed,
    IssuerProgrammeGrantAdded,
    IssuerProgrammeOpened,
    IssuerProRataAnswered,
    IssuerPurchasesStated,
    IssuerStakeholderAdded,
    IssuerStockClassCreated,
    IssuerStockConverted,
    IssuerStockIssued,
    IssuerStockOffered,
    IssuerStockOfferWithdrawn,
    IssuerStockPlanAdjusted,
    IssuerStockRepurchased,
    IssuerStockSplit,
    IssuerStockTransferred,
    IssuerValuationRecorded,
    IssuerWarrantCancelled,
    IssuerWarrantExercised,
    IssuerWarrantExpired,
    IssuerWarrantIssued,
    IssuerWarrantPriced,
    IssuerWarrantReleased,
    IssuerWarrantTransferred,
    IssuerWarrantVested,
    IssuerWarrantVestingReversed,
)
from events.registry import render_body
from events.types import Event
from marketplace.core.errors import Refusal
from marketplace.core.money import ZERO
from marketplace.domain.equity.issuer.commands import (
    AbandonFinancing,
    AddStakeholder,
    FormIssuer,
    ImportIssuer,
    IssuerCommand,
    LimitDilution,
    OpenFinancing,
    RecordExposure,
    RecordValuation,
    SignInstrument,
    WithdrawLiquidity,
)
from marketplace.domain.equity.issuer.evolve import evolve
from marketplace.domain.equity.issuer.financing.financing import list_new_classes
from marketplace.domain.equity.issuer.holder_commands import AgreeHolderTerms, AnswerProRata
from marketplace.domain.equity.issuer.programme_commands import (
    AddProgrammeGrant,
    CorrectPrice,
    NamePriceSource,
    OpenProgramme,
    StatePurchases,
)
from marketplace.domain.equity.issuer.rights.warrant_terms import find_attested
from marketplace.domain.equity.issuer.rights_commands import (
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
    WithdrawPromise,
)
from marketplace.domain.equity.issuer.rules import get_class, get_financing, require_held, require_open, require_signed
from marketplace.domain.equity.issuer.state import Issuer, IssuerState
from marketplace.domain.equity.issuer.stock.stock import is_class_of_round
from marketplace.domain.equity.issuer.stock_commands import (
    AdjustAuthorisedShares,
    AdjustStockPlan,
    ConvertStock,
    CreateStockClass,
    IssueStock,
    OfferStock,
    RepurchaseStock,
    SplitStock,
    TransferStock,
    WaiveFirstRefusal,
    WithdrawOffer,
)
from marketplace.domain.refusals import refuse_exists, refuse_status, refuse_unknown, require_found, require_same
from marketplace.equity.checker import verify

ACTS_MAX: Final = 999
"""The limit that keeps the import within one atomic batch of 1,000."""
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
    IssuerOptionTransferred: TransferOption,
    IssuerOptionCancelled: CancelOption,
    IssuerWarrantIssued: IssueWarrant,
    IssuerWarrantExercised: ExerciseWarrant,
    IssuerWarrantExpired: ExpireWarrant,
    IssuerWarrantCancelled: CancelWarrant,
    IssuerWarrantTransferred: TransferWarrant,
    IssuerProgrammeOpened: OpenProgramme,
    IssuerProgrammeGrantAdded: AddProgrammeGrant,
    IssuerPurchasesStated: StatePurchases,
    IssuerPriceSourceNamed: NamePriceSource,
    IssuerPriceCorrected: CorrectPrice,
    IssuerValuationRecorded: RecordValuation,
    IssuerInstrumentSigned: SignInstrument,
    IssuerDilutionLimited: LimitDilution,
    IssuerExposureRecorded: RecordExposure,
    IssuerHolderTermsAgreed: AgreeHolderTerms,
    IssuerFinancingOpened: OpenFinancing,
    IssuerProRataAnswered: AnswerProRata,
    IssuerFinancingAbandoned: AbandonFinancing,
    IssuerStockOffered: OfferStock,
    IssuerFirstRefusalWaived: WaiveFirstRefusal,
    IssuerStockOfferWithdrawn: WithdrawOffer,
    IssuerLiquidityWithdrawn: WithdrawLiquidity,
}
_PARTY: Final = re.compile(rb"pty_[0-7][0-9a-hjkmnp-tv-z]{25}")
_LONG_AGO: Final = datetime(1, 1, 1, tzinfo=UTC)
_FAR_AHEAD: Final = datetime(9999, 12, 31, tzinfo=UTC)
_AT: Final[dict[type[Any], datetime]] = {
    ExerciseWarrant: _LONG_AGO,
    TransferStock: _FAR_AHEAD,
    ExerciseOption: _FAR_AHEAD,
    CancelOption: _LONG_AGO,
    ExpireWarrant: _FAR_AHEAD,
    OfferStock: _LONG_AGO,
    TransferWarrant: _LONG_AGO,
    StatePurchases: _FAR_AHEAD,
    OpenFinancing: _LONG_AGO,
    AnswerProRata: _LONG_AGO,
    WithdrawLiquidity: _FAR_AHEAD,
}
"""A package states the day of an event, not the instant. An import assumes an instant at which each is allowed."""

Decide = Callable[[IssuerCommand, IssuerState], Sequence[IssuerEvent]]


def import_issuer(command: ImportIssuer, state: IssuerState, decide: Decide) -> Sequence[IssuerEvent]:
    """Return the import and its events; nothing if the same package was imported.

    `decide` decides commands of issuers.

    Raises:
        Refusal: ``issuer_exists`` · ``acts_out_of_range`` · ``formation_misplaced`` · ``act_not_importable`` ·
            ``issuer_differs`` · what refuses an event, with its pointer · ``act_repeated``.
    """
    event = _build_event(command)
    if isinstance(state, Issuer):
        if state.imported == event:
            return []
        raise refuse_exists("issuer", command.issuer_id)
    if not 1 <= len(command.acts) <= ACTS_MAX:
        raise Refusal(
            "acts_out_of_range",
            f"an import has 1 to {ACTS_MAX} events, not {len(command.acts)}; record the later ones by their own"
            " commands",
            pointer="/acts",
        )
    current = evolve(state, event)
    for index, act in enumerate(command.acts):
        _require_allowed(command, index, act, current, decide)
        current = evolve(current, act)
    return [event, *command.acts]


def require_own_holders(acts: Iterable[Event], company_id: str) -> None:
    """Refuse an import by a company of statements about other parties of this market, or by the platform.

    Raises:
        Refusal: ``parties_unconfirmed`` · ``platform_unconfirmed``.
    """
    told = [*acts]
    parties = sorted({each.decode() for act in told for each in _PARTY.findall(render_body(act))} - {company_id})
    if parties:
        raise Refusal(
            "parties_unconfirmed",
            f"the package states what {', '.join(parties[:5])} hold, and these parties have not confirmed it; name them"
            " as stakeholders with ids of their own (stk_…), and transfer what they hold to the parties afterwards,"
            " which they confirm; or let the platform import it",
            pointer="/package_base64",
            parties=parties,
        )
    if any(_is_of_platform(act) for act in told):
        raise Refusal(
            "platform_unconfirmed",
            "the package states a valuation, a price or a milestone that the platform recorded, and it has not; leave"
            " it out, or let the platform import it",
            pointer="/package_base64",
        )


def _is_of_platform(act: Event) -> bool:
    recorded = isinstance(act, IssuerValuationRecorded) and act.recorded_by == "platform"
    return recorded or isinstance(act, IssuerPriceObserved | IssuerMilestoneAttested)


def list_refused(command: ImportIssuer, decide: Decide) -> list[tuple[int, Refusal]]:
    """Return index and refusal of every event that would be refused; later ones are judged without it.

    If the first one is refused, no later one is judged.
    """
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
        raise Refusal(
            "formation_misplaced", f"{pointer}: the formation must be the first event, and only that", pointer=pointer
        )
    if type(act) not in _COMMANDS and type(act) not in _CERTIFIED:
        raise Refusal(
            "act_not_importable",
            f"{pointer}: {type(act).__struct_config__.tag} is recorded by the marketplace only",
            pointer=pointer,
        )
    if act.issuer_id != command.issuer_id:
        raise Refusal("issuer_differs", f"{pointer}: the event belongs to issuer {act.issuer_id}", pointer=pointer)
    try:
        recorded = _decide_again(act, current, decide)
    except Refusal as refusal:
        raise Refusal(refusal.code, f"{pointer}: {refusal.message}", pointer=pointer, **refusal.facts) from refusal
    require_same(act, recorded, pointer)


def _decide_again(act: IssuerEvent, current: IssuerState, decide: Decide) -> Sequence[IssuerEvent]:
    if type(act) in _CERTIFIED and not _is_own_choice(act):
        assert isinstance(current, Issuer), "the formation is the first event"
        _CERTIFIED[type(act)](act, current)
        return [act]
    if isinstance(act, IssuerStockTransferred) and isinstance(current, Issuer) and _is_refused(act, current):
        require_held(current, act.holder_id, act.class_id, act.shares)
        return [act]
    if isinstance(act, IssuerStockClassCreated) and isinstance(current, Issuer):
        created = _list_created_by_round(act, current)
        if created:
            return created
    recorded = decide(build_command(act), current)
    if isinstance(act, IssuerFinancingOpened) and recorded:
        stated = {"pro_rata": act.pro_rata, "pro_rata_until": act.pro_rata_until, "open_until": act.open_until}
        return [structs.replace(event, **stated) for event in recorded]
    return recorded


def _is_refused(act: IssuerStockTransferred, state: Issuer) -> bool:
    """Return whether a transfer follows from a right of first refusal that was exercised just before."""
    offer = state.offers.get(act.transfer_id)
    return offer is not None and offer.status == "exercised"


def _is_own_choice(act: IssuerEvent) -> bool:
    """Return whether stock was converted by its holder, not by a round."""
    return isinstance(act, IssuerStockConverted) and act.reason == "voluntary"


def _list_created_by_round(act: IssuerStockClassCreated, state: Issuer) -> list[IssuerStockClassCreated]:
    """Return the classes of this name that the closing of the open round creates: one or none."""
    financing = state.find_open_financing()
    if financing is None or not is_class_of_round(act.class_id, financing.opened.terms.class_id):
        return []
    if financing.pricing is None:
        financing_id = financing.opened.financing_id
        raise Refusal(
            "financing_unpriced", f"class {act.class_id} belongs to financing {financing_id}, which has no price"
        )
    classes = list_new_classes(state.formed.issuer_id, financing.terms, financing.pricing)
    return [each for each in classes if each.class_id == act.class_id]


def build_command(act: IssuerEvent, at: datetime | None = None) -> IssuerCommand:
    """Return the command that records an event, as of `at`; None: as of an instant at which the rules allow it.

    Raises:
        KeyError: No command records events of this type.
    """
    command_type = _COMMANDS[type(act)]
    fields = {name: getattr(act, name) for name in command_type.__struct_fields__ if hasattr(act, name)}
    if command_type in _AT:
        fields["at"] = _AT[command_type] if at is None else at
    if isinstance(act, IssuerOptionCancelled) and act.service_ended_on is not None and at is None:
        fields["at"] = datetime.combine(act.service_ended_on, time(), UTC)
    if isinstance(act, IssuerWarrantExercised):
        fields |= {"shares": act.shares + act.shares_surrendered, "shares_issued": act.shares}
    command: IssuerCommand = command_type(**fields)
    return command


def _check_priced(act: IssuerFinancingPriced, state: Issuer) -> None:
    require_open(get_financing(state, act.financing_id))
    require_signed(state, act.pricing.instruments)
    _require_certified("the round", act.pricing.certificate_json)


def _check_closed(act: IssuerFinancingClosed, state: Issuer) -> None:
    require_open(get_financing(state, act.financing_id))
    if state.financings[act.financing_id].pricing is None:
        raise Refusal("financing_unpriced", f"financing {act.financing_id} was closed without a price")


def _check_declared(act: IssuerLiquidityDeclared, state: Issuer) -> None:
    if act.liquidity_id in state.sales:
        raise refuse_exists("liquidity", act.liquidity_id)
    require_signed(state, act.waterfall.instruments)
    _require_certified("the sale", act.waterfall.certificate_json)


def _check_paid(act: IssuerDistributionPaid, state: Issuer) -> None:
    if act.liquidity_id != state.liquidity_id:
        raise refuse_unknown("liquidity", act.liquidity_id)
    payouts = state.sales[act.liquidity_id].declared.waterfall.payouts if act.payouts is None else act.payouts
    paid = sum((row.cash_usd for row in payouts), ZERO) + sum((row.amount_usd for row in act.later), ZERO)
    if act.amount_usd != paid:
        raise Refusal(
            "payment_differs",
            f"{act.amount_usd} USD were paid, but the waterfall pays {paid} USD in cash",
            amount_usd=str(act.amount_usd),
            payouts_usd=str(paid),
        )


def _check_adjusted(act: IssuerConversionPriceAdjusted, state: Issuer) -> None:
    """Check that a round lowered the price that the class had."""
    stock_class = require_found("stock_class", act.class_id, state.classes.get(act.class_id))
    before, after = Fraction(act.conversion_price_usd_before), Fraction(act.conversion_price_usd)
    if stock_class.conversion_price_usd != before or not 0 < after <= before:
        raise Refusal(
            "adjustment_differs",
            f"class {act.class_id} converts at {stock_class.conversion_price_usd} dollars; a round can lower that"
            " price, "
            f"but not move it from {before} to {after}",
            class_id=act.class_id,
        )


def _check_forfeited(act: IssuerStockConverted, state: Issuer) -> None:
    """Check that a holder who did not pay held the stock, and that it became common."""
    get_class(state, act.class_id, ("preferred",))
    get_class(state, act.class_id_after, ("common",))
    require_held(state, act.holder_id, act.class_id, act.shares)


def _check_refused(act: IssuerFirstRefusalExercised, state: Issuer) -> None:
    offer = require_found("offer", act.transfer_id, state.offers.get(act.transfer_id))
    if offer.status != "offered":
        raise refuse_status("offer", act.transfer_id, offer.status, "offered")


def _check_tranche(
    act: IssuerWarrantVested | IssuerWarrantReleased | IssuerWarrantPriced | IssuerWarrantVestingReversed, state: Issuer
) -> None:
    """Check that a tranche is there, and has so many shares to vest, or vested ones to take back."""
    warrant = require_found("warrant", act.warrant_id, state.warrants.get(act.warrant_id))
    tranche = warrant.tranches[act.tranche] if act.tranche < len(warrant.issued.tranches) else None
    most = 0
    if tranche is not None and isinstance(act, IssuerWarrantVested):
        most = tranche.unvested
    elif tranche is not None:
        most = tranche.outstanding - tranche.unvested
    if tranche is None or getattr(act, "shares", 0) > most:
        raise Refusal(
            "tranches_differ",
            f"warrant {act.warrant_id} has no tranche {act.tranche} with so many shares",
            warrant_id=act.warrant_id,
        )


def _check_attested(act: IssuerMilestoneAttested, state: Issuer) -> None:
    warrant = require_found("warrant", act.warrant_id, state.warrants.get(act.warrant_id))
    if find_attested(warrant.issued.tranches, act.milestone) is None:
        raise refuse_unknown("milestone", act.milestone)


def _check_observed(act: IssuerPriceObserved, state: Issuer) -> None:
    source = require_found("price_source", act.source_id, state.price_sources.get(act.source_id))
    if act.day in source.prices:
        raise Refusal("observation_exists", f"{act.source_id} has recorded {act.day} before")


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
    IssuerConversionPriceAdjusted: _check_adjusted,
    IssuerStockConverted: _check_forfeited,
    IssuerFirstRefusalExercised: _check_refused,
    IssuerWarrantVested: _check_tranche,
    IssuerWarrantReleased: _check_tranche,
    IssuerWarrantPriced: _check_tranche,
    IssuerWarrantVestingReversed: _check_tranche,
    IssuerMilestoneAttested: _check_attested,
    IssuerPriceObserved: _check_observed,
}

"""Acts on an issuer that others must agree to: done at once if nobody else needs to, and proposed otherwise.

A use case decides its events. `carry_out` reads from them who must agree (the table of rights). If the sender's own
agreement is enough, the events are stored. Otherwise only a proposal is stored, whose effects they are. With the last
agreement the act is decided again, as of the instant at which it was proposed, and stored in the same append. If it
would now record other events, or need the agreement of others, the proposal is void. A sale or the closing of a round
may differ in its results, as far as `marketplace.domain.equity.ground` says. The money that parties pay for stock moves
in that append too. If it is missing, the last agreement is refused, and the proposal stays open.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeGuard

from msgspec import structs

from events.account import AccountDebited, ConsentAct
from events.instrument import (
    InstrumentAmended,
    InstrumentIssued,
    InstrumentMfnNoticed,
    InstrumentPrincipalAccrued,
    InstrumentPrincipalReversed,
    InstrumentRepaid,
    InstrumentTransferred,
)
from events.issuer import (
    IssuerAuthorisedSharesAdjusted,
    IssuerDilutionLimited,
    IssuerFinancingClosed,
    IssuerLiquidityDeclared,
    IssuerLiquidityWithdrawn,
    IssuerStakeholderAdded,
    IssuerStockSplit,
)
from events.issuer_rights import IssuerOptionExercised, IssuerWarrantExercised, IssuerWarrantTransferred
from events.issuer_stock import IssuerFirstRefusalExercised, IssuerStockRepurchased
from events.proposal import Consent, ProposalMade, ProposedEvent
from events.registry import get_tag, parse_body, render_body
from events.types import Event
from marketplace.application.equity.clawbacks import claw_back
from marketplace.application.equity.vesting import exercise, hand_over, load_vesting, vest
from marketplace.application.steps.access import (
    list_unregistered,
    require_agreeing,
    require_decider,
    require_owner,
    require_unfrozen,
)
from marketplace.application.steps.binding import require_offers_kept
from marketplace.application.steps.company_acts import (
    amend_instrument,
    close_round,
    pay_for_stock,
    repay_note,
    require_paid,
    sell_company,
    transfer_instrument,
)
from marketplace.application.steps.dilution import set_limit
from marketplace.application.steps.investing import take_investment
from marketplace.application.steps.paying import pay
from marketplace.application.steps.proceeds import keep_proceeds
from marketplace.application.steps.stock_agreements import issue_all_owed, name_receivers
from marketplace.application.steps.takeover import load_buyer
from marketplace.application.steps.two_persons import (
    ask_second,
    count_own,
    is_limited,
    measure_consent,
    needs_second,
    use_limit,
)
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import ZERO, parse_ratio, render_ratio
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import Debit, Reserve
from marketplace.domain.equity.ground import find_worth, is_ground_lost, keep_agreements, measure_rights
from marketplace.domain.equity.information import find_issuing
from marketplace.domain.equity.instrument.clawback import build_reversal
from marketplace.domain.equity.instrument.commands import (
    AmendInstrument,
    IssueInstrument,
    ReversePrincipal,
    TransferInstrument,
)
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.issuer.as_converted import measure_preference
from marketplace.domain.equity.issuer.commands import BuyerStock, IssuerCommand
from marketplace.domain.equity.issuer.dilution import measure_claims, sum_principal
from marketplace.domain.equity.issuer.holder_commands import CountProposal, CountRefusal
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.rights_commands import TransferWarrant
from marketplace.domain.equity.issuer.state import Issuer, list_holders
from marketplace.domain.equity.issuer.stock_commands import ExerciseFirstRefusal, SplitStock
from marketplace.domain.equity.issuer.takeover import build_command
from marketplace.domain.equity.preemption import is_standing
from marketplace.domain.equity.proposal import (
    DECIDE_WITHIN,
    PROPOSAL,
    AgreeToProposal,
    CarryOutProposal,
    EndProposal,
    LapseProposal,
    MakeProposal,
    Proposal,
    RefuseProposal,
    WithdrawConsent,
    has_majority,
    was_decided_with,
)
from marketplace.domain.equity.rights import (
    CONSEQUENCES,
    Setting,
    gives_by_asking,
    list_consents,
    list_mandated,
    offers_better,
    require_proposer,
)
from marketplace.domain.refusals import refuse_unknown, require_found
from marketplace.domain.register import REGISTER, REGISTER_ID
from marketplace.domain.texts import shorten
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork

_NOTICED: Final = InstrumentMfnNoticed.__struct_config__.tag
_UNASKED: Final = (*CONSEQUENCES, IssuerStakeholderAdded)
_FOLLOWING: Final = tuple(each for each in _UNASKED if each is not InstrumentMfnNoticed)
"""What a proposal does not show; the elections that it opens it does, to those who are asked about them."""
Act = Callable[[UnitOfWork], Awaitable[None]]
Allows = Callable[[Issuer], frozenset[str]]
"""Parties that may ask for an act besides the company and those who hold its securities."""


async def carry_out(
    handler: Handler,
    context: Context,
    issuer_id: str,
    act: Act,
    *,
    creates: str | None = None,
    allows: Allows | None = None,
    auction_ids: Sequence[str] = (),
) -> Receipt:
    """Do an act on an issuer if the sender's own agreement is enough; otherwise propose it.

    The proposal's id derives from the command's, with the prefix ``prp_``; see `find_proposal`.

    Args:
        handler: Runs it.
        context: Who asks: the company, a holder of the issuer's securities, or the platform.
        issuer_id: The issuer.
        act: Decides the events, which may concern several aggregates.
        creates: The instrument that it signs, if it signs one.
        allows: Who may ask besides the company and those who hold its securities.
        auction_ids: The auctions that are not completed, for an act that could undo a bound order.

    Raises:
        Refusal: ``issuer_unknown`` · ``party_suspended`` · refusals of the act · ``company_proposes`` · refusals of the
            proposal · ``scope_missing`` · ``market_deciding`` · ``limit_exceeded`` if it lets more of the sender's
            money go than one person may.
    """

    async def work(unit: UnitOfWork) -> None:
        await do_or_propose(unit, issuer_id, act, allows=allows, auction_ids=auction_ids)

    if creates is not None:
        return await handler.run(context, INSTRUMENT, creates, work, new=True)
    return await handler.run(context, ISSUER, issuer_id, work)


async def do_or_propose(
    unit: UnitOfWork, issuer_id: str, act: Act, *, allows: Allows | None = None, auction_ids: Sequence[str] = ()
) -> None:
    """Do or propose an act on an issuer, within the decision of a command. Raises as `carry_out`."""
    party_id = unit.context.party_id
    issuer = await load_concerned(unit, issuer_id, allows)
    await require_unfrozen(unit)
    await act(unit)
    await pay_for_stock(unit, issuer_id)
    effects = unit.list_effects()
    await _require_agreeing(unit, issuer)
    consents = () if unit.context.decides and party_id is None else await _list_consents(unit, issuer, party_id)
    if party_id is None and consents:
        require_decider(unit.context)
    if party_id is not None and consents:
        unit.discard()
        await _propose(unit, issuer, party_id, consents, effects, named_by=unit.context.command_id)
        await _count(unit, issuer_id, party_id, concludes=any(isinstance(event, _CONCLUDING) for _, event in effects))
    else:
        await require_paid(unit)
        await _follow(unit, issuer_id, auction_ids)
    await count_own(unit, [event for _, event in effects])


async def _require_agreeing(unit: UnitOfWork, issuer: Issuer) -> None:
    """Refuse a key that may not agree for its party to ask for what that party agrees to, or pays for, by asking.

    Raises:
        Refusal: ``scope_missing``.
    """
    party_id = unit.context.party_id
    if party_id is None or unit.context.agrees:
        return
    account_id = rename_id("acc", party_id)
    pays = any(isinstance(event, AccountDebited) and event.account_id == account_id for _, event in unit.list_effects())
    if pays or gives_by_asking(await _list_consents(unit, issuer, None), party_id):
        require_agreeing(unit.context)


_CONCLUDING: Final = (IssuerFinancingClosed, IssuerLiquidityDeclared, IssuerLiquidityWithdrawn)


async def _count(unit: UnitOfWork, issuer_id: str, party_id: str, *, concludes: bool) -> None:
    """Count the proposal that this command made. The issuer refuses too many of one party."""
    proposal_id = derive_id("prp", unit.context.command_id)
    command = CountProposal(
        issuer_id=issuer_id,
        proposal_id=proposal_id,
        proposer_id=party_id,
        at=unit.context.at,
        concludes=concludes,
    )
    await unit.decide(ISSUER, issuer_id, command)


async def _follow(unit: UnitOfWork, issuer_id: str, auction_ids: Sequence[str]) -> None:
    """Decide what follows from an act by itself, as of now: proceeds kept, what vests, owed shares.

    Raises:
        Refusal: ``market_deciding`` if the act would undo a bound order; a proposal stays open.
    """
    await require_offers_kept(unit, issuer_id, auction_ids)
    await keep_proceeds(unit, issuer_id)
    await vest(unit, issuer_id)
    for subject_id, event in unit.list_effects():
        if isinstance(event, IssuerLiquidityWithdrawn):
            await issue_all_owed(unit, subject_id)


async def propose_reduction(
    unit: UnitOfWork, issuer_id: str, statement_id: str, reversals: Sequence[ReversePrincipal], refund: Debit | None
) -> None:
    """Propose to the holder to reverse principal that became shares or money, because of a credit.

    The holder keeps what it has unless it agrees within `DECIDE_WITHIN`, or the platform decides the reversal. Until
    then the payer of the refund keeps its amount. The proposal's id derives from the credit's, with the prefix
    ``prp_``.

    Args:
        unit: The decision that records the credit.
        issuer_id: The issuer.
        statement_id: The credit.
        reversals: What is reversed, all of one instrument.
        refund: What is paid back to the holder for it; None for nothing.

    Raises:
        Refusal: Refusals of the instrument, of the issuer and of the account.
    """
    branch, company_id = unit.branch(), rename_id("pty", issuer_id)
    issuer = await branch.get(ISSUER, issuer_id, Issuer)
    for reversal in reversals:
        await claw_back(branch, reversal)
    if refund is not None:
        await pay(branch, refund)
    consents = await _list_consents(branch, issuer, company_id)
    await _propose(unit, issuer, company_id, consents, branch.list_effects(), named_by=statement_id)
    if refund is not None:
        await _reserve(unit, derive_id("prp", statement_id), refund.account_id, refund.amount_usd)


async def _reserve(unit: UnitOfWork, proposal_id: str, account_id: str, amount_usd: Decimal) -> None:
    """Keep on an account what it pays once a proposal takes effect; 0 once the proposal has ended."""
    until = unit.context.at + DECIDE_WITHIN
    command = Reserve(account_id=account_id, amount_usd=amount_usd, until=until, cause=proposal_id)
    await unit.decide(ACCOUNT, account_id, command)


async def _free_refund(unit: UnitOfWork, proposal_id: str) -> None:
    """Free what is kept for the refund of a proposal, if that has ended."""
    proposal = await unit.get(PROPOSAL, proposal_id)
    if proposal.status == "open":
        return
    for event in parse_effects(proposal.made):
        if isinstance(event, AccountDebited) and event.cause == proposal_id:
            await _reserve(unit, proposal_id, event.account_id, ZERO)


async def find_proposal(handler: Handler, context: Context) -> str | None:
    """Return the proposal that a command made, or None if it took effect at once."""
    if context.party_id is None:
        return None
    proposal_id = derive_id("prp", context.command_id)
    entry = await handler.cache.load(PROPOSAL, proposal_id)
    return None if entry.state is None else proposal_id


async def load_concerned(unit: UnitOfWork, issuer_id: str, allows: Allows | None = None) -> Issuer:
    """Return an issuer for its company, a party that holds its securities or is allowed to ask, or the platform.

    Raises:
        Refusal: ``issuer_unknown``.
    """
    issuer, party_id = await unit.load(ISSUER, issuer_id), unit.context.party_id
    if not isinstance(issuer, Issuer):
        raise refuse_unknown("issuer", issuer_id)
    allowed = frozenset() if allows is None else allows(issuer)
    if party_id is not None and party_id not in {issuer.formed.party_id, *allowed, *list_holders(issuer)}:
        raise refuse_unknown("issuer", issuer_id)
    return issuer


async def _list_consents(
    unit: UnitOfWork, issuer: Issuer, proposer_id: str | None, *, asked: frozenset[str] | None = None
) -> tuple[Consent, ...]:
    """Return the agreements that the decided events need beyond the proposer's; with None, all of them.

    `asked` is as in `Setting`.
    """
    effects = [event for _, event in unit.list_effects()]
    buyer = await _find_buyer(unit, effects)
    issuers = [each for each in (issuer, buyer) if each is not None]
    outstanding, unregistered = await _read_outstanding(unit, issuers), await list_unregistered(unit, issuers)
    register = await unit.load(REGISTER, REGISTER_ID)
    company_id, at = issuer.formed.party_id, unit.context.at
    assuming = await _find_assuming(unit, effects)
    setting = Setting(issuer, company_id, effects, at, buyer, outstanding, register, asked, unregistered, assuming)
    if proposer_id is not None:
        require_proposer(setting, proposer_id)
    return list_consents(setting, proposer_id or "")


async def _read_outstanding(unit: UnitOfWork, issuers: Sequence[Issuer]) -> dict[str, Decimal]:
    """Return the outstanding principal, before the act, of the instruments that may still become equity."""
    live = [name for issuer in issuers for name in sorted(issuer.exposures) if name in issuer.instruments]
    found = [await unit.read_before(INSTRUMENT, instrument_id) for instrument_id in live]
    return {name: each.outstanding_usd for name, each in zip(live, found, strict=True) if each is not None}


async def _find_buyer(unit: UnitOfWork, effects: Sequence[Event]) -> Issuer | None:
    """Return the issuer of this market whose stock buys the company in these effects; None if there is none."""
    for event in effects:
        stock = event.waterfall.stock if isinstance(event, IssuerLiquidityDeclared) else None
        if stock is not None and stock.buyer_issuer_id is not None:
            return await load_buyer(unit, stock.buyer_issuer_id)
    return None


async def _find_assuming(unit: UnitOfWork, effects: Sequence[Event]) -> Issuer | None:
    """Return the issuer that takes over capacity of the company in these effects; None if there is none."""
    for event in effects:
        if isinstance(event, IssuerLiquidityDeclared) and event.assumed is not None:
            return await load_buyer(unit, event.assumed.issuer_id)
    return None


async def _propose(
    unit: UnitOfWork,
    issuer: Issuer,
    proposer_id: str,
    consents: tuple[Consent, ...],
    effects: Sequence[tuple[str, Event]],
    *,
    named_by: str,
) -> None:
    """Make a proposal of what would be recorded. Its id derives from the command or statement that asks for it."""
    proposal_id, worth = derive_id("prp", named_by), find_worth([event for _, event in effects], issuer)
    command = MakeProposal(
        proposal_id=proposal_id,
        issuer_id=issuer.formed.issuer_id,
        proposer_id=proposer_id,
        split_ratio=render_ratio(issuer.split_ratio),
        proposed_at=unit.context.at,
        effects=_render_all(effects),
        consents=consents,
        decide_until=unit.context.at + DECIDE_WITHIN,
        company_exact=render_ratio(measure_rights(issuer)),
        preference_exact=render_ratio(measure_preference(issuer)),
        principal_usd=sum_principal(issuer, worth),
        claims_exact=render_ratio(measure_claims(issuer, measure_rights(issuer), worth)),
        worth_exact=render_ratio(worth),
    )
    await unit.decide(PROPOSAL, proposal_id, command)


def _render_all(effects: Sequence[tuple[str, Event]]) -> tuple[ProposedEvent, ...]:
    """Return the effects that are agreed to, and the elections that they open, without what else follows from them."""
    return tuple(_render(id, event) for id, event in effects if not isinstance(event, _FOLLOWING))  # noqa: A001


def _render(aggregate_id: str, event: Event) -> ProposedEvent:
    return ProposedEvent(aggregate_id=aggregate_id, type=get_tag(event), body_json=render_body(event).decode())


async def agree(handler: Handler, context: Context, proposal_id: str, *, auction_ids: Sequence[str] = ()) -> Receipt:
    """Agree to a proposal, as a voter. With the last agreement that it needs, it takes effect or ends as void.

    Who refused an issue takes that back by agreeing, also once it ended the proposal: its refusal stands no more.

    If the party may lose more by it than one person may let go, the agreement is only requested, and waits for a
    second person; see `marketplace.application.billing.approvals`. `auction_ids` are the auctions that are not
    completed.

    Raises:
        Refusal: ``proposal_unknown`` · ``party_suspended`` · refusals of the proposal · ``person_missing`` ·
            ``funds_insufficient`` if the last agreement is sent while a party cannot pay its part, and
            ``market_deciding`` while an auction has bound an order that the act would undo; the proposal stays open.
    """

    async def work(unit: UnitOfWork) -> None:
        proposal, party_id = await _load_asked(unit, proposal_id), _name_sender(unit)
        await require_unfrozen(unit)
        made, branch = proposal.made, unit.branch()
        await _agree(branch, proposal, party_id)
        is_new = bool(branch.list_effects())
        value = await measure_consent(unit, made, parse_effects(made)) if is_new and await is_limited(unit) else ZERO
        if await needs_second(unit, value):
            act = ConsentAct(proposal_id=proposal_id, value_usd=value)
            await ask_second(unit, rename_id("acc", party_id), act)
            return
        await give_consent(unit, proposal_id, auction_ids)
        if not unit.rejected:
            await use_limit(unit, value or ZERO, context.command_id)

    return await handler.run(context, PROPOSAL, proposal_id, work)


async def give_consent(unit: UnitOfWork, proposal_id: str, auction_ids: Sequence[str]) -> None:
    """Record the sender's agreement to a proposal, and with the last one its effects or its end as void.

    Raises:
        Refusal: As `agree`.
    """
    proposal = await _agree(unit, await unit.get(PROPOSAL, proposal_id), _name_sender(unit))
    if proposal.status == "open" and not proposal.list_missing(unit.context.at):
        await _complete(unit, proposal, auction_ids)


async def _agree(unit: UnitOfWork, proposal: Proposal, party_id: str) -> Proposal:
    """Record an agreement alone. It takes back the party's refusal; after one that ended the proposal, nothing else."""
    proposal_id, takes_back, after = proposal.made.proposal_id, proposal.takes_back(party_id), proposal
    if not takes_back or proposal.status != "refused":
        command = AgreeToProposal(proposal_id=proposal_id, party_id=party_id, at=unit.context.at)
        after = await unit.decide(PROPOSAL, proposal_id, command)
    if takes_back:
        await _count_refusal(unit, proposal.made, party_id, stands=False)
    return after


async def carry_out_waived(
    handler: Handler, context: Context, proposal_id: str, auction_ids: Sequence[str] = ()
) -> Receipt:
    """Let a proposal take effect once the time has passed in which investors could refuse, or end it as void.

    Nothing changes while it needs the agreement of others: it takes effect with the last one. `auction_ids` are the
    auctions that are not completed.

    Raises:
        Refusal: ``proposal_unknown`` · ``deadline_passed`` · ``party_suspended`` · ``funds_insufficient`` ·
            ``funds_reserved`` · ``market_deciding``; the proposal stays open, and the company may agree again.
    """

    async def work(unit: UnitOfWork) -> None:
        proposal = require_found("proposal", proposal_id, await unit.load(PROPOSAL, proposal_id))
        if proposal.status == "open" and not proposal.list_missing(context.at):
            await _complete(unit, proposal, auction_ids)

    return await handler.run(context, PROPOSAL, proposal_id, work)


async def _complete(unit: UnitOfWork, proposal: Proposal, auction_ids: Sequence[str]) -> None:
    """Let a proposal take effect that needs nobody's agreement any more, or end it as void."""
    await _require_none_suspended(unit, proposal)
    await _take_effect(unit, proposal, auction_ids)
    await _free_refund(unit, proposal.made.proposal_id)


async def _require_none_suspended(unit: UnitOfWork, proposal: Proposal) -> None:
    """Refuse to let a proposal take effect that needs the agreement of a party that is suspended now.

    Raises:
        Refusal: ``party_suspended``. The proposal stays open.
    """
    proposer_id = proposal.made.proposer_id
    for party_id in sorted(proposal.agreed | {proposer_id}):
        rest = proposal.agreed - {party_id}
        if party_id == proposer_id or proposal.list_missing(unit.context.at, rest):
            await require_unfrozen(unit, party_id)


async def _take_effect(unit: UnitOfWork, proposal: Proposal, auction_ids: Sequence[str]) -> None:
    """Decide the act again and store it with the proposal, or end the proposal as void."""
    made = proposal.made
    reason, covered = await _find_change(unit, proposal)
    if reason is None:
        carry = CarryOutProposal(proposal_id=made.proposal_id, at=unit.context.at, covered=covered)
        await unit.decide(PROPOSAL, made.proposal_id, carry)
        await _follow(unit, made.issuer_id, auction_ids)
        return
    unit.discard(keep=PROPOSAL)
    unit.rejected = True
    await unit.decide(
        PROPOSAL, made.proposal_id, EndProposal(proposal_id=made.proposal_id, outcome="void", reason=shorten(reason))
    )


async def _find_change(unit: UnitOfWork, proposal: Proposal) -> tuple[str | None, frozenset[str] | None]:
    """Decide the act of a proposal again.

    Returns:
        Why the agreements do not cover it, None if they do; and whose agreement covers results that differ, None if
        none differ.

    Raises:
        Refusal: ``funds_insufficient``.
    """
    made = proposal.made
    issuer = await unit.get(ISSUER, made.issuer_id, Issuer)
    if render_ratio(issuer.split_ratio) != made.split_ratio:
        return "the stock was split since, so that its numbers of shares are other ones", None
    if is_ground_lost(made, parse_effects(made), issuer):
        return "the company has more shares and rights, preferences or principal than when it was proposed", None
    try:
        await _decide_again(unit, made)
        await pay_for_stock(unit, made.issuer_id)
        await require_paid(unit)
    except Refusal as refusal:
        if refusal.code in {"funds_insufficient", "funds_reserved"}:
            raise
        return f"it is refused now: {refusal.code}: {refusal.message}", None
    effects, covered = unit.list_effects(without=PROPOSAL), None
    if _opens_more(effects, made, issuer):
        return "more principal of most-favoured SAFEs may elect its terms than when it was proposed", None
    if _order(_render_all(effects)) != _order(made.effects):
        covered = _list_covered(proposal, issuer, [event for _, event in effects])
        if proposal.list_missing(unit.context.at, covered):
            text = "it would now record other events than were agreed to, because the company or a price changed since"
            return text, None
    agreed = (proposal.agreed if covered is None else covered) | {made.proposer_id} | list_mandated(parse_effects(made))
    heard = await _list_heard(unit, proposal)
    needed = await _list_consents(unit, issuer, made.proposer_id, asked=agreed | heard)
    lacking = [each for each in needed if not has_majority(each, agreed)]
    missing = [each.electorate for each in lacking if not was_decided_with(each, made.consents)]
    if missing:
        return f"the company changed since, so that it also needs the agreement of {', '.join(missing)}", None
    return None, covered


async def _list_heard(unit: UnitOfWork, proposal: Proposal) -> frozenset[str]:
    """Return the investors that were asked. An investor that is silent and refused another issue is left out."""
    issuing = await unit.get(ISSUER, find_issuing(proposal.made), Issuer)
    silent = proposal.list_offered() - proposal.refused
    return proposal.list_offered() - {each for each in silent if is_standing(issuing, each, unit.context.at)}


def _list_covered(proposal: Proposal, issuer: Issuer, effects: Sequence[Event]) -> frozenset[str]:
    """Return whose agreement covers other effects than were proposed; see `marketplace.domain.equity.ground`."""
    if measure_rights(issuer) > parse_ratio(proposal.made.company_exact):
        return frozenset()
    now = [event for event in effects if not isinstance(event, _UNASKED)]
    return keep_agreements(parse_effects(proposal.made), now, proposal.agreed, issuer)


def _opens_more(effects: Iterable[tuple[str, Event]], made: ProposalMade, issuer: Issuer) -> bool:
    """Return whether effects open elections of better terms, or for more principal, that a proposal did not show."""
    shown = (_parse(each) for each in made.effects if each.type == _NOTICED)
    before = {(each.instrument_id, each.terms): each.principal_usd for each in shown if _is_notice(each)}
    opened = (event for _, event in effects if _is_notice(event) and offers_better(issuer, event))
    return any(each.principal_usd > before.get((each.instrument_id, each.terms), ZERO) for each in opened)


def _is_notice(event: Event) -> TypeGuard[InstrumentMfnNoticed]:
    return isinstance(event, InstrumentMfnNoticed)


def _order(effects: Sequence[ProposedEvent]) -> list[ProposedEvent]:
    """Return effects sorted by aggregate, those of one aggregate in their order; without the elections they open."""
    own = (effect for effect in effects if effect.type != _NOTICED)
    return sorted(own, key=lambda effect: effect.aggregate_id)


def parse_effects(made: ProposalMade) -> list[Event]:
    """Return the events that a proposal records, without the elections that they open."""
    return [_parse(effect) for effect in made.effects if effect.type != _NOTICED]


def _parse(effect: ProposedEvent) -> Event:
    return parse_body(effect.type, effect.body_json.encode())


async def _decide_again(unit: UnitOfWork, made: ProposalMade) -> None:
    events = parse_effects(made)
    own = [event for event in events if not isinstance(event, IssuerAuthorisedSharesAdjusted) or event.cause is None]
    main = next((event for event in own if isinstance(event, _MAIN)), own[0])
    if not await _decide_instrument_again(unit, main, events, made.proposed_at):
        await _decide_issuer_again(unit, made.issuer_id, main, events, made.proposed_at)


async def _decide_instrument_again(unit: UnitOfWork, main: Event, events: Sequence[Event], at: datetime) -> bool:
    """Decide an act on an instrument again; return False, and decide nothing, for another act."""
    match main:
        case InstrumentIssued():
            tranche = next(event for event in events if isinstance(event, InstrumentPrincipalAccrued))
            issue = IssueInstrument(
                instrument_id=main.instrument_id,
                issuer_id=main.issuer_id,
                holder_id=main.holder_id,
                terms=main.terms,
                commitment_usd=main.commitment_usd,
                funding="paid_at_once",
                mandate_id=main.mandate_id,
            )
            await take_investment(unit, issue, tranche_id=tranche.tranche_id, at=at)
        case InstrumentRepaid():
            await repay_note(unit, main.instrument_id, cause=main.cause, at=at)
        case InstrumentAmended():
            command = AmendInstrument(
                instrument_id=main.instrument_id, terms=main.terms, applies_to_earlier=main.applies_to_earlier
            )
            await amend_instrument(unit, command)
        case InstrumentTransferred():
            transfer = TransferInstrument(
                instrument_id=main.instrument_id, holder_id=main.holder_id, holder_id_after=main.holder_id_after
            )
            await transfer_instrument(unit, transfer)
        case InstrumentPrincipalReversed():
            for event in events:
                if isinstance(event, InstrumentPrincipalReversed):
                    await claw_back(unit, build_reversal(event, at.date()))
                elif isinstance(event, AccountDebited):
                    refund = Debit(
                        account_id=event.account_id,
                        amount_usd=event.amount_usd,
                        payee_account_id=event.payee_account_id,
                        cause=event.cause,
                        owed=True,
                    )
                    await pay(unit, refund)
        case _:
            return False
    return True


async def _decide_issuer_again(
    unit: UnitOfWork, issuer_id: str, main: Event, events: Sequence[Event], at: datetime
) -> None:
    match main:
        case IssuerFinancingClosed():
            await close_round(unit, issuer_id, main.financing_id, approval=main.approval, at=at, again=True)
        case IssuerLiquidityDeclared():
            await _sell_again(unit, issuer_id, main, at)
        case IssuerDilutionLimited():
            await set_limit(unit, issuer_id, dilution_max=main.dilution_max, valuation_usd=main.valuation_usd, at=at)
        case IssuerWarrantExercised():
            await exercise(
                unit,
                issuer_id,
                exercise_id=main.exercise_id,
                warrant_id=main.warrant_id,
                shares=main.shares + main.shares_surrendered,
                net=main.fair_value_usd is not None,
                at=at,
                tranche=main.tranche,
            )
        case IssuerWarrantTransferred():
            command = build_command(main, at)
            assert isinstance(command, TransferWarrant), "the command of this event"
            await hand_over(unit, command)
        case _:
            command = _build_command(main, events, at)
            await name_receivers(unit, command)
            await unit.decide(ISSUER, issuer_id, command)


async def _sell_again(unit: UnitOfWork, issuer_id: str, main: IssuerLiquidityDeclared, at: datetime) -> None:
    waterfall, stock = main.waterfall, main.waterfall.stock
    buyer = None
    if stock is not None:
        buyer = BuyerStock(
            buyer=stock.buyer,
            price_usd_per_share=stock.price_usd_per_share,
            buyer_issuer_id=stock.buyer_issuer_id,
            class_id=stock.class_id,
        )
    await sell_company(
        unit,
        issuer_id,
        main.liquidity_id,
        proceeds_usd=waterfall.proceeds_usd,
        safe_seniority=waterfall.safe_seniority,
        stock=buyer,
        at=at,
        agreed=main.agreed,
        assumed_by=None if main.assumed is None else main.assumed.issuer_id,
        pay_days=(main.pay_until - at).days,
        again=True,
        **await load_vesting(unit, issuer_id),
    )


_MAIN: Final = (
    InstrumentIssued,
    IssuerFinancingClosed,
    IssuerLiquidityDeclared,
    InstrumentPrincipalAccrued,
    InstrumentPrincipalReversed,
    IssuerStockSplit,
    IssuerFirstRefusalExercised,
    IssuerWarrantExercised,
    IssuerOptionExercised,
    InstrumentRepaid,
    InstrumentAmended,
    InstrumentTransferred,
)
"""Events that are recorded with others. An act is decided again from such an event, or else from its first one."""


def _build_command(main: Any, events: Sequence[Event], at: datetime) -> IssuerCommand:
    """Return the command of an act, from its events."""
    if isinstance(main, IssuerFirstRefusalExercised):
        return ExerciseFirstRefusal(
            issuer_id=main.issuer_id,
            transfer_id=main.transfer_id,
            holder_id=main.holder_id,
            at=at,
            approval=main.approval,
        )
    command = build_command(main, at)
    if isinstance(command, SplitStock):
        bought = next((event for event in events if isinstance(event, IssuerStockRepurchased)), None)
        if bought is not None:
            price = bought.price_usd_per_share if command.fractions == "cash_in_lieu" else None
            return structs.replace(command, cash_usd_per_share=price, approval=bought.approval)
    return command


def _name_sender(unit: UnitOfWork) -> str:
    """Return the party that votes; ``platform``, which is no voter, for the platform."""
    return unit.context.party_id or "platform"


async def _load_asked(unit: UnitOfWork, proposal_id: str) -> Proposal:
    """Return a proposal for its proposer, its company, its voters, and investors that agreed by their mandates.

    Raises:
        Refusal: ``proposal_unknown``.
    """
    proposal = require_found("proposal", proposal_id, await unit.load(PROPOSAL, proposal_id))
    company_id = rename_id("pty", proposal.made.issuer_id)
    named = (*proposal.voters, *list_mandated(parse_effects(proposal.made)), proposal.made.proposer_id, company_id)
    require_owner(unit.context, named, "proposal", proposal_id)
    return proposal


async def withdraw_consent(handler: Handler, context: Context, proposal_id: str, *, reason: str) -> Receipt:
    """Take one's agreement back, as a voter, before the proposal takes effect.

    Raises:
        Refusal: ``proposal_unknown`` · ``proposal_<status>`` · ``deadline_passed`` · ``not_asked`` · ``not_agreed``.
    """

    async def work(unit: UnitOfWork) -> None:
        await _load_asked(unit, proposal_id)
        command = WithdrawConsent(proposal_id=proposal_id, party_id=_name_sender(unit), reason=reason, at=context.at)
        await unit.decide(PROPOSAL, proposal_id, command)

    return await handler.run(context, PROPOSAL, proposal_id, work)


async def refuse(handler: Handler, context: Context, proposal_id: str, *, reason: str) -> Receipt:
    """Refuse a proposal, as a voter. It ends when an electorate can no longer agree.

    Raises:
        Refusal: ``proposal_unknown`` · ``proposal_<status>`` · ``deadline_passed`` · ``not_asked``.
    """

    async def work(unit: UnitOfWork) -> None:
        await _load_asked(unit, proposal_id)
        before, party_id = await unit.get(PROPOSAL, proposal_id), _name_sender(unit)
        command = RefuseProposal(proposal_id=proposal_id, party_id=party_id, reason=reason, at=context.at)
        await unit.decide(PROPOSAL, proposal_id, command)
        if before.counts_refusal(party_id) and unit.list_events(PROPOSAL, proposal_id):
            await _count_refusal(unit, before.made, party_id)
        await _free_refund(unit, proposal_id)

    return await handler.run(context, PROPOSAL, proposal_id, work)


async def _count_refusal(unit: UnitOfWork, made: ProposalMade, party_id: str, *, stands: bool = True) -> None:
    """Count an investor's refusal at the issuer whose stock is issued, or take it back."""
    issuer_id, at = find_issuing(made), unit.context.at
    count = CountRefusal(issuer_id=issuer_id, proposal_id=made.proposal_id, party_id=party_id, at=at, stands=stands)
    await unit.decide(ISSUER, issuer_id, count)


async def withdraw_proposal(handler: Handler, context: Context, proposal_id: str, *, reason: str) -> Receipt:
    """Withdraw a proposal, as its proposer or the platform.

    Raises:
        Refusal: ``proposal_unknown`` · refusals of the proposal.
    """

    async def work(unit: UnitOfWork) -> None:
        await _load_asked(unit, proposal_id)
        command = EndProposal(proposal_id=proposal_id, outcome="withdrawn", reason=reason, party_id=context.party_id)
        await unit.decide(PROPOSAL, proposal_id, command)
        await _free_refund(unit, proposal_id)

    return await handler.run(context, PROPOSAL, proposal_id, work)


async def lapse(handler: Handler, context: Context, proposal_id: str) -> Receipt:
    """End a proposal whose deadline has passed.

    Raises:
        Refusal: ``proposal_unknown`` · ``proposal_<status>`` · ``proposal_not_due``.
    """

    async def work(unit: UnitOfWork) -> None:
        await unit.decide(PROPOSAL, proposal_id, LapseProposal(proposal_id=proposal_id, at=context.at))
        await _free_refund(unit, proposal_id)

    return await handler.run(context, PROPOSAL, proposal_id, work)

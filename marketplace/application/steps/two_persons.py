"""Acts of one person that count toward a limit, or that another one must approve; see `account_approvals`."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from msgspec import structs

from events.account import AccountAct, AccountDebited, AccountHoldPlaced, DepositAct
from events.financing import AssumedGrants
from events.instrument import (
    InstrumentAmended,
    InstrumentMfnElected,
    InstrumentPrincipalReversed,
    InstrumentRepaid,
    InstrumentTransferred,
)
from events.issuer import IssuerLiquidityDeclared, IssuerProRataAnswered
from events.proposal import ProposalMade
from events.types import Event
from marketplace.application.steps.access import list_unregistered
from marketplace.core.ids import derive_id, is_id, rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import UNIT, RequestApproval, UseLimit
from marketplace.domain.equity.answering import find_lost, find_lost_by_buyer, find_share_worth
from marketplace.domain.equity.giving import (
    Given,
    find_forfeited,
    find_given,
    find_giver,
    is_given,
    list_unpaid_principal,
    measure_stake,
    refuse_unvalued,
)
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.instrument.mfn import gives_up
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.state import Issuer, list_holders
from marketplace.domain.equity.proposal import find_side
from marketplace.domain.register import REGISTER, REGISTER_ID
from marketplace.execution.unit_of_work import Context, UnitOfWork


def find_alone(context: Context) -> datetime | None:
    """Return the time of an act that a party's person does alone; None for the platform."""
    return None if context.party_id is None else context.at


def name_person(context: Context) -> str:
    """Return the person who acts, empty for a key that names none; ``platform`` for every key of the platform."""
    return "platform" if context.party_id is None else context.actor_person


async def ask_second(unit: UnitOfWork, account_id: str, act: AccountAct, currency: str = UNIT) -> None:
    """Request an act that needs a second person, and hold its money. The request's id derives from the command's.

    Raises:
        Refusal: ``person_missing`` · refusals of the account.
    """
    command = RequestApproval(
        account_id=account_id,
        approval_id=derive_id("apv", unit.context.command_id),
        act=act,
        person=unit.context.actor_person if isinstance(act, DepositAct) else name_person(unit.context),
        at=unit.context.at,
        unit=currency,
        operator=unit.context.actor_operator,
    )
    await unit.decide(ACCOUNT, account_id, command)


async def count_own(unit: UnitOfWork, events: Sequence[Event]) -> None:
    """Count toward the sender's limit what it alone spends or gives up by an act on an issuer.

    Args:
        unit: The decision.
        events: What the act records, or would record.

    Raises:
        Refusal: ``limit_exceeded``, also if the value of what it gives up is not known.
    """
    if not await is_limited(unit):
        return
    amount = await _measure_own(unit, events, unit.context.party_id or "")
    if amount is None:
        raise refuse_unvalued()
    await use_limit(unit, amount, unit.context.command_id)


async def _measure_own(unit: UnitOfWork, events: Sequence[Event], party_id: str) -> Decimal | None:
    """Return the USD that a party spends or gives up by events, also for holders without a key; None: not known."""
    amount = sum((_find_spent(each, party_id) for each in events), ZERO)
    given = [await _find_given(unit, event, party_id) for event in events]
    given += [await _find_answered(unit, event, party_id) for event in events]
    known = [each for each in given if each is not None]
    return None if len(known) < len(given) else sum(known, amount)


async def measure_consent(unit: UnitOfWork, made: ProposalMade, events: Sequence[Event]) -> Decimal | None:
    """Return the USD that the sender may lose by agreeing to a proposal; None if the value of stock is not known.

    It is what the party spends or gives up by the effects. If it votes as a holder, it is at least its whole stake in
    the company, and in a sale at least its proceeds, because a vote may cost it all of that.

    Args:
        unit: The decision, before the effects.
        made: The proposal.
        events: Its effects.
    """
    party_id = unit.context.party_id or ""
    own = await _measure_own(unit, events, party_id)
    if own is None:
        return None
    voted = {is_buyer for consent in made.consents if (is_buyer := find_side(consent, party_id)) is not None}
    sales = [event for event in events if isinstance(event, IssuerLiquidityDeclared)]
    stakes = [await _find_stake(unit, made.issuer_id, party_id)] if False in voted else []
    for sale in sales:
        paid = (each.amount_usd for each in sale.waterfall.payouts if each.holder_id == party_id)
        stakes.append(sum(paid, ZERO))
        stock = sale.waterfall.stock
        if True in voted and stock is not None and stock.buyer_issuer_id is not None:
            stakes.append(await _find_stake(unit, stock.buyer_issuer_id, party_id))
    return max([own, *stakes])


async def _find_stake(unit: UnitOfWork, issuer_id: str, party_id: str) -> Decimal:
    issuer = await unit.get(ISSUER, issuer_id, Issuer)
    interested = await _list_interested(unit, issuer, party_id)
    return measure_stake(issuer, party_id, interested, unit.context.at)


async def _list_interested(unit: UnitOfWork, issuer: Issuer, party_id: str) -> frozenset[str]:
    register = await unit.load(REGISTER, REGISTER_ID)
    return register.list_group(party_id) | register.list_group(issuer.formed.party_id)


async def needs_second(unit: UnitOfWork, amount_usd: Decimal | None) -> bool:
    """Return whether the sender's act is above the limit of its account, as one of an unknown value is."""
    party_id = unit.context.party_id
    account = None if party_id is None else await unit.load(ACCOUNT, rename_id("acc", party_id))
    if account is None or account.limit_usd is None:
        return False
    return amount_usd is None or account.needs_second(amount_usd, unit.context.at)


async def is_limited(unit: UnitOfWork) -> bool:
    """Return whether the sender's account limits what one person alone lets go; False for the platform."""
    party_id = unit.context.party_id
    account = None if party_id is None else await unit.load(ACCOUNT, rename_id("acc", party_id))
    return account is not None and account.limit_usd is not None


async def use_limit(unit: UnitOfWork, amount_usd: Decimal, cause: str) -> None:
    """Count what the sender alone lets go toward the limit of its account, once for a cause.

    Raises:
        Refusal: ``limit_exceeded``.
    """
    party_id = unit.context.party_id
    if party_id is not None and amount_usd:
        account_id = rename_id("acc", party_id)
        use = UseLimit(account_id=account_id, amount_usd=amount_usd, cause=cause, at=unit.context.at)
        await unit.decide(ACCOUNT, account_id, use)


async def _find_given(unit: UnitOfWork, event: Event, party_id: str) -> Decimal | None:
    """Return the USD that a party gives up by an event, 0 if nothing; None if the value is not known."""
    if isinstance(event, InstrumentPrincipalReversed | InstrumentAmended | InstrumentMfnElected):
        instrument = await unit.read_before(INSTRUMENT, event.instrument_id)
        if instrument is None or instrument.holder_id != party_id:
            return ZERO
        if isinstance(event, InstrumentMfnElected) and not gives_up(event.terms, instrument, unit.context.at):
            return ZERO
        whole = instrument.outstanding_usd + instrument.open_usd
        return event.principal_usd if isinstance(event, InstrumentPrincipalReversed) else whole
    if isinstance(event, IssuerLiquidityDeclared):
        own = {each.instrument_id for each in event.waterfall.instruments if each.holder_id == party_id}
        return sum((max(left, ZERO) for name, left in list_unpaid_principal(event).items() if name in own), ZERO)
    if isinstance(event, InstrumentRepaid):
        return event.principal_usd if event.early and event.holder_id == party_id else ZERO
    if isinstance(event, IssuerProRataAnswered) and event.holder_id == party_id:
        return find_forfeited(event, await unit.get(ISSUER, event.issuer_id, Issuer))
    if not isinstance(event, Given):
        return ZERO
    issuer = await unit.read_before(ISSUER, event.issuer_id)
    assert isinstance(issuer, Issuer), "who gives stock up holds it"
    if not is_given(event, party_id, issuer):
        return ZERO
    interested = await _list_interested(unit, issuer, party_id)
    return find_given(event, issuer, interested, unit.context.at.date())


async def _find_answered(unit: UnitOfWork, event: Event, party_id: str) -> Decimal:
    """Return the USD that the company and holders without a key lose by its event; 0 for any other party."""
    amended = None
    if isinstance(event, InstrumentAmended | InstrumentTransferred):
        amended = await unit.read_before(INSTRUMENT, event.instrument_id)
    issuer_id = getattr(event, "issuer_id", None) if amended is None else amended.issued.issuer_id
    bought = event if isinstance(event, IssuerLiquidityDeclared) and _find_buyer(event) == party_id else None
    issuer_id = issuer_id if bought is None else rename_id("iss", party_id)
    if issuer_id is None or rename_id("pty", issuer_id) != party_id:
        return ZERO
    issuer = await unit.read_before(ISSUER, issuer_id)
    if not isinstance(issuer, Issuer):
        return ZERO
    away = await list_unregistered(unit, [issuer])
    absent = {each for each in list_holders(issuer) if each in away or each == party_id or not is_id(each, "pty")}
    if bought is not None:
        return find_lost_by_buyer(bought, issuer, absent)
    if amended is not None and isinstance(event, InstrumentTransferred):
        return amended.outstanding_usd + amended.open_usd
    if amended is not None and isinstance(event, InstrumentAmended):
        whole = amended.outstanding_usd + amended.open_usd
        before = structs.replace(issuer.instruments[event.instrument_id], commitment_usd=whole)
        after = structs.replace(before, terms=event.terms)
        return max(find_lost(after, issuer, absent) - find_lost(before, issuer, absent), ZERO)
    giver = find_giver(event, issuer) if isinstance(event, Given) else party_id
    if isinstance(event, Given) and giver in absent - {party_id} and is_given(event, giver, issuer):
        least = find_share_worth(issuer)
        return find_given(event, issuer, frozenset({party_id}), unit.context.at.date(), least=least) or ZERO
    return find_lost(event, issuer, absent)


def _find_buyer(event: IssuerLiquidityDeclared) -> str | None:
    """Return the party of this market that buys a company for its stock; None if there is none."""
    stock = event.waterfall.stock
    return None if stock is None or stock.buyer_issuer_id is None else rename_id("pty", stock.buyer_issuer_id)


def _find_spent(event: Event, party_id: str) -> Decimal:
    """Return the USD that an event takes from a party's account or sets aside, or will take.

    A sale will take its proceeds from the company, and from a buyer the price of the grants that it takes over.
    """
    match event:
        case AccountDebited() | AccountHoldPlaced() if event.party_id == party_id:
            return event.amount_usd
        case IssuerLiquidityDeclared() if rename_id("pty", event.issuer_id) == party_id:
            return sum((each.cash_usd for each in event.waterfall.payouts if each.holder_id != party_id), ZERO)
        case IssuerLiquidityDeclared(assumed=AssumedGrants(issuer_id=buyer_id, grants=grants)) if (
            rename_id("pty", buyer_id) == party_id
        ):
            return sum((each.cash_usd_max for each in grants), ZERO)
        case _:
            return ZERO

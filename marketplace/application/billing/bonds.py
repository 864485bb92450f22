"""Bonds: a provider sets money apart, payers claim from it what the schedule grants for undelivered hours."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from msgspec import structs

from events.bond import BondClaimed, ClaimItem
from events.book import Book
from marketplace.application.steps.access import (
    list_sides,
    require_decider,
    require_owner,
    require_side,
    require_unfrozen,
)
from marketplace.application.steps.claim_amounts import (
    find_claim_credit,
    find_default,
    find_most,
    load_delivered,
    name_place,
    sum_counted,
)
from marketplace.application.steps.claims import keep_for_claims, pay_claims, post_part
from marketplace.application.steps.resale_reach import find_reach
from marketplace.application.steps.two_persons import use_limit
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_command_id, derive_id, rename_id
from marketplace.core.money import ZERO, require_usd
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import AdjustHold
from marketplace.domain.billing.bond import (
    BOND,
    AnswerClaim,
    Claim,
    ClaimBond,
    PostBond,
    ReleaseBond,
    list_end_claims,
    list_settled_claims,
    name_claim,
    refuse_claimed,
)
from marketplace.domain.billing.remedies import (
    ANSWER_WITHIN,
    NOTHING,
    Bought,
    Debtor,
    Default,
    Purchase,
    compute_items,
    find_holder_id,
    find_last,
    find_needed,
    find_notice,
    limit_time,
    list_debtors,
    list_holder_parts,
    require_answered,
    require_distinct,
    require_replacement,
    require_term,
    require_time,
    require_unclaimed,
    sum_claim,
)
from marketplace.domain.billing.statement import Statement
from marketplace.domain.command import COMMAND, RecordCommand
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.domain.party import PARTY, require_trader
from marketplace.domain.refusals import refuse_unknown, require_found
from marketplace.domain.register import REGISTER, REGISTER_ID, require_claimable
from marketplace.domain.supply.lot import LOT, Lot
from marketplace.domain.supply.pool import POOL
from marketplace.domain.trading.auction import AUCTION, FrozenAuction
from marketplace.domain.trading.order import ORDER
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def post_bond(
    handler: Handler,
    context: Context,
    party_id: str,
    *,
    amount_usd: Decimal,
    lot_id: str | None = None,
    stands_until: datetime | None = None,
) -> Receipt:
    """Set money of a provider apart: for the grants of one lot until its end, or for all its grants until an instant.

    State either `lot_id` or `stands_until`. A startup posts for its resale lots. What claims on the bond are owed is
    paid at once.

    Raises:
        Refusal: ``scope_missing`` · ``party_unknown`` · ``party_suspended`` · refusals of the party ·
            ``lot_unknown`` · ``term_missing`` ·
            ``limit_exceeded`` · refusals of the bond and of the account.
    """
    require_decider(context)
    bond_id, account_id = rename_id("bnd", party_id), rename_id("acc", party_id)

    async def work(unit: UnitOfWork) -> None:
        require_owner(context, (party_id,), "party", party_id)
        await require_unfrozen(unit)
        party, lot = await unit.load(PARTY, party_id), await _find_lot(unit, lot_id, party_id)
        require_trader(party, party_id, "provider" if lot is None or lot.listed.grant_id is None else "startup")
        require_usd(amount_usd, "/amount_usd")
        command = PostBond(
            bond_id=bond_id,
            party_id=party_id,
            account_id=account_id,
            posting_id=derive_id("pst", context.command_id),
            lot_id=lot_id,
            amount_usd=amount_usd,
            stands_until=require_term(None if lot is None else lot.end, stands_until),
            at=context.at,
        )
        await use_limit(unit, amount_usd, context.command_id)
        await post_part(unit, command, alone_at=context.at)

    return await handler.run(context, BOND, bond_id, work)


async def _find_lot(unit: UnitOfWork, lot_id: str | None, party_id: str) -> Lot | None:
    """Return the lot of a bond, which its party sells; None for all of a provider's grants."""
    if lot_id is None:
        return None
    lot = await unit.load(LOT, lot_id)
    if lot is None or lot.listed.provider_id != party_id:
        raise refuse_unknown("lot", lot_id)
    return lot


async def claim_bond(
    handler: Handler,
    context: Context,
    grant_id: str,
    *,
    period_start: datetime | None = None,
    replacement_ids: Sequence[str] = (),
) -> Receipt:
    """Claim what the schedule grants for undelivered hours: of a settled period of a grant, or of its early end.

    The claim for resold hours is computed by the price that the buyer pays. The provider owes its part by what it is
    paid for them. The seller owes the rest, in a claim of its own, as far as what it posted and earned by the resale.

    The startup that pays for the grant claims, also where another one uses it. The holder of its equity that bears a
    part of the price may claim what the startup has not, in the last days of the time to claim.

    Args:
        handler: Runs the command.
        context: Who claims.
        grant_id: The grant.
        period_start: The start of the period, settled or disputed; None for the early end.
        replacement_ids: Grants that the startup bought instead; the holder names those of which it bears a part.

    Raises:
        Refusal: ``grant_unknown`` · ``wrong_side`` · ``parties_related`` · refusals of
            `marketplace.domain.billing.remedies`, of the statement and of the bond.
    """
    known = await UnitOfWork(handler.cache, context).load(GRANT, grant_id)
    bond_id = rename_id("bnd", grant_id if known is None else known.issued.provider_id)

    async def work(unit: UnitOfWork) -> None:
        grant = require_found("grant", grant_id, await unit.load(GRANT, grant_id))
        by = _find_claimant(context, grant)
        claims: list[str] = []
        refused: list[Refusal] = []
        named: dict[str, Any] = {"period_start": period_start, "replacement_ids": replacement_ids}
        for debtor in list_debtors(grant.issued):
            try:
                claims.append(await _claim(unit, grant, debtor, by=by, others=tuple(claims), **named))
            except Refusal as refusal:
                own = {"parties_related", "claim_late"} if debtor.is_seller else {"claim_early"}
                if refusal.code not in NOTHING | {"claim_exists"} | own:
                    raise
                refused.append(refusal)
        if not claims:
            raise refused[0]

    return await handler.run(context, BOND, bond_id, work)


async def _claim(
    unit: UnitOfWork,
    grant: Grant,
    debtor: Debtor,
    *,
    by: Literal["startup", "holder"],
    period_start: datetime | None,
    replacement_ids: Sequence[str],
    others: Sequence[str],
) -> str:
    """Claim what one debtor of a grant owes, its provider or its reseller; `others` are the claims just made."""
    issued, grant_id, at = grant.issued, grant.issued.grant_id, unit.context.at
    bond_id = rename_id("bnd", debtor.party_id)
    claimant_id = issued.startup_id if by == "startup" else str(unit.context.party_id)
    require_claimable(await unit.load(REGISTER, REGISTER_ID), claimant_id, debtor.party_id)
    bond = await unit.load(BOND, bond_id)
    made = list_end_claims(bond, grant_id, find_notice(grant))
    default, chain = await find_default(unit, grant, period_start, after=made[-1].made_at if made else None)
    require_time(limit_time(default, chain) if debtor.is_seller else default, by, at)
    require_answered(chain)
    settled = list_settled_claims(bond, grant_id, default.statement_id)
    reach_usd = await find_reach(unit, bond, grant, debtor)
    named: dict[str, Any] = {"replacement_ids": replacement_ids, "settled": settled, "reach_usd": reach_usd}
    computed = await _compute_claim(unit, grant, debtor, default, chain, **named)
    claimed = BondClaimed(
        bond_id=bond_id,
        party_id=debtor.party_id,
        claim_id=name_claim(
            grant_id, default.statement_id, len(made if not chain else settled), is_seller=debtor.is_seller
        ),
        startup_id=issued.startup_id,
        startup_account_id=issued.startup_account_id,
        grant_id=grant_id,
        statement_id=default.statement_id,
        lot_ids=debtor.lot_ids,
        made_at=at,
        answer_until=at + ANSWER_WITHIN,
        holder_id=find_holder_id(grant),
        reach_usd=reach_usd,
        by=by,
        **computed,
    )
    await unit.decide(BOND, bond_id, ClaimBond(bond_id=bond_id, claimed=claimed))
    if unit.list_events(BOND, bond_id):
        earlier = {*others, *(one.claimed.claim_id for one in settled)}
        await _use_replacements(unit, claimed, earlier, is_seller=debtor.is_seller)
        await keep_for_claims(unit, bond_id)
    return claimed.claim_id


def _find_claimant(context: Context, grant: Grant) -> Literal["startup", "holder"]:
    """Return the payer that claims; the platform does for the startup.

    Raises:
        Refusal: ``grant_unknown`` · ``wrong_side``.
    """
    grant_id, sides = grant.issued.grant_id, {**list_sides(grant), "startup": grant.issued.startup_id}
    holder_id = find_holder_id(grant)
    if holder_id is None:
        require_side(context, sides, ("startup",), "grant", grant_id)
        return "startup"
    sides["holder"] = holder_id
    require_side(context, sides, ("startup", "holder"), "grant", grant_id)
    return "startup" if context.party_id in {None, grant.issued.startup_id} else "holder"


async def _compute_claim(
    unit: UnitOfWork,
    grant: Grant,
    debtor: Debtor,
    default: Default,
    chain: Sequence[Statement],
    *,
    replacement_ids: Sequence[str],
    settled: Sequence[Claim],
    reach_usd: Decimal | None,
) -> dict[str, Any]:
    """Return the items of a claim, what was credited for them, what it comes to, and the holders' parts of that.

    What settled claims of the same period came to counts as credited.

    Raises:
        Refusal: ``hours_remedied`` · ``replacement_unfit`` · ``nothing_owed``; ``claim_exists`` if settled claims came
            to as much, also without what was named or delivered in place of the hours since.
    """
    credited_usd = await find_claim_credit(unit, grant, debtor, default, chain) + sum_counted(settled)
    bought = [await _load_replacement(unit, grant, default, one) for one in require_distinct(replacement_ids)]
    items = compute_items(grant, debtor, default, bought)
    if settled and min(_sum_items(items), await _find_again(unit, grant, debtor, default, settled)) <= credited_usd:
        raise refuse_claimed(settled[-1].claimed.claim_id)
    amount_usd = sum_claim(items, credited_usd, reach_usd)
    holders = list_holder_parts(grant, bought, items, amount_usd)
    return {"items": items, "credited_usd": credited_usd, "amount_usd": amount_usd, "holders": holders}


async def _find_again(
    unit: UnitOfWork, grant: Grant, debtor: Debtor, default: Default, settled: Sequence[Claim]
) -> Decimal:
    """Return what the hours of a period come to now, with the replacements of its settled claims as the last had them.

    A replacement that is named later, or delivered since, does not open what is settled.
    """
    made_at = settled[-1].claimed.made_at
    named = [item.replacement_id for claim in settled for item in claim.claimed.items]
    ids = dict.fromkeys(one for one in named if one is not None)
    bought = [await load_delivered(unit, await unit.get(GRANT, one), made_at) for one in ids]
    return _sum_items(compute_items(grant, debtor, default, bought))


def _sum_items(items: Sequence[ClaimItem]) -> Decimal:
    return sum((item.amount_usd for item in items), ZERO)


async def _use_replacements(
    unit: UnitOfWork, claimed: BondClaimed, earlier: AbstractSet[str], *, is_seller: bool
) -> None:
    """Record that each replacement counts for this claim, if it does not for an `earlier` one of the same period.

    Raises:
        Refusal: ``replacement_claimed`` if one counts for another claim already.
    """
    for grant_id in filter(None, (item.replacement_id for item in claimed.items)):
        record_id = derive_command_id("replacement", grant_id)
        used = await unit.load(COMMAND, record_id)
        if used is None or used.aggregate_id not in earlier:
            require_unclaimed(grant_id, None if used is None else used.aggregate_id)
            await _record(unit, record_id, claimed.claim_id)
        place_id = name_place(grant_id, is_seller=is_seller)
        if await unit.load(COMMAND, place_id) is None:
            await _record(unit, place_id, claimed.bond_id)


async def _record(unit: UnitOfWork, record_id: str, aggregate_id: str) -> None:
    record = RecordCommand(command_id=record_id, aggregate="bond", aggregate_id=aggregate_id, version=None)
    await unit.decide(COMMAND, record_id, record)


async def _load_replacement(unit: UnitOfWork, grant: Grant, default: Default, grant_id: str) -> Bought:
    bought = require_found("grant", grant_id, await unit.load(GRANT, grant_id))
    if unit.context.party_id not in {None, grant.issued.startup_id}:
        require_side(unit.context, {"holder": list_sides(bought)["holder"]}, ("holder",), "grant", grant_id)
    auction_id = bought.issued.auction_id
    auction = None if auction_id is None else await unit.get(AUCTION, auction_id)
    lost, order = [await unit.get(ORDER, each.issued.order_id) for each in (grant, bought)]
    purchase = Purchase(
        grant=bought,
        terms=order.terms,
        locked_at=None if auction is None else auction.opened.locks_at,
        is_contested=isinstance(auction, FrozenAuction) and await _is_contested(unit, bought, auction.locked.book),
    )
    require_replacement(grant, lost.terms, purchase, default)
    return await load_delivered(unit, bought, unit.context.at)


async def _is_contested(unit: UnitOfWork, bought: Grant, book: Book) -> bool:
    """Return whether the book of an auction has capacity of another provider for the order of a grant."""
    rows = (row for row in book.orders if row.order_id == bought.issued.order_id)
    for pool_id in dict.fromkeys(bid.pool_id for row in rows for bid in row.bids):
        if (await unit.get(POOL, pool_id)).opened.provider_id != bought.issued.provider_id:
            return True
    return False


async def answer_claim(
    handler: Handler, context: Context, bond_id: str, claim_id: str, *, amount_usd: Decimal | None, reason: str
) -> Receipt:
    """Answer a claim as its provider, or decide it as the platform. Without an amount, all of it is conceded or due.

    What the provider concedes is paid once the time for answers is over, 72 hours after the claim. The platform decides
    the rest; its silence settles the claim in the middle. Silence of the provider concedes the claim.

    Raises:
        Refusal: ``scope_missing`` · ``bond_unknown`` · refusals of the bond · ``limit_exceeded`` if one person concedes
            more than the account's limit.
    """
    require_decider(context)
    command = AnswerClaim(
        bond_id=bond_id,
        claim_id=claim_id,
        by="platform" if context.party_id is None else "provider",
        amount_usd=amount_usd,
        reason=reason,
        at=context.at,
    )
    return await _settle(handler, context, command)


async def lapse_claim(handler: Handler, context: Context, bond_id: str, claim_id: str) -> Receipt:
    """Settle a claim that its provider did not answer, or the platform did not decide, in time; pay what is due.

    Raises:
        Refusal: ``bond_unknown`` · ``claim_unknown`` · ``answer_not_due``, also until the provider has money again, if
            that instant is known.
    """
    command = AnswerClaim(
        bond_id=bond_id,
        claim_id=claim_id,
        by="silence",
        amount_usd=None,
        reason="nobody answered in time",
        at=context.at,
    )
    return await _settle(handler, context, command)


async def _settle(handler: Handler, context: Context, command: AnswerClaim) -> Receipt:
    bond_id = command.bond_id

    async def work(unit: UnitOfWork) -> None:
        bond = await unit.load(BOND, bond_id)
        require_owner(context, () if bond is None else (bond.party_id,), "bond", bond_id)
        claim = None if bond is None else bond.find(command.claim_id)
        most, money_usd, freed_at = None, ZERO, None
        if bond is not None and claim is not None:
            most = await find_most(unit, bond, claim.claimed)
            account = await unit.get(ACCOUNT, bond.account_id)
            causes = [one.claimed.claim_id for one in bond.claims]
            money_usd = bond.own_usd + account.count_free(context.at, causes)
            freed_at = account.find_freed(context.at, causes)
        decision = structs.replace(command, most_usd=most, money_usd=money_usd, freed_at=freed_at)
        after = (await unit.decide(BOND, bond_id, decision)).find(command.claim_id)
        if claim is not None and after is not None:
            await use_limit(unit, after.due_usd - claim.due_usd, context.command_id)
        await pay_claims(unit, bond_id)
        await keep_for_claims(unit, bond_id)

    return await handler.run(context, BOND, bond_id, work)


async def release_bond(handler: Handler, context: Context, bond_id: str, *, lot_id: str | None = None) -> Receipt:
    """Free the money of one part of a bond, of a lot or for all grants, once its term and the time for claims are over.

    Raises:
        Refusal: ``bond_unknown`` · ``party_suspended`` · refusals of the bond.
    """

    async def work(unit: UnitOfWork) -> None:
        await require_unfrozen(unit)
        before = await unit.load(BOND, bond_id)
        require_owner(context, () if before is None else (before.party_id,), "bond", bond_id)
        needed = None if lot_id is None else await _find_needed(unit, lot_id)
        command = ReleaseBond(bond_id=bond_id, lot_id=lot_id, at=context.at, needed_until=needed)
        bond = await unit.decide(BOND, bond_id, command)
        adjust = AdjustHold(
            account_id=bond.account_id,
            hold_id=bond.parts[lot_id].hold_id,
            amount_usd=Decimal(0),
            reason="the term of the bond and the time for claims are over",
        )
        await unit.decide(ACCOUNT, bond.account_id, adjust)

    return await handler.run(context, BOND, bond_id, work)


async def _find_needed(unit: UnitOfWork, lot_id: str) -> datetime | None:
    """Return until when a lot, or a grant on it, needs its bond; None if neither needs it or there is no such lot."""
    lot = await unit.load(LOT, lot_id)
    if lot is None:
        return None
    pool = await unit.get(POOL, lot.listed.pool_id)
    ends: list[datetime] = []
    for grant_id, reservation in pool.reservations.items():
        if any(share.lot_id == lot_id for share in reservation.lots):
            grant = await unit.load(GRANT, grant_id)
            ends.append(reservation.end if grant is None else find_last(grant))
    if lot.listed.grant_id is not None:
        source = await unit.get(GRANT, lot.listed.grant_id)
        sold = [await unit.get(GRANT, one.resale_grant_id) for one in source.resold if one.lot_id == lot_id]
        ends += map(find_last, sold)
    return find_needed(lot, ends)

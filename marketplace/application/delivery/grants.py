"""Grants: the begin of delivery, outages, stages, and early and regular ends."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from msgspec import structs

from events.grant import GrantIssued, Mark, Side
from events.statement import StatementCredited, StatementIssued
from marketplace.application.steps.access import (
    list_payers,
    load_grant,
    load_mandate,
    load_used,
    require_side,
    require_unfrozen,
)
from marketplace.application.steps.binding import require_lots_kept
from marketplace.application.steps.capacity import change_capacity
from marketplace.application.steps.claim_amounts import return_excess
from marketplace.application.steps.end_fees import find_covering, find_payable, free_sale_fee, list_causes
from marketplace.application.steps.make_whole import keep_make_whole
from marketplace.application.steps.paying import pay
from marketplace.application.steps.reductions import count_reduction
from marketplace.application.steps.resale_ends import check_unheld, withdraw_resales
from marketplace.application.steps.service_closing import close_service_lines
from marketplace.application.steps.service_review import review_service
from marketplace.application.steps.stages import collect, free_kept, is_undelivered, raise_hold, sum_deal
from marketplace.application.steps.statement_chain import find_chain
from marketplace.application.steps.statement_payment import (
    free_cut,
    keep_correctable,
    release_undelivered,
)
from marketplace.application.steps.succession import give_back, issue_successor, price_successor
from marketplace.application.steps.two_persons import use_limit
from marketplace.application.steps.usage_bounds import cap_usage, find_counted_end, limit_grant
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.intervals import require_aware
from marketplace.core.money import ZERO
from marketplace.core.timeline_sums import sum_all
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import CaptureHold, Debit
from marketplace.domain.billing.account_state import require_free
from marketplace.domain.billing.delivered import (
    count_delivered,
    delivers_again,
    find_silence,
    is_chronic,
    is_metered,
    is_silent,
    is_unanswered,
    was_idle,
)
from marketplace.domain.billing.remedies import compute_holder_part, find_payee
from marketplace.domain.billing.settlement import build_tariff, compute_totals
from marketplace.domain.billing.statement import Statement
from marketplace.domain.billing.statement_chain import (
    count_uncharged,
    list_correctable,
    require_grant_settled,
    require_reported,
    require_uncorrectable,
)
from marketplace.domain.delivery.cause import find_failing_since, find_few_time, is_lacking, list_unanswered
from marketplace.domain.delivery.grant import GRANT, Grant, require_user
from marketplace.domain.delivery.grant_commands import (
    ActivateGrant,
    CompleteGrant,
    DegradeGrant,
    MarkGrant,
    ResumeGrant,
    SuspendGrant,
    TerminateGrant,
    TransferGrant,
)
from marketplace.domain.delivery.grant_notice import ANSWERED_WITHIN, SILENT_AFTER
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.delivery.service_level import count_promised, count_unavailable, find_least
from marketplace.domain.delivery.substitution import build_successor, require_affordable
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.sale.liquidity import find_assumed
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.metering.usage import USAGE, name_usage
from marketplace.domain.metering.usage_commands import CloseUsage
from marketplace.domain.party import PARTY, is_suspended, require_trader
from marketplace.domain.refusals import require_found
from marketplace.domain.register import REGISTER, REGISTER_ID, require_unrelated
from marketplace.domain.supply.outages import BACKDATED_MAX
from marketplace.domain.supply.pool import POOL, Pool
from marketplace.domain.supply.pool_commands import ReleaseCapacity, ReserveCapacity
from marketplace.domain.supply.site import SITE, Site
from marketplace.domain.texts import shorten
from marketplace.domain.trading.resale import require_transferable
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def activate_grant(handler: Handler, context: Context, grant_id: str) -> Receipt:
    """Begin delivery, as the provider, at the grant's start or later.

    Raises:
        Refusal: ``grant_unknown`` · ``wrong_side`` · ``grant_<status>`` · ``grant_not_due``.
    """

    async def work(unit: UnitOfWork) -> None:
        await load_grant(unit, grant_id, "provider")
        await unit.decide(GRANT, grant_id, ActivateGrant(grant_id=grant_id, at=context.at))

    return await handler.run(context, GRANT, grant_id, work)


async def degrade_grant(
    handler: Handler,
    context: Context,
    grant_id: str,
    *,
    nodes_available: int,
    at: datetime,
    reason: str,
    until: datetime | None = None,
    follows_pool: bool = False,
) -> Receipt:
    """Report, as the provider, that fewer nodes work, or that fewer worked over a span that is past.

    `follows_pool` says that the market's worker derives it from the pool and its site.

    Raises:
        Refusal: ``grant_unknown`` · ``wrong_side`` · refusals of the grant · ``limit_exceeded`` if one person alone
            takes more off what counts than the account's limit.
    """
    command = DegradeGrant(
        grant_id=grant_id,
        nodes_available=nodes_available,
        at=at,
        reason=reason,
        reported_at=context.at,
        until=until,
        is_ordered=context.party_id is None,
        follows_pool=follows_pool,
    )

    async def work(unit: UnitOfWork) -> None:
        grant = await load_grant(unit, grant_id, "provider")
        is_silent = grant.is_silenced and await _is_unanswered(unit, grant, nodes_available)
        await unit.decide(GRANT, grant_id, structs.replace(command, is_silent=is_silent))
        await count_reduction(unit, grant_id)

    return await handler.run(context, GRANT, grant_id, work)


async def _is_unanswered(unit: UnitOfWork, grant: Grant, nodes: int) -> bool:
    """Return whether the provider's meter hardly counted so many nodes of late, whatever the startup reported."""
    usage, at = await unit.load(USAGE, name_usage(grant.issued.grant_id)), unit.context.at
    return is_unanswered(usage, grant, nodes, at - SILENT_AFTER, at)


async def suspend_grant(handler: Handler, context: Context, grant_id: str, *, at: datetime, reason: str) -> Receipt:
    """Report, as the provider, that no node works since `at`.

    The startup that pays for the grant or uses it reports it too, while the provider's meter has counted too little
    (`is_silent`) for `SILENT_AFTER`, for half of which nodes were to work, so that it could count them. Its report
    counts from now on, or from the grant's start if the meter counted nearly nothing since and the first period is not
    over. The provider answers by readings and then `resume_grant`; if it lets its time pass, that is cause.

    Raises:
        Refusal: As `degrade_grant` · for the startup ``grant_not_due`` and ``capacity_delivered``.
    """

    async def work(unit: UnitOfWork) -> None:
        grant = require_found("grant", grant_id, await unit.load(GRANT, grant_id))
        require_side(context, list_payers(grant), ("provider", "startup", "user"), "grant", grant_id)
        command = SuspendGrant(grant_id=grant_id, at=at, reason=reason, reported_at=context.at)
        if _find_side(context, grant) == "startup":
            usage = await unit.load(USAGE, name_usage(grant_id))
            span = (context.at - SILENT_AFTER, context.at)
            silent = is_silent(usage, grant, *span) and not was_idle(grant, *span)
            since = find_silence(usage, grant, context.at)
            command = structs.replace(command, at=since, by="startup", is_silent=silent)
        await unit.decide(GRANT, grant_id, command)
        await count_reduction(unit, grant_id)

    return await handler.run(context, GRANT, grant_id, work)


async def resume_grant(handler: Handler, context: Context, grant_id: str, *, at: datetime) -> Receipt:
    """Report, as the provider, that all nodes work since `at`. Only the platform dates that back by more than an hour.

    What the startup reported is answered once the provider's meter counts again, and is dated back as far as it did.
    Only the platform does so while nodes of the pool that the grant needs have failed, or have no power.

    Raises:
        Refusal: As `degrade_grant`.
    """

    async def work(unit: UnitOfWork) -> None:
        grant = await load_grant(unit, grant_id, "provider")
        pool, site = await _load_place(unit, grant)
        command = ResumeGrant(
            grant_id=grant_id,
            at=at,
            reported_at=context.at,
            is_ordered=context.party_id is None,
            is_lacking=is_lacking(grant, pool, site, context.at),
        )
        if grant.is_silenced:
            require_aware(at, "/at")
            metered = is_metered(await unit.load(USAGE, name_usage(grant_id)), grant, at, context.at - BACKDATED_MAX)
            is_silent = await _is_unanswered(unit, grant, grant.issued.nodes)
            command = structs.replace(command, is_silent=is_silent, is_metered=metered)
        await unit.decide(GRANT, grant_id, command)
        await count_reduction(unit, grant_id)

    return await handler.run(context, GRANT, grant_id, work)


async def transfer_grant(
    handler: Handler, context: Context, grant_id: str, *, startup_id: str, auction_ids: Sequence[str] = ()
) -> Receipt:
    """Let another cleared startup use the capacity, as the one that uses it. Payment and equity stay with the first.

    Refused if a mandate pays a part and allows no resale, or if the other startup is related to the provider. Who pays
    names another user, or itself, while the platform suspends the one that uses it by transfer.
    `auction_ids`, here and in `terminate_grant`, are the auctions that are not completed.

    Raises:
        Refusal: ``grant_unknown`` · refusals of the party · ``parties_related`` · ``transfer_unwelcome`` ·
            ``resale_held`` · ``lot_frozen`` · refusals of the grant · ``limit_exceeded`` if the startup goes on paying
            more for the other's use than one person alone may let go.
    """

    async def work(unit: UnitOfWork) -> None:
        grant = await load_used(unit, grant_id)
        await require_unfrozen(unit)
        user = await unit.load(PARTY, grant.startup_id)
        require_user(grant, context.party_id, user_suspended=is_suspended(user))
        require_trader(await unit.load(PARTY, startup_id), startup_id, "startup")
        require_unrelated(await unit.load(REGISTER, REGISTER_ID), startup_id, grant.issued.provider_id)
        equity = grant.issued.equity
        if equity is not None and startup_id != grant.issued.startup_id:
            require_transferable(await load_mandate(unit, equity.mandate_id), grant_id)
        await check_unheld(unit, grant.pool_id, grant_id)
        await _keep_resales(unit, grant, auction_ids)
        await withdraw_resales(unit, grant.pool_id, grant_id, "another startup uses the grant")
        await unit.decide(GRANT, grant_id, TransferGrant(grant_id=grant_id, startup_id=startup_id))
        account = await unit.load(ACCOUNT, grant.issued.startup_account_id)
        hold = None if account is None else account.holds.get(grant.issued.hold_id)
        left = compute_totals(build_tariff(grant.issued), grant.count_left(context.at))
        cash_usd = left.startup_usd if hold is None else max(left.startup_usd, hold.left_usd)
        await use_limit(unit, cash_usd + left.principal_usd, context.command_id)

    return await handler.run(context, GRANT, grant_id, work)


async def terminate_grant(
    handler: Handler,
    context: Context,
    grant_id: str,
    *,
    at: datetime,
    reason: str,
    by: Side = "platform",
    for_cause: bool = False,
    announced_at: datetime | None = None,
    auction_ids: Sequence[str] = (),
) -> Receipt:
    """End a grant early, now or later, and free its nodes. What was delivered is still stated and settled.

    If meters or time sheets already counted beyond that instant, the grant ends at the last instant that they counted.
    If nothing was delivered, everything that was set aside is freed at once; otherwise what was set aside for the hours
    that are cut, less a fee that is paid from it.
    Until a grant's end, a further end may bring it forward.

    The event records which side ended the grant and when notice was given: a tenant's command states its own side, any
    other states `by`. A tenant must keep the notice period of the grant's terms unless it has cause (`require_cause`).
    Without cause, a startup cannot end capacity that others hold quotes on, and neither side can end capacity whose
    resale an auction has frozen. The side that ends the grant pays the other side the fee of the grant's end terms from
    its available money. So a startup that uses a grant by transfer ends it for cause alone. If the platform ends it for
    a side, as at a pool's closing, that side pays what it has free. `announced_at` is when that was announced.

    Raises:
        Refusal: ``time_naive`` · ``grant_unknown`` · ``wrong_side`` · ``lot_frozen`` · ``resale_held`` ·
            refusals of the grant · with a fee ``party_suspended``, ``limit_exceeded``,
            ``funds_insufficient`` and ``funds_reserved``.
    """
    require_aware(at, "/at")

    async def work(unit: UnitOfWork) -> None:
        grant = require_found("grant", grant_id, await unit.load(GRANT, grant_id))
        allowed = ("startup", "provider", *(("user",) if for_cause else ()))
        require_side(context, list_payers(grant), allowed, "grant", grant_id)
        if not for_cause:
            await _keep_resales(unit, grant, auction_ids)
        returns = not for_cause and await _is_returned(unit, grant, at, reason, by=by)
        await _terminate(
            unit, grant, at, reason, by=by, for_cause=for_cause, announced_at=announced_at, returns=returns
        )

    return await handler.run(context, GRANT, grant_id, work)


async def _is_returned(unit: UnitOfWork, grant: Grant, at: datetime, reason: str, *, by: Side) -> bool:
    """Return whether resold hours that their buyer gives up go back to their seller, which can pay for them.

    A seller that pays a part in equity sold them for good: their budget and principal are free since then. One that
    ended its own grant, perhaps for cause, is not made to buy from that provider again.
    """
    resale = grant.issued.resale
    if resale is None or (_find_side(unit.context, grant) or by) != "startup":
        return False
    source = await unit.get(GRANT, resale.grant_id)
    if source.issued.equity is not None or any(ended.by == "startup" for ended in source.terminations):
        return False
    for _ in range(2):
        trial = unit.branch()
        try:
            await _terminate(trial, grant, at, reason, by=by, returns=True)
        except Refusal:
            await trial.refresh()  # What this process read of the seller may be behind the log.
        else:
            return True
    return False


async def _keep_resales(unit: UnitOfWork, grant: Grant, auction_ids: Sequence[str]) -> None:
    """Refuse a tenant's act that would withdraw resale offers of a grant that an auction has frozen.

    Raises:
        Refusal: ``lot_frozen``.
    """
    if unit.context.party_id is None:
        return
    pool = await unit.get(POOL, grant.pool_id)
    await require_lots_kept(unit, pool.list_resales(grant.issued.grant_id), auction_ids)


async def pay_stage(handler: Handler, context: Context, grant_id: str) -> Receipt:
    """Set aside the cash of a staged grant's next stage, or of all that have begun, as the startup that pays for it.

    Delivery that was withheld begins again, and the withheld hours are paid as damages.

    Raises:
        Refusal: ``grant_unknown`` · ``wrong_side`` · ``party_suspended`` · ``grant_<status>`` · ``grant_prepaid`` ·
            ``stages_paid`` · ``account_closed`` · ``funds_insufficient`` · ``funds_reserved``.
    """

    async def work(unit: UnitOfWork) -> None:
        grant = require_found("grant", grant_id, await unit.load(GRANT, grant_id))
        require_side(context, list_payers(grant), ("startup",), "grant", grant_id)
        await require_unfrozen(unit)
        await collect(unit, grant, is_asked=True)

    return await handler.run(context, GRANT, grant_id, work)


async def collect_stage(handler: Handler, context: Context, grant_id: str) -> Receipt:
    """Set aside what a staged grant needs by now. If money is missing, withhold delivery, and later end the grant.

    Raises:
        Refusal: ``grant_unknown`` · ``grant_prepaid`` · refusals of the grant's end.
    """

    async def work(unit: UnitOfWork) -> None:
        grant = await load_grant(unit, grant_id, "provider")
        is_silent, after = await is_undelivered(unit, grant), await collect(unit, grant)
        was_withheld = grant.withheld is not None and after.withheld is None
        if was_withheld and not after.withholdings[-1].is_paid and context.at < after.end:
            since = after.withholdings[-1].since
            by: Side = "platform" if is_silent else "startup"  # who got nothing owes no fee
            await _terminate(unit, after, context.at, "a stage was not paid", by=by, noticed_at=since)

    return await handler.run(context, GRANT, grant_id, work)


async def _terminate(
    unit: UnitOfWork,
    grant: Grant,
    at: datetime,
    reason: str,
    *,
    by: Side,
    for_cause: bool = False,
    noticed_at: datetime | None = None,
    announced_at: datetime | None = None,
    returns: bool = False,
) -> Grant:
    """Decide the end of a grant and what it frees, and return the grant after it. Without `noticed_at`, notice is now.

    `returns` gives resold hours back to their seller.

    A grant that ends no later already is returned as it is, and no further fee is paid.
    """
    context, grant_id = unit.context, grant.issued.grant_id
    payer = await unit.load(PARTY, grant.issued.startup_id)
    side = _find_side(context, grant)
    if side == "startup" and not for_cause:
        await check_unheld(unit, grant.pool_id, grant_id)
    command = TerminateGrant(
        grant_id=grant_id,
        at=await find_counted_end(unit, grant, max(at, context.at)),
        by=side or by,
        noticed_at=noticed_at or context.at,
        reason=reason,
        for_cause=for_cause,
        startup_suspended=is_suspended(payer),
        provider_suspended=is_suspended(await unit.load(PARTY, grant.issued.provider_id)),
        announced_at=announced_at,
        is_ordered=context.party_id is None,
        payable_usd=await _find_payable(unit, grant, side or by),
        deal_usd=Fraction(0) if for_cause or (side or by) == "platform" else await sum_deal(unit, grant),
        returned_grant_id=derive_id("grt", grant_id, "returned") if returns else None,
        seller_usd=await _find_added(unit, grant),
    )
    if for_cause:
        command = await _find_cause(unit, grant, command, at)
    after = await unit.decide(GRANT, grant_id, command)
    if after.end == grant.end:
        return after
    await withdraw_resales(unit, grant.pool_id, grant_id, "the grant was terminated")
    if after.withheld is not None and after.end <= context.at:
        after = await collect(unit, after)
    await limit_grant(unit, after)
    fee_usd = await _pay_end_fee(unit, after, command.by, grant.gpu_seconds_ended)
    await keep_make_whole(unit, after)
    await _free_ended(unit, after, grant.gpu_seconds_ended, fee_usd)
    if command.returned_grant_id is not None:
        await give_back(unit, grant, after, command.returned_grant_id)
    else:
        nodes = grant.issued.nodes if command.by == "startup" else None
        release = ReleaseCapacity(pool_id=grant.pool_id, grant_id=grant_id, at=after.end, nodes=nodes)
        await change_capacity(unit, release)
    return after


async def _find_cause(unit: UnitOfWork, grant: Grant, command: TerminateGrant, at: datetime) -> TerminateGrant:
    """Return the command for an end at an instant with what may be its cause."""
    grant_id, failing_since = grant.issued.grant_id, await _find_failing_since(unit, grant)
    put_off = (await unit.get(POOL, grant.pool_id)).put_off
    before = await _list_unanswered(unit, grant)
    return structs.replace(
        command,
        is_late=await _is_late(unit, grant),
        failing_since=failing_since,
        failed_before=before,
        few_until=find_few_time(grant, failing_since or grant.failing_since, before),
        is_chronic=is_chronic(await unit.load(USAGE, name_usage(grant_id)), grant, unit.context.at),
        is_repaired=grant.failing_since is not None and failing_since is None,
        nodes_uncharged=await _count_uncharged(unit, grant),
        is_put_off=command.by == "startup" and put_off.get(grant_id) == at >= unit.context.at,
    )


async def _free_ended(unit: UnitOfWork, after: Grant, ended_before: int, fee_usd: Decimal) -> None:
    """Free what was set aside for the hours that an early end cuts; all of it if there is nothing to state."""
    if not list_periods(after):
        await close_service_lines(unit, after, "the grant was terminated")
        await release_undelivered(unit, after, ZERO, "the grant was terminated")
    else:  # its statements may be in dispute for long; those of a grant on credit may stay unpaid for ever
        await free_cut(unit, after, ended_before, fee_usd, "the grant was terminated")


async def _is_late(unit: UnitOfWork, grant: Grant) -> bool:
    """Return whether the conversion of a grant's site is to be ready too long after the grant's start."""
    _, site = await _load_place(unit, grant)
    if site.status != "converting" or site.ready_at is None:
        return False
    return site.ready_at - grant.issued.start > ANSWERED_WITHIN


async def _count_uncharged(unit: UnitOfWork, grant: Grant) -> int:
    """Return how many nodes the last settled statement of a grant does not charge; 0 if it charges enough.

    It counts once the time to answer it is over, whoever accepted it, and until the provider's meter counts again.
    """
    at, day = unit.context.at, grant.count_span(grant.end - ANSWERED_WITHIN, grant.end)
    for period in reversed(list_periods(grant)):
        chain = await find_chain(unit, period)
        first = chain[0].issued if chain and chain[0].status == "accepted" else None
        if not isinstance(first, StatementIssued) or at < first.accept_until:
            continue
        usage = await unit.load(USAGE, name_usage(grant.issued.grant_id))
        # An open adjustment counts in full, so a small one delays nothing.
        uncharged = count_uncharged(chain, grant.issued.nodes, day, find_least(grant, period.start, period.end))
        return 0 if delivers_again(usage, grant, period.end, at) else uncharged
    return 0


async def _find_failing_since(unit: UnitOfWork, grant: Grant) -> datetime | None:
    """Return since when a grant's provider could answer for the failures that last now; None if none lasts."""
    return find_failing_since(grant, *await _load_place(unit, grant), unit.context.at)


async def _load_place(unit: UnitOfWork, grant: Grant) -> tuple[Pool, Site]:
    """Load the pool of a grant, and its site."""
    pool = await unit.get(POOL, grant.pool_id)
    return pool, await unit.get(SITE, pool.opened.site_id)


async def _list_unanswered(unit: UnitOfWork, grant: Grant) -> tuple[tuple[datetime, datetime], ...]:
    pools = [await unit.get(POOL, pool_id) for pool_id in sorted(grant.pools_before | {grant.pool_id})]
    return tuple(list_unanswered(grant, pools))


async def _pay_end_fee(unit: UnitOfWork, grant: Grant, by: Side, ended_before: int) -> Decimal:
    """Pay the fee of an early end: a startup from the grant's hold, if what that keeps for undelivered hours covers it.

    Returns what was paid from the hold. `ended_before` is the GPU-seconds that earlier ends cut.
    The holder of the equity gets its part of a provider's fee, and the seller of resold capacity what the event states.
    What an account keeps for others pays no fee, except what a provider keeps for the fees of a pool that closes.

    Raises:
        Refusal: ``party_suspended`` · ``limit_exceeded`` · ``funds_insufficient`` · ``funds_reserved``.
    """
    issued, ended, resale = grant.issued, grant.terminations[-1], grant.issued.resale
    number = len(grant.terminations) - 1
    cause = derive_id("end", issued.grant_id, str(number)) if number else issued.grant_id
    (payer_id, _), covered = _find_sides(grant, by), False
    if ended.fee_usd:
        await require_unfrozen(unit)
        await use_limit(unit, ended.fee_usd, derive_id("cmd", unit.context.command_id, issued.grant_id))
        covered = by == "startup" and await _covers_fee(unit, grant, ended.fee_usd, ended_before)
        if not covered:
            account = await unit.get(ACCOUNT, payer_id)
            require_free(payer_id, account, ended.fee_usd, unit.context.at, list_causes(grant))
        for payee_id, amount_usd in _divide_fee(grant, by):
            fee = Debit(account_id=payer_id, amount_usd=amount_usd, payee_account_id=payee_id, cause=cause)
            await pay(unit, _capture(fee, issued.hold_id) if covered else fee)
    if resale is not None:
        added = Debit(
            account_id=resale.seller_account_id,
            amount_usd=ended.reseller_pays_usd,
            payee_account_id=issued.provider_account_id,
            cause=cause,
        )
        await pay(unit, _capture(added, resale.hold_id))
    return ended.fee_usd if covered else ZERO


def _capture(payment: Debit, hold_id: str) -> CaptureHold:
    """Return a payment from a hold in place of available money."""
    return CaptureHold(
        account_id=payment.account_id,
        hold_id=hold_id,
        amount_usd=payment.amount_usd,
        payee_account_id=payment.payee_account_id,
        cause=payment.cause,
    )


async def _covers_fee(unit: UnitOfWork, grant: Grant, fee_usd: Decimal, ended_before: int) -> bool:
    """Return whether what a grant's hold keeps for undelivered hours covers the fee of its startup's early end.

    A hold for stages is raised first, from free money, if it keeps too little.

    Raises:
        Refusal: ``funds_insufficient`` · ``funds_reserved``.
    """
    issued, payer_id = grant.issued, grant.issued.startup_account_id
    covering_usd = await find_covering(unit, grant, fee_usd, ended_before)
    if issued.stages is not None and fee_usd > covering_usd:
        missing_usd, account = fee_usd - covering_usd, await unit.get(ACCOUNT, payer_id)
        require_free(payer_id, account, missing_usd, unit.context.at, list_causes(grant))
        await raise_hold(unit, grant, missing_usd, "the fee of the early end")
        return True
    return fee_usd <= covering_usd


def _divide_fee(grant: Grant, by: Side) -> list[tuple[str, Decimal]]:
    """Return the accounts that get the fee of a grant's last early end, each with its part in US dollars."""
    ended, resale = grant.terminations[-1], grant.issued.resale
    rest_usd = ended.fee_usd - ended.reseller_receives_usd
    equity = find_payee(grant) if by == "provider" else None
    part_usd = ZERO if equity is None else compute_holder_part(grant, rest_usd)
    parts = [(_find_sides(grant, by)[1], rest_usd - part_usd)]
    if equity is not None:
        parts.append((str(equity.holder_account_id), part_usd))
    if resale is not None:
        parts.append((resale.seller_account_id, ended.reseller_receives_usd))
    return parts


async def _find_added(unit: UnitOfWork, grant: Grant) -> Decimal:
    """Return what is set aside of the money of a seller that pays a part of the price of resold capacity."""
    resale = grant.issued.resale
    if resale is None:
        return ZERO
    account = await unit.reload(ACCOUNT, resale.seller_account_id)
    return account.holds[resale.hold_id].left_usd if account is not None and resale.commitment_usd else ZERO


def _find_sides(grant: Grant, by: Side) -> tuple[str, str]:
    """Return the accounts of the side that ends a grant, and of the other one."""
    issued = grant.issued
    sides = (issued.startup_account_id, issued.provider_account_id)
    return sides if by == "startup" else sides[::-1]


async def _find_payable(unit: UnitOfWork, grant: Grant, by: Side) -> Decimal | None:
    """Return the USD that the side for which the platform ends a grant can pay; None if a party ends it itself."""
    if unit.context.party_id is not None:
        return None
    if by == "startup":
        return await find_payable(unit, grant)
    account = await unit.load(ACCOUNT, _find_sides(grant, by)[0])
    return ZERO if account is None else account.count_free(unit.context.at, list_causes(grant))


async def end_sold_grant(handler: Handler, context: Context, grant_id: str) -> Receipt:
    """End a grant that a sold startup paid for in equity. A buyer that assumed the grants gets a new one for the rest.

    The buyer pays the whole price in cash, from a hold of its own. If it cannot, or assumed nothing, the capacity is
    released for sale, or given back to its reseller, and the startup's money pays the fee of an early end without
    notice.

    Raises:
        Refusal: ``grant_unknown`` · refusals of the grant.
    """

    async def work(unit: UnitOfWork) -> None:
        grant = await load_grant(unit, grant_id, "provider")
        reason = "the startup was sold"
        try:
            await _hand_over(unit.branch(), grant, reason)
        except Refusal as refusal:
            reason = shorten(f"{reason}, and its buyer cannot take the grant over: {refusal.message}")
            await _leave(unit, grant, reason)
        else:
            await _hand_over(unit, grant, reason)
        await free_sale_fee(unit, grant)

    return await handler.run(context, GRANT, grant_id, work)


async def _hand_over(unit: UnitOfWork, grant: Grant, reason: str) -> None:
    """End a sold startup's grant. If a buyer assumed the startup's grants, issue one to the buyer for the rest.

    Raises:
        Refusal: Refusals of the grant · of the buyer, the pool, the site and the account.
    """
    grant_id, startup_id = grant.issued.grant_id, grant.issued.startup_id
    held = (await unit.get(POOL, grant.pool_id)).reservations.get(grant_id)
    assumed = find_assumed(await unit.get(ISSUER, rename_id("iss", startup_id), Issuer))
    most = {} if assumed is None else {each.grant_id: each.cash_usd_max for each in assumed.grants}
    if assumed is None or grant_id not in most:
        await _leave(unit, grant, reason)
    else:
        after = await _terminate(unit, grant, unit.context.at, reason, by="platform")
        new_id = derive_id("grt", grant_id, "assumed")
        shares = () if held is None else held.lots
        successor = build_successor(grant, new_id, rename_id("pty", assumed.issuer_id), after.end, shares)
        if successor is not None:
            await _assume(unit, successor, most[grant_id])


async def _leave(unit: UnitOfWork, grant: Grant, reason: str) -> None:
    """End a grant of a sold startup as if that had ended it now. Resold hours go back to their seller."""
    returns = await _is_returned(unit, grant, unit.context.at, reason, by="startup")
    await _terminate(unit, grant, unit.context.at, reason, by="startup", returns=returns)


async def _assume(unit: UnitOfWork, successor: GrantIssued, cash_usd_max: Decimal) -> None:
    """Issue the grant of a buyer, with its nodes and its cash set aside.

    Raises:
        Refusal: ``assumed_exceeded`` if it costs more than the buyer agreed to · refusals of the buyer, the pool, the
            site and the account.
    """
    require_affordable(successor.grant_id, price_successor(successor), cash_usd_max)
    reserve = ReserveCapacity(
        pool_id=successor.pool_id,
        grant_id=successor.grant_id,
        nodes=successor.nodes,
        start=successor.start,
        end=successor.end,
        lots=successor.lots,
    )
    await issue_successor(unit, successor, reserve)


def _find_side(context: Context, grant: Grant) -> Side | None:
    """Return the side of the calling tenant; None for the platform."""
    if context.party_id is None:
        return None
    return "provider" if context.party_id == grant.issued.provider_id else "startup"


async def mark_grant(
    handler: Handler, context: Context, grant_id: str, *, mark: Mark, relation_id: str, reason: str
) -> Receipt:
    """Mark a grant whose parties were found to be related after its award. Callers are the market's own processes."""

    async def work(unit: UnitOfWork) -> None:
        command = MarkGrant(grant_id=grant_id, mark=mark, relation_id=relation_id, reason=reason)
        await unit.decide(GRANT, grant_id, command)

    return await handler.run(context, GRANT, grant_id, work)


async def finish_grant(handler: Handler, context: Context, grant_id: str) -> Receipt:
    """Complete a grant that is over, or close a terminated one, once all its statements are settled.

    Raises:
        Refusal: ``grant_unknown`` · ``grant_not_due`` · ``statements_open``.
    """

    async def work(unit: UnitOfWork) -> None:
        grant = await load_grant(unit, grant_id, "provider")
        settled = await _sum_settled(unit, grant)
        require_uncorrectable(grant_id, settled.correctable)
        if grant.status != "terminated":
            command = CompleteGrant(grant_id=grant_id, gpu_seconds_accepted=settled.gpu_seconds, at=context.at)
            await unit.decide(GRANT, grant_id, command)
        await withdraw_resales(unit, grant.pool_id, grant_id, "the grant ended")
        usage_id = name_usage(grant_id)
        await unit.decide(USAGE, usage_id, CloseUsage(usage_id=usage_id, grant_id=grant_id))
        await close_service_lines(unit, grant, "the grant ended")
        await release_undelivered(unit, grant, settled.holder_paid_usd, "the grant ended")
        await return_excess(unit, grant, grant_id)
        await free_kept(unit, grant)

    return await handler.run(context, GRANT, grant_id, work)


class Settled(NamedTuple):
    """What the settled statements of a grant come to, and the credits whose readings may still be corrected up."""

    gpu_seconds: int
    holder_paid_usd: Decimal
    correctable: list[StatementCredited]


async def _sum_settled(unit: UnitOfWork, grant: Grant) -> Settled:
    """Return what the statements of a grant come to.

    Raises:
        Refusal: ``statements_open`` unless all are settled.
    """
    gpu_seconds, holder_paid_usd, correctable = 0, ZERO, list[StatementCredited]()
    missing: list[tuple[list[Statement], int]] = []
    grant_id = grant.issued.grant_id
    usage = await unit.load(USAGE, name_usage(grant_id))
    for period in list_periods(grant):
        chain = await find_chain(unit, period)
        metered = count_delivered(usage, grant, period.start, period.end)
        stated = chain[-1].service if chain else None
        service = await review_service(unit, grant, period, metered, stated)
        require_grant_settled(grant_id, period, chain, metered, service)
        worked = count_promised(grant, period.start, period.end) - count_unavailable(grant, period.start, period.end)
        missing.append((chain, worked - metered))
        gpu_seconds += sum(known.sign * known.charges.gpu_seconds for known in chain)
        holder_paid_usd += sum(known.sign * known.net.holder_usd for known in chain)
        correctable += list_correctable(chain, unit.context.at)
    for chain, left in [] if correctable else missing:  # What was lowered bounds what may still be counted.
        require_reported(grant_id, chain, left, unit.context.at)
    return Settled(gpu_seconds, holder_paid_usd, correctable)


async def free_settled(handler: Handler, context: Context, grant_id: str) -> Receipt:
    """Free what was set aside for a grant that is open only because lowered readings may be corrected up.

    What these readings could cost stays set aside, and nothing more may be metered. So a provider keeps no money of its
    startup, or of a fund, by correcting a second of a reading. Nothing is freed of resold capacity, whose seller pays a
    part, or while a startup's report of silence is open, which readings may lift.

    Raises:
        Refusal: ``grant_unknown`` · ``statements_open``.
    """

    async def work(unit: UnitOfWork) -> None:
        grant = await load_grant(unit, grant_id, "provider")
        usage_id = name_usage(grant_id)
        usage = await unit.load(USAGE, usage_id)
        if usage.closed or context.at < grant.end or grant.is_silenced or grant.issued.resale is not None:
            return
        settled = await _sum_settled(unit, grant)
        lowered = [each.charges for each in settled.correctable]
        limit = None if usage.limits is None else usage.limits.gpu_seconds_max
        if not lowered or limit is not None:
            return
        most = sum_all(usage.timeline) + sum(each.gpu_seconds for each in lowered)
        await cap_usage(unit, grant, most)
        await keep_correctable(unit, grant, settled.holder_paid_usd, lowered)

    return await handler.run(context, GRANT, grant_id, work)

"""A startup shortens or moves a grant whose site is late, without its provider's consent, in one atomic append."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import structs

from events.grant import Choice
from events.types import LotShare
from marketplace.application.steps.access import list_payers, load_mandate, require_side, require_unfrozen
from marketplace.application.steps.binding import require_lots_kept
from marketplace.application.steps.capacity import change_capacity
from marketplace.application.steps.make_whole import keep_make_whole
from marketplace.application.steps.resale_ends import check_unheld, withdraw_resales
from marketplace.application.steps.statement_payment import free_equity
from marketplace.application.steps.usage_bounds import limit_grant
from marketplace.core.ids import derive_id
from marketplace.core.intervals import overlaps
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import AdjustHold
from marketplace.domain.billing.account_state import get_hold
from marketplace.domain.billing.delivered import require_undelivered
from marketplace.domain.billing.settlement import Totals, build_tariff, compute_totals
from marketplace.domain.billing.stages import compute_needed
from marketplace.domain.delivery.cause import find_evidence_answer
from marketplace.domain.delivery.grant import GRANT, Grant, find_new_span
from marketplace.domain.delivery.grant_commands import RescheduleGrant
from marketplace.domain.delivery.periods import require_unstated
from marketplace.domain.delivery.rescheduling import find_kept_until
from marketplace.domain.delivery.substitution import build_further_shares
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.instrument.terms import require_lasting
from marketplace.domain.metering.usage import USAGE, name_usage
from marketplace.domain.refusals import require_found
from marketplace.domain.supply.lot import LOT
from marketplace.domain.supply.pool import POOL
from marketplace.domain.supply.pool_commands import ShiftCapacity
from marketplace.domain.supply.site import SITE
from marketplace.domain.trading.mandate_rules import require_move
from marketplace.domain.trading.order_terms import NOTE_TAIL
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def reschedule_grant(
    handler: Handler,
    context: Context,
    grant_id: str,
    *,
    choice: Choice,
    start: datetime | None = None,
    auction_ids: Sequence[str] = (),
) -> Receipt:
    """Shorten a grant that cannot begin to the hours after its site is ready, or move it, as the startup that pays.

    Who uses it by transfer may not: the choice gives up hours that the payer pays for, or the damages for them.

    A shortened grant keeps its end. What was set aside for the hours taken off is freed, and its account keeps the
    make-whole for those beyond the cure time. A moved grant has the same length and price, on what its lots have not
    sold, from `start` on or as soon as the site is ready. The hours that it gives up so are sold to nobody else: if the
    site is in time after all, it may move back. Of `auction_ids`, the auctions that are not completed, none
    may have frozen a lot of the grant, a lot of its pool in the new hours, or a resale of the grant.

    Raises:
        Refusal: ``grant_unknown`` · ``wrong_side`` · ``party_suspended`` · refusals of the grant · ``period_over`` ·
            ``capacity_delivered`` · ``mandate_revoked`` · ``mandate_expired`` · ``note_too_short`` ·
            ``warrant_too_short`` · ``resale_held`` · ``lot_frozen`` · ``hours_taken`` · refusals of the pool and
            of the site.
    """

    async def work(unit: UnitOfWork) -> None:
        grant = require_found("grant", grant_id, await unit.load(GRANT, grant_id))
        require_side(context, list_payers(grant), ("startup",), "grant", grant_id)
        await require_unfrozen(unit)
        command = await _build(unit, grant, choice, start)
        begin, end = find_new_span(command, grant)
        await _check_undelivered(unit, grant)
        if choice == "moved" and grant.issued.equity is not None:
            mandate = await load_mandate(unit, grant.issued.equity.mandate_id)
            require_move(mandate.asked, grant.issued.start, begin)
            instrument = await unit.get(INSTRUMENT, grant.issued.equity.instrument_id)
            require_lasting(instrument.terms, end + NOTE_TAIL, "/start")
        await _take_off_sale(unit, grant, auction_ids)
        lots = await _shift(unit, grant, command, (begin, end), auction_ids)
        left = compute_totals(build_tariff(grant.issued), grant.count_own(begin, end))
        has_equity = grant.issued.equity is not None
        command = structs.replace(
            command,
            lots=lots,
            cash_commitment_usd=left.startup_usd,
            principal_commitment_usd=left.principal_usd if has_equity else ZERO,
            budget_commitment_usd=left.holder_usd if has_equity else ZERO,
        )
        after = await unit.decide(GRANT, grant_id, command)
        await limit_grant(unit, after)
        await _free_cut(unit, grant, after, left)

    return await handler.run(context, GRANT, grant_id, work)


async def _build(unit: UnitOfWork, grant: Grant, choice: Choice, start: datetime | None) -> RescheduleGrant:
    """Return the command, with what its decision reads of the grant's pools and site."""
    places = (grant.pool_id, *sorted(grant.pools_before - {grant.pool_id}))
    pools = [await unit.get(POOL, pool_id) for pool_id in places]
    site, held = await unit.get(SITE, pools[0].opened.site_id), pools[0].reservations.get(grant.issued.grant_id)
    return RescheduleGrant(
        grant_id=grant.issued.grant_id,
        choice=choice,
        at=unit.context.at,
        start=start,
        ready_at=site.ready_at if site.status == "converting" else None,
        answer_by=find_evidence_answer(grant, pools, site, unit.context.at),
        kept_from=held.find_first() if held is not None and held.kept else None,
    )


async def _shift(
    unit: UnitOfWork,
    grant: Grant,
    command: RescheduleGrant,
    span: tuple[datetime, datetime],
    auction_ids: Sequence[str],
) -> tuple[LotShare, ...]:
    """Reserve the new span in place of the present one, and return the lots that carry it.

    Raises:
        Refusal: ``lot_frozen`` · ``hours_taken`` · refusals of the pool and the site.
    """
    issued, (start, end) = grant.issued, span
    further: tuple[LotShare, ...] = ()
    pool = await unit.get(POOL, grant.pool_id)
    held = pool.reservations.get(issued.grant_id)
    for begin, until in [] if held is None else held.list_gaps(start, end):
        lot_ids = dict.fromkeys(share.lot_id for share in grant.lots)
        offers = [lot_id for lot_id, offer in pool.offers.items() if overlaps(offer.start, offer.end, begin, until)]
        await require_lots_kept(unit, dict.fromkeys((*lot_ids, *offers)), auction_ids)
        lots = [await unit.get(LOT, lot_id) for lot_id in lot_ids]
        further += build_further_shares(grant, pool, lots, begin, until)
    shift = ShiftCapacity(
        pool_id=grant.pool_id,
        grant_id=issued.grant_id,
        nodes=issued.nodes,
        start=start,
        end=end,
        further=further,
        kept_until=find_kept_until(command, issued, grant.rescheduled),
    )
    return (await change_capacity(unit, shift)).reservations[issued.grant_id].lots


async def _check_undelivered(unit: UnitOfWork, grant: Grant) -> None:
    """Refuse another span for a grant whose startup's meter counted something, or whose first period is over.

    Raises:
        Refusal: ``period_over`` · ``capacity_delivered``.
    """
    require_unstated(grant, unit.context.at)
    require_undelivered(grant, await unit.load(USAGE, name_usage(grant.issued.grant_id, "startup")))


async def _take_off_sale(unit: UnitOfWork, grant: Grant, auction_ids: Sequence[str]) -> None:
    """Withdraw what a grant offers for resale, which no auction may have frozen and no quote may hold.

    Raises:
        Refusal: ``resale_held`` · ``lot_frozen``.
    """
    grant_id = grant.issued.grant_id
    await check_unheld(unit, grant.pool_id, grant_id)
    pool = await unit.get(POOL, grant.pool_id)
    await require_lots_kept(unit, pool.list_resales(grant_id), auction_ids)
    await withdraw_resales(unit, grant.pool_id, grant_id, "its startup chose another span for the grant")


async def _free_cut(unit: UnitOfWork, grant: Grant, after: Grant, left: Totals) -> None:
    """Free what was set aside for the hours that were taken off, and keep what they may cost the provider."""
    issued, reason = grant.issued, after.rescheduled[-1].reason
    if not after.rescheduled[-1].gpu_seconds_cut:
        return
    before = compute_totals(build_tariff(issued), grant.gpu_seconds_left)
    hold = get_hold(await unit.get(ACCOUNT, issued.startup_account_id), issued.startup_account_id, issued.hold_id)
    less_usd = compute_needed(grant, before) - compute_needed(after, left)
    adjust = AdjustHold(
        account_id=issued.startup_account_id,
        hold_id=issued.hold_id,
        amount_usd=max(hold.left_usd - less_usd, ZERO),
        reason=reason,
    )
    await unit.decide(ACCOUNT, issued.startup_account_id, adjust)
    cause = derive_id("cut", issued.grant_id, str(len(grant.rescheduled)))
    await free_equity(unit, issued, before, left, reason, cause=cause)
    await keep_make_whole(unit, after)

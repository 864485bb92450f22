"""What a claim on a bond comes to by the log, and what goes back once a replacement charges less."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from events.account import AccountCredited, AccountHoldReleased
from events.bond import BondClaimed, BondReturned
from marketplace.application.steps.claims import keep_for_claims, pay_claims
from marketplace.application.steps.resale_reach import find_reach
from marketplace.application.steps.service_review import review_service
from marketplace.application.steps.statement_chain import find_chain, load_chain
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_command_id, rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.bond import (
    BOND,
    Bond,
    Claim,
    ReturnClaim,
    list_end_claims,
    list_settled_claims,
)
from marketplace.domain.billing.remedies import (
    NOTHING,
    Bought,
    Debtor,
    Default,
    compute_items,
    find_credited,
    find_delivered,
    find_ending,
    find_failures,
    find_period,
    list_debtors,
    sum_claim,
)
from marketplace.domain.billing.statement import Statement
from marketplace.domain.command import COMMAND
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.domain.delivery.periods import Period, list_periods
from marketplace.domain.metering.usage import USAGE, name_usage
from marketplace.execution.unit_of_work import UnitOfWork


async def find_default(
    unit: UnitOfWork,
    grant: Grant,
    period_start: datetime | None,
    *,
    after: datetime | None = None,
    until: datetime | None = None,
) -> tuple[Default, list[Statement]]:
    """Return what was not delivered in a period, and the statements of it; for None, what early ends left out.

    `after` and `until` are those of `find_ending`.

    Raises:
        Refusal: ``period_unknown`` · ``statement_unknown`` · ``adjustments_too_many`` · ``remedies_missing`` ·
            ``grant_not_defaulted``.
    """
    if period_start is None:
        return find_ending(grant, after, until), []
    period = find_period(grant, period_start)
    usage = await unit.load(USAGE, name_usage(grant.issued.grant_id))
    chain = await find_chain(unit, period)
    default = find_failures(grant, usage, period, chain)
    return default, chain or await load_chain(unit, period)


async def find_most(unit: UnitOfWork, bond: Bond, claimed: BondClaimed) -> Decimal:
    """Return the USD that a claim comes to by the log now; 0 if nothing is owed any more."""
    made_at = claimed.made_at
    grant = await unit.load(GRANT, claimed.grant_id)
    if grant is None:  # a match that its provider broke
        return claimed.amount_usd
    starts = {period.statement_id: period.start for period in list_periods(grant)}
    ids = [item.replacement_id for item in claimed.items if item.replacement_id is not None]
    bought = [await load_delivered(unit, await unit.get(GRANT, one), made_at) for one in ids]
    earlier = list_end_claims(bond, claimed.grant_id, made_at)
    start = None if claimed.statement_id is None else starts[claimed.statement_id]
    try:
        after = earlier[-1].made_at if earlier else None
        default, chain = await find_default(unit, grant, start, after=after, until=made_at)
        settled = list_settled_claims(bond, claimed.grant_id, claimed.statement_id, made_at)
        debtor = next(one for one in list_debtors(grant.issued) if one.party_id == claimed.party_id)
        credited_usd = await find_claim_credit(unit, grant, debtor, default, chain) + sum_counted(settled)
        reach_usd = await find_reach(unit, bond, grant, debtor, before=claimed.claim_id)
        return sum_claim(compute_items(grant, debtor, default, bought), credited_usd, reach_usd)
    except Refusal as refusal:
        if refusal.code in NOTHING:
            return ZERO
        raise


async def find_claim_credit(
    unit: UnitOfWork, grant: Grant, debtor: Debtor, default: Default, chain: Sequence[Statement]
) -> Decimal:
    """Return what was credited for a period, or may still be while a statement of it is in dispute.

    Credits and fees of early ends are the provider's. The seller of resold hours paid none of them.
    """
    if debtor.is_seller:
        return ZERO
    service = None
    for known in chain:
        if known.dispute is not None:
            issued = known.issued
            period = Period(issued.statement_id, issued.period_start, issued.period_end)
            service = await review_service(unit, grant, period, int(known.dispute.count), known.service)
    return find_credited(default, chain, service)


def sum_counted(claims: Sequence[Claim]) -> Decimal:
    """Return the USD that settled claims came to."""
    return sum((claim.counted_usd for claim in claims), ZERO)


async def load_delivered(unit: UnitOfWork, grant: Grant, at: datetime) -> Bought:
    """Return what a replacement delivered before `at`, by its provider's meter and its statements."""
    usage = await unit.load(USAGE, name_usage(grant.issued.grant_id))
    periods = [(period, await find_chain(unit, period)) for period in list_periods(grant) if period.start < at]
    return find_delivered(grant, usage, periods, at)


def name_place(grant_id: str, *, is_seller: bool) -> str:
    """Return the id of the record of the bond on which claims name a replacement: of a provider, or of a seller."""
    return derive_command_id("replacement for a seller" if is_seller else "replacement for a provider", grant_id)


async def return_excess(unit: UnitOfWork, grant: Grant, cause: str) -> None:
    """Return what was paid of a claim for hours of a replacement that are not charged, from the money that this frees.

    That is a credit or, for hours that were never stated, what is set aside until the replacement is over.

    Args:
        unit: The decision, with the credit paid or the money freed.
        grant: The grant that may be a replacement.
        cause: The credit's statement; the grant that is over.
    """
    issued = grant.issued
    holder = None if issued.equity is None else (issued.equity.holder_id, issued.equity.holder_account_id)
    payees = [(None, issued.startup_account_id), *([] if holder is None or holder[1] is None else [holder])]
    credited = tuple(
        (holder_id, str(account_id), _sum_freed(unit, str(account_id), cause, issued.hold_id))
        for holder_id, account_id in payees
    )
    for is_seller in (False, True):
        place = await unit.load(COMMAND, name_place(issued.grant_id, is_seller=is_seller))
        if place is not None:
            await _return_excess(unit, place.aggregate_id, issued.grant_id, cause, credited)


async def _return_excess(
    unit: UnitOfWork,
    bond_id: str,
    replacement_id: str,
    cause: str,
    credited: tuple[tuple[str | None, str, Decimal], ...],
) -> None:
    for claimed in [one.claimed for one in (await unit.get(BOND, bond_id)).claims]:
        if any(item.replacement_id == replacement_id for item in claimed.items):
            command = ReturnClaim(
                bond_id=bond_id,
                claim_id=claimed.claim_id,
                replacement_id=replacement_id,
                cause=cause,
                most_usd=await find_most(unit, await unit.get(BOND, bond_id), claimed),
                credited=credited,
            )
            await unit.decide(BOND, bond_id, command)
    await pay_claims(unit, bond_id)
    await keep_for_claims(unit, bond_id)


async def return_charged(unit: UnitOfWork, grant: Grant, statement_id: str, cause: str) -> None:
    """Return what was paid of claims for hours of a period that are charged after all, from what the payees have.

    Args:
        unit: The decision, with the charge paid.
        grant: The grant.
        statement_id: The statement of the period.
        cause: The adjustment that charges them.
    """
    for debtor in list_debtors(grant.issued):
        bond_id = rename_id("bnd", debtor.party_id)
        left: dict[str, Decimal] = {}
        for claim in list_settled_claims(await unit.load(BOND, bond_id), grant.issued.grant_id, statement_id):
            claimed, before = claim.claimed, len(unit.list_events(BOND, bond_id))
            payees = [(None, claimed.startup_account_id), *((one.party_id, one.account_id) for one in claimed.holders)]
            for _, account_id in payees:
                if account_id not in left:
                    left[account_id] = (await unit.get(ACCOUNT, account_id)).count_free(unit.context.at)
            command = ReturnClaim(
                bond_id=bond_id,
                claim_id=claimed.claim_id,
                replacement_id=None,
                cause=cause,
                most_usd=await find_most(unit, await unit.get(BOND, bond_id), claimed),
                credited=tuple((holder_id, account_id, left[account_id]) for holder_id, account_id in payees),
            )
            await unit.decide(BOND, bond_id, command)
            for event in unit.list_events(BOND, bond_id)[before:]:
                if isinstance(event, BondReturned):
                    left[event.payer_account_id] -= event.amount_usd
        if left:
            await pay_claims(unit, bond_id)
            await keep_for_claims(unit, bond_id)


def _sum_freed(unit: UnitOfWork, account_id: str, cause: str, hold_id: str) -> Decimal:
    events = unit.list_events(ACCOUNT, account_id)
    credits_ = [one.amount_usd for one in events if isinstance(one, AccountCredited) and one.cause == cause]
    freed = [one.amount_usd for one in events if isinstance(one, AccountHoldReleased) and one.hold_id == hold_id]
    return sum((*credits_, *freed), ZERO)

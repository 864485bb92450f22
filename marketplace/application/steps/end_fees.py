"""What pays the fee of a startup's early end, and the money that a sold company keeps for fees of its grants."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from marketplace.application.steps.stages import compute_spare, sum_deal
from marketplace.application.steps.statement_payment import price_cut
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import Reserve
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.domain.delivery.grant_commands import TerminateGrant
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.execution.unit_of_work import UnitOfWork


async def find_covering(unit: UnitOfWork, grant: Grant, fee_usd: Decimal, ended_before: int) -> Decimal:
    """Return the USD of a grant's hold that no delivered hour needs, and that pay the fee of its last early end.

    Args:
        unit: The decision.
        grant: The grant after that end.
        fee_usd: The fee.
        ended_before: The GPU-seconds that earlier ends cut.
    """
    issued = grant.issued
    account = await unit.get(ACCOUNT, issued.startup_account_id)
    if issued.stages is not None:
        return compute_spare(unit, replace(grant, terminations=grant.terminations[:-1]), account)
    before, kept = price_cut(grant, 0 if issued.credit_usd else ended_before)
    spare_usd = before.startup_usd - kept.startup_usd
    spare_usd -= grant.sum_end_fees("startup") - fee_usd if issued.credit_usd else ZERO
    hold = account.holds.get(issued.hold_id)
    return ZERO if hold is None else min(spare_usd, hold.left_usd)


async def find_payable(unit: UnitOfWork, grant: Grant) -> Decimal:
    """Return the most that the fee of an end, for which its startup did not ask, takes of that startup's money.

    The fee is paid from free money or from what the hold of the grant keeps for hours that the end cuts.
    """
    account = await unit.get(ACCOUNT, grant.issued.startup_account_id)
    free_usd = account.count_free(unit.context.at, list_causes(grant))
    if grant.issued.stages is not None:
        return free_usd + compute_spare(unit, grant, account)
    _, covering_usd = await _try_end(unit, grant, await sum_deal(unit, grant))
    return max(free_usd, covering_usd)


def list_causes(grant: Grant) -> tuple[str, str]:
    """Return the causes for which an account keeps money that may pay the fee of an early end of a grant."""
    return grant.pool_id, _name_kept(grant)


async def keep_sale_fees(unit: UnitOfWork, issuer: Issuer) -> Decimal:
    """Keep the fees of the grants that a sale ends on the account of the sold company, and return their sum.

    These include grants that a notice ends later. What the hold of a grant covers is not kept. The fee of a grant is
    free again once a buyer assumes the grant or it is over.
    """
    total_usd, at = ZERO, unit.context.at
    for grant_id in (rename_id("grt", instrument_id) for instrument_id in sorted(issuer.instruments)):
        grant = await unit.load(GRANT, grant_id)
        if grant is None or grant.issued.equity is None or grant.end <= at:
            continue
        deal_usd = await sum_deal(unit.branch(), grant)  # The sale takes nothing off the deal.
        fee_usd, covering_usd = await _try_end(unit, grant, deal_usd)
        if fee_usd > covering_usd:
            kept_usd = fee_usd - covering_usd if grant.issued.stages is not None else fee_usd
            await _keep(unit, grant, kept_usd)
            total_usd += kept_usd
    return total_usd


async def free_sale_fee(unit: UnitOfWork, grant: Grant) -> None:
    """Free what the account of a sold company keeps for the fee of a grant's end."""
    await _keep(unit, grant, ZERO)


async def _keep(unit: UnitOfWork, grant: Grant, amount_usd: Decimal) -> None:
    account_id = grant.issued.startup_account_id
    reserve = Reserve(account_id=account_id, amount_usd=amount_usd, until=grant.end, cause=_name_kept(grant))
    await unit.decide(ACCOUNT, account_id, reserve)


def _name_kept(grant: Grant) -> str:
    return derive_id("end", grant.issued.grant_id, "sold")


async def _try_end(unit: UnitOfWork, grant: Grant, deal_usd: Fraction) -> tuple[Decimal, Decimal]:
    """Return what an end by the startup without notice costs now, and what the hold of the grant covers of it."""
    at = unit.context.at
    command = TerminateGrant(
        grant_id=grant.issued.grant_id,
        at=at,
        by="startup",
        noticed_at=at,
        reason="what an end would cost",
        is_ordered=True,
        deal_usd=deal_usd,
    )
    after = GRANT.fold(GRANT.decide(command, grant), grant)
    if after is None or after.end == grant.end:
        return ZERO, ZERO
    fee_usd = after.terminations[-1].fee_usd
    return fee_usd, await find_covering(unit, after, fee_usd, grant.gpu_seconds_ended)

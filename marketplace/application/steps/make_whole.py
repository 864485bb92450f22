"""Keep what an early end may cost its provider until the startup has had time to claim it."""

from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import Reserve
from marketplace.domain.billing.bond import BOND, list_end_claims, name_claim
from marketplace.domain.billing.remedies import (
    CLAIM_WITHIN,
    NOTHING,
    compute_items,
    find_ending,
    find_notice,
    is_default,
    list_debtors,
    sum_claim,
)
from marketplace.domain.delivery.grant import Grant
from marketplace.execution.unit_of_work import UnitOfWork


async def keep_make_whole(unit: UnitOfWork, grant: Grant) -> None:
    """Keep the make-whole of an early end, or of hours taken off a late grant, on its provider's account.

    For `CLAIM_WITHIN` after delivery ends it keeps what no part of the bond covers, and no more than is free now. A
    claim replaces what is kept.
    """
    issued, at = grant.issued, unit.context.at
    if grant.terminations and not is_default(grant.terminations[-1]):
        return
    bond = await unit.load(BOND, rename_id("bnd", issued.provider_id))
    made = list_end_claims(bond, issued.grant_id, find_notice(grant))
    try:
        default = find_ending(grant, made[-1].made_at if made else None)
        due_usd = sum_claim(compute_items(grant, list_debtors(issued)[0], default, ()), default.fees_usd)
    except Refusal as refusal:
        if refusal.code in NOTHING | {"remedies_missing"}:
            return
        raise
    lots = {share.lot_id for share in issued.lots}
    parts = {} if bond is None else bond.parts
    covered = sum((part.free_usd for lot_id, part in parts.items() if lot_id is None or lot_id in lots), ZERO)
    account = await unit.get(ACCOUNT, issued.provider_account_id)
    cause = name_claim(issued.grant_id, None, len(made))
    known, _ = account.reserves.get(cause, (ZERO, at))
    reserve = Reserve(
        account_id=issued.provider_account_id,
        amount_usd=min(max(due_usd - covered, ZERO), account.count_free(at) + known),
        until=max(grant.end, at) + CLAIM_WITHIN,
        cause=cause,
    )
    await unit.decide(ACCOUNT, issued.provider_account_id, reserve)

"""Keep a provider's money for claims on its bond, and claim what it owes for a match that it broke after the lock."""

from msgspec import structs

from events.auction import MatchTerms
from events.bond import BondClaimed, ClaimItem
from events.instants import FOREVER
from events.order import LostMatch
from marketplace.core.ids import rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import Reserve
from marketplace.domain.billing.bond import BOND, ClaimBond, list_uncovered, name_claim
from marketplace.domain.billing.remedies import ANSWER_WITHIN, compute_broken
from marketplace.domain.supply.schedule import SCHEDULE, SCHEDULE_ID
from marketplace.domain.trading.order import Order
from marketplace.execution.unit_of_work import UnitOfWork


async def keep_for_claims(unit: UnitOfWork, bond_id: str) -> None:
    """Keep, of what the provider has available, what its bond does not cover of each claim; nothing once it ended."""
    for claim_id, amount_usd in list_uncovered(await unit.get(BOND, bond_id)).items():
        account_id = rename_id("acc", bond_id)
        reserve = Reserve(account_id=account_id, amount_usd=amount_usd, until=FOREVER, cause=claim_id)
        await unit.decide(ACCOUNT, account_id, reserve)


async def claim_broken_match(unit: UnitOfWork, order: Order, match: MatchTerms, lost: LostMatch) -> None:
    """Claim for the startup of an order what its provider owes for a match that it broke after the lock.

    The provider answers the claim as any other: it may contest that it is at fault, and the platform decides.
    """
    bond_id, placed = rename_id("bnd", lost.provider_id), order.placed
    item = ClaimItem(remedy="broken_match", gpu_seconds=lost.gpu_seconds, amount_usd=lost.damages_usd)
    claimed = BondClaimed(
        bond_id=bond_id,
        party_id=lost.provider_id,
        claim_id=name_claim(match.grant_id, None, 0),
        startup_id=placed.startup_id,
        startup_account_id=placed.account_id,
        grant_id=match.grant_id,
        statement_id=None,
        lot_ids=tuple(dict.fromkeys(share.lot_id for share in match.lots)),
        items=(item,),
        credited_usd=ZERO,
        amount_usd=lost.damages_usd,
        made_at=unit.context.at,
        answer_until=unit.context.at + ANSWER_WITHIN,
    )
    await unit.decide(BOND, bond_id, ClaimBond(bond_id=bond_id, claimed=claimed))
    await keep_for_claims(unit, bond_id)


async def compute_damages(unit: UnitOfWork, match: MatchTerms, lost: LostMatch) -> LostMatch:
    """Return a lost match with what its provider owes for it."""
    ends = (await unit.load(SCHEDULE, SCHEDULE_ID)).terms.ends
    return structs.replace(lost, damages_usd=compute_broken(ends, lost.price_usd, match.start - unit.context.at))

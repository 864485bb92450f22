"""The most that a seller of resold hours owes their buyer if the provider fails: what it staked and earned by them."""

from collections.abc import Iterable
from decimal import Decimal
from itertools import takewhile

from marketplace.application.steps.statement_chain import find_chain
from marketplace.core.money import ZERO
from marketplace.domain.billing.bond import BondState, Claim
from marketplace.domain.billing.remedies import Debtor
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.domain.delivery.periods import list_periods
from marketplace.execution.unit_of_work import UnitOfWork


async def find_reach(
    unit: UnitOfWork, bond: BondState, grant: Grant, debtor: Debtor, *, before: str | None = None
) -> Decimal | None:
    """Return how far a debtor owes beside the claims that were made before one, or until now; None: without a limit."""
    claims = () if bond is None else bond.claims
    earlier = takewhile(lambda claim: claim.claimed.claim_id != before, claims)
    return await _find_left(unit, bond, grant, earlier) if debtor.is_seller else None


async def _find_left(unit: UnitOfWork, bond: BondState, grant: Grant, earlier: Iterable[Claim]) -> Decimal:
    """Return the USD that the seller of a grant's hours may still come to owe for them; 0 or less: nothing.

    That is what it posted at their sale, what it received of their price so far, and what it posted beyond for the lot,
    less what earlier claims come to. Claims for other sales of the lot first take what they need of the last part.

    Args:
        unit: The decision.
        bond: The seller's bond.
        grant: The buyer's grant.
        earlier: The claims on the bond that were made before.
    """
    resale = grant.issued.resale
    assert resale is not None, "its capacity was resold"
    claims = [claim for claim in earlier if resale.lot_id in claim.claimed.lot_ids]
    sold = [one for one in (await unit.get(GRANT, resale.grant_id)).resold if one.lot_id == resale.lot_id]
    part = None if bond is None else bond.parts.get(resale.lot_id)
    beyond_usd = ZERO if part is None else part.posted_usd - part.released_usd
    own_usd = ZERO
    for one in sold:
        other = await unit.get(GRANT, one.resale_grant_id)
        asked_usd = sum((claim.demand_usd for claim in claims if claim.claimed.grant_id == one.resale_grant_id), ZERO)
        bond_usd = ZERO if other.issued.resale is None else other.issued.resale.bond_usd
        beyond_usd -= bond_usd
        if one.resale_grant_id == grant.issued.grant_id:
            own_usd = bond_usd + await _sum_earned(unit, grant) - asked_usd
        elif asked_usd > bond_usd:
            beyond_usd -= max(asked_usd - bond_usd - await _sum_earned(unit, other), ZERO)
    return own_usd + max(beyond_usd, ZERO)


async def _sum_earned(unit: UnitOfWork, grant: Grant) -> Decimal:
    """Return what the seller of a grant's hours received of their price in settled statements, less its fee of it."""
    chains = [await find_chain(unit, period) for period in list_periods(grant)]
    settled = (known for chain in chains for known in chain if known.status == "accepted")
    return sum(
        (
            known.sign * (known.charges.reseller_receives_usd - known.charges.reseller_fee_usd)
            for known in settled
            if known.charges.reseller_receives_usd
        ),
        ZERO,
    )

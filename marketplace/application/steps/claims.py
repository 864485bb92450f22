"""Post and pay from bonds, keep money for claims on them, and claim what is owed for a match broken after the lock."""

from datetime import datetime
from typing import Any

from msgspec import structs

from events.auction import MatchTerms
from events.bond import BondClaimed, BondPaid, BondReturned, ClaimItem
from events.grant import GrantIssued, ResalePart
from events.instants import FOREVER
from events.order import LostMatch
from marketplace.application.steps.paying import pay
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import AdjustHold, CaptureHold, Debit, PlaceHold, Reserve
from marketplace.domain.billing.bond import BOND, ClaimBond, PostBond, list_uncovered, name_claim
from marketplace.domain.billing.remedies import ANSWER_WITHIN, compute_broken
from marketplace.domain.supply.lot import LOT
from marketplace.domain.supply.schedule import SCHEDULE, SCHEDULE_ID
from marketplace.domain.trading.order import Order
from marketplace.execution.unit_of_work import UnitOfWork


async def post_part(unit: UnitOfWork, command: PostBond, *, alone_at: datetime | None) -> None:
    """Post money for a part of a bond: hold it, and pay at once what claims on the bond are owed.

    `alone_at` is now, and keeps what the account keeps for others from being posted; without it, that is posted too.

    Raises:
        Refusal: Refusals of the bond and of the account.
    """
    bond_id, account_id = command.bond_id, command.account_id
    before = await unit.load(BOND, bond_id)
    bond = await unit.decide(BOND, bond_id, command)
    await keep_for_claims(unit, bond_id)
    known = None if before is None else before.parts.get(command.lot_id)
    named: dict[str, Any] = {"account_id": account_id, "hold_id": bond.parts[command.lot_id].hold_id, "at": alone_at}
    hold: PlaceHold | AdjustHold
    if known is None:
        hold = PlaceHold(**named, amount_usd=command.amount_usd, purpose=bond_id)
    else:
        left = known.free_usd + command.amount_usd
        hold = AdjustHold(**named, amount_usd=left, reason="more was posted for the bond")
    await unit.decide(ACCOUNT, account_id, hold)
    await pay_claims(unit, bond_id)


async def post_deposit(unit: UnitOfWork, bought: GrantIssued, resale: ResalePart) -> None:
    """Post for the lot of a resale what its seller may come to owe the buyer.

    Raises:
        Refusal: Refusals of the bond and of the account.
    """
    amount_usd = resale.bond_usd
    if not amount_usd:
        return
    bond_id = rename_id("bnd", resale.seller_id)
    bond, lot = await unit.load(BOND, bond_id), await unit.get(LOT, resale.lot_id)
    known = None if bond is None else bond.parts.get(resale.lot_id)
    command = PostBond(
        bond_id=bond_id,
        party_id=resale.seller_id,
        account_id=resale.seller_account_id,
        posting_id=derive_id("pst", bought.grant_id),
        lot_id=resale.lot_id,
        amount_usd=amount_usd,
        stands_until=max([lot.end, bought.end, *([] if known is None else [known.stands_until])]),
        at=unit.context.at,
    )
    await post_part(unit, command, alone_at=None)


async def pay_claims(unit: UnitOfWork, bond_id: str) -> None:
    """Pay what the bond has decided to pay, from the holds or else from available money, or that is returned."""
    for event in unit.list_events(BOND, bond_id):
        if isinstance(event, BondReturned):
            returned = Debit(
                account_id=event.payer_account_id,
                amount_usd=event.amount_usd,
                payee_account_id=event.payee_account_id,
                cause=event.payment_id,
                owed=True,
            )
            await pay(unit, returned)
        elif isinstance(event, BondPaid):
            payment: dict[str, Any] = {
                "account_id": rename_id("acc", event.party_id),
                "amount_usd": event.amount_usd,
                "payee_account_id": event.payee_account_id,
                "cause": event.payment_id,
            }
            hold_id = event.hold_id
            await pay(unit, Debit(**payment, owed=True) if hold_id is None else CaptureHold(**payment, hold_id=hold_id))


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

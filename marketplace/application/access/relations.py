"""Relations: parties state their owners and affiliates, and the platform records what it finds."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import structs

from events.account import RelationAct
from events.register import RelationKind
from marketplace.application.steps.access import require_agreeing, require_parties, require_tenant, require_unfrozen
from marketplace.application.steps.two_persons import ask_second, is_limited
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.register import (
    REGISTER,
    REGISTER_ID,
    EndRelation,
    FindRelation,
    StateRelation,
)
from marketplace.domain.trading.admission import require_not_deciding
from marketplace.domain.trading.auction import AUCTION
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def declare_relation(
    handler: Handler,
    context: Context,
    party_id: str,
    *,
    kind: RelationKind,
    reason: str,
    related_id: str | None = None,
    owner: str | None = None,
    since: datetime | None = None,
    auction_ids: Sequence[str] = (),
) -> Receipt:
    """State an owner or affiliate, as the party; record one that was found, as the platform.

    A relation takes a party's say among disinterested holders, so it is stated by who may agree for the party, and
    found by a key of the platform that may decide. If the account limits one person, the statement is only requested,
    and waits for a second one; see `marketplace.application.billing.approvals`.

    The receipt's id is the relation's: a repeat gets the same one, also after that relation ended. `auction_ids` are
    the auctions that are not completed: a party states nothing new while one decides, since that could undo an order.

    Raises:
        Refusal: ``party_unknown`` · ``scope_missing`` · ``party_suspended`` · refusals of the register · of a party
            alone ``market_deciding`` · ``person_missing``.
    """
    require_tenant(context, party_id)
    require_agreeing(context)
    act = RelationAct(related_id=related_id, owner=owner, relation=kind, since=since, reason=reason)

    async def work(unit: UnitOfWork) -> None:
        await require_unfrozen(unit)
        if await is_limited(unit) and await _is_new(unit.branch(), party_id, act):
            await ask_second(unit, rename_id("acc", party_id), act)
        else:
            await state_relation(unit, party_id, act, auction_ids)

    return await handler.run(context, REGISTER, REGISTER_ID, work)


async def _is_new(branch: UnitOfWork, party_id: str, act: RelationAct) -> bool:
    await state_relation(branch, party_id, act, ())
    return bool(branch.list_events(REGISTER, REGISTER_ID))


async def state_relation(unit: UnitOfWork, party_id: str, act: RelationAct, auction_ids: Sequence[str]) -> None:
    """Record a relation that a party states, or that the platform found.

    Raises:
        Refusal: As `declare_relation`.
    """
    context = unit.context
    command = (StateRelation if context.party_id is not None else FindRelation)(
        register_id=REGISTER_ID,
        relation_id=derive_id("rel", context.command_id),
        party_id=party_id,
        related_id=act.related_id,
        owner=act.owner,
        kind=act.relation,
        since=act.since,
        reason=act.reason,
        at=context.at,
    )
    await require_parties(unit, [each for each in (party_id, act.related_id) if each is not None])
    register = await unit.decide(REGISTER, REGISTER_ID, command)
    if unit.list_events(REGISTER, REGISTER_ID) and context.party_id is not None:
        for auction in [await unit.get(AUCTION, auction_id) for auction_id in auction_ids]:
            require_not_deciding(auction, context.at)
    unit.answers = register.find_id(party_id, act.related_id or act.owner or "")


async def end_relation(handler: Handler, context: Context, party_id: str, relation_id: str, *, reason: str) -> Receipt:
    """End a relation, as the platform; take back what the party alone stated, as the party.

    Raises:
        Refusal: ``party_unknown`` · ``scope_missing`` for a key of the platform that may not decide ·
            ``relation_unknown`` · ``relation_firm`` · ``relation_unstated``.
    """
    require_tenant(context, party_id)

    async def work(unit: UnitOfWork) -> None:
        command = EndRelation(
            register_id=REGISTER_ID,
            relation_id=relation_id,
            party_id=party_id,
            by_platform=context.party_id is None,
            reason=reason,
            at=context.at,
        )
        await unit.decide(REGISTER, REGISTER_ID, command)

    receipt = await handler.run(context, REGISTER, REGISTER_ID, work)
    return structs.replace(receipt, id=relation_id)

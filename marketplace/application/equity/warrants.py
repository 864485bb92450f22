"""Warrants: issue, vesting, transfer, exercise and expiry, and what they are measured by."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal

from msgspec import structs

from marketplace.application.equity.consents import carry_out
from marketplace.application.equity.vesting import count_accepted, exercise, hand_over, vest
from marketplace.application.steps.access import require_decider, require_parties
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.programme_commands import (
    AddProgrammeGrant,
    CorrectPrice,
    ObservePrice,
    StatePurchases,
)
from marketplace.domain.equity.issuer.rights.warrant_terms import list_attesters
from marketplace.domain.equity.issuer.rights_commands import (
    AttestMilestone,
    ExpireWarrant,
    IssueWarrant,
    TransferWarrant,
)
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.equity.rights import list_appointed, require_warrant_holder
from marketplace.domain.refusals import refuse_unknown, require_found
from marketplace.domain.register import REGISTER, REGISTER_ID
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def issue_warrant(handler: Handler, context: Context, command: IssueWarrant) -> Receipt:
    """Issue a right to buy shares. The issuer must be a side of the grants that its milestones count.

    Raises:
        Refusal: ``issuer_unknown`` · ``grant_unknown`` · refusals of the issuer · ``party_unknown`` for an attester.
    """
    issuer_id = command.issuer_id

    async def work(unit: UnitOfWork) -> None:
        issuer = await unit.get(ISSUER, issuer_id, Issuer)
        for grant_id in command.grant_ids:
            grant = await _load_grant(unit, grant_id)
            if issuer.formed.party_id not in {grant.startup_id, grant.issued.provider_id}:
                raise refuse_unknown("grant", grant_id)
        await unit.decide(ISSUER, issuer_id, command)
        await require_parties(unit, list_appointed(command))

    return await carry_out(handler, context, issuer_id, work)


async def _load_grant(unit: UnitOfWork, grant_id: str) -> Grant:
    return require_found("grant", grant_id, await unit.load(GRANT, grant_id))


async def add_programme_grant(
    handler: Handler, context: Context, issuer_id: str, programme_id: str, grant_id: str
) -> Receipt:
    """Let a grant count in a programme, or propose it, for the company or a side of the grant.

    Raises:
        Refusal: ``issuer_unknown`` · ``grant_unknown`` · refusals of the issuer.
    """

    async def work(unit: UnitOfWork) -> None:
        grant = await _load_grant(unit, grant_id)
        issuer = await unit.get(ISSUER, issuer_id, Issuer)
        customer_id, vendor_id = grant.issued.startup_id, grant.issued.provider_id
        if context.party_id not in {None, issuer.formed.party_id, customer_id, vendor_id}:
            raise refuse_unknown("grant", grant_id)
        command = AddProgrammeGrant(
            issuer_id=issuer_id,
            programme_id=programme_id,
            grant_id=grant_id,
            customer_id=customer_id,
            vendor_id=vendor_id,
            delivered_before=(await count_accepted(unit, grant)).gpu_seconds > 0,
        )
        await unit.decide(ISSUER, issuer_id, command)

    return await carry_out(handler, context, issuer_id, work, allows=list_programme_parties)


async def state_purchases(handler: Handler, context: Context, command: StatePurchases) -> Receipt:
    """State, or propose, purchases that parties of a programme made outside this market. Raises as `carry_out`."""

    async def work(unit: UnitOfWork) -> None:
        await unit.decide(ISSUER, command.issuer_id, command)

    return await carry_out(handler, context, command.issuer_id, work, allows=list_programme_parties)


def list_programme_parties(issuer: Issuer) -> frozenset[str]:
    """Return the customers and vendors of an issuer's programmes."""
    opened = [programme.opened for programme in issuer.programmes.values()]
    return frozenset(party_id for each in opened for party_id in (*each.customer_ids, *each.vendor_ids))


async def observe_price(
    handler: Handler,
    context: Context,
    issuer_id: str,
    source_id: str,
    *,
    day: date,
    price_usd_per_share: Decimal,
    volume: int,
) -> Receipt:
    """Record the price of a share on a day, as the source's recorder, and vest what vests at it.

    `volume` is how many shares were traded.

    Raises:
        Refusal: ``scope_missing`` for a key of the platform that may not decide · as `carry_out`.
    """
    command = ObservePrice(
        issuer_id=issuer_id,
        source_id=source_id,
        day=day,
        price_usd_per_share=price_usd_per_share,
        volume=volume,
        recorder_id=context.party_id,
        at=context.at,
    )
    return await _attest(handler, context, command, _list_recorders)


async def correct_price(handler: Handler, context: Context, command: CorrectPrice) -> Receipt:
    """Correct the price of a day, as the source's recorder; propose it if a warrant has used that price.

    Raises:
        Refusal: ``scope_missing`` for a key of the platform that may not decide · as `carry_out`.
    """
    return await _attest(handler, context, command, _list_recorders)


async def _attest(
    handler: Handler,
    context: Context,
    command: ObservePrice | CorrectPrice | AttestMilestone,
    allows: Callable[[Issuer], frozenset[str]],
) -> Receipt:
    """Carry out what somebody states of an issuer, with the parties that firm relations connect with the sender.

    Raises:
        Refusal: ``scope_missing`` for a key of the platform that may not decide · as `carry_out`.
    """
    require_decider(context)

    async def work(unit: UnitOfWork) -> None:
        party_id, register = unit.context.party_id, await unit.load(REGISTER, REGISTER_ID)
        related = frozenset() if party_id is None else register.list_group(party_id)
        named = structs.replace(command, related_ids=related)
        if not isinstance(named, AttestMilestone):
            named = structs.replace(named, insider_ids=register.list_group(rename_id("pty", command.issuer_id)))
        await unit.decide(ISSUER, command.issuer_id, named)

    return await carry_out(handler, context, command.issuer_id, work, allows=allows)


def _list_recorders(issuer: Issuer) -> frozenset[str]:
    recorders = {source.named.recorder_id for source in issuer.price_sources.values()}
    return frozenset(each for each in recorders if each is not None)


async def attest_milestone(
    handler: Handler, context: Context, issuer_id: str, warrant_id: str, *, milestone: str, document: str
) -> Receipt:
    """Attest a milestone of a warrant, as its stated attester, and vest what vests by it.

    The attestation's id derives from the command's, with the prefix ``att_``.

    Raises:
        Refusal: ``scope_missing`` for a key of the platform that may not decide · as `carry_out`.
    """
    command = AttestMilestone(
        issuer_id=issuer_id,
        attestation_id=derive_id("att", context.command_id),
        warrant_id=warrant_id,
        milestone=milestone,
        document=document,
        attester_id=context.party_id,
        at=context.at,
    )
    return await _attest(handler, context, command, _list_attesters)


def _list_attesters(issuer: Issuer) -> frozenset[str]:
    return frozenset(each for warrant in issuer.warrants.values() for each in list_attesters(warrant.issued.tranches))


async def transfer_warrant(
    handler: Handler, context: Context, issuer_id: str, warrant_id: str, *, holder_id: str, holder_id_after: str
) -> Receipt:
    """Transfer, or propose to transfer, a whole warrant to an affiliate of its first holder, or back.

    The register says who is one, at the proposal and again at its effect. The transfer's id derives from the command's,
    with the prefix ``trf_``. Raises as `carry_out`.
    """
    command = TransferWarrant(
        issuer_id=issuer_id,
        transfer_id=derive_id("trf", context.command_id),
        warrant_id=warrant_id,
        holder_id=holder_id,
        holder_id_after=holder_id_after,
        at=context.at,
    )

    async def work(unit: UnitOfWork) -> None:
        require_warrant_holder(await unit.get(ISSUER, issuer_id, Issuer), warrant_id, context.party_id)
        await hand_over(unit, command)

    return await carry_out(handler, context, issuer_id, work)


async def exercise_warrant(
    handler: Handler,
    context: Context,
    issuer_id: str,
    *,
    exercise_id: str,
    warrant_id: str,
    shares: int,
    net: bool,
    tranche: int | None = None,
) -> Receipt:
    """Exercise `shares` rights of a warrant for cash or net, or propose it. Raises as `exercise` and `carry_out`."""

    async def work(unit: UnitOfWork) -> None:
        require_warrant_holder(await unit.get(ISSUER, issuer_id, Issuer), warrant_id, context.party_id)
        await exercise(
            unit,
            issuer_id,
            exercise_id=exercise_id,
            warrant_id=warrant_id,
            shares=shares,
            net=net,
            at=context.at,
            tranche=tranche,
        )

    return await carry_out(handler, context, issuer_id, work)


async def vest_warrants(handler: Handler, context: Context, issuer_id: str) -> Receipt:
    """Record what vests, is released, priced or clawed back of the issuer's warrants by now."""

    async def work(unit: UnitOfWork) -> None:
        await vest(unit, issuer_id)

    return await handler.run(context, ISSUER, issuer_id, work)


async def expire_warrant(handler: Handler, context: Context, issuer_id: str, warrant_id: str) -> Receipt:
    """End an expired warrant.

    Raises:
        Refusal: ``issuer_unknown`` · ``warrant_unknown`` · ``warrant_runs``.
    """

    async def work(unit: UnitOfWork) -> None:
        command = ExpireWarrant(issuer_id=issuer_id, warrant_id=warrant_id, at=context.at)
        await unit.decide(ISSUER, issuer_id, command)

    return await handler.run(context, ISSUER, issuer_id, work)

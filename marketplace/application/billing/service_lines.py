"""Service lines: the grant's provider proposes, the holder of its equity approves, its startup agrees.

When the startup agrees, the cost of all hours is set aside, separate from the grant's compute. Cash and principal have
the same shares as in the grant, under a hold and an instrument of their own. Auctions therefore need not know about
service lines.
"""

from decimal import Decimal
from typing import Literal

from events.grant import EquityPart
from marketplace.application.steps.access import load_grant, load_related_issuers, require_side, require_unfrozen
from marketplace.application.steps.dilution import free_order, sign_instrument
from marketplace.application.trading.orders import count_order, find_caps
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import ZERO, render_ratio
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import PlaceHold
from marketplace.domain.billing.service_line import SERVICE_LINE, ServiceLine
from marketplace.domain.billing.service_line_bill import build_agreement, build_service_draw
from marketplace.domain.billing.service_line_commands import ApproveServiceLine, DeclineServiceLine, ProposeServiceLine
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.domain.delivery.grant_commands import AddServiceLine
from marketplace.domain.equity.instrument.commands import IssueInstrument
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.party import PARTY, require_trader
from marketplace.domain.refusals import require_found
from marketplace.domain.trading.mandate import MANDATE, CaptureBudget, HoldBudget
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork

By = Literal["startup", "provider", "holder", "platform"]


async def propose_service_line(
    handler: Handler,
    context: Context,
    grant_id: str,
    *,
    name: str,
    price_usd_per_hour: Decimal,
    hours: Decimal,
    workers: int,
) -> Receipt:
    """Offer, as a grant's provider, to work for its startup at a price per hour.

    Raises:
        Refusal: ``grant_unknown`` · ``wrong_side`` · ``party_not_cleared`` · refusals of the grant and of the service
            line.
    """
    line_id = derive_id("svl", context.command_id)

    async def work(unit: UnitOfWork) -> None:
        grant = await load_grant(unit, grant_id, "provider")
        issued, equity = grant.issued, grant.issued.equity
        require_trader(await unit.load(PARTY, issued.provider_id), issued.provider_id, "provider")
        GRANT.decide(AddServiceLine(grant_id=grant_id, service_line_id=line_id, at=context.at), grant)
        approver = equity.holder_id if equity is not None and equity.holder_id != issued.provider_id else None
        command = ProposeServiceLine(
            service_line_id=line_id,
            grant_id=grant_id,
            startup_id=issued.startup_id,
            provider_id=issued.provider_id,
            holder_id=approver,
            name=name,
            price_usd_per_hour=price_usd_per_hour,
            hours=hours,
            workers=workers,
        )
        await unit.decide(SERVICE_LINE, line_id, command)

    return await handler.run(context, SERVICE_LINE, line_id, work, new=True)


async def load_service_line(unit: UnitOfWork, line_id: str, *sides: str) -> ServiceLine:
    """Return a service line if the tenant is on one of the given sides: ``startup``, ``provider`` or ``holder``.

    Raises:
        Refusal: ``service_line_unknown`` · ``wrong_side`` for another of its sides.
    """
    line = require_found("service_line", line_id, await unit.load(SERVICE_LINE, line_id))
    require_side(unit.context, dict(_list_sides(line)), sides, *_name(line_id))
    return line


def _name(line_id: str) -> tuple[str, str]:
    return "service_line", line_id


def _list_sides(line: ServiceLine) -> list[tuple[By, str]]:
    proposed = line.proposed
    sides: list[tuple[By, str]] = [("startup", proposed.startup_id), ("provider", proposed.provider_id)]
    if proposed.holder_id is not None:
        sides.append(("holder", proposed.holder_id))
    return sides


async def approve_service_line(handler: Handler, context: Context, line_id: str) -> Receipt:
    """Approve, as the holder of the grant's equity, the equity part of a service line's cost.

    Raises:
        Refusal: ``service_line_unknown`` · ``wrong_side`` · ``party_suspended`` · ``service_line_<status>``.
    """

    async def work(unit: UnitOfWork) -> None:
        line = await load_service_line(unit, line_id, "holder")
        await require_unfrozen(unit)
        if line.proposed.holder_id is not None:
            await unit.decide(SERVICE_LINE, line_id, ApproveServiceLine(service_line_id=line_id))

    return await handler.run(context, SERVICE_LINE, line_id, work)


async def decline_service_line(handler: Handler, context: Context, line_id: str, *, reason: str) -> Receipt:
    """Decline a proposal as startup or holder, or withdraw it as provider, before it is agreed on.

    Raises:
        Refusal: ``service_line_unknown`` · ``service_line_<status>``.
    """

    async def work(unit: UnitOfWork) -> None:
        line = await load_service_line(unit, line_id, "startup", "provider", "holder")
        by: By = next((side for side, owner in _list_sides(line) if owner == context.party_id), "platform")
        await unit.decide(SERVICE_LINE, line_id, DeclineServiceLine(service_line_id=line_id, by=by, reason=reason))

    return await handler.run(context, SERVICE_LINE, line_id, work)


async def agree_service_line(handler: Handler, context: Context, line_id: str) -> Receipt:
    """Agree, as the startup, so that hours may be worked. Sets aside what all of them cost.

    Raises:
        Refusal: Refusals of the service line, the grant, the account, the mandate and the instrument · one of
            `REFUSED_OFFERS`.
    """

    async def work(unit: UnitOfWork) -> None:
        line = await load_service_line(unit, line_id, "startup")
        await require_unfrozen(unit)
        grant = await unit.get(GRANT, line.proposed.grant_id)
        agree = build_agreement(grant, line.proposed, context.at)
        await unit.decide(SERVICE_LINE, line_id, agree)
        if line.status == "agreed":
            return
        grant_id = line.proposed.grant_id
        await unit.decide(GRANT, grant_id, AddServiceLine(grant_id=grant_id, service_line_id=line_id, at=context.at))
        account_id = grant.issued.startup_account_id
        cash = PlaceHold(
            account_id=account_id,
            hold_id=agree.hold_id,
            amount_usd=agree.cash_commitment_usd,
            purpose=line_id,
            at=context.at,
            bought_at=context.at,
            principal_usd=ZERO if agree.equity is None else agree.equity.principal_commitment_usd,
        )
        await unit.decide(ACCOUNT, account_id, cash)
        if agree.equity is not None:
            await _draw(unit, grant, line, agree.equity)

    return await handler.run(context, SERVICE_LINE, line_id, work)


async def _draw(unit: UnitOfWork, grant: Grant, line: ServiceLine, equity: EquityPart) -> None:
    """Commit the mandate's budget, and sign an instrument on the grant's current terms.

    As an order, it needs a limit agreed on by those to whom it is large, and stays within it.
    """
    issued, hold_id = grant.issued, rename_id("hld", line.proposed.service_line_id)
    party = await unit.get(PARTY, issued.startup_id)
    assert issued.equity is not None, "a service line has an equity part only if its grant has one"
    await require_unfrozen(unit, equity.holder_id)
    drawn = await unit.get(INSTRUMENT, issued.equity.instrument_id)
    issuer = await unit.get(ISSUER, drawn.issued.issuer_id, Issuer)
    mandate, offer_id = await unit.get(MANDATE, equity.mandate_id), rename_id("ord", line.proposed.service_line_id)
    agreed = render_ratio(issuer.split_at_issue.get(drawn.issued.instrument_id, issuer.split_ratio))
    hold = HoldBudget(
        mandate_id=equity.mandate_id,
        hold_id=hold_id,
        order_id=issued.order_id,
        issuer_id=drawn.issued.issuer_id,
        instrument=drawn.terms,
        sector=party.registered.sector,
        stage=party.stage,
        approved=True,
        amount_usd=equity.budget_commitment_usd,
        at=unit.context.at,
        **find_caps(issuer, drawn.terms, offer_id, mandate.terms, agreed),
        related_ids=await load_related_issuers(unit, mandate, issued.startup_id),
    )
    await unit.decide(MANDATE, equity.mandate_id, hold)
    capture = CaptureBudget(
        mandate_id=equity.mandate_id,
        hold_id=hold_id,
        grant_id=issued.grant_id,
        amount_usd=equity.budget_commitment_usd,
    )
    await unit.decide(MANDATE, equity.mandate_id, capture)
    await count_order(
        unit,
        drawn.issued.issuer_id,
        offer_id,
        drawn.terms,
        equity.principal_commitment_usd,
        mandate_ids=(equity.mandate_id,),
        split_ratio=agreed,
    )
    await free_order(unit, drawn.issued.issuer_id, offer_id)
    issue = IssueInstrument(
        instrument_id=equity.instrument_id,
        issuer_id=drawn.issued.issuer_id,
        holder_id=equity.holder_id,
        terms=drawn.terms,
        commitment_usd=equity.principal_commitment_usd,
        funding="drawdown",
        grant_id=issued.grant_id,
        mandate_id=equity.mandate_id,
        draw=build_service_draw(grant, line.proposed, unit.context.at),
    )
    await sign_instrument(unit, issue, split_ratio=agreed, by_limit=True)

"""Issuers: corporate actions that change the capitalisation; for the startup itself and the platform."""

from typing import Final

import msgspec
from litestar import Response, Router, post
from litestar.params import FromPath, JSONBody

from marketplace.api.equity.cap_tables import ISSUER_HANDLERS
from marketplace.api.equity.packages import PACKAGE_HANDLERS
from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.issuers import (
    AddStakeholderBody,
    AdjustAuthorisedBody,
    AdjustStockPlanBody,
    CreateStockClassBody,
    FormIssuerBody,
    LimitDilutionBody,
    RecordValuationBody,
)
from marketplace.api.http.commands import Command, Commanded
from marketplace.application.equity.consents import find_proposal
from marketplace.application.equity.dilution import limit_dilution
from marketplace.application.equity.issuers import act, form_issuer, record_valuation
from marketplace.domain.equity.issuer import commands as acts
from marketplace.domain.equity.issuer import stock_commands
from marketplace.execution.handler import Receipt

PATH: Final = "/v1/issuers"


async def answer(
    command: Command, receipt: Receipt, path: str | None = None, created_id: str | None = None
) -> Response[ReceiptBody]:
    """Return the answer to an act: 202 with the proposal if others must agree first, 200 or 201 if it took effect.

    Args:
        command: The command.
        receipt: Its receipt.
        path: The path of what it created, without the id; None if it created nothing.
        created_id: The id of what it created inside the issuer.
    """
    proposal_id = await find_proposal(command.handler, command.context)
    if proposal_id is not None:
        return command.answer_proposed(receipt, proposal_id)
    return command.answer(receipt) if path is None else command.answer_created(receipt, path, created_id)


async def create(command: Command, path: str, created_id: str, deed: acts.IssuerCommand) -> Response[ReceiptBody]:
    """Carry out an action that creates something, and answer with its location."""
    receipt = await act(command.handler, command.context, deed)
    return await answer(command, receipt, f"{PATH}/{deed.issuer_id}/{path}", created_id)


async def carry_out(command: Command, deed: acts.IssuerCommand) -> Response[ReceiptBody]:
    """Carry out a corporate action."""
    return await answer(command, await act(command.handler, command.context, deed))


@post("/", summary="Form an issuer")
async def form(command: Commanded, data: JSONBody[FormIssuerBody]) -> Response[ReceiptBody]:
    """Begin a startup's capitalisation. The issuer's id is the party's, with the prefix ``iss_``."""
    receipt = await form_issuer(
        command.handler,
        command.context,
        party_id=data.party_id,
        legal_name=data.legal_name,
        jurisdiction=data.jurisdiction,
        formed_on=data.formed_on,
    )
    return command.answer_created(receipt, PATH)


@post("/{issuer_id:str}/stakeholders", summary="Add a stakeholder")
async def add_stakeholder(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[AddStakeholderBody]
) -> Response[ReceiptBody]:
    """Register someone who may hold securities of the issuer."""
    holder_id = data.holder_id or command.derive("stk")
    deed = acts.AddStakeholder(issuer_id=issuer_id, holder_id=holder_id, name=data.name, kind=data.kind)
    return await create(command, "stakeholders", holder_id, deed)


@post("/{issuer_id:str}/stock-classes", summary="Create a class of stock")
async def create_stock_class(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[CreateStockClassBody]
) -> Response[ReceiptBody]:
    """Create a class of stock."""
    deed = stock_commands.CreateStockClass(issuer_id=issuer_id, **msgspec.structs.asdict(data))
    return await create(command, "stock-classes", data.class_id, deed)


@post("/{issuer_id:str}/stock-plan", status_code=200, summary="Set the size of the stock plan")
async def adjust_stock_plan(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[AdjustStockPlanBody]
) -> Response[ReceiptBody]:
    """Set the size of the option pool, in shares."""
    return await carry_out(command, stock_commands.AdjustStockPlan(issuer_id=issuer_id, **msgspec.structs.asdict(data)))


@post("/{issuer_id:str}/authorised-shares", status_code=200, summary="Set the authorised shares")
async def adjust_authorised(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[AdjustAuthorisedBody]
) -> Response[ReceiptBody]:
    """Set the authorised shares of a class of stock."""
    return await carry_out(
        command, stock_commands.AdjustAuthorisedShares(issuer_id=issuer_id, **msgspec.structs.asdict(data))
    )


@post(
    "/{issuer_id:str}/valuations",
    status_code=200,
    operation_id="issuers.record_valuation",
    summary="Record a valuation",
)
async def value(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[RecordValuationBody]
) -> Response[ReceiptBody]:
    """Record a valuation of a common share, in US dollars. Only the platform's valuations can let warrants vest."""
    deed = acts.RecordValuation(issuer_id=issuer_id, **msgspec.structs.asdict(data))
    return command.answer(await record_valuation(command.handler, command.context, deed))


@post(
    "/{issuer_id:str}/dilution-limit",
    status_code=200,
    operation_id="issuers.limit_dilution",
    summary="Limit dilution by instruments",
)
async def limit(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[LimitDilutionBody]
) -> Response[ReceiptBody]:
    """Set the largest share of the company that all instruments together may become, converted or not."""
    receipt = await limit_dilution(
        command.handler,
        command.context,
        issuer_id,
        dilution_max=data.dilution_max,
        valuation_usd=data.valuation_usd,
    )
    return await answer(command, receipt)


ROUTER: Final = Router(
    PATH,
    route_handlers=[
        form,
        add_stakeholder,
        create_stock_class,
        adjust_stock_plan,
        adjust_authorised,
        limit,
        value,
        *ISSUER_HANDLERS,
        *PACKAGE_HANDLERS,
    ],
    tags=["issuers"],
    opt={"feature": "issuers"},
)

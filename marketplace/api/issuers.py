"""Issuers: acts of a company that change its capitalisation; for the startup itself and the platform."""

from typing import Final

from litestar import Response, Router, post
from litestar.params import FromPath, JSONBody

from marketplace.api.bodies.equity import (
    AddStakeholderBody,
    AdjustStockPlanBody,
    CreateStockClassBody,
    ExerciseOptionBody,
    ExerciseWarrantBody,
    FormIssuerBody,
    GrantOptionBody,
    IssueStockBody,
    IssueWarrantBody,
    RecordValuationBody,
    RepurchaseStockBody,
    SplitStockBody,
    TransferStockBody,
)
from marketplace.api.cap_tables import ISSUER_HANDLERS
from marketplace.api.commands import Command, Commanded, ReceiptBody
from marketplace.api.explanations import EXPLANATION_HANDLERS
from marketplace.api.packages import PACKAGE_HANDLERS
from marketplace.domain import issuer_commands as acts
from marketplace.runtime.commands.issuers import act, form_issuer

PATH: Final = "/v1/issuers"


async def _create(command: Command, path: str, created_id: str, deed: acts.IssuerCommand) -> Response[ReceiptBody]:
    receipt = await act(command.handler, command.context, deed)
    return command.answer_created(receipt, f"{PATH}/{deed.issuer_id}/{path}", created_id)


async def _act(command: Command, deed: acts.IssuerCommand) -> Response[ReceiptBody]:
    return command.answer(await act(command.handler, command.context, deed))


@post("/", summary="Form an issuer")
async def form(command: Commanded, data: JSONBody[FormIssuerBody]) -> Response[ReceiptBody]:
    """Begin a startup's capitalisation; its id is the party's with ``iss_``."""
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
    """Let someone hold securities of the issuer."""
    holder_id = data.holder_id or command.derive("stk")
    deed = acts.AddStakeholder(issuer_id=issuer_id, holder_id=holder_id, name=data.name, kind=data.kind)
    return await _create(command, "stakeholders", holder_id, deed)


@post("/{issuer_id:str}/stock-classes", summary="Create a class of stock")
async def create_stock_class(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[CreateStockClassBody]
) -> Response[ReceiptBody]:
    """Create a class of stock."""
    deed = acts.CreateStockClass(
        issuer_id=issuer_id,
        class_id=data.class_id,
        kind=data.kind,
        shares_authorised=data.shares_authorised,
        price_per_share_usd=data.price_per_share_usd,
        liquidation_multiple=data.liquidation_multiple,
        seniority=data.seniority,
    )
    return await _create(command, "stock-classes", data.class_id, deed)


@post("/{issuer_id:str}/stock-plan", status_code=200, summary="Set the size of the stock plan")
async def adjust_stock_plan(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[AdjustStockPlanBody]
) -> Response[ReceiptBody]:
    """Set the size of the pool for employees."""
    return await _act(
        command,
        acts.AdjustStockPlan(issuer_id=issuer_id, shares_reserved=data.shares_reserved, approval=data.approval),
    )


@post("/{issuer_id:str}/stock", summary="Issue stock")
async def issue_stock(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[IssueStockBody]
) -> Response[ReceiptBody]:
    """Issue shares."""
    security_id = command.derive("sec")
    deed = acts.IssueStock(
        issuer_id=issuer_id,
        security_id=security_id,
        holder_id=data.holder_id,
        class_id=data.class_id,
        shares=data.shares,
        price_usd_per_share=data.price_usd_per_share,
        approval=data.approval,
    )
    return await _create(command, "stock", security_id, deed)


@post("/{issuer_id:str}/stock/transfers", status_code=200, summary="Transfer stock")
async def transfer_stock(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[TransferStockBody]
) -> Response[ReceiptBody]:
    """Move shares to another stakeholder."""
    deed = acts.TransferStock(
        issuer_id=issuer_id,
        holder_id=data.holder_id,
        holder_id_after=data.holder_id_after,
        class_id=data.class_id,
        shares=data.shares,
        approval=data.approval,
    )
    return await _act(command, deed)


@post("/{issuer_id:str}/stock/repurchases", status_code=200, summary="Repurchase stock")
async def repurchase_stock(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[RepurchaseStockBody]
) -> Response[ReceiptBody]:
    """Buy shares back."""
    deed = acts.RepurchaseStock(
        issuer_id=issuer_id,
        holder_id=data.holder_id,
        class_id=data.class_id,
        shares=data.shares,
        price_usd_per_share=data.price_usd_per_share,
        approval=data.approval,
    )
    return await _act(command, deed)


@post("/{issuer_id:str}/stock/splits", status_code=200, summary="Split stock")
async def split_stock(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[SplitStockBody]
) -> Response[ReceiptBody]:
    """Multiply every number of shares; prices go the other way."""
    deed = acts.SplitStock(issuer_id=issuer_id, numerator=data.numerator, denominator=data.denominator)
    return await _act(command, deed)


@post("/{issuer_id:str}/options", summary="Grant an option")
async def grant_option(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[GrantOptionBody]
) -> Response[ReceiptBody]:
    """Grant an option on common stock from the pool."""
    option_id = command.derive("opt")
    deed = acts.GrantOption(
        issuer_id=issuer_id,
        option_id=option_id,
        holder_id=data.holder_id,
        shares=data.shares,
        exercise_price_usd=data.exercise_price_usd,
        approval=data.approval,
    )
    return await _create(command, "options", option_id, deed)


@post("/{issuer_id:str}/options/{option_id:str}/exercise", status_code=200, summary="Exercise an option")
async def exercise_option(
    command: Commanded, issuer_id: FromPath[str], option_id: FromPath[str], data: JSONBody[ExerciseOptionBody]
) -> Response[ReceiptBody]:
    """Turn an option, or part of it, into common stock."""
    deed = acts.ExerciseOption(issuer_id=issuer_id, option_id=option_id, class_id=data.class_id, shares=data.shares)
    return await _act(command, deed)


@post("/{issuer_id:str}/warrants", summary="Issue a warrant")
async def issue_warrant(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[IssueWarrantBody]
) -> Response[ReceiptBody]:
    """Issue a right to buy shares."""
    warrant_id = command.derive("wrt")
    deed = acts.IssueWarrant(
        issuer_id=issuer_id,
        warrant_id=warrant_id,
        holder_id=data.holder_id,
        class_id=data.class_id,
        shares=data.shares,
        exercise_price_usd=data.exercise_price_usd,
        expires_at=data.expires_at,
        approval=data.approval,
    )
    return await _create(command, "warrants", warrant_id, deed)


@post("/{issuer_id:str}/warrants/{warrant_id:str}/exercise", status_code=200, summary="Exercise a warrant")
async def exercise_warrant(
    command: Commanded, issuer_id: FromPath[str], warrant_id: FromPath[str], data: JSONBody[ExerciseWarrantBody]
) -> Response[ReceiptBody]:
    """Turn a warrant, or part of it, into shares."""
    deed = acts.ExerciseWarrant(
        issuer_id=issuer_id,
        warrant_id=warrant_id,
        shares=data.shares,
        shares_surrendered=data.shares_surrendered,
        at=command.context.at,
    )
    return await _act(command, deed)


@post("/{issuer_id:str}/valuations", status_code=200, summary="Record a valuation")
async def record_valuation(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[RecordValuationBody]
) -> Response[ReceiptBody]:
    """Record what someone says a common share is worth."""
    deed = acts.RecordValuation(
        issuer_id=issuer_id,
        price_usd_per_share=data.price_usd_per_share,
        method=data.method,
        effective_on=data.effective_on,
    )
    return await _act(command, deed)


ROUTER: Final = Router(
    PATH,
    route_handlers=[
        form,
        add_stakeholder,
        create_stock_class,
        adjust_stock_plan,
        issue_stock,
        transfer_stock,
        repurchase_stock,
        split_stock,
        grant_option,
        exercise_option,
        issue_warrant,
        exercise_warrant,
        record_valuation,
        *ISSUER_HANDLERS,
        *PACKAGE_HANDLERS,
        *EXPLANATION_HANDLERS,
    ],
    tags=["issuers"],
)

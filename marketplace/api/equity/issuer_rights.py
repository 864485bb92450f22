"""Options and warrants of an issuer; for the startup and the platform."""

from typing import Final

from litestar import Response, Router, post
from litestar.params import FromPath, JSONBody

from marketplace.api.equity.issuers import PATH, answer, carry_out, create
from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.issuers import (
    CancelOptionBody,
    ExerciseOptionBody,
    ExerciseWarrantBody,
    GrantOptionBody,
    IssueWarrantBody,
    PromiseOptionBody,
)
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.api.http.commands import Commanded
from marketplace.application.equity.warrants import exercise_warrant, issue_warrant
from marketplace.domain.equity.issuer import commands as acts


@post("/promises", summary="Promise an option")
async def promise_option(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[PromiseOptionBody]
) -> Response[ReceiptBody]:
    """Promise an option that is to be granted later; its shares are no longer available."""
    promise_id = command.derive("prm")
    deed = acts.PromiseOption(issuer_id=issuer_id, promise_id=promise_id, holder_id=data.holder_id, shares=data.shares)
    return await create(command, "promises", promise_id, deed)


@post("/promises/{promise_id:str}/withdraw", status_code=200, summary="Withdraw a promise")
async def withdraw_promise(
    command: Commanded, issuer_id: FromPath[str], promise_id: FromPath[str], data: JSONBody[ReasonBody]
) -> Response[ReceiptBody]:
    """Withdraw a promise."""
    deed = acts.WithdrawPromise(issuer_id=issuer_id, promise_id=promise_id, reason=data.reason)
    return await carry_out(command, deed)


@post("/options", summary="Grant an option")
async def grant_option(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[GrantOptionBody]
) -> Response[ReceiptBody]:
    """Grant an option on common stock from the pool, or from a promise."""
    option_id = command.derive("opt")
    deed = acts.GrantOption(
        issuer_id=issuer_id,
        option_id=option_id,
        holder_id=data.holder_id,
        shares=data.shares,
        exercise_price_usd=data.exercise_price_usd,
        vesting=data.vesting,
        promise_id=data.promise_id,
        approval=data.approval,
    )
    return await create(command, "options", option_id, deed)


@post("/options/{option_id:str}/exercise", status_code=200, summary="Exercise an option")
async def exercise_option(
    command: Commanded, issuer_id: FromPath[str], option_id: FromPath[str], data: JSONBody[ExerciseOptionBody]
) -> Response[ReceiptBody]:
    """Exercise the vested part of an option, in part or in full, for common stock."""
    deed = acts.ExerciseOption(
        issuer_id=issuer_id,
        exercise_id=command.derive("exr"),
        option_id=option_id,
        class_id=data.class_id,
        shares=data.shares,
        at=command.context.at,
    )
    return await carry_out(command, deed)


@post("/options/{option_id:str}/cancel", status_code=200, summary="Cancel an option")
async def cancel_option(
    command: Commanded, issuer_id: FromPath[str], option_id: FromPath[str], data: JSONBody[CancelOptionBody]
) -> Response[ReceiptBody]:
    """Cancel an option, in part or in full. Its shares are available again."""
    deed = acts.CancelOption(
        issuer_id=issuer_id,
        cancellation_id=command.derive("can"),
        option_id=option_id,
        shares=data.shares,
        kind=data.kind,
        reason=data.reason,
        at=command.context.at,
    )
    return await carry_out(command, deed)


@post("/warrants", summary="Issue a warrant")
async def issue_one(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[IssueWarrantBody]
) -> Response[ReceiptBody]:
    """Issue a right to buy shares, exercisable at once or at milestones."""
    warrant_id = command.derive("wrt")
    deed = acts.IssueWarrant(
        issuer_id=issuer_id,
        warrant_id=warrant_id,
        holder_id=data.holder_id,
        class_id=data.class_id,
        shares=data.shares,
        exercise_price_usd=data.exercise_price_usd,
        expires_at=data.expires_at,
        settlement=data.settlement,
        tranches=data.tranches,
        grant_id=data.grant_id,
        approval=data.approval,
    )
    receipt = await issue_warrant(command.handler, command.context, deed)
    return await answer(command, receipt, f"{PATH}/{issuer_id}/warrants", warrant_id)


@post("/warrants/{warrant_id:str}/exercise", status_code=200, summary="Exercise a warrant")
async def exercise_one(
    command: Commanded, issuer_id: FromPath[str], warrant_id: FromPath[str], data: JSONBody[ExerciseWarrantBody]
) -> Response[ReceiptBody]:
    """Exercise the vested part of a warrant, in part or in full: for cash, or net at the fair value of a share."""
    receipt = await exercise_warrant(
        command.handler,
        command.context,
        issuer_id,
        exercise_id=command.derive("exr"),
        warrant_id=warrant_id,
        shares=data.shares,
        net=data.settlement == "net",
    )
    return await answer(command, receipt)


ROUTER: Final = Router(
    f"{PATH}/{{issuer_id:str}}",
    route_handlers=[
        promise_option,
        withdraw_promise,
        grant_option,
        exercise_option,
        cancel_option,
        issue_one,
        exercise_one,
    ],
    tags=["issuers"],
    opt={"feature": "issuers"},
)

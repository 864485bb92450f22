"""Options of an issuer; for the startup and the platform."""

from typing import Final

import msgspec
from litestar import Response, Router, post
from litestar.params import FromPath, JSONBody

from marketplace.api.equity.issuers import PATH, carry_out, create
from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.issuers import (
    CancelOptionBody,
    ExerciseOptionBody,
    GrantOptionBody,
    PromiseOptionBody,
    TransferRightBody,
)
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.api.http.commands import Commanded
from marketplace.domain.equity.issuer import rights_commands


@post("/promises", operation_id="options.promise", summary="Promise an option")
async def promise_option(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[PromiseOptionBody]
) -> Response[ReceiptBody]:
    """Promise an option that is to be granted later; its shares are no longer available."""
    promise_id = command.derive("prm")
    deed = rights_commands.PromiseOption(
        issuer_id=issuer_id, promise_id=promise_id, holder_id=data.holder_id, shares=data.shares
    )
    return await create(command, "promises", promise_id, deed)


@post("/promises/{promise_id:str}/withdraw", status_code=200, summary="Withdraw a promise")
async def withdraw_promise(
    command: Commanded, issuer_id: FromPath[str], promise_id: FromPath[str], data: JSONBody[ReasonBody]
) -> Response[ReceiptBody]:
    """Withdraw a promise."""
    deed = rights_commands.WithdrawPromise(issuer_id=issuer_id, promise_id=promise_id, reason=data.reason)
    return await carry_out(command, deed)


@post("/options", operation_id="options.grant", summary="Grant an option")
async def grant_option(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[GrantOptionBody]
) -> Response[ReceiptBody]:
    """Grant an option on common stock from the pool, or from a promise."""
    option_id = command.derive("opt")
    deed = rights_commands.GrantOption(
        issuer_id=issuer_id,
        option_id=option_id,
        **msgspec.structs.asdict(data),
    )
    return await create(command, "options", option_id, deed)


@post(
    "/options/{option_id:str}/exercise", status_code=200, operation_id="options.exercise", summary="Exercise an option"
)
async def exercise_option(
    command: Commanded, issuer_id: FromPath[str], option_id: FromPath[str], data: JSONBody[ExerciseOptionBody]
) -> Response[ReceiptBody]:
    """Exercise vested shares of an option into common stock. A party here pays the company their exercise price."""
    deed = rights_commands.ExerciseOption(
        issuer_id=issuer_id,
        exercise_id=command.derive("exr"),
        option_id=option_id,
        class_id=data.class_id,
        shares=data.shares,
        at=command.context.at,
    )
    return await carry_out(command, deed)


@post(
    "/options/{option_id:str}/transfer", status_code=200, operation_id="options.transfer", summary="Transfer an option"
)
async def transfer_option(
    command: Commanded, issuer_id: FromPath[str], option_id: FromPath[str], data: JSONBody[TransferRightBody]
) -> Response[ReceiptBody]:
    """Transfer a whole option from a holder without a key to the party that it is."""
    deed = rights_commands.TransferOption(
        issuer_id=issuer_id,
        transfer_id=command.derive("trf"),
        option_id=option_id,
        holder_id=data.holder_id,
        holder_id_after=data.holder_id_after,
    )
    return await carry_out(command, deed)


@post("/options/{option_id:str}/cancel", status_code=200, operation_id="options.cancel", summary="Cancel an option")
async def cancel_option(
    command: Commanded, issuer_id: FromPath[str], option_id: FromPath[str], data: JSONBody[CancelOptionBody]
) -> Response[ReceiptBody]:
    """Cancel an option, in part or in full. Its shares are available again."""
    deed = rights_commands.CancelOption(
        issuer_id=issuer_id,
        cancellation_id=command.derive("can"),
        option_id=option_id,
        at=command.context.at,
        **msgspec.structs.asdict(data),
    )
    return await carry_out(command, deed)


ROUTER: Final = Router(
    f"{PATH}/{{issuer_id:str}}",
    route_handlers=[promise_option, withdraw_promise, grant_option, exercise_option, transfer_option, cancel_option],
    tags=["options"],
    opt={"feature": "issuers"},
)
